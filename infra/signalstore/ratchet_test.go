package signalstore

import (
	"testing"

	"go.mau.fi/whatsmeow/store"

	"github.com/chasqui/chasqui/infra/ratchet/ratchettest"
)

// Without the lock some of these are refused as "received message with old counter".
func TestNothingIsLostWhenBothSidesSendAtFullSpeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fence := b.fence(t, "s")
	ana, bob := b.adopt(t, "111", Options{Fence: fence}), b.adopt(t, "222", Options{Fence: fence})
	count := 300
	if testing.Short() {
		count = 50
	}
	if arrived, want := ratchettest.Talk(b.ctx, t, ana, bob, count), int64(2*(count+count/4)); arrived != want {
		t.Errorf("%d of %d messages arrived", arrived, want)
	}
}

func TestTwoSessionsBegunAtOnceDoNotSpoilEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ratchettest.BothBegin(b.ctx, t, b.adopt(t, "111", Options{}), b.adopt(t, "222", Options{}), func(d *store.Device, address string) []byte {
		session, err := storeOf(d).inner.GetSession(b.ctx, address)
		if err != nil {
			t.Fatal(err)
		}
		return session
	})
}
