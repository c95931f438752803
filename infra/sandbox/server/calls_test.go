package server_test

import (
	"testing"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
)

// callStep sends a step of a call as the apps do and returns the code of the acknowledgement, 0 when it was taken.
func (c *client) callStep(to types.JID, tag, id string, attrs waBinary.Attrs, children ...waBinary.Node) int {
	c.n.t.Helper()
	if attrs == nil {
		attrs = waBinary.Attrs{}
	}
	attrs["call-id"], attrs["call-creator"] = id, *c.Store.ID
	internals := c.DangerousInternals() //nolint:staticcheck // SA1019: there is no other way
	request := internals.GenerateRequestID()
	answered := internals.WaitResponse(request)
	err := internals.SendNode(c.n.t.Context(), waBinary.Node{
		Tag: "call", Attrs: waBinary.Attrs{"to": to, "id": request}, Content: []waBinary.Node{{Tag: tag, Attrs: attrs, Content: children}},
	})
	if err != nil {
		c.n.t.Fatal(err)
	}
	select {
	case ack := <-answered:
		if kind := ack.AttrGetter().OptionalString("type"); kind != tag {
			c.n.t.Errorf("ack of %s has type %s", tag, kind)
		}
		return ack.AttrGetter().OptionalInt("error")
	case <-time.After(patience):
		c.n.t.Fatal("no ack of a call")
	}
	return 0
}

func audio() waBinary.Node {
	return waBinary.Node{Tag: "audio", Attrs: waBinary.Attrs{"enc": "opus", "rate": "16000"}}
}

func TestCallRingsEverywhereUntilOneDeviceAccepts(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	benWeb := n.companion(ben)
	if code := ana.callStep(ben.Store.LID, "offer", "C1", nil, audio(), waBinary.Node{Tag: "video"}); code != 0 {
		t.Fatalf("offer refused with %d", code)
	}
	for _, c := range []*client{ben, benWeb} {
		e := await(c, func(*events.CallOffer) bool { return true })
		if e.CallID != "C1" || e.From != ana.Store.LID || e.CallCreator != ana.Store.LID || e.CallCreatorAlt.User != ana.Store.ID.User || e.RemotePlatform != "android" || e.Timestamp.IsZero() {
			t.Errorf("offer came as %+v", e)
		}
		if _, video := e.Data.GetOptionalChildByTag("video"); !video {
			t.Error("the offer lost its video")
		}
	}
	ana.callStep(ben.Store.LID, "offer", "C1", nil, audio()) // again, as after a lost ack
	ana.callStep(ben.Store.LID, "relaylatency", "C1", nil)
	ben.callStep(ana.Store.LID, "preaccept", "C1", nil, audio())
	await(benWeb, func(e *events.CallRelayLatency) bool { return e.CallID == "C1" })
	await(ana, func(e *events.CallPreAccept) bool { return e.From == ben.Store.LID })
	if code := benWeb.callStep(ana.Store.LID, "accept", "C1", nil, audio()); code != 0 {
		t.Fatalf("accept refused with %d", code)
	}
	await(ana, func(e *events.CallAccept) bool {
		return e.CallID == "C1" && e.From == benWeb.Store.LID && e.RemotePlatform == "web"
	})
	await(ben, func(e *events.CallTerminate) bool { return e.CallID == "C1" && e.Reason == "accepted_elsewhere" })
	if code := ben.callStep(ana.Store.LID, "accept", "C1", nil); code != 409 {
		t.Errorf("a second accept: %d", code)
	}
	ana.callStep(ben.Store.LID, "transport", "C1", nil)
	await(benWeb, func(e *events.CallTransport) bool { return e.CallID == "C1" })
	ana.callStep(ben.Store.LID, "mute_v2", "C1", nil)
	await(benWeb, func(e *events.UnknownCallEvent) bool { return true })
	ana.callStep(ben.Store.LID, "terminate", "C1", waBinary.Attrs{"reason": "hangup"})
	await(benWeb, func(e *events.CallTerminate) bool { return e.Reason == "hangup" })
	if code := benWeb.callStep(ana.Store.LID, "terminate", "C1", nil); code != 404 {
		t.Errorf("a step of a call that is over: %d", code)
	}
	if rung := len(all[*events.CallOffer](benWeb)); rung != 1 {
		t.Errorf("rung %d times", rung)
	}
	if len(all[*events.CallTerminate](ben)) != 1 || len(all[*events.CallTransport](ben)) != 0 {
		t.Error("the call went on at a device that did not accept it")
	}
	n.settled()
}

