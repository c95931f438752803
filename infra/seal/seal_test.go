package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func keysOf(t testing.TB, text string) *Keys {
	t.Helper()
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var first, second = strings.Repeat("1a", 32), strings.Repeat("2b", 32)

// TestXAES is the test vectors of c2sp.org/XAES-256-GCM.
func TestXAES(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key              byte
		associated, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		x := newXAES([keySize]byte(bytes.Repeat([]byte{c.key}, keySize)))
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		sealed := x.seal(nil, nonce, []byte("XAES-256-GCM"), []byte(c.associated))
		if got := hex.EncodeToString(sealed); got != c.want {
			t.Errorf("sealed to %s, want %s", got, c.want)
		}
		if opened, err := x.open(nonce, sealed, []byte(c.associated)); err != nil || string(opened) != "XAES-256-GCM" {
			t.Errorf("opened to %q, %v", opened, err)
		}
	}
}

func TestOpensWhatItSealed(t *testing.T) {
	t.Parallel()
	k := keysOf(t, first)
	at := MediaKey.At("one")
	for _, value := range [][]byte{{0}, []byte("a value"), bytes.Repeat([]byte{7}, 100_000), []byte(mark + "\x01 like an envelope, and not one")} {
		sealed := k.Seal(value, at)
		if bytes.Contains(sealed, value) && len(value) > 1 || !bytes.HasPrefix(sealed, k.Head()) {
			t.Errorf("%.20q is sealed as %.60q", value, sealed)
		}
		if opened, err := k.Open(sealed, at); err != nil || !bytes.Equal(opened, value) {
			t.Errorf("%.20q opens as %.20q, %v", value, opened, err)
		}
		if again := k.Seal(value, at); bytes.Equal(again, sealed) {
			t.Error("two seals of one value are the same")
		}
		text := k.SealText(string(value), at)
		if !strings.HasPrefix(text, k.TextHead()) || strings.ContainsAny(text, "@:/?#%+=") {
			t.Errorf("%.20q is sealed as the text %.60q", value, text)
		}
		if opened, err := k.OpenText(text, at); err != nil || opened != string(value) {
			t.Errorf("%.20q opens as %.20q, %v", value, opened, err)
		}
	}
	for _, nothing := range [][]byte{nil, {}} {
		if sealed := k.Seal(nothing, at); len(sealed) > 0 || (sealed == nil) != (nothing == nil) {
			t.Errorf("nothing is sealed as %q", sealed)
		}
	}
}

// TestWhatIsPlainStays has no key: values are stored as they are, and read as they are, whatever they begin with.
func TestWhatIsPlainStays(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]*Keys{"no key": nil, "plain": keysOf(t, "plain,"+first)} {
		if got := k.Seal([]byte("value"), ""); string(got) != "value" {
			t.Errorf("%s: stored as %q", name, got)
		}
		if got := k.SealText("whsec_value", ""); got != "whsec_value" {
			t.Errorf("%s: stored as %q", name, got)
		}
		for _, odd := range []string{mark, mark + "\x00", mark + "\x01", mark + "\x01" + strings.Repeat("x", 100), "sealed.", "sealed.abcd"} {
			if got, err := k.Open(k.Seal([]byte(odd), ""), ""); err != nil || string(got) != odd {
				t.Errorf("%s: %q comes back as %q, %v", name, odd, got, err)
			}
			if got, err := k.OpenText(k.SealText(odd, ""), ""); err != nil || got != odd {
				t.Errorf("%s: the text %q comes back as %q, %v", name, odd, got, err)
			}
		}
	}
	if got, err := keysOf(t, first).Open([]byte("value"), ""); err != nil || string(got) != "value" {
		t.Errorf("with a key a plain value is read as %q, %v", got, err)
	}
}

func TestRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	k := keysOf(t, first)
	at := EndpointSecret.At("one")
	sealed := k.Seal([]byte("value"), at)
	for i := len(mark); i < len(sealed); i++ {
		changed := bytes.Clone(sealed)
		changed[i] ^= 2
		if opened, err := k.Open(changed, at); err == nil {
			t.Errorf("with byte %d changed it opens as %q", i, opened)
		}
	}
	for i := len(mark); i < len(sealed); i++ {
		if _, err := k.Open(sealed[:i], at); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	for _, elsewhere := range []string{EndpointSecret.At("another"), EndpointHeaders.At("one"), ""} {
		if _, err := k.Open(sealed, elsewhere); !errors.Is(err, ErrDamaged) {
			t.Errorf("moved to %q: %v", elsewhere, err)
		}
	}
	var unknown *UnknownKeyError
	if _, err := keysOf(t, second).Open(sealed, at); !errors.As(err, &unknown) || unknown.ID != k.ID() {
		t.Errorf("under another key: %v", err)
	}
	if _, err := (*Keys)(nil).Open(sealed, at); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	for _, text := range []string{"sealed.", "sealed.!", "sealed.AAAA", k.SealText("value", at)[:40]} {
		if _, err := k.OpenText(text, at); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	older, both, newer := keysOf(t, first), keysOf(t, second+", "+first), keysOf(t, second)
	at := SessionProxy.At("one")
	sealed := older.Seal([]byte("value"), at)
	if opened, err := both.Open(sealed, at); err != nil || string(opened) != "value" {
		t.Fatalf("the second key opens %q, %v", opened, err)
	}
	resealed, changed, err := both.Reseal(sealed, at)
	if err != nil || !changed {
		t.Fatalf("resealed: %t, %v", changed, err)
	}
	if opened, err := newer.Open(resealed, at); err != nil || string(opened) != "value" {
		t.Errorf("the new key alone opens %q, %v", opened, err)
	}
	if again, changed, err := both.Reseal(resealed, at); changed || err != nil || !bytes.Equal(again, resealed) {
		t.Errorf("a second time it is changed: %t, %v", changed, err)
	}
	plain, changed, err := keysOf(t, "plain,"+second).Reseal(resealed, at)
	if err != nil || !changed || string(plain) != "value" {
		t.Errorf("made plain: %q, %t, %v", plain, changed, err)
	}
	if sealedAgain, changed, err := newer.Reseal([]byte("value"), at); err != nil || !changed || !bytes.HasPrefix(sealedAgain, newer.Head()) {
		t.Errorf("a plain value is not sealed: %t, %v", changed, err)
	}
	if _, _, err := newer.Reseal(sealed, at); err == nil {
		t.Error("resealed what it cannot open")
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16)
	want := keysOf(t, hex.EncodeToString(raw)).ID()
	for _, same := range []string{
		strings.ToUpper(hex.EncodeToString(raw)), base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
	} {
		if k, err := Parse(same); err != nil || k.ID() != want {
			t.Errorf("%s: %v, %v", same, k, err)
		}
	}
	for _, wrong := range []string{"", "plain", "x", first + ",", first[:62], first + "," + first, first + ",plain", strings.Repeat("zz", 32), base64.StdEncoding.EncodeToString(raw[:31])} {
		k, err := Parse(wrong)
		if err == nil {
			t.Errorf("%q is taken as %v", wrong, k)
		} else if wrong != "" && wrong != "plain" && wrong != "x" && strings.Contains(err.Error(), wrong) {
			t.Errorf("the error repeats what was given: %v", err)
		}
	}
	if k := keysOf(t, Plain+","+first); k.ID() != "" || !k.Has(want) && !k.Has(keysOf(t, first).ID()) {
		t.Errorf("plain first: %v", k)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	k := keysOf(t, first+","+second)
	asJSON, err := json.Marshal(map[string]any{"keys": k})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %d %x", k, k, k, k, k, k), fmt.Sprint(struct{ K *Keys }{k}), string(asJSON)} {
		if strings.Contains(printed, "1a1a") || strings.Contains(printed, "26 26") || !strings.Contains(printed, k.ID()) {
			t.Errorf("printed as %s", printed)
		}
	}
}

// TestInsideJSON seals what is secret in a JSON value, leaves the rest, and gives it back as it was.
func TestInsideJSON(t *testing.T) {
	t.Parallel()
	k, next := keysOf(t, first), keysOf(t, second+","+first)
	for _, c := range []struct {
		place         Place
		raw, hidden   string
		still, sealed string // what stays readable; what nothing is sealed in
	}{
		{EndpointHeaders, `{"Authorization": "Bearer tok"}`, "Bearer", ``, `{}`},
		{EndpointPreviousSecrets, `[{"secret":"whsec_one","until":"2026-01-02T03:04:05Z"},{"secret":"whsec_two","until":"2026-01-02T03:04:05Z"}]`, "whsec_", `"until":"2026-01-02T03:04:05Z"`, `[]`},
		{SessionProxy, `{"metadata":{"a":"b"},"proxy":"socks5://us%40er:pass@proxy.example.com:1080"}`, "pass", "@proxy.example.com:1080", `{"proxy":"http://proxy.example.com"}`},
		{SessionProxy, `{"proxy":"http://user@[2001:db8::1]:80/"}`, "user", "@[2001:db8::1]:80/", `{"ignore":{"groups":true}}`},
	} {
		for _, id := range []string{"a", "b"} {
			sealed, err := k.SealJSON(c.place, json.RawMessage(c.raw), id)
			if err != nil || !json.Valid(sealed) || strings.Contains(string(sealed), c.hidden) || !strings.Contains(string(sealed), c.still) {
				t.Fatalf("%s: sealed as %s, %v", c.raw, sealed, err)
			}
			if opened, err := k.OpenJSON(c.place, sealed, id); err != nil || string(opened) != c.raw {
				t.Errorf("%s: opened as %s, %v", c.raw, opened, err)
			}
			if _, err := k.OpenJSON(c.place, sealed, "c"); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: in another row: %v", c.raw, err)
			}
			resealed, changed, err := next.ResealJSON(c.place, sealed, id)
			if err != nil || !changed {
				t.Fatalf("%s: resealed: %t, %v", c.raw, changed, err)
			}
			if _, changed, err := next.ResealJSON(c.place, resealed, id); err != nil || changed {
				t.Errorf("%s: changed a second time: %t, %v", c.raw, changed, err)
			}
			if opened, err := keysOf(t, second).OpenJSON(c.place, resealed, id); err != nil || string(opened) != c.raw {
				t.Errorf("%s: opened as %s, %v", c.raw, opened, err)
			}
		}
		if sealed, err := k.SealJSON(c.place, json.RawMessage(c.sealed), "a"); err != nil || string(sealed) != c.sealed {
			t.Errorf("%s: sealed as %s, %v", c.sealed, sealed, err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	k := keysOf(b, first)
	for _, size := range []int{32, 2048} {
		value := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(k.Seal(value, "somewhere"), "somewhere"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
