package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/s3"
)

// devArgs are the flags of every dev in these tests: nothing in the working tree, no fixed port.
func devArgs(dir string) []string {
	return []string{"dev", "--data", filepath.Join(dir, "data"), "--port", "0", "--sandbox-port", "0", "--ready-file", filepath.Join(dir, "ready.json")}
}

func startDev(t *testing.T, dir string, argv ...string) (*process, ready) {
	t.Helper()
	_ = os.Remove(filepath.Join(dir, "ready.json"))
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p := spawn(t, strings.Join(argv[:1], " "), root, nil, append(argv, devArgs(dir)...)...)
	r := p.awaitReady(t, filepath.Join(dir, "ready.json"), 60*time.Second)
	t.Logf("%s: ready after %s", filepath.Base(argv[0]), time.Since(began).Round(time.Millisecond))
	return p, r
}

// TestDev is the newcomer's way: go run . dev, the tour of curl lines, the lines that it printed itself, kill -9 of the whole group, a second
// start, and Ctrl-C.
//
// Feature: One command, no phone
func TestDev(t *testing.T) {
	dir := openDir(t)
	p, r := startDev(t, dir, "go", "run", ".")
	api, sandbox := client{base: r.URL, key: r.APIKey}, client{base: r.SandboxURL}

	hook := newReceiver(t)
	hookFile := filepath.Join(dir, "hook.json")
	tour := exec.Command("bash", "tour.sh")
	tour.Env = append(os.Environ(), "CHASQUI_URL="+r.URL, "CHASQUI_KEY="+r.APIKey, "SANDBOX_URL="+r.SandboxURL, "HOOK_URL="+hook.url(), "HOOK_FILE="+hookFile)
	out, err := tour.CombinedOutput()
	if err != nil {
		t.Fatalf("tour.sh: %v\n%s", err, out)
	}
	var endpoint struct{ Secret string }
	raw, err := os.ReadFile(hookFile)
	if err != nil || json.Unmarshal(raw, &endpoint) != nil {
		t.Fatalf("read endpoint: %v %s", err, raw)
	}
	hook.trust(t, endpoint.Secret) // until now it refused all, so every event comes by a retry
	eventually(t, 60*time.Second, "both directions at the webhook", func() error {
		ways := map[string]bool{}
		for _, d := range hook.deliveries() {
			if d.Event.SessionID == "tour" {
				ways[d.Event.Type] = true
			}
		}
		if !ways["message.sent"] || !ways["message.received"] {
			return fmt.Errorf("have %v", ways)
		}
		return nil
	})
	hook.check(t)

	bucket, err := s3.Open(t.Context(), s3.Config{Endpoint: r.S3Endpoint, Bucket: r.S3Bucket, AccessKey: r.S3AccessKey, SecretKey: r.S3SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bucket.Close)
	objects := 0
	for object, err := range bucket.List(t.Context(), "media/") {
		if err != nil || object.Size == 0 {
			t.Fatalf("%+v: %v", object, err)
		}
		objects++
	}
	if objects != 1 {
		t.Errorf("the bucket holds %d files after the tour, which uploads one", objects)
	}

	lines := curlLines(p.log.String())
	if len(lines) != 3 {
		t.Fatalf("dev printed %d curl lines, want 3:\n%s", len(lines), p.log.tail(4000))
	}
	for _, line := range lines {
		out, err := exec.Command("bash", "-c", line).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "{") || strings.Contains(string(out), `"status":4`) {
			t.Errorf("%s\n%v\n%s", line, err, out)
		}
	}
	awaitEcho(t, api)
	sendAsTheReadmeSays(t, r, filepath.Join(dir, "data"))

	// The whole group dies at once; a second start finds everything again.
	pg := postmasterOf(t, filepath.Join(dir, "data"))
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 10*time.Second)
	eventually(t, 15*time.Second, "PostgreSQL to end with its parent", func() error { return gone(pg) })

	key, err := os.ReadFile(filepath.Join(dir, "data", "encryption-key"))
	if info, statErr := os.Stat(filepath.Join(dir, "data", "encryption-key")); err != nil || statErr != nil || len(key) != 65 || info.Mode().Perm() != 0o600 {
		t.Fatalf("dev keeps %d bytes as its encryption key, %v", len(key), errors.Join(err, statErr))
	}
	if strings.Contains(p.log.String(), strings.TrimSpace(string(key))) {
		t.Error("dev shows its encryption key")
	}
	p, r2 := startDev(t, dir, binary)
	// It has the same key, and so has what works on its data directory beside it.
	if out := done(t, nil, "rekey", "--data", filepath.Join(dir, "data")); !strings.Contains(out, "all values have the form that ENCRYPTION_KEY asks for") {
		t.Errorf("rekey says\n%s", out)
	}
	if r2.APIKey != r.APIKey {
		t.Error("the second start has another API key")
	}
	api, sandbox = client{base: r2.URL, key: r2.APIKey}, client{base: r2.SandboxURL}
	awaitState(t, api, "demo", "connected", 20*time.Second)
	awaitState(t, api, "tour", "connected", 20*time.Second)
	var page struct{ Data []message }
	api.must(t, "GET", "/v1/sessions/tour/messages", nil, &page)
	if len(page.Data) != 3 {
		t.Errorf("the tour's session has %d messages after the second start, want 3", len(page.Data))
	}
	var m message
	api.must(t, "POST", "/v1/sessions/tour/messages", map[string]any{"to": "5491151110002", "content": map[string]string{"type": "text", "text": "after kill -9"}}, &m,
		"Prefer", "wait=20")
	eventually(t, 20*time.Second, "the text at the friend's phone", func() error {
		all, err := shown(sandbox, "5491151110002")
		if err != nil {
			return err
		}
		for _, v := range all {
			if v.ID == m.WhatsAppID {
				return nil
			}
		}
		return fmt.Errorf("%d others", len(all))
	})

	// Ctrl-C stops all of it.
	pg = postmasterOf(t, filepath.Join(dir, "data"))
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 20*time.Second)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("dev ended with %d after Ctrl-C", code)
	}
	eventually(t, 5*time.Second, "PostgreSQL to be stopped", func() error { return gone(pg) })
}

