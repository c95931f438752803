package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
)

// TestADispatcherThatStoodStillPastItsLeaseOverwritesNothing stops one of two dispatchers with all that it sends under way, until its leases
// have run out (5 s for the request and 30 s more) and the other one has delivered them. Then it goes on, with failures in its hands.
func TestADispatcherThatStoodStillPastItsLeaseOverwritesNothing(t *testing.T) {
	t.Parallel()
	d := newDispatchers(t)
	r := receivertest.New(t, hookSecret)
	const inHand = 8 + 1 // the plain endpoint's, and the first of the chat
	stopped := make(chan struct{})
	r.Answer(func(h receivertest.Hook) receivertest.Fault {
		if h.N <= inHand {
			<-stopped
			return receivertest.Status(500)
		}
		return receivertest.OK
	})
	d.endpoint(r.URL+"/plain", "timeout_seconds = 5")
	d.endpoint(r.URL+"/chat", "timeout_seconds = 5, order_mode = 'chat'")
	stale := d.start("stale")
	var ids []string
	publish := func(n int) {
		for range n {
			id, err := d.publish("s", "1@s.whatsapp.net", map[string]int{"n": len(ids)})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	begun := func(n int) {
		t.Helper()
		eventually(t, 30*time.Second, "requests", func() error {
			if got := r.Begun(); got < n {
				return fmt.Errorf("%d of %d", got, n)
			}
			return nil
		})
	}
	publish(8)
	begun(inHand)
	if err := syscall.Kill(stale.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := func() { _ = syscall.Kill(stale.cmd.Process.Pid, syscall.SIGCONT) }
	t.Cleanup(resume) // it could not end otherwise
	close(stopped)
	d.start("other")
	publish(4) // those of the plain endpoint go out at once
	began := time.Now()
	begun(inHand + 4)
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("the other one's own took %s", took)
	}
	const succeeded = `SELECT count(*) FROM deliveries WHERE state = 'succeeded'`
	d.awaitText(90*time.Second, "the other one to deliver all", "24", succeeded)
	const rows = `SELECT string_agg(concat_ws(' ', id, state, attempt, last_status, last_class, run_at, finished_at), ',' ORDER BY id) FROM deliveries`
	before, requests := d.text(rows), r.Begun()
	if requests != 2*len(ids)+inHand {
		t.Errorf("%d requests for %d deliveries, of which %d were in the hands of the stale one", requests, 2*len(ids), inHand)
	}
	t.Logf("the other one had delivered all after %s", time.Since(began).Round(time.Second))
	resume()
	d.awaitText(30*time.Second, "the stale one's attempts to be recorded", "9", `SELECT count(*) FROM attempts WHERE class <> 'ok'`)
	if after := d.text(rows); after != before {
		t.Errorf("the stale one changed deliveries\nfrom %s\nto   %s", before, after)
	}
	publish(4) // both are well
	d.awaitText(30*time.Second, "all to be delivered", "32", succeeded)
	for _, path := range []string{"/plain", "/chat"} {
		hooks := r.Hooks().To(path)
		copies := map[string]int{}
		for _, h := range hooks {
			copies[h.ID]++
		}
		for _, id := range ids {
			if hooks.Accepted()[id] != 1 || copies[id] > 2 {
				t.Errorf("%s: %s came %d times and was accepted %d times", path, id, copies[id], hooks.Accepted()[id])
			}
		}
		if len(copies) != len(ids) {
			t.Errorf("%s: %d webhook-ids for %d events", path, len(copies), len(ids))
		}
	}
	for _, wrong := range r.Hooks().To("/chat").Disorder(numberOf) {
		t.Errorf("out of order: %s", wrong)
	}
}

func numberOf(h receivertest.Hook) (string, int) {
	var e struct{ Data struct{ N int } }
	_ = h.Decode(&e) // what has no number is not the first
	return h.Path, e.Data.N
}
