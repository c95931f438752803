package features

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsNameTests: a test, fuzzer or benchmark that a page of the documentation names is there.
func TestDocumentsNameTests(t *testing.T) {
	t.Parallel()
	const root = "../.."
	defined := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	walk := func(suffix string, each func(path, text string)) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "node_modules"):
				return fs.SkipDir
			case !strings.HasSuffix(path, suffix):
				return nil
			}
			text, err := os.ReadFile(path)
			each(path, string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk("_test.go", func(_, text string) {
		for _, m := range function.FindAllStringSubmatch(text, -1) {
			defined[m[1]] = true
		}
	})
	named := 0
	walk(".md", func(path, text string) {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w+)`").FindAllStringSubmatch(text, -1) {
			if named++; !defined[m[1]] {
				t.Errorf("%s names %s, which is not there", path, m[1])
			}
		}
	})
	if named < 100 {
		t.Errorf("only %d names were found", named)
	}
}
