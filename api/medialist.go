package api

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// mediaStatus is a status of a media.
type mediaStatus string

// mediaStatuses are all of them.
var mediaStatuses = []mediaStatus{"pending", "ready", "failed", "expired"}

// Schema lists the statuses.
func (mediaStatus) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Examples: []any{"ready"}, Description: "pending: on its way from WhatsApp. failed: it cannot be had. expired: its bytes are kept no more."}
	for _, status := range mediaStatuses {
		s.Enum = append(s.Enum, string(status))
	}
	return s
}

// mediaKind is what a file is, by its media type.
type mediaKind string

// mediaKinds are all of them.
var mediaKinds = []mediaKind{"image", "video", "audio", "document"}

// Schema lists the kinds.
func (mediaKind) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Examples: []any{"image"}, Description: "By the media type: image/*, stickers included, video/*, audio/*, and document for all else."}
	for _, kind := range mediaKinds {
		s.Enum = append(s.Enum, string(kind))
	}
	return s
}

func (s *Server) addMediaList() {
	register(s, operation{
		method: "GET", path: "/v1/media", id: "list-media", tag: "Media", status: 200,
		summary: "List files",
		description: "The files of messages that came in and those that were uploaded, newest first: what GET /v1/media/{mediaId} shows. A key for some sessions sees what their messages brought or send, and " +
			"what was uploaded with it.",
		response: List[MediaInfo]{Data: []MediaInfo{{Media: exampleFile, Status: "ready", CreatedAt: exampleTime}}},
	}, s.listMedia)
}

func (s *Server) listMedia(ctx context.Context, in *struct {
	Status    []mediaStatus   `query:"status" maxItems:"4" doc:"Only in these statuses, separated by commas."`
	Kind      []mediaKind     `query:"kind" maxItems:"4" doc:"Only of these kinds, separated by commas."`
	SessionID []sessionFilter `query:"sessionId" maxItems:"50" doc:"Only what messages of these sessions brought or send, separated by commas."`
	Page
}) (*listed[MediaInfo], error) {
	cursor, err := parseCursor(events.MediaPrefix, in.Cursor)
	if err != nil {
		return nil, err
	}
	before := *cmp.Or(cursor, &uuid.Max)
	statuses, kinds, sessions := distinct(in.Status, mediaStatuses), distinct(in.Kind, mediaKinds), callerOf(ctx).among(texts(in.SessionID))
	var ids []uuid.UUID
	if len(sessions) == 0 {
		ids, err = s.q.MediaPage(ctx, s.pool, statuses, kinds, before, in.rows())
	} else {
		p := db.MediaPageOfSessionsParams{Sessions: sessions, Statuses: statuses, Kinds: kinds, Before: before, MaxRows: in.rows()}
		if c := callerOf(ctx); len(in.SessionID) == 0 { // an upload is of no session
			p.UploadedBy = c.principal[:]
		}
		ids, err = s.q.MediaPageOfSessions(ctx, s.pool, p)
	}
	if err != nil {
		return nil, fmt.Errorf("list media: %w", err)
	}
	rows, err := s.q.MediaList(ctx, s.pool, ids[:min(len(ids), in.Limit)])
	if err != nil {
		return nil, fmt.Errorf("read listed media: %w", err)
	}
	infos := map[uuid.UUID]MediaInfo{}
	for _, row := range rows {
		if infos[row.ID], err = s.mediaInfo(row); err != nil {
			return nil, err
		}
	}
	query := url.Values{}
	for name, values := range map[string][]string{"status": texts(in.Status), "kind": texts(in.Kind), "sessionId": texts(in.SessionID)} {
		if len(values) > 0 {
			query.Set(name, strings.Join(values, ","))
		}
	}
	out, err := paged(ids, in.Limit, "/v1/media", query, func(id uuid.UUID) (MediaInfo, error) { return infos[id], nil }, events.MediaPrefix.Format)
	if err != nil {
		return nil, err
	}
	out.Body.Data = slices.DeleteFunc(out.Body.Data, func(m MediaInfo) bool { return m.ID == "" }) // deleted between the two queries
	return out, nil
}

// distinct are the values that were asked for, each once, or all of them.
func distinct[T ~string](asked, all []T) []string {
	if len(asked) == 0 {
		asked = all
	}
	values := texts(asked)
	slices.Sort(values)
	return slices.Compact(values)
}
