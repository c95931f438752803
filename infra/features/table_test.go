package features

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite infra/docs/features.md")

const intro = `# What it does, and the test that shows it

Each row is something that people use; behind it stands the test that shows it, against the real program and the simulated WhatsApp. Tests of ` + "`infra/features`" + ` go
through HTTP and look at what the phone saw, or at what clients saw when the phone acted. This file is generated from the tests' own comments (` + "`make generate`" + `); a row without
a test, but for those marked *not yet*, fails the build. What the simulation cannot show about the real WhatsApp stands in [its README](../sandbox/README.md).
`

// TestTable holds infra/docs/features.md against the tests: a test names the features it shows in its comment, in lines "Feature: <row>".
func TestTable(t *testing.T) {
	t.Parallel()
	shown := shownBy(t, "../..")
	var doc strings.Builder
	doc.WriteString(intro)
	for _, area := range table {
		fmt.Fprintf(&doc, "\n## %s\n\n| feature | shown by |\n| --- | --- |\n", area.name)
		for _, row := range area.rows {
			row, later := strings.CutSuffix(row, notYet)
			tests := shown[row]
			delete(shown, row)
			switch {
			case len(tests) > 0 && later:
				t.Errorf("%q has a test and is marked as not there yet", row)
			case len(tests) > 0:
				slices.Sort(tests)
				fmt.Fprintf(&doc, "| %s | %s |\n", row, strings.Join(tests, ", "))
			case later:
				fmt.Fprintf(&doc, "| %s | *not yet* |\n", row)
			default:
				t.Errorf("no test shows %q", row)
			}
		}
	}
	for row, tests := range shown {
		t.Errorf("the table has no row %q, which %v show", row, tests)
	}
	doc.WriteString(leftOut)
	const file = "../docs/features.md"
	if *update {
		if err := os.WriteFile(file, []byte(doc.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := os.ReadFile(file); err != nil || string(is) != doc.String() {
		t.Errorf("%s is not what the tests say (%v): run make generate", file, err)
	}
}

// shownBy reads which tests show which features.
func shownBy(t *testing.T, root string) map[string][]string {
	t.Helper()
	shown := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			f, ok := declared.(*ast.FuncDecl)
			if !ok || f.Doc == nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			for line := range strings.SplitSeq(f.Doc.Text(), "\n") {
				if row, ok := strings.CutPrefix(line, "Feature: "); ok {
					dir, err := filepath.Rel(root, filepath.Dir(path))
					if err != nil {
						return err
					}
					shown[row] = append(shown[row], fmt.Sprintf("`%s` %s", filepath.ToSlash(dir), f.Name.Name))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return shown
}
