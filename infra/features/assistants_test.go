package features

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/chasqui/chasqui/infra/sandbox"
)

// An assistant is the SDK's own client of the tools.
type assistant struct {
	t *testing.T
	*mcp.ClientSession
}

func newAssistant(t *testing.T, transport mcp.Transport) assistant {
	t.Helper()
	c, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	return assistant{t, c}
}

// withKey sends the key that an assistant was configured with.
type withKey string

func (k withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(k))
	return client.Transport.RoundTrip(r)
}

// overHTTP is an assistant at /mcp.
func overHTTP(t *testing.T) assistant {
	t.Helper()
	a := newAssistant(t, &mcp.StreamableClientTransport{Endpoint: running.URL + "/mcp", HTTPClient: &http.Client{Transport: withKey(running.APIKey)}})
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// overStdio is an assistant that runs `chasqui mcp`, with further settings. The program ends with it, without an error, and writes no message's text
// nor the key to its log.
func overStdio(t *testing.T, settings ...string) assistant {
	t.Helper()
	command, log := exec.Command(running.Binary, "mcp"), &bytes.Buffer{}
	command.Env = append(os.Environ(), append([]string{"CHASQUI_URL=" + running.URL, "API_KEY=" + running.APIKey, "LOG_LEVEL=debug"}, settings...)...)
	command.Stderr = log
	a := newAssistant(t, &mcp.CommandTransport{Command: command})
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("chasqui mcp ended with %v: %s", err, log)
		}
		if strings.Contains(log.String(), running.APIKey) {
			t.Errorf("the log holds the key: %s", log)
		}
	})
	return a
}

// use calls a tool and decodes what it answers into out; nil: it must be an error, whose text is returned.
func (a assistant) use(tool string, arguments map[string]any, out any) string {
	a.t.Helper()
	result, err := a.CallTool(a.t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		a.t.Fatalf("%s: %v", tool, err)
	}
	said := result.Content[0].(*mcp.TextContent).Text
	if result.IsError != (out == nil) {
		a.t.Fatalf("%s with %v says %s", tool, arguments, said)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(said), out); err != nil {
			a.t.Fatalf("%s says %s: %v", tool, said, err)
		}
	}
	return said
}

