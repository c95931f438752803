package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/libsignal/keys/prekey"
	libsignal "go.mau.fi/libsignal/session"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/ratchet"
)

// A message to a group needs to know its participants, their devices, and a Signal session with each device. whatsmeow keeps the first two for
// as long as a client lives, so that they are unknown after each reconnect, and asks for what it lacks while nothing else can be sent: the three
// answers for 1,024 people take seconds. So the connector asks for them before, and sends what waits for other chats meanwhile, in the
// order of each chat. What is left for the send is its own encryption.

const (
	// warmChunk is how many people or devices are asked for at once: while whatsmeow asks for devices it looks up nobody's (user.go,
	// GetUserDevices), so that another chat waits for one answer. warmWrites is how many sessions are begun at once: meanwhile nobody uses any,
	// for some 20 ms.
	warmChunk, warmWrites = 256, 64
	// warmTimeout bounds the preparation; the send asks for what is missing then.
	warmTimeout = 30 * time.Second
	// aheadMost is how many commands are looked at, at once, for what can be sent meanwhile, and aheadEvery how often.
	aheadMost, aheadEvery = 32, 25 * time.Millisecond
)

// cool forgets that a group is prepared: there is somebody new in it.
func (m *groupMemory) cool(group types.JID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.warm, group)
}

func (m *groupMemory) isWarm(group types.JID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.warm[group]
}

func (m *groupMemory) warmed(group types.JID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.warm == nil {
		m.warm = map[types.JID]bool{}
	}
	m.warm[group] = true
}

// cold returns the group that a chat is, where a message to it has to be prepared. Those who see the account's status updates are as a group.
func (c *connection) cold(chat string) (group types.JID, cold bool) {
	if kind := events.KindOf(chat); kind != events.KindGroup && kind != events.KindStatus || c.s.c.unprepared {
		return group, false
	}
	group, err := types.ParseJID(chat)
	return group, err == nil && !c.groups.isWarm(group)
}

// prepareGroup prepares a message to a group, and goes on with the lane meanwhile. It says whether there was something to prepare, which took its
// time: then what is known of the command has to be looked at again. Its caller holds inHand.
//
// Failure policy: none of its own. What could not be prepared the send asks for itself, and says why it fails.
func (s *session) prepareGroup(ctx context.Context, conn *connection, id uuid.UUID, chat string) bool {
	group, cold := conn.cold(chat)
	if !cold {
		return false
	}
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	defer context.AfterFunc(conn.ctx, cancel)()
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				s.log.ErrorContext(ctx, "preparing a group panicked", "panic", p, "stack", string(debug.Stack()))
			}
		}()
		if err := conn.warm(ctx, group); err != nil && ctx.Err() == nil {
			s.log.InfoContext(ctx, "a message to a group is not prepared", "group", chat, "error", err)
		}
	}()
	if err := s.goOn(ctx, conn, id, chat, done); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "nothing is sent while a group is prepared", "error", err)
	}
	<-done
	return true
}

// prepareChange is prepareGroup for a change that goes to a group as a message, and does not hold inHand.
func (s *session) prepareChange(ctx context.Context, conn *connection, id uuid.UUID, chat string) {
	if _, cold := conn.cold(chat); !cold {
		return
	}
	select {
	case s.inHand <- struct{}{}:
		defer func() { <-s.inHand }()
		s.prepareGroup(ctx, conn, id, chat)
	case <-ctx.Done():
	}
}

// goOn does the commands behind one in the lane of sends until done is closed, in their order, but for those of its chat, of chats whose turn
// takes its own time, and of chats that one of these is for. The lane comes to them again, and finds them done: their rows are the truth.
// What has to wait ends it, and waits in its turn.
func (s *session) goOn(ctx context.Context, conn *connection, id uuid.UUID, chat string, done <-chan struct{}) error {
	if s.holdsBack() {
		return nil // whether they may go is not known here
	}
	lane := events.TopicCommands + "/" + events.SendLane(s.id)
	after, err := s.c.queries.SendPlace(ctx, s.c.pool, lane, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find place in lane: %w", err)
	}
	later := map[string]bool{chat: true}
	tick := time.NewTicker(aheadEvery)
	defer tick.Stop()
	for {
		rows, err := s.c.queries.SendAhead(ctx, s.c.pool, s.id, lane, after, aheadMost)
		if err != nil {
			return fmt.Errorf("look ahead in lane: %w", err)
		}
		for _, row := range rows {
			select {
			case <-done:
				return nil
			default:
			}
			after = row.ID
			if _, cold := conn.cold(row.ChatID); cold || row.TakesTime {
				later[row.ChatID] = true
			}
			if row.ChatID == "" || later[row.ChatID] {
				continue
			}
			if !s.ahead(ctx, row.Uuid, row.IsMessage) {
				return nil
			}
		}
		if len(rows) == aheadMost {
			continue
		}
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
	}
}

