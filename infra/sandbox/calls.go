package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// maxCalls bounds the calls that one phone remembers; the oldest go first.
const maxCalls = 1000

// Call is a call as one phone knows it. Nobody's voice flows: a call is its signalling.
type Call struct {
	ID string `json:"id"`
	// From and To are phone numbers; To is empty in a group's call, which has the group's JID.
	From  string `json:"from"`
	To    string `json:"to,omitempty"`
	Group string `json:"group,omitempty"`
	Video bool   `json:"video"`
	// State is ringing, accepted, rejected or ended.
	State string `json:"state"`
	// Reason says why it ended, as "timeout" or "accepted_elsewhere", where the other side said so.
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"` // when the state began

	peer, creator types.JID
}

// callLog is what one phone knows of its calls since the process started, oldest first. The zero value is ready.
type callLog struct {
	mu    sync.Mutex
	calls []Call
}

// change changes a call, or remembers a new one, and returns it as it is then.
func (l *callLog) change(id string, apply func(*Call)) Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.calls, func(c Call) bool { return c.ID == id })
	if i < 0 {
		if len(l.calls) == maxCalls {
			l.calls = slices.Delete(l.calls, 0, 1)
		}
		l.calls = append(l.calls, Call{ID: id})
		i = len(l.calls) - 1
	}
	apply(&l.calls[i])
	l.calls[i].At = time.Now().UTC()
	return l.calls[i]
}

func (l *callLog) list() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Call{}, l.calls...)
}

func (s *Sandbox) callOperations() map[string]operation {
	return map[string]operation{
		"POST /phones/{number}/calls":             s.postCall,
		"GET /phones/{number}/calls":              s.getCalls,
		"POST /phones/{number}/calls/{id}/{step}": s.postCallStep,
		"PUT /phones/{number}/restriction":        s.putRestriction,
	}
}