func TestCallIsRejectedByWhatsmeow(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	benWeb := n.companion(ben)
	ana.callStep(*ben.Store.ID, "offer", "C2", nil, audio())
	offer := await(benWeb, func(e *events.CallOffer) bool { return e.From == *ana.Store.ID })
	if err := benWeb.RejectCall(t.Context(), offer.From, offer.CallID); err != nil {
		t.Fatal(err)
	}
	await(ana, func(e *events.CallReject) bool { return e.CallID == "C2" && e.From.User == ben.Store.ID.User })
	await(ben, func(e *events.CallTerminate) bool { return e.Reason == "rejected_elsewhere" })
	if code := ana.callStep(types.NewJID("5491100000009", types.DefaultUserServer), "offer", "C3", nil); code != 404 {
		t.Errorf("a call to nobody: %d", code)
	}
	if code := ana.callStep(*ana.Store.ID, "offer", "C4", nil); code != 404 {
		t.Errorf("a call to oneself: %d", code)
	}
	n.settled()
}

func TestCallThatNobodyAnswersIsMissed(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	n.ring = 200 * time.Millisecond
	n.restart(ana, ben)
	ben.Disconnect()
	ana.callStep(ben.Store.LID, "offer", "C5", nil, audio())
	await(ana, func(e *events.CallTerminate) bool {
		return e.CallID == "C5" && e.Reason == "timeout" && e.From == ben.Store.LID.ToNonAD()
	})
	n.restart(ana)
	again := ben.reopen()
	again.connect()
	await(again, func(e *events.CallOffer) bool { return e.CallID == "C5" })
	await(again, func(e *events.CallTerminate) bool { return e.CallID == "C5" && e.Reason == "timeout" })
	n.settled()
}

func TestGroupCallIsANoticeAndEndsForEachByHimself(t *testing.T) {
	t.Parallel()
	n := setup(t)
	ana, ben, eva := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben"), n.phone("5491100000003", "Eva")
	group := types.NewJID("120363000000000001", types.GroupServer)
	to := func(c *client) waBinary.Node {
		return waBinary.Node{Tag: "to", Attrs: waBinary.Attrs{"jid": c.Store.LID}}
	}
	ana.callStep(group, "offer", "C6", waBinary.Attrs{"group-jid": group}, audio(), waBinary.Node{Tag: "destination", Content: []waBinary.Node{to(ben), to(eva)}})
	for _, c := range []*client{ben, eva} {
		e := await(c, func(e *events.CallOfferNotice) bool { return e.CallID == "C6" })
		if e.Type != "group" || e.Media != "audio" || e.GroupJID != group || e.From != ana.Store.LID {
			t.Errorf("notice came as %+v", e)
		}
	}
	ben.callStep(ana.Store.LID, "accept", "C6", nil)
	eva.callStep(ana.Store.LID, "reject", "C6", nil)
	await(ana, func(e *events.CallAccept) bool { return e.From == ben.Store.LID })
	await(ana, func(e *events.CallReject) bool { return e.From == eva.Store.LID })
	ana.callStep(group, "terminate", "C6", nil)
	await(ben, func(e *events.CallTerminate) bool { return e.CallID == "C6" })
	if len(all[*events.CallTerminate](eva)) != 0 {
		t.Error("the call ended for one who had rejected it")
	}
	n.settled()
}
