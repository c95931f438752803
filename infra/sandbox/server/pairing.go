package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mau.fi/libsignal/ecc"
	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

var (
	// ErrQRInvalid is returned by Scan for a text that is no QR code of WhatsApp's, or whose keys are not those of the waiting companion.
	ErrQRInvalid = errors.New("not a valid QR code")
	// ErrQRExpired is returned by Scan when the QR code's time is over, or the companion that showed it does not wait any more, or a phone
	// is linking it already.
	ErrQRExpired = errors.New("QR code expired")
	// ErrRefused is returned by Scan, wrapped with the companion's reason, when it turned the pairing down.
	ErrRefused = errors.New("companion refused the pairing")
	// ErrTooManyDevices is returned by Scan when all device numbers of the account are taken.
	ErrTooManyDevices = errors.New("account has no device number left")
)

const (
	// qrRefs is how many references a companion gets: six of them make whatsmeow show the first for 60 s (qrchan.go).
	qrRefs = 6
	// signPatience is how long Scan waits for the companion's signature.
	signPatience = 30 * time.Second
	// maxDevice is the highest device number: an address carries it in one byte.
	maxDevice = 255
)

// pairing is what a connection that waits to be linked knows. The unmarked fields never change.
type pairing struct {
	id              string
	since           time.Time
	client          ClientInfo
	noise, identity [32]byte
	registration    uint32
	signed          signedPreKey
	props           []byte
	refs            []string
	answers         chan *waBinary.Node // holds the one answer to the pair-success iq

	// Guarded by Server.mu.
	claimed bool             // a phone is linking it, or tried and failed: no other may
	linked  bool             // it is a device of the account
	over    bool             // its last QR code expired
	request *codeRequest     // for a pairing code; the last one
	script  *script          // what it has to say next
	passkey *passkeyExchange // it has to answer a passkey request
}

// pair offers QR references to a companion and keeps it until it has been linked, or they have expired, or it has gone.
func (c *conn) pair(noise [32]byte, data *waWa6.ClientPayload_DevicePairingRegistrationData) error {
	p, err := newPairing(noise, data)
	if err != nil {
		c.part(waBinary.Node{Tag: "failure", Attrs: waBinary.Attrs{"reason": 400}}, farewell)
		return errors.Join(err, c.serve())
	}
	refs := make([]waBinary.Node, len(p.refs))
	for i, ref := range p.refs {
		refs[i] = waBinary.Node{Tag: "ref", Content: []byte(ref)}
	}
	s := c.s
	p.since = time.Now()
	s.mu.Lock()
	c.pairing = p
	for _, ref := range p.refs {
		s.refs[ref] = c
	}
	s.mu.Unlock()
	c.sendNode(waBinary.Node{
		Tag:     "iq",
		Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": "set", "id": newID(), "xmlns": "md"},
		Content: []waBinary.Node{{Tag: "pair-device", Content: refs}},
	})
	c.in.patience = idleTimeout
	timer := time.AfterFunc(s.qrLife.until(qrRefs-1)+min(qrGrace, s.qrLife.Next), c.expire)
	defer timer.Stop()
	return c.serve()
}

// newPairing checks what a companion registers with.
func newPairing(noise [32]byte, data *waWa6.ClientPayload_DevicePairingRegistrationData) (*pairing, error) {
	if len(data.GetERegid()) != 4 || len(data.GetEIdent()) != 32 || len(data.GetESkeyID()) != 3 || len(data.GetESkeyVal()) != 32 || len(data.GetESkeySig()) != 64 {
		return nil, errors.New("malformed registration")
	}
	p := &pairing{
		id: newID(), client: describe(data), noise: noise, identity: [32]byte(data.EIdent), registration: binary.BigEndian.Uint32(data.ERegid),
		answers: make(chan *waBinary.Node, 1),
	}
	if props := data.GetDeviceProps(); len(props) <= maxProps {
		p.props = props
	}
	p.signed = signedPreKey{id: keyID(data.ESkeyID), public: [32]byte(data.ESkeyVal), signature: [64]byte(data.ESkeySig)}
	if !p.signed.validFor(p.identity) {
		return nil, errors.New("registration with a wrong signature")
	}
	for range qrRefs {
		p.refs = append(p.refs, newRef())
	}
	return p, nil
}

// newRef makes the name of a pairing, for a QR code or a passkey.
func newRef() string {
	ref := make([]byte, 24)
	_, _ = rand.Read(ref)
	return "2@" + base64.StdEncoding.EncodeToString(ref)
}

