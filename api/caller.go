package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// A scope is something that a key may do. An operation needs one.
type scope string

const (
	scopeRead   scope = "read"   // see sessions and what is theirs
	scopeSend   scope = "send"   // act in conversations: messages, chats, contacts, groups, channels, status updates
	scopeManage scope = "manage" // create, link and change sessions, their profile and their webhooks
	scopeAdmin  scope = "admin"  // everything, keys and the audit log included
	scopePair   scope = "pair"   // link one session; what a link has, and every key that may manage
	scopeAny    scope = "any"    // what every key may, but for a link
)

// scopes are those that a key can be given.
var scopes = []scope{scopeRead, scopeSend, scopeManage, scopeAdmin}

// managed are the tags of which every change is management; elsewhere a change is a matter of conversation.
var managed = []string{"Sessions", "Profile", "Webhooks"}

// needs is the scope that an operation needs.
func (o operation) needs() scope {
	switch {
	case o.scope != "":
		return o.scope
	case o.method == http.MethodGet:
		return scopeRead
	case slices.Contains(managed, o.tag):
		return scopeManage
	}
	return scopeSend
}

// keyKept is how long a process goes by what it knows of a key. Changes of keys wake it; this is for a wake-up that is lost.
const keyKept = 5 * time.Second

// A caller is whose request it is: the holder of API_KEY, of a key, or of a link.
type caller struct {
	id        uuid.UUID // zero: API_KEY
	name      string
	principal [sha256.Size]byte // of quotas, idempotency keys, tickets and uploads
	scopes    []scope
	sessions  []string // nil: all
	networks  []netip.Prefix
	perMinute int // requests; 0: RATE_LIMIT
	expires   *time.Time
	link      bool
}

// owner is the caller of API_KEY.
func (s *Server) owner() *caller {
	return &caller{name: "API_KEY", principal: s.principal, scopes: []scope{scopeAdmin}}
}

// may says whether the caller has a scope.
func (c *caller) may(needed scope) bool {
	switch {
	case slices.Contains(c.scopes, needed), slices.Contains(c.scopes, scopeAdmin):
		return true
	case needed == scopePair:
		return slices.Contains(c.scopes, scopeManage)
	}
	return needed == scopeAny && !c.link
}

// sees says whether a session is among the caller's. Whether it exists makes no difference, here or to how long it takes.
func (c *caller) sees(session string) bool {
	return c.sessions == nil || slices.Contains(c.sessions, session)
}

// callerOf returns the caller of a request; outside of one it is the owner, so that nothing is hidden from the server itself.
func callerOf(ctx context.Context) *caller {
	if c := callOf(ctx).caller; c != nil {
		return c
	}
	return &caller{name: "chasqui", scopes: []scope{scopeAdmin}}
}

// keyCache is what this process knows of keys, by the hash of the key.
//
// Failure policy: where the database cannot be asked, a key that is known is good for keyKept, and API_KEY always is.
type keyCache struct {
	mu      sync.Mutex
	callers map[[sha256.Size]byte]knownCaller
}

type knownCaller struct {
	*caller
	until time.Time
}

func (k *keyCache) get(hash [sha256.Size]byte, now time.Time) *caller {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.callers[hash]; ok && now.Before(known.until) {
		return known.caller
	}
	return nil
}

func (k *keyCache) put(hash [sha256.Size]byte, c *caller, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.callers == nil || len(k.callers) >= limitKeys {
		k.callers = map[[sha256.Size]byte]knownCaller{}
	}
	k.callers[hash] = knownCaller{c, now.Add(keyKept)}
}

// forget is called when any key has changed.
func (k *keyCache) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.callers = nil
}

// followKeys forgets what is known of keys whenever one has changed.
func (s *Server) followKeys() {
	listener := s.waker.Listen(events.WakeKeys)
	defer listener.Close()
	for {
		select {
		case <-listener.C():
			s.keys.forget()
		case <-s.stopping:
			return
		}
	}
}

