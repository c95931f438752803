package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

// refusedWell fails the test unless an error is a Problem of the client's, in few words.
func refusedWell(t *testing.T, given string, err error) {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) || p.Status < 400 || p.Status >= 500 || len(p.Detail) > 300 {
		t.Errorf("%.200q: %#v", given, err)
		return
	}
	for _, e := range p.Errors {
		if len(e.Message)+len(e.Location) > 400 || !utf8.ValidString(e.Message) {
			t.Errorf("%.200q: %q at %q", given, e.Message, e.Location)
		}
	}
}

// FuzzCursors reads the cursors of all lists: each opens as what it was made of, and anything else is refused or stays what it is.
func FuzzCursors(f *testing.F) {
	s := &Server{principal: sha256.Sum256([]byte(testKey))}
	id := uuid.MustParse("01932f0c-5d6b-7a10-b1f4-d0c4a8e2f001")
	event, at := events.EventPrefix.Format(id), time.UnixMicro(1700000000000000)
	theirs := context.WithValue(context.Background(), callKey{}, &call{caller: &caller{sessions: []string{"sales"}}})
	sealed := s.cursor(theirs, event)
	if !strings.HasPrefix(sealed, sealedCursor) || s.openCursor(sealed) != event {
		f.Fatalf("%q opens as %q", sealed, s.openCursor(sealed))
	}
	for _, seed := range []string{
		"", event, sealed, sealed[:len(sealed)-1], sealedCursor, sealedCursor + "AAAA", events.MessagePrefix.Format(id), deliveryCursor(nil, id, id), deliveryCursor(&id, id, id), event + ".", ".",
		chatCursorOf(db.ChatView{ID: "5491123456789@s.whatsapp.net", LastMessageAt: &at}), chatCursorOf(db.ChatView{ID: "1203@g.us"}), base64.RawURLEncoding.EncodeToString([]byte("1700000000000000.sales")),
		base64.RawURLEncoding.EncodeToString([]byte(`{"at":"9999-12-31T23:59:59Z","id":"\u0000"}`)), base64.RawURLEncoding.EncodeToString([]byte("-1.sales")), "====", "evt_", "5491123456789@s.whatsapp.net",
	} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, given string) {
		if opened := s.openCursor(given); opened != given {
			if _, err := events.EventPrefix.Parse(opened); err != nil || s.openCursor(opened) != opened {
				t.Errorf("%q opens as %q", given, opened)
			}
		}
		if id, err := parseCursor(events.MessagePrefix, given); err != nil {
			refusedWell(t, given, err)
		} else if id != nil && !strings.EqualFold(events.MessagePrefix.Format(*id), given) {
			t.Errorf("%q is read as %v", given, id)
		}
		if at, id, err := parseSessionCursor(given); err != nil {
			refusedWell(t, given, err)
		} else if given != "" && (!goodSessionID.MatchString(id) || at.Year() < 1970 || at.Year() > 2200) {
			t.Errorf("%q is read as %v of %q", given, at, id)
		}
		if c, err := parseChatCursor(given); err != nil {
			refusedWell(t, given, err)
		} else {
			again, err := parseChatCursor(chatCursorOf(db.ChatView{ID: c.ID, LastMessageAt: c.At}))
			if err != nil || again.ID != c.ID || (again.At == nil) != (c.At == nil) || c.At != nil && !again.At.Equal(*c.At) || !utf8.ValidString(c.ID) {
				t.Errorf("%q is read as %+v, and again as %+v, %v", given, c, again, err)
			}
		}
		for _, of := range []*uuid.UUID{nil, &id} {
			filter := DeliveryFilter{Page: Page{Cursor: given}}
			p, err := filter.params(of)
			if err != nil {
				refusedWell(t, given, err)
			} else if given != "" && !strings.EqualFold(deliveryCursor(of, p.ToID, p.BeforeEndpoint), given) {
				t.Errorf("%q is read as %v and %v", given, p.ToID, p.BeforeEndpoint)
			}
		}
	})
}

