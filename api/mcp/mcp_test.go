package mcp

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/chasqui/chasqui/events"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect is a client of a server in this process, whose calls api answers.
func connect(t *testing.T, api http.HandlerFunc, maySend bool) *mcp.ClientSession {
	t.Helper()
	server := NewServer(Config{
		Transport: within{api}, URL: "http://chasqui.invalid", Key: "k", MaySend: maySend, Version: "test",
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	there, here := mcp.NewInMemoryTransports()
	serving, err := server.Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil).Connect(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), serving.Wait() })
	return client
}

// use calls a tool and returns its text.
func use(t *testing.T, client *mcp.ClientSession, tool string, arguments map[string]any) (text string, isError bool) {
	t.Helper()
	result, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return result.Content[0].(*mcp.TextContent).Text, result.IsError
}

// TestToolsAreWhatTheyWere compares what an assistant sees with testdata/tools.json: names, descriptions, schemas and hints are an interface.
func TestToolsAreWhatTheyWere(t *testing.T) {
	t.Parallel()
	client := connect(t, nil, true)
	list, err := client.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(list.Tools); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/tools.json", got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/tools.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the tools have changed: look at the difference that go test ./api/mcp -update makes:\n%s", got.Bytes())
	}
	if tools := client.InitializeResult().Capabilities.Tools; tools == nil || tools.ListChanged {
		t.Errorf("the tools never change, and are announced as %+v", tools)
	}
}

func TestReadsOnlyUnlessAllowed(t *testing.T) {
	t.Parallel()
	client := connect(t, nil, false)
	list, err := client.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range list.Tools {
		if !tool.Annotations.ReadOnlyHint {
			t.Errorf("there is the tool %s", tool.Name)
		}
	}
	if says := client.InitializeResult().Instructions; !strings.Contains(says, "MCP_ALLOW_SENDING") {
		t.Errorf("the instructions do not say how to allow sending: %s", says)
	}
	for _, name := range []string{"send_message", "react"} {
		if _, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAPanicEndsNothing has an API that panics with what its own recovery lets pass.
func TestAPanicEndsNothing(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	client := connect(t, func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; panic(http.ErrAbortHandler) }, false)
	if _, err := client.CallTool(t.Context(), &mcp.CallToolParams{Name: "list_sessions"}); err == nil || !strings.Contains(err.Error(), "the log of chasqui has the cause") {
		t.Errorf("the answer is %v", err)
	}
	<-asked
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		header http.Header
		body   string
		want   string
	}{
		"a code with advice": {404, nil, `{"code":"session_not_found","detail":"there is no session x"}`, "session_not_found: there is no session x; list_sessions has the ids of those that there are"},
		"places": {422, nil, `{"code":"validation_failed","detail":"1 value is not accepted","errors":[{"location":"body.to","message":"give a phone number"}]}`,
			"validation_failed: 1 value is not accepted; body.to: give a phone number"},
		"a wait":             {429, http.Header{"Retry-After": {"7"}}, `{"code":"rate_limited","detail":"too many"}`, "rate_limited: too many; try again in 7 s"},
		"a message":          {502, nil, `{"code":"whatsapp_rejected","detail":"479","messageId":"msg_1"}`, "whatsapp_rejected: 479; the message is msg_1"},
		"what the log has":   {500, nil, `{"code":"internal_error","detail":"something went wrong","requestId":"req_1"}`, "internal_error: something went wrong; its requestId is req_1"},
		"something else":     {404, nil, "<html>", "chasqui answered 404; CHASQUI_URL may be the address of something else"},
		"another's redirect": {301, http.Header{"Location": {"http://192.0.2.7/"}}, "", "chasqui answered 301; CHASQUI_URL may be the address of something else"},
		"another's page":     {200, nil, "<html>", "chasqui answered what is not understood; CHASQUI_URL may be the address of something else: invalid character '<' looking for beginning of value"},
		"too much":           {200, nil, strings.Repeat(" ", answerMost+1), "the answer has more than 4 MiB: ask for fewer, with a smaller limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range test.header {
					w.Header()[name] = values
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}, false)
			if text, isError := use(t, client, "list_sessions", nil); !isError || text != test.want {
				t.Errorf("it says %q (error: %v), want %q", text, isError, test.want)
			}
		})
	}
}

