package backup

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/testdb"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

func TestMain(m *testing.M) { testdb.Run(m) }

const (
	passphrase = "correct horse battery"
	factor     = 10 // 1 MB and a millisecond
	chunk      = 64<<10 + 16
)

func header(t testing.TB) Header {
	t.Helper()
	known, err := programSchema()
	if err != nil {
		t.Fatal(err)
	}
	return Header{Format: formatName, Version: formatVersion, Chasqui: "test", Schema: known, Sessions: []Session{{ID: "shop"}}}
}

// written is a backup with the given number of rows of 20 KB that do not compress.
func written(t testing.TB, h Header, rows int) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := newWriter(&file, passphrase, factor, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.begin(table{Name: "whatsmeow_lid_map", Columns: []string{"lid", "pn"}}); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		random := make([]byte, 10<<10)
		_, _ = rand.Read(random)
		if err := w.row(fmt.Appendf(nil, `{"lid":"%d","pn":"%s"}`, i, hex.EncodeToString(random))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func open(file []byte, phrase string) error {
	_, err := Open(Config{Passphrase: phrase, factor: factor}, bytes.NewReader(file))
	return err
}

func TestEveryChangeIsFound(t *testing.T) {
	t.Parallel()
	file := written(t, header(t), 30)
	if err := open(file, passphrase); err != nil {
		t.Fatal(err)
	}
	body := bytes.Index(file, []byte("\n--- ")) + 1
	body += bytes.IndexByte(file[body:], '\n') + 1 // the nonce of 16 bytes begins here
	if chunks := (len(file) - body) / chunk; chunks < 3 {
		t.Fatalf("only %d chunks", chunks)
	}
	refused := func(what string, changed []byte) {
		t.Helper()
		err := open(changed, passphrase)
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotBackup) && !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", what, err)
		}
	}
	flip := func(at int) {
		t.Helper()
		changed := bytes.Clone(file)
		changed[at] ^= 1
		refused(fmt.Sprintf("byte %d of %d changed", at, len(file)), changed)
	}
	for at := range body + 40 { // the header, the nonce and the first bytes of the content
		flip(at)
	}
	for at := body + 16; at < len(file); at += chunk {
		refused(fmt.Sprintf("cut at byte %d", at), file[:at])
		flip(at)
		flip(min(at+chunk, len(file)) - 1)
	}
	refused("without the last byte", file[:len(file)-1])
	refused("empty", nil)
	refused("one byte more", append(bytes.Clone(file), 0))
	swapped := bytes.Clone(file)
	first, second := body+16, body+16+chunk
	copy(swapped[first:second], file[second:second+chunk])
	copy(swapped[second:second+chunk], file[first:second])
	refused("chunks swapped", swapped)
	if err := open(file, passphrase+"!"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if err := open([]byte("PK\x03\x04, some other file"), passphrase); !errors.Is(err, ErrNotBackup) {
		t.Errorf("another file: %v", err)
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Header){
		"format": func(h *Header) { h.Version++ },
		"public": func(h *Header) { h.Schema.Public++ },
		"signal": func(h *Header) { h.Schema.Signal++ },
	} {
		h := header(t)
		change(&h)
		if err := open(written(t, h, 1), passphrase); !errors.Is(err, ErrNewer) {
			t.Errorf("a newer %s: %v", name, err)
		}
	}
	h := header(t)
	h.Schema.Signal = oldestSignal - 1
	if err := open(written(t, h, 1), passphrase); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Errorf("an older signal store: %v", err)
	}
}

// content is the lines of a backup before they are compressed.
func content(t testing.TB, lines ...any) []byte {
	t.Helper()
	var all bytes.Buffer
	for _, l := range lines {
		if err := json.NewEncoder(&all).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return all.Bytes()
}

func read(raw []byte) (rows int, err error) {
	r, err := readContent(bytes.NewReader(raw))
	for err == nil {
		if _, _, err = r.next(); err == nil {
			rows++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return rows, err
}

func TestWhatDoesNotAddUpIsRefused(t *testing.T) {
	t.Parallel()
	h := header(t)
	begin, chats := line{Header: &h}, line{Table: &table{Name: "chats", Columns: []string{"id"}}}
	row := line{Row: json.RawMessage(`{"id":"1"}`)}
	end := func(n int64) line { return line{End: map[string]int64{"chats": n}} }
	if rows, err := read(content(t, begin, chats, row, row, end(2))); err != nil || rows != 2 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	for name, lines := range map[string][]any{
		"no end":           {begin, chats, row},
		"a row less":       {begin, chats, row, end(2)},
		"a table less":     {begin, end(0)},
		"a table twice":    {begin, chats, row, chats, row, end(2)},
		"a row of nothing": {begin, row, chats, end(1)},
		"no object":        {begin, chats, map[string]any{"row": 1}, end(1)},
		"null":             {begin, chats, map[string]any{"row": nil}, end(1)},
		"more at the end":  {begin, chats, end(0), row},
		"an unknown line":  {begin, chats, map[string]any{"other": 1}, end(0)},
		"two headers":      {begin, begin, chats, end(0)},
	} {
		if _, err := read(content(t, lines...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := read(content(t, chats, end(0))); !errors.Is(err, ErrNotBackup) {
		t.Errorf("no header: %v", err)
	}
}

func FuzzContent(f *testing.F) {
	h := header(f)
	f.Add(content(f, line{Header: &h}, line{Table: &table{Name: "chats", Columns: []string{"id"}}},
		line{Row: json.RawMessage(`{"id":"1"}`)}, line{End: map[string]int64{"chats": 1}}))
	f.Add([]byte(`{"header":{"format":"chasqui backup","version":1}}` + "\n" + `{"end":{}}`))
	testfuzz.Run(f, func(t *testing.T, raw []byte) { _, _ = read(raw) })
}

func FuzzFile(f *testing.F) {
	f.Add(written(f, header(f), 1))
	testfuzz.Run(f, func(t *testing.T, raw []byte) { _ = open(raw, passphrase) })
}

func TestAFileAppearsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.age")
	broken := errors.New("the database is gone")
	err := Create(path, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	whole := func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err }
	if err := Create(path, whole); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 5 {
		t.Errorf("%v, %v", info, err)
	}
	if err := Create(path, whole); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("a second time: %v", err)
	}
	piped, err := OpenSource("-", strings.NewReader("piped"))
	if err != nil {
		t.Fatal(err)
	}
	defer piped.Close()
	if all, err := io.ReadAll(piped); err != nil || string(all) != "piped" {
		t.Errorf("%q, %v", all, err)
	}
}
