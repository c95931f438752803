package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/events"
)

// TestNoKeySeesAnotherSession drives two keys, each of one session, through every operation of the document, with whatever the other session has: its id, and
// the ids of its messages, files, events, deliveries and so on, as its own key reads them. No answer may hold any of the other's, nothing of the
// other's may change, and what is asked of the other session is answered exactly as what is asked of one that does not exist.
func TestNoKeySeesAnotherSession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const secret = "zebra"
	keys, made := map[string]string{}, map[string][]string{}
	for _, id := range []string{"alpha", secret} {
		f.session(id)
		f.linked(id, "reconnecting")
		f.exec(`UPDATE sessions SET jid = replace(jid, '0000000', $2), phone = replace(phone, '0000000', $2) WHERE id = $1`, id, map[string]string{"alpha": "1000000", secret: "2000000"}[id])
		made[id] = f.furnish(id)
		keys[id], _ = f.key(map[string]any{"name": id, "scopes": []string{"read", "send", "manage"}, "sessions": []string{id}})
	}
	operations, g := readOperations(t)
	own := func(id string) *crosser { return &crosser{f: f, key: keys[id], mine: map[string]bool{}} }
	mine, theirs := own("alpha"), own(secret)
	mine.readAll(operations, "alpha")
	theirs.readAll(operations, secret)
	for _, kind := range []string{"msg_", "evt_", "we_", "dlv_", "med_", "rpl_", "chg_", "bat_", "5"} {
		if !slices.ContainsFunc(slices.Concat(slices.Collect(maps.Keys(theirs.mine)), made[secret]), func(id string) bool { return strings.HasPrefix(id, kind) }) {
			t.Errorf("nothing of the kind %s was read of the session", kind)
		}
	}
	for id := range mine.mine {
		if theirs.mine[id] {
			t.Errorf("both keys read %q", id)
		}
	}
	before := f.stateOf(secret)
	hidden := slices.Concat(slices.Sorted(maps.Keys(theirs.mine)), made[secret])
	g.seen = hidden
	asked := 0
	for round := range 12 {
		for _, o := range operations {
			if public[o.id] {
				continue
			}
			r := g.request(o, f.base, round%4 == 3)
			r.header.Set("X-Api-Key", keys["alpha"])
			r.header.Del("Idempotency-Key")
			pin := g.IntN(3)
			r.aim(g, o, f.base, []string{secret, "alpha", "alpha"}[pin], hidden)
			if strings.Contains(r.url, "%00") {
				continue
			}
			response, body, err := r.do(t.Context(), client)
			if err != nil {
				continue // it waits
			}
			asked++
			// What the request itself said may be said again.
			said := r.url + string(r.body)
			for _, id := range append([]string{"of " + secret, "hello " + secret, `"sessionId":"` + secret}, hidden...) {
				if strings.Contains(id, "@") {
					continue // an address is no secret: whoever knows it may write to it
				}
				if bytes.Contains(body, []byte(id)) && !strings.Contains(said, id) {
					t.Errorf("%s shows %q: %d %s", r, id, response.StatusCode, body)
				}
			}
			if strings.Contains(o.path, "{sessionId}") && pin == 0 {
				if response.StatusCode != 404 && response.StatusCode != 403 {
					t.Errorf("%s: %d %s", r, response.StatusCode, body)
				}
				other := *r
				other.url = strings.ReplaceAll(r.url, secret, "nobody")
				other.body = bytes.ReplaceAll(r.body, []byte(secret), []byte("nobody"))
				if same, text, err := other.do(t.Context(), client); err != nil || plain(text, "nobody") != plain(body, secret) || same.StatusCode != response.StatusCode {
					t.Errorf("%s is answered\n%s\nand of a session that does not exist\n%s", r, body, text)
				}
			}
		}
		if round == 0 && t.Failed() {
			break
		}
	}
	if asked < 1500 {
		t.Errorf("only %d requests were answered", asked)
	}
	if after := f.stateOf(secret); after != before {
		t.Errorf("the other session was changed:\n%s\n%s", before, after)
	}
	// The streams, which the loop leaves at their heads.
	f.keep(events.Facts{Type: string(events.MessageReceived), SessionID: secret, ChatID: "secret-chat"})
	f.keep(events.Facts{Type: string(events.MessageReceived), SessionID: "alpha", ChatID: "own-chat"})
	for _, query := range []string{"", "?sessionId=" + secret, "?sessionId=alpha," + secret} {
		var page List[json.RawMessage]
		f.must(200, &page, "GET", "/v1/events"+query, nil, "X-API-Key", keys["alpha"])
		if text := fmt.Sprintf("%s", page.Data); strings.Contains(text, secret) || strings.Contains(text, "alpha") == (query == "?sessionId="+secret) {
			t.Errorf("events%s: %s", query, text)
		}
	}
	if metrics := string(f.do("GET", "/metrics", nil, "X-API-Key", keys["alpha"]).body); strings.Contains(metrics, secret) {
		t.Error("the metrics name the other session")
	}
}

