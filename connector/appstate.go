package connector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/types"
)

const (
	// conflictsMost is how often a patch of app state is made anew because another device was faster.
	conflictsMost = 10
	// echoesMost bounds the mutations of this connection's own that it remembers. Each comes back within a moment.
	echoesMost = 1000
)

// sendAppState writes a patch of the account's app state, again when another device was faster. It leaves the conflict to FetchAppState: what
// whatsmeow does by itself (sendAppState in appstate.go) is a race with the fetch that a notification starts.
//
// The mutations come back as events, as those of other devices do. They are told apart by time and target: what a change has done, the change
// writes.
func (c *connection) sendAppState(ctx context.Context, patch appstate.PatchInfo) error {
	patch.Timestamp = c.echoes.expect(patch.Mutations)
	var err error
	for range conflictsMost {
		//nolint:staticcheck // SA1019: whatsmeow's public call always handles the conflict by itself
		if err = c.client.DangerousInternals().SendAppState(ctx, patch, false); !errors.Is(err, whatsmeow.ErrAppStateUpdate) {
			break
		}
		err := c.client.FetchAppState(ctx, patch.Type, false, false)
		if errors.Is(err, appstate.ErrMismatchingLTHash) || errors.Is(err, appstate.ErrMismatchingPatchMAC) {
			err = c.client.FetchAppState(ctx, patch.Type, true, false) // what is here does not fit what is there
		}
		if err != nil {
			return fmt.Errorf("fetch app state: %w", err)
		}
	}
	if err != nil {
		return fmt.Errorf("write app state: %w", err)
	}
	return nil
}

// echoes are the mutations of app state that a connection has sent itself.
type echoes struct {
	mu     sync.Mutex
	last   int64 // Unix milliseconds of the newest patch
	target map[echo]struct{}
	order  []echo
}

// echo is a mutation by its time and by what it is about: a JID, or a label's id.
type echo struct {
	at     int64 // Unix milliseconds
	target string
}

// expect returns a time that no other patch of the connection has, and remembers the mutations under it.
func (e *echoes) expect(mutations []appstate.MutationInfo) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = max(e.last+1, time.Now().UnixMilli())
	if e.target == nil {
		e.target = map[echo]struct{}{}
	}
	for _, m := range mutations {
		if len(m.Index) > 1 {
			key := echo{e.last, m.Index[1]}
			e.target[key] = struct{}{}
			e.order = append(e.order, key)
		}
	}
	for len(e.order) > echoesMost {
		delete(e.target, e.order[0])
		e.order = e.order[1:]
	}
	return time.UnixMilli(e.last)
}

// own says whether a mutation that came back was sent by this connection.
func (e *echoes) own(at time.Time, target string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, own := e.target[echo{at.UnixMilli(), target}]
	return own
}

// stateJID is how the account's app state names a chat: a person by phone, and by LID once the phone keeps its chats by LID.
func (c *connection) stateJID(ctx context.Context, chat types.JID) (types.JID, error) {
	if chat.Server != types.DefaultUserServer || !c.byLID {
		return chat, nil
	}
	lid, err := c.device.LIDs.GetLIDForPN(ctx, chat)
	if err != nil {
		return chat, fmt.Errorf("look up LID: %w", err)
	}
	if lid.IsEmpty() {
		return chat, nil
	}
	return lid, nil
}
