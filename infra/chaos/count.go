//go:build linux && !release

package chaos

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// Table is what was counted, and is written as flat JSON.
type Table struct {
	Seed     int `json:"seed"`
	Seconds  int `json:"seconds"`
	Sessions int `json:"sessions"`

	// Sent are the messages that the API accepted, Shown those of them that phones show.
	Sent               int `json:"sent"`
	Shown              int `json:"shown"`
	OutgoingLost       int `json:"outgoingLost"`
	OutgoingShownTwice int `json:"outgoingShownTwice"`
	// OutgoingRepeated are stanzas with an id that WhatsApp had already: phones show them once. A send whose answer was lost makes one.
	OutgoingRepeated   int `json:"outgoingRepeated"`
	OutgoingOutOfOrder int `json:"outgoingOutOfOrder"`
	// OutgoingUntold have no message.sent at the receiver, OutgoingToldTwice two with different ids.
	OutgoingUntold    int `json:"outgoingUntold"`
	OutgoingToldTwice int `json:"outgoingToldTwice"`

	// Received are the messages that WhatsApp took from phones for sessions, Delivered those of them that the receiver has.
	Received           int `json:"received"`
	Delivered          int `json:"delivered"`
	IncomingLost       int `json:"incomingLost"`
	IncomingOtherID    int `json:"incomingOtherId"` // came under more than one webhook-id
	IncomingOutOfOrder int `json:"incomingOutOfOrder"`

	// Files are those that were sent, both ways; FilesLost are in no object of S3, or not whole at the phone.
	Files     int `json:"files"`
	FilesLost int `json:"filesLost"`

	Faults int `json:"faults"`
	// LongestGapSeconds is the longest that a session brought nothing through in one direction while there was a load.
	LongestGapSeconds float64 `json:"longestGapSeconds"`
	// SlowestSeconds is the longest that one message took, from being accepted to being shown or delivered.
	SlowestSeconds float64 `json:"slowestSeconds"`
	DrainSeconds   float64 `json:"drainSeconds"`
	// WebhooksRepeated are deliveries of an event that was there already, under the same id; WebhooksRefused had a wrong signature.
	WebhooksRepeated int `json:"webhooksRepeated"`
	WebhooksRefused  int `json:"webhooksRefused"`
	// Unsettled is what was left in the pipeline in the end: messages not finished, commands, dead letters, stanzas that WhatsApp still keeps.
	Unsettled      int   `json:"unsettled"`
	UnknownStanzas int64 `json:"unknownStanzas"`
	Panics         int   `json:"panics"`

	kinds map[string]int
}

// problems names the figures that have to be zero and are not.
func (t *Table) problems() (list []string) {
	for name, n := range map[string]int{
		"outgoingLost": t.OutgoingLost, "outgoingShownTwice": t.OutgoingShownTwice, "outgoingOutOfOrder": t.OutgoingOutOfOrder,
		"outgoingUntold": t.OutgoingUntold, "outgoingToldTwice": t.OutgoingToldTwice, "incomingLost": t.IncomingLost,
		"incomingOtherId": t.IncomingOtherID, "incomingOutOfOrder": t.IncomingOutOfOrder, "filesLost": t.FilesLost,
		"webhooksRefused": t.WebhooksRefused, "unsettled": t.Unsettled, "unknownStanzas": int(t.UnknownStanzas), "panics": t.Panics,
	} {
		if n != 0 {
			list = append(list, fmt.Sprintf("%s is %d, and has to be 0", name, n))
		}
	}
	if t.Sent == 0 || t.Received == 0 || t.Faults == 0 {
		list = append(list, "nothing was sent, received or broken: nothing was shown")
	}
	slices.Sort(list)
	return list
}

