package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memoryLimit is how much a role may have resident above what it has at rest, in KiB, while a file of 100 MB passes.
const memoryLimit = memoryFactor * (32 << 10)

// resident reads a process's memory, in KiB: now, and at its peak since resetPeak.
func (p *process) resident(t *testing.T) (now, peak int) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			now = n
		case "VmHWM":
			peak = n
		}
	}
	if now == 0 || peak == 0 {
		t.Fatalf("no memory of %s in %q", p.name, raw)
	}
	return now, peak
}

// resetPeak lets the kernel measure the peak anew (proc(5), clear_refs).
func (p *process) resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// A noisy file is made as it is read, so that nobody holds it.
type noisy struct {
	seed uint64
	size int // bytes
}

// noisyChunk is a multiple of three, so that base64 has its padding at the end alone.
const noisyChunk = 3 << 16

func (f noisy) chunks(each func([]byte) error) error {
	for at := 0; at < f.size; at += noisyChunk {
		if err := each(noise(f.seed+uint64(at/noisyChunk), min(noisyChunk, f.size-at))); err != nil {
			return err
		}
	}
	return nil
}

func (f noisy) hash() string {
	sum := sha256.New()
	_ = f.chunks(func(b []byte) error { _, err := sum.Write(b); return err }) // a hash never fails
	return hex.EncodeToString(sum.Sum(nil))
}

// upload gives the file to the API as multipart.
func (f noisy) upload(t *testing.T, api client) (mediaID string) {
	t.Helper()
	var made struct{ ID, SHA256 string }
	err := api.form("/v1/media", &made, func(form *multipart.Writer) error {
		part, err := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {`form-data; name="file"; filename="noise.bin"`}, "Content-Type": {"application/x-noise"},
		})
		if err != nil {
			return err
		}
		return f.chunks(func(b []byte) error { _, err := part.Write(b); return err })
	})
	if err != nil || made.SHA256 != f.hash() {
		t.Fatalf("uploaded as %+v: %v", made, err)
	}
	return made.ID
}

// from lets a phone send the file to the business.
func (f noisy) from(t *testing.T, sandbox client, number string) (whatsappID string) {
	t.Helper()
	var made struct{ ID string }
	err := sandbox.post("/phones/"+number+"/messages", "application/json", &made, func(w io.Writer) error {
		if _, err := fmt.Fprintf(w, `{"to":%q,"type":"document","fileName":"noise.bin","data":"`, business); err != nil {
			return err
		}
		if err := f.chunks(func(b []byte) error { _, err := io.WriteString(w, base64.StdEncoding.EncodeToString(b)); return err }); err != nil {
			return err
		}
		_, err := io.WriteString(w, `"}`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// pass takes a file out and others in by all that carries them: upload, send, receive, read.
func (s *stack) pass(t *testing.T, out noisy, in ...noisy) {
	t.Helper()
	step := s.stopwatch(t)
	id := out.upload(t, s.api)
	step("uploaded", out)
	var m message
	s.api.must(t, "POST", "/v1/sessions/shop/messages", map[string]any{
		"to": customer(0), "content": map[string]any{"type": "document", "media": map[string]string{"mediaId": id}},
	}, &m, "Prefer", "wait=60")
	eventually(t, time.Minute, "the document at the phone", func() error {
		all, err := shown(s.sandbox, customer(0))
		for _, p := range all {
			if p.ID == m.WhatsAppID && p.SHA256 == out.hash() {
				return nil
			}
		}
		return errors.Join(err, errors.New("not shown"))
	})
	step("sent", out)
	var ids []string
	for _, f := range in {
		ids = append(ids, f.from(t, s.sandbox, customer(0)))
	}
	for i, f := range in {
		got := s.receiver.delivered(t, time.Minute, ids[i])
		if got.Content.Media.SHA256 != f.hash() {
			t.Fatalf("received %+v", got.Content.Media)
		}
	}
	step("received", in...)
	for i, f := range in {
		m := s.receiver.delivered(t, time.Minute, ids[i])
		size, hash, err := s.api.content(m.Content.Media.URL)
		if err != nil || size != int64(f.size) || hash != f.hash() {
			t.Errorf("%d bytes came, with %s: %v", size, hash, err)
		}
	}
	step("read", in...)
}

// stopwatch reports, step by step, what each role has resident above what it had when the stopwatch was made.
func (s *stack) stopwatch(t *testing.T) func(step string, files ...noisy) {
	t.Helper()
	roles := []string{"api", "connector", "dispatcher"}
	began, rest := time.Now(), map[string]int{}
	for _, role := range roles {
		rest[role], _ = s.procs[role].resident(t)
		s.procs[role].resetPeak(t)
	}
	return func(step string, files ...noisy) {
		t.Helper()
		size := 0
		for _, f := range files {
			size += f.size
		}
		line := fmt.Sprintf("%.1f MB %s in %s; at rest and at most above it:", float64(size)/1e6, step, time.Since(began).Round(time.Millisecond))
		for _, role := range roles {
			_, peak := s.procs[role].resident(t)
			above := peak - rest[role]
			line += fmt.Sprintf(" %s %.1f+%.1f MiB", role, float64(rest[role])/1024, float64(above)/1024)
			if above > memoryLimit {
				t.Errorf("%s: %s has %d KiB resident, %d more than at rest", step, role, peak, above)
			}
			s.procs[role].resetPeak(t)
		}
		t.Log(line)
		began = time.Now()
	}
}

// TestMediaIsStreamed passes 100 MB each way, with each role's memory watched from outside. What is received comes in two files, since the
// sandbox takes none of more than some 70 MB.
//
// Feature: Media by multipart, URL or base64, streamed both ways
func TestMediaIsStreamed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.startAll(t)
	s.subscribe(t, "none")
	link(t, s.api, s.sandbox, "shop", business)
	s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Customer"}, nil)
	s.pass(t, noisy{50, 100_000}, noisy{51, 100_000}) // so that what is made once is made
	s.pass(t, noisy{1000, 100_000_000}, noisy{2000, 60_000_000}, noisy{3000, 40_000_000})
	s.receiver.check(t)
}
