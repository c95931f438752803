package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// deleteWait is how long DELETE waits for the connector to unlink the session: as long as one exchange with WhatsApp may take.
const deleteWait = 10 * time.Second

const sessionIDPattern = "^[A-Za-z0-9_-]{1,64}$"

var goodSessionID = regexp.MustCompile(sessionIDPattern)

// SessionPath is the path parameter of everything below a session.
type SessionPath struct {
	SessionID string `path:"sessionId" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"The session's id, as you chose it." example:"sales"`
}

// metadataValue is one value of a session's metadata.
type metadataValue string

// Schema bounds the value: metadata travels in every event of its session.
func (metadataValue) Schema(huma.Registry) *huma.Schema {
	longest := 512
	return &huma.Schema{Type: huma.TypeString, MaxLength: &longest}
}

// sessionSettings is what a client may set; what is absent stays as it is.
type sessionSettings struct {
	DeviceName *string                  `json:"deviceName,omitempty" maxLength:"50" doc:"Shown on the phone's list of linked devices from the next linking on; default chasqui." example:"Support desk"`
	Metadata   map[string]metadataValue `json:"metadata,omitempty" maxProperties:"32" doc:"Free for your use; replaces what was there."`
	Sending    *sendingSettings         `json:"sending,omitempty" doc:"How messages are paced; replaces what was there, and {} takes it away. What waits already follows it."`
	Presence   *string                  `json:"presence,omitempty" enum:"available,unavailable" doc:"What the account shows of itself while the session is connected; default unavailable, so that the owner's phone notifies. PUT .../presence sets the same." example:"unavailable"`
	MarkRead   *bool                    `json:"markRead,omitempty" doc:"true: messages that come in are read at once, and their senders get read receipts unless the account's privacy keeps them back; default false." example:"false"`
	Calls      *setCalls                `json:"calls,omitempty" doc:"What is done to calls that come in; replaces what was there. By default they ring."`
	Proxy      *string                  `json:"proxy,omitempty" maxLength:"1024" doc:"What all of its connections to WhatsApp go through, media included: socks5://, http:// or https://, with a user and password where it wants them; \"\" for none. It is never shown again in full. A change connects the session anew." example:"socks5://user:password@proxy.example.com:1080"`
	Ignore     *ignoreRules             `json:"ignore,omitempty" doc:"What makes neither messages nor events; replaces what was there."`
}

// ignoreRules are a session's, as a client sets them.
type ignoreRules struct {
	Groups     bool `json:"groups,omitempty" doc:"Ignore whatever happens in groups, the receipts of what is sent to them included." example:"true"`
	Status     bool `json:"status,omitempty" doc:"Ignore status updates of others." example:"true"`
	Broadcasts bool `json:"broadcasts,omitempty" doc:"Ignore what somebody sent to a broadcast list." example:"false"`
	Channels   bool `json:"channels,omitempty" doc:"Ignore posts of channels." example:"false"`
}

// sendingSettings is events.Sending as a client sends it: unknown members are refused.
type sendingSettings struct {
	Pace        *paceSettings       `json:"pace,omitempty" doc:"Between two messages that answer nobody."`
	NewContacts *newContactSettings `json:"newContacts,omitempty" doc:"Messages to people who never wrote: what WhatsApp restricts and bans accounts for."`
	Window      *windowSettings     `json:"window,omitempty" doc:"When messages that answer nobody are sent."`
}

type (
	paceSettings       events.Pace
	newContactSettings events.NewContacts
	windowSettings     events.Window
)

func (s *sendingSettings) shape() events.Sending {
	return events.Sending{Pace: (*events.Pace)(s.Pace), NewContacts: (*events.NewContacts)(s.NewContacts), Window: (*events.Window)(s.Window)}
}

type createSession struct {
	ID       string          `json:"id" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"Your own name for it, used in every path. It cannot change." example:"sales"`
	Name     string          `json:"name,omitempty" maxLength:"128" doc:"For people." example:"Sales team"`
	Start    *bool           `json:"start,omitempty" doc:"Whether to start it right away; default true." example:"true"`
	Settings sessionSettings `json:"settings,omitempty"`
}

type changeSession struct {
	Name     *string         `json:"name,omitempty" maxLength:"128" example:"Sales team"`
	Settings sessionSettings `json:"settings,omitempty"`
}

