// Package testdev gives the tests of a package the program that they are about: one `chasqui dev` for all of them, with a simulated WhatsApp.
package testdev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// readyWithin is how long dev may take to answer: it makes a database first.
	readyWithin = time.Minute
	// endWithin is how long it may take to end.
	endWithin = 30 * time.Second
)

// Running is the program under test, once Main has started it.
var Running struct {
	URL         string `json:"url"`
	APIKey      string `json:"apiKey"`
	SandboxURL  string `json:"sandboxUrl"`
	DatabaseURL string `json:"databaseUrl"`
	Binary      string `json:"-"` // the program
	Data        string `json:"-"` // dev's data directory
}

// Main builds the program, runs the tests of a package beside `chasqui dev` with these variables added to its environment, and returns what the tests' process is to exit with.
// What dev warned of is written where a test has failed. The package lies two folders below the root.
func Main(m *testing.M, env ...string) int {
	code, err := run(m, env)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func run(m *testing.M, env []string) (code int, err error) {
	dir, err := os.MkdirTemp("", "chasqui-dev-") // not devstack.TestFolder's: what is left of that is cleared away
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user where this is root
		return 0, err
	}
	Running.Binary, Running.Data = filepath.Join(dir, "chasqui"), filepath.Join(dir, "data")
	if out, err := exec.Command("go", "build", "-o", Running.Binary, "../..").CombinedOutput(); err != nil { //nolint:gosec,noctx // G204: a folder of our own; it ends by itself
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	ready, log := filepath.Join(dir, "ready.json"), &output{}
	dev := exec.Command(Running.Binary, "dev", "--data", Running.Data, "--port", "0", "--sandbox-port", "0", "--ready-file", ready) //nolint:gosec,noctx // G204: what was just built; it is ended below
	dev.Dir, dev.Stdout, dev.Stderr, dev.Env = dir, log, log, append(os.Environ(), env...)
	dev.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := dev.Start(); err != nil {
		return 0, err
	}
	var how error // how it ended; for who has seen that it did
	ended := make(chan struct{})
	go func() { how = dev.Wait(); close(ended) }()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(readyWithin)
	defer tick.Stop()
	for Running.URL == "" {
		select {
		case <-ended:
			return 0, fmt.Errorf("dev ended: %w\n%s", how, log)
		case <-late:
			kill(dev, ended)
			return 0, fmt.Errorf("dev is not ready after %s\n%s", readyWithin, log)
		case <-tick.C:
			raw, err := os.ReadFile(ready)
			if err == nil {
				err = json.Unmarshal(raw, &Running)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return 0, fmt.Errorf("read ready file: %w", err)
			}
		}
	}
	code = m.Run()
	_ = dev.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(endWithin):
		kill(dev, ended)
	}
	if code != 0 || bytes.Contains(log.all(), []byte("WARNING: DATA RACE")) {
		fmt.Fprintln(os.Stderr, "--- dev, what it warned of")
		for line := range bytes.Lines(log.all()) {
			if !bytes.Contains(line, []byte("level=INFO")) {
				fmt.Fprintf(os.Stderr, "%s", line)
			}
		}
		code = 1
	}
	return code, nil
}

// kill ends dev and all that it has started.
func kill(dev *exec.Cmd, ended <-chan struct{}) {
	_ = syscall.Kill(-dev.Process.Pid, syscall.SIGKILL) // it may just have ended
	<-ended
}

// output is what dev has written, also while it writes.
type output struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes.Write(p)
}

func (o *output) all() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.bytes.Bytes())
}

func (o *output) String() string { return string(o.all()) }

// Client is what requests of tests go through; it outlasts the API's longest wait.
var Client = &http.Client{Timeout: 75 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// Call sends JSON with the API's key, and decodes the answer into out (nil: ignored) where it is a good one. It returns the status and the answer's bytes.
func Call(t *testing.T, method, target string, in, out any, header ...string) (int, []byte) {
	t.Helper()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, target, body) // a test's cleaning up calls too
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", Running.APIKey)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := Client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	if out != nil && res.StatusCode < http.StatusMultipleChoices {
		if err := json.Unmarshal(raw, out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, target, err, raw)
		}
	}
	return res.StatusCode, raw
}
