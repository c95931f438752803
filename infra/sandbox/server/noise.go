package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/libsignal/ecc"
	"go.mau.fi/whatsmeow/proto/waCert"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/socket"
	"go.mau.fi/whatsmeow/util/keys"
	"golang.org/x/crypto/curve25519"
	"google.golang.org/protobuf/proto"
)

// noiseIdentity is what the server proves itself with: a static key, and the chain of certificates from it to the root.
type noiseIdentity struct {
	root, static *keys.KeyPair
	chain        []byte // a marshalled waCert.CertChain
}

// RootKey is the public key that signs the certificate chain of a server with the given seed ("" is DefaultSeed): what a client has to
// trust in place of WhatsApp's own (whatsmeow's WACertPubKey).
func RootKey(seed string) [32]byte { return *seedKey(seed, "root").Pub }

// seedKey derives one of the server's keys.
func seedKey(seed, name string) *keys.KeyPair {
	if seed == "" {
		seed = DefaultSeed
	}
	// The seed may be a word: the keys protect nothing, they are there to be the same everywhere.
	private := sha256.Sum256([]byte("chasqui sandbox " + name + "\x00" + seed))
	private[0] &= 248
	private[31] = private[31]&127 | 64
	return keys.NewKeyPairFromPrivateKey(private)
}

// certificateLife is how long a chain is valid; each start makes a new one, so it only has to outlive a process.
const certificateLife = 10 * 365 * 24 * time.Hour

// newNoiseIdentity derives all keys from the seed and signs the chain as whatsmeow's verifyServerCert (handshake.go) checks it: root signs
// the intermediate (serial 1, issuer 0), which signs the leaf (serial 2, issuer 1), whose key is the static one.
func newNoiseIdentity(seed string, now time.Time) (*noiseIdentity, error) {
	root, intermediate, static := seedKey(seed, "root"), seedKey(seed, "intermediate"), seedKey(seed, "static")
	sign := func(serial, issuer uint32, key, by *keys.KeyPair) (details, signature []byte, err error) {
		details, err = proto.Marshal(&waCert.CertChain_NoiseCertificate_Details{
			Serial: &serial, IssuerSerial: &issuer, Key: key.Pub[:],
			// A day back, for clients whose clock is behind.
			NotBefore: proto.Uint64(uint64(now.Add(-24 * time.Hour).Unix())), NotAfter: proto.Uint64(uint64(now.Add(certificateLife).Unix())),
		})
		if err != nil {
			return nil, nil, err
		}
		signed := ecc.CalculateSignature(ecc.NewDjbECPrivateKey(*by.Priv), details)
		return details, signed[:], nil
	}
	var err error
	chain := &waCert.CertChain{Intermediate: &waCert.CertChain_NoiseCertificate{}, Leaf: &waCert.CertChain_NoiseCertificate{}}
	if chain.Intermediate.Details, chain.Intermediate.Signature, err = sign(1, 0, intermediate, root); err != nil {
		return nil, err
	}
	if chain.Leaf.Details, chain.Leaf.Signature, err = sign(2, 1, static, intermediate); err != nil {
		return nil, err
	}
	marshalled, err := proto.Marshal(chain)
	if err != nil {
		return nil, err
	}
	return &noiseIdentity{root: root, static: static, chain: marshalled}, nil
}

// handshake is the responder's side of Noise_XX_25519_AESGCM_SHA256 (noiseprotocol.org, revision 34), as socket/noisehandshake.go has the
// initiator's: the nonce is 8 zero bytes and a big-endian counter that every mix sets back.
type handshake struct {
	hash    [32]byte
	salt    []byte
	aead    cipher.AEAD
	counter uint32
}

