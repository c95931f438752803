package features

// notYet ends a row that is planned.
const notYet = " (not yet)"

// table is what chasqui is to do, row by row: the union of what its peers can.
var table = []struct {
	name string
	rows []string
}{
	{"Sending", []string{
		"Text",
		"Text with mentions",
		"Text that mentions everyone",
		"Quote a message in any content",
		"Link preview, fetched safely",
		"Link preview, given",
		"Image, video, GIF, round video note, audio, voice, document",
		"Sticker: WebP as it is, PNG and JPEG converted, animated",
		"Location",
		"Live location",
		"One or many contacts",
		"Poll",
		"Vote in a poll",
		"Aggregated poll results",
		"Event, and answers to it",
		"Group invitation as a message",
		"Album",
		"View-once",
		"Disappearing messages",
		"React to a message, and take it back",
		"Edit a message",
		"Delete a message for everybody",
		"Delete a message for oneself",
		"Forward a message",
		"Pin and unpin a message",
		"Star a message",
		"Typing simulated before sending",
		"The caller's own message id",
		"Scheduled messages: send at, reschedule, cancel",
		"Expiry of messages",
		"Batches with progress",
		"Receipts per recipient",
		"Failures are typed: restricted, malformed, limited, not on WhatsApp",
		"Idempotency-Key",
		"Changes wait for the connection, and are told when they fail",
		"Status updates with an audience" + notYet,
		"Channels" + notYet,
	}},
	{"Receiving", []string{
		"Every kind of message is read",
		"Quotes, mentions and forwards are read",
		"Edits, deletions, reactions and pins of others are events",
		"Votes and answers to events of others are events",
		"What the owner does on the phone is told too",
		"WhatsApp's own protobuf on request",
		"Media of received messages, and refetch through the phone",
	}},
	{"Chats", []string{
		"List of chats with last message and unread",
		"Archive, pin, mute and mark a chat as unread",
		"Mark as read",
		"Disappearing timer of a chat",
		"Clear and delete a chat",
		"Labels",
		"Typing shown in a chat",
		"Message search",
		"History from the phone, apart from live messages",
		"History on demand",
	}},
	{"Contacts", []string{
		"List of contacts",
		"Check numbers, with the number that WhatsApp resolved",
		"National number rules: Brazil, Mexico, Argentina",
		"Picture, about and business profile of a contact",
		"Save a contact",
		"Block list",
		"Phone and LID together, corrected when the phone becomes known",
		"Erase a contact",
	}},
	{"Groups", []string{
		"List, read and create groups",
		"Change a group's name, description, settings and picture",
		"Add, remove, promote and demote participants",
		"Invitations: read, rotate, look up, join",
		"Join requests: list, approve, reject",
		"Leave a group",
		"Communities and their groups",
		"Group events",
		"Only an admin may: typed refusals",
		"A group of 1,024 delays no other chat",
	}},
	{"More", []string{
		"Queries wait, and a session that is offline answers at once",
		"Pairing code and passkey" + notYet,
		"Profile and privacy" + notYet,
		"Presence" + notYet,
		"Calls" + notYet,
		"Scoped keys" + notYet,
		"Dashboard" + notYet,
		"SDKs and MCP server" + notYet,
	}},
}

// leftOut says what there is no row for, and why.
const leftOut = `
## Left out

What whatsmeow has no call for and what would need an invented identifier of WhatsApp's is not offered: an audience of its own for one status update.
`
