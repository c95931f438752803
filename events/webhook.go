package events

import (
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events/queue"
)

// WebhookData is the data of the events about a webhook endpoint.
type WebhookData struct {
	Endpoint WebhookEndpoint `json:"endpoint"`
	Message  *Message        `json:"message,omitempty" doc:"In webhook.test: a message that nobody wrote, so that there is something to show in every format."`
}

// A WebhookEndpoint is an endpoint as events tell of it.
type WebhookEndpoint struct {
	ID                  string     `json:"id" example:"we_01932f0c5d6b7a10b1f4d0c4a8e2f001"`
	URL                 string     `json:"url" doc:"Without user, password and query, which may hold secrets." example:"https://example.com/hook"`
	State               string     `json:"state" enum:"active,paused,disabled"`
	Reason              string     `json:"reason,omitempty" doc:"In webhook.failing and webhook.disabled: what is wrong, for a person."`
	FailingSince        *time.Time `json:"failingSince,omitempty" doc:"The first failure since the last success."`
	ConsecutiveFailures int        `json:"consecutiveFailures" doc:"Failures since the last success." example:"10"`
}

// BareURL is a URL without what may hold secrets: user, password, query and fragment. It is for people to read: a broker's topic keeps its
// braces, which a URL has to encode.
func BareURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	bare := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	return strings.NewReplacer("%7B", "{", "%7D", "}").Replace(bare)
}

// MetaEndpoint is the metadata of an event about a webhook endpoint: its UUID. webhook.test goes to that endpoint alone, whatever its filters
// say; the others go to all but that one.
const MetaEndpoint = "endpoint"

// PublishAbout puts an event about a webhook endpoint on the queue inside tx and returns its id.
func PublishAbout(tx *queue.Tx, t Type, endpoint uuid.UUID, at time.Time, data WebhookData) (uuid.UUID, error) {
	return publish(tx, t, "", "", EndpointLane(endpoint), at, data, map[string]string{MetaEndpoint: endpoint.String()})
}
