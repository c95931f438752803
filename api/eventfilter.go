package api

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// An EventFilter chooses events, for pages and streams: it is events.Filter as a query.
type EventFilter struct {
	Type      []typePattern   `query:"type" maxItems:"50" doc:"Only these types, separated by commas: a type, message.* for all that begin so, or * for all."`
	SessionID []sessionFilter `query:"sessionId" maxItems:"50" doc:"Only these sessions, separated by commas. An event that belongs to no session is left out then."`
	ChatKind  []chatKind      `query:"chatKind" maxItems:"5" doc:"Only events about chats of these kinds, separated by commas. Events that are about no chat stay."`
	FromMe    ownFilter       `query:"fromMe" doc:"true: of the events about messages only those about the account's own, its receipts included; false: only those about messages that came in. Events that are about no message stay." example:"false"`
}

// typePattern is a type of event, or a wildcard for several.
type typePattern string

// Schema lists what there is: a typing error in a filter would be an event that never comes.
func (typePattern) Schema(huma.Registry) *huma.Schema {
	var names []any
	for _, name := range events.TypePatterns() {
		names = append(names, name)
	}
	return &huma.Schema{Type: huma.TypeString, Enum: names, Examples: []any{"message.received"}}
}

// chatKind is a kind of chat.
type chatKind string

// Schema lists the kinds.
func (chatKind) Schema(huma.Registry) *huma.Schema {
	var names []any
	for _, kind := range events.AddressKinds {
		names = append(names, string(kind))
	}
	return &huma.Schema{Type: huma.TypeString, Enum: names, Examples: []any{"group"}}
}

// ownFilter is true, false, or not given. Huma's parameters are no pointers, so it notes that one was given.
type ownFilter struct{ value, given bool }

// Schema is that of a boolean.
func (ownFilter) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }

// Receiver is where Huma puts the parsed value.
func (f *ownFilter) Receiver() reflect.Value { return reflect.ValueOf(&f.value).Elem() }

// OnParamSet is where Huma says whether there was one.
func (f *ownFilter) OnParamSet(given bool, _ any) { f.given = given }

// filter is what the query says, of the sessions that there are for the caller.
func (f EventFilter) filter(c *caller) events.Filter {
	filter := events.Filter{Types: texts(f.Type), Sessions: c.among(texts(f.SessionID))}
	for _, kind := range f.ChatKind {
		filter.ChatKinds = append(filter.ChatKinds, events.AddressKind(kind))
	}
	if f.FromMe.given {
		filter.FromMe = &f.FromMe.value
	}
	return filter
}

// query writes the filter as it was read, for a link.
func (f EventFilter) query() url.Values {
	query := url.Values{}
	for name, list := range map[string][]string{"type": texts(f.Type), "sessionId": texts(f.SessionID), "chatKind": texts(f.ChatKind)} {
		if len(list) > 0 {
			query.Set(name, strings.Join(list, ","))
		}
	}
	if f.FromMe.given {
		query.Set("fromMe", strconv.FormatBool(f.FromMe.value))
	}
	return query
}

// indexed splits a filter into the one session that an index finds and the rest, for which the log has to be looked through. Several sessions are
// part of the rest: to merge their parts of the index in order, each would be read as far as the page could reach, though most of it comes from
// a few of them.
func indexed(filter events.Filter) (session string, rest events.Filter) {
	rest = filter
	if len(filter.Sessions) == 1 {
		session, rest.Sessions = filter.Sessions[0], nil
	}
	return session, rest
}

// leavesOut says whether there is anything that the filter could leave out.
func leavesOut(filter events.Filter) bool {
	return len(filter.Types) > 0 || len(filter.Sessions) > 0 || len(filter.ChatKinds) > 0 || filter.FromMe != nil
}

func factsOf(e db.EventPageRow) events.Facts {
	return events.Facts{Type: e.Type, SessionID: e.SessionID, ChatID: e.OrderKey, FromMe: e.FromMe}
}
