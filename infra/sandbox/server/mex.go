package server

import (
	"context"
	"encoding/json"
	"fmt"

	waBinary "go.mau.fi/whatsmeow/binary"
)

// mexHandler answers a GraphQL query, which clients name by an id, with what goes into the answer's member "data".
type mexHandler func(ctx context.Context, c *conn, variables json.RawMessage) (data any, err error)

func registerMex(r *registry) { r.queries[query{"w:mex", "get", "query"}] = handleMex }

// handleMex gives a query to its handler (sendMexIQ in newsletter.go).
func handleMex(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("query")
	handler, ok := c.s.handlers.mex[attr(&request, "query_id")]
	if !ok {
		c.unknown(iq)
		return nil, errUnknown
	}
	var in struct {
		Variables json.RawMessage `json:"variables"`
	}
	if err := json.Unmarshal(content(request), &in); err != nil {
		return nil, errBadRequest
	}
	data, err := handler(ctx, c, in.Variables)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return nil, fmt.Errorf("marshal mex answer: %w", err)
	}
	return []waBinary.Node{{Tag: "result", Content: text}}, nil
}
