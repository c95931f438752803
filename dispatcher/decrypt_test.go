package dispatcher

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/util/cbcutil"
	"go.mau.fi/whatsmeow/util/hkdfutil"

	"github.com/chasqui/chasqui/infra/testfuzz"
)

// A sealed file is one as WhatsApp has it, with what a message says of it.
type sealed struct {
	kind                     string
	data, key, hash, encHash []byte
	size                     int64
}

var whatsAppKinds = map[string]whatsmeow.MediaType{
	"image": whatsmeow.MediaImage, "video": whatsmeow.MediaVideo, "audio": whatsmeow.MediaAudio, "document": whatsmeow.MediaDocument,
}

// encrypted encrypts as whatsmeow's Upload does, with its own functions.
func encrypted(t testing.TB, kind string, content []byte) sealed {
	t.Helper()
	key := bytes.Repeat([]byte{7}, 32)
	keys := hkdfutil.SHA256(key, nil, []byte(whatsAppKinds[kind]), 112)
	ciphertext, err := cbcutil.Encrypt(keys[16:48], keys[:16], content)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, keys[48:80])
	mac.Write(keys[:16])
	mac.Write(ciphertext)
	data := append(ciphertext, mac.Sum(nil)[:10]...)
	hash, encHash := sha256.Sum256(content), sha256.Sum256(data)
	return sealed{kind: kind, data: data, key: key, hash: hash[:], encHash: encHash[:], size: int64(len(content))}
}

func open(kind string, key, encHash []byte, data io.Reader) ([]byte, error) {
	d, err := newDecrypter(data, kind, key, encHash)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(d)
}

func noise(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(out) // never fails
	return out
}

func TestDecryptsWhatWhatsmeowEncrypts(t *testing.T) {
	t.Parallel()
	whole := func(r io.Reader) io.Reader { return r }
	for kind := range whatsAppKinds {
		for _, size := range []int{0, 1, 15, 16, 17, 31, 32, 1000, decryptChunk - 26, decryptChunk - 1, decryptChunk, decryptChunk + 1, decryptChunk + 26, 3*decryptChunk + 5} {
			content := noise(size)
			f := encrypted(t, kind, content)
			for name, in := range map[string]func(io.Reader) io.Reader{"whole": whole, "by halves": iotest.HalfReader, "byte by byte": iotest.OneByteReader, "the end with the data": iotest.DataErrReader} {
				if got, err := open(kind, f.key, f.encHash, in(bytes.NewReader(f.data))); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s of %d bytes, %s: %d bytes, %v", kind, size, name, len(got), err)
				}
			}
			d, err := newDecrypter(bytes.NewReader(f.data), kind, f.key, f.encHash)
			if err != nil {
				t.Fatal(err)
			}
			if size <= 1000 {
				if got, err := io.ReadAll(iotest.OneByteReader(d)); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s of %d bytes, read byte by byte: %d bytes, %v", kind, size, len(got), err)
				}
			}
		}
	}
}

func TestATruncatedFileIsCorrupt(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16, 40} {
		f := encrypted(t, "image", noise(size))
		for n := range f.data {
			cut := f.data[:n]
			own := sha256.Sum256(cut) // a sender may say that of it
			for name, hash := range map[string][]byte{"": f.encHash, " with its own hash": own[:]} {
				if _, err := open("image", f.key, hash, bytes.NewReader(cut)); !errors.Is(err, errCorrupt) {
					t.Errorf("%d of %d bytes%s: %v", n, len(f.data), name, err)
				}
			}
		}
		longer := append(bytes.Clone(f.data), 0)
		if _, err := open("image", f.key, f.encHash, bytes.NewReader(longer)); !errors.Is(err, errCorrupt) {
			t.Errorf("a byte too much: %v", err)
		}
	}
}

func TestAFlippedBitIsCorrupt(t *testing.T) {
	t.Parallel()
	f := encrypted(t, "document", noise(40))
	for bit := range len(f.data) * 8 {
		changed := bytes.Clone(f.data)
		changed[bit/8] ^= 1 << (bit % 8)
		own := sha256.Sum256(changed)
		for name, hash := range map[string][]byte{"": f.encHash, " with its own hash": own[:]} {
			if _, err := open("document", f.key, hash, bytes.NewReader(changed)); !errors.Is(err, errCorrupt) {
				t.Errorf("bit %d%s: %v", bit, name, err)
			}
		}
	}
}

