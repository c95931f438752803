package server

import (
	"context"
	"fmt"

	waBinary "go.mau.fi/whatsmeow/binary"
)

// maxStatus bounds an about text in bytes; WhatsApp's own limit is 139 characters.
const maxStatus = 1024

func registerSettings(r *registry) {
	for _, q := range []query{
		{"w:p", "get", ""}, {"urn:xmpp:whatsapp:dirty", "set", ""}, {"w:stats", "set", ""}, {"w:stats", "", ""}, {"disappearing_mode", "set", ""},
		{"urn:xmpp:whatsapp:push", "get", ""}, {"urn:xmpp:whatsapp:push", "set", ""}, {"w:biz", "get", ""}, {"w:biz", "set", ""},
		{"tos", "get", ""}, {"tos", "set", ""},
	} {
		r.queries[q] = handleEmpty
	}
	r.queries[query{"fb:thrift_iq", "get", "order"}] = handleOrder
	r.queries[query{"abt", "get", "props"}] = handleProps
	r.queries[query{"w", "get", "props"}] = handleProps
	r.queries[query{"blocklist", "get", ""}] = handleBlocklist
	r.queries[query{"w:profile:picture", "get", ""}] = handlePicture
	r.queries[query{"status", "set", ""}] = handleStatus
}

// handleEmpty answers what has nothing to say but that it was received: pings, statistics, and settings that change nothing here.
func handleEmpty(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) { return nil, nil }

// handleOrder answers that there is no such order (getOrderDetails of Baileys): nobody can place one here.
func handleOrder(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return nil, errItemNotFound
}

// handleProps answers that no feature is switched on.
func handleProps(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return []waBinary.Node{{Tag: "props", Attrs: waBinary.Attrs{"protocol": 1, "hash": "sandbox"}}}, nil
}

// handleBlocklist answers that nobody is blocked.
func handleBlocklist(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return []waBinary.Node{{Tag: "list", Attrs: waBinary.Attrs{"dhash": "sandbox"}}}, nil
}

// handlePicture answers that there is no picture.
func handlePicture(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return nil, errItemNotFound
}

// handleStatus sets the account's about text.
func handleStatus(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	status := string(content(iq.GetChildByTag("status")))
	if len(status) > maxStatus {
		return nil, errBadRequest
	}
	if err := c.s.changeAccount(ctx, c.device.account, func(a *account) { a.status = status }, nil); err != nil {
		return nil, fmt.Errorf("store about text: %w", err)
	}
	return nil, nil
}
