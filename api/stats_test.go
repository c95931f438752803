package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// counted writes what dispatchers write of a minute.
func (f *fixture) counted(p db.StatsAddParams) {
	f.t.Helper()
	if p.Latency == nil {
		p.Latency = []int64{}
	}
	if err := db.New().StatsAdd(f.t.Context(), f.db, p); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) readStats(query string) (s Stats) {
	f.t.Helper()
	f.must(http.StatusOK, &s, "GET", "/v1/stats"+query, nil)
	return s
}

func TestStatsInSteps(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.linked("sales", "connected")
	f.session("shop")
	f.linked("shop", "connected")
	f.session("new")
	now := time.Now().UTC().Truncate(time.Minute)
	fast := make([]int64, len(events.LatencyBuckets)+1)
	fast[3], fast[7] = 18, 2 // 18 of at most 50 ms, 2 of at most 1 s
	for _, minutes := range []int{9, 9, 8, 2} {
		f.counted(db.StatsAddParams{Minute: now.Add(-time.Duration(minutes) * time.Minute), Received: 5, Sent: 3, Failed: 1, Delivered: 20, Undelivered: 2, Exhausted: 1, Latency: fast})
	}
	for _, lag := range []float64{3, 1} {
		if err := db.New().StatsSample(t.Context(), f.db, db.StatsSampleParams{Minute: now.Add(-8 * time.Minute), LagCommands: lag, LagEvents: 2, LagMedia: 4, LagDeliveries: 5, Sessions: json.RawMessage(`{"qr":7}`)}); err != nil {
			t.Fatal(err)
		}
	}

	s := f.readStats("?since=" + url.QueryEscape(now.Add(-10*time.Minute).Format(time.RFC3339)) + "&step=60")
	if len(s.Data) != 11 || s.Step != 60 || !s.Since.Equal(now.Add(-10*time.Minute)) || !s.Until.Equal(now.Add(time.Minute)) || !s.Data[3].At.Equal(now.Add(-7*time.Minute)) {
		if len(s.Data) != 12 { // a minute has begun meanwhile
			t.Fatalf("since %s until %s, %d steps of %d", s.Since, s.Until, len(s.Data), s.Step)
		}
	}
	if m := s.Data[1].Messages; m != (StatsMessages{Received: 10, Sent: 6, Failed: 2}) {
		t.Errorf("a minute that two dispatchers counted has %+v", m)
	}
	d := s.Data[1].Deliveries
	if d.Succeeded != 40 || d.Failed != 4 || d.Exhausted != 2 || d.Latency == nil || d.Latency.P50 < .025 || d.Latency.P50 > .05 || d.Latency.P95 < .5 || d.Latency.P95 > 1 {
		t.Errorf("deliveries: %+v, latency %+v", d, d.Latency)
	}
	if q := s.Data[2].QueueLag; q != (StatsQueueLag{3, 2, 4, 5}) || s.Data[2].Sessions["qr"] != 7 {
		t.Errorf("lag %+v, sessions %v", q, s.Data[2].Sessions)
	}
	if e := s.Data[4]; e.Messages != (StatsMessages{}) || e.Deliveries != (StatsDeliveries{}) || len(e.Sessions) > 0 {
		t.Errorf("a minute without anything: %+v", e)
	}
	if last := s.Data[len(s.Data)-1]; last.Sessions["connected"]+last.Sessions["reconnecting"] != 2 {
		t.Errorf("the sessions are now %v", last.Sessions)
	}

	whole := f.readStats("?step=3600")
	var sum StatsMessages
	for _, step := range whole.Data {
		sum.Received += step.Messages.Received
		if step.At.Unix()%3600 != 0 {
			t.Errorf("a step of an hour begins at %s", step.At)
		}
	}
	if sum.Received != 20 {
		t.Errorf("%d messages in hours", sum.Received)
	}
	for _, query := range []string{"?step=59", "?step=90", "?step=x", "?since=2020-01-01T00:00:00Z", "?since=2999-01-01T00:00:00Z", "?step=60&since=" + url.QueryEscape(now.Add(-10*time.Hour).Format(time.RFC3339))} {
		f.problem(f.do("GET", "/v1/stats"+query, nil), ValidationFailed)
	}
	if s := f.readStats("?since=" + url.QueryEscape(now.Add(-29*24*time.Hour).Format(time.RFC3339))); s.Step != 21600 || len(s.Data) > 200 {
		t.Errorf("a month comes in %d steps of %d s", len(s.Data), s.Step)
	}
}

