package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/readiness"
)

func TestReadinessNamesAnOldSchema(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var report readiness.Report
	f.must(http.StatusOK, &report, "GET", "/readyz", nil, "X-API-Key", "")
	if report.Status != readiness.OK || len(report.Checks) != 3 || report.Checks["schema"] != readiness.OK || report.Checks["s3"] != readiness.OK {
		t.Errorf("ready: %+v", report)
	}
	f.exec("DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
	if p := f.problem(f.do("GET", "/readyz", nil), Unavailable); p.Detail != "not ready: schema: old" {
		t.Errorf("an old schema is told as %q", p.Detail)
	}
}

func TestMethodsOfClientsAreNoSeries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, method := range []string{"BREW", "WHEN", "GET"} {
		r, err := http.NewRequestWithContext(t.Context(), method, f.base+"/v1/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		f.send(r)
	}
	f.eventually("the requests to be counted", func() bool {
		shown := string(f.do("GET", "/metrics", nil).body)
		if strings.Contains(shown, "BREW") {
			t.Fatal("a method that a client made up is a label")
		}
		return strings.Contains(shown, `chasqui_http_requests_total{method="other",route="none",status="405"} 2`)
	})
}
