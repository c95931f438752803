package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/chasqui/chasqui/infra/testpoll"
)

// withHeader adds headers to every request, as people configure it in their assistants.
type withHeader http.Header

func (h withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range h {
		r.Header[name] = values
	}
	return client.Transport.RoundTrip(r)
}

// assistant is the SDK's own client at /mcp.
func (f *fixture) assistant(header ...string) (*mcp.ClientSession, error) {
	f.t.Helper()
	with := withHeader{}
	for i := 0; i+1 < len(header); i += 2 {
		http.Header(with).Set(header[i], header[i+1])
	}
	c, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(f.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: f.base + "/mcp", HTTPClient: &http.Client{Transport: with}, MaxRetries: -1,
	}, nil)
	if err == nil {
		f.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// use calls a tool, and decodes what it answers into out; nil: it must be an error, whose text is returned.
func (f *fixture) use(c *mcp.ClientSession, tool string, arguments map[string]any, out any) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	result, err := c.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		f.t.Fatalf("%s: %v", tool, err)
	}
	said := result.Content[0].(*mcp.TextContent).Text
	if result.IsError != (out == nil) {
		f.t.Fatalf("%s with %v says %s", tool, arguments, said)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(said), out); err != nil {
			f.t.Fatalf("%s says %s: %v", tool, said, err)
		}
	}
	return said
}

// rpc posts a body to /mcp as it is.
func (f *fixture) rpc(method, body string, header ...string) answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.base+"/mcp", strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i, all := 0, append([]string{"X-API-Key", testKey, "Content-Type", "application/json", "Accept", "application/json, text/event-stream"}, header...); i+1 < len(all); i += 2 {
		r.Header.Set(all[i], all[i+1])
	}
	return f.send(r)
}

const listTheSessions = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_sessions","arguments":{}}}`

type assistantMessages struct {
	Messages []struct {
		ID, Chat, Direction, From, Status, Text, ReplyTo string
		Cut                                              bool
	}
	NextCursor string
}

