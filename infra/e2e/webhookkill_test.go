package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/dispatcher/receivertest"
)

// killPlan is how much a run of TestNoWebhookIsLostToKilledDispatchers bears. A killed dispatcher's deliveries go again when their leases have
// run out, after 35 s, so that each run has that at its end.
type killPlan struct {
	events   int
	during   time.Duration // of publishing, at a steady rate, and of killing
	kill     time.Duration // between two kills, of one and the other in turn
	patience time.Duration // how long it may take after that until all is delivered
}

var (
	shortKills = killPlan{events: 3000, during: 12 * time.Second, kill: 2 * time.Second, patience: 4 * time.Minute}
	longKills  = killPlan{events: 20000, during: 3 * time.Minute, kill: 5 * time.Second, patience: 15 * time.Minute}
)

// kept is what the test's events are made of.
type kept struct {
	Chat string `json:"chat"`
	N    int    `json:"n"` // in its chat
}

const (
	killSessions = 5  // with an endpoint of each order mode, so 15 endpoints; an event goes to three of them
	killChats    = 10 // in each session
)

// TestNoWebhookIsLostToKilledDispatchers publishes at a steady rate and kills two dispatchers in turn with SIGKILL; each is started again at
// once. Everything is counted at the receiver.
//
// Feature: Nothing lost when any part is killed
func TestNoWebhookIsLostToKilledDispatchers(t *testing.T) {
	t.Parallel()
	plan := shortKills
	if os.Getenv("CHASQUI_LONG") != "" {
		plan = longKills
	}
	d := newDispatchers(t)
	r := receivertest.New(t, hookSecret)
	r.Answer(func(receivertest.Hook) receivertest.Fault {
		<-time.After(rand.N(10 * time.Millisecond)) // a receiver has something to do
		return receivertest.OK
	})
	var paths []string
	for s := range killSessions {
		for _, mode := range []string{"none", "chat", "session"} {
			path := fmt.Sprintf("/%d/%s", s, mode)
			paths = append(paths, path)
			d.endpoint(r.URL+path, fmt.Sprintf("timeout_seconds = 5, order_mode = '%s', sessions = '{s%d}'", mode, s))
		}
	}
	names := []string{"one", "two"}
	running := []*process{d.start(names[0]), d.start(names[1])}
	began := time.Now()
	published := make(chan error, 1)
	sent := make([][]string, killSessions)
	go func() { published <- d.publishSteadily(t.Context(), plan, sent) }()
	kills := 0
	tick := time.NewTicker(plan.kill)
	defer tick.Stop()
	for ; time.Since(began) < plan.during; kills++ {
		<-tick.C
		i := kills % len(running)
		running[i].kill9(t)
		running[i] = d.start(names[i])
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	d.awaitText(plan.patience, "everything to be delivered", fmt.Sprint(3*plan.events), `SELECT count(*) FROM deliveries WHERE state = 'succeeded'`)
	drained := time.Since(stopped)
	if n := d.text(`SELECT count(*) FROM deliveries`); n != fmt.Sprint(3*plan.events) {
		t.Errorf("there are %s deliveries, want three for each event", n)
	}

	log := d.log()
	lost, foreign, repeated, disorder := 0, 0, 0, 0
	for i, path := range paths {
		hooks := r.Hooks().To(path)
		times := hooks.Accepted()
		ids := sent[i/3]
		for _, id := range ids {
			if times[id] == 0 {
				lost++
			}
		}
		foreign += len(times) - len(ids)
		repeated += len(hooks) - len(times)
		_, mode, _ := strings.Cut(path[1:], "/")
		wrong := hooks.Disorder(func(h receivertest.Hook) (string, int) {
			var e struct{ Data kept }
			if err := json.Unmarshal(h.Body, &e); err != nil {
				t.Errorf("body of %s: %v", h.ID, err)
			}
			switch mode {
			case "chat":
				return e.Data.Chat, e.Data.N
			case "session": // the order of the log
				return "session", log[h.ID].seq
			}
			return h.ID, 0
		})
		disorder += len(wrong)
		if len(wrong) > 0 {
			t.Errorf("%s: out of order: %q", path, wrong[:min(3, len(wrong))])
		}
	}
	if lost > 0 || foreign != 0 {
		t.Errorf("%d deliveries were lost, %d more webhook-ids than events came", lost, foreign)
	}
	gap, waits := silence(r.Hooks(), log)
	t.Logf("%d events in %s, %d deliveries, %d kills: %d lost, %d repeated, %d out of order; all delivered %s after the last kill; "+
		"longest time without an acceptance %s; from publishing to the first acceptance p50 %s, p99 %s, longest %s",
		plan.events, plan.during, 3*plan.events, kills, lost, repeated, disorder, drained.Round(time.Second), gap.Round(time.Millisecond),
		waits[len(waits)/2].Round(time.Millisecond), waits[len(waits)*99/100].Round(time.Millisecond), waits[len(waits)-1].Round(time.Millisecond))
}

// publishSteadily publishes the plan's events, one a transaction, in turn over sessions and chats, and keeps their ids by session.
func (d *dispatchers) publishSteadily(ctx context.Context, plan killPlan, sent [][]string) error {
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < plan.events; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for due := min(plan.events, int(float64(plan.events)*time.Since(began).Seconds()/plan.during.Seconds())); n < due; n++ {
			session, chat := n%killSessions, n/killSessions%killChats
			data := kept{Chat: fmt.Sprintf("%d@s.whatsapp.net", chat), N: n / killSessions / killChats}
			id, err := d.publish(fmt.Sprintf("s%d", session), data.Chat, data)
			if err != nil {
				return fmt.Errorf("publish event %d: %w", n, err)
			}
			sent[session] = append(sent[session], id)
		}
	}
	return nil
}

// A logged event has a place in the log.
type logged struct {
	seq int
	at  time.Time // when it was published
}

// log returns the events by webhook-id.
func (d *dispatchers) log() map[string]logged {
	d.t.Helper()
	rows, _ := d.pool.Query(d.t.Context(), `SELECT 'evt_' || replace(id::text, '-', ''), seq, occurred_at FROM events`) // ForEachRow tells of an error
	list := map[string]logged{}
	var id string
	var l logged
	if _, err := pgx.ForEachRow(rows, []any{&id, &l.seq, &l.at}, func() error { list[id] = l; return nil }); err != nil {
		d.t.Fatal(err)
	}
	return list
}

// silence is the longest time without an acceptance, and how long each delivery took, shortest first.
func silence(hooks receivertest.Hooks, log map[string]logged) (longest time.Duration, waits []time.Duration) {
	at := make([]time.Time, 0, len(hooks))
	seen := map[string]bool{}
	for _, h := range hooks {
		at = append(at, h.At)
		if key := h.Path + " " + h.ID; !seen[key] {
			seen[key] = true
			waits = append(waits, h.At.Sub(log[h.ID].at))
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	slices.Sort(waits)
	for i := 1; i < len(at); i++ {
		longest = max(longest, at[i].Sub(at[i-1]))
	}
	return longest, waits
}
