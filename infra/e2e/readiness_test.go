package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/testwire"
)

// TestReadinessSaysWhatIsMissing cuts the network to PostgreSQL and to S3 and asks each role how it is: the database's absence makes it unavailable,
// that of S3 only degraded, and both are named; when they are back it is ready again, by itself. The process is alive all the time.
func TestReadinessSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	database, dsn := testwire.Database(t, s.pg.DSN())
	objects, endpoint := testwire.Server(t, s.s3.Config.Endpoint)
	s.env = append(s.env, "DATABASE_URL="+dsn, "S3_ENDPOINT="+endpoint)
	bases := map[string]string{"api": s.api.base}
	s.start("api", "api")
	for _, role := range []string{"connector", "dispatcher"} {
		address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		bases[role] = "http://" + address
		s.start(role, role, "METRICS_ADDR="+address)
	}
	own := map[string]string{"connector": "claims", "dispatcher": "rounds"} // what only this role needs
	look := func(what string, status int, word string, checks map[string]string) {
		t.Helper()
		for role, base := range bases {
			want := maps.Clone(checks)
			if name := own[role]; name != "" {
				want[name] = checks["own"]
			}
			delete(want, "own")
			eventually(t, time.Minute, role+" with "+what, func() error {
				if err := answers(base + "/healthz"); err != nil {
					t.Fatalf("%s with %s is not alive: %v", role, what, err)
				}
				res, err := httpClient.Get(base + "/readyz")
				if err != nil {
					return err
				}
				defer res.Body.Close()
				raw, err := io.ReadAll(res.Body)
				if err != nil {
					return err
				}
				var got struct {
					Status any
					Checks map[string]string
					Detail string
				}
				if err := json.Unmarshal(raw, &got); err != nil || res.StatusCode != status {
					return fmt.Errorf("%d %s", res.StatusCode, raw)
				}
				if got.Detail != "" { // the API's, as all its problems
					if is := "not ready: database: down, schema: unknown"; got.Detail != is || want["database"] != "down" {
						return fmt.Errorf("%s, want %v", raw, want)
					}
					return nil
				}
				if got.Status != word || !maps.Equal(got.Checks, want) {
					return fmt.Errorf("%s, want %s %v", raw, word, want)
				}
				return nil
			})
		}
	}
	s.awaitAPI(t)
	for role, base := range bases {
		eventually(t, time.Minute, role+" to listen", func() error { return answers(base + "/healthz") })
	}
	well := map[string]string{"database": "ok", "schema": "ok", "s3": "ok", "own": "ok"}
	look("everything there", 200, "ok", well)
	objects.Cut()
	look("S3 away", 200, "degraded", map[string]string{"database": "ok", "schema": "ok", "s3": "down", "own": "ok"})
	objects.Mend()
	look("S3 back", 200, "ok", well)
	database.Cut()
	look("the database away", 503, "unavailable", map[string]string{"database": "down", "schema": "unknown", "s3": "ok", "own": "down"})
	database.Mend()
	look("the database back", 200, "ok", well)
}
