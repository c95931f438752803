package server

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

const (
	// ringTime is how long a call rings when Config names no other time, which is about what the apps do.
	ringTime = 60 * time.Second
	// longestCall ends a call that was accepted and that nobody hangs up.
	longestCall = 4 * time.Hour
	// maxCalls bounds the calls at one time, each of which has a goroutine, and maxCallees who is called at once; WhatsApp allows 32.
	maxCalls, maxCallees = 1000, 32
	// maxCallID bounds a call's id in bytes; those of the apps have 32 digits.
	maxCallID = 64
	// clientVersion is the version that the other side of a call is said to have, which nothing depends on.
	clientVersion = "2.26.20.70"
)

// calls are the calls that ring or stand, in memory alone: a restart forgets them. The zero value is ready.
type calls struct {
	mu   sync.Mutex
	byID map[string]*call
}

// call is a call from one device to one account, or to several of a group. Only its signalling is here: nobody's voice flows.
type call struct {
	id      string
	creator *device
	group   types.JID // empty for a call between two
	over    chan struct{}

	mu   sync.Mutex // held while the call changes, over the queueing of the stanzas that tell of it
	legs []*leg     // guarded by mu
}

// leg is one account that is called.
type leg struct {
	callee *account
	server string  // the kind of address that the caller used
	by     *device // accepted on this device
	ended  bool
}

func registerCalls(r *registry) { r.stanzas["call"] = handleCall }

// handleCall takes a step of a call and acknowledges it with the step's name as the type.
func handleCall(ctx context.Context, c *conn, stanza *waBinary.Node) error {
	to, _ := stanza.Attrs["to"].(types.JID)
	ack := waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{"class": "call", "id": stanza.Attrs["id"], "from": stanza.Attrs["to"]}}
	err := error(errBadRequest)
	if children := stanza.GetChildren(); len(children) > 0 {
		step := children[0]
		ack.Attrs["type"] = step.Tag
		id := attr(&step, "call-id")
		switch {
		case step.Tag == "link_create": // createCallLink in Baileys' chats; nobody can join
			ack.Content = []waBinary.Node{{Tag: "link_create", Attrs: waBinary.Attrs{"token": rand.Text()[:22], "media": attr(&step, "media")}}}
			err = nil
		case id == "" || len(id) > maxCallID:
		case step.Tag == "offer":
			err = c.s.startCall(ctx, c.device, to, &step, id)
		default:
			err = c.s.stepCall(ctx, c.device, to, &step, id)
		}
	}
	refused := queryError{}
	if errors.As(err, &refused) {
		ack.Attrs["error"] = refused.code
	} else if err != nil {
		return err
	}
	c.sendNode(ack)
	return nil
}

// startCall makes every device of the called ring. An offer names them in its destination, each with its copy of the call's key, or is for
// the account that it is addressed to.
func (s *Server) startCall(ctx context.Context, by *device, to types.JID, offer *waBinary.Node, id string) error {
	cl := &call{id: id, creator: by, over: make(chan struct{})}
	cl.group, _ = offer.Attrs["group-jid"].(types.JID)
	keys := map[*device]waBinary.Node{}
	invite := func(jid types.JID) {
		a := s.user(jid)
		if a == nil || a == by.account || slices.ContainsFunc(cl.legs, func(l *leg) bool { return l.callee == a }) {
			return
		}
		cl.legs = append(cl.legs, &leg{callee: a, server: jid.Server})
	}
	destination := offer.GetChildByTag("destination")
	for _, target := range destination.GetChildren() {
		jid, _ := target.Attrs["jid"].(types.JID)
		invite(jid)
		if key, ok := target.GetOptionalChildByTag("enc"); ok {
			if d := s.device(jid); d != nil {
				keys[d] = key
			}
		}
	}
	if len(cl.legs) == 0 {
		invite(to)
	}
	switch {
	case len(cl.legs) == 0:
		return errItemNotFound
	case len(cl.legs) > maxCallees || len(cl.legs) > 1 && cl.group.IsEmpty():
		return errBadRequest
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	s.calls.mu.Lock()
	if s.calls.byID == nil {
		s.calls.byID = map[string]*call{}
	}
	old, full := s.calls.byID[id], len(s.calls.byID) >= maxCalls
	if old == nil && !full {
		s.calls.byID[id] = cl
	}
	s.calls.mu.Unlock()
	switch {
	case old != nil && old.creator == by: // its ack was lost
		return nil
	case old != nil:
		return queryError{409, "conflict"}
	case full:
		return queryError{429, "too many calls"}
	}
	var stanzas []queued
	for _, l := range cl.legs {
		if !s.mayCall(l.callee, by.account) {
			continue // it does not ring; the caller is not told
		}
		for _, d := range s.devicesOf(l.callee, nil) {
			stanzas = append(stanzas, queued{d, cl.offer(s, l, offer, keys[d])})
		}
	}
	if err := s.enqueue(ctx, stanzas); err != nil {
		s.calls.forget(cl)
		return err
	}
	s.work.Go(func() { s.timeCall(cl) })
	return nil
}

func (all *calls) forget(cl *call) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byID, cl.id)
}

