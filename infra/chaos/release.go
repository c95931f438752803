//go:build !linux || release

// Package chaos is left out of this program: it was built with the tag release, or for another system than Linux.
package chaos

import (
	"context"
	"errors"
	"io"

	"github.com/chasqui/chasqui/infra/config"
)

// Included says whether this program was built with the harness.
const Included = false

// Run fails: there is no harness in this program.
func Run(context.Context, *config.Chaos, io.Writer) error {
	return errors.New("this program was built without the chaos harness")
}
