package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestMain(m *testing.M) { testdb.Run(m) }

// chasqui runs a command line with nothing in its environment but the given
// variables, and returns its exit status and what it printed.
func chasqui(t *testing.T, variables map[string]string, arguments ...string) (status int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), arguments, func(name string) string { return variables[name] }, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestHelpListsEveryCommand(t *testing.T) {
	for _, arguments := range [][]string{nil, {"help"}, {"--help"}, {"-h"}} {
		status, out, _ := chasqui(t, nil, arguments...)
		if status != 0 {
			t.Errorf("%q: status %d", arguments, status)
		}
		for _, c := range commands() {
			if !strings.Contains(out, "\n  "+c.name+" ") {
				t.Errorf("%q: %s is not listed", arguments, c.name)
			}
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range commands() {
		status, out, errOut := chasqui(t, nil, c.name, "--help")
		if status != 0 || !strings.Contains(out, c.summary) || errOut != "" {
			t.Errorf("%s --help: status %d\n%s%s", c.name, status, out, errOut)
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

func TestMigratesAsOftenAsAsked(t *testing.T) {
	variables := map[string]string{"DATABASE_URL": testdb.DSN(t)}
	for range 2 {
		if status, _, errOut := chasqui(t, variables, "migrate"); status != 0 {
			t.Fatalf("migrate: status %d: %s", status, errOut)
		}
	}
}

func TestADatabaseThatRefusesIsAnErrorAtOnce(t *testing.T) {
	dsn := testdb.DSN(t)
	began := time.Now()
	status, _, errOut := chasqui(t, map[string]string{"DATABASE_URL": strings.Replace(dsn, "/test_", "/no_such_", 1)}, "migrate")
	if status != 1 || !strings.Contains(errOut, "no_such_") {
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
