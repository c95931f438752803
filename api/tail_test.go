package api

import (
	"testing"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// TestTail: what it keeps is bounded, in number and in bytes, and it never answers for what it does not reach back to.
func TestTail(t *testing.T) {
	t.Parallel()
	tl := newTail(10)
	row := func(seq int, size int) db.EventPageRow {
		return db.EventPageRow{Seq: int64(seq), ID: events.NewID(), Type: "session.status", Body: make([]byte, size)}
	}
	tl.begin(place{seq: 100})
	if _, known, _ := tl.end(); known {
		t.Error("it begins without a stream")
	}
	tl.enter(1)
	tl.begin(place{seq: 100})
	if tl.enter(1) {
		t.Error("more streams than the limit")
	}
	_, _, _, news := tl.after(place{seq: 100}, events.Filter{}, 5)
	at := place{seq: 100}
	for i := range 30 {
		next := place{seq: int64(102 + 2*i)}
		tl.add(at, []db.EventPageRow{row(102+2*i, 100)}, next)
		tl.add(at, []db.EventPageRow{row(102+2*i, 100)}, next) // the same once more is not
		at = next
	}
	select {
	case <-news:
	default:
		t.Error("nobody was told")
	}
	if len(tl.recent) != 10 || tl.bytes != 1000 || tl.low.seq != 140 {
		t.Errorf("kept %d events of %d bytes after %d", len(tl.recent), tl.bytes, tl.low.seq)
	}
	if _, _, ok, _ := tl.after(place{seq: 138}, events.Filter{}, 5); ok {
		t.Error("it answers for what it has dropped")
	}
	rows, to, ok, _ := tl.after(place{seq: 141}, events.Filter{}, 5)
	if !ok || len(rows) != 5 || rows[0].Seq != 142 || to.seq != 150 {
		t.Errorf("%d events up to %d", len(rows), to.seq)
	}
	if rows, to, ok, _ := tl.after(place{seq: 150}, events.Filter{Sessions: []string{"other"}}, 5); !ok || len(rows) != 0 || to.seq != 160 {
		t.Errorf("of another session %d events up to %d", len(rows), to.seq)
	}
	if rows, to, ok, _ := tl.after(place{seq: 170}, events.Filter{}, 5); !ok || len(rows) != 0 || to.seq != 170 {
		t.Errorf("ahead of it %d events up to %d", len(rows), to.seq)
	}
	tl.add(at, []db.EventPageRow{row(162, tailBytes), row(164, 1)}, place{seq: 164})
	if len(tl.recent) != 1 || tl.bytes != 1 || tl.low.seq != 162 {
		t.Errorf("kept %d events of %d bytes after %d", len(tl.recent), tl.bytes, tl.low.seq)
	}
	tl.leave()
	if tl.add(place{seq: 164}, []db.EventPageRow{row(166, 1)}, place{seq: 166}); tl.known || len(tl.recent) > 0 {
		t.Error("it is kept without streams")
	}
}
