package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/keyring"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/signalstore"
)

const (
	// batchBytes bounds the rows that go to PostgreSQL together.
	batchBytes = 1 << 20

	// restoreIdle is how long, in milliseconds, PostgreSQL waits for the next rows: the file may be on a slow disk. A restore that is
	// stopped in the middle is undone then, and holds nothing any more.
	restoreIdle = "60000"

	// oldestPublic and oldestSignal are the oldest versions of the schema whose rows mean the same in this one. Whoever writes a
	// migration, or takes a whatsmeow, that changes what rows mean raises them; new columns and tables do not matter.
	oldestPublic, oldestSignal = 1, 15
)

// A File is a backup that was read to its end and found whole.
type File struct {
	Header  Header
	Summary Summary

	key age.Identity
	src io.ReadSeeker
}

// Open reads a whole backup, which proves that the passphrase is right and that every byte is as it was written, and checks that this
// program can restore it. It touches no database. Of c the passphrase and MaxContent alone are used.
func Open(c Config, src io.ReadSeeker) (*File, error) {
	key, err := unlock(src, c.Passphrase, c.workFactor())
	if err != nil {
		return nil, err
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	r, err := newReader(src, key, c.MaxContent)
	if err != nil {
		return nil, err
	}
	known, err := programSchema()
	if err != nil {
		return nil, err
	}
	switch is := r.Header.Schema; {
	case is.Public > known.Public, is.Signal > known.Signal:
		return nil, fmt.Errorf("%w (it was made by %q)", ErrNewer, r.Header.Chasqui)
	case is.Public < oldestPublic, is.Signal < oldestSignal:
		return nil, fmt.Errorf("%w (the backup is too old: it was made by %q)", ErrMisfit, r.Header.Chasqui)
	}
	for {
		_, _, err := r.next()
		if errors.Is(err, io.EOF) {
			return &File{Header: r.Header, Summary: summarise(r.Header.Sessions, r.counts), key: key, src: src}, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// choose returns the sessions of the given ids, all without any.
func (f *File) choose(only []string) ([]Session, error) {
	if len(only) == 0 {
		return f.Header.Sessions, nil
	}
	var chosen []Session
	var missing []string
	for _, id := range slices.Compact(slices.Sorted(slices.Values(only))) {
		i := slices.IndexFunc(f.Header.Sessions, func(s Session) bool { return s.ID == id })
		if i < 0 {
			missing = append(missing, id)
			continue
		}
		chosen = append(chosen, f.Header.Sessions[i])
	}
	if len(missing) > 0 {
		var all []string
		for _, s := range f.Header.Sessions {
			all = append(all, s.ID)
		}
		return nil, fmt.Errorf("the backup has no session %s; it has: %s", enumerate(missing), enumerate(all))
	}
	return chosen, nil
}

// enumerate lists names for a person, the first twenty of them.
func enumerate(names []string) string {
	if len(names) > 20 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:20], ", "), len(names)-20)
	}
	return strings.Join(names, ", ")
}

// restoring is one restore in progress.
type restoring struct {
	Config
	tx       pgx.Tx
	sessions map[string]bool // ids
	devices  map[string]bool // JIDs
	all      bool            // nothing was left out by choice
	counts   map[string]int64

	table   *table
	insert  string
	pending []byte // rows as the inside of a JSON array
}

