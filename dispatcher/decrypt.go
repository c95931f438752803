package dispatcher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"
)

const (
	// macSize is the length of the HMAC at the end of an encrypted file (whatsmeow download.go, mediaHMACLength).
	macSize = 10
	// decryptChunk is how much is decrypted at once.
	decryptChunk = 64 << 10
)

// errCorrupt says that an encrypted file is not what its message described: cut off, changed, or of another key.
var errCorrupt = errors.New("the file does not match its message's keys and hashes")

// keyInfo names the kinds of media in the derivation of their keys (whatsmeow download.go, MediaType). Stickers are images there.
var keyInfo = map[string]string{
	"image": "WhatsApp Image Keys", "video": "WhatsApp Video Keys", "audio": "WhatsApp Audio Keys", "document": "WhatsApp Document Keys",
}

// decrypter reads the content of one of WhatsApp's encrypted files as it streams by: AES-256-CBC with PKCS#7 padding, then 10 bytes of
// HMAC-SHA256 over IV and ciphertext (whatsmeow download.go, getMediaKeys and validateMedia). It holds back the last block and the HMAC
// until the end has been seen, and returns io.EOF only when HMAC, padding and the hash of the whole are right: up to there what was read is
// not to be trusted.
type decrypter struct {
	src       io.Reader
	block     cipher.BlockMode
	mac       hash.Hash
	encrypted hash.Hash
	want      []byte // hash of the encrypted file
	buffer    []byte // encrypted bytes not decrypted yet
	decrypted []byte // the blocks that were decrypted last, in the same memory each time
	plain     []byte // those of their bytes that have not been read yet
	err       error
}

// newDecrypter returns a reader of the content. mediaKey has 32 bytes and encSHA256 is the hash of the encrypted file.
func newDecrypter(src io.Reader, kind string, mediaKey, encSHA256 []byte) (*decrypter, error) {
	info, ok := keyInfo[kind]
	if !ok || len(mediaKey) != 32 {
		return nil, fmt.Errorf("decrypt a file of kind %q with a key of %d bytes: %w", kind, len(mediaKey), errCorrupt)
	}
	keys, err := hkdf.Key(sha256.New, mediaKey, nil, info, 112)
	if err != nil {
		return nil, fmt.Errorf("derive media keys: %w", err)
	}
	iv, cipherKey, macKey := keys[:16], keys[16:48], keys[48:80]
	block, err := aes.NewCipher(cipherKey)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	d := &decrypter{
		src: src, block: cipher.NewCBCDecrypter(block, iv), mac: hmac.New(sha256.New, macKey), encrypted: sha256.New(), want: encSHA256,
		buffer: make([]byte, 0, decryptChunk+aes.BlockSize+macSize), decrypted: make([]byte, 0, decryptChunk+aes.BlockSize+macSize),
	}
	d.mac.Write(iv)
	return d, nil
}

// Read implements io.Reader.
func (d *decrypter) Read(p []byte) (int, error) {
	for len(d.plain) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.plain)
	d.plain = d.plain[n:]
	return n, nil
}

// fill reads on and decrypts what is surely not the end. The bytes that plain pointed to have been read.
func (d *decrypter) fill() {
	n, err := d.src.Read(d.buffer[len(d.buffer):cap(d.buffer)])
	d.encrypted.Write(d.buffer[len(d.buffer) : len(d.buffer)+n])
	d.buffer = d.buffer[:len(d.buffer)+n]
	switch {
	case errors.Is(err, io.EOF):
		d.finish()
		return
	case err != nil:
		d.err = err
		return
	}
	ready := (len(d.buffer) - macSize - aes.BlockSize) / aes.BlockSize * aes.BlockSize
	if ready <= 0 {
		return
	}
	d.plain = d.decrypt(d.buffer[:ready])
	d.buffer = d.buffer[:copy(d.buffer, d.buffer[ready:])]
}

// decrypt returns the content of whole blocks, which is good until the next call.
func (d *decrypter) decrypt(blocks []byte) []byte {
	d.mac.Write(blocks)
	d.decrypted = append(d.decrypted[:0], blocks...)
	d.block.CryptBlocks(d.decrypted, d.decrypted)
	return d.decrypted
}

// finish takes the last block and checks everything.
func (d *decrypter) finish() {
	d.err = errCorrupt
	rest := len(d.buffer) - macSize
	if rest < aes.BlockSize || rest%aes.BlockSize != 0 || subtle.ConstantTimeCompare(d.encrypted.Sum(nil), d.want) != 1 {
		return
	}
	plain := d.decrypt(d.buffer[:rest])
	if !hmac.Equal(d.mac.Sum(nil)[:macSize], d.buffer[rest:]) {
		return
	}
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		return
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return
		}
	}
	d.plain, d.err = plain[:len(plain)-padding], io.EOF
}
