// Code generated from openapi.yaml by make generate. DO NOT EDIT.

package chasqui

import (
	"context"
	"io"
	"iter"
	"net/http"
)

// The codes of problems that this version knows. More can come.
const (
	CodeAccountBanned          = "account_banned"
	CodeAccountRestricted      = "account_restricted"
	CodeAddressNotAllowed      = "address_not_allowed"
	CodeAPIKeyNotFound         = "api_key_not_found"
	CodeBadRequest             = "bad_request"
	CodeCallNotFound           = "call_not_found"
	CodeCallOver               = "call_over"
	CodeChannelNotFound        = "channel_not_found"
	CodeChatNotFound           = "chat_not_found"
	CodeContactNotFound        = "contact_not_found"
	CodeCursorExpired          = "cursor_expired"
	CodeDeliveryExpired        = "delivery_expired"
	CodeEndpointNotActive      = "endpoint_not_active"
	CodeExportTooLarge         = "export_too_large"
	CodeForbidden              = "forbidden"
	CodeGroupNotFound          = "group_not_found"
	CodeIdempotencyInProgress  = "idempotency_in_progress"
	CodeIdempotencyKeyReused   = "idempotency_key_reused"
	CodeInsufficientScope      = "insufficient_scope"
	CodeInternalError          = "internal_error"
	CodeInviteNotValid         = "invite_not_valid"
	CodeLabelNotFound          = "label_not_found"
	CodeLinkUsed               = "link_used"
	CodeMalformedJSON          = "malformed_json"
	CodeMediaExpired           = "media_expired"
	CodeMediaFetchFailed       = "media_fetch_failed"
	CodeMediaNotFound          = "media_not_found"
	CodeMediaPending           = "media_pending"
	CodeMediaTooLarge          = "media_too_large"
	CodeMessageIDTaken         = "message_id_taken"
	CodeMessageNotCancellable  = "message_not_cancellable"
	CodeMessageNotEditable     = "message_not_editable"
	CodeMessageNotForwardable  = "message_not_forwardable"
	CodeMessageNotFound        = "message_not_found"
	CodeMessageNotRevocable    = "message_not_revocable"
	CodeMessageNotSent         = "message_not_sent"
	CodeNotAcceptable          = "not_acceptable"
	CodeNotChannelAdmin        = "not_channel_admin"
	CodeNotFound               = "not_found"
	CodeNotGroupAdmin          = "not_group_admin"
	CodeNotInGroup             = "not_in_group"
	CodePairingExpired         = "pairing_expired"
	CodePasskeyNotRequired     = "passkey_not_required"
	CodePasskeyRefused         = "passkey_refused"
	CodePasskeyRequired        = "passkey_required"
	CodePayloadTooLarge        = "payload_too_large"
	CodeRateLimited            = "rate_limited"
	CodeRecipientNotOnWhatsapp = "recipient_not_on_whatsapp"
	CodeRequestTimeout         = "request_timeout"
	CodeSandboxNotAvailable    = "sandbox_not_available"
	CodeSessionAlreadyExists   = "session_already_exists"
	CodeSessionAlreadyLinked   = "session_already_linked"
	CodeSessionLoggedOut       = "session_logged_out"
	CodeSessionNotConnected    = "session_not_connected"
	CodeSessionNotFound        = "session_not_found"
	CodeSessionNotStopped      = "session_not_stopped"
	CodeTooManySubscriptions   = "too_many_subscriptions"
	CodeUnauthorized           = "unauthorized"
	CodeUnavailable            = "unavailable"
	CodeUnsupportedMediaType   = "unsupported_media_type"
	CodeUpgradeRequired        = "upgrade_required"
	CodeValidationFailed       = "validation_failed"
	CodeWebhookReplayRunning   = "webhook_replay_running"
	CodeWhatsappRejected       = "whatsapp_rejected"
	CodeWhatsappTimeout        = "whatsapp_timeout"
)

// The types of events that this version knows. More can come.
const (
	EventCallAccepted       = "call.accepted"
	EventCallEnded          = "call.ended"
	EventCallOffered        = "call.offered"
	EventChangeFailed       = "change.failed"
	EventChannelCounts      = "channel.counts"
	EventChannelMessage     = "channel.message"
	EventChannelUpdated     = "channel.updated"
	EventChatTyping         = "chat.typing"
	EventChatUpdated        = "chat.updated"
	EventContactUpdated     = "contact.updated"
	EventEventResponded     = "event.responded"
	EventGroupJoinRequest   = "group.join-request"
	EventGroupJoined        = "group.joined"
	EventGroupLeft          = "group.left"
	EventGroupParticipants  = "group.participants"
	EventGroupUpdated       = "group.updated"
	EventHistorySynced      = "history.synced"
	EventLabelUpdated       = "label.updated"
	EventMediaFailed        = "media.failed"
	EventMessageDeleted     = "message.deleted"
	EventMessageEdited      = "message.edited"
	EventMessagePinned      = "message.pinned"
	EventMessageReaction    = "message.reaction"
	EventMessageReceived    = "message.received"
	EventMessageRevoked     = "message.revoked"
	EventMessageSent        = "message.sent"
	EventMessageStarred     = "message.starred"
	EventMessageStatus      = "message.status"
	EventPollVoted          = "poll.voted"
	EventPresenceUpdated    = "presence.updated"
	EventSessionPairingCode = "session.pairing-code"
	EventSessionQR          = "session.qr"
	EventSessionRisk        = "session.risk"
	EventSessionStatus      = "session.status"
	EventStatusReceived     = "status.received"
	EventWebhookDisabled    = "webhook.disabled"
	EventWebhookFailing     = "webhook.failing"
	EventWebhookTest        = "webhook.test"
)

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v AlbumContent) AsContent() (c SendContent) {
	_ = c.FromAlbumContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v AudioContent) AsContent() (c SendContent) {
	_ = c.FromAudioContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v ContactsContent) AsContent() (c SendContent) {
	_ = c.FromContactsContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v DocumentContent) AsContent() (c SendContent) {
	_ = c.FromDocumentContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v EventContent) AsContent() (c SendContent) {
	_ = c.FromEventContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v GroupInviteContent) AsContent() (c SendContent) {
	_ = c.FromGroupInviteContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v ImageContent) AsContent() (c SendContent) {
	_ = c.FromImageContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v LiveLocationContent) AsContent() (c SendContent) {
	_ = c.FromLiveLocationContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v LocationContent) AsContent() (c SendContent) {
	_ = c.FromLocationContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v PollContent) AsContent() (c SendContent) {
	_ = c.FromPollContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v StickerContent) AsContent() (c SendContent) {
	_ = c.FromStickerContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v TextContent) AsContent() (c SendContent) {
	_ = c.FromTextContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v VideoContent) AsContent() (c SendContent) {
	_ = c.FromVideoContent(v)
	return c
}

// AsContent is it as SendMessage takes it. What JSON cannot hold, such as a year after 9999, makes it null, which is refused.
func (v VoiceContent) AsContent() (c SendContent) {
	_ = c.FromVoiceContent(v)
	return c
}

// AcceptGroupInvite: Accept a personal invitation to a group. POST /v1/sessions/{sessionId}/messages/{messageId}/accept-invite
//
// The account joins the group that a message of type groupInvite, which somebody sent it, invites it to. Whoever is in it already has
// accepted.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) AcceptGroupInvite(ctx context.Context, sessionID string, messageID string, options ...Option) (*GroupJoining, *Change, error) {
	return either[GroupJoining, Change](c.requests.AcceptGroupInvite(ctx, sessionID, messageID, options...))
}

// AddParticipants: Add participants to a group. POST /v1/sessions/{sessionId}/groups/{groupId}/participants
//
// Adds people to a group. Who cannot be added is in notAdded, with the reason.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) AddParticipants(ctx context.Context, sessionID string, groupID string, body AddParticipants, options ...Option) (*ParticipantsAdded, *Change, error) {
	return either[ParticipantsAdded, Change](c.requests.AddParticipants(ctx, sessionID, groupID, body, options...))
}

// AnswerPasskey: Answer with a passkey. POST /v1/sessions/{sessionId}/passkey/response
//
// Gives WhatsApp the assertion that the passkey made for request. Mostly the phone has linked the session a moment later. Where the answer
// took longer than 5 minutes, WhatsApp wants codes compared first: the step is confirmation then. passkey_refused: WhatsApp did not accept
// it, and takes another.
func (c *Client) AnswerPasskey(ctx context.Context, sessionID string, body AnswerPasskey, options ...Option) (*Passkey, error) {
	return one[Passkey](c.requests.AnswerPasskey(ctx, sessionID, body, options...))
}

// ApproveJoinRequest: Approve a request to join. POST /v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/approve
//
// Lets somebody into the group who asked to join it.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ApproveJoinRequest(ctx context.Context, sessionID string, groupID string, participantID string, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.ApproveJoinRequest(ctx, sessionID, groupID, participantID, options...))
}

// AskPairingCode: Ask for a pairing code. POST /v1/sessions/{sessionId}/pairing-code
//
// A code that the account's owner enters on the phone instead of scanning a QR code (WhatsApp, Linked devices, Link a device, Link with
// phone number). The session is started if it does not run. The code is valid until expiresAt, 100 s to 160 s, and ends sooner if the
// session is restarted or moves to another connector, or another code is asked for: then ask again. It takes no Idempotency-Key: asked
// twice, it gives two codes, of which the second counts. QR codes go on beside it; after a wrong code was entered a QR code shown by then
// cannot be scanned any more, and others follow. The code is also the event session.pairing-code.
func (c *Client) AskPairingCode(ctx context.Context, sessionID string, body AskPairingCode, options ...Option) (*PairingCode, error) {
	return one[PairingCode](c.requests.AskPairingCode(ctx, sessionID, body, options...))
}

// BlockContact: Block a contact. PUT /v1/sessions/{sessionId}/blocklist/{contactId}
//
// What he sends reaches the account no more, and he does not see when it is online.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) BlockContact(ctx context.Context, sessionID string, contactID string, options ...Option) (*Contact, *Change, error) {
	return either[Contact, Change](c.requests.BlockContact(ctx, sessionID, contactID, options...))
}

// CancelMessage: Cancel a message. POST /v1/sessions/{sessionId}/messages/{messageId}/cancel
//
// Cancels a message whose status is scheduled or queued: nothing of it leaves. message.status tells it. One that is being sent, or was, is
// message_not_cancellable; one that is cancelled already is answered as it is.
func (c *Client) CancelMessage(ctx context.Context, sessionID string, messageID string, options ...Option) (*Message, error) {
	return one[Message](c.requests.CancelMessage(ctx, sessionID, messageID, options...))
}

// CancelMessageBatch: Cancel a batch. POST /v1/sessions/{sessionId}/message-batches/{batchId}/cancel
//
// Cancels those of its messages that are scheduled or queued, and answers what is left. message.status tells of each. A batch that is
// cancelled already is answered as it is.
func (c *Client) CancelMessageBatch(ctx context.Context, sessionID string, batchID string, options ...Option) (*MessageBatch, error) {
	return one[MessageBatch](c.requests.CancelMessageBatch(ctx, sessionID, batchID, options...))
}

// CancelReplay: Cancel a replay. POST /v1/webhook-replays/{replayId}/cancel
//
// Nothing more is made due by it; what is due already goes out. One that is over stays as it is.
func (c *Client) CancelReplay(ctx context.Context, replayID string, options ...Option) (*Replay, error) {
	return one[Replay](c.requests.CancelReplay(ctx, replayID, options...))
}

