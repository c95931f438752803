package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// linkKept is how long a link is good where its creator does not say.
const linkKept = time.Hour

// createLink is the body of POST /v1/sessions/{sessionId}/links.
type createLink struct {
	ValidSeconds int       `json:"validSeconds,omitempty" minimum:"60" maximum:"604800" doc:"How long it can be used, up to 7 days. Default: an hour." example:"3600"`
	Name         string    `json:"name,omitempty" maxLength:"128" doc:"What the audit log calls it." example:"Link for Juan"`
	Brand        *newBrand `json:"brand,omitempty" doc:"What its page shows of you. Default: nothing."`
}

// maxLogo is how many bytes the logo of a link may have.
const maxLogo = 32 << 10

// newBrand is what the page of a link is to show of whoever makes it.
type newBrand struct {
	Name  string `json:"name,omitempty" maxLength:"64" doc:"Who asks for the linking." example:"The Shop"`
	Color string `json:"color,omitempty" pattern:"^#[0-9A-Fa-f]{6}$" patternDescription:"a colour such as #3b4cc0" doc:"The page's own colour." example:"#3b4cc0"`
	Logo  string `json:"logo,omitempty" maxLength:"43720" doc:"A PNG, JPEG or WebP of at most 32 KiB, as a data URL." example:"data:image/png;base64,iVBORw0KGgo="`
}

// Brand is what the page of a link shows of whoever made it.
type Brand newBrand

// check says what is wrong with a brand: a logo is what its bytes say, since a stranger's browser will show it.
func (b *newBrand) check() error {
	if b == nil || b.Logo == "" {
		return nil
	}
	head, encoded, _ := strings.Cut(b.Logo, ";base64,")
	kind, isData := strings.CutPrefix(head, "data:")
	logo, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !isData || err != nil || !slices.Contains([]string{"image/png", "image/jpeg", "image/webp"}, kind) || http.DetectContentType(logo) != kind || len(logo) > maxLogo {
		return invalid("body.brand.logo", "expected data:image/png;base64,..., or the same of a JPEG or a WebP, of at most 32 KiB")
	}
	return nil
}

// Link lets somebody link one session, and nothing else.
type Link struct {
	Token     string    `json:"token" doc:"What its holder sends as Authorization: Bearer. It is shown this once, and stored only as a hash." example:"cl_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`
	URL       string    `json:"url" doc:"The page for its holder: below PUBLIC_URL, with the token in it." example:"https://chat.example.com/link/cl_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`
	SessionID string    `json:"sessionId" example:"sales"`
	ExpiresAt time.Time `json:"expiresAt" doc:"Until when it can be used. It ends before that once the session is linked, or by another link for it."`
}

// LinkState is what the holder of a link sees of its session.
type LinkState struct {
	SessionID string              `json:"sessionId" example:"sales"`
	Name      string              `json:"name,omitempty" doc:"The session's name." example:"Sales team"`
	State     events.SessionState `json:"state" example:"qr"`
	ExpiresAt time.Time           `json:"expiresAt" doc:"Until when the link can be used."`
	Brand     *Brand              `json:"brand,omitempty" doc:"What its page shows of whoever made it."`
	Sandbox   bool                `json:"sandbox" doc:"Whether a simulated phone can link it: POST /v1/sessions/{sessionId}/simulated-scan." example:"false"`
}

// linkPage is where the page of a link is, with its token behind it.
const linkPage = "/link/"

const exampleLink = "cl_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func (s *Server) addLinks() {
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/links", id: "create-link", tag: "Sessions", status: 201,
		summary: "Create a link for somebody who links the session",
		description: "A token for one linking, and the page for it: with it, and no key, a customer's page reads the session's QR code, asks for a pairing code, and answers for a passkey. It can do nothing else, sees nothing else of the " +
			"session than its name and state, and ends when the session is linked. An earlier link for the session ends too.",
		request: map[string]any{"validSeconds": 3600, "brand": map[string]any{"name": "The Shop", "color": "#3b4cc0"}}, response: Link{exampleLink, "https://chat.example.com" + linkPage + exampleLink, "sales", exampleTime},
		codes: []Code{SessionNotFound, SessionAlreadyLinked},
	}, s.createLink)
	register(s, operation{
		method: "GET", path: "/v1/link", id: "get-link", tag: "Sessions", status: 200, scope: scopePair,
		summary: "Read what a link is for", description: "The session that the link of the request links, and how far it is.",
		response: LinkState{"sales", "Sales team", events.StateQR, exampleTime, &Brand{Name: "The Shop", Color: "#3b4cc0"}, false}, codes: []Code{NotFound},
	}, s.getLink)
}

func (s *Server) createLink(ctx context.Context, in *struct {
	SessionPath
	Body createLink
}) (*struct{ Body Link }, error) {
	valid := time.Duration(in.Body.ValidSeconds) * time.Second
	if valid == 0 {
		valid = linkKept
	}
	if err := in.Body.Brand.check(); err != nil {
		return nil, err
	}
	var brand json.RawMessage // nil: NULL
	if b := in.Body.Brand; b != nil && *b != (newBrand{}) {
		var err error
		if brand, err = json.Marshal(b); err != nil {
			return nil, fmt.Errorf("encode brand: %w", err)
		}
	}
	token, hash, hint := newKey("cl_")
	expires := time.Now().Add(valid).UTC()
	err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		if _, err := s.sessionRow(ctx, tx, in.SessionID); err != nil {
			return err
		}
		if linked, err := s.isLinked(ctx, tx, in.SessionID); err != nil || linked {
			return cmp.Or(err, error(problem(SessionAlreadyLinked, "the session is linked already; log it out first")))
		}
		if _, err := s.q.LinkDelete(ctx, tx, in.SessionID); err != nil {
			return fmt.Errorf("end earlier links: %w", err)
		}
		name := in.Body.Name
		if name == "" {
			name = "link of " + in.SessionID
		}
		if _, err := s.q.KeyInsert(ctx, tx, db.KeyInsertParams{
			ID: events.NewID(), Kind: "link", Name: name, Hint: hint, Hash: hash, Scopes: []string{string(scopePair)}, Sessions: []string{in.SessionID}, Networks: []string{}, ExpiresAt: &expires, Brand: brand,
		}); err != nil {
			return fmt.Errorf("insert link: %w", err)
		}
		s.keysChanged(tx)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &struct{ Body Link }{Link{token, s.address + linkPage + token, in.SessionID, expires}}, nil
}

// isLinked says whether a session is linked, or is no more.
func (s *Server) isLinked(ctx context.Context, from db.DBTX, session string) (bool, error) {
	row, err := s.q.SessionPairing(ctx, from, session)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read session: %w", err)
	}
	return row.Linked, nil
}

func (s *Server) getLink(ctx context.Context, _ *struct{}) (*struct{ Body LinkState }, error) {
	c := callerOf(ctx)
	if !c.link {
		return nil, problem(NotFound, "the key of this request is no link's")
	}
	session, err := s.readSession(ctx, s.pool, c.sessions[0])
	if err != nil {
		return nil, err
	}
	state := LinkState{SessionID: session.ID, Name: session.Name, State: session.State, ExpiresAt: *utc(c.expires), Sandbox: s.sandbox != nil}
	row, err := s.q.KeyByPrincipal(ctx, s.pool, c.principal[:])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem(Unauthorized, "this link has ended")
	}
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	if row.Brand != nil {
		if err := json.Unmarshal(row.Brand, &state.Brand); err != nil {
			return nil, fmt.Errorf("decode brand: %w", err)
		}
	}
	return &struct{ Body LinkState }{state}, nil
}
