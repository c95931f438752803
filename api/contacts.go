package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chasqui/chasqui/events"
)

type checkContacts struct {
	Numbers []string `json:"numbers" minItems:"1" maxItems:"50" doc:"Phone numbers with their country code (digits, + allowed). A JID of a phone is accepted too." example:"[\"+5491123456789\",\"5511987654321\"]"`
}

func (s *Server) addContacts() {
	known, mexican := events.NewAddress("5491123456789@s.whatsapp.net", "5491123456789", "120363001122334", ""), events.ContactCheck{Number: "5215500000000"}
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/contacts/check", id: "check-contacts", tag: "Contacts", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Check phone numbers",
		description: "Asks WhatsApp which of up to 50 numbers have an account, and whose it is. It changes nothing, so it takes no Idempotency-Key. A session that is not connected " +
			"is a problem at once. Checking many numbers that have no account is what spammers do: WhatsApp answers rate_limited, or bans the account.",
		request:  map[string]any{"numbers": []string{"+541123456789", "5215500000000"}},
		response: events.ContactChecks{Data: []events.ContactCheck{{Number: "+541123456789", OnWhatsApp: true, Contact: &known}, mexican}},
		codes:    queryCodes,
	}, s.checkContacts)
}

func (s *Server) checkContacts(ctx context.Context, in *struct {
	SessionPath
	Asking
	Body checkContacts
}) (*asked[events.ContactChecks], error) {
	var question events.CheckContactsQuestion
	for i, number := range in.Body.Numbers {
		jid, err := events.ParseAddress(number)
		digits, isPhone := strings.CutSuffix(jid, "@"+events.PhoneServer)
		if err != nil || !isPhone {
			return nil, invalid(fmt.Sprintf("body.numbers[%d]", i), "expected a phone number with its country code, 7 to 15 digits")
		}
		question.Numbers = append(question.Numbers, digits)
	}
	out, err := ask(ctx, s, in.SessionID, in.Asking, events.CheckContacts, question)
	if err != nil {
		return nil, err
	}
	if len(out.Body.Data) != len(in.Body.Numbers) {
		return nil, fmt.Errorf("the answer is of %d numbers, and not of %d", len(out.Body.Data), len(in.Body.Numbers))
	}
	for i := range out.Body.Data {
		out.Body.Data[i].Number = in.Body.Numbers[i]
	}
	return out, nil
}
