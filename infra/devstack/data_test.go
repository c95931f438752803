package devstack

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func openData(t *testing.T, dir string) *Data {
	t.Helper()
	d, err := OpenData(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestDataIsOneProcesss(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openData(t, dir)
	if _, err := OpenData(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "--data") {
		t.Fatalf("second opening: %v", err)
	}
	d.Close()
	openData(t, dir)
}

func TestDataKeepsKeyAndOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	values := func() (string, string) {
		d := openData(t, dir)
		defer d.Close()
		key, err := d.APIKey()
		if err != nil {
			t.Fatal(err)
		}
		owner, err := d.Owner()
		if err != nil {
			t.Fatal(err)
		}
		return key, owner
	}
	key, owner := values()
	if key2, owner2 := values(); key2 != key || owner2 != owner {
		t.Error("key or owner changed from one opening to the next")
	}
	if len(key) != 64 {
		t.Errorf("the key has %d digits, want 64", len(key))
	}
	if info, err := os.Stat(filepath.Join(dir, "api-key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info.Mode(), err)
	}
	// A file that a crash left empty counts as none.
	if err := os.Truncate(filepath.Join(dir, "api-key"), 0); err != nil {
		t.Fatal(err)
	}
	if key2, _ := values(); len(key2) != 64 || key2 == key {
		t.Errorf("after truncation the key is %q", key2)
	}
}

func TestReadyFileComesWholeAndGoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ready.json")
	if err := RemoveReady(path); err != nil {
		t.Fatal(err)
	}
	if err := (Ready{URL: "http://127.0.0.1:3000", APIKey: "key", DatabaseURL: "postgres:///chasqui?host=/run&port=5432"}).Write(path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "host=/run&port=5432") {
		t.Errorf("an address is escaped: %s", content)
	}
	var fields map[string]string
	if err := json.Unmarshal(content, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"url", "apiKey", "sandboxUrl", "sandboxProxyUrl", "whatsappUrl", "whatsappRootKey", "databaseUrl", "s3Endpoint", "s3Bucket", "s3AccessKey", "s3SecretKey"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files beside it", len(entries)-1)
	}
	if err := RemoveReady(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func TestAnnouncesThreeCommands(t *testing.T) {
	t.Parallel()
	for _, demo := range []bool{true, false} {
		var out strings.Builder
		Ready{URL: "http://127.0.0.1:3000", APIKey: "key"}.Announce(&out, demo)
		if n := strings.Count(out.String(), "\ncurl "); n != 3 {
			t.Errorf("%d commands, want 3, in:\n%s", n, out.String())
		}
		if strings.Contains(out.String(), "%!") {
			t.Errorf("a format went wrong in:\n%s", out.String())
		}
	}
}

func TestLocalURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:3000": "http://127.0.0.1:3000",
		"[::]:3000":      "http://127.0.0.1:3000",
		"0.0.0.0:3000":   "http://127.0.0.1:3000",
		":3000":          "http://127.0.0.1:3000",
		"[::1]:3000":     "http://[::1]:3000",
		"10.1.2.3:80":    "http://10.1.2.3:80",
	} {
		if got := LocalURL(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestAnswersWaitsForStatus200(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	if err := Answers(t.Context(), server.URL); err != nil || asked.Load() != 3 {
		t.Errorf("after %d requests: %v", asked.Load(), err)
	}
}

func TestTheEncryptionKeyStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if key, err := KeptEncryptionKey(dir); key != "" || err != nil {
		t.Errorf("before there is one: %q, %v", key, err)
	}
	data, err := OpenData(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	made, err := data.EncryptionKey()
	if err != nil || len(made) != 64 {
		t.Fatalf("made %d characters, %v", len(made), err)
	}
	again, err := data.EncryptionKey()
	kept, keptErr := KeptEncryptionKey(dir)
	if again != made || kept != made || err != nil || keptErr != nil {
		t.Errorf("it is another one: %v, %v", err, keptErr)
	}
	if api, err := data.APIKey(); api == made || err != nil {
		t.Errorf("it is the API key too, %v", err)
	}
}
