package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// environment is a getenv of fixed variables.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	var c Dev
	if err := Load(&c, nil, environment(nil)); err != nil {
		t.Fatal(err)
	}
	if c.Port != 3000 || c.SandboxPort != 3001 || c.Data != ".chasqui" || c.LogLevel != slog.LevelInfo || c.EventDays != 30 || c.APIKey != "" {
		t.Errorf("defaults are %+v", c)
	}
}

func TestFlagsWinOverTheEnvironment(t *testing.T) {
	t.Parallel()
	var c Dev
	err := Load(&c, []string{"--port", "0", "--data=elsewhere"}, environment(map[string]string{"PORT": "4000", "SANDBOX_PORT": "4001"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 0 || c.SandboxPort != 4001 || c.Data != "elsewhere" {
		t.Errorf("got port %d, sandbox port %d, data %q", c.Port, c.SandboxPort, c.Data)
	}
}

func TestReadsEverySetting(t *testing.T) {
	t.Parallel()
	var c Up
	err := Load(&c, nil, environment(map[string]string{
		"API_KEY":             " key\n",
		"PUBLIC_URL":          "https://chat.example.com/",
		"DATABASE_URL":        "postgres://u:p%40ss@db:5432/chasqui",
		"WHATSAPP_URL":        "ws://127.0.0.1:3001/ws/chat",
		"WHATSAPP_ROOT_KEY":   strings.Repeat("0a", 32),
		"ENCRYPTION_KEY":      strings.Repeat("0b", 32) + ", " + strings.Repeat("0c", 32),
		"WEBHOOK_ALLOW_CIDRS": "172.16.1.2/12, 10.0.0.7,::1",
		"LOG_LEVEL":           "WARN",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.APIKey != "key" || c.PublicURL != "https://chat.example.com" || c.LogLevel != slog.LevelWarn || len(c.WhatsAppRootKey) != 32 || c.EncryptionKey.ID() == "" {
		t.Errorf("got %+v", c)
	}
	want := []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("10.0.0.7/32"), netip.MustParsePrefix("::1/128")}
	if !slices.Equal(c.WebhookAllowCIDRs, want) {
		t.Errorf("networks are %v, want %v", c.WebhookAllowCIDRs, want)
	}
}

func TestPassphraseAndList(t *testing.T) {
	t.Parallel()
	c := new(Restore)
	err := Load(c, []string{"--file", "b", "--only", "sales, ,shop"}, environment(map[string]string{"BACKUP_PASSPHRASE": "señal con espacios"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Passphrase != "señal con espacios" || !slices.Equal(c.Only, []string{"sales", "shop"}) {
		t.Errorf("got %+v", c)
	}
	err = Load(new(Restore), []string{"--file", "b"}, environment(map[string]string{"BACKUP_PASSPHRASE": "hunter2"}))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "12 characters") {
		t.Errorf("a short passphrase: %v", err)
	}
}

func TestTracing(t *testing.T) {
	t.Parallel()
	var c Connector
	base := map[string]string{"DATABASE_URL": "postgres://db/chasqui", "S3_ENDPOINT": "http://s3", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b"}
	with := func(more ...string) func(string) string {
		all := maps.Clone(base)
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return environment(all)
	}
	if err := Load(&c, nil, with()); err != nil || c.Traced() || c.TraceRatio != 1 {
		t.Errorf("unset: %+v, %v", c.Tracing, err)
	}
	err := Load(&c, nil, with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%3Db, X-Tenant=7", "OTEL_TRACES_SAMPLER_ARG", "0.25"))
	if err != nil || !c.Traced() || c.OTLPEndpoint != "http://collector:4318" || c.TraceRatio != 0.25 || !maps.Equal(c.OTLPHeaders, map[string]string{"api-key": "a=b", "X-Tenant": "7"}) {
		t.Errorf("got %+v, %v", c.Tracing, err)
	}
	for _, bad := range [][]string{
		{"OTEL_TRACES_SAMPLER_ARG", "1.5"}, {"OTEL_TRACES_SAMPLER_ARG", "NaN"}, {"OTEL_EXPORTER_OTLP_HEADERS", "hunter2"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "hunter2=%zz"}, {"OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"},
	} {
		given := append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"}, bad...)
		if err := Load(new(Connector), nil, with(given...)); err == nil || strings.Count(err.Error(), bad[0]+": ") != 1 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if err := Load(new(Connector), nil, with("OTEL_EXPORTER_OTLP_HEADERS", "a=b")); err == nil || strings.Count(err.Error(), "OTEL_EXPORTER_OTLP_HEADERS: ") != 1 {
		t.Errorf("headers for nobody: %v", err)
	}
}

func TestReportsAllProblemsTogether(t *testing.T) {
	t.Parallel()
	err := Load(new(Up), []string{"--port", "70000"}, environment(map[string]string{
		"PUBLIC_URL":           "chat.example.com",
		"DATABASE_URL":         "host=db password=hunter2",
		"WEBHOOK_URL":          "ftp://user:hunter2@example.com",
		"WEBHOOK_ALLOW_CIDRS":  "10.0.0.0/40",
		"WHATSAPP_URL":         "http://example.com",
		"WHATSAPP_ROOT_KEY":    "hunter2",
		"ENCRYPTION_KEY":       "hunter2",
		"CONNECTOR_CAPACITY":   "0",
		"EVENT_RETENTION_DAYS": "-1",
		"LISTEN_HOST":          "0.0.0.0:3000",
		"LOG_LEVEL":            "loud",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"--port", "API_KEY", "PUBLIC_URL", "DATABASE_URL", "WEBHOOK_URL", "WEBHOOK_ALLOW_CIDRS", "WHATSAPP_URL",
		"WHATSAPP_ROOT_KEY", "ENCRYPTION_KEY", "CONNECTOR_CAPACITY", "EVENT_RETENTION_DAYS", "LISTEN_HOST", "LOG_LEVEL"} {
		if strings.Count(err.Error(), name+": ") != 1 {
			t.Errorf("%s is not reported once in:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is in:\n%v", err)
	}
}

func TestRolesWantWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target any
		want   []string
	}{
		"api":        {new(API), []string{"API_KEY", "DATABASE_URL", "S3_ENDPOINT"}},
		"connector":  {new(Connector), []string{"DATABASE_URL", "S3_ENDPOINT"}},
		"dispatcher": {new(Dispatcher), []string{"DATABASE_URL", "S3_ENDPOINT"}},
		"migrate":    {new(Migrate), []string{"DATABASE_URL"}},
		"up":         {new(Up), []string{"API_KEY"}},
		"backup":     {new(Backup), []string{"BACKUP_FILE", "BACKUP_PASSPHRASE"}},
		"restore":    {new(Restore), []string{"BACKUP_FILE", "BACKUP_PASSPHRASE"}},
	} {
		err := Load(c.target, nil, environment(map[string]string{"API_KEY": "  "})) // blank is unset
		lines := strings.Split(err.Error(), "\n")
		for i, line := range lines {
			lines[i], _, _ = strings.Cut(line, ":")
		}
		if !slices.Equal(lines, c.want) {
			t.Errorf("%s wants %v, got:\n%v", name, c.want, err)
		}
	}
}

func TestRulesAcrossSettings(t *testing.T) {
	t.Parallel()
	err := Load(new(Dev), nil, environment(map[string]string{"PORT": "3001", "WHATSAPP_ROOT_KEY": strings.Repeat("00", 32)}))
	if err == nil || strings.Count(err.Error(), "SANDBOX_PORT: ") != 1 || strings.Count(err.Error(), "WHATSAPP_ROOT_KEY: ") != 1 {
		t.Errorf("want one problem with each of SANDBOX_PORT and WHATSAPP_ROOT_KEY, got: %v", err)
	}
	err = Load(new(Sandbox), []string{"--sandbox-ca", "ca.pem"}, environment(map[string]string{"DATABASE_URL": "postgres://db/chasqui"}))
	if err == nil || strings.Count(err.Error(), "SANDBOX_CA_FILE: ") != 1 || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one problem with SANDBOX_CA_FILE, got: %v", err)
	}
	// The real WhatsApp has no simulated phones.
	up := map[string]string{"API_KEY": "secret", "SANDBOX_URL": "http://127.0.0.1:3001/"}
	if err = Load(new(Up), nil, environment(up)); err == nil || strings.Count(err.Error(), "SANDBOX_URL: ") != 1 || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one problem with SANDBOX_URL, got: %v", err)
	}
	up["WHATSAPP_URL"] = "ws://127.0.0.1:3001/ws/chat"
	if c := new(Up); Load(c, nil, environment(up)) != nil || c.SandboxURL != "http://127.0.0.1:3001" {
		t.Errorf("with WHATSAPP_URL: %q", c.SandboxURL)
	}
	// Without a sandbox its port does not matter.
	err = Load(new(Dev), nil, environment(map[string]string{"PORT": "3001", "WHATSAPP_URL": "ws://example.com/ws/chat"}))
	if err != nil {
		t.Error(err)
	}
}

func TestUnknownFlagsAndArguments(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{{"--prot", "1"}, {"extra"}, {"--port"}} {
		if err := Load(new(Dev), arguments, environment(nil)); err == nil || !strings.Contains(err.Error(), "--help") {
			t.Errorf("%q: %v", arguments, err)
		}
	}
	if err := Load(new(Dev), []string{"--help"}, environment(nil)); !errors.Is(err, ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

func TestUsageNamesEverySetting(t *testing.T) {
	t.Parallel()
	usage := Usage(new(API))
	for _, want := range []string{"--port, PORT\n", "API_KEY\n", "Required.", "Default: 3000.", "--ready-file"} {
		if !strings.Contains(usage, want) {
			t.Errorf("%q is not in:\n%s", want, usage)
		}
	}
}

// TestValuesShowNoSecret: what a role was given is shown, but for secrets and for addresses, which may hold them.
func TestValuesShowNoSecret(t *testing.T) {
	t.Parallel()
	given := map[string]string{
		"DATABASE_URL": "postgres://u:hush1@h/d", "API_KEY": "hush2hush2hush2hush2", "S3_ENDPOINT": "https://hush3@s3.example.com", "S3_ACCESS_KEY": "hush4", "S3_SECRET_KEY": "hush5",
		"ENCRYPTION_KEY": strings.Repeat("ab", 32), "WEBHOOK_URL": "https://u:hush6@example.com/", "RATE_LIMIT": "77", "MCP_ALLOW_SENDING": "true", "WEBHOOK_ALLOW_CIDRS": "10.0.0.0/8,172.16.0.0/12",
	}
	var role API
	if err := Load(&role, nil, func(name string) string { return given[name] }); err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, v := range Values(&role) {
		shown[v.Name] = v.Value
		if strings.Contains(fmt.Sprint(v), "hush") || strings.Contains(fmt.Sprint(v), "abab") {
			t.Errorf("%s shows %v", v.Name, v)
		}
		if given[v.Name] != "" && v.Value == "" {
			t.Errorf("%s is set, and shown as unset", v.Name)
		}
	}
	for name, want := range map[string]string{
		"RATE_LIMIT": "77", "SESSION_RATE_LIMIT": "0", "MCP_ALLOW_SENDING": "true", "API_KEY": "***", "S3_REGION": "us-east-1", "PUBLIC_URL": "", "WEBHOOK_ALLOW_CIDRS": "10.0.0.0/8 172.16.0.0/12", "LOG_LEVEL": "INFO",
	} {
		if shown[name] != want {
			t.Errorf("%s is shown as %q, want %q", name, shown[name], want)
		}
	}
}
