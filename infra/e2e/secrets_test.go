package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testproxy"
)

// A secret is looked for in everything that comes out, in all the forms that it may have there.
type secret struct {
	name  string
	forms []string
}

// secretText is a secret that is text.
func secretText(name, text string) secret {
	return secret{name, []string{text, url.QueryEscape(text), hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text))}}
}

// secretBytes is one that is bytes: as PostgreSQL, JSON and WhatsApp's own structures show them, and within bytes that are shown so.
func secretBytes(name string, raw []byte) secret {
	s := secret{name: name}
	for _, text := range []string{hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw)} {
		s.forms = append(s.forms, text, hex.EncodeToString([]byte(text)))
	}
	return s
}

// in says in which form a text holds the secret; "" when it does not.
func (s secret) in(text string) string {
	for _, form := range s.forms {
		if strings.Contains(text, form) {
			return form
		}
	}
	return ""
}

// absent fails the test where a text holds a secret, but for those that belong there.
func absent(t *testing.T, where, text string, secrets []secret, but ...string) {
	t.Helper()
	for _, s := range secrets {
		if form := s.in(text); form != "" && !slices.Contains(but, s.name) {
			at := strings.Index(text, form)
			t.Errorf("%s holds the %s: …%.200s", where, s.name, text[max(0, at-80):])
		}
	}
}

// dumped is every row of every table as text, bytes in hex, as pg_dump has them.
func dumped(t *testing.T, dsn string, schemas ...string) map[string]string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, err := conn.Query(t.Context(), `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)' AND (cardinality($1::text[]) = 0 OR n.nspname = ANY ($1))`, append([]string{}, schemas...))
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		rows, err := conn.Query(t.Context(), "SELECT t::text FROM "+pgx.Identifier(strings.SplitN(name, ".", 2)).Sanitize()+" t")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = strings.Join(lines, "\n")
	}
	return all
}

// hooked keeps the bodies that a webhook gets.
type hooked struct {
	mu     sync.Mutex
	bodies bytes.Buffer
	tokens int // requests that had the header of one's own
}

func (h *hooked) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bodies.String()
}

func newHooked(t *testing.T, token string) (*hooked, string) {
	t.Helper()
	h := &hooked{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies.Write(append(body, '\n'))
		if r.Header.Get("Authorization") == "Bearer "+token {
			h.tokens++
		}
	}))
	t.Cleanup(server.Close)
	return h, server.URL
}