// ChangeAPIKey: Change an API key. PATCH /v1/api-keys/{keyId}
//
// Changes what is given and leaves the rest. Every process knows at once, or after 5 seconds where it could not be told.
func (c *Client) ChangeAPIKey(ctx context.Context, keyID string, body ChangeKey, options ...Option) (*APIKey, error) {
	return one[APIKey](c.requests.ChangeAPIKey(ctx, keyID, body, options...))
}

// ChangeChannel: Change a channel. PATCH /v1/sessions/{sessionId}/channels/{channelId}
//
// Changes what is given. Only its owner and its admins may.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeChannel(ctx context.Context, sessionID string, channelID string, body ChangeChannel, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.ChangeChannel(ctx, sessionID, channelID, body, options...))
}

// ChangeChat: Change a chat. PATCH /v1/sessions/{sessionId}/chats/{chatId}
//
// Archives, pins or mutes a chat, marks it as unread or read, or sets its timer, on all devices of the account. What is left out stays as
// it is.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeChat(ctx context.Context, sessionID string, chatID string, body ChangeChat, options ...Option) (*Chat, *Change, error) {
	return either[Chat, Change](c.requests.ChangeChat(ctx, sessionID, chatID, body, options...))
}

// ChangeContact: Save a contact. PATCH /v1/sessions/{sessionId}/contacts/{contactId}
//
// Saves somebody in the account's address book, on all its devices, or with an empty name takes his name away. A name that is deleted on
// the phone stays here until it is set again: WhatsApp tells linked devices of it in a form that is not read yet.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeContact(ctx context.Context, sessionID string, contactID string, body ChangeContact, options ...Option) (*Contact, *Change, error) {
	return either[Contact, Change](c.requests.ChangeContact(ctx, sessionID, contactID, body, options...))
}

// ChangeGroup: Change a group. PATCH /v1/sessions/{sessionId}/groups/{groupId}
//
// Changes what is given. WhatsApp takes one thing after the other: what comes before one that it refuses stays changed.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeGroup(ctx context.Context, sessionID string, groupID string, body ChangeGroup, options ...Option) (*Group, *Change, error) {
	return either[Group, Change](c.requests.ChangeGroup(ctx, sessionID, groupID, body, options...))
}

// ChangeLabel: Change a label. PATCH /v1/sessions/{sessionId}/labels/{labelId}
//
// Changes a label's name or colour.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeLabel(ctx context.Context, sessionID string, labelID string, body ChangeLabel, options ...Option) (*Label, *Change, error) {
	return either[Label, Change](c.requests.ChangeLabel(ctx, sessionID, labelID, body, options...))
}

// ChangeParticipant: Change the role of a participant. PATCH /v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}
//
// Makes a participant an admin, or an admin an ordinary participant. Nobody changes who created the group.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeParticipant(ctx context.Context, sessionID string, groupID string, participantID string, body ChangeParticipant, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.ChangeParticipant(ctx, sessionID, groupID, participantID, body, options...))
}

// ChangePrivacy: Change the account's privacy settings. PATCH /v1/sessions/{sessionId}/privacy
//
// Changes to whom the account shows what: what is left out stays. The settings are set one after the other, each by itself: where WhatsApp
// refuses one, others may be set already. The answer is what WhatsApp has then.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangePrivacy(ctx context.Context, sessionID string, body ChangePrivacy, options ...Option) (*Privacy, *Change, error) {
	return either[Privacy, Change](c.requests.ChangePrivacy(ctx, sessionID, body, options...))
}

// ChangeProfile: Change the account's profile. PATCH /v1/sessions/{sessionId}/profile
//
// Changes what the account shows of itself: what is left out stays. What changes, here or on the phone, is told by contact.updated of the
// account's own JID. What people see beside a message is the name that it was sent under.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ChangeProfile(ctx context.Context, sessionID string, body ChangeProfile, options ...Option) (*Profile, *Change, error) {
	return either[Profile, Change](c.requests.ChangeProfile(ctx, sessionID, body, options...))
}

// ChangeSession: Change a session. PATCH /v1/sessions/{sessionId}
//
// Changes its name and settings. What is absent stays as it is.
func (c *Client) ChangeSession(ctx context.Context, sessionID string, body ChangeSession, options ...Option) (*Session, error) {
	return one[Session](c.requests.ChangeSession(ctx, sessionID, body, options...))
}

// ChangeWebhookEndpoint: Change a webhook endpoint. PATCH /v1/webhook-endpoints/{endpointId}
//
// Changes what is given and leaves the rest; each event falls wholly before or after the change. state paused holds events back; active
// delivers what was held, and forgives the failures before.
func (c *Client) ChangeWebhookEndpoint(ctx context.Context, endpointID string, body ChangeEndpoint, options ...Option) (*Endpoint, error) {
	return one[Endpoint](c.requests.ChangeWebhookEndpoint(ctx, endpointID, body, options...))
}

// CheckContacts: Check phone numbers. POST /v1/sessions/{sessionId}/contacts/check
//
// Asks WhatsApp which of up to 50 numbers have an account, and whose it is. A number of Brazil, Mexico or Argentina that has none as it is
// written is asked for in its other national forms too (Brazil's ninth digit, Mexico's 1, Argentina's 9 and 15): contact.phone is the
// number that has the account. It takes no Idempotency-Key: asked twice, it answers twice. A session that is not connected is a problem at
// once. Checking many numbers that have no account is what spammers do: WhatsApp answers rate_limited, or bans the account.
func (c *Client) CheckContacts(ctx context.Context, sessionID string, body CheckContacts, options ...Option) (*ContactChecks, error) {
	return one[ContactChecks](c.requests.CheckContacts(ctx, sessionID, body, options...))
}

// ClearChat: Clear a chat. DELETE /v1/sessions/{sessionId}/chats/{chatId}/messages
//
// Deletes all messages of a chat, here and on the account's devices; nobody else's. The chat stays, and so does what is still to be sent.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ClearChat(ctx context.Context, sessionID string, chatID string, options ...Option) (*Chat, *Change, error) {
	return either[Chat, Change](c.requests.ClearChat(ctx, sessionID, chatID, options...))
}

// ConfirmPasskey: Confirm that the codes are equal. POST /v1/sessions/{sessionId}/passkey/confirmation
//
// Says that code is the one that the phone shows, and so ends the step confirmation. If they differ, restart the session instead.
func (c *Client) ConfirmPasskey(ctx context.Context, sessionID string, options ...Option) (*Passkey, error) {
	return one[Passkey](c.requests.ConfirmPasskey(ctx, sessionID, options...))
}

// CreateAPIKey: Create an API key. POST /v1/api-keys
//
// For a program or person that may do less than API_KEY: by scope, for some sessions alone, from some networks, until some time, so often a
// minute. For a key with sessions there are no others: not in lists, events, media or answers. There is no Idempotency-Key here: a second
// key does no harm, and a stored answer would keep the first.
func (c *Client) CreateAPIKey(ctx context.Context, body CreateKey, options ...Option) (*CreatedKey, error) {
	return one[CreatedKey](c.requests.CreateAPIKey(ctx, body, options...))
}

// CreateChannel: Create a channel. POST /v1/sessions/{sessionId}/channels
//
// Makes a channel of the account's, and accepts WhatsApp's terms for channels, as its apps do before the first. Repeat a POST without an
// answer with the same Idempotency-Key: WhatsApp itself would make another channel.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) CreateChannel(ctx context.Context, sessionID string, body CreateChannel, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.CreateChannel(ctx, sessionID, body, options...))
}

// CreateGroup: Create a group. POST /v1/sessions/{sessionId}/groups
//
// Makes a group, or a community with its group for announcements. Who cannot be added is in notAdded, with the reason; whom his settings
// keep from being added gets an inviteCode, to be sent to him as a message of type groupInvite. Repeat a POST without an answer with the
// same Idempotency-Key: WhatsApp itself would make another group.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) CreateGroup(ctx context.Context, sessionID string, body CreateGroup, options ...Option) (*GroupCreated, *Change, error) {
	return either[GroupCreated, Change](c.requests.CreateGroup(ctx, sessionID, body, options...))
}

// CreateLabel: Make a label. POST /v1/sessions/{sessionId}/labels
//
// Makes a label on all devices of the account. Only the apps of business accounts show labels.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) CreateLabel(ctx context.Context, sessionID string, body CreateLabel, options ...Option) (*Label, *Change, error) {
	return either[Label, Change](c.requests.CreateLabel(ctx, sessionID, body, options...))
}

// CreateLink: Create a link for somebody who links the session. POST /v1/sessions/{sessionId}/links
//
// A token for one linking, and the page for it: with it, and no key, a customer's page reads the session's QR code, asks for a pairing
// code, and answers for a passkey. It can do nothing else, sees nothing else of the session than its name and state, and ends when the
// session is linked. An earlier link for the session ends too.
func (c *Client) CreateLink(ctx context.Context, sessionID string, body CreateLink, options ...Option) (*Link, error) {
	return one[Link](c.requests.CreateLink(ctx, sessionID, body, options...))
}

// CreateMessageBatch: Send many messages. POST /v1/sessions/{sessionId}/message-batches
//
// Accepts up to 1,000 messages at once: all of them, or none. They go out in their order, each once, and each tells how far it comes as any
// other message. delaySeconds spreads them over time. GET of the batch counts how far they are; list-messages shows them, with batchId.
func (c *Client) CreateMessageBatch(ctx context.Context, sessionID string, body CreateBatch, options ...Option) (*MessageBatch, error) {
	return one[MessageBatch](c.requests.CreateMessageBatch(ctx, sessionID, body, options...))
}

// CreateSession: Create a session. POST /v1/sessions
//
// Creates a session and starts it, unless start is false. Then read its QR code and scan it with the phone.
func (c *Client) CreateSession(ctx context.Context, body CreateSession, options ...Option) (*Session, error) {
	return one[Session](c.requests.CreateSession(ctx, body, options...))
}

// CreateStreamTicket: Create a ticket for a browser. POST /v1/stream-tickets
//
// EventSource, WebSocket and images cannot send a key. Your server, which has the key, asks for a ticket and hands it to the page, which
// passes it as ?ticket=. One for a stream opens one stream within 60 s; for each reconnect ask for another. One for media opens all media
// that the key may read for 10 minutes. There is no Idempotency-Key here: a second ticket does no harm, and a stored answer would keep the
// first.
func (c *Client) CreateStreamTicket(ctx context.Context, body CreateTicket, options ...Option) (*Ticket, error) {
	return one[Ticket](c.requests.CreateStreamTicket(ctx, body, options...))
}

// CreateWebhookEndpoint: Create a webhook endpoint. POST /v1/webhook-endpoints
//
// Events from now on are delivered to it, signed with the secret in the answer.
func (c *Client) CreateWebhookEndpoint(ctx context.Context, body CreateEndpoint, options ...Option) (*CreatedEndpoint, error) {
	return one[CreatedEndpoint](c.requests.CreateWebhookEndpoint(ctx, body, options...))
}

// DeleteAPIKey: Delete an API key. DELETE /v1/api-keys/{keyId}
//
// It is valid no more: at once, or after 5 seconds for a process that could not be told. What it has done stays, and the audit log names
// it.
func (c *Client) DeleteAPIKey(ctx context.Context, keyID string, options ...Option) error {
	return nothing(c.requests.DeleteAPIKey(ctx, keyID, options...))
}

// DeleteChannel: Delete a channel. DELETE /v1/sessions/{sessionId}/channels/{channelId}
//
// Deletes a channel of the account's, for everybody and for good. Only its owner may.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*ChannelDone, *Change, error) {
	return either[ChannelDone, Change](c.requests.DeleteChannel(ctx, sessionID, channelID, options...))
}

