package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/proto/waMmsRetry"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// onDemandMessages is how many messages one request for history is answered with at most; whatsmeow recommends 50 (BuildHistorySyncRequest
	// in send.go).
	onDemandMessages = 500
	// maxParts bounds the items of one request that are answered.
	maxParts = 100
)

type (
	peerRequest  = waE2E.PeerDataOperationRequestMessage
	peerResult   = waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult
	resultsOf    = waE2E.PeerDataOperationRequestResponseMessage
	historyReply = waE2E.HistorySyncNotification
)

// takePeer takes a companion's request to its phone: the answer is owed when it returns nil. A copy of the request is owed the same answer.
func (c *connection) takePeer(e *events.Message) error {
	m := e.Message.GetProtocolMessage()
	device := e.Info.Sender.Device
	if !e.Info.IsFromMe || device == 0 || m == nil {
		return nil
	}
	p := c.phone
	request := m.GetPeerDataOperationRequestMessage()
	kind := m.GetType().String()
	var owed []debt
	var err error
	switch {
	case m.GetAppStateSyncKeyRequest() != nil:
		if keys := p.peers.keysAsked(m.GetAppStateSyncKeyRequest()); len(keys) > 0 {
			owed = []debt{{Message: share(keys)}}
		}
	case m.GetAppStateFatalExceptionNotification() != nil:
		// The companion's app state cannot be mended: all are unlinked, and begin anew.
		err = p.sandbox.server.Unlink(c.ctx, p.number)
	case request != nil:
		kind = request.GetPeerDataOperationRequestType().String()
		owed, err = c.answer(c.ctx, e.Info.ID, request)
	}
	if err != nil {
		return fmt.Errorf("answer companion %d: %w", device, err)
	}
	for i := range owed {
		owed[i].Device, owed[i].ID = device, answerID(e.Info.ID, device, i)
	}
	if err := p.change(c.ctx, func(k *peers) ([]journal.Record, func()) { return k.owe(owed...) }); err != nil {
		return err
	}
	p.events.note("peerRequest", map[string]any{"type": kind, "device": device, "id": e.Info.ID, "answers": len(owed)})
	return nil
}

// answerID is the id of an answer: a function of the request, so that it is the same however often it is answered.
func answerID(request string, device uint16, part int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", request, device, part))
	return "AC" + strings.ToUpper(hex.EncodeToString(sum[:15]))
}

// answer makes what a request is owed.
func (c *connection) answer(ctx context.Context, id string, r *peerRequest) ([]debt, error) {
	switch r.GetPeerDataOperationRequestType() {
	case waE2E.PeerDataOperationRequestType_HISTORY_SYNC_ON_DEMAND:
		return c.historyBefore(ctx, id, r.GetHistorySyncOnDemandRequest())
	case waE2E.PeerDataOperationRequestType_FULL_HISTORY_SYNC_ON_DEMAND:
		return c.fullHistory(ctx, id, r)
	case waE2E.PeerDataOperationRequestType_PLACEHOLDER_MESSAGE_RESEND:
		parts, err := c.placeholders(ctx, r.GetPlaceholderMessageResendRequest())
		return results(id, r, parts...), err
	case waE2E.PeerDataOperationRequestType_HISTORY_SYNC_CHUNK_RETRY:
		return c.chunkAgain(id, r), nil
	case waE2E.PeerDataOperationRequestType_COMPANION_SYNCD_SNAPSHOT_FATAL_RECOVERY:
		return []debt{{Recover: r.GetSyncdCollectionFatalRecoveryRequest().GetCollectionName() + " " + id}}, nil
	case waE2E.PeerDataOperationRequestType_GENERATE_LINK_PREVIEW:
		return results(id, r, previews(r)...), nil
	case waE2E.PeerDataOperationRequestType_UPLOAD_STICKER:
		var parts []*peerResult
		for range min(maxParts, len(r.GetRequestStickerReupload())) {
			parts = append(parts, &peerResult{MediaUploadResult: waMmsRetry.MediaRetryNotification_NOT_FOUND.Enum()})
		}
		return results(id, r, parts...), nil
	case waE2E.PeerDataOperationRequestType_COMPANION_META_NONCE_FETCH:
		return results(id, r, &peerResult{CompanionMetaNonceFetchRequestResponse: &waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_CompanionMetaNonceFetchResponse{
			Nonce: proto.String(rand.Text()),
		}}), nil
	}
	return results(id, r), nil // the phone has nothing of that
}

