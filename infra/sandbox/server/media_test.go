package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// random returns bytes that are the same for the same seed.
func random(seed byte, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func tokenOf(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.URLEncoding.EncodeToString(sum[:])
}

// request makes one request of the media host, as a client that is not redirected in itself.
func (n *network) request(method, pathAndQuery string, body io.Reader, header http.Header) (int, http.Header, []byte) {
	n.t.Helper()
	status, h, data, err := n.tryRequest(method, pathAndQuery, body, header)
	if err != nil {
		n.t.Fatal(err)
	}
	return status, h, data
}

func (n *network) tryRequest(method, pathAndQuery string, body io.Reader, header http.Header) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, n.http.URL+pathAndQuery, body)
	if err != nil {
		return 0, nil, nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Host = "mmg.whatsapp.net"
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, data, err
}

// auth asks for a client's media connection.
func (c *client) auth() string {
	c.n.t.Helper()
	//nolint:staticcheck // SA1019: whatsmeow asks for it by itself only when it uploads
	media, err := c.DangerousInternals().RefreshMediaConn(c.n.t.Context(), true)
	if err != nil {
		c.n.t.Fatal(err)
	}
	if len(media.Hosts) != 1 || media.TTL != 3600 {
		c.n.t.Errorf("the media connection is %+v", media)
	}
	return media.Auth
}

// upload uploads a body and returns its direct path.
func (n *network) upload(auth string, data []byte) string {
	n.t.Helper()
	token := tokenOf(data)
	status, _, answer := n.request("POST", "/mms/image/"+token+"?auth="+auth+"&token="+token, bytes.NewReader(data), nil)
	var out struct {
		URL  string `json:"url"`
		Path string `json:"direct_path"`
	}
	if err := json.Unmarshal(answer, &out); status != 200 || err != nil {
		n.t.Fatalf("upload answered with %d %s", status, answer)
	}
	if out.URL != "https://mmg.whatsapp.net"+out.Path || !strings.Contains(out.Path, "?") {
		n.t.Errorf("the upload is at %q, path %q", out.URL, out.Path)
	}
	return out.Path
}

