package sandbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"slices"

	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// chats is what a phone knows to give as history.
type chats struct {
	list   []*conversation
	groups map[types.JID]*types.GroupInfo
}

// groupsOf completes the chats by the groups that the phone is in, those without a message too.
func (c *connection) groupsOf(ctx context.Context, list []*conversation) (chats, error) {
	joined, err := c.client.GetJoinedGroups(ctx)
	if err != nil {
		return chats{}, fmt.Errorf("list groups: %w", err)
	}
	known := chats{list: list, groups: make(map[types.JID]*types.GroupInfo, len(joined))}
	for _, g := range joined {
		known.groups[g.JID] = g
		i := slices.IndexFunc(list, func(chat *conversation) bool { return chat.jid == g.JID })
		if i < 0 {
			known.list = append(known.list, &conversation{jid: g.JID, name: g.Name})
			continue
		}
		list[i].name = g.Name
	}
	return known, nil
}

// chunks cuts the messages from one position of each chat to another into as many chunks as it takes, one at least. whole tells the
// companion, in the last chunk of a chat, that it got everything that it will without asking.
func (known chats) chunks(kind waHistorySync.HistorySync_HistorySyncType, from, to int, whole bool) []*waHistorySync.HistorySync {
	all := []*waHistorySync.HistorySync{{SyncType: kind.Enum()}}
	room := chunkMessages
	for _, chat := range known.list {
		if chat.jid.Server == types.BroadcastServer {
			continue
		}
		end := min(to, chat.count())
		bootstrap := kind == waHistorySync.HistorySync_INITIAL_BOOTSTRAP // names the chats that have no message as well
		for at := from; at < end || bootstrap && at == from; {
			chunk := all[len(all)-1]
			if room == 0 || len(chunk.Conversations) == chunkChats {
				chunk, room = &waHistorySync.HistorySync{SyncType: kind.Enum()}, chunkMessages
				all = append(all, chunk)
			}
			step := min(room, max(0, end-at))
			given := known.conversation(chat, at, at+step)
			if at+step >= end {
				given.EndOfHistoryTransfer = &whole
				given.EndOfHistoryTransferType = waHistorySync.Conversation_COMPLETE_BUT_MORE_MESSAGES_REMAIN_ON_PRIMARY.Enum()
				if end == chat.count() {
					given.EndOfHistoryTransferType = waHistorySync.Conversation_COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY.Enum()
				}
			}
			chunk.Conversations = append(chunk.Conversations, given)
			room -= step
			at += max(1, step)
		}
	}
	return all
}

// conversation makes a chat with some of its messages, newest first.
func (known chats) conversation(chat *conversation, from, to int) *waHistorySync.Conversation {
	given := &waHistorySync.Conversation{ID: proto.String(chat.jid.String()), UnreadCount: proto.Uint32(0)}
	if chat.name != "" {
		given.Name = &chat.name
	}
	if !chat.lid.IsEmpty() {
		given.LidJID, given.PnJID = proto.String(chat.lid.String()), proto.String(chat.jid.String())
	}
	if chat.count() > 0 {
		newest := uint64(chat.page(0, 1)[0].Timestamp.Unix())
		given.LastMsgTimestamp, given.ConversationTimestamp = &newest, &newest
	}
	for i, m := range chat.page(from, to) {
		order := uint64(chat.count() - from - i)
		given.Messages = append(given.Messages, &waHistorySync.HistorySyncMsg{Message: m.web(), MsgOrderID: &order})
	}
	if g := known.groups[chat.jid]; g != nil {
		given.CreatedAt, given.CreatedBy = proto.Uint64(uint64(g.GroupCreated.Unix())), proto.String(g.OwnerJID.String())
		given.Description, given.IsParentGroup, given.IsDefaultSubgroup = &g.Topic, &g.IsParent, &g.IsDefaultSubGroup
		for _, member := range g.Participants {
			rank := waHistorySync.GroupParticipant_REGULAR
			switch {
			case member.IsSuperAdmin:
				rank = waHistorySync.GroupParticipant_SUPERADMIN
			case member.IsAdmin:
				rank = waHistorySync.GroupParticipant_ADMIN
			}
			given.Participant = append(given.Participant, &waHistorySync.GroupParticipant{UserJID: proto.String(member.JID.String()), Rank: &rank})
		}
	}
	return given
}

// statuses are the status messages that the phone saw.
func (known chats) statuses() *waHistorySync.HistorySync {
	h := &waHistorySync.HistorySync{SyncType: waHistorySync.HistorySync_INITIAL_STATUS_V3.Enum()}
	for _, chat := range known.list {
		if chat.jid != types.StatusBroadcastJID {
			continue
		}
		for _, m := range chat.page(0, chunkMessages) {
			h.StatusV3Messages = append(h.StatusV3Messages, m.web())
		}
	}
	return h
}

// rest is what a companion can wait for: who wrote in a group and is in it no more.
func (known chats) rest() *waHistorySync.HistorySync {
	h := &waHistorySync.HistorySync{SyncType: waHistorySync.HistorySync_NON_BLOCKING_DATA.Enum()}
	for _, chat := range known.list {
		g := known.groups[chat.jid]
		if g == nil {
			continue
		}
		present := map[string]bool{}
		for _, member := range g.Participants {
			present[member.JID.User], present[member.LID.User], present[member.PhoneNumber.User] = true, true, true
		}
		past := &waHistorySync.PastParticipants{GroupJID: proto.String(chat.jid.String())}
		for _, m := range chat.own { // newest first: when he was last heard of is the best that there is
			if m.FromMe || m.Sender.IsEmpty() || present[m.Sender.User] {
				continue
			}
			present[m.Sender.User] = true
			past.PastParticipants = append(past.PastParticipants, &waHistorySync.PastParticipant{
				UserJID: proto.String(m.Sender.ToNonAD().String()), LeaveReason: waHistorySync.PastParticipant_LEFT.Enum(), LeaveTS: proto.Uint64(uint64(m.Timestamp.Unix())),
			})
		}
		if len(past.PastParticipants) > 0 {
			h.PastParticipants = append(h.PastParticipants, past)
		}
	}
	return h
}

// hashed hashes what is read through it.
type hashed struct {
	io.Reader
	hash hash.Hash
}

func newHashed(r io.Reader) hashed {
	h := sha256.New()
	return hashed{io.TeeReader(r, h), h}
}

func (h hashed) sum() []byte { return h.hash.Sum(nil) }
