package config

import (
	"flag"
	"os"
	"regexp"
	"slices"
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

// trailing is a comment after a command.
var trailing = regexp.MustCompile(`\s{2,}# .*$`)

// commands are the lines for a shell of a page: those that are fenced as sh, and those that are indented as code, without comments.
func commands(page string) (lines []string) {
	fenced, other := false, false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "```sh":
			fenced = true
		case strings.HasPrefix(line, "```"):
			other = !fenced && !other
			fenced = false
		case other:
		case fenced || strings.HasPrefix(line, "    "):
			if line = trailing.ReplaceAllString(line, ""); strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "# ") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// TestTheSpanishTourIsTheReadmes compares the commands of the README's tour with those of the tour in Spanish: what is changed in one is changed in the other.
func TestTheSpanishTourIsTheReadmes(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	spanish, err := os.ReadFile("../docs/es.md")
	if err != nil {
		t.Fatal(err)
	}
	var tour []string
	for _, name := range []string{"Try it", "A tour", "Against the real WhatsApp", "Deploy with Docker"} {
		_, section, found := strings.Cut(string(readme), "\n## "+name+"\n")
		if !found {
			t.Fatalf("the README has no section %q", name)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		tour = append(tour, commands(section)...)
	}
	if len(tour) < 20 {
		t.Fatalf("the README's tour has only these commands: %q", tour)
	}
	if there := commands(string(spanish)); !slices.Equal(tour, there) {
		for i := range max(len(tour), len(there)) {
			if i >= len(tour) || i >= len(there) || tour[i] != there[i] {
				t.Fatalf("from command %d on they differ\n README: %q\n es.md:  %q", i, tour[min(i, len(tour)):], there[min(i, len(there)):])
			}
		}
	}
	if !strings.Contains(string(readme), "(infra/docs/es.md)") {
		t.Error("the README does not lead to the tour in Spanish")
	}
}