// TestDevEndsWithGoRun kills `go run` alone: what it started must not stay behind.
func TestDevEndsWithGoRun(t *testing.T) {
	dir := openDir(t)
	p, r := startDev(t, dir, "go", "run", ".")
	pg := postmasterOf(t, filepath.Join(dir, "data"))
	p.kill9(t)
	eventually(t, 20*time.Second, "the API to be gone", func() error {
		if answers(r.URL+"/healthz") == nil {
			return fmt.Errorf("it answers")
		}
		return nil
	})
	eventually(t, 20*time.Second, "PostgreSQL to be stopped", func() error { return gone(pg) })
}

// TestRefusals sends what is wrong: each gets a problem that says what to do, and changes nothing.
func TestRefusals(t *testing.T) {
	dir := openDir(t)
	_, r := startDev(t, dir, binary)
	api := client{base: r.URL, key: r.APIKey}
	count := func() (n int) {
		var sessions struct{ Data []json.RawMessage }
		api.must(t, "GET", "/v1/sessions", nil, &sessions)
		var messages struct{ Data []json.RawMessage }
		api.must(t, "GET", "/v1/sessions/demo/messages", nil, &messages)
		var endpoints struct{ Data []json.RawMessage }
		api.must(t, "GET", "/v1/webhook-endpoints", nil, &endpoints)
		return len(sessions.Data) + len(messages.Data) + len(endpoints.Data)
	}
	before := count()
	text := `{"to":"5491100000000","content":{"type":"text","text":"x"}}`
	for _, c := range []struct {
		name, method, path, key, body string
		size                          int64
		status                        int
		code                          string
	}{
		{name: "wrong key", method: "GET", path: "/v1/sessions", key: "wrong", status: 401, code: "unauthorized"},
		{name: "no key", method: "GET", path: "/v1/sessions", key: "-", status: 401, code: "unauthorized"},
		{name: "unknown session", method: "POST", path: "/v1/sessions/nobody/messages", body: text, status: 404, code: "session_not_found"},
		{name: "unknown path", method: "GET", path: "/v1/nothing", status: 404, code: "not_found"},
		{name: "malformed JSON", method: "POST", path: "/v1/sessions/demo/messages", body: `{"to":`, status: 400, code: "malformed_json"},
		{name: "2 GB body", method: "POST", path: "/v1/sessions/demo/messages", size: 2 << 30, status: 413, code: "payload_too_large"},
		{name: "number with letters", method: "POST", path: "/v1/sessions/demo/messages", body: strings.Replace(text, "5491100000000", "54911CALLME", 1), status: 422, code: "validation_failed"},
		{name: "unknown field", method: "POST", path: "/v1/sessions/demo/messages", body: strings.Replace(text, `"to"`, `"too":1,"to"`, 1), status: 422, code: "validation_failed"},
		{name: "unknown query parameter", method: "GET", path: "/v1/sessions?lmit=1", status: 422, code: "validation_failed"},
		{name: "metadata address", method: "POST", path: "/v1/webhook-endpoints", body: `{"url":"http://169.254.169.254/latest/meta-data"}`, status: 422, code: "validation_failed"},
		{name: "bad session id", method: "POST", path: "/v1/sessions", body: `{"id":"a b"}`, status: 422, code: "validation_failed"},
		{name: "session that exists", method: "POST", path: "/v1/sessions", body: `{"id":"demo"}`, status: 409, code: "session_already_exists"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var body io.Reader = strings.NewReader(c.body)
			if c.size > 0 {
				body = io.LimitReader(zeros{}, c.size)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, c.method, r.URL+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = max(c.size, int64(len(c.body)))
			req.Header.Set("Content-Type", "application/json")
			switch c.key {
			case "":
				req.Header.Set("X-API-Key", r.APIKey)
			case "-":
			default:
				req.Header.Set("X-API-Key", c.key)
			}
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			var p struct {
				Type, Title, Code, Detail, RequestID string
				Status                               int
			}
			if err := json.Unmarshal(raw, &p); err != nil {
				t.Fatalf("not JSON: %v: %.500s", err, raw)
			}
			if res.StatusCode != c.status || p.Status != c.status || p.Code != c.code || p.Type != "/problems/"+c.code {
				t.Errorf("answer %d %s, want %d %s: %s", res.StatusCode, p.Code, c.status, c.code, raw)
			}
			if ct := res.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %s", ct)
			}
			if p.Detail == "" || p.RequestID == "" || len(raw) > 4096 {
				t.Errorf("want a detail, a request id and a short answer: %.500s", raw)
			}
			for _, leak := range []string{r.APIKey, "goroutine", "pgx", "SQLSTATE", ".go:"} {
				if strings.Contains(string(raw), leak) {
					t.Errorf("the answer leaks %q: %s", leak, raw)
				}
			}
		})
	}
	if after := count(); after != before {
		t.Errorf("the refused requests changed something: %d rows before, %d after", before, after)
	}
}

