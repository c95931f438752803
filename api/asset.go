package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"
)

// asset is what GET answers with the same bytes as long as the process lives: a page, a document. Its ETag lets a client that has it ask
// whether it still does, and who understands gzip gets it compressed: the document is 1.1 MB, and 85 KB in gzip.
type asset struct {
	header  http.Header
	etag    string // without its quotes
	plain   []byte
	gzipped func() []byte // made when it is first asked for, since most processes never are
}

// newAsset returns an asset with the headers of every answer.
func newAsset(content []byte, headers map[string]string) *asset {
	sum := sha256.Sum256(content)
	a := &asset{header: http.Header{}, etag: hex.EncodeToString(sum[:16]), plain: content}
	for name, value := range headers {
		a.header.Set(name, value)
	}
	a.gzipped = sync.OnceValue(func() []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(content) // memory takes everything
		_ = w.Close()
		return out.Bytes()
	})
	return a
}

// ServeHTTP answers 200, 206 or 304. The two forms have ETags of their own, as RFC 9110 wants for strong ones.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Add("Vary", "Accept-Encoding")
	etag, content := a.etag, a.plain
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		etag, content = etag+"-gzip", a.gzipped()
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reports whether a client says that it understands gzip, and not with a weight of zero.
func acceptsGzip(accepted []string) bool {
	for part := range strings.SplitSeq(strings.Join(accepted, ","), ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		weight = strings.ToLower(strings.ReplaceAll(weight, " ", ""))
		return !strings.HasPrefix(weight, "q=0") || strings.Trim(weight[len("q=0"):], ".0") != ""
	}
	return false
}
