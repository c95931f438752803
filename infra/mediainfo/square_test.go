package mediainfo

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

func TestSquare(t *testing.T) {
	t.Parallel()
	wide := image.NewNRGBA(image.Rect(0, 0, 900, 700)) // red, with a blue middle of 700 by 700 and a transparent corner
	for y := range 700 {
		for x := range 900 {
			switch {
			case x < 100 || x >= 800:
				wide.SetNRGBA(x, y, color.NRGBA{R: 255, A: 255})
			case x > 120 || y > 20:
				wide.SetNRGBA(x, y, color.NRGBA{B: 255, A: 255})
			}
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, wide); err != nil {
		t.Fatal(err)
	}
	made, err := Square(&file, 640)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jpeg.Decode(bytes.NewReader(made))
	if err != nil || got.Bounds() != image.Rect(0, 0, 640, 640) {
		t.Fatalf("%v %v", got.Bounds(), err)
	}
	for _, at := range []image.Point{{630, 5}, {5, 630}, {320, 320}, {635, 635}} {
		if r, _, b, _ := got.At(at.X, at.Y).RGBA(); r>>8 > 60 || b>>8 < 200 {
			t.Errorf("at %v it is not blue", at)
		}
	}
	if r, g, b, _ := got.At(4, 4).RGBA(); r>>8 < 200 || g>>8 < 200 || b>>8 < 200 {
		t.Error("what is transparent is not white")
	}

	small := image.NewGray(image.Rect(0, 0, 10, 20))
	file.Reset()
	if err := jpeg.Encode(&file, small, nil); err != nil {
		t.Fatal(err)
	}
	if made, err = Square(&file, 640); err != nil {
		t.Fatal(err)
	}
	if got, _ := jpeg.Decode(bytes.NewReader(made)); got.Bounds() != image.Rect(0, 0, 10, 10) {
		t.Errorf("a small one is %v", got.Bounds())
	}
	if _, err := Square(strings.NewReader("this is no picture at all"), 640); !errors.Is(err, ErrUnknown) {
		t.Errorf("of a text: %v", err)
	}
	file.Reset()
	if err := png.Encode(&file, image.NewRGBA(image.Rect(0, 0, 4000, 4000))); err != nil {
		t.Fatal(err)
	}
	if _, err := Square(&file, 640); !errors.Is(err, ErrTooLarge) {
		t.Errorf("of 16 megapixels in PNG: %v", err)
	}
}
