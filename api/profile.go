package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

const profilePath = "/v1/sessions/{sessionId}/profile"

type changeProfile struct {
	Name  *string `json:"name,omitempty" minLength:"1" maxLength:"25" doc:"What the account calls itself; others see it beside its number." example:"Juan Pérez"`
	About *string `json:"about,omitempty" maxLength:"139" doc:"What it says about itself; an empty one takes it away." example:"At work"`
}

var exampleProfile = events.Profile{
	Address: exampleMessage.To, BusinessName: "Pérez Plumbing", About: "At work",
	Picture: &events.Picture{ID: "1637427843", URL: "https://pps.whatsapp.net/v/t61/1637427843.jpg", Type: "image"},
}

func (s *Server) addProfile() {
	register(s, operation{
		method: "GET", path: profilePath, id: "get-profile", tag: "Profile", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Read the account's profile", description: "Asks WhatsApp what the account shows of itself.",
		response: exampleProfile, codes: queryCodes,
	}, func(ctx context.Context, in *struct {
		SessionPath
		Asking
	}) (*asked[events.Profile], error) {
		return ask(ctx, s, in.SessionID, in.Asking, events.ReadProfile, events.ProfileQuestion{})
	})
	register(s, operation{
		method: "PATCH", path: profilePath, id: "change-profile", tag: "Profile", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Change the account's profile",
		description: "Changes what the account shows of itself: what is left out stays. What changes, here or on the phone, is told by contact.updated of the account's own JID. " +
			"What people see beside a message is the name that it was sent under.",
		request: map[string]any{"name": "Juan Pérez", "about": "At work"}, response: exampleProfile, codes: changeCodes,
	}, s.changeProfile)
	register(s, operation{
		method: "PUT", path: profilePath + "/picture", id: "set-profile-picture", tag: "Profile", status: 200, also: queuedToo,
		wait: fetchTimeout + describeTimeout + maxPreferredWait*time.Second, maxBody: maxMediaBody,
		summary: "Set the account's picture", description: "Gives the account a picture, in place of the one before. Set again, others see it come again.",
		request: map[string]any{"media": map[string]string{"url": "https://example.com/me.jpg"}}, response: events.ProfilePictured{PictureID: "1637427843"},
		codes: append(slices.Clone(changeCodes), pictureCodes...),
	}, func(ctx context.Context, in *struct {
		SessionPath
		Changing
		Body setPicture
	}) (*changed[events.ProfilePictured], error) {
		return pictured(ctx, s, in.SessionID, in.Changing, &in.Body.Media, events.SetProfilePicture, func(ctx context.Context, tx *queue.Tx) (string, error) {
			return s.own(ctx, tx, in.SessionID)
		})
	})
	register(s, operation{
		method: "DELETE", path: profilePath + "/picture", id: "delete-profile-picture", tag: "Profile", status: 200, also: queuedToo, wait: maxPreferredWait * time.Second,
		summary: "Take the account's picture away", description: "The account has no picture from then on.",
		response: events.ProfilePictured{}, codes: changeCodes,
	}, func(ctx context.Context, in *struct {
		SessionPath
		Changing
	}) (*changed[events.ProfilePictured], error) {
		return onProfile(ctx, s, in.SessionID, in.Changing, events.SetProfilePicture, events.GroupPicture{})
	})
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/business-profile", id: "get-business-profile", tag: "Profile", status: 200, wait: maxPreferredWait * time.Second,
		summary: "Read the account's business profile", description: "Asks WhatsApp what the account tells about itself as a business. not_found: it is none.",
		response: events.BusinessProfile{
			Description: "Pipes and taps since 1982.", Websites: []string{"https://example.com"}, Categories: []string{"Plumbing"}, Timezone: "America/Argentina/Buenos_Aires",
			Hours: []events.BusinessDay{{Day: "mon", Mode: "specific_hours", Open: 540, Close: 1080}},
		}, codes: queryCodes,
	}, func(ctx context.Context, in *struct {
		SessionPath
		Asking
	}) (*asked[events.BusinessProfile], error) {
		id, err := s.own(ctx, s.pool, in.SessionID)
		if err != nil {
			return nil, err
		}
		return ask(ctx, s, in.SessionID, in.Asking, events.ReadBusiness, events.ContactQuestion{ID: id})
	})
	s.addPrivacy()
}

// own is the JID of a session's own account, "" until it has been linked.
func (s *Server) own(ctx context.Context, from db.DBTX, sessionID string) (string, error) {
	session, err := s.sessionRow(ctx, from, sessionID)
	if err != nil || session.Phone == nil {
		return "", err
	}
	return *session.Phone + "@" + events.PhoneServer, nil
}

// onProfile accepts a change of the account itself.
func onProfile[P, R any](ctx context.Context, s *Server, sessionID string, in Changing, kind events.ChangeKind[P, R], parameters P) (*changed[R], error) {
	return change(ctx, s, sessionID, "", in, kind, func(ctx context.Context, tx *queue.Tx) (w wish[P], err error) {
		id, err := s.own(ctx, tx, sessionID)
		return wish[P]{id, id, parameters}, err
	})
}

func (s *Server) changeProfile(ctx context.Context, in *struct {
	SessionPath
	Changing
	Body changeProfile
}) (*changed[events.Profile], error) {
	b := in.Body
	if b.Name == nil && b.About == nil {
		return nil, invalid("body", "expected something to change")
	}
	if b.Name != nil && strings.Trim(*b.Name, " -") == "" { // "-" is WhatsApp's word for no name
		return nil, invalid("body.name", "expected a name")
	}
	return onProfile(ctx, s, in.SessionID, in.Changing, events.UpdateProfile, events.ProfileChange{Name: b.Name, About: b.About})
}