// offer makes the stanza that lets one device ring (handleCallEvent in call.go): the caller's offer with this device's key, or, in a group,
// a notice of it.
func (cl *call) offer(s *Server, l *leg, offer *waBinary.Node, key waBinary.Node) waBinary.Node {
	step := waBinary.Node{Tag: "offer", Attrs: maps.Clone(offer.Attrs)}
	var children []waBinary.Node
	media := "audio"
	for _, child := range offer.GetChildren() {
		switch child.Tag {
		case "destination", "enc", "privacy", "tctoken": // the server's
			continue
		case "video":
			media = "video"
		}
		children = append(children, child)
	}
	if !cl.group.IsEmpty() {
		step.Tag, step.Attrs["media"], step.Attrs["type"] = "offer_notice", media, "group"
	} else if key.Tag != "" {
		children = append(children, key)
	}
	step.Content = children
	return cl.stanza(s, cl.creator.jid(l.server), cl.creator, l.server, step)
}

// stanza wraps a step of the call for its receiver. server is the kind of addresses that the receiver's leg has.
func (cl *call) stanza(s *Server, from types.JID, sender *device, server string, step waBinary.Node) waBinary.Node {
	step.Attrs = maps.Clone(step.Attrs)
	step.Attrs["call-id"], step.Attrs["call-creator"] = cl.id, cl.creator.jid(server)
	if server == types.HiddenUserServer {
		step.Attrs["caller_pn"] = cl.creator.account.pn()
	} else {
		step.Attrs["caller_lid"] = cl.creator.account.lid()
	}
	platform := "android"
	if sender.number != 0 {
		platform = "web"
	}
	s.mu.RLock()
	name := sender.account.name
	s.mu.RUnlock()
	return waBinary.Node{Tag: "call", Content: []waBinary.Node{step}, Attrs: waBinary.Attrs{
		"from": from, "id": newID(), "t": time.Now().Unix(), "notify": name, "platform": platform, "version": clientVersion, "e": "0",
	}}
}

// terminate makes the server's own end of a leg for some devices.
func (cl *call) terminate(s *Server, l *leg, devices []*device, reason string) []queued {
	step := waBinary.Node{Tag: "terminate", Attrs: waBinary.Attrs{"reason": reason}}
	return s.toDevices(devices, cl.stanza(s, cl.creator.jid(l.server), cl.creator, l.server, step))
}

