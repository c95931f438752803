package api

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// profile asks for what is no operation, so that no contract is held against it.
func (f *fixture) profile(path, key string) answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.base+"/debug/pprof/"+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("X-API-Key", key)
	}
	return f.send(r)
}

func TestProfilesAreForTheKeysHolder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	gzip := []byte{0x1f, 0x8b}
	reads, _ := f.key(map[string]any{"scopes": []string{"read", "send", "manage"}})
	for _, path := range []string{"", "heap", "goroutine?debug=1", "profile?seconds=1", "cmdline"} {
		if a := f.profile(path, reads); a.StatusCode != http.StatusForbidden {
			t.Errorf("%q with a key that reads: %d", path, a.StatusCode)
		}
		for _, key := range []string{"", "wrong"} {
			if a := f.profile(path, key); a.StatusCode != http.StatusUnauthorized {
				t.Errorf("%q with key %q: %d", path, key, a.StatusCode)
			}
		}
		a := f.profile(path, testKey)
		switch {
		case path == "cmdline":
			if a.StatusCode != http.StatusNotFound {
				t.Errorf("the command line is shown: %d", a.StatusCode)
			}
		case a.StatusCode != http.StatusOK, !bytes.HasPrefix(a.body, gzip) && !strings.Contains(string(a.body), "goroutine"):
			t.Errorf("%q: %d, %d bytes", path, a.StatusCode, len(a.body))
		}
	}
}