// FuzzHeaders reads headers that carry more than a word.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{
		"", "wait=10", `respond-async, Wait="5"; x=1`, "wait=4294967296", "wait=-1", "wait", "wait=1,wait=2", "image/png", "text/plain;q=0.5, image/*;q=0.9", "*/*;q=NaN", "application/json;q=1e-400", ";q=0,",
		"multipart/form-data; boundary=x", "Bearer  key ", "bearer", "image/jpeg; name=\"a\\\"\r\nX: y\"", "application/octet-stream", "../../etc/passwd", "invoice\u202efdp.exe", strings.Repeat("ñ", 200) + ".pdf", "a\x00\xff\nb.JPG",
	} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, given string) {
		if seconds, ok := preferredWait(given); seconds < 0 || seconds > maxPreferredWait || !ok && seconds != 0 {
			t.Errorf("%q waits for %d s", given, seconds)
		}
		if form := preferredForm(given, qrForms); form != "" && !slices.Contains(qrForms, form) {
			t.Errorf("%q is given %q", given, form)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", given)
		if key := keyOf(r); key != "" && (len(key) >= len(given) || key != strings.TrimSpace(key)) {
			t.Errorf("the key in %q is %q", given, key)
		}
		name := cleanName(given)
		if len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\r\n") || cleanName(name) != name {
			t.Errorf("a file called %q is called %q", given, name)
		}
		kind := mimetypeOf(given, name)
		if kind != "" && !validMimetype(kind) {
			t.Errorf("a file of %q is %q", given, kind)
		}
		shown := disposition(kind, name)
		if _, parameters, err := mime.ParseMediaType(shown); err != nil || name != "" && parameters["filename"] != name || strings.ContainsAny(shown, "\x00\r\n") {
			t.Errorf("%q is shown as %q: %q, %v", name, shown, parameters, err)
		}
	})
}

// FuzzKeyRules checks the rules of a key: what is taken lets in who it names, and is checked again as the same.
func FuzzKeyRules(f *testing.F) {
	for _, seed := range []string{"203.0.113.0/24", "203.0.113.7", "203.0.113.7/8", "::1", "2001:db8::/32", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "fe80::1%eth0", "fe80::1%eth0/64", "0.0.0.0/0", "::/0", "1.2.3.4/33", "01.2.3.4", "1.2.3", "a", "", " 1.2.3.4"} {
		f.Add(seed, false, int64(60))
		f.Add(seed, true, int64(-60))
	}
	testfuzz.Run(f, func(t *testing.T, network string, admin bool, seconds int64) {
		until := time.Now().Add(time.Duration(seconds))
		rules := KeyRules{Scopes: []scope{scopeSend, scopeRead, scopeSend}, Networks: []string{network}, ExpiresAt: &until}
		if admin {
			rules.Scopes, rules.Sessions = append(rules.Scopes, scopeAdmin), []sessionFilter{"sales"}
		}
		if err := rules.check(); err != nil {
			refusedWell(t, network, err)
			return
		}
		if admin || seconds <= 0 || len(rules.Scopes) != 2 {
			t.Errorf("%+v is taken", rules)
		}
		prefix, err := netip.ParsePrefix(rules.Networks[0])
		if err != nil || prefix != prefix.Masked() {
			t.Fatalf("%q is kept as %q: %v", network, rules.Networks[0], err)
		}
		who := caller{networks: []netip.Prefix{prefix}}
		if from := netip.AddrPortFrom(prefix.Addr(), 4711).String(); !who.allows(from) {
			t.Errorf("%q, kept as %q, keeps %s out", network, prefix, from)
		}
		again := KeyRules{Networks: slices.Clone(rules.Networks)}
		if err := again.check(); err != nil || again.Networks[0] != rules.Networks[0] {
			t.Errorf("%q is checked again as %q, %v", rules.Networks, again.Networks, err)
		}
	})
}

// FuzzMultipart reads multipart bodies: fields are text of bounded size, and what is refused is the client's.
func FuzzMultipart(f *testing.F) {
	const boundary = "multipart/form-data; boundary=b"
	part := func(header, content string) string {
		return "--b\r\nContent-Disposition: form-data; " + header + "\r\n\r\n" + content + "\r\n"
	}
	for _, body := range []string{
		part(`name="file"; filename="a.pdf"`, "%PDF") + "--b--\r\n", part(`name="mimetype"`, "image/png") + part(`name=file`, "x") + "--b--", part(`name="a"`, "\x00") + "--b--", part(`name="a"`, "\xff") + "--b--",
		part(`filename="a"`, "x") + "--b--", part(`name=""; filename=""`, "x") + "--b--", "--b\r\nbroken\r\n\r\nx\r\n--b--", "--b\r\n", "--b--", "", strings.Repeat(part("name=a", ""), 21) + "--b--",
		"--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=0\r\n--b--", "--b\r\nContent-Disposition: form-data; name*=UTF-8''%ff\r\n\r\nx\r\n--b--",
		part(`name="`+strings.Repeat("n", 500)+`"`, strings.Repeat("x", maxField+1)) + "--b--",
	} {
		f.Add(boundary, []byte(body))
	}
	for _, kind := range []string{"", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=b", "application/json", "multipart/form-data; boundary=\"b\r\n\"", "multipart/form-data; boundary=b; boundary=c"} {
		f.Add(kind, []byte(part(`name="file"`, "x")+"--b--"))
	}
	s := &Server{config: Config{MediaMaxBytes: 4096}, limits: defaultLimits}
	testfuzz.Run(f, func(t *testing.T, kind string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/v1/media", bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		files := 0
		fields, err := s.readMultipart(httptest.NewRecorder(), r, "file", "mediaBase64", func(name string, part *multipart.Part) error {
			files++
			if said := cleanName(part.FileName()); len(said) > 255 || !utf8.ValidString(said) {
				t.Errorf("the file is called %q", said)
			}
			_, err := io.Copy(io.Discard, part)
			return err
		})
		if err != nil {
			refusedWell(t, string(body), err)
			return
		}
		if len(fields)+files > maxParts || len(body) > 4096+maxParts*maxField {
			t.Errorf("%d fields and %d files of %d bytes", len(fields), files, len(body))
		}
		for name, value := range fields {
			if name == "" || len(value) > maxField && name != "mediaBase64" || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				t.Errorf("%q is %q", name, value)
			}
		}
	})
}

