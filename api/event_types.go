package api

import (
	"context"
	"slices"
	"strings"

	"github.com/chasqui/chasqui/events"
)

// EventTypes is what can happen.
type EventTypes struct {
	Data      []EventTypeInfo `json:"data"`
	Wildcards []string        `json:"wildcards" doc:"What an endpoint's filter takes beside these types: * is all of them, those to come included, and message.* all that begin so."`
}

// EventTypeInfo describes a type of event.
type EventTypeInfo struct {
	Type    string `json:"type" example:"message.received"`
	Summary string `json:"summary" doc:"What has happened." example:"A message has come in"`
}

func (s *Server) addEventTypes() {
	list := EventTypes{Wildcards: slices.DeleteFunc(events.TypePatterns(), func(p string) bool { return !strings.HasSuffix(p, "*") })}
	for _, t := range events.Types {
		list.Data = append(list.Data, EventTypeInfo{string(t), eventShapes[t].summary})
	}
	register(s, operation{
		method: "GET", path: "/v1/event-types", id: "list-event-types", tag: "Webhooks", status: 200,
		summary: "List the types of event", description: "Every type of event of this version, and the wildcards that an endpoint's filter takes beside them. The list only grows.",
		response: list,
	}, func(context.Context, *struct{}) (*struct{ Body EventTypes }, error) {
		return &struct{ Body EventTypes }{list}, nil
	})
}
