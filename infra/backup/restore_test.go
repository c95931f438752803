package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chasqui/chasqui/infra/keyring"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/seal"
	"github.com/chasqui/chasqui/infra/signalstore"
	"github.com/chasqui/chasqui/infra/testdb"
)

// setup returns an empty, migrated database.
func setup(t *testing.T) (Config, *pgxpool.Pool) {
	t.Helper()
	c := Config{DSN: testdb.DSN(t), SignalSchema: "whatsmeow", Passphrase: passphrase, Version: "test", factor: factor}
	devices, err := signalstore.Open(t.Context(), signalstore.Config{DSN: c.DSN, Schema: c.SignalSchema})
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
	return c, pool
}

func exec(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// fill puts two linked sessions, three that are in other states, and what a backup leaves out into a database.
func fill(t *testing.T, c *Config, pool *pgxpool.Pool) {
	t.Helper()
	exec(t, pool, `INSERT INTO sessions (id, name, settings, desired, restarts, restarts_done, state, reason, jid, phone, lid, qr) VALUES
		('sales', 'Ventas ñ "1"', '{"proxy": null, "n": 12345678901234567890}', 'started', 3, 3, 'connected', 'x', '111:1@s.whatsapp.net', '111', '9111', NULL),
		('shop', '', '{}', 'stopped', 0, 0, 'stopped', '', '222:7@s.whatsapp.net', '222', '9222', NULL),
		('banned', '', '{}', 'started', 1, 1, 'banned', 'for a day', NULL, NULL, NULL, NULL),
		('new', '', '{}', 'started', 0, 0, 'qr', '', NULL, NULL, NULL, 'the code'),
		('out', '', '{}', 'stopped', 0, 0, 'logged_out', 'by the phone', NULL, NULL, NULL, NULL)`)
	exec(t, pool, `INSERT INTO claims (session, owner, epoch, expires_at) SELECT id, 'connector-1', 9, now() + interval '1 hour' FROM sessions`)
	exec(t, pool, `INSERT INTO contacts (session_id, id, phone, lid, name) VALUES ('sales', '333@s.whatsapp.net', '333', '9333', E'A\tB'), ('shop', 'x', NULL, NULL, '')`)
	exec(t, pool, `INSERT INTO chats (session_id, id, kind, last_message_at) VALUES ('sales', '333@s.whatsapp.net', 'user', now()), ('shop', 'g@g.us', 'group', NULL)`)
	exec(t, pool, `INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp)
		VALUES (gen_random_uuid(), 'sales', 'c', 'w', 'outgoing', 'queued', 'text', '{}', now())`)
	exec(t, pool, `INSERT INTO webhook_endpoints (id, url, events, sessions, headers, secret, state, consecutive_failures, breaker_until) VALUES
		('00000000-0000-0000-0000-000000000001', 'https://a', '{*}', '{}', '{"X": "y"}', 'whsec_1', 'active', 7, now()),
		('00000000-0000-0000-0000-000000000002', 'https://b', '{message.received,a b}', '{shop}', '{}', 'whsec_2', 'paused', 0, NULL),
		('00000000-0000-0000-0000-000000000003', 'https://c', '{*}', '{}', '{}', 'whsec_3', 'deleted', 0, NULL)`)
	exec(t, pool, `CREATE TABLE whatsmeow.whatsmeow_a_later_one (our_jid text REFERENCES whatsmeow.whatsmeow_device (jid), value bytea, n bigint)`)
	exec(t, pool, `INSERT INTO whatsmeow.whatsmeow_lid_map VALUES ('9333', '333'), ('9444', '444')`)
	for _, jid := range []string{"111:1@s.whatsapp.net", "222:7@s.whatsapp.net", "555:1@s.whatsapp.net"} { // the last belongs to no session
		fillDevice(t, c, pool, jid)
	}
}

// fillDevice puts two rows of a device into each of whatsmeow's tables, by the catalog.
func fillDevice(t *testing.T, c *Config, pool *pgxpool.Pool, jid string) {
	t.Helper()
	ctx := t.Context()
	lengths := map[string]int{"noise_key": 32, "identity_key": 32, "signed_pre_key": 32, "signed_pre_key_sig": 64, "adv_account_sig": 64,
		"adv_account_sig_key": 32, "adv_device_sig": 64, "identity": 32, "key": 32, "hash": 128, "index_mac": 32, "value_mac": 32, "ciphertext_hash": 32}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		tables, err := c.signalTables(ctx, tx)
		if err != nil {
			return err
		}
		if len(tables) < 17 || tables[0] != "whatsmeow_device" && !slices.Contains(tables, "whatsmeow_a_later_one") {
			return fmt.Errorf("tables are %v", tables)
		}
		for _, name := range tables {
			if name == "whatsmeow_lid_map" {
				continue
			}
			for n := range 2 {
				if name == "whatsmeow_device" && n > 0 || name == "whatsmeow_nct_salt" && n > 0 {
					continue
				}
				var columns, values []string
				rows, err := tx.Query(ctx, `SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2`,
					c.SignalSchema, name)
				if err != nil {
					return err
				}
				var column, kind string
				_, err = pgx.ForEachRow(rows, []any{&column, &kind}, func() error {
					value := fmt.Sprintf("'%d:%d'", n, n)
					switch {
					case column == "our_jid" || column == "jid":
						value = "'" + jid + "'"
					case column == "lid" && name == "whatsmeow_device":
						value = "'9" + jid[:5] + "@lid'"
					case column == "facebook_uuid":
						value = "NULL"
					case kind == "bytea":
						size := max(lengths[column], 1)
						value = fmt.Sprintf(`decode('%s', 'hex')`, strings.Repeat(fmt.Sprintf("%02x", 0x80+n), size))
					case kind == "boolean":
						value = "true"
					case kind == "integer" || kind == "bigint":
						value = fmt.Sprint(n + 1)
					case column == "name":
						value = fmt.Sprintf("'name %d'", n)
					}
					columns, values = append(columns, column), append(values, value)
					return nil
				})
				if err != nil {
					return err
				}
				_, err = tx.Exec(ctx, "INSERT INTO "+c.identifier(name)+" ("+quoted(columns)+") VALUES ("+strings.Join(values, ", ")+")")
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump is every row that a backup of the database holds, without those that a restore changes.
func dump(t *testing.T, c *Config) []string {
	t.Helper()
	var file bytes.Buffer
	if _, err := Write(t.Context(), *c, &file); err != nil {
		t.Fatal(err)
	}
	key, err := unlock(bytes.NewReader(file.Bytes()), passphrase, factor)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReader(&file, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for {
		table, row, err := r.next()
		if err != nil {
			break
		}
		if table.Name != "sessions" && table.Name != "whatsmeow_sessions" {
			all = append(all, table.Name+" "+string(row))
		}
	}
	slices.Sort(all)
	return all
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("row %d differs:\n%s\nwant\n%s", i, strings.Join(got[min(i, len(got)):], "\n"), strings.Join(want[min(i, len(want)):], "\n"))
		}
	}
}

func backedUp(t *testing.T, c Config) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := Write(t.Context(), c, &file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func restore(ctx context.Context, c Config, file []byte, only ...string) (Summary, error) {
	f, err := Open(c, bytes.NewReader(file))
	if err != nil {
		return Summary{}, err
	}
	return f.Restore(ctx, c, only)
}

func TestRestoresWhatWasBackedUp(t *testing.T) {
	t.Parallel()
	from, source := setup(t)
	fill(t, &from, source)
	to, target := setup(t)
	exec(t, target, `CREATE TABLE whatsmeow.whatsmeow_a_later_one (our_jid text REFERENCES whatsmeow.whatsmeow_device (jid), value bytea, n bigint)`)
	exec(t, target, `INSERT INTO whatsmeow.whatsmeow_lid_map VALUES ('9333', '333')`) // known already

	file := backedUp(t, from)
	if bytes.Contains(file, []byte("whsec_")) {
		t.Error("a secret is readable in the file")
	}
	listener, err := target.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Release()
	if _, err := listener.Exec(t.Context(), `LISTEN "chasqui_control"`); err != nil {
		t.Fatal(err)
	}
	s, err := restore(t.Context(), to, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Conn().WaitForNotification(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.Sessions) != 5 || s.Endpoints != 2 || s.Tables["whatsmeow_device"] != 2 || s.Tables["whatsmeow_a_later_one"] != 4 || s.Tables["whatsmeow_lid_map"] != 1 {
		t.Errorf("%+v", s)
	}
	equal(t, dump(t, &to), dump(t, &from))
	rows, err := target.Query(t.Context(), `SELECT concat_ws(' ', id, name, settings, desired, restarts, restarts_done, state, reason, jid, phone, lid, qr, wanted)
		FROM sessions ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, []string{
		"banned  {} started 1 1 banned for a day f",
		"new  {} started 0 0 starting  t",
		"out  {} stopped 0 0 logged_out by the phone f",
		`sales Ventas ñ "1" {"n": 12345678901234567890, "proxy": null} started 3 3 starting  111:1@s.whatsapp.net 111 9111 t`,
		"shop  {} stopped 0 0 stopped  222:7@s.whatsapp.net 222 9222 f",
	})
	var left int
	if err := target.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM claims) + (SELECT count(*) FROM messages)
		+ (SELECT count(*) FROM webhook_endpoints WHERE consecutive_failures > 0 OR breaker_until IS NOT NULL)`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows that are left out, %v", left, err)
	}

	// A second time nothing is written, and everything that is in the way is named.
	_, err = restore(t.Context(), to, file)
	if err == nil || !strings.Contains(err.Error(), "session sales") || !strings.Contains(err.Error(), "session shop") {
		t.Errorf("a second time: %v", err)
	}
}

func TestRestoresOnlyWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	from, source := setup(t)
	fill(t, &from, source)
	exec(t, source, "DROP TABLE whatsmeow.whatsmeow_a_later_one")
	file := backedUp(t, from)
	to, target := setup(t)
	if _, err := restore(t.Context(), to, file, "sales", "nobody"); err == nil || !strings.Contains(err.Error(), "no session nobody") {
		t.Errorf("an unknown id: %v", err)
	}
	s, err := restore(t.Context(), to, file, "sales")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Sessions) != 1 || s.Endpoints != 1 || s.Tables["whatsmeow_device"] != 1 || s.Tables["contacts"] != 1 || s.Tables["whatsmeow_pre_keys"] != 2 {
		t.Errorf("%+v", s)
	}
	// A device of a session with another name is in the way too.
	exec(t, target, "INSERT INTO sessions (id, jid) VALUES ('other', '222:7@s.whatsapp.net')")
	if _, err := restore(t.Context(), to, file, "shop"); err == nil || !strings.Contains(err.Error(), "device 222:7@s.whatsapp.net of session other") {
		t.Errorf("a device that is there: %v", err)
	}
	exec(t, target, "DELETE FROM sessions WHERE id = 'other'")
	if s, err = restore(t.Context(), to, file, "shop"); err != nil || s.Endpoints != 1 {
		t.Errorf("the other one: %+v, %v", s, err)
	}
}

func TestOneSessionIsWrittenAloneAndRestsWhereItIsRestored(t *testing.T) {
	t.Parallel()
	from, source := setup(t)
	fill(t, &from, source)
	var file bytes.Buffer
	if s, err := WriteSession(t.Context(), from, "sales", &file); err != nil || len(s.Sessions) != 1 || s.Endpoints != 0 || s.Tables["whatsmeow_lid_map"] != 1 || s.Tables["chats"] != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := WriteSession(t.Context(), from, "nobody", &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no session nobody") {
		t.Errorf("one that is not there: %v", err)
	}
	to, target := setup(t)
	exec(t, target, `CREATE TABLE whatsmeow.whatsmeow_a_later_one (our_jid text REFERENCES whatsmeow.whatsmeow_device (jid), value bytea, n bigint)`)
	exec(t, target, `INSERT INTO webhook_endpoints (id, url, events, sessions, headers, secret) VALUES ('00000000-0000-0000-0000-000000000009', 'https://z', '{*}', '{}', '{}', 'whsec_9')`)
	small := to
	small.MaxContent = 1000
	if _, err := restore(t.Context(), small, file.Bytes()); !errors.Is(err, ErrDamaged) {
		t.Errorf("more content than is read: %v", err)
	}
	to.Rest = true
	s, err := restore(t.Context(), to, file.Bytes())
	if err != nil || len(s.Sessions) != 1 || s.Tables["whatsmeow_device"] != 1 || s.Tables["whatsmeow_pre_keys"] != 2 || s.Tables["whatsmeow_a_later_one"] != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	var rests bool
	var others int
	if err := target.QueryRow(t.Context(), `SELECT desired = 'stopped' AND state = 'stopped' AND NOT wanted,
		(SELECT count(*) FROM contacts WHERE session_id <> 'sales') + (SELECT count(*) FROM whatsmeow.whatsmeow_device WHERE jid NOT LIKE '111:%') + (SELECT count(*) FROM whatsmeow.whatsmeow_lid_map WHERE lid = '9444')
		FROM sessions WHERE id = 'sales'`).Scan(&rests, &others); err != nil || !rests || others != 0 {
		t.Errorf("rests: %t, %d rows of others, %v", rests, others, err)
	}
	if _, err := restore(t.Context(), to, file.Bytes()); !errors.Is(err, ErrThere) {
		t.Errorf("a second time: %v", err)
	}
}

func TestATableThatDoesNotFitIsRefusedAndNothingIsWritten(t *testing.T) {
	t.Parallel()
	from, source := setup(t)
	fill(t, &from, source)
	to, target := setup(t) // it lacks whatsmeow_a_later_one
	_, err := restore(t.Context(), to, backedUp(t, from))
	if err == nil || !strings.Contains(err.Error(), "whatsmeow_a_later_one") {
		t.Errorf("got %v", err)
	}
	var n int
	if err := target.QueryRow(t.Context(), "SELECT count(*) FROM sessions").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d sessions, %v", n, err)
	}
}

func TestEveryTableIsCopiedOrLeftOut(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	rows, err := pool.Query(t.Context(), `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND NOT c.relispartition ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if leftOut[name] == "" && publicTable(name) < 0 {
			t.Errorf("a backup neither copies the table %s nor says why it leaves it out: see tables.go", name)
		}
	}
	for name := range leftOut {
		if !slices.Contains(names, name) {
			t.Errorf("there is no table %s to leave out", name)
		}
	}
}

func TestAnEmptyDatabaseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	c, pool := setup(t)
	exec(t, pool, "DROP SCHEMA whatsmeow CASCADE")
	if _, err := Write(t.Context(), c, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "chasqui migrate") {
		t.Errorf("got %v", err)
	}
}

// TestRestoresUnderAnotherKey backs up a database whose secrets are sealed, and restores it where there is another key, and none: the file holds the
// same as one of the same database without a key.
func TestRestoresUnderAnotherKey(t *testing.T) {
	t.Parallel()
	keysOf := func(setting string) *seal.Keys {
		keys, err := seal.Parse(setting)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	from, source := setup(t)
	fill(t, &from, source)
	exec(t, source, `UPDATE sessions SET settings = '{"proxy": "socks5://user:password@proxy:1080"}' WHERE id = 'shop'`)
	want := dump(t, &from)
	from.Keys = keysOf(strings.Repeat("1a", 32))
	if _, err := keyring.Rekey(t.Context(), keyring.Config{DSN: from.DSN, SignalSchema: from.SignalSchema, Keys: from.Keys}); err != nil {
		t.Fatal(err)
	}
	proxies := func(pool *pgxpool.Pool) (proxy string) {
		if err := pool.QueryRow(t.Context(), `SELECT settings ->> 'proxy' FROM sessions WHERE id = 'shop'`).Scan(&proxy); err != nil {
			t.Fatal(err)
		}
		return proxy
	}
	if proxy := proxies(source); strings.Contains(proxy, "password") {
		t.Fatalf("the proxy is not sealed: %s", proxy)
	}
	file := backedUp(t, from)
	unkeyed := from
	unkeyed.Keys = nil
	if _, err := Write(t.Context(), unkeyed, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "ENCRYPTION_KEY is not set") {
		t.Errorf("a backup without the key: %v", err)
	}
	for name, keys := range map[string]*seal.Keys{"another key": keysOf(strings.Repeat("2b", 32)), "no key": nil} {
		to, target := setup(t)
		to.Keys = keys
		exec(t, target, `CREATE TABLE whatsmeow.whatsmeow_a_later_one (our_jid text REFERENCES whatsmeow.whatsmeow_device (jid), value bytea, n bigint)`)
		if _, err := restore(t.Context(), to, file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if proxy := proxies(target); strings.Contains(proxy, "password") != (keys == nil) {
			t.Errorf("%s: the proxy is stored as %s", name, proxy)
		}
		var plain int
		if err := target.QueryRow(t.Context(), `SELECT count(*) FROM whatsmeow.whatsmeow_device WHERE length(identity_key) = 32`).Scan(&plain); err != nil || (plain > 0) != (keys == nil) {
			t.Errorf("%s: %d devices have their keys as they are, %v", name, plain, err)
		}
		got := dump(t, &to)
		for i := range got {
			got[i] = canonical(t, got[i])
		}
		expected := slices.Clone(want)
		for i := range expected {
			expected[i] = canonical(t, expected[i])
		}
		slices.Sort(got)
		slices.Sort(expected)
		// Own sender keys are forgotten by a restore.
		without := func(rows []string) []string {
			return slices.DeleteFunc(rows, func(row string) bool { return strings.HasPrefix(row, "whatsmeow_sender_keys ") })
		}
		equal(t, without(got), without(expected))
	}
}

// canonical is a row of dump with its members in order.
func canonical(t *testing.T, row string) string {
	t.Helper()
	name, text, _ := strings.Cut(row, " ")
	var members map[string]any
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return name + " " + string(sorted)
}
