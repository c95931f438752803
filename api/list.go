package api

import (
	"net/url"
	"strconv"
)

// Page is the query of a list.
type Page struct {
	Cursor string `query:"cursor" maxLength:"256" doc:"nextCursor of the page before." example:""`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"Items a page." example:"50"`
}

// rows is how many rows to read: one more than the page, which tells whether there are more.
func (p Page) rows() int32 { return int32(p.Limit) + 1 }

// List is a page of a list, newest first.
type List[T any] struct {
	Data       []T    `json:"data" doc:"The items, newest first."`
	NextCursor string `json:"nextCursor,omitempty" doc:"Pass it as cursor to read on; only there when hasMore is true."`
	HasMore    bool   `json:"hasMore" doc:"Whether older items follow."`
}

// listed is the answer of a list.
type listed[T any] struct {
	Link string `header:"Link" doc:"The next page, as RFC 8288 has it: <...>; rel=\"next\"."`
	Body List[T]
}

// paged makes the answer of a list from up to limit+1 rows: shape gives a row's public form, cursor the place after it. path and query are
// the request's own, for the Link.
func paged[R, T any](rows []R, limit int, path string, query url.Values, shape func(R) (T, error), cursor func(R) string) (*listed[T], error) {
	out := &listed[T]{}
	if out.Body.HasMore = len(rows) > limit; out.Body.HasMore {
		rows = rows[:limit]
		out.Body.NextCursor = cursor(rows[limit-1])
		out.Link = nextLink(path, query, "cursor", out.Body.NextCursor, limit)
	}
	out.Body.Data = make([]T, len(rows))
	for i, row := range rows {
		var err error
		if out.Body.Data[i], err = shape(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nextLink is a Link header to the next page, relative to the API.
func nextLink(path string, query url.Values, name, cursor string, limit int) string {
	query.Set(name, cursor)
	query.Set("limit", strconv.Itoa(limit))
	return "<" + path + "?" + query.Encode() + `>; rel="next"`
}