// signals reads the private keys of a linked device, and what else its store keeps for itself alone.
func signals(t *testing.T, dsn, jid string, keys *seal.Keys) (secrets []secret) {
	t.Helper()
	ctx := t.Context()
	c, err := signalstore.Open(ctx, signalstore.Config{DSN: dsn, Schema: "whatsmeow", MaxConns: 2, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	parsed, err := types.ParseJID(jid)
	if err != nil {
		t.Fatal(err)
	}
	device, err := c.Device(ctx, parsed, signalstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	list := func(query string) []string {
		rows, err := conn.Query(ctx, query, jid)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %d rows, %v", query, len(all), err)
		}
		return all
	}
	add := func(name string, raw []byte, err error) {
		if err != nil || len(raw) < 16 {
			t.Fatalf("read %s: %d bytes, %v", name, len(raw), err)
		}
		secrets = append(secrets, secretBytes(name, raw[:min(len(raw), 64)]))
	}
	add("noise key", device.NoiseKey.Priv[:], nil)
	add("identity key", device.IdentityKey.Priv[:], nil)
	add("signed prekey", device.SignedPreKey.Priv[:], nil)
	for _, id := range list(`SELECT key_id::text FROM whatsmeow.whatsmeow_pre_keys WHERE jid = $1 ORDER BY key_id DESC LIMIT 5`) {
		var n uint32
		if _, err := fmt.Sscan(id, &n); err != nil {
			t.Fatal(err)
		}
		key, err := device.PreKeys.GetPreKey(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		add("prekey "+id, key.Priv[:], nil)
	}
	sessions, err := device.Sessions.GetManySessions(ctx, list(`SELECT their_id FROM whatsmeow.whatsmeow_sessions WHERE our_jid = $1`))
	for address, session := range sessions {
		add("Signal session with "+address, session, err)
	}
	for _, row := range list(`SELECT chat_id || ' ' || sender_id FROM whatsmeow.whatsmeow_sender_keys WHERE our_jid = $1`) {
		part := strings.Fields(row)
		key, err := device.SenderKeys.GetSenderKey(ctx, part[0], part[1])
		add("sender key", key, err)
	}
	synced, err := device.AppStateKeys.GetAllAppStateSyncKeys(ctx)
	if len(synced) == 0 {
		t.Fatalf("there is no key of the account's state: %v", err)
	}
	for _, key := range synced {
		add("key of the account's state", key.Data, err)
	}
	for _, row := range list(`SELECT chat_jid || ' ' || sender_jid || ' ' || message_id FROM whatsmeow.whatsmeow_message_secrets WHERE our_jid = $1`) {
		part := strings.Fields(row)
		chat, chatErr := types.ParseJID(part[0])
		sender, senderErr := types.ParseJID(part[1])
		if chatErr != nil || senderErr != nil {
			t.Fatal(row)
		}
		value, _, err := device.MsgSecrets.GetMessageSecret(ctx, chat, sender, part[2])
		add("secret of a message", value, err)
	}
	for _, row := range list(`SELECT chat_jid || ' ' || message_id FROM whatsmeow.whatsmeow_retry_buffer WHERE our_jid = $1`) {
		part := strings.Fields(row)
		chat, err := types.ParseJID(part[0])
		if err != nil {
			t.Fatal(row)
		}
		_, plain, err := device.EventBuffer.GetOutgoingEvent(ctx, chat, chat, part[1])
		add("message kept for retries", plain, err)
	}
	// In the row of the device alone: the QR code, which is an event, holds it too.
	secrets = append(secrets, secret{"ADV secret", []string{`\x` + hex.EncodeToString(device.AdvSecretKey)}})
	var media []struct {
		ID  uuid.UUID
		Key []byte
	}
	rows, err := conn.Query(ctx, `SELECT id, media_key FROM media WHERE media_key IS NOT NULL`)
	if err == nil {
		media, err = pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			ID  uuid.UUID
			Key []byte
		}])
	}
	if err != nil || len(media) < 2 {
		t.Fatalf("%d media with a key, %v", len(media), err)
	}
	for _, m := range media {
		key, err := keys.Open(m.Key, seal.MediaKey.At(m.ID.String()))
		add("key of media", key, err)
	}
	return secrets
}

