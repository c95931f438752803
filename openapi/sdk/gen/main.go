// Program gen writes the SDKs in openapi/sdk out of openapi/openapi.yaml:
//   - go: types and requests by oapi-codegen, and the client's methods
//   - typescript: by @hey-api/openapi-ts
//   - python: types and the client's methods, by this program
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
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
	doc, err := read("openapi/openapi.yaml")
	if err != nil {
		return err
	}
	ops, err := operations(doc)
	if err != nil {
		return err
	}
	codes, err := problemCodes("openapi/openapi.yaml")
	if err != nil {
		return err
	}
	out := "openapi/sdk"
	_ = check
	g := filepath.Join(out, "go")
	if err := os.MkdirAll(g, 0o755); err != nil {
		return err
	}
	if err := goModels(ctx, tool, doc, work, g); err != nil {
		return err
	}
	if err := goOperations(doc, ops, codes, g); err != nil {
		return err
	}
	return typescript(ctx, doc, work, filepath.Join(out, "gen"), filepath.Join(out, "typescript", "src", "generated"))
}
