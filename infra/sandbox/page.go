package sandbox

import (
	"embed"
	"net/http"
)

//go:embed page
var pageFiles embed.FS

// pagePolicy lets the page run its own script, talk to the sandbox and show the phones' files, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageOperations are the phone page: what a developer without a phone looks at.
func (s *Sandbox) pageOperations() map[string]operation {
	return map[string]operation{
		"GET /{$}":           pageFile("page/index.html"),
		"GET /page/page.css": pageFile("page/page.css"),
		"GET /page/page.js":  pageFile("page/page.js"),
	}
}

func pageFile(name string) operation {
	return func(*http.Request) (int, any, error) {
		return http.StatusOK, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", pagePolicy)
			w.Header().Set("Referrer-Policy", "no-referrer")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cache-Control", "no-cache") // another version of the program is at the same address
			http.ServeFileFS(w, r, pageFiles, name)
		}), nil
	}
}