func newHandshake(prologue []byte) (*handshake, error) {
	h := &handshake{hash: [32]byte([]byte(socket.NoiseStartPattern)), salt: []byte(socket.NoiseStartPattern)}
	var err error
	h.aead, err = newAEAD(h.salt)
	h.mixHash(prologue)
	return h, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func nonce(counter uint32) []byte {
	iv := make([]byte, 12)
	binary.BigEndian.PutUint32(iv[8:], counter)
	return iv
}

func (h *handshake) mixHash(data []byte) { h.hash = sha256.Sum256(append(h.hash[:], data...)) }

// split derives two keys from the chaining key and a secret.
func (h *handshake) split(secret []byte) (first, second []byte, err error) {
	pseudorandom, err := hkdf.Extract(sha256.New, secret, h.salt)
	if err != nil {
		return nil, nil, err
	}
	both, err := hkdf.Expand(sha256.New, pseudorandom, "", 64)
	if err != nil {
		return nil, nil, err
	}
	return both[:32], both[32:], nil
}

// mixKey mixes the Diffie-Hellman secret of the two keys in.
func (h *handshake) mixKey(private, public []byte) error {
	secret, err := curve25519.X25519(private, public)
	if err != nil {
		return err
	}
	var key []byte
	if h.salt, key, err = h.split(secret); err != nil {
		return err
	}
	h.counter = 0
	h.aead, err = newAEAD(key)
	return err
}

func (h *handshake) encrypt(plaintext []byte) []byte {
	ciphertext := h.aead.Seal(nil, nonce(h.counter), plaintext, h.hash[:])
	h.counter++
	h.mixHash(ciphertext)
	return ciphertext
}

func (h *handshake) decrypt(ciphertext []byte) ([]byte, error) {
	plaintext, err := h.aead.Open(nil, nonce(h.counter), ciphertext, h.hash[:])
	h.counter++
	h.mixHash(ciphertext)
	return plaintext, err
}

var errHandshake = errors.New("malformed handshake message")

// accept speaks the three messages of the handshake over the connection. It returns the client's static key and payload; the connection
// is then encrypted both ways.
func (n *noiseIdentity) accept(c *conn, prologue []byte) (client [32]byte, payload *waWa6.ClientPayload, err error) {
	fail := func(err error) ([32]byte, *waWa6.ClientPayload, error) {
		return [32]byte{}, nil, fmt.Errorf("noise handshake: %w", err)
	}
	h, err := newHandshake(prologue)
	if err != nil {
		return fail(err)
	}
	var hello, finish waWa6.HandshakeMessage
	frame, err := c.readFrame()
	if err != nil {
		return fail(err)
	}
	if err := proto.Unmarshal(frame, &hello); err != nil {
		return fail(err)
	}
	theirs := hello.GetClientHello().GetEphemeral()
	if len(theirs) != 32 {
		return fail(errHandshake)
	}
	h.mixHash(theirs)
	ephemeral := keys.NewKeyPair()
	h.mixHash(ephemeral.Pub[:])
	if err := h.mixKey(ephemeral.Priv[:], theirs); err != nil {
		return fail(err)
	}
	static := h.encrypt(n.static.Pub[:])
	if err := h.mixKey(n.static.Priv[:], theirs); err != nil {
		return fail(err)
	}
	answer, err := proto.Marshal(&waWa6.HandshakeMessage{ServerHello: &waWa6.HandshakeMessage_ServerHello{
		Ephemeral: ephemeral.Pub[:], Static: static, Payload: h.encrypt(n.chain),
	}})
	if err != nil {
		return fail(err)
	}
	c.send(answer)
	if frame, err = c.readFrame(); err != nil {
		return fail(err)
	}
	if err := proto.Unmarshal(frame, &finish); err != nil {
		return fail(err)
	}
	key, err := h.decrypt(finish.GetClientFinish().GetStatic())
	if err != nil {
		return fail(err)
	}
	if len(key) != 32 {
		return fail(errHandshake)
	}
	if err := h.mixKey(ephemeral.Priv[:], key); err != nil {
		return fail(err)
	}
	raw, err := h.decrypt(finish.GetClientFinish().GetPayload())
	if err != nil {
		return fail(err)
	}
	payload = &waWa6.ClientPayload{}
	if err := proto.Unmarshal(raw, payload); err != nil {
		return fail(err)
	}
	theirKey, ourKey, err := h.split(nil)
	if err != nil {
		return fail(err)
	}
	if err := c.secure(theirKey, ourKey); err != nil {
		return fail(err)
	}
	return [32]byte(key), payload, nil
}
