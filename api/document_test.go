package api

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite openapi/openapi.yaml")

const committed = "../openapi/openapi.yaml"

// TestSpec fails when openapi/openapi.yaml is not what the code says.
func TestSpec(t *testing.T) {
	t.Parallel()
	document, err := Spec()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(committed, document, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, document) {
		t.Errorf("%s is stale: run go test ./api -run TestSpec -update", committed)
	}
}