// results makes the message that answers a request with results.
func results(id string, r *peerRequest, parts ...*peerResult) []debt {
	return []debt{{Message: peerMessage(&waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE.Enum(),
		PeerDataOperationRequestResponseMessage: &resultsOf{
			PeerDataOperationRequestType: r.PeerDataOperationRequestType, StanzaID: &id, PeerDataOperationResult: parts,
		},
	})}}
}

// historyBefore makes the history before a message: the older ones of its chat, as many as are asked for.
func (c *connection) historyBefore(ctx context.Context, id string, r *waE2E.PeerDataOperationRequestMessage_HistorySyncOnDemandRequest) ([]debt, error) {
	settings := c.phone.peers.settings()
	list := c.phone.conversations(settings.Seed)
	h := &waHistorySync.HistorySync{SyncType: waHistorySync.HistorySync_ON_DEMAND.Enum(), ChunkOrder: proto.Uint32(0), Progress: proto.Uint32(100)}
	for _, chat := range list {
		if name := r.GetChatJID(); name != chat.jid.String() && name != chat.lid.String() {
			continue
		}
		// In spite of its name the time is in seconds (BuildHistorySyncRequest in send.go); a later one than year 5138 must be in ms.
		before := time.Unix(r.GetOldestMsgTimestampMS(), 0)
		if r.GetOldestMsgTimestampMS() > 1e11 {
			before = time.UnixMilli(r.GetOldestMsgTimestampMS())
		}
		from, exact := chat.find(r.GetOldestMsgID(), before)
		if exact {
			from++
		}
		to := min(from+min(max(1, int(r.GetOnDemandMsgCount())), onDemandMessages), chat.count())
		given := chats{}.conversation(chat, from, to)
		given.ID = r.ChatJID // as it was asked for
		given.EndOfHistoryTransferType = waHistorySync.Conversation_COMPLETE_ON_DEMAND_SYNC_BUT_MORE_MSG_REMAIN_ON_PRIMARY.Enum()
		if to == chat.count() {
			given.EndOfHistoryTransferType = waHistorySync.Conversation_COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY.Enum()
		}
		h.Conversations = append(h.Conversations, given)
		break
	}
	if len(h.Conversations) == 0 && r.ChatJID != nil {
		h.Conversations = []*waHistorySync.Conversation{{
			ID: r.ChatJID, EndOfHistoryTransferType: waHistorySync.Conversation_COMPLETE_AND_NO_MORE_MESSAGE_REMAIN_ON_PRIMARY.Enum(),
		}}
	}
	inline := r.GetSupportInlineResponse() || settings.Mode == "inline"
	message, err := c.historyMessage(ctx, h, inline, func(n *historyReply) { n.PeerDataRequestSessionID = &id })
	return []debt{{Message: message, History: true}}, err
}

// fullHistory gives a companion all messages of all chats, which it need not have wanted when it was linked.
func (c *connection) fullHistory(ctx context.Context, id string, r *peerRequest) ([]debt, error) {
	settings := c.phone.peers.settings()
	list := c.phone.conversations(settings.Seed)
	metadata := r.GetFullHistorySyncOnDemandRequest().GetRequestMetadata()
	owed := results(id, r, &peerResult{FullHistorySyncOnDemandRequestResponse: &waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_FullHistorySyncOnDemandRequestResponse{
		RequestMetadata: metadata,
		ResponseCode:    waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_REQUEST_SUCCESS.Enum(),
	}})
	all := chats{list: list}.chunks(waHistorySync.HistorySync_FULL, 0, maxSeedMessages, true)
	for i, h := range all {
		h.ChunkOrder, h.Progress = proto.Uint32(uint32(i)), proto.Uint32(uint32(100*(i+1)/len(all)))
		message, err := c.historyMessage(ctx, h, settings.Mode == "inline", func(n *historyReply) {
			n.PeerDataRequestSessionID, n.FullHistorySyncOnDemandRequestMetadata = &id, metadata
		})
		if err != nil {
			return nil, err
		}
		owed = append(owed, debt{Message: message, History: true})
	}
	return owed, nil
}

