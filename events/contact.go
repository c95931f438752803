package events

import "time"

// A Contact is somebody that a session knows. Name in its address is the one to show: the saved name, else the push name, else the business's.
type Contact struct {
	Address
	SavedName    string `json:"savedName,omitempty" doc:"In the account's address book." example:"Juan (plumber)"`
	PushName     string `json:"pushName,omitempty" doc:"What he calls himself." example:"Juan Pérez"`
	BusinessName string `json:"businessName,omitempty" doc:"What WhatsApp verified." example:"Pérez Plumbing"`
	Blocked      bool   `json:"blocked" doc:"The account blocked him."`
	// About and what follows is asked of WhatsApp.
	About     string     `json:"about,omitempty" doc:"What he says about himself; in the answer for one contact, where the session is connected." example:"At work"`
	AboutAt   *time.Time `json:"aboutAt,omitempty" doc:"When he wrote that."`
	PictureID string     `json:"pictureId,omitempty" doc:"WhatsApp's id of his picture, which changes with it." example:"1637427843"`
}

// ContactData is the data of contact.updated: a name, a picture, whether somebody is blocked, or that his phone is known now.
type ContactData struct {
	Contact Contact `json:"contact"`
	// PreviousID is there when an address has changed.
	PreviousID string `json:"previousId,omitempty" doc:"The id that this contact had until now, and that all his chats and messages have left: his phone became known." example:"120363001122334@lid"`
	Changed    string `json:"changed" enum:"name,picture,about,blocked,address,erased" doc:"What has changed." example:"name"`
}
