package postgres_test

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/postgres"
)

// released is the last migration from before the rules: those up to it made an empty schema.
const released = "00005_"

// small tables have at most some thousand rows: they are read through in milliseconds, so an index or a CHECK may be made at once.
var small = []string{"sessions", "claims", "connectors", "webhook_endpoints", "stream_tickets", "rate_limits"}

var (
	dollarQuoted  = regexp.MustCompile(`(?s)\$(\w*)\$.*?\$(\w*)\$`)
	sqlText       = regexp.MustCompile(`'(?:[^']|'')*'`)
	blockComment  = regexp.MustCompile(`(?s)/\*.*?\*/`)
	lineComment   = regexp.MustCompile(`--[^\n]*`)
	space         = regexp.MustCompile(`\s+`)
	contractMark  = regexp.MustCompile(`(?m)^-- contract: \S`)
	noTransaction = regexp.MustCompile(`(?m)^-- \+goose NO TRANSACTION`)

	createTable = regexp.MustCompile(`^create (?:unlogged )?table (?:if not exists )?(\S+)`)
	alterTable  = regexp.MustCompile(`^alter table (?:if exists )?(?:only )?(\S+) (.*)`)
	createIndex = regexp.MustCompile(`^create (?:unique )?index (concurrently )?(if not exists )?(\S+) on (only )?(\S+)`)
	dropIndex   = regexp.MustCompile(`^drop index concurrently if exists (\S+)$`)
	addColumn   = regexp.MustCompile(`^add (?:column )?(?:if not exists )?`)
	// constant: a literal, a number, true, false, null, or the time of the transaction: what PostgreSQL stores once for all rows.
	constant = regexp.MustCompile(`^(?:'|-?[0-9]|true\b|false\b|null\b|now\(\)|current_timestamp\b|array\[\])`)
	word     = func(s string) *regexp.Regexp { return regexp.MustCompile(`\b(?:` + s + `)\b`) }

	never = map[string]*regexp.Regexp{
		"renames":                            regexp.MustCompile(`^alter .*\brename\b`),
		"changes a column's type":            regexp.MustCompile(`\balter \S+ (?:set data )?type\b`),
		"locks a table, or writes it anew":   regexp.MustCompile(`^(?:lock|cluster|vacuum full|refresh materialized|reindex)\b`),
		"changes the rows of a table":        regexp.MustCompile(`^(?:update|delete|truncate|merge)\b`),
		"runs a program, which is not read":  regexp.MustCompile(`^do\b`),
		"changes how a table is stored":      regexp.MustCompile(`\bset (?:un)?logged\b|\bset tablespace\b|\bset access method\b`),
		"attaches a table, which is scanned": regexp.MustCompile(`\battach partition\b`),
	}
	contract = map[string]*regexp.Regexp{
		"drops what the release before may use":                regexp.MustCompile(`^drop (?:table|view|function|procedure|sequence|type|domain|schema|trigger|materialized view)\b`),
		"drops a column, or what the release before relies on": regexp.MustCompile(`\bdrop (?:column|default|not null|identity|expression)\b|\bdrop (?:if exists )?(?:\w+)(?: cascade)?(?:,|$)`),
		"forbids NULL, which the release before may write":     word("set not null"),
	}
)

// statements are those of a migration's way up, in small letters and in one line each, without comments and the insides of functions.
func statements(file string) (all []string) {
	_, up, _ := strings.Cut(file, "-- +goose Up")
	up, _, _ = strings.Cut(up, "-- +goose Down")
	up = lineComment.ReplaceAllString(blockComment.ReplaceAllString(dollarQuoted.ReplaceAllString(up, "$$$$"), " "), " ")
	up = sqlText.ReplaceAllString(up, "''")
	for s := range strings.SplitSeq(up, ";") {
		if s = strings.ToLower(strings.TrimSpace(space.ReplaceAllString(s, " "))); s != "" {
			all = append(all, strings.ReplaceAll(s, "alter column ", "alter "))
		}
	}
	return all
}

// actions splits those of an ALTER TABLE, or the columns of a list: at commas that stand in no parentheses.
func actions(list string) (all []string) {
	depth, from := 0, 0
	for i, c := range list {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				all, from = append(all, strings.TrimSpace(list[from:i])), i+1
			}
		}
	}
	return append(all, strings.TrimSpace(list[from:]))
}

