//go:build !nos3dev

package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/s3"
)

func startS3(t *testing.T, config S3Config) *S3 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := StartS3(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func openS3(t *testing.T, s *S3) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), s3.Config{
		Endpoint: s.Endpoint(), Bucket: "media", AccessKey: s.AccessKey(), SecretKey: s.SecretKey(), SyncDir: s.Dir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func wantObject(t *testing.T, store *s3.Store, want []byte) {
	t.Helper()
	body, err := store.Get(t.Context(), "folder/object", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func putObject(t *testing.T, store *s3.Store, content []byte) {
	t.Helper()
	if _, err := store.Put(t.Context(), "folder/object", bytes.NewReader(content), -1, "image/png"); err != nil {
		t.Fatal(err)
	}
}

func TestS3StartsStopsAndFindsItsObjectsAgain(t *testing.T) {
	t.Parallel()
	config := S3Config{Dir: filepath.Join(folder(t), "s3")}
	begun := time.Now()
	first := startS3(t, config)
	t.Logf("ready after %v", time.Since(begun))
	content := bytes.Repeat([]byte("content "), 1<<20)
	putObject(t, openS3(t, first), content)
	pid, access, secret := first.PID(), first.AccessKey(), first.SecretKey()
	begun = time.Now()
	first.Stop()
	first.Stop() // again, to no effect
	t.Logf("stopped after %v", time.Since(begun))
	if !gone(pid) || first.Err() != nil {
		t.Fatalf("the server still runs after Stop, or %v", first.Err())
	}
	second := startS3(t, config)
	if second.AccessKey() != access || second.SecretKey() != secret || len(secret) != 64 {
		t.Fatal("the keys changed")
	}
	wantObject(t, openS3(t, second), content)
}

func TestS3RestartsAtTheSameAddressAfterKill(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Config{Dir: filepath.Join(folder(t), "s3")})
	store := openS3(t, s)
	putObject(t, store, []byte("content"))
	for range 3 {
		pid := s.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the server is back", func() bool { return s.PID() != pid && store.Ready(t.Context()) == nil })
		wantObject(t, store, []byte("content"))
	}
	s.Stop()
	if err := s.Err(); err != nil {
		t.Fatalf("Err after Stop: %v", err)
	}
}

// The port is kept while nobody listens on it: whoever asks for any free one gets
// another.
func TestAReservedPortIsGivenToNobodyElse(t *testing.T) {
	t.Parallel()
	p, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	defer p.release()
	if other, err := reservePort(); err != nil || other.number == p.number {
		t.Fatalf("%+v, %v", other, err)
	} else {
		other.release()
	}
	for range 2 {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", p.number))
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
	}
}

func TestS3GivesUpOnAServerThatCannotStart(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Config{Dir: filepath.Join(folder(t), "s3")})
	data := filepath.Join(s.Dir(), "data")
	if err := os.Rename(data, data+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatal("it does not give up")
	}
	if s.Err() == nil {
		t.Fatal("Err is nil although nobody stopped the server")
	}
	s.Stop() // returns
	// The folder is free again, and whole once its data are back.
	if err := errors.Join(os.Remove(data), os.Rename(data+".away", data)); err != nil {
		t.Fatal(err)
	}
	startS3(t, s.config)
}

func TestS3RefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	config := S3Config{Dir: filepath.Join(folder(t), "s3")}
	store := openS3(t, startS3(t, config))
	if _, err := StartS3(t.Context(), config); !errors.Is(err, ErrLocked) {
		t.Fatalf("second start: %v, want ErrLocked", err)
	}
	if err := store.Ready(t.Context()); err != nil { // undisturbed
		t.Fatal(err)
	}
}

func TestS3StartStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	config := S3Config{Dir: filepath.Join(folder(t), "s3")}
	if _, err := StartS3(ctx, config); !errors.Is(err, context.Canceled) {
		t.Fatalf("start with an ended context: %v", err)
	}
	startS3(t, config) // what is left is no hindrance
}

func TestS3RemovesItsTemporaryFolder(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Config{Test: true})
	s.Stop()
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("its temporary folder is still there: %v", err)
	}
}

func TestNoS3OutlivesItsKilledParent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "s3")
	child, pid := startChildOf(t, s3Variable, dir)
	if gone(pid) {
		t.Fatal("the child's server does not run")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	startS3(t, S3Config{Dir: dir}) // does not wait for the old server
	eventually(t, "the server has ended", func() bool { return gone(pid) })
}

func TestS3StopsInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Config{Test: true})
	store := openS3(t, s)
	started, ended := make(chan struct{}), make(chan error, 1)
	read, write := io.Pipe()
	go func() {
		_, err := store.Put(context.Background(), "object", read, 20<<20, "")
		ended <- err
	}()
	go func() {
		_, _ = write.Write(make([]byte, 1<<20)) // and then nothing, as from a phone out of reach
		close(started)
	}()
	<-started
	begun := time.Now()
	s.Stop()
	if took := time.Since(begun); took > s3StopTimeout+time.Second {
		t.Fatalf("Stop took %v", took)
	}
	read.CloseWithError(errors.New("the phone is gone"))
	if err := <-ended; err == nil {
		t.Fatal("the put succeeded on a stopped server")
	}
}

func TestS3KeepsItsSecretToItself(t *testing.T) {
	t.Parallel()
	s := startS3(t, S3Config{Dir: filepath.Join(folder(t), "s3")})
	for _, file := range []string{"cmdline", "environ"} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID(), file))
		if err != nil || bytes.Contains(content, []byte(s.SecretKey())) {
			t.Errorf("%s shows the secret, or %v", file, err)
		}
	}
	info, err := os.Stat(filepath.Join(s.Dir(), "secret-key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if !strings.HasPrefix(s.Endpoint(), "http://127.0.0.1:") {
		t.Errorf("others can reach %s", s.Endpoint())
	}
}

// A filesystem without extended attributes, or a folder that was begun on one.
func TestS3KeepsMetadataInFiles(t *testing.T) {
	t.Parallel()
	config := S3Config{Dir: filepath.Join(folder(t), "s3")}
	metadata := filepath.Join(config.Dir, "metadata")
	if err := os.MkdirAll(metadata, 0o700); err != nil {
		t.Fatal(err)
	}
	s := startS3(t, config)
	store := openS3(t, s)
	for _, size := range []int{0, 1000, 11 << 20} {
		content := bytes.Repeat([]byte("x"), size)
		putObject(t, store, content)
		wantObject(t, store, content)
	}
	if entries, err := os.ReadDir(metadata); err != nil || len(entries) == 0 {
		t.Fatalf("no metadata: %v", err)
	}
	if err := store.Delete(t.Context(), "folder/object"); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	wantNone := openS3(t, startS3(t, config))
	if _, err := wantNone.Stat(t.Context(), "folder/object"); !errors.Is(err, s3.ErrNotFound) {
		t.Fatal(err)
	}
}
