// Package waproto shows WhatsApp's own form of messages (waE2E.Message) as JSON, to clients that ask for it.
package waproto

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// MaxJSON bounds the JSON of one message, in bytes. One of 100 KB with a thumbnail has some 140,000; small fields with long names can make much
	// more of the bytes that are kept (256 KiB).
	MaxJSON = 512 << 10
	// maxDepth bounds how deep messages are nested; those of WhatsApp's apps have about 10 levels.
	maxDepth = 100
)

// ErrTooLarge says that a message has more JSON than MaxJSON.
var ErrTooLarge = errors.New("the message is too large to be shown")

// JSON is a stored message in the JSON of Protocol Buffers. Keys are left out, of whatever depth: who has one can
// read a file or a group's messages, or forge a vote. Text that is no UTF-8 is made such.
func JSON(raw []byte) (json.RawMessage, error) {
	var m waE2E.Message
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth, DiscardUnknown: true}).Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("parse message: %w", err)
	}
	clean(m.ProtoReflect())
	text, err := protojson.MarshalOptions{AllowPartial: true}.Marshal(&m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(text) > MaxJSON {
		return nil, ErrTooLarge
	}
	return text, nil
}

// clean takes keys out of a message and of all that it holds.
func clean(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			// Of the few maps none holds keys; a text in one that is no UTF-8 makes the whole an error.
		case field.Kind() == protoreflect.BytesKind && secret(string(field.Name())):
			m.Clear(field)
		case field.Kind() == protoreflect.StringKind && field.IsList():
			for list, i := value.List(), 0; i < list.Len(); i++ {
				list.Set(i, protoreflect.ValueOfString(strings.ToValidUTF8(list.Get(i).String(), "\uFFFD")))
			}
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(strings.ToValidUTF8(value.String(), "\uFFFD")))
		case field.Message() == nil:
		case field.IsList():
			for list, i := value.List(), 0; i < list.Len(); i++ {
				clean(list.Get(i).Message())
			}
		default:
			clean(value.Message())
		}
		return true
	})
}

// secret says whether a field of bytes has a key: they all have names as mediaKey, messageSecret, keyData or axolotlSenderKeyDistributionMessage.
// The field initialHistBootstrapInlinePayload holds the history itself.
func secret(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, "key") || strings.Contains(name, "secret") || strings.Contains(name, "senderkey") || strings.HasPrefix(name, "keydata") ||
		strings.HasSuffix(name, "inlinepayload")
}
