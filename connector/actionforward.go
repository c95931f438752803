package connector

import (
	"fmt"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
)

// forwarded makes the copy of a message for another chat, as WhatsApp's apps do: the same words, the same file where WhatsApp has it, and
// nothing of whom it answered or mentioned.
func forwarded(raw []byte, content events.Content, said postgres.MessageContext) (*waE2E.Message, error) {
	m := &waE2E.Message{}
	if err := proto.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("parse message to forward: %w", err)
	}
	m, _ = unwrap(m)
	if content.Type == events.ContentText && m.ExtendedTextMessage == nil { // also where a business offered something to choose
		m = &waE2E.Message{Conversation: &content.Text}
	}
	undress(m)
	m.MessageContextInfo, m.SenderKeyDistributionMessage = nil, nil
	if proto.Size(m) == 0 {
		return nil, fmt.Errorf("forward a message of type %s: its original is not kept", content.Type)
	}
	info := &waE2E.ContextInfo{IsForwarded: proto.Bool(true), ForwardingScore: proto.Uint32(uint32(said.Forwarded))}
	if said.DisappearsAfter > 0 {
		info.Expiration = proto.Uint32(uint32(said.DisappearsAfter))
	}
	return enclosed(withContext(m, info)), nil
}

// withContext replaces what a message says beside what it says itself; nil is nothing.
func withContext(m *waE2E.Message, info *waE2E.ContextInfo) *waE2E.Message {
	if proto.Size(info) == 0 {
		info = nil
	}
	if m.Conversation != nil && info != nil {
		m.ExtendedTextMessage, m.Conversation = &waE2E.ExtendedTextMessage{Text: m.Conversation}, nil
	}
	reflection := m.ProtoReflect()
	for field, value := range reflection.Range {
		if field.Message() == nil || field.IsList() || field.IsMap() {
			continue
		}
		context := value.Message().Descriptor().Fields().ByName("contextInfo")
		switch {
		case context == nil || context.Message() == nil:
		case info == nil:
			value.Message().Clear(context)
		default:
			reflection.Mutable(field).Message().Set(context, protoreflect.ValueOfMessage(info.ProtoReflect()))
		}
	}
	return m
}

// enclosed puts a message into the wrapper without which apps do not show it.
func enclosed(m *waE2E.Message) *waE2E.Message {
	switch {
	case m.GetDocumentMessage().GetCaption() != "":
		return &waE2E.Message{DocumentWithCaptionMessage: &waE2E.FutureProofMessage{Message: m}}
	case m.GetStickerMessage().GetIsLottie():
		return &waE2E.Message{LottieStickerMessage: &waE2E.FutureProofMessage{Message: m}}
	}
	return m
}
