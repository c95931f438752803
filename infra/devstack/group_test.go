package devstack

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestAGroupStopsInReverseOrderOnce(t *testing.T) {
	t.Parallel()
	var stopped []string
	var g Group
	for _, name := range []string{"database", "connector", "api"} {
		g.OnStop(name, func(ctx context.Context) error {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Errorf("%s may take for ever", name)
			}
			stopped = append(stopped, name)
			return errors.New("this hinders nobody else")
		})
	}
	g.Stop()
	g.Stop()
	if want := []string{"api", "connector", "database"}; !slices.Equal(stopped, want) {
		t.Errorf("stopped %v, want %v", stopped, want)
	}
}
