package events

import (
	"slices"
	"strings"
	"testing"
)

func TestFilterWants(t *testing.T) {
	t.Parallel()
	const user, group = "5491123456789@s.whatsapp.net", "120363025246125486@g.us"
	received := Facts{Type: "message.received", SessionID: "sales", ChatID: user, FromMe: new(false)}
	inGroup := Facts{Type: "message.sent", SessionID: "sales", ChatID: group, FromMe: new(true)}
	status := Facts{Type: "message.received", SessionID: "sales", ChatID: StatusChat, FromMe: new(false)}
	session := Facts{Type: "session.status", SessionID: "sales"}
	webhook := Facts{Type: "webhook.failing"}
	lost := Facts{Type: "media.failed", SessionID: "sales", ChatID: user, FromMe: new(true)}
	for name, c := range map[string]struct {
		filter Filter
		passes []Facts
		not    []Facts
	}{
		"nothing said":       {Filter{}, []Facts{received, inGroup, status, session, webhook, lost, {}}, nil},
		"all types":          {Filter{Types: []string{"*"}}, []Facts{received, session, webhook}, nil},
		"a type":             {Filter{Types: []string{"message.received"}}, []Facts{received, status}, []Facts{inGroup, session, webhook}},
		"a family":           {Filter{Types: []string{"message.*"}}, []Facts{received, inGroup}, []Facts{session, webhook, lost, {Type: "message"}, {Type: "messages.x"}}},
		"a type or a family": {Filter{Types: []string{"session.*", "message.sent"}}, []Facts{session, inGroup}, []Facts{received, webhook}},
		"no wildcard":        {Filter{Types: []string{"message.rec*", "message"}}, nil, []Facts{received, inGroup}},
		"sessions":           {Filter{Sessions: []string{"other", "sales"}}, []Facts{received, session, lost}, []Facts{webhook, {Type: "session.status", SessionID: "support"}}},
		"no session":         {Filter{Sessions: []string{""}}, nil, []Facts{webhook, received}},
		"groups":             {Filter{ChatKinds: []AddressKind{KindGroup}}, []Facts{inGroup, session, webhook}, []Facts{received, status, lost}},
		"people or status":   {Filter{ChatKinds: []AddressKind{KindUser, KindStatus}}, []Facts{received, status, lost, session}, []Facts{inGroup}},
		"broadcast":          {Filter{ChatKinds: []AddressKind{KindBroadcast}}, []Facts{{ChatID: "17@broadcast"}, session}, []Facts{status, received}},
		"own":                {Filter{FromMe: new(true)}, []Facts{inGroup, lost, session, webhook}, []Facts{received, status}},
		"not own":            {Filter{FromMe: new(false)}, []Facts{received, status, session, webhook}, []Facts{inGroup, lost}},
		"all parts": {Filter{[]string{"message.*"}, []string{"sales"}, []AddressKind{KindGroup}, new(true)}, []Facts{inGroup},
			[]Facts{received, status, session, webhook, lost, {Type: "message.sent", SessionID: "other", ChatID: group, FromMe: new(true)}}},
		// What a release noted that knew nothing of from_me: the type says it, as far as it can.
		"own, unnoted":     {Filter{FromMe: new(true)}, []Facts{{Type: "message.sent"}, {Type: "message.status"}, {Type: "media.failed"}}, []Facts{{Type: "message.received"}}},
		"not own, unnoted": {Filter{FromMe: new(false)}, []Facts{{Type: "message.received"}, {Type: "media.failed"}}, []Facts{{Type: "message.sent"}, {Type: "message.status"}}},
	} {
		for _, e := range c.passes {
			if !c.filter.Wants(e) {
				t.Errorf("%s: %+v does not pass", name, e)
			}
		}
		for _, e := range c.not {
			if c.filter.Wants(e) {
				t.Errorf("%s: %+v passes", name, e)
			}
		}
	}
}

func TestTypePatterns(t *testing.T) {
	t.Parallel()
	list := TypePatterns()
	for _, want := range []string{"*", "session.*", "message.*", "media.*", "webhook.*", "message.received"} {
		if !slices.Contains(list, want) {
			t.Errorf("%s is missing in %v", want, list)
		}
	}
	families := map[string]bool{}
	for _, kind := range Types {
		families[string(kind[:strings.IndexByte(string(kind), '.')])] = true
	}
	if len(list) != 1+len(families)+len(Types) {
		t.Errorf("%v", list)
	}
	exact, prefixes := Filter{Types: []string{"*", "message.*", "session.qr", "x*"}}.Patterns()
	if !slices.Equal(exact, []string{"session.qr", "x*"}) || !slices.Equal(prefixes, []string{"", "message."}) {
		t.Errorf("%q and %q", exact, prefixes)
	}
}

// TestAboutOwn: callers of Publish say nothing of it.
func TestAboutOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind       Type
		data       any
		own, about bool
	}{
		{MessageReceived, MessageData{Message{Direction: Incoming}}, false, true},
		{MessageReceived, nil, false, true},
		{MessageSent, MessageData{Message{Direction: Outgoing}}, true, true},
		{MessageUpdated, StatusData{}, true, true},
		{MediaFailed, MediaFailedData{Direction: Incoming}, false, true},
		{MediaFailed, MediaFailedData{Direction: Outgoing}, true, true},
		{SessionStatus, SessionData{}, false, false},
		{WebhookTest, WebhookData{Message: &Message{Direction: Incoming}}, false, false},
	} {
		if own, about := aboutOwn(c.kind, c.data); own != c.own || about != c.about {
			t.Errorf("%s %+v: own is %t, about a message %t", c.kind, c.data, own, about)
		}
	}
}
