package connector

import (
	"context"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// checkContacts answers events.CheckContacts, and keeps whose the numbers are.
func (c *connection) checkContacts(ctx context.Context, q events.CheckContactsQuestion) (events.ContactChecks, error) {
	found, err := c.lookUp(ctx, q.Numbers)
	if err != nil {
		return events.ContactChecks{}, err
	}
	err = c.s.fenced(ctx, func(tx *queue.Tx) error {
		for _, number := range q.Numbers {
			who, ok := found[number]
			if !ok {
				continue
			}
			if _, _, err := c.learn(ctx, tx, who.address, news{businessName: given(who.business)}, "", time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return events.ContactChecks{}, err
	}
	checks := events.ContactChecks{Data: make([]events.ContactCheck, len(q.Numbers))}
	for i, number := range q.Numbers {
		checks.Data[i] = events.ContactCheck{Number: number}
		if who, ok := found[number]; ok {
			contact := events.NewAddress(who.id, who.phone, who.lid, who.business)
			checks.Data[i].OnWhatsApp, checks.Data[i].Contact = true, &contact
		}
	}
	return checks, nil
}
