package keyring

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testpoll"
)

func TestMain(m *testing.M) { testdb.Run(m) }

var older, newer = strings.Repeat("1a", 32), strings.Repeat("2b", 32)

// setup returns a migrated database.
func setup(t *testing.T) (*pgxpool.Pool, Config) {
	t.Helper()
	c := Config{DSN: testdb.DSN(t), SignalSchema: "whatsmeow"}
	devices, err := signalstore.Open(t.Context(), signalstore.Config{DSN: c.DSN, Schema: c.SignalSchema, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer devices.Close()
	if err := devices.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), c.DSN, postgres.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, c
}

func keysOf(t *testing.T, text string) *seal.Keys {
	t.Helper()
	if text == "" {
		return nil
	}
	k, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func exec(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// TestStartsOnlyWithTheRightKeys goes through the starts of processes on one database, one after the other.
func TestStartsOnlyWithTheRightKeys(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	oldID, newID := keysOf(t, older).ID(), keysOf(t, newer).ID()
	for _, start := range []struct{ name, setting, refused string }{
		{"nothing is sealed yet", "", ""},
		{"who only opens notes nothing", "plain," + newer, ""},
		{"still nothing", "", ""},
		{"the first key", older, ""},
		{"the same again", older, ""},
		{"no key any more", "", "ENCRYPTION_KEY is not set, and values in this database are sealed under the key " + oldID},
		{"another key", newer, "ENCRYPTION_KEY is not the key of this database, in which values are sealed under the key " + oldID},
		{"the next one made known", older + "," + newer, ""},
		{"the old one alone, as long as the next has sealed nothing", older, ""},
		{"the next one first", newer + "," + older, ""},
		{"a process that was left behind", older, "sealed under the key " + newID},
		{"the next one alone, too early", newer, "sealed under the key " + oldID},
		{"plain again", "plain," + older + "," + newer, ""},
	} {
		err := Check(t.Context(), pool, keysOf(t, start.setting))
		if (err == nil) != (start.refused == "") || err != nil && !strings.Contains(err.Error(), start.refused) {
			t.Errorf("%s: %v, want %q", start.name, err, start.refused)
		}
		if err != nil && (strings.Contains(err.Error(), "1a1a") || strings.Contains(err.Error(), "2b2b")) {
			t.Errorf("%s: the error holds a key: %v", start.name, err)
		}
	}
	exec(t, pool, `UPDATE encryption_keys SET check_value = 'chasqui'::bytea || check_value WHERE id = $1`, oldID)
	if err := Check(t.Context(), pool, keysOf(t, newer+","+older)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("with a damaged check value: %v", err)
	}
}

// TestTwoFirstKeysAreNotBothTaken starts a process while another, with another key, is noting its own.
func TestTwoFirstKeysAreNotBothTaken(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if err := CheckIn(t.Context(), tx, keysOf(t, older)); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { second <- Check(context.Background(), pool, keysOf(t, newer)) }()
	err = testpoll.Until(20*time.Second, func() error {
		var waits bool
		if err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits); err != nil || waits {
			return err
		}
		if len(second) > 0 {
			return nil
		}
		return errors.New("it neither waits nor ends")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err == nil || !strings.Contains(err.Error(), "is not the key of this database") {
		t.Errorf("the second key: %v", err)
	}
}

const device = "111:1@s.whatsapp.net"

// fill puts a value into every place, sealed with keys, and more rows than a page has into one of them. It returns what each opens to.
func fill(t *testing.T, pool *pgxpool.Pool, keys *seal.Keys) map[string]string {
	t.Helper()
	ctx := t.Context()
	want := map[string]string{}
	bytesOf := func(p seal.Place, identity ...string) []byte {
		value := fmt.Sprintf("%-32s", p.Column+" "+identity[len(identity)-1])[:32]
		want[p.At(identity...)] = value
		return keys.Seal([]byte(value), p.At(identity...))
	}
	jsonOf := func(p seal.Place, raw, id string) string {
		want[p.At(id)] = raw
		sealed, err := keys.SealJSON(p, []byte(raw), id)
		if err != nil {
			t.Fatal(err)
		}
		return string(sealed)
	}
	endpoint := "00000000-0000-0000-0000-0000000000aa"
	want[seal.EndpointSecret.At(endpoint)] = "whsec_1"
	exec(t, pool, `INSERT INTO webhook_endpoints (id, url, secret, headers, previous_secrets) VALUES ($1, 'https://a', $2, $3::text::jsonb, $4::text::jsonb)`, endpoint,
		keys.SealText("whsec_1", seal.EndpointSecret.At(endpoint)), jsonOf(seal.EndpointHeaders, `{"Authorization": "Bearer tok"}`, endpoint),
		jsonOf(seal.EndpointPreviousSecrets, `[{"secret":"whsec_0","until":"2026-01-02T03:04:05Z"}]`, endpoint))
	exec(t, pool, `INSERT INTO sessions (id, jid, settings) VALUES ('sales', $1, $2::text::jsonb)`, device, jsonOf(seal.SessionProxy, `{"proxy":"socks5://u:p@proxy:1080"}`, "sales"))
	exec(t, pool, `INSERT INTO idempotency_keys (key, principal, route, body_hash, response, expires_at) VALUES ('k', '\x0102', 'r', '', $1, now())`,
		bytesOf(seal.IdempotencyResponse, "0102", "k"))
	for i := range 2*pageRows + 1 {
		id := uuid.UUID{15: byte(i), 14: byte(i >> 8)}.String()
		exec(t, pool, `INSERT INTO media (id, status, mimetype, size, sha256, media_key) VALUES ($1, 'pending', '', 1, '', $2)`, id, bytesOf(seal.MediaKey, id))
	}
	exec(t, pool, `INSERT INTO media (id, status, mimetype, size, sha256) VALUES (gen_random_uuid(), 'pending', '', 1, '')`)
	exec(t, pool, `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, raw)
		VALUES (gen_random_uuid(), 'sales', 'c', 'w', 'outgoing', 'sent', 'text', '{}', now(), $1)`, bytesOf(seal.RawMessage, "sales"))
	exec(t, pool, `INSERT INTO history_parts (id, session_id, whatsapp_id, notification) VALUES (gen_random_uuid(), 'sales', 'w', $1)`, bytesOf(seal.HistoryOffer, "sales"))
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	for _, insert := range []struct {
		query string
		args  []any
	}{
		{`whatsmeow_device (jid, registration_id, noise_key, identity_key, signed_pre_key, signed_pre_key_id, signed_pre_key_sig, adv_key, adv_details, adv_account_sig, adv_account_sig_key, adv_device_sig)
			VALUES ($1, 1, $2, $3, $4, 1, decode(repeat('00', 64), 'hex'), $5, '', decode(repeat('00', 64), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 64), 'hex'))`,
			[]any{device, bytesOf(seal.NoiseKey, device), bytesOf(seal.IdentityKey, device), bytesOf(seal.SignedPreKey, device), bytesOf(seal.AdvSecret, device)}},
		{`whatsmeow_pre_keys VALUES ($1, 7, $2, false)`, []any{device, bytesOf(seal.PreKey, device, "7")}},
		{`whatsmeow_sessions VALUES ($1, 'them:0', $2)`, []any{device, bytesOf(seal.SignalSession, device)}},
		{`whatsmeow_sender_keys VALUES ($1, 'g@g.us', 'them:0', $2)`, []any{device, bytesOf(seal.SenderKey, device, "g@g.us")}},
		{`whatsmeow_app_state_sync_keys VALUES ($1, '\x01', $2, 1, '')`, []any{device, bytesOf(seal.AppStateSyncKey, device)}},
		{`whatsmeow_message_secrets VALUES ($1, 'c', 's', 'ID', $2)`, []any{device, bytesOf(seal.MessageSecret, device, "ID")}},
		{`whatsmeow_privacy_tokens (our_jid, their_jid, token, timestamp) VALUES ($1, 'them', $2, 1)`, []any{device, bytesOf(seal.PrivacyToken, device)}},
		{`whatsmeow_nct_salt VALUES ($1, $2)`, []any{device, bytesOf(seal.NCTSalt, device)}},
		{`whatsmeow_event_buffer VALUES ($1, decode(repeat('00', 32), 'hex'), $2, 1, 1), ($1, decode(repeat('01', 32), 'hex'), NULL, 1, 1)`, []any{device, bytesOf(seal.BufferedEvent, device)}},
		{`whatsmeow_retry_buffer VALUES ($1, 'c', 'ID', 'f', $2, 1)`, []any{device, bytesOf(seal.OutgoingEvent, device, "ID")}},
	} {
		if _, err := tx.Exec(ctx, "INSERT INTO whatsmeow."+insert.query, insert.args...); err != nil {
			t.Fatalf("%s: %v", insert.query, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	return want
}

// read opens every place with keys, and says what stands there as it is.
func read(t *testing.T, pool *pgxpool.Pool, c Config, keys *seal.Keys) (opened map[string]string, stored string) {
	t.Helper()
	w := &walk{Config: c, pool: pool}
	w.Keys = keysOf(t, "plain,"+strings.Repeat("cc", 32)) // its pages leave out nothing
	opened = map[string]string{}
	for _, p := range seal.Places {
		table := "public." + p.Table
		if p.Signal() {
			table = c.SignalSchema + "." + p.Table
		}
		key, err := w.primaryKey(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		for after := []any(nil); ; {
			page, err := w.page(t.Context(), p, table, key, after)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				var value string
				switch v := r.value.(type) {
				case nil:
					continue
				case []byte:
					raw, openErr := keys.Open(v, p.At(r.identity...))
					value, err, stored = string(raw), openErr, stored+string(v)
				case string:
					stored += v
					if p.Form == seal.JSON {
						raw, openErr := keys.OpenJSON(p, []byte(v), r.identity...)
						value, err = string(raw), openErr
						value = strings.ReplaceAll(value, `": "`, `":"`) // as jsonb has it
					} else {
						value, err = keys.OpenText(v, p.At(r.identity...))
					}
				}
				if err != nil {
					t.Fatalf("%v of %v: %v", p, r.identity, err)
				}
				opened[p.At(r.identity...)] = value
			}
			if len(page) < pageRows {
				break
			}
			after = page[len(page)-1].key
		}
	}
	return opened, stored
}

// TestRekey goes from plain values to a first key, to a second and back to plain, and finds the same values each time.
func TestRekey(t *testing.T) {
	t.Parallel()
	pool, c := setup(t)
	want := fill(t, pool, nil)
	total := len(want)
	for _, step := range []struct {
		setting, alone string // what opens everything then
		gone           string
	}{
		{older, older, ""},
		{newer + "," + older, newer, keysOf(t, older).ID()},
		{"plain," + newer, "", keysOf(t, newer).ID()},
	} {
		c.Keys = keysOf(t, step.setting)
		if err := Check(t.Context(), pool, c.Keys); err != nil {
			t.Fatal(err)
		}
		report, err := Rekey(t.Context(), c)
		if err != nil {
			t.Fatalf("%s: %v", step.setting, err)
		}
		resealed := 0
		for _, p := range report.Places {
			if p.Resealed == 0 {
				t.Errorf("%s: nothing was changed in %v", step.setting, p.Place)
			}
			resealed += p.Resealed
		}
		if resealed != total || report.Left != 0 || strings.Join(report.Gone, " ") != step.gone {
			t.Errorf("%s: %d of %d values were changed, %d are left, and %v are gone", step.setting, resealed, total, report.Left, report.Gone)
		}
		opened, stored := read(t, pool, c, keysOf(t, step.alone))
		for at, value := range want {
			if opened[at] != strings.ReplaceAll(value, `": "`, `":"`) && opened[at] != strings.ReplaceAll(value, `","`, `", "`) {
				t.Errorf("%s: %q is %q, want %q", step.setting, at, opened[at], value)
			}
		}
		if step.alone != "" && (strings.Contains(stored, "whsec_") || strings.Contains(stored, "noise_key") || strings.Contains(stored, "Bearer")) {
			t.Errorf("%s: a value stands there as it is", step.setting)
		}
		if again, err := Rekey(t.Context(), c); err != nil || again.Left != 0 {
			t.Errorf("%s: a second time: %+v, %v", step.setting, again, err)
		} else if again.Places[0].Resealed+again.Places[len(again.Places)-1].Resealed > 0 {
			t.Errorf("%s: a second time something was changed: %+v", step.setting, again)
		}
		if err := Check(t.Context(), pool, keysOf(t, step.alone)); err != nil {
			t.Errorf("%s: afterwards a process with %q alone: %v", step.setting, step.alone, err)
		}
	}
}

// TestRekeyLeavesWhatOthersWrite has somebody hold a row for longer than rekey waits, and a value that does not open.
func TestRekeyLeavesWhatOthersWrite(t *testing.T) {
	t.Parallel()
	pool, c := setup(t)
	fill(t, pool, nil)
	c.Keys = keysOf(t, older)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SET LOCAL idle_in_transaction_session_timeout = 0; UPDATE sessions SET updated_at = now()`); err != nil {
		t.Fatal(err)
	}
	report, err := Rekey(t.Context(), c)
	if err != nil || report.Left != 1 || report.Gone != nil {
		t.Errorf("beside a writer: %+v, %v", report, err)
	}
	var said strings.Builder
	if report.Print(&said); !strings.Contains(said.String(), "1 values were written by others meanwhile: run it again") {
		t.Errorf("it says %s", said.String())
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if report, err = Rekey(t.Context(), c); err != nil || report.Left != 0 {
		t.Errorf("after the writer: %+v, %v", report, err)
	}
	exec(t, pool, `UPDATE webhook_endpoints SET secret = overlay(secret PLACING 'AAAA' FROM 30)`)
	c.Keys = keysOf(t, newer+","+older)
	if _, err := Rekey(t.Context(), c); err == nil || !strings.Contains(err.Error(), "webhook_endpoints.secret") || strings.Contains(err.Error(), "whsec") {
		t.Errorf("with a damaged value: %v", err)
	}
}

// TestRows changes rows of backups to and fro.
func TestRows(t *testing.T) {
	t.Parallel()
	keys := keysOf(t, older)
	for table, row := range map[string]string{
		"webhook_endpoints": `{"headers":{"A":"tok"},"id":"00000000-0000-0000-0000-0000000000aa","previous_secrets":[],"secret":"whsec_1"}`,
		"sessions":          `{"id":"sales","settings":{"proxy":"http://u:p@h"}}`,
		"contacts":          `{"id":"sales","name":"x"}`,
		"media":             `{"id":"a","media_key":"\\x` + hex.EncodeToString([]byte("key")) + `"}`,
	} {
		sealed, err := SealRow(keys, table, []byte(row))
		if err != nil || (table != "contacts") == (string(sealed) == row) {
			t.Errorf("%s is sealed as %s, %v", row, sealed, err)
		}
		if opened, err := OpenRow(keys, table, sealed); err != nil || string(opened) != row {
			t.Errorf("%s is opened as %s, %v", row, opened, err)
		}
		if opened, err := OpenRow(nil, table, []byte(row)); err != nil || string(opened) != row {
			t.Errorf("without a key %s is opened as %s, %v", row, opened, err)
		}
	}
	if _, err := OpenRow(keys, "media", []byte(`{"id":"a","media_key":"secret"}`)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a row of another form: %v", err)
	}
}

// plainBytes are the columns of bytes in which nothing is sealed, and why.
var plainBytes = map[string]string{
	"attempts.body":                               "what receivers answered",
	"encryption_keys.check_value":                 "sealed by its own key alone",
	"events.body":                                 "contents, which are searched and shown",
	"group_notices.digest":                        "a hash",
	"idempotency_keys.body_hash":                  "a hash",
	"idempotency_keys.principal":                  "a hash",
	"media.enc_sha256":                            "a hash",
	"media.object":                                "a hash",
	"media.sha256":                                "a hash",
	"objects.sha256":                              "a hash",
	"queue_dead.payload":                          "events and the ids of what is to be done",
	"queue_messages.payload":                      "events and the ids of what is to be done",
	"rate_limits.principal":                       "a hash",
	"api_keys.hash":                               "a hash",
	"api_keys.previous_hash":                      "a hash",
	"api_keys.principal":                          "a hash of the id",
	"media.uploaded_by":                           "a hash",
	"stream_tickets.hash":                         "a hash",
	"stream_tickets.principal":                    "a hash",
	"whatsmeow_app_state_mutation_macs.index_mac": "a sum",
	"whatsmeow_app_state_mutation_macs.value_mac": "a sum",
	"whatsmeow_app_state_sync_keys.fingerprint":   "of a key, public to the account's devices",
	"whatsmeow_app_state_sync_keys.key_id":        "the name of a key",
	"whatsmeow_app_state_version.hash":            "a sum",
	"whatsmeow_device.adv_account_sig":            "a signature",
	"whatsmeow_device.adv_account_sig_key":        "a public key",
	"whatsmeow_device.adv_details":                "what is signed",
	"whatsmeow_device.adv_device_sig":             "a signature",
	"whatsmeow_device.signed_pre_key_sig":         "a signature",
	"whatsmeow_event_buffer.ciphertext_hash":      "a hash",
	"whatsmeow_identity_keys.identity":            "a public key",
}

// TestEveryColumnOfBytesIsJudged finds the columns that a migration, or a later whatsmeow, adds: whoever does seals them or says why not.
func TestEveryColumnOfBytesIsJudged(t *testing.T) {
	t.Parallel()
	pool, c := setup(t)
	rows, err := pool.Query(t.Context(), `SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE a.atttypid = 'bytea'::regtype AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname IN ('public', $1)`, c.SignalSchema)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for _, p := range seal.Places {
		if p.Form == seal.Bytes && !there[p.String()] {
			t.Errorf("there is no column %v", p)
		}
		if plainBytes[p.String()] != "" {
			t.Errorf("%v is sealed and said to be plain", p)
		}
		delete(there, p.String())
	}
	for name := range there {
		if plainBytes[name] == "" {
			t.Errorf("%s is neither sealed nor said to be plain", name)
		}
	}
	for name := range plainBytes {
		if !there[name] {
			t.Errorf("there is no column %s", name)
		}
	}
}
