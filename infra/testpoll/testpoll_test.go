package testpoll_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chasqui/chasqui/infra/testpoll"
)

func TestUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, looks, no := time.Now(), 0, errors.New("no")
		if err := testpoll.Until(time.Minute, func() error {
			looks++
			if time.Since(began) < 10*time.Second {
				return no
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if late := time.Since(began) - 10*time.Second; late < 0 || late > 250*time.Millisecond {
			t.Errorf("it was seen %s late", late)
		}
		if looks < 40 || looks > 200 {
			t.Errorf("%d looks in 10 s", looks)
		}
		began = time.Now()
		if err := testpoll.Until(time.Second, func() error { return no }); !errors.Is(err, no) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