type sessionOutput struct {
	Status   int
	Location string `header:"Location" doc:"The session."`
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     events.Session
}

type sessionShown struct{ Body events.Session }

var exampleSession = events.Session{
	ID: "sales", Name: "Sales team", State: events.StateConnected, Desired: events.DesiredStarted, Phone: "5491123456789", LID: "120363001122334",
	Connector: "connector-1", CreatedAt: exampleTime, ConnectedAt: &exampleTime, LastEventAt: &exampleTime,
	Settings: events.Settings{DeviceName: "Support desk", Metadata: map[string]string{"team": "sales"}},
}

// exampleTime is the moment in which the document's examples play.
var exampleTime = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func (s *Server) addSessions() {
	fresh := exampleSession
	fresh.State, fresh.Phone, fresh.LID, fresh.Connector, fresh.ConnectedAt, fresh.LastEventAt = events.StateStopped, "", "", "", nil, nil
	register(s, operation{
		method: "GET", path: "/v1/sessions", id: "list-sessions", tag: "Sessions", status: 200,
		summary: "List sessions", description: "All sessions, newest first. Those being deleted are left out.",
		response: List[events.Session]{Data: []events.Session{exampleSession}},
	}, s.listSessions)
	register(s, operation{
		method: "POST", path: "/v1/sessions", id: "create-session", tag: "Sessions", status: 201,
		summary:     "Create a session",
		description: "Creates a session and starts it, unless start is false. Then read its QR code and scan it with the phone.",
		request:     map[string]any{"id": "sales", "name": "Sales team", "settings": map[string]any{"deviceName": "Support desk", "metadata": map[string]string{"team": "sales"}}},
		response:    fresh, codes: []Code{SessionAlreadyExists},
	}, s.createSession)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}", id: "get-session", tag: "Sessions", status: 200,
		summary: "Read a session", description: "Its state, and with reason why it is in it.",
		response: exampleSession, codes: []Code{SessionNotFound},
	}, s.getSession)
	register(s, operation{
		method: "PATCH", path: "/v1/sessions/{sessionId}", id: "change-session", tag: "Sessions", status: 200,
		summary: "Change a session", description: "Changes its name and settings. What is absent stays as it is.",
		request: map[string]any{"name": "Sales team", "settings": map[string]any{"metadata": map[string]string{"team": "sales"}}}, response: exampleSession, codes: []Code{SessionNotFound},
	}, s.changeSession)
	register(s, operation{
		method: "DELETE", path: "/v1/sessions/{sessionId}", id: "delete-session", tag: "Sessions", status: 204, also: map[int]any{202: nil}, wait: deleteWait,
		summary: "Delete a session",
		description: "Unlinks the account from the phone, unless unlink is false, and removes the session with its messages, chats and contacts; its events stay until they expire. " +
			"204: it is gone. 202: after 10 s it is still on its way; it is hidden already, its id is not free yet, and nothing more has to be done.",
		codes: []Code{SessionNotFound},
	}, s.deleteSession)
	for _, a := range []struct {
		verb, summary, description string
		change                     func(context.Context, db.DBTX, string) (int64, error)
	}{
		{"start", "Start a session", "Wants the session to run: it connects, or shows a QR code where it is not linked. On one that runs it does nothing.", s.q.SessionStart},
		{"stop", "Stop a session", "Wants the session to rest: it disconnects, stays linked, and receives nothing until it is started.", s.q.SessionStop},
		{"restart", "Restart a session", "Disconnects and connects again; also starts a session that is stopped or has failed.", s.q.SessionRestart},
		{"logout", "Log a session out", "Unlinks the account from the phone. The session and its messages stay; start it to link it anew. On one that is not linked it does nothing.", s.q.SessionLogout},
	} {
		register(s, operation{
			method: "POST", path: "/v1/sessions/{sessionId}/" + a.verb, id: a.verb + "-session", tag: "Sessions", status: 202,
			summary: a.summary, description: a.description + " The answer comes at once; state follows, and each change of it is an event session.status.",
			response: exampleSession, codes: []Code{SessionNotFound},
		}, s.control(a.change))
	}
}

