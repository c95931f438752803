// Package config holds every setting of every role: one struct a role, filled
// from the environment and a few flags, checked as a whole before anything
// starts. The structs' tags are the only place where a setting is described; the
// roles' --help and the README's table are made from them.
package config

import (
	"cmp"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"github.com/chasqui/chasqui/infra/seal"
)

// Logging is every role's.
type Logging struct {
	LogLevel slog.Level `env:"LOG_LEVEL" kind:"level" default:"info" doc:"How much is logged: debug, info, warn or error. Message texts and secrets are never logged."`
}

// Level is how much is logged.
func (l Logging) Level() slog.Level { return l.LogLevel }

// Database is every role's; dev and up bring their own when it is unset.
type Database struct {
	DatabaseURL string `env:"DATABASE_URL" kind:"postgres" doc:"PostgreSQL 15 or newer, as postgres://user:password@host/database. Unset, dev and up run an embedded one, which backup and restore find in the data directory, and the sandbox keeps everything in memory."`
}

// Encryption is that of every role that reads or writes what is sealed.
type Encryption struct {
	EncryptionKey *seal.Keys `env:"ENCRYPTION_KEY" kind:"encryption" doc:"What secrets and WhatsApp's credentials are sealed with in the database: 32 bytes in hex or base64, the same for every role. Several are separated by commas: the first seals, the others only open. dev generates one and keeps it in the data directory; unset elsewhere, they are stored as they are. Without it what is sealed is lost: keep a copy."`
}

// Listener is where the HTTP service of a role listens.
type Listener struct {
	Host      string `env:"LISTEN_HOST" kind:"host" doc:"The address to listen on, without a port. Default: 127.0.0.1 in dev and sandbox, every interface in api and up."`
	ReadyFile string `env:"READY_FILE" flag:"ready-file" kind:"path" doc:"A file that appears, complete, once everything answers, with the addresses and the key as JSON."`
}

// Door is where the API is, for those who ask it and for itself.
type Door struct {
	Port int `env:"PORT" flag:"port" kind:"port" default:"3000" doc:"The API's port; 0 picks a free one."`
}

// Public is the API as its clients reach it: for the links in answers and events.
type Public struct {
	Door
	PublicURL string `env:"PUBLIC_URL" kind:"http" doc:"The API's address as clients reach it, for the links in answers and events; the same for every role. Default: http://127.0.0.1 with the port."`
}

// Base is PublicURL or its default.
func (p Public) Base() string {
	return cmp.Or(p.PublicURL, "http://127.0.0.1:"+strconv.Itoa(p.Port))
}

// HTTP is the API's.
type HTTP struct {
	Public
	APIKey    string `env:"API_KEY" kind:"secret" doc:"The key that opens everything, which clients send as X-API-Key or Authorization: Bearer; POST /v1/api-keys makes others. dev generates one and keeps it in the data directory."`
	RateLimit int    `env:"RATE_LIMIT" kind:"limit" default:"12000" doc:"Requests that one key may make in a minute, over all api processes together; 0 is no limit."`
	// SessionRateLimit is the other way round: it protects the other sessions, whoever asks.
	SessionRateLimit int `env:"SESSION_RATE_LIMIT" kind:"limit" default:"0" doc:"Requests in a minute that one session may be asked for, by all keys and over all api processes together; 0 is no limit."`
}

// Assistants is what programs may do that speak the Model Context Protocol.
type Assistants struct {
	MCPMaySend bool `env:"MCP_ALLOW_SENDING" flag:"allow-sending" kind:"switch" default:"false" doc:"Whether assistants that use the Model Context Protocol, at /mcp or through chasqui mcp, may send messages and react; otherwise they only read."`
}

// Webhooks says where events are pushed to.
type Webhooks struct {
	WebhookURL string `env:"WEBHOOK_URL" kind:"http" doc:"A webhook that gets the messages that come in, in the original's form; POST /webhook/config sets it too. More, and for all events, are registered through the API."`
	Networks
}

// Networks says which addresses webhooks, and the proxies of sessions, may have
// beside public ones. The API asks when one is set, the dispatcher and the
// connector at each connection.
type Networks struct {
	WebhookAllowCIDRs []netip.Prefix `env:"WEBHOOK_ALLOW_CIDRS" kind:"cidrs" doc:"Private networks that webhooks may reach and proxies of sessions stand in, such as 172.16.0.0/12, separated by commas. dev allows the machine itself. Metadata addresses stay blocked."`
}

