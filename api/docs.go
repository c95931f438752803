package api

import _ "embed"

var (
	//go:embed docs/index.html
	docsHTML string
	//go:embed docs/script.js
	docsScript string
	//go:embed docs/style.css
	docsStyle string
)

// docsPage is GET /docs: a page that reads /openapi.json and shows it to people. It runs its own script alone, which the policy names by its
// hash, loads nothing from elsewhere, and makes no markup out of text, which Trusted Types enforce. It is asked for anew each time (and
// answered 304), so that it is never older than the server.
var docsPage = func() *asset {
	page, policy := sealPage(docsHTML, docsStyle, docsScript)
	return newAsset(page, map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": policy + "; require-trusted-types-for 'script'; trusted-types 'none'",
	})
}()
