package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// StatusPath names a status update of a session.
type StatusPath struct {
	SessionPath
	StatusID string `path:"statusId" maxLength:"128" doc:"The status update's id: ours (msg_...) or WhatsApp's." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

// postStatus is a sendMessage to everybody in the account's status audience.
type postStatus struct {
	Content         statusContent `json:"content"`
	SendAt          *time.Time    `json:"sendAt,omitempty" doc:"Post it then, within a year; its status is scheduled until then. expiresAt counts from there."`
	ExpiresAt       *time.Time    `json:"expiresAt,omitempty" doc:"Give it up if it could not be posted by then; within 30 days, of sendAt where that is given. Without it the operator's default holds (24 hours, unless MESSAGE_EXPIRY_HOURS says otherwise). It says nothing of how long it is shown, which is 24 hours."`
	WhatsAppID      string        `json:"whatsappId,omitempty" pattern:"^[0-9A-F]{16,32}$" patternDescription:"16 to 32 hex digits in upper case" doc:"WhatsApp's id for it, where you choose it yourself." example:"3EB0C767D097B7A0F1D2E3"`
	ClientReference string        `json:"clientReference,omitempty" maxLength:"256" doc:"Any text of yours; it comes back in every form of the status update." example:"campaign-12"`
}

// ofStatus are the kinds of change that can be made to a status update. What it is answered or reacted with goes to its author alone.
var ofStatus = map[string]bool{events.Delete.Kind: true, events.React.Kind: true, events.MarkRead.Kind: true}

// exampleStatus is a status update of a contact.
func exampleStatus() events.Message {
	m := exampleMessage
	m.ChatID, m.Direction, m.From, m.To = events.StatusChat, events.Incoming, exampleMessage.To, events.NewAddress(events.StatusChat, "", "", "")
	m.Status, m.ClientReference = events.StatusDelivered, ""
	m.Content = events.Content{Type: events.ContentText, Text: "Fresh bread until noon", BackgroundColor: "#128C7E", Font: "calistoga"}
	return m
}

func (s *Server) addStatus() {
	const path, one = "/v1/sessions/{sessionId}/status-updates", "/v1/sessions/{sessionId}/status-updates/{statusId}"
	theirs, queued := exampleStatus(), exampleStatus()
	queued.Direction, queued.From, queued.Status, queued.ClientReference = events.Outgoing, exampleMessage.From, events.StatusQueued, "campaign-12"
	sent := queued
	sent.Status = events.StatusSent
	register(s, operation{
		method: "POST", path: path, id: "post-status-update", tag: "Status", status: 202, also: map[int]any{200: sent}, wait: fetchTimeout + describeTimeout + maxPreferredWait*time.Second,
		maxBody: maxMediaBody, summary: "Post a status update",
		description: "Accepts a status update and posts it in the background, in the order of the session's messages, as send-message does: to those contacts of the account's address book whom its " +
			"status privacy, set on the phone, lets see it. It is a message in the chat status@broadcast: message.sent and message.status tell of it, cancel-message cancels it while it is " +
			"scheduled or queued, and a failure has the same codes. With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it.",
		request:  map[string]any{"content": map[string]string{"type": "text", "text": "Fresh bread until noon", "backgroundColor": "#128C7E", "font": "calistoga"}, "clientReference": "campaign-12"},
		response: queued,
		codes: []Code{
			SessionNotFound, SessionLoggedOut, SessionNotConnected, RateLimited, AccountRestricted, AccountBanned, WhatsAppRejected, WhatsAppTimeout,
			MediaNotFound, MediaExpired, MediaPending, MediaTooLarge, MediaFetchFailed, UnsupportedMediaType, MessageIDTaken,
		},
	}, s.postStatus)
	register(s, operation{
		method: "GET", path: path, id: "list-status-updates", tag: "Status", status: 200, summary: "List status updates",
		description: "The status updates that are shown now, of the account and of its contacts, newest first: those of the last 24 hours that were not deleted, and own ones that are still to be " +
			"posted. Older ones can be read by their ids for 30 days, then they go, with their files. It is read from what chasqui keeps and needs no connection.",
		response: List[events.Message]{Data: []events.Message{theirs, sent}}, codes: []Code{SessionNotFound},
	}, s.listStatus)
	register(s, operation{
		method: "GET", path: one, id: "get-status-update", tag: "Status", status: 200, summary: "Read a status update",
		description: "A status update by its msg_ id or by WhatsApp's, for 30 days. Its status says how far it has come: read is viewed by somebody.",
		response:    sent, codes: []Code{SessionNotFound, MessageNotFound},
	}, s.getStatus)
	register(s, operation{
		method: "DELETE", path: one, id: "delete-status-update", tag: "Status", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second, summary: "Delete a status update",
		description: "Deletes an own status update for everybody, while it is shown. It is kept here with revokedAt. One that is still to be posted is cancelled instead, by cancel-message.",
		response:    events.RevokedData{MessageRef: events.MessageRef{MessageID: sent.ID, WhatsAppID: sent.WhatsAppID, ChatID: sent.ChatID}, By: &sent.From, At: exampleTime},
		codes:       append(changeCodes, MessageNotFound, MessageNotSent, MessageNotRevocable),
	}, s.deleteStatus)
	register(s, operation{
		method: "POST", path: one + "/view", id: "view-status-update", tag: "Status", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second, summary: "View a status update",
		description: "Tells a contact that the account has viewed his status update, unless the account keeps read receipts to itself, and the account's other devices. To answer it, send a " +
			"message to him with replyTo; a reaction to it reaches him too.",
		response: events.MessagesRead{MessageIDs: []string{theirs.ID}}, codes: append(changeCodes, MessageNotFound),
	}, s.viewStatus)
	register(s, operation{
		method: "GET", path: one + "/viewers", id: "list-status-viewers", tag: "Status", status: 200, summary: "List a status update's viewers",
		description: "Who has viewed an own status update, and when: the last first. Those who keep read receipts to themselves are not among them. One of a contact has none.",
		response:    List[events.StatusViewer]{Data: []events.StatusViewer{{Viewer: theirs.From, ViewedAt: exampleTime}}}, codes: []Code{SessionNotFound, MessageNotFound},
	}, s.listViewers)
}

func (s *Server) postStatus(ctx context.Context, in *struct {
	SessionPath
	Idempotent
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: answer only when it is posted, or after N seconds (up to 30)." example:"wait=10"`
	Body   postStatus
}) (*messageOutput, error) {
	if err := checkTimes("body", in.Body.SendAt, in.Body.ExpiresAt); err != nil {
		return nil, err
	}
	body := &sendMessage{
		Content: in.Body.Content.sendContent, ClientReference: in.Body.ClientReference, ExpiresAt: in.Body.ExpiresAt,
		SendOptions: SendOptions{SendAt: in.Body.SendAt, WhatsAppID: in.Body.WhatsAppID},
	}
	in.Body.Content = statusContent{} // accept lets go of a file's text, of which this would be another reference
	message, replayed, err := s.accept(ctx, in.IdempotencyKey, in.SessionID, events.StatusChat, body, s.fetching(ctx, "body.content", &body.Content))
	if err != nil {
		return nil, err
	}
	out := &messageOutput{
		Status: http.StatusAccepted, Location: "/v1/sessions/" + in.SessionID + "/status-updates/" + message.ID, Replayed: replayedHeader(replayed), Body: message,
	}
	if seconds, ok := preferredWait(in.Prefer); ok {
		out.PreferenceApplied = "wait=" + strconv.Itoa(seconds)
		return s.awaitSent(ctx, out, time.Duration(seconds)*time.Second)
	}
	return out, nil
}