// WhatsApp is which WhatsApp the connector speaks to.
type WhatsApp struct {
	WhatsAppURL     string `env:"WHATSAPP_URL" kind:"ws" doc:"A server that speaks WhatsApp's protocol, as ws://host:port/ws/chat. Unset, it is the real WhatsApp, or dev's sandbox."`
	WhatsAppRootKey []byte `env:"WHATSAPP_ROOT_KEY" kind:"key" doc:"The root of that server's certificates: 32 bytes in hex. Only with WHATSAPP_URL."`
}

func (w *WhatsApp) check() error {
	if len(w.WhatsAppRootKey) > 0 && w.WhatsAppURL == "" {
		return problem{"WHATSAPP_ROOT_KEY", "it goes with WHATSAPP_URL, which is not set: set that too, or unset this"}
	}
	return nil
}

// ObjectStore is the S3 that holds the bytes of media; dev and up bring their own when it is unset.
type ObjectStore struct {
	S3Endpoint  string `env:"S3_ENDPOINT" kind:"http" doc:"The S3 server for media, as https://host:port. Unset, dev and up run an embedded one."`
	S3Bucket    string `env:"S3_BUCKET" kind:"name" default:"chasqui" doc:"The bucket; it is made when it is missing."`
	S3AccessKey string `env:"S3_ACCESS_KEY" kind:"secret" doc:"The S3 access key."`
	S3SecretKey string `env:"S3_SECRET_KEY" kind:"secret" doc:"The S3 secret key."`
	S3Region    string `env:"S3_REGION" kind:"name" default:"us-east-1" doc:"The S3 region."`
	S3PublicURL string `env:"S3_PUBLIC_URL" kind:"http" doc:"The S3 server as clients reach it, for presigned URLs. Default: S3_ENDPOINT."`
}

func (o *ObjectStore) check() error {
	if o.S3Endpoint != "" && (o.S3AccessKey == "" || o.S3SecretKey == "") {
		return problem{"S3_ACCESS_KEY", "S3_ENDPOINT is set: set S3_ACCESS_KEY and S3_SECRET_KEY too"}
	}
	return nil
}

// Media bounds what is taken and kept.
type Media struct {
	MaxMegabytes int `env:"MEDIA_MAX_MB" kind:"count" default:"256" doc:"The largest file that is taken, uploaded or received, in MiB. WhatsApp itself takes documents up to 2,048."`
}

// MaxBytes is MaxMegabytes in bytes.
func (m Media) MaxBytes() int64 { return int64(m.MaxMegabytes) << 20 }

// Messages bounds how long messages wait.
type Messages struct {
	ExpiryHours int `env:"MESSAGE_EXPIRY_HOURS" kind:"count" default:"24" doc:"Hours that a message without an expiresAt of its own may wait to be sent, up to 720 (30 days). What is not sent by then expires."`
}

// Expiry is ExpiryHours as a duration.
func (m Messages) Expiry() time.Duration { return time.Duration(m.ExpiryHours) * time.Hour }

func (m *Messages) check() error {
	if m.ExpiryHours > 720 {
		return problem{"MESSAGE_EXPIRY_HOURS", "it is more than 30 days: give it at most 720"}
	}
	return nil
}

// MediaKeeping is how long the bytes of media stay.
type MediaKeeping struct {
	MediaDays int `env:"MEDIA_RETENTION_DAYS" kind:"count" default:"90" doc:"Days that the bytes of media are kept."`
}

// Simulated is where the API finds simulated phones.
type Simulated struct {
	SandboxURL string `env:"SANDBOX_URL" kind:"http" doc:"The control interface of the sandbox that stands for WhatsApp, as http://host:3001, for simulated phones by the API. It has no key: name one that nobody else reaches. Unset, there are none; dev uses its own."`
}

// Simulation is the sandbox's.
type Simulation struct {
	SandboxPort       int    `env:"SANDBOX_PORT" flag:"sandbox-port" kind:"port" default:"3001" doc:"The sandbox's port; 0 picks a free one."`
	SandboxTranscript string `env:"SANDBOX_TRANSCRIPT" flag:"sandbox-transcript" kind:"path" doc:"A file that gets every stanza of the sandbox's clients as JSON lines, without keys and texts; it is appended to. Unset, only the last 1,000 are kept, for GET /transcript."`
	SandboxProxyAddr  string `env:"SANDBOX_PROXY_ADDR" flag:"sandbox-proxy" kind:"address" doc:"Where the sandbox's proxy listens, as host:port; port 0 picks a free one. Programs whose addresses of WhatsApp are fixed come through it, by HTTPS_PROXY. Unset, nowhere."`
	SandboxCAFile     string `env:"SANDBOX_CA_FILE" flag:"sandbox-ca" kind:"path" doc:"A file that gets the certificate, in PEM, which such programs have to trust: SSL_CERT_FILE, NODE_EXTRA_CA_CERTS. Each start makes a new one. Only with SANDBOX_PROXY_ADDR."`
}

