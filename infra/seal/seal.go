// Package seal encrypts single values before they are stored, so that a copy of the database alone gives nobody an account, a webhook's secret or
// a proxy's password.
//
// A sealed value is AES-256-GCM in an envelope that names its key, so that keys can be changed while everything runs: the first key of the setting
// seals, the others only open. What was stored before there was a key is read as it is.
//
// What is authenticated with a value is where it stands (Place.At), as far as that never changes: a value that was copied to another session or
// another column does not open.
package seal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// keySize is AES-256's.
	keySize = 32
	// idSize is how much of a key's hash names it: enough to tell a few keys apart, and far too little to find one by.
	idSize = 4
	// headSize is what an envelope begins with: mark, version and key id. Nine bytes are twelve characters of base64, so that both forms can be
	// recognised by what they begin with.
	headSize = len(mark) + 1 + idSize

	// mark begins every envelope. Its first byte begins neither a protobuf (it would be field 0 of wire type 7), nor JSON nor text. A key of 32
	// random bytes begins with mark and version once in 2^40.
	mark = "\x07cqs"
	// textMark begins an envelope in a column of text. What follows fits into the user of a URL as well.
	textMark = "sealed."

	versionPlain  = 0 // what follows is the value as it is, which would pass for an envelope otherwise
	versionSealed = 1 // key id, nonce and ciphertext follow
)

// Plain in the place of the first key says that nothing is sealed and the other keys open: so a database is made plain again, and so all processes
// learn a first key before one of them seals with it.
const Plain = "plain"

var (
	// ErrNoKey says that a value is sealed and there is no key at all.
	ErrNoKey = errors.New("a stored value is sealed, and ENCRYPTION_KEY is not set: set the key that it was sealed with")
	// ErrDamaged says that a value has been changed, or stood somewhere else when it was sealed.
	ErrDamaged = errors.New("a sealed value does not open: it was changed, or moved from elsewhere")
)

// An UnknownKeyError says that a value is sealed under a key that is not there.
type UnknownKeyError struct{ ID string }

func (e *UnknownKeyError) Error() string {
	return "a stored value is sealed under the key " + e.ID + ", which ENCRYPTION_KEY does not have: add that key, separated by a comma"
}

// Keys are what a process seals and opens with. A nil *Keys seals nothing and opens what is plain. It is safe for concurrent use.
type Keys struct {
	all   []*key
	plain bool // nothing is sealed
}

type key struct {
	id     [idSize]byte
	cipher *xaes
}

// Parse reads the setting: keys of 32 bytes in hex or base64, separated by commas. Its errors never hold what was given.
func Parse(text string) (*Keys, error) {
	k := &Keys{}
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if i == 0 && part == Plain {
			k.plain = true
			continue
		}
		raw, ok := decode(part)
		if !ok {
			return nil, errors.New("use 32 bytes in hex or base64, as `openssl rand -hex 32` prints them; several are separated by commas")
		}
		next := newKey(raw)
		if slices.ContainsFunc(k.all, func(other *key) bool { return other.id == next.id }) {
			return nil, errors.New("the same key stands there twice")
		}
		k.all = append(k.all, next)
	}
	if len(k.all) == 0 {
		return nil, errors.New("plain stands before the keys that are to be left: add them, separated by commas, or unset it")
	}
	return k, nil
}

