//go:build images

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"
)

// An image is one that verify.sh has built: its configuration, and the folder its root file system is in.
type image struct {
	root   string
	config struct {
		User            string
		Env, Entrypoint []string
		Cmd             []string
		Volumes         map[string]struct{}
		Labels          map[string]string
		Healthcheck     struct{ Test []string }
		WorkingDir      string
		ExposedPorts    map[string]struct{}
	}
}

// openImage reads what verify.sh left in the folder that CHASQUI_IMAGES names: NAME.json, as buildah inspects it, and NAME.root, the path of the root.
func openImage(t *testing.T, name string) *image {
	t.Helper()
	dir := os.Getenv("CHASQUI_IMAGES")
	root, err := os.ReadFile(filepath.Join(dir, name+".root"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	i := &image{root: strings.TrimSpace(string(root))}
	document := struct {
		Docker struct {
			Config any `json:"config"`
		}
	}{}
	document.Docker.Config = &i.config
	if err := json.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	return i
}

// confine makes the root what a container sees with read_only: nothing can be written but the folders given, which are named below the root. The
// mounts end with the mount namespace that verify.sh runs this test in.
func (i *image) confine(t *testing.T, writable map[string]string) {
	t.Helper()
	mount := func(source, target, kind string, flags uintptr) {
		if err := syscall.Mount(source, target, kind, flags, ""); err != nil {
			t.Fatalf("mount %s: %v", target, err)
		}
	}
	// What an engine brings into every container.
	for _, dir := range []string{"proc", "dev", "etc"} {
		if err := os.MkdirAll(filepath.Join(i.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hosts := "127.0.0.1 localhost postgres minio sandbox whatsapp-api\n"
	if err := os.WriteFile(filepath.Join(i.root, "etc/hosts"), []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	mount(i.root, i.root, "", syscall.MS_BIND)
	mount("", i.root, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY|syscall.MS_NOSUID)
	mount("/proc", filepath.Join(i.root, "proc"), "", syscall.MS_BIND)
	mount("/dev", filepath.Join(i.root, "dev"), "", syscall.MS_BIND)
	for target, source := range writable {
		// A fresh named volume takes the owner and the mode of the folder that it covers over.
		folder, err := os.Stat(filepath.Join(i.root, target))
		if err != nil {
			t.Fatal(err)
		}
		owner := folder.Sys().(*syscall.Stat_t)
		if err := os.MkdirAll(source, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(source, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(source, folder.Mode()); err != nil {
			t.Fatal(err)
		}
		mount(source, filepath.Join(i.root, target), "", syscall.MS_BIND)
	}
	if err := os.WriteFile(filepath.Join(i.root, "written"), nil, 0o644); err == nil {
		t.Fatal("the root can be written to")
	}
}

// command runs in the image as its user, with the image's environment and env.
func (i *image) command(ctx context.Context, env []string, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	if !filepath.IsAbs(arguments[0]) {
		c.Path, c.Err = "/usr/bin/"+arguments[0], nil // in the image, not here
	}
	c.Dir, c.Env = "/", append(slices.Clone(i.config.Env), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	return c
}

// setup opens an image and checks what all have in common.
func setup(t *testing.T, name string) *image {
	t.Helper()
	i := openImage(t, name)
	if i.config.User != "65532:65532" || i.config.Labels["org.opencontainers.image.licenses"] == "" || i.config.Labels["org.opencontainers.image.version"] == "" ||
		len(i.config.Healthcheck.Test) < 2 {
		t.Errorf("%s is configured as %+v", name, i.config)
	}
	return i
}

func TestScratchImageHoldsTheProgramAlone(t *testing.T) {
	i := setup(t, "chasqui")
	var files []string
	err := filepath.WalkDir(i.root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, i.root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/chasqui", "/etc/group", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt"}; !slices.Equal(files, want) {
		t.Errorf("it holds %v, want %v", files, want)
	}
	tmp, err := os.Stat(filepath.Join(i.root, "tmp"))
	if err != nil || tmp.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
		t.Errorf("/tmp: %v, %v", tmp, err)
	}
	out, err := i.command(t.Context(), nil, "/chasqui", "healthcheck", "--help").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("HEALTHCHECK_URL")) {
		t.Errorf("healthcheck --help: %v\n%s", err, out)
	}
}

func TestFFmpegImageHasItsTools(t *testing.T) {
	i := setup(t, "ffmpeg")
	for _, arguments := range [][]string{{"/chasqui", "healthcheck", "--help"}, {"ffmpeg", "-version"}, {"ffprobe", "-version"}, {"curl", "--version"}} {
		if out, err := i.command(t.Context(), nil, arguments...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", arguments, err, out)
		}
	}
	encoders, err := i.command(t.Context(), nil, "ffmpeg", "-hide_banner", "-encoders").Output()
	if err != nil || !bytes.Contains(encoders, []byte("libopus")) {
		t.Errorf("ffmpeg cannot write Opus: %v", err)
	}
}

// TestStackRunsFromTheImages starts the services of docker-compose.yml out of the images, in their order and with their environment, user, read-only
// root and health checks, and sends messages through them. Only the network differs (all share one), and PostgreSQL is this machine's.
//
// Feature: Docker and compose
func TestStackRunsFromTheImages(t *testing.T) {
	s := &stack{t: t, project: loadAll(t), dir: os.Getenv("CHASQUI_IMAGES"), images: map[string]*image{}, started: map[string]bool{}}
	if err := os.Mkdir(filepath.Join(s.dir, "volumes"), 0o755); err != nil { // every user passes through it
		t.Fatal(err)
	}
	for _, name := range []string{"chasqui", "minio"} {
		s.images[name] = setup(t, name)
	}
	s.images["chasqui"].confine(t, map[string]string{"tmp": filepath.Join(s.dir, "volumes/tmp")})
	s.images["minio"].confine(t, map[string]string{"tmp": filepath.Join(s.dir, "volumes/minio-tmp"), "data": filepath.Join(s.dir, "volumes/minio")})
	for _, name := range slices.Sorted(maps.Keys(s.project.Services)) {
		s.start(name)
	}

	tour := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "infra/e2e/tour.sh"))
	tour.Env = append(os.Environ(), "CHASQUI_URL=http://127.0.0.1:3000", "SANDBOX_URL=http://127.0.0.1:3001", "CHASQUI_KEY="+secrets["API_KEY"])
	if out, err := tour.CombinedOutput(); err != nil {
		t.Errorf("the tour: %v\n%s", err, out)
	}
	s.stop()
}

// A stack is the services of the project as processes.
type stack struct {
	t       *testing.T
	project *types.Project
	dir     string
	images  map[string]*image
	started map[string]bool
	running []service // in the order of their start
}

type service struct {
	name   string
	cmd    *exec.Cmd
	output *os.File
	ended  chan error
}

// start starts a service once all that it depends on is healthy, or has ended well.
func (s *stack) start(name string) {
	s.t.Helper()
	if s.started[name] {
		return
	}
	s.started[name] = true
	definition := s.project.Services[name]
	for _, other := range slices.Sorted(maps.Keys(definition.DependsOn)) {
		s.start(other)
	}
	if name == "postgres" {
		s.postgres(definition)
		return
	}
	i := s.images["chasqui"]
	if name == "minio" {
		i = s.images["minio"]
	}
	var env []string
	for variable, value := range definition.Environment {
		env = append(env, variable+"="+*value)
	}
	if name == "dispatcher" {
		env = append(env, "METRICS_ADDR=:9091") // the connector has 9090 here
	}
	arguments := append(slices.Clone(i.config.Entrypoint), definition.Command...)
	p := s.run(name, i.command(context.Background(), env, arguments...))
	if definition.HealthCheck.Disable {
		if err := <-p.ended; err != nil {
			s.fatal(p, err)
		}
		s.t.Logf("%s has ended", name)
		return
	}
	s.running = append(s.running, p)
	s.await(p, func() error { return i.command(s.t.Context(), env, definition.HealthCheck.Test[1:]...).Run() })
}

// run starts a process with its output in a file.
func (s *stack) run(name string, cmd *exec.Cmd) service {
	s.t.Helper()
	output, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = output, output
	p := service{name, cmd, output, make(chan error, 1)}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", name, err)
	}
	s.t.Cleanup(func() { cmd.Process.Kill(); output.Close() }) // once it has ended well, it does nothing
	go func() { p.ended <- cmd.Wait() }()
	return p
}

// await waits until a service is healthy.
func (s *stack) await(p service, healthy func() error) {
	s.t.Helper()
	begin, poll := time.Now(), time.NewTicker(100*time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(time.Minute); ; {
		err := healthy()
		if err == nil {
			s.t.Logf("%s is healthy after %d ms", p.name, time.Since(begin).Milliseconds())
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			s.fatal(p, fmt.Errorf("not healthy: %w", err))
		case err := <-p.ended:
			s.fatal(p, fmt.Errorf("it ended: %w", err))
		}
	}
}

func (s *stack) fatal(p service, err error) {
	s.t.Helper()
	log, _ := os.ReadFile(p.output.Name())
	s.t.Fatalf("%s: %v\n%s", p.name, err, log[max(0, len(log)-4000):])
}

// stop ends everything as an engine does, last started first.
func (s *stack) stop() {
	for _, p := range slices.Backward(s.running) {
		stopSignal := syscall.SIGTERM
		if p.name == "postgres" {
			stopSignal = syscall.SIGINT // as its image says
		}
		p.cmd.Process.Signal(stopSignal)
		select {
		case err := <-p.ended:
			if err != nil {
				s.fatal(p, fmt.Errorf("stop: %w", err))
			}
		case <-time.After(time.Duration(*s.project.Services[p.name].StopGracePeriod)):
			s.fatal(p, errors.New("it does not stop"))
		}
	}
}

// postgres is this machine's, with the user, password and database of the service.
func (s *stack) postgres(definition types.ServiceConfig) {
	t, value := s.t, environment(definition)
	t.Helper()
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	data := filepath.Join(s.dir, "volumes/postgres")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(s.dir, "volumes/password")
	if err := os.WriteFile(password, []byte(value("POSTGRES_PASSWORD")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{data, password} {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	binaries, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(binaries) == 0 {
		t.Fatal("PostgreSQL is not installed")
	}
	bin := binaries[len(binaries)-1]
	as := func(name string, arguments ...string) *exec.Cmd {
		c := exec.CommandContext(context.Background(), filepath.Join(bin, name), arguments...)
		c.Dir = data
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return c
	}
	arguments := []string{"-D", data, "-U", value("POSTGRES_USER"), "-A", "scram-sha-256", "--pwfile", password}
	if out, err := as("initdb", append(arguments, strings.Fields(value("POSTGRES_INITDB_ARGS"))...)...).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	p := s.run("postgres", as("postgres", "-D", data, "-k", "", "-h", "127.0.0.1"))
	s.running = append(s.running, p)
	s.await(p, func() error {
		address := fmt.Sprintf("postgres://%s:%s@127.0.0.1:5432/postgres?sslmode=disable", value("POSTGRES_USER"), value("POSTGRES_PASSWORD"))
		connection, err := pgx.Connect(t.Context(), address)
		if err != nil {
			return err
		}
		defer connection.Close(t.Context())
		_, err = connection.Exec(t.Context(), "CREATE DATABASE "+value("POSTGRES_DB"))
		return err
	})
	// The image's own check.
	check := definition.HealthCheck.Test
	if out, err := as(check[1], check[2:]...).CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", check, err, out)
	}
}