func (t *Table) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\nseed %d, %d s, %d sessions, %d faults\n\n", t.Seed, t.Seconds, t.Sessions, t.Faults)
	row("outgoing", "sent", "shown", "lost", "shown twice", "out of order", "untold", "told twice", "repeated")
	row("", t.Sent, t.Shown, t.OutgoingLost, t.OutgoingShownTwice, t.OutgoingOutOfOrder, t.OutgoingUntold, t.OutgoingToldTwice, t.OutgoingRepeated)
	row("incoming", "received", "delivered", "lost", "other id", "out of order", "files", "files lost", "webhooks repeated")
	row("", t.Received, t.Delivered, t.IncomingLost, t.IncomingOtherID, t.IncomingOutOfOrder, t.Files, t.FilesLost, t.WebhooksRepeated)
	row("seconds", "longest gap", "slowest", "drain", "unsettled", "unknown", "panics")
	row("", t.LongestGapSeconds, t.SlowestSeconds, t.DrainSeconds, t.Unsettled, t.UnknownStanzas, t.Panics)
	fmt.Fprintln(w)
	for _, k := range slices.Sorted(maps.Keys(t.kinds)) {
		row(k, t.kinds[k])
	}
	_ = w.Flush()
	fmt.Fprintln(out)
}

// settle waits until nothing is on its way any more, and returns how much still is when its patience ends. Only that question is put to the
// database; what is counted is not.
func (s *stack) settle(ctx context.Context, l *load) int {
	quiet, left, reported := 0, 0, time.Now()
	_ = poll(ctx, time.Second, func() (bool, error) {
		var err error
		if left, err = s.left(ctx); err != nil {
			left = -1
		}
		missing := s.receiver.missing(l.chats)
		if time.Since(reported) > 20*time.Second {
			reported = time.Now()
			slog.InfoContext(ctx, "settling", "webhooks missing", missing, "left in the pipeline", left)
		}
		if left != 0 || missing > 0 {
			quiet = 0
			return false, nil
		}
		quiet++
		return quiet > 5, nil // what came twice would have come by now
	})
	return left
}

