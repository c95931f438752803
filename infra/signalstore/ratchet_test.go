package signalstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mau.fi/libsignal/ecc"
	"go.mau.fi/libsignal/keys/identity"
	"go.mau.fi/libsignal/keys/prekey"
	"go.mau.fi/libsignal/protocol"
	"go.mau.fi/libsignal/session"
	"go.mau.fi/libsignal/util/optional"
	"go.mau.fi/whatsmeow/store"
)

var serializer = store.SignalProtobufSerializer

// peer is a device that talks to one other as whatsmeow's client does, over channels.
type peer struct {
	*store.Device
	in, out chan protocol.CiphertextMessage
	to      *protocol.SignalAddress
}

// talk makes two devices send each other count messages at full speed while also answering retry receipts, and returns how many arrived.
func talk(ctx context.Context, t testing.TB, a, b *store.Device, count int) int64 {
	t.Helper()
	left, right := make(chan protocol.CiphertextMessage, 64), make(chan protocol.CiphertextMessage, 64)
	peers := []*peer{
		{a, left, right, b.ID.SignalAddress()},
		{b, right, left, a.ID.SignalAddress()},
	}
	first, second := peers[0], peers[1]
	// The first message carries the session, the answer acknowledges it.
	if err := first.begin(ctx, second); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{first, second} {
		other := map[*peer]*peer{first: second, second: first}[p]
		if err := p.answer(ctx, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.receive(ctx, <-p.out); err != nil {
			t.Fatal(err)
		}
	}
	var arrived atomic.Int64
	var receivers, senders sync.WaitGroup
	for _, p := range peers {
		receivers.Go(func() {
			for m := range p.in {
				if text, err := p.receive(ctx, m); err != nil {
					t.Errorf("receive: %v", err)
				} else if text != "" {
					arrived.Add(1)
				}
			}
		})
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range count {
				if err := p.send(ctx, fmt.Sprint(i)); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
		sending.Go(func() {
			for i := range count / 4 {
				if err := p.answer(ctx, fmt.Sprint("answer ", i)); err != nil {
					t.Errorf("answer: %v", err)
				}
			}
		})
		senders.Go(func() {
			sending.Wait()
			close(p.out)
		})
	}
	senders.Wait()
	receivers.Wait()
	return arrived.Load()
}

// begin starts a session with the keys of another device.
func (p *peer) begin(ctx context.Context, other *peer) error {
	bundle := prekey.NewBundle(other.RegistrationID, 0, optional.NewEmptyUint32(), other.SignedPreKey.KeyID, nil,
		ecc.NewDjbECPublicKey(*other.SignedPreKey.Pub), *other.SignedPreKey.Signature,
		identity.NewKey(ecc.NewDjbECPublicKey(*other.IdentityKey.Pub)))
	return session.NewBuilderFromSignal(p, p.to, serializer).ProcessBundle(ctx, bundle)
}

// send does what encryptMessageForDevices does in send.go.
func (p *peer) send(ctx context.Context, text string) error {
	_, cached, err := p.WithCachedSessions(ctx, []string{p.to.String()})
	if err != nil {
		return err
	}
	m, err := session.NewCipher(session.NewBuilderFromSignal(p, p.to, serializer), p.to).Encrypt(cached, []byte(text))
	if err != nil {
		return err
	}
	if err := p.PutCachedSessions(cached); err != nil {
		return err
	}
	p.out <- m
	return nil
}

// answer does what handleRetryReceipt does in retry.go.
func (p *peer) answer(ctx context.Context, text string) error {
	m, err := session.NewCipher(session.NewBuilderFromSignal(p, p.to, serializer), p.to).Encrypt(ctx, []byte(text))
	if err == nil {
		p.out <- m
	}
	return err
}

// receive does what bufferedDecrypt does in message.go.
func (p *peer) receive(ctx context.Context, m protocol.CiphertextMessage) (text string, err error) {
	hash := sha256.Sum256(m.Serialize())
	err = p.EventBuffer.DoDecryptionTxn(ctx, func(ctx context.Context) error {
		cipher := session.NewCipher(session.NewBuilderFromSignal(p, p.to, serializer), p.to)
		var plain []byte
		var err error
		if first, ok := m.(*protocol.PreKeySignalMessage); ok {
			plain, err = cipher.DecryptMessage(ctx, first)
		} else {
			plain, err = cipher.Decrypt(ctx, m.(*protocol.SignalMessage))
		}
		if err != nil {
			return err
		}
		text = string(plain)
		return p.EventBuffer.PutBufferedEvent(ctx, hash, plain, time.Now())
	})
	if err != nil {
		return "", err
	}
	return text, p.EventBuffer.ClearBufferedEventPlaintext(ctx, hash)
}

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
	if arrived, want := talk(b.ctx, t, ana, bob, count), int64(2*(count+count/4)); arrived != want {
		t.Errorf("%d of %d messages arrived", arrived, want)
	}
}

// Each side begins a session before it has heard of the other's. As libsignal stores them, the fifteenth message here cannot be read.
func TestTwoSessionsBegunAtOnceDoNotSpoilEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ana, bob := b.adopt(t, "111", Options{}), b.adopt(t, "222", Options{})
	left, right := make(chan protocol.CiphertextMessage, 8), make(chan protocol.CiphertextMessage, 8)
	peers := []*peer{{ana, left, right, bob.ID.SignalAddress()}, {bob, right, left, ana.ID.SignalAddress()}}
	for i, p := range peers {
		if err := p.begin(b.ctx, peers[1-i]); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var sent, arrived int
	for sent < 400 || len(left)+len(right) > 0 {
		p := peers[random.IntN(2)]
		if sent < 400 && len(p.out) < cap(p.out) && random.IntN(2) == 0 {
			sent++
			if err := p.send(b.ctx, fmt.Sprint("text ", sent)); err != nil {
				t.Fatal(err)
			}
		} else if len(p.in) > 0 {
			arrived++
			if _, err := p.receive(b.ctx, <-p.in); err != nil {
				t.Fatalf("message %d: %v", arrived, err)
			}
		}
	}
	for _, p := range peers {
		raw, err := storeOf(p.Device).inner.GetSession(b.ctx, p.to.String())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := serializer.Session.Deserialize(raw)
		if err != nil || len(kept.PreviousStates) != 1 {
			t.Errorf("%s keeps %d earlier states, %v; want one", p.ID, len(kept.PreviousStates), err)
		}
	}
}