func (s *Sandbox) postCall(r *http.Request) (int, any, error) {
	var in struct {
		To    string `json:"to"`
		Group string `json:"group"`
		Video bool   `json:"video"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	var id string
	var err error
	switch {
	case (in.To == "") == (in.Group == ""):
		err = failure(http.StatusUnprocessableEntity, "a call has either to, a phone number, or group, a JID")
	case in.Group != "":
		id, err = s.CallGroup(r.Context(), r.PathValue("number"), in.Group, in.Video)
	default:
		id, err = s.Call(r.Context(), r.PathValue("number"), in.To, in.Video)
	}
	return http.StatusCreated, map[string]string{"id": id}, err
}

func (s *Sandbox) getCalls(r *http.Request) (int, any, error) {
	list, err := s.Calls(r.PathValue("number"))
	return http.StatusOK, map[string]any{"calls": list}, err
}

func (s *Sandbox) postCallStep(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.StepCall(r.Context(), r.PathValue("number"), r.PathValue("id"), r.PathValue("step"))
}

func (s *Sandbox) putRestriction(r *http.Request) (int, any, error) {
	var in server.Restriction
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if _, err := s.phone(r.PathValue("number")); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.server.Restrict(r.Context(), r.PathValue("number"), in)
}

// Call makes the phone call somebody and returns the call's id; his devices ring. How it goes on comes as events of kind "call".
func (s *Sandbox) Call(ctx context.Context, number, to string, video bool) (string, error) {
	if err := s.checkRecipient(to); err != nil {
		return "", err
	}
	return s.offer(ctx, number, video, func(_ context.Context, client *whatsmeow.Client) (Call, []waBinary.Node, error) {
		account, _ := s.server.Account(to)
		return Call{To: to, peer: types.NewJID(account.LID, types.HiddenUserServer)}, nil, nil
	})
}

// CallGroup makes the phone call a group that it is in; the members' devices get a notice of it.
func (s *Sandbox) CallGroup(ctx context.Context, number, group string, video bool) (string, error) {
	jid, err := types.ParseJID(group)
	if err != nil || jid.Server != types.GroupServer {
		return "", failure(http.StatusUnprocessableEntity, "group must be a group's JID")
	}
	return s.offer(ctx, number, video, func(ctx context.Context, client *whatsmeow.Client) (Call, []waBinary.Node, error) {
		info, err := client.GetGroupInfo(ctx, jid)
		if err != nil {
			return Call{}, nil, err
		}
		var members []waBinary.Node
		for _, p := range info.Participants {
			members = append(members, waBinary.Node{Tag: "to", Attrs: waBinary.Attrs{"jid": p.JID}})
		}
		return Call{Group: group, peer: jid}, []waBinary.Node{{Tag: "destination", Content: members}}, nil
	})
}

// offer sends a call's first step.
func (s *Sandbox) offer(ctx context.Context, number string, video bool, target func(context.Context, *whatsmeow.Client) (Call, []waBinary.Node, error)) (string, error) {
	p, err := s.phone(number)
	if err != nil {
		return "", err
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	id := strings.ToUpper(hex.EncodeToString(b[:]))
	err = s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		made, extra, err := target(ctx, client)
		if err != nil {
			return err
		}
		made.ID, made.From, made.Video, made.State, made.creator = id, number, video, "ringing", client.Store.GetLID()
		attrs := waBinary.Attrs{}
		if made.Group != "" {
			attrs["group-jid"] = made.peer
		}
		call := p.calls.change(id, func(c *Call) { *c = made })
		if err := p.sendStep(ctx, client, call, "offer", attrs, append(callMedia(video), extra...)...); err != nil {
			p.calls.change(id, func(c *Call) { c.State = "ended" })
			return err
		}
		p.events.note("call", call)
		return nil
	})
	return id, err
}

// callMedia is what an app says that it can hear and show.
func callMedia(video bool) []waBinary.Node {
	media := []waBinary.Node{
		{Tag: "audio", Attrs: waBinary.Attrs{"enc": "opus", "rate": "8000"}}, {Tag: "audio", Attrs: waBinary.Attrs{"enc": "opus", "rate": "16000"}},
	}
	if video {
		media = append(media, waBinary.Node{Tag: "video", Attrs: waBinary.Attrs{"enc": "h.264", "dec": "H264,H265", "screen_width": "1080", "screen_height": "1920"}})
	}
	return append(media, waBinary.Node{Tag: "net", Attrs: waBinary.Attrs{"medium": "3"}}, waBinary.Node{Tag: "encopt", Attrs: waBinary.Attrs{"keygen": "2"}})
}

// Calls lists the calls that the phone made or got since the process started, oldest first, 1,000 at most.
func (s *Sandbox) Calls(number string) ([]Call, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, err
	}
	return p.calls.list(), nil
}

// StepCall makes the phone accept or reject a call that rings, or terminate one.
func (s *Sandbox) StepCall(ctx context.Context, number, id, step string) error {
	p, err := s.phone(number)
	if err != nil {
		return err
	}
	state := map[string]string{"accept": "accepted", "reject": "rejected", "terminate": "ended"}[step]
	if state == "" {
		return failure(http.StatusNotFound, "a call can be given accept, reject or terminate")
	}
	calls := p.calls.list()
	i := slices.IndexFunc(calls, func(c Call) bool { return c.ID == id })
	if i < 0 {
		return failure(http.StatusNotFound, "phone %s knows no call %s", number, id)
	}
	if step != "terminate" && calls[i].From == number {
		return failure(http.StatusConflict, "a call that the phone made can only be terminated")
	}
	return s.act(ctx, number, func(ctx context.Context, client *whatsmeow.Client) error {
		attrs, media := waBinary.Attrs{}, []waBinary.Node(nil)
		switch step {
		case "accept":
			media = callMedia(calls[i].Video)
		case "reject":
			attrs["count"] = "0" // as RejectCall in whatsmeow's call.go
		}
		if err := p.sendStep(ctx, client, calls[i], step, attrs, media...); err != nil {
			return err
		}
		p.events.note("call", p.calls.change(id, func(c *Call) { c.State = state }))
		return nil
	})
}

// sendStep sends a step of a call and waits for its acknowledgement, which whatsmeow's public API does for no step.
func (p *phone) sendStep(ctx context.Context, client *whatsmeow.Client, call Call, step string, attrs waBinary.Attrs, children ...waBinary.Node) error {
	attrs["call-id"], attrs["call-creator"] = call.ID, call.creator
	internals := client.DangerousInternals() //nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated
	id := internals.GenerateRequestID()
	answered := internals.WaitResponse(id)
	err := internals.SendNode(ctx, waBinary.Node{
		Tag: "call", Attrs: waBinary.Attrs{"to": call.peer, "id": id}, Content: []waBinary.Node{{Tag: step, Attrs: attrs, Content: children}},
	})
	if err != nil {
		internals.CancelResponse(id, answered)
		return err
	}
	select {
	case ack := <-answered:
		code := ack.AttrGetter().OptionalInt("error")
		switch {
		case ack.Tag != "ack":
			return fmt.Errorf("send %s: %w", step, whatsmeow.ErrNotConnected)
		case code != 0:
			return failure(http.StatusConflict, "WhatsApp refuses: %d", code)
		}
		return nil
	case <-ctx.Done():
		internals.CancelResponse(id, answered)
		return ctx.Err()
	}
}

// noteCall notes a step of a call that another device sent.
func (c *connection) noteCall(evt any) {
	switch e := evt.(type) {
	case *events.CallOffer:
		_, video := e.Data.GetOptionalChildByTag("video")
		c.noteOffer(e.BasicCallMeta, video)
	case *events.CallOfferNotice:
		c.noteOffer(e.BasicCallMeta, e.Media == "video")
	case *events.CallAccept:
		c.noteState(e.CallID, "accepted", "")
	case *events.CallReject:
		c.noteState(e.CallID, "rejected", "")
	case *events.CallTerminate:
		c.noteState(e.CallID, "ended", e.Reason)
	}
}

func (c *connection) noteOffer(meta types.BasicCallMeta, video bool) {
	from, err := c.numberOf(meta.CallCreator, meta.CallCreatorAlt)
	if err != nil {
		c.phone.log.Warn("sandbox: phone got a call from nobody it knows", "id", meta.CallID, "error", err)
	}
	group, to := "", c.phone.number
	if !meta.GroupJID.IsEmpty() {
		group, to = meta.GroupJID.String(), ""
	}
	c.phone.events.note("call", c.phone.calls.change(meta.CallID, func(call *Call) {
		*call = Call{ID: meta.CallID, From: from, To: to, Group: group, Video: video, State: "ringing", peer: meta.From, creator: meta.CallCreator}
	}))
}

func (c *connection) noteState(id, state, reason string) {
	c.phone.events.note("call", c.phone.calls.change(id, func(call *Call) { call.State, call.Reason = state, reason }))
}
