// Package signalstore keeps the Signal state of linked WhatsApp devices (identities, sessions, prekeys, sender keys, app state) in
// PostgreSQL: whatsmeow's own sqlstore, in a schema of its own, wrapped so that no message is lost where sqlstore alone would lose it.
//
//   - A ratchet.Guard keeps encryption and decryption apart, which otherwise undo each other's ratchet steps, and makes an error of the
//     database a ratchet.Failure, after which the Device refuses everything.
//   - Every write carries a Fence, so that a process that lost the device's ownership, and does not know it yet, writes nothing.
//
// Private keys, sessions and what they have opened are sealed, see the type sealed.
package signalstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.mau.fi/util/dbutil"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/store/sqlstore/upgrades"
	"go.mau.fi/whatsmeow/types"
	waLog "go.mau.fi/whatsmeow/util/log"

	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/ratchet"
	"github.com/chasqui/chasqui/infra/seal"
)

// Config says where the devices are.
type Config struct {
	DSN      string       // a PostgreSQL URL or keyword string
	Schema   string       // holds the tables; several containers of one database differ in it
	MaxConns int          // open connections at most; 0 means 16
	Keys     *seal.Keys   // what is secret is sealed with; nil: it is stored as it is
	Logger   *slog.Logger // nil discards
}

// Container is a set of devices in one schema. It is safe for concurrent use.
type Container struct {
	cfg  *pgx.ConnConfig
	pool *sql.DB
	db   *dbutil.Database
	sql  *sqlstore.Container
	lids atomic.Pointer[sqlstore.CachedLIDMap]
	name string // of the schema
	keys *seal.Keys
	log  waLog.Logger

	mu    sync.Mutex
	locks map[types.JID]*ratchet.Lock // one, and small, for each JID this process ever loaded
}

// Tx is the transaction in which OnSave and OnState may write. It sees the container's schema first, then public.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Options belong to one Device. All are optional.
type Options struct {
	// Fence guards every write of the device's state.
	Fence Fence
	// OnSave runs once, when pairing has succeeded, in the transaction that stores the device. Its error undoes the pairing.
	OnSave func(ctx context.Context, tx Tx, jid types.JID) error
	// OnState runs with each new version of a part of the account's state, in the transaction that stores it. Its error undoes that.
	OnState func(ctx context.Context, tx Tx, s State) error
	// OnFailure is told the first ratchet.Failure, at most once per Device; from then on the Device refuses everything with the same error. It is
	// called on a goroutine of whatsmeow's, maybe within an event handler or a send: it must not wait for the client.
	OnFailure func(error)
}

// State is a version of a part of the account's state that is being stored.
type State struct {
	Name    string // of the part, as WhatsApp has it
	Version uint64
	Entries int  // that are new in it
	Initial bool // the part had no version before
}

// array hands a slice through sqlstore to pgx, which encodes it itself.
type array struct{ slice any }

// Value implements driver.Valuer.
func (a array) Value() (driver.Value, error) { return a.slice, nil }

// Scan implements sql.Scanner, which sqlstore's type asks for and its queries never use.
func (a array) Scan(any) error { return errors.ErrUnsupported }

// Without the wrapper sqlstore asks for lists with one placeholder an element: another statement to prepare for every length.
func init() {
	sqlstore.PostgresArrayWrapper = func(list any) interface {
		driver.Valuer
		sql.Scanner
	} {
		return array{list}
	}
}

// Open connects. It creates nothing: see Upgrade and CheckVersion.
func Open(ctx context.Context, cfg Config) (*Container, error) {
	if cfg.Schema == "" {
		return nil, errors.New("open signal store: no schema is named")
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	pgxConfig, err := pgx.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("parse DSN: %w", err) // pgx leaves the password out of its errors
	}
	params := pgxConfig.RuntimeParams
	params["search_path"] = pgx.Identifier{cfg.Schema}.Sanitize() + ", public"
	params["synchronous_commit"] = "on"
	// A process stopped in the middle of a transaction must not hold its fence's row for long.
	params["idle_in_transaction_session_timeout"] = "5000"
	if params["application_name"] == "" {
		params["application_name"] = "chasqui " + cfg.Schema
	}
	pgxConfig.DialFunc = postgres.Dialer.DialContext
	c := &Container{cfg: pgxConfig, name: cfg.Schema, keys: cfg.Keys, log: SlogLogger(cfg.Logger), locks: make(map[types.JID]*ratchet.Lock)}
	c.pool = sql.OpenDB(connector{stdlib.GetConnector(*pgxConfig, stdlib.OptionShouldPing(gone))})
	c.pool.SetMaxOpenConns(cfg.MaxConns)
	// With database/sql's default of two idle connections most queries connect anew: 2.1-2.7 ms of PostgreSQL's time per message
	// sent, instead of 1.3 ms.
	c.pool.SetMaxIdleConns(cfg.MaxConns)
	c.pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := c.pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reach PostgreSQL: %w", err), c.pool.Close())
	}
	if c.db, err = dbutil.NewWithDB(c.pool, "pgx"); err != nil {
		return nil, errors.Join(err, c.pool.Close())
	}
	c.db.UpgradeTable = upgrades.Table
	c.db.VersionTable = "whatsmeow_version"
	c.sql = sqlstore.NewWithWrappedDB(c.db, c.log)
	c.dropLIDs()
	return c, nil
}

