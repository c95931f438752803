package backup

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"filippo.io/age"
)

const (
	formatName    = "chasqui backup"
	formatVersion = 1

	// magic begins every age file.
	magic = "age-encryption.org/v1\n"

	// workFactor makes one guess of the passphrase cost 2^18 rounds of scrypt: 256 MB of memory and about a second, which is age's own
	// default. A file that asks for more is not ours, and is refused rather than paid for.
	workFactor = 18

	// maxLine bounds a row. Bytes are written as hex, so that a value may have 32 MB: the largest there are, records of Signal sessions
	// and buffered messages, stay below 1 MB.
	maxLine = 64 << 20
)

var (
	// ErrNotBackup says that a file is something else altogether.
	ErrNotBackup = errors.New("this is not a file that `chasqui backup` wrote: check --file")

	// ErrPassphrase says that the passphrase does not open the file. Damage to the few bytes that it protects looks the same.
	ErrPassphrase = errors.New("BACKUP_PASSPHRASE does not open this file: use the passphrase that the backup was made with")

	// ErrDamaged says that the file is not, to the last byte, what was written.
	ErrDamaged = errors.New("the file is damaged or cut short, and nothing of it was restored: use another copy of it, or an older backup")

	// ErrThere says that the database has one of the file's sessions or devices.
	ErrThere = errors.New("nothing was restored, because this database has some of it already")

	// ErrMisfit says that rows of the file mean something else to this program, or nothing.
	ErrMisfit = errors.New("the backup does not fit this program's database: restore it with the chasqui that made it, then run this one's `chasqui migrate`")

	// ErrNewer says that this program is too old for the file.
	ErrNewer = errors.New("the backup is newer than this program: restore it with the chasqui that made it, or a later one")
)

// A Header is the first line of a backup.
type Header struct {
	Format    string    `json:"format"`
	Version   int       `json:"version"` // of the format
	Chasqui   string    `json:"chasqui"` // the program that wrote it
	CreatedAt time.Time `json:"createdAt"`
	Schema    Schema    `json:"schema"`
	Sessions  []Session `json:"sessions"`
}

// Schema is the versions of the database's two parts.
type Schema struct {
	Public int64 `json:"public"`
	Signal int64 `json:"signal"`
}

// Session is one session of a backup.
type Session struct {
	ID  string `json:"id"`
	JID string `json:"jid,omitempty"` // of its device; empty: not linked
}

// table begins the rows of one table. Those of the signal store have the prefix whatsmeow_.
type table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// line is one line of the content; exactly one member is set. The first is the header; a table comes before its rows; the last is the
// end, with the number of rows of every table.
type line struct {
	Header *Header          `json:"header,omitempty"`
	Table  *table           `json:"table,omitempty"`
	Row    json.RawMessage  `json:"row,omitempty"`
	End    map[string]int64 `json:"end,omitempty"`
}

// writer writes a backup: JSON lines, compressed by gzip, encrypted by age. age authenticates every 64 KB together with its place and
// whether it is the last, so that nothing can be changed, moved or cut off unnoticed.
type writer struct {
	sealed io.WriteCloser
	zip    *gzip.Writer
	out    *bufio.Writer
	counts map[string]int64
	table  string
}

func newWriter(dst io.Writer, passphrase string, factor int, h Header) (*writer, error) {
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("use passphrase: %w", err)
	}
	recipient.SetWorkFactor(factor)
	sealed, err := age.Encrypt(dst, recipient)
	if err != nil {
		return nil, fmt.Errorf("begin encryption: %w", err)
	}
	zip, err := gzip.NewWriterLevel(sealed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	w := &writer{sealed: sealed, zip: zip, out: bufio.NewWriterSize(zip, 64<<10), counts: map[string]int64{}}
	return w, w.write(line{Header: &h})
}

func (w *writer) write(l line) error {
	raw, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	if _, err := w.out.Write(append(raw, '\n')); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (w *writer) begin(t table) error {
	w.table, w.counts[t.Name] = t.Name, 0
	return w.write(line{Table: &t})
}

func (w *writer) row(raw []byte) error {
	w.counts[w.table]++
	return w.write(line{Row: raw})
}

// close writes the end. Without it the file does not count.
func (w *writer) close() error {
	if err := w.write(line{End: w.counts}); err != nil {
		return err
	}
	for _, step := range []func() error{w.out.Flush, w.zip.Close, w.sealed.Close} {
		if err := step(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// reader reads what a writer wrote, and answers io.EOF only when all of it was there.
type reader struct {
	Header Header
	lines  *bufio.Scanner
	counts map[string]int64
	table  *table
}

// unlock finds the key of a file, which takes the time and memory that guessing shall take, by its passphrase.
func unlock(src io.Reader, passphrase string, factor int) (age.Identity, error) {
	in := bufio.NewReader(src)
	if begin, err := in.Peek(len(magic)); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read backup: %w", err)
	} else if string(begin) != magic {
		return nil, ErrNotBackup
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("use passphrase: %w", err)
	}
	identity.SetMaxWorkFactor(factor)
	head, err := age.ExtractHeader(in)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	key, err := age.DecryptHeader(head, identity)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	return age.NewInjectedFileKeyIdentity(key), nil
}

// newReader opens a file whose key is known and reads its header. Of the content no more than limit bytes are read; 0: all of it.
func newReader(src io.Reader, key age.Identity, limit int64) (*reader, error) {
	opened, err := age.Decrypt(src, key)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	content, err := gzip.NewReader(opened)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	if limit > 0 {
		return readContent(io.LimitReader(content, limit))
	}
	return readContent(content)
}

// readContent reads the header of what is inside the encryption.
func readContent(content io.Reader) (*reader, error) {
	r := &reader{lines: bufio.NewScanner(content), counts: map[string]int64{}}
	r.lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	first, err := r.line()
	if err != nil {
		return nil, err
	}
	if first.Header == nil || first.Header.Format != formatName {
		return nil, ErrNotBackup
	}
	r.Header = *first.Header
	if r.Header.Version > formatVersion {
		return nil, fmt.Errorf("%w (it was made by %q)", ErrNewer, r.Header.Chasqui)
	}
	if r.Header.Version < 1 {
		return nil, ErrDamaged
	}
	return r, nil
}

// line reads one line; io.EOF where there is none.
func (r *reader) line() (l line, err error) {
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return l, fmt.Errorf("%w (%w)", ErrDamaged, err)
		}
		return l, io.EOF
	}
	if err := json.Unmarshal(r.lines.Bytes(), &l); err != nil {
		return l, ErrDamaged // the decoder's error may quote a key
	}
	return l, nil
}

// next reads the next row and its table. A table that has no rows is passed over.
func (r *reader) next() (*table, json.RawMessage, error) {
	for {
		l, err := r.line()
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil, ErrDamaged // the end is missing
		case err != nil:
			return nil, nil, err
		case l.Row != nil:
			if r.table == nil || l.Row[0] != '{' {
				return nil, nil, ErrDamaged
			}
			r.counts[r.table.Name]++
			return r.table, l.Row, nil
		case l.Table != nil:
			if _, twice := r.counts[l.Table.Name]; twice {
				return nil, nil, ErrDamaged
			}
			r.table, r.counts[l.Table.Name] = l.Table, 0
		case l.End != nil:
			if !maps.Equal(l.End, r.counts) {
				return nil, nil, ErrDamaged
			}
			if _, err := r.line(); !errors.Is(err, io.EOF) { // reading on is what proves that the last block is the last
				return nil, nil, ErrDamaged
			}
			return nil, nil, io.EOF
		default:
			return nil, nil, ErrDamaged
		}
	}
}
