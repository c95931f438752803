package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// blobLife is how long a blob is kept after its last upload; WhatsApp is said to keep media for 30 days.
	blobLife = 30 * 24 * time.Hour
	// unfinishedLife is how long the chunks of an upload that a crash ended are kept; transferTime bounds one that lives.
	unfinishedLife = 2 * transferTime
	// sweepPause passes between two sweeps, and sweepTime bounds one.
	sweepPause, sweepTime = time.Hour, 10 * time.Minute
)

// mediaPath is where a blob can be fetched from: one path for each upload. A blob without a path is what WhatsApp no longer has and a phone
// still may.
type mediaPath struct {
	SHA256 []byte    `json:"sha256"`
	At     time.Time `json:"at"`
}

func loadPath(s *Server, r journal.Record) error {
	var p mediaPath
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return err
	}
	if time.Since(p.At) > blobLife {
		s.forget(r)
		return nil
	}
	s.paths[r.Key] = p
	return nil
}

// publish lets a blob be fetched from a path.
func (s *Server) publish(ctx context.Context, path string, sha256 []byte) error {
	p := mediaPath{SHA256: sha256, At: time.Now().UTC()}
	if err := s.commit(ctx, []journal.Record{record("path", path, p)}, nil); err != nil {
		return fmt.Errorf("publish blob: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths[path] = p
	return nil
}

// openPath finds a blob by a path that was published, or returns journal.ErrNoBlob.
func (s *Server) openPath(ctx context.Context, path string) (*journal.BlobReader, []byte, error) {
	s.mu.RLock()
	p, ok := s.paths[path]
	s.mu.RUnlock()
	if !ok {
		return nil, nil, journal.ErrNoBlob
	}
	blob, err := s.journal.OpenBlob(ctx, p.SHA256)
	return blob, p.SHA256, err
}

// ForgetMedia makes WhatsApp's copy of a file vanish, by the hash of its encrypted form: its paths answer 404 from now on, until it is
// uploaded again. The phones that have it keep it. It reports whether there was anything to forget.
func (s *Server) ForgetMedia(ctx context.Context, sha256 []byte) (bool, error) {
	return s.unpublish(ctx, func(_ string, p mediaPath) bool { return string(p.SHA256) == string(sha256) })
}

// unpublish forgets the paths that are chosen and reports whether there were any.
func (s *Server) unpublish(ctx context.Context, chosen func(string, mediaPath) bool) (bool, error) {
	var gone []journal.Record
	s.mu.RLock()
	for path, p := range s.paths {
		if chosen(path, p) {
			gone = append(gone, journal.Record{Kind: "path", Key: path})
		}
	}
	s.mu.RUnlock()
	if err := s.commit(ctx, gone, nil); err != nil {
		return false, fmt.Errorf("forget media: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range gone {
		delete(s.paths, r.Key)
	}
	return len(gone) > 0, nil
}

// sweepBlobs deletes what is too old, now and once an hour until the server closes. Failure policy: what it cannot delete it tries an hour
// later.
func (s *Server) sweepBlobs() {
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(s.ctx, sweepTime)
		now := time.Now()
		err := s.renewPictures(ctx)
		if err == nil {
			_, err = s.unpublish(ctx, func(_ string, p mediaPath) bool { return now.Sub(p.At) > blobLife })
		}
		var swept int64
		if err == nil {
			swept, err = s.journal.SweepBlobs(ctx, now.Add(-blobLife), now.Add(-unfinishedLife))
		}
		cancel()
		switch {
		case s.ctx.Err() != nil:
			return
		case err != nil:
			s.log.WarnContext(s.ctx, "old media not swept", "error", err)
		case swept > 0:
			s.log.InfoContext(s.ctx, "old media swept", "blobs", swept)
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// etag is a blob's name for HTTP caches.
func etag(sha256 []byte) string { return `"` + hex.EncodeToString(sha256) + `"` }
