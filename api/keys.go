package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Schema lists the scopes that a key can be given.
func (scope) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Examples: []any{"send"}, Description: "read: see sessions and what is theirs. send: act in conversations: messages, chats, contacts, groups, channels, " +
		"status updates. manage: create, link and change sessions, their profile and their webhooks. admin: everything, keys and the audit log included."}
	for _, name := range scopes {
		s.Enum = append(s.Enum, string(name))
	}
	return s
}

// KeyRules are what a key may do, from where, and for how long.
type KeyRules struct {
	Scopes            []scope         `json:"scopes" minItems:"1" maxItems:"4" doc:"What it may do."`
	Sessions          []sessionFilter `json:"sessions,omitempty" maxItems:"1000" doc:"The only sessions that there are for it, whether they exist yet or not. Empty: all. With admin it must be empty."`
	Networks          []string        `json:"networks,omitempty" maxItems:"50" maxLength:"64" doc:"The only addresses that it may be used from, as CIDR or single. Behind a reverse proxy all requests come from the proxy. Empty: all." example:"203.0.113.0/24"`
	RequestsPerMinute *int32          `json:"requestsPerMinute,omitempty" minimum:"1" maximum:"1000000" doc:"Default: the setting RATE_LIMIT." example:"600"`
	ExpiresAt         *time.Time      `json:"expiresAt,omitempty" doc:"From then on it is not valid. Default: never."`
}

// createKey is the body of POST /v1/api-keys.
type createKey struct {
	Name string `json:"name" minLength:"1" maxLength:"128" doc:"What it is for; the audit log names it." example:"CRM"`
	KeyRules
}

// changeKey is the body of PATCH /v1/api-keys/{keyId}.
type changeKey struct {
	Name              *string             `json:"name,omitempty" minLength:"1" maxLength:"128" example:"CRM"`
	Scopes            *[]scope            `json:"scopes,omitempty" minItems:"1" maxItems:"4"`
	Sessions          *[]sessionFilter    `json:"sessions,omitempty" maxItems:"1000" doc:"Empty: all."`
	Networks          *[]string           `json:"networks,omitempty" maxItems:"50" maxLength:"64" doc:"Empty: all."`
	RequestsPerMinute nullable[int32]     `json:"requestsPerMinute,omitzero" minimum:"1" maximum:"1000000" doc:"null: the setting RATE_LIMIT." example:"600"`
	ExpiresAt         nullable[time.Time] `json:"expiresAt,omitzero" doc:"null: never."`
}

// rotateKey is the body of POST /v1/api-keys/{keyId}/rotate.
type rotateKey struct {
	OverlapSeconds int `json:"overlapSeconds,omitempty" minimum:"0" maximum:"604800" doc:"How long the key as it was stays valid beside the new one, up to 7 days. 0: it ends at once." example:"3600"`
}

// APIKey is a key, without the key.
type APIKey struct {
	ID                string     `json:"id" example:"key_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Name              string     `json:"name" example:"CRM"`
	Hint              string     `json:"hint" doc:"How the key begins, to tell keys apart." example:"ck_3q2-7w"`
	Scopes            []scope    `json:"scopes"`
	Sessions          []string   `json:"sessions" doc:"The only sessions that there are for it; empty: all."`
	Networks          []string   `json:"networks" doc:"The only addresses that it may be used from; empty: all."`
	RequestsPerMinute *int32     `json:"requestsPerMinute,omitempty" doc:"Absent: the setting RATE_LIMIT." example:"600"`
	ExpiresAt         *time.Time `json:"expiresAt,omitempty" doc:"Absent: never."`
	PreviousUntil     *time.Time `json:"previousUntil,omitempty" doc:"Until when the key before its rotation is valid too."`
	CreatedAt         time.Time  `json:"createdAt"`
	LastUsedAt        *time.Time `json:"lastUsedAt,omitempty" doc:"When it was last used, to the minute."`
}

// CreatedKey is a key with itself, which is shown this once.
type CreatedKey struct {
	APIKey
	Key string `json:"key" doc:"The key itself. It is shown this once, and stored only as a hash." example:"ck_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"`
}

// Me is the key of the request.
type Me struct {
	Kind              string     `json:"kind" enum:"owner,key" doc:"owner: API_KEY, the operator's own. key: one of /v1/api-keys." example:"key"`
	ID                string     `json:"id,omitempty" doc:"Absent for API_KEY." example:"key_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	Name              string     `json:"name" example:"CRM"`
	Scopes            []scope    `json:"scopes"`
	Sessions          []string   `json:"sessions" doc:"The only sessions that there are for it; empty: all."`
	RequestsPerMinute int        `json:"requestsPerMinute" doc:"How many requests it may make; 0: any number." example:"12000"`
	ExpiresAt         *time.Time `json:"expiresAt,omitempty" doc:"Absent: never."`
}

