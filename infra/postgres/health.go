package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// From when something stands out in an account's health. WhatsApp publishes no numbers; these are ours: of fewer people nothing can be said, and an
// account whose messages one in ten answers, or a fifth of whose numbers do not exist, writes from a list that it should not.
const (
	healthLeast      = 20  // people, or messages
	healthUnanswered = 0.1 // of the people written to first, answered by fewer
	healthMissing    = 0.2 // of the messages, to numbers that are not on WhatsApp, more
)

// Health reads how the account of a session fares, and the level that session.risk told last. pgx.ErrNoRows: there is no such session.
func Health(ctx context.Context, from db.DBTX, q *db.Queries, sessionID string) (h events.AccountHealth, told string, err error) {
	now := time.Now()
	row, err := q.SessionHealth(ctx, from, sessionID, events.FirstID(now.Add(-24*time.Hour)))
	if err != nil {
		return h, "", fmt.Errorf("read health: %w", err)
	}
	h, err = health(row, now)
	return h, row.Health, err
}

// health is what there is to say of what was read.
func health(row db.SessionHealthRow, now time.Time) (h events.AccountHealth, err error) {
	h = events.AccountHealth{
		Level: events.HealthGood, Reasons: []events.HealthReason{}, Sent: int(row.Sent), Failed: map[string]int{}, Waiting: map[string]int{},
		NewContacts: events.NewContactRate{Today: int(row.Today), Week: int(row.Week), Answered: int(row.Answered)},
	}
	if row.RestrictedUntil != nil && row.RestrictedUntil.After(now) {
		h.RestrictedUntil = row.RestrictedUntil
	}
	var settings events.Settings
	for column, into := range map[string]struct {
		raw json.RawMessage
		to  any
	}{"failed": {row.Failed, &h.Failed}, "waiting": {row.Waiting, &h.Waiting}, "settings": {row.Settings, &settings}} {
		if err := json.Unmarshal(into.raw, into.to); err != nil {
			return h, fmt.Errorf("decode %s of a session's health: %w", column, err)
		}
	}
	if sending := settings.Sending; sending != nil {
		if n := sending.NewContacts; n != nil {
			h.NewContacts.PerDay = n.Limit(now, row.CreatedAt)
		}
		if w := sending.Window; w != nil {
			opens, err := w.Opens(now)
			if err != nil {
				return h, err
			}
			if opens.After(now) {
				opens = opens.UTC()
				h.WindowOpensAt = &opens
			}
		}
	}
	say := func(level, code, format string, args ...any) {
		if h.Level != events.HealthRisk {
			h.Level = level
		}
		h.Reasons = append(h.Reasons, events.HealthReason{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	switch {
	case row.State == string(events.StateBanned):
		say(events.HealthRisk, "account_banned", "WhatsApp has banned the account.")
	case h.RestrictedUntil != nil:
		say(events.HealthRisk, "account_restricted", "WhatsApp lets the account write to nobody new until %s. Who wrote to it can be answered.", h.RestrictedUntil.UTC().Format(time.RFC3339))
	case h.Failed["account_restricted"] > 0:
		say(events.HealthRisk, "account_restricted", "WhatsApp refused %d messages to people who have not written to the account (code 463). Who wrote to it can be answered.", h.Failed["account_restricted"])
	}
	if n := h.Failed["rate_limited"]; n > 0 {
		say(events.HealthCaution, "rate_limited", "WhatsApp refused %d messages because there were too many (code 429). Pace them with settings.sending.", n)
	}
	if n, all := h.Failed["recipient_not_on_whatsapp"], h.Failed["recipient_not_on_whatsapp"]+h.Sent; all >= healthLeast && float64(n) > healthMissing*float64(all) {
		say(events.HealthCaution, "not_on_whatsapp", "Of %d messages, %d went to numbers that are not on WhatsApp. Check numbers before with POST contacts/check.", all, n)
	}
	if c := h.NewContacts; c.Week >= healthLeast && float64(c.Answered) < healthUnanswered*float64(c.Week) {
		say(events.HealthCaution, "unanswered", "Of %d people that the account wrote to first, %d answered. Write to people who expect it, and bound it with settings.sending.newContacts.", c.Week, c.Answered)
	}
	return h, nil
}
