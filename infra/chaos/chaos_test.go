//go:build linux && !release

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// day is a chat of three messages each way.
func day() *chat {
	c := &chat{}
	for n := range 3 {
		c.out = append(c.out, entry{id: fmt.Sprintf("O%d", n), text: fmt.Sprintf("out 0 0 %d", n), at: time.Unix(int64(n), 0)})
		c.in = append(c.in, entry{id: fmt.Sprintf("I%d", n), text: fmt.Sprintf("in 0 0 %d", n), at: time.Unix(int64(n), 0)})
	}
	return c
}

// seen is what a phone shows: "id text" each.
func seen(list ...string) (shown []sandbox.Message) {
	for i, s := range list {
		id, text, _ := strings.Cut(s, " ")
		shown = append(shown, sandbox.Message{ID: id, Content: sandbox.Content{Type: "text", Text: text}, Timestamp: time.Unix(int64(10*i), 0)})
	}
	return shown
}

func TestWhatPhonesShowIsCounted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		shown []sandbox.Message
		want  Table
	}{
		{"all", seen("O0 out 0 0 0", "X of another chat", "O1 out 0 0 1", "O2 out 0 0 2"), Table{Sent: 3, Shown: 3, SlowestSeconds: 28}},
		{"one lost", seen("O0 out 0 0 0", "O2 out 0 0 2"), Table{Sent: 3, Shown: 2, OutgoingLost: 1, SlowestSeconds: 8}},
		{"one twice", seen("O0 out 0 0 0", "O1 out 0 0 1", "O1 out 0 0 1", "O2 out 0 0 2"), Table{Sent: 3, Shown: 3, OutgoingShownTwice: 1, SlowestSeconds: 28}},
		{"out of order", seen("O0 out 0 0 0", "O2 out 0 0 2", "O1 out 0 0 1"), Table{Sent: 3, Shown: 3, OutgoingOutOfOrder: 1, SlowestSeconds: 19}},
		{"under another id", seen("O0 out 0 0 0", "O1 out 0 0 1", "Z out 0 0 2"), Table{Sent: 3, Shown: 3, OutgoingLost: 1, SlowestSeconds: 18}},
	} {
		var got Table
		countShown(&got, day(), tt.shown, map[string][]time.Time{})
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: counted %+v, want %+v", tt.name, got, tt.want)
		}
		if bad := got.OutgoingLost+got.OutgoingShownTwice+got.OutgoingOutOfOrder > 0; bad != (tt.name != "all") {
			t.Errorf("%s: problems are %q", tt.name, got.problems())
		}
	}
}

// post delivers an event as the dispatcher does, under an id, and returns the status, or 0 when there was no answer.
func (r *receiver) post(t *testing.T, hook *standardwebhooks.Webhook, eventType, eventID, whatsAppID string) int {
	t.Helper()
	body, err := json.Marshal(map[string]any{"id": eventID, "type": eventType, "data": map[string]any{"message": map[string]any{"whatsappId": whatsAppID}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := hook.Sign(eventID, now, body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("webhook-id", eventID)
	req.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
	req.Header.Set("webhook-signature", signature)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestWhatTheReceiverGetsIsCounted(t *testing.T) {
	t.Parallel()
	r, err := newReceiver()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	hook, err := standardwebhooks.NewWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	other, err := standardwebhooks.NewWebhook("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	r.hook = hook
	deliver := func(want int, hook *standardwebhooks.Webhook, eventType, eventID, id string) {
		t.Helper()
		if got := r.post(t, hook, eventType, eventID, id); got != want {
			t.Errorf("%s is answered with %d, want %d", eventID, got, want)
		}
	}
	feel := func(m mood) {
		t.Helper()
		if err := r.feel(m); err != nil {
			t.Fatal(err)
		}
	}
	deliver(204, hook, "message.received", "E0", "I0")
	deliver(400, other, "message.received", "E9", "I0") // a wrong signature is not believed
	feel(failing)
	deliver(503, hook, "message.received", "E2", "I2")
	feel(absent)
	deliver(0, hook, "message.received", "E2", "I2")
	feel(rude)
	deliver(0, hook, "message.received", "E2", "I2") // it came
	feel(fine)
	deliver(204, hook, "message.received", "E2", "I2")
	deliver(204, hook, "message.received", "E1", "I1") // late
	deliver(204, hook, "message.received", "E1b", "I1")
	deliver(204, hook, "message.sent", "S0", "O0")
	deliver(204, hook, "message.sent", "S1", "O1")
	deliver(204, hook, "message.sent", "S1b", "O1")

	silentFor := make(chan int)
	feel(silent)
	go func() { silentFor <- r.post(t, hook, "message.received", "E3", "I3") }()
	feel(fine)
	<-silentFor // it ends, answered or not, as it fell before or after

	c := day()
	c.in = append(c.in, entry{id: "never"})
	var got Table
	r.count(&got, []*chat{c}, map[string][]time.Time{})
	got.SlowestSeconds = 0
	want := Table{Received: 4, Delivered: 3, IncomingLost: 1, IncomingOtherID: 1, IncomingOutOfOrder: 0, OutgoingUntold: 1, OutgoingToldTwice: 1,
		WebhooksRefused: 1, WebhooksRepeated: 1}
	want.IncomingOutOfOrder = 1 // I2 came before I1
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if n := r.missing([]*chat{c}); n != 2 {
		t.Errorf("%d are missing, want the one never delivered and the one never told", n)
	}
}

func TestATableOfNothingIsAProblem(t *testing.T) {
	t.Parallel()
	if p := new(Table).problems(); len(p) != 1 {
		t.Errorf("problems are %q", p)
	}
	if p := (&Table{Sent: 1, Received: 1, Faults: 1, FilesLost: 1, Panics: 2}).problems(); !slices.Equal(p, []string{"filesLost is 1, and has to be 0", "panics is 2, and has to be 0"}) {
		t.Errorf("problems are %q", p)
	}
}

func TestAReleaseLeavesTheHarnessOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "list", "-tags", "release", "-f", "{{.GoFiles}}", ".").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "[release.go]" {
		t.Errorf("go list: %v, %s", err, got)
	}
}
