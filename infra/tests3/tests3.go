// Package tests3 gives tests S3 buckets of their own: on the embedded server,
// which starts with a test binary's first bucket, and on MinIO where its binary
// is there.
package tests3

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/s3"
)

// variable, when it is "minio", has New use MinIO as well.
const variable = "CHASQUI_TEST_S3"

// patience bounds each start; the embedded server takes 0.2 s, MinIO a second.
const patience = time.Minute

// shared are this process's servers, each started by the first test that needs it.
var shared = map[string]*struct {
	once   sync.Once
	server *Server
	err    error
}{embedded: {}, minio: {}}

// With returns m with the servers' needs seen to: Run lets this binary be the
// embedded server where it is started as that, and stops the servers at the end.
// A package whose tests use this one has it in TestMain:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(tests3.With(m)) }
//	func TestMain(m *testing.M) { testdb.Run(tests3.With(m)) }
func With(m *testing.M) Main {
	devstack.MaybeS3Child()
	return Main{m}
}

// Main is a testing.M that stops the servers.
type Main struct{ m *testing.M }

// Run runs the tests.
func (w Main) Run() int {
	defer func() {
		for _, s := range shared {
			if s.server != nil {
				s.server.Stop()
			}
		}
	}()
	return w.m.Run()
}

// New returns a fresh bucket's settings. The bucket is made by s3.Open.
func New(t testing.TB) s3.Config {
	t.Helper()
	if os.Getenv(variable) == minio {
		return bucket(t, minio)
	}
	return bucket(t, embedded)
}

// Open is New, opened; it is closed when the test ends.
func Open(t testing.TB) *s3.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	store, err := s3.Open(ctx, New(t))
	if err != nil {
		t.Fatalf("tests3: %v", err)
	}
	t.Cleanup(store.Close)
	return store
}

// Each runs the test with a fresh bucket on each kind of server. MinIO is left out
// where its binary is not there, but in CI that is a failure: `make minio` builds it.
func Each(t *testing.T, test func(*testing.T, s3.Config)) {
	t.Helper()
	each(t, func(t *testing.T, kind string) { test(t, bucket(t, kind)) })
}

// EachServer is Each with a server for this test alone, which it may kill.
func EachServer(t *testing.T, test func(*testing.T, *Server)) {
	t.Helper()
	each(t, func(t *testing.T, kind string) { test(t, own(t, kind)) })
}

// Start returns an embedded server for this test alone, which it may kill, with the settings of a fresh bucket.
func Start(t testing.TB) *Server {
	t.Helper()
	return own(t, embedded)
}

func own(t testing.TB, kind string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server, err := start(ctx, kind)
	if err != nil {
		t.Fatalf("tests3: %v", err)
	}
	t.Cleanup(server.Stop)
	server.Config.Bucket = fresh()
	return server
}

func each(t *testing.T, test func(*testing.T, string)) {
	t.Helper()
	for _, kind := range []string{embedded, minio} {
		if kind == minio && minioBinary() == "" {
			if os.Getenv("CI") == "true" {
				t.Errorf("tests3: there is no MinIO at $MINIO_BIN or .tools/minio; make minio builds it")
			}
			continue
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// bucket is a fresh one on the shared server of that kind.
func bucket(t testing.TB, kind string) s3.Config {
	t.Helper()
	s := shared[kind]
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.server, s.err = start(ctx, kind)
	})
	if s.err != nil {
		t.Fatalf("tests3: %v", s.err)
	}
	config := s.server.Config
	config.Bucket = fresh()
	return config
}

func fresh() string { return "test-" + strings.ToLower(rand.Text()) }
