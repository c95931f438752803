package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	. "github.com/chasqui/chasqui/events/queue"
)

func TestOnlyTheClaimsOwnerGetsASessionsLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim("s1", "one", time.Minute)
	b.claim("s2", "two", time.Minute)
	b.claim("s3", "one", -time.Second) // ran out
	one, two := make(chan string, 10), make(chan string, 10)
	for owner, got := range map[string]chan string{"one": one, "two": two} {
		b.subscriber(SubscriberConfig{Owner: owner, Claims: true}, func(m *message.Message) error { got <- string(m.Payload); return nil })
	}
	for _, s := range []string{"s1", "s2", "s3"} {
		b.publishFor(s, s+"/send", s+"a", s+"b")
	}
	b.publish("unclaimed", "x")
	wants(t, one, "s1a", "s1b")
	wants(t, two, "s2a", "s2b")
	eventually(t, "the rest is left alone", func() bool { return b.count(`SELECT count(*) FROM queue_messages`) == 3 })
	b.claim("s3", "two", time.Minute)
	b.db.Notifier.Notify(topic)
	wants(t, two, "s3a", "s3b")
	if len(one) != 0 {
		t.Errorf("one also got %q", <-one)
	}
}

func TestFetchOfATopicLeavesOtherTopicsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim("s", "one", time.Minute)
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		tx.Publish("other", Message{Lane: "s/send", Session: "s"})
		tx.Publish(topic, Message{Lane: "s/send", Session: "s"})
		return nil
	}))
	rows, err := Lease(t.Context(), b.pool, topic, "one", true)
	b.must(err)
	if len(rows) != 1 || rows[0].FullLane != topic+"/s/send" {
		t.Errorf("leased %+v", rows)
	}
}

func TestALeaseNeverOutlivesItsClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim("s", "one", 10*time.Second)
	b.publishFor("s", "s/send", "a")
	rows, err := Lease(t.Context(), b.pool, topic, "one", true) // asks for a minute
	b.must(err)
	if len(rows) != 1 {
		t.Fatalf("leased %+v", rows)
	}
	const within = `SELECT count(*) FROM queue_lanes l JOIN claims c USING (session) WHERE l.ready_at <= c.expires_at`
	if b.count(within) != 1 {
		t.Error("the lease is longer than the claim")
	}
	const renew = `SELECT count(*) FROM queue_heartbeat('one', $1, $2, '1 minute', true)`
	lanes, epochs := []string{rows[0].FullLane}, []int64{rows[0].Epoch}
	if b.count(renew, lanes, epochs) != 1 || b.count(within) != 1 {
		t.Error("the heartbeat lost the lane, or made its lease longer than the claim")
	}
	b.claim("s", "two", time.Minute) // a takeover that has not freed the lanes
	if b.count(renew, lanes, epochs) != 0 {
		t.Error("the heartbeat kept a lane without its claim")
	}
	if rows, err := Lease(t.Context(), b.pool, topic, "one", true); err != nil || len(rows) != 0 {
		t.Errorf("leased without a claim: %+v %v", rows, err)
	}
}

func TestTakeoverFreesTheLanesInHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim("s", "one", time.Minute)
	in := make(chan *message.Message, 1)
	b.subscriber(SubscriberConfig{Owner: "one", Claims: true, Lease: time.Second}, func(m *message.Message) error {
		in <- m
		<-m.Context().Done()
		return m.Context().Err()
	})
	b.publishFor("s", "s/send", "a", "b")
	held := receive(t, in)
	got := make(chan string, 10)
	b.subscriber(SubscriberConfig{Owner: "two", Claims: true}, func(m *message.Message) error { got <- string(m.Payload); return nil })
	b.must(b.db.InTx(t.Context(), func(tx *Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT 1 FROM claims WHERE session = 's' FOR UPDATE`); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), `UPDATE claims SET owner = 'two', epoch = epoch + 1 WHERE session = 's'`); err != nil {
			return err
		}
		tx.Notify(topic)
		return Free(t.Context(), tx, "s")
	}))
	wants(t, got, "a", "b")
	receive(t, held.Context().Done()) // the heartbeat tells the old owner
	b.empty()
}

// While one transaction takes a claim over, the old owner's fetch leaves its lanes alone instead of leasing them behind its back.
func TestFetchSkipsAClaimThatIsBeingTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim("s", "one", time.Minute)
	b.claim("calm", "one", time.Minute)
	b.publishFor("s", "s/send", "a")
	b.publishFor("calm", "calm/send", "b")
	tx, err := b.pool.Begin(t.Context())
	b.must(err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM claims WHERE session = 's' FOR UPDATE`)
	b.must(err)
	rows, err := Lease(t.Context(), b.pool, topic, "one", true)
	b.must(err)
	if len(rows) != 1 || rows[0].Session != "calm" {
		t.Errorf("leased %+v", rows)
	}
}

// A session with many ready lanes must not keep the others waiting: the oldest come first, whoever's they are.
func TestClaimedLanesAreTakenByAge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.claim("busy", "one", time.Minute)
	b.claim("calm", "one", time.Minute)
	b.publishFor("calm", "calm/send", "first")
	for i := range 30 {
		b.publishFor("busy", fmt.Sprint("busy/", i), "x")
	}
	rows, err := Lease(t.Context(), b.pool, topic, "one", true) // ten lanes
	b.must(err)
	for _, r := range rows {
		if r.Session == "calm" {
			return
		}
	}
	t.Errorf("the oldest lane is not among %d leased ones", len(rows))
}
