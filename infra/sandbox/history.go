package sandbox

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const (
	// maxInline is how large a chunk of history, compressed, may be to be sent within its message, in bytes.
	maxInline = 64 << 10
	// chunkMessages and chunkChats bound one chunk of history.
	chunkMessages, chunkChats = 1000, 200
	// bootstrapMessages is how many messages of each chat the first chunk has, so that a companion has something to show soon.
	bootstrapMessages = 10
	// maxSeedChats and maxSeedMessages bound made-up history: the chats, the messages of one, and all of them.
	maxSeedChats, maxSeedMessages, maxSeed = 1000, 100_000, 200_000
)

// HistorySettings say what history a phone gives the companions that are linked from then on.
type HistorySettings struct {
	// Mode is "inline" (small chunks within the messages, larger ones as files), "media" (all as files) or "none".
	Mode string `json:"mode"`
	// Messages is how many messages of each chat a companion is given unless it wants all (DeviceProps.RequireFullSync).
	Messages int `json:"messages"`
	// Seed is history that is made up, beside what the phone saw and sent.
	Seed HistorySeed `json:"seed"`
}

// HistorySeed is made-up history: Chats chats of Messages messages each, the same ones each time.
type HistorySeed struct {
	Chats    int `json:"chats"`
	Messages int `json:"messages"`
}

// defaultHistory is what phones give that nothing was set for.
var defaultHistory = HistorySettings{Mode: "inline", Messages: 100}

func (s *Sandbox) historyOperations() map[string]operation {
	return map[string]operation{
		"PUT /phones/{number}/history": s.putHistory,
		"GET /phones/{number}/history": s.getHistory,
	}
}

func (s *Sandbox) putHistory(r *http.Request) (int, any, error) {
	in := defaultHistory
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.SetHistory(r.Context(), r.PathValue("number"), in)
}

func (s *Sandbox) getHistory(r *http.Request) (int, any, error) {
	settings, owed, err := s.History(r.PathValue("number"))
	return http.StatusOK, map[string]any{"mode": settings.Mode, "messages": settings.Messages, "seed": settings.Seed, "owed": owed}, err
}

// SetHistory sets what history a phone gives; it is persisted when the call returns.
func (s *Sandbox) SetHistory(ctx context.Context, number string, h HistorySettings) error {
	p, err := s.phone(number)
	if err != nil {
		return err
	}
	switch {
	case h.Mode != "inline" && h.Mode != "media" && h.Mode != "none":
		return failure(http.StatusUnprocessableEntity, `mode must be "inline", "media" or "none"`)
	case h.Messages < 0 || h.Messages > maxSeedMessages:
		return failure(http.StatusUnprocessableEntity, "messages must be 0 to %d", maxSeedMessages)
	case h.Seed.Chats < 0 || h.Seed.Chats > maxSeedChats || h.Seed.Messages < 0 || h.Seed.Messages > maxSeedMessages || h.Seed.Chats*h.Seed.Messages > maxSeed:
		return failure(http.StatusUnprocessableEntity, "seed may have %d chats, %d messages in each, and %d in all", maxSeedChats, maxSeedMessages, maxSeed)
	}
	return p.change(ctx, func(k *peers) ([]journal.Record, func()) {
		return []journal.Record{jsonRecord("phone.history", k.number+"/", h)}, func() { k.history = h }
	})
}

// History returns what history a phone gives, and how many peer messages (keys, history, answers) it owes its companions just now.
func (s *Sandbox) History(number string) (settings HistorySettings, owed int, err error) {
	p, err := s.phone(number)
	if err != nil {
		return HistorySettings{}, 0, err
	}
	return p.peers.settings(), p.peers.owed(), nil
}

func (k *peers) settings() HistorySettings {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.history
}

// initialHistory makes what a new companion is owed: the newest messages of each chat, the names and what else there is, then older messages,
// and all of them to one that asked for that.
func (c *connection) initialHistory(ctx context.Context, to server.Companion) ([]debt, error) {
	settings := c.phone.peers.settings()
	if settings.Mode == "none" {
		return nil, nil
	}
	known, err := c.groupsOf(ctx, c.phone.conversations(settings.Seed))
	if err != nil {
		return nil, err
	}
	first := bootstrapMessages
	if limit := to.Props.GetHistorySyncConfig().GetInitialSyncMaxMessagesPerChat(); limit > 0 {
		first = int(min(limit, chunkMessages))
	}
	first = min(first, settings.Messages)
	var owed []debt
	add := func(syncs ...*waHistorySync.HistorySync) error {
		for i, h := range syncs {
			h.ChunkOrder, h.Progress = proto.Uint32(uint32(i)), proto.Uint32(uint32(100*(i+1)/len(syncs)))
			message, err := c.historyMessage(ctx, h, settings.Mode == "inline", nil)
			if err != nil {
				return err
			}
			owed = append(owed, debt{Device: to.JID.Device, ID: newMessageID(), Message: message, History: true})
		}
		return nil
	}
	full := to.Props.GetRequireFullSync()
	bootstrap := known.chunks(waHistorySync.HistorySync_INITIAL_BOOTSTRAP, 0, first, !full)
	bootstrap[0].PhoneNumberToLidMappings = c.mappings(known)
	if err := add(bootstrap...); err != nil {
		return nil, err
	}
	for _, h := range []*waHistorySync.HistorySync{known.statuses(), c.pushNames(known), known.rest()} {
		if err := add(h); err != nil {
			return nil, err
		}
	}
	if err := add(known.chunks(waHistorySync.HistorySync_RECENT, first, settings.Messages, !full)...); err != nil {
		return nil, err
	}
	if full {
		if err := add(known.chunks(waHistorySync.HistorySync_FULL, settings.Messages, maxSeedMessages, true)...); err != nil {
			return nil, err
		}
	}
	return owed, nil
}

