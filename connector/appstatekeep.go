package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.mau.fi/whatsmeow/appstate"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/signalstore"
)

// whatsmeow stores a new version of a part of the account's state, asks for what is newer than that from then on, and only then tells of the entries
// that came with it (appstate.go, FetchAppState): what is not handled when a process dies would never be told again. So each version is stored with a
// row in unhandled_states, which goes when all entries that came so far are handled. A part whose row is left from a connection before is read as a
// whole: that tells all entries that there are, and what is so already changes nothing.
//
// The end of what a version brings is found by counting, for whatsmeow tells of no end: each entry is told as AppState, and those
// that are handled here once more, as themselves. Where it does not tell of all that it stored, because a later page could not be fetched, rows stay until the
// next login: too much is read then, nothing is lost.
type stateKeeping struct {
	mu      sync.Mutex
	waiting int                       // entries that are stored and not handled
	stored  map[string]uint64         // the newest version of the parts with a row
	owed    map[string]bool           // parts with rows of a connection before, and whether what came is news
	reading string                    // the part of owed that is being read as a whole
	newer   map[stateTarget]time.Time // what other entries have set meanwhile
}

// stateTarget is what an entry sets, and of what.
type stateTarget struct{ kind, of string }

// stateEntry is an entry of the account's state, as an event of whatsmeow's.
type stateEntry struct {
	stateTarget
	at   time.Time
	full *bool // it comes with all that there is
}

// asState is the entry that an event tells of; false for other events. These are the ones that are handled here.
func asState(evt any) (stateEntry, bool) {
	entry := func(at time.Time, full *bool, of ...any) (stateEntry, bool) {
		return stateEntry{stateTarget{fmt.Sprintf("%T", evt), fmt.Sprint(of...)}, at, full}, true
	}
	switch e := evt.(type) {
	case *waevents.Mute:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.Pin:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.Archive:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.Contact:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.ClearChat:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.DeleteChat:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.Star:
		return entry(e.Timestamp, &e.FromFullSync, e.ChatJID, "/", e.MessageID, "/", e.SenderJID, e.IsFromMe)
	case *waevents.DeleteForMe:
		return entry(e.Timestamp, &e.FromFullSync, e.ChatJID, "/", e.MessageID, "/", e.SenderJID, e.IsFromMe)
	case *waevents.MarkChatAsRead:
		return entry(e.Timestamp, &e.FromFullSync, e.JID)
	case *waevents.LabelEdit:
		return entry(e.Timestamp, &e.FromFullSync, e.LabelID)
	case *waevents.LabelAssociationChat:
		return entry(e.Timestamp, &e.FromFullSync, e.LabelID, "/", e.JID)
	}
	return stateEntry{}, false
}

// followed says whether whatsmeow tells an entry with this index as one of asState's events too, right after it (appstate.go, dispatchAppState).
func followed(index []string) bool {
	if len(index) == 0 {
		return false
	}
	switch index[0] {
	case appstate.IndexMute, appstate.IndexPin, appstate.IndexArchive, appstate.IndexContact, appstate.IndexClearChat, appstate.IndexDeleteChat,
		appstate.IndexMarkChatAsRead, appstate.IndexLabelEdit:
		return true
	case appstate.IndexStar, appstate.IndexDeleteMessageForMe:
		return len(index) >= 5
	case appstate.IndexLabelAssociationChat:
		return len(index) >= 3
	}
	return false
}