// stepCall carries a step other than the offer to the other side, and draws the server's own conclusions from it.
func (s *Server) stepCall(ctx context.Context, by *device, to types.JID, step *waBinary.Node, id string) error {
	s.calls.mu.Lock()
	cl := s.calls.byID[id]
	s.calls.mu.Unlock()
	if cl == nil {
		return errItemNotFound
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if by.account == cl.creator.account {
		return s.callerSteps(ctx, cl, by, s.user(to), step)
	}
	i := slices.IndexFunc(cl.legs, func(l *leg) bool { return l.callee == by.account })
	if i < 0 {
		return errItemNotFound
	}
	return s.calleeSteps(ctx, cl, cl.legs[i], by, step)
}

// callerSteps carries the caller's step to the one it is addressed to, or to everybody in the call. The caller holds the call's lock.
func (s *Server) callerSteps(ctx context.Context, cl *call, by *device, to *account, step *waBinary.Node) error {
	all := !slices.ContainsFunc(cl.legs, func(l *leg) bool { return l.callee == to })
	var stanzas []queued
	var reached []*leg
	for _, l := range cl.legs {
		if l.ended || !all && l.callee != to {
			continue
		}
		reached = append(reached, l)
		devices := []*device{l.by}
		if l.by == nil {
			devices = s.devicesOf(l.callee, nil)
		}
		stanzas = append(stanzas, s.toDevices(devices, cl.stanza(s, by.jid(l.server), by, l.server, *step))...)
	}
	if len(reached) == 0 {
		return errItemNotFound
	}
	if err := s.enqueue(ctx, stanzas); err != nil {
		return err
	}
	if step.Tag == "terminate" {
		for _, l := range reached {
			l.ended = true
		}
		s.endCall(cl)
	}
	return nil
}

// calleeSteps carries a step of somebody who was called to the caller. The first device that accepts or rejects does so for the others,
// which stop ringing. The caller holds the call's lock.
func (s *Server) calleeSteps(ctx context.Context, cl *call, l *leg, by *device, step *waBinary.Node) error {
	if l.ended || l.by != nil && l.by != by {
		return queryError{409, "conflict"}
	}
	stanzas := []queued{{cl.creator, cl.stanza(s, by.jid(l.server), by, l.server, *step)}}
	elsewhere := map[string]string{"accept": "accepted_elsewhere", "reject": "rejected_elsewhere", "terminate": "rejected_elsewhere"}[step.Tag]
	if elsewhere != "" && l.by == nil {
		stanzas = append(stanzas, cl.terminate(s, l, s.devicesOf(l.callee, by), elsewhere)...)
	}
	if err := s.enqueue(ctx, stanzas); err != nil {
		return err
	}
	switch step.Tag {
	case "accept":
		l.by = by
	case "reject", "terminate":
		l.ended = true
		s.endCall(cl)
	}
	return nil
}

// endCall forgets a call that nobody is in any more. The caller holds its lock.
func (s *Server) endCall(cl *call) {
	if slices.ContainsFunc(cl.legs, func(l *leg) bool { return !l.ended }) {
		return
	}
	s.calls.forget(cl)
	close(cl.over)
}

// timeCall ends what rings too long, and in the end the call. Failure policy: what cannot be queued then is logged, and the call is over all
// the same; its devices are not told.
func (s *Server) timeCall(cl *call) {
	timer := time.NewTimer(s.ring)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-cl.over:
			return
		case <-s.ctx.Done():
			return
		}
		s.expireCall(cl)
		timer.Reset(longestCall)
	}
}

// expireCall ends the legs that ring, or, when none does, the call. The caller is told when nobody is left.
func (s *Server) expireCall(cl *call) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	rings := slices.ContainsFunc(cl.legs, func(l *leg) bool { return !l.ended && l.by == nil })
	var stanzas []queued
	var last *leg
	stands := false
	for _, l := range cl.legs {
		switch {
		case l.ended:
		case rings && l.by != nil:
			stands = true
		case l.by != nil:
			stanzas = append(stanzas, cl.terminate(s, l, []*device{l.by}, "timeout")...)
			l.ended, last = true, l
		default:
			stanzas = append(stanzas, cl.terminate(s, l, s.devicesOf(l.callee, nil), "timeout")...)
			l.ended, last = true, l
		}
	}
	if last == nil {
		return
	}
	if !stands {
		step := waBinary.Node{Tag: "terminate", Attrs: waBinary.Attrs{"reason": "timeout"}}
		stanzas = append(stanzas, queued{cl.creator, cl.stanza(s, last.callee.jid(last.server), s.devicesOf(last.callee, nil)[0], last.server, step)})
	}
	ctx, cancel := context.WithTimeout(s.ctx, stanzaTimeout)
	defer cancel()
	if err := s.enqueue(ctx, stanzas); err != nil && s.ctx.Err() == nil {
		s.log.ErrorContext(ctx, "end of a call not told", "error", err)
	}
	s.endCall(cl)
}
