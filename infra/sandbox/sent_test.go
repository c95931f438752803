package sandbox_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// What a phone sent tells what has become of it, and is there after a restart.
func TestAPhoneSeesWhatBecameOfWhatItSent(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := sandbox.Start(t, sandbox.Config{DSN: dsn, Logger: quiet()})
	for _, number := range []string{anna, bert} {
		createPhone(t, s.URL(), number, "")
	}
	picture := bytes.Repeat([]byte("picture"), 1000)
	id, err := s.SendMedia(t.Context(), anna, sandbox.Outgoing{To: bert, Content: sandbox.Content{Type: "document"}, File: sandbox.File{FileName: "a.bin"}}, bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReceipt(t.Context(), anna, id, "delivered"); err != nil {
		t.Fatal(err)
	}
	var page struct {
		Messages []sandbox.SentMessage
		Next     int64
	}
	for status := ""; status != "delivered"; status = page.Messages[0].Status {
		call(t, "GET", s.URL()+"/phones/"+anna+"/sent?wait=10", nil, 200, &page)
		if len(page.Messages) != 1 {
			t.Fatalf("%d messages", len(page.Messages))
		}
	}
	if m := page.Messages[0]; m.ID != id || m.To != bert || m.Type != "document" || m.FileName != "a.bin" || m.Size != int64(len(picture)) || m.Delivered != 1 || m.Read != 0 || m.Timestamp.IsZero() {
		t.Errorf("%+v", m)
	}
	if _, err := s.WaitMessage(t.Context(), bert, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), bert, anna); err != nil {
		t.Fatal(err)
	}
	after := page.Next
	sent, err := s.Sent(t.Context(), anna, after, patience)
	if err != nil || len(sent) != 1 || sent[0].Status != "read" || sent[0].Read != 1 || sent[0].Change <= after {
		t.Errorf("after it was read: %+v, %v", sent, err)
	}
	res, err := http.Get(s.URL() + "/phones/" + anna + "/sent/" + id + "/media")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(res.Body); err != nil || !bytes.Equal(got.Bytes(), picture) {
		t.Errorf("%d bytes of the file, %v", got.Len(), err)
	}
	call(t, "GET", s.URL()+"/phones/"+anna+"/sent/NONE/media", nil, 404, nil)
	call(t, "GET", s.URL()+"/phones/"+anna+"/sent?after=-1", nil, 422, nil)
	s.Stop()
	again := sandbox.Start(t, sandbox.Config{DSN: dsn, Logger: quiet()})
	sent, err = again.Sent(t.Context(), anna, 0, 0)
	if err != nil || len(sent) != 1 || sent[0].Status != "sent" || sent[0].ID != id {
		t.Errorf("after a restart: %+v, %v", sent, err)
	}
}
