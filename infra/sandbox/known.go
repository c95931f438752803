package sandbox

import (
	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// knownMessage is a message that a phone saw or sent, under the names by which it has to name it to others.
type knownMessage struct {
	id           string
	chat, sender types.JID // sender is empty for what the phone's own account wrote, as whatsmeow's builders want it
	own          types.JID // the phone's account, of the kind of address that the chat uses
	fromMe       bool
	message      *waE2E.Message // unwrapped
}

// known finds a message in a chat by its id, the latest first; chat "" stands for any. nil when the phone has none.
func (p *phone) known(chat, id string) *knownMessage {
	p.mu.Lock()
	var seen *seenMessage
	for i := len(p.seen) - 1; i >= 0 && seen == nil; i-- {
		if m := p.seen[i]; m.ID == id && (chat == "" || m.Message.Chat == chat) {
			seen = m
		}
	}
	var sent outgoing
	if m := p.outbox[id]; m != nil && (chat == "" || m.Recipient == chat) {
		sent = *m
	}
	p.mu.Unlock()
	k := &knownMessage{id: id}
	var message *waE2E.Message
	var err error
	switch {
	case sent.ID != "":
		k.fromMe, k.chat = true, p.address(sent.Recipient)
		message, err = sent.content()
	case seen != nil:
		if k.chat, err = types.ParseJID(seen.Chat); err != nil {
			return nil
		}
		if k.fromMe = seen.FromMe; !k.fromMe {
			if k.sender, err = types.ParseJID(seen.Sender); err != nil {
				return nil
			}
		}
		message = &waE2E.Message{}
		err = proto.Unmarshal(seen.Raw, message)
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	k.message, _ = unwrap(message)
	k.own = types.NewJID(p.number, types.DefaultUserServer)
	if account, ok := p.sandbox.server.Account(p.number); ok && k.chat.Server != types.DefaultUserServer {
		k.own = types.NewJID(account.LID, types.HiddenUserServer)
	}
	return k
}

// address is the JID of a recipient as whatsmeow writes to it: a user's LID (SendMessage in whatsmeow's send.go).
func (p *phone) address(recipient string) types.JID {
	if account, ok := p.sandbox.server.Account(recipient); ok {
		return types.NewJID(account.LID, types.HiddenUserServer)
	}
	return recipientJID(recipient)
}

// author is who wrote the message.
func (k *knownMessage) author() types.JID {
	if k.fromMe {
		return k.own
	}
	return k.sender
}

// key names the message to others.
func (k *knownMessage) key() *waCommon.MessageKey {
	return builder.BuildMessageKey(k.chat, k.sender, k.id)
}

// info is what whatsmeow wants to know of the message to encrypt something for those who have it.
func (k *knownMessage) info() *types.MessageInfo {
	return &types.MessageInfo{ID: k.id, MessageSource: types.MessageSource{
		Chat: k.chat, Sender: k.author(), IsFromMe: k.fromMe, IsGroup: k.chat.Server == types.GroupServer,
	}}
}
