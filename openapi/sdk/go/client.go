// Package chasqui is the SDK of chasqui, a WhatsApp gateway. Its README has a first message, errors, pages, the stream and webhooks.
package chasqui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// Config says which chasqui a client speaks to.
type Config struct {
	// URL is where chasqui is, such as https://chasqui.example.com.
	URL string
	// APIKey is the key of its requests.
	APIKey string
	// HTTPClient sends them; nil is one of its own. It must not have a Timeout, which would end event streams; Timeout below bounds requests.
	HTTPClient *http.Client
	// Timeout of one attempt; 0 is 90 s, since requests may wait up to 30 s for WhatsApp.
	Timeout time.Duration
	// Attempts at most for a request; 0 is 4, 1 repeats nothing.
	Attempts int
}

// A Client calls the API. Many goroutines may use one.
type Client struct {
	requests *requests
}

// New makes a client. It makes no request.
func New(config Config) (*Client, error) {
	if config.URL == "" || config.APIKey == "" {
		return nil, errors.New("chasqui: URL and APIKey must be given")
	}
	s := &sender{key: config.APIKey, client: config.HTTPClient, timeout: config.Timeout, attempts: config.Attempts}
	if s.client == nil {
		// A redirect would take the key to where nobody meant to send it.
		s.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if s.timeout <= 0 {
		s.timeout = 90 * time.Second
	}
	if s.attempts <= 0 {
		s.attempts = 4
	}
	r, err := newRequests(config.URL, withHTTPClient(s))
	if err != nil {
		return nil, fmt.Errorf("chasqui: %w", err)
	}
	return &Client{requests: r}, nil
}

// Wait lets an operation wait up to so long, at most 30 s, for WhatsApp: it then answers what has become of it, and not that it is queued.
func Wait(d time.Duration) Option {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Prefer", "wait="+strconv.Itoa(int(d.Round(time.Second)/time.Second)))
		return nil
	}
}

// IdempotencyKey names a POST, so that it does nothing again when your program repeats it within 24 h. Without it the client makes one up,
// which holds for the attempts of one call.
func IdempotencyKey(key string) Option {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Idempotency-Key", key)
		return nil
	}
}

// Ptr returns a pointer to v, for members that need not be given.
func Ptr[T any](v T) *T { return &v }

// Text is a text as SendMessage takes it. Other contents have a method AsContent, such as ImageContent{...}.AsContent().
func Text(text string) SendContent { return TextContent{Text: text}.AsContent() }

// Upload stores a file that messages can then send by its id. It is streamed, and so sent only once: repeat the call with a new reader.
func (c *Client) Upload(ctx context.Context, fileName, mimetype string, file io.Reader, options ...Option) (*MediaInfo, error) {
	r, w := io.Pipe()
	defer r.Close()
	form := multipart.NewWriter(w)
	go func() {
		h := textproto.MIMEHeader{"Content-Type": {mimetype}}
		h.Set("Content-Disposition", multipart.FileContentDisposition("file", fileName))
		part, err := form.CreatePart(h)
		if err == nil {
			_, err = io.Copy(part, file)
		}
		w.CloseWithError(errors.Join(err, form.Close()))
	}()
	return c.UploadMedia(ctx, form.FormDataContentType(), r, options...)
}

// one reads an answer.
func one[T any](res *http.Response, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out := new(T)
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("chasqui: read the answer: %w", err)
	}
	return out, nil
}

// either reads an answer that is another one where it was 202.
func either[T, Q any](res *http.Response, err error) (*T, *Q, error) {
	if err == nil && res.StatusCode == http.StatusAccepted {
		queued, err := one[Q](res, nil)
		return nil, queued, err
	}
	done, err := one[T](res, err)
	return done, nil, err
}

func nothing(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// pages goes over what get returns, page after page, while there is more.
func pages[T any](get func() (items []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			items, more, err := get()
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return kind == "application/json" || kind == "application/problem+json"
}
