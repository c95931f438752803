//go:build nos3dev

package devstack

import (
	"context"
	"errors"
)

const embedsS3 = false

func serveS3(context.Context, s3Settings, func()) error {
	return errors.New("this build of chasqui has no S3 server of its own")
}
