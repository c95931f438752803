package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const (
	// maxPreferredWait bounds Prefer: wait.
	maxPreferredWait = 30
	// maxMessageExpiry bounds expiresAt: WhatsApp itself keeps a message that it could not deliver for 30 days.
	maxMessageExpiry = 30 * 24 * time.Hour
)

type sendMessage struct {
	To      string      `json:"to" minLength:"1" maxLength:"64" doc:"Whom to send it to: a phone number with its country code (digits, + allowed), or a JID of a person or group." example:"5491123456789"`
	Content sendContent `json:"content"`
	ReplyTo string      `json:"replyTo,omitempty" maxLength:"128" doc:"The message that this one answers, by its id, ours or WhatsApp's: one of the same chat, or a status update of the person whom it is sent to." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f002"`
	// 1,024 are the most that a group has.
	Mentions         []string `json:"mentions,omitempty" maxItems:"1024" doc:"Whom the text or caption mentions, as phone numbers or JIDs. Write @ and the number there, where the name is to be shown: Thanks, @5491123456789." example:"[\"5491123456789\"]"`
	MentionsEveryone bool     `json:"mentionsEveryone,omitempty" doc:"The text or caption mentions everybody in the group, who are told even where they muted it."`
	ClientReference  string   `json:"clientReference,omitempty" maxLength:"256" doc:"Any text of yours; it comes back in every form of the message." example:"order-4711"`
	SendOptions
	ExpiresAt *time.Time `json:"expiresAt,omitempty" doc:"Give it up if it could not be sent by then; within 30 days, of sendAt where that is given. Without it the operator's default holds (24 hours, unless MESSAGE_EXPIRY_HOURS says otherwise), which the answer shows."`
}

type messageOutput struct {
	Status            int
	Location          string `header:"Location" doc:"The message."`
	PreferenceApplied string `header:"Preference-Applied" doc:"wait=N, when Prefer asked for it."`
	Replayed          string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body              events.Message
}

type messageShown struct{ Body events.Message }

const exampleMessageID = "msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"

var exampleMessage = events.Message{
	ID: exampleMessageID, WhatsAppID: "3EB0C767D097B7A0F1D2E3", SessionID: "sales", ChatID: "5491123456789@s.whatsapp.net", Direction: events.Outgoing,
	From: events.NewAddress("5491100000000@s.whatsapp.net", "5491100000000", "", "Sales team"), To: events.NewAddress("5491123456789@s.whatsapp.net", "5491123456789", "120363001122334", "Juan Pérez"),
	Status: events.StatusQueued, Content: events.Content{Type: events.ContentText, Text: "Your order is ready."}, ClientReference: "order-4711", Timestamp: exampleTime,
}

func (s *Server) addMessages() {
	sent := exampleMessage
	sent.Status = events.StatusSent
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/messages", id: "send-message", tag: "Messages", status: 202, also: map[int]any{200: sent}, wait: fetchTimeout + describeTimeout + maxPreferredWait*time.Second, maxBody: maxMediaBody,
		summary: "Send a message",
		description: "Accepts a message and sends it in the background, in order: it survives every crash from here on, and the recipient sees it once. It is accepted in every state of the " +
			"session but logged_out and banned, and waits until the session is connected, or until its expiresAt. What ends otherwise says why in error.code, here and in message.status: " +
			"recipient_not_on_whatsapp, account_restricted (WhatsApp does not let the account write to this recipient now), account_banned and session_logged_out (before it was sent), rate_limited (WhatsApp " +
			"took none of the account's messages for 5 minutes), whatsapp_rejected, whatsapp_timeout (no answer: it may have been delivered all the same), media_expired, internal_error. A " +
			"message that expired has a code only if it may have been delivered. With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it, 202 when N seconds " +
			"are over, or the problem that it failed with, with messageId.",
		request:  map[string]any{"to": "5491123456789", "content": map[string]string{"type": "text", "text": "Your order is ready."}, "clientReference": "order-4711"},
		response: exampleMessage,
		codes: []Code{
			SessionNotFound, SessionLoggedOut, SessionNotConnected, RecipientNotOnWhatsApp, RateLimited, AccountRestricted, AccountBanned, WhatsAppRejected, WhatsAppTimeout,
			MediaNotFound, MediaExpired, MediaPending, MediaTooLarge, MediaFetchFailed, UnsupportedMediaType,
			MessageNotFound, MessageNotSent, GroupNotFound, NotInGroup, NotGroupAdmin,
			MessageIDTaken,
		},
	}, s.sendMessage)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/messages", id: "list-messages", tag: "Messages", status: 200,
		summary: "List messages, or search them",
		description: "The session's messages in both directions, newest first; those that match every filter given. With q they are searched for words, of which the index knows the first " +
			"16,384 characters of each message. What takes longer than 5 s is unavailable, and wants narrower filters.",
		response: List[events.Message]{Data: []events.Message{sent}}, codes: []Code{SessionNotFound},
	}, s.listMessages)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/messages/{messageId}", id: "get-message", tag: "Messages", status: 200,
		summary: "Read a message", description: "A message by its msg_ id or by WhatsApp's.",
		response: sent, codes: []Code{SessionNotFound, MessageNotFound},
	}, s.getMessage)
}

