package dispatcher

import (
	"encoding/json"

	"github.com/chasqui/chasqui/events"
)

// thinAbove is the size of an event, in bytes, above which its webhook goes without its data: larger bodies do not fit what many a receiver
// has before it, a gateway or a queue of its own.
const thinAbove = 256 << 10

// A thinEvent is an event without its data. The other members are the event's own, byte for byte.
type thinEvent struct {
	ID        string          `json:"id"`
	Type      events.Type     `json:"type"`
	Timestamp json.RawMessage `json:"timestamp"`
	SessionID string          `json:"sessionId,omitempty"`
	Data      struct{}        `json:"data"`
	DataURL   string          `json:"dataUrl"`
}

// thin returns what is sent of an event in the format standard: the event's own bytes, or where they are too many the same without its data,
// and with the URL of the whole in the API, which asks for the key. Each attempt makes the same bytes.
func (d *Dispatcher) thin(body []byte) []byte {
	if len(body) <= thinAbove {
		return body
	}
	var event thinEvent
	if err := json.Unmarshal(body, &event); err != nil {
		return body // no event of ours; as it is, its receiver gets what there is
	}
	event.DataURL = d.cfg.PublicURL + "/v1/events/" + event.ID
	short, err := json.Marshal(event)
	if err != nil {
		return body // it cannot be: all of it has just been read from JSON
	}
	return short
}
