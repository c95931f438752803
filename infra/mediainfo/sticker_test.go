package mediainfo

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"

	"golang.org/x/image/webp"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// wide is a picture of twice its height: red, with a blue corner at the top left.
func wide() *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, 400, 200))
	for y := range 200 {
		for x := range 400 {
			m.Set(x, y, color.NRGBA{200, 20, 20, 255})
			if x < 100 && y < 100 {
				m.Set(x, y, color.NRGBA{20, 20, 200, 255})
			}
		}
	}
	return m
}

func encoded(t *testing.T, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// frames is a GIF of n pictures.
func frames(t *testing.T, n int) []byte {
	t.Helper()
	film := &gif.GIF{}
	for i := range n {
		m := image.NewPaletted(image.Rect(0, 0, 64, 32), color.Palette{color.Black, color.White, color.NRGBA{uint8(i), 0, 0, 255}})
		m.SetColorIndex(i%64, 3, 1)
		film.Image, film.Delay = append(film.Image, m), append(film.Delay, 10)
	}
	return encoded(t, func(b *bytes.Buffer) error { return gif.EncodeAll(b, film) })
}

func TestStickersAreMadeOfPictures(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"PNG":  encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, wide()) }),
		"JPEG": encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, wide(), &jpeg.Options{Quality: 95}) }),
		"GIF":  encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, wide(), nil) }),
	} {
		s, err := ReadSticker(bytes.NewReader(data))
		if err != nil || s.WebP == nil || s.Width != 512 || s.Height != 512 || s.Animated || len(s.WebP) > maxSticker {
			t.Fatalf("%s: %d bytes, %d by %d: %v", name, len(s.WebP), s.Width, s.Height, err)
		}
		m, err := webp.Decode(bytes.NewReader(s.WebP))
		if err != nil {
			t.Fatal(err)
		}
		near := func(x, y int, want color.NRGBA) {
			got := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
			off := func(a, b uint8) bool { return max(a, b)-min(a, b) > 20 }
			if off(got.R, want.R) && want.A > 0 || off(got.B, want.B) && want.A > 0 || got.A != want.A {
				t.Errorf("%s: %d,%d is %v, want %v", name, x, y, got, want)
			}
		}
		near(256, 10, color.NRGBA{})  // above the picture
		near(256, 500, color.NRGBA{}) // below
		near(10, 140, color.NRGBA{20, 20, 200, 255})
		near(500, 370, color.NRGBA{200, 20, 20, 255})
	}
	// A photo is made small enough.
	noisy := image.NewNRGBA(image.Rect(0, 0, 512, 512))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noisy.Pix {
		noisy.Pix[i] = byte(i/4%512/2) ^ byte(r.IntN(8))
		if i%4 == 3 {
			noisy.Pix[i] = 255
		}
	}
	s, err := ReadSticker(bytes.NewReader(encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, noisy) })))
	if err != nil || len(s.WebP) > maxSticker {
		t.Errorf("a photo has %d bytes: %v", len(s.WebP), err)
	}
}

func TestStickersThatAreWebPStay(t *testing.T) {
	t.Parallel()
	for name, animated := range map[string]bool{"lossy.webp": false, "lossless.webp": false, "alpha.webp": false, "animated.webp": true} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ReadSticker(bytes.NewReader(data)); err != nil || s.WebP != nil || s.Width == 0 || s.Animated != animated {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestWhatNoStickerIsMadeOf(t *testing.T) {
	t.Parallel()
	whole := encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, wide()) })
	long := encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, image.NewGray(image.Rect(0, 0, 1, maxSide+1))) })
	for name, data := range map[string][]byte{"text": []byte("this is no picture"), "nothing": nil, "half": whole[:len(whole)/2], "very long": long} {
		if s, err := ReadSticker(bytes.NewReader(data)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := ReadSticker(bytes.NewReader(frames(t, 2))); !errors.Is(err, ErrAnimation) {
		t.Errorf("two pictures: %v", err)
	}
	if _, err := ReadSticker(bytes.NewReader(frames(t, 1))); err != nil {
		t.Errorf("one picture: %v", err)
	}
	broken := errors.New("broken")
	if _, err := ReadSticker(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a broken reader: %v", err)
	}
}

func TestAnimatedStickers(t *testing.T) {
	t.Parallel()
	tool := transcoder(t)
	made, err := tool.AnimatedSticker(t.Context(), bytes.NewReader(frames(t, 12)))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ReadSticker(bytes.NewReader(made)); err != nil || !s.Animated || s.Width != 512 || s.Height != 512 || len(made) > maxAnimatedSticker {
		t.Errorf("%d bytes, %+v, %v", len(made), s, err)
	}
	if _, err := tool.AnimatedSticker(t.Context(), bytes.NewReader([]byte("no GIF"))); !errors.Is(err, ErrUnknown) {
		t.Errorf("no GIF: %v", err)
	}
	if _, err := (*Transcoder)(nil).AnimatedSticker(t.Context(), nil); !errors.Is(err, ErrNoTranscoder) {
		t.Errorf("without ffmpeg: %v", err)
	}
}

func FuzzGIFFrames(f *testing.F) {
	f.Add([]byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"))
	testfuzz.Run(f, func(t *testing.T, data []byte) {
		if n := gifFrames(data); n < 0 || n > 2 {
			t.Errorf("%d", n)
		}
	})
}
