package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/devstack"
)

// chasqui runs a command line with nothing in its environment but the given variables, and returns its exit status and what it printed.
func chasqui(t *testing.T, variables map[string]string, arguments ...string) (status int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, arguments...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for name, value := range variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// commands returns the names that the help lists.
func commands(t *testing.T) (names []string) {
	t.Helper()
	_, out, _ := chasqui(t, nil, "help")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) +\S`).FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestHelpListsEveryCommand(t *testing.T) {
	want := "dev up api connector dispatcher sandbox migrate rekey backup restore healthcheck mcp openapi chaos"
	if got := strings.Join(commands(t), " "); got != want {
		t.Errorf("help lists %q, want %q", got, want)
	}
	for _, arguments := range [][]string{nil, {"--help"}, {"-h"}} {
		if status, out, _ := chasqui(t, nil, arguments...); status != 0 || !strings.Contains(out, "\n  dev ") {
			t.Errorf("%q: status %d: %s", arguments, status, out)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, name := range commands(t) {
		status, out, errOut := chasqui(t, nil, name, "--help")
		if status != 0 || !strings.HasPrefix(out, "chasqui "+name+": ") || errOut != "" {
			t.Errorf("%s --help: status %d\n%s%s", name, status, out, errOut)
		}
	}
}

func TestMistakesEndWithStatus2AndSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		arguments []string
		variables map[string]string
		want      []string
	}{
		{arguments: []string{"devv"}, want: []string{`"devv"`, "  dev ", "--help"}},
		{arguments: []string{"dev", "--prot", "1"}, want: []string{"-prot", "--help"}},
		{arguments: []string{"up"}, want: []string{"API_KEY"}},
		{arguments: []string{"api"}, variables: map[string]string{"PORT": "x"}, want: []string{"API_KEY: ", "DATABASE_URL: ", "PORT: "}},
		{arguments: []string{"connector"}, want: []string{"DATABASE_URL: "}},
	} {
		status, _, errOut := chasqui(t, c.variables, c.arguments...)
		if status != 2 {
			t.Errorf("%q: status %d", c.arguments, status)
		}
		for _, want := range c.want {
			if !strings.Contains(errOut, want) {
				t.Errorf("%q: %s is not in:\n%s", c.arguments, want, errOut)
			}
		}
	}
}

func TestMigrate(t *testing.T) {
	pg, err := devstack.StartPostgres(t.Context(), devstack.PostgresConfig{Test: true})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Stop()
	for range 2 { // as often as it is asked
		if status, _, errOut := chasqui(t, map[string]string{"DATABASE_URL": pg.DSN()}, "migrate"); status != 0 {
			t.Fatalf("migrate: status %d: %s", status, errOut)
		}
	}
	began := time.Now() // a database that refuses is an error at once
	status, _, errOut := chasqui(t, map[string]string{"DATABASE_URL": strings.Replace(pg.DSN(), "/chasqui?", "/no_such?", 1)}, "migrate")
	if status != 1 || !strings.Contains(errOut, "no_such") {
		t.Errorf("status %d: %s", status, errOut)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestHealthcheckTellsByItsStatus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	address := strings.TrimPrefix(server.URL, "http://")
	if status, _, errOut := chasqui(t, map[string]string{"METRICS_ADDR": address}, "healthcheck"); status != 0 {
		t.Errorf("a healthy role: status %d: %s", status, errOut)
	}
	if status, _, _ := chasqui(t, nil, "healthcheck", "--url", server.URL+"/other"); status != 1 {
		t.Errorf("a sick role: status %d", status)
	}
}

func TestASecondStackOnTheSameDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	data, err := devstack.OpenData(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	status, _, errOut := chasqui(t, nil, "dev", "--data", dir, "--ready-file", filepath.Join(dir, "ready.json"))
	if status != 1 || !strings.Contains(errOut, dir) || !strings.Contains(errOut, "--data") {
		t.Errorf("status %d: %s", status, errOut)
	}
}

func TestPrintsTheDescriptionOfTheAPI(t *testing.T) {
	status, out, errOut := chasqui(t, nil, "openapi")
	if status != 0 || !strings.Contains(out, "openapi: 3.1") || !strings.Contains(out, "/v1/sessions") {
		t.Errorf("status %d: %s%.200s", status, errOut, out)
	}
}