// answer takes the companion's answer to an iq; only the one to pair-success matters, and only the first.
func (p *pairing) answer(iq *waBinary.Node) {
	if _, ok := iq.GetOptionalChildByTag("pair-device-sign"); !ok && attr(iq, "type") != "error" {
		return
	}
	select {
	case p.answers <- iq:
	default:
	}
}

// Scan does what a phone does that scans a companion's QR code, given as the code's text: it signs the companion into the account and
// returns the new device's JID once the companion has signed back and the device is persisted. The companion then connects again by
// itself. An account with a passkey has the companion asked for it first, which may take minutes; a context that ends meanwhile ends the
// pairing. Errors: ErrNoAccount, ErrQRInvalid, ErrQRExpired, ErrRefused, ErrTooManyDevices, context.DeadlineExceeded for a companion that
// does not answer, the context's, the database's.
func (s *Server) Scan(ctx context.Context, phone, qr string) (types.JID, error) {
	ref, noise, identity, secret, err := parseQR(qr)
	if err != nil {
		return types.EmptyJID, err
	}
	s.mu.Lock()
	a, c := s.byPhone[phone], s.refs[ref]
	switch {
	case a == nil || a.level == Stub:
		err = ErrNoAccount
	case c == nil || c.pairing.claimed || s.expired(c.pairing, ref):
		err = ErrQRExpired
	case c.pairing.noise != noise || c.pairing.identity != identity:
		err = ErrQRInvalid
	default:
		c.pairing.claimed = true // and with it the companion's other references are dead
	}
	s.mu.Unlock()
	if err != nil {
		return types.EmptyJID, err
	}
	return s.finish(ctx, a, c, secret)
}

// finish links a companion that the caller has claimed and knows the secret of.
func (s *Server) finish(ctx context.Context, a *account, c *conn, secret []byte) (types.JID, error) {
	secret, err := s.askPasskey(ctx, a, c, secret)
	if err != nil {
		c.cut()
		return types.EmptyJID, fmt.Errorf("ask for passkey: %w", err)
	}
	s.mu.Lock()
	number, err := a.reserve()
	s.mu.Unlock()
	if err != nil {
		s.release(c)
		return types.EmptyJID, err
	}
	jid, err := s.link(ctx, a, c, number, secret)
	if errors.Is(err, ErrRefused) {
		c.leave(restartPatience) // the client closes by itself, and whatsmeow's closing is a data race with being closed
	} else if err != nil {
		c.cut()
	}
	if err != nil {
		return types.EmptyJID, fmt.Errorf("pair companion: %w", err)
	}
	return jid, nil
}

// parseQR takes a QR code's text apart: [URL#]reference,noise key,identity key,secret[,client], the last three in base64 (pair.go).
func parseQR(qr string) (ref string, noise, identity [32]byte, secret []byte, err error) {
	if _, rest, ok := strings.Cut(qr, "#"); ok {
		qr = rest
	}
	parts := strings.Split(strings.TrimSpace(qr), ",")
	if len(parts) != 4 && len(parts) != 5 {
		return "", noise, identity, nil, ErrQRInvalid
	}
	var decoded [3][]byte
	for i := range decoded {
		decoded[i], err = base64.StdEncoding.DecodeString(parts[i+1])
		if err != nil || len(decoded[i]) != 32 {
			return "", noise, identity, nil, ErrQRInvalid
		}
	}
	return parts[0], [32]byte(decoded[0]), [32]byte(decoded[1]), decoded[2], nil
}

// reserve picks a device number: never one that was used, until all were. The caller holds Server.mu.
func (a *account) reserve() (uint16, error) {
	if a.nextDevice <= maxDevice {
		a.nextDevice++
		return uint16(a.nextDevice - 1), nil
	}
	for number := uint16(1); number <= maxDevice; number++ {
		if a.device(number) == nil {
			return number, nil
		}
	}
	return 0, ErrTooManyDevices
}

