package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/tests3"
)

// A sample is a file of a test.
type sample struct {
	kind, mimetype, name, caption string
	data                          []byte
}

func (f sample) hash() string {
	sum := sha256.Sum256(f.data)
	return hex.EncodeToString(sum[:])
}

// noise returns n bytes that no compression shortens, the same for the same seed.
func noise(seed uint64, n int) []byte {
	out := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = source.Read(out) // never fails
	return out
}

const photoWidth = 2048

// photo returns a JPEG of about 3 MB.
func photo(t *testing.T) []byte {
	t.Helper()
	picture := image.NewRGBA(image.Rect(0, 0, photoWidth, 1536))
	pixels := noise(1, len(picture.Pix))
	copy(picture.Pix, pixels)
	for i := 3; i < len(picture.Pix); i += 4 {
		picture.Pix[i] = 255
	}
	picture.Set(0, 0, color.White)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, picture, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// samples are those of the promise: a 3 MB image, a voice note and a 60 MB document.
func samples(t *testing.T) []sample {
	t.Helper()
	voice, err := os.ReadFile("../mediainfo/testdata/hybrid-mono.ogg")
	if err != nil {
		t.Fatal(err)
	}
	return []sample{
		{"image", "image/jpeg", "", "a picture", photo(t)},
		{"voice", "audio/ogg; codecs=opus", "", "", voice},
		{"document", "application/x-noise", "noise.bin", "sixty", noise(2, 60<<20)},
	}
}

// upload gives a file to the API as multipart, streamed, and returns its media id.
func (c client) upload(f sample) (string, error) {
	var m struct{ ID, SHA256 string }
	err := c.form("/v1/media", &m, func(form *multipart.Writer) error {
		part, err := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename=%q`, cmp.Or(f.name, "unnamed"))}, "Content-Type": {f.mimetype},
		})
		if err != nil {
			return err
		}
		_, err = part.Write(f.data)
		return err
	})
	if err != nil || m.SHA256 != f.hash() {
		return "", fmt.Errorf("upload: %s has another hash than %s: %w", m.ID, f.hash(), err)
	}
	return m.ID, nil
}

// content reads a URL with the key and returns size and hash of what comes.
func (c client) content(address string) (size int64, hash string, err error) {
	req, err := http.NewRequestWithContext(context.Background(), "GET", address, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-API-Key", c.key)
	res, err := httpClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	sum := sha256.New()
	if size, err = io.Copy(sum, res.Body); err != nil {
		return size, "", err
	}
	if res.StatusCode != http.StatusOK {
		return size, "", fmt.Errorf("GET %s: %d", address, res.StatusCode)
	}
	return size, hex.EncodeToString(sum.Sum(nil)), nil
}

// A legacyReceiver is a webhook server of the original's users.
type legacyReceiver struct {
	addr string
	srv  *http.Server
	mu   sync.Mutex
	got  map[string]legacyMessage // by id
}

type legacyMessage struct {
	ID, SessionID, From, Body, Type string
	Timestamp                       int64
	Contact                         struct{ Name, Number string }
	Media                           *struct{ Mimetype, Data, URL, Filename string }
}

func newLegacyReceiver(t *testing.T) *legacyReceiver {
	t.Helper()
	r := &legacyReceiver{addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), got: map[string]legacyMessage{}}
	r.srv = &http.Server{Addr: r.addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var m legacyMessage
		if err := json.NewDecoder(io.LimitReader(req.Body, 16<<20)).Decode(&m); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[m.ID] = m
	})}
	go func() { _ = r.srv.ListenAndServe() }()
	t.Cleanup(func() { _ = r.srv.Close() })
	return r
}

func (r *legacyReceiver) message(id string) (legacyMessage, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.got[id]
	return m, ok
}

// TestMedia sends and receives an image, a voice note and a large document, and finds the same bytes at the phone, in S3, through the API and
// in the original's webhook.
//
// Feature: Media by multipart, URL or base64, streamed both ways
func TestMedia(t *testing.T) {
	t.Parallel()
	tests3.EachServer(t, func(t *testing.T, objects *tests3.Server) {
		s := newStackOn(t, objects)
		s.startAll(t)
		s.subscribe(t, "chat")
		legacy := newLegacyReceiver(t)
		s.api.must(t, "POST", "/v1/webhook-endpoints", map[string]any{"url": "http://" + legacy.addr, "format": "legacy"}, nil)
		link(t, s.api, s.sandbox, "shop", business)
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Customer"}, nil)
		files := samples(t)

		for _, f := range files { // out
			id, err := s.api.upload(f)
			if err != nil {
				t.Fatal(err)
			}
			content := map[string]any{"type": f.kind, "media": map[string]string{"mediaId": id}}
			if f.caption != "" {
				content["caption"] = f.caption
			}
			var m message
			s.api.must(t, "POST", "/v1/sessions/shop/messages", map[string]any{"to": customer(0), "content": content}, &m, "Prefer", "wait=30")
			if m.Content.Media == nil || m.Content.Media.SHA256 != f.hash() || m.Content.Media.Size != int64(len(f.data)) || m.Content.Media.ID != id {
				t.Fatalf("%s: the answer says %+v", f.kind, m.Content.Media)
			}
			var seen phoneMessage
			eventually(t, 60*time.Second, f.kind+" at the phone", func() error {
				all, err := shown(s.sandbox, customer(0))
				for _, p := range all {
					if p.ID == m.WhatsAppID {
						seen = p
						return nil
					}
				}
				return errors.Join(err, errors.New("not shown"))
			})
			if seen.SHA256 != f.hash() || seen.Size != int64(len(f.data)) || seen.Type != f.kind || seen.Caption != f.caption || seen.Mimetype != f.mimetype || seen.FileName != f.name {
				t.Errorf("%s: the phone shows %+v", f.kind, seen)
			}
			switch {
			case f.kind == "image" && seen.Width != photoWidth:
				t.Errorf("the image is %d wide", seen.Width)
			case f.kind == "voice" && (seen.Seconds < 1 || len(seen.Waveform) != base64.StdEncoding.EncodedLen(64)):
				t.Errorf("the voice note has %d s and the waveform %q", seen.Seconds, seen.Waveform)
			}
		}
		for _, f := range files { // in
			var sent struct{ ID string }
			s.sandbox.must(t, "POST", "/phones/"+customer(0)+"/messages", map[string]any{
				"to": business, "type": f.kind, "data": base64.StdEncoding.EncodeToString(f.data), "mimetype": f.mimetype, "caption": f.caption, "fileName": f.name,
			}, &sent)
			var m message
			eventually(t, 60*time.Second, f.kind+" as an event", func() error {
				for _, d := range s.receiver.deliveries() {
					if d.Event.Type == "message.received" && d.Event.Data.Message.WhatsAppID == sent.ID {
						m = d.Event.Data.Message
						return nil
					}
				}
				return errors.New("not delivered")
			})
			media := m.Content.Media
			if media == nil || media.SHA256 != f.hash() || media.Size != int64(len(f.data)) || media.Mimetype != f.mimetype || m.Content.Caption != f.caption || m.Content.Type != f.kind {
				t.Fatalf("%s: the event says %+v, %+v", f.kind, m.Content, media)
			}
			size, hash, err := s.api.content(media.URL)
			if err != nil || size != int64(len(f.data)) || hash != f.hash() {
				t.Errorf("%s: %s gives %d bytes, %s, %v", f.kind, media.URL, size, hash, err)
			}
			s.checkLegacy(t, legacy, sent.ID, f, media.URL)
		}
		s.checkObjects(t, files)
		s.receiver.check(t)
	})
}

// checkLegacy compares what the original's webhook brought.
func (s *stack) checkLegacy(t *testing.T, r *legacyReceiver, id string, f sample, address string) {
	t.Helper()
	var m legacyMessage
	eventually(t, 60*time.Second, f.kind+" in the legacy webhook", func() error {
		var ok bool
		if m, ok = r.message(id); !ok {
			return errors.New("not there")
		}
		return nil
	})
	kind := map[string]string{"image": "image", "voice": "ptt", "document": "document"}[f.kind]
	if m.Media == nil || m.Type != kind || m.From != customer(0)+"@c.us" || m.Body != f.caption || m.Media.Mimetype != f.mimetype {
		t.Fatalf("%s: the legacy webhook says %+v", f.kind, m)
	}
	if len(f.data) > 5<<20 {
		if m.Media.URL != address || m.Media.Data != "" {
			t.Errorf("%s: the legacy webhook has the URL %q and %d bytes of data", f.kind, m.Media.URL, len(m.Media.Data))
		}
		return
	}
	data, err := base64.StdEncoding.DecodeString(m.Media.Data)
	if err != nil || !bytes.Equal(data, f.data) {
		t.Errorf("%s: the legacy webhook has other bytes, %d of them, %v", f.kind, len(data), err)
	}
}

// checkObjects reads the bucket with rclone, which nobody here wrote, and finds each file once.
func (s *stack) checkObjects(t *testing.T, files []sample) {
	t.Helper()
	if _, err := exec.LookPath("rclone"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Errorf("rclone is not installed: %v", err)
		}
		t.Logf("objects not read with rclone: %v", err)
		return
	}
	dir := t.TempDir()
	c := s.s3.Config
	cmd := exec.Command("rclone", "copy", "--retries", "1", "store:"+c.Bucket, dir)
	cmd.Env = []string{ // none of the AWS_ and RCLONE_ variables that a developer may have
		"HOME=" + t.TempDir(), "RCLONE_CONFIG=" + filepath.Join(dir, "none"), "RCLONE_CONFIG_STORE_TYPE=s3", "RCLONE_CONFIG_STORE_PROVIDER=Other",
		"RCLONE_CONFIG_STORE_ENDPOINT=" + c.Endpoint, "RCLONE_CONFIG_STORE_ACCESS_KEY_ID=" + c.AccessKey,
		"RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY=" + c.SecretKey, "RCLONE_CONFIG_STORE_REGION=us-east-1",
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rclone: %v\n%s", err, out)
	}
	found := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		found[sample{data: raw}.hash()]++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if found[f.hash()] < 1 {
			t.Errorf("%s is not in S3", f.kind)
		}
	}
}

// TestMediaSurvivesKills sends 25 files each way and kills dispatcher, api and S3 in the middle of them: each comes once, and whole.
func TestMediaSurvivesKills(t *testing.T) {
	t.Parallel()
	tests3.EachServer(t, func(t *testing.T, objects *tests3.Server) {
		s := newStackOn(t, objects)
		s.startAll(t)
		s.subscribe(t, "chat")
		link(t, s.api, s.sandbox, "shop", business)
		s.sandbox.must(t, "POST", "/phones", map[string]string{"number": customer(0), "name": "Customer"}, nil)
		const each = 25
		file := func(way, n int) sample {
			return sample{"document", "application/x-noise", fmt.Sprintf("%d.bin", n), "", noise(uint64(1000*way+n), 200_000+n*20_000)}
		}
		var done atomic.Int64
		third, twoThirds := make(chan struct{}), make(chan struct{})
		count := func() {
			switch done.Add(1) {
			case each * 2 / 3:
				close(third)
			case each * 4 / 3:
				close(twoThirds)
			}
		}
		out, in := make([]string, each), make([]string, each)
		var load sync.WaitGroup
		load.Go(func() {
			for n := range each {
				var m message
				err := s.api.persist("POST", "/v1/sessions/shop/messages", map[string]any{"to": customer(0), "content": map[string]any{
					"type": "document", "media": map[string]string{"base64": base64.StdEncoding.EncodeToString(file(1, n).data), "fileName": file(1, n).name},
				}}, &m, "Idempotency-Key", fmt.Sprintf("file-%d", n))
				if err != nil {
					t.Errorf("send: %v", err)
					return
				}
				out[n] = m.WhatsAppID
				count()
			}
		})
		load.Go(func() {
			for n := range each {
				var m struct{ ID string }
				f := file(2, n)
				err := s.sandbox.persist("POST", "/phones/"+customer(0)+"/messages", map[string]any{
					"to": business, "type": "document", "data": base64.StdEncoding.EncodeToString(f.data), "mimetype": f.mimetype, "fileName": f.name,
				}, &m)
				if err != nil {
					t.Errorf("send from the phone: %v", err)
					return
				}
				in[n] = m.ID
				count()
			}
		})
		kill := func() {
			s.procs["dispatcher"].kill9(t)
			s.procs["api"].kill9(t)
			if err := objects.Kill(); err != nil {
				t.Error(err)
			}
			s.start("dispatcher", "dispatcher")
			s.start("api", "api")
		}
		<-third
		kill()
		<-twoThirds
		kill()
		load.Wait()
		if t.Failed() {
			return
		}
		s.awaitAPI(t)
		began := time.Now()
		eventually(t, 2*time.Minute, "every file at the phone", func() error {
			all, err := shown(s.sandbox, customer(0))
			if err != nil {
				return err
			}
			seen := map[string]phoneMessage{}
			for _, p := range all {
				if _, twice := seen[p.ID]; twice {
					t.Fatalf("%s is shown twice", p.ID)
				}
				seen[p.ID] = p
			}
			for n, id := range out {
				p, ok := seen[id]
				if !ok {
					return fmt.Errorf("file %d is not shown", n)
				}
				if p.SHA256 != file(1, n).hash() {
					t.Fatalf("file %d is torn: %+v", n, p)
				}
			}
			if len(seen) != each {
				t.Fatalf("%d messages are shown, %d were accepted", len(seen), each)
			}
			return nil
		})
		eventually(t, 2*time.Minute, "every file in a webhook", func() error {
			ids, _ := s.receiver.received()
			for n, id := range in {
				if len(ids[id]) != 1 {
					return fmt.Errorf("file %d came under %d webhook ids", n, len(ids[id]))
				}
			}
			return nil
		})
		for _, d := range s.receiver.deliveries() {
			m := d.Event.Data.Message
			if d.Event.Type != "message.received" {
				continue
			}
			number, err := strconv.Atoi(strings.TrimSuffix(m.Content.Media.FileName, ".bin"))
			if err != nil {
				t.Fatal(err)
			}
			var hash string
			eventually(t, 2*time.Minute, "the bytes of "+m.Content.Media.FileName, func() (err error) {
				_, hash, err = s.api.content(m.Content.Media.URL)
				return err
			})
			if want := file(2, number).hash(); hash != want || m.Content.Media.SHA256 != want {
				t.Errorf("file %d: the event says %s, its URL gives %s, the phone sent %s", number, m.Content.Media.SHA256, hash, want)
			}
		}
		t.Logf("all there %s after the last was accepted", time.Since(began).Round(time.Millisecond))
		s.receiver.check(t)
	})
}
