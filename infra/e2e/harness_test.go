// Package e2e drives the real binary from outside, as its users do: over HTTP, with curl, with a webhook receiver, and with kill -9.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testpoll"
	"github.com/chasqui/chasqui/infra/tests3"
)

// binary is the program under test, built once by TestMain from the working tree.
var binary string

func TestMain(m *testing.M) {
	servers := tests3.With(m) // this binary may be the S3 server
	dir, err := os.MkdirTemp("", "chasqui-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "chasqui")
	build := exec.Command("go", "build", "-o", binary, "../..")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	code := servers.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// openDir makes a folder that the unprivileged user who runs PostgreSQL for root can enter, which t.TempDir is not.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chasqui-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A process is one run of the binary (or of go run) that ends with the test.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  *logBuffer
}

// spawn starts argv with extra environment in a process group of its own; its output is shown when the test fails.
func spawn(t *testing.T, name, dir string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), log: &logBuffer{}}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.stop(t)
		if strings.Contains(p.log.String(), "WARNING: DATA RACE") { // GOFLAGS=-race builds the binary with the detector too
			t.Errorf("%s has a data race", name)
		}
		if t.Failed() {
			t.Logf("--- %s\n%s", name, p.log.tail(12000))
		}
	})
	return p
}

// kill9 ends the process as a crash does and waits until it is gone.
func (p *process) kill9(t *testing.T) {
	t.Helper()
	_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL)
	p.wait(t, 10*time.Second)
}

// stop asks the process to end and, if it does not within 30 s, fails the test and kills its group.
func (p *process) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not stop within 30 s of SIGTERM", p.name)
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.wait(t, 10*time.Second)
	}
}

func (p *process) wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(d):
		t.Fatalf("%s still runs after %s", p.name, d)
	}
}

// logBuffer keeps what a process printed.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) tail(n int) string {
	s := l.String()
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return s
}

// ready is the content of --ready-file.
type ready struct {
	URL             string `json:"url"`
	APIKey          string `json:"apiKey"`
	SandboxURL      string `json:"sandboxUrl"`
	WhatsAppURL     string `json:"whatsappUrl"`
	WhatsAppRootKey string `json:"whatsappRootKey"`
	DatabaseURL     string `json:"databaseUrl"`
	S3Endpoint      string `json:"s3Endpoint"`
	S3Bucket        string `json:"s3Bucket"`
	S3AccessKey     string `json:"s3AccessKey"`
	S3SecretKey     string `json:"s3SecretKey"`
}

// awaitReady waits for the ready file, which appears whole or not at all.
func (p *process) awaitReady(t *testing.T, file string, d time.Duration) ready {
	t.Helper()
	var r ready
	eventually(t, d, p.name+" to be ready", func() error {
		select {
		case <-p.done:
			t.Fatalf("%s ended before it was ready:\n%s", p.name, p.log.tail(8000))
		default:
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatalf("ready file is torn: %v: %q", err, raw)
		}
		return nil
	})
	return r
}

// eventually polls cond until it answers nil.
func eventually(t *testing.T, d time.Duration, what string, cond func() error) {
	t.Helper()
	if err := testpoll.Until(d, cond); err != nil {
		t.Fatalf("waited %s for %s: %v", d, what, err)
	}
}

// caughtUp polls until count answers want, and gives up where it has not grown for a minute: how long all of it takes is the machine's affair. Its
// error says what is known of the rest.
func caughtUp(t *testing.T, what string, want int, count func() (int, error)) {
	t.Helper()
	most, grown := -1, time.Now()
	eventually(t, 10*time.Minute, what, func() error {
		n, err := count()
		if n >= want {
			return nil
		}
		if n > most {
			most, grown = n, time.Now()
		}
		if time.Since(grown) > time.Minute {
			t.Fatalf("%s: still %d of %d after a minute: %v", what, n, want, err)
		}
		return fmt.Errorf("%d of %d: %w", n, want, err)
	})
}

// A client speaks JSON to one base URL.
type client struct {
	base, key string
}

var httpClient = &http.Client{Timeout: 75 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// do sends a request and decodes a JSON answer into out (nil: ignored; *[]byte: takes it as it is). It returns the status, or the transport's error.
func (c client) do(method, path string, in, out any, header ...string) (int, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("X-API-Key", c.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err
	}
	if res.StatusCode >= 300 {
		return res.StatusCode, fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, raw)
	}
	if whole, ok := out.(*[]byte); ok {
		*whole = raw
	} else if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			return res.StatusCode, fmt.Errorf("%s %s: %w: %s", method, path, err, raw)
		}
	}
	return res.StatusCode, nil
}

// post sends a body that write makes, and decodes the answer.
func (c client) post(path, contentType string, out any, write func(io.Writer) error) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	req, err := http.NewRequestWithContext(context.Background(), "POST", c.base+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	if c.key != "" {
		req.Header.Set("X-API-Key", c.key)
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST %s: %d %s %w", path, res.StatusCode, raw, err)
	}
	return json.Unmarshal(raw, out)
}

// form is post of a multipart body.
func (c client) form(path string, out any, fill func(*multipart.Writer) error) error {
	const boundary = "where-the-parts-meet"
	return c.post(path, "multipart/form-data; boundary="+boundary, out, func(w io.Writer) error {
		form := multipart.NewWriter(w)
		if err := form.SetBoundary(boundary); err != nil {
			return err
		}
		if err := fill(form); err != nil {
			return err
		}
		return form.Close()
	})
}

