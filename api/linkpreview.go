package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/mediainfo"
)

const (
	// previewTimeout bounds the fetching of a preview with its picture: a sender waits for it.
	previewTimeout = 5 * time.Second
	// maxPage bounds what is read of a page, in bytes. What is looked for stands in its head, which some fill with half a megabyte of scripts.
	maxPage = 1 << 20
	// maxPreviewImage bounds the picture of a preview, in bytes. It is made some kilobytes.
	maxPreviewImage = 5 << 20
	// maxTag bounds one tag of a page; a picture written into an attribute takes more, and ends the reading.
	maxTag = 64 << 10
	// previews bounds the previews that are fetched at once: each may hold a picture.
	previews = 16
	// maxPreviewTitle and maxPreviewText bound what a page says of itself, in characters; apps show one line and two.
	maxPreviewTitle, maxPreviewText = 300, 1000
)

// link finds a link in a text, up to what cannot be part of it.
var link = regexp.MustCompile("(?i)\\bhttps?://[^\\s<>\"'`{}|\\\\^]+")

// firstLink is the first link in a text, without the punctuation that follows it, or "".
func firstLink(text string) string {
	found := strings.TrimRight(link.FindString(text), ".,;:!?*_~")
	for strings.HasSuffix(found, ")") && !strings.Contains(found, "(") || strings.HasSuffix(found, "]") && !strings.Contains(found, "[") {
		found = strings.TrimRight(found[:len(found)-1], ".,;:!?*_~")
	}
	return found
}

// preview reads what the page of the first link in a text says of itself; nil where there is nothing to show. Every socket is checked by the
// guard, those of redirects and of the picture too.
//
// Failure policy: whatever goes wrong, the text goes out without a preview, after 5 seconds at most.
func (s *Server) preview(ctx context.Context, text string) (*events.LinkPreview, []byte) {
	address := firstLink(text)
	if address == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	select {
	case s.previewing <- struct{}{}:
		defer func() { <-s.previewing }()
	case <-ctx.Done():
		return nil, nil
	}
	page, err := s.readPage(ctx, address)
	if err != nil || page.title == "" { // not logged: the link is part of a message's text
		return nil, nil
	}
	p := &events.LinkPreview{URL: address, Title: page.title, Description: page.description}
	if page.image == "" {
		return p, nil
	}
	image, err := s.readLimited(ctx, page.image, "image/", maxPreviewImage)
	if err != nil {
		return p, nil
	}
	return p, s.shrunk(ctx, image)
}

// page is what a page says of itself.
type page struct{ title, description, image string }

// readLimited fetches a file into memory.
func (s *Server) readLimited(ctx context.Context, address, wanted string, limit int64) ([]byte, error) {
	answer, err := s.get(ctx, address, wanted)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return limited(answer.Body, limit)
}

var errTooLong = errors.New("it is too large")

func limited(r io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = errTooLong
	}
	return content, err
}

func (s *Server) readPage(ctx context.Context, address string) (page, error) {
	answer, err := s.get(ctx, address, "text/html")
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	body, err := charset.NewReader(io.LimitReader(answer.Body, maxPage), answer.Header.Get("Content-Type"))
	if err != nil {
		return page{}, err
	}
	return describePage(body, answer.Request.URL), nil
}

// describePage reads the head of a page: the tags of the Open Graph protocol, else its title and description. What cannot be read ends it.
func describePage(r io.Reader, base *url.URL) (p page) {
	tokens := html.NewTokenizer(r)
	tokens.SetMaxBuf(maxTag)
	said := map[string]string{} // by name; the first counts
	title, inTitle := "", false
	for reading := true; reading; {
		switch tokens.Next() {
		case html.ErrorToken:
			reading = false
		case html.TextToken:
			if inTitle {
				title += string(tokens.Text())
			}
		case html.EndTagToken:
			name, _ := tokens.TagName()
			inTitle = false
			reading = string(name) != "head"
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := tokens.TagName()
			switch string(name) {
			case "body":
				reading = false
			case "title":
				inTitle = title == ""
			case "meta":
				var what, value string
				for more {
					var key, text []byte
					key, text, more = tokens.TagAttr()
					switch string(key) {
					case "property", "name":
						what = strings.ToLower(string(text))
					case "content":
						value = string(text)
					}
				}
				if said[what] == "" {
					said[what] = value
				}
			}
		}
	}
	p.title, p.description = oneLine(said["og:title"], maxPreviewTitle), oneLine(said["og:description"], maxPreviewText)
	if p.title == "" {
		p.title = oneLine(title, maxPreviewTitle)
	}
	if p.description == "" {
		p.description = oneLine(said["description"], maxPreviewText)
	}
	if image, err := base.Parse(strings.TrimSpace(said["og:image"])); err == nil && said["og:image"] != "" {
		p.image = image.String()
	}
	return p
}

// oneLine makes what a page says a text of one line that can be stored.
func oneLine(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return firstRunes(strings.Join(strings.Fields(text), " "), n)
}

// previewImage makes the picture of a preview that was given small.
func (s *Server) previewImage(ctx context.Context, location string, from mediaSource) ([]byte, error) {
	select {
	case s.previewing <- struct{}{}:
		defer func() { <-s.previewing }()
	case <-time.After(s.limits.stall):
		return nil, problem(Unavailable, "too many previews are being made at once")
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for room to make a preview: %w", ctx.Err())
	}
	content, err := s.previewBytes(ctx, location, from)
	if errors.Is(err, errTooLong) {
		return nil, problem(MediaTooLarge, fmt.Sprintf("the picture of a preview has %d bytes at most", maxPreviewImage))
	}
	if err != nil {
		return nil, err
	}
	thumbnail := s.shrunk(ctx, content)
	if thumbnail == nil {
		return nil, problem(UnsupportedMediaType, "the picture of a preview must be a JPEG, PNG, GIF or WebP that is not too large")
	}
	return thumbnail, nil
}

func (s *Server) previewBytes(ctx context.Context, location string, from mediaSource) ([]byte, error) {
	switch {
	case from.MediaID != "":
		m, err := s.readyMedia(ctx, from.MediaID)
		if err != nil {
			return nil, err
		}
		body, err := s.store.Open(ctx, m.Object, 0, -1)
		if err != nil {
			return nil, fmt.Errorf("open picture of preview: %w", err)
		}
		defer body.Close()
		return limited(body, maxPreviewImage)
	case from.URL != "":
		ctx, cancel := context.WithTimeout(ctx, previewTimeout)
		defer cancel()
		content, err := s.readLimited(ctx, from.URL, "", maxPreviewImage)
		if err != nil && !errors.Is(err, errTooLong) {
			return nil, fetchFailed(ctx, previewTimeout, location+".url", "the picture of the preview", err)
		}
		return content, err
	default:
		text := from.Base64
		if rest, ok := strings.CutPrefix(text, "data:"); ok {
			_, text, _ = strings.Cut(rest, ";base64,")
		}
		content, err := limited(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)), maxPreviewImage)
		if err != nil && !errors.Is(err, errTooLong) {
			return nil, invalid(location+".base64", "expected standard base64 with its padding, or a data URL of it")
		}
		return content, err
	}
}

// shrunk makes a picture a thumbnail; nil where it cannot be read.
func (s *Server) shrunk(ctx context.Context, content []byte) []byte {
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return nil
	}
	picture, err := mediainfo.ReadPicture(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	return picture.Thumbnail
}
