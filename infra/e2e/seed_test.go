package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The examples of the original's README, as they are written there.
const (
	seedKey   = `X-API-Key: whatsapp-api-key-2024`
	seedStart = `POST /api/start-session
Content-Type: application/json

{
  "sessionId": "mi-sesion-01"
}`
	seedQR       = `GET /api/qr/{sessionId}`
	seedStatus   = `GET /api/status/{sessionId}`
	seedSessions = `GET /api/sessions`
	seedSend     = `POST /api/send-message
Content-Type: application/json

{
  "sessionId": "mi-sesion-01",
  "number": "5491123456789",
  "message": "¡Hola desde la API!"
}`
	seedMedia = `POST /api/send-media
Content-Type: multipart/form-data

sessionId: mi-sesion-01
number: 5491123456789
caption: Descripción del archivo
media: [archivo] // o mediaUrl / mediaBase64`
	seedMessages = `GET /api/messages/{sessionId}?limit=50`
	seedLogout   = `POST /api/logout/{sessionId}`
	seedWebhook  = `# Configurar webhook
POST /webhook/config
Content-Type: application/json

{
  "webhookUrl": "https://tu-servidor.com/webhook"
}`
	seedInfo   = `curl http://localhost:3000/info`
	seedHealth = `docker compose exec whatsapp-api curl http://localhost:3000/api/health`
	// seedHook is what the webhook gets.
	seedHook = `{
  "id": "mensaje_id",
  "sessionId": "mi-sesion-01",
  "from": "5491123456789@c.us",
  "body": "Texto del mensaje",
  "type": "chat",
  "timestamp": 1640995200,
  "contact": {
    "name": "Juan Pérez",
    "number": "5491123456789"
  },
  "media": {
    "mimetype": "image/jpeg",
    "data": "base64_data",
    "filename": "imagen.jpg"
  }
}`
)

const (
	seedSession  = "mi-sesion-01"
	seedContact  = "5491123456789" // Juan Pérez
	seedOwnPhone = "5491100000007"
)

// seedClient speaks as the README says.
type seedClient struct {
	t    *testing.T
	base string
}

