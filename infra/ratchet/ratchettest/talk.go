// Package ratchettest lets the devices of a store talk to each other as whatsmeow's clients do, at full speed.
package ratchettest

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

// Peer is a device that talks to one other as whatsmeow's client does, over channels.
type Peer struct {
	*store.Device
	In, Out chan protocol.CiphertextMessage
	to      *protocol.SignalAddress
}

// Connect lets two devices talk. 64 messages may be on the way in each direction.
func Connect(a, b *store.Device) (first, second *Peer) {
	left, right := make(chan protocol.CiphertextMessage, 64), make(chan protocol.CiphertextMessage, 64)
	return &Peer{a, left, right, b.ID.SignalAddress()}, &Peer{b, right, left, a.ID.SignalAddress()}
}

// Talk makes two devices send each other count messages at full speed while also answering retry receipts, and returns how many arrived.
func Talk(ctx context.Context, t testing.TB, a, b *store.Device, count int) int64 {
	t.Helper()
	first, second := Connect(a, b)
	// The first message carries the session, the answer acknowledges it.
	if err := first.Begin(ctx, second); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Peer{first, second} {
		other := map[*Peer]*Peer{first: second, second: first}[p]
		if err := p.Answer(ctx, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Receive(ctx, <-p.Out); err != nil {
			t.Fatal(err)
		}
	}
	var arrived atomic.Int64
	var receivers, senders sync.WaitGroup
	for _, p := range []*Peer{first, second} {
		receivers.Go(func() {
			for m := range p.In {
				if text, err := p.Receive(ctx, m); err != nil {
					t.Errorf("receive: %v", err)
				} else if text != "" {
					arrived.Add(1)
				}
			}
		})
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range count {
				if err := p.Send(ctx, fmt.Sprint(i)); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
		sending.Go(func() {
			for i := range count / 4 {
				if err := p.Answer(ctx, fmt.Sprint("answer ", i)); err != nil {
					t.Errorf("answer: %v", err)
				}
			}
		})
		senders.Go(func() {
			sending.Wait()
			close(p.Out)
		})
	}
	senders.Wait()
	receivers.Wait()
	return arrived.Load()
}

// Begin starts a session with the keys of another device.
func (p *Peer) Begin(ctx context.Context, other *Peer) error {
	bundle := prekey.NewBundle(other.RegistrationID, 0, optional.NewEmptyUint32(), other.SignedPreKey.KeyID, nil,
		ecc.NewDjbECPublicKey(*other.SignedPreKey.Pub), *other.SignedPreKey.Signature,
		identity.NewKey(ecc.NewDjbECPublicKey(*other.IdentityKey.Pub)))
	return session.NewBuilderFromSignal(p, p.to, serializer).ProcessBundle(ctx, bundle)
}

// Send does what encryptMessageForDevices does in send.go.
func (p *Peer) Send(ctx context.Context, text string) error {
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
	p.Out <- m
	return nil
}

// Answer does what handleRetryReceipt does in retry.go.
func (p *Peer) Answer(ctx context.Context, text string) error {
	m, err := session.NewCipher(session.NewBuilderFromSignal(p, p.to, serializer), p.to).Encrypt(ctx, []byte(text))
	if err == nil {
		p.Out <- m
	}
	return err
}

// Receive does what bufferedDecrypt does in message.go.
func (p *Peer) Receive(ctx context.Context, m protocol.CiphertextMessage) (text string, err error) {
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

// BothBegin lets each of two devices begin a session before it has heard of the other's, and sends 400 messages both ways. As libsignal
// stores them, the fifteenth cannot be read. get reads a session as it is stored.
func BothBegin(ctx context.Context, t testing.TB, ana, bob *store.Device, get func(d *store.Device, address string) []byte) {
	t.Helper()
	first, second := Connect(ana, bob)
	peers := []*Peer{first, second}
	for i, p := range peers {
		if err := p.Begin(ctx, peers[1-i]); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var sent, arrived int
	for sent < 400 || len(first.In)+len(second.In) > 0 {
		p := peers[random.IntN(2)]
		if sent < 400 && len(p.Out) < 8 && random.IntN(2) == 0 {
			sent++
			if err := p.Send(ctx, fmt.Sprint("text ", sent)); err != nil {
				t.Fatal(err)
			}
		} else if len(p.In) > 0 {
			arrived++
			if _, err := p.Receive(ctx, <-p.In); err != nil {
				t.Fatalf("message %d: %v", arrived, err)
			}
		}
	}
	for _, p := range peers {
		kept, err := serializer.Session.Deserialize(get(p.Device, p.to.String()))
		if err != nil || len(kept.PreviousStates) != 1 {
			t.Errorf("%s keeps %d earlier states, %v; want one", p.ID, len(kept.PreviousStates), err)
		}
	}
}
