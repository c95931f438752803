package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

type (
	// stanzaHandler handles a stanza. Failure policy: on an error the connection is cut, since the client cannot be told that its stanza was
	// not taken; it connects again and repeats what was not acknowledged.
	stanzaHandler func(ctx context.Context, c *conn, stanza *waBinary.Node) error
	// queryHandler answers an iq of type get or set with the children of the result. Failure policy: a queryError goes to the client as it
	// is, any other error is logged and goes as 500.
	queryHandler func(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error)
	// recordLoader takes a record of the journal into memory when the server starts. Records come ordered by key; accounts and devices are
	// there before any other kind.
	recordLoader func(s *Server, r journal.Record) error
)

// query names a kind of iq: its namespace, its type and the tag of its first child; an empty child stands for those without an entry of
// their own.
type query struct{ xmlns, kind, child string }

// registry says who handles what. A feature is one file with a function that registers its handlers, listed in newRegistry.
type registry struct {
	stanzas map[string]stanzaHandler // by tag
	queries map[query]queryHandler
	pairing map[query]queryHandler   // what a companion may ask that is not linked yet
	routes  map[string]stanzaHandler // messages, by the server of their recipient
	loaders map[string]recordLoader  // records of the journal, by kind
	mex     map[string]mexHandler    // GraphQL queries, by the id that clients name them by
}

func newRegistry() *registry {
	r := &registry{
		stanzas: map[string]stanzaHandler{"iq": handleQuery}, queries: map[query]queryHandler{}, pairing: map[query]queryHandler{},
		routes: map[string]stanzaHandler{}, loaders: map[string]recordLoader{}, mex: map[string]mexHandler{},
	}
	for _, register := range []func(*registry){
		registerAccounts,
		registerQueue,
		registerMessages,
		registerReceipts,
		registerPreKeys,
		registerUsync,
		registerDevices,
		registerAppState,
		registerPrivacy,
		registerPresence,
		registerSettings,
		registerMedia,
		registerPairing,
		registerMex,
		registerRestrictions,
		registerChannels,
		registerCalls,
		registerGroups,
		registerGroupProfile,
		registerContacts,
		registerBlocklist,
		registerAbout,
		registerDisappearing,
		registerPictures,
		registerBusiness,
		registerLinks,
		registerStatus,
		registerAddressing, registerHiding,
	} {
		register(r)
	}
	return r
}

// queryError is an error for the client, with a code in the manner of HTTP.
type queryError struct {
	code int
	text string
}

func (e queryError) Error() string { return fmt.Sprintf("%d %s", e.code, e.text) }

var (
	errBadRequest   = queryError{400, "bad-request"}
	errForbidden    = queryError{403, "forbidden"}
	errNotAllowed   = queryError{405, "not-allowed"}
	errItemNotFound = queryError{404, "item-not-found"}
	errInternal     = queryError{500, "internal-server-error"}
	errUnknown      = queryError{501, "feature-not-implemented"}
)

// handle gives a stanza to its handler.
func (c *conn) handle(stanza *waBinary.Node) {
	ctx, cancel := context.WithTimeout(c.s.ctx, stanzaTimeout)
	defer cancel()
	defer func() {
		if failure := recover(); failure != nil {
			c.s.log.ErrorContext(ctx, "stanza handler panicked", "tag", stanza.Tag, "panic", failure, "stack", string(debug.Stack()))
			c.cut()
		}
	}()
	// Before it is linked, a companion acknowledges the notifications of its pairing, which are kept nowhere, and Baileys tells the name that
	// it gives its account while it asks for a pairing code, "~".
	if c.device == nil && (stanza.Tag == "ack" || stanza.Tag == "presence") {
		return
	}
	handler, ok := c.s.handlers.stanzas[stanza.Tag]
	if !ok || c.device == nil && stanza.Tag != "iq" && stanza.Tag != "ib" {
		c.unknown(stanza)
		return
	}
	if err := handler(ctx, c, stanza); err != nil && c.s.ctx.Err() == nil {
		c.s.log.ErrorContext(ctx, "stanza failed", "tag", stanza.Tag, "error", err)
		c.cut()
	}
}

// unknown counts and logs a stanza that nobody handles, without its content.
func (c *conn) unknown(stanza *waBinary.Node) {
	c.s.counts.unknown.Add(1)
	c.s.stanzas.add("unknown "+kindOf(stanza), 1)
	child := ""
	if children := stanza.GetChildren(); len(children) > 0 {
		child = children[0].Tag
	}
	c.s.log.WarnContext(c.ctx, "unknown stanza", "tag", stanza.Tag, "xmlns", stanza.Attrs["xmlns"], "type", stanza.Attrs["type"],
		"to", stanza.Attrs["to"], "child", child)
}

// handleQuery answers an iq, so that the client never waits for its timeout.
func handleQuery(ctx context.Context, c *conn, iq *waBinary.Node) error {
	kind, _ := iq.Attrs["type"].(string)
	if kind == "result" || kind == "error" {
		if c.pairing != nil {
			c.pairing.answer(iq)
		}
		return nil
	}
	q := query{kind: kind}
	q.xmlns, _ = iq.Attrs["xmlns"].(string)
	if children := iq.GetChildren(); len(children) > 0 {
		q.child = children[0].Tag
	}
	handlers := c.s.handlers.queries
	if c.device == nil {
		handlers = c.s.handlers.pairing
	}
	handler, ok := handlers[q]
	if !ok {
		handler, ok = handlers[query{q.xmlns, q.kind, ""}]
	}
	var answer []waBinary.Node
	var err error = errUnknown
	if !ok {
		c.unknown(iq)
	} else {
		answer, err = handler(ctx, c, iq)
	}
	result := waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{"from": types.ServerJID, "type": "result", "id": iq.Attrs["id"]}}
	if to, ok := iq.Attrs["to"].(types.JID); ok {
		result.Attrs["from"] = to
	}
	if err != nil {
		var known queryError
		if !errors.As(err, &known) {
			c.s.log.ErrorContext(ctx, "query failed", "xmlns", q.xmlns, "type", q.kind, "child", q.child, "error", err)
			known = errInternal
		}
		result.Attrs["type"] = "error"
		answer = []waBinary.Node{{Tag: "error", Attrs: waBinary.Attrs{"code": known.code, "text": known.text}}}
	}
	if len(answer) > 0 {
		result.Content = answer
	}
	faults, then := c.faults(), c.then
	c.then = nil
	c.later(faults.QueryDelay, faults.QueryJitter, "query", func() {
		c.sendNode(result)
		if then != nil {
			then()
		}
	})
	return nil
}

// content returns a node's content as bytes: short texts decode as strings, the rest as bytes.
func content(n waBinary.Node) []byte {
	switch v := n.Content.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

// attr returns an attribute as text; a JID becomes its string.
func attr(n *waBinary.Node, name string) string {
	switch v := n.Attrs[name].(type) {
	case string:
		return v
	case types.JID:
		return v.String()
	}
	return ""
}
