package mediainfo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// opusFiles are the files of three seconds, with the modes (RFC 6716's
// configurations) that each must contain for the test to mean what it says.
var opusFiles = map[string]struct{ lowest, highest byte }{
	"silk-mono.ogg":     {8, 11},
	"silk-60ms.ogg":     {0, 3},
	"hybrid-mono.ogg":   {12, 15},
	"hybrid-stereo.ogg": {12, 15},
	"celt-mono.ogg":     {16, 31},
	"celt-2ms.ogg":      {16, 31},
	"celt-stereo.ogg":   {16, 31},
}

// packets are the audio packets of an Ogg Opus file.
func packets(t testing.TB, file []byte) (out [][]byte, head opusHead, length int64) {
	t.Helper()
	in, err := newOpusReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, _, err := in.next()
		if errors.Is(err, io.EOF) {
			return out, in.head, in.length()
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(p.data))
	}
}

// checkBars sees to a waveform of a loud second, a silent one and one of half
// the loudness. The bars at the edges may be anything.
func checkBars(t *testing.T, waveform []byte) {
	t.Helper()
	if len(waveform) != waveformPoints {
		t.Fatalf("%d bars", len(waveform))
	}
	for i, bar := range waveform {
		low, high := byte(85), byte(100)
		switch {
		case i == 0 || i == 63 || i >= 20 && i <= 23 || i >= 41 && i <= 44:
			continue
		case i > 23 && i < 41:
			low, high = 0, 5
		case i > 44:
			low, high = 38, 60
		}
		if bar < low || bar > high {
			t.Errorf("bar %d is %d, want %d to %d: %v", i, bar, low, high, waveform)
			return
		}
	}
}

func TestReadVoiceDecodesEveryMode(t *testing.T) {
	t.Parallel()
	for name, modes := range opusFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := testdata(t, name)
			all, _, _ := packets(t, file)
			found, decoder := 0, newVoiceDecoder()
			for i, data := range all {
				if mode := data[0] >> 3; mode >= modes.lowest && mode <= modes.highest {
					found++
				}
				if _, ok := decoder.energy(data); !ok {
					t.Fatalf("packet %d is not decoded", i)
				}
			}
			if found*2 < len(all) {
				t.Errorf("%d of %d packets have the mode looked for", found, len(all))
			}
			voice, err := ReadVoice(iotest.OneByteReader(bytes.NewReader(file)))
			if err != nil {
				t.Fatal(err)
			}
			if voice.Seconds != 3 || voice.Recorded {
				t.Errorf("%d seconds, recorded: %v", voice.Seconds, voice.Recorded)
			}
			checkBars(t, voice.Waveform)
		})
	}
}

func TestReadVoiceJoinsPacketsOfManySegmentsAndPages(t *testing.T) {
	t.Parallel()
	file := testdata(t, "celt-stereo.ogg")
	all, _, _ := packets(t, file)
	long := 0
	for _, data := range all {
		if len(data) >= 255 {
			long++
		}
	}
	if long < 10 {
		t.Fatalf("only %d packets of 255 bytes and more", long)
	}
	// The same packets, each page with a single segment: all of those of 255
	// bytes and more go over several pages.
	split := paged(all, 255, 312, 0)
	again, _, length := packets(t, split)
	if len(again) != len(all) {
		t.Fatalf("%d packets, want %d", len(again), len(all))
	}
	for i := range all {
		if !bytes.Equal(all[i], again[i]) {
			t.Fatalf("packet %d is another", i)
		}
	}
	if want := int64(3*opusRate + 2880); length > want || length < 3*opusRate-2880 {
		t.Errorf("%d samples", length)
	}
}