// TestNobodyThere shows neither what was searched for nor the key.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	_, err := (&tools{Config{URL: server.URL, Key: "secret"}, &http.Client{}}).call(t.Context(), nil, "GET", "/v1/x", map[string][]string{"q": {"private"}}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "CHASQUI_URL") || strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "secret") {
		t.Errorf("it says %v", err)
	}
}

// TestMistakesSayWhatIsWanted calls tools with arguments that cannot be; the API is not asked.
func TestMistakesSayWhatIsWanted(t *testing.T) {
	t.Parallel()
	client := connect(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the API was asked for %s", r.URL) }, true)
	for _, test := range []struct {
		tool      string
		arguments map[string]any
		want      string
	}{
		{"list_chats", nil, `missing properties: ["session"]`},
		{"list_chats", map[string]any{"session": "../x"}, `"^[A-Za-z0-9_-]{1,64}$"`},
		{"list_chats", map[string]any{"session": "a", "limit": 51}, "is greater than 50"},
		{"list_chats", map[string]any{"session": "a", "limit": 0}, "is less than 1"},
		{"list_chats", map[string]any{"session": "a", "limit": "5"}, `"integer"`},
		{"list_chats", map[string]any{"session": "a", "query": "x"}, `unexpected additional properties ["query"]`},
		{"read_messages", map[string]any{"session": "a", "chat": ".."}, "minLength"},
		{"get_message", map[string]any{"session": "a", "message": ".."}, "minLength"},
		{"react", map[string]any{"session": "a", "message": "..", "emoji": "👍"}, "minLength"},
		{"search_messages", map[string]any{"session": "a", "query": ""}, "minLength"},
		{"send_message", map[string]any{"session": "a", "to": "5491123456789", "text": ""}, "minLength"},
		{"send_message", map[string]any{"session": "a", "to": "5491123456789", "text": "x", "idempotencyKey": "a b"}, `"^[!-~]{1,255}$"`},
	} {
		if text, isError := use(t, client, test.tool, test.arguments); !isError || !strings.Contains(text, test.want) {
			t.Errorf("%s with %v says %q (error: %v), want %q in it", test.tool, test.arguments, text, isError, test.want)
		}
	}
}

func TestShortensWhatStrangersWrite(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ñ", textMost+1)
	m := short(events.Message{ID: "msg_1", Content: events.Content{Type: "text", Text: long}}, textMost)
	if m.Text != long[:2*textMost]+"…" || !m.Cut {
		t.Errorf("a long text has %d bytes, cut: %v", len(m.Text), m.Cut)
	}
	if m = short(events.Message{Content: events.Content{Text: long}}, answerMost); m.Text != long || m.Cut {
		t.Errorf("all of it has %d bytes, cut: %v", len(m.Text), m.Cut)
	}
}

func TestSaysWhatIsText(t *testing.T) {
	t.Parallel()
	for want, content := range map[string]events.Content{
		"hello":                              {Text: "hello"},
		"invoice.pdf\nfor June":              {Media: &events.Media{FileName: "invoice.pdf"}, Caption: "for June"},
		"Obelisco\nBuenos Aires\n-34.6, -58": {Location: &events.Location{Name: "Obelisco", Address: "Buenos Aires", Latitude: -34.6, Longitude: -58}},
		"-34.6, -58":                         {LiveLocation: &events.LiveLocation{Latitude: -34.6, Longitude: -58}},
		"Ann 5491\n5492":                     {Contacts: []events.ContactCard{{Name: "Ann", Phones: []string{"5491"}}, {Phones: []string{"5492"}}}},
		"When?\n- Monday\n- Tuesday":         {Poll: &events.Poll{Question: "When?", Options: []string{"Monday", "Tuesday"}}},
		"Opening\n2026-01-02T03:04:05Z":      {Event: &events.CalendarEvent{Name: "Opening", StartAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		"Neighbours\nJoin us":                {GroupInvite: &events.GroupInvite{Name: "Neighbours", Caption: "Join us"}},
	} {
		if got := says(content); got != want {
			t.Errorf("%+v says %q, want %q", content, got, want)
		}
	}
	for want, address := range map[string]events.Address{
		"Ann (+5491)": {Name: "Ann", Phone: "5491"}, "+5491": {Phone: "5491"}, "Ann": {Name: "Ann"}, "1@lid": {ID: "1@lid"},
	} {
		if got := named(address); got != want {
			t.Errorf("%+v is named %q, want %q", address, got, want)
		}
	}
}
