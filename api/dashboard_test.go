package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestDashboardFiles asks for the dashboard's pages and files as a browser does: every page has its policy, every file may be kept for ever, nothing is heavier than its
// budget, and an address that is no page stays a problem.
func TestDashboardFiles(t *testing.T) {
	t.Parallel()
	f := setup(t)
	weigh := func(content []byte) int {
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
		_, _ = w.Write(content)
		_ = w.Close()
		return out.Len()
	}
	names := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)
	first := map[string]bool{} // what the pages begin with
	for _, address := range append(strings.Split(strings.ReplaceAll(strings.Join(dashboardPages, " "), "*", "some/thing"), " "), strings.Replace(dashboardLink, "{token}", "cl_token", 1)) {
		page := f.do("GET", address, nil, "X-API-Key", "")
		policy := page.Header.Get("Content-Security-Policy")
		if page.StatusCode != http.StatusOK || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") ||
			!strings.Contains(policy, "require-trusted-types-for 'script'") || page.Header.Get("Referrer-Policy") != "no-referrer" || page.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", address, page.StatusCode, page.Header)
		}
		scripts := 0
		for _, name := range names.FindAllStringSubmatch(string(page.body), -1) {
			file := f.do("GET", name[1], nil, "X-API-Key", "")
			if file.StatusCode != http.StatusOK || !strings.Contains(file.Header.Get("Cache-Control"), "immutable") || file.Header.Get("Content-Type") == "" {
				t.Errorf("%s: %d %v", name[1], file.StatusCode, file.Header)
			}
			if strings.HasSuffix(name[1], ".js") {
				scripts += weigh(file.body)
				first[path.Base(name[1])] = true
			}
		}
		if scripts < 10_000 || scripts > 60_000 {
			t.Errorf("%s begins with %d bytes of script in gzip, and should with at most 60,000", address, scripts)
		}
	}
	files, err := dashboardFiles.ReadDir("dashboard/dist/assets")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := dashboardFiles.ReadFile("dashboard/dist/assets/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		// One page, or what several share, or the words of one language.
		if weight := weigh(content); strings.HasSuffix(file.Name(), ".js") && !first[file.Name()] && weight > 25_000 {
			t.Errorf("%s weighs %d bytes in gzip, and should at most 25,000", file.Name(), weight)
		}
	}
	for _, address := range []string{"/assets/none.js", "/keys/some", "/link", "/index.html"} {
		if a := f.do("GET", address, nil, "X-API-Key", ""); a.StatusCode != http.StatusNotFound || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", address, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
}
