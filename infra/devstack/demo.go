package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// The demo's session and its two phones, of numbers nobody has.
const (
	demoSession = "demo"
	demoNumber  = "5491155550100"
	echoNumber  = "5491155550101"
)

const (
	// Linking takes under a second; the limit leaves room for a slow machine and
	// for a code that expires (20 s) just before it is scanned.
	linkTimeout = 60 * time.Second
	// A second start takes 2 s in all. What is not connected again after
	// reconnectTimeout does not hold up the rest.
	reconnectTimeout = 10 * time.Second
	poll             = 100 * time.Millisecond
)

// Demo sets up what a newcomer finds on the first start: the session "demo",
// linked to a simulated phone, and a contact that echoes. It uses the API and
// the sandbox over HTTP, as anybody would. Once that is done, later starts only
// wait until the session is connected again, if it still exists: what the user
// made of it is theirs.
//
// Failure policy: a first setup that fails is an error, and the next start tries
// it again; a session that is slow to reconnect is not.
func (d *Data) Demo(ctx context.Context, r Ready) error {
	demo := demo{api: caller{r.URL, r.APIKey}, sandbox: caller{r.SandboxURL, ""}}
	mark := filepath.Join(d.dir, "demo")
	if _, err := os.Stat(mark); err == nil {
		waiting, cancel := context.WithTimeout(ctx, reconnectTimeout)
		defer cancel()
		demo.reconnected(waiting)
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	if err := demo.link(ctx); err != nil {
		return fmt.Errorf("set up the demo: %w", err)
	}
	return writeFile(mark, []byte("The session demo has been set up.\n"))
}

type demo struct{ api, sandbox caller }

// link does every step that an interrupted run may have left undone.
func (d demo) link(ctx context.Context) error {
	for _, phone := range []map[string]string{
		{"number": demoNumber, "name": "Demo"},
		{"number": echoNumber, "name": "Echo", "autoReply": "echo"},
	} {
		if _, err := d.sandbox.call(ctx, http.MethodPost, "/phones", phone, nil); err != nil {
			return err
		}
	}
	status, err := d.api.call(ctx, http.MethodPost, "/v1/sessions", map[string]string{"id": demoSession, "name": "Demo"}, nil)
	if err != nil && status != http.StatusConflict {
		return err
	}
	for scanned := false; ; {
		state, err := d.state(ctx)
		if err != nil {
			return err
		}
		if state == "connected" {
			return nil
		}
		// Asking waits for a code, or is refused when the session is linked already.
		// Whatever goes wrong here, such as a code that has just expired, shows as a
		// session that asks for a scan again.
		if !scanned || state == "qr" {
			var code struct {
				QR string `json:"qr"`
			}
			if _, err := d.api.call(ctx, http.MethodGet, "/v1/sessions/"+demoSession+"/qr?wait=10", nil, &code); err == nil {
				_, err = d.sandbox.call(ctx, http.MethodPost, "/phones/"+demoNumber+"/scan", map[string]string{"qr": code.QR}, nil)
				scanned = err == nil
			}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("session is %s: %w", state, err)
		}
	}
}

// reconnected waits while the session is on its way, as long as ctx lasts.
func (d demo) reconnected(ctx context.Context) {
	for {
		state, err := d.state(ctx)
		if err == nil && state != "starting" && state != "reconnecting" || pause(ctx) != nil {
			return
		}
	}
}

// state is the session's, "" when there is no such session.
func (d demo) state(ctx context.Context) (string, error) {
	var session struct {
		State string `json:"state"`
	}
	status, err := d.api.call(ctx, http.MethodGet, "/v1/sessions/"+demoSession, nil, &session)
	if status == http.StatusNotFound {
		return "", nil
	}
	return session.State, err
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(poll):
		return nil
	}
}

// Answers waits until a GET of the address answers 200, or ctx ends.
func Answers(ctx context.Context, address string) error {
	for {
		_, err := caller{base: address}.call(ctx, http.MethodGet, "", nil, nil)
		if err == nil {
			return nil
		}
		if ended := pause(ctx); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

// A caller speaks JSON to one base URL.
type caller struct{ base, key string }

// call makes one request and decodes the answer into out unless that is nil. The
// status is 0 when there was no answer; every status from 300 on is an error.
func (c caller) call(ctx context.Context, method, path string, in, out any) (int, error) {
	var body io.Reader
	if in != nil {
		content, err := json.Marshal(in)
		if err != nil {
			return 0, fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		request.Header.Set("X-API-Key", c.key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return response.StatusCode, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode >= 300 {
		return response.StatusCode, fmt.Errorf("%s %s: %s: %.300s", method, path, response.Status, content)
	}
	if out != nil {
		if err := json.Unmarshal(content, out); err != nil {
			return response.StatusCode, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	return response.StatusCode, nil
}
