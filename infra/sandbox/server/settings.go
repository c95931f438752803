package server

import (
	"context"

	waBinary "go.mau.fi/whatsmeow/binary"
)

func registerSettings(r *registry) {
	for _, q := range []query{
		{"w:p", "get", ""}, {"urn:xmpp:whatsapp:dirty", "set", ""}, {"w:stats", "set", ""}, {"w:stats", "", ""},
		{"urn:xmpp:whatsapp:push", "get", ""}, {"urn:xmpp:whatsapp:push", "set", ""}, {"w:biz", "get", ""}, {"w:biz", "set", ""},
		{"tos", "get", ""}, {"tos", "set", ""},
	} {
		r.queries[q] = handleEmpty
	}
	r.queries[query{"abt", "get", "props"}] = handleProps
	r.queries[query{"w", "get", "props"}] = handleProps
}

// handleEmpty answers what has nothing to say but that it was received: pings, statistics, and settings that change nothing here.
func handleEmpty(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) { return nil, nil }

// handleProps answers that no feature is switched on.
func handleProps(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return []waBinary.Node{{Tag: "props", Attrs: waBinary.Attrs{"protocol": 1, "hash": "sandbox"}}}, nil
}
