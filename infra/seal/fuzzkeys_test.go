package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// FuzzParse reads the setting: what is taken seals and opens, and no error shows what was given.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", Plain, Plain + "," + first, first, first + "," + second, first + "," + first, " " + first + " , " + second + "\n", strings.ToUpper(first), first[:63], first + ",",
		"GhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGho=", "GhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGho", strings.Repeat("-_", 21) + "A", strings.Repeat("=", 64), "hunter2hunter2hunter2",
	} {
		f.Add(seed)
	}
	testfuzz.Run(f, func(t *testing.T, text string) {
		k, err := Parse(text)
		if err != nil {
			if len(text) > 20 && strings.Contains(err.Error(), text) || len(err.Error()) > 200 {
				t.Errorf("the error shows the setting: %v", err)
			}
			return
		}
		sealed := k.Seal([]byte("a value"), "place")
		if opened, err := k.Open(sealed, "place"); err != nil || string(opened) != "a value" {
			t.Errorf("%q, %v", opened, err)
		}
		if k.seals() == bytes.Equal(sealed, []byte("a value")) || k.seals() != (k.ID() != "") || k.seals() && !k.Has(k.ID()) {
			t.Errorf("%v seals as %q", k, sealed)
		}
	})
}

// FuzzOpen opens what may stand in a column: it is plain, was sealed here, or is refused as one of the errors that are decided by. What is sealed
// opens in its own place alone, in both forms.
func FuzzOpen(f *testing.F) {
	k := keysOf(f, first+","+second)
	other := keysOf(f, strings.Repeat("3c", 32))
	for _, value := range [][]byte{
		nil, []byte("plain"), []byte(mark), []byte(mark + "\x00"), []byte(mark + "\x00value"), []byte(mark + "\x01"), []byte(mark + "\x02abcd"), k.Seal([]byte("value"), "place"),
		keysOf(f, second).Seal([]byte("value"), "place"), other.Seal([]byte("value"), "place"), []byte(k.SealText("value", "place")), []byte(textMark), []byte(textMark + "!"), []byte(textMark + "B2Nxcw"),
	} {
		f.Add(value)
	}
	testfuzz.Run(f, func(t *testing.T, value []byte) {
		var unknown *UnknownKeyError
		refused := func(err error) bool { return errors.Is(err, ErrDamaged) || errors.As(err, &unknown) }
		opened, err := k.Open(value, "place")
		if err != nil && !refused(err) || err == nil && !bytes.HasPrefix(value, []byte(mark)) && !bytes.Equal(opened, value) {
			t.Errorf("%q opens as %q, %v", value, opened, err)
		}
		if _, err := (*Keys)(nil).Open(value, "place"); err != nil && !refused(err) && !errors.Is(err, ErrNoKey) {
			t.Errorf("%q without a key: %v", value, err)
		}
		text, err := k.OpenText(string(value), "place")
		if err != nil && !refused(err) || err == nil && !bytes.HasPrefix(value, []byte(textMark)) && text != string(value) {
			t.Errorf("the text %q opens as %q, %v", value, text, err)
		}
		if resealed, changed, err := k.Reseal(value, "place"); err == nil && changed { // what has the first key is not looked into
			if again, err := k.Open(resealed, "place"); err != nil || !bytes.Equal(again, opened) {
				t.Errorf("%q, sealed again, opens as %q, %v", value, again, err)
			}
		}
		for _, keys := range []*Keys{nil, keysOf(t, Plain+","+first), k} {
			sealed := keys.Seal(value, "place")
			if back, err := keys.Open(sealed, "place"); err != nil || !bytes.Equal(back, value) {
				t.Errorf("%q is sealed as %q, which opens as %q, %v", value, sealed, back, err)
			}
			form := keys.SealText(string(value), "place")
			if back, err := keys.OpenText(form, "place"); err != nil || back != string(value) {
				t.Errorf("%q is sealed as the text %q, which opens as %q, %v", value, form, back, err)
			}
		}
		if len(value) == 0 {
			return
		}
		sealed := k.Seal(value, "place")
		if _, err := k.Open(sealed, "elsewhere"); !errors.Is(err, ErrDamaged) {
			t.Errorf("in another place it opens: %v", err)
		}
		sealed[len(sealed)-1-int(value[0])%overhead] ^= 1
		if _, err := k.Open(sealed, "place"); !errors.Is(err, ErrDamaged) {
			t.Errorf("damaged it opens: %v", err)
		}
	})
}
