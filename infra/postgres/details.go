package postgres

import (
	"encoding/json"
	"fmt"
)

// Details are what was found out about the content of a media, for the message that sends it. Zero values are what is not known.
type Details struct {
	Width     int    `json:"width,omitempty"`     // pixels, as it is shown
	Height    int    `json:"height,omitempty"`    // pixels
	Thumbnail []byte `json:"thumbnail,omitempty"` // JPEG
	Seconds   int    `json:"seconds,omitempty"`   // how long it plays
	Waveform  []byte `json:"waveform,omitempty"`  // 64 samples from 0 to 100
	Animated  bool   `json:"animated,omitempty"`  // a sticker that moves
}

// ReadDetails reads the column details.
func ReadDetails(raw json.RawMessage) (d Details, err error) {
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("decode details of media: %w", err)
	}
	return d, nil
}
