package postgres_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// TestAPageOfOneSessionIsReadByItsIndex: where EventPage and EventScanEnd are planned for the values at hand, as Planned sees to, a session that is
// rare in a long log costs no more than its own events, and a page of all no more than the page.
func TestAPageOfOneSessionIsReadByItsIndex(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const events = 50000
	b.exec(`CREATE TABLE events_early PARTITION OF events FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('80000000-0000-0000-0000-000000000000')`)
	b.exec(fmt.Sprintf(`INSERT INTO events (seq, id, session_id, type, occurred_at, body)
		SELECT n, gen_random_uuid(), CASE WHEN n %% 10000 = 0 THEN 'rare' ELSE 's' || n %% 50 END, 'message.received', now(), '{}' FROM generate_series(1, %d) n`, events))
	b.exec(`ANALYZE events`)
	conn, err := pgx.Connect(t.Context(), b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	queries := generatedQueries(t)
	// The most that a node of the plan may have read, per loop: PostgreSQL says what a node returned and what its filter removed.
	rows := regexp.MustCompile(`(?:Actual Rows|Rows Removed by Filter): ([0-9.]+)`)
	explained := 0
	for _, mode := range []string{"force_custom_plan"} {
		for name, c := range map[string]struct {
			query, values string
			most          float64
		}{
			"a page of a rare session": {"eventPage", `'rare', 0, 50000, 10000, '{}', '{}', '{}', '{}', NULL, 51`, 5},
			"a page of all":            {"eventPage", `'', 20000, 50000, 10000, '{}', '{}', '{}', '{}', NULL, 51`, 51},
			"the end of a rare scan":   {"eventScanEnd", `'rare', 0, 50000, 10000`, 5},
			"the end of a scan of all": {"eventScanEnd", `'', 0, 50000, 10000`, 10000},
		} {
			explained++
			statement := fmt.Sprintf("explained_%d", explained)
			for _, sql := range []string{"SET plan_cache_mode = " + mode, "PREPARE " + statement + " AS " + queries[c.query]} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			lines, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT YAML) EXECUTE "+statement+"("+c.values+")")
			if err != nil {
				t.Fatal(err)
			}
			plan, err := pgx.CollectRows(lines, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range rows.FindAllStringSubmatch(strings.Join(plan, "\n"), -1) {
				if n, err := strconv.ParseFloat(m[1], 64); err != nil || n > c.most {
					t.Errorf("%s, %s: a node reads %s rows, want at most %v:\n%s", name, mode, m[1], c.most, strings.Join(plan, "\n"))
					break
				}
			}
		}
	}
}

// TestPlannedKeepsNoPlan: PostgreSQL keeps no statement whose plan it could use for other values.
func TestPlannedKeepsNoPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conn, err := pgx.Connect(t.Context(), b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	kept := func(on db.DBTX) (n int) {
		t.Helper()
		for range 7 {
			page := db.EventPageParams{SessionID: "rare", Head: 100, Scan: 10, MaxRows: 10, Types: []string{"message.received"}, Prefixes: []string{}, Sessions: []string{}, ChatKinds: []string{}}
			if _, err := db.New().EventPage(t.Context(), on, page); err != nil {
				t.Fatal(err)
			}
			if _, err := db.New().EventScanEnd(t.Context(), on, "rare", 0, 100, 10); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				t.Fatal(err)
			}
		}
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%FROM events e%'`, pgx.QueryExecModeSimpleProtocol).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := kept(postgres.Planned(conn)); n != 0 {
		t.Errorf("%d statements are kept", n)
	}
	if n := kept(conn); n == 0 {
		t.Error("without Planned nothing is kept either, so that this test sees nothing")
	}
}
