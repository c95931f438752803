package postgres

import (
	"cmp"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

// Contact returns the public form of a contact.
func Contact(c db.Contact) events.Contact {
	return events.Contact{
		Address:   events.NewAddress(c.ID, Text(c.Phone), Text(c.Lid), cmp.Or(c.SavedName, c.Name, c.BusinessName)),
		SavedName: c.SavedName, PushName: c.Name, BusinessName: c.BusinessName, Blocked: c.Blocked, About: c.About, AboutAt: c.AboutAt, PictureID: c.PictureID,
	}
}
