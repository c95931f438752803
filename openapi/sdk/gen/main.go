// Program gen writes the SDKs in openapi/sdk out of openapi/openapi.yaml:
//   - go: types and requests by oapi-codegen, and the client's methods by this program
//   - typescript: by @hey-api/openapi-ts
//   - python: types and the client's methods, by this program
//
// It runs at the root of the repository. With -check it changes nothing, and fails where a generated file is stale.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
)

const (
	source = "openapi/openapi.yaml"
	sdks   = "openapi/sdk"
	// scripts is where the TypeScript files are, which are replaced as a whole.
	scripts = "typescript/src/generated"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	check := flag.Bool("check", false, "change nothing, and fail where a generated file is stale")
	tool := flag.String("oapi-codegen", ".tools/oapi-codegen", "the program oapi-codegen")
	flag.Parse()
	if err := run(ctx, *tool, *check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, tool string, check bool) error {
	work, err := os.MkdirTemp("", "chasqui-sdk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	out := filepath.Join(work, "out")
	doc, err := read(source)
	if err != nil {
		return err
	}
	if err := generate(doc, out); err != nil {
		return err
	}
	if err := goModels(ctx, tool, doc, work, filepath.Join(out, "go")); err != nil {
		return err
	}
	if err := typescript(ctx, doc, work, filepath.Join(sdks, "gen"), filepath.Join(out, filepath.FromSlash(scripts))); err != nil {
		return err
	}
	made, err := files(out, ".")
	if err != nil {
		return err
	}
	have, err := files(sdks, scripts)
	if err != nil {
		return err
	}
	if check {
		return compare(out, made, have)
	}
	if err := os.RemoveAll(filepath.Join(sdks, scripts)); err != nil {
		return err
	}
	for _, name := range made {
		raw, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(sdks, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(sdks, name), raw, 0o644); err != nil { //nolint:gosec // source code
			return err
		}
	}
	return nil
}

// generate writes what this program makes without others'.
func generate(doc object, out string) error {
	for _, dir := range []string{"go", "python/chasqui"} {
		if err := os.MkdirAll(filepath.Join(out, dir), 0o755); err != nil {
			return err
		}
	}
	ops, err := operations(doc)
	if err != nil {
		return err
	}
	codes, err := problemCodes(source)
	if err != nil {
		return err
	}
	if err := goOperations(doc, ops, codes, filepath.Join(out, "go")); err != nil {
		return err
	}
	return python(doc, ops, codes, filepath.Join(out, "python", "chasqui"))
}

// compare fails where what was made into out is not what stands in the SDKs, or where those have more.
func compare(out string, made, have []string) error {
	for _, name := range have {
		if !slices.Contains(made, name) {
			return fmt.Errorf("%s is no longer generated: run make generate", filepath.Join(sdks, name))
		}
	}
	for _, name := range made {
		want, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		if is, err := os.ReadFile(filepath.Join(sdks, name)); err != nil || !bytes.Equal(is, want) {
			return fmt.Errorf("%s is stale: run make generate", filepath.Join(sdks, name))
		}
	}
	return nil
}

// files are the paths of the files below root/dir, from root.
func files(root, dir string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		all = append(all, name)
		return err
	})
	return all, err
}