// TestNoSecretComesOut plants secrets that can be recognised in a gateway of one process for each role, has it linked, send and receive, and then
// looks for them, and for the keys that came about, in all that it has written, said and stored. Then the key is changed while messages come and go.
//
// Feature: Credentials sealed at rest, with a key that rotates
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	planted := map[string]string{}
	plant := func(name string) string {
		planted[name] = "planted" + strings.ReplaceAll(uuid.NewString(), "-", "")
		return planted[name]
	}
	address, err := url.Parse(s.pg.DSN())
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(address.User.Username(), plant("database password"))
	dsn, first, second := address.String(), strings.Repeat("1f2e3d4c", 8), strings.Repeat("a9b8c7d6", 8)
	s.api.key = plant("API key")
	s.env = append(s.env, "DATABASE_URL="+dsn, "API_KEY="+s.api.key, "ENCRYPTION_KEY="+first, "LOG_LEVEL=debug")
	s.startAll(t)

	token := plant("header of an endpoint")
	hook, hookURL := newHooked(t, token)
	whsec := func(name string) string {
		raw := plant(name)[:33]
		planted[name] = base64.StdEncoding.EncodeToString([]byte(raw))
		return "whsec_" + planted[name]
	}
	var endpoint struct{ ID string }
	create := map[string]any{"url": hookURL, "secret": whsec("first webhook secret"), "headers": map[string]string{"Authorization": "Bearer " + token}}
	s.api.must(t, "POST", "/v1/webhook-endpoints", create, &endpoint, "Idempotency-Key", "create")
	endpointPath := "/v1/webhook-endpoints/" + endpoint.ID
	rotated := map[string]any{"secret": whsec("second webhook secret"), "overlapHours": 24}
	s.api.must(t, "POST", endpointPath+"/secret/rotate", rotated, nil, "Idempotency-Key", "rotate")
	proxy := testproxy.Open(t, "planteduser", plant("password of a proxy"))
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": business, "name": "Business"}, nil)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(1), "name": "Customer"}, nil)
	s.api.must(t, "POST", "/v1/sessions", map[string]any{"id": "shop", "settings": map[string]any{"proxy": proxy.URL("socks5")}}, nil, "Idempotency-Key", "session")
	scan(t, s.api, s.sandbox, "shop", business)
	if len(proxy.Seen()) == 0 {
		t.Fatal("nothing goes through the proxy, whose password was sealed")
	}
	converse(t, s.api, s.sandbox, "shop", business, customer(1), "first")
	s.sendPhotos(t)
	eventually(t, 30*time.Second, "the webhook to have all of it", func() error {
		if text := hook.text(); !strings.Contains(text, "first in") || !strings.Contains(text, "photo out") || !strings.Contains(text, "photo in") {
			return fmt.Errorf("it has %d bytes", len(text))
		}
		return nil
	})
	if hook.tokens == 0 {
		t.Error("the header of the endpoint's own does not come any more")
	}

	secrets := []secret{secretText("S3 secret", s.s3.Config.SecretKey), secretText("user of a proxy", "planteduser"), secretText("encryption key", first)}
	raw, err := hex.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, secretBytes("encryption key", raw))
	for name, text := range planted {
		secrets = append(secrets, secretText(name, text))
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil && strings.HasSuffix(name, "webhook secret") {
			secrets = append(secrets, secretText(name, string(raw)))
		}
	}
	keys, err := seal.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	s.checkDatabase(t, dsn, keys, secrets, "first in")
	s.checkOutput(t, endpointPath, hook, secrets)
	s.refuseWrongKeys(t, dsn, secrets)

	// The other key, while messages come and go.
	restart := func(setting string) {
		s.env = append(s.env, "ENCRYPTION_KEY="+setting)
		for _, role := range []string{"connector", "dispatcher", "api"} {
			s.procs[role].stop(t)
		}
		s.startAll(t)
		awaitState(t, s.api, "shop", "connected", 30*time.Second)
	}
	restart(second + "," + first)
	end := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-tick.C:
				_, _ = s.api.do("POST", "/v1/sessions/shop/messages", map[string]any{"to": customer(1), "content": map[string]string{"type": "text", "text": fmt.Sprintf("traffic %d", i)}}, nil)
			}
		}
	})
	said := done(t, map[string]string{"DATABASE_URL": dsn, "ENCRYPTION_KEY": second + "," + first}, "rekey")
	close(end)
	traffic.Wait()
	if !strings.Contains(said, "nothing is sealed any more under "+keys.ID()) {
		t.Errorf("rekey says\n%s", said)
	}
	absent(t, "what rekey says", said, secrets)
	restart(second)
	converse(t, s.api, s.sandbox, "shop", business, customer(1), "second")
	if keys, err = seal.Parse(second); err != nil {
		t.Fatal(err)
	}
	s.checkDatabase(t, dsn, keys, append(secrets, secretText("second encryption key", second)), "second in")
	s.checkOutput(t, endpointPath, hook, secrets)
}