// ahead does one command before its turn, and says whether it is done with.
func (s *session) ahead(ctx context.Context, id uuid.UUID, isMessage bool) bool {
	mine := s.sending
	s.sending = attempt{limited: mine.limited}
	defer func() {
		mine.limited = s.sending.limited
		s.sending = mine
	}()
	do := s.changeNow
	if isMessage {
		do = s.sendNow
	}
	outcome, err := do(ctx, id, false)
	s.c.metrics.commands.WithLabelValues(outcome).Inc()
	return err == nil
}

// warm asks WhatsApp for all that whatsmeow needs to know to send to a group.
func (c *connection) warm(ctx context.Context, group types.JID) error {
	members, err := c.audience(ctx, group)
	if err != nil {
		return err
	}
	var devices []types.JID
	for chunk := range slices.Chunk(members, warmChunk) {
		found, err := c.client.GetUserDevices(ctx, chunk)
		if err != nil {
			return fmt.Errorf("ask for devices: %w", err)
		}
		devices = append(devices, found...)
	}
	for chunk := range slices.Chunk(devices, warmChunk) {
		if err := c.warmSessions(ctx, chunk); err != nil {
			return err
		}
	}
	c.groups.warmed(group)
	return nil
}

// warmSessions begins Signal sessions with those devices that there is none with, as whatsmeow's encryptMessageForDevices (send.go) does, but
// with nothing to encrypt. The prekeys come over the network before the sessions are in use.
func (c *connection) warmSessions(ctx context.Context, devices []types.JID) error {
	internals := c.client.DangerousInternals() //nolint:staticcheck // SA1019: what whatsmeow itself sends by
	var numbers []types.JID
	for _, jid := range devices {
		if jid.Server == types.DefaultUserServer {
			numbers = append(numbers, jid)
		}
	}
	lids, err := c.device.LIDs.GetManyLIDsForPNs(ctx, numbers)
	if err != nil {
		return fmt.Errorf("look up LIDs: %w", err)
	}
	names := make(map[types.JID]types.JID, len(devices)) // under which the sessions are kept
	for _, jid := range devices {
		if jid == *c.device.ID || jid == c.device.LID || jid.Server == types.HostedServer || jid.Server == types.HostedLIDServer {
			continue
		}
		names[jid] = jid
		if lid := lids[jid]; !lid.IsEmpty() {
			internals.MigrateSessionStore(ctx, jid, lid)
			names[jid] = lid
		}
	}
	known, _, end, err := c.sessions(ctx, slices.Collect(maps.Values(names)))
	end()
	if err != nil {
		return err
	}
	var missing []types.JID
	for jid, name := range names {
		if !known[name.SignalAddress().String()] {
			missing = append(missing, jid)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	bundles := internals.FetchPreKeysNoError(ctx, missing)
	for chunk := range slices.Chunk(missing, warmWrites) {
		begin := make(map[types.JID]*prekey.Bundle, len(chunk)) // by the names of the sessions
		for _, jid := range chunk {
			if bundles[jid] != nil {
				begin[names[jid]] = bundles[jid]
			}
		}
		if err := c.beginSessions(ctx, begin); err != nil {
			return err
		}
	}
	return nil
}

// beginSessions begins sessions by prekeys, but for those that have begun meanwhile.
func (c *connection) beginSessions(ctx context.Context, bundles map[types.JID]*prekey.Bundle) error {
	known, use, end, err := c.sessions(ctx, slices.Collect(maps.Keys(bundles)))
	defer end()
	if err != nil {
		return err
	}
	for name, bundle := range bundles {
		if known[name.SignalAddress().String()] {
			continue
		}
		builder := libsignal.NewBuilderFromSignal(c.device, name.SignalAddress(), store.SignalProtobufSerializer)
		if err := builder.ProcessBundle(use, bundle); err != nil { // as one whose identity is another now, which the send sees to
			c.s.log.DebugContext(ctx, "no session begun", "device", name, "error", err)
		}
	}
	if err := c.device.PutCachedSessions(use); err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	return nil
}

// sessions reads which sessions there are, and begins a use of them, which nobody else's send ends before end does.
func (c *connection) sessions(ctx context.Context, names []types.JID) (known map[string]bool, use context.Context, end func(), err error) {
	addresses := make([]string, 0, len(names))
	for _, name := range names {
		addresses = append(addresses, name.SignalAddress().String())
	}
	use, end = context.WithCancel(ratchet.Alone(ctx))
	known, use, err = c.device.WithCachedSessions(use, addresses)
	if err != nil {
		return nil, use, end, fmt.Errorf("read sessions: %w", err)
	}
	return known, use, end, nil
}