func (s *Server) listStatus(ctx context.Context, in *struct {
	SessionPath
	Page
	FromMe    whether `query:"fromMe" doc:"Only own status updates, or only those of contacts." example:"false"`
	ContactID string  `query:"contactId" maxLength:"64" doc:"Only those of this contact: a phone number or a JID." example:"5491123456789"`
}) (*listed[events.Message], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	p := db.StatusListParams{SessionID: in.SessionID, Since: time.Now().Add(-events.StatusLife), FromMe: in.FromMe.pointer(), MaxRows: in.rows()}
	query := url.Values{}
	if in.FromMe.given {
		query.Set("fromMe", strconv.FormatBool(in.FromMe.value))
	}
	var err error
	if in.ContactID != "" {
		query.Set("contactId", in.ContactID)
		if p.ContactID, err = s.addressed(ctx, s.pool, in.SessionID, "query.contactId", in.ContactID); err != nil {
			return nil, err
		}
	}
	if p.Before, err = parseCursor(events.MessagePrefix, in.Cursor); err != nil {
		return nil, err
	}
	rows, err := s.q.StatusList(ctx, s.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list status updates: %w", err)
	}
	out, err := paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/status-updates", query, s.message, func(v db.MessageView) string {
		return events.MessagePrefix.Format(v.ID)
	})
	if err != nil {
		return nil, err
	}
	return out, s.withReactions(ctx, s.pool, in.SessionID, out.Body.Data)
}

// statusRow is the status update that a path names, by either of its ids.
func (s *Server) statusRow(ctx context.Context, from db.DBTX, path StatusPath) (row db.MessageView, err error) {
	id, err := events.MessagePrefix.Parse(path.StatusID)
	if err == nil {
		row, err = s.q.MessageGet(ctx, from, path.SessionID, id)
	} else {
		row, err = s.q.MessageReferred(ctx, from, path.SessionID, path.StatusID, events.StatusChat)
	}
	if errors.Is(err, pgx.ErrNoRows) || err == nil && row.ChatID != events.StatusChat {
		return row, problem(MessageNotFound, "the session has no such status update")
	}
	if err != nil {
		return row, fmt.Errorf("read status update: %w", err)
	}
	return row, nil
}

