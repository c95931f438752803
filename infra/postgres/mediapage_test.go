package postgres_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestAPageOfMediaIsPlannedForItsPage: whatever a list of files looks for, it reads little more than its page, also where a file was sent by thousands of
// messages, and where all others are of another session, status or kind.
func TestAPageOfMediaIsPlannedForItsPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const files = 20000
	b.exec(`INSERT INTO sessions (id, desired) VALUES ('rare', 'stopped'), ('busy', 'stopped')`)
	b.exec(`CREATE FUNCTION numbered(n int) RETURNS uuid LANGUAGE sql AS $$SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid$$`)
	b.exec(fmt.Sprintf(`INSERT INTO media (id, session_id, status, mimetype, size, sha256, uploaded_by)
		SELECT numbered(n), CASE WHEN n %% 4000 = 0 THEN 'rare' WHEN n %% 2 = 0 THEN 'busy' END, CASE WHEN n %% 5000 = 0 THEN 'failed' ELSE 'pending' END,
		       CASE WHEN n %% 5000 = 0 THEN 'video/mp4' ELSE 'image/png' END, 1, '', CASE WHEN n %% 4001 = 0 THEN 'me'::bytea WHEN n %% 2 = 1 THEN 'you' END
		  FROM generate_series(1, %d) n`, files))
	// One file was sent ten thousand times, and another ten once.
	b.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, media_id)
		SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'rare' ELSE 'busy' END, 'a', n::text, 'outgoing', 'sent', 'image', '{}', now(),
		       numbered(CASE WHEN n <= 10 THEN 2 * n + 101 ELSE 777 END) FROM generate_series(1, 20000) n`)
	b.exec(`ANALYZE media, messages`)
	conn, err := pgx.Connect(t.Context(), b.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	queries := generatedQueries(t)
	read := regexp.MustCompile(`(Actual Rows|Rows Removed by (?:Filter|Join Filter|Index Recheck)|Actual Loops): ([0-9.]+)`)
	const all, statuses, kinds = `'ffffffff-ffff-ffff-ffff-ffffffffffff'`, `'{pending,ready,failed,expired}'`, `'{image,video,audio,document}'`
	explained := 0
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		for name, c := range map[string]struct {
			query, values string
			rows          int
		}{
			"all":                           {"mediaPage", statuses + `, ` + kinds + `, ` + all + `, 51`, 51},
			"all from the middle":           {"mediaPage", statuses + `, ` + kinds + `, numbered(10000), 51`, 51},
			"a rare status":                 {"mediaPage", `'{failed,expired}', ` + kinds + `, ` + all + `, 51`, 4},
			"a rare kind":                   {"mediaPage", statuses + `, '{video,audio}', ` + all + `, 51`, 4},
			"a rare session":                {"mediaPageOfSessions", `51, '{rare}', ` + all + `, ` + statuses + `, ` + kinds + `, NULL`, 11},
			"a rare kind of a busy session": {"mediaPageOfSessions", `51, '{busy}', ` + all + `, ` + statuses + `, '{video}', NULL`, 3},
			"a busy one":                    {"mediaPageOfSessions", `51, '{busy}', ` + all + `, ` + statuses + `, ` + kinds + `, NULL`, 51},
			"a rare session and mine":       {"mediaPageOfSessions", `51, '{rare}', ` + all + `, ` + statuses + `, ` + kinds + `, 'me'`, 15},
			"mine alone":                    {"mediaPageOfSessions", `51, '{nobody}', ` + all + `, ` + statuses + `, ` + kinds + `, 'me'`, 4},
		} {
			explained++
			statement := fmt.Sprintf("explained_%d", explained)
			for _, sql := range []string{"SET plan_cache_mode = " + mode, "PREPARE " + statement + " AS " + queries[c.query]} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			found, err := conn.Query(t.Context(), "EXECUTE "+statement+"("+c.values+")")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for found.Next() {
				n++
			}
			if err := found.Err(); err != nil || n != c.rows {
				t.Errorf("%s, %s: %d rows, want %d: %v", name, mode, n, c.rows, err)
			}
			lines, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT YAML) EXECUTE "+statement+"("+c.values+")")
			if err != nil {
				t.Fatal(err)
			}
			plan, err := pgx.CollectRows(lines, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			// What a node returned and left out, each time, is what it read at least.
			var loop, most float64
			for _, m := range read.FindAllStringSubmatch(strings.Join(plan, "\n"), -1) {
				n, err := strconv.ParseFloat(m[2], 64)
				if err != nil {
					t.Fatal(err)
				}
				switch m[1] {
				case "Actual Rows":
					loop = n
				case "Actual Loops":
					most = max(most, loop*n)
				default:
					most = max(most, n)
				}
			}
			if most == 0 || most > 400 {
				t.Errorf("%s, %s: a node reads %v rows, want at most 400:\n%s", name, mode, most, strings.Join(plan, "\n"))
			}
		}
	}
}