func TestMediaHost(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	auth := ana.auth()
	data := random(1, 600_000) // three chunks, the last one short
	path := n.upload(auth, data)

	whole := path + "&hash=" + tokenOf(data) + "&mms-type=image&__wa-mms="
	status, header, got := n.request("GET", whole, nil, nil)
	if status != 200 || !bytes.Equal(got, data) || header.Get("Content-Length") != fmt.Sprint(len(data)) {
		t.Errorf("GET: %d, %d bytes, length %s", status, len(got), header.Get("Content-Length"))
	}
	if status, header, got := n.request("HEAD", path, nil, nil); status != 200 || len(got) != 0 || header.Get("Content-Length") != fmt.Sprint(len(data)) {
		t.Errorf("HEAD: %d, %d bytes, length %s", status, len(got), header.Get("Content-Length"))
	}
	for spec, want := range map[string][]byte{
		"bytes=0-9": data[:10], "bytes=262140-262149": data[262140:262150], "bytes=599990-": data[599990:], "bytes=-5": data[len(data)-5:],
	} {
		status, header, got := n.request("GET", path, nil, http.Header{"Range": {spec}})
		if status != 206 || !bytes.Equal(got, want) || !strings.HasSuffix(header.Get("Content-Range"), "/600000") {
			t.Errorf("%s: %d, %d bytes, %s", spec, status, len(got), header.Get("Content-Range"))
		}
	}
	if status, _, _ := n.request("GET", path, nil, http.Header{"Range": {"bytes=600000-"}}); status != 416 {
		t.Errorf("a range beyond the end is answered with %d", status)
	}
	for _, none := range []string{"/v/t62.7118-24/" + strings.Repeat("0", 32) + "_n.enc?ccb=11-4", "/v/", "/v/%00", "/v/x"} {
		if status, _, _ := n.request("GET", none, nil, nil); status != 404 {
			t.Errorf("%s is answered with %d", none, status)
		}
	}

	// The same again, under Baileys' name for it: another path to the same bytes, which are stored once.
	token := strings.TrimRight(tokenOf(data), "=")
	status, _, answer := n.request("POST", "/mms/document/"+token+"?auth="+auth+"&token="+token, bytes.NewReader(data), nil)
	var again struct {
		Path string `json:"direct_path"`
	}
	if err := json.Unmarshal(answer, &again); status != 200 || err != nil || again.Path == path {
		t.Errorf("the second upload: %d %s", status, answer)
	}
	if blobs, chunks := n.stored(); blobs != 1 || chunks != 3 {
		t.Errorf("%d blobs of %d chunks are stored", blobs, chunks)
	}
	if _, _, got := n.request("GET", again.Path, nil, nil); !bytes.Equal(got, data) {
		t.Error("the second path has other bytes")
	}

	// DELETE takes one path, or all.
	query := "?auth=" + auth + "&token=" + tokenOf(data)
	bare, _, _ := strings.Cut(path, "?")
	if status, _, _ := n.request("DELETE", "/mms/image/"+tokenOf(data)+query+"&d_md="+base64.RawURLEncoding.EncodeToString([]byte(bare)), nil, nil); status != 200 {
		t.Errorf("DELETE answered with %d", status)
	}
	if first, second := n.statusOf(path), n.statusOf(again.Path); first != 404 || second != 200 {
		t.Errorf("after one was deleted they are answered with %d and %d", first, second)
	}
	if status, _, _ := n.request("DELETE", "/mms/image/"+tokenOf(data)+query, nil, nil); status != 200 {
		t.Errorf("DELETE answered with %d", status)
	}
	if status := n.statusOf(again.Path); status != 404 {
		t.Errorf("after all were deleted the path is answered with %d", status)
	}
	if status, _, _ := n.request("DELETE", "/mms/image/"+tokenOf(data), nil, nil); status != 401 {
		t.Errorf("DELETE without auth answered with %d", status)
	}
}

func (n *network) statusOf(path string) int {
	n.t.Helper()
	status, _, _ := n.request("GET", path, nil, nil)
	return status
}

func (n *network) stored() (blobs, chunks int) {
	n.t.Helper()
	err := n.pool.QueryRow(n.t.Context(), `SELECT (SELECT count(*) FROM sandbox.blobs), (SELECT count(*) FROM sandbox.chunks)`).Scan(&blobs, &chunks)
	if err != nil {
		n.t.Fatal(err)
	}
	return blobs, chunks
}

func TestUploadsAreChecked(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	companion := n.companion(ana)
	auth, leaving := ana.auth(), companion.auth()
	data, other := random(2, 300_000), random(3, 300_000)
	token := tokenOf(data)
	tampered := []byte(auth)
	tampered[0] ^= 1
	for name, c := range map[string]struct {
		query  string
		body   []byte
		status int
	}{
		"no auth":          {"token=" + token, data, 401},
		"made-up auth":     {"token=" + token + "&auth=letmein", data, 401},
		"tampered auth":    {"token=" + token + "&auth=" + string(tampered), data, 401},
		"no token":         {"auth=" + auth, data, 400},
		"another token":    {"auth=" + auth + "&token=" + tokenOf(other), data, 400},
		"another body":     {"auth=" + auth + "&token=" + token, other, 400},
		"a cut body":       {"auth=" + auth + "&token=" + token, data[:1000], 400},
		"a companion's":    {"auth=" + leaving + "&token=" + token, data, 200},
		"a phone's, again": {"auth=" + auth + "&token=" + token, data, 200},
	} {
		if status, _, answer := n.request("POST", "/mms/video/"+token+"?"+c.query, bytes.NewReader(c.body), nil); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, answer, c.status)
		}
	}
	if err := n.Server().Unlink(t.Context(), "5491100000001"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := n.request("POST", "/mms/video/"+token+"?auth="+leaving+"&token="+token, bytes.NewReader(data), nil); status != 403 {
		t.Errorf("an unlinked device's auth is answered with %d", status)
	}
	n.restart(ana)
	n.upload(auth, data) // clients keep their auth over a restart
	if status, _, _ := n.request("POST", "/mms/video/"+token, huge{}, http.Header{}); status != 401 {
		t.Errorf("an upload of unknown length is answered with %d", status)
	}
	if blobs, chunks := n.stored(); blobs > 2 || chunks > 4 {
		t.Errorf("refused uploads left something: %d blobs of %d chunks", blobs, chunks)
	}
}