func TestQueueLagIsOfWhatIsReady(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.must(http.StatusAccepted, nil, "POST", "/v1/sessions/sales/messages", map[string]any{"to": "5491123456789", "content": map[string]string{"type": "text", "text": "x"}})
	lag := func() float64 { s := f.readStats(""); return s.Data[len(s.Data)-1].QueueLag.Commands }
	f.exec(`UPDATE queue_messages SET created_at = created_at - interval '100 s'`)
	if l := lag(); l < 100 || l > 200 {
		t.Errorf("a command that nobody took for 100 s: %v", l)
	}
	for what, set := range map[string]string{
		"one that is in hand":                          `UPDATE queue_lanes SET ready_at = now() + interval '10 s'`,
		"one of a session that nobody is to run":       `UPDATE queue_lanes SET ready_at = now(); UPDATE sessions SET desired = 'stopped', state = 'stopped'`,
		"one that was tried and is due again just now": `UPDATE sessions SET desired = 'started'; UPDATE queue_lanes SET ready_at = now(); UPDATE queue_messages SET attempts = 1`,
	} {
		f.exec(`UPDATE queue_messages SET attempts = 0; UPDATE sessions SET desired = 'started'`)
		for statement := range strings.SplitSeq(set, ";") {
			f.exec(statement)
		}
		if l := lag(); l > 50 {
			t.Errorf("%s: %v", what, l)
		}
	}
}

// TestStreamTellsStats reads the stream as a dashboard does.
func TestStreamTellsStats(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.limits = defaultLimits; c.limits.stats = 50 * time.Millisecond })
	f.session("sales")
	f.linked("sales", "connected")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	read := func(query string) *bufio.Scanner {
		r, err := http.NewRequestWithContext(ctx, "GET", f.base+"/v1/events/stream"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-API-Key", testKey)
		res, err := http.DefaultClient.Do(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return bufio.NewScanner(res.Body)
	}
	with, without := read("?stats=true"), read("")
	ticks, id := 0, false
	for ticks < 3 && with.Scan() {
		line := with.Text()
		data, ok := strings.CutPrefix(line, "data: ")
		switch {
		case line == "event: stats", line == "", line == ":", strings.HasPrefix(line, "retry:"):
		case strings.HasPrefix(line, "id:"):
			id = ticks > 0
		case ok:
			var s Stats
			if err := json.Unmarshal([]byte(data), &s); err != nil || len(s.Data) != 2 || s.Step != 60 {
				t.Fatalf("%q: %v", line, err)
			}
			ticks++
			if ticks == 1 {
				f.counted(db.StatsAddParams{Minute: s.Data[1].At, Received: 4})
			} else if s.Data[1].Messages.Received+s.Data[0].Messages.Received == 0 {
				ticks-- // not yet
			}
		default:
			t.Fatalf("unexpected line %q", line)
		}
	}
	if ticks < 3 || id {
		t.Errorf("%d ticks, an id among them: %v; %v", ticks, id, with.Err())
	}
	_, _ = f.logged(1, events.MessageSent, "sales")
	for without.Scan() {
		if line := without.Text(); strings.Contains(line, "stats") {
			t.Errorf("a stream that did not ask for stats says %q", line)
		} else if line == "event: message.sent" {
			return
		}
	}
	t.Error("the event did not come")
}

// BenchmarkStats reads the longest time there is, in the most steps.
func BenchmarkStats(b *testing.B) {
	f := setup(b)
	f.exec(`INSERT INTO stats_minutes (minute, received, latency, sessions) SELECT date_trunc('minute', now()) - n * interval '1 minute', n, array_fill(n::bigint, ARRAY[16]), '{"connected":12}'
		FROM generate_series(0, 43200) AS g(n)`)
	now := time.Now()
	for b.Loop() {
		first, last, length, err := statsSpan(now, now.Add(-statsRange), 3*3600)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.stats(b.Context(), first, last, length); err != nil {
			b.Fatal(err)
		}
	}
}
