package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/mediainfo"
)

// groupPictureSide is how wide and high a picture of a group or an account is, in pixels, at most: WhatsApp's own apps upload 640.
const groupPictureSide = 640

// pictureCodes are the problems of every operation that sets a picture.
var pictureCodes = []Code{MediaNotFound, MediaExpired, MediaPending, MediaTooLarge, MediaFetchFailed, UnsupportedMediaType}

type setPicture struct {
	Media mediaSource `json:"media" doc:"A JPEG, PNG, GIF or WebP. Its middle is taken, as a square of at most 640 pixels."`
}

func (s *Server) addGroupPicture() {
	register(s, operation{
		method: "PUT", path: groupPath + "/picture", id: "set-group-picture", tag: "Groups", status: 200, also: queuedToo,
		wait: fetchTimeout + describeTimeout + groupWait, maxBody: maxMediaBody,
		summary: "Set a group's picture", description: "Gives the group a picture, in place of the one before. Where WhatsApp's answer was lost it is set again, which the group may see as a second change.",
		request: map[string]any{"media": map[string]string{"url": "https://example.com/house.jpg"}}, response: events.GroupPictured{GroupDone: exampleDone, PictureID: "1637427843"},
		codes: append(slices.Clone(groupChangeCodes), pictureCodes...),
	}, s.setGroupPicture)
	register(s, operation{
		method: "DELETE", path: groupPath + "/picture", id: "delete-group-picture", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Take a group's picture away", description: "The group has no picture from then on.",
		response: events.GroupPictured{GroupDone: exampleDone}, codes: groupChangeCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Changing
	}) (*changed[events.GroupPictured], error) {
		return onGroup(ctx, s, in.GroupPath, "", in.Changing, events.SetGroupPicture, events.GroupPicture{})
	})
}

func (s *Server) setGroupPicture(ctx context.Context, in *struct {
	GroupPath
	Changing
	Body setPicture
}) (*changed[events.GroupPictured], error) {
	id, err := groupID("path.groupId", in.GroupID)
	if err != nil {
		return nil, err
	}
	return pictured(ctx, s, in.SessionID, in.Changing, &in.Body.Media, events.SetGroupPicture, func(context.Context, *queue.Tx) (string, error) { return id, nil })
}

// pictured makes and keeps a picture, and accepts the change that sets it. target, called in the transaction that accepts it, is whose picture it is.
func pictured[R any](ctx context.Context, s *Server, sessionID string, in Changing, media *mediaSource, kind events.ChangeKind[events.GroupPicture, R],
	target func(context.Context, *queue.Tx) (string, error),
) (*changed[R], error) {
	if media.count() != 1 {
		return nil, invalid("body.media", "expected one of mediaId, url and base64")
	}
	if err := s.sendingAllowed(ctx, s.pool, sessionID); err != nil {
		return nil, err
	}
	picture, err := s.square(ctx, "body.media", *media)
	if err != nil {
		return nil, err
	}
	media.Base64 = ""
	callOf(ctx).releaseBody()
	kept := false
	out, err := change(ctx, s, sessionID, "", in, kind, func(ctx context.Context, tx *queue.Tx) (w wish[events.GroupPicture], err error) {
		id, err := target(ctx, tx)
		if err != nil {
			return w, err
		}
		row, err := s.keep(ctx, tx, picture)
		kept = err == nil
		return wish[events.GroupPicture]{id, id, events.GroupPicture{MediaID: &row.ID}}, err
	})
	if !kept {
		s.drop(ctx, picture)
	}
	return out, err
}

// square makes a picture fit to be a group's or an account's, and stores it.
func (s *Server) square(ctx context.Context, location string, from mediaSource) (*attachment, error) {
	a, err := s.take(ctx, location, from)
	if err != nil {
		return nil, err
	}
	defer s.drop(ctx, a)
	var made []byte
	limit, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	err = s.look(limit, a, func(r io.Reader) (err error) {
		made, err = mediainfo.Square(r, groupPictureSide)
		return err
	})
	switch {
	case errors.Is(err, mediainfo.ErrUnknown):
		return nil, problem(UnsupportedMediaType, "the file is no JPEG, PNG, GIF or WebP that can be read")
	case errors.Is(err, mediainfo.ErrTooLarge):
		return nil, problem(MediaTooLarge, "the picture has too many pixels; some 20 megapixels of JPEG or 8 of PNG are taken")
	case err != nil:
		return nil, fmt.Errorf("make picture: %w", err)
	}
	return s.save(ctx, bytes.NewReader(made), int64(len(made)), "image/jpeg", "")
}
