package events

import (
	"slices"
	"strings"
)

// A Filter says which events somebody wants: a webhook endpoint, a page of the log, a stream. Each part that is given must let an event pass.
//
//   - Types are types, "message.*" for all whose name begins with "message.", and "*" for all.
//   - Sessions are sessions' ids. An event that belongs to no session does not pass where one is named.
//   - ChatKinds are kinds of the chat that an event is about. An event about no chat passes.
//   - FromMe true is about messages that the session's account sent, false about those it got. An event about no message passes.
//
// The query EventPage says the same in SQL; a test holds the two against each other.
type Filter struct {
	Types     []string      // none: all
	Sessions  []string      // none: all
	ChatKinds []AddressKind // none: all
	FromMe    *bool         // nil: both
}

// Facts are what a Filter looks at. SessionID and ChatID are empty for an event that has none; FromMe is nil where an event is about no
// message, and where only its type says whose message it is.
type Facts struct {
	Type, SessionID, ChatID string
	FromMe                  *bool
}

// Wants says whether the filter lets an event pass.
func (f Filter) Wants(e Facts) bool {
	return (len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(want string) bool { return covers(want, e.Type) })) &&
		(len(f.Sessions) == 0 || e.SessionID != "" && slices.Contains(f.Sessions, e.SessionID)) &&
		(len(f.ChatKinds) == 0 || e.ChatID == "" || slices.Contains(f.ChatKinds, KindOf(e.ChatID))) &&
		(f.FromMe == nil || e.passesFromMe(*f.FromMe))
}

// covers says whether one of a filter's types stands for a type.
func covers(want, t string) bool {
	prefix, wild := wildcard(want)
	return wild && strings.HasPrefix(t, prefix) || want == t
}

// wildcard returns what the types that a wildcard stands for begin with: "" for "*", "message." for "message.*".
func wildcard(want string) (prefix string, ok bool) {
	prefix, star := strings.CutSuffix(want, "*")
	return prefix, star && (prefix == "" || strings.HasSuffix(prefix, "."))
}

// Patterns splits the filter's types into those that are meant themselves and what the others begin with, for SQL. Both are empty for all.
func (f Filter) Patterns() (exact, prefixes []string) {
	exact, prefixes = []string{}, []string{}
	for _, want := range f.Types {
		if prefix, wild := wildcard(want); wild {
			prefixes = append(prefixes, prefix)
		} else {
			exact = append(exact, want)
		}
	}
	return exact, prefixes
}

// TypePatterns lists what can stand in a filter's Types: "*", a wildcard for each family of types, and the types.
func TypePatterns() []string {
	list := []string{"*"}
	for _, t := range Types {
		family, _, _ := strings.Cut(string(t), ".")
		if all := family + ".*"; !slices.Contains(list, all) {
			list = append(list, all)
		}
	}
	for _, t := range Types {
		list = append(list, string(t))
	}
	return list
}

// AddressKinds lists every kind.
var AddressKinds = []AddressKind{KindUser, KindGroup, KindBroadcast, KindStatus, KindChannel}

// passesFromMe says whether the event is about a message of that kind, or about none.
func (e Facts) passesFromMe(want bool) bool {
	if e.FromMe != nil {
		return *e.FromMe == want
	}
	own, about := ownByType(Type(e.Type))
	return !about || own == want
}

// ownByType says whether events of a type are always about an own message, or never, as far as a type says it. Events that were logged by a
// release which noted nothing else have only that.
func ownByType(t Type) (own, about bool) {
	switch t {
	case MessageReceived:
		return false, true
	case MessageSent, MessageUpdated: // receipts and failures are of what was sent
		return true, true
	}
	return false, false
}

// aboutOwn says whether an event is about an own message.
func aboutOwn(t Type, data any) (own, about bool) {
	direction := ""
	switch d := data.(type) {
	case MessageData:
		direction = d.Message.Direction
	case MediaFailedData:
		direction = d.Direction
	case EditedData:
		direction = d.Message.Direction
	case ReactionData:
		direction = d.Direction
	case VoteData:
		direction = d.Direction
	case ResponseData:
		direction = d.Direction
	}
	if direction != "" {
		return direction == Outgoing, true
	}
	return ownByType(t)
}