// zeros reads as an endless row of spaces, which JSON allows before a value.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// awaitEcho waits until the demo session shows what the first curl line sent and what the echoing contact answered.
func awaitEcho(t *testing.T, api client) {
	t.Helper()
	eventually(t, 20*time.Second, "the echo", func() error {
		var page struct{ Data []message }
		if _, err := api.do("GET", "/v1/sessions/demo/messages", nil, &page); err != nil {
			return err
		}
		ways := map[string]string{}
		for _, m := range page.Data {
			ways[m.Direction] = m.Content.Text
		}
		if ways["incoming"] == "" || ways["incoming"] != ways["outgoing"] {
			return fmt.Errorf("have %v", ways)
		}
		return nil
	})
}

// curlLines returns the commands that dev printed for pasting.
func curlLines(out string) (lines []string) {
	s := bufio.NewScanner(strings.NewReader(out))
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); strings.HasPrefix(line, "curl ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// postmasterOf returns the process id of the PostgreSQL that runs in a data directory.
func postmasterOf(t *testing.T, data string) (pid int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "*", "*", "postmaster.pid"))
	if err != nil || len(files) == 0 {
		files, _ = filepath.Glob(filepath.Join(data, "*", "postmaster.pid"))
	}
	if len(files) != 1 {
		t.Fatalf("found %d postmaster.pid under %s", len(files), data)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(raw), "%d", &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone is nil once no process has that id, or only one that has ended and waits to be reaped.
func gone(pid int) error {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, rest, ok := strings.Cut(string(raw), ") "); ok && strings.HasPrefix(rest, "Z") {
		return nil
	}
	return fmt.Errorf("process %d lives", pid)
}

// sendAsTheReadmeSays sends a newcomer's first message by the third of the README's commands, but for the port and the data directory.
func sendAsTheReadmeSays(t *testing.T, r ready, data string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(readme), "Your first message takes three commands")
	commands, _, _ = strings.Cut(commands, "`dev` prints")
	var lines []string
	for line := range strings.Lines(commands) {
		if line, indented := strings.CutPrefix(line, "    "); indented {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 || lines[1] != "go run . dev\n" {
		t.Fatalf("the README's commands are %q", lines)
	}
	send := strings.NewReplacer("http://127.0.0.1:3000", r.URL, ".chasqui/", data+"/").Replace(lines[2])
	if out, err := exec.Command("bash", "-c", send).CombinedOutput(); err != nil || !strings.Contains(string(out), `"status":"sent"`) && !strings.Contains(string(out), `"status":"delivered"`) {
		t.Errorf("%s\n%v\n%s", send, err, out)
	}
}