// KeyPath is the path parameter of everything below a key.
type KeyPath struct {
	KeyID string `path:"keyId" maxLength:"64" doc:"A key of the list." example:"key_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
}

type keyShown struct{ Body APIKey }

type keyCreated struct {
	Location string `header:"Location" doc:"The key."`
	Body     CreatedKey
}

var exampleKey = APIKey{
	ID: "key_01932f0c5d6b7a10b1f4d0c4a8e2f001", Name: "CRM", Hint: "ck_3q2-7w", Scopes: []scope{scopeRead, scopeSend}, Sessions: []string{"sales"}, Networks: []string{}, CreatedAt: exampleTime,
}

// Where keys are, and one of them.
const (
	keysPath = "/v1/api-keys"
	keyPath  = keysPath + "/{keyId}"
)

const keysTag = "Keys"

func (s *Server) addKeys() {
	created := CreatedKey{exampleKey, "ck_3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
	register(s, operation{
		method: "GET", path: "/v1/me", id: "get-me", tag: keysTag, status: 200, scope: scopeAny,
		summary: "Read what this key may do", description: "Whose key it is that asks, its scopes and sessions, and how long it is valid.",
		response: Me{Kind: "key", ID: exampleKey.ID, Name: "CRM", Scopes: exampleKey.Scopes, Sessions: exampleKey.Sessions, RequestsPerMinute: 12000},
	}, s.getMe)
	register(s, operation{
		method: "GET", path: keysPath, id: "list-api-keys", tag: keysTag, status: 200, scope: scopeAdmin,
		summary: "List API keys", description: "All keys but API_KEY, which is a setting. Those that have expired stay for 30 days.", response: List[APIKey]{Data: []APIKey{exampleKey}},
	}, s.listKeys)
	register(s, operation{
		method: "POST", path: keysPath, id: "create-api-key", tag: keysTag, status: 201, scope: scopeAdmin,
		summary: "Create an API key",
		description: "For a program or person that may do less than API_KEY: by scope, for some sessions alone, from some networks, until some time, so often a minute. For a key with sessions there are no " +
			"others: not in lists, events, media or answers. There is no Idempotency-Key here: a second key does no harm, and a stored answer would keep the first.",
		request: map[string]any{"name": "CRM", "scopes": []string{"read", "send"}, "sessions": []string{"sales"}}, response: created,
	}, s.createKey)
	register(s, operation{
		method: "GET", path: keyPath, id: "get-api-key", tag: keysTag, status: 200, scope: scopeAdmin,
		summary: "Read an API key", description: "What it may do, and when it was last used.", response: exampleKey, codes: []Code{KeyNotFound},
	}, s.getKey)
	register(s, operation{
		method: "PATCH", path: keyPath, id: "change-api-key", tag: keysTag, status: 200, scope: scopeAdmin,
		summary: "Change an API key", description: "Changes what is given and leaves the rest. Every process knows at once, or after 5 seconds where it could not be told.",
		request: map[string]any{"scopes": []string{"read"}}, response: exampleKey, codes: []Code{KeyNotFound},
	}, s.changeKey)
	register(s, operation{
		method: "DELETE", path: keyPath, id: "delete-api-key", tag: keysTag, status: 204, scope: scopeAdmin,
		summary: "Delete an API key", description: "It is valid no more: at once, or after 5 seconds for a process that could not be told. What it has done stays, and the audit log names it.", codes: []Code{KeyNotFound},
	}, s.deleteKey)
	register(s, operation{
		method: "POST", path: keyPath + "/rotate", id: "rotate-api-key", tag: keysTag, status: 200, scope: scopeAdmin,
		summary: "Rotate an API key", description: "A new key takes its place, with the same id, quota and rights. The key as it was stays valid for overlapSeconds; one from an earlier rotation does not.",
		request: map[string]any{"overlapSeconds": 3600}, response: created, codes: []Code{KeyNotFound},
	}, s.rotateKey)
}

// newKey makes a key that begins with prefix, its hash, and its hint.
func newKey(prefix string) (key string, hash []byte, hint string) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the program when the system has no randomness
	key = prefix + base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(key))
	return key, sum[:], key[:len(prefix)+6]
}

func publicKey(row db.ApiKey) (APIKey, error) {
	k := APIKey{
		ID: events.KeyPrefix.Format(row.ID), Name: row.Name, Hint: row.Hint, Scopes: []scope{}, Sessions: texts(row.Sessions), Networks: texts(row.Networks),
		RequestsPerMinute: row.RateLimit, ExpiresAt: utc(row.ExpiresAt), CreatedAt: row.CreatedAt.UTC(), LastUsedAt: utc(row.LastUsedAt),
	}
	for _, name := range row.Scopes {
		k.Scopes = append(k.Scopes, scope(name))
	}
	if row.PreviousUntil != nil && row.PreviousUntil.After(time.Now()) {
		k.PreviousUntil = utc(row.PreviousUntil)
	}
	return k, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// check completes the rules of a key, and says what is wrong with them.
func (r *KeyRules) check() error {
	slices.Sort(r.Scopes)
	r.Scopes = slices.Compact(r.Scopes)
	if slices.Contains(r.Scopes, scopeAdmin) && len(r.Sessions) > 0 {
		return invalid("body.sessions", "expected none with the scope admin, which is for everything")
	}
	for i, text := range r.Networks {
		network, err := netip.ParsePrefix(text)
		if address, e := netip.ParseAddr(text); e == nil {
			network, err = netip.PrefixFrom(address.WithZone(""), address.BitLen()), nil
		}
		if err == nil && network.Addr().Is4In6() && network.Bits() >= 96 { // as the addresses that requests come from are written
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		if err != nil {
			return invalid(fmt.Sprintf("body.networks[%d]", i), "expected a network such as 203.0.113.0/24, or an address")
		}
		r.Networks[i] = network.Masked().String()
	}
	if r.ExpiresAt != nil && !r.ExpiresAt.After(time.Now()) {
		return invalid("body.expiresAt", "expected a time to come")
	}
	return nil
}

// sessionsOf is the column of a key's sessions: NULL is all.
func sessionsOf(list []sessionFilter) []string {
	if len(list) == 0 {
		return nil
	}
	return texts(list)
}

func (s *Server) getMe(ctx context.Context, _ *struct{}) (*struct{ Body Me }, error) {
	c := callerOf(ctx)
	me := Me{Kind: "owner", Name: c.name, Scopes: c.scopes, Sessions: texts(c.sessions), RequestsPerMinute: s.config.RateLimit, ExpiresAt: utc(c.expires)}
	if c.id != (uuid.UUID{}) {
		me.Kind, me.ID = "key", events.KeyPrefix.Format(c.id)
	}
	if c.perMinute > 0 {
		me.RequestsPerMinute = c.perMinute
	}
	return &struct{ Body Me }{me}, nil
}

func (s *Server) listKeys(ctx context.Context, in *struct{ Page }) (*listed[APIKey], error) {
	before, err := parseCursor(events.KeyPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.q.KeyList(ctx, s.pool, before, in.rows())
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return paged(rows, in.Limit, keysPath, url.Values{}, publicKey, func(row db.ApiKey) string { return events.KeyPrefix.Format(row.ID) })
}

func (s *Server) createKey(ctx context.Context, in *struct{ Body createKey }) (*keyCreated, error) {
	rules := in.Body.KeyRules
	if err := rules.check(); err != nil {
		return nil, err
	}
	key, hash, hint := newKey("ck_")
	var out keyCreated
	err := s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		row, err := s.q.KeyInsert(ctx, tx, db.KeyInsertParams{
			ID: events.NewID(), Kind: "key", Name: in.Body.Name, Hint: hint, Hash: hash, Scopes: texts(rules.Scopes), Sessions: sessionsOf(rules.Sessions),
			Networks: texts(rules.Networks), RateLimit: rules.RequestsPerMinute, ExpiresAt: rules.ExpiresAt,
		})
		if err != nil {
			return fmt.Errorf("insert key: %w", err)
		}
		out.Body.APIKey, err = publicKey(row)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Body.Key, out.Location = key, keysPath+"/"+out.Body.ID
	return &out, nil
}

// keyRow turns the outcome of a query for one key into api_key_not_found where there is none.
func keyRow(row db.ApiKey, err error) (db.ApiKey, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return row, problem(KeyNotFound, "there is no such API key")
	}
	if err != nil {
		return row, fmt.Errorf("read key: %w", err)
	}
	return row, nil
}

func parseKeyID(text string) (uuid.UUID, error) {
	id, err := events.KeyPrefix.Parse(text)
	if err != nil {
		return id, problem(KeyNotFound, "there is no such API key")
	}
	return id, nil
}

func (s *Server) getKey(ctx context.Context, in *struct{ KeyPath }) (*keyShown, error) {
	id, err := parseKeyID(in.KeyID)
	if err != nil {
		return nil, err
	}
	row, err := keyRow(s.q.KeyGet(ctx, s.pool, id))
	if err != nil {
		return nil, err
	}
	key, err := publicKey(row)
	return &keyShown{key}, err
}

func (s *Server) changeKey(ctx context.Context, in *struct {
	KeyPath
	Body changeKey
}) (*keyShown, error) {
	id, err := parseKeyID(in.KeyID)
	if err != nil {
		return nil, err
	}
	var out keyShown
	return &out, s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		row, err := keyRow(s.q.KeyLock(ctx, tx, id))
		if err != nil {
			return err
		}
		rules := KeyRules{
			Networks: row.Networks, RequestsPerMinute: in.Body.RequestsPerMinute.onto(row.RateLimit), ExpiresAt: in.Body.ExpiresAt.onto(row.ExpiresAt),
		}
		for _, name := range row.Scopes {
			rules.Scopes = append(rules.Scopes, scope(name))
		}
		for _, name := range row.Sessions {
			rules.Sessions = append(rules.Sessions, sessionFilter(name))
		}
		if in.Body.Name != nil {
			row.Name = *in.Body.Name
		}
		if in.Body.Scopes != nil {
			rules.Scopes = *in.Body.Scopes
		}
		if in.Body.Sessions != nil {
			rules.Sessions = *in.Body.Sessions
		}
		if in.Body.Networks != nil {
			rules.Networks = *in.Body.Networks
		}
		if err := rules.check(); err != nil {
			return err
		}
		row, err = s.q.KeyChange(ctx, tx, db.KeyChangeParams{
			ID: id, Name: row.Name, Scopes: texts(rules.Scopes), Sessions: sessionsOf(rules.Sessions), Networks: texts(rules.Networks),
			RateLimit: rules.RequestsPerMinute, ExpiresAt: rules.ExpiresAt,
		})
		if err != nil {
			return fmt.Errorf("change key: %w", err)
		}
		s.keysChanged(tx)
		out.Body, err = publicKey(row)
		return err
	})
}

// keysChanged makes every process look keys up anew, this one before the answer.
func (s *Server) keysChanged(tx *queue.Tx) {
	tx.Notify(events.WakeKeys)
	tx.After(s.keys.forget)
}

func (s *Server) deleteKey(ctx context.Context, in *struct{ KeyPath }) (*struct{}, error) {
	id, err := parseKeyID(in.KeyID)
	if err != nil {
		return nil, err
	}
	return nil, s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		n, err := s.q.KeyDelete(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("delete key: %w", err)
		}
		if n == 0 {
			return problem(KeyNotFound, "there is no such API key")
		}
		s.keysChanged(tx)
		return nil
	})
}

func (s *Server) rotateKey(ctx context.Context, in *struct {
	KeyPath
	Body rotateKey
}) (*struct{ Body CreatedKey }, error) {
	id, err := parseKeyID(in.KeyID)
	if err != nil {
		return nil, err
	}
	key, hash, hint := newKey("ck_")
	var out struct{ Body CreatedKey }
	err = s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		row, err := keyRow(s.q.KeyLock(ctx, tx, id))
		if err != nil {
			return err
		}
		next := db.KeyRotateParams{ID: id, NewHash: hash, Hint: hint}
		if in.Body.OverlapSeconds > 0 {
			until := time.Now().Add(time.Duration(in.Body.OverlapSeconds) * time.Second)
			next.PreviousHash, next.PreviousUntil = row.Hash, &until
		}
		if row, err = s.q.KeyRotate(ctx, tx, next); err != nil {
			return fmt.Errorf("rotate key: %w", err)
		}
		s.keysChanged(tx)
		out.Body.APIKey, err = publicKey(row)
		return err
	})
	out.Body.Key = key
	return &out, err
}