// TestAssistantsRead is with the SDK's client: sessions, chats, messages, words, pages.
func TestAssistantsRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	sales := f.session("sales")
	for i := range 5 {
		f.must(202, nil, "POST", sales+"/messages", text(fmt.Sprintf("549112345678%d", i%2), fmt.Sprintf("order number%d", i)))
	}
	a, err := f.assistant("Authorization", "Bearer "+testKey)
	if err != nil {
		t.Fatal(err)
	}
	var sessions struct{ Sessions []struct{ ID, State string } }
	if f.use(a, "list_sessions", nil, &sessions); len(sessions.Sessions) != 1 || sessions.Sessions[0].ID != "sales" || sessions.Sessions[0].State == "" {
		t.Errorf("the sessions are %+v", sessions)
	}
	type chats struct {
		Chats []struct {
			ID, Kind    string
			LastMessage struct{ Text string }
		}
		NextCursor string
	}
	var first, second chats
	f.use(a, "list_chats", map[string]any{"session": "sales", "limit": 1}, &first)
	f.use(a, "list_chats", map[string]any{"session": "sales", "limit": 1, "cursor": first.NextCursor}, &second)
	if len(first.Chats) != 1 || first.Chats[0].ID != "5491123456780@s.whatsapp.net" || first.Chats[0].Kind != "user" || first.Chats[0].LastMessage.Text != "order number4" ||
		len(second.Chats) != 1 || second.Chats[0].ID != "5491123456781@s.whatsapp.net" || second.NextCursor != "" {
		t.Errorf("the chats are %+v, %+v", first, second)
	}
	var found chats
	if f.use(a, "list_chats", map[string]any{"session": "sales", "name": "6781"}, &found); len(found.Chats) != 1 || found.Chats[0].ID != "5491123456781@s.whatsapp.net" {
		t.Errorf("the chats with 6781 in their number are %+v", found)
	}
	if f.use(a, "list_chats", map[string]any{"session": "sales", "unread": true}, &found); len(found.Chats) != 0 {
		t.Errorf("the unread chats are %+v", found)
	}

	var texts []string
	for cursor, pages := "", 1; ; pages++ {
		var page assistantMessages
		f.use(a, "read_messages", map[string]any{"session": "sales", "chat": "+5491123456780", "limit": 2, "cursor": cursor}, &page)
		for _, m := range page.Messages {
			texts = append(texts, m.Text)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if got := strings.Join(texts, ","); got != "order number4,order number2,order number0" {
		t.Errorf("the chat's messages are %s", got)
	}
	var all assistantMessages
	if f.use(a, "search_messages", map[string]any{"session": "sales", "query": "number3"}, &all); len(all.Messages) != 1 || all.Messages[0].Text != "order number3" || all.Messages[0].Direction != "outgoing" {
		t.Errorf("number3 is in %+v", all)
	}
	if f.use(a, "search_messages", map[string]any{"session": "sales", "query": "order", "chat": "5491123456781"}, &all); len(all.Messages) != 2 {
		t.Errorf("order is in %+v", all)
	}

	long := strings.Repeat("x", 5000)
	var sent, whole struct {
		ID, Text string
		Cut      bool
	}
	f.must(202, &sent, "POST", sales+"/messages", text("5491123456780", long))
	if f.use(a, "read_messages", map[string]any{"session": "sales", "chat": "5491123456780", "limit": 1}, &all); !all.Messages[0].Cut || len(all.Messages[0].Text) > 4010 {
		t.Errorf("of a long text there are %d bytes in a list", len(all.Messages[0].Text))
	}
	if f.use(a, "get_message", map[string]any{"session": "sales", "message": sent.ID}, &whole); whole.Cut || whole.Text != long {
		t.Errorf("of a long text there are %d bytes", len(whole.Text))
	}

	for _, test := range []struct {
		tool      string
		arguments map[string]any
		want      string
	}{
		{"list_chats", map[string]any{"session": "none"}, "session_not_found: there is no session none; list_sessions has"},
		{"list_chats", map[string]any{"session": "sales", "cursor": "x"}, "query.cursor: this is no nextCursor of this list"},
		{"read_messages", map[string]any{"session": "sales", "chat": "Juan"}, "chatId: give a phone number with its country code"},
		{"read_messages", map[string]any{"session": "sales", "chat": "5491100000009"}, "chat_not_found"},
		{"get_message", map[string]any{"session": "sales", "message": "msg_none"}, "message_not_found"},
		{"get_message", map[string]any{"session": "sales", "message": "a/../../../x"}, "message_not_found"},
		{"list_chats", nil, "session"},
	} {
		if got := f.use(a, test.tool, test.arguments, nil); !strings.Contains(got, test.want) {
			t.Errorf("%s with %v says %q, want %q", test.tool, test.arguments, got, test.want)
		}
	}
	if _, err := a.CallTool(t.Context(), &mcp.CallToolParams{Name: "send_message", Arguments: map[string]any{"session": "sales", "to": "5491123456789", "text": "no"}}); err == nil ||
		!strings.Contains(err.Error(), "send_message") {
		t.Errorf("sending is not allowed, and answers %v", err)
	}
	if n := f.count("messages"); n != 6 {
		t.Errorf("there are %d messages", n)
	}
}

// TestAssistantsSendOnce is a call that is repeated with its key while the first is waited for, and after it.
func TestAssistantsSendOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.MCPMaySend = true })
	f.session("sales")
	a, err := f.assistant("X-Api-Key", testKey)
	if err != nil {
		t.Fatal(err)
	}
	order := map[string]any{"session": "sales", "to": "5491123456789", "text": "Your order is ready.", "idempotencyKey": "order-4711"}
	type sent struct{ ID, Status, Text, Chat string }
	answers := make(chan sent, 1)
	go func() {
		var m sent
		f.use(a, "send_message", order, &m)
		answers <- m
	}()
	var id string
	if err := testpoll.Until(patience, func() error {
		var page assistantMessages
		if f.use(a, "search_messages", map[string]any{"session": "sales", "query": "order"}, &page); len(page.Messages) == 0 {
			return fmt.Errorf("there are none")
		}
		id = page.Messages[0].ID
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.finish(id, "sent", nil, nil)
	m := <-answers
	if m.ID != id || m.Status != "sent" || m.Text != "Your order is ready." || m.Chat != "5491123456789@s.whatsapp.net" {
		t.Errorf("the answer is %+v", m)
	}
	var again sent
	if f.use(a, "send_message", order, &again); again.ID != id || f.count("messages") != 1 {
		t.Errorf("the repeat is %+v; there are %d messages", again, f.count("messages"))
	}
	order["text"] = "Another."
	if got := f.use(a, "send_message", order, nil); !strings.HasPrefix(got, "idempotency_key_reused: ") || !strings.Contains(got, "take another idempotencyKey") {
		t.Errorf("the same key for another message says %q", got)
	}
	for want, arguments := range map[string]map[string]any{
		"body.to: give a phone number": {"session": "sales", "to": "Juan", "text": "x"},
		"session_not_found":            {"session": "none", "to": "5491123456789", "text": "x"},
		"message_not_found":            {"session": "sales", "to": "5491123456789", "text": "x", "replyTo": "none"},
	} {
		if got := f.use(a, "send_message", arguments, nil); !strings.Contains(got, want) {
			t.Errorf("%v says %q, want %q", arguments, got, want)
		}
	}
	if got := f.use(a, "react", map[string]any{"session": "sales", "message": "none", "emoji": "👍"}, nil); !strings.HasPrefix(got, "message_not_found: ") {
		t.Errorf("a reaction to nothing says %q", got)
	}
	var reacted struct{ Status string }
	if f.use(a, "react", map[string]any{"session": "sales", "message": id, "emoji": "👍"}, &reacted); reacted.Status != "queued" || f.count("changes") != 1 {
		t.Errorf("a reaction without a connection is %+v, and there are %d changes", reacted, f.count("changes"))
	}
}

func TestAssistantsNeedTheKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, header := range [][]string{nil, {"X-Api-Key", "wrong"}, {"Authorization", "Bearer wrong"}, {"Authorization", "Basic " + testKey}} {
		if _, err := f.assistant(header...); err == nil || !strings.Contains(err.Error(), "Unauthorized") && !strings.Contains(err.Error(), "401") {
			t.Errorf("with %q: %v", header, err)
		}
	}
	for _, key := range []string{"", "wrong"} {
		a := f.rpc("POST", listTheSessions, "X-API-Key", key)
		f.problem(a, Unauthorized)
		if challenge := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer") {
			t.Errorf("WWW-Authenticate: %q", challenge)
		}
	}
}

