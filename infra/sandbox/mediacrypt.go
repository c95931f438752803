package sandbox

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/util/hkdfutil"
)

const (
	// macLength is how much of the HMAC follows a file's ciphertext (mediaHMACLength in whatsmeow's download.go).
	macLength = 10
	// cryptStep is how much of a file is in memory while it is encrypted or decrypted, in bytes; a multiple of the cipher's block.
	cryptStep = 64 << 10
)

// errBroken is a file that does not open with its key.
var errBroken = errors.New("the file does not match its key")

// fileKeys encrypt one file: AES-256-CBC, and an HMAC over the IV and the ciphertext (getMediaKeys in whatsmeow's download.go). whatsmeow
// does the same, but in memory or in temporary files, neither of which this program has to spare.
type fileKeys struct {
	block   cipher.Block
	iv, mac []byte
}

func keysOf(mediaKey []byte, class whatsmeow.MediaType) (fileKeys, error) {
	expanded := hkdfutil.SHA256(mediaKey, nil, []byte(class), 112)
	block, err := aes.NewCipher(expanded[16:48])
	if err != nil {
		return fileKeys{}, fmt.Errorf("make cipher: %w", err)
	}
	return fileKeys{block: block, iv: expanded[:16], mac: expanded[48:80]}, nil
}

// digest is what is known of a file that has passed.
type digest struct {
	size              int64 // of the plaintext, in bytes
	sha256, encSHA256 []byte
}

// seal encrypts src into dst, with the HMAC at the end.
func (k fileKeys) seal(dst io.Writer, src io.Reader) error {
	mac := hmac.New(sha256.New, k.mac)
	mac.Write(k.iv)
	out := io.MultiWriter(dst, mac)
	cbc := cipher.NewCBCEncrypter(k.block, k.iv)
	buf := make([]byte, cryptStep)
	for {
		n, err := io.ReadFull(src, buf)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return fmt.Errorf("read file: %w", err)
		}
		step := buf[:n]
		if end {
			pad := aes.BlockSize - n%aes.BlockSize
			step = append(step, bytes.Repeat([]byte{byte(pad)}, pad)...)
		}
		cbc.CryptBlocks(step, step)
		if _, err := out.Write(step); err != nil {
			return fmt.Errorf("write encrypted file: %w", err)
		}
		if end {
			if _, err := dst.Write(mac.Sum(nil)[:macLength]); err != nil {
				return fmt.Errorf("write encrypted file: %w", err)
			}
			return nil
		}
	}
}

// open decrypts src into dst. What it writes is proven to be right only when it returns; a file that is not ends in errBroken.
func (k fileKeys) open(dst io.Writer, src io.Reader) (digest, error) {
	plain, encrypted, mac := sha256.New(), sha256.New(), hmac.New(sha256.New, k.mac)
	mac.Write(k.iv)
	cbc := cipher.NewCBCDecrypter(k.block, k.iv)
	src = io.TeeReader(src, encrypted)
	out := io.MultiWriter(dst, plain)
	var size int64
	// The last block, which is padded, and the HMAC are known as such only at the end: so much is held back.
	const held = aes.BlockSize + macLength
	buf := make([]byte, 0, cryptStep+held)
	for end := false; !end; {
		var err error
		for len(buf) < cap(buf) && err == nil {
			var n int
			n, err = src.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+n]
		}
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return digest{}, fmt.Errorf("read encrypted file: %w", err)
		}
		step := buf[:max(0, (len(buf)-held)/aes.BlockSize*aes.BlockSize)]
		rest := buf[len(step):]
		if end {
			if len(buf) < held || (len(buf)-macLength)%aes.BlockSize != 0 {
				return digest{}, errBroken
			}
			step, rest = buf[:len(buf)-macLength], buf[len(buf)-macLength:]
		}
		mac.Write(step)
		if end && !hmac.Equal(mac.Sum(nil)[:macLength], rest) {
			return digest{}, errBroken
		}
		cbc.CryptBlocks(step, step)
		if end {
			pad := int(step[len(step)-1])
			if pad < 1 || pad > aes.BlockSize {
				return digest{}, errBroken
			}
			step = step[:len(step)-pad]
		}
		if _, err := out.Write(step); err != nil {
			return digest{}, fmt.Errorf("write file: %w", err)
		}
		size += int64(len(step))
		buf = buf[:copy(buf, rest)]
	}
	return digest{size: size, sha256: plain.Sum(nil), encSHA256: encrypted.Sum(nil)}, nil
}