// DeleteChannelMessageReaction: Take a reaction to a post back. DELETE
// /v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction
//
// Takes the account's reaction to a post back.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteChannelMessageReaction(ctx context.Context, sessionID string, channelID string, messageID string, options ...Option) (*PostReacted, *Change, error) {
	return either[PostReacted, Change](c.requests.DeleteChannelMessageReaction(ctx, sessionID, channelID, messageID, options...))
}

// DeleteChannelPicture: Take a channel's picture away. DELETE /v1/sessions/{sessionId}/channels/{channelId}/picture
//
// The channel has no picture from then on.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteChannelPicture(ctx context.Context, sessionID string, channelID string, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.DeleteChannelPicture(ctx, sessionID, channelID, options...))
}

// DeleteChat: Delete a chat. DELETE /v1/sessions/{sessionId}/chats/{chatId}
//
// Deletes a chat with its messages, here and on the account's devices; nobody else's. The answer is the chat as it was. What is still to be
// sent stays, and so does a chat in which something is written meanwhile.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteChat(ctx context.Context, sessionID string, chatID string, options ...Option) (*Chat, *Change, error) {
	return either[Chat, Change](c.requests.DeleteChat(ctx, sessionID, chatID, options...))
}

// DeleteGroupPicture: Take a group's picture away. DELETE /v1/sessions/{sessionId}/groups/{groupId}/picture
//
// The group has no picture from then on.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteGroupPicture(ctx context.Context, sessionID string, groupID string, options ...Option) (*GroupPictured, *Change, error) {
	return either[GroupPictured, Change](c.requests.DeleteGroupPicture(ctx, sessionID, groupID, options...))
}

// DeleteLabel: Delete a label. DELETE /v1/sessions/{sessionId}/labels/{labelId}
//
// Deletes a label, which takes it from every chat. The answer is the label as it was.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteLabel(ctx context.Context, sessionID string, labelID string, options ...Option) (*Label, *Change, error) {
	return either[Label, Change](c.requests.DeleteLabel(ctx, sessionID, labelID, options...))
}

// DeleteMedia: Delete a file. DELETE /v1/media/{mediaId}
//
// Its bytes go; a message that names it still does.
func (c *Client) DeleteMedia(ctx context.Context, mediaID string, options ...Option) error {
	return nothing(c.requests.DeleteMedia(ctx, mediaID, options...))
}

// DeleteMessage: Delete a message. DELETE /v1/sessions/{sessionId}/messages/{messageId}
//
// For everybody: an own message, for 60 hours after it was sent, or in a group where the account is an admin anybody's. It is kept here
// with revokedAt. For me: any message, on all devices of the account and here. One that is still to be sent is cancelled instead.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteMessage(ctx context.Context, sessionID string, messageID string, params *DeleteMessageParams, options ...Option) (*RevokedData, *Change, error) {
	return either[RevokedData, Change](c.requests.DeleteMessage(ctx, sessionID, messageID, params, options...))
}

// DeleteProfilePicture: Take the account's picture away. DELETE /v1/sessions/{sessionId}/profile/picture
//
// The account has no picture from then on.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteProfilePicture(ctx context.Context, sessionID string, options ...Option) (*ProfilePictured, *Change, error) {
	return either[ProfilePictured, Change](c.requests.DeleteProfilePicture(ctx, sessionID, options...))
}

// DeleteReaction: Take a reaction back. DELETE /v1/sessions/{sessionId}/messages/{messageId}/reaction
//
// Takes the account's reaction to a message back.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteReaction(ctx context.Context, sessionID string, messageID string, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.DeleteReaction(ctx, sessionID, messageID, options...))
}

// DeleteSession: Delete a session. DELETE /v1/sessions/{sessionId}
//
// Unlinks the account from the phone, unless unlink is false, and removes the session with its messages, chats and contacts; its events
// stay until they expire. 204: it is gone. 202: after 10 s it is still on its way; it is hidden already, its id is not free yet, and
// nothing more has to be done.
func (c *Client) DeleteSession(ctx context.Context, sessionID string, params *DeleteSessionParams, options ...Option) error {
	return nothing(c.requests.DeleteSession(ctx, sessionID, params, options...))
}

// DeleteStatusUpdate: Delete a status update. DELETE /v1/sessions/{sessionId}/status-updates/{statusId}
//
// Deletes an own status update for everybody, while it is shown. It is kept here with revokedAt. One that is still to be posted is
// cancelled instead, by cancel-message.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) DeleteStatusUpdate(ctx context.Context, sessionID string, statusID string, options ...Option) (*RevokedData, *Change, error) {
	return either[RevokedData, Change](c.requests.DeleteStatusUpdate(ctx, sessionID, statusID, options...))
}

// DeleteWebhookEndpoint: Delete a webhook endpoint. DELETE /v1/webhook-endpoints/{endpointId}
//
// Nothing more is delivered to it, but for what is being sent at this moment. That of WEBHOOK_URL comes back when the setting changes.
func (c *Client) DeleteWebhookEndpoint(ctx context.Context, endpointID string, options ...Option) error {
	return nothing(c.requests.DeleteWebhookEndpoint(ctx, endpointID, options...))
}

// EditMessage: Edit a message. PATCH /v1/sessions/{sessionId}/messages/{messageId}
//
// Changes the text of an own message, or the caption of its file, for 15 minutes after it was sent, or calls an own event off. One that is
// still scheduled or queued is changed before it is sent, at any time, and nobody sees that it was; with sendAt a scheduled one gets
// another time.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) EditMessage(ctx context.Context, sessionID string, messageID string, body EditMessage, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.EditMessage(ctx, sessionID, messageID, body, options...))
}

// EraseContact: Erase a contact. DELETE /v1/sessions/{sessionId}/contacts/{contactId}
//
// Erases somebody from this session's store, for good, as the law of privacy may ask: who he is, the chat with him, his messages in groups,
// with their files, reactions, votes and receipts; what was still to be sent to him or changed about him; and the events that name him,
// with their deliveries. It changes nothing at WhatsApp and on the phone, and needs no connection. erase=true is required. It is done in
// steps, each for good: if it is interrupted or answers unavailable, repeat it until it answers 200, which means that all of it is done,
// and contact.updated tells of it. What stays: an event that was waiting to be logged at that moment and one that is just being delivered,
// until retention takes them; the answers kept for an Idempotency-Key, for 24 hours; what others wrote about him; the keys of his
// encryption, without which he could not write again; and what webhooks have received.
func (c *Client) EraseContact(ctx context.Context, sessionID string, contactID string, params *EraseContactParams, options ...Option) (*Erased, error) {
	return one[Erased](c.requests.EraseContact(ctx, sessionID, contactID, params, options...))
}

// ExportSession: Export a session. POST /v1/sessions/{sessionId}/export
//
// A file with the session's settings, its device with its keys, its contacts and chats, encrypted with a passphrase: with both, POST
// /v1/session-imports of another installation takes the session over, without a QR code. Messages, events and webhook endpoints are not in
// it. The session must be stopped first, and must never again be started here once it runs there: two with the same keys push each other
// out at WhatsApp, and messages of both get lost. To delete it here, do so with unlink=false, or it is unlinked there too. It takes no
// Idempotency-Key: asked twice, there are two files.
//
// The caller closes the answer's body.
func (c *Client) ExportSession(ctx context.Context, sessionID string, body ExportSession, options ...Option) (*http.Response, error) {
	return c.requests.ExportSession(ctx, sessionID, body, options...)
}

// FetchMedia: Take over a file by its URL. POST /v1/media/fetch
//
// Fetches a file and stores it, as if it had been uploaded. It may take two minutes.
func (c *Client) FetchMedia(ctx context.Context, body FetchRequest, options ...Option) (*MediaInfo, error) {
	return one[MediaInfo](c.requests.FetchMedia(ctx, body, options...))
}

// FollowChannel: Follow a channel. PUT /v1/sessions/{sessionId}/channels/{channelId}/subscription
//
// The account follows the channel, and gets its posts as the event channel.message.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) FollowChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.FollowChannel(ctx, sessionID, channelID, options...))
}

// ForwardMessage: Forward a message. POST /v1/sessions/{sessionId}/messages/{messageId}/forward
//
// Sends the same content to up to 5 chats, marked as forwarded. Each is a message of its own, accepted and sent as any other. Its file is
// not uploaded again; what it answered and whom it mentioned stays behind.
func (c *Client) ForwardMessage(ctx context.Context, sessionID string, messageID string, body ForwardMessage, options ...Option) (*ForwardedMessages, error) {
	return one[ForwardedMessages](c.requests.ForwardMessage(ctx, sessionID, messageID, body, options...))
}

// GetAPIKey: Read an API key. GET /v1/api-keys/{keyId}
//
// What it may do, and when it was last used.
func (c *Client) GetAPIKey(ctx context.Context, keyID string, options ...Option) (*APIKey, error) {
	return one[APIKey](c.requests.GetAPIKey(ctx, keyID, options...))
}

// GetBusinessProfile: Read the account's business profile. GET /v1/sessions/{sessionId}/business-profile
//
// Asks WhatsApp what the account tells about itself as a business. not_found: it is none.
func (c *Client) GetBusinessProfile(ctx context.Context, sessionID string, options ...Option) (*BusinessProfile, error) {
	return one[BusinessProfile](c.requests.GetBusinessProfile(ctx, sessionID, options...))
}

// GetChange: Read a change. GET /v1/sessions/{sessionId}/changes/{changeId}
//
// A change that was accepted: what has become of it, and its result.
func (c *Client) GetChange(ctx context.Context, sessionID string, changeID string, options ...Option) (*Change, error) {
	return one[Change](c.requests.GetChange(ctx, sessionID, changeID, options...))
}

// GetChannel: Read a channel. GET /v1/sessions/{sessionId}/channels/{channelId}
//
// A channel, also one that the account does not follow, and what the account is to it.
func (c *Client) GetChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*Channel, error) {
	return one[Channel](c.requests.GetChannel(ctx, sessionID, channelID, options...))
}

// GetChat: Read a chat. GET /v1/sessions/{sessionId}/chats/{chatId}
//
// A chat with its last message.
func (c *Client) GetChat(ctx context.Context, sessionID string, chatID string, options ...Option) (*Chat, error) {
	return one[Chat](c.requests.GetChat(ctx, sessionID, chatID, options...))
}

// GetContact: Read a contact. GET /v1/sessions/{sessionId}/contacts/{contactId}
//
// Who somebody is, by phone number or LID. about and pictureId are asked of WhatsApp, for 3 seconds unless Prefer: wait says otherwise;
// with wait=0, or where there is no answer or no connection, they are what was last known. Somebody whom the session does not know is asked
// for, too.
func (c *Client) GetContact(ctx context.Context, sessionID string, contactID string, options ...Option) (*Contact, error) {
	return one[Contact](c.requests.GetContact(ctx, sessionID, contactID, options...))
}

// GetContactBusinessProfile: Read a business's profile. GET /v1/sessions/{sessionId}/contacts/{contactId}/business-profile
//
// Asks WhatsApp what a business tells about itself. not_found: this is no business.
func (c *Client) GetContactBusinessProfile(ctx context.Context, sessionID string, contactID string, options ...Option) (*BusinessProfile, error) {
	return one[BusinessProfile](c.requests.GetContactBusinessProfile(ctx, sessionID, contactID, options...))
}

// GetContactPicture: Read a contact's picture. GET /v1/sessions/{sessionId}/contacts/{contactId}/picture
//
// Asks WhatsApp where somebody's profile picture is. not_found: there is none, or the account may not see it.
func (c *Client) GetContactPicture(ctx context.Context, sessionID string, contactID string, params *GetContactPictureParams, options ...Option) (*Picture, error) {
	return one[Picture](c.requests.GetContactPicture(ctx, sessionID, contactID, params, options...))
}