func (s *Simulation) check() error {
	if s.SandboxCAFile != "" && s.SandboxProxyAddr == "" {
		return problem{"SANDBOX_CA_FILE", "it goes with SANDBOX_PROXY_ADDR, which is not set: set that too, or unset this"}
	}
	return nil
}

// Directory is where dev and up keep what they have.
type Directory struct {
	Data string `env:"DATA_DIR" flag:"data" kind:"path" default:".chasqui" doc:"The data directory of dev and up: the database and dev's keys. One process at a time may use it."`
}

// Stack is what dev and up have in common: all roles and their database in one
// process tree.
type Stack struct {
	Serving
	Directory
	Database
	Encryption
	ObjectStore
	MediaKeeping
	WhatsApp
	Connecting
	Retention
	Health
	Tracing
	Logging
}

// Dev is the configuration of `chasqui dev`.
type Dev struct {
	Stack
	Simulation
}

func (d *Dev) check() error {
	if d.Port != 0 && d.Port == d.SandboxPort && d.WhatsAppURL == "" {
		return problem{"SANDBOX_PORT", "it is the same as PORT: give it another, or 0"}
	}
	return nil
}

// Up is the configuration of `chasqui up`: the stack against the real WhatsApp,
// where nobody should find a door without a key of the owner's choice.
type Up struct {
	Stack `required:"API_KEY"`
}

func (u *Up) check() error {
	if u.SandboxURL != "" && u.WhatsAppURL == "" {
		return problem{"SANDBOX_URL", "it goes with WHATSAPP_URL, which is not set: the real WhatsApp has no simulated phones; set that too, or unset this"}
	}
	return nil
}

// Serving is what the HTTP service needs beside its stores.
type Serving struct {
	HTTP
	Listener
	Webhooks
	Media
	Messages
	Assistants
	Simulated
}

// API is the configuration of `chasqui api`.
type API struct {
	Serving  `required:"API_KEY"`
	Database `required:"DATABASE_URL"`
	Encryption
	ObjectStore `required:"S3_ENDPOINT"`
	Tracing
	Logging
}

// Tracing is where the spans of OpenTelemetry go.
type Tracing struct {
	OTLPEndpoint string            `env:"OTEL_EXPORTER_OTLP_ENDPOINT" kind:"http" doc:"A collector of OpenTelemetry that takes OTLP over HTTP, as http://host:4318, for traces from the API's request to the webhook. Unset, none are made."`
	OTLPHeaders  map[string]string `env:"OTEL_EXPORTER_OTLP_HEADERS" kind:"headers" doc:"Headers of the requests to that collector, as name=value, separated by commas, values percent-encoded."`
	TraceRatio   float64           `env:"OTEL_TRACES_SAMPLER_ARG" kind:"ratio" default:"1" doc:"How many of the traces that begin here are recorded, from 0 to 1. One that comes with a request (traceparent) is recorded as it says."`
}

// Traced says whether traces are made.
func (t Tracing) Traced() bool { return t.OTLPEndpoint != "" }

func (t *Tracing) check() error {
	if len(t.OTLPHeaders) > 0 && t.OTLPEndpoint == "" {
		return problem{"OTEL_EXPORTER_OTLP_HEADERS", "it goes with OTEL_EXPORTER_OTLP_ENDPOINT, which is not set: set that too, or unset this"}
	}
	return nil
}

// Health is where a role without an API tells how it is.
type Health struct {
	MetricsAddr string `env:"METRICS_ADDR" kind:"address" doc:"Where connector and dispatcher answer /healthz, /readyz and /metrics, as host:port; port 0 picks a free one. Unset, nowhere."`
	Profiles    bool   `env:"METRICS_PPROF" kind:"switch" default:"false" doc:"Whether /debug/pprof/ is answered there too, to whoever reaches it. The API answers it to its key's holder always."`
}

// Connecting is the connector's.
type Connecting struct {
	Capacity int `env:"CONNECTOR_CAPACITY" kind:"count" default:"500" doc:"The most sessions that one connector runs at once."`
}

