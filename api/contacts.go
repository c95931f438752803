package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// contactWait is how long the answer for a contact waits for what WhatsApp says of him, unless its client says otherwise: what is stored is there at once.
const contactWait = 3

type checkContacts struct {
	Numbers []string `json:"numbers" minItems:"1" maxItems:"50" doc:"Phone numbers with their country code (digits, + allowed). A JID of a phone is accepted too." example:"[\"+5491123456789\",\"5511987654321\"]"`
}

// ContactPath names somebody.
type ContactPath struct {
	SessionPath
	ContactID string `path:"contactId" maxLength:"64" doc:"A phone number with its country code, or a JID: of the phone or the LID." example:"5491123456789@s.whatsapp.net"`
}

func (s *Server) addContacts() {
	known, mexican := events.NewAddress("5491123456789@s.whatsapp.net", "5491123456789", "120363001122334", ""), events.ContactCheck{Number: "5215500000000"}
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/contacts/check", id: "check-contacts", scope: scopeRead, asks: true, tag: "Contacts", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Check phone numbers",
		description: "Asks WhatsApp which of up to 50 numbers have an account, and whose it is. A number of Brazil, Mexico or Argentina that has none as it is written is asked for in its " +
			"other national forms too (Brazil's ninth digit, Mexico's 1, Argentina's 9 and 15): contact.phone is the number that has the account. It takes no Idempotency-Key: asked twice, it " +
			"answers twice. A session that is not connected " +
			"is a problem at once. Checking many numbers that have no account is what spammers do: WhatsApp answers rate_limited, or bans the account.",
		request:  map[string]any{"numbers": []string{"+541123456789", "5215500000000"}},
		response: events.ContactChecks{Data: []events.ContactCheck{{Number: "+541123456789", OnWhatsApp: true, Contact: &known}, mexican}},
		codes:    queryCodes,
	}, s.checkContacts)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/contacts", id: "list-contacts", tag: "Contacts", status: 200,
		summary:     "List contacts",
		description: "The people whom the session knows, by id: those who wrote or were written to, were checked, or stand in the account's address book.",
		response:    List[events.Contact]{Data: []events.Contact{exampleContact}}, codes: []Code{SessionNotFound},
	}, s.listContacts)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/contacts/{contactId}", id: "get-contact", tag: "Contacts", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Read a contact",
		description: "Who somebody is, by phone number or LID. about and pictureId are asked of WhatsApp, for 3 seconds unless Prefer: wait says otherwise; with wait=0, or where there is no " +
			"answer or no connection, they are what was last known. Somebody whom the session does not know is asked for, too.",
		response: exampleContact, codes: append(queryCodes, ContactNotFound),
	}, s.getContact)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/contacts/{contactId}/picture", id: "get-contact-picture", tag: "Contacts", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Read a contact's picture", description: "Asks WhatsApp where somebody's profile picture is. not_found: there is none, or the account may not see it.",
		response: events.Picture{ID: "1637427843", URL: "https://pps.whatsapp.net/v/t61/1637427843.jpg", Type: "image"}, codes: queryCodes,
	}, s.getContactPicture)
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/contacts/{contactId}/business-profile", id: "get-contact-business-profile", tag: "Contacts", status: 200,
		wait: maxPreferredWait * time.Second, summary: "Read a business's profile", description: "Asks WhatsApp what a business tells about itself. not_found: this is no business.",
		response: events.BusinessProfile{
			Description: "Pipes and taps since 1982.", Websites: []string{"https://example.com"}, Categories: []string{"Plumbing"}, Timezone: "America/Argentina/Buenos_Aires",
			Hours: []events.BusinessDay{{Day: "mon", Mode: "specific_hours", Open: 540, Close: 1080}},
		}, codes: queryCodes,
	}, s.getContactBusiness)
	s.addContactChanges()
	s.addContactErasure()
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

