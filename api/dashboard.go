package api

import (
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/go-chi/chi/v5"
)

// The dashboard is built by `make dashboard` out of dashboard/ui, and committed: who builds chasqui needs no Node.
//
//go:embed dashboard/dist
var dashboardFiles embed.FS

// dashboardPolicy lets a page run the scripts and styles of this server alone, show what is of this server or in its memory, and speak to this server alone.
// Trusted Types keep text from becoming markup: the one policy is Svelte's, for its own templates.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"

// dashboardPages are the addresses at which the dashboard's page answers; what it shows there is its own business (dashboard/ui/src/pages/routes.ts). Each is named,
// so that any other address stays a problem with the status 404.
var dashboardPages = []string{
	"/", "/sessions", "/sessions/*", "/chats", "/chats/*", "/events", "/events/*", "/webhooks", "/webhooks/*", "/keys", "/audit", "/media", "/settings", "/welcome",
}

// dashboardLink is where a customer links a session, by the token of a link.
const dashboardLink = linkPage + "{token}"

// addDashboard serves the pages, and the files that they load: these are named by their content, and so may be kept for ever.
func addDashboard(r chi.Router) {
	page := func(name string) *asset {
		content, err := fs.ReadFile(dashboardFiles, "dashboard/dist/"+name)
		if err != nil {
			panic(err) // it is embedded
		}
		return newAsset(content, map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer", "Content-Security-Policy": dashboardPolicy,
			"Cross-Origin-Opener-Policy": "same-origin", "Permissions-Policy": "microphone=(self), camera=(), geolocation=(self), payment=(), usb=()",
		})
	}
	index := page("index.html")
	for _, pattern := range dashboardPages {
		r.Method(http.MethodGet, pattern, index)
	}
	r.Method(http.MethodGet, dashboardLink, page("link.html"))
	files, err := fs.ReadDir(dashboardFiles, "dashboard/dist/assets")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		content, err := fs.ReadFile(dashboardFiles, "dashboard/dist/assets/"+file.Name())
		if err != nil {
			panic(err)
		}
		kind := mime.TypeByExtension(path.Ext(file.Name()))
		if path.Ext(file.Name()) == ".woff2" {
			kind = "font/woff2" // which not every system's table has
		}
		r.Method(http.MethodGet, "/assets/"+file.Name(), newAsset(content, map[string]string{"Content-Type": kind, "Cache-Control": "public, max-age=31536000, immutable"}))
	}
}
