package mediainfo

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/pion/opus"
)

const (
	// waveformPoints is the number of bars that WhatsApp draws for a voice note.
	waveformPoints = 64
	// maxDecodedAudio bounds the work for one recording, in samples at 48 kHz: half
	// an hour. A minute of speech takes 0.1 s of one core, of stereo music or of
	// frames of 2.5 ms up to 0.4 s.
	maxDecodedAudio = 30 * 60 * opusRate
	// decodeRate is the rate that is decoded to. Loudness needs no more, and the
	// speech of voice notes is at 16 kHz, so that nothing is resampled.
	decodeRate = 16000
	// silence is the loudness, as a share of full scale, below which a whole
	// recording counts as silent: -60 dB. Its noise would look like speech else.
	silence = 0.001
)

// Voice describes a voice note.
type Voice struct {
	// Seconds is the length, rounded, and at least 1.
	Seconds int
	// Waveform has 64 bars from 0 to 100, where 100 is the loudest.
	Waveform []byte
	// Recorded says that the file has the form that the phones' own recorder
	// gives it: mono, recorded at 16 kHz, several frames a packet. Others play
	// on Android and in browsers, and not on every iPhone; Transcoder.Voice
	// makes this form.
	Recorded bool
}

// ReadVoice describes an Ogg Opus file. It returns ErrUnknown for anything else,
// ErrTooLarge for more than MaxBytes, and the reader's own error when it fails.
//
// The waveform is the loudness (root mean square) of the decoded sound. pion's
// decoder knows all three modes of Opus (SILK, CELT and hybrid, all bandwidths
// and frame lengths, mono and stereo); every file that libopus made in the tests
// is decoded. Where it fails on more than a tenth of a file (surround sound, or
// damage), and for more than 30 minutes, the waveform is that of the bytes per
// second instead: an encoder of variable bit rate spends them where the sound is.
func ReadVoice(r io.Reader) (Voice, error) { return readVoice(r, maxDecodedAudio) }

func readVoice(r io.Reader, limit int64) (Voice, error) {
	src := &source{r: r, left: MaxBytes}
	in, err := newOpusReader(src)
	if err != nil {
		return Voice{}, src.unknown("read voice")
	}
	var (
		decoder             = newVoiceDecoder()
		loudness, size      timeline
		all, failed, joined int
	)
	for {
		p, length, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Voice{}, fmt.Errorf("read voice: %w", err)
		}
		all++
		if p.data[0]&3 == 3 {
			joined++
		}
		size.add(length, float64(len(p.data)))
		if in.decoded > limit {
			continue
		}
		energy, ok := decoder.energy(p.data)
		if !ok {
			failed++
		}
		loudness.add(length, energy)
	}
	if src.fault() != nil {
		return Voice{}, src.unknown("read voice")
	}
	if all == 0 {
		return Voice{}, src.unknown("read voice")
	}
	voice := Voice{
		Seconds:  max(1, int((in.length()+opusRate/2)/opusRate)),
		Recorded: in.head.channels == 1 && in.head.rate == decodeRate && joined*2 > all,
	}
	if failed*10 > all || in.decoded > limit {
		voice.Waveform = bars(size.points(), 0)
		return voice, nil
	}
	points := loudness.points()
	for i, energy := range points {
		points[i] = math.Sqrt(energy)
	}
	voice.Waveform = bars(points, silence)
	return voice, nil
}

// bars scales points so that the highest is 100. Nothing but points up to the
// floor are all 0.
func bars(points []float64, floor float64) []byte {
	highest := 0.0
	for _, point := range points {
		highest = max(highest, point)
	}
	out := make([]byte, len(points))
	if highest <= floor {
		return out
	}
	for i, point := range points {
		out[i] = byte(math.Round(100 * point / highest))
	}
	return out
}

// voiceDecoder decodes packets to measure them.
type voiceDecoder struct {
	decoder opus.Decoder
	out     []float32
}

func newVoiceDecoder() *voiceDecoder {
	d := &voiceDecoder{out: make([]float32, decodeRate*120/1000)}
	d.reset()
	return d
}

func (d *voiceDecoder) reset() {
	// The rate and the number of channels are right, so there is no error.
	d.decoder, _ = opus.NewDecoderWithOutput(decodeRate, 1)
}

// energy is the mean square of a packet's samples. A packet that cannot be
// decoded has none; a decoder that panicked is replaced, for its state is wrong.
func (d *voiceDecoder) energy(data []byte) (mean float64, ok bool) {
	defer func() {
		if recover() != nil {
			d.reset()
			mean, ok = 0, false
		}
	}()
	n, err := d.decoder.DecodeToFloat32(data, d.out)
	if err != nil || n <= 0 {
		return 0, false
	}
	sum := 0.0
	for _, sample := range d.out[:n] {
		sum += float64(sample) * float64(sample)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, false
	}
	return sum / float64(n), true
}

// timeline collects a quantity over a time whose length is not known before the
// end, in bounded memory: slots that grow twice as wide whenever they run out.
type timeline struct {
	slots []float64
	width int64 // of a slot, in samples at 48 kHz
	at    int64
}

// maxSlots keeps at least 32 slots for each bar, so that the edges of a bar are
// off by 3 % of its width at most.
const maxSlots = 2 * 32 * waveformPoints

// add spreads a value, which holds for each sample of a length, over the slots.
func (t *timeline) add(length int64, value float64) {
	if t.width == 0 {
		t.width = opusRate / 100
	}
	for length > 0 {
		slot := int(t.at / t.width)
		if slot >= maxSlots {
			for i := range maxSlots / 2 {
				t.slots[i] = t.slots[2*i] + t.slots[2*i+1]
			}
			t.slots = t.slots[:maxSlots/2]
			t.width *= 2
			continue
		}
		if slot == len(t.slots) {
			t.slots = append(t.slots, 0)
		}
		part := min(length, int64(slot+1)*t.width-t.at)
		t.slots[slot] += value * float64(part)
		t.at += part
		length -= part
	}
}

// points are the means of the value over 64 stretches of equal length.
func (t *timeline) points() []float64 {
	out := make([]float64, waveformPoints)
	if t.at == 0 {
		return out
	}
	for i := range out {
		// A recording shorter than 64 slots has bars that share one.
		from := int64(i) * t.at / waveformPoints / t.width
		to := max(from+1, (int64(i)+1)*t.at/waveformPoints/t.width)
		var sum, length float64
		for slot := from; slot < to && slot < int64(len(t.slots)); slot++ {
			sum += t.slots[slot]
			length += float64(min(t.width, t.at-slot*t.width))
		}
		if length > 0 {
			out[i] = sum / length
		}
	}
	return out
}
