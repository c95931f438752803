package sandbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

func TestTheTranscriptIsFollowedByLongPolls(t *testing.T) {
	t.Parallel()
	s := sandbox.Start(t, sandbox.Config{Logger: quiet(), Transcript: 10})
	begun := time.Now()
	if status, body := try(t, "GET", s.URL()+"/transcript?after=1000000&wait=1", nil, nil); status != 200 || body != "" {
		t.Errorf("%d %q", status, body)
	}
	if took := time.Since(begun); took < time.Second || took > patience/2 {
		t.Errorf("with nothing to tell it is answered after %s", took)
	}
	createPhone(t, s.URL(), anna, "")
	if entry, err := s.WaitEvent(t.Context(), anna, "", nil); err != nil {
		t.Errorf("%+v, %v", entry, err)
	}
	silent := sandbox.Start(t, sandbox.Config{Logger: quiet()})
	call(t, "GET", silent.URL()+"/transcript", nil, 404, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	createPhone(t, silent.URL(), anna, "")
	if _, err := silent.WaitMessage(ctx, anna, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}