func (s *Server) getStatus(ctx context.Context, in *struct{ StatusPath }) (*messageShown, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	row, err := s.statusRow(ctx, s.pool, in.StatusPath)
	if err != nil {
		return nil, err
	}
	message, err := s.message(row)
	if err != nil {
		return nil, err
	}
	shown := []events.Message{message}
	if err := s.withReactions(ctx, s.pool, in.SessionID, shown); err != nil {
		return nil, err
	}
	return &messageShown{shown[0]}, nil
}

// revokingStatus wishes for the end of a status update, or says why there is none.
func revokingStatus(m events.Message, scope string) (w wish[events.Deleting], err error) {
	id, err := events.MessagePrefix.Parse(m.ID)
	switch {
	case err != nil:
		return w, err
	case scope != "everyone":
		return w, invalid("query.scope", "a status update is deleted for everyone")
	case m.Direction != events.Outgoing:
		return w, problem(MessageNotRevocable, "only its author can delete a status update")
	case m.RevokedAt == nil && m.Status != events.StatusSending && time.Since(m.Timestamp) > events.StatusLife:
		return w, problem(MessageNotRevocable, "the status update is shown no more")
	}
	return wish[events.Deleting]{id.String(), m.ChatID, events.Deleting{
		WhatsAppID: newWhatsAppID(), Message: events.MessageRef{MessageID: m.ID, WhatsAppID: m.WhatsAppID, ChatID: m.ChatID},
	}}, nil
}

func (s *Server) deleteStatus(ctx context.Context, in *struct {
	StatusPath
	Changing
}) (*changed[events.RevokedData], error) {
	return change(ctx, s, in.SessionID, "", in.Changing, events.Delete, func(ctx context.Context, tx *queue.Tx) (w wish[events.Deleting], err error) {
		row, err := s.statusRow(ctx, tx, in.StatusPath)
		if err != nil {
			return w, err
		}
		m, err := s.message(row)
		if err != nil {
			return w, err
		}
		if p := waiting(m); p != nil {
			return w, p
		}
		return revokingStatus(m, "everyone")
	})
}

func (s *Server) viewStatus(ctx context.Context, in *struct {
	StatusPath
	Idempotent
	Changing
}) (*changed[events.MessagesRead], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.MarkRead, func(ctx context.Context, tx *queue.Tx) (w wish[events.MarkingRead], err error) {
		row, err := s.statusRow(ctx, tx, in.StatusPath)
		if err != nil {
			return w, err
		}
		if row.Direction != events.Incoming {
			return w, invalid("path.statusId", "expected a status update of a contact")
		}
		return wish[events.MarkingRead]{row.ChatID, row.ChatID, events.MarkingRead{MessageIDs: []string{events.MessagePrefix.Format(row.ID)}}}, nil
	})
}

// viewerCursor is a place in the list of viewers.
type viewerCursor struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

func (s *Server) listViewers(ctx context.Context, in *struct {
	StatusPath
	Page
}) (*listed[events.StatusViewer], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	row, err := s.statusRow(ctx, s.pool, in.StatusPath)
	if err != nil {
		return nil, err
	}
	p := db.StatusViewerListParams{SessionID: in.SessionID, MessageID: row.ID, MaxRows: in.rows()}
	if in.Cursor != "" {
		var after viewerCursor
		text, err := base64.RawURLEncoding.DecodeString(in.Cursor)
		if err == nil {
			err = json.Unmarshal(text, &after)
		}
		if err != nil || after.ID == "" || strings.ContainsRune(after.ID, 0) {
			return nil, invalid("query.cursor", "this is no nextCursor of this list")
		}
		p.AfterAt, p.AfterID = &after.At, after.ID
	}
	rows, err := s.q.StatusViewerList(ctx, s.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list viewers: %w", err)
	}
	viewer := func(r db.StatusViewerListRow) (events.StatusViewer, error) {
		return events.StatusViewer{Viewer: events.NewAddress(r.ContactID, r.Phone, r.Lid, r.Name), ViewedAt: r.ViewedAt.UTC()}, nil
	}
	return paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/status-updates/"+url.PathEscape(in.StatusID)+"/viewers", url.Values{}, viewer, func(r db.StatusViewerListRow) string {
		text, _ := json.Marshal(viewerCursor{r.ViewedAt, r.ContactID}) // a time from the database and a text always marshal
		return base64.RawURLEncoding.EncodeToString(text)
	})
}
