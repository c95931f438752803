package server

import (
	"context"
	"strings"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// maxUsync bounds the users of one query.
const maxUsync = 10_000

func registerUsync(r *registry) {
	r.queries[query{"usync", "get", "usync"}] = handleUsync
}

// handleUsync answers questions about users: which devices, LID, about text they have, and whether a phone number has an account. A number
// without one gets an entry without these, which is how a client learns of it.
func handleUsync(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("usync")
	asked, list := request.GetChildByTag("query"), request.GetChildByTag("list")
	protocols, users := asked.GetChildren(), list.GetChildren()
	if len(users) > maxUsync {
		return nil, errBadRequest
	}
	var answers []waBinary.Node
	seen := map[types.JID]bool{}
	for _, user := range users {
		jid, number := usyncUser(user)
		if jid.IsEmpty() || seen[jid] {
			continue // whatsmeow asks for itself twice in a chat with itself, and would encrypt twice
		}
		seen[jid] = true
		answer, err := c.usyncAnswer(ctx, jid, number, protocols)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	attrs := waBinary.Attrs{}
	for _, name := range []string{"sid", "mode", "context", "index", "last"} {
		attrs[name] = attr(&request, name)
	}
	return []waBinary.Node{{Tag: "usync", Attrs: attrs, Content: []waBinary.Node{{Tag: "result"}, {Tag: "list", Content: answers}}}}, nil
}

// usyncUser returns whom an entry asks for: by JID, or by a phone number as the user wrote it, which is returned too.
func usyncUser(user waBinary.Node) (jid types.JID, number []byte) {
	if jid, ok := user.Attrs["jid"].(types.JID); ok {
		return jid.ToNonAD(), nil
	}
	number = content(user.GetChildByTag("contact"))
	digits, _, _ := strings.Cut(strings.TrimPrefix(string(number), "+"), "@")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return types.EmptyJID, nil
	}
	return types.NewJID(digits, types.DefaultUserServer), number
}

// usyncAnswer makes the entry of one user.
func (c *conn) usyncAnswer(ctx context.Context, jid types.JID, number []byte, protocols []waBinary.Node) (waBinary.Node, error) {
	s := c.s
	a := s.user(jid)
	answer := waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": jid}}
	var parts []waBinary.Node
	for _, protocol := range protocols {
		if protocol.Tag == "contact" && number != nil {
			kind := "out"
			if a != nil {
				kind = "in"
				if attr(&protocol, "addressing_mode") == "lid" {
					answer.Attrs["jid"], answer.Attrs["pn_jid"] = a.lid(), a.pn()
				}
			}
			parts = append(parts, waBinary.Node{Tag: "contact", Attrs: waBinary.Attrs{"type": kind}, Content: number})
		}
		if a == nil {
			continue
		}
		switch protocol.Tag {
		case "devices":
			if err := s.watch(ctx, c.device, a); err != nil {
				return answer, err
			}
			parts = append(parts, s.deviceList(a))
		case "lid":
			if jid.Server != types.HiddenUserServer { // Baileys takes an answer for the number's LID, and complains of one to a LID
				parts = append(parts, waBinary.Node{Tag: "lid", Attrs: waBinary.Attrs{"val": a.lid()}})
			}
		case "status", "picture", "business", "disappearing_mode":
			if node, ok := c.profileNode(a, protocol.Tag); ok {
				parts = append(parts, node)
			}
		}
	}
	if len(parts) > 0 {
		answer.Content = parts
	}
	return answer, nil
}

// deviceList lists an account's devices. A companion's key index is its number; Baileys ignores companions without one.
func (s *Server) deviceList(a *account) waBinary.Node {
	var devices []waBinary.Node
	var jids []types.JID
	for _, d := range s.devicesOf(a, nil) {
		node := waBinary.Node{Tag: "device", Attrs: waBinary.Attrs{"id": int(d.number)}}
		if d.number != 0 {
			node.Attrs["key-index"] = int(d.number)
		}
		devices = append(devices, node)
		jids = append(jids, d.jid(types.HiddenUserServer))
	}
	return waBinary.Node{Tag: "devices", Content: []waBinary.Node{
		{Tag: "device-list", Attrs: waBinary.Attrs{"hash": listHash(jids)}, Content: devices},
		{Tag: "key-index-list", Attrs: waBinary.Attrs{"ts": time.Now().Unix()}},
	}}
}