// GetDelivery: Read a delivery. GET /v1/webhook-deliveries/{deliveryId}
//
// A delivery with its event and every attempt: when, how long, what came of it, and what the receiver answered.
func (c *Client) GetDelivery(ctx context.Context, deliveryID string, options ...Option) (*DeliveryDetail, error) {
	return one[DeliveryDetail](c.requests.GetDelivery(ctx, deliveryID, options...))
}

// GetEvent: Read an event. GET /v1/events/{eventId}
//
// One event, byte for byte as webhooks carry it; with raw=true WhatsApp's own form of its message is added, if that is still stored.
func (c *Client) GetEvent(ctx context.Context, eventID string, params *GetEventParams, options ...Option) (*Event, error) {
	return one[Event](c.requests.GetEvent(ctx, eventID, params, options...))
}

// GetGroup: Read a group. GET /v1/sessions/{sessionId}/groups/{groupId}
//
// A group that the account is in, with its participants.
func (c *Client) GetGroup(ctx context.Context, sessionID string, groupID string, options ...Option) (*Group, error) {
	return one[Group](c.requests.GetGroup(ctx, sessionID, groupID, options...))
}

// GetGroupInvite: Read a group's link. GET /v1/sessions/{sessionId}/groups/{groupId}/invite
//
// The link by which anybody can join the group. Only admins see it, unless the group lets everybody.
func (c *Client) GetGroupInvite(ctx context.Context, sessionID string, groupID string, options ...Option) (*GroupLink, error) {
	return one[GroupLink](c.requests.GetGroupInvite(ctx, sessionID, groupID, options...))
}

// GetHealth: Is the process alive?. GET /healthz
//
// Answers as long as the process serves requests. Restart it when this fails.
func (c *Client) GetHealth(ctx context.Context, options ...Option) (*Health, error) {
	return one[Health](c.requests.GetHealth(ctx, options...))
}

// GetLink: Read what a link is for. GET /v1/link
//
// The session that the link of the request links, and how far it is.
func (c *Client) GetLink(ctx context.Context, options ...Option) (*LinkState, error) {
	return one[LinkState](c.requests.GetLink(ctx, options...))
}

// GetMe: Read what this key may do. GET /v1/me
//
// Whose key it is that asks, its scopes and sessions, and how long it is valid.
func (c *Client) GetMe(ctx context.Context, options ...Option) (*Me, error) {
	return one[Me](c.requests.GetMe(ctx, options...))
}

// GetMedia: Read about a file. GET /v1/media/{mediaId}
//
// What is known of it, whether its bytes are there, and on request a URL of the object store itself.
func (c *Client) GetMedia(ctx context.Context, mediaID string, params *GetMediaParams, options ...Option) (*MediaInfo, error) {
	return one[MediaInfo](c.requests.GetMedia(ctx, mediaID, params, options...))
}

// GetMediaContent: Read a file's bytes. GET /v1/media/{mediaId}/content
//
// The bytes themselves, or with Range a part of them. While a received file is on its way from WhatsApp the answer waits for it, up to 30
// s, and is then media_pending. The URL never changes, and neither do its bytes: ETag is their SHA-256.
//
// The caller closes the answer's body.
func (c *Client) GetMediaContent(ctx context.Context, mediaID string, options ...Option) (*http.Response, error) {
	return c.requests.GetMediaContent(ctx, mediaID, options...)
}

// GetMessage: Read a message. GET /v1/sessions/{sessionId}/messages/{messageId}
//
// A message by its msg_ id or by WhatsApp's.
func (c *Client) GetMessage(ctx context.Context, sessionID string, messageID string, params *GetMessageParams, options ...Option) (*Message, error) {
	return one[Message](c.requests.GetMessage(ctx, sessionID, messageID, params, options...))
}

// GetMessageBatch: Read a batch. GET /v1/sessions/{sessionId}/message-batches/{batchId}
//
// How far the messages of a batch have come.
func (c *Client) GetMessageBatch(ctx context.Context, sessionID string, batchID string, options ...Option) (*MessageBatch, error) {
	return one[MessageBatch](c.requests.GetMessageBatch(ctx, sessionID, batchID, options...))
}

// GetMessageMedia: Read about a message's file. GET /v1/sessions/{sessionId}/messages/{messageId}/media
//
// What GET /v1/media/{mediaId} answers of the file of a message.
func (c *Client) GetMessageMedia(ctx context.Context, sessionID string, messageID string, options ...Option) (*MediaInfo, error) {
	return one[MediaInfo](c.requests.GetMessageMedia(ctx, sessionID, messageID, options...))
}

// GetPasskey: Read what WhatsApp asks of a passkey. GET /v1/sessions/{sessionId}/passkey
//
// WhatsApp asks for the passkey of some accounts after their QR code was scanned or their pairing code entered; the session is
// passkey_required then. Each step is also in the event session.status. The passkey is bound to whatsapp.com: an answer can be made by a
// browser that shows web.whatsapp.com, or by whatever else holds the passkey.
func (c *Client) GetPasskey(ctx context.Context, sessionID string, options ...Option) (*Passkey, error) {
	return one[Passkey](c.requests.GetPasskey(ctx, sessionID, options...))
}

// GetPollResults: Read the results of a poll. GET /v1/sessions/{sessionId}/messages/{messageId}/poll-results
//
// How many chose each option, and who: what has come since the session was linked.
func (c *Client) GetPollResults(ctx context.Context, sessionID string, messageID string, options ...Option) (*PollResults, error) {
	return one[PollResults](c.requests.GetPollResults(ctx, sessionID, messageID, options...))
}

// GetPresence: Read a contact's presence. GET /v1/sessions/{sessionId}/presence/{contactId}
//
// Whether somebody is online, as WhatsApp last told, and whether he is typing to the account. WhatsApp is not asked: it tells of those the
// session is subscribed to. Of everybody else the state is unknown.
func (c *Client) GetPresence(ctx context.Context, sessionID string, contactID string, options ...Option) (*Presence, error) {
	return one[Presence](c.requests.GetPresence(ctx, sessionID, contactID, options...))
}

// GetPrivacy: Read the account's privacy settings. GET /v1/sessions/{sessionId}/privacy
//
// Asks WhatsApp to whom the account shows what. No event tells of a setting that the owner changes on the phone.
func (c *Client) GetPrivacy(ctx context.Context, sessionID string, options ...Option) (*Privacy, error) {
	return one[Privacy](c.requests.GetPrivacy(ctx, sessionID, options...))
}

// GetProfile: Read the account's profile. GET /v1/sessions/{sessionId}/profile
//
// Asks WhatsApp what the account shows of itself.
func (c *Client) GetProfile(ctx context.Context, sessionID string, options ...Option) (*Profile, error) {
	return one[Profile](c.requests.GetProfile(ctx, sessionID, options...))
}

// GetReadiness: Can it work?. GET /readyz
//
// Answers 200 when the database is there and has this version's schema, else 503 with what is wrong. Send requests elsewhere when this
// fails. Without S3 it is degraded, and still 200: files wait, all else works.
func (c *Client) GetReadiness(ctx context.Context, options ...Option) (*Report, error) {
	return one[Report](c.requests.GetReadiness(ctx, options...))
}

// GetReplay: Read a replay. GET /v1/webhook-replays/{replayId}
//
// A replay and how far it is.
func (c *Client) GetReplay(ctx context.Context, replayID string, options ...Option) (*Replay, error) {
	return one[Replay](c.requests.GetReplay(ctx, replayID, options...))
}

// GetSession: Read a session. GET /v1/sessions/{sessionId}
//
// Its state, and with reason why it is in it.
func (c *Client) GetSession(ctx context.Context, sessionID string, options ...Option) (*Session, error) {
	return one[Session](c.requests.GetSession(ctx, sessionID, options...))
}

// GetSessionHealth: Read how an account fares. GET /v1/sessions/{sessionId}/health
//
// What WhatsApp restricts and bans accounts for, as far as it can be known from outside: how many people the account writes to first, how
// many of them answer, what was refused. And what messages wait for because settings.sending says so. session.risk tells when the level
// changes. WhatsApp publishes no limits: the levels are chasqui's own judgement.
func (c *Client) GetSessionHealth(ctx context.Context, sessionID string, options ...Option) (*AccountHealth, error) {
	return one[AccountHealth](c.requests.GetSessionHealth(ctx, sessionID, options...))
}

// GetSessionQR: Read the QR code. GET /v1/sessions/{sessionId}/qr
//
// The code to scan with the phone (WhatsApp, Linked devices, Link a device). A code is valid until expiresAt, about 20 s, and then another
// follows, until the last one expires: pairing_expired. They go on beside a pairing code. A session that is linked has no code:
// session_already_linked. unavailable: there is none yet; ask again, or with wait.
func (c *Client) GetSessionQR(ctx context.Context, sessionID string, params *GetSessionQRParams, options ...Option) (*QR, error) {
	return one[QR](c.requests.GetSessionQR(ctx, sessionID, params, options...))
}

// GetStats: Read what happened, in steps of time. GET /v1/stats
//
// For a dashboard: messages, deliveries and how long they took, the queue's lag and the sessions by state, up to now, in steps of whole
// minutes; at most 500 steps, and 30 days back. The last step is not over, and what it counts is up to 5 s old. GET
// /v1/events/stream?stats=true tells the newest every 5 s.
func (c *Client) GetStats(ctx context.Context, params *GetStatsParams, options ...Option) (*Stats, error) {
	return one[Stats](c.requests.GetStats(ctx, params, options...))
}

// GetStatusUpdate: Read a status update. GET /v1/sessions/{sessionId}/status-updates/{statusId}
//
// A status update by its msg_ id or by WhatsApp's, for 30 days. Its status says how far it has come: read is viewed by somebody.
func (c *Client) GetStatusUpdate(ctx context.Context, sessionID string, statusID string, options ...Option) (*Message, error) {
	return one[Message](c.requests.GetStatusUpdate(ctx, sessionID, statusID, options...))
}

// GetVersion: Which version runs?. GET /v1/version
//
// The program's version and the API's.
func (c *Client) GetVersion(ctx context.Context, options ...Option) (*Version, error) {
	return one[Version](c.requests.GetVersion(ctx, options...))
}

// GetWebhookEndpoint: Read a webhook endpoint. GET /v1/webhook-endpoints/{endpointId}
//
// An endpoint with its state and what waits for it, without its secret.
func (c *Client) GetWebhookEndpoint(ctx context.Context, endpointID string, options ...Option) (*Endpoint, error) {
	return one[Endpoint](c.requests.GetWebhookEndpoint(ctx, endpointID, options...))
}

// GetWebhookSecret: Read a webhook endpoint's secret. GET /v1/webhook-endpoints/{endpointId}/secret
//
// whsec_ and random bytes in base64, 32 of them unless it was chosen otherwise, as the libraries of Standard Webhooks take it.
func (c *Client) GetWebhookSecret(ctx context.Context, endpointID string, options ...Option) (*EndpointSecret, error) {
	return one[EndpointSecret](c.requests.GetWebhookSecret(ctx, endpointID, options...))
}

// ImportSession: Import a session. POST /v1/session-imports
//
// Takes over the session of an export, under its own id and with everything that is in the file, or nothing where some of it cannot be. It
// is stopped: start it once the one that it was made of will not run again. A file of `chasqui backup` is taken too if it holds one
// session; one of more is for `chasqui restore`.
func (c *Client) ImportSession(ctx context.Context, contentType string, body io.Reader, options ...Option) (*Session, error) {
	return one[Session](c.requests.ImportSessionWithBody(ctx, contentType, body, options...))
}

