package mcp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// answerMost bounds an answer of the API in bytes. 50 messages have some 100 KB; 50 that are as long as WhatsApp allows have more than this.
	answerMost = 4 << 20
	// callTimeout is more than the longest wait (sendWait) and what the database may take beside it.
	callTimeout = time.Minute
)

// call makes one call of the API for the call of a tool, decodes its answer into out, unless that is nil, and returns its status. header are pairs of
// name and value. A problem is an error that an assistant can act upon.
func (t *tools) call(ctx context.Context, by *mcp.CallToolRequest, method, path string, query url.Values, in, out any, header ...string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	target := t.URL + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return 0, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	key := t.Key
	if key == "" {
		key, r.RemoteAddr = by.Extra.Header.Get("X-API-Key"), by.Extra.Header.Get(fromHeader)
	}
	r.Header.Set("X-API-Key", key)
	r.Header.Set("User-Agent", "chasqui-mcp/"+t.Version)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := t.client.Do(r)
	if err != nil {
		return 0, unreachable(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, answerMost+1))
	switch {
	case err != nil:
		return 0, unreachable(err)
	case len(raw) > answerMost:
		return 0, fmt.Errorf("the answer has more than %d MiB: ask for fewer, with a smaller limit", answerMost>>20)
	case res.StatusCode >= 300:
		return 0, refusal(res, raw)
	case out == nil:
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return 0, fmt.Errorf("chasqui answered what is not understood; CHASQUI_URL may be the address of something else: %w", err)
	}
	return res.StatusCode, nil
}

// unreachable says that there was no answer. The URL, which may hold words that were searched for, is left out.
func unreachable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("chasqui did not answer within %s; try again later", callTimeout)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("chasqui cannot be reached: %w; see whether it runs, and whether CHASQUI_URL is its address", err)
}

// advice says what an assistant can do about some problems; the details of the others say it.
var advice = map[string]string{
	"unauthorized":              "API_KEY must be the key of this server",
	"session_not_found":         "list_sessions has the ids of those that there are",
	"session_logged_out":        "a person has to link it again",
	"chat_not_found":            "list_chats has the chats",
	"message_not_found":         "read_messages and search_messages have the ids",
	"idempotency_key_reused":    "take another idempotencyKey for another message",
	"recipient_not_on_whatsapp": "check the country code",
	"whatsapp_timeout":          "it may have happened all the same: look before repeating it",
}

// refusal says what a problem says, on one line: its code, what is wrong, and what to do.
func refusal(res *http.Response, raw []byte) error {
	var p struct {
		Code, Detail, RequestID, MessageID string
		Errors                             []struct{ Message, Location string }
	}
	if json.Unmarshal(raw, &p) != nil || p.Code == "" {
		return fmt.Errorf("chasqui answered %d; CHASQUI_URL may be the address of something else", res.StatusCode)
	}
	said := []string{p.Code + ": " + cmp.Or(p.Detail, "refused")}
	for _, e := range p.Errors {
		said = append(said, e.Location+": "+e.Message)
	}
	if p.MessageID != "" {
		said = append(said, "the message is "+p.MessageID)
	}
	if todo := advice[p.Code]; todo != "" {
		said = append(said, todo)
	}
	if wait := res.Header.Get("Retry-After"); wait != "" {
		said = append(said, "try again in "+wait+" s")
	}
	if res.StatusCode == http.StatusInternalServerError {
		said = append(said, "its requestId is "+p.RequestID)
	}
	return errors.New(strings.Join(said, "; "))
}