// plain is an answer without what differs from request to request.
func plain(body []byte, session string) string {
	text := regexp.MustCompile(`"requestId":"[^"]*"`).ReplaceAllString(string(body), "")
	return strings.ReplaceAll(text, session, "SESSION")
}

// A crosser reads what a key may.
type crosser struct {
	f    *fixture
	key  string
	mine map[string]bool
}

var idLike = regexp.MustCompile(`"((?:msg|evt|we|dlv|med|rpl|chg|bat|call)_[0-9a-f]{32}|[0-9]+@[a-z.]+)"`)

// readAll follows what there is to read from the lists on, and notes every id.
func (c *crosser) readAll(operations []*randomOperation, session string) {
	c.f.t.Helper()
	known := map[string]bool{}
	for range 3 {
		for _, o := range operations {
			if o.method != "GET" || public[o.id] || strings.Contains(o.path, "/stream") || strings.HasSuffix(o.path, "/ws") || strings.Contains(o.path, "/qr") {
				continue
			}
			paths := []string{strings.ReplaceAll(o.path, "{sessionId}", session)}
			if strings.Contains(paths[0], "{") {
				name := regexp.MustCompile(`\{[^}]*\}`)
				first := paths[0]
				paths = nil
				for id := range known {
					paths = append(paths, name.ReplaceAllString(first, id))
				}
				if slices.Sort(paths); len(paths) > 40 {
					paths = paths[:40]
				}
			}
			for _, path := range paths {
				r := &randomRequest{method: "GET", url: c.f.base + path, header: http.Header{"X-Api-Key": {c.key}, "Prefer": {"wait=0"}}}
				response, body, err := r.do(c.f.t.Context(), client)
				if err != nil || response.StatusCode >= 300 {
					continue
				}
				for _, match := range idLike.FindAllSubmatch(body, -1) {
					c.mine[string(match[1])] = true
				}
			}
		}
		known = maps.Clone(c.mine)
	}
}

// aim makes a request concern a session, and what another has.
func (r *randomRequest) aim(g *generator, o *randomOperation, base, session string, hidden []string) {
	path := strings.ReplaceAll(o.path, "{sessionId}", session)
	path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllStringFunc(path, func(name string) string {
		var alike []string
		for _, id := range hidden {
			kind := map[string]string{
				"{messageId}": "msg_", "{eventId}": "evt_", "{endpointId}": "we_", "{deliveryId}": "dlv_", "{mediaId}": "med_", "{replayId}": "rpl_", "{changeId}": "chg_", "{batchId}": "bat_",
			}[name]
			if kind == "" && strings.Contains(id, "@") || kind != "" && strings.HasPrefix(id, kind) {
				alike = append(alike, id)
			}
		}
		if len(alike) == 0 {
			alike = hidden
		}
		return alike[g.IntN(len(alike))]
	})
	query := ""
	if _, after, ok := strings.Cut(r.url, "?"); ok {
		query = "?" + after
	}
	r.url = base + path + query
	// The ids of examples in the body become those of what there is.
	r.body = regexp.MustCompile(`(msg|evt|we|dlv|med|rpl|chg|bat)_[0-9a-f]{32}`).ReplaceAllFunc(r.body, func(example []byte) []byte {
		kind := example[:bytes.IndexByte(example, '_')+1]
		var alike []string
		for _, id := range hidden {
			if strings.HasPrefix(id, string(kind)) {
				alike = append(alike, id)
			}
		}
		if len(alike) == 0 {
			return example
		}
		return []byte(alike[g.IntN(len(alike))])
	})
	r.body = bytes.ReplaceAll(r.body, []byte(`"mi-sesion-01"`), []byte(`"`+session+`"`))
}

