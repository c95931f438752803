package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

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

// eventWildcards are * and, for each part before a dot that the types have, that part with .* behind it.
var eventWildcards = func() []string {
	list := []string{"*"}
	for _, t := range events.Types {
		for i, r := range string(t) {
			if wildcard := string(t)[:i] + ".*"; r == '.' && !slices.Contains(list, wildcard) {
				list = append(list, wildcard)
			}
		}
	}
	return list
}()

// eventFilter is a type of event, or a wildcard.
type eventFilter string

// Schema lists what there is, as an extension: the server's own check of an enum would name only as much as a short message holds.
func (eventFilter) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Extensions: map[string]any{"enum": eventFilters()}, Examples: []any{"message.*"}}
}

// eventFilters are all filters that name something.
func eventFilters() []string { return append(slices.Clone(eventWildcards), texts(events.Types)...) }

// checkEventFilters refuses what names nothing: a typing error in a filter would be a webhook that never comes.
func checkEventFilters(filters []string) error {
	known := eventFilters()
	for i, filter := range filters {
		if !slices.Contains(known, filter) {
			return invalid(fmt.Sprintf("body.events[%d]", i), "expected one of "+strings.Join(known, ", "))
		}
	}
	return nil
}

func (s *Server) addEventTypes() {
	list := EventTypes{Wildcards: eventWildcards}
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