// run makes the request of an example; source takes the place of its line "media: ...", as a field's name and value, or a file's bytes.
func (c seedClient) run(example string, source ...string) map[string]any {
	c.t.Helper()
	for strings.HasPrefix(example, "#") {
		_, example, _ = strings.Cut(example, "\n")
	}
	head, body, _ := strings.Cut(example, "\n\n")
	lines := strings.Split(head, "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	path = strings.ReplaceAll(path, "{sessionId}", seedSession)
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	contentType := ""
	for _, line := range lines[1:] {
		contentType = strings.TrimPrefix(line, "Content-Type: ")
	}
	var sent io.Reader = strings.NewReader(body)
	if contentType == "multipart/form-data" {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		for line := range strings.SplitSeq(body, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			if name != "media" {
				_ = w.WriteField(name, value) // to memory
				continue
			}
			if source[0] != "media" {
				_ = w.WriteField(source[0], source[1])
				continue
			}
			part, _ := w.CreateFormFile("media", "imagen.png") // application/octet-stream, as simple clients say
			_, _ = io.WriteString(part, source[1])
		}
		_ = w.Close()
		sent, contentType = &form, w.FormDataContentType()
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, sent)
	if err != nil {
		c.t.Fatal(err)
	}
	name, key, _ := strings.Cut(seedKey, ": ")
	req.Header.Set(name, key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := httpClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil || res.StatusCode != http.StatusOK || answer["success"] != true {
		c.t.Fatalf("%s\n%d %s", example, res.StatusCode, raw)
	}
	if res.Header.Get("Deprecation") != "true" || res.Header.Get("RateLimit") == "" {
		c.t.Errorf("%s: headers %v", path, res.Header)
	}
	return answer
}

// curl runs a line of the README's against the server under test.
func (c seedClient) curl(line string) map[string]any {
	c.t.Helper()
	_, line, _ = strings.Cut(line, "curl ")
	out, err := exec.CommandContext(c.t.Context(), "curl", "-sS", "--fail", strings.ReplaceAll(line, "http://localhost:3000", c.base)).CombinedOutput()
	var answer map[string]any
	if err != nil || json.Unmarshal(out, &answer) != nil {
		c.t.Fatalf("curl %s: %v %s", line, err, out)
	}
	return answer
}

// A seedReceiver is a webhook of the original's, which knows nothing but its messages.
type seedReceiver struct {
	*httptest.Server
	mu   sync.Mutex
	hook *standardwebhooks.Webhook
	got  map[string][]byte // by message id
	bad  []string
}

func newSeedReceiver(t *testing.T) *seedReceiver {
	t.Helper()
	r := &seedReceiver{got: map[string][]byte{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(io.LimitReader(req.Body, 16<<20))
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		var m struct{ ID string }
		if err := errors.Join(r.hook.Verify(body, req.Header), json.Unmarshal(body, &m)); err != nil {
			r.bad = append(r.bad, err.Error())
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.got[m.ID] = body
	}))
	t.Cleanup(r.Close)
	return r
}

// message waits for the webhook of a message.
func (r *seedReceiver) message(t *testing.T, id string) (m map[string]any) {
	t.Helper()
	eventually(t, 45*time.Second, "the webhook of "+id, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.got[id] == nil {
			return fmt.Errorf("have %d others, refused %v", len(r.got), r.bad)
		}
		return json.Unmarshal(r.got[id], &m)
	})
	return m
}

// sameShape fails unless got has the members of the README's example, of the same types, and no others.
func sameShape(t *testing.T, where string, want, got map[string]any) {
	t.Helper()
	for name, w := range want {
		g, ok := got[name]
		if !ok || fmt.Sprintf("%T", g) != fmt.Sprintf("%T", w) {
			t.Errorf("%s.%s: got %T, want %T", where, name, g, w)
			continue
		}
		if inner, ok := w.(map[string]any); ok {
			sameShape(t, where+"."+name, inner, g.(map[string]any))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s.%s is not in the README", where, name)
		}
	}
}

// seenMedia is a file as a simulated phone shows it.
type seenMedia struct {
	ID, Type, Text, Caption, FileName, Mimetype, SHA256 string
	Size                                                int64
}

// TestSeed drives every example of the original's README as it is written there, against the program as a newcomer starts it.
//
// Feature: Every route of the original
func TestSeed(t *testing.T) {
	_, key, _ := strings.Cut(seedKey, ": ")
	t.Setenv("API_KEY", key)
	_, r := startDev(t, openDir(t), binary)
	c, sandbox := seedClient{t, r.URL}, client{base: r.SandboxURL}
	modern := client{base: r.URL, key: key}
	sandbox.must(t, "POST", "/phones", map[string]string{"number": seedContact, "name": "Juan Pérez"}, nil)
	sandbox.must(t, "POST", "/phones", map[string]string{"number": seedOwnPhone, "name": "Yo"}, nil)

	if a := c.run(seedStart); a["sessionId"] != seedSession || a["status"] == "" || a["message"] == "" {
		t.Errorf("start-session: %v", a)
	}
	qr := c.run(seedQR)
	if !strings.HasPrefix(qr["qr"].(string), "data:image/png;base64,") || qr["expiresAt"] == "" {
		t.Errorf("qr: %v", qr)
	}
	sandbox.must(t, "POST", "/phones/"+seedOwnPhone+"/scan", map[string]any{"qr": qr["qrText"]}, nil)
	eventually(t, 30*time.Second, "the session to be connected", func() error {
		if a := c.run(seedStatus); a["connected"] != true || a["phone"] != seedOwnPhone {
			return fmt.Errorf("it is %v", a)
		}
		return nil
	})
	if status, err := modern.do("GET", "/api/qr/"+seedSession, nil, nil); status != http.StatusConflict || !strings.Contains(err.Error(), `"success":false`) {
		t.Errorf("the QR of a connected session: %v", err)
	}
	found := false
	for _, s := range c.run(seedSessions)["sessions"].([]any) {
		found = found || s.(map[string]any)["sessionId"] == seedSession && s.(map[string]any)["connected"] == true
	}
	if !found {
		t.Error("the session is not listed")
	}

	// Out.
	text := c.run(seedSend)
	if m := seedShown(t, sandbox, text["messageId"]); m.Text != "¡Hola desde la API!" || text["status"] != "sent" && text["status"] != "delivered" && text["status"] != "read" {
		t.Errorf("sent %v, shown %+v", text, m)
	}
	png := []byte("\x89PNG\r\n\x1a\n" + strings.Repeat("not quite a picture ", 1000))
	sum := sha256.Sum256(png)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(png)
	}))
	defer files.Close()
	for _, source := range [][]string{{"media", string(png)}, {"mediaUrl", files.URL + "/imagen.png"}, {"mediaBase64", base64.StdEncoding.EncodeToString(png)}} {
		a := c.run(seedMedia, source...)
		m := seedShown(t, sandbox, a["messageId"])
		if m.Type != "image" || m.Caption != "Descripción del archivo" || m.SHA256 != hex.EncodeToString(sum[:]) || m.Size != int64(len(png)) || m.Mimetype != "image/png" {
			t.Errorf("%s: the phone shows %+v", source[0], m)
		}
	}

	// In. The README's own address first, then one that answers.
	if a := c.run(seedWebhook); a["webhookUrl"] != "https://tu-servidor.com/webhook" {
		t.Errorf("webhook/config: %v", a)
	}
	hook := newSeedReceiver(t)
	c.run(strings.Replace(seedWebhook, "https://tu-servidor.com/webhook", hook.URL+"/webhook", 1))
	var endpoints struct {
		Data []struct{ ID, URL, Format string }
	}
	modern.must(t, "GET", "/v1/webhook-endpoints", nil, &endpoints)
	if len(endpoints.Data) != 1 || endpoints.Data[0].URL != hook.URL+"/webhook" || endpoints.Data[0].Format != "legacy" {
		t.Fatalf("endpoints: %+v", endpoints)
	}
	var secret struct{ Secret string }
	modern.must(t, "GET", "/v1/webhook-endpoints/"+endpoints.Data[0].ID+"/secret", nil, &secret)
	verifier, err := standardwebhooks.NewWebhook(secret.Secret)
	if err != nil {
		t.Fatal(err)
	}
	hook.mu.Lock()
	hook.hook = verifier
	hook.mu.Unlock()
	var want map[string]any
	if err := json.Unmarshal([]byte(seedHook), &want); err != nil {
		t.Fatal(err)
	}
	write := func(m map[string]any) map[string]any {
		t.Helper()
		var written struct{ ID string }
		m["to"] = seedOwnPhone
		sandbox.must(t, "POST", "/phones/"+seedContact+"/messages", m, &written)
		got := hook.message(t, written.ID)
		if got["from"] != want["from"] || fmt.Sprint(got["contact"]) != fmt.Sprint(want["contact"]) || got["sessionId"] != seedSession {
			t.Errorf("got %v", got)
		}
		return got
	}
	withMedia := want
	plain := map[string]any{}
	for name, member := range want {
		if name != "media" {
			plain[name] = member
		}
	}
	got := write(map[string]any{"type": "text", "text": "Texto del mensaje"})
	sameShape(t, "webhook", plain, got)
	if got["body"] != want["body"] || got["type"] != "chat" {
		t.Errorf("got %v", got)
	}
	got = write(map[string]any{"type": "document", "data": base64.StdEncoding.EncodeToString(png), "mimetype": "image/jpeg", "caption": "Texto", "fileName": "imagen.jpg"})
	sameShape(t, "webhook", withMedia, got)
	media := got["media"].(map[string]any)
	if data, _ := base64.StdEncoding.DecodeString(media["data"].(string)); !bytes.Equal(data, png) || media["mimetype"] != "image/jpeg" || media["filename"] != "imagen.jpg" || got["body"] != "Texto" || got["type"] != "document" {
		t.Errorf("the file came otherwise: %.300v", got)
	}
	// Above 5 MB it is named by its URL.
	large := make([]byte, 6<<20)
	_, _ = rand.NewChaCha8([32]byte{'l'}).Read(large) // never fails
	got = write(map[string]any{"type": "document", "data": base64.StdEncoding.EncodeToString(large), "mimetype": "application/zip", "fileName": "grande.zip"})
	media = got["media"].(map[string]any)
	if media["data"] != nil {
		t.Fatal("6 MiB stand in the webhook")
	}
	if fetched := seedFetch(t, media["url"].(string), key); !bytes.Equal(fetched, large) {
		t.Errorf("%d bytes at the URL, not those that were sent", len(fetched))
	}

	list := c.run(seedMessages)["messages"].([]any)
	if len(list) != 7 || list[0].(map[string]any)["fromMe"] != false || list[6].(map[string]any)["fromMe"] != true {
		t.Errorf("%d messages: %.1000v", len(list), list)
	}
	if a := c.curl(seedInfo); a["name"] != "chasqui" || a["version"] == "" || a["sessions"].(map[string]any)["connected"].(float64) < 1 {
		t.Errorf("info: %v", a)
	}
	if a := c.curl(seedHealth); a["status"] != "ok" || a["timestamp"] == "" {
		t.Errorf("health: %v", a)
	}
	if a := c.run(seedLogout); a["message"] == "" {
		t.Errorf("logout: %v", a)
	}
	eventually(t, 30*time.Second, "the session to be logged out", func() error {
		if a := c.run(seedStatus); a["status"] != "logged_out" {
			return fmt.Errorf("it is %v", a)
		}
		return nil
	})
}

// seedShown waits for a message at the contact's phone.
func seedShown(t *testing.T, sandbox client, id any) (m seenMedia) {
	t.Helper()
	eventually(t, 30*time.Second, fmt.Sprintf("message %v at the phone", id), func() error {
		var page struct{ Messages []seenMedia }
		if _, err := sandbox.do("GET", "/phones/"+seedContact+"/messages?after=0", nil, &page); err != nil {
			return err
		}
		for _, m = range page.Messages {
			if m.ID == id {
				return nil
			}
		}
		return fmt.Errorf("%d others", len(page.Messages))
	})
	return m
}

func seedFetch(t *testing.T, url, key string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v: %.300s", res.StatusCode, err, raw)
	}
	return raw
}
