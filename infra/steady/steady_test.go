package steady

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// farEnd is what a transport leads to, in the time of a bubble.
type farEnd func(*http.Request) (*http.Response, error)

func (s farEnd) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// take reads a body of steps bytes, one every pause.
func take(body io.Reader, steps int, pause time.Duration) error {
	for range steps {
		time.Sleep(pause)
		if _, err := io.ReadFull(body, make([]byte, 1)); err != nil {
			return err
		}
	}
	return nil
}

// slowBody is an answer's body that comes slowly and then stands still until its request ends.
type slowBody struct {
	request *http.Request
	left    int
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		<-b.request.Context().Done()
		return 0, b.request.Context().Err()
	}
	time.Sleep(Stall - time.Second)
	b.left--
	return copy(p, "x"), nil
}

func (b *slowBody) Close() error { return nil }

func TestATransferMayBeSlowButNotStandStill(t *testing.T) {
	t.Parallel()
	const slow = Stall - time.Second
	post := func(s farEnd) (*http.Response, error) {
		client := http.Client{Transport: Transport{s}}
		return client.Post("http://media", "", bytes.NewReader(make([]byte, 10)))
	}
	t.Run("Slow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			answer, err := post(func(r *http.Request) (*http.Response, error) {
				if err := take(r.Body, 10, slow); err != nil {
					return nil, err
				}
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader([]byte("done")))}, r.Context().Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "done" {
				t.Errorf("the answer is %q, %v", body, err)
			}
		})
	})
	for name, taken := range map[string]int{"NotTaken": 3, "NotAnswered": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var moved time.Time
				answer, err := post(func(r *http.Request) (*http.Response, error) {
					if err := take(r.Body, taken, slow); err != nil {
						return nil, err
					}
					moved = time.Now()
					<-r.Context().Done()
					return nil, r.Context().Err()
				})
				if err == nil {
					answer.Body.Close()
				}
				if waited := time.Since(moved); !errors.Is(err, ErrStalled) || waited != Stall {
					t.Errorf("ended after %s with %v", waited, err)
				}
			})
		})
	}
	t.Run("AnswerStandsStill", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			answer, err := post(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: &slowBody{request: r, left: 5}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if body, err := io.ReadAll(answer.Body); !errors.Is(err, ErrStalled) || len(body) != 5 {
				t.Errorf("%d bytes came, and then %v", len(body), err)
			}
		})
	})
}
