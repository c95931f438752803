package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// typescript has openapi-ts write types and methods of a document into out; it and its configuration are in the folder gen.
func typescript(ctx context.Context, doc object, work, gen, out string) error {
	doc, err := clone(doc)
	if err != nil {
		return err
	}
	delete(at(doc, "paths"), "/v1/events/stream") // the SDK reads the stream itself
	event := at(doc, "components", "schemas", "Event")
	for _, beside := range []string{"type", "required", "properties"} { // TypeScript has unions
		delete(event, beside)
	}
	spec, err := filepath.Abs(filepath.Join(work, "typescript.json"))
	if err != nil {
		return err
	}
	if err := write(doc, spec); err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", "node_modules/@hey-api/openapi-ts/bin/run.js", "-f", "openapi-ts.config.mjs", "--no-log-file", "--silent")
	cmd.Dir, cmd.Env = gen, append(os.Environ(), "INPUT="+spec, "OUTPUT="+out)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("openapi-ts: %w\n%s", err, said)
	}
	return nil
}
