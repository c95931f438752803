package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"golang.org/x/image/draw"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// pictureHost serves profile pictures, unencrypted.
	pictureHost = "pps.whatsapp.net"
	// largestPicture bounds a picture in bytes, and longestPictureSide in pixels; clients scale theirs to 640 before they send it (Baileys).
	largestPicture, longestPictureSide = 2 << 20, 4096
	// previewSide is the preview's longer side in pixels.
	previewSide = 96
	// pictureLife is how long a URL is good. WhatsApp's end too, after how long is not known.
	pictureLife = 7 * 24 * time.Hour
	// renewAfter is the age at which a picture's blobs are written again, since blobs that nobody renews are swept after blobLife.
	renewAfter = blobLife / 2
)

// picture is what an account or a group shows: a record "picture", under the phone number or the group's JID. It is replaced, never changed.
type picture struct {
	ID      string `json:"id"`      // digits, rising with each change
	Image   []byte `json:"image"`   // the SHA-256 of the blob, a JPEG
	Preview []byte `json:"preview"` // and of the small one
	KeptAt  int64  `json:"keptAt"`  // when the blobs were last written, in unix seconds
}

func registerPictures(r *registry) {
	r.queries[query{"w:profile:picture", "get", ""}] = handlePictureGet
	r.queries[query{"w:profile:picture", "set", ""}] = handlePictureSet
	r.loaders["picture"] = func(s *Server, rec journal.Record) error {
		p := &picture{}
		s.picture[rec.Key] = p
		return json.Unmarshal(rec.Value, p)
	}
}

// pictureKey is where the picture of an account or a group is kept.
func (s *Server) pictureKey(target types.JID) (key string, owner *account) {
	if target.Server == types.GroupServer {
		return target.String(), nil
	}
	if owner = s.user(target); owner != nil {
		return owner.keys.Phone, owner
	}
	return "", nil
}

// pictureTarget is whose picture a query is about: its target, else the recipient where that is not the server (old clients), else oneself.
func (c *conn) pictureTarget(iq *waBinary.Node) types.JID {
	if target, ok := iq.Attrs["target"].(types.JID); ok && !target.IsEmpty() {
		return target
	}
	if to, ok := iq.Attrs["to"].(types.JID); ok && to.User != "" {
		return to
	}
	return c.device.account.pn()
}

// handlePictureGet tells where a picture is. Hidden by a privacy setting it is 401, absent 404, and 304 as the status of one that the client
// has (GetProfilePictureInfo in user.go).
func handlePictureGet(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, viewer := c.s, c.device.account
	target, wanted := c.pictureTarget(iq), iq.GetChildByTag("picture")
	key, owner := s.pictureKey(target)
	if key == "" {
		return nil, errItemNotFound
	}
	if owner == nil {
		if err := s.maySeePicture(viewer, target, attr(&wanted, "invite")); err != nil {
			return nil, err
		}
	}
	s.mu.RLock()
	p, hidden := s.picture[key], owner != nil && !owner.shows("profile", viewer)
	s.mu.RUnlock()
	if hidden {
		return nil, errNotAuthorized
	}
	if p == nil {
		return nil, errItemNotFound
	}
	return []waBinary.Node{s.pictureNode(p, attr(&wanted, "type"), attr(&wanted, "id"))}, nil
}

// pictureNode tells where a picture of a type (image or preview) is, to a client that has the one with the id known, if any.
func (s *Server) pictureNode(p *picture, kind, known string) waBinary.Node {
	if known == p.ID {
		return waBinary.Node{Tag: "picture", Attrs: waBinary.Attrs{"status": http.StatusNotModified}}
	}
	sum := p.Image
	if kind == "preview" {
		sum = p.Preview
	} else {
		kind = "image"
	}
	until := strconv.FormatInt(time.Now().Add(pictureLife).Unix(), 16)
	path := "/v/t61.24694-24/" + hex.EncodeToString(sum) + "_n.jpg?ccb=11-4&oh=" + s.pictureProof(sum, until) + "&oe=" + until
	return waBinary.Node{Tag: "picture", Attrs: waBinary.Attrs{
		"id": p.ID, "type": kind, "url": "https://" + pictureHost + path, "direct_path": path, "hash": base64.StdEncoding.EncodeToString(sum),
	}}
}