// placeholders finds the messages that a companion could not decrypt; those that the phone does not have are left out.
func (c *connection) placeholders(ctx context.Context, asked []*waE2E.PeerDataOperationRequestMessage_PlaceholderMessageResendRequest) (parts []*peerResult, err error) {
	list := c.phone.conversations(c.phone.peers.settings().Seed)
	for _, item := range asked[:min(maxParts, len(asked))] {
		key := item.GetMessageKey()
		for _, chat := range list {
			at, exact := chat.find(key.GetID(), time.Time{})
			if name := key.GetRemoteJID(); !exact || name != chat.jid.String() && name != chat.lid.String() {
				continue
			}
			m := chat.page(at, at+1)[0].web()
			m.Key.RemoteJID = key.RemoteJID // as it was asked for
			text, err := proto.Marshal(m)
			if err != nil {
				return nil, fmt.Errorf("marshal message: %w", err)
			}
			parts = append(parts, &peerResult{PlaceholderMessageResendResponse: &waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_PlaceholderMessageResendResponse{
				WebMessageInfoBytes: text,
			}})
			break
		}
	}
	return parts, nil
}

// chunkAgain sends a chunk of history again whose file a companion could not download, if the phone still has it.
func (c *connection) chunkAgain(id string, r *peerRequest) []debt {
	asked := r.GetHistorySyncChunkRetryRequest()
	message := c.phone.peers.message(asked.GetChunkNotificationID())
	if message.GetProtocolMessage().GetHistorySyncNotification() != nil {
		return []debt{{Message: moved(message, asked.GetChunkNotificationID()), History: true}}
	}
	return results(id, r, &peerResult{HistorySyncChunkRetryResponse: &waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_HistorySyncChunkRetryResponse{
		SyncType: asked.SyncType, ChunkOrder: asked.ChunkOrder, RequestID: &id, CanRecover: proto.Bool(false),
		ResponseCode: waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_CHUNK_CONSUMED.Enum(),
	}})
}

// previews are those of links, of which the phone, which has no network, knows nothing but the host.
func previews(r *peerRequest) (parts []*peerResult) {
	for _, asked := range r.GetRequestURLPreview()[:min(maxParts, len(r.GetRequestURLPreview()))] {
		preview := &waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_LinkPreviewResponse{URL: asked.URL, MatchText: asked.URL}
		if link, err := url.Parse(asked.GetURL()); err == nil {
			preview.Title = proto.String(link.Host)
		}
		parts = append(parts, &peerResult{LinkPreviewResponse: preview})
	}
	return parts
}

// noteAppState shows what changed in the account's app state, by a companion or by the phone itself.
func (p *phone) noteAppState(e *events.AppState) {
	if len(e.Index) == 0 {
		return
	}
	shown := map[string]any{"action": e.Index[0], "index": e.Index, "value": valueOf(e.SyncActionValue)}
	for name, known := range actionNames {
		if known == e.Index[0] {
			shown["action"] = name
		}
	}
	at := 1
	if e.Index[0] == "label_jid" || e.Index[0] == "label_message" {
		at = 2
	}
	if len(e.Index) > at {
		if jid, err := types.ParseJID(e.Index[at]); err == nil && jid.User != "" && jid.Server != "" {
			shown["chat"] = jid
			if jid.Server == types.DefaultUserServer {
				shown["chat"] = jid.User
			}
		}
	}
	p.events.note("appState", shown)
}
