package waproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

func encoded(t *testing.T, m *waE2E.Message) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestKeysAreLeftOut(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	image := &waE2E.ImageMessage{Caption: proto.String("hello\xff"), MediaKey: key, FileSHA256: []byte{1}, ContextInfo: &waE2E.ContextInfo{
		MentionedJID: []string{"a\xff"}, EphemeralSharedSecret: key, QuotedMessage: &waE2E.Message{AudioMessage: &waE2E.AudioMessage{MediaKey: key, Seconds: proto.Uint32(3)}},
	}}
	text, err := JSON(encoded(t, &waE2E.Message{
		EphemeralMessage:             &waE2E.FutureProofMessage{Message: &waE2E.Message{ImageMessage: image}},
		MessageContextInfo:           &waE2E.MessageContextInfo{MessageSecret: key, BotMessageSecret: key},
		SenderKeyDistributionMessage: &waE2E.SenderKeyDistributionMessage{GroupID: proto.String("1@g.us"), AxolotlSenderKeyDistributionMessage: key},
		ProtocolMessage: &waE2E.ProtocolMessage{Key: &waCommon.MessageKey{ID: proto.String("ID1")}, AppStateSyncKeyShare: &waE2E.AppStateSyncKeyShare{
			Keys: []*waE2E.AppStateSyncKey{{KeyData: &waE2E.AppStateSyncKeyData{KeyData: key}}},
		}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"caption":"hello�"`, `"mentionedJID":["a�"]`, `"seconds":3`, `"fileSHA256":"AQ=="`, `"groupID":"1@g.us"`, `"ID":"ID1"`} {
		if !strings.Contains(compact.String(), want) {
			t.Errorf("%s is not in %s", want, compact.String())
		}
	}
	if strings.Contains(compact.String(), "BwcHBwcH") {
		t.Errorf("a key is in %s", compact.String())
	}
}

// Every field of bytes of all that a message can hold: who adds one looks at this list.
func TestEveryFieldThatIsNamedAsAKeyIsOne(t *testing.T) {
	t.Parallel()
	seen, kept := map[protoreflect.FullName]bool{}, []string{}
	var walk func(d protoreflect.MessageDescriptor)
	walk = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if f.Message() != nil {
				walk(f.Message())
			}
			name := strings.ToLower(string(f.Name()))
			if f.Kind() == protoreflect.BytesKind && !secret(string(f.Name())) && (strings.Contains(name, "key") || strings.Contains(name, "secret")) {
				kept = append(kept, string(f.Name()))
			}
		}
	}
	walk((&waE2E.Message{}).ProtoReflect().Descriptor())
	for _, name := range kept {
		switch name {
		case "keyID", "recipientKeyHash", "keyId":
		default:
			t.Errorf("%s is shown, although its name speaks of a key", name)
		}
	}
}

func TestWhatIsTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := JSON(encoded(t, &waE2E.Message{Conversation: proto.String(strings.Repeat("x", MaxJSON))})); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a message of %d bytes: %v", MaxJSON, err)
	}
	deep := &waE2E.Message{Conversation: proto.String("deep")}
	for range 200 {
		deep = &waE2E.Message{EphemeralMessage: &waE2E.FutureProofMessage{Message: deep}}
	}
	if _, err := JSON(encoded(t, deep)); err == nil {
		t.Error("a message of 400 levels was shown")
	}
	if _, err := JSON([]byte("\xff\xff")); err == nil {
		t.Error("what is no message was shown")
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte("\x0a\x02hi"))
	f.Add([]byte("\x0a\x02\xff\x00"))
	testfuzz.Run(f, func(t *testing.T, raw []byte) {
		if text, err := JSON(raw); err == nil && !json.Valid(text) {
			t.Errorf("%q is no JSON", text)
		}
	})
}
