package server

import (
	"errors"

	"go.mau.fi/whatsmeow/binary/token"
)

// deepest is how deep a stanza may be nested. WhatsApp's own are less than ten deep.
const deepest = 64

var errMalformed = errors.New("malformed stanza")

// The forms that a value of a stanza has.
type form int

const (
	formNothing form = iota
	formText
	formList
	formAddress
)

// checkStanza walks over a stanza as whatsmeow's decoder does (binary/decoder.go), which believes what it is sent: it takes for text what may be none,
// and goes as deep as it is led, until the stack is at its end and with it the process.
func checkStanza(stanza []byte) error {
	w := walk{stanza}
	w.node(0)
	if w.rest == nil || len(w.rest) > 0 {
		return errMalformed
	}
	return nil
}

// walk is what is still to be read; nil after what is not well formed.
type walk struct{ rest []byte }

// skip passes over n bytes, and returns them.
func (w *walk) skip(n int) []byte {
	if w.rest == nil || n > len(w.rest) {
		w.rest = nil
		return nil
	}
	skipped := w.rest[:n:n]
	w.rest = w.rest[n:]
	return skipped
}

// number reads a big-endian number of n bytes; 0 where there are none.
func (w *walk) number(n int) (number int) {
	for _, b := range w.skip(n) {
		number = number<<8 | int(b)
	}
	return number
}

// length reads how many items a list has that begins with a token.
func (w *walk) length(of int) int {
	switch of {
	case token.ListEmpty:
	case token.List8:
		return w.number(1)
	case token.List16:
		return w.number(2)
	default:
		w.rest = nil
	}
	return 0
}

// must stops the walk unless what was read is as it has to be.
func (w *walk) must(ok bool) {
	if !ok {
		w.rest = nil
	}
}

func (w *walk) node(depth int) {
	w.must(depth < deepest)
	items := w.length(w.number(1))
	w.must(items > 0 && w.value(depth) == formText)
	for range (items - 1) / 2 {
		if w.rest == nil {
			return
		}
		w.must(w.value(depth) == formText)
		w.value(depth)
	}
	if items%2 == 0 {
		w.value(depth)
	}
}

// value passes over one value and says what it is.
func (w *walk) value(depth int) form {
	if w.must(depth < deepest); w.rest == nil {
		return formNothing
	}
	switch tag := w.number(1); tag {
	case token.ListEmpty:
		return formNothing
	case token.List8, token.List16:
		for range w.length(tag) {
			if w.rest == nil {
				break
			}
			w.node(depth + 1)
		}
		return formList
	case token.Binary8:
		w.skip(w.number(1))
	case token.Binary20:
		w.skip(w.number(3) & (1<<20 - 1))
	case token.Binary32:
		w.skip(w.number(4))
	case token.Nibble8, token.Hex8:
		length := w.number(1)
		w.must(length != 1<<7) // nothing, of which the last digit does not count
		w.skip(length & (1<<7 - 1))
	case token.Dictionary0, token.Dictionary1, token.Dictionary2, token.Dictionary3:
		w.skip(1)
	case token.JIDPair:
		user := w.value(depth + 1)
		w.must(user == formText || user == formNothing)
		w.must(w.value(depth+1) == formText)
		return formAddress
	case token.ADJID:
		w.skip(2)
		w.must(w.value(depth+1) == formText)
		return formAddress
	case token.FBJID:
		w.must(w.value(depth+1) == formText)
		w.skip(2)
		w.must(w.value(depth+1) == formText)
		return formAddress
	case token.InteropJID:
		w.must(w.value(depth+1) == formText)
		w.skip(4)
		w.must(w.value(depth+1) == formText)
		return formAddress
	}
	return formText // or a token, which the decoder knows
}