func TestOtherKeysDecryptNothing(t *testing.T) {
	t.Parallel()
	f := encrypted(t, "image", noise(100))
	other := bytes.Repeat([]byte{8}, 32)
	for name, c := range map[string]struct {
		kind      string
		key, hash []byte
	}{
		"another kind": {"video", f.key, f.encHash}, "no kind": {"", f.key, f.encHash}, "another key": {"image", other, f.encHash}, "no key": {"image", nil, f.encHash},
		"a short key": {"image", f.key[:31], f.encHash}, "no hash": {"image", f.key, nil}, "another hash": {"image", f.key, f.hash},
	} {
		if _, err := open(c.kind, c.key, c.hash, bytes.NewReader(f.data)); !errors.Is(err, errCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What breaks off is no corrupt file: it is tried again.
	broken := errors.New("broken")
	if _, err := open("image", f.key, f.encHash, io.MultiReader(bytes.NewReader(f.data[:60]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("a source that breaks off: %v", err)
	}
}

func FuzzDecrypt(f *testing.F) {
	f.Add([]byte("content"), 3, byte(1))
	f.Add([]byte{}, 0, byte(0))
	f.Add(noise(64), 70, byte(128))
	testfuzz.Run(f, func(t *testing.T, content []byte, at int, change byte) {
		s := encrypted(t, "audio", content)
		data := s.data
		if at >= 0 && at < len(data) {
			data[at] ^= change
		} else {
			change = 0
		}
		hash := sha256.Sum256(data)
		got, err := open("audio", s.key, hash[:], iotest.HalfReader(bytes.NewReader(data)))
		if change == 0 && (err != nil || !bytes.Equal(got, content)) {
			t.Errorf("%d of %d bytes, %v", len(got), len(content), err)
		}
		if change != 0 && !errors.Is(err, errCorrupt) {
			t.Errorf("byte %d changed by %x: %v", at, change, err)
		}
		// Bytes that nobody encrypted: no panic, no success.
		raw := sha256.Sum256(content)
		if _, err := open("audio", s.key, raw[:], bytes.NewReader(content)); !errors.Is(err, errCorrupt) {
			t.Errorf("noise: %v", err)
		}
	})
}

// BenchmarkDecrypt is the decryption and checking of a 16 MiB file, as it streams by and as whatsmeow's Download does it in memory.
func BenchmarkDecrypt(b *testing.B) {
	f := encrypted(b, "document", noise(16<<20))
	b.Run("whatsmeow", func(b *testing.B) {
		b.SetBytes(f.size)
		b.ReportAllocs()
		keys := hkdfutil.SHA256(f.key, nil, []byte(whatsmeow.MediaDocument), 112)
		for b.Loop() {
			data := bytes.Clone(f.data) // what its io.ReadAll holds, at the least
			if sha256.Sum256(data) != [32]byte(f.encHash) {
				b.Fatal("another file")
			}
			file, sum := data[:len(data)-macSize], data[len(data)-macSize:]
			mac := hmac.New(sha256.New, keys[48:80])
			mac.Write(keys[:16])
			mac.Write(file)
			if !hmac.Equal(mac.Sum(nil)[:macSize], sum) {
				b.Fatal("another key")
			}
			content, err := cbcutil.Decrypt(keys[16:48], keys[:16], file)
			if err != nil || sha256.Sum256(content) != [32]byte(f.hash) {
				b.Fatal("another content")
			}
		}
	})
	b.Run("streamed", func(b *testing.B) {
		b.SetBytes(f.size)
		b.ReportAllocs()
		for b.Loop() {
			d, err := newDecrypter(bytes.NewReader(f.data), f.kind, f.key, f.encHash)
			if err != nil {
				b.Fatal(err)
			}
			hash := sha256.New()
			if _, err := io.Copy(hash, d); err != nil || !bytes.Equal(hash.Sum(nil), f.hash) {
				b.Fatal("another content")
			}
		}
	})
}