// likeEscape makes a text stand for itself in LIKE.
var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (s *Server) listContacts(ctx context.Context, in *struct {
	SessionPath
	Page
	Q       string    `query:"q" maxLength:"100" doc:"Only whose name holds this text, or whose number or LID these digits." example:"juan"`
	Phone   string    `query:"phone" pattern:"^\\+?[0-9]{7,15}$" doc:"Only who has this number." example:"5491123456789"`
	LID     string    `query:"lid" pattern:"^[0-9]{1,20}$" doc:"Only who has this LID, in digits." example:"120363001122334"`
	Blocked ownFilter `query:"blocked" doc:"true: only those whom the account blocked; false: only others." example:"true"`
	Saved   ownFilter `query:"saved" doc:"true: only those in the account's address book; false: only others." example:"true"`
}) (*listed[events.Contact], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	p := db.ContactListParams{SessionID: in.SessionID, After: in.Cursor, MaxRows: in.rows(), Phone: strings.TrimPrefix(in.Phone, "+"), Lid: in.LID}
	if in.Cursor != "" {
		if jid, err := events.ParseAddress(in.Cursor); err != nil || jid != in.Cursor {
			return nil, invalid("query.cursor", "this is no nextCursor of this list")
		}
	}
	query := url.Values{}
	for name, value := range map[string]string{"q": in.Q, "phone": in.Phone, "lid": in.LID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if in.Q != "" {
		p.Name = "%" + likeEscape.Replace(in.Q) + "%"
		if digits := strings.TrimPrefix(in.Q, "+"); strings.Trim(digits, "0123456789") == "" {
			p.Digits = digits
		}
	}
	if in.Blocked.given {
		p.Blocked = &in.Blocked.value
		query.Set("blocked", strconv.FormatBool(in.Blocked.value))
	}
	if in.Saved.given {
		p.Saved = &in.Saved.value
		query.Set("saved", strconv.FormatBool(in.Saved.value))
	}
	rows, err := s.q.ContactList(ctx, s.pool, p)
	if err != nil {
		return nil, fmt.Errorf("list contacts: %w", err)
	}
	return paged(rows, in.Limit, "/v1/sessions/"+in.SessionID+"/contacts", query,
		func(row db.Contact) (events.Contact, error) { return postgres.Contact(row), nil }, func(row db.Contact) string { return row.ID })
}

// contactID is the id under which the session knows the person whom a path names. Where it does not know the number as it is written, but another of
// its national forms, that is meant.
func (s *Server) contactID(ctx context.Context, from db.DBTX, path ContactPath) (id string, row *db.Contact, err error) {
	if id, err = s.addressed(ctx, from, path.SessionID, "path.contactId", path.ContactID); err != nil {
		return "", nil, err
	}
	if events.KindOf(id) != events.KindUser {
		return "", nil, invalid("path.contactId", "expected a person")
	}
	ids := []string{id}
	if number, ok := strings.CutSuffix(id, "@"+events.PhoneServer); ok {
		for _, form := range events.NationalForms(number) {
			ids = append(ids, form+"@"+events.PhoneServer)
		}
	}
	for _, known := range ids {
		row, err := s.q.ContactGet(ctx, from, path.SessionID, known)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("read contact: %w", err)
		}
		return known, &row, nil
	}
	return id, nil, nil
}

func (s *Server) getContact(ctx context.Context, in *struct {
	ContactPath
	Prefer string `header:"Prefer" maxLength:"256" doc:"wait=N: wait up to N seconds for WhatsApp, 0 to 30; without it 3." example:"wait=10"`
}) (*asked[events.Contact], error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	id, row, err := s.contactID(ctx, s.pool, in.ContactPath)
	if err != nil {
		return nil, err
	}
	out, wait := &asked[events.Contact]{}, contactWait
	if n, ok := preferredWait(in.Prefer); ok {
		wait, out.PreferenceApplied = n, "wait="+strconv.Itoa(n)
	}
	err = problem(ContactNotFound, "the session knows nobody of this id")
	if wait > 0 {
		var found *asked[events.ContactFound]
		found, err = ask(ctx, s, in.SessionID, Asking{Prefer: "wait=" + strconv.Itoa(wait)}, events.ReadContact, events.ContactQuestion{ID: id})
		if err == nil && found.Body.Contact != nil {
			out.Body = *found.Body.Contact
			return out, nil
		}
		if err == nil {
			err = problem(ContactNotFound, "neither the session nor WhatsApp knows anybody of this id")
		}
	}
	if row == nil {
		return nil, err
	}
	out.Body = postgres.Contact(*row)
	return out, nil
}

func (s *Server) getContactPicture(ctx context.Context, in *struct {
	ContactPath
	Asking
	Preview bool `query:"preview" doc:"true: the small form." example:"true"`
}) (*asked[events.Picture], error) {
	id, _, err := s.contactID(ctx, s.pool, in.ContactPath)
	if err != nil {
		return nil, err
	}
	return ask(ctx, s, in.SessionID, in.Asking, events.ReadPicture, events.PictureQuestion{ID: id, Preview: in.Preview})
}

func (s *Server) getContactBusiness(ctx context.Context, in *struct {
	ContactPath
	Asking
}) (*asked[events.BusinessProfile], error) {
	id, _, err := s.contactID(ctx, s.pool, in.ContactPath)
	if err != nil {
		return nil, err
	}
	return ask(ctx, s, in.SessionID, in.Asking, events.ReadBusiness, events.ContactQuestion{ID: id})
}
