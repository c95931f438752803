package ratchet

import (
	"bytes"
	"slices"

	"go.mau.fi/libsignal/state/record"
	"go.mau.fi/whatsmeow/store"
)

// Mend returns a session record as a decryption should have left it. A record holds the current state of a session and earlier ones, for
// two devices that write to each other at the same moment each begin a session. libsignal tries the states one after the other and forgets
// to do so on copies (SessionCipher.go, DecryptWithRecord): when the current one does not fit and an earlier one does, it stores those that
// did not fit with a ratchet step they never made, and some of them twice. Messages of the
// spoilt state can then not be read any more; two companions that began at once and wrote at full speed did not recover within 40 s. A
// decryption changes only the state that it makes, or leaves, the current one: the others are taken from the record as it was before.
func Mend(before, after []byte) []byte {
	serializer := store.SignalProtobufSerializer.Session
	was, err := serializer.Deserialize(before)
	if err != nil {
		return after // there was none: libsignal has read it before us
	}
	is, err := serializer.Deserialize(after)
	if err != nil || bytes.Equal(is.SessionState.SenderBaseKey, was.SessionState.SenderBaseKey) {
		return after // the current state fitted at once
	}
	kept := []*record.StateStructure{is.SessionState}
	for _, state := range append([]*record.StateStructure{was.SessionState}, was.PreviousStates...) {
		if !slices.ContainsFunc(kept, func(k *record.StateStructure) bool { return bytes.Equal(k.SenderBaseKey, state.SenderBaseKey) }) {
			kept = append(kept, state)
		}
	}
	is.PreviousStates = kept[1:min(len(kept), len(is.PreviousStates)+1)]
	return serializer.Serialize(is)
}