func decode(text string) ([]byte, bool) {
	if len(text) == 2*keySize {
		raw, err := hex.DecodeString(text)
		return raw, err == nil
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.DecodeString(text)
	return raw, err == nil && len(raw) == keySize
}

func newKey(raw []byte) *key {
	sum := sha256.Sum256(append([]byte("chasqui encryption key\x00"), raw...))
	return &key{[idSize]byte(sum[:idSize]), newXAES([keySize]byte(raw))}
}

func (k *key) name() string { return hex.EncodeToString(k.id[:]) }

// ID names the key that seals, in hex; "" where nothing is sealed.
func (k *Keys) ID() string {
	if !k.seals() {
		return ""
	}
	return k.all[0].name()
}

// Has says whether a key of that name is there.
func (k *Keys) Has(id string) bool {
	return k != nil && slices.ContainsFunc(k.all, func(other *key) bool { return other.name() == id })
}

func (k *Keys) seals() bool { return k != nil && !k.plain }

// Format implements fmt.Formatter: whichever way keys are printed, it is their names.
func (k *Keys) Format(f fmt.State, _ rune) {
	if k == nil {
		_, _ = io.WriteString(f, "no encryption key")
		return
	}
	names := make([]string, 0, len(k.all)+1)
	if k.plain {
		names = append(names, Plain)
	}
	for _, one := range k.all {
		names = append(names, one.name())
	}
	_, _ = io.WriteString(f, "encryption key "+strings.Join(names, ", "))
}

// MarshalText implements encoding.TextMarshaler as Format does, for loggers that write JSON.
func (k *Keys) MarshalText() ([]byte, error) { return fmt.Append(nil, k), nil }

// Seal seals a value for its place. An empty one has nothing to hide and stays as it is.
func (k *Keys) Seal(value []byte, at string) []byte {
	switch {
	case len(value) == 0:
		return value
	case k.seals():
		first := k.all[0]
		out := make([]byte, headSize+nonceSize, headSize+nonceSize+len(value)+overhead)
		copy(out, mark)
		out[len(mark)] = versionSealed
		copy(out[len(mark)+1:], first.id[:])
		nonce := out[headSize:]
		_, _ = rand.Read(nonce) // never fails: the runtime ends the program when the system has no randomness
		return first.cipher.seal(out, nonce, value, associated(out[:headSize], at))
	case bytes.HasPrefix(value, []byte(mark)): // somebody's message may begin with anything
		return append([]byte(mark+string(rune(versionPlain))), value...)
	}
	return value
}

// Open returns the value that was sealed for a place. One that is plain is returned as it is.
func (k *Keys) Open(value []byte, at string) ([]byte, error) {
	if !bytes.HasPrefix(value, []byte(mark)) {
		return value, nil
	}
	rest := value[len(mark):]
	switch {
	case len(rest) > 0 && rest[0] == versionPlain:
		return rest[1:], nil
	case len(value) < headSize+nonceSize+overhead || rest[0] != versionSealed:
		return nil, ErrDamaged
	case k == nil:
		return nil, ErrNoKey
	}
	id := [idSize]byte(value[len(mark)+1 : headSize])
	i := slices.IndexFunc(k.all, func(one *key) bool { return one.id == id })
	if i < 0 {
		return nil, &UnknownKeyError{hex.EncodeToString(id[:])}
	}
	opened, err := k.all[i].cipher.open(value[headSize:headSize+nonceSize], value[headSize+nonceSize:], associated(value[:headSize], at))
	if err != nil {
		return nil, ErrDamaged
	}
	return opened, nil
}

func associated(head []byte, at string) []byte {
	return append(append(make([]byte, 0, headSize+len(at)), head...), at...)
}

// SealText is Seal for a column of text.
func (k *Keys) SealText(value, at string) string {
	switch {
	case value == "":
		return value
	case k.seals():
		return textMark + base64.RawURLEncoding.EncodeToString(k.Seal([]byte(value), at))
	case strings.HasPrefix(value, textMark):
		return textMark + base64.RawURLEncoding.EncodeToString([]byte(mark+string(rune(versionPlain))+value))
	}
	return value
}

// OpenText is Open for a column of text.
func (k *Keys) OpenText(value, at string) (string, error) {
	encoded, ok := strings.CutPrefix(value, textMark)
	if !ok {
		return value, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !bytes.HasPrefix(raw, []byte(mark)) {
		return "", ErrDamaged
	}
	opened, err := k.Open(raw, at)
	return string(opened), err
}

// Reseal returns a value as Seal would write it now, and whether that is another form than it has: plain, or under another key.
func (k *Keys) Reseal(value []byte, at string) (resealed []byte, changed bool, err error) {
	if len(value) == 0 || k.current(value) {
		return value, false, nil
	}
	opened, err := k.Open(value, at)
	if err != nil {
		return nil, false, err
	}
	resealed = k.Seal(opened, at)
	return resealed, !bytes.Equal(resealed, value), nil
}

// ResealText is Reseal for a column of text.
func (k *Keys) ResealText(value, at string) (resealed string, changed bool, err error) {
	if value == "" || k.seals() && strings.HasPrefix(value, k.TextHead()) {
		return value, false, nil
	}
	opened, err := k.OpenText(value, at)
	if err != nil {
		return "", false, err
	}
	resealed = k.SealText(opened, at)
	return resealed, resealed != value, nil
}

func (k *Keys) current(value []byte) bool { return k.seals() && bytes.HasPrefix(value, k.Head()) }

// Head is what every value begins with that is sealed now; nil where nothing is.
func (k *Keys) Head() []byte {
	if !k.seals() {
		return nil
	}
	return append([]byte(mark+string(rune(versionSealed))), k.all[0].id[:]...)
}

// TextHead is Head in a column of text.
func (k *Keys) TextHead() string {
	if !k.seals() {
		return ""
	}
	return textMark + base64.RawURLEncoding.EncodeToString(k.Head())
}