// paged writes packets into pages of one segment of at most size bytes each,
// each packet's position being that of the packets before it, and start.
func paged(all [][]byte, size int, preSkip uint16, start int64) []byte {
	var out []byte
	number := uint32(0)
	page := func(flags byte, granule int64, content []byte) {
		at := len(out)
		out = append(out, "OggS\x00"...)
		out = append(out, flags)
		out = binary.LittleEndian.AppendUint64(out, uint64(granule))
		out = binary.LittleEndian.AppendUint32(out, 77)
		out = binary.LittleEndian.AppendUint32(out, number)
		out = append(out, 0, 0, 0, 0, 1, byte(len(content)))
		out = append(out, content...)
		binary.LittleEndian.PutUint32(out[at+22:], oggChecksum(out[at:]))
		number++
	}
	head := binary.LittleEndian.AppendUint16([]byte("OpusHead\x01\x01"), preSkip)
	page(2, 0, append(head, 0x80, 0xbb, 0, 0, 0, 0, 0))
	page(0, 0, []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00"))
	granule := start
	for _, data := range all {
		granule += packetLength(data)
		flags := byte(0)
		for len(data) >= size {
			page(flags, -1, data[:size])
			data, flags = data[size:], 1
		}
		page(flags, granule, data)
	}
	return out
}

func TestReadVoiceFallsBackToPacketSizes(t *testing.T) {
	t.Parallel()
	// pion decodes no surround sound.
	voice, err := ReadVoice(bytes.NewReader(testdata(t, "surround.ogg")))
	if err != nil {
		t.Fatal(err)
	}
	if voice.Seconds != 1 || bytes.Equal(voice.Waveform, make([]byte, waveformPoints)) {
		t.Errorf("%d seconds, %v", voice.Seconds, voice.Waveform)
	}
	// Packets that no decoder takes: CELT frames cut to a few bytes of noise
	// would be decoded to something, so their number of frames is wrong.
	var all [][]byte
	for i := range 150 {
		data := append([]byte{0xfb, 0x81}, bytes.Repeat([]byte{0xff}, 50)...) // a padding byte that overruns
		data[1] = 0xc1
		if i >= 50 && i < 100 {
			data = data[:3]
		}
		all = append(all, data)
	}
	if voice, err = ReadVoice(bytes.NewReader(paged(all, 255, 0, 0))); err != nil {
		t.Fatal(err)
	}
	if voice.Seconds != 3 || voice.Waveform[10] != 100 || voice.Waveform[32] > 10 || voice.Waveform[60] != 100 {
		t.Errorf("%d seconds, %v", voice.Seconds, voice.Waveform)
	}
}

func TestReadVoiceDecodesNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	file := testdata(t, "silk-mono.ogg")
	whole, err := readVoice(bytes.NewReader(file), 4*opusRate)
	if err != nil {
		t.Fatal(err)
	}
	voice, err := readVoice(bytes.NewReader(file), opusRate)
	if err != nil {
		t.Fatal(err)
	}
	if voice.Seconds != 3 || voice.Waveform[63] == 0 || bytes.Equal(voice.Waveform, whole.Waveform) {
		t.Errorf("%d seconds, %v", voice.Seconds, voice.Waveform)
	}
}

func TestTimelineIsBounded(t *testing.T) {
	t.Parallel()
	// A day of frames of 20 ms, loud in its second half.
	var line timeline
	for i := range 24 * 60 * 60 * 50 {
		value := 0.0
		if i >= 12*60*60*50 {
			value = 1
		}
		line.add(960, value)
	}
	if len(line.slots) > maxSlots {
		t.Errorf("%d slots", len(line.slots))
	}
	for i, point := range line.points() {
		if want := float64(i / 32); math.Abs(point-want) > 0.04 {
			t.Errorf("point %d is %g", i, point)
		}
	}
}