// JoinGroup: Join a group by a link. POST /v1/sessions/{sessionId}/group-invites/{code}/join
//
// The account joins the group, or, with pending, waits for an admin's approval. Whoever is in it already has joined.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) JoinGroup(ctx context.Context, sessionID string, code string, options ...Option) (*GroupJoining, *Change, error) {
	return either[GroupJoining, Change](c.requests.JoinGroup(ctx, sessionID, code, options...))
}

// LabelChat: Label a chat. PUT /v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}
//
// Gives a chat a label.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) LabelChat(ctx context.Context, sessionID string, chatID string, labelID string, options ...Option) (*Chat, *Change, error) {
	return either[Chat, Change](c.requests.LabelChat(ctx, sessionID, chatID, labelID, options...))
}

// LeaveGroup: Leave a group. POST /v1/sessions/{sessionId}/groups/{groupId}/leave
//
// The account leaves the group; a community with all its groups.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) LeaveGroup(ctx context.Context, sessionID string, groupID string, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.LeaveGroup(ctx, sessionID, groupID, options...))
}

// LinkSubgroup: Put a group into a community. PUT /v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}
//
// Makes a group one of a community's. The account must be an admin of both; the group's participants get into the community.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) LinkSubgroup(ctx context.Context, sessionID string, groupID string, subgroupID string, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.LinkSubgroup(ctx, sessionID, groupID, subgroupID, options...))
}

// ListAPIKeys: List API keys. GET /v1/api-keys
//
// All keys but API_KEY, which is a setting. Those that have expired stay for 30 days.
func (c *Client) ListAPIKeys(ctx context.Context, params *ListAPIKeysParams, options ...Option) (*ListAPIKey, error) {
	return one[ListAPIKey](c.requests.ListAPIKeys(ctx, params, options...))
}