func (s *Server) sendMessage(ctx context.Context, in *struct {
	SessionPath
	Idempotent
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: answer only when it is sent, or after N seconds (up to 30)." example:"wait=10"`
	Body   sendMessage
}) (*messageOutput, error) {
	to, err := events.ParseAddress(in.Body.To)
	if err != nil {
		return nil, invalid("body.to", err.Error())
	}
	if kind := events.KindOf(to); kind != events.KindUser && kind != events.KindGroup {
		return nil, invalid("body.to", "expected a person or a group")
	}
	if err := checkTimes("body", in.Body.SendAt, in.Body.ExpiresAt); err != nil {
		return nil, err
	}
	message, replayed, err := s.accept(ctx, in.IdempotencyKey, in.SessionID, to, &in.Body, s.fetching(ctx, "body.content", &in.Body.Content))
	if err != nil {
		return nil, err
	}
	out := &messageOutput{
		Status: http.StatusAccepted, Location: "/v1/sessions/" + in.SessionID + "/messages/" + message.ID, Replayed: replayedHeader(replayed), Body: message,
	}
	if seconds, ok := preferredWait(in.Prefer); ok {
		out.PreferenceApplied = "wait=" + strconv.Itoa(seconds)
		return s.awaitSent(ctx, out, time.Duration(seconds)*time.Second)
	}
	return out, nil
}

// accept stores a message's file, if it has one, and then the message. attach, nil for a message that nothing is fetched for, is slow: it stands
// before the transaction, and is not called for a request that has been answered already, nor for a session that takes nothing.
func (s *Server) accept(ctx context.Context, key, sessionID, to string, body *sendMessage, attach func() (*attachment, error)) (message events.Message, replayed bool, err error) {
	var file *attachment
	if attach != nil {
		answered, err := s.answered(ctx, key)
		if err != nil {
			return message, false, err
		}
		if !answered {
			if err := s.sendingAllowed(ctx, s.pool, sessionID); err != nil {
				return message, false, err
			}
			if file, err = attach(); err != nil {
				return message, false, err
			}
		}
		body.Content.raw, body.Content.source.Base64, body.Content.image.Base64 = nil, "", ""
		callOf(ctx).releaseBody()
	}
	message, replayed, err = once(ctx, s, key, func(ctx context.Context, tx *queue.Tx) (events.Message, error) {
		return s.queueMessage(ctx, tx, sessionID, to, *body, file)
	})
	if file != nil && (err != nil || replayed) {
		s.drop(ctx, file)
	}
	return message, replayed, err
}

// sendingAllowed is the problem of a session that takes no messages, or nil.
func (s *Server) sendingAllowed(ctx context.Context, from db.DBTX, sessionID string) error {
	session, err := s.sessionRow(ctx, from, sessionID)
	if err != nil {
		return err
	}
	if state := events.SessionState(session.State); state == events.StateLoggedOut || state == events.StateBanned {
		return problem(SessionLoggedOut, "the session is "+strings.ReplaceAll(string(state), "_", " ")+"; nothing can be sent until it is linked again")
	}
	return nil
}