// tools are the names of those that there are.
func (a assistant) tools() (names []string) {
	a.t.Helper()
	for tool, err := range a.Tools(a.t.Context(), nil) {
		if err != nil {
			a.t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	return names
}

// told is a message as a tool tells it.
type told struct {
	ID, Chat, Direction, From, Status, Type, Text, ReplyTo string
	Reactions                                              map[string]int
}

// Feature: Tools for assistants, by the Model Context Protocol
func TestAnAssistantTalks(t *testing.T) {
	t.Parallel()
	for name, newAssistant := range map[string]func(*testing.T) assistant{
		"over HTTP":  overHTTP,
		"over stdio": func(t *testing.T) assistant { return overStdio(t, "MCP_ALLOW_SENDING=true") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s, bert := newAssistant(t), newSession(t), newPhone(t, "Bert")
			question := bert.send(map[string]any{"to": s.phone.number, "type": "text", "text": "Where is parcel forty-two?"})
			s.received(question)

			if names := strings.Join(a.tools(), " "); names != "get_message list_chats list_sessions react read_messages search_messages send_message" {
				t.Errorf("the tools are %s", names)
			}
			// It finds its way from nothing: the account, the chat with news, the message.
			account := a.session(s.id)
			if account.State != "connected" || account.Phone != s.phone.number {
				t.Errorf("the account is %+v", account)
			}
			var chats struct {
				Chats []struct {
					ID, Name, Phone string
					Unread          int
					LastMessage     told
				}
			}
			a.use("list_chats", map[string]any{"session": s.id, "unread": true}, &chats)
			if len(chats.Chats) != 1 || chats.Chats[0].Phone != bert.number || chats.Chats[0].Unread != 1 || chats.Chats[0].LastMessage.Text != "Where is parcel forty-two?" {
				t.Fatalf("the unread chats are %+v", chats)
			}
			if a.use("list_chats", map[string]any{"session": s.id, "name": "nobody"}, &chats); len(chats.Chats) != 0 {
				t.Errorf("the chats with nobody are %+v", chats)
			}
			var page struct {
				Messages   []told
				NextCursor string
			}
			a.use("search_messages", map[string]any{"session": s.id, "query": "parcel"}, &page)
			if len(page.Messages) != 1 || page.Messages[0].Direction != "incoming" || page.Messages[0].From != "Bert (+"+bert.number+")" {
				t.Fatalf("what has the word parcel is %+v", page)
			}
			asked := page.Messages[0]

			// It reacts, and answers once, however often it says so.
			var done struct{ Status string }
			if a.use("react", map[string]any{"session": s.id, "message": asked.ID, "emoji": "👀"}, &done); done.Status != "done" {
				t.Errorf("the reaction is %+v", done)
			}
			bert.sees("the reaction", func(m sandbox.Message) bool {
				return m.Type == "reaction" && m.Emoji == "👀" && m.Target.ID == question
			})
			answer := map[string]any{"session": s.id, "to": asked.Chat, "text": "It comes *today*.", "replyTo": asked.ID, "idempotencyKey": s.id + "-answer"}
			var sent, again, read told
			a.use("send_message", answer, &sent)
			if a.use("send_message", answer, &again); again.ID != sent.ID || sent.Type != "text" || sent.ReplyTo != asked.ID {
				t.Errorf("it sent %+v, and again %+v", sent, again)
			}
			seen := 0
			bert.sees("the answer", func(m sandbox.Message) bool {
				return m.Text == "It comes *today*." && m.Quote != nil && m.Quote.ID == question
			})
			a.use("send_message", map[string]any{"session": s.id, "to": "+" + bert.number, "text": "Bye."}, &again)
			bert.sees("the end", func(m sandbox.Message) bool {
				if m.Text == "It comes *today*." {
					seen++
				}
				return m.Text == "Bye."
			})
			if seen != 1 {
				t.Errorf("the phone shows the answer %d times", seen)
			}
			if a.use("get_message", map[string]any{"session": s.id, "message": asked.ID}, &read); read.Reactions["👀"] != 1 {
				t.Errorf("the reactions are %v", read.Reactions)
			}

			// The chat, from its end to its beginning.
			var texts []string
			for cursor := ""; ; {
				a.use("read_messages", map[string]any{"session": s.id, "chat": bert.number, "limit": 2, "cursor": cursor}, &page)
				for _, m := range page.Messages {
					texts = append(texts, m.Text)
				}
				if cursor, page.NextCursor = page.NextCursor, ""; cursor == "" {
					break
				}
			}
			if got := strings.Join(texts, "|"); got != "Bye.|It comes *today*.|Where is parcel forty-two?" {
				t.Errorf("the chat is %s", got)
			}

			if a.use("react", map[string]any{"session": s.id, "message": asked.ID}, &done); done.Status != "done" {
				t.Errorf("taking the reaction back is %+v", done)
			}
			bert.sees("that it was taken back", func(m sandbox.Message) bool { return m.Type == "reaction" && m.Emoji == "" && m.Target.ID == question })
			refused := a.use("send_message", map[string]any{"session": s.id, "to": "5491100000001", "text": "hello?"}, nil)
			if !strings.HasPrefix(refused, "recipient_not_on_whatsapp: ") || !strings.Contains(refused, "the message is msg_") || !strings.Contains(refused, "check the country code") {
				t.Errorf("a number without WhatsApp says %q", refused)
			}
		})
	}
}

// session finds a session, on whichever page it is.
func (a assistant) session(id string) (found struct{ ID, State, Phone string }) {
	a.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Sessions   []struct{ ID, State, Phone string }
			NextCursor string
		}
		a.use("list_sessions", map[string]any{"limit": 50, "cursor": cursor}, &page)
		for _, s := range page.Sessions {
			if s.ID == id {
				return s
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			a.t.Fatalf("there is no session %s", id)
		}
	}
}

// Feature: Tools for assistants, by the Model Context Protocol
func TestAnAssistantReadsOnlyUnlessAllowed(t *testing.T) {
	t.Parallel()
	a := overStdio(t, "MCP_ALLOW_SENDING=")
	if names := strings.Join(a.tools(), " "); names != "get_message list_chats list_sessions read_messages search_messages" {
		t.Errorf("the tools are %s", names)
	}
	for _, tool := range []string{"send_message", "react"} {
		if _, err := a.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"session": "x"}}); err == nil || !strings.Contains(err.Error(), tool) {
			t.Errorf("%s: %v", tool, err)
		}
	}
}

// TestAnAssistantIsToldWhatIsWrong is what an assistant can tell whoever configured it.
func TestAnAssistantIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	if said := overStdio(t, "API_KEY=wrong-key-wrong-key").use("list_sessions", nil, nil); said != "unauthorized: this API key is not valid; API_KEY must be the key of this server" {
		t.Errorf("with a wrong key: %s", said)
	}
	if said := overStdio(t, "CHASQUI_URL=http://127.0.0.1:1").use("list_sessions", nil, nil); !strings.Contains(said, "refused") || !strings.Contains(said, "CHASQUI_URL") {
		t.Errorf("with nobody there: %s", said)
	}
	if said := overStdio(t, "CHASQUI_URL="+running.SandboxURL).use("list_sessions", nil, nil); !strings.Contains(said, "CHASQUI_URL may be the address of something else") {
		t.Errorf("with something else there: %s", said)
	}
	command := exec.Command(running.Binary, "mcp")
	command.Env = []string{}
	out, err := command.CombinedOutput()
	if err == nil || fmt.Sprint(err) != "exit status 2" || !strings.Contains(string(out), "API_KEY: it must be set") {
		t.Errorf("without a key: %v %s", err, out)
	}
	for _, key := range []string{"", "wrong"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, running.URL+"/mcp", strings.NewReader("{}"))
		r.Header.Set("X-API-Key", key)
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("/mcp with the key %q answers %d", key, res.StatusCode)
		}
	}
}
