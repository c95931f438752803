package keystore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

const (
	// keepHashes is for how long the server may deliver a message again, and keepOutgoing for how long a receiver may ask for one; both are
	// sqlstore's.
	keepHashes   = 14 * 24 * time.Hour
	keepOutgoing = 7 * 24 * time.Hour
	// maxBuffered bounds the messages that are known to have been decrypted, each 150 bytes. The oldest go first; one that the server
	// delivers again after that cannot be decrypted.
	maxBuffered = 10_000
	// maxOutgoing bounds the messages sent that are kept for a receiver who cannot decrypt them.
	maxOutgoing = 2_000
)

// stampSize is the length of a stamp, with which the rows that grow old begin: when they were inserted, in Unix milliseconds.
const stampSize = 8

func stamp() []byte { return stampOf(time.Now()) }

func stampOf(at time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
}

// An event is a stamp, the server's time in Unix seconds, and 1 with the plaintext or 0 without.
const eventHead = stampSize + 9

func eventRef(ciphertextHash [32]byte) ref { return ref{buffered, b64(ciphertextHash[:])} }

// GetBufferedEvent implements store.EventBuffer.
func (s *deviceStore) GetBufferedEvent(ctx context.Context, ciphertextHash [32]byte) (*store.BufferedEvent, error) {
	value, err := s.read(ctx, eventRef(ciphertextHash))
	if err != nil || value == nil {
		return nil, err
	}
	event := &store.BufferedEvent{
		InsertTime: time.UnixMilli(int64(binary.BigEndian.Uint64(value))),
		ServerTime: time.Unix(int64(binary.BigEndian.Uint64(value[stampSize:])), 0),
	}
	if value[eventHead-1] == 1 {
		event.Plaintext = value[eventHead:]
	}
	return event, nil
}

// PutBufferedEvent implements store.EventBuffer. There must not be one yet.
func (s *deviceStore) PutBufferedEvent(ctx context.Context, ciphertextHash [32]byte, plaintext []byte, serverTimestamp time.Time) error {
	value := binary.BigEndian.AppendUint64(stamp(), uint64(serverTimestamp.Unix()))
	if plaintext == nil {
		value = append(value, 0)
	} else {
		value = append(append(value, 1), plaintext...)
	}
	return s.change(ctx, func(t *tx) error {
		if _, ok := t.get(eventRef(ciphertextHash)); ok {
			return errors.New("the event is buffered already")
		}
		t.put(eventRef(ciphertextHash), value)
		t.bound(buffered, maxBuffered, func(value []byte) bool { return value[eventHead-1] == 0 })
		return nil
	})
}

// ClearBufferedEventPlaintext implements store.EventBuffer.
func (s *deviceStore) ClearBufferedEventPlaintext(ctx context.Context, ciphertextHash [32]byte) error {
	return s.change(ctx, func(t *tx) error {
		if value, ok := t.get(eventRef(ciphertextHash)); ok {
			t.put(eventRef(ciphertextHash), append(slices.Clone(value[:eventHead-1]), 0))
		}
		return nil
	})
}

// DeleteOldBufferedHashes implements store.EventBuffer, for this device alone.
func (s *deviceStore) DeleteOldBufferedHashes(ctx context.Context) error {
	return s.removeOlder(ctx, buffered, keepHashes)
}

func (s *deviceStore) removeOlder(ctx context.Context, from table, age time.Duration) error {
	oldest := stampOf(time.Now().Add(-age))
	return s.change(ctx, func(t *tx) error {
		for _, row := range t.rows(from, "") {
			if bytes.Compare(row.value[:stampSize], oldest) < 0 {
				t.remove(ref{from, row.key})
			}
		}
		return nil
	})
}

func outgoingRef(chat types.JID, id types.MessageID) ref {
	return ref{outgoing, join(chat.String(), id)}
}

// GetOutgoingEvent implements store.EventBuffer. Like sqlstore it returns sql.ErrNoRows when there is none.
func (s *deviceStore) GetOutgoingEvent(ctx context.Context, chatJID, altChatJID types.JID, id types.MessageID) (format string, plaintext []byte, err error) {
	err = s.view(ctx, func(t *tx) error {
		for _, chat := range []types.JID{chatJID, altChatJID} {
			if value := t.read(outgoingRef(chat, id)); value != nil {
				name, rest, _ := bytes.Cut(value[stampSize:], []byte{0})
				format, plaintext = string(name), rest
				return nil
			}
		}
		return sql.ErrNoRows
	})
	return format, plaintext, err
}

// AddOutgoingEvent implements store.EventBuffer.
func (s *deviceStore) AddOutgoingEvent(ctx context.Context, chatJID types.JID, id types.MessageID, format string, plaintext []byte) error {
	value := append(append(append(stamp(), format...), 0), plaintext...)
	return s.change(ctx, func(t *tx) error {
		t.put(outgoingRef(chatJID, id), value)
		t.bound(outgoing, maxOutgoing, func([]byte) bool { return true })
		return nil
	})
}

// DeleteOldOutgoingEvents implements store.EventBuffer.
func (s *deviceStore) DeleteOldOutgoingEvents(ctx context.Context) error {
	return s.removeOlder(ctx, outgoing, keepOutgoing)
}
