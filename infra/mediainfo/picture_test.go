package mediainfo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// halves is a picture whose left half is red and whose right half is blue.
func halves(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			shade := color.NRGBA{R: 255, A: 255}
			if x >= width/2 {
				shade = color.NRGBA{B: 255, A: 255}
			}
			img.SetNRGBA(x, y, shade)
		}
	}
	return img
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encodeGIF(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := gif.Encode(&out, img, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// withOrientation puts an EXIF segment in front of a JPEG's others.
func withOrientation(file []byte, order binary.AppendByteOrder, turn uint16) []byte {
	tiff := []byte("MM\x00*")
	if order.String() == "LittleEndian" {
		tiff = []byte("II*\x00")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, tag := range [][2]uint16{{0x0100, 7}, {0x0112, turn}} {
		tiff = order.AppendUint16(tiff, tag[0])
		tiff = order.AppendUint16(tiff, 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, tag[1])
		tiff = order.AppendUint16(tiff, 0)
	}
	exif := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{}, file[:2]...)
	out = append(out, 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(2+len(exif)))
	return append(append(out, exif...), file[2:]...)
}

func decodeThumbnail(t *testing.T, thumbnail []byte) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(thumbnail))
	if err != nil {
		t.Fatalf("the thumbnail is no JPEG: %v", err)
	}
	return img
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReadPicture(t *testing.T) {
	t.Parallel()
	upright := halves(120, 400)
	gray := image.NewGray16(image.Rect(0, 0, 30, 20))
	for name, test := range map[string]struct {
		file                  []byte
		width, height         int
		thumbWidth, thumbHigh int
	}{
		"JPEG":                    {encodeJPEG(t, halves(400, 300)), 400, 300, 100, 75},
		"JPEG upright":            {encodeJPEG(t, upright), 120, 400, 30, 100},
		"PNG":                     {encodePNG(t, halves(400, 100)), 400, 100, 100, 25},
		"PNG smaller than needed": {encodePNG(t, gray), 30, 20, 30, 20},
		"PNG a line":              {encodePNG(t, halves(1000, 1)), 1000, 1, 100, 1},
		"GIF":                     {encodeGIF(t, halves(200, 200)), 200, 200, 100, 100},
		"WebP lossy":              {testdata(t, "lossy.webp"), 320, 180, 100, 56},
		"WebP lossless":           {testdata(t, "lossless.webp"), 320, 180, 100, 56},
		"WebP transparent":        {testdata(t, "alpha.webp"), 320, 180, 100, 56},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			picture, err := ReadPicture(iotest.OneByteReader(bytes.NewReader(test.file)))
			if err != nil {
				t.Fatal(err)
			}
			if picture.Width != test.width || picture.Height != test.height {
				t.Errorf("%d x %d, want %d x %d", picture.Width, picture.Height, test.width, test.height)
			}
			size := decodeThumbnail(t, picture.Thumbnail).Bounds().Size()
			if size.X != test.thumbWidth || size.Y != test.thumbHigh {
				t.Errorf("a thumbnail of %v, want %d x %d", size, test.thumbWidth, test.thumbHigh)
			}
			if len(picture.Thumbnail) > 6<<10 {
				t.Errorf("a thumbnail of %d bytes", len(picture.Thumbnail))
			}
		})
	}
}

func TestReadPictureHonoursOrientation(t *testing.T) {
	t.Parallel()
	// A red corner at the top left tells all eight apart.
	img := image.NewNRGBA(image.Rect(0, 0, 80, 40))
	for y := range 40 {
		for x := range 80 {
			shade := color.NRGBA{B: 255, A: 255}
			if x < 40 && y < 20 {
				shade = color.NRGBA{R: 255, A: 255}
			}
			img.SetNRGBA(x, y, shade)
		}
	}
	file := encodeJPEG(t, img)
	type corner struct{ right, low bool }
	wants := map[uint16]corner{
		0: {}, 1: {}, 2: {right: true}, 3: {true, true}, 4: {low: true}, 5: {}, 6: {right: true}, 7: {true, true}, 8: {low: true}, 9: {},
	}
	for turn, want := range wants {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			picture, err := ReadPicture(bytes.NewReader(withOrientation(file, order, turn)))
			if err != nil {
				t.Fatal(err)
			}
			width, height := 80, 40
			if turn >= 5 && turn <= 8 {
				width, height = 40, 80
			}
			if picture.Width != width || picture.Height != height {
				t.Errorf("orientation %d: %d x %d", turn, picture.Width, picture.Height)
			}
			small := decodeThumbnail(t, picture.Thumbnail)
			if size := small.Bounds().Size(); size.X != width || size.Y != height {
				t.Errorf("orientation %d: a thumbnail of %v", turn, size)
			}
			for _, at := range []corner{{}, {right: true}, {low: true}, {true, true}} {
				x, y := width/4, height/4
				if at.right {
					x = 3 * width / 4
				}
				if at.low {
					y = 3 * height / 4
				}
				r, _, b, _ := small.At(x, y).RGBA()
				if red := r > b; red != (at == want) {
					t.Errorf("orientation %d: %+v is red: %v", turn, at, red)
				}
			}
		}
	}
}