func (s *Server) listSessions(ctx context.Context, in *struct{ Page }) (*listed[events.Session], error) {
	before, beforeID, err := parseSessionCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.SessionList(ctx, s.pool, callerOf(ctx).sessions, before, beforeID, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return paged(rows, in.Limit, "/v1/sessions", url.Values{}, postgres.Session, func(v db.SessionView) string {
		return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", v.CreatedAt.UnixMicro(), v.ID))
	})
}

// parseSessionCursor reads where a page ended: the time of creation, to the microsecond that PostgreSQL keeps, and the id.
func parseSessionCursor(cursor string) (*time.Time, string, error) {
	if cursor == "" {
		return nil, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	micros, id, ok := strings.Cut(string(raw), ".")
	created, numberErr := strconv.ParseInt(micros, 10, 64)
	if err != nil || !ok || numberErr != nil || created < 0 || created > 1<<52 || !goodSessionID.MatchString(id) {
		return nil, "", invalid("query.cursor", "this is no nextCursor of this list")
	}
	t := time.UnixMicro(created)
	return &t, id, nil
}

func (s *Server) createSession(ctx context.Context, in *struct {
	Idempotent
	Body createSession
}) (*sessionOutput, error) {
	if !callerOf(ctx).sees(in.Body.ID) {
		return nil, problem(InsufficientScope, "this key is for certain sessions alone, whose ids GET /v1/me lists")
	}
	settings, err := s.settingsJSON(ctx, in.Body.ID, in.Body.Settings, "body.settings")
	if err != nil {
		return nil, err
	}
	desired := events.DesiredStarted
	if in.Body.Start != nil && !*in.Body.Start {
		desired = events.DesiredStopped
	}
	session, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (events.Session, error) {
		n, err := s.q.SessionInsert(ctx, tx, in.Body.ID, in.Body.Name, settings, desired)
		if err != nil {
			return events.Session{}, fmt.Errorf("insert session: %w", err)
		}
		if n == 0 {
			return events.Session{}, problem(SessionAlreadyExists, "there is a session with this id, or one that is just being deleted")
		}
		tx.Notify(events.WakeControl, in.Body.ID)
		return s.readSession(ctx, tx, in.Body.ID)
	})
	if err != nil {
		return nil, err
	}
	return &sessionOutput{Status: http.StatusCreated, Location: "/v1/sessions/" + session.ID, Replayed: replayedHeader(replayed), Body: session}, nil
}

// settingsJSON returns the members that a request sets, as they are stored.
func (s *Server) settingsJSON(ctx context.Context, session string, settings sessionSettings, location string) (json.RawMessage, error) {
	for key := range settings.Metadata {
		if len(key) > 64 {
			return nil, invalid(location+".metadata", "expected keys of at most 64 bytes")
		}
	}
	if settings.Sending != nil {
		if where, err := settings.Sending.shape().Check(); err != nil {
			return nil, invalid(location+".sending."+where, err.Error())
		}
	}
	if proxy := settings.Proxy; proxy != nil && *proxy != "" {
		if u, err := netguard.ParseProxy(*proxy); err == nil && u.User.Username() == events.HiddenUser {
			return nil, invalid(location+".proxy", "expected the whole URL: *** is what stands in answers for a user and password")
		}
		if err := s.guard.CheckProxy(ctx, *proxy); err != nil {
			return nil, invalid(location+".proxy", err.Error())
		}
		sealed, err := s.config.Keys.SealProxy(*proxy, session)
		if err != nil {
			return nil, err
		}
		settings.Proxy = &sealed
	}
	return json.Marshal(settings)
}

func (s *Server) getSession(ctx context.Context, in *struct{ SessionPath }) (*sessionShown, error) {
	session, err := s.readSession(ctx, s.pool, in.SessionID)
	if err != nil {
		return nil, err
	}
	return &sessionShown{session}, nil
}

// readSession returns a session's public form, or session_not_found.
func (s *Server) readSession(ctx context.Context, from db.DBTX, id string) (events.Session, error) {
	row, err := s.sessionRow(ctx, from, id)
	if err != nil {
		return events.Session{}, err
	}
	return postgres.Session(row)
}

func (s *Server) sessionRow(ctx context.Context, from db.DBTX, id string) (db.SessionView, error) {
	if !callerOf(ctx).sees(id) { // named in the body; what stands in the path has been looked at
		return db.SessionView{}, problem(SessionNotFound, "there is no session "+id)
	}
	row, err := s.q.SessionGet(ctx, from, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(SessionNotFound, "there is no session "+id)
	}
	if err != nil {
		return row, fmt.Errorf("read session: %w", err)
	}
	return row, nil
}

func (s *Server) changeSession(ctx context.Context, in *struct {
	SessionPath
	Body changeSession
}) (*sessionShown, error) {
	settings, err := s.settingsJSON(ctx, in.SessionID, in.Body.Settings, "body.settings")
	if err != nil {
		return nil, err
	}
	var out sessionShown
	return &out, s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) (err error) {
		n, err := s.q.SessionChange(ctx, tx, in.Body.Name, settings, in.SessionID)
		if err != nil {
			return fmt.Errorf("change session: %w", err)
		}
		if n > 0 {
			if err := s.logSettings(ctx, tx, in.SessionID, in.Body.Name, settings); err != nil {
				return err
			}
		}
		tx.Notify(events.WakeControl, in.SessionID)
		out.Body, err = s.readSession(ctx, tx, in.SessionID)
		return err
	})
}

