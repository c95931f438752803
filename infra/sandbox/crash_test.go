package sandbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// flood sends count texts from Anna's companion to an echo phone, calls interrupt three times meanwhile, and then wants all of it: every
// text and every echo exactly once and in order, at the echo phone, at Anna's phone, and the echoes at the companion.
func flood(t *testing.T, dsn, url string, count int, interrupt func()) {
	t.Helper()
	createPhone(t, url, anna, "")
	createPhone(t, url, echo, "echo")
	c := newCompanion(t, dsn, host(url))
	c.link(url, anna)
	var want []string
	for i := range count {
		text := fmt.Sprint("text ", i)
		want = append(want, text)
		c.send(echo, fmt.Sprintf("FLOOD%d", i), text)
		if i == count/5 || i == count/2 || i == count*4/5 {
			interrupt()
		}
	}
	check := func(what string, messages []sandbox.Message) {
		t.Helper()
		var texts []string
		ids := map[string]bool{}
		for _, m := range messages {
			texts = append(texts, m.Text)
			ids[m.ID] = true
		}
		if !slices.Equal(texts, want) || len(ids) != count {
			t.Errorf("%s: %d texts under %d ids, not the %d sent in their order:\n%q", what, len(texts), len(ids), count, texts)
		}
	}
	check("the echo phone", shown(t, url, echo, count, everything))
	check("Anna's phone, sent by her companion", shown(t, url, anna, count, func(m sandbox.Message) bool { return m.FromMe }))
	check("Anna's phone, the echoes", shown(t, url, anna, count, incoming))

	// The companion here has no store of what it saw, so a copy that was redelivered because its receipt got lost is told by its id.
	c.await("the echoes", func() bool { return len(onceByID(c)) >= count })
	if got := onceByID(c); !slices.Equal(got, want) {
		t.Errorf("the companion got %d different echoes, not the %d texts in their order:\n%q", len(got), count, got)
	}
}

func onceByID(c *companion) []string {
	var texts []string
	ids := map[string]bool{}
	for _, m := range c.messages {
		if !m.Info.IsFromMe && !ids[m.Info.ID] {
			ids[m.Info.ID] = true
			texts = append(texts, m.Message.GetConversation())
		}
	}
	return texts
}

func TestNothingIsLostOrShownTwiceWhenTheSandboxIsRestarted(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := sandbox.New(sandbox.Config{DSN: dsn, Addr: "127.0.0.1:0", Logger: quiet()})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	url, root := s.URL(), s.RootKey()
	flood(t, dsn, url, 200, func() {
		s.Stop()
		s.Stop() // a second one does nothing
		s = sandbox.New(sandbox.Config{DSN: dsn, Addr: host(url), Logger: quiet()})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if s.RootKey() != root {
			t.Error("the root key changed with the restart")
		}
	})
	if n := s.Stats().UnknownStanzas; n != 0 {
		t.Errorf("%d stanzas were unknown to the server", n)
	}
}

func TestNothingIsLostOrShownTwiceWhenTheSandboxIsKilled(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	trustSandbox(t)
	url, kill := startChild(t, dsn, "127.0.0.1:0")
	flood(t, dsn, url, 500, func() {
		kill()
		_, kill = startChild(t, dsn, host(url))
	})
	var stats struct{ UnknownStanzas int }
	call(t, "GET", url+"/stats", nil, 200, &stats)
	if stats.UnknownStanzas != 0 {
		t.Errorf("%d stanzas were unknown to the server", stats.UnknownStanzas)
	}
}

func TestNothingIsLostOrShownTwiceWhenTheDatabaseBreaksOff(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.Background()) })
	flood(t, dsn, s.URL(), 200, func() {
		_, err := admin.Exec(t.Context(), `
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			 WHERE datname = current_database() AND application_name = 'chasqui sandbox'`)
		if err != nil {
			t.Fatal(err)
		}
	})
}