// breaks lists the rules of migrate.go that a migration breaks.
func breaks(file string) (broken []string) {
	var made, busy, dropped []string
	contracts, atOnce, validates, adds := contractMark.MatchString(file), noTransaction.MatchString(file), false, false
	refuse := func(why, s string) { broken = append(broken, fmt.Sprintf("it %s: %s", why, s)) }
	isNew := func(table string) bool { return slices.Contains(made, table) }
	harmless := func(table string) bool { return isNew(table) || slices.Contains(small, table) }
	all := statements(file)
	if atOnce && (len(all) == 0 || !strings.HasPrefix(all[0], "set lock_timeout")) {
		refuse("runs outside of a transaction and does not set lock_timeout first", "-- +goose NO TRANSACTION")
	}
	for i, s := range all {
		for why, pattern := range never {
			if pattern.MatchString(s) {
				refuse(why, s)
			}
		}
		for why, pattern := range contract {
			if !contracts && pattern.MatchString(s) {
				refuse(why, s)
			}
		}
		index := createIndex.FindStringSubmatch(s)
		if drop := dropIndex.FindStringSubmatch(s); drop != nil {
			dropped = append(dropped, drop[1])
		} else if strings.HasPrefix(s, "drop index") {
			refuse("drops an index without CONCURRENTLY IF EXISTS", s)
		}
		switch table := createTable.FindStringSubmatch(s); {
		case atOnce && index == nil && dropIndex.FindStringSubmatch(s) == nil && (i > 0 || !strings.HasPrefix(s, "set lock_timeout")):
			refuse("does outside of a transaction what cannot be done twice", s)
		case table != nil:
			made = append(made, table[1])
		case index == nil:
		case index[1] != "" && (!atOnce || index[2] != "" || !slices.Contains(dropped, index[3])):
			refuse("builds an index CONCURRENTLY without dropping what a build that was cut has left", s)
		case index[1] == "" && index[4] == "" && !harmless(index[5]):
			refuse("builds an index while nobody can write", s)
		}
		m := alterTable.FindStringSubmatch(s)
		if m == nil || isNew(m[1]) {
			continue
		}
		if !slices.Contains(busy, m[1]) {
			busy = append(busy, m[1])
		}
		for _, action := range actions(m[2]) {
			validates = validates || strings.HasPrefix(action, "validate constraint")
			adds = adds || strings.HasSuffix(action, "not valid")
			if why := refuseAction(action, harmless(m[1])); why != "" {
				refuse(why, action)
			}
		}
	}
	if validates && adds {
		refuse("validates a constraint under the lock that adds it", "VALIDATE CONSTRAINT")
	}
	if len(busy) > 1 {
		refuse("holds one table while it waits for another", strings.Join(busy, ", "))
	}
	return broken
}

// refuseAction says what is wrong with one action of an ALTER TABLE.
func refuseAction(action string, harmless bool) string {
	if strings.HasPrefix(action, "add constraint") || regexp.MustCompile(`^add (?:check|unique|primary|foreign|exclude)\b`).MatchString(action) {
		switch {
		case harmless || strings.Contains(action, "using index") || strings.HasSuffix(action, "not valid"):
			return ""
		}
		return "adds a constraint that is checked, or built, while nobody can use the table"
	}
	if !addColumn.MatchString(action) {
		return ""
	}
	_, value, given := strings.Cut(action, " default ")
	switch {
	case given && !constant.MatchString(value):
		return "adds a column whose default is not constant: the table is written anew"
	case word("not null").MatchString(action) && !given:
		return "adds a column that the release before does not fill"
	case word("generated|serial|bigserial|smallserial").MatchString(action):
		return "adds a column that is computed for every row"
	case word("unique|primary key|references|check").MatchString(action) && !harmless:
		return "adds a column with a constraint that is checked, or built, while nobody can use the table"
	}
	return ""
}

func TestMigrationsRunBesideTheReleaseBefore(t *testing.T) {
	t.Parallel()
	for _, files := range []fs.FS{postgres.Migrations(), os.DirFS("../e2e/testdata/expand"), os.DirFS("../e2e/testdata/contract")} {
		names, err := fs.Glob(files, "*.sql")
		if err != nil || len(names) == 0 {
			t.Fatalf("no migrations: %v", err)
		}
		for _, name := range names {
			if name < released || strings.HasPrefix(name, released) {
				continue
			}
			raw, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range breaks(string(raw)) {
				t.Errorf("%s: %s", name, b)
			}
		}
	}
}

