package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of settings in the README")

// TestReadmeHasTheTable compares the README's table with the code's, between the
// two markers; with -update it writes it there.
func TestReadmeHasTheTable(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../README.md", "<!-- settings:begin -->\n", "<!-- settings:end -->"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	table, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no %s ... %s", file, strings.TrimSpace(begin), end)
	}
	if table == Table() {
		return
	}
	if !*update {
		t.Fatalf("the table of settings in %s is stale: run go test ./infra/config -run TestReadme -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+Table()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
