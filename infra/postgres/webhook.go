package postgres

import (
	"encoding/json"
	"fmt"
	"time"
)

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