// pictureProof lets a URL be read until a time, so that knowing a hash is not enough.
func (s *Server) pictureProof(sum []byte, until string) string {
	mac := hmac.New(sha256.New, []byte(s.seed))
	fmt.Fprintf(mac, "picture %x %s", sum, until)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// servePicture answers with a JPEG; 403 is what an expired URL gets from WhatsApp's servers too.
func (s *Server) servePicture(w http.ResponseWriter, r *http.Request, t transfer) {
	name, found := strings.CutSuffix(r.PathValue("name"), "_n.jpg")
	sum, err := hex.DecodeString(name)
	if !found || err != nil || len(sum) != sha256.Size {
		http.Error(w, "there is no such picture", http.StatusNotFound)
		return
	}
	until := r.URL.Query().Get("oe")
	seconds, err := strconv.ParseInt(until, 16, 64)
	if err != nil || time.Now().Unix() > seconds || !hmac.Equal([]byte(r.URL.Query().Get("oh")), []byte(s.pictureProof(sum, until))) {
		http.Error(w, "URL signature expired", http.StatusForbidden)
		return
	}
	blob, err := s.journal.OpenBlob(r.Context(), sum)
	if err != nil {
		s.noBlob(w, r, "picture", err)
		return
	}
	_ = t.net.SetWriteDeadline(time.Now().Add(stallTime)) // at most largestPicture bytes
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("ETag", `"`+name+`"`)
	http.ServeContent(w, r, "", time.Time{}, blob)
}

// handlePictureSet changes or removes a picture. What is no JPEG is 406 (SetGroupPhoto in group.go).
func handlePictureSet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a := c.s, c.device.account
	target := c.pictureTarget(iq)
	key, owner := s.pictureKey(target)
	switch {
	case key == "":
		return nil, errItemNotFound
	case owner != nil && owner != a:
		return nil, errForbidden
	case owner == nil:
		if err := s.mayEditPicture(a, target); err != nil {
			return nil, err
		}
	}
	var body []byte
	for _, p := range iq.GetChildrenByTag("picture") {
		if kind := attr(&p, "type"); kind == "image" || kind == "" {
			body = content(p)
		}
	}
	if body == nil {
		return nil, c.setPicture(ctx, key, target, nil)
	}
	p, err := s.storePicture(ctx, body)
	if err != nil {
		return nil, err
	}
	if err := c.setPicture(ctx, key, target, p); err != nil {
		return nil, err
	}
	return []waBinary.Node{{Tag: "picture", Attrs: waBinary.Attrs{"id": p.ID}}}, nil
}

// setPicture gives a picture its id, makes it the one that is shown, and tells who is to know.
func (c *conn) setPicture(ctx context.Context, key string, target types.JID, p *picture) error {
	s, a := c.s, c.device.account
	s.picturing.Lock()
	defer s.picturing.Unlock()
	s.mu.RLock()
	old := s.picture[key]
	s.mu.RUnlock()
	if old == nil && p == nil {
		return nil
	}
	change, rec := waBinary.Node{Tag: "delete", Attrs: waBinary.Attrs{}}, journal.Record{Kind: "picture", Key: key}
	if p != nil {
		id := time.Now().Unix()
		if old != nil {
			if before, err := strconv.ParseInt(old.ID, 10, 64); err == nil {
				id = max(id, before+1)
			}
		}
		p.ID = strconv.FormatInt(id, 10)
		change.Tag, change.Attrs["id"] = "set", p.ID
		rec = record("picture", key, p)
	}
	var notices []queued
	if target.Server == types.GroupServer {
		change.Attrs["jid"], change.Attrs["author"] = target, a.lid()
		notices = s.groupPictureNotices(c.device, target, change)
	} else {
		change.Attrs["jid"] = a.pn()
		own := waBinary.Node{Tag: "picture", Attrs: change.Attrs} // handleAccountSyncNotification only says that it changed
		notices = append(s.tellOwn(a, c.device, notification(a.pn(), "account_sync", own)),
			s.tellOthers(a, "profile", notification(a.pn(), "picture", change))...)
	}
	if err := s.commit(ctx, []journal.Record{rec}, notices); err != nil {
		return fmt.Errorf("store picture: %w", err)
	}
	s.mu.Lock()
	if p == nil {
		delete(s.picture, key)
	} else {
		s.picture[key] = p
	}
	s.mu.Unlock()
	return nil
}