// Close ends all connections. Devices of the container fail from then on.
func (c *Container) Close() error { return c.pool.Close() }

// Upgrade creates the schema if it is missing and brings its tables up to date, with locks and retries as postgres.Migrate. Concurrent calls
// wait for each other until ctx ends.
func (c *Container) Upgrade(ctx context.Context) error {
	lock, err := pgx.ConnectConfig(ctx, c.cfg)
	if err != nil {
		return fmt.Errorf("connect for the upgrade's lock: %w", err)
	}
	defer lock.Close(context.WithoutCancel(ctx)) // frees the lock
	if _, err := lock.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended('signalstore upgrade ' || $1, 0))", c.name); err != nil {
		return fmt.Errorf("lock the upgrade: %w", err)
	}
	if _, err := lock.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{c.name}.Sanitize()); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	// dbutil looks for the version table in every schema: it would take another container's for ours.
	if _, err := lock.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+c.versionTable()+" (version INTEGER, compat INTEGER)"); err != nil {
		return fmt.Errorf("create version table: %w", err)
	}
	cfg := c.cfg.Copy()
	cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(postgres.LockTimeout.Milliseconds(), 10)
	pool := stdlib.OpenDB(*cfg)
	defer pool.Close()
	db, err := dbutil.NewWithDB(pool, "pgx")
	if err != nil {
		return fmt.Errorf("open the upgrade's database: %w", err)
	}
	db.UpgradeTable, db.VersionTable = c.db.UpgradeTable, c.db.VersionTable
	if err := postgres.Persist(ctx, cfg, func() error { return db.Upgrade(ctx) }); err != nil {
		return fmt.Errorf("upgrade signal store: %w", err)
	}
	if err := postgres.Persist(ctx, cfg, func() error { return c.widen(ctx, pool) }); err != nil {
		return fmt.Errorf("make room for sealed keys: %w", err)
	}
	return nil
}

// widen drops the constraints by which columns of private keys have exactly 32 bytes; what is read is measured here (openKey).
func (c *Container) widen(ctx context.Context, pool *sql.DB) error {
	narrow, err := c.narrow(ctx, pool)
	for _, constraint := range narrow {
		if _, err := pool.ExecContext(ctx, "ALTER TABLE "+pgx.Identifier{c.name, constraint.table}.Sanitize()+
			" DROP CONSTRAINT IF EXISTS "+pgx.Identifier{constraint.name}.Sanitize()); err != nil {
			return err
		}
	}
	return err
}

// constraint is one of a table's.
type constraint struct{ table, name string }

// narrow lists the constraints that keep sealed keys out of their columns.
func (c *Container) narrow(ctx context.Context, pool *sql.DB) (found []constraint, err error) {
	rows, err := pool.QueryContext(ctx, `SELECT t.relname, k.conname FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
		JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (k.conkey)
		WHERE k.contype = 'c' AND n.nspname = $1 AND (t.relname = 'whatsmeow_pre_keys' AND a.attname = 'key'
		   OR t.relname = 'whatsmeow_device' AND a.attname IN ('noise_key', 'identity_key', 'signed_pre_key'))`, c.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var one constraint
		if err := rows.Scan(&one.table, &one.name); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

// ErrSchemaOld says that the schema lacks tables or columns this program needs: Upgrade has not run.
var ErrSchemaOld = errors.New("the signal store's schema is older than this program: run `chasqui migrate` with the same DATABASE_URL")

// CheckVersion returns ErrSchemaOld unless the schema is at least as new as this program.
func (c *Container) CheckVersion(ctx context.Context) error {
	var exists bool
	if err := c.pool.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", c.versionTable()).Scan(&exists); err != nil {
		return fmt.Errorf("look for the version table: %w", err)
	}
	if !exists {
		return ErrSchemaOld
	}
	var version int
	if err := c.pool.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM "+c.versionTable()).Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if version < SchemaVersion() {
		return ErrSchemaOld
	}
	narrow, err := c.narrow(ctx, c.pool)
	if err != nil {
		return fmt.Errorf("look for constraints on keys: %w", err)
	}
	if len(narrow) > 0 {
		return ErrSchemaOld
	}
	return nil
}

