package api

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/events"
)

// keep puts an event with these facts into the log and returns its id.
func (f *fixture) keep(e events.Facts) string {
	f.t.Helper()
	id := events.NewID()
	body := fmt.Sprintf(`{"id":%q,"type":%q,"sessionId":%q,"timestamp":"2026-01-01T00:00:00Z","data":{}}`, events.EventPrefix.Format(id), e.Type, e.SessionID)
	f.exec("INSERT INTO events (seq, id, session_id, type, order_key, from_me, occurred_at, body) VALUES (nextval('events_seq'), $1, $2, $3, $4, $5, now(), $6)",
		id, e.SessionID, e.Type, e.ChatID, e.FromMe, []byte(body))
	return events.EventPrefix.Format(id)
}

// TestFilterInSQLAndGo: whatever the events and the filter, the query of the pages and events.Filter, which serves streams and webhooks, choose
// the same.
func TestFilterInSQLAndGo(t *testing.T) {
	t.Parallel()
	f := setup(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	some := func(list []string) (chosen []string) { // often none, and not in order
		for range r.IntN(4) {
			chosen = append(chosen, list[r.IntN(len(list))])
		}
		return chosen
	}
	one := func(list []string) string { return list[r.IntN(len(list))] }
	truth := []*bool{nil, new(false), new(true)}
	types := []string{"message.received", "message.sent", "message.status", "media.failed", "session.status", "session.qr", "webhook.test", "message", "messages.x", "a.b.c", "x%", "x_", ""}
	sessions := []string{"", "a", "b", "A", "a-b", "a_b"}
	chats := []string{"", events.StatusChat, "17@broadcast", "1@g.us", "1-2@g.us", "1@newsletter", "1@s.whatsapp.net", "1@lid", "@", "g.us", "@g.us", "1@g.us@s.whatsapp.net", "1@x@g.us",
		"status@broadcast ", "1@g.us\n", "1\n@g.us", "é@newsletter", "1@G.US"}
	var facts []events.Facts
	for range 400 {
		facts = append(facts, events.Facts{Type: one(types), SessionID: one(sessions), ChatID: one(chats), FromMe: truth[r.IntN(3)]})
		f.keep(facts[len(facts)-1])
	}
	wants := append(slices.Clone(types), "*", "message.*", "session.*", "a.*", "a.b.*", "mess*", "x*", "**", "*.", ".*", "%", "_*")
	kinds := []string{"user", "group", "broadcast", "status", "channel"}
	for range 400 {
		filter := events.Filter{Types: some(wants), Sessions: some(sessions[1:]), FromMe: truth[r.IntN(3)]}
		for _, kind := range some(kinds) {
			filter.ChatKinds = append(filter.ChatKinds, events.AddressKind(kind))
		}
		rows, _, _, err := f.readEvents(t.Context(), place{}, filter, len(facts))
		if err != nil {
			t.Fatal(err)
		}
		read := map[int64]bool{}
		for _, row := range rows {
			read[row.Seq] = true
		}
		for i, e := range facts {
			if wants := filter.Wants(e); wants != read[int64(i)+1] {
				t.Fatalf("seed %d: %+v of %+v (from me %s): Go says %t, SQL %t", seed, filter, e, shown(e.FromMe), wants, !wants)
			}
		}
	}
}

func shown(b *bool) string {
	if b == nil {
		return "unknown"
	}
	return fmt.Sprint(*b)
}

// TestEventFilters: pages and both kinds of stream take the same filters, and choose the same by them.
func TestEventFilters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const person, group = "5491123456789@s.whatsapp.net", "120363025246125486@g.us"
	first := f.keep(events.Facts{Type: "session.status", SessionID: "sales"}) // what the streams begin after
	log := []events.Facts{
		{Type: "message.received", SessionID: "sales", ChatID: person, FromMe: new(false)},
		{Type: "message.received", SessionID: "sales", ChatID: group, FromMe: new(false)},
		{Type: "message.sent", SessionID: "support", ChatID: group, FromMe: new(true)},
		{Type: "message.status", SessionID: "other", ChatID: person, FromMe: new(true)},
		{Type: "session.status", SessionID: "support"},
		{Type: "webhook.failing"},
		{Type: "message.received", SessionID: "other", ChatID: events.StatusChat, FromMe: new(false)},
	}
	queries := map[string][]int{
		"":                          {0, 1, 2, 3, 4, 5, 6},
		"type=*":                    {0, 1, 2, 3, 4, 5, 6},
		"type=message.*":            {0, 1, 2, 3, 6},
		"type=session.*,webhook.*":  {4, 5},
		"type=session.*&sessionId=": {4},
		"sessionId=sales":           {0, 1},
		"sessionId=sales,support":   {0, 1, 2, 4},
		"chatKind=group":            {1, 2, 4, 5},
		"chatKind=user,status":      {0, 3, 4, 5, 6},
		"fromMe=true":               {2, 3, 4, 5},
		"fromMe=false":              {0, 1, 4, 5, 6},
		"type=message.*&sessionId=sales,support&chatKind=group&fromMe=true": {2},
	}
	type opened struct{ kind, query string }
	live := map[opened]*follower{} // before anything happens, so that they get it from the tail
	for query := range queries {
		live[opened{"sse", query}], live[opened{"websocket", query}] = f.sse(query), f.websocket(query)
	}
	f.open(len(live))
	f.eventually("the tail", func() bool { _, known, _ := f.tail.end(); return known })
	var ids []string
	for _, e := range log {
		ids = append(ids, f.keep(e))
	}
	f.wake.Notify(events.WakeLog)
	for query, want := range queries {
		expected := []string{}
		for _, i := range want {
			expected = append(expected, ids[i])
		}
		for _, limit := range []string{"1", "50"} {
			if got, end := f.read("limit="+limit+"&"+query, first); !slices.Equal(got, expected) || end != ids[6] {
				t.Errorf("pages of %s with %q: %v up to %s, want %v", limit, query, got, end, expected)
			}
		}
		for kind, c := range map[string]*follower{
			"sse": f.sse(query + "&after=" + first), "websocket": f.websocket(query + "&after=" + first),
			"live sse": live[opened{"sse", query}], "live websocket": live[opened{"websocket", query}],
		} {
			if got, _ := c.must(t, len(expected)); !slices.Equal(got, expected) {
				t.Errorf("%s with %q: %v, want %v", kind, query, got, expected)
			}
			c.close()
		}
	}
	// The link keeps all of it.
	a := f.must(200, nil, "GET", "/v1/events?limit=1&type=message.*,session.qr&sessionId=sales,support&chatKind=group,user&fromMe=false", nil)
	link, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	to, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"type": {"message.*,session.qr"}, "sessionId": {"sales,support"}, "chatKind": {"group,user"}, "fromMe": {"false"}, "limit": {"1"}, "after": {ids[0]}}
	if got := to.Query(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the link is %v, want %v", got, want)
	}
	if got, _ := f.read(strings.TrimPrefix(link, "/v1/events?"), ids[0]); !slices.Equal(got, ids[1:2]) {
		t.Errorf("the link leads to %v", got)
	}
	// What there is not is told from what there is.
	for query, says := range map[string][]string{
		"type=message.recieved": {"query.type", `message.received`, `message.*`, `*`},
		"type=mess*":            {"query.type", `message.*`},
		"sessionId=a%20b":       {"query.sessionId", "A-Za-z0-9_-"},
		"chatKind=groups":       {"query.chatKind", "user", "group", "broadcast", "status", "channel"},
		"fromMe=maybe":          {"query.fromMe", "boolean"},
	} {
		for _, path := range []string{"/v1/events?", "/v1/events/stream?"} {
			a := f.do("GET", path+query, nil)
			f.problem(a, ValidationFailed)
			for _, says := range says {
				if !strings.Contains(string(a.body), says) {
					t.Errorf("%s%s does not name %s: %s", path, query, says, a.body)
				}
			}
		}
	}
}

// TestRareSessions: several sessions that are rare in a long log come in pages that may be empty, and nothing is skipped. One alone, which an index
// finds, needs none of these.
func TestRareSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	rare := func(session string) string { return f.keep(events.Facts{Type: "session.qr", SessionID: session}) }
	many := func() {
		f.exec(`INSERT INTO events (seq, id, session_id, type, occurred_at, body) SELECT nextval('events_seq'), gen_random_uuid(), 'busy', 'session.status', now(), '{}' FROM generate_series(1, $1)`, eventScan)
	}
	many()
	a := rare("a")
	many()
	b := rare("b")
	many()
	var page readPage
	f.must(200, &page, "GET", "/v1/events?sessionId=a,b", nil)
	if len(page.Data) != 0 || !page.HasMore {
		t.Errorf("the first page: %+v", page)
	}
	if got, _ := f.read("sessionId=a,b", ""); !slices.Equal(got, []string{a, b}) {
		t.Errorf("read %v", got)
	}
	page = readPage{}
	f.must(200, &page, "GET", "/v1/events?sessionId=b", nil)
	if len(page.Data) != 1 || page.Data[0].ID != b || page.HasMore {
		t.Errorf("the page of one: %+v", page)
	}
}
