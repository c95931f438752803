package dispatcher

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/testproxy"
)

// Feature: Proxy of a session, media included
func TestMediaComesThroughTheSessionsProxy(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "encrypted") }))
	t.Cleanup(files.Close)
	proxy := testproxy.Open(t, "someuser", "s3cr3tpassword")
	proxy.Lead("whatsapp.invalid:80", strings.TrimPrefix(files.URL, "http://"))
	path, kind := "/v/t62/file?a=b", "image"
	get := func(ctx context.Context, guard *netguard.Guard) (string, error) {
		client, err := newMediaClient("ws://whatsapp.invalid:80/ws/chat", guard)
		if err != nil {
			t.Fatal(err)
		}
		body, err := (&Dispatcher{mediaClient: client}).download(ctx, db.Media{Kind: &kind, DirectPath: &path})
		if err != nil {
			return "", err
		}
		defer body.Close()
		raw, err := io.ReadAll(body)
		return string(raw), err
	}
	for _, scheme := range []string{"socks5", "http"} {
		through, err := withProxy(t.Context(), proxy.URL(scheme))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := get(through, localGuard()); err != nil || body != "encrypted" {
			t.Errorf("%s: %q, %v", scheme, body, err)
		}
		if _, err := get(through, nil); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s at an address that is not allowed: %v", scheme, err)
		}
		wrong, err := withProxy(t.Context(), scheme+"://someuser:0therpassword@"+proxy.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := get(wrong, localGuard()); err == nil || strings.Contains(err.Error(), "0therpassword") {
			t.Errorf("%s with another password: %v", scheme, err)
		}
	}
	if seen := proxy.Seen(); !slices.Equal(seen, []string{"GET /v/t62/file", "GET /v/t62/file"}) {
		t.Errorf("through the proxy went %q", seen)
	}
	if _, err := get(t.Context(), localGuard()); err == nil {
		t.Error("a download without a proxy found the way")
	}
	if _, err := withProxy(t.Context(), "gopher://user:s3cr3t@x"); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("what is no proxy: %v", err)
	}
}