// callerOfKey is whose key this is.
func (s *Server) callerOfKey(ctx context.Context, key string) (*caller, error) {
	if key == "" {
		return nil, problem(Unauthorized, "an API key is needed")
	}
	hash := sha256.Sum256([]byte(key))
	if s.isOwners(hash) {
		return s.owner(), nil
	}
	now := time.Now()
	c := s.keys.get(hash, now)
	if c == nil {
		ctx, cancel := context.WithTimeout(ctx, databaseBudget)
		defer cancel()
		row, err := s.q.KeyByHash(ctx, s.pool, hash[:])
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, problem(Unauthorized, "this API key is not valid")
		}
		if err != nil {
			return nil, fmt.Errorf("look up key: %w", err)
		}
		if err := s.q.KeyUsed(ctx, s.pool, row.ID); err != nil {
			return nil, fmt.Errorf("note the key's use: %w", err)
		}
		if c, err = callerOfRow(row); err != nil {
			return nil, err
		}
		s.keys.put(hash, c, now)
	}
	if c.link { // it ends with what it is for
		if linked, err := s.isLinked(ctx, s.pool, c.sessions[0]); err != nil || linked {
			return nil, cmp.Or(err, error(problem(LinkUsed, "this link has been used")))
		}
	}
	if c.expires != nil && !now.Before(*c.expires) {
		return nil, problem(Unauthorized, "this API key has expired")
	}
	return c, nil
}

// callerOfPrincipal is who asked for a ticket.
func (s *Server) callerOfPrincipal(ctx context.Context, principal []byte) (*caller, error) {
	if [sha256.Size]byte(principal) == s.principal {
		return s.owner(), nil
	}
	row, err := s.q.KeyByPrincipal(ctx, s.pool, principal)
	if err != nil {
		return nil, err
	}
	return callerOfRow(row)
}

func callerOfRow(row db.ApiKey) (*caller, error) {
	c := &caller{
		id: row.ID, name: row.Name, principal: [sha256.Size]byte(row.Principal), sessions: row.Sessions, expires: row.ExpiresAt, link: row.Kind == "link",
	}
	for _, name := range row.Scopes {
		c.scopes = append(c.scopes, scope(name))
	}
	if row.RateLimit != nil {
		c.perMinute = int(*row.RateLimit)
	}
	for _, text := range row.Networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("read networks of key %s: %w", row.ID, err)
		}
		c.networks = append(c.networks, network)
	}
	return c, nil
}

// allows says whether requests may come from an address.
func (c *caller) allows(remote string) bool {
	if len(c.networks) == 0 {
		return true
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(c.networks, func(network netip.Prefix) bool { return network.Contains(address) })
}

// authorize is the problem of a caller who may not do what is asked for, or nil. A session that is not his is one that does not exist, before anything
// else of the request is looked at: what the answer says, and when it comes, does not depend on whether it does.
func (c *caller) authorize(o operation, session string) *Problem {
	if !c.may(o.needs()) {
		return problem(InsufficientScope, fmt.Sprintf("this needs a key with the scope %s", o.needs()))
	}
	if session != "" && !c.sees(session) {
		return problem(SessionNotFound, "there is no session "+session)
	}
	if o.everywhere && c.sessions != nil {
		return problem(InsufficientScope, "this needs a key for all sessions")
	}
	return nil
}

// among is what a filter by sessions becomes for the caller: those of its own, of them those that were asked for. It is never empty for a caller who
// has not all of them, since no sessions mean all.
func (c *caller) among(asked []string) []string {
	if c.sessions == nil {
		return asked
	}
	if len(asked) == 0 {
		asked = c.sessions
	}
	own := slices.DeleteFunc(slices.Clone(asked), func(session string) bool { return !c.sees(session) })
	if len(own) == 0 {
		return []string{noSession}
	}
	return own
}

// noSession is no session's id.
const noSession = "!"
