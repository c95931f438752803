package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// sent writes messages of a session that send a file.
func (f *fixture) sent(session, media string, times int) {
	f.t.Helper()
	id, err := events.MediaPrefix.Parse(media)
	if err != nil {
		f.t.Fatal(err)
	}
	for range times {
		message := events.NewID()
		f.exec(`INSERT INTO messages (id, session_id, chat_id, whatsapp_id, direction, status, type, content, timestamp, media_id)
			VALUES ($1, $2, 'a', $3, 'outgoing', 'sent', 'image', '{}', now(), $4)`, message, session, message.String(), id)
	}
}

// listed reads a list of media page by page.
func (f *fixture) listedMedia(query, key string) (ids []string) {
	f.t.Helper()
	path := "/v1/media?limit=2&" + query
	for {
		var page List[MediaInfo]
		a := f.must(200, &page, "GET", path, nil, "X-API-Key", key)
		for _, m := range page.Data {
			ids = append(ids, m.ID)
		}
		if !page.HasMore {
			return ids
		}
		if len(page.Data) != 2 {
			f.t.Fatalf("a page of %d with more behind it", len(page.Data))
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	}
}

func TestMediaList(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.session("support")
	image, video, text := f.upload("image/png", "an image"), f.upload("Video/MP4", "a video"), f.upload("text/plain", "a text")
	_, received := f.pending("sales", "received")
	theirs, failed := f.pending("support", "of support")
	f.exec(`UPDATE media SET status = 'failed', error_code = 'x', error_message = 'it is gone', mimetype = 'audio/ogg' WHERE id = $1`, theirs)
	f.sent("sales", image.ID, 3)
	f.sent("sales", text.ID, 1)
	f.sent("support", video.ID, 1)
	f.sent("support", image.ID, 1)
	for query, want := range map[string][]string{
		"":                                {failed, received, text.ID, video.ID, image.ID},
		"status=ready":                    {text.ID, video.ID, image.ID},
		"status=ready,ready":              {text.ID, video.ID, image.ID},
		"status=pending,failed":           {failed, received},
		"kind=image":                      {received, image.ID},
		"kind=video":                      {video.ID},
		"kind=audio,document":             {failed, text.ID},
		"kind=image&status=ready":         {image.ID},
		"kind=video&status=failed":        nil,
		"sessionId=sales":                 {received, text.ID, image.ID},
		"sessionId=support":               {failed, video.ID, image.ID},
		"sessionId=sales,support":         {failed, received, text.ID, video.ID, image.ID},
		"sessionId=sales&kind=image":      {received, image.ID},
		"sessionId=sales&status=ready":    {text.ID, image.ID},
		"sessionId=support&status=failed": {failed},
		"sessionId=nobody":                nil,
	} {
		if got := f.listedMedia(query, testKey); !slices.Equal(got, want) {
			t.Errorf("?%s: %v, want %v", query, got, want)
		}
	}
	var page List[MediaInfo]
	f.must(200, &page, "GET", "/v1/media?status=failed", nil)
	if m := page.Data[0]; m.SessionID != "support" || m.Error == nil || m.Error.Code != "x" || m.URL == "" || m.CreatedAt.IsZero() {
		t.Errorf("listed %+v", m)
	}
	for _, query := range []string{"status=lost", "kind=sticker", "cursor=x", "limit=201", "sessionId=a%20b", "mimetype=image/png"} {
		f.problem(f.do("GET", "/v1/media?"+query, nil), ValidationFailed)
	}
}

// TestAKeyListsTheMediaThatItSees holds the list against what GET of each file says.
func TestAKeyListsTheMediaThatItSees(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.session("support")
	mine, _ := f.key(map[string]any{"scopes": []string{"read", "send"}, "sessions": []string{"sales", "later"}})
	another, _ := f.key(map[string]any{"scopes": []string{"read", "send"}, "sessions": []string{"sales"}})
	var all []string
	for i, key := range []string{testKey, mine, another} {
		for _, session := range []string{"", "sales", "support"} {
			var info MediaInfo
			body := form(part{"file", "; filename=\"f\"\r\nContent-Type: image/png", fmt.Sprint(i, session)})
			f.must(201, &info, "POST", "/v1/media", body, append([]string{"X-API-Key", key}, multipartType...)...)
			if all = append(all, info.ID); session != "" {
				f.sent(session, info.ID, 2)
			}
		}
	}
	for _, session := range []string{"sales", "support", "sales"} {
		_, id := f.pending(session, uuid.NewString())
		all = append(all, id)
	}
	slices.Reverse(all)
	for name, key := range map[string]string{"API_KEY": testKey, "a key of two": mine, "a key of one": another} {
		var want []string
		for _, id := range all {
			if f.do("GET", "/v1/media/"+id, nil, "X-API-Key", key).StatusCode == 200 {
				want = append(want, id)
			}
		}
		if got := f.listedMedia("", key); !slices.Equal(got, want) {
			t.Errorf("%s lists %v, and may read %v", name, got, want)
		}
	}
	if got := f.listedMedia("sessionId=support", mine); len(got) != 0 {
		t.Errorf("of another's session it lists %v", got)
	}
	if got := f.listedMedia("sessionId=sales", mine); len(got) != 5 {
		t.Errorf("of its session it lists %v", got)
	}
	sender, _ := f.key(map[string]any{"scopes": []string{"send"}})
	f.problem(f.do("GET", "/v1/media", nil, "X-API-Key", sender), InsufficientScope)
}
