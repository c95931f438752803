package features

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

type batch struct {
	ID, CancelledAt string
	Size            int
	Counts          map[string]int
}

// is waits until a batch has as many messages of each status.
func (s session) is(id string, counts map[string]int) (b batch) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the batch to be %v", counts), func() error {
		b = batch{}
		s.must(200, "GET", "/message-batches/"+id, nil, &b)
		if fmt.Sprint(b.Counts) != fmt.Sprint(counts) {
			return fmt.Errorf("it is %v", b.Counts)
		}
		return nil
	})
	return b
}

// Feature: Batches with progress
func TestBatch(t *testing.T) {
	t.Parallel()
	s, bert, carl := newSession(t), newPhone(t, "Bert"), newPhone(t, "Carl")
	file := s.send(bert.number, map[string]any{"type": "document", "media": map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte("bytes")), "mimetype": "text/plain", "fileName": "a.txt"}})
	var messages []map[string]any
	var toBert []string
	for i := range 20 {
		text := fmt.Sprint("text ", i)
		toBert = append(toBert, text)
		messages = append(messages,
			map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": text}, "clientReference": fmt.Sprint("order-", i)},
			map[string]any{"to": carl.jid(), "content": map[string]any{"type": "document", "caption": text, "media": map[string]any{"mediaId": dig(file.Content, "media", "id")}}})
	}
	body := map[string]any{"messages": messages}
	var b, again batch
	key := []string{"Idempotency-Key", "batch-" + s.id}
	s.must(202, "POST", "/message-batches", body, &b, key...)
	if b.Size != 40 || b.Counts["queued"] != 40 {
		t.Errorf("the answer is %+v", b)
	}
	s.must(202, "POST", "/message-batches", body, &again, key...)
	if again.ID != b.ID {
		t.Errorf("repeated it is %+v", again)
	}
	s.is(b.ID, map[string]int{"delivered": 40})
	if seen := bert.texts(s.phone.number, 20); !slices.Equal(seen, toBert) {
		t.Errorf("the phone saw %q", seen)
	}
	for _, text := range toBert {
		carl.sees(text, func(m sandbox.Message) bool { return m.Type == "document" && m.Caption == text && m.Size == 5 })
	}
	var list struct {
		Data    []message
		HasMore bool
	}
	s.must(200, "GET", "/messages?limit=30&batchId="+b.ID, nil, &list)
	if len(list.Data) != 30 || !list.HasMore || list.Data[0].raw["batchId"] != b.ID {
		t.Errorf("%d messages are listed", len(list.Data))
	}
	s.must(200, "GET", "/messages?status=delivered&type=text&batchId="+b.ID, nil, &list)
	if len(list.Data) != 20 || list.Data[19].raw["clientReference"] != "order-0" {
		t.Errorf("%d texts are listed", len(list.Data))
	}
	s.must(200, "POST", "/message-batches/"+b.ID+"/cancel", nil, &b) // too late for each
	if b.Counts["delivered"] != 40 || b.CancelledAt == "" {
		t.Errorf("cancelled it is %+v", b)
	}
}

// Feature: Batches with progress
func TestBatchPacedAndCancelled(t *testing.T) {
	t.Parallel()
	s, bert := newSession(t), newPhone(t, "Bert")
	text := func(text string) map[string]any {
		return map[string]any{"to": bert.number, "content": map[string]any{"type": "text", "text": text}}
	}
	var b batch
	s.must(202, "POST", "/message-batches", map[string]any{"messages": []any{text("1"), text("2"), text("3")}, "delaySeconds": 1, "jitterSeconds": 1}, &b)
	if b.Counts["scheduled"] != 3 {
		t.Errorf("the answer is %+v", b)
	}
	s.is(b.ID, map[string]int{"delivered": 3})
	if seen := bert.texts(s.phone.number, 3); !slices.Equal(seen, []string{"1", "2", "3"}) {
		t.Errorf("the phone saw %q", seen)
	}

	s.must(202, "POST", "/message-batches", map[string]any{"messages": []any{text("4"), text("5"), text("6")}, "delaySeconds": 3600}, &b)
	s.is(b.ID, map[string]int{"delivered": 1, "scheduled": 2})
	var list struct{ Data []message }
	s.must(200, "GET", "/messages?status=scheduled&batchId="+b.ID, nil, &list)
	if len(list.Data) != 2 {
		t.Fatalf("%d messages are scheduled", len(list.Data))
	}
	one, _ := time.Parse(time.RFC3339, fmt.Sprint(list.Data[1].raw["sendAt"]))
	two, _ := time.Parse(time.RFC3339, fmt.Sprint(list.Data[0].raw["sendAt"]))
	if two.Sub(one) != time.Hour || one.IsZero() {
		t.Errorf("they are sent at %s and %s", one, two)
	}
	for range 2 { // twice is once
		s.must(200, "POST", "/message-batches/"+b.ID+"/cancel", nil, &b)
		if b.Counts["cancelled"] != 2 || b.Counts["delivered"] != 1 || b.CancelledAt == "" {
			t.Errorf("cancelled it is %+v", b)
		}
	}
	for _, m := range list.Data {
		s.told(m, "cancelled")
	}

	s.stop()
	s.must(202, "POST", "/message-batches", map[string]any{"messages": []any{text("7"), text("8")}}, &b)
	s.must(200, "POST", "/message-batches/"+b.ID+"/cancel", nil, &b)
	if b.Counts["cancelled"] != 2 {
		t.Errorf("cancelled it is %+v", b)
	}
	s.start()
	s.ends(s.accepted(bert.number, "last", nil).ID, "delivered")
	if seen := bert.texts(s.phone.number, 5); seen[4] != "last" {
		t.Errorf("the phone saw %q", seen)
	}
	s.refused("not_found", "GET", "/message-batches/bat_none", nil)
	s.refused("not_found", "POST", "/message-batches/bat_01932f0c5d6b7a10b1f4d0c4a8e2f001/cancel", nil)
}
