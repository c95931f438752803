package dispatcher

import (
	"testing"

	"github.com/google/uuid"
)

// The file of a channel's post is not encrypted. One that WhatsApp has no more, or not as the post describes it, has failed: no phone is asked for it.
func TestTheFileOfAPostIsFetchedAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, f := receive(t, nil), serveFiles(t)
	b.addEndpoint(r.URL)
	b.start(waitLong, f.whatsApp)
	public := func(chat string, data []byte) uuid.UUID {
		id := b.media("s", chat, encrypted(t, "image", data))
		b.exec(`UPDATE media SET media_key = NULL, enc_sha256 = NULL WHERE id = $1`, id)
		return id
	}
	content := noise(100_000)
	there, gone, damaged := public("a@newsletter", content), public("b@newsletter", noise(100)), public("c@newsletter", noise(101))
	f.serve(there, give(content))
	f.serve(damaged, give(noise(102)))
	for id, chat := range map[uuid.UUID]string{there: "a@newsletter", gone: "b@newsletter", damaged: "c@newsletter"} {
		b.publishFile("s", chat, 0, id, true)
	}
	for id, want := range map[uuid.UUID]string{there: "ready", gone: "failed media_fetch_failed", damaged: "failed media_fetch_failed"} {
		eventually(t, "its file is "+want, func() bool { return b.status(id) == want })
	}
	if n := b.count(`SELECT count(*) FROM queue_messages WHERE lane LIKE 'commands/%'`); n != 0 {
		t.Errorf("%d phones are asked", n)
	}
}
