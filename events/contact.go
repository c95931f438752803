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
	About     string     `json:"about,omitempty" doc:"What he says about himself, as it was last known; the answer for one contact asks WhatsApp, where the session is connected." example:"At work"`
	AboutAt   *time.Time `json:"aboutAt,omitempty" doc:"When he wrote that, where WhatsApp told of it."`
	PictureID string     `json:"pictureId,omitempty" doc:"WhatsApp's id of his picture, which changes with it; as last known, as about." example:"1637427843"`
}

// The values of ContactData.Changed.
const (
	ContactName    = "name"
	ContactPicture = "picture"
	ContactAbout   = "about"
	ContactBlocked = "blocked"
	ContactAddress = "address"
	ContactErased  = "erased"
)

// ContactData is the data of contact.updated: a name, a picture, whether somebody is blocked, or that his phone is known now.
type ContactData struct {
	Contact Contact `json:"contact"`
	// PreviousID is there when an address has changed.
	PreviousID string `json:"previousId,omitempty" doc:"The id that this contact had until now, and that all his chats and messages have left: his phone became known." example:"120363001122334@lid"`
	Changed    string `json:"changed" enum:"name,picture,about,blocked,address,erased" doc:"What has changed." example:"name"`
}

// ReadContact asks who somebody is. The connector writes what it learns into the contact's row.
var ReadContact = Query[ContactQuestion, ContactFound]{"contacts.read"}

// ReadPicture asks for somebody's picture.
var ReadPicture = Query[PictureQuestion, Picture]{"contacts.picture"}

// ReadBusiness asks for the profile of a business.
var ReadBusiness = Query[ContactQuestion, BusinessProfile]{"contacts.business-profile"}

// ReadBlocklist asks whom the account has blocked.
var ReadBlocklist = Query[BlocklistQuestion, Blocklist]{"contacts.blocklist"}

// ContactQuestion names somebody by JID.
type ContactQuestion struct {
	ID string `json:"id"`
}

// ContactFound is who somebody is; nil: WhatsApp knows nobody of that id.
type ContactFound struct {
	Contact *Contact `json:"contact,omitempty"`
}

// PictureQuestion asks for somebody's picture, or its small form.
type PictureQuestion struct {
	ID      string `json:"id"`
	Preview bool   `json:"preview"`
}

// A Picture is where WhatsApp has a picture.
type Picture struct {
	ID   string `json:"id" doc:"WhatsApp's id of it, which changes with the picture." example:"1637427843"`
	URL  string `json:"url" doc:"Where its bytes are at WhatsApp, for anybody, for a time that WhatsApp chooses." example:"https://pps.whatsapp.net/v/t61/1637427843.jpg"`
	Type string `json:"type" enum:"image,preview" doc:"image: in full; preview: 96 pixels or so wide." example:"image"`
}

// A BusinessProfile is what a business tells about itself.
type BusinessProfile struct {
	Description string        `json:"description,omitempty" example:"Pipes and taps since 1982."`
	Address     string        `json:"address,omitempty" example:"Av. Corrientes 1234, Buenos Aires"`
	Email       string        `json:"email,omitempty" example:"hello@example.com"`
	Websites    []string      `json:"websites" example:"[\"https://example.com\"]"`
	Categories  []string      `json:"categories" example:"[\"Plumbing\"]"`
	Timezone    string        `json:"timezone,omitempty" doc:"Of its opening hours, as in the IANA list." example:"America/Argentina/Buenos_Aires"`
	Hours       []BusinessDay `json:"hours" doc:"When it is open; none: it does not say."`
}

// A BusinessDay is when a business is open on a day of the week.
type BusinessDay struct {
	Day   string `json:"day" enum:"sun,mon,tue,wed,thu,fri,sat" example:"mon"`
	Mode  string `json:"mode" enum:"open_24h,specific_hours,appointment_only" example:"specific_hours"`
	Open  int    `json:"open,omitempty" doc:"Minutes after midnight, with specific_hours." example:"540"`
	Close int    `json:"close,omitempty" doc:"Minutes after midnight, with specific_hours." example:"1080"`
}

// BlocklistQuestion has nothing to say.
type BlocklistQuestion struct{}

// A Blocklist is whom an account has blocked.
type Blocklist struct {
	Data []Address `json:"data" doc:"Whom the account has blocked, by id."`
}

// SaveContact sets or, with an empty name, takes away somebody's name in the account's address book.
var SaveContact = ChangeKind[SavingContact, Contact]{"contact.save", false}

// SavingContact is what SaveContact is asked.
type SavingContact struct {
	Name string `json:"name"`
}

// BlockContact blocks somebody, or no longer.
var BlockContact = ChangeKind[BlockingContact, Contact]{"contact.block", false}

// BlockingContact is what BlockContact is asked.
type BlockingContact struct {
	Blocked bool `json:"blocked"`
}
