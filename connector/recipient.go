package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// resolvedMost bounds the numbers that a session remembers to have another form, at 100 bytes each.
const resolvedMost = 10_000

// recipient is whom a message is sent to, with a LID that is known. Where the number as it was written has no account, and another of its national
// forms has, the message's row goes to that chat first: whoever looks at it later, a process after a crash too, sees one recipient. A person who
// was known by LID alone is sent to under his phone once that is known.
func (c *connection) recipient(ctx context.Context, message uuid.UUID, to types.JID) (types.JID, error) {
	found, err := c.reachable(ctx, to)
	if err != nil || found == to {
		return found, err
	}
	err = c.s.fenced(ctx, func(tx *queue.Tx) error {
		moved, err := c.s.c.queries.MessageReaddress(ctx, tx, found.String(), message, c.s.id)
		if err != nil {
			return fmt.Errorf("readdress message: %w", err)
		}
		if moved == 0 { // it has ended, or was deleted
			return errLookAgain
		}
		kind := string(events.KindUser)
		if _, err := c.s.c.queries.ChatTouch(ctx, tx, c.s.id, found.String(), kind, nil); err != nil {
			return fmt.Errorf("touch chat: %w", err)
		}
		if err := c.s.c.queries.ContactEnsure(ctx, tx, c.s.id, found.String(), found.User, ""); err != nil {
			return fmt.Errorf("ensure contact: %w", err)
		}
		return c.s.c.queries.ChatReaddress(ctx, tx, c.s.id, to.String())
	})
	switch {
	case errors.Is(err, errClaimLost), errors.Is(err, errLookAgain):
		return found, err
	case err != nil:
		return found, fmt.Errorf("%w: %w", errLookAgain, err)
	}
	return found, nil
}

// reachable is an address with a LID that is known: the given one, or another national form of its number. errNotOnWhatsApp: none of them.
func (c *connection) reachable(ctx context.Context, to types.JID) (types.JID, error) {
	if to.Server == types.HiddenUserServer {
		who, err := c.address(ctx, to, types.EmptyJID)
		if err != nil || who.phone == "" {
			return to, err
		}
		return types.NewJID(who.phone, types.DefaultUserServer), nil
	}
	c.s.mu.Lock()
	known := c.s.resolved[to.User]
	c.s.mu.Unlock()
	if known != "" && to.Server == types.DefaultUserServer {
		return types.NewJID(known, types.DefaultUserServer), nil
	}
	err := c.findLID(ctx, to)
	if !errors.Is(err, errNotOnWhatsApp) {
		return to, err
	}
	found, err := c.lookUp(ctx, []string{to.User})
	if err != nil {
		return to, err
	}
	who, ok := found[to.User]
	if !ok || who.phone == "" {
		return to, errNotOnWhatsApp
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if len(c.s.resolved) >= resolvedMost {
		clear(c.s.resolved)
	}
	c.s.resolved[to.User] = who.phone
	return types.NewJID(who.phone, types.DefaultUserServer), nil
}

// account is whose a number is.
type account struct {
	address
	business string // its verified name
}

// lookUp asks WhatsApp whose some numbers are, those of which it says that they have no account also in their other national forms. Numbers
// without an account are not in the answer.
func (c *connection) lookUp(ctx context.Context, numbers []string) (map[string]account, error) {
	found := map[string]account{}
	if err := c.askNumbers(ctx, numbers, found); err != nil {
		return nil, err
	}
	var forms []string
	for _, number := range numbers {
		if _, ok := found[number]; !ok {
			forms = append(forms, events.NationalForms(number)...)
		}
	}
	if len(forms) == 0 {
		return found, nil
	}
	others := map[string]account{}
	if err := c.askNumbers(ctx, forms, others); err != nil {
		return nil, err
	}
	for _, number := range numbers {
		if _, ok := found[number]; ok {
			continue
		}
		for _, form := range events.NationalForms(number) {
			if who, ok := others[form]; ok {
				found[number] = who
				break
			}
		}
	}
	return found, nil
}

// askNumbers asks for numbers as they are written. A number that WhatsApp says nothing about has no account; the one that it names may differ from the one
// that was asked for.
func (c *connection) askNumbers(ctx context.Context, numbers []string, found map[string]account) error {
	asked, plus := map[string]bool{}, make([]string, 0, len(numbers))
	for _, number := range numbers {
		if !asked[number] {
			asked[number], plus = true, append(plus, "+"+number)
		}
	}
	answers, err := c.client.IsOnWhatsApp(ctx, plus)
	if err != nil {
		return fmt.Errorf("ask for numbers: %w", err)
	}
	for _, a := range answers {
		number := strings.TrimPrefix(a.Query, "+")
		if !a.IsIn || !asked[number] {
			continue
		}
		who, err := c.address(ctx, a.JID, a.PhoneNumber)
		if err != nil {
			return err
		}
		known := account{address: who}
		if a.VerifiedName != nil {
			known.business = pushName(a.VerifiedName.Details.GetVerifiedName())
		}
		found[number] = known
	}
	return nil
}
