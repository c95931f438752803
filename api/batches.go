package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/trace"
)

// maxBatchBody bounds the body of a batch: 4 KiB a message.
const maxBatchBody = 4 << 20

// batchMessage is a message of a batch.
type batchMessage struct {
	To              string      `json:"to" minLength:"1" maxLength:"64" doc:"Whom to send it to, as in a message of its own." example:"5491123456789"`
	Content         sendContent `json:"content"`
	ClientReference string      `json:"clientReference,omitempty" maxLength:"256" doc:"Any text of yours; it comes back in every form of the message." example:"order-4711"`
	TypingSeconds   int         `json:"typingSeconds,omitempty" minimum:"0" maximum:"30" doc:"Show for so long that the account is typing before it is sent. The chat's later messages wait." example:"3"`
}

type createBatch struct {
	Messages      []batchMessage `json:"messages" minItems:"1" maxItems:"1000" doc:"They are sent in this order. A file is named by its mediaId alone: upload it first, or take it over by its URL."`
	DelaySeconds  int            `json:"delaySeconds,omitempty" minimum:"0" maximum:"3600" doc:"Send one message so long after the other, and not as fast as WhatsApp takes them; what has its time ahead is scheduled." example:"30"`
	JitterSeconds int            `json:"jitterSeconds,omitempty" minimum:"0" maximum:"3600" doc:"Add to each delay as much at random, up to this." example:"15"`
	Priority      string         `json:"priority,omitempty" enum:"normal,high" doc:"Of all its messages, as in a message of its own." example:"normal"`
	SendAt        *time.Time     `json:"sendAt,omitempty" doc:"Send the first then, within a year."`
	ExpiresAt     *time.Time     `json:"expiresAt,omitempty" doc:"Give up what could not be sent by then. Without it each message has the operator's default, from its own time on."`
}

type batchOutput struct {
	Status   int
	Location string `header:"Location" doc:"The batch."`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     events.MessageBatch
}