// furnish gives a session something of everything that can be read: chats and messages, a call, a label, a change, a batch, files received, sent and uploaded, an
// endpoint with a delivery and a replay, and events. It returns the ids of what no list holds.
func (f *fixture) furnish(id string) []string {
	f.t.Helper()
	digit := map[string]string{"alpha": "1", "zebra": "2"}[id]
	f.exec(`INSERT INTO chats (session_id, id, kind, last_message_at, unread) SELECT $1, ('54911' || $2 || (500000 + n)) || '@s.whatsapp.net', 'user', now(), 1 FROM generate_series(1, 20) n`, id, digit)
	f.exec(`INSERT INTO contacts (session_id, id, phone, name) SELECT session_id, id, split_part(id, '@', 1), 'Contact of ' || $1 FROM chats WHERE session_id = $1`, id)
	f.exec(`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		SELECT gen_random_uuid(), $1, id, id, $1 || 'ID', 'incoming', 'delivered', 'text', jsonb_build_object('type', 'text', 'text', 'hello ' || $1), now() FROM chats WHERE session_id = $1`, id)
	key, _ := f.key(map[string]any{"name": "of " + id, "scopes": []string{"read", "send", "manage"}, "sessions": []string{id}})
	var batch struct{ ID string }
	f.must(202, &batch, "POST", "/v1/sessions/"+id+"/message-batches", map[string]any{"messages": []any{map[string]any{"to": "5491100000" + digit, "content": map[string]any{"type": "text", "text": "x"}}}}, "X-API-Key", key)
	f.do("PATCH", "/v1/sessions/"+id+"/profile", map[string]any{"about": "of " + id}, "X-API-Key", key, "Prefer", "wait=0")
	var endpoint Endpoint
	f.must(201, &endpoint, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/" + id}, "X-API-Key", key)
	if !slices.Equal(endpoint.Sessions, []string{id}) {
		f.t.Errorf("the endpoint of a key of %s is for %v", id, endpoint.Sessions)
	}
	event, err := events.EventPrefix.Parse(f.keep(events.Facts{Type: string(events.MessageReceived), SessionID: id, ChatID: "54911" + digit + "500001@s.whatsapp.net"}))
	if err != nil {
		f.t.Fatal(err)
	}
	of, err := events.EndpointPrefix.Parse(endpoint.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	f.delivered(event, of, "exhausted")
	var replay Replay
	f.must(202, &replay, "POST", "/v1/webhook-endpoints/"+endpoint.ID+"/replay", map[string]any{"since": time.Now().Add(-time.Hour)}, "X-API-Key", key)
	pending, received := f.pending(id, "file of "+id)
	f.ready(pending, "file of "+id)
	body := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + id + ".txt\"\r\nContent-Type: text/plain\r\n\r\nupload of " + id + "\r\n--b--\r\n"
	r, err := http.NewRequestWithContext(f.t.Context(), "POST", f.base+"/v1/media", strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header = http.Header{"X-Api-Key": {key}, "Content-Type": {"multipart/form-data; boundary=b"}}
	a := f.send(r)
	var upload MediaInfo
	if err := json.Unmarshal(a.body, &upload); err != nil || a.StatusCode != 201 {
		f.t.Fatalf("upload: %d %s", a.StatusCode, a.body)
	}
	return []string{replay.ID, received, upload.ID}
}

// stateOf is everything that the database holds of a session, as text.
func (f *fixture) stateOf(session string) string {
	f.t.Helper()
	var out strings.Builder
	for _, query := range []string{
		`SELECT coalesce(json_agg(x ORDER BY x.id)::text, '') FROM (SELECT id, name, settings, desired, restarts, delete_requested_at FROM sessions WHERE id = $1) x`,
		`SELECT count(*)::text || coalesce(min(status), '') FROM messages WHERE session_id = $1`,
		`SELECT coalesce(json_agg(x ORDER BY x.id)::text, '') FROM (SELECT * FROM chats WHERE session_id = $1) x`,
		`SELECT coalesce(json_agg(x ORDER BY x.id)::text, '') FROM (SELECT id, kind FROM changes WHERE session_id = $1) x`,
		`SELECT coalesce(json_agg(x ORDER BY x.id)::text, '') FROM (SELECT * FROM webhook_endpoints WHERE sessions = ARRAY[$1]) x`,
		`SELECT coalesce(json_agg(x ORDER BY x.id)::text, '') FROM (SELECT id, status, session_id FROM media WHERE session_id = $1 OR file_name = $1 || '.txt') x`,
	} {
		var text string
		if err := f.db.QueryRow(f.t.Context(), query, session).Scan(&text); err != nil {
			f.t.Fatalf("%s: %v", query, err)
		}
		out.WriteString(text + "\n")
	}
	return out.String()
}