// control is the operation that changes what is wanted of a session, and wakes the connectors.
func (s *Server) control(change func(context.Context, db.DBTX, string) (int64, error)) func(context.Context, *struct {
	SessionPath
	Idempotent
}) (*sessionOutput, error) {
	return func(ctx context.Context, in *struct {
		SessionPath
		Idempotent
	}) (*sessionOutput, error) {
		session, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (events.Session, error) {
			if _, err := change(ctx, tx, in.SessionID); err != nil {
				return events.Session{}, fmt.Errorf("change what is wanted: %w", err)
			}
			tx.Notify(events.WakeControl, in.SessionID)
			return s.readSession(ctx, tx, in.SessionID)
		})
		if err != nil {
			return nil, err
		}
		return &sessionOutput{Status: http.StatusAccepted, Location: "/v1/sessions/" + session.ID, Replayed: replayedHeader(replayed), Body: session}, nil
	}
}

func (s *Server) deleteSession(ctx context.Context, in *struct {
	SessionPath
	Unlink bool `query:"unlink" default:"true" doc:"Whether to unlink the account from the phone too. false: for a session that was exported and goes on elsewhere with the same keys, which an unlinking would end." example:"true"`
}) (*struct{ Status int }, error) {
	listener := s.waker.ListenKey(events.WakeSessions, in.SessionID)
	defer listener.Close()
	gone := false
	err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := s.q.SessionDeleteRequest(ctx, tx, in.Unlink, in.SessionID)
		if err != nil {
			return fmt.Errorf("ask for deletion: %w", err)
		}
		if n == 0 {
			return problem(SessionNotFound, "there is no session "+in.SessionID)
		}
		tx.Notify(events.WakeControl, in.SessionID)
		row, err := s.q.SessionShow(ctx, tx, in.SessionID)
		if err != nil {
			return fmt.Errorf("read session: %w", err)
		}
		if n, err = s.q.SessionDeleteUnlinked(ctx, tx, in.SessionID); err != nil {
			return fmt.Errorf("delete session: %w", err)
		}
		if gone = n > 0; !gone {
			return nil
		}
		if err := queue.DeleteSession(ctx, tx, in.SessionID); err != nil { // what was accepted for it goes too
			return fmt.Errorf("delete session: %w", err)
		}
		last, err := postgres.Session(row)
		if err != nil {
			return err
		}
		last.State, last.Reason, last.Desired = events.StateLoggedOut, "deleted", events.DesiredStopped // as a connector ends those it has
		tx.Notify(events.WakeSessions, in.SessionID)
		_, err = events.Publish(tx, events.SessionStatus, in.SessionID, "", time.Now(), events.SessionData{Session: last})
		return err
	})
	if err != nil {
		return nil, err
	}
	if !gone {
		err = s.await(ctx, listener, deleteWait, func(ctx context.Context) (bool, error) {
			exists, err := s.q.SessionExists(ctx, s.pool, in.SessionID)
			gone = err == nil && !exists
			return gone, err
		})
		if err != nil {
			return nil, fmt.Errorf("wait for deletion: %w", err)
		}
	}
	if !gone {
		return &struct{ Status int }{http.StatusAccepted}, nil
	}
	return &struct{ Status int }{http.StatusNoContent}, nil
}