// SchemaVersion is the newest version of the schema that this program knows.
func SchemaVersion() int { return len(upgrades.Table) }

func (c *Container) versionTable() string {
	return pgx.Identifier{c.name, c.db.VersionTable}.Sanitize()
}

// NewDevice returns a device with fresh keys, for pairing. Nothing is stored until pairing succeeds.
func (c *Container) NewDevice(o Options) *store.Device {
	device := c.sql.NewDevice()
	device.Container = &deviceStore{container: c, options: o}
	return device
}

// Device loads a stored device, or returns ErrNoDevice. It makes every Device loaded earlier for this JID in this process unable to
// write.
func (c *Container) Device(ctx context.Context, jid types.JID, o Options) (*store.Device, error) {
	device, err := c.getDevice(ctx, jid)
	if errors.Is(err, ErrNoDevice) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("load device: %w", err)
	}
	if len(device.Account.GetDetails()) == 0 {
		device.Account = nil // a phone's, see Adopt
	}
	s := &deviceStore{container: c, options: o}
	s.attach(jid)
	s.equip(device)
	return device, nil
}

// Adopt stores a device whose keys and JID were made elsewhere and returns it ready for use. If the JID is stored already, the stored
// device is returned as Device does; it must have the same identity key. Unlike a paired device it may have no Account: it is then a
// phone, device 0, which needs no certificate of its own.
func (c *Container) Adopt(ctx context.Context, device *store.Device, o Options) (*store.Device, error) {
	if device.ID == nil {
		return nil, sqlstore.ErrDeviceIDMustBeSet
	}
	stored, err := c.Device(ctx, *device.ID, o)
	if err == nil && *stored.IdentityKey.Priv != *device.IdentityKey.Priv {
		return nil, fmt.Errorf("adopt device %s: another identity key is stored for it", device.ID)
	}
	if !errors.Is(err, ErrNoDevice) {
		return stored, err
	}
	device.Container = &deviceStore{container: c, options: o}
	device.Initialized = false
	if err := device.Save(ctx); err != nil {
		return nil, fmt.Errorf("adopt device %s: %w", device.ID, err)
	}
	return device, nil
}

// Break makes a Device that was loaded, or has been adopted, refuse everything from now on, as after a failure of its own. Its owner breaks
// it when something else could not be kept: whatsmeow passes over the failure of some handlers (message.go, handleDecryptedMessage), would
// note the message as done and take the next copy for one that was handled.
func Break(device *store.Device, cause error) {
	if s, ok := device.Container.(*deviceStore); ok {
		s.Break(cause)
	}
}

// Delete removes a device and all its state. No fence is asked. Devices loaded for this JID can no longer write.
func (c *Container) Delete(ctx context.Context, jid types.JID) error {
	err := c.lock(jid).Retire(ctx, func() error {
		return c.db.DoTxn(ctx, nil, func(ctx context.Context) error { return c.deleteRows(ctx, jid) })
	})
	if err != nil {
		return fmt.Errorf("delete device: %w", err)
	}
	return nil
}

// deleteRows removes a device's row, and by cascade the rest but its privacy tokens, whose table has no foreign key.
func (c *Container) deleteRows(ctx context.Context, jid types.JID) error {
	if _, err := c.db.Exec(ctx, "DELETE FROM whatsmeow_privacy_tokens WHERE our_jid = $1", jid.String()); err != nil {
		return err
	}
	_, err := c.db.Exec(ctx, "DELETE FROM whatsmeow_device WHERE jid = $1", jid.String())
	return err
}

func (c *Container) lock(jid types.JID) *ratchet.Lock {
	c.mu.Lock()
	defer c.mu.Unlock()
	lock := c.locks[jid]
	if lock == nil {
		lock = ratchet.NewLock()
		c.locks[jid] = lock
	}
	return lock
}

// gone says whether the server of a connection that has rested is gone, so that another is taken: in 2 s, as in postgres.Open, and not in all the time that
// the caller has. pgx has closed it then, which database/sql is told when it is asked once more.
func gone(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= time.Second {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return p.Conn.Ping(ctx) != nil
}
