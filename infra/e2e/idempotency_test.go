package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/s3"
)

// TestTheSameKeyInParallelSendsOnce makes each of ten requests 50 times at once, half of them at either of two API processes, and kills one of
// these in the middle: every client repeats its request until it is answered, and hears of the same message; the phone shows it once; S3
// holds each file once.
func TestTheSameKeyInParallelSendsOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startAll(t)
	apis, startSecond := s.secondAPI(t)
	link(t, s.api, s.sandbox, "shop", business)
	for i := range customers {
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(i), "name": fmt.Sprintf("Customer %d", i)}, nil)
	}
	const perKey = 50
	want := make([][]string, customers) // what each phone is to show
	killAt := []int64{0, perKey / 2}    // after how many answers
	files := 0
	for round, at := range killAt {
		killAt := make(chan struct{})
		var answered atomic.Int64
		if at == 0 {
			close(killAt)
		}
		var clients sync.WaitGroup
		ids := make([][]message, customers)
		start := make(chan struct{})
		for i := range customers {
			content := map[string]any{"type": "text", "text": fmt.Sprintf("round %d", round)}
			if i >= 3 {
				files++
				content = map[string]any{"type": "document", "media": map[string]string{
					"base64": base64.StdEncoding.EncodeToString(noise(uint64(100*round+i), 100_000)), "fileName": "noise.bin",
				}}
			}
			ids[i] = make([]message, perKey)
			for n := range perKey {
				clients.Go(func() {
					<-start
					err := apis[n%2].persist("POST", "/v1/sessions/shop/messages", map[string]any{"to": customer(i), "content": content}, &ids[i][n],
						"Idempotency-Key", fmt.Sprintf("round-%d-%d", round, i))
					if err != nil {
						t.Errorf("send: %v", err)
					}
					if answered.Add(1) == at {
						close(killAt)
					}
				})
			}
		}
		close(start)
		<-killAt
		s.procs["api-2"].kill9(t)
		before := answered.Load()
		startSecond()
		clients.Wait()
		if t.Failed() {
			return
		}
		t.Logf("round %d: killed when %d of %d were answered", round, before, customers*perKey)
		for i, all := range ids {
			want[i] = append(want[i], all[0].WhatsAppID)
			for _, m := range all {
				if m.ID != all[0].ID || m.WhatsAppID != all[0].WhatsAppID {
					t.Errorf("round %d, key %d: one client heard of %s, another of %s", round, i, all[0].ID, m.ID)
				}
			}
		}
	}
	for i := range customers {
		s.awaitShown(t, customer(i), want[i])
	}
	if n := s.count(t, "SELECT count(*) FROM messages"); n != customers*len(killAt) {
		t.Errorf("%d messages were accepted, want %d", n, customers*len(killAt))
	}
	s.checkBucket(t, files)
}

// TestTheSameKeyForTwoBodiesTakesOne makes two requests under one key, 25 times each at once at two API processes: one is done, and whoever
// made the other hears that the key is taken.
func TestTheSameKeyForTwoBodiesTakesOne(t *testing.T) {
	s := newStack(t)
	s.startAll(t)
	apis, _ := s.secondAPI(t)
	link(t, s.api, s.sandbox, "shop", business)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Customer 0"}, nil)
	const each = 50
	for round := range 4 {
		var ids, refusals [2][]string
		var mu sync.Mutex
		var clients sync.WaitGroup
		start := make(chan struct{})
		for n := range each {
			clients.Go(func() {
				<-start
				var m message
				body := n / 2 % 2
				err := apis[n%2].persist("POST", "/v1/sessions/shop/messages", map[string]any{
					"to": customer(0), "content": map[string]string{"type": "text", "text": fmt.Sprintf("round %d, body %d", round, body)},
				}, &m, "Idempotency-Key", fmt.Sprintf("round-%d", round))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refusals[body] = append(refusals[body], err.Error())
					return
				}
				ids[body] = append(ids[body], m.ID)
			})
		}
		close(start)
		clients.Wait()
		won := 0
		if len(ids[1]) > 0 {
			won = 1
		}
		lost := 1 - won
		if len(slices.Compact(ids[won])) != 1 || len(refusals[won]) > 0 || len(ids[lost]) > 0 || len(ids[won])+len(refusals[lost]) != each {
			t.Errorf("round %d: accepted %v, refused %v", round, ids, refusals)
		}
		for _, r := range refusals[lost] {
			if !strings.Contains(r, fmt.Sprint(http.StatusUnprocessableEntity)) || !strings.Contains(r, "idempotency_key_reused") {
				t.Errorf("round %d: the other body is answered %s", round, r)
			}
		}
		if n := s.count(t, "SELECT count(*) FROM messages"); n != round+1 {
			t.Errorf("%d messages after round %d", n, round)
		}
	}
}

// awaitShown waits until a phone shows the messages of these ids, and fails unless it shows each once and nothing else.
func (s *stack) awaitShown(t *testing.T, phone string, want []string) {
	t.Helper()
	var came []string
	eventually(t, 3*time.Minute, "the messages at phone "+phone, func() error {
		all, err := shown(s.sandbox, phone)
		came = came[:0]
		for _, m := range all {
			if !m.FromMe {
				came = append(came, m.ID)
			}
		}
		if err == nil && len(came) < len(want) {
			err = fmt.Errorf("%d of %d", len(came), len(want))
		}
		return err
	})
	if !slices.Equal(came, want) {
		t.Errorf("phone %s shows %v, want each of %v once, in this order", phone, came, want)
	}
}

func (s *stack) count(t *testing.T, query string) (n int) {
	t.Helper()
	conn := s.connect(t, "test")
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// checkBucket lets the uploads that never committed expire, and waits until S3 holds this many objects, each of which has its row.
func (s *stack) checkBucket(t *testing.T, files int) {
	t.Helper()
	store, err := s3.Open(t.Context(), s.s3.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	conn := s.connect(t, "test")
	defer conn.Close(context.WithoutCancel(t.Context()))
	left, err := conn.Exec(t.Context(), "UPDATE uploads SET expires_at = now() - interval '1 second'")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d uploads were left to sweep", left.RowsAffected())
	s.procs["dispatcher"].stop(t)
	s.start("dispatcher", "dispatcher") // which sweeps when it starts
	eventually(t, time.Minute, "the sweep", func() error {
		var want []string
		err := conn.QueryRow(t.Context(), "SELECT array_agg(key ORDER BY key COLLATE \"C\") FROM objects").Scan(&want)
		if err != nil {
			return err
		}
		var got []string
		for object, err := range store.List(t.Context(), "") {
			if err != nil {
				return err
			}
			got = append(got, object.Key)
		}
		slices.Sort(got)
		if len(want) != files || !slices.Equal(got, want) {
			return fmt.Errorf("S3 has %v, the rows say %v, want %d", got, want, files)
		}
		return nil
	})
}