// left counts what is in the pipeline.
func (s *stack) left(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.postgres.DSN())
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM queue_messages) + (SELECT count(*) FROM queue_dead)
		+ (SELECT count(*) FROM messages WHERE status IN ('scheduled', 'queued', 'sending', 'failed', 'expired') OR type = 'undecryptable')
		+ (SELECT count(*) FROM media WHERE status <> 'ready')
		+ (SELECT count(*) FROM deliveries WHERE state <> 'succeeded')`).Scan(&n)
	return n, err
}

// count looks at what the phones show, what the receiver has and what is in S3.
func (s *stack) count(ctx context.Context, l *load) (*Table, error) {
	t := &Table{}
	stored, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	gaps := make(map[string][]time.Time) // when something came through, by session and direction
	for i := range s.cfg.Sessions {
		shown, err := s.shown(ctx, customer(i))
		if err != nil {
			return nil, err
		}
		for _, c := range l.chats {
			if c.customer == i {
				countShown(t, c, shown, gaps)
			}
		}
	}
	s.receiver.count(t, l.chats, gaps)
	for _, c := range l.chats {
		for _, e := range slices.Concat(c.out, c.in) {
			if e.sha256 != "" {
				t.Files++
				if !stored[e.sha256] {
					t.FilesLost++
				}
			}
		}
	}
	var longest [2]time.Time
	whose := ""
	for key, times := range gaps {
		slices.SortFunc(times, time.Time.Compare)
		for i := 1; i < len(times); i++ {
			if times[i].Sub(times[i-1]) > longest[1].Sub(longest[0]) {
				longest, whose = [2]time.Time{times[i-1], times[i]}, key
			}
		}
	}
	t.LongestGapSeconds = round(longest[1].Sub(longest[0]))
	slog.InfoContext(ctx, "longest gap", "of", whose, "from", longest[0].UTC().Format(time.TimeOnly), "to", longest[1].UTC().Format(time.TimeOnly))
	stats := s.sandbox.Stats()
	t.OutgoingRepeated, t.UnknownStanzas = int(stats.RepeatedIDs), stats.UnknownStanzas
	return t, nil
}

// shown reads everything that a phone shows.
func (s *stack) shown(ctx context.Context, number string) (all []sandbox.Message, err error) {
	for after := int64(0); ; after = all[len(all)-1].Seq {
		page, err := s.sandbox.Messages(ctx, number, after, 0)
		if err != nil {
			return nil, fmt.Errorf("read phone %s: %w", number, err)
		}
		if len(page) == 0 {
			return all, nil
		}
		all = append(all, page...)
	}
}

// countShown compares what a session sent into a chat with what the phone shows there.
func countShown(t *Table, c *chat, shown []sandbox.Message, gaps map[string][]time.Time) {
	place := make(map[string]int, len(c.out))
	for i, e := range c.out {
		place[e.text] = i
	}
	times := make([]int, len(c.out))
	last := -1
	key := "out " + session(c.session)
	for _, m := range shown {
		text := m.Text
		if m.Media != nil {
			text = cmp.Or(m.Caption, text)
		}
		i, mine := place[text]
		if !mine || m.FromMe {
			continue
		}
		times[i]++
		if times[i] > 1 {
			continue
		}
		if i < last {
			t.OutgoingOutOfOrder++
		}
		last = max(last, i)
		e := c.out[i]
		if m.ID != e.id {
			t.OutgoingLost++ // something else is shown in its place
			slog.Error("shown under another id", "text", e.text, "id", m.ID, "want", e.id)
		}
		if e.sha256 != "" && (m.Media == nil || m.SHA256 != e.sha256) {
			t.FilesLost++
			slog.Error("the phone does not have the file", "text", e.text)
		}
		gaps[key] = append(gaps[key], m.Timestamp)
		t.SlowestSeconds = max(t.SlowestSeconds, round(m.Timestamp.Sub(e.at)))
	}
	for i, n := range times {
		t.Sent++
		switch {
		case n == 0:
			t.OutgoingLost++
			slog.Error("not shown", "session", session(c.session), "text", c.out[i].text, "id", c.out[i].id)
		case n > 1:
			t.OutgoingShownTwice++
			slog.Error("shown twice", "session", session(c.session), "text", c.out[i].text, "id", c.out[i].id)
		}
		if n > 0 {
			t.Shown++
		}
	}
}

// count compares what came with what was sent.
func (r *receiver) count(t *Table, chats []*chat, gaps map[string][]time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	place := make(map[string]int, len(r.order))
	for i, id := range r.order {
		place[id] = i
	}
	for _, c := range chats {
		last := -1
		key := "in " + session(c.session)
		for _, e := range c.in {
			t.Received++
			events := r.received[e.id]
			if len(events) == 0 {
				t.IncomingLost++
				slog.Error("not delivered", "session", session(c.session), "text", e.text, "id", e.id)
				continue
			}
			t.Delivered++
			if len(events) > 1 {
				t.IncomingOtherID++
				slog.Error("delivered under two ids", "session", session(c.session), "text", e.text, "id", e.id)
			}
			if place[e.id] < last {
				t.IncomingOutOfOrder++
				slog.Error("delivered out of order", "session", session(c.session), "text", e.text, "id", e.id)
			}
			last = max(last, place[e.id])
			for _, at := range events {
				gaps[key] = append(gaps[key], at)
				t.SlowestSeconds = max(t.SlowestSeconds, round(at.Sub(e.at)))
			}
		}
		for _, e := range c.out {
			switch len(r.sent[e.id]) {
			case 0:
				t.OutgoingUntold++
				slog.Error("message.sent not delivered", "session", session(c.session), "text", e.text, "id", e.id)
			case 1:
			default:
				t.OutgoingToldTwice++
				slog.Error("message.sent delivered under two ids", "session", session(c.session), "text", e.text, "id", e.id)
			}
		}
	}
	t.WebhooksRefused, t.WebhooksRepeated = r.refused, r.repeated
}

// stored returns the hashes of everything in the bucket.
func (s *stack) stored(ctx context.Context) (hashes map[string]bool, err error) {
	store, err := s3.Open(ctx, s3.Config{
		Endpoint: s.s3.Endpoint(), Bucket: "chasqui", AccessKey: s.s3.AccessKey(), SecretKey: s.s3.SecretKey(), Region: "us-east-1",
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, fmt.Errorf("open S3: %w", err)
	}
	defer store.Close()
	hashes = make(map[string]bool)
	for object, err := range store.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list objects: %w", err)
		}
		body, err := store.Get(ctx, object.Key, 0, -1)
		if err != nil {
			return nil, fmt.Errorf("read object: %w", err)
		}
		sum := sha256.New()
		_, err = io.Copy(sum, body)
		if err = errors.Join(err, body.Close()); err != nil {
			return nil, fmt.Errorf("read object: %w", err)
		}
		hashes[hex.EncodeToString(sum.Sum(nil))] = true
	}
	return hashes, nil
}
