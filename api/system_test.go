package api

import (
	"net/http"
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
