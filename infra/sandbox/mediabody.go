package sandbox

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxMessageBody bounds a message's body with its file in base64, in bytes; without the file it may have maxBody.
const maxMessageBody = 96 << 20

// messageBody reads a JSON object and takes the string of its member "data" out of it, which it decodes from base64 as it comes: a file is
// never in memory. What is read from it is the object with an empty string there.
type messageBody struct {
	src  *bufio.Reader
	open func() (io.Writer, error) // called at the first "data"
	err  error                     // of open and of the writer: the sandbox's own trouble

	read      int64 // bytes of the object without the file
	depth     int
	inString  bool
	escaped   bool
	expectKey bool // the next string at depth 1 is a member's name
	inKey     bool
	key       []byte
	found     bool // "data" was there
	closing   bool // the quotation mark that closes the empty string is to be read next
}

func newMessageBody(src io.Reader, open func() (io.Writer, error)) *messageBody {
	return &messageBody{src: bufio.NewReaderSize(src, 32<<10), open: open}
}

// Read implements io.Reader.
func (b *messageBody) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if b.closing {
			b.closing = false
			p[n] = '"'
			n++
			continue
		}
		c, err := b.src.ReadByte()
		if err != nil {
			return n, err
		}
		if b.read++; b.read > maxBody {
			return n, &http.MaxBytesError{Limit: maxBody}
		}
		p[n] = c
		n++
		if b.inString {
			b.inside(c)
		} else if err := b.outside(c); err != nil {
			return n, err
		}
	}
	return n, nil
}

// inside follows a string.
func (b *messageBody) inside(c byte) {
	switch {
	case b.escaped:
		b.escaped = false
	case c == '\\':
		b.escaped = true
	case c == '"':
		b.inString, b.inKey = false, false
		return
	}
	if b.inKey && len(b.key) < 8 {
		b.key = append(b.key, c)
	}
}

// outside follows what is between strings.
func (b *messageBody) outside(c byte) error {
	switch c {
	case '{', '[':
		b.depth++
		b.expectKey = c == '{' && b.depth == 1
	case '}', ']':
		b.depth--
	case ',':
		b.expectKey = b.depth == 1
	case '"':
		if b.depth == 1 && !b.expectKey && string(b.key) == "data" {
			b.closing = true
			return b.decode()
		}
		b.inString = true
		if b.inKey = b.depth == 1 && b.expectKey; b.inKey {
			b.key, b.expectKey = b.key[:0], false
		}
	}
	return nil
}

// decode takes the string whose opening quotation mark was read.
func (b *messageBody) decode() error {
	if b.found {
		return failure(http.StatusBadRequest, "data is there twice")
	}
	b.found = true
	var w io.Writer
	if w, b.err = b.open(); b.err != nil {
		return b.err
	}
	text, padded := make([]byte, 0, 32<<10), false // a multiple of the 4 characters that make 3 bytes
	plain := make([]byte, 24<<10)
	flush := func() error {
		n, err := base64.StdEncoding.Decode(plain, text)
		if err != nil || padded && n > 0 {
			return failure(http.StatusUnprocessableEntity, "data is not base64, of the standard alphabet and with its padding")
		}
		padded = n < len(text)/4*3
		text = text[:0]
		if _, b.err = w.Write(plain[:n]); b.err != nil {
			return b.err
		}
		return nil
	}
	for {
		c, err := b.src.ReadByte()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read data: %w", err)
		}
		switch c {
		case '"':
			return flush()
		case '\\': // some encoders escape the slash
			if c, err = b.src.ReadByte(); err != nil || c != '/' {
				return failure(http.StatusUnprocessableEntity, "data has an escape sequence that base64 has no use for")
			}
		}
		if text = append(text, c); len(text) == cap(text) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}
