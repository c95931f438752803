package s3

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// pingTimeout bounds a look at the server, and pingFresh is for how long it is good: probes come from many sides.
	pingTimeout, pingFresh = 2 * time.Second, 2 * time.Second
)

// pinged is the last look.
type pinged struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// Ping returns nil when the server answers. Whether the bucket is there already does not matter: it is made when it is needed.
func (s *Store) Ping(ctx context.Context) error {
	s.last.mu.Lock()
	defer s.last.mu.Unlock()
	if time.Since(s.last.at) < pingFresh {
		return s.last.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout) // what is learned is everybody's
	defer cancel()
	_, err := s.core.BucketExists(ctx, s.config.Bucket)
	if err != nil {
		err = fmt.Errorf("ask S3 for the bucket: %w", err)
	}
	s.last.at, s.last.err = time.Now(), err
	return err
}
