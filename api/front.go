package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"text/template"

	"github.com/chasqui/chasqui/events"
)

var (
	//go:embed front/index.html
	frontHTML string
	//go:embed front/script.js
	frontScript string
	//go:embed front/style.css
	frontStyle string
)

// frontPage is what somebody finds who opens the API's address in a browser: sessions with their QR codes, a test message, live events. It
// runs its own script alone, which the policy names by its hash, and loads nothing from elsewhere.
var frontPage, frontPolicy = func() ([]byte, string) {
	types, err := json.Marshal(events.Types)
	if err != nil {
		panic(err) // a list of strings always encodes
	}
	return sealPage(frontHTML, frontStyle, "const types = "+string(types)+";\n"+frontScript)
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

// showFront is GET /.
func (s *Server) showFront(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", frontPolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(frontPage) // a client that left needs no page
}
