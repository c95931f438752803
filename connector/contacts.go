package connector

import (
	"context"
	"fmt"
	"strings"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
)

// checkContacts answers events.CheckContacts. A number that WhatsApp says nothing about has no account.
func (c *connection) checkContacts(ctx context.Context, q events.CheckContactsQuestion) (events.ContactChecks, error) {
	found := make(map[string]types.IsOnWhatsAppResponse, len(q.Numbers))
	var ask []string
	for _, number := range q.Numbers {
		if _, asked := found[number]; !asked {
			found[number] = types.IsOnWhatsAppResponse{}
			ask = append(ask, "+"+number)
		}
	}
	answers, err := c.client.IsOnWhatsApp(ctx, ask)
	if err != nil {
		return events.ContactChecks{}, fmt.Errorf("ask for numbers: %w", err)
	}
	for _, a := range answers {
		found[strings.TrimPrefix(a.Query, "+")] = a
	}
	checks := events.ContactChecks{Data: make([]events.ContactCheck, len(q.Numbers))}
	for i, number := range q.Numbers {
		checks.Data[i] = events.ContactCheck{Number: number}
		a := found[number]
		if !a.IsIn {
			continue
		}
		who, err := c.address(ctx, a.JID, a.PhoneNumber)
		if err != nil {
			return events.ContactChecks{}, err
		}
		name := ""
		if a.VerifiedName != nil {
			name = a.VerifiedName.Details.GetVerifiedName()
		}
		contact := events.NewAddress(who.id, who.phone, who.lid, name)
		checks.Data[i].OnWhatsApp, checks.Data[i].Contact = true, &contact
	}
	return checks, nil
}
