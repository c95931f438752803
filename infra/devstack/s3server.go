//go:build !nos3dev

package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
)

// embedsS3 says whether this program can be an S3 server. Release images are
// built without: they are given one.
const embedsS3 = true

// serveS3 serves S3 from a folder until ctx ends. It can run only once in a
// process, whose working folder it changes. Objects are files below data; their
// metadata are extended attributes where the filesystem has those, else files
// below metadata.
func serveS3(ctx context.Context, settings s3Settings, listens func()) error {
	const region = "us-east-1"
	data, metadata := filepath.Join(settings.Dir, "data"), filepath.Join(settings.Dir, "metadata")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make the S3 server's folder: %w", err)
	}
	options := posix.PosixOpts{
		CopyObjectThreshold: 5 << 30, // zero would refuse every copy
		IOBufferSize:        256 << 10,
	}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	var storer meta.MetadataStorer = meta.XattrMeta{}
	// A folder that began with files goes on with them, wherever it was moved.
	if _, err := os.Stat(metadata); err == nil || (meta.XattrMeta{}).Test(data) != nil {
		if err := os.MkdirAll(metadata, 0o700); err != nil {
			return fmt.Errorf("make the S3 server's folder: %w", err)
		}
		if storer, err = meta.NewSideCar(metadata); err != nil {
			return fmt.Errorf("open the S3 server's metadata: %w", err)
		}
		options.SideCarDir = metadata
	}
	backend, err := posix.New(data, storer, options)
	if err != nil {
		return fmt.Errorf("open the S3 server's data: %w", err)
	}
	root := auth.Account{Access: settings.AccessKey, Secret: settings.SecretKey, Role: auth.RoleAdmin}
	server, err := s3api.New(backend, middlewares.RootUserConfig{Access: root.Access, Secret: root.Secret}, region,
		auth.NewIAMServiceSingle(root), nil, nil, nil, nil,
		s3api.WithConcurrencyLimiter(1024, 1024), // zero would refuse every request
		s3api.WithMpMaxParts(10000),              // zero would refuse every part
		s3api.WithHealth("/health"),
		s3api.WithQuiet(),
		s3api.WithOnListen(listens),
		// No WithKeepAlive: a connection that is kept outlives its request, and the
		// server waits for it when it is to end.
	)
	if err != nil {
		return fmt.Errorf("set up the S3 server: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeMultiPort([]string{settings.Address}) }()
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("the S3 server ended by itself")
		}
		return err
	case <-ctx.Done():
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.ShutDown() }()
	select {
	case err := <-stopped:
		return err
	case <-time.After(s3DrainTimeout): // its own limit is 10 s
		return nil
	}
}
