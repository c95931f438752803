package tests3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/chasqui/chasqui/infra/devstack"
	"github.com/chasqui/chasqui/infra/s3"
)

// The kinds of server.
const (
	embedded = "embedded"
	minio    = "minio"
)

// Server is an S3 server with all that it stores in a temporary folder.
type Server struct {
	Config s3.Config

	// Kill ends the server with SIGKILL; it is started again at the same address.
	// Kill returns when the old process is gone and the new one accepts requests.
	Kill func() error

	// Stop ends the server and removes what it stores.
	Stop func()
}

func start(ctx context.Context, kind string) (*Server, error) {
	if kind == minio {
		return startMinIO(ctx)
	}
	server, err := devstack.StartS3(ctx, devstack.S3Config{Test: true})
	if err != nil {
		return nil, err
	}
	return &Server{
		Config: s3.Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey()},
		Kill: func() error {
			old := server.PID()
			if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
				return err
			}
			return await(func() bool {
				pid := server.PID()
				return pid != 0 && pid != old && answers(server.Endpoint()+"/health")
			})
		},
		Stop: server.Stop,
	}, nil
}

// minioBinary is where MinIO is, "" when it is nowhere.
func minioBinary() string {
	if named := os.Getenv("MINIO_BIN"); named != "" {
		return named
	}
	_, here, _, _ := runtime.Caller(0)
	built := filepath.Join(filepath.Dir(here), "..", "..", ".tools", "minio")
	if _, err := os.Stat(built); err != nil {
		return ""
	}
	return built
}

// startMinIO runs MinIO as a process of its own. Nobody starts it again but Kill.
func startMinIO(ctx context.Context) (*Server, error) {
	binary := minioBinary()
	if binary == "" {
		return nil, errors.New("there is no MinIO at $MINIO_BIN or .tools/minio; make minio builds it")
	}
	// On a disk of which less than 1% is free MinIO stores nothing, as large as the
	// disk may be (diskFillFraction in its cmd/globals.go).
	dir, err := devstack.TestFolder(minioSpace)
	if err != nil {
		return nil, err
	}
	lock, err := devstack.TakeLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	m := &minioProcess{binary: binary, dir: dir, lock: lock, secret: rand.Text()}
	if m.address, err = freeAddress(ctx); err != nil {
		m.stop()
		return nil, err
	}
	if err := m.start(); err != nil {
		m.stop()
		return nil, err
	}
	return &Server{
		Config: s3.Config{Endpoint: "http://" + m.address, AccessKey: minioUser, SecretKey: m.secret},
		Kill: func() error {
			m.kill()
			return m.start()
		},
		Stop: m.stop,
	}, nil
}

const (
	minioUser = "chasqui-test"
	// minioSpace is what all tests of a package store, several times over, and 1 GiB
	// for each file whose size is not known beforehand, which MinIO wants to have.
	minioSpace = 4 << 30
)

type minioProcess struct {
	binary, dir, address, secret string
	lock                         *devstack.Lock

	exit  chan struct{} // closed: the process is to be killed
	ended chan error
}

// start returns when the server is ready. The goroutine that starts the process
// waits for it too, on a thread of its own: with that thread the kernel would end
// the process.
func (m *minioProcess) start() error {
	cmd := exec.CommandContext(context.Background(), m.binary, "server", "--quiet", "--address", m.address, //nolint:gosec // the developer's own MinIO
		"--console-address", "127.0.0.1:0", "--certs-dir", filepath.Join(m.dir, "certs"), filepath.Join(m.dir, "data"))
	cmd.Env = []string{"HOME=" + m.dir, "PATH=" + os.Getenv("PATH"), "MINIO_ROOT_USER=" + minioUser, "MINIO_ROOT_PASSWORD=" + m.secret,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off"}
	exit, ended := make(chan struct{}), make(chan error, 1)
	m.exit, m.ended = exit, ended
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr = dieWithParent()
		err := cmd.Start()
		started <- err
		if err == nil {
			go func() {
				<-exit
				_ = cmd.Process.Kill()
			}()
			err = cmd.Wait()
		}
		ended <- err
	}()
	if err := <-started; err != nil {
		return err
	}
	return await(func() bool { return answers("http://" + m.address + "/minio/health/cluster") })
}

func (m *minioProcess) kill() {
	if m.exit != nil {
		close(m.exit)
		<-m.ended //nolint:errcheck // it was told to end
		m.exit = nil
	}
}

func (m *minioProcess) stop() {
	m.kill()
	os.RemoveAll(m.dir)
	m.lock.Release()
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// answers reports whether the URL gives status 200.
func answers(address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	request.Close = true // no connection stays
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// await polls until the condition holds.
func await(condition func() bool) error {
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the S3 server was not there within %v", patience)
		}
	}
	return nil
}