// queueMessage writes the message, its file, its chat and its command.
func (s *Server) queueMessage(ctx context.Context, tx *queue.Tx, sessionID, to string, body sendMessage, file *attachment) (message events.Message, err error) {
	if err := s.sendingAllowed(ctx, tx, sessionID); err != nil {
		return message, err
	}
	var mediaID *uuid.UUID
	if file == nil && body.Content.Media != nil {
		return message, errKeyExpired
	}
	if file != nil {
		row, err := s.keep(ctx, tx, file)
		if err != nil {
			return message, err
		}
		row.Mimetype, row.FileName = file.mimetype, file.fileName // this message's own, where the file was there already
		media := postgres.Media(row, "")
		media.URL = "" // it is made where it is shown
		body.Content.Media, mediaID = &media, &row.ID
		body.Content.Animated = file.details.Animated
	}
	chat, err := s.canonical(ctx, tx, sessionID, to)
	if err != nil {
		return message, err
	}
	id, now, address := events.NewID(), time.Now(), events.NewAddress(chat, "", "", "")
	touched := &now
	if body.SendAt != nil {
		touched = nil // the chat is touched once it is queued
	}
	var timer int32
	if address.Kind != events.KindChannel { // a channel is in no list of chats
		timer, err = s.q.ChatTouch(ctx, tx, sessionID, chat, string(address.Kind), touched)
	}
	if postgres.ErrorCode(err) == "23503" { // foreign_key_violation: deleted a moment ago
		return message, problem(SessionNotFound, "there is no session "+sessionID)
	}
	if err != nil {
		return message, fmt.Errorf("touch chat: %w", err)
	}
	content, beside, err := s.compose(ctx, tx, sessionID, chat, &body, int(timer))
	if err != nil {
		return message, err
	}
	status := events.StatusQueued
	if body.SendAt != nil {
		status = events.StatusScheduled
	}
	var reference *string
	if body.ClientReference != "" {
		reference = &body.ClientReference
	}
	if err := s.q.MessageQueue(ctx, tx, db.MessageQueueParams{
		ID: id, SessionID: sessionID, ChatID: chat, WhatsappID: cmp.Or(body.WhatsAppID, newWhatsAppID()), Status: string(status), Type: body.Content.Type, Content: content,
		Context: beside, MediaID: mediaID, ClientReference: reference, ExpiresAt: s.expiry(now, body.SendAt, body.ExpiresAt), SendAt: body.SendAt,
		TypingSeconds: int32(body.TypingSeconds), Urgent: body.Priority == events.PriorityHigh, Timestamp: now,
	}); err != nil {
		if postgres.ErrorCode(err) == "23505" { // unique_violation
			return message, problem(MessageIDTaken, "the chat has a message with the whatsappId "+body.WhatsAppID+" already")
		}
		if postgres.ErrorCode(err) == "23503" { // as above
			return message, problem(SessionNotFound, "there is no session "+sessionID)
		}
		return message, fmt.Errorf("insert message: %w", err)
	}
	if address.Kind == events.KindUser {
		if err := s.q.ContactEnsure(ctx, tx, sessionID, chat, address.Phone, address.LID); err != nil {
			return message, fmt.Errorf("ensure contact: %w", err)
		}
	}
	row, err := s.q.MessageGet(ctx, tx, sessionID, id)
	if err != nil {
		return message, fmt.Errorf("read message: %w", err)
	}
	if status == events.StatusQueued {
		if err := events.SendMessage(tx, events.SendCommand{MessageID: id, SessionID: sessionID, TypingSeconds: body.TypingSeconds, Urgent: body.Priority == events.PriorityHigh}); err != nil {
			return message, err
		}
	}
	return s.message(row)
}

// addressed reads an address that a client wrote, at a location of the request, and returns the id under which the session knows it.
func (s *Server) addressed(ctx context.Context, from db.DBTX, sessionID, location, text string) (string, error) {
	jid, err := events.ParseAddress(text)
	if err != nil {
		return "", invalid(location, err.Error())
	}
	return s.canonical(ctx, from, sessionID, jid)
}

// canonical returns the id under which an address is known to the session: a person's phone where only the LID was given.
func (s *Server) canonical(ctx context.Context, from db.DBTX, sessionID, jid string) (string, error) {
	lid, ok := strings.CutSuffix(jid, "@"+events.LIDServer)
	if !ok {
		return jid, nil
	}
	id, err := s.q.ContactByLID(ctx, from, sessionID, &lid)
	if errors.Is(err, pgx.ErrNoRows) {
		return jid, nil
	}
	if err != nil {
		return "", fmt.Errorf("look up contact: %w", err)
	}
	return id, nil
}

