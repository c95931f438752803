package keystore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/store"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// record3KB is what a session takes after some messages.
var record3KB = make([]byte, 3000)

// fill gives a device what it has after its first login and two chats.
func fill(t testing.TB, d *store.Device) {
	ctx := t.Context()
	made, err := d.PreKeys.GetOrGenPreKeys(ctx, MostPreKeys)
	must(t, err)
	must(t, d.PreKeys.MarkPreKeysAsUploaded(ctx, made[len(made)-1].KeyID))
	for _, address := range []string{"5550:0", "5551:0"} {
		must(t, d.Identities.PutIdentity(ctx, address, key))
		must(t, put(ctx, d, address, string(record3KB)))
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkDevice reports the memory of a device with 200 prekeys and two sessions of 3 KB.
func BenchmarkDevice(b *testing.B) {
	c := New(journal.NewMemory())
	before := heap()
	var devices []*store.Device
	for b.Loop() {
		d := adopt(b, c, fmt.Sprint(len(devices)), Options{})
		fill(b, d)
		devices = append(devices, d)
	}
	b.ReportMetric(float64(heap()-before)/float64(len(devices)), "B/device")
	runtime.KeepAlive(devices)
}

// BenchmarkUses compares one device's uses here, in memory and on PostgreSQL, with signalstore's, which is sqlstore with the same guard.
func BenchmarkUses(b *testing.B) {
	signals, err := signalstore.Open(b.Context(), signalstore.Config{DSN: testdb.DSN(b), Schema: "whatsmeow"})
	must(b, err)
	defer signals.Close()
	must(b, signals.Upgrade(b.Context()))
	other, err := signals.Adopt(b.Context(), keyed("111"), signalstore.Options{})
	must(b, err)
	for _, v := range []struct {
		name   string
		device *store.Device
	}{
		{"memory", adopt(b, New(journal.NewMemory()), "111", Options{})}, {"journal", adopt(b, openDurable(b).Container, "111", Options{})}, {"sqlstore", other},
	} {
		for name, use := range map[string]func(context.Context, testing.TB, *store.Device){"GetPutSession": answerOnce, "DecryptionTxn": decryptOnce} {
			b.Run(name+"/"+v.name, func(b *testing.B) {
				for b.Loop() {
					use(b.Context(), b, v.device)
				}
			})
		}
	}
}

var uses uint64

func changed() []byte {
	uses++
	session := make([]byte, len(record3KB))
	binary.BigEndian.PutUint64(session, uses)
	return session
}

// answerOnce is a retry receipt's answer.
func answerOnce(ctx context.Context, t testing.TB, d *store.Device) {
	_, err := d.Sessions.GetSession(ctx, "a:0")
	must(t, err)
	must(t, d.Identities.PutIdentity(ctx, "a:0", key))
	must(t, d.Sessions.PutSession(ctx, "a:0", changed()))
}

// decryptOnce is a message received.
func decryptOnce(ctx context.Context, t testing.TB, d *store.Device) {
	hash := sha256.Sum256(changed())
	must(t, d.EventBuffer.DoDecryptionTxn(ctx, func(ctx context.Context) error {
		_, err := d.Sessions.GetSession(ctx, "a:0")
		must(t, err)
		must(t, d.Identities.PutIdentity(ctx, "a:0", key))
		must(t, d.Sessions.PutSession(ctx, "a:0", changed()))
		return d.EventBuffer.PutBufferedEvent(ctx, hash, []byte("text"), time.Now())
	}))
	must(t, d.EventBuffer.ClearBufferedEventPlaintext(ctx, hash))
}