// link exchanges the signatures with the companion and persists it.
func (s *Server) link(ctx context.Context, a *account, c *conn, number uint16, secret []byte) (types.JID, error) {
	p := c.pairing
	keyIndex := uint32(number)
	identity := &waAdv.ADVSignedDeviceIdentity{AccountSignatureKey: a.keys.Identity.Pub[:]}
	var err error
	identity.Details, err = proto.Marshal(&waAdv.ADVDeviceIdentity{
		RawID: &a.rawID, Timestamp: proto.Uint64(uint64(time.Now().Unix())), KeyIndex: &keyIndex,
		AccountType: waAdv.ADVEncryptionType_E2EE.Enum(), DeviceType: waAdv.ADVEncryptionType_E2EE.Enum(),
	})
	if err != nil {
		return types.EmptyJID, err
	}
	signature := ecc.CalculateSignature(ecc.NewDjbECPrivateKey(*a.keys.Identity.Priv), slices.Concat(whatsmeow.AdvAccountSignaturePrefix, identity.Details, p.identity[:]))
	identity.AccountSignature = signature[:]
	signed, err := proto.Marshal(identity)
	if err != nil {
		return types.EmptyJID, err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(signed)
	container, err := proto.Marshal(&waAdv.ADVSignedDeviceIdentityHMAC{Details: signed, HMAC: mac.Sum(nil)})
	if err != nil {
		return types.EmptyJID, err
	}
	d := &device{account: a, number: number, identity: p.identity, noise: p.noise, registration: p.registration, signed: p.signed, props: p.props}
	c.sendNode(waBinary.Node{
		Tag:   "iq",
		Attrs: waBinary.Attrs{"from": types.ServerJID, "type": "set", "id": newID(), "xmlns": "md", "t": time.Now().Unix()},
		Content: []waBinary.Node{{Tag: "pair-success", Content: append([]waBinary.Node{
			{Tag: "device-identity", Content: container},
			{Tag: "device", Attrs: waBinary.Attrs{"jid": d.jid(types.DefaultUserServer), "lid": d.jid(types.HiddenUserServer)}},
			{Tag: "platform", Attrs: waBinary.Attrs{"name": "android"}},
		}, s.pairedBusiness(d.account)...)}},
	})
	timer := time.NewTimer(signPatience)
	defer timer.Stop()
	var answer *waBinary.Node
	select {
	case answer = <-p.answers:
	case <-timer.C:
		return types.EmptyJID, context.DeadlineExceeded
	case <-ctx.Done():
		return types.EmptyJID, ctx.Err()
	case <-c.ctx.Done():
		return types.EmptyJID, ErrQRExpired
	}
	if refusal, ok := answer.GetOptionalChildByTag("error"); ok || attr(answer, "type") == "error" {
		return types.EmptyJID, fmt.Errorf("%w: %s %s", ErrRefused, attr(&refusal, "code"), attr(&refusal, "text"))
	}
	proof, err := countersigned(identity, p.identity, content(answer.GetChildByTag("pair-device-sign", "device-identity")))
	if err != nil {
		return types.EmptyJID, err
	}
	// The companion keeps its side from here on, whether the caller waits or not.
	persist, cancel := context.WithTimeout(context.WithoutCancel(ctx), stanzaTimeout)
	defer cancel()
	if err := s.addDevice(persist, d, proof); err != nil {
		return types.EmptyJID, err
	}
	s.mu.Lock()
	p.linked = true
	s.mu.Unlock()
	c.part(waBinary.Node{Tag: "stream:error", Attrs: waBinary.Attrs{"code": "515"}}, restartPatience)
	return d.jid(types.DefaultUserServer), nil
}

// countersigned checks the identity that the companion signed and returns it complete, marshalled.
func countersigned(ours *waAdv.ADVSignedDeviceIdentity, companion [32]byte, answer []byte) ([]byte, error) {
	var theirs waAdv.ADVSignedDeviceIdentity
	if err := proto.Unmarshal(answer, &theirs); err != nil {
		return nil, fmt.Errorf("read companion's signature: %w", err)
	}
	message := slices.Concat(whatsmeow.AdvDeviceSignaturePrefix, ours.Details, companion[:], ours.AccountSignatureKey)
	if !hmac.Equal(theirs.Details, ours.Details) || len(theirs.DeviceSignature) != 64 ||
		!ecc.VerifySignature(ecc.NewDjbECPublicKey(companion), message, [64]byte(theirs.DeviceSignature)) {
		return nil, errors.New("companion's signature is wrong")
	}
	theirs.AccountSignatureKey = ours.AccountSignatureKey
	return proto.Marshal(&theirs)
}

// addDevice persists a companion, tells those who know the account's device list, and makes it known.
func (s *Server) addDevice(ctx context.Context, d *device, proof []byte) error {
	a := d.account
	a.change.Lock()
	defer a.change.Unlock()
	defer s.tellLinked(a)
	present := s.devicesOf(a, nil)
	d.id, d.proof = s.lastDevice.Add(1), proof
	s.mu.RLock()
	next := a.snapshot()
	s.mu.RUnlock()
	next.nextDevice = max(next.nextDevice, int(d.number)+1)
	records := []journal.Record{next.record(), d.record(d.registration, d.signed)}
	if err := s.commit(ctx, records, s.deviceListNotices(a, present, append(slices.Clone(present), d))); err != nil {
		return fmt.Errorf("persist device: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[d.id] = d
	a.devices = append(a.devices, d)
	slices.SortFunc(a.devices, func(x, y *device) int { return int(x.number) - int(y.number) })
	return nil
}
