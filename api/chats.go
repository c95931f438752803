package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// ChatPath names a chat of a session.
type ChatPath struct {
	SessionPath
	ChatID string `path:"chatId" maxLength:"64" doc:"The chat: a phone number with its country code (digits, + allowed), or a JID." example:"5491123456789@s.whatsapp.net"`
}

// whether is true, false, or not given, in a query. Huma's parameters are no pointers, so it notes that one was given.
type whether struct{ value, given bool }

// Schema is that of a boolean.
func (whether) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }

// Receiver is where Huma puts the parsed value.
func (w *whether) Receiver() reflect.Value { return reflect.ValueOf(&w.value).Elem() }

// OnParamSet is where Huma says whether there was one.
func (w *whether) OnParamSet(given bool, _ any) { w.given = given }

func (w whether) pointer() *bool {
	if w.given {
		return &w.value
	}
	return nil
}

type listChats struct {
	SessionPath
	Page
	Archived whether `query:"archived" doc:"Only archived chats, or only others." example:"false"`
	Pinned   whether `query:"pinned" doc:"Only pinned chats, or only others." example:"true"`
	Unread   whether `query:"unread" doc:"Only chats with unread messages or marked as unread, or only others." example:"true"`
	Kind     string  `query:"kind" enum:"user,group" doc:"Only chats with people, or only groups." example:"user"`
	LabelID  string  `query:"labelId" maxLength:"64" doc:"Only chats with this label." example:"1"`
	Q        string  `query:"q" maxLength:"100" doc:"Only chats whose name or number has this text in it." example:"juan"`
}

func (s *Server) addChats() {
	last := exampleMessage
	last.Status = events.StatusSent
	shown := exampleChat
	shown.LastMessage = &last
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/chats", id: "list-chats", tag: "Chats", status: 200,
		summary: "List chats", description: "The session's chats with their last message, the one with the newest first; those without any come last. It is read from what chasqui keeps and needs no connection.",
		response: List[events.Chat]{Data: []events.Chat{shown}}, codes: []Code{SessionNotFound},
	}, s.listChats)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/chats/{chatId}", id: "get-chat", tag: "Chats", status: 200,
		summary: "Read a chat", description: "A chat with its last message.", response: shown, codes: []Code{SessionNotFound, ChatNotFound},
	}, s.getChat)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/chats/{chatId}/messages", id: "list-chat-messages", tag: "Chats", status: 200,
		summary: "List a chat's messages", description: "The messages of a chat in both directions, newest first: those of the history too.",
		response: List[events.Message]{Data: []events.Message{last}}, codes: []Code{SessionNotFound, ChatNotFound},
	}, s.listChatMessages)
	s.addChatChanges()
	s.addLabels()
}

// listChats takes two statements: the page, and the last messages of its chats. A third one reads their reactions, or looks whether the
// session is there at all where the page is empty.
func (s *Server) listChats(ctx context.Context, in *listChats) (*listed[events.Chat], error) {
	p := db.ChatListParams{
		SessionID: in.SessionID, Archived: in.Archived.pointer(), Pinned: in.Pinned.pointer(), Unread: in.Unread.pointer(), Kind: in.Kind, LabelID: in.LabelID,
		MaxRows: in.rows(),
	}
	if in.Q != "" {
		p.Pattern = "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(in.Q) + "%"
	}
	if in.Cursor != "" {
		after, err := parseChatCursor(in.Cursor)
		if err != nil {
			return nil, err
		}
		p.AfterID, p.AfterAt = &after.ID, after.At
	}
	rows, err := s.q.ChatList(ctx, s.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list chats: %w", err)
	}
	if len(rows) == 0 {
		if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
			return nil, err
		}
	}
	out, err := paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/chats", in.query(),
		func(v db.ChatView) (events.Chat, error) { return postgres.Chat(v), nil }, chatCursorOf)
	if err != nil {
		return nil, err
	}
	return out, s.withLast(ctx, s.pool, in.SessionID, out.Body.Data)
}

// query writes the filters for a link.
func (l *listChats) query() url.Values {
	query := url.Values{}
	for name, w := range map[string]whether{"archived": l.Archived, "pinned": l.Pinned, "unread": l.Unread} {
		if w.given {
			query.Set(name, strconv.FormatBool(w.value))
		}
	}
	for name, value := range map[string]string{"kind": l.Kind, "labelId": l.LabelID, "q": l.Q} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// chatCursor is a place in the list of chats.
type chatCursor struct {
	At *time.Time `json:"at,omitempty"`
	ID string     `json:"id"`
}

func chatCursorOf(v db.ChatView) string {
	text, _ := json.Marshal(chatCursor{v.LastMessageAt, v.ID}) // a time from the database and a text always marshal
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseChatCursor(cursor string) (c chatCursor, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || c.ID == "" || strings.ContainsRune(c.ID, 0) {
		return c, invalid("query.cursor", "this is no nextCursor of this list")
	}
	return c, nil
}

// withLast adds the last messages of chats.
func (s *Server) withLast(ctx context.Context, from db.DBTX, sessionID string, chats []events.Chat) error {
	if len(chats) == 0 {
		return nil
	}
	ids, place := make([]string, len(chats)), make(map[string]int, len(chats))
	for i, c := range chats {
		ids[i], place[c.ID] = c.ID, i
	}
	rows, err := s.q.ChatListLast(ctx, from, ids, sessionID)
	if err != nil {
		return fmt.Errorf("list last messages: %w", err)
	}
	messages := make([]events.Message, len(rows))
	for i, row := range rows {
		if messages[i], err = s.message(row); err != nil {
			return err
		}
	}
	if err := s.withReactions(ctx, from, sessionID, messages); err != nil {
		return err
	}
	for i := range messages {
		chats[place[messages[i].ChatID]].LastMessage = &messages[i]
	}
	return nil
}

// chatRow is the chat that a path names.
func (s *Server) chatRow(ctx context.Context, from db.DBTX, path ChatPath) (row db.ChatView, err error) {
	id, err := s.addressed(ctx, from, path.SessionID, "path.chatId", path.ChatID)
	if err != nil {
		return row, err
	}
	row, err = s.q.ChatGet(ctx, from, path.SessionID, id)
	if errors.Is(err, pgx.ErrNoRows) || id == events.StatusChat {
		return row, problem(ChatNotFound, "the session has no such chat")
	}
	if err != nil {
		return row, fmt.Errorf("read chat: %w", err)
	}
	return row, nil
}

func (s *Server) getChat(ctx context.Context, in *struct{ ChatPath }) (*struct{ Body events.Chat }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	row, err := s.chatRow(ctx, s.pool, in.ChatPath)
	if err != nil {
		return nil, err
	}
	chats := []events.Chat{postgres.Chat(row)}
	if err := s.withLast(ctx, s.pool, in.SessionID, chats); err != nil {
		return nil, err
	}
	return &struct{ Body events.Chat }{chats[0]}, nil
}

func (s *Server) listChatMessages(ctx context.Context, in *struct {
	ChatPath
	Page
}) (*listed[events.Message], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	chat, err := s.chatRow(ctx, s.pool, in.ChatPath)
	if err != nil {
		return nil, err
	}
	before, err := parseCursor(events.MessagePrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.MessageList(ctx, s.pool, in.SessionID, chat.ID, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	out, err := paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/chats/"+url.PathEscape(chat.ID)+"/messages", url.Values{}, s.message, func(v db.MessageView) string {
		return events.MessagePrefix.Format(v.ID)
	})
	if err != nil {
		return nil, err
	}
	return out, s.withReactions(ctx, s.pool, in.SessionID, out.Body.Data)
}