// huge is a body of which no length is told.
type huge struct{}

func (huge) Read([]byte) (int, error) { return 0, io.EOF }

// What whatsmeow uploads, whatsmeow downloads, of every class, also after a restart.
func TestWhatsmeowUploadsAndDownloads(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.SetMediaHTTPClient(&http.Client{Transport: n})
	ben.SetMediaHTTPClient(&http.Client{Transport: n})
	data := random(4, 700_001)
	var uploads []whatsmeow.UploadResponse
	classes := []whatsmeow.MediaType{
		whatsmeow.MediaImage, whatsmeow.MediaVideo, whatsmeow.MediaAudio, whatsmeow.MediaDocument, whatsmeow.MediaHistory, whatsmeow.MediaAppState,
		whatsmeow.MediaStickerPack, whatsmeow.MediaLinkThumbnail,
	}
	for _, class := range classes {
		up, err := ana.Upload(t.Context(), data, class)
		if err != nil {
			t.Fatal(err)
		}
		uploads = append(uploads, up)
	}
	n.restart(ana, ben)
	for i, up := range uploads {
		got, err := ben.DownloadMediaWithPath(t.Context(), up.DirectPath, up.FileEncSHA256, up.FileSHA256, up.MediaKey, classes[i], "", false)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", classes[i], len(got), err)
		}
	}
	up := uploads[0]
	if err := ana.DeleteMedia(t.Context(), whatsmeow.MediaImage, up.DirectPath, up.FileEncSHA256, ""); err != nil {
		t.Error(err)
	}
	_, err := ben.DownloadMediaWithPath(t.Context(), up.DirectPath, up.FileEncSHA256, up.FileSHA256, up.MediaKey, whatsmeow.MediaImage, "", false)
	fails(t, err, whatsmeow.ErrMediaDownloadFailedWith404)
	newsletter, err := ana.UploadNewsletter(t.Context(), data, whatsmeow.MediaImage)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ben.DownloadMediaWithPath(t.Context(), newsletter.DirectPath, nil, newsletter.FileSHA256, nil, whatsmeow.MediaImage, "", false); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a channel's media: %d bytes, %v", len(got), err)
	}
	if st := n.Server().Stats(); st.MediaDownloads != 8 && st.MediaDownloads != 9 {
		t.Errorf("since the restart %d downloads are counted", st.MediaDownloads)
	}
}

