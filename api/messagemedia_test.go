package api

import (
	"strings"
	"testing"

	"github.com/chasqui/chasqui/events/queue"
)

// A file that comes just while its phone is about to be asked for it is there, and not one that cannot be had.
func TestRetryOfAFileThatComesMeanwhile(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session("sales")
	f.linked("sales", "connected")
	id, publicID := f.pending("sales", "the file")
	f.exec(`UPDATE media SET media_key = '\x01' WHERE id = $1`, id)
	f.exec(`UPDATE messages SET content = jsonb_build_object('type', 'image', 'media', jsonb_build_object('id', $1::text))`, publicID)
	var info MediaInfo
	f.must(200, &info, "GET", "/v1/media/"+publicID, nil)
	blob, err := f.store.Save(t.Context(), strings.NewReader("the file"), -1, 1<<20, "image/jpeg")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan answer, 1)
	err = f.queue.InTx(t.Context(), func(tx *queue.Tx) error {
		if _, err := f.store.Ready(t.Context(), tx, id, blob); err != nil {
			return err
		}
		go func() { asked <- f.do("POST", "/v1/sessions/sales/messages/"+info.MessageID+"/media/retry", nil) }()
		f.eventually("the wait for the file's row", func() bool {
			return f.count("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%MediaAskAgain%'") == 1
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := <-asked; a.StatusCode != 202 {
		t.Errorf("it is answered %d %s", a.StatusCode, a.body)
	}
}
