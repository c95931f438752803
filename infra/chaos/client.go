//go:build linux && !release

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/chasqui/chasqui/infra/devstack"
)

// requestTimeout is how long the client waits for one api before it asks another.
const requestTimeout = 10 * time.Second

// client is a careful user of the API: what is not answered it sends again, to the other process, with the same Idempotency-Key.
type client struct {
	bases []string
	turn  atomic.Uint64
	http  *http.Client
}

func newClient(ports []int) *client {
	c := &client{http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second}}}
	for _, port := range ports {
		c.bases = append(c.bases, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	return c
}

// ready waits until every api answers.
func (c *client) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, base := range c.bases {
		if err := devstack.Answers(ctx, base+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}

// insist repeats a request until it is answered with success, is refused for good, or ctx ends.
func (c *client) insist(ctx context.Context, method, path string, in, out any, idempotencyKey string) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	base := c.turn.Add(1)
	return poll(ctx, 100*time.Millisecond, func() (bool, error) {
		again, err := c.try(ctx, method, c.bases[base%uint64(len(c.bases))]+path, body, out, idempotencyKey)
		base++
		if again {
			return false, nil
		}
		return true, err
	})
}

// try makes a request once; again says that it is worth repeating.
func (c *client) try(ctx context.Context, method, address string, body []byte, out any, idempotencyKey string) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("X-API-Key", apiKey)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return true, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	switch {
	case err != nil, res.StatusCode >= 500, res.StatusCode == http.StatusConflict, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return true, nil
	case res.StatusCode >= 300:
		return false, fmt.Errorf("%s %s: %s %s", method, req.URL.Path, res.Status, shortened(answer))
	case out == nil:
		return false, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return false, fmt.Errorf("decode answer of %s: %w", req.URL.Path, err)
	}
	return false, nil
}
