package config

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// FuzzLoad gives every setting of every role one value at once: nothing panics, no refusal of a kind shows the value, for it may be a
// secret, and what is taken is what its kind says.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "3000", "0", "-1", "65536", "007", "true", "debug", "key", "https://chat.example.com/", "http://[::1]:80", "http://user:pass@host/#x", "HTTP://h:99999", "ws://127.0.0.1:3001/ws/chat",
		"postgres://u:p%40ss@db:5432/chasqui", "postgres:///x?host=/tmp", "postgres://%zz@h/d", strings.Repeat("0a", 32), strings.Repeat("0b", 32) + "," + strings.Repeat("0c", 32), "plain," + strings.Repeat("0b", 32),
		"172.16.1.2/12, 10.0.0.7,::1", "fe80::1%eth0", "127.0.0.1:9090", ":9090", "host name", "a,b,,c", "five words at random here", "\xff", "%", "--help",
	} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) || strings.TrimSpace(value) == "" {
			return // no environment holds the one, and the other is not set
		}
		everything := func(string) string { return value }
		for _, role := range []any{&Dev{}, &Up{}, &Sandbox{}} {
			err := Load(role, nil, everything)
			if err == nil {
				t.Fatalf("%q cannot be right for a port and an address", value)
			}
		}
		settings, _ := inspect(&Up{})
		for _, s := range settings {
			if err := parse(s, value); err != nil {
				if len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\n\x00") || len(value) > 45 && strings.Contains(err.Error(), value) {
					t.Errorf("%s: %q", s.env, err)
				}
				continue
			}
			switch kept := s.field.Interface().(type) {
			case int:
				if kept < 0 || kept > 10_000_000 {
					t.Errorf("%s is %d", s.env, kept)
				}
			case string:
				if s.kind == "http" || s.kind == "ws" || s.kind == "postgres" {
					if address, err := url.Parse(kept); err != nil || address.Scheme == "" {
						t.Errorf("%s is %q", s.env, kept)
					}
				}
			}
		}
	})
}
