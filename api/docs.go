package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"text/template"
)

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

// sealPage puts style and script into a page, and returns it with the policy under which it can run these two and nothing else, and speak to
// the server it came from alone.
func sealPage(html, style, script string) ([]byte, string) {
	var page bytes.Buffer
	// The parts are ours and hold nothing of anybody else's, so nothing is to be escaped.
	if err := template.Must(template.New("page").Parse(html)).Execute(&page, map[string]string{"Style": style, "Script": script}); err != nil {
		panic(err) // it cannot fail; every test of the package meets it
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return page.Bytes(), fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		hash(script), hash(style))
}
