// Package testfuzz runs a fuzzer briefly where go test -fuzz is too dear: that builds everything once more, instrumented, and runs one fuzzer a
// command. Here an ordinary go test mutates the seeds and the inputs that were kept for a while, blindly but at full speed.
package testfuzz

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// timeVariable is how long a fuzzer's inputs are mutated, all of them together; 0 or unset: not at all.
	timeVariable = "CHASQUI_FUZZ"
	// seedVariable is the seed of the mutations, so that a failure can be repeated.
	seedVariable = "CHASQUI_FUZZ_SEED"
	// mostSteps is how many changes are made to one input.
	mostSteps = 6
	// striking are bytes that mean something in one format or another.
	striking = "\x00\x01\x7f\x80\xff\"\\{}[]<>&=%,.;:@/ \r\n09-+eE"
	// longest bounds what an input grows to, in bytes.
	longest = 1 << 20
)

// Run is f.Fuzz. Without -fuzz, and where CHASQUI_FUZZ says for how long, target is given changed copies of each input as well; one that fails is
// printed as a file of testdata/fuzz has it.
func Run(f *testing.F, target any) {
	f.Helper()
	patience := budget(f)
	if seeds := reflect.ValueOf(f).Elem().FieldByName("corpus"); seeds.IsValid() { // what f.Add has been given
		patience /= time.Duration(max(1, seeds.Len()))
	}
	if chosen := flag.Lookup("test.fuzz"); patience == 0 || chosen != nil && chosen.Value.String() != "" {
		f.Fuzz(target)
		return
	}
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			f.Fatal(seedVariable, err)
		}
	}
	run := reflect.ValueOf(target)
	f.Fuzz(reflect.MakeFunc(run.Type(), func(arguments []reflect.Value) []reflect.Value {
		run.Call(arguments)
		mutate(run, arguments, rand.New(rand.NewPCG(seed, 0)), patience, seed)
		return nil
	}).Interface())
}

func budget(f *testing.F) time.Duration {
	text := os.Getenv(timeVariable)
	if text == "" || text == "0" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		f.Fatal(timeVariable, err)
	}
	return d
}

// mutate calls run with changed copies of its arguments until the time is up.
func mutate(run reflect.Value, arguments []reflect.Value, r *rand.Rand, patience time.Duration, seed uint64) {
	t := arguments[0].Interface().(*testing.T)
	var input []reflect.Value
	passed := true
	defer func() { // also after a panic, or FailNow in run
		if !passed {
			t.Logf("with %s=%d, this input, for a file in testdata/fuzz/%s:\n%s", seedVariable, seed, strings.Split(t.Name(), "/")[0], corpusFile(input))
		}
	}()
	for began := time.Now(); passed && time.Since(began) < patience; {
		input = make([]reflect.Value, len(arguments)-1)
		for i, argument := range arguments[1:] {
			input[i] = change(argument, r)
		}
		passed = false
		run.Call(append([]reflect.Value{arguments[0]}, input...))
		passed = !t.Failed()
	}
}

// corpusFile is an input as go test -fuzz writes it (internal/fuzz, encoding.go), for the types that are mutated here.
func corpusFile(input []reflect.Value) string {
	text := "go test fuzz v1\n"
	for _, value := range input {
		form := "%v(%v)\n"
		if value.Kind() == reflect.String || value.Kind() == reflect.Slice {
			form = "%v(%q)\n"
		}
		name := value.Type().String()
		if value.Kind() == reflect.Slice {
			name = "[]byte"
		}
		text += fmt.Sprintf(form, name, value.Interface())
	}
	return text
}

// change returns a changed copy of a value; some stay as they are.
func change(value reflect.Value, r *rand.Rand) reflect.Value {
	changed := reflect.New(value.Type()).Elem()
	changed.Set(value)
	switch value.Kind() {
	case reflect.String:
		changed.SetString(string(Bytes([]byte(value.String()), r)))
	case reflect.Slice:
		changed.SetBytes(Bytes(value.Bytes(), r))
	case reflect.Bool:
		changed.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		changed.SetInt(odd(value.Int(), r))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		changed.SetUint(uint64(odd(int64(value.Uint()), r)))
	}
	return changed
}

// odd is a number beside another, or one of those that break things.
func odd(n int64, r *rand.Rand) int64 {
	switch r.IntN(4) {
	case 0:
		return n
	case 1:
		return n + r.Int64N(17) - 8
	case 2:
		return []int64{0, 1, -1, 127, 128, 255, 256, 65535, 65536, 1<<31 - 1, 1 << 31, 1<<63 - 1, -1 << 63}[r.IntN(13)]
	}
	return int64(r.Uint64() >> r.IntN(64))
}

// Bytes returns a copy of data with a few changes, those that go test -fuzz makes too (internal/fuzz, mutators_byteslice.go).
func Bytes(data []byte, r *rand.Rand) []byte {
	out := append([]byte(nil), data...)
	for range 1 + r.IntN(mostSteps) {
		if len(out) == 0 {
			out = append(out, byte(r.Uint32()))
			continue
		}
		at := r.IntN(len(out))
		end := at + 1 + r.IntN(min(len(out)-at, 1<<r.IntN(10)))
		switch r.IntN(9) {
		case 0: // flip a bit
			out[at] ^= 1 << r.IntN(8)
		case 1:
			out[at] = byte(r.Uint32())
		case 2:
			out[at] = striking[r.IntN(len(striking))]
		case 3: // a number, larger or smaller by a little
			out[at] += byte(r.IntN(17) - 8)
		case 4: // one of more bytes
			if number := binary.BigEndian.AppendUint64(nil, uint64(odd(int64(out[at]), r))); true {
				copy(out[at:], number[8-1<<r.IntN(4):])
			}
		case 5: // take a part out
			out = append(out[:at], out[end:]...)
		case 6: // cut the end off
			if r.IntN(4) == 0 {
				out = out[:at]
			}
		default: // repeat a part somewhere else
			if part := append([]byte(nil), out[at:end]...); len(out)+len(part) <= longest {
				to := r.IntN(len(out) + 1)
				out = append(out[:to], append(part, out[to:]...)...)
			}
		}
	}
	return out
}
