package server

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// restrictionKind is the kind of the records, by phone number, that say that an account may not write to strangers for a time.
const restrictionKind = "restriction"

// Restriction is WhatsApp's "reachout timelock": an account that wrote to too many strangers may not begin chats until it ends.
type Restriction struct {
	Until time.Time `json:"until"`
	// Type is the reason, as BIZ_QUALITY; WEB_COMPANION_ONLY is for linked devices alone. Baileys lists them (Types/State).
	Type string `json:"type"`
}

// restrictions are those of all accounts, by phone number. The zero value is ready. Only telling of them is done here: nothing is refused.
type restrictions struct {
	change  sync.Mutex // held over a change
	byPhone sync.Map   // Restriction
}

func registerRestrictions(r *registry) {
	r.loaders[restrictionKind] = func(s *Server, r journal.Record) error {
		var restriction Restriction
		if err := json.Unmarshal(r.Value, &restriction); err != nil {
			return err
		}
		s.restrictions.byPhone.Store(r.Key, restriction)
		return nil
	}
}

// Restrict says to an account's devices, and to those that ask later, that it is restricted; the zero Restriction lifts it. It returns
// ErrNoAccount for a phone number without one.
func (s *Server) Restrict(ctx context.Context, phone string, restriction Restriction) error {
	a, err := s.accountOf(phone)
	if err != nil {
		return err
	}
	s.restrictions.change.Lock()
	defer s.restrictions.change.Unlock()
	change := journal.Record{Kind: restrictionKind, Key: phone}
	if restriction != (Restriction{}) {
		change = record(restrictionKind, phone, restriction)
	}
	node := mexNotification("NotificationUserReachoutTimelockUpdate", "xwa2_notify_account_reachout_timelock", restriction.timelock())
	if err := s.commit(ctx, []journal.Record{change}, s.toDevices(s.devicesOf(a, nil), node)); err != nil {
		return fmt.Errorf("restrict account: %w", err)
	}
	s.restrictions.byPhone.Store(phone, restriction)
	return nil
}

// timelock is the restriction as clients read it (NotifyAccountReachoutTimelock in types/events); without one the type is DEFAULT.
func (r Restriction) timelock() map[string]any {
	if !time.Now().Before(r.Until) {
		return map[string]any{"is_active": false, "time_enforcement_ends": "0", "enforcement_type": "DEFAULT"}
	}
	return map[string]any{"is_active": true, "time_enforcement_ends": fmt.Sprint(r.Until.Unix()), "enforcement_type": r.Type}
}

func mexRestriction(_ context.Context, c *conn, _ *mexVariables) (any, error) {
	stored, _ := c.s.restrictions.byPhone.Load(c.device.account.keys.Phone)
	restriction, _ := stored.(Restriction)
	return restriction.timelock(), nil
}
