// Package s3 keeps objects in an S3 server: whole files under leaf-only keys,
// streamed in and out with little memory. It is the only package that speaks S3,
// and it asks for no more of the server than the embedded one, MinIO and AWS
// have in common.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Config says where the objects are.
type Config struct {
	// Endpoint is the server's URL: http(s)://host[:port], no path.
	Endpoint string

	// Bucket is where all objects go. It is created when it is missing.
	Bucket string

	AccessKey, SecretKey string

	// Region is what requests are signed for. "": us-east-1, which every server
	// but AWS's takes.
	Region string

	// PublicURL is the endpoint as clients reach it, for presigned URLs, in the
	// form of Endpoint. "": Endpoint.
	PublicURL string

	// SyncDir is a directory of this machine that holds the server's data. Its
	// filesystem is synced after each Put, so that what Put has stored outlives a
	// power cut although the embedded server never syncs. "": the server sees to it.
	SyncDir string

	// Logger gets what no caller is told: uploads that could not be aborted.
	// nil discards it.
	Logger *slog.Logger
}

const (
	// openTimeout bounds the look for the bucket at the start.
	openTimeout = 10 * time.Second

	// defaultRegion is what every server but AWS's takes.
	defaultRegion = "us-east-1"
)

// Store is a bucket on a server. Its methods may be called from any goroutine.
//
// Keys are leaf-only: where there is an object p there must never be one p/q,
// which the embedded server, for whom keys are paths, cannot store. Errors never
// hold a key.
type Store struct {
	config    Config
	log       *slog.Logger
	core      *minio.Core
	public    *minio.Client // knows the public address; only signs, never connects
	transport *http.Transport
	disk      *disk       // nil: no SyncDir
	found     atomic.Bool // the bucket has been seen
	last      pinged
	buffers   sync.Pool // of *[]byte, partSize long
}

// Open connects to the server and creates the bucket when it is missing, which
// several processes may do at the same time.
//
// Failure policy: a server that cannot be reached within openTimeout is no error,
// since what needs no media can work without: the first Put makes up for the
// bucket. A server that refuses is one.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := s3utils.CheckValidBucketNameStrict(config.Bucket); err != nil {
		return nil, fmt.Errorf("open S3: bucket: %w", err)
	}
	transport := newTransport()
	options := minio.Options{
		Creds:     credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""),
		Transport: transport,
		Region:    cmp.Or(config.Region, defaultRegion),
		// The library would send a body again while net/http may still be reading
		// it for the attempt before. What is safe to send again, Put sends.
		MaxRetries: 1,
	}
	client, err := newClient(config.Endpoint, options)
	if err != nil {
		return nil, fmt.Errorf("open S3: endpoint: %w", err)
	}
	s := &Store{config: config, log: config.Logger, core: &minio.Core{Client: client}, public: client, transport: transport}
	s.buffers.New = func() any {
		buffer := make([]byte, partSize)
		return &buffer
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if config.PublicURL != "" {
		if s.public, err = newClient(config.PublicURL, options); err != nil {
			return nil, fmt.Errorf("open S3: public URL: %w", err)
		}
	}
	if config.SyncDir != "" {
		if s.disk, err = openDisk(config.SyncDir); err != nil {
			return nil, fmt.Errorf("open S3: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := s.ensureBucket(ctx); Unavailable(err) {
		s.log.WarnContext(ctx, "S3 cannot be reached yet; media wait for it", "error", err)
	} else if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func newClient(endpoint string, options minio.Options) (*minio.Client, error) {
	address, err := url.Parse(endpoint)
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" ||
		address.User != nil || strings.Trim(address.Path, "/") != "" || address.RawQuery != "" || address.Fragment != "" {
		// The text is not repeated: somebody may have put a password into it.
		return nil, errors.New("is no URL such as https://host:9000")
	}
	options.Secure = address.Scheme == "https"
	return minio.New(address.Host, &options)
}

// ensureBucket makes sure of the bucket, once.
func (s *Store) ensureBucket(ctx context.Context) error {
	if s.found.Load() {
		return nil
	}
	if err := s.findBucket(ctx); err != nil {
		return err
	}
	s.found.Store(true)
	return nil
}

func (s *Store) findBucket(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.config.Bucket)
	if err != nil {
		return s.failure(ctx, "look for the bucket", err)
	}
	if exists {
		return nil
	}
	err = s.core.MakeBucket(ctx, s.config.Bucket, minio.MakeBucketOptions{Region: cmp.Or(s.config.Region, defaultRegion)})
	if err == nil {
		s.log.InfoContext(ctx, "S3 bucket created", "bucket", s.config.Bucket)
		return nil
	}
	// Another process may have been faster; whether the bucket is ours too, its
	// existence tells to us and not a code that servers disagree about.
	if exists, existsErr := s.core.BucketExists(ctx, s.config.Bucket); existsErr == nil && exists {
		return nil
	}
	return s.failure(ctx, "create the bucket", err)
}

// Ready reports whether the server answers and the bucket is there.
func (s *Store) Ready(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.config.Bucket)
	if err != nil {
		return s.failure(ctx, "look for the bucket", err)
	}
	if !exists {
		return errors.New("the S3 bucket is gone")
	}
	return nil
}

// Close drops idle connections. No method may be called afterwards; readers that
// Get returned live on.
func (s *Store) Close() {
	s.transport.CloseIdleConnections()
	if s.disk != nil {
		s.disk.close()
	}
}
