package dashboard

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chromedp/chromedp/kb"
)

// manyChats is how many chats the list is scrolled through.
const manyChats = 5000

// fill puts chats with a message each straight into the database: the phone would take minutes to receive them.
func fill(t *testing.T, session string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), running.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, statement := range []string{
		`INSERT INTO contacts (session_id, id, phone, name) SELECT $1, '54981' || lpad(n::text, 7, '0') || '@s.whatsapp.net', '54981' || lpad(n::text, 7, '0'), 'Person ' || n FROM generate_series(1, $2) n`,
		`INSERT INTO chats (session_id, id, kind, last_message_at, unread) SELECT $1, '54981' || lpad(n::text, 7, '0') || '@s.whatsapp.net', 'user', now() - n * interval '1 minute', n % 3 FROM generate_series(1, $2) n`,
		`INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		 SELECT gen_random_uuid(), $1, '54981' || lpad(n::text, 7, '0') || '@s.whatsapp.net', CASE WHEN n % 2 = 0 THEN '54981' || lpad(n::text, 7, '0') || '@s.whatsapp.net' ELSE '' END, 'F' || n,
		        CASE WHEN n % 2 = 0 THEN 'incoming' ELSE 'outgoing' END, 'read', 'text', jsonb_build_object('type', 'text', 'text', 'What person ' || n || ' said last'), now() - n * interval '1 minute'
		   FROM generate_series(1, $2) n`,
	} {
		if _, err := conn.Exec(t.Context(), statement, session, manyChats); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChatsScroll scrolls through 5,000 chats with the wheel: few rows are in the page at any time, and it stays smooth.
// It runs beside no other test of this package, whose browsers would take the processor from it.
func TestChatsScroll(t *testing.T) { //nolint:paralleltest // see above
	must(t, "POST", "/v1/sessions", object{"id": "chats-scroll"}, nil)
	fill(t, "chats-scroll")
	tab := open(t, "/chats/chats-scroll")
	tab.Size(1440, 900)
	tab.Sees("Person 1\n")
	tab.Run(`{
		window.frames_ = []; window.most_ = 0; let last = performance.now();
		const frame = (now) => { frames_.push(now - last); last = now; most_ = Math.max(most_, document.querySelectorAll('[role=listitem]').length); window.counting_ = requestAnimationFrame(frame); };
		requestAnimationFrame(frame);
	}`)
	// The wheel goes on where the list ends for now: the next page comes meanwhile.
	for turns := 0; tab.Evaluate(fmt.Sprintf(`document.querySelector('[role=list]').innerText.includes('Person %d')`, manyChats)) != "true"; turns++ {
		if turns > 2500 {
			t.Fatalf("after %d turns of the wheel the list shows %s", turns, tab.Evaluate(`document.querySelector('[role=list]').innerText.slice(0, 300)`))
		}
		tab.Wheel(350, 600, 900)
	}
	tab.Run(`cancelAnimationFrame(window.counting_)`)
	var frames []float64
	if err := json.Unmarshal([]byte(tab.Evaluate(`JSON.stringify(frames_)`)), &frames); err != nil {
		t.Fatal(err)
	}
	slices.Sort(frames)
	p50, p95 := frames[len(frames)/2], frames[len(frames)*95/100]
	most := tab.Evaluate(`most_`)
	t.Logf("%d frames, p50 %.1f ms, p95 %.1f ms, longest %.1f ms; %s rows at most", len(frames), p50, p95, frames[len(frames)-1], most)
	if p95 > 100 {
		t.Errorf("95 of 100 frames take up to %.1f ms", p95)
	}
	if tab.Evaluate(`most_ <= 60`) != "true" {
		t.Errorf("%s rows are in the page", most)
	}
	if said := tab.Evaluate(`document.querySelector('[role=listitem]').getAttribute('aria-setsize')`); said != fmt.Sprint(manyChats) {
		t.Errorf("the rows are of %s", said)
	}

	// By keyboard too: the row that has the focus is opened.
	tab.Run(`document.querySelector('[role=list]').scrollTo(0, 0); document.activeElement.blur()`)
	tab.Press("jjk")
	tab.Press("j")
	tab.Await(`document.activeElement?.closest('[data-row]')?.getAttribute('aria-posinset') === '2'`)
	tab.Press(kb.Enter)
	tab.Await(`[...document.querySelectorAll('article')].some((e) => e.innerText.includes('What person 2 said last'))`)
	tab.Run(`document.activeElement.blur()`)
	tab.Press("/")
	tab.Await(`document.activeElement?.id === 'chats-search'`)
	tab.Fill("#chats-search", "Person 4321")
	tab.Await(`document.querySelectorAll('[role=listitem]').length === 1 && document.querySelector('[role=listitem]').innerText.includes('Person 4321')`)
}

// TestChatsOlder scrolls up through 300 messages: older ones come in above what one reads, and a new one below it, without it moving.
func TestChatsOlder(t *testing.T) {
	t.Parallel()
	number, bert := newSession(t, "chats-older"), newPhone(t, "Bert")
	kept(t, "chats-older", says(t, bert, number, object{"type": "text", "text": "the newest of all"}))
	conn, err := pgx.Connect(t.Context(), running.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), `INSERT INTO messages (id, session_id, chat_id, sender_id, whatsapp_id, direction, status, type, content, timestamp)
		SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000000000000000')::uuid, 'chats-older', $1, $1, 'OLD' || n, 'incoming', 'read', 'text',
		       jsonb_build_object('type', 'text', 'text', 'old message ' || n || repeat(' and so on', n % 40)), now() - (301 - n) * interval '1 hour' FROM generate_series(1, 300) n`, bert+"@s.whatsapp.net"); err != nil {
		t.Fatal(err)
	}
	tab := openChats(t, chatOf("chats-older", bert))
	tab.Await(`document.querySelectorAll('article').length === 50 && [...document.querySelectorAll('article')].at(-1).innerText.includes('the newest of all')`)
	tab.Run(`window.place_ = () => Math.round(window.anchor_.getBoundingClientRect().top)`)
	for loaded := 50; loaded < 301; loaded += 50 {
		before := tab.Evaluate(`(() => {
			const all = [...document.querySelectorAll('[data-message]')], scroller = document.querySelector('.scroller');
			window.anchor_ = all[3];
			scroller.scrollTop = -(scroller.scrollHeight - scroller.clientHeight) + 150;
			return place_();
		})()`)
		tab.Await(fmt.Sprintf(`document.querySelectorAll('article').length === %d`, min(loaded+50, 301)))
		if after := tab.Evaluate(`place_()`); after != before {
			t.Errorf("with %d messages what was read moved from %s to %s", loaded+50, before, after)
		}
	}
	tab.Sees("These are the oldest messages that are kept.")
	tab.Sees("old message 1")
	before := tab.Evaluate(`place_()`)
	says(t, bert, number, object{"type": "text", "text": "and one more"})
	tab.Sees("1 new message")
	if after := tab.Evaluate(`place_()`); after != before {
		t.Errorf("what was read moved from %s to %s as a message came in", before, after)
	}
	tab.Click("text=1 new message")
	tab.Await(`[...document.querySelectorAll('article')].at(-1).getBoundingClientRect().bottom < innerHeight && [...document.querySelectorAll('article')].at(-1).innerText.includes('and one more')`)
	tab.SeesNot("1 new message")
}
