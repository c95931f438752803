package seal

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/testfuzz"
)

// FuzzValues seals anything for anywhere, and opens anything.
func FuzzValues(f *testing.F) {
	f.Add([]byte("value"), "media.media_key\x00one")
	f.Add([]byte(mark+"\x01"), "")
	f.Add([]byte(mark+"\x00x"), "\x00")
	keys, err := Parse(first + "," + second)
	if err != nil {
		f.Fatal(err)
	}
	testfuzz.Run(f, func(t *testing.T, value []byte, at string) {
		for name, k := range map[string]*Keys{"sealed": keys, "plain": nil} {
			if opened, err := k.Open(k.Seal(value, at), at); err != nil || !bytes.Equal(opened, value) {
				t.Errorf("%s: %q comes back as %q, %v", name, value, opened, err)
			}
			if opened, err := k.OpenText(k.SealText(string(value), at), at); err != nil || opened != string(value) {
				t.Errorf("%s: the text %q comes back as %q, %v", name, value, opened, err)
			}
			if opened, err := k.Open(value, at); err == nil && bytes.HasPrefix(value, []byte(mark+"\x01")) {
				t.Errorf("%s: %q opens as %q", name, value, opened)
			}
			_, _ = k.OpenText(string(value), at)
			_, _, _ = k.Reseal(value, at)
		}
	})
}

// FuzzJSON has anything in the places of JSON, which is sealed and opened to the same, or refused.
func FuzzJSON(f *testing.F) {
	for _, raw := range []string{`{}`, `[]`, `""`, `null`, `{"a":"b"}`, `{"proxy":"socks5://u:p@h:1"}`, `{"proxy":null}`, `{"proxy":7}`, `[{"secret":"s","until":"2026-01-02T03:04:05Z"}]`, `[null]`} {
		f.Add([]byte(raw))
	}
	keys, err := Parse(first)
	if err != nil {
		f.Fatal(err)
	}
	testfuzz.Run(f, func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		for _, p := range []Place{EndpointHeaders, EndpointPreviousSecrets, SessionProxy} {
			sealed, err := keys.SealJSON(p, raw, "one")
			if err != nil {
				continue
			}
			if !json.Valid(sealed) {
				t.Fatalf("%v: %s is sealed as %s", p, raw, sealed)
			}
			opened, err := keys.OpenJSON(p, sealed, "one")
			if err != nil {
				t.Fatalf("%v: %s is sealed as %s: %v", p, raw, sealed, err)
			}
			if again, err := keys.SealJSON(p, opened, "one"); err != nil || !json.Valid(again) {
				t.Errorf("%v: %s opens as %s: %v", p, raw, opened, err)
			}
		}
	})
}

// FuzzProxy has any address of a proxy: it comes back as it was, and as long as it is sealed its host can be read and its password cannot.
func FuzzProxy(f *testing.F) {
	for _, address := range []string{"socks5://user:password@host:1080", "http://u@[::1]:8/", "https://a%40b:c%2f@h", "socks5://sealed.abc@h", "http://h", "x", "http://a@b@c"} {
		f.Add(address)
	}
	keys, err := Parse(first)
	if err != nil {
		f.Fatal(err)
	}
	testfuzz.Run(f, func(t *testing.T, address string) {
		sealed, err := keys.SealProxy(address, "one")
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := keys.OpenProxy(sealed, "one"); err != nil || opened != address {
			t.Fatalf("%q is sealed as %q and opened as %q, %v", address, sealed, opened, err)
		}
		before, err := netguard.ParseProxy(address)
		if err != nil || before.User == nil {
			return // none that is ever kept
		}
		after, err := url.Parse(sealed)
		if err != nil || after.Host != before.Host || after.Scheme != before.Scheme || !strings.HasPrefix(after.User.Username(), textMark) {
			t.Errorf("%q is sealed as %q: %v", address, sealed, err)
		}
	})
}