// AllAPIKeys is ListAPIKeys over all pages. It ends after the first error.
func (c *Client) AllAPIKeys(ctx context.Context, params *ListAPIKeysParams, options ...Option) iter.Seq2[APIKey, error] {
	var q ListAPIKeysParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]APIKey, bool, error) {
		page, err := c.ListAPIKeys(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListAuditLog: Read the audit log. GET /v1/audit-log
//
// Every change that was made through the API: who, what, from where; newest first. An entry is written with its change, or not at all. What
// was sent is not in it, nor are requests that were refused. It reaches back 400 days.
func (c *Client) ListAuditLog(ctx context.Context, params *ListAuditLogParams, options ...Option) (*ListAuditEntry, error) {
	return one[ListAuditEntry](c.requests.ListAuditLog(ctx, params, options...))
}

// AllAuditLog is ListAuditLog over all pages. It ends after the first error.
func (c *Client) AllAuditLog(ctx context.Context, params *ListAuditLogParams, options ...Option) iter.Seq2[AuditEntry, error] {
	var q ListAuditLogParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]AuditEntry, bool, error) {
		page, err := c.ListAuditLog(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListBlocked: Read the block list. GET /v1/sessions/{sessionId}/blocklist
//
// Asks WhatsApp whom the account has blocked.
func (c *Client) ListBlocked(ctx context.Context, sessionID string, options ...Option) (*Blocklist, error) {
	return one[Blocklist](c.requests.ListBlocked(ctx, sessionID, options...))
}

// ListCalls: List calls. GET /v1/sessions/{sessionId}/calls
//
// The calls that came in during the last 30 days, newest first. Those that the owner makes on the phone are not told to linked devices.
func (c *Client) ListCalls(ctx context.Context, sessionID string, params *ListCallsParams, options ...Option) (*ListCall, error) {
	return one[ListCall](c.requests.ListCalls(ctx, sessionID, params, options...))
}

// AllCalls is ListCalls over all pages. It ends after the first error.
func (c *Client) AllCalls(ctx context.Context, sessionID string, params *ListCallsParams, options ...Option) iter.Seq2[Call, error] {
	var q ListCallsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Call, bool, error) {
		page, err := c.ListCalls(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListChanges: List changes. GET /v1/sessions/{sessionId}/changes
//
// What is to be changed at WhatsApp for this session, and what was in the last 24 hours, newest first: edits, reactions, settings of chats,
// changes of groups. An operation that changes something answers 200 with its result when WhatsApp has done it, or 202 with the change:
// while the session is not connected it waits, for 24 hours unless the operator chose otherwise, and survives every crash. One that fails
// later is told by the event change.failed.
func (c *Client) ListChanges(ctx context.Context, sessionID string, params *ListChangesParams, options ...Option) (*ListChange, error) {
	return one[ListChange](c.requests.ListChanges(ctx, sessionID, params, options...))
}

// AllChanges is ListChanges over all pages. It ends after the first error.
func (c *Client) AllChanges(ctx context.Context, sessionID string, params *ListChangesParams, options ...Option) iter.Seq2[Change, error] {
	var q ListChangesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Change, bool, error) {
		page, err := c.ListChanges(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListChannelMessages: List a channel's posts. GET /v1/sessions/{sessionId}/channels/{channelId}/messages
//
// Asks WhatsApp for a channel's posts, the newest first, up to 100 a page, with how often each was seen and what it was met with; also for
// a channel that the account does not follow. What is shown is kept from then on: every post has an id, and its file is fetched when
// somebody reads it. What is kept is listed without a connection by GET /v1/sessions/{sessionId}/messages?chatId={channelId}. WhatsApp
// keeps posts for 30 days. A page may hold less than its limit.
func (c *Client) ListChannelMessages(ctx context.Context, sessionID string, channelID string, params *ListChannelMessagesParams, options ...Option) (*ListChannelPost, error) {
	return one[ListChannelPost](c.requests.ListChannelMessages(ctx, sessionID, channelID, params, options...))
}

// AllChannelMessages is ListChannelMessages over all pages. It ends after the first error.
func (c *Client) AllChannelMessages(ctx context.Context, sessionID string, channelID string, params *ListChannelMessagesParams, options ...Option) iter.Seq2[ChannelPost, error] {
	var q ListChannelMessagesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]ChannelPost, bool, error) {
		page, err := c.ListChannelMessages(ctx, sessionID, channelID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListChannels: List channels. GET /v1/sessions/{sessionId}/channels
//
// The channels that the account follows or runs, by their ids. WhatsApp is asked for each page. Channels are not found by a name: whoever
// wants to follow one has its link.
func (c *Client) ListChannels(ctx context.Context, sessionID string, params *ListChannelsParams, options ...Option) (*ListChannel, error) {
	return one[ListChannel](c.requests.ListChannels(ctx, sessionID, params, options...))
}

// AllChannels is ListChannels over all pages. It ends after the first error.
func (c *Client) AllChannels(ctx context.Context, sessionID string, params *ListChannelsParams, options ...Option) iter.Seq2[Channel, error] {
	var q ListChannelsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Channel, bool, error) {
		page, err := c.ListChannels(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListChatMessages: List a chat's messages. GET /v1/sessions/{sessionId}/chats/{chatId}/messages
//
// The messages of a chat in both directions, newest first: those of the history too.
func (c *Client) ListChatMessages(ctx context.Context, sessionID string, chatID string, params *ListChatMessagesParams, options ...Option) (*ListMessage, error) {
	return one[ListMessage](c.requests.ListChatMessages(ctx, sessionID, chatID, params, options...))
}

// AllChatMessages is ListChatMessages over all pages. It ends after the first error.
func (c *Client) AllChatMessages(ctx context.Context, sessionID string, chatID string, params *ListChatMessagesParams, options ...Option) iter.Seq2[Message, error] {
	var q ListChatMessagesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Message, bool, error) {
		page, err := c.ListChatMessages(ctx, sessionID, chatID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListChats: List chats. GET /v1/sessions/{sessionId}/chats
//
// The session's chats with their last message, the one with the newest first; those without any come last. It is read from what chasqui
// keeps and needs no connection.
func (c *Client) ListChats(ctx context.Context, sessionID string, params *ListChatsParams, options ...Option) (*ListChat, error) {
	return one[ListChat](c.requests.ListChats(ctx, sessionID, params, options...))
}

// AllChats is ListChats over all pages. It ends after the first error.
func (c *Client) AllChats(ctx context.Context, sessionID string, params *ListChatsParams, options ...Option) iter.Seq2[Chat, error] {
	var q ListChatsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Chat, bool, error) {
		page, err := c.ListChats(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListContacts: List contacts. GET /v1/sessions/{sessionId}/contacts
//
// The people whom the session knows, by id: those who wrote or were written to, were checked, or stand in the account's address book.
func (c *Client) ListContacts(ctx context.Context, sessionID string, params *ListContactsParams, options ...Option) (*ListContact, error) {
	return one[ListContact](c.requests.ListContacts(ctx, sessionID, params, options...))
}

// AllContacts is ListContacts over all pages. It ends after the first error.
func (c *Client) AllContacts(ctx context.Context, sessionID string, params *ListContactsParams, options ...Option) iter.Seq2[Contact, error] {
	var q ListContactsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Contact, bool, error) {
		page, err := c.ListContacts(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListDeliveries: List the deliveries of all endpoints. GET /v1/webhook-deliveries
//
// The deliveries of all endpoints together, those of the newest events first. state=exhausted lists what nobody took: the dead letters.
// Those of deleted endpoints are left out.
func (c *Client) ListDeliveries(ctx context.Context, params *ListDeliveriesParams, options ...Option) (*ListDelivery, error) {
	return one[ListDelivery](c.requests.ListDeliveries(ctx, params, options...))
}

// AllDeliveries is ListDeliveries over all pages. It ends after the first error.
func (c *Client) AllDeliveries(ctx context.Context, params *ListDeliveriesParams, options ...Option) iter.Seq2[Delivery, error] {
	var q ListDeliveriesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Delivery, bool, error) {
		page, err := c.ListDeliveries(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListEndpointDeliveries: List an endpoint's deliveries. GET /v1/webhook-endpoints/{endpointId}/deliveries
//
// An endpoint's deliveries, those of the newest events first, for as long as events are kept (30 days unless the operator chose otherwise).
// A page can be empty and have more behind it, when type leaves out much.
func (c *Client) ListEndpointDeliveries(ctx context.Context, endpointID string, params *ListEndpointDeliveriesParams, options ...Option) (*ListDelivery, error) {
	return one[ListDelivery](c.requests.ListEndpointDeliveries(ctx, endpointID, params, options...))
}

// AllEndpointDeliveries is ListEndpointDeliveries over all pages. It ends after the first error.
func (c *Client) AllEndpointDeliveries(ctx context.Context, endpointID string, params *ListEndpointDeliveriesParams, options ...Option) iter.Seq2[Delivery, error] {
	var q ListEndpointDeliveriesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Delivery, bool, error) {
		page, err := c.ListEndpointDeliveries(ctx, endpointID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListEventResponses: Read the answers to an event. GET /v1/sessions/{sessionId}/messages/{messageId}/responses
//
// Who answered an invitation to an event, and what: what has come since the session was linked.
func (c *Client) ListEventResponses(ctx context.Context, sessionID string, messageID string, options ...Option) (*EventResponses, error) {
	return one[EventResponses](c.requests.ListEventResponses(ctx, sessionID, messageID, options...))
}

// ListEventTypes: List the types of event. GET /v1/event-types
//
// Every type of event of this version, and the wildcards that an endpoint's filter takes beside them. The list only grows.
func (c *Client) ListEventTypes(ctx context.Context, options ...Option) (*EventTypes, error) {
	return one[EventTypes](c.requests.ListEventTypes(ctx, options...))
}

// ListEvents: Read the event log. GET /v1/events
//
// Everything that happened, oldest first and each event once: begin without after, and then pass each nextCursor as after. Nothing is
// skipped, whatever else happens meanwhile. With last=100 the newest 100 come instead of the oldest. With raw=true the events about a
// message that is still stored have WhatsApp's own form of it in data.message.raw, which neither webhooks nor the log itself hold. An event
// stands in the log a moment after it happened, and for 30 days unless the operator chose otherwise; after an event that is no longer kept
// comes cursor_expired.
func (c *Client) ListEvents(ctx context.Context, params *ListEventsParams, options ...Option) (*EventPage, error) {
	return one[EventPage](c.requests.ListEvents(ctx, params, options...))
}

// AllEvents is ListEvents over all pages. It ends after the first error.
func (c *Client) AllEvents(ctx context.Context, params *ListEventsParams, options ...Option) iter.Seq2[Event, error] {
	var q ListEventsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Event, bool, error) {
		page, err := c.ListEvents(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.After = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListGroups: List groups. GET /v1/sessions/{sessionId}/groups
//
// The groups and communities that the account is in, without their participants, the greatest id first. WhatsApp is asked for the first
// page, and always sends them all; further pages are of the same answer for a minute. A page may hold less than its limit.
func (c *Client) ListGroups(ctx context.Context, sessionID string, params *ListGroupsParams, options ...Option) (*ListGroup, error) {
	return one[ListGroup](c.requests.ListGroups(ctx, sessionID, params, options...))
}

// AllGroups is ListGroups over all pages. It ends after the first error.
func (c *Client) AllGroups(ctx context.Context, sessionID string, params *ListGroupsParams, options ...Option) iter.Seq2[Group, error] {
	var q ListGroupsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Group, bool, error) {
		page, err := c.ListGroups(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListJoinRequests: List who wants to join a group. GET /v1/sessions/{sessionId}/groups/{groupId}/join-requests
//
// Who waits for an admin's approval, where joining needs one.
func (c *Client) ListJoinRequests(ctx context.Context, sessionID string, groupID string, options ...Option) (*JoinRequests, error) {
	return one[JoinRequests](c.requests.ListJoinRequests(ctx, sessionID, groupID, options...))
}

// ListLabels: List labels. GET /v1/sessions/{sessionId}/labels
//
// The labels of a business account, all of them in one answer.
func (c *Client) ListLabels(ctx context.Context, sessionID string, options ...Option) (*Labels, error) {
	return one[Labels](c.requests.ListLabels(ctx, sessionID, options...))
}

// ListMedia: List files. GET /v1/media
//
// The files of messages that came in and those that were uploaded, newest first: what GET /v1/media/{mediaId} shows. A key for some
// sessions sees what their messages brought or send, and what was uploaded with it.
func (c *Client) ListMedia(ctx context.Context, params *ListMediaParams, options ...Option) (*ListMediaInfo, error) {
	return one[ListMediaInfo](c.requests.ListMedia(ctx, params, options...))
}

// AllMedia is ListMedia over all pages. It ends after the first error.
func (c *Client) AllMedia(ctx context.Context, params *ListMediaParams, options ...Option) iter.Seq2[MediaInfo, error] {
	var q ListMediaParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]MediaInfo, bool, error) {
		page, err := c.ListMedia(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListMessages: List messages, or search them. GET /v1/sessions/{sessionId}/messages
//
// The session's messages in both directions, newest first; those that match every filter given. With q they are searched for words, of
// which the index knows the first 16,384 characters of each message. What takes longer than 5 s is unavailable, and wants narrower filters.
func (c *Client) ListMessages(ctx context.Context, sessionID string, params *ListMessagesParams, options ...Option) (*ListMessage, error) {
	return one[ListMessage](c.requests.ListMessages(ctx, sessionID, params, options...))
}

// AllMessages is ListMessages over all pages. It ends after the first error.
func (c *Client) AllMessages(ctx context.Context, sessionID string, params *ListMessagesParams, options ...Option) iter.Seq2[Message, error] {
	var q ListMessagesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Message, bool, error) {
		page, err := c.ListMessages(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListParticipants: List the participants of a group. GET /v1/sessions/{sessionId}/groups/{groupId}/participants
//
// Who is in the group, with phone and LID where WhatsApp tells both.
func (c *Client) ListParticipants(ctx context.Context, sessionID string, groupID string, options ...Option) (*ParticipantsShown, error) {
	return one[ParticipantsShown](c.requests.ListParticipants(ctx, sessionID, groupID, options...))
}

// ListReceipts: Read a message's receipts. GET /v1/sessions/{sessionId}/messages/{messageId}/receipts
//
// Who has received, read and played a message that the session sent, and when: in a group each participant. A message that was received has
// none.
func (c *Client) ListReceipts(ctx context.Context, sessionID string, messageID string, options ...Option) (*MessageReceipts, error) {
	return one[MessageReceipts](c.requests.ListReceipts(ctx, sessionID, messageID, options...))
}

// ListReplays: List an endpoint's replays. GET /v1/webhook-endpoints/{endpointId}/replays
//
// The replays of an endpoint, newest first, for as long as events are kept.
func (c *Client) ListReplays(ctx context.Context, endpointID string, params *ListReplaysParams, options ...Option) (*ListReplay, error) {
	return one[ListReplay](c.requests.ListReplays(ctx, endpointID, params, options...))
}

// AllReplays is ListReplays over all pages. It ends after the first error.
func (c *Client) AllReplays(ctx context.Context, endpointID string, params *ListReplaysParams, options ...Option) iter.Seq2[Replay, error] {
	var q ListReplaysParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Replay, bool, error) {
		page, err := c.ListReplays(ctx, endpointID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListSessionLog: Read a session's log. GET /v1/sessions/{sessionId}/log
//
// What happened to the session, newest first: its states with their reasons and WhatsApp's codes, what linked it and what came to nothing,
// restrictions, and which settings were changed, without their values. The newest 500 entries are kept, and go with the session.
func (c *Client) ListSessionLog(ctx context.Context, sessionID string, params *ListSessionLogParams, options ...Option) (*ListLogEntry, error) {
	return one[ListLogEntry](c.requests.ListSessionLog(ctx, sessionID, params, options...))
}

// AllSessionLog is ListSessionLog over all pages. It ends after the first error.
func (c *Client) AllSessionLog(ctx context.Context, sessionID string, params *ListSessionLogParams, options ...Option) iter.Seq2[LogEntry, error] {
	var q ListSessionLogParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]LogEntry, bool, error) {
		page, err := c.ListSessionLog(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListSessions: List sessions. GET /v1/sessions
//
// All sessions, newest first. Those being deleted are left out.
func (c *Client) ListSessions(ctx context.Context, params *ListSessionsParams, options ...Option) (*ListSession, error) {
	return one[ListSession](c.requests.ListSessions(ctx, params, options...))
}

// AllSessions is ListSessions over all pages. It ends after the first error.
func (c *Client) AllSessions(ctx context.Context, params *ListSessionsParams, options ...Option) iter.Seq2[Session, error] {
	var q ListSessionsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Session, bool, error) {
		page, err := c.ListSessions(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListSettings: List the settings in force. GET /v1/settings
//
// What the api process that answers runs by, without secrets. They are set in its environment and change with its next start; other roles
// have their own.
func (c *Client) ListSettings(ctx context.Context, options ...Option) (*SettingList, error) {
	return one[SettingList](c.requests.ListSettings(ctx, options...))
}

// ListStatusUpdates: List status updates. GET /v1/sessions/{sessionId}/status-updates
//
// The status updates that are shown now, of the account and of its contacts, newest first: those of the last 24 hours that were not
// deleted, and own ones that are still to be posted. Older ones can be read by their ids for 30 days, then they go, with their files. It is
// read from what chasqui keeps and needs no connection.
func (c *Client) ListStatusUpdates(ctx context.Context, sessionID string, params *ListStatusUpdatesParams, options ...Option) (*ListMessage, error) {
	return one[ListMessage](c.requests.ListStatusUpdates(ctx, sessionID, params, options...))
}

// AllStatusUpdates is ListStatusUpdates over all pages. It ends after the first error.
func (c *Client) AllStatusUpdates(ctx context.Context, sessionID string, params *ListStatusUpdatesParams, options ...Option) iter.Seq2[Message, error] {
	var q ListStatusUpdatesParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Message, bool, error) {
		page, err := c.ListStatusUpdates(ctx, sessionID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListStatusViewers: List a status update's viewers. GET /v1/sessions/{sessionId}/status-updates/{statusId}/viewers
//
// Who has viewed an own status update, and when: the last first. Those who keep read receipts to themselves are not among them. One of a
// contact has none.
func (c *Client) ListStatusViewers(ctx context.Context, sessionID string, statusID string, params *ListStatusViewersParams, options ...Option) (*ListStatusViewer, error) {
	return one[ListStatusViewer](c.requests.ListStatusViewers(ctx, sessionID, statusID, params, options...))
}

// AllStatusViewers is ListStatusViewers over all pages. It ends after the first error.
func (c *Client) AllStatusViewers(ctx context.Context, sessionID string, statusID string, params *ListStatusViewersParams, options ...Option) iter.Seq2[StatusViewer, error] {
	var q ListStatusViewersParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]StatusViewer, bool, error) {
		page, err := c.ListStatusViewers(ctx, sessionID, statusID, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// ListSubgroups: List the groups of a community. GET /v1/sessions/{sessionId}/groups/{groupId}/subgroups
//
// All groups of a community, also those that the account is not in.
func (c *Client) ListSubgroups(ctx context.Context, sessionID string, groupID string, options ...Option) (*Subgroups, error) {
	return one[Subgroups](c.requests.ListSubgroups(ctx, sessionID, groupID, options...))
}

// ListWebhookEndpoints: List webhook endpoints. GET /v1/webhook-endpoints
//
// All endpoints, newest first, without their secrets. The one of WEBHOOK_URL is the last.
func (c *Client) ListWebhookEndpoints(ctx context.Context, params *ListWebhookEndpointsParams, options ...Option) (*ListEndpoint, error) {
	return one[ListEndpoint](c.requests.ListWebhookEndpoints(ctx, params, options...))
}

// AllWebhookEndpoints is ListWebhookEndpoints over all pages. It ends after the first error.
func (c *Client) AllWebhookEndpoints(ctx context.Context, params *ListWebhookEndpointsParams, options ...Option) iter.Seq2[Endpoint, error] {
	var q ListWebhookEndpointsParams
	if params != nil {
		q = *params
	}
	return pages(func() ([]Endpoint, bool, error) {
		page, err := c.ListWebhookEndpoints(ctx, &q, options...)
		if err != nil {
			return nil, false, err
		}
		q.Cursor = &page.NextCursor
		return page.Data, page.HasMore, nil
	})
}

// LogoutSession: Log a session out. POST /v1/sessions/{sessionId}/logout
//
// Unlinks the account from the phone. The session and its messages stay; start it to link it anew. On one that is not linked it does
// nothing. The answer comes at once; state follows, and each change of it is an event session.status.
func (c *Client) LogoutSession(ctx context.Context, sessionID string, options ...Option) (*Session, error) {
	return one[Session](c.requests.LogoutSession(ctx, sessionID, options...))
}

// LookUpChannelInvite: Look up a channel's link. GET /v1/sessions/{sessionId}/channel-invites/{code}
//
// The channel that a link leads to.
func (c *Client) LookUpChannelInvite(ctx context.Context, sessionID string, code string, options ...Option) (*Channel, error) {
	return one[Channel](c.requests.LookUpChannelInvite(ctx, sessionID, code, options...))
}

// LookUpGroupInvite: Look up a link. GET /v1/sessions/{sessionId}/group-invites/{code}
//
// The group that a link leads to, without joining it and without its participants.
func (c *Client) LookUpGroupInvite(ctx context.Context, sessionID string, code string, options ...Option) (*Group, error) {
	return one[Group](c.requests.LookUpGroupInvite(ctx, sessionID, code, options...))
}

// MarkMessagesRead: Mark messages as read. POST /v1/sessions/{sessionId}/messages/mark-read
//
// Tells the senders of messages that they were read, unless the account keeps that to itself, and the account's other devices.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) MarkMessagesRead(ctx context.Context, sessionID string, body MarkRead, options ...Option) (*MessagesRead, *Change, error) {
	return either[MessagesRead, Change](c.requests.MarkMessagesRead(ctx, sessionID, body, options...))
}

// MuteChannel: Mute a channel. PUT /v1/sessions/{sessionId}/channels/{channelId}/mute
//
// The owner's phone does not notify of the channel's posts. Events go on.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) MuteChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.MuteChannel(ctx, sessionID, channelID, options...))
}

// PinMessage: Pin a message. PUT /v1/sessions/{sessionId}/messages/{messageId}/pin
//
// Pins a message at the top of its chat, for everybody in it. In a group WhatsApp may leave that to admins.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) PinMessage(ctx context.Context, sessionID string, messageID string, body PinMessage, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.PinMessage(ctx, sessionID, messageID, body, options...))
}

// PostStatusUpdate: Post a status update. POST /v1/sessions/{sessionId}/status-updates
//
// Accepts a status update and posts it in the background, in the order of the session's messages, as send-message does: to those contacts
// of the account's address book whom its status privacy, set on the phone, lets see it. It is a message in the chat status@broadcast:
// message.sent and message.status tell of it, cancel-message cancels it while it is scheduled or queued, and a failure has the same codes.
// With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it.
func (c *Client) PostStatusUpdate(ctx context.Context, sessionID string, body PostStatus, options ...Option) (*Message, error) {
	return one[Message](c.requests.PostStatusUpdate(ctx, sessionID, body, options...))
}

// PostToChannel: Post to a channel. POST /v1/sessions/{sessionId}/channels/{channelId}/messages
//
// Accepts a post for a channel that the account runs, and posts it in the background, in order with the session's messages: it survives
// every crash from here on, and followers see it once. It is a message like any other, with the channel as its chat: read it, wait for it
// and cancel it, edit or delete it (for up to 30 days) by /v1/sessions/{sessionId}/messages/{messageId}; message.sent and message.status
// tell of it. not_channel_admin: the account may not post there.
func (c *Client) PostToChannel(ctx context.Context, sessionID string, channelID string, body PostToChannel, options ...Option) (*Message, error) {
	return one[Message](c.requests.PostToChannel(ctx, sessionID, channelID, body, options...))
}

// ReactToChannelMessage: React to a post. PUT /v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction
//
// Sets the account's reaction to a post of a channel that it follows, in place of the one before.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ReactToChannelMessage(ctx context.Context, sessionID string, channelID string, messageID string, body SetReaction, options ...Option) (*PostReacted, *Change, error) {
	return either[PostReacted, Change](c.requests.ReactToChannelMessage(ctx, sessionID, channelID, messageID, body, options...))
}

// ReadChat: Mark a chat as read. POST /v1/sessions/{sessionId}/chats/{chatId}/read
//
// Reads all that is unread in a chat: the senders get read receipts, unless the account's privacy keeps them back, and the owner's phone
// shows the chat as read.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ReadChat(ctx context.Context, sessionID string, chatID string, options ...Option) (*Chat, *Change, error) {
	return either[Chat, Change](c.requests.ReadChat(ctx, sessionID, chatID, options...))
}

// RejectCall: Reject a call. POST /v1/sessions/{sessionId}/calls/{callId}/reject
//
// Rejects a call that rings, on all devices of the account. It does not wait behind other changes. call_over: it rings no more; so fails,
// too, what was accepted while the session was not connected and came too late. The session's setting calls rejects every call by itself.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) RejectCall(ctx context.Context, sessionID string, callID string, options ...Option) (*Call, *Change, error) {
	return either[Call, Change](c.requests.RejectCall(ctx, sessionID, callID, options...))
}

// RejectJoinRequest: Reject a request to join. POST /v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/reject
//
// Ends somebody's request to join the group.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) RejectJoinRequest(ctx context.Context, sessionID string, groupID string, participantID string, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.RejectJoinRequest(ctx, sessionID, groupID, participantID, options...))
}

// RemoveParticipant: Remove a participant from a group. DELETE /v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}
//
// Removes somebody from the group, who cannot come back by its link.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) RemoveParticipant(ctx context.Context, sessionID string, groupID string, participantID string, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.RemoveParticipant(ctx, sessionID, groupID, participantID, options...))
}

// ReplayWebhookEndpoint: Send an endpoint's deliveries of a time again. POST /v1/webhook-endpoints/{endpointId}/replay
//
// Makes due again what an endpoint has not got, by the time of the events and what became of them: after an outage of the receiver,
// since=when it began. Each goes out under the same webhook-id, with all its attempts before it, oldest first, and in the endpoint's order
// among what is sent again. It is done little by little, so that what happens meanwhile is hardly delayed: an endpoint never has more than
// 1000 deliveries due because of it. An endpoint has one replay at a time: webhook_replay_running names the one that runs, which can be
// cancelled.
func (c *Client) ReplayWebhookEndpoint(ctx context.Context, endpointID string, body CreateReplay, options ...Option) (*Replay, error) {
	return one[Replay](c.requests.ReplayWebhookEndpoint(ctx, endpointID, body, options...))
}

// RequestHistory: Ask the phone for older messages. POST /v1/sessions/{sessionId}/chats/{chatId}/history-sync
//
// Asks the owner's phone for a chat's messages before one. They come as history, without an event each: the event history.synced with the
// chat's chatId tells that they are there, once the phone has answered, which it does when it is on, or, with missing, that they cannot be
// had.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) RequestHistory(ctx context.Context, sessionID string, chatID string, body AskHistory, options ...Option) (*HistoryAsked, *Change, error) {
	return either[HistoryAsked, Change](c.requests.RequestHistory(ctx, sessionID, chatID, body, options...))
}

// RespondToEvent: Answer an invitation to an event. POST /v1/sessions/{sessionId}/messages/{messageId}/respond
//
// Says whether the account comes to an event, in place of its answer before.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) RespondToEvent(ctx context.Context, sessionID string, messageID string, body Respond, options ...Option) (*ResponseData, *Change, error) {
	return either[ResponseData, Change](c.requests.RespondToEvent(ctx, sessionID, messageID, body, options...))
}

// RestartSession: Restart a session. POST /v1/sessions/{sessionId}/restart
//
// Disconnects and connects again; also starts a session that is stopped or has failed. The answer comes at once; state follows, and each
// change of it is an event session.status.
func (c *Client) RestartSession(ctx context.Context, sessionID string, options ...Option) (*Session, error) {
	return one[Session](c.requests.RestartSession(ctx, sessionID, options...))
}

// RetryDelivery: Send a delivery again. POST /v1/webhook-deliveries/{deliveryId}/retry
//
// Whatever its state, also one that succeeded: it is due now, with all its attempts before it, under the same webhook-id. It goes out at
// once and out of its order, since later events have gone already. One that is on its way at this moment is answered as it is. While its
// endpoint is paused or disabled it is held. delivery_expired: its event is no longer kept, or its endpoint was deleted. To send many
// again, see POST /v1/webhook-endpoints/{endpointId}/replay.
func (c *Client) RetryDelivery(ctx context.Context, deliveryID string, options ...Option) (*Delivery, error) {
	return one[Delivery](c.requests.RetryDelivery(ctx, deliveryID, options...))
}

// RetryMessageMedia: Ask the phone for a file again. POST /v1/sessions/{sessionId}/messages/{messageId}/media/retry
//
// Asks the owner's phone to upload a received file again that could not be had, because WhatsApp keeps files for some weeks only. It is
// asked when the session is connected, and answers when it is on; the file's status is pending until then, or until media.failed tells that
// it could not be had. A file that is there is answered as it is.
func (c *Client) RetryMessageMedia(ctx context.Context, sessionID string, messageID string, options ...Option) (*MediaInfo, error) {
	return one[MediaInfo](c.requests.RetryMessageMedia(ctx, sessionID, messageID, options...))
}

// RotateAPIKey: Rotate an API key. POST /v1/api-keys/{keyId}/rotate
//
// A new key takes its place, with the same id, quota and rights. The key as it was stays valid for overlapSeconds; one from an earlier
// rotation does not.
func (c *Client) RotateAPIKey(ctx context.Context, keyID string, body RotateKey, options ...Option) (*CreatedKey, error) {
	return one[CreatedKey](c.requests.RotateAPIKey(ctx, keyID, body, options...))
}

// RotateGroupInvite: Replace a group's link. POST /v1/sessions/{sessionId}/groups/{groupId}/invite/rotate
//
// Makes a new link. The one before leads nowhere from then on. Where WhatsApp's answer was lost another is made: the one in the answer
// holds.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) RotateGroupInvite(ctx context.Context, sessionID string, groupID string, options ...Option) (*GroupLink, *Change, error) {
	return either[GroupLink, Change](c.requests.RotateGroupInvite(ctx, sessionID, groupID, options...))
}

// RotateWebhookSecret: Change a webhook endpoint's secret. POST /v1/webhook-endpoints/{endpointId}/secret/rotate
//
// The new secret signs from the next attempt on, those of events that have failed before included. The present one signs beside it for
// overlapHours, and secrets from earlier rotations until their own time, so that a receiver can be changed without missing anything. At
// most 5 earlier ones sign: a rotation that would keep a sixth is refused, and goes through with overlapHours 0. After a leak take 0 and
// change the receiver at once: an earlier secret that still signs does no harm, but a receiver that accepts it does.
func (c *Client) RotateWebhookSecret(ctx context.Context, endpointID string, body RotateSecret, options ...Option) (*RotatedSecret, error) {
	return one[RotatedSecret](c.requests.RotateWebhookSecret(ctx, endpointID, body, options...))
}

// SendMessage: Send a message. POST /v1/sessions/{sessionId}/messages
//
// Accepts a message and sends it in the background, in order: it survives every crash from here on, and the recipient sees it once. It is
// accepted in every state of the session but logged_out and banned, and waits until the session is connected, or until its expiresAt. What
// ends otherwise says why in error.code, here and in message.status: recipient_not_on_whatsapp, account_restricted (WhatsApp does not let
// the account write to this recipient now), account_banned and session_logged_out (before it was sent), rate_limited (WhatsApp took none of
// the account's messages for 5 minutes), whatsapp_rejected, whatsapp_timeout (no answer: it may have been delivered all the same),
// media_expired, internal_error. A message that expired has a code only if it may have been delivered. With Prefer: wait=N (up to 30) the
// answer waits: 200 once WhatsApp has it, 202 when N seconds are over, or the problem that it failed with, with messageId.
func (c *Client) SendMessage(ctx context.Context, sessionID string, body SendMessage, options ...Option) (*Message, error) {
	return one[Message](c.requests.SendMessage(ctx, sessionID, body, options...))
}

// SetChannelPicture: Set a channel's picture. PUT /v1/sessions/{sessionId}/channels/{channelId}/picture
//
// Gives the channel a picture, in place of the one before.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) SetChannelPicture(ctx context.Context, sessionID string, channelID string, body SetPicture, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.SetChannelPicture(ctx, sessionID, channelID, body, options...))
}

// SetGroupPicture: Set a group's picture. PUT /v1/sessions/{sessionId}/groups/{groupId}/picture
//
// Gives the group a picture, in place of the one before. Where WhatsApp's answer was lost it is set again, which the group may see as a
// second change.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) SetGroupPicture(ctx context.Context, sessionID string, groupID string, body SetPicture, options ...Option) (*GroupPictured, *Change, error) {
	return either[GroupPictured, Change](c.requests.SetGroupPicture(ctx, sessionID, groupID, body, options...))
}

// SetPresence: Set the own presence. PUT /v1/sessions/{sessionId}/presence
//
// Says whether the account is online while the session is connected, now and after every reconnect. It is the session's setting presence,
// which PATCH of the session sets as well. By default it is unavailable, so that the owner's phone notifies of what comes in; while it is
// available, the phone may keep silent, and senders see two ticks from this device. An account that shows typing is available for that
// time, and for 25 seconds more, and then again what is set here.
func (c *Client) SetPresence(ctx context.Context, sessionID string, body SetPresence, options ...Option) (*OwnPresence, error) {
	return one[OwnPresence](c.requests.SetPresence(ctx, sessionID, body, options...))
}

// SetProfilePicture: Set the account's picture. PUT /v1/sessions/{sessionId}/profile/picture
//
// Gives the account a picture, in place of the one before. Set again, others see it come again.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) SetProfilePicture(ctx context.Context, sessionID string, body SetPicture, options ...Option) (*ProfilePictured, *Change, error) {
	return either[ProfilePictured, Change](c.requests.SetProfilePicture(ctx, sessionID, body, options...))
}

// SetReaction: React to a message. PUT /v1/sessions/{sessionId}/messages/{messageId}/reaction
//
// Sets the account's reaction to a message, in place of the one before.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) SetReaction(ctx context.Context, sessionID string, messageID string, body SetReaction, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.SetReaction(ctx, sessionID, messageID, body, options...))
}

// SetTyping: Show typing in a chat. PUT /v1/sessions/{sessionId}/chats/{chatId}/typing
//
// Shows in a chat that the account is typing or recording, or has stopped. WhatsApp's apps show it for up to 25 s unless it is said again,
// and nobody keeps it for later: a session that is not connected is a problem at once. The account is online meanwhile, and its phone does
// not notify. To show it before a message, send that with typingSeconds.
func (c *Client) SetTyping(ctx context.Context, sessionID string, chatID string, body SetTyping, options ...Option) (*Typing, error) {
	return one[Typing](c.requests.SetTyping(ctx, sessionID, chatID, body, options...))
}

// SimulateMessage: Receive a message of a simulated contact. POST /v1/sessions/{sessionId}/simulated-message
//
// For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated contact writes to
// the session's account. WhatsApp has the message when this answers; the session receives it a moment later, or once it is connected again,
// as message.received. It takes no Idempotency-Key: asked twice, the contact writes twice.
func (c *Client) SimulateMessage(ctx context.Context, sessionID string, body SimulateMessage, options ...Option) (*SimulatedMessage, error) {
	return one[SimulatedMessage](c.requests.SimulateMessage(ctx, sessionID, body, options...))
}

// SimulateScan: Link the session with a simulated phone. POST /v1/sessions/{sessionId}/simulated-scan
//
// For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated phone scans the
// session's QR code, for which it waits up to 30 s; it enters the pairing code instead where the session shows one for this phone, and
// answers for its passkey where WhatsApp asks for it. The session is connected a moment later. It takes no Idempotency-Key: asked twice,
// the second is told session_already_linked.
func (c *Client) SimulateScan(ctx context.Context, sessionID string, body SimulateScan, options ...Option) (*SimulatedScan, error) {
	return one[SimulatedScan](c.requests.SimulateScan(ctx, sessionID, body, options...))
}

// StarMessage: Star a message. PUT /v1/sessions/{sessionId}/messages/{messageId}/star
//
// Stars a message on all devices of the account; nobody else sees it.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) StarMessage(ctx context.Context, sessionID string, messageID string, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.StarMessage(ctx, sessionID, messageID, options...))
}

// StartSession: Start a session. POST /v1/sessions/{sessionId}/start
//
// Wants the session to run: it connects, or shows a QR code where it is not linked. On one that runs it does nothing. The answer comes at
// once; state follows, and each change of it is an event session.status.
func (c *Client) StartSession(ctx context.Context, sessionID string, options ...Option) (*Session, error) {
	return one[Session](c.requests.StartSession(ctx, sessionID, options...))
}

// StopSession: Stop a session. POST /v1/sessions/{sessionId}/stop
//
// Wants the session to rest: it disconnects, stays linked, and receives nothing until it is started. The answer comes at once; state
// follows, and each change of it is an event session.status.
func (c *Client) StopSession(ctx context.Context, sessionID string, options ...Option) (*Session, error) {
	return one[Session](c.requests.StopSession(ctx, sessionID, options...))
}

// SubscribePresence: Subscribe to a contact's presence. PUT /v1/sessions/{sessionId}/presence/{contactId}/subscription
//
// Lets WhatsApp tell whether somebody is online: each change is an event presence.updated. It holds until it is taken back, over
// reconnects, for up to 1,000 people a session. WhatsApp tells nothing while the account itself is unavailable: set its presence to
// available. Nor does it tell of people whose privacy hides it from this account, of anybody's last seen time while the account hides its
// own, and often of strangers: those who wrote to the account lately have given it a token for that, which is sent along. It does not say
// which of these is the case: the state then stays unknown.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) SubscribePresence(ctx context.Context, sessionID string, contactID string, options ...Option) (*Presence, *Change, error) {
	return either[Presence, Change](c.requests.SubscribePresence(ctx, sessionID, contactID, options...))
}

// TestWebhookEndpoint: Test a webhook endpoint. POST /v1/webhook-endpoints/{endpointId}/test
//
// Publishes an event webhook.test that goes to this endpoint alone, whatever its filters say, signed and repeated as every event; endpoints
// of the format legacy get the message in it. With Prefer: wait=N (up to 30) the answer waits: 200 with what came of the first attempt, or
// 202 when there was none within N seconds, as while the breaker is open. An endpoint that is paused or disabled is not tested: set its
// state to active first, which also forgives its failures.
func (c *Client) TestWebhookEndpoint(ctx context.Context, endpointID string, options ...Option) (*EndpointTest, error) {
	return one[EndpointTest](c.requests.TestWebhookEndpoint(ctx, endpointID, options...))
}

// UnblockContact: Unblock a contact. DELETE /v1/sessions/{sessionId}/blocklist/{contactId}
//
// Takes somebody off the block list.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnblockContact(ctx context.Context, sessionID string, contactID string, options ...Option) (*Contact, *Change, error) {
	return either[Contact, Change](c.requests.UnblockContact(ctx, sessionID, contactID, options...))
}

// UnfollowChannel: Unfollow a channel. DELETE /v1/sessions/{sessionId}/channels/{channelId}/subscription
//
// The account follows the channel no more. Its owner cannot leave it.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnfollowChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*ChannelDone, *Change, error) {
	return either[ChannelDone, Change](c.requests.UnfollowChannel(ctx, sessionID, channelID, options...))
}

// UnlabelChat: Take a label from a chat. DELETE /v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}
//
// Takes a label from a chat.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnlabelChat(ctx context.Context, sessionID string, chatID string, labelID string, options ...Option) (*Chat, *Change, error) {
	return either[Chat, Change](c.requests.UnlabelChat(ctx, sessionID, chatID, labelID, options...))
}

// UnlinkSubgroup: Take a group out of a community. DELETE /v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}
//
// The group goes on without the community, whose participants stay.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnlinkSubgroup(ctx context.Context, sessionID string, groupID string, subgroupID string, options ...Option) (*GroupDone, *Change, error) {
	return either[GroupDone, Change](c.requests.UnlinkSubgroup(ctx, sessionID, groupID, subgroupID, options...))
}

// UnmuteChannel: Unmute a channel. DELETE /v1/sessions/{sessionId}/channels/{channelId}/mute
//
// The owner's phone notifies of the channel's posts.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnmuteChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*Channel, *Change, error) {
	return either[Channel, Change](c.requests.UnmuteChannel(ctx, sessionID, channelID, options...))
}

// UnpinMessage: Unpin a message. DELETE /v1/sessions/{sessionId}/messages/{messageId}/pin
//
// Unpins a message, for everybody in its chat.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnpinMessage(ctx context.Context, sessionID string, messageID string, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.UnpinMessage(ctx, sessionID, messageID, options...))
}

// UnstarMessage: Take a star back. DELETE /v1/sessions/{sessionId}/messages/{messageId}/star
//
// Takes the star of a message back.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnstarMessage(ctx context.Context, sessionID string, messageID string, options ...Option) (*Message, *Change, error) {
	return either[Message, Change](c.requests.UnstarMessage(ctx, sessionID, messageID, options...))
}

// UnsubscribePresence: End a subscription to a contact's presence. DELETE /v1/sessions/{sessionId}/presence/{contactId}/subscription
//
// Ends what PUT began: no event follows, and nothing more is known of the contact. WhatsApp is told so in the form that its former clients
// used; should it not heed that, it goes on telling this connection, and nobody else hears of it.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) UnsubscribePresence(ctx context.Context, sessionID string, contactID string, options ...Option) (*Presence, *Change, error) {
	return either[Presence, Change](c.requests.UnsubscribePresence(ctx, sessionID, contactID, options...))
}

// UploadMedia: Upload a file. POST /v1/media
//
// Stores a file to be sent later, any number of times and from any session, by its id. The part file is streamed, so it can be as large as
// the operator allows (MEDIA_MAX_MB). The same content is stored once, whoever uploads it.
func (c *Client) UploadMedia(ctx context.Context, contentType string, body io.Reader, options ...Option) (*MediaInfo, error) {
	return one[MediaInfo](c.requests.UploadMediaWithBody(ctx, contentType, body, options...))
}

// ViewStatusUpdate: View a status update. POST /v1/sessions/{sessionId}/status-updates/{statusId}/view
//
// Tells a contact that the account has viewed his status update, unless the account keeps read receipts to itself, and the account's other
// devices. To answer it, send a message to him with replyTo; a reaction to it reaches him too.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) ViewStatusUpdate(ctx context.Context, sessionID string, statusID string, options ...Option) (*MessagesRead, *Change, error) {
	return either[MessagesRead, Change](c.requests.ViewStatusUpdate(ctx, sessionID, statusID, options...))
}

// Vote: Vote in a poll. POST /v1/sessions/{sessionId}/messages/{messageId}/vote
//
// Votes for options of a poll, of others or the account's own, in place of its vote before.
//
// One of the two results is not nil: the second where WhatsApp has not done it within the wait, and still will.
func (c *Client) Vote(ctx context.Context, sessionID string, messageID string, body Vote, options ...Option) (*VoteData, *Change, error) {
	return either[VoteData, Change](c.requests.Vote(ctx, sessionID, messageID, body, options...))
}

// WatchChannel: Be told what a channel's posts are met with. PUT /v1/sessions/{sessionId}/channels/{channelId}/live-updates
//
// Asks WhatsApp to tell for a while, of which it says how long, how often posts are seen and what they are met with: as the event
// channel.counts. Asked again, it goes on for longer.
func (c *Client) WatchChannel(ctx context.Context, sessionID string, channelID string, options ...Option) (*ChannelWatched, error) {
	return one[ChannelWatched](c.requests.WatchChannel(ctx, sessionID, channelID, options...))
}