// stateStored notes, with the version, that its entries are to be handled.
func (c *connection) stateStored(ctx context.Context, tx signalstore.Tx, v signalstore.State) error {
	if v.Entries == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO public.unhandled_states (session_id, part, version, initial) VALUES ($1, $2, $3, $4)
		ON CONFLICT (session_id, part) DO UPDATE SET version = excluded.version`, c.s.id, v.Name, int64(v.Version), v.Initial)
	if err != nil {
		return fmt.Errorf("note state to be handled: %w", err)
	}
	k := &c.states
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting += v.Entries
	k.stored[v.Name] = v.Version
	return nil
}

// begins readies an entry to be handled; false where something newer of the same has been. What comes again after a crash is as much news as it was.
func (k *stateKeeping) begins(e stateEntry) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.reading == "":
	case *e.full:
		if k.owed[k.reading] {
			*e.full = false
		}
		return !k.newer[e.stateTarget].After(e.at)
	default: // another goroutine tells of what has changed meanwhile, before or after what is read tells of the same
		k.newer[e.stateTarget] = e.at
	}
	return true
}

// again says whether entries are being told that may have been handled long ago.
func (k *stateKeeping) again() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reading != ""
}

// ends counts an event as handled. With the last that was stored it returns what is handled, nil before.
func (k *stateKeeping) ends(evt any) map[string]uint64 {
	if all, ok := evt.(*waevents.AppState); ok && followed(all.Index) {
		return nil
	} else if _, entry := asState(evt); !ok && !entry {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting == 0 {
		return nil
	}
	k.waiting--
	return k.done()
}

// done takes what is handled, if all is. mu is held.
func (k *stateKeeping) done() map[string]uint64 {
	if k.waiting > 0 {
		return nil
	}
	done := map[string]uint64{}
	for part, version := range k.stored {
		if _, owed := k.owed[part]; !owed {
			done[part] = version
			delete(k.stored, part)
		}
	}
	return done
}

// stateHandled forgets what is handled. Failure policy: what stays is read once more at the next login.
func (c *connection) stateHandled(ctx context.Context, done map[string]uint64) {
	if len(done) == 0 {
		return
	}
	parts, versions := slices.Sorted(maps.Keys(done)), []int64{}
	for _, part := range parts {
		versions = append(versions, int64(done[part]))
	}
	err := c.s.inTx(ctx, func(ctx context.Context, tx *queue.Tx) error {
		return c.s.c.queries.AppStateHandled(ctx, tx, parts, versions, c.s.id)
	})
	if err != nil && c.ctx.Err() == nil {
		c.s.log.WarnContext(ctx, "handled state stays noted", "error", err)
	}
}

// oweStates takes over what connections before have left unhandled, before this one handles anything.
func (c *connection) oweStates(ctx context.Context) error {
	c.states.stored, c.states.owed = map[string]uint64{}, map[string]bool{}
	if c.device.ID == nil {
		return nil
	}
	rows, err := c.s.c.queries.AppStateUnhandled(ctx, c.s.c.pool, c.s.id)
	if err != nil {
		return fmt.Errorf("read which state is unhandled: %w", err)
	}
	for _, row := range rows {
		c.states.stored[row.Part], c.states.owed[row.Part] = uint64(row.Version), !row.Initial
	}
	return nil
}

// readStates reads the parts of the account's state that were left unhandled. Failure policy: one that cannot be read is left for the next login;
// until then changes of it are handled as they come.
func (c *connection) readStates() {
	k := &c.states
	k.mu.Lock()
	parts := slices.Sorted(maps.Keys(k.owed))
	k.mu.Unlock()
	for _, part := range parts {
		k.mu.Lock()
		k.reading, k.newer = part, map[stateTarget]time.Time{}
		k.mu.Unlock()
		ctx, cancel := context.WithTimeout(c.ctx, joinTimeout)
		err := c.client.FetchAppState(ctx, appstate.WAPatchName(part), true, false) // returns when all is handled
		cancel()
		if c.ctx.Err() != nil {
			return
		}
		if err != nil {
			c.s.log.WarnContext(c.ctx, "state not read again", "part", part, "error", err)
		}
		k.mu.Lock()
		k.reading, k.newer = "", nil
		var done map[string]uint64
		if err == nil {
			delete(k.owed, part)
			done = k.done()
		}
		k.mu.Unlock()
		ctx, cancel = context.WithTimeout(c.ctx, handlerTimeout)
		c.stateHandled(ctx, done)
		cancel()
		if err == nil {
			c.s.log.InfoContext(c.ctx, "state that was left unhandled is read again", "part", part)
		}
	}
}
