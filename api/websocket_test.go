package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestPingUnanswered: a client that is silent, though its connection is open, is cut off.
func TestPingUnanswered(t *testing.T) {
	t.Parallel()
	f := setup(t, shortened(func(l *limits) { l.ping, l.write = 20*time.Millisecond, 100*time.Millisecond }))
	ws, _, err := websocket.Dial(t.Context(), f.base+"/v1/events/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {testKey}}, HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()                                                                          // it is cut off
	f.eventually("the end", func() bool { return strings.Contains(f.log.String(), "too slow") }) // nobody reads, so nobody answers
	f.open(0)
}

func TestWebSocketCloses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	dial := func() *websocket.Conn {
		ws, _, err := websocket.Dial(t.Context(), f.base+"/v1/events/ws", &websocket.DialOptions{HTTPHeader: http.Header{"X-Api-Key": {testKey}}, HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		return ws
	}
	for name, text := range map[string]string{"a word": "hello", "much": strings.Repeat("x", 1<<20)} {
		ws := dial()
		_ = ws.Write(t.Context(), websocket.MessageText, []byte(text)) // it may be closed in the middle
		if _, _, err := ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation && name == "a word" || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		f.open(0)
	}
	ws := dial()
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("a client's close: %v", err)
	}
	f.open(0)
}