func TestMediaFaults(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	auth, data := ana.auth(), random(5, 400_000)
	path := n.upload(auth, data)
	set := func(f server.MediaFaults) { n.Server().SetFaults(server.Faults{Media: f}) }

	for _, status := range []int{403, 404, 410, 500} {
		set(server.MediaFaults{Status: status})
		if got := n.statusOf(path); got != status {
			t.Errorf("status %d is %d", status, got)
		}
		n.upload(auth, data) // the other direction is spared
	}
	phone := http.Header{}
	n.Server().MarkPhone(phone)
	if status, _, got := n.request("GET", path, nil, phone); status != 200 || len(got) != len(data) {
		t.Errorf("a phone is answered with %d", status)
	}
	set(server.MediaFaults{Status: 404, Count: 2})
	if a, b, c := n.statusOf(path), n.statusOf(path), n.statusOf(path); a != 404 || b != 404 || c != 200 {
		t.Errorf("two downloads are to fail: %d %d %d", a, b, c)
	}
	if left := n.Server().Faults().Media; left != (server.MediaFaults{}) {
		t.Errorf("after they did, %+v is in force", left)
	}
	set(server.MediaFaults{Truncate: true})
	if status, header, got, err := n.tryRequest("GET", path, nil, nil); err == nil || status != 200 || !bytes.Equal(got, data[:200_000]) || header.Get("Content-Length") != "400000" {
		t.Errorf("truncated: %d, %d bytes, %v", status, len(got), err)
	}
	set(server.MediaFaults{BytesPerSecond: 1_000_000})
	begin := time.Now()
	if status, _, got := n.request("GET", path, nil, nil); status != 200 || !bytes.Equal(got, data) || time.Since(begin) < 350*time.Millisecond {
		t.Errorf("slow: %d, %d bytes in %v", status, len(got), time.Since(begin))
	}

	set(server.MediaFaults{Stall: true})
	res, err := http.Get(n.http.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 200_000)); err != nil {
		t.Errorf("the first half does not come: %v", err)
	}
	rest := make(chan int, 1)
	go func() {
		got, _ := io.ReadAll(res.Body)
		rest <- len(got)
	}()
	select {
	case <-rest:
		t.Error("the second half is not held")
	case <-time.After(100 * time.Millisecond):
	}
	set(server.MediaFaults{}) // cuts what is held
	if got := <-rest; got != 0 {
		t.Errorf("%d bytes came after the half", got)
	}

	token := tokenOf(data)
	post := func() (int, error) {
		status, _, _, err := n.tryRequest("POST", "/mms/image/"+token+"?auth="+auth+"&token="+token, bytes.NewReader(data), nil)
		return status, err
	}
	set(server.MediaFaults{Uploads: true, Status: 500, Count: 1})
	if status, err := post(); status != 500 || err != nil {
		t.Errorf("a failing upload: %d, %v", status, err)
	}
	if status, err := post(); status != 200 || err != nil {
		t.Errorf("the one after it: %d, %v", status, err)
	}
	set(server.MediaFaults{Uploads: true, Truncate: true})
	if status, err := post(); err == nil {
		t.Errorf("a cut upload is answered with %d", status)
	}
	set(server.MediaFaults{Uploads: true, Stall: true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, n.http.URL+"/mms/image/"+token+"?auth="+auth+"&token="+token, bytes.NewReader(data))
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
		t.Errorf("an upload that stalls is answered with %d", res.StatusCode)
	}
}

func TestOldMediaAreSwept(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana := n.phone("5491100000001", "Ana")
	auth := ana.auth()
	old, young := n.upload(auth, random(6, 1000)), n.upload(auth, random(7, 1000))
	sum := sha256.Sum256(random(6, 1000))
	n.restartAfter(func() {
		if _, err := n.pool.Exec(t.Context(), `UPDATE sandbox.blobs SET stored_at = now() - interval '31 days' WHERE sha256 = $1`, sum[:]); err != nil {
			t.Fatal(err)
		}
		// A crash in the middle of an upload leaves this behind.
		if _, err := n.pool.Exec(t.Context(), `WITH b AS (INSERT INTO sandbox.blobs (stored_at) VALUES (now() - interval '1 day') RETURNING id)
		INSERT INTO sandbox.chunks (blob_id, n, data) SELECT id, 0, 'x' FROM b`); err != nil {
			t.Fatal(err)
		}
	}, ana)
	n.eventually("the sweep", func() bool {
		blobs, chunks := n.stored()
		return blobs == 1 && chunks == 1
	})
	if a, b := n.statusOf(old), n.statusOf(young); a != 404 || b != 200 {
		t.Errorf("the old one is answered with %d, the young one with %d", a, b)
	}
}