func TestWhatMigrationsMayNotDoIsSeen(t *testing.T) {
	t.Parallel()
	const up, apart = "-- +goose Up\n", "-- +goose NO TRANSACTION\n-- +goose Up\nSET lock_timeout = '10min';\n"
	const marked = "-- contract: no release since 7 reads it\n" + up
	for _, c := range []struct {
		refused bool
		sql     string
	}{
		{false, up + "CREATE TABLE queries (id uuid PRIMARY KEY, session_id text NOT NULL REFERENCES sessions (id), CHECK (id IS NOT NULL));\nCREATE INDEX q ON queries (id);"},
		{false, up + "ALTER TABLE connectors ADD COLUMN version text NOT NULL DEFAULT '' CHECK (length(version) < 100);"},
		{false, up + "ALTER TABLE messages ADD COLUMN note text, ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now(); -- DROP COLUMN x"},
		{false, up + "ALTER TABLE messages ADD COLUMN note text DEFAULT 'update; drop table messages';"},
		{false, up + "-- +goose StatementBegin\nCREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE messages SET note = ''; END $$;\n-- +goose StatementEnd"},
		{false, up + "ALTER TABLE messages ADD CONSTRAINT c CHECK (note <> '') NOT VALID;"},
		{false, up + "ALTER TABLE messages VALIDATE CONSTRAINT c;"},
		{false, up + "ALTER TABLE webhook_endpoints DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (format IN ('a', 'b'));"},
		{false, up + "CREATE INDEX i ON ONLY deliveries (state);"},
		{false, apart + "DROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY i ON messages (note);"},
		{false, apart + "DROP INDEX CONCURRENTLY IF EXISTS i;"},
		{false, marked + "ALTER TABLE messages DROP COLUMN note, ALTER COLUMN type SET NOT NULL;\nDROP TABLE queries;"},
		{false, up + "CREATE TABLE queries (id uuid);\n-- +goose Down\nDROP TABLE queries;"},

		{true, up + "ALTER TABLE messages RENAME COLUMN type TO kind;"},
		{true, marked + "ALTER TABLE messages RENAME TO letters;"},
		{true, up + "ALTER TABLE messages ALTER COLUMN type TYPE varchar(10);"},
		{true, marked + "ALTER TABLE messages ALTER type SET DATA TYPE varchar(10);"},
		{true, up + "ALTER TABLE messages DROP COLUMN type;"},
		{true, up + "ALTER TABLE messages DROP type;"},
		{true, up + "ALTER TABLE messages\n  ADD COLUMN a text,\n  DROP COLUMN type;"},
		{true, up + "ALTER TABLE messages ALTER COLUMN status DROP DEFAULT;"},
		{true, up + "ALTER TABLE messages ALTER COLUMN type DROP NOT NULL;"},
		{true, up + "ALTER TABLE messages ALTER COLUMN expires_at SET NOT NULL;"},
		{true, up + "DROP TABLE attempts;"},
		{true, up + "DROP VIEW message_views;\nCREATE VIEW message_views AS SELECT 1;"},
		{true, up + "DROP FUNCTION queue_park(text, bigint, bigint, boolean);"},
		{true, up + "-- contract:\nDROP TABLE attempts;"},
		{true, up + "ALTER TABLE messages ADD COLUMN note text NOT NULL;"},
		{true, up + "ALTER TABLE messages ADD COLUMN note uuid DEFAULT gen_random_uuid();"},
		{true, up + "ALTER TABLE messages ADD COLUMN note bigserial;"},
		{true, up + "ALTER TABLE messages ADD COLUMN note int GENERATED ALWAYS AS (1) STORED;"},
		{true, up + "ALTER TABLE messages ADD COLUMN note text UNIQUE;"},
		{true, up + "ALTER TABLE messages ADD COLUMN note text DEFAULT '' CHECK (note <> 'x');"},
		{true, up + "ALTER TABLE messages ADD CONSTRAINT c CHECK (note <> '');"},
		{true, up + "ALTER TABLE messages ADD CHECK (note <> '');"},
		{true, up + "ALTER TABLE messages ADD CONSTRAINT c UNIQUE (note);"},
		{true, up + "ALTER TABLE messages ADD CONSTRAINT c CHECK (note <> '') NOT VALID;\nALTER TABLE messages VALIDATE CONSTRAINT c;"},
		{true, up + "CREATE INDEX i ON messages (note);"},
		{true, up + "CREATE UNIQUE INDEX IF NOT EXISTS i ON queue_messages (uuid);"},
		{true, up + "DROP INDEX messages_chat;"},
		{true, apart + "CREATE INDEX CONCURRENTLY i ON messages (note);"},
		{true, apart + "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON messages (note);"},
		{true, apart + "DROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON messages (note);"},
		{true, "-- +goose NO TRANSACTION\n-- +goose Up\nDROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY i ON messages (note);"},
		{true, apart + "ALTER TABLE messages ADD COLUMN note text;"},
		{true, up + "UPDATE messages SET note = '';"},
		{true, up + "DO $$ BEGIN DELETE FROM messages; END $$;"},
		{true, up + "LOCK TABLE messages;"},
		{true, up + "ALTER TABLE messages ADD COLUMN a text;\nALTER TABLE chats ADD COLUMN a text;"},
	} {
		if broken := breaks(c.sql); (len(broken) > 0) != c.refused {
			t.Errorf("%s\nrefused: %q", c.sql, broken)
		}
	}
}