// TestAssistantsRequestsAreBounded is what is refused before a tool is called.
func TestAssistantsRequestsAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.PublicURL = "https://chasqui.example.com" })
	f.base = "http://" + f.Addr().String()
	f.problem(f.rpc("POST", "["+listTheSessions+","+listTheSessions+"]"), BadRequest)
	f.problem(f.rpc("POST", " \n[]"), BadRequest)
	f.problem(f.rpc("POST", `"`+strings.Repeat("x", maxBody)+`"`), PayloadTooLarge)
	f.problem(f.rpc("POST", listTheSessions, "Content-Encoding", "gzip"), UnsupportedMediaType)
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		a := f.rpc(method, "")
		f.problem(a, MethodNotAllowed)
		if allow := a.Header.Get("Allow"); allow != "POST" {
			t.Errorf("%s: Allow %q", method, allow)
		}
	}
	for _, body := range []string{"", "{", "null", `{"jsonrpc":"2.0","id":1,"method":"none"}`, `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`} {
		if a := f.rpc("POST", body); a.StatusCode >= 500 || a.StatusCode == 0 {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	for origin, passes := range map[string]bool{
		"https://chasqui.example.com": true, "https://CHASQUI.example.com": true, "http://localhost:6274": true, "http://127.0.0.1:1": true, "http://[::1]:2": true,
		"http://chasqui.example.com": false, "https://chasqui.example.com:444": false, "https://elsewhere.example": false, "null": false, "http://127.0.0.1.elsewhere.example": false,
		"http://localhost.elsewhere.example": false, "": true,
	} {
		a := f.rpc("POST", listTheSessions, "Origin", origin)
		if passes && a.StatusCode == 200 {
			continue
		}
		if passes {
			t.Errorf("from %s: %d %s", origin, a.StatusCode, a.body)
			continue
		}
		f.problem(a, Forbidden)
	}
}

// TestAssistantsKeepNothingBetweenRequests: each process answers each request, also one for a client that another has welcomed.
func TestAssistantsKeepNothingBetweenRequests(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.rpc("POST", listTheSessions, "Mcp-Session-Id", "of another process", "Mcp-Protocol-Version", "2025-11-25")
	if a.StatusCode != 200 || a.Header.Get("Mcp-Session-Id") != "" || !strings.Contains(string(a.body), `"sessions":[]`) {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
}

// TestAssistantsCount: requests to /mcp and the calls of tools count for the limit, the metrics and the log, which has neither the key nor what was
// searched for.
func TestAssistantsCount(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.RateLimit = 7 })
	f.inOneMinute(15)
	search := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_messages","arguments":{"session":"sales","query":"privateword"}}}`
	f.session("sales") // 1
	for range 2 {      // 2 and 3, 4 and 5
		if a := f.rpc("POST", search); a.StatusCode != 200 || !strings.Contains(string(a.body), `"messages":[]`) || a.Header.Get("RateLimit") == "" {
			t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.body)
		}
	}
	f.rpc("POST", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`) // 6
	if a := f.rpc("POST", search); a.StatusCode != 200 || !strings.Contains(string(a.body), `"isError":true`) ||
		!strings.Contains(string(a.body), "rate_limited: this key has made its 7 requests of this minute; try again in ") {
		t.Errorf("a call above the limit: %d %s", a.StatusCode, a.body)
	}
	f.problem(f.rpc("POST", search), RateLimited)
	if err := testpoll.Until(patience, func() error {
		metrics := string(f.do("GET", "/metrics", nil).body)
		for _, want := range []string{
			`chasqui_http_requests_total{method="POST",route="/mcp",status="200"} 4`, `chasqui_http_requests_total{method="POST",route="/mcp",status="429"} 1`,
			`chasqui_http_requests_total{method="GET",route="/v1/sessions/{sessionId}/messages",status="200"} 2`,
		} {
			if !strings.Contains(metrics, want) {
				return fmt.Errorf("the metrics have no %s", want)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	log := f.log.String()
	inner := regexp.MustCompile(`method=GET path=/v1/sessions/sales/messages status=200 .*remote=(\S+)`).FindStringSubmatch(log)
	if inner == nil || !regexp.MustCompile(`method=POST path=/mcp status=200 .*remote=`+regexp.QuoteMeta(inner[1])).MatchString(log) {
		t.Errorf("the log does not show who called:\n%s", log)
	}
	if strings.Contains(log, testKey) || strings.Contains(log, "privateword") {
		t.Errorf("the log tells too much:\n%s", log)
	}
}