func TestReadVoiceOfSilenceIsFlat(t *testing.T) {
	t.Parallel()
	all, _, _ := packets(t, testdata(t, "silk-mono.ogg"))
	voice, err := ReadVoice(bytes.NewReader(paged(all[60:90], 255, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if voice.Seconds != 1 || !bytes.Equal(voice.Waveform, make([]byte, waveformPoints)) {
		t.Errorf("%d seconds, %v", voice.Seconds, voice.Waveform)
	}
}

func TestReadVoiceOfShortestRecordingHasASecond(t *testing.T) {
	t.Parallel()
	all, _, _ := packets(t, testdata(t, "silk-mono.ogg"))
	voice, err := ReadVoice(bytes.NewReader(paged(all[:1], 255, 0, 0)))
	if err != nil || voice.Seconds != 1 || len(voice.Waveform) != waveformPoints {
		t.Errorf("%d seconds, %v, %v", voice.Seconds, voice.Waveform, err)
	}
}

func TestReadVoiceBelievesPositionsWithinReason(t *testing.T) {
	t.Parallel()
	all, _, _ := packets(t, testdata(t, "silk-mono.ogg"))
	for name, test := range map[string]struct {
		file []byte
		want int
	}{
		"cut out of a longer recording": {paged(all, 255, 312, 1e9), 3},
		"positions that are absurd":     {paged(all, 255, 312, 0), 3},
		"cut in the middle":             {testdata(t, "silk-mono.ogg")[:2600], 2},
	} {
		if name == "positions that are absurd" {
			at := bytes.LastIndex(test.file, []byte("OggS"))
			binary.LittleEndian.PutUint64(test.file[at+6:], math.MaxInt64)
		}
		if voice, err := ReadVoice(bytes.NewReader(test.file)); err != nil || voice.Seconds != test.want {
			t.Errorf("%s: %d seconds, %v", name, voice.Seconds, err)
		}
	}
}

func TestReadVoiceOfWhatIsNone(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"empty": nil, "text": []byte("neither Ogg nor Opus"), "Vorbis": testdata(t, "vorbis.ogg"), "MP3": testdata(t, "constant.mp3"),
		"headers alone": paged(nil, 255, 0, 0), "cut in the header": testdata(t, "silk-mono.ogg")[:40],
	} {
		if _, err := ReadVoice(bytes.NewReader(file)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	endless := io.MultiReader(bytes.NewReader(paged(nil, 255, 0, 0)), &repeated{page: paged([][]byte{{0x0b, 0}}, 255, 0, 0)[91:]})
	if _, err := ReadVoice(endless); !errors.Is(err, ErrTooLarge) {
		t.Errorf("endless: %v", err)
	}
}

// repeated reads one page for ever.
type repeated struct {
	page []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.page[r.at:])
	r.at = (r.at + n) % len(r.page)
	return n, nil
}

func TestRepackKeepsTheSound(t *testing.T) {
	t.Parallel()
	for name := range opusFiles {
		file := testdata(t, name)
		var out bytes.Buffer
		if err := repack(&out, bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		before, head, length := packets(t, file)
		after, headAfter, lengthAfter := packets(t, out.Bytes())
		if head != headAfter || length != lengthAfter {
			t.Errorf("%s: %+v of %d samples became %+v of %d", name, head, length, headAfter, lengthAfter)
		}
		// The same samples come out, whatever the packets are.
		old, now := newVoiceDecoder(), newVoiceDecoder()
		var sum, sumAfter float64
		for _, data := range before {
			mean, _ := old.energy(data)
			sum += mean * float64(packetLength(data))
		}
		for _, data := range after {
			mean, ok := now.energy(data)
			if !ok {
				t.Fatalf("%s: a packet is not decoded", name)
			}
			sumAfter += mean * float64(packetLength(data))
		}
		if math.Abs(sum-sumAfter) > 1e-9*sum {
			t.Errorf("%s: energy %g became %g", name, sum, sumAfter)
		}
	}
	before, _, _ := packets(t, testdata(t, "silk-mono.ogg"))
	var out bytes.Buffer
	if err := repack(&out, bytes.NewReader(testdata(t, "silk-mono.ogg"))); err != nil {
		t.Fatal(err)
	}
	after, _, _ := packets(t, out.Bytes())
	if want := (len(before) + 2) / 3; len(after) > want+2 || after[0][0]&3 != 3 {
		t.Errorf("%d packets became %d, want about %d", len(before), len(after), want)
	}
	if voice, err := ReadVoice(&out); err != nil || !voice.Recorded {
		t.Errorf("recorded: %v, %v", voice.Recorded, err)
	}
}

func TestJoinFramesOfEveryLength(t *testing.T) {
	t.Parallel()
	decoder := newVoiceDecoder()
	for _, n := range []int{0, 1, 251, 252, 253, 254, 255, 256, 1000, 1275} {
		frame := bytes.Repeat([]byte{0x55}, n)
		data := joinFrames(9<<3, [][]byte{frame, frame, frame})
		if packetLength(data) != 3*960 {
			t.Errorf("%d bytes: %d samples", n, packetLength(data))
		}
		if _, ok := decoder.energy(data); !ok && n > 0 {
			t.Errorf("frames of %d bytes are not decoded", n)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]time.Duration{
		"turned.mp4": time.Second, "silk-mono.ogg": 3 * time.Second, "celt-stereo.ogg": 3 * time.Second,
		"variable.mp3": 3 * time.Second, "constant.mp3": 3 * time.Second,
	} {
		got, err := Duration(bytes.NewReader(testdata(t, name)))
		// An MP3 has up to three frames more than it was made of.
		if err != nil || (got-want).Abs() > 120*time.Millisecond {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, name := range []string{"lossy.webp", "vorbis.ogg", "README"} {
		if got, err := Duration(bytes.NewReader(testdata(t, name))); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func FuzzReadVoice(f *testing.F) {
	for name := range opusFiles {
		f.Add(testdata(f, name)[:3000])
	}
	f.Add(testdata(f, "surround.ogg")[:3000])
	f.Add(testdata(f, "vorbis.ogg")[:500])
	testfuzz.Run(f, func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		voice, err := ReadVoice(bytes.NewReader(data))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20+uint64(100*len(data)) {
			t.Fatalf("took %d MiB", took>>20)
		}
		if repacked := repack(io.Discard, bytes.NewReader(data)); repacked != nil && !errors.Is(repacked, io.EOF) && err == nil {
			t.Fatal(repacked)
		}
		if err != nil {
			if !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			return
		}
		if voice.Seconds < 1 || len(voice.Waveform) != waveformPoints {
			t.Fatalf("%+v", voice)
		}
		for _, bar := range voice.Waveform {
			if bar > 100 {
				t.Fatalf("%v", voice.Waveform)
			}
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, name := range []string{"turned.mp4", "variable.mp3", "constant.mp3", "silk-mono.ogg"} {
		f.Add(testdata(f, name)[:3000])
	}
	testfuzz.Run(f, func(t *testing.T, data []byte) {
		length, err := Duration(bytes.NewReader(data))
		if err != nil && !errors.Is(err, ErrUnknown) || err == nil && (length <= 0 || length > maxDuration) {
			t.Fatalf("%s, %v", length, err)
		}
	})
}

// BenchmarkReadVoice reports the seconds of CPU that a minute of audio takes.
func BenchmarkReadVoice(b *testing.B) {
	for name := range opusFiles {
		b.Run(name, func(b *testing.B) {
			file := testdata(b, name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ReadVoice(bytes.NewReader(file)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*20, "s/minute")
		})
	}
}
