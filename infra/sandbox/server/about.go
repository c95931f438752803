package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxAbout bounds an about text in bytes; WhatsApp's own limit is 139 characters.
	maxAbout = 1024
	// mexSetAbout is the id of the mutation by which whatsmeow sets it (mutationUpdateTextStatus in user.go).
	mexSetAbout = "9152604461510864"
)

// about is an account's about text, a record of that kind. WhatsApp lets it have an emoji and an end; its form on the wire has neither, so
// the emoji goes before the text.
type about struct {
	Text  string `json:"text"`
	SetAt int64  `json:"setAt"`           // unix seconds
	Until int64  `json:"until,omitempty"` // unix seconds; 0 is for good
}

func registerAbout(r *registry) {
	r.queries[query{"status", "set", "status"}] = handleAbout
	r.mex[mexSetAbout] = mexAbout
	r.loaders["about"] = accountLoader(func(a *account, rec journal.Record) error { return json.Unmarshal(rec.Value, &a.about) })
}

// node is what a viewer may see of the text, as the usync protocol "status" tells it: 401 stands for hidden (Baileys). The caller holds
// Server.mu.
func (a *account) aboutNode(viewer *account) waBinary.Node {
	if !a.shows("status", viewer) {
		return waBinary.Node{Tag: "status", Attrs: waBinary.Attrs{"code": 401}}
	}
	text, at := a.about.Text, a.about.SetAt
	if a.about.Until != 0 && time.Now().Unix() >= a.about.Until {
		text, at = "", a.about.Until
	}
	if at == 0 {
		at = a.keys.CreatedAt.Unix()
	}
	return waBinary.Node{Tag: "status", Attrs: waBinary.Attrs{"t": at}, Content: []byte(text)}
}

func handleAbout(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	return nil, c.setAbout(ctx, about{Text: string(content(iq.GetChildByTag("status")))})
}

func mexAbout(ctx context.Context, c *conn, variables json.RawMessage) (any, error) {
	var in struct {
		Input struct {
			Text  *string `json:"text"`
			Emoji *struct {
				Content string `json:"content"`
			} `json:"emoji"`
			Duration int64 `json:"ephemeral_duration_sec"`
		} `json:"input"`
	}
	if err := json.Unmarshal(variables, &in); err != nil || in.Input.Duration < 0 || in.Input.Duration > int64(longestTimer/time.Second) {
		return nil, errBadRequest
	}
	var set about
	if in.Input.Text != nil {
		set.Text = *in.Input.Text
	}
	if in.Input.Emoji != nil && in.Input.Emoji.Content != "" {
		set.Text = in.Input.Emoji.Content + " " + set.Text
	}
	if in.Input.Duration > 0 {
		set.Until = time.Now().Unix() + in.Input.Duration
	}
	if err := c.setAbout(ctx, set); err != nil {
		return nil, err
	}
	return map[string]any{"xwa2_update_text_status": map[string]string{"result": "SUCCESS"}}, nil
}

// setAbout changes the text and tells the account's other devices and those who know it and may see it (handleStatusNotification in
// notification.go).
func (c *conn) setAbout(ctx context.Context, set about) error {
	s, a := c.s, c.device.account
	if len(set.Text) > maxAbout {
		return errBadRequest
	}
	set.SetAt = time.Now().Unix()
	a.editing.Lock()
	defer a.editing.Unlock()
	notice := notification(a.pn(), "status", waBinary.Node{Tag: "set", Content: []byte(set.Text)})
	notices := append(s.tellOwn(a, c.device, notice), s.tellOthers(a, "status", notice)...)
	if err := s.commit(ctx, []journal.Record{record("about", a.keys.Phone, set)}, notices); err != nil {
		return fmt.Errorf("store about text: %w", err)
	}
	s.mu.Lock()
	a.about = set
	s.mu.Unlock()
	return nil
}
