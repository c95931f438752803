package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/telemetry"
	"github.com/chasqui/chasqui/infra/testotlp"
)

// logos are pictures as data URLs, by their kind.
func logos(t *testing.T) map[string]string {
	t.Helper()
	var asPNG, asJPEG bytes.Buffer
	picture := image.NewGray(image.Rect(0, 0, 8, 8))
	if err := png.Encode(&asPNG, picture); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&asJPEG, picture, nil); err != nil {
		t.Fatal(err)
	}
	webp := "RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88\x88\xfe\x07\x00"
	all := map[string]string{}
	for kind, content := range map[string][]byte{"png": asPNG.Bytes(), "jpeg": asJPEG.Bytes(), "webp": []byte(webp)} {
		all[kind] = "data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(content)
	}
	return all
}

func TestALinkHasAPageAndABrand(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *Config) { c.PublicURL = "https://chat.example.com/" })
	f.base = "http://" + f.Addr().String()
	f.session("sales")
	var link Link
	var state LinkState
	read := func() LinkState {
		t.Helper()
		f.must(200, &state, "GET", "/v1/link", nil, "X-API-Key", "", "Authorization", "Bearer "+link.Token)
		return state
	}
	f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{})
	if link.URL != "https://chat.example.com/link/"+link.Token {
		t.Errorf("its page is %s", link.URL)
	}
	if read(); state.Brand != nil || state.Sandbox {
		t.Errorf("without a brand: %+v", state)
	}
	for kind, logo := range logos(t) {
		want := Brand{Name: "The Shöp", Color: "#3b4CC0", Logo: logo}
		f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{"brand": want})
		if read(); state.Brand == nil || *state.Brand != want {
			t.Errorf("%s: %+v", kind, state.Brand)
		}
	}
	f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{"brand": map[string]any{"name": strings.Repeat("ñ", 64)}})
	if read(); state.Brand == nil || *state.Brand != (Brand{Name: strings.Repeat("ñ", 64)}) {
		t.Errorf("a name alone: %+v", state.Brand)
	}
	f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{"brand": map[string]any{}})
	if read(); state.Brand != nil || f.count("api_keys WHERE brand IS NULL") != 1 {
		t.Errorf("a brand of nothing: %+v", state.Brand)
	}
}

func TestBadBrandsAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	all := logos(t)
	large := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, maxLogo-7)...)
	for name, brand := range map[string]map[string]any{
		"a long name":            {"name": strings.Repeat("x", 65)},
		"a colour's name":        {"color": "red"},
		"a colour and more":      {"color": "#3b4cc0;x"},
		"a URL":                  {"logo": "https://example.com/logo.png"},
		"an SVG":                 {"logo": "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte("<svg/>"))},
		"a page that says PNG":   {"logo": "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte("<html>"))},
		"a JPEG that says PNG":   {"logo": strings.Replace(all["jpeg"], "jpeg", "png", 1)},
		"parameters":             {"logo": strings.Replace(all["png"], ";base64", ";x=y;base64", 1)},
		"no base64":              {"logo": strings.Replace(all["png"], ";base64", "", 1)},
		"something behind it":    {"logo": all["png"] + "\"><script>"},
		"a logo that is too big": {"logo": "data:image/png;base64," + base64.StdEncoding.EncodeToString(large)},
		"an unknown field":       {"website": "https://example.com"},
	} {
		a := f.do("POST", "/v1/sessions/sales/links", map[string]any{"brand": brand})
		if p := f.problem(a, ValidationFailed); len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, "body.brand") {
			t.Errorf("%s: %+v", name, p.Errors)
		}
	}
	if n := f.count("api_keys"); n != 0 {
		t.Errorf("%d links were made", n)
	}
	largest := "data:image/png;base64," + base64.StdEncoding.EncodeToString(large[:maxLogo])
	f.must(201, nil, "POST", "/v1/sessions/sales/links", map[string]any{"brand": map[string]any{"logo": largest}})
}

// TestTheTokenOfALinkIsWrittenNowhere asks for a link's page in all the ways that a client may mistake it, and looks at what is kept of requests.
func TestTheTokenOfALinkIsWrittenNowhere(t *testing.T) {
	t.Parallel()
	collector := testotlp.Start(t)
	tracing, err := telemetry.StartTracing(t.Context(), telemetry.TracingConfig{Endpoint: collector.Endpoint(), Ratio: 1, Role: "api", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f := setup(t, func(c *Config) { c.Tracer = tracing.Tracer })
	f.session("sales")
	var link Link
	f.must(201, &link, "POST", "/v1/sessions/sales/links", map[string]any{})
	secret := link.Token[len("cl_"):]
	paths := []string{
		"/link/" + link.Token, "/link/" + link.Token + "/", "/link/" + link.Token + "/app.js", "/link/x/" + secret, "//link/" + link.Token, "/link//" + secret, "/%6cink/" + secret, "/Link/" + secret,
		"/" + link.Token, "/v1/sessions/" + link.Token, "/v1/link/" + secret, "/v1/media/" + link.Token + "/content",
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			f.do(method, path, nil)
		}
	}
	f.do("POST", "/v1/sessions", map[string]any{"id": link.Token})
	f.do("POST", "/v1/sessions/"+link.Token+"/start", nil) // what changes something is in the audit log
	if err := tracing.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var audit string
	if err := f.db.QueryRow(t.Context(), `SELECT json_agg(a.path)::text FROM audit_log a`).Scan(&audit); err != nil {
		t.Fatal(err)
	}
	spans := fmt.Sprintf("%+v", collector.All())
	for name, c := range map[string]struct{ kept, sign string }{
		"the log":       {f.log.String(), "path=/link/{token} status=404"},
		"the metrics":   {string(f.do("GET", "/metrics", nil).body), `method="DELETE",route="none"`},
		"the traces":    {spans, "POST none"},
		"the audit log": {audit, "/v1/sessions/{token}/start"},
	} {
		if !strings.Contains(c.kept, c.sign) {
			t.Errorf("%s has no %s, so that this test sees nothing: %.2000s", name, c.sign, c.kept)
		}
		if i := strings.Index(c.kept, secret); i >= 0 {
			t.Errorf("%s has the token: %.300s", name, c.kept[max(0, i-200):])
		}
	}
}
