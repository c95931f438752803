package signalstore

import (
	"bytes"
	"testing"

	"go.mau.fi/whatsmeow/store"
)

// Whoever writes the account's state takes a version with its entries: it must never see the one of a version and the other of another, nor may a crash
// leave them so.
func TestAVersionOfTheAccountsStateAppearsWithItsEntries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.adopt(t, "111", Options{})
	d := b.load(t, "111", Options{})
	index, old, fresh := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	seen := func(d *store.Device, version uint64, value []byte) {
		t.Helper()
		v, _, err := d.AppState.GetAppStateVersion(b.ctx, "regular")
		mac, macErr := d.AppState.GetAppStateMutationMAC(b.ctx, "regular", index)
		if err != nil || macErr != nil || v != version || !bytes.Equal(mac, value) {
			t.Errorf("version %d has %x, want %d and %x; %v %v", v, mac, version, value, err, macErr)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.AppState.PutAppStateVersion(b.ctx, "regular", 1, [128]byte{}))
	must(d.AppState.PutAppStateMutationMACs(b.ctx, "regular", 1, []store.AppStateMutationMAC{{IndexMAC: index, ValueMAC: old}}))
	seen(d, 1, old)
	must(d.AppState.PutAppStateVersion(b.ctx, "regular", 2, [128]byte{}))
	seen(d, 1, old)
	must(d.AppState.DeleteAppStateMutationMACs(b.ctx, "regular", [][]byte{index}))
	seen(d, 1, old)
	seen(b.load(t, "111", Options{}), 1, old) // what a crash leaves
	d = b.load(t, "111", Options{})
	must(d.AppState.PutAppStateVersion(b.ctx, "regular", 2, [128]byte{}))
	must(d.AppState.DeleteAppStateMutationMACs(b.ctx, "regular", [][]byte{index}))
	must(d.AppState.PutAppStateMutationMACs(b.ctx, "regular", 2, nil))
	seen(d, 2, nil)
	must(d.AppState.PutAppStateMutationMACs(b.ctx, "regular", 2, []store.AppStateMutationMAC{{IndexMAC: index, ValueMAC: fresh}}))
	seen(d, 2, fresh)
}
