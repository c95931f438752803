package features

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// Feature: Message search
func TestSearch(t *testing.T) {
	t.Parallel()
	s, other, bert, carl := newSession(t), newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	s.send(bert.number, map[string]any{"type": "text", "text": "The invoice of June is ready, Señor Pérez"})
	s.send(carl.number, map[string]any{"type": "text", "text": "Your INVOICE, of July"})
	s.send(carl.number, map[string]any{"type": "document", "caption": "as you asked", "media": map[string]any{
		"base64": base64.StdEncoding.EncodeToString([]byte("bytes")), "mimetype": "application/pdf", "fileName": "invoice august.pdf"}})
	s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "where is my invoice?"}))
	other.send(bert.number, map[string]any{"type": "text", "text": "invoice of another account"})

	type page struct {
		Data       []message
		NextCursor string
		HasMore    bool
	}
	find := func(query url.Values) (texts []string) {
		t.Helper()
		var p page
		s.must(200, "GET", "/messages?"+query.Encode(), nil, &p)
		for _, m := range p.Data {
			text, _ := m.Content["text"].(string)
			if m.Content["type"] == "document" {
				text, _ = m.Content["caption"].(string)
			}
			texts = append(texts, text)
		}
		return texts
	}
	june, july, august, asks := "The invoice of June is ready, Señor Pérez", "Your INVOICE, of July", "as you asked", "where is my invoice?"
	for _, tt := range []struct {
		query url.Values
		want  []string
	}{
		{url.Values{"q": {"invoice"}}, []string{asks, august, july, june}},
		{url.Values{"q": {"INV"}}, []string{asks, august, july, june}}, // the beginning of the last word
		{url.Values{"q": {"inv june"}}, nil},
		{url.Values{"q": {"june invo"}}, []string{june}},
		{url.Values{"q": {"pérez"}}, []string{june}},
		{url.Values{"q": {`"of july"`}}, []string{july}},
		{url.Values{"q": {"june or july"}}, []string{july, june}},
		{url.Values{"q": {"invoice -of"}}, []string{asks, august}},
		{url.Values{"q": {"-june"}, "direction": {"outgoing"}}, []string{august, july}},
		{url.Values{"q": {"august.pdf"}}, []string{august}},
		{url.Values{"q": {"asked"}}, []string{august}},
		{url.Values{"q": {"nothing"}}, nil},
		{url.Values{"q": {"' & | ! :* \\"}}, nil},
		{url.Values{"q": {"invoice"}, "chatId": {carl.number}}, []string{august, july}},
		{url.Values{"q": {"invoice"}, "type": {"document"}}, []string{august}},
		{url.Values{"q": {"invoice"}, "direction": {"incoming"}}, []string{asks}},
		{url.Values{"q": {"invoice"}, "since": {time.Now().Add(time.Hour).Format(time.RFC3339)}}, nil},
		{url.Values{"q": {"invoice"}, "until": {time.Now().Add(-time.Hour).Format(time.RFC3339)}}, nil},
		{url.Values{"since": {time.Now().Add(-time.Hour).Format(time.RFC3339)}, "until": {time.Now().Add(time.Hour).Format(time.RFC3339)}, "type": {"text"}}, []string{asks, july, june}},
	} {
		if got := find(tt.query); !slices.Equal(got, tt.want) {
			t.Errorf("%v finds %q, want %q", tt.query, got, tt.want)
		}
	}
	var first, second page
	s.must(200, "GET", "/messages?q=invoice&limit=3", nil, &first)
	s.must(200, "GET", "/messages?q=invoice&limit=3&cursor="+first.NextCursor, nil, &second)
	if len(first.Data) != 3 || !first.HasMore || len(second.Data) != 1 || second.HasMore {
		t.Errorf("pages of %d and %d", len(first.Data), len(second.Data))
	}
	s.refused("validation_failed", "GET", "/messages?batchId=none", nil)
	s.refused("validation_failed", "GET", "/messages?direction=sideways", nil)
}

// Feature: Media of received messages, and refetch through the phone
func TestMediaOfReceivedMessages(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	document := func(name string) string {
		return bert.send(map[string]any{"to": s.phone.number, "type": "document", "fileName": name, "mimetype": "text/plain", "data": base64.StdEncoding.EncodeToString([]byte(name))})
	}
	type media struct{ ID, Status, MessageID, SessionID, FileName string }
	file := func(m message, status string) (f media) {
		t.Helper()
		eventually(t, "the file to be "+status, func() error {
			s.must(200, "GET", "/messages/"+m.ID+"/media", nil, &f)
			if f.Status != status {
				return errStatus(f.Status)
			}
			return nil
		})
		return f
	}
	content := func(f media, want string) {
		t.Helper()
		if status, raw := call(t, "GET", s.url("/v1/media/"+f.ID+"/content"), nil, nil); status != 200 || !bytes.Equal(raw, []byte(want)) {
			t.Errorf("the content is %d %.40q", status, raw)
		}
	}
	m := s.received(document("there.txt"))
	f := file(m, "ready")
	if f.ID != dig(m.Content, "media", "id") || f.MessageID != m.ID || f.SessionID != s.id || f.FileName != "there.txt" {
		t.Errorf("the file is %+v", f)
	}
	content(f, "there.txt")
	s.must(202, "POST", "/messages/"+m.ID+"/media/retry", nil, &f)
	if f.Status != "ready" {
		t.Errorf("asked for again, what is there is %+v", f)
	}

	// While the session is away WhatsApp loses the file, and the phone does not find it.
	s.stop()
	id := document("lost.txt")
	s.phone.sees("the file", func(m sandbox.Message) bool { return m.ID == id && m.MediaError == "" })
	bert.act("DELETE", "/messages/"+id+"/media", nil, nil)
	s.phone.act("PUT", "/faults", map[string]any{"media": map[string]any{"phoneHasNone": true}}, nil)
	s.start()
	m = s.received(id)
	file(m, "failed")
	s.gets("media.failed", func(data map[string]any) bool { return data["messageId"] == m.ID })
	s.phone.act("DELETE", "/faults", nil, nil)
	s.must(202, "POST", "/messages/"+m.ID+"/media/retry", nil, &f, "Idempotency-Key", "retry-"+s.id)
	if f.Status != "pending" {
		t.Errorf("asked for again it is %+v", f)
	}
	content(file(m, "ready"), "lost.txt")

	text := s.received(bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "no file"}))
	s.refused("media_not_found", "GET", "/messages/"+text.ID+"/media", nil)
	s.refused("media_not_found", "POST", "/messages/"+text.ID+"/media/retry", nil)
	s.must(204, "DELETE", "/v1/media/"+fmt.Sprint(f.ID), nil, nil)
	s.refused("media_expired", "POST", "/messages/"+m.ID+"/media/retry", nil)
}