// newWhatsAppID returns an id in the form that WhatsApp Web's own have: 3EB0 and 18 hex digits in upper case (whatsmeow, send.go,
// GenerateMessageID, which hashes randomness to the same length).
func newWhatsAppID() string {
	var random [9]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the program when the system has no randomness
	return fmt.Sprintf("3EB0%X", random)
}

// preferredWait reads wait=N from a Prefer header (RFC 7240, section 4.3). Preferences that are not understood are ignored, as it demands.
func preferredWait(prefer string) (seconds int, ok bool) {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, false
		}
		return int(min(n, maxPreferredWait)), true
	}
	return 0, false
}

// awaitSent waits until the message of out is sent or has failed. A failure is the problem of its code: the message stays, and the problem
// names it.
func (s *Server) awaitSent(ctx context.Context, out *messageOutput, wait time.Duration) (*messageOutput, error) {
	id, err := events.MessagePrefix.Parse(out.Body.ID)
	if err != nil {
		return nil, err
	}
	listener := s.waker.ListenKey(events.WakeMessages, id.String())
	defer listener.Close()
	err = s.await(ctx, listener, wait, func(ctx context.Context) (bool, error) {
		row, err := s.q.MessageGet(ctx, s.pool, out.Body.SessionID, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return true, problem(MessageNotFound, "the session was deleted with its messages")
		}
		if err != nil {
			return true, fmt.Errorf("read message: %w", err)
		}
		out.Body, err = s.message(row)
		return out.Body.Status.Done(), err
	})
	var p *Problem
	switch {
	case errors.As(err, &p):
	case err != nil: // it is accepted, which is all that may be said while the database is away
		s.log.WarnContext(ctx, "wait for sending given up", "message", out.Body.ID, "error", err)
		return out, nil
	case !out.Body.Status.Done():
		return out, nil
	default:
		if p = s.failure(ctx, out.Body); p == nil {
			out.Status = http.StatusOK
			return out, nil
		}
	}
	p.MessageID = out.Body.ID
	p.headers.Set("Location", out.Location)
	p.headers.Set("Preference-Applied", out.PreferenceApplied)
	return nil, p
}

// failure is the problem that a message ended with, or nil.
func (s *Server) failure(ctx context.Context, m events.Message) *Problem {
	switch m.Status {
	case events.StatusFailed, events.StatusExpired, events.StatusCancelled:
	default:
		return nil
	}
	if m.Error == nil {
		return problem(WhatsAppTimeout, "the message is "+string(m.Status)+"; it was not sent")
	}
	return s.refused(ctx, m.SessionID, m.Error.Code, m.Error.Message)
}

// message returns the public form of a message.
func (s *Server) message(v db.MessageView) (events.Message, error) {
	return postgres.Message(v, s.address)
}

// parseCursor reads the cursor of a list in the order of its ids.
func parseCursor(prefix events.Prefix, cursor string) (*uuid.UUID, error) {
	if cursor == "" {
		return nil, nil
	}
	id, err := prefix.Parse(cursor)
	if err != nil {
		return nil, invalid("query.cursor", "this is no nextCursor of this list")
	}
	return &id, nil
}

func (s *Server) getMessage(ctx context.Context, in *struct {
	MessagePath
	RawWish
}) (*messageShown, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	row, err := s.messageRow(ctx, s.pool, in.MessagePath)
	if err != nil {
		return nil, err
	}
	message, err := s.message(row)
	if err != nil {
		return nil, err
	}
	shown := []events.Message{message}
	if in.Raw {
		if err := s.withRaw(ctx, s.pool, shown); err != nil {
			return nil, err
		}
	}
	if err := s.withReactions(ctx, s.pool, in.SessionID, shown); err != nil {
		return nil, err
	}
	return &messageShown{shown[0]}, nil
}

// messageRow is the message that a path names, by either of its ids.
func (s *Server) messageRow(ctx context.Context, from db.DBTX, path MessagePath) (row db.MessageView, err error) {
	id, err := events.MessagePrefix.Parse(path.MessageID)
	if err == nil {
		row, err = s.q.MessageGet(ctx, from, path.SessionID, id)
	} else {
		row, err = s.q.MessageGetByWhatsAppID(ctx, from, path.SessionID, path.MessageID)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(MessageNotFound, "the session has no such message")
	}
	if err != nil {
		return row, fmt.Errorf("read message: %w", err)
	}
	return row, nil
}
