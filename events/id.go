package events

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Prefix names what an id is of. The public form of every id is its prefix and the 32 hex digits of a UUIDv7; the database keeps the
// UUID alone.
type Prefix string

// The prefixes of the public ids.
const (
	MessagePrefix  Prefix = "msg_"
	EventPrefix    Prefix = "evt_"
	EndpointPrefix Prefix = "we_"
	DeliveryPrefix Prefix = "dlv_"
	MediaPrefix    Prefix = "med_"
	ReplayPrefix   Prefix = "rpl_"
	ChangePrefix   Prefix = "chg_"
	BatchPrefix    Prefix = "bat_"
	KeyPrefix      Prefix = "key_"
	AuditPrefix    Prefix = "aud_"
)

// NewID returns a UUIDv7: ordered by time, so that indexes grow at their end and partitions by id are partitions by time.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) } // it can only fail when the system's randomness does, which Go makes fatal

// FirstID is the least UUIDv7 of a moment (RFC 9562, section 5.7), less any real one since it lacks the version. Times before 1970 are as 1970.
func FirstID(at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(max(at.UnixMilli(), 0))<<16)
	return id
}

// MadeAt is when a UUIDv7 was made, to the millisecond.
func MadeAt(id uuid.UUID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// Format returns the public form of id.
func (p Prefix) Format(id uuid.UUID) string { return string(p) + hex.EncodeToString(id[:]) }

// Parse reads a public id back; it accepts nothing that Format would not have written.
func (p Prefix) Parse(s string) (uuid.UUID, error) {
	digits, ok := strings.CutPrefix(s, string(p))
	if !ok || len(digits) != 32 || strings.ToLower(digits) != digits {
		return uuid.UUID{}, fmt.Errorf("parse id: want %s and 32 lowercase hex digits", p)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("parse id: want %s and 32 lowercase hex digits", p)
	}
	return uuid.UUID(raw), nil
}
