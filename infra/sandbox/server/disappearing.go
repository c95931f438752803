package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// longestTimer bounds the time after which messages disappear; WhatsApp's own choices end at 90 days.
const longestTimer = 365 * 24 * time.Hour

// disappearing is an account's default for new chats, a record "disappearing": the messages' life in seconds, 0 for ever, and since when.
type disappearing struct {
	Seconds int64 `json:"seconds"`
	SetAt   int64 `json:"setAt"` // unix seconds
}

func registerDisappearing(r *registry) {
	r.queries[query{"disappearing_mode", "set", "disappearing_mode"}] = handleDisappearing
	r.loaders["disappearing"] = accountLoader(func(a *account, rec journal.Record) error { return json.Unmarshal(rec.Value, &a.disappearing) })
}

// node is what clients ask for by usync, and are told of.
func (d disappearing) node() waBinary.Node {
	return waBinary.Node{Tag: "disappearing_mode", Attrs: waBinary.Attrs{"duration": d.Seconds, "t": d.SetAt}}
}

// handleDisappearing sets the default and tells the account's other devices and those who know it. Whether a chat's messages disappear is
// between its clients.
func handleDisappearing(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a := c.s, c.device.account
	request := iq.GetChildByTag("disappearing_mode")
	seconds, err := strconv.ParseInt(attr(&request, "duration"), 10, 64)
	if err != nil || seconds < 0 || seconds > int64(longestTimer/time.Second) {
		return nil, errBadRequest
	}
	set := disappearing{Seconds: seconds, SetAt: time.Now().Unix()}
	a.editing.Lock()
	defer a.editing.Unlock()
	notices := append(s.tellOwn(a, c.device, notification(a.pn(), "account_sync", set.node())),
		s.tellOthers(a, "", notification(a.pn(), "disappearing_mode", set.node()))...)
	if err := s.commit(ctx, []journal.Record{record("disappearing", a.keys.Phone, set)}, notices); err != nil {
		return nil, fmt.Errorf("store disappearing mode: %w", err)
	}
	s.mu.Lock()
	a.disappearing = set
	s.mu.Unlock()
	return nil, nil
}
