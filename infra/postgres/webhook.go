package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/infra/seal"
)

// OpenEndpoint opens what is sealed in the columns of a webhook endpoint's row.
func OpenEndpoint(keys *seal.Keys, id uuid.UUID, secret *string, headers, previous *json.RawMessage) (err error) {
	of := id.String()
	if *secret, err = keys.OpenText(*secret, seal.EndpointSecret.At(of)); err != nil {
		return fmt.Errorf("open secret of endpoint %s: %w", of, err)
	}
	if *headers, err = keys.OpenJSON(seal.EndpointHeaders, *headers, of); err != nil {
		return fmt.Errorf("open headers of endpoint %s: %w", of, err)
	}
	if *previous, err = keys.OpenJSON(seal.EndpointPreviousSecrets, *previous, of); err != nil {
		return fmt.Errorf("open earlier secrets of endpoint %s: %w", of, err)
	}
	return nil
}

// A PreviousSecret is one of webhook_endpoints.previous_secrets: it signs beside the present secret until its time.
type PreviousSecret struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until"`
}

// PreviousSecrets reads webhook_endpoints.previous_secrets and returns those that sign at a time, the latest first.
func PreviousSecrets(raw json.RawMessage, at time.Time) ([]PreviousSecret, error) {
	var all, live []PreviousSecret
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("decode previous secrets: %w", err)
	}
	for _, p := range all {
		if p.Until.After(at) {
			live = append(live, p)
		}
	}
	return live, nil
}