// Connector is the configuration of `chasqui connector`.
type Connector struct {
	Database `required:"DATABASE_URL"`
	Encryption
	ObjectStore `required:"S3_ENDPOINT"`
	Public
	WhatsApp
	Connecting
	Networks
	Health
	Tracing
	Logging
}

// Retention is how long the dispatcher keeps what it has dealt with.
type Retention struct {
	EventDays int `env:"EVENT_RETENTION_DAYS" kind:"count" default:"30" doc:"Days that events, deliveries and their attempts are kept."`
}

// Dispatching is what the dispatcher needs beside its stores.
type Dispatching struct {
	Public
	WhatsApp
	Media
	MediaKeeping
	Networks
	Retention
}

// Dispatcher is the configuration of `chasqui dispatcher`.
type Dispatcher struct {
	Database `required:"DATABASE_URL"`
	Encryption
	ObjectStore `required:"S3_ENDPOINT"`
	Dispatching
	Health
	Tracing
	Logging
}

// Sandbox is the configuration of `chasqui sandbox`.
type Sandbox struct {
	Database
	Listener
	Simulation
	Logging
}

// Migrate is the configuration of `chasqui migrate`.
type Migrate struct {
	Database `required:"DATABASE_URL"`
	Logging
}

// Rekey is the configuration of `chasqui rekey`.
type Rekey struct {
	Encryption
	Database
	Directory
	Logging
}

// Archive is a backup's file and what opens it.
type Archive struct {
	File    string `env:"BACKUP_FILE" flag:"file" kind:"path" doc:"The backup's file; - is standard output for backup, standard input for restore. An existing file is never overwritten."`
	Sealing `required:"BACKUP_PASSPHRASE"`
}

// Sealing is what a backup is encrypted with.
type Sealing struct {
	Passphrase string `env:"BACKUP_PASSPHRASE" kind:"passphrase" doc:"What a backup is encrypted with, 12 characters or more. Whoever has it and the file has the accounts; without it the file is worthless."`
}

// Backup is the configuration of `chasqui backup`.
type Backup struct {
	Archive `required:"BACKUP_FILE"`
	Database
	Encryption
	Directory
	Logging
}

// Restore is the configuration of `chasqui restore`.
type Restore struct {
	Archive `required:"BACKUP_FILE"`
	Database
	Encryption
	Directory
	Only []string `env:"RESTORE_ONLY" flag:"only" kind:"list" doc:"Ids of the sessions to restore, separated by commas. Unset, all of the backup's."`
	Logging
}

// Healthcheck is the configuration of `chasqui healthcheck`.
type Healthcheck struct {
	URL string `env:"HEALTHCHECK_URL" flag:"url" kind:"http" doc:"What healthcheck asks. Default: /readyz at METRICS_ADDR if that is set, else at 127.0.0.1 and PORT."`
	Door
	Health
}

// Key is what opens the API, for those who ask it.
type Key struct {
	APIKey string `env:"API_KEY" kind:"secret" doc:"The key of the API at CHASQUI_URL."`
}

// MCP is the configuration of `chasqui mcp`.
type MCP struct {
	URL string `env:"CHASQUI_URL" flag:"url" kind:"http" default:"http://127.0.0.1:3000" doc:"The API that chasqui mcp uses."`
	Key `required:"API_KEY"`
	Assistants
	Logging
}

// Chaos is the configuration of `chasqui chaos`, which is for those who work on chasqui; the README's table leaves it out.
type Chaos struct {
	Seconds  int    `env:"CHAOS_SECONDS" flag:"seconds" kind:"count" default:"180" doc:"How long the load runs and things are broken; bringing everything up and settling come on top."`
	Seed     int    `env:"CHAOS_SEED" flag:"seed" kind:"limit" default:"1" doc:"What is broken when is the same with the same seed."`
	Sessions int    `env:"CHAOS_SESSIONS" flag:"sessions" kind:"count" default:"40" doc:"How many sessions there are, and as many customers."`
	Rate     int    `env:"CHAOS_RATE" flag:"rate" kind:"count" default:"16" doc:"Messages that are sent in a second, each way, of all sessions together."`
	JSON     string `env:"CHAOS_JSON" flag:"json" kind:"path" doc:"A file that gets the table as flat JSON."`
	Data     string `env:"CHAOS_DIR" flag:"dir" kind:"path" doc:"A folder in which all logs and data are kept. Default: a temporary one, which goes when nothing was wrong."`
	Logging
}

// None is the configuration of a command that has no settings.
type None struct{}