// sendPhotos sends a file in each direction, so that media have keys, and messages in a group, so that there are sender keys.
func (s *stack) sendPhotos(t *testing.T) {
	t.Helper()
	file := map[string]any{"base64": base64.StdEncoding.EncodeToString([]byte("a file, out")), "mimetype": "text/plain", "fileName": "a.txt"}
	s.api.must(t, "POST", "/v1/sessions/shop/messages", map[string]any{"to": customer(1), "content": map[string]any{"type": "document", "media": file, "caption": "photo out"}}, nil)
	s.sandbox.must(t, "POST", "/phones/"+customer(1)+"/messages", map[string]any{"to": business, "type": "document", "mimetype": "text/plain", "fileName": "b.txt",
		"data": base64.StdEncoding.EncodeToString([]byte("a file, in")), "caption": "photo in"}, nil)
	eventually(t, 30*time.Second, "both files to be there", func() error {
		if n := s.count(t, `SELECT count(*)::int FROM media WHERE status = 'ready' AND media_key IS NOT NULL`); n < 2 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	var group struct{ JID string }
	s.sandbox.must(t, "POST", "/phones/"+customer(1)+"/groups", map[string]any{"subject": "a group", "participants": []string{business}}, &group)
	s.sandbox.must(t, "POST", "/phones/"+customer(1)+"/messages", map[string]string{"to": group.JID, "type": "text", "text": "group in"}, nil)
	s.api.must(t, "POST", "/v1/sessions/shop/messages", map[string]any{"to": group.JID, "content": map[string]string{"type": "text", "text": "group out"}}, nil)
	eventually(t, 30*time.Second, "sender keys of both", func() error {
		if n := s.count(t, `SELECT count(*)::int FROM whatsmeow.whatsmeow_sender_keys`); n < 2 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

// checkDatabase looks for secrets in a dump of the database, in which it must find what is no secret.
func (s *stack) checkDatabase(t *testing.T, dsn string, keys *seal.Keys, secrets []secret, plain string) {
	t.Helper()
	for table, text := range dumped(t, dsn) {
		absent(t, "the table "+table, text, secrets)
	}
	var jid string
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), `SELECT jid FROM sessions WHERE id = 'shop'`).Scan(&jid); err != nil {
		t.Fatal(err)
	}
	own := signals(t, dsn, jid, keys)
	ours := dumped(t, dsn, "public", "whatsmeow") // the sandbox's own are those of simulated phones
	found := map[string]bool{}
	for table, text := range ours {
		absent(t, "the table "+table, text, own)
		found[table] = secretText("text of a message", plain).in(text) != ""
	}
	if !found["public.messages"] || len(ours) < 40 {
		t.Errorf("a text that is not sealed is found in %v", found)
	}
	if !slices.ContainsFunc([]string{"public.events_default"}, func(table string) bool { return found[table] }) {
		for table, is := range found {
			if strings.HasPrefix(table, "public.events") && is {
				return
			}
		}
		t.Error("a text within bytes is not found")
	}
}

// checkOutput looks for secrets in logs, metrics, answers, errors and what webhooks get.
func (s *stack) checkOutput(t *testing.T, endpointPath string, hook *hooked, secrets []secret) {
	t.Helper()
	metrics := []string{s.api.base}
	for name, p := range s.procs {
		log := p.log.String()
		absent(t, "the log of "+name, log, secrets)
		for _, m := range regexp.MustCompile(`"health and metrics".*"address":"([^"]+)"`).FindAllStringSubmatch(log, -1) {
			metrics = append(metrics, "http://"+m[1])
		}
	}
	if len(metrics) < 3 {
		t.Errorf("metrics are at %v alone", metrics)
	}
	for _, base := range metrics {
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			_, text := s.get(t, base+path, "")
			absent(t, "GET "+base+path, text, secrets)
		}
	}
	absent(t, "what the webhook got", hook.text(), secrets)

	var document struct{ Paths map[string]map[string]any }
	_, text := s.get(t, s.api.base+"/openapi.json", "")
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	fill := map[string]string{"{sessionId}": "shop", "{endpointId}": strings.TrimPrefix(endpointPath, "/v1/webhook-endpoints/"), "{chatId}": customer(1) + "@s.whatsapp.net",
		"{contactId}": customer(1) + "@s.whatsapp.net"}
	for name, at := range map[string]string{"{messageId}": "/v1/sessions/shop/messages", "{eventId}": "/v1/events", "{deliveryId}": "/v1/webhook-deliveries"} {
		var page struct{ Data []struct{ ID string } }
		if _, err := s.api.do("GET", at, nil, &page); err == nil && len(page.Data) > 0 {
			fill[name] = page.Data[0].ID
		}
	}
	answered := 0
	for path, operations := range document.Paths {
		if operations["get"] == nil || strings.Contains(path, "/stream") || strings.HasSuffix(path, "/ws") || strings.HasSuffix(path, "/qr") {
			continue
		}
		for name, value := range fill {
			path = strings.ReplaceAll(path, name, value)
		}
		var but []string
		switch path {
		case endpointPath + "/secret":
			but = []string{"second webhook secret"}
		case "/v1/webhook-endpoints", endpointPath: // who may see endpoints sees their headers
			but = []string{"header of an endpoint"}
		}
		for _, more := range []string{"", "?limit=200&raw=true", "?raw=true", "?limit=x"} {
			status, text := s.get(t, s.api.base+path+more, s.api.key)
			if status == 200 {
				answered++
			}
			absent(t, "GET "+path+more, text, secrets, but...)
		}
		_, text := s.get(t, s.api.base+path, s.api.key+"x")
		absent(t, "GET "+path+" with another key", text, secrets)
	}
	if answered < 30 {
		t.Errorf("only %d GETs were answered", answered)
	}
	for _, body := range []string{`{`, `{"secret":"x"}`, `{"settings":{"proxy":"x"}}`} {
		for _, at := range []string{"POST " + endpointPath + "/secret/rotate", "PATCH /v1/sessions/shop", "POST /v1/webhook-endpoints", "POST /v1/sessions"} {
			method, path, _ := strings.Cut(at, " ")
			_, err := s.api.do(method, path, json.RawMessage(body), nil)
			absent(t, at, fmt.Sprint(err), secrets)
		}
	}
	var repeated struct{ Secret string }
	s.api.must(t, "GET", endpointPath+"/secret", nil, &repeated)
	if repeated.Secret == "" {
		t.Error("the endpoint's secret cannot be read any more")
	}
}

func (s *stack) get(t *testing.T, address, key string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("X-API-Key", key)
	}
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// refuseWrongKeys starts roles and commands with other keys than the database's.
func (s *stack) refuseWrongKeys(t *testing.T, dsn string, secrets []secret) {
	t.Helper()
	variables := map[string]string{"BACKUP_PASSPHRASE": "five words at random here", "BACKUP_FILE": "-"}
	for _, v := range s.env {
		name, value, _ := strings.Cut(v, "=")
		variables[name] = value
	}
	variables["PORT"], variables["DATABASE_URL"] = "0", dsn
	for setting, want := range map[string]string{"": "ENCRYPTION_KEY is not set, and values", strings.Repeat("00", 32): "ENCRYPTION_KEY is not the key of this database"} {
		variables["ENCRYPTION_KEY"] = setting
		for _, role := range []string{"api", "connector", "dispatcher", "backup"} {
			status, out, errOut := chasqui(t, variables, role)
			if status != 1 || !strings.Contains(errOut, want) {
				t.Errorf("%s with the key %q ends with %d:\n%s", role, setting, status, errOut)
			}
			absent(t, "what "+role+" says", out+errOut, secrets)
		}
	}
	variables["ENCRYPTION_KEY"] = strings.Repeat("1f2e3d4c", 8)[:62]
	if status, _, errOut := chasqui(t, variables, "api"); status != 2 || strings.Contains(errOut, "1f2e3d4c") || !strings.Contains(errOut, "ENCRYPTION_KEY: use 32 bytes") {
		t.Errorf("with half a key: %d, %s", status, errOut)
	}
}