// must is do for a call that has to succeed.
func (c client) must(t *testing.T, method, path string, in, out any, header ...string) {
	t.Helper()
	if _, err := c.do(method, path, in, out, header...); err != nil {
		t.Fatal(err)
	}
}

// persist repeats a call until it succeeds, as a careful client does while a server is being restarted. A refusal (4xx other than 409 and
// 429) is final.
func (c client) persist(method, path string, in, out any, header ...string) error {
	deadline := time.Now().Add(90 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := c.do(method, path, in, out, header...)
		if err == nil {
			return nil
		}
		if status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("gave up after 90 s: %w", err)
		}
		<-tick.C
	}
}

// phoneMessage is a message as a simulated phone shows it.
type phoneMessage struct {
	Seq    int64  `json:"seq"`
	ID     string `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	FromMe bool   `json:"fromMe"`
	Type   string `json:"type"`
	Text   string `json:"text"`

	Caption    string `json:"caption"`
	FileName   string `json:"fileName"`
	Mimetype   string `json:"mimetype"`
	Size       int64  `json:"size"`
	SHA256     string `json:"sha256"`
	MediaError string `json:"mediaError"`
	Seconds    int    `json:"seconds"`
	Waveform   string `json:"waveform"`
	Width      int    `json:"width"`
}

// shown lists everything that the phone has shown so far.
func shown(sandbox client, number string) ([]phoneMessage, error) {
	var all []phoneMessage
	after := int64(0)
	for {
		var page struct {
			Messages []phoneMessage `json:"messages"`
			Next     int64          `json:"next"`
		}
		if _, err := sandbox.do("GET", fmt.Sprintf("/phones/%s/messages?after=%d", number, after), nil, &page); err != nil {
			return nil, err
		}
		if len(page.Messages) == 0 {
			return all, nil
		}
		all, after = append(all, page.Messages...), page.Next
	}
}

// link creates a session and links it to a simulated phone by QR, through the public interfaces alone.
func link(t *testing.T, api, sandbox client, session, number string) {
	t.Helper()
	sandbox.must(t, "POST", "/phones", map[string]string{"number": number, "name": "Phone " + number}, nil)
	api.must(t, "POST", "/v1/sessions", map[string]string{"id": session}, nil)
	scan(t, api, sandbox, session, number)
}

func scan(t *testing.T, api, sandbox client, session, number string) {
	t.Helper()
	var qr struct {
		QR string `json:"qr"`
	}
	api.must(t, "GET", "/v1/sessions/"+session+"/qr?wait=30", nil, &qr, "Accept", "application/json")
	sandbox.must(t, "POST", "/phones/"+number+"/scan", map[string]string{"qr": qr.QR}, nil)
	awaitState(t, api, session, "connected", 30*time.Second)
}

func awaitState(t *testing.T, api client, session, state string, d time.Duration) {
	t.Helper()
	eventually(t, d, "session "+session+" to be "+state, func() error {
		var s struct{ State, Reason string }
		if _, err := api.do("GET", "/v1/sessions/"+session, nil, &s); err != nil {
			return err
		}
		if s.State != state {
			return fmt.Errorf("it is %s (%s)", s.State, s.Reason)
		}
		return nil
	})
}

// event is one event as clients get it.
type event struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	SessionID string `json:"sessionId"`
	Data      struct {
		Message   message `json:"message"`
		MessageID string  `json:"messageId"` // of media.failed, as what follows
		Media     struct{ ID string }
		Error     *messageError `json:"error"`
	} `json:"data"`
}

type messageError struct{ Code, Message string }

type message struct {
	ID         string `json:"id"`
	WhatsAppID string `json:"whatsappId"`
	SessionID  string `json:"sessionId"`
	ChatID     string `json:"chatId"`
	Direction  string `json:"direction"`
	Status     string `json:"status"`
	From       struct {
		Phone string `json:"phone"`
		LID   string `json:"lid"`
	} `json:"from"`
	Content struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Caption string `json:"caption"`
		Media   *struct {
			ID       string `json:"id"`
			URL      string `json:"url"`
			Mimetype string `json:"mimetype"`
			Size     int64  `json:"size"`
			SHA256   string `json:"sha256"`
			FileName string `json:"fileName"`
		} `json:"media"`
	} `json:"content"`
}

// eventLog reads the whole event log by its cursor.
func eventLog(api client) ([]event, error) {
	var all []event
	after := ""
	for {
		var page struct {
			Data       []event `json:"data"`
			NextCursor string  `json:"nextCursor"`
			HasMore    bool    `json:"hasMore"`
		}
		path := "/v1/events?limit=200"
		if after != "" {
			path += "&after=" + after
		}
		if _, err := api.do("GET", path, nil, &page); err != nil {
			return nil, err
		}
		all, after = append(all, page.Data...), page.NextCursor
		if !page.HasMore {
			return all, nil
		}
	}
}

// ports are those that tests were given, each once: its server may be down when another test looks for one.
var ports sync.Map

// freePort returns a port that was free a moment ago, for servers that must come back on the same one.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if _, given := ports.LoadOrStore(port, true); !given {
			return port
		}
	}
}

func answers(url string) error {
	res, err := httpClient.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 500))
		return errors.New(strconv.Itoa(res.StatusCode) + " " + strings.TrimSpace(string(raw)))
	}
	return nil
}