func TestReadPictureMakesTransparencyWhite(t *testing.T) {
	t.Parallel()
	picture, err := ReadPicture(bytes.NewReader(encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 50, 50)))))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := decodeThumbnail(t, picture.Thumbnail).At(25, 25).RGBA(); min(r, g, b) < 0xf000 {
		t.Errorf("%x %x %x, want white", r, g, b)
	}
}

func TestReadPictureKeepsNoiseSmall(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	noise := image.NewNRGBA(image.Rect(0, 0, 100, 100))
	for i := range noise.Pix {
		noise.Pix[i] = byte(random.Uint32()) | byte(255*(i%4/3))
	}
	picture, err := ReadPicture(bytes.NewReader(encodePNG(t, noise)))
	if err != nil {
		t.Fatal(err)
	}
	if len(picture.Thumbnail) > 8<<10 {
		t.Errorf("a thumbnail of %d bytes", len(picture.Thumbnail))
	}
}

// Files whose header claims far more than is decoded: the size is told, there is
// no thumbnail, and little memory is taken.
func TestReadPictureTooLargeHasNoThumbnail(t *testing.T) {
	pngFile := encodePNG(t, halves(8, 8))
	binary.BigEndian.PutUint32(pngFile[16:], 60000)
	binary.BigEndian.PutUint32(pngFile[20:], 60000)
	binary.BigEndian.PutUint32(pngFile[29:], crc32.ChecksumIEEE(pngFile[12:29]))
	gifFile := encodeGIF(t, halves(8, 8))
	copy(gifFile[6:], "\x60\xea\x60\xea")
	jpegFile := encodeJPEG(t, halves(8, 8))
	frame := bytes.Index(jpegFile, []byte{0xff, 0xc0})
	copy(jpegFile[frame+5:], "\xea\x60\xea\x60")
	webpFile := testdata(t, "lossy.webp")
	mark := bytes.Index(webpFile, []byte{0x9d, 0x01, 0x2a})
	copy(webpFile[mark+3:], "\xff\x3f\xff\x3f")
	lossless := testdata(t, "lossless.webp")
	copy(lossless[21:], "\xff\xff\xff\xff")
	for name, test := range map[string]struct {
		file []byte
		side int
	}{
		"PNG": {pngFile, 60000}, "GIF": {gifFile, 60000}, "JPEG": {jpegFile, 60000}, "WebP": {webpFile, 16383}, "lossless WebP": {lossless, 16384},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		picture, err := ReadPicture(bytes.NewReader(test.file))
		runtime.ReadMemStats(&after)
		if err != nil || picture.Width != test.side || picture.Height != test.side || picture.Thumbnail != nil {
			t.Errorf("%s: %d x %d, a thumbnail of %d bytes, %v", name, picture.Width, picture.Height, len(picture.Thumbnail), err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("%s took %d bytes", name, took)
		}
	}
}

func TestReadPictureOfACamera(t *testing.T) {
	// 12 megapixels in 4:2:0, as phones take them, are within the limit.
	file := encodeJPEG(t, image.NewYCbCr(image.Rect(0, 0, 4032, 3024), image.YCbCrSubsampleRatio420))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	picture, err := ReadPicture(bytes.NewReader(file))
	runtime.ReadMemStats(&after)
	if err != nil || picture.Thumbnail == nil {
		t.Fatalf("no thumbnail, %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > maxDecoded+15<<20 {
		t.Errorf("took %d MiB", took>>20)
	}
}

func TestCostJPEG(t *testing.T) {
	t.Parallel()
	config := image.Config{Width: 320, Height: 320}
	area := int64(320 * 320)
	frame := func(marker byte, factors ...byte) []byte {
		content := []byte{8, 1, 64, 1, 64, byte(len(factors))}
		for i, factor := range factors {
			content = append(content, byte(i), factor, 0)
		}
		header := []byte{0xff, 0xd8, 0xff, marker}
		return append(binary.BigEndian.AppendUint16(header, uint16(2+len(content))), content...)
	}
	for name, test := range map[string]struct {
		header []byte
		want   int64
	}{
		"4:2:0":             {frame(0xc0, 0x22, 0x11, 0x11), area * 3 / 2},
		"4:4:4":             {frame(0xc0, 0x11, 0x11, 0x11), area * 3},
		"gray":              {frame(0xc0, 0x22), area},
		"progressive 4:2:0": {frame(0xc2, 0x22, 0x11, 0x11), 5 * area * 3 / 2},
		"CMYK":              {frame(0xc0, 0x11, 0x11, 0x11, 0x11), 8 * area},
		"no frame found":    {[]byte{0xff, 0xd8}, 20 * area},
	} {
		if got := costJPEG(test.header, config); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestReadPictureOfDamagedFiles(t *testing.T) {
	t.Parallel()
	file := encodeJPEG(t, halves(200, 100))
	picture, err := ReadPicture(bytes.NewReader(file[:len(file)/2+400]))
	if err != nil || picture.Width != 200 || picture.Thumbnail != nil {
		t.Errorf("cut in the middle: %d wide, %v", picture.Width, err)
	}
	picture, err = ReadPicture(bytes.NewReader(testdata(t, "animated.webp")))
	if err != nil || picture.Width != 320 || picture.Height != 180 || picture.Thumbnail != nil {
		t.Errorf("animated: %d x %d, %v", picture.Width, picture.Height, err)
	}
	for name, file := range map[string][]byte{
		"empty": nil, "text": []byte("no picture, but long enough to be one"), "cut in the header": file[:30],
		"WebP of nothing": []byte("RIFF\x04\x00\x00\x00WEBP"), "Opus": testdata(t, "silk-mono.ogg"),
	} {
		if _, err := ReadPicture(bytes.NewReader(file)); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadersTellAFaultFromAnUnknownFile(t *testing.T) {
	t.Parallel()
	broken := errors.New("the object store is gone")
	after := func(data []byte, n int) io.Reader {
		return io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken))
	}
	picture, voice, song := encodeJPEG(t, halves(200, 100)), testdata(t, "silk-mono.ogg"), testdata(t, "constant.mp3")
	for _, n := range []int{0, 5, 100, 500} {
		if _, err := ReadPicture(after(picture, n)); !errors.Is(err, broken) || errors.Is(err, ErrUnknown) {
			t.Errorf("picture after %d bytes: %v", n, err)
		}
		if _, err := ReadPicture(after(testdata(t, "lossy.webp"), n)); !errors.Is(err, broken) || errors.Is(err, ErrUnknown) {
			t.Errorf("WebP after %d bytes: %v", n, err)
		}
		if _, err := ReadVoice(after(voice, n)); !errors.Is(err, broken) || errors.Is(err, ErrUnknown) {
			t.Errorf("voice after %d bytes: %v", n, err)
		}
		if _, err := Duration(after(song, n)); !errors.Is(err, broken) || errors.Is(err, ErrUnknown) {
			t.Errorf("duration after %d bytes: %v", n, err)
		}
	}
}

func FuzzReadPicture(f *testing.F) {
	f.Add(encodeJPEG(f, halves(40, 20)))
	f.Add(withOrientation(encodeJPEG(f, halves(40, 20)), binary.LittleEndian, 6))
	f.Add(encodePNG(f, halves(40, 20)))
	f.Add(encodeGIF(f, halves(40, 20)))
	for _, name := range []string{"lossy.webp", "lossless.webp", "alpha.webp", "animated.webp"} {
		f.Add(testdata(f, name))
	}
	testfuzz.Run(f, func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		picture, err := ReadPicture(bytes.NewReader(data))
		runtime.ReadMemStats(&after)
		// What is allocated in all, garbage included, is more than what is held.
		if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
			t.Fatalf("took %d MiB", took>>20)
		}
		if err != nil {
			if !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			return
		}
		if picture.Width <= 0 || picture.Height <= 0 {
			t.Fatalf("%d x %d", picture.Width, picture.Height)
		}
		if picture.Thumbnail != nil {
			if _, err := jpeg.Decode(bytes.NewReader(picture.Thumbnail)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkReadPicture(b *testing.B) {
	file := encodeJPEG(b, image.NewYCbCr(image.Rect(0, 0, 4032, 3024), image.YCbCrSubsampleRatio420))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadPicture(bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}