// A server process is killed the moment that an upload was answered: it is there for the next.
func TestKillingTheServerLosesNoUpload(t *testing.T) {
	t.Parallel()
	n := setup(t)
	auth := n.phone("5491100000001", "Ana").auth()
	n.stop()
	address := n.http.Listener.Addr().String()
	n.http.Close()
	spawn := func() (kill func()) {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDSN+"="+n.dsn, childAddress+"="+address)
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = t.Output()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		n.eventually("the child", func() bool {
			_, _, _, err := n.tryRequest("GET", "/v/", nil, nil)
			return err == nil
		})
		return sync.OnceFunc(func() {
			_ = child.Process.Kill()
			_ = child.Wait()
			_ = stdin.Close()
		})
	}
	kill := spawn()
	t.Cleanup(func() { kill(); n.start() })
	paths := map[string][]byte{}
	for i := range byte(4) {
		data := random(10+i, 1_500_000)
		token := tokenOf(data)
		begun, answered := make(chan struct{}), make(chan struct{})
		body := &watched{data: random(20+i, 3_000_000), begun: begun, hold: make(chan struct{})}
		go func() { // another upload, which is killed in its middle
			defer close(answered)
			token := tokenOf(body.data)
			_, _, _, _ = n.tryRequest("POST", "/mms/image/"+token+"?auth="+auth+"&token="+token, body, nil)
		}()
		<-begun
		paths[n.upload(auth, data)] = data
		kill()
		close(body.hold)
		<-answered
		kill = spawn()
		n.upload(auth, body.data) // all of it can be repeated
		if status, _, _ := n.request("POST", "/mms/image/"+token+"?auth="+auth+"&token="+token, bytes.NewReader(data), nil); status != 200 {
			t.Errorf("the repeated upload is answered with %d", status)
		}
	}
	for path, data := range paths {
		if status, _, got := n.request("GET", path, nil, nil); status != 200 || !bytes.Equal(got, data) {
			t.Errorf("%s: %d, %d bytes", path, status, len(got))
		}
	}
}

// watched is a body that stops after its first megabyte until it is released.
type watched struct {
	data  []byte
	begun chan struct{}
	at    int
	hold  chan struct{}
}

func (w *watched) Read(p []byte) (int, error) {
	if w.at == 1_000_000 {
		close(w.begun)
		<-w.hold
	}
	end := len(w.data)
	if w.at < 1_000_000 {
		end = 1_000_000
	}
	n := copy(p, w.data[w.at:end])
	w.at += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// 100 MB go in and out. It is not parallel, so the memory of this process is that of the host and of this test's client, which streams too.
func TestMediaPassThroughLittleMemory(t *testing.T) {
	n := setup(t)
	auth := n.phone("5491100000001", "Ana").auth()
	const size = 100_000_000
	hash := sha256.New()
	if _, err := io.CopyN(hash, rand.NewChaCha8([32]byte{9}), size); err != nil {
		t.Fatal(err)
	}
	token := base64.URLEncoding.EncodeToString(hash.Sum(nil))
	baseline, peak := heap(), uint64(0)
	sample := func(i int64) {
		if i%(4<<20) < 64<<10 {
			peak = max(peak, heap())
		}
	}
	body := &sampled{Reader: io.LimitReader(rand.NewChaCha8([32]byte{9}), size), sample: sample}
	begin := time.Now()
	status, _, answer := n.request("POST", "/mms/document/"+token+"?auth="+auth+"&token="+token, body, nil)
	var out struct {
		Path string `json:"direct_path"`
	}
	if err := json.Unmarshal(answer, &out); status != 200 || err != nil {
		t.Fatalf("upload: %d %s", status, answer)
	}
	uploaded := time.Since(begin)
	res, err := http.Get(n.http.URL + out.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	back := sha256.New()
	if _, err := io.Copy(back, &sampled{Reader: res.Body, sample: sample}); err != nil || !bytes.Equal(back.Sum(nil), hash.Sum(nil)) {
		t.Errorf("other bytes came back: %v", err)
	}
	grown := max(peak, baseline) - baseline
	t.Logf("100 MB: %.1f MB above %.1f MB; up in %v, down in %v", float64(grown)/1e6, float64(baseline)/1e6, uploaded, time.Since(begin)-uploaded)
	if grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// heap is what the process has on its heap, garbage included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type sampled struct {
	io.Reader
	sample func(int64)
	at     int64
}

func (s *sampled) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.at += int64(n)
	s.sample(s.at)
	return n, err
}
