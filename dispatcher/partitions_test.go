package dispatcher

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
)

// partitions lists a table's partitions by name.
func (b *bench) partitions(table string) []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::text::regclass ORDER BY 1`, table)
	if err != nil {
		b.t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	return names
}

// idOf is a UUIDv7 of a moment.
func idOf(at time.Time) uuid.UUID {
	id, made := events.NewID(), events.FirstID(at)
	copy(id[:6], made[:6])
	return id
}

func (b *bench) addEvent(at time.Time) uuid.UUID {
	id := idOf(at)
	b.exec(`INSERT INTO events (seq, id, type, occurred_at, body) VALUES (nextval('events_seq'), $1, 't', $2, '')`, id, at)
	b.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id) VALUES ($1, $2, 1, $3)`, events.NewID(), id, events.NewID())
	b.exec(`INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, class) VALUES ($1, 1, $2, 1, 'ok')`, events.NewID(), at)
	return id
}

func TestPartitionsAreMadeAheadAndDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	maintain := func(now time.Time) {
		t.Helper()
		if err := MaintainPartitions(t.Context(), b.pool, now, 30*day); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2030, 1, 16, 12, 0, 0, 0, time.UTC) // a Wednesday
	maintain(now)
	maintain(now)
	want := []string{"events_default", "events_p20300114", "events_p20300121", "events_p20300128"}
	if got := b.partitions("events"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := b.partitions("attempts"); len(got) != 9 {
		t.Errorf("attempts: got %v, want the default, the day and a week", got)
	}
	for _, at := range []time.Time{now, now.Add(7 * day), time.Date(2030, 1, 21, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 20, 23, 59, 59, 999e6, time.UTC)} {
		b.addEvent(at)
	}
	if n := b.count(`SELECT count(*) FROM events_default`) + b.count(`SELECT count(*) FROM deliveries_default`); n != 0 {
		t.Errorf("%d rows in default partitions", n)
	}
	if n := b.count(`SELECT count(*) FROM events_p20300121`); n != 2 {
		t.Errorf("%d events in the week of the 21st, want 2", n)
	}

	maintain(now.Add(30 * day)) // the week of the 14th has ended 26 days before
	if n := b.count(`SELECT count(*) FROM events`); n != 4 {
		t.Errorf("%d events, want all 4", n)
	}
	maintain(time.Date(2030, 2, 20, 0, 0, 0, 0, time.UTC)) // 30 days after the 21st
	for _, table := range []string{"events", "deliveries"} {
		if n := b.count(`SELECT count(*) FROM ` + table); n != 2 {
			t.Errorf("%d %s, want the 2 of the week of the 21st", n, table)
		}
	}
}

func TestRowsInADefaultPartitionBlockNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Date(2030, 1, 16, 12, 0, 0, 0, time.UTC)
	b.addEvent(now) // before there is a partition
	if err := MaintainPartitions(t.Context(), b.pool, now, 30*day); err != nil {
		t.Fatal(err)
	}
	if got, want := b.partitions("deliveries"), []string{"deliveries_default", "deliveries_p20300121", "deliveries_p20300128"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	b.addEvent(now)
	if n := b.count(`SELECT count(*) FROM events_default`); n != 2 {
		t.Errorf("%d events in the default partition, want 2", n)
	}
	if err := MaintainPartitions(t.Context(), b.pool, now.Add(31*day), 30*day); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "deliveries", "attempts"} {
		if n := b.count(`SELECT count(*) FROM ` + table); n != 0 {
			t.Errorf("%d %s are older than the retention", n, table)
		}
	}
}

func TestIDsKeepTheirTime(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Millisecond)
	if got := events.MadeAt(idOf(now)); !got.Equal(now) {
		t.Errorf("got %s, want %s", got, now)
	}
	if d := time.Since(events.MadeAt(events.NewID())); d < 0 || d > time.Minute {
		t.Errorf("a new id is %s old", d)
	}
	for _, at := range []time.Time{now, time.Unix(0, 0), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
		least := events.FirstID(at)
		if id := idOf(at); bytes.Compare(least[:], id[:]) > 0 {
			t.Errorf("%s is not the least id of its moment: %s", least, id)
		}
		if id := idOf(at.Add(-time.Millisecond)); at.Unix() > 0 && bytes.Compare(least[:], id[:]) < 0 {
			t.Errorf("%s is less than %s, of the moment before", least, id)
		}
	}
}