// storePicture stores a JPEG and a preview of it as blobs.
func (s *Server) storePicture(ctx context.Context, body []byte) (*picture, error) {
	notJPEG := queryError{406, "not-acceptable"}
	if len(body) > largestPicture {
		return nil, notJPEG
	}
	config, err := jpeg.DecodeConfig(bytes.NewReader(body))
	if err != nil || config.Width > longestPictureSide || config.Height > longestPictureSide || config.Width*config.Height == 0 {
		return nil, notJPEG
	}
	full, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		return nil, notJPEG
	}
	side := max(config.Width, config.Height, previewSide)
	small := image.NewRGBA(image.Rect(0, 0, max(config.Width*previewSide/side, 1), max(config.Height*previewSide/side, 1)))
	draw.ApproxBiLinear.Scale(small, small.Bounds(), full, full.Bounds(), draw.Src, nil)
	var preview bytes.Buffer
	if err := jpeg.Encode(&preview, small, nil); err != nil {
		return nil, fmt.Errorf("encode preview: %w", err)
	}
	p := &picture{KeptAt: time.Now().Unix()}
	if p.Image, err = s.putBlob(ctx, bytes.NewReader(body)); err != nil {
		return nil, err
	}
	if p.Preview, err = s.putBlob(ctx, &preview); err != nil {
		return nil, err
	}
	return p, nil
}

// putBlob stores a blob and returns its hash.
func (s *Server) putBlob(ctx context.Context, body io.Reader) ([]byte, error) {
	blob, err := s.journal.CreateBlob(ctx)
	if err != nil {
		return nil, err
	}
	defer blob.Discard()
	if _, err := io.Copy(blob, body); err != nil {
		return nil, fmt.Errorf("store picture: %w", err)
	}
	return blob.SHA256(), blob.Commit()
}

// renewPictures writes the blobs of pictures again that the sweep would take soon. Failure policy: the first error ends it, and the next
// sweep tries again; there are as many as blobLife-renewAfter has hours.
func (s *Server) renewPictures(ctx context.Context) error {
	s.picturing.Lock()
	defer s.picturing.Unlock()
	due := time.Now().Add(-renewAfter).Unix()
	old := map[string]*picture{}
	s.mu.RLock()
	for key, p := range s.picture {
		if p.KeptAt < due {
			old[key] = p
		}
	}
	s.mu.RUnlock()
	for key, p := range old {
		for _, sum := range [][]byte{p.Image, p.Preview} {
			blob, err := s.journal.OpenBlob(ctx, sum)
			if err != nil {
				return fmt.Errorf("renew picture: %w", err)
			}
			if _, err := s.putBlob(ctx, blob); err != nil {
				return fmt.Errorf("renew picture: %w", err)
			}
		}
		kept := *p
		kept.KeptAt = time.Now().Unix()
		if err := s.commit(ctx, []journal.Record{record("picture", key, kept)}, nil); err != nil {
			return fmt.Errorf("renew picture: %w", err)
		}
		s.mu.Lock()
		s.picture[key] = &kept
		s.mu.Unlock()
	}
	return nil
}
