package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// maxBlocked bounds a block list.
const maxBlocked = 10_000

// A block list is a record "blocklist": the phone numbers that are blocked.
func registerBlocklist(r *registry) {
	r.queries[query{"blocklist", "get", ""}] = handleBlocklistGet
	r.queries[query{"blocklist", "set", "item"}] = handleBlocklistSet
	r.loaders["blocklist"] = accountLoaderOf(func(a *account, blocked map[*account]struct{}) { a.blocking = blocked })
}

// accountLoaderOf makes a loader for records that list phone numbers.
func accountLoaderOf(set func(*account, map[*account]struct{})) recordLoader {
	return func(s *Server, r journal.Record) error {
		a, err := s.recordOwner(r.Key)
		if err != nil {
			return err
		}
		var phones []string
		if err := json.Unmarshal(r.Value, &phones); err != nil {
			return err
		}
		others := map[*account]struct{}{}
		for _, phone := range phones {
			other, err := s.recordOwner(phone)
			if err != nil {
				return err
			}
			others[other] = struct{}{}
		}
		set(a, others)
		return nil
	}
}

// blocked says whether an account has blocked another: then it gets no message, chat state or call of his, and he sees neither its presence
// nor its picture, about text and status. Groups that both are in are not affected.
func (s *Server) blocked(by, whom *account) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return by.blocks(whom)
}

// blocks wants Server.mu held.
func (a *account) blocks(other *account) bool {
	_, ok := a.blocking[other]
	return ok
}

func handleBlocklistGet(_ context.Context, c *conn, _ *waBinary.Node) ([]waBinary.Node, error) {
	c.s.mu.RLock()
	defer c.s.mu.RUnlock()
	return []waBinary.Node{blocklist(c.device.account.blocking)}, nil
}

// blocklist makes the node that parseBlocklist (user.go) reads. People are named by their LID, as UpdateBlocklist names them.
func blocklist(blocked map[*account]struct{}) waBinary.Node {
	var items []waBinary.Node
	for _, a := range byPhone(blocked) {
		items = append(items, waBinary.Node{Tag: "item", Attrs: waBinary.Attrs{"jid": a.lid(), "pn_jid": a.pn()}})
	}
	return waBinary.Node{Tag: "list", Attrs: waBinary.Attrs{"dhash": blocklistHash(blocked)}, Content: items}
}

// byPhone orders accounts by their phone numbers.
func byPhone(accounts map[*account]struct{}) []*account {
	return slices.SortedFunc(maps.Keys(accounts), func(x, y *account) int { return strings.Compare(x.keys.Phone, y.keys.Phone) })
}

// blocklistHash changes with the list. How WhatsApp makes it is not known; clients only compare it.
func blocklistHash(blocked map[*account]struct{}) string {
	hash := sha256.New()
	for _, a := range byPhone(blocked) {
		fmt.Fprintln(hash, a.keys.Phone)
	}
	return base64.RawStdEncoding.EncodeToString(hash.Sum(nil)[:9])
}

// handleBlocklistSet blocks or unblocks one account and tells the other devices. A client may say which list it means to change (dhash): it
// is told whether it had the present one, and gets the whole list in any case.
func handleBlocklistSet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a := c.s, c.device.account
	item := iq.GetChildByTag("item")
	jid, _ := item.Attrs["jid"].(types.JID)
	other, action := s.user(jid), attr(&item, "action")
	if other == nil {
		return nil, errItemNotFound
	}
	if action != "block" && action != "unblock" || other == a {
		return nil, errBadRequest
	}
	a.editing.Lock()
	defer a.editing.Unlock()
	s.mu.RLock()
	before, blocked := blocklistHash(a.blocking), maps.Clone(a.blocking)
	s.mu.RUnlock()
	if blocked == nil {
		blocked = map[*account]struct{}{}
	}
	if action == "block" {
		blocked[other] = struct{}{}
	} else {
		delete(blocked, other)
	}
	if len(blocked) > maxBlocked {
		return nil, queryError{419, "resource-limit"}
	}
	list := blocklist(blocked)
	after := blocklistHash(blocked)
	if after != before {
		phones := []string{}
		for _, a := range byPhone(blocked) {
			phones = append(phones, a.keys.Phone)
		}
		// handleBlocklist (notification.go) reads the changes, Baileys the items.
		notice := notification(a.pn(), "account_sync", waBinary.Node{
			Tag: "blocklist", Attrs: waBinary.Attrs{"dhash": after, "prev_dhash": before},
			Content: []waBinary.Node{{Tag: "item", Attrs: waBinary.Attrs{"jid": other.lid(), "action": action}}},
		})
		err := s.commit(ctx, []journal.Record{record("blocklist", a.keys.Phone, phones)}, s.tellOwn(a, c.device, notice))
		if err != nil {
			return nil, fmt.Errorf("store block list: %w", err)
		}
		s.mu.Lock()
		a.blocking = blocked
		s.mu.Unlock()
	}
	if had := attr(&item, "dhash"); had != "" {
		list.Attrs["matched"] = fmt.Sprint(had == before)
	}
	return []waBinary.Node{list}, nil
}