// Restore puts the backup, or with only the sessions of those ids, into a migrated database, in one transaction: all of it or nothing. It
// refuses when one of the sessions or devices is there already. Connectors that run on the database have the sessions at once.
func (f *File) Restore(ctx context.Context, c Config, only []string) (Summary, error) {
	conn, err := connect(ctx, c.DSN, restoreIdle)
	if err != nil {
		return Summary{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // undoes what is not committed
	tx, err := conn.Begin(ctx)
	if err != nil {
		return Summary{}, fmt.Errorf("begin: %w", err)
	}
	s, err := f.RestoreIn(ctx, tx, c, only)
	if err != nil {
		return Summary{}, err
	}
	if err := tx.Commit(ctx); err != nil {
		return Summary{}, fmt.Errorf("commit: %w", err)
	}
	wake(ctx, c.DSN)
	return s, nil
}

// RestoreIn is Restore as a part of a transaction, which may be committed only without an error. Whoever commits it wakes the connectors.
func (f *File) RestoreIn(ctx context.Context, tx pgx.Tx, c Config, only []string) (Summary, error) {
	chosen, err := f.choose(only)
	if err != nil {
		return Summary{}, err
	}
	r := &restoring{Config: c, tx: tx, sessions: map[string]bool{}, devices: map[string]bool{}, all: len(only) == 0, counts: map[string]int64{}}
	for _, s := range chosen {
		r.sessions[s.ID] = true
		if s.JID != "" {
			r.devices[s.JID] = true
		}
	}
	if err := keyring.CheckIn(ctx, tx, c.Keys); err != nil {
		return Summary{}, err
	}
	if err := r.checkAbsent(ctx, chosen); err != nil {
		return Summary{}, err
	}
	if _, err := f.src.Seek(0, io.SeekStart); err != nil {
		return Summary{}, fmt.Errorf("read backup: %w", err)
	}
	rows, err := newReader(f.src, f.key, 0)
	if err != nil {
		return Summary{}, err
	}
	if err := r.rows(ctx, rows); err != nil {
		if postgres.ErrorCode(err) == "23505" { // unique_violation: created since checkAbsent
			return Summary{}, fmt.Errorf("%w: one of the backup's sessions, created meanwhile: %w", ErrThere, err)
		}
		return Summary{}, err
	}
	if err := r.finish(ctx); err != nil {
		return Summary{}, err
	}
	return summarise(chosen, r.counts), nil
}

// checkAbsent refuses to restore over what is there.
func (r *restoring) checkAbsent(ctx context.Context, chosen []Session) error {
	rows, err := r.tx.Query(ctx, `SELECT 'session ' || id FROM public.sessions WHERE id = ANY ($1) UNION
		SELECT 'device ' || jid || ' of session ' || id FROM public.sessions WHERE jid = ANY ($2) AND id <> ALL ($1) UNION
		SELECT 'device ' || jid FROM `+r.identifier("whatsmeow_device")+` d WHERE jid = ANY ($2)
		   AND NOT EXISTS (SELECT FROM public.sessions s WHERE s.jid = d.jid)
		ORDER BY 1`, keys(r.sessions), keys(r.devices))
	if err != nil {
		return fmt.Errorf("look for the backup's sessions: %w", err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for the backup's sessions: %w", err)
	}
	if len(there) > 0 {
		return fmt.Errorf("%w: %s; restore into a fresh database, delete them first, or choose others of the backup's %d with --only",
			ErrThere, enumerate(there), len(chosen))
	}
	return nil
}

func keys(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for k := range set {
		list = append(list, k)
	}
	return list
}

// rows inserts the chosen ones.
func (r *restoring) rows(ctx context.Context, from *reader) error {
	for {
		t, row, err := from.next()
		if errors.Is(err, io.EOF) {
			return r.flush(ctx)
		}
		if err != nil {
			return err
		}
		if t != r.table {
			if err := r.flush(ctx); err != nil {
				return err
			}
			if err := r.begin(ctx, t); err != nil {
				return err
			}
		}
		wanted, err := r.wants(t, row)
		if err != nil {
			return err
		}
		if !wanted {
			continue
		}
		if row, err = keyring.SealRow(r.Keys, t.Name, row); err != nil {
			return ErrDamaged
		}
		if len(r.pending) > 0 {
			r.pending = append(r.pending, ',')
		}
		if r.pending = append(r.pending, row...); len(r.pending) >= batchBytes {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// begin prepares to insert into a table, of which the database may have more columns than the backup, and must not have less.
func (r *restoring) begin(ctx context.Context, t *table) error {
	if !strings.HasPrefix(t.Name, signalPrefix) && publicTable(t.Name) < 0 {
		return fmt.Errorf("%w (table %q)", ErrDamaged, t.Name) // no backup has it: an author with the passphrase wants more than to restore
	}
	there, err := r.columns(ctx, r.tx, t.Name)
	if err != nil {
		return err
	}
	var odd []string
	for _, name := range t.Columns {
		if !slices.ContainsFunc(there, func(c column) bool { return c.Name == name }) {
			odd = append(odd, name)
		}
	}
	for _, c := range there {
		if !c.Optional && !slices.Contains(t.Columns, c.Name) {
			odd = append(odd, c.Name)
		}
	}
	if len(odd) > 0 {
		return fmt.Errorf("%w (table %s, columns %s)", ErrMisfit, t.Name, enumerate(odd))
	}
	r.table, r.counts[t.Name] = t, 0
	r.insert = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM json_populate_recordset(NULL::%s, $1::text::json)",
		r.identifier(t.Name), quoted(t.Columns), quoted(t.Columns), r.identifier(t.Name))
	if r.shared(t) {
		r.insert += " ON CONFLICT DO NOTHING" // what the database knows already is as good, or newer
	}
	return nil
}

func publicTable(name string) int {
	for i, t := range copied {
		if t.name == name {
			return i
		}
	}
	return -1
}

// shared tells whether a table's rows belong to no session alone: the webhook endpoints, and which LID is which phone number.
func (r *restoring) shared(t *table) bool {
	if i := publicTable(t.Name); i >= 0 {
		return copied[i].session == ""
	}
	return deviceColumn(t.Columns) == ""
}

// wants tells whether a row belongs to what was chosen. An endpoint does unless it listens to none of the chosen sessions.
func (r *restoring) wants(t *table, row json.RawMessage) (bool, error) {
	column, set := deviceColumn(t.Columns), r.devices
	if i := publicTable(t.Name); i >= 0 {
		column, set = copied[i].session, r.sessions
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(row, &values); err != nil {
		return false, ErrDamaged
	}
	if column != "" {
		var value string
		if err := json.Unmarshal(values[column], &value); err != nil {
			return false, ErrDamaged
		}
		return set[value], nil
	}
	if t.Name != "webhook_endpoints" || r.all {
		return true, nil
	}
	var listensTo []string
	if err := json.Unmarshal(values["sessions"], &listensTo); err != nil {
		return false, ErrDamaged
	}
	return len(listensTo) == 0 || slices.ContainsFunc(listensTo, func(id string) bool { return set[id] }), nil
}

func (r *restoring) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	done, err := r.tx.Exec(ctx, r.insert, "["+string(r.pending)+"]")
	if err != nil {
		return fmt.Errorf("insert into %s: %w", r.table.Name, err)
	}
	r.counts[r.table.Name] += done.RowsAffected()
	r.pending = r.pending[:0]
	return nil
}

// finish makes what was inserted fit to run. A session that is to run, and did not come to an end that only a person's restart leaves,
// starts; nobody holds one. The original may have gone on since, so that the Signal sessions begin anew.
func (r *restoring) finish(ctx context.Context) error {
	if r.Rest {
		if _, err := r.tx.Exec(ctx, "UPDATE public.sessions SET desired = 'stopped' WHERE id = ANY ($1)", keys(r.sessions)); err != nil {
			return fmt.Errorf("make sessions rest: %w", err)
		}
	}
	_, err := r.tx.Exec(ctx, `UPDATE public.sessions SET reason = '', updated_at = now(),
			state = CASE WHEN desired = 'started' THEN 'starting' ELSE 'stopped' END
		WHERE id = ANY ($1) AND state NOT IN ('logged_out', 'banned', 'replaced', 'failed')`, keys(r.sessions))
	if err != nil {
		return fmt.Errorf("make sessions ready: %w", err)
	}
	var lost []string
	err = r.tx.QueryRow(ctx, `SELECT array(SELECT s.id FROM public.sessions s WHERE s.id = ANY ($1) AND s.jid IS NOT NULL
		AND NOT EXISTS (SELECT FROM `+r.identifier("whatsmeow_device")+` d WHERE d.jid = s.jid) ORDER BY s.id)`, keys(r.sessions)).Scan(&lost)
	if err != nil {
		return fmt.Errorf("look for the sessions' devices: %w", err)
	}
	if len(lost) > 0 {
		return fmt.Errorf("the backup lacks the devices of %s: leave them out with --only, and link them anew", enumerate(lost))
	}
	return signalstore.Renew(ctx, r.tx, r.SignalSchema, keys(r.devices))
}

// wake tells connectors that there are sessions. Failure policy: they look for themselves every second, so that a wake-up lost is no error.
func wake(ctx context.Context, dsn string) {
	pool, err := postgres.Open(ctx, dsn, postgres.Options{MaxConns: 1, Name: "backup"})
	if err != nil {
		return
	}
	defer pool.Close()
	n := queue.NewNotifier(pool)
	n.Notify(events.WakeControl)
	n.Close()
}
