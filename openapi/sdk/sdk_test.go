// Package sdk tests the SDKs: each is compiled, checked, and run against a running chasqui with a simulated WhatsApp.
package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testdev"
	"github.com/chasqui/chasqui/infra/testnode"
)

// running is the program under test.
var running = &testdev.Running

func TestMain(m *testing.M) { os.Exit(testdev.Main(m)) }

// A program is one of an SDK's.
type program struct {
	dir  string
	args []string
}

// start makes a command of a program that ends with the test at the latest.
func (p program) start(ctx context.Context, env ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd, out := exec.CommandContext(ctx, p.args[0], p.args[1:]...), &bytes.Buffer{}
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.dir, out, out, 10*time.Second
	cmd.Env = append(os.Environ(), "CHASQUI_URL="+running.URL, "CHASQUI_API_KEY="+running.APIKey, "SANDBOX_URL="+running.SandboxURL, "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Env = append(cmd.Env, env...)
	return cmd, out
}

func (p program) must(t *testing.T, env ...string) {
	t.Helper()
	cmd, out := p.start(t.Context(), env...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(p.args, " "), err, out)
	}
}

// Feature: SDKs: Go, TypeScript, Python
func TestGo(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	program{"go", []string{"go", "vet", "./..."}}.must(t)
	program{"go", []string{"go", "build", "-o", bin + "/", "./internal/tour", "./examples/bot"}}.must(t)
	tours(t, program{"go", []string{filepath.Join(bin, "tour")}}, program{"go", []string{filepath.Join(bin, "bot")}})
}

// Feature: SDKs: Go, TypeScript, Python
func TestTypeScript(t *testing.T) {
	t.Parallel()
	testnode.Install(t, "typescript")
	program{"typescript", []string{"node", "node_modules/typescript/bin/tsc"}}.must(t)
	tours(t, program{"typescript", []string{"node", "dist/test/tour.js"}}, program{"typescript", []string{"node", "dist/examples/bot.js"}})
}

// Feature: SDKs: Go, TypeScript, Python
func TestPython(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no python3 of version 3.11 or newer: %v %s", err, out)
		}
		t.Skip("no python3 of version 3.11 or newer")
	}
	testnode.Install(t, "python/pyright")
	program{"python", []string{"node", "pyright/node_modules/pyright/index.js", "--warnings"}}.must(t)
	tours(t, program{"python", []string{"python3", "-W", "error", "test/tour.py"}}, program{"python", []string{"python3", "-W", "error", "examples/bot.py"}})
}

var lastNumber atomic.Int64

// newPhone makes a simulated phone.
func newPhone(t *testing.T, more string) string {
	t.Helper()
	number := strconv.FormatInt(5491180000000+lastNumber.Add(1), 10)
	sandbox(t, "POST", "/phones", fmt.Sprintf(`{"number":%q,"name":"Somebody"%s}`, number, more), nil)
	return number
}

func sandbox(t *testing.T, method, path, body string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, running.SandboxURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s %v", method, path, res.Status, raw, err)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			t.Fatal(err)
		}
	}
}

// tours runs an SDK's tour, and then its bot with the session that the tour has linked.
func tours(t *testing.T, tour, bot program) {
	t.Helper()
	owner, peer, session := newPhone(t, ""), newPhone(t, `,"autoReply":"echo"`), strings.ToLower(t.Name())
	faults, faultsURL := newFaults(t)
	tour.must(t, "SESSION="+session, "PHONE="+owner, "PEER="+peer, "FAULTS_URL="+faultsURL)
	faults.check(t)

	friend := newPhone(t, "")
	var newest struct{ NextCursor string }
	req, err := http.NewRequestWithContext(t.Context(), "GET", running.URL+"/v1/events?limit=200&sessionId="+session, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", running.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&newest); err != nil || newest.NextCursor == "" {
		t.Fatalf("the newest event: %v", err)
	}
	// What the tour's session got before is not the bot's: the peer answers as the bot does, and they would never end.
	ctx, cancel := context.WithCancel(t.Context())
	cmd, out := bot.start(ctx, "AFTER="+newest.NextCursor)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sandbox(t, "POST", "/phones/"+friend+"/messages", fmt.Sprintf(`{"to":%q,"type":"text","text":"is anybody there?"}`, owner), nil)
	after, deadline := int64(0), time.Now().Add(time.Minute)
	for heard := false; !heard; {
		var page struct {
			Messages []struct{ Text string }
			Next     int64
		}
		sandbox(t, "GET", fmt.Sprintf("/phones/%s/messages?wait=2&after=%d", friend, after), "", &page)
		for _, m := range page.Messages {
			heard = heard || m.Text == "is anybody there?"
		}
		if after = max(after, page.Next); !heard && time.Now().After(deadline) {
			cancel()
			t.Fatalf("the bot did not answer within a minute: %v\n%s", cmd.Wait(), out)
		}
	}
	cancel()
	_ = cmd.Wait() // it was killed
}