// BatchPath names a batch of a session.
type BatchPath struct {
	SessionPath
	BatchID string `path:"batchId" maxLength:"64" doc:"The batch's id." example:"bat_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

func (s *Server) addBatches() {
	batch := events.MessageBatch{ID: "bat_01932f0c5d6b7a10b1f4d0c4a8e2f001", SessionID: "sales", Size: 2, Counts: map[string]int{"queued": 2}, CreatedAt: exampleTime}
	cancelled := batch
	cancelled.Counts, cancelled.CancelledAt = map[string]int{"sent": 1, "cancelled": 1}, &exampleTime
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/message-batches", id: "create-message-batch", tag: "Messages", status: 202, maxBody: maxBatchBody, wait: describeTimeout,
		summary: "Send many messages",
		description: "Accepts up to 1,000 messages at once: all of them, or none. They go out in their order, each once, and each tells how far it comes as any other message. delaySeconds " +
			"spreads them over time. GET of the batch counts how far they are; list-messages shows them, with batchId.",
		request: map[string]any{"delaySeconds": 30, "jitterSeconds": 15, "messages": []map[string]any{
			{"to": "5491123456789", "content": map[string]string{"type": "text", "text": "Your order is ready."}},
			{"to": "5491187654321", "content": map[string]any{"type": "image", "caption": "The menu", "media": map[string]string{"mediaId": exampleFile.ID}}},
		}},
		response: batch, codes: []Code{SessionNotFound, SessionLoggedOut, MediaNotFound, MediaExpired, MediaPending, MediaFetchFailed, UnsupportedMediaType},
	}, s.createBatch)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/message-batches/{batchId}", id: "get-message-batch", tag: "Messages", status: 200,
		summary: "Read a batch", description: "How far the messages of a batch have come.",
		response: batch, codes: []Code{SessionNotFound, NotFound},
	}, s.getBatch)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/message-batches/{batchId}/cancel", id: "cancel-message-batch", tag: "Messages", status: 200,
		summary:     "Cancel a batch",
		description: "Cancels those of its messages that are scheduled or queued, and answers what is left. message.status tells of each. A batch that is cancelled already is answered as it is.",
		response:    cancelled, codes: []Code{SessionNotFound, NotFound},
	}, s.cancelBatch)
}

func (s *Server) createBatch(ctx context.Context, in *struct {
	SessionPath
	Idempotent
	Body createBatch
}) (*batchOutput, error) {
	if err := checkTimes("body", in.Body.SendAt, in.Body.ExpiresAt); err != nil {
		return nil, err
	}
	to := make([]string, len(in.Body.Messages))
	for i := range in.Body.Messages {
		m := &in.Body.Messages[i]
		var err error
		if to[i], err = events.ParseAddress(m.To); err == nil && events.KindOf(to[i]) != events.KindUser && events.KindOf(to[i]) != events.KindGroup {
			err = errors.New("expected a person or a group")
		}
		if err != nil {
			return nil, invalid(fmt.Sprintf("body.messages[%d].to", i), err.Error())
		}
		if m.Content.Media != nil && m.Content.source.MediaID == "" {
			return nil, invalid(fmt.Sprintf("body.messages[%d].content.media", i), "expected a mediaId: a batch takes no url or base64; upload the file first with POST /v1/media, or take it over with POST /v1/media/fetch")
		}
		if m.Content.preview == "fetch" || m.Content.image != (mediaSource{}) || m.Content.AlbumID != "" {
			return nil, invalid(fmt.Sprintf("body.messages[%d].content", i), "a batch fetches no previews and takes no albumId; send these one by one")
		}
		m.Content.raw = nil
	}
	callOf(ctx).releaseBody()
	files, err := s.batchFiles(ctx, in.IdempotencyKey, in.SessionID, in.Body.Messages)
	if err != nil {
		return nil, err
	}
	batch, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (events.MessageBatch, error) {
		return s.queueBatch(ctx, tx, in.SessionID, to, &in.Body, files)
	})
	if err != nil || replayed {
		for _, file := range files {
			s.drop(ctx, file)
		}
	}
	if err != nil {
		return nil, err
	}
	return &batchOutput{
		Status: http.StatusAccepted, Location: "/v1/sessions/" + in.SessionID + "/message-batches/" + batch.ID, Replayed: replayedHeader(replayed), Body: batch,
	}, nil
}

// batchFile is what tells the files of a batch apart: many messages have the same.
type batchFile struct {
	contentType string
	source      mediaSource
}

// batchFiles looks at each file of a batch once, all within describeTimeout; it is not done for a request that has been answered already, nor for a
// session that takes nothing.
func (s *Server) batchFiles(ctx context.Context, key, sessionID string, messages []batchMessage) (files map[batchFile]*attachment, err error) {
	files = map[batchFile]*attachment{}
	if answered, err := s.answered(ctx, key); answered || err != nil {
		return files, err
	}
	if err := s.sendingAllowed(ctx, s.pool, sessionID); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	for i, m := range messages {
		of := batchFile{m.Content.Type, m.Content.source}
		if m.Content.Media == nil || files[of] != nil {
			continue
		}
		file, err := s.attach(ctx, fmt.Sprintf("body.messages[%d].content.media", i), m.Content.Type, m.Content.source)
		if err != nil {
			for _, file := range files {
				s.drop(ctx, file)
			}
			return nil, err
		}
		files[of] = file
	}
	return files, nil
}

// queueBatch writes a batch, its messages with their files and chats, and their commands, but for those whose time is ahead: with a constant number
// of statements, whatever its size, and one for each file.
func (s *Server) queueBatch(ctx context.Context, tx *queue.Tx, sessionID string, to []string, body *createBatch, files map[batchFile]*attachment) (b events.MessageBatch, err error) {
	if err := s.sendingAllowed(ctx, tx, sessionID); err != nil {
		return b, err
	}
	media := make(map[batchFile]db.Media, len(files))
	for of, file := range files {
		row, err := s.keep(ctx, tx, file)
		if err != nil {
			return b, err
		}
		row.Mimetype, row.FileName = file.mimetype, file.fileName
		media[of] = row
	}
	scheduled := body.SendAt != nil || body.DelaySeconds > 0 || body.JitterSeconds > 0
	chats, timers, err := s.batchChats(ctx, tx, sessionID, to, scheduled)
	if err != nil {
		return b, err
	}
	id, now, status := events.NewID(), time.Now(), events.StatusQueued
	at := now
	if scheduled {
		status = events.StatusScheduled
	}
	if body.SendAt != nil {
		at = *body.SendAt
	}
	rows, traceparent := make([]db.MessageQueueManyParams, len(to)), trace.Parent(ctx)
	for i := range rows {
		m := &body.Messages[i]
		row := &rows[i]
		*row = db.MessageQueueManyParams{
			ID: events.NewID(), SessionID: sessionID, ChatID: chats[i], WhatsappID: newWhatsAppID(), Direction: events.Outgoing, Status: string(status), Type: m.Content.Type,
			TypingSeconds: int32(m.TypingSeconds), Urgent: body.Priority == events.PriorityHigh, BatchID: &id, Timestamp: now,
		}
		content := m.Content.Content
		if content.Media != nil {
			file, there := media[batchFile{m.Content.Type, m.Content.source}]
			if !there {
				return b, errKeyExpired
			}
			public := postgres.Media(file, "")
			public.URL = "" // it is made where it is shown
			content.Media, row.MediaID = &public, &file.ID
			content.Animated = files[batchFile{m.Content.Type, m.Content.source}].details.Animated
		}
		if row.Content, err = json.Marshal(content); err != nil {
			return b, fmt.Errorf("encode content: %w", err)
		}
		if timer := int(timers[chats[i]]); timer > 0 || traceparent != "" {
			if row.Context, err = json.Marshal(postgres.MessageContext{DisappearsAfter: timer, Trace: traceparent}); err != nil {
				return b, fmt.Errorf("encode context: %w", err)
			}
		}
		if m.ClientReference != "" {
			row.ClientReference = &m.ClientReference
		}
		if scheduled {
			if i > 0 {
				at = at.Add(time.Duration(body.DelaySeconds)*time.Second + rand.N(time.Duration(body.JitterSeconds)*time.Second+1))
			}
			its := at
			row.SendAt = &its
		}
		row.ExpiresAt = s.expiry(now, row.SendAt, body.ExpiresAt)
		if row.SendAt != nil && !row.ExpiresAt.After(*row.SendAt) {
			return b, invalid("body.expiresAt", fmt.Sprintf("expected a time after that of the last message; that of messages[%d] is %s", i, row.SendAt.UTC().Format(time.RFC3339)))
		}
	}
	batch, err := s.q.BatchInsert(ctx, tx, id, sessionID, int32(len(rows)))
	if err != nil {
		return b, fmt.Errorf("insert batch: %w", err)
	}
	if _, err := s.q.MessageQueueMany(ctx, tx, rows); err != nil {
		return b, fmt.Errorf("insert messages: %w", err)
	}
	if !scheduled {
		for _, row := range rows {
			if err := events.SendMessage(tx, events.SendCommand{MessageID: row.ID, SessionID: sessionID, TypingSeconds: int(row.TypingSeconds), Urgent: row.Urgent}); err != nil {
				return b, err
			}
		}
	}
	return s.batch(ctx, tx, batch)
}

// batchChats makes the chats and contacts that messages go to, and returns the id of each one's chat, and the chats' timers for disappearing
// messages.
func (s *Server) batchChats(ctx context.Context, tx *queue.Tx, sessionID string, to []string, scheduled bool) (chats []string, timers map[string]int32, err error) {
	var lids []string
	for _, jid := range to {
		if a := events.NewAddress(jid, "", "", ""); a.Phone == "" && a.LID != "" {
			lids = append(lids, a.LID)
		}
	}
	known := map[string]string{}
	if len(lids) > 0 {
		rows, err := s.q.ContactListByLID(ctx, tx, sessionID, lids)
		if err != nil {
			return nil, nil, fmt.Errorf("look up contacts: %w", err)
		}
		for _, row := range rows {
			known[row.Lid+"@"+events.LIDServer] = row.ID
		}
	}
	var ids, kinds, people, phones, theirLIDs []string
	chats, seen := make([]string, len(to)), make(map[string]bool, len(to))
	for i, jid := range to {
		if id := known[jid]; id != "" {
			jid = id
		}
		if chats[i] = jid; seen[jid] {
			continue
		}
		seen[jid] = true
		a := events.NewAddress(jid, "", "", "")
		ids, kinds = append(ids, jid), append(kinds, string(a.Kind))
		if a.Kind == events.KindUser {
			people, phones, theirLIDs = append(people, jid), append(phones, a.Phone), append(theirLIDs, a.LID)
		}
	}
	var touched *time.Time
	if now := time.Now(); !scheduled {
		touched = &now
	}
	rows, err := s.q.ChatTouchMany(ctx, tx, sessionID, touched, ids, kinds)
	if postgres.ErrorCode(err) == "23503" { // foreign_key_violation: deleted a moment ago
		return nil, nil, problem(SessionNotFound, "there is no session "+sessionID)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("touch chats: %w", err)
	}
	timers = make(map[string]int32, len(rows))
	for _, row := range rows {
		timers[row.ID] = row.DisappearingSeconds
	}
	if err := s.q.ContactEnsureMany(ctx, tx, sessionID, people, phones, theirLIDs); err != nil {
		return nil, nil, fmt.Errorf("ensure contacts: %w", err)
	}
	return chats, timers, nil
}

// batch returns the public form of a batch, with how far its messages are.
func (s *Server) batch(ctx context.Context, from db.DBTX, row db.MessageBatch) (events.MessageBatch, error) {
	b := events.MessageBatch{
		ID: events.BatchPrefix.Format(row.ID), SessionID: row.SessionID, Size: int(row.Size), Counts: map[string]int{}, CreatedAt: row.CreatedAt, CancelledAt: row.CancelledAt,
	}
	counts, err := s.q.BatchCount(ctx, from, row.ID)
	if err != nil {
		return b, fmt.Errorf("count messages of batch: %w", err)
	}
	for _, c := range counts {
		b.Counts[c.Status] = int(c.Messages)
	}
	return b, nil
}

// noBatch makes a batch that is not there a problem.
func noBatch(row db.MessageBatch, err error) (db.MessageBatch, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(NotFound, "the session has no such batch")
	}
	if err != nil {
		return row, fmt.Errorf("read batch: %w", err)
	}
	return row, nil
}

func (p BatchPath) id() (uuid.UUID, error) {
	id, err := events.BatchPrefix.Parse(p.BatchID)
	if err != nil {
		return id, problem(NotFound, "the session has no such batch")
	}
	return id, nil
}

func (s *Server) getBatch(ctx context.Context, in *struct{ BatchPath }) (*struct{ Body events.MessageBatch }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	row, err := noBatch(s.q.BatchGet(ctx, s.pool, in.SessionID, id))
	if err != nil {
		return nil, err
	}
	batch, err := s.batch(ctx, s.pool, row)
	return &struct{ Body events.MessageBatch }{batch}, err
}

func (s *Server) cancelBatch(ctx context.Context, in *struct {
	BatchPath
	Idempotent
}) (*batchOutput, error) {
	batch, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (b events.MessageBatch, err error) {
		if _, err := s.sessionRow(ctx, tx, in.SessionID); err != nil {
			return b, err
		}
		id, err := in.id()
		if err != nil {
			return b, err
		}
		row, err := noBatch(s.q.BatchCancel(ctx, tx, in.SessionID, id))
		if err != nil {
			return b, err
		}
		cancelled, err := s.q.MessageCancel(ctx, tx, in.SessionID, nil, &id)
		if err != nil {
			return b, fmt.Errorf("cancel messages: %w", err)
		}
		if err := tellCancelled(tx, in.SessionID, cancelled); err != nil {
			return b, err
		}
		return s.batch(ctx, tx, row)
	})
	if err != nil {
		return nil, err
	}
	return &batchOutput{
		Status: http.StatusOK, Location: "/v1/sessions/" + in.SessionID + "/message-batches/" + batch.ID, Replayed: replayedHeader(replayed), Body: batch,
	}, nil
}
