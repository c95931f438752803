package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chasqui/chasqui/events"
)

// thinOr is the schema of a webhook's body: the event of a component, or the same without its data where that is too large for a webhook.
// The dispatcher makes it; the log and the streams have every event whole.
func (s *Server) thinOr(component string) *huma.Schema {
	const thin, refs = "ThinEvent", "#/components/schemas/"
	schemas := s.huma.OpenAPI().Components.Schemas
	if schemas.Map()[thin] == nil {
		none := 0
		event := eventSchema(schemas, "", reflect.TypeFor[events.MessageData]())
		event.Description = "An event of more than 256 KiB, as webhooks carry it: data is empty, and dataUrl leads to the whole event."
		event.Properties["type"] = schemas.Map()["Event"].Properties["type"]
		event.Properties["data"] = &huma.Schema{Type: huma.TypeObject, MaxProperties: &none}
		event.Properties["dataUrl"] = &huma.Schema{
			Type: huma.TypeString, Description: "Where the whole event is, with the API key: GET /v1/events/{eventId}.",
			Examples: []any{"https://chasqui.example.com/v1/events/" + exampleEventID},
		}
		event.Required = append(append([]string{}, event.Required...), "dataUrl")
		schemas.Map()[thin] = event
	}
	return &huma.Schema{AnyOf: []*huma.Schema{{Ref: refs + component}, {Ref: refs + thin}}}
}
