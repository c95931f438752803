package sandbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
)

func TestPhonesTalkWithoutADatabase(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := sandbox.New(sandbox.Config{Addr: "127.0.0.1:0", Logger: quiet()})
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	const ana, bob = "5550001", "5550002"
	for _, number := range []string{ana, bob} {
		if _, _, err := s.CreatePhone(ctx, sandbox.NewPhone{Number: number, Name: number}); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{ana: bob, bob: ana} {
		if _, err := s.SendText(ctx, from, to, "from "+from); err != nil {
			t.Fatal(err)
		}
		for {
			seen, err := s.Messages(ctx, to, 0, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(seen, func(m sandbox.Message) bool { return m.Text == "from "+from && !m.FromMe }) {
				break
			}
		}
	}
	if n := s.Stats().UnknownStanzas; n != 0 {
		t.Errorf("%d stanzas were unknown", n)
	}
}
