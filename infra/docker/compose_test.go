package docker

import (
	"context"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/chasqui/chasqui/infra/config"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

const root = "../.." // the repository's

// secrets are the only settings that a deployment has to bring.
var secrets = map[string]string{"API_KEY": strings.Repeat("a1", 32), "POSTGRES_PASSWORD": strings.Repeat("b2", 32), "S3_SECRET_KEY": strings.Repeat("c3", 32)}

// load reads docker-compose.yml as Compose itself does, with the variables of env and of further files.
func load(t *testing.T, env map[string]string, envFiles ...string) (*types.Project, error) {
	t.Helper()
	return loadFiles(t, []string{filepath.Join(root, "docker-compose.yml")}, env, envFiles...)
}

func loadFiles(t *testing.T, files []string, env map[string]string, envFiles ...string) (*types.Project, error) {
	t.Helper()
	lines := make([]string, 0, len(env))
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	options, err := cli.NewProjectOptions(files,
		cli.WithWorkingDirectory(root), cli.WithEnv(lines), cli.WithEnvFiles(envFiles...), cli.WithDotEnv, cli.WithDefaultProfiles())
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(context.Background())
}

// loadAll is the project with every service, that of the sandbox included.
func loadAll(t *testing.T) *types.Project {
	t.Helper()
	project, err := load(t, secrets, "sandbox.env")
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// settings gives a role's struct by the command that its service runs.
func settings(t *testing.T, service types.ServiceConfig) any {
	t.Helper()
	if len(service.Command) == 1 {
		switch service.Command[0] {
		case "api":
			return new(config.API)
		case "connector":
			return new(config.Connector)
		case "dispatcher":
			return new(config.Dispatcher)
		case "sandbox":
			return new(config.Sandbox)
		case "migrate":
			return new(config.Migrate)
		}
	}
	t.Fatalf("%s runs %q, which is no role", service.Name, service.Command)
	return nil
}

// ours are the services that run this program.
func ours(project *types.Project) []types.ServiceConfig {
	services := slices.Collect(maps.Values(project.Services))
	return slices.DeleteFunc(services, func(s types.ServiceConfig) bool { return s.Name == "postgres" || s.Name == "minio" })
}

// environment is what a service's process finds.
func environment(service types.ServiceConfig) func(string) string {
	return func(name string) string {
		if value := service.Environment[name]; value != nil {
			return *value
		}
		return ""
	}
}

func TestThreeSecretsAreEnough(t *testing.T) {
	t.Parallel()
	for _, files := range [][]string{nil, {"sandbox.env"}} {
		project, err := load(t, secrets, files...)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(project.Services))
		want := []string{"connector", "dispatcher", "migrate", "minio", "postgres", "whatsapp-api"}
		if files != nil {
			want = slices.Insert(want, 5, "sandbox")
		}
		if !slices.Equal(names, want) {
			t.Errorf("with %v the services are %v", files, names)
		}
		for _, service := range ours(project) {
			if err := config.Load(settings(t, service), nil, environment(service)); err != nil {
				t.Errorf("%s, with %v: %v", service.Name, files, err)
			}
			if err := config.Load(new(config.Healthcheck), nil, environment(service)); err != nil {
				t.Errorf("the health check of %s, with %v: %v", service.Name, files, err)
			}
		}
	}
}

func TestMissingSecretsAreNamed(t *testing.T) {
	t.Parallel()
	for name := range secrets {
		without := maps.Clone(secrets)
		without[name] = ""
		if _, err := load(t, without); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "openssl rand -hex 32") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestEveryVariableIsASetting looks for variables that the role does not read, and for settings that a deployment cannot reach.
func TestEveryVariableIsASetting(t *testing.T) {
	t.Parallel()
	// What the container settles: the ports in it are fixed, and what PORT says is in PUBLIC_URL. The sandbox's proxy and files are for programs
	// on the same machine.
	inside := []string{"PORT", "LISTEN_HOST", "READY_FILE", "SANDBOX_PORT", "SANDBOX_PROXY_ADDR", "SANDBOX_CA_FILE", "SANDBOX_TRANSCRIPT"}
	for _, service := range ours(loadAll(t)) {
		var known []string
		for _, v := range config.Variables(settings(t, service)) {
			known = append(known, v.Name)
			value, given := service.Environment[v.Name]
			if !given && !slices.Contains(inside, v.Name) {
				t.Errorf("%s: %s cannot be set", service.Name, v.Name)
			}
			if v.Required && (value == nil || *value == "") {
				t.Errorf("%s: %s is required", service.Name, v.Name)
			}
		}
		for _, v := range config.Variables(new(config.Healthcheck)) {
			known = append(known, v.Name)
		}
		for name := range service.Environment {
			if !slices.Contains(known, name) {
				t.Errorf("%s: nothing reads %s", service.Name, name)
			}
		}
	}
}

func TestRolesAgree(t *testing.T) {
	t.Parallel()
	values := make(map[string]string)
	project := loadAll(t)
	for _, service := range ours(project) {
		for name, value := range service.Environment {
			if before, seen := values[name]; seen && before != *value {
				t.Errorf("%s is %q in %s and %q elsewhere", name, *value, service.Name, before)
			}
			values[name] = *value
		}
	}
	minio, postgres := environment(project.Services["minio"]), environment(project.Services["postgres"])
	if minio("MINIO_ROOT_USER") != values["S3_ACCESS_KEY"] || minio("MINIO_ROOT_PASSWORD") != values["S3_SECRET_KEY"] ||
		minio("MINIO_SITE_REGION") != values["S3_REGION"] {
		t.Error("MinIO has another key or region than those who ask it")
	}
	dsn := "postgres://" + postgres("POSTGRES_USER") + ":" + postgres("POSTGRES_PASSWORD") + "@postgres:5432/" + postgres("POSTGRES_DB") + "?sslmode=disable"
	if values["DATABASE_URL"] != dsn {
		t.Error("DATABASE_URL does not lead to the database that is made")
	}
}

func TestSandboxEnvHasTheSandboxsKey(t *testing.T) {
	t.Parallel()
	key := server.RootKey("chasqui") // the seed of a sandbox that is given none
	for _, service := range []string{"connector", "dispatcher"} {
		value := environment(loadAll(t).Services[service])
		if got := value("WHATSAPP_ROOT_KEY"); got != hex.EncodeToString(key[:]) {
			t.Errorf("%s trusts %s, the sandbox has %x", service, got, key)
		}
		if got := value("WHATSAPP_URL"); got != "ws://sandbox:3001/ws/chat" {
			t.Errorf("%s connects to %s", service, got)
		}
	}
	if got := environment(loadAll(t).Services["whatsapp-api"])("SANDBOX_URL"); got != "http://sandbox:3001" {
		t.Errorf("the api finds simulated phones at %q", got)
	}
}

// TestExampleListsEverything compares .env.example with the variables that the file uses, and its examples with their defaults.
func TestExampleListsEverything(t *testing.T) {
	t.Parallel()
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{"COMPOSE_PROFILES": true} // read by Compose itself
	for _, match := range regexp.MustCompile(`\$\{([A-Z0-9_]+)`).FindAllStringSubmatch(string(compose), -1) {
		used[match[1]] = true
	}
	example, err := os.ReadFile(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	var before string
	shown := maps.Clone(secrets)
	for line := range strings.Lines(string(example)) {
		line = strings.TrimSpace(line)
		match := regexp.MustCompile(`^(#?)([A-Z0-9_]+)=(.*)$`).FindStringSubmatch(line)
		if match == nil {
			before = line
			continue
		}
		commented, name, value := match[1] == "#", match[2], match[3]
		if !strings.HasPrefix(before, "# ") || !strings.HasSuffix(before, ".") {
			t.Errorf("%s is not explained in the line above it", name)
		}
		if !used[name] {
			t.Errorf("%s is not used, or twice in the example", name)
		}
		delete(used, name)
		if _, secret := secrets[name]; secret == commented || secret && value != "" {
			t.Errorf("%s: a secret stands there empty, all else commented out", name)
		}
		if commented {
			shown[name] = value
		}
		before = ""
	}
	if len(used) > 0 {
		t.Errorf("missing: %v", slices.Sorted(maps.Keys(used)))
	}
	plain, err := load(t, secrets)
	if err != nil {
		t.Fatal(err)
	}
	spelt, err := load(t, shown)
	if err != nil {
		t.Fatal(err)
	}
	for name := range plain.Services {
		if !reflect.DeepEqual(plain.Services[name], spelt.Services[name]) {
			t.Errorf("%s: what the example shows are not the defaults", name)
		}
	}
}

// TestOverrideOfTheDocumentation merges the example of another S3 as Compose does.
func TestOverrideOfTheDocumentation(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(root, "infra/docs/deployment.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(document), "```yaml\n")
	example, _, found := strings.Cut(example, "```")
	file := filepath.Join(t.TempDir(), "docker-compose.override.yml")
	if err := os.WriteFile(file, []byte(example), 0o600); err != nil || !found {
		t.Fatalf("the example: %t, %v", found, err)
	}
	project, err := loadFiles(t, []string{filepath.Join(root, "docker-compose.yml"), file}, secrets)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := project.Services["minio"]; there {
		t.Error("minio is still there")
	}
	for _, name := range []string{"whatsapp-api", "connector", "dispatcher"} {
		service := project.Services[name]
		if got := environment(service)("S3_ENDPOINT"); !strings.HasPrefix(got, "https://s3.") {
			t.Errorf("%s asks %s", name, got)
		}
		if got := slices.Collect(maps.Keys(service.DependsOn)); !slices.Equal(got, []string{"migrate"}) {
			t.Errorf("%s waits for %v", name, got)
		}
		if err := config.Load(settings(t, service), nil, environment(service)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStartsInOrder(t *testing.T) {
	t.Parallel()
	project := loadAll(t)
	for name, service := range project.Services {
		oneShot := name == "migrate"
		if checked := service.HealthCheck != nil && !service.HealthCheck.Disable && len(service.HealthCheck.Test) > 1; checked == oneShot {
			t.Errorf("%s: has a health check: %t", name, checked)
		}
		for other, dependency := range service.DependsOn {
			want := types.ServiceConditionHealthy
			if other == "migrate" {
				want = types.ServiceConditionCompletedSuccessfully
			}
			if dependency.Condition != want {
				t.Errorf("%s waits for %s to be %s", name, other, dependency.Condition)
			}
			if optional := other == "sandbox"; dependency.Required == optional {
				t.Errorf("%s needs %s: %t", name, other, dependency.Required)
			}
		}
		if service.StopGracePeriod == nil {
			t.Errorf("%s is killed after Docker's 10 s", name)
		}
	}
	for name, want := range map[string][]string{
		"postgres": nil, "minio": nil, "migrate": {"postgres"}, "sandbox": {"migrate", "postgres"}, "whatsapp-api": {"migrate", "minio", "postgres"},
		"connector": {"migrate", "minio", "postgres", "sandbox"}, "dispatcher": {"migrate", "minio", "postgres", "sandbox"},
	} {
		if got := slices.Sorted(maps.Keys(project.Services[name].DependsOn)); !slices.Equal(got, want) {
			t.Errorf("%s waits for %v, want %v", name, got, want)
		}
	}
}

func TestContainersAreConfined(t *testing.T) {
	t.Parallel()
	project := loadAll(t)
	for name, service := range project.Services {
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || len(service.CapAdd) > 0 || service.Privileged ||
			!slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s is not confined", name)
		}
		if service.Logging == nil || service.Logging.Options["max-size"] == "" {
			t.Errorf("the log of %s grows for ever", name)
		}
		for _, mount := range service.Volumes {
			if _, named := project.Volumes[mount.Source]; mount.Type != types.VolumeTypeVolume || !named {
				t.Errorf("%s mounts %s, which is no named volume", name, mount.Target)
			}
		}
	}
	for _, service := range ours(project) {
		if service.User != "65532:65532" {
			t.Errorf("%s runs as %q", service.Name, service.User)
		}
	}
	ports := make(map[string]string)
	for name, service := range project.Services {
		for _, port := range service.Ports {
			ports[name] += port.HostIP + ":" + port.Published
		}
	}
	want := map[string]string{"whatsapp-api": "0.0.0.0:3000", "minio": "127.0.0.1:9000", "sandbox": "127.0.0.1:3001"}
	if !maps.Equal(ports, want) {
		t.Errorf("published are %v, want %v", ports, want)
	}
}

// pinned is a name with a tag that has a version in it.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:[a-z-]*[0-9]+[.-][a-z0-9.-]+$`)

func TestImagesArePinned(t *testing.T) {
	t.Parallel()
	builders := make(map[string]types.ServiceConfig)
	services := loadAll(t).Services
	for _, service := range services {
		if service.Build != nil {
			builders[service.Image] = service
		}
	}
	for name, service := range services {
		builder, built := builders[service.Image]
		switch {
		case !built && !pinned.MatchString(service.Image):
			t.Errorf("%s runs %s, which is not pinned", name, service.Image)
		case built && !strings.HasPrefix(service.Image, "localhost/"):
			t.Errorf("%s would pull %s rather than build it", name, service.Image)
		case built && service.Name != builder.Name && service.DependsOn[builder.Name].Condition == "":
			t.Errorf("%s does not wait for %s, which builds its image", name, builder.Name)
		}
	}
	arguments := make(map[string]string)
	for _, service := range builders {
		content, err := os.ReadFile(filepath.Join(root, service.Build.Dockerfile))
		if err != nil {
			t.Fatal(err)
		}
		if target := service.Build.Target; target != "" && !strings.Contains(string(content), " AS "+target+"\n") {
			t.Errorf("%s has no target %s", service.Build.Dockerfile, target)
		}
		for _, match := range regexp.MustCompile(`(?m)^ARG ([A-Z]+_IMAGE)=(.*)$`).FindAllStringSubmatch(string(content), -1) {
			if !pinned.MatchString(match[2]) {
				t.Errorf("%s is %s, which is not pinned", match[1], match[2])
			}
			if before, seen := arguments[match[1]]; seen && before != match[2] {
				t.Errorf("%s is %s and %s", match[1], before, match[2])
			}
			arguments[match[1]] = match[2]
		}
		for _, match := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(content), -1) {
			if !slices.Contains([]string{"scratch", "${GO_IMAGE}", "${DEBIAN_IMAGE}"}, match[1]) {
				t.Errorf("%s is built from %s", service.Build.Dockerfile, match[1])
			}
		}
	}
	if len(arguments) != 2 {
		t.Errorf("the base images are %v", arguments)
	}
}

// TestMinIOIsOneVersion compares the MinIO that the tests run against with the one that is deployed.
func TestMinIOIsOneVersion(t *testing.T) {
	t.Parallel()
	version := regexp.MustCompile(`MINIO_VERSION\s*:?=\s*(\S+)`)
	seen := make(map[string]bool)
	for _, file := range []string{"Makefile", "infra/docker/minio.Dockerfile"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range version.FindAllStringSubmatch(string(content), -1) {
			seen[match[1]] = true
		}
	}
	if len(seen) != 1 {
		t.Errorf("the versions are %v", slices.Collect(maps.Keys(seen)))
	}
}
