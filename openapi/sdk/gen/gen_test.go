package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What other programs generate, make generate/check looks after.
func TestGeneratedFilesAreOfThisDocument(t *testing.T) {
	t.Chdir("../../..")
	doc, err := read(source)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := generate(doc, out); err != nil {
		t.Fatal(err)
	}
	made, err := files(out, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 3 {
		t.Fatalf("made %v", made)
	}
	if err := compare(out, made, nil); err != nil {
		t.Fatal(err)
	}
}

// Generated files come from the document alone: nothing of the machine they were made on, and no lock file names where packages came from.
func TestGeneratedFilesNameNoPlaceAndNoTime(t *testing.T) {
	t.Chdir("../../..")
	var generated []string
	for _, pattern := range []string{"go/*_gen.go", "python/chasqui/models.py", "python/chasqui/_operations.py", scripts + "/*.ts", scripts + "/*/*.ts"} {
		found, err := filepath.Glob(filepath.Join(sdks, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		generated = append(generated, found...)
	}
	for _, name := range generated {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		if !strings.Contains(first, "Code generated") || !strings.Contains(first, "DO NOT EDIT") {
			t.Errorf("%s begins with %q", name, first)
		}
		for _, path := range []string{os.TempDir() + "/", mustWd(t)} {
			if strings.Contains(string(raw), path) {
				t.Errorf("%s names %s", name, path)
			}
		}
	}
	locks, err := filepath.Glob(sdks + "/*/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := filepath.Glob(sdks + "/*/*/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(locks, inner...) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`"resolved".*`).Find(raw); found != nil {
			t.Errorf("%s: %s", name, found)
		}
	}
}

func mustWd(t *testing.T) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return wd
}
