package events

// ReadProfile asks what the account shows of itself.
var ReadProfile = Query[ProfileQuestion, Profile]{"profile.read"}

// ReadPrivacy asks to whom the account shows what.
var ReadPrivacy = Query[ProfileQuestion, Privacy]{"privacy.read"}

// ProfileQuestion has nothing to say.
type ProfileQuestion struct{}

// A Profile is what the account shows of itself. The name in its address is the one that its owner chose, the push name.
type Profile struct {
	Address
	BusinessName string   `json:"businessName,omitempty" doc:"What WhatsApp verified, where the account is a business." example:"Pérez Plumbing"`
	About        string   `json:"about,omitempty" doc:"What it says about itself." example:"At work"`
	Picture      *Picture `json:"picture,omitempty" doc:"Where its picture is; absent when there is none."`
}

// UpdateProfile changes what the account shows of itself: what is given.
var UpdateProfile = ChangeKind[ProfileChange, Profile]{"profile.update", false}

// ProfileChange is what UpdateProfile is asked.
type ProfileChange struct {
	Name  *string `json:"name,omitempty"`
	About *string `json:"about,omitempty"`
}

// SetProfilePicture gives the account a picture, or takes it away.
var SetProfilePicture = ChangeKind[GroupPicture, ProfilePictured]{"profile.picture", false}

// ProfilePictured is the account's picture now.
type ProfilePictured struct {
	PictureID string `json:"pictureId,omitempty" doc:"WhatsApp's id of the picture, which changes with it; absent when there is none." example:"1637427843"`
}

// A Privacy says to whom the account shows what, in WhatsApp's words. What WhatsApp does not tell is empty.
type Privacy struct {
	LastSeen            string `json:"lastSeen,omitempty" doc:"Who sees when the account was last online: all, contacts, contact_blacklist (contacts without some whom the owner chose on the phone) or none. Here and below WhatsApp may come to tell others." example:"contacts"`
	Online              string `json:"online,omitempty" doc:"Who sees that it is online: all, or match_last_seen (those who see lastSeen)." example:"match_last_seen"`
	Picture             string `json:"picture,omitempty" doc:"Who sees its picture; as lastSeen." example:"all"`
	About               string `json:"about,omitempty" doc:"Who sees what it says about itself; as lastSeen." example:"all"`
	GroupAdd            string `json:"groupAdd,omitempty" doc:"Who may add it to groups; as lastSeen. The others can send an invitation." example:"contacts"`
	CallAdd             string `json:"callAdd,omitempty" doc:"Whose calls ring: all, or known." example:"known"`
	ReadReceipts        string `json:"readReceipts,omitempty" doc:"all: senders learn what was read; none: they do not, and the account does not learn it of them." example:"all"`
	Messages            string `json:"messages,omitempty" doc:"Who may write to it: all, or contacts." example:"all"`
	Defense             string `json:"defense,omitempty" doc:"WhatsApp's strict account settings: on_standard, or off." example:"off"`
	Stickers            string `json:"stickers,omitempty" doc:"Who may use its stickers: contacts, contact_allowlist (some whom the owner chose on the phone) or none." example:"contacts"`
	DisappearingSeconds int    `json:"disappearingSeconds" doc:"After how many seconds messages disappear in chats that begin from now on; 0 is never." example:"604800"`
}

// UpdatePrivacy changes to whom the account shows what: what is given.
var UpdatePrivacy = ChangeKind[PrivacyChange, Privacy]{"privacy.update", false}

// PrivacyChange is what UpdatePrivacy is asked.
type PrivacyChange struct {
	Settings            map[string]string `json:"settings,omitempty"` // by their names in Privacy
	DisappearingSeconds *int              `json:"disappearingSeconds,omitempty"`
}