// FuzzRequests makes requests with one odd value, where a value goes: the cursor of each list, headers, forms. The answer is never a 500, and one that
// the document has.
func FuzzRequests(f *testing.F) {
	server := setup(f, func(c *Config) { c.MediaMaxBytes = 1 << 20; c.RateLimit = 0 })
	server.session("sales")
	var hook struct{ ID string }
	server.must(201, &hook, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.7/"})
	id := uuid.MustParse("01932f0c-5d6b-7a10-b1f4-d0c4a8e2f001").String()
	fill := strings.NewReplacer("{sessionId}", "sales", "{endpointId}", hook.ID, "{chatId}", "5491123456789", "{messageId}", "msg_"+strings.ReplaceAll(id, "-", ""))
	var lists []string
	for path, item := range server.huma.OpenAPI().Paths {
		if item.Get == nil || strings.HasPrefix(path, "/v1/events/") {
			continue // streams wait
		}
		for _, p := range item.Get.Parameters {
			if p.Name == "cursor" || p.Name == "after" {
				lists = append(lists, fill.Replace(path)+"?"+p.Name+"=")
			}
		}
	}
	slices.Sort(lists)
	if len(lists) < 8 {
		f.Fatalf("the lists are %q", lists)
	}
	at := time.UnixMicro(1700000000000000)
	cursors := []string{
		chatCursorOf(db.ChatView{ID: "1203@g.us", LastMessageAt: &at}), base64.RawURLEncoding.EncodeToString([]byte("1700000000000000.sales")), "evt_" + strings.ReplaceAll(id, "-", ""), "5491123456789@s.whatsapp.net",
		base64.RawURLEncoding.EncodeToString([]byte(`{"at":"0000-01-01T00:00:00Z","id":"x"}`)),
	}
	for i := range lists {
		f.Add(byte(i), cursors[i%len(cursors)])
	}
	for i, value := range []string{"wait=0", "sessionId=other&number=5491123456789&message=hola", "webhookUrl=https://203.0.113.7/", "Bearer x", "203.0.113.1, 10.0.0.1", "--b\r\nContent-Disposition: form-data; name=file\r\n\r\nx\r\n--b--", "sessionId=%zz;number"} {
		f.Add(byte(200+i), value)
	}
	testfuzz.Run(f, func(t *testing.T, where byte, value string) {
		g := *server
		g.t = t
		header := strings.Map(func(r rune) rune { // what net/http's client sends at all, and as it sends it
			if r < ' ' || r > '~' {
				return '?'
			}
			return r
		}, strings.TrimSpace(value))
		header = strings.TrimSpace(header)
		var a answer
		switch {
		case int(where) < len(lists):
			a = g.do("GET", lists[where]+url.QueryEscape(value), nil)
		case where%6 == 0:
			a = g.do("POST", "/v1/sessions/sales/messages", `{"to":"5491123456789","content":{"type":"text","text":"x"}}`, "Prefer", strings.ReplaceAll(header, "wait", "hold"), "Idempotency-Key", header)
		case where%6 == 1:
			a = g.form("/api/send-message", strings.ReplaceAll(value, "sales", "other")) // what is taken is waited for
		case where%6 == 2:
			a = g.do("GET", "/v1/me", nil, "Accept", header, "X-Request-Id", header)
		case where%6 == 3:
			a = g.do("GET", "/v1/me", nil, "X-Forwarded-For", header, "Forwarded", header, "X-Real-Ip", header)
		case where%6 == 4:
			a = g.do("POST", "/v1/media", value, "Content-Type", "multipart/form-data; boundary=b")
		default:
			a = g.form("/webhook/config", value)
		}
		if a.StatusCode >= 500 && a.StatusCode != 503 {
			t.Errorf("%d, %q: %d %s", where, value, a.StatusCode, a.body)
		}
		if a.StatusCode >= 400 && (len(a.body) > 4096 || !json.Valid(a.body)) {
			t.Errorf("%d, %q: %d, and %d bytes: %.300s", where, value, a.StatusCode, len(a.body), a.body)
		}
	})
}

// form sends a simple form, which the document does not have.
func (f *fixture) form(path, body string) answer {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.base+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("X-API-Key", testKey)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.send(r)
}
