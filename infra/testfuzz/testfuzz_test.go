package testfuzz

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// FuzzPlanted fails for anything that is not its seed, when it is asked to.
func FuzzPlanted(f *testing.F) {
	planted := os.Getenv("CHASQUI_FUZZ_PLANTED")
	f.Add([]byte("a seed that is found"), "text", 7, true)
	Run(f, func(t *testing.T, data []byte, _ string, _ int, _ bool) {
		if planted == "" || string(data) == "a seed that is found" {
			return
		}
		if planted == "panic" {
			panic("planted")
		}
		t.Fatal("planted")
	})
}

// The program is run again, since a fuzzer that fails is what is looked at.
func TestWhatFailsIsPrinted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		how, patience string
		fails         bool
	}{{"fatal", "5s", true}, {"panic", "5s", true}, {"fatal", "0", false}, {"", "20ms", false}} {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^FuzzPlanted$", "-test.v")
		again.Env = append(os.Environ(), "CHASQUI_FUZZ_PLANTED="+c.how, timeVariable+"="+c.patience, seedVariable+"=1")
		said, err := again.CombinedOutput()
		if (err != nil) != c.fails || !strings.Contains(string(said), "FuzzPlanted") {
			t.Errorf("%+v: %v\n%s", c, err, said)
		}
		if c.fails && (!strings.Contains(string(said), "planted") || !strings.Contains(string(said), `[]byte("`) || !strings.Contains(string(said), seedVariable+"=1")) {
			t.Errorf("%+v says not with what:\n%s", c, said)
		}
	}
}

func TestMutationsAreManyAndRepeatable(t *testing.T) {
	t.Parallel()
	seed := []byte(`{"to":"5491123456789","n":12}`)
	all := func() (list [][]byte) {
		r := rand.New(rand.NewPCG(7, 0))
		for range 1000 {
			list = append(list, Bytes(seed, r))
		}
		return list
	}
	first := all()
	if !reflect.DeepEqual(first, all()) {
		t.Error("one seed gives two lists")
	}
	different := map[string]bool{}
	for _, one := range first {
		different[string(one)] = true
	}
	if len(different) < 900 || !bytes.Equal(seed, []byte(`{"to":"5491123456789","n":12}`)) {
		t.Errorf("%d of 1000 are different; the seed is %q", len(different), seed)
	}
}
