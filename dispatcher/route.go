package dispatcher

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// aboutEndpoints returns the webhook endpoints that events are about, by the events' ids.
func aboutEndpoints(messages []queue.Fetched) (map[uuid.UUID]uuid.UUID, error) {
	about := map[uuid.UUID]uuid.UUID{}
	for _, m := range messages {
		if raw := m.Metadata[events.MetaEndpoint]; raw != "" {
			id, err := uuid.Parse(raw)
			if err != nil {
				return nil, fmt.Errorf("%w: its metadata names no endpoint", errBadEvent)
			}
			about[m.ID] = id
		}
	}
	return about, nil
}

// mayGo says whether an event may go to an endpoint, and whether it goes whatever the endpoint's filters say. about is the endpoint that the
// event is about, uuid.Nil for most: a test goes to that one alone, and how one fares to all others that want to hear of it, since the one
// that fails is no place to say so.
func mayGo(eventType string, about, endpoint uuid.UUID) (may, whatever bool) {
	if eventType == string(events.WebhookTest) {
		return about == endpoint, true
	}
	return about != endpoint, false
}