// historyMessage makes the peer message of a chunk of history (DownloadHistorySync in whatsmeow's message.go reads it): compressed, within
// the message if it may be and is small, else as an encrypted file, which is stored and is yet to be uploaded. more completes the message.
func (c *connection) historyMessage(ctx context.Context, h *waHistorySync.HistorySync, inline bool, more func(*waE2E.HistorySyncNotification)) ([]byte, error) {
	plain, err := proto.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("marshal history: %w", err)
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = w.Write(plain) // a buffer takes everything
	_ = w.Close()
	notice := &waE2E.HistorySyncNotification{
		SyncType: waE2E.HistorySyncType(h.GetSyncType()).Enum(), ChunkOrder: h.ChunkOrder, Progress: h.Progress,
		OldestMsgInChunkTimestampSec: oldest(h), FileLength: proto.Uint64(uint64(packed.Len())),
	}
	if more != nil {
		more(notice)
	}
	if inline && packed.Len() <= maxInline {
		notice.InitialHistBootstrapInlinePayload = packed.Bytes()
	} else if err := c.sealHistory(ctx, notice, &packed); err != nil {
		return nil, err
	}
	return peerMessage(&waE2E.ProtocolMessage{Type: waE2E.ProtocolMessage_HISTORY_SYNC_NOTIFICATION.Enum(), HistorySyncNotification: notice}), nil
}

// sealHistory encrypts a chunk under a fresh key, as a blob that nobody can fetch before it is uploaded.
func (c *connection) sealHistory(ctx context.Context, notice *waE2E.HistorySyncNotification, packed io.Reader) error {
	notice.MediaKey = make([]byte, 32)
	_, _ = rand.Read(notice.MediaKey) // it never fails
	keys, err := keysOf(notice.MediaKey, whatsmeow.MediaHistory)
	if err != nil {
		return err
	}
	sealed, err := c.phone.sandbox.journal.CreateBlob(ctx)
	if err != nil {
		return err
	}
	defer sealed.Discard()
	hashed := newHashed(packed)
	if err := keys.seal(sealed, hashed); err != nil {
		return err
	}
	if err := sealed.Commit(); err != nil {
		return err
	}
	notice.FileSHA256, notice.FileEncSHA256 = hashed.sum(), sealed.SHA256()
	return nil
}

// oldest is the time of the oldest message in a chunk, nil when there is none.
func oldest(h *waHistorySync.HistorySync) *int64 {
	var found *int64
	for _, chat := range h.GetConversations() {
		for _, m := range chat.GetMessages() {
			if at := int64(m.GetMessage().GetMessageTimestamp()); found == nil || at < *found {
				found = &at
			}
		}
	}
	return found
}

// mappings pairs the phone numbers that history speaks of with their LIDs.
func (c *connection) mappings(known chats) (pairs []*waHistorySync.PhoneNumberToLIDMapping) {
	seen := map[types.JID]bool{}
	pair := func(pn, lid types.JID) {
		if pn.Server == types.DefaultUserServer && !lid.IsEmpty() && !seen[pn] {
			seen[pn] = true
			pairs = append(pairs, &waHistorySync.PhoneNumberToLIDMapping{PnJID: proto.String(pn.ToNonAD().String()), LidJID: proto.String(lid.ToNonAD().String())})
		}
	}
	pair(*c.client.Store.ID, c.client.Store.LID)
	for _, chat := range known.list {
		pair(chat.jid, chat.lid)
	}
	for _, g := range known.groups {
		for _, member := range g.Participants {
			pair(member.PhoneNumber, member.LID)
		}
	}
	return pairs
}

// pushNames are the names that the phone knows, its own among them.
func (c *connection) pushNames(known chats) *waHistorySync.HistorySync {
	h := &waHistorySync.HistorySync{SyncType: waHistorySync.HistorySync_PUSH_NAME.Enum()}
	add := func(jid types.JID, name string) {
		if name != "" {
			h.Pushnames = append(h.Pushnames, &waHistorySync.Pushname{ID: proto.String(jid.ToNonAD().String()), Pushname: &name})
		}
	}
	add(*c.client.Store.ID, c.phone.row.Name)
	for _, chat := range known.list {
		if chat.jid.Server == types.DefaultUserServer {
			add(chat.jid, chat.name)
		}
	}
	return h
}
