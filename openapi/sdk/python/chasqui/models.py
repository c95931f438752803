# Code generated from openapi.yaml by make generate. DO NOT EDIT.
"""What the API takes and answers, as dictionaries."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, NotRequired, TypedDict, Union

class APIKey(TypedDict):
    """APIKey."""
    createdAt: str
    # Absent: never.
    expiresAt: NotRequired[str]
    # How the key begins, to tell keys apart.
    hint: str
    id: str
    # When it was last used, to the minute.
    lastUsedAt: NotRequired[str]
    name: str
    # The only addresses that it may be used from; empty: all.
    networks: List[str]
    # Until when the key before its rotation is valid too.
    previousUntil: NotRequired[str]
    # Absent: the setting RATE_LIMIT.
    requestsPerMinute: NotRequired[int]
    scopes: List[Literal["read", "send", "manage", "admin"]]
    # The only sessions that there are for it; empty: all.
    sessions: List[str]


class AccountHealth(TypedDict):
    """AccountHealth."""
    # How many of these failed, by code.
    failed: Dict[str, int]
    # good: nothing stands out. caution: WhatsApp may soon restrict the account. risk: it has.
    level: Literal["good", "caution", "risk"]
    newContacts: NewContactRate
    # What the level comes from; none where it is good.
    reasons: List[HealthReason]
    # Until when WhatsApp lets the account write to nobody new.
    restrictedUntil: NotRequired[str]
    # Messages that it sent, of its last 2,000 in both directions, within 24 hours.
    sent: int
    # How many messages wait for what the session's settings make them wait for, at most 1,000 in all.
    waiting: Dict[str, int]
    # When the session's window opens, while it is closed.
    windowOpensAt: NotRequired[str]


class AddParticipants(TypedDict):
    """AddParticipants."""
    # Phone numbers or JIDs.
    participants: List[str]


class Address(TypedDict):
    """Address."""
    # Canonical JID: the phone's where it is known, else the LID's.
    id: str
    kind: Literal["user", "group", "broadcast", "status", "channel"]
    # WhatsApp's phone-independent number, digits only.
    lid: NotRequired[str]
    # The name this address is known by to the session.
    name: NotRequired[str]
    # Phone number, digits only.
    phone: NotRequired[str]


class Album(TypedDict):
    """Album."""
    images: int
    videos: int


class AlbumContent(TypedDict):
    """AlbumContent."""
    # How many images and videos follow, two at least. Send them next, each with the albumId of this message.
    album: NewAlbum
    type: Literal["album"]


class AnswerPasskey(TypedDict):
    """AnswerPasskey."""
    # Not looked at.
    authenticatorAttachment: NotRequired[str]
    # Not looked at.
    clientExtensionResults: NotRequired[Dict[str, Any]]
    # The credential's id, in base64url.
    id: str
    # The same.
    rawId: str
    response: PasskeyResponse
    type: Literal["public-key"]


class AskHistory(TypedDict):
    """AskHistory."""
    # A message of the chat, by our id or WhatsApp's: those before it are asked for. Without it, those before the oldest that is kept.
    before: NotRequired[str]
    # How many messages; WhatsApp recommends 50.
    count: int


class AskPairingCode(TypedDict):
    """AskPairingCode."""
    # The phone number of the account, with its country code.
    phone: str


Attempt = TypedDict(
    "Attempt",
    {
        # Which it is of its series. What costs no attempt has the number of the one that comes after it; a series begins anew when the
        # delivery is sent again.
        "attempt": "int",
        "class": "AttemptClass",
        # Milliseconds from the beginning to the end of the answer, or to the failure.
        "durationMs": "int",
        # What went wrong, for a person. It may change.
        "error": "NotRequired[str]",
        # The answer's body, its first 16 KiB.
        "responseBody": "NotRequired[str]",
        # How responseBody is written: base64 where the body is not UTF-8. Absent where there was none.
        "responseBodyEncoding": "NotRequired[Literal['text', 'base64']]",
        # The answer's header, without cookies, up to 8 KiB.
        "responseHeaders": "Dict[str, str]",
        "startedAt": "str",
        # The HTTP status, where there was one.
        "status": "NotRequired[int]",
    },
)


class AudioContent(TypedDict):
    """AudioContent."""
    media: MediaSource
    type: Literal["audio"]


class AuditEntry(TypedDict):
    """AuditEntry."""
    # Where the request came from; behind a reverse proxy the proxy's.
    address: str
    at: str
    id: str
    # Whose request it was; absent for API_KEY.
    keyId: NotRequired[str]
    # What the key was called then.
    keyName: str
    # The operationId of this document.
    operation: str
    # What was asked for, without its query.
    path: str
    # The request in the log.
    requestId: str
    # The session that the path names.
    sessionId: NotRequired[str]


class BatchMessage(TypedDict):
    """BatchMessage."""
    # Any text of yours; it comes back in every form of the message.
    clientReference: NotRequired[str]
    content: SendContent
    # Whom to send it to, as in a message of its own.
    to: str
    # Show for so long that the account is typing before it is sent. The chat's later messages wait.
    typingSeconds: NotRequired[int]


class Blocklist(TypedDict):
    """Blocklist."""
    # Whom the account has blocked, by id.
    data: List[Address]


class Brand(TypedDict):
    """Brand."""
    # The page's own colour.
    color: NotRequired[str]
    # A PNG, JPEG or WebP of at most 32 KiB, as a data URL.
    logo: NotRequired[str]
    # Who asks for the linking.
    name: NotRequired[str]


class BusinessDay(TypedDict):
    """BusinessDay."""
    # Minutes after midnight, with specific_hours.
    close: NotRequired[int]
    day: Literal["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    mode: Literal["open_24h", "specific_hours", "appointment_only"]
    # Minutes after midnight, with specific_hours.
    open: NotRequired[int]


class BusinessProfile(TypedDict):
    """BusinessProfile."""
    address: NotRequired[str]
    categories: List[str]
    description: NotRequired[str]
    email: NotRequired[str]
    # When it is open; none: it does not say.
    hours: List[BusinessDay]
    # Of its opening hours, as in the IANA list.
    timezone: NotRequired[str]
    websites: List[str]


class CalendarEvent(TypedDict):
    """CalendarEvent."""
    # It was called off.
    cancelled: NotRequired[bool]
    description: NotRequired[str]
    # When it ends.
    endAt: NotRequired[str]
    # Guests may bring others.
    extraGuests: NotRequired[bool]
    # A link to a call.
    joinLink: NotRequired[str]
    # Where it is.
    location: NotRequired[Location]
    name: str
    # When it begins; WhatsApp keeps whole seconds.
    startAt: str


Call = TypedDict(
    "Call",
    {
        "acceptedAt": "NotRequired[str]",
        "endedAt": "NotRequired[str]",
        # Who calls.
        "from": "Address",
        # In a group's call: JID of the group.
        "groupId": "NotRequired[str]",
        "id": "str",
        # When it began to ring.
        "offeredAt": "str",
        # Why it ended. rejected: by the account, here or on another device; timeout: nobody answered; missed: the caller hung up first;
        # completed: it had been accepted; unknown: WhatsApp did not tell.
        "reason": "NotRequired[Literal['rejected', 'timeout', 'missed', 'completed', 'unknown']]",
        "sessionId": "str",
        # accepted: on another device of the account.
        "state": "Literal['ringing', 'accepted', 'ended']",
        # Whether it is a video call.
        "video": "bool",
        # WhatsApp's id of it.
        "whatsappId": "str",
    },
)


class CallAcceptedEvent(TypedDict):
    """CallAcceptedEvent."""
    data: CallData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["call.accepted"]


class CallData(TypedDict):
    """CallData."""
    call: Call


class CallEndedEvent(TypedDict):
    """CallEndedEvent."""
    data: CallData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["call.ended"]


class CallOfferedEvent(TypedDict):
    """CallOfferedEvent."""
    data: CallData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["call.offered"]


class CallSettings(TypedDict):
    """CallSettings."""
    # Rejects every call at once.
    reject: bool
    # Sent to a caller who was rejected, once an hour at most; not in group calls.
    text: NotRequired[str]


class Change(TypedDict):
    """Change."""
    createdAt: str
    # Why it failed.
    error: NotRequired[MessageError]
    # When it is given up if it could not be done.
    expiresAt: str
    id: str
    # What is changed; the list grows.
    kind: str
    # What the operation would have answered, once it is done.
    result: NotRequired[Any]
    sessionId: str
    # queued: it waits for the session's connection, or its turn.
    status: Literal["queued", "done", "failed", "expired"]
    # The message's id or the JID that it is about.
    target: NotRequired[str]


class ChangeChannel(TypedDict):
    """ChangeChannel."""
    # An empty one takes it away.
    description: NotRequired[str]
    name: NotRequired[str]


class ChangeChat(TypedDict):
    """ChangeChat."""
    # Archives it, which unpins it too, or takes it out of the archive.
    archived: NotRequired[bool]
    # After how many seconds new messages disappear, for everybody in the chat: a day, a week or 90 days; 0 is never.
    disappearingSeconds: NotRequired[Literal[0, 86400, 604800, 7776000]]
    # Mutes it until then; 9999-12-31T00:00:00Z is for good. null ends it.
    mutedUntil: NotRequired[Union[str, None]]
    # Pins it above the others. An archived chat is not pinned.
    pinned: NotRequired[bool]
    # true marks it as unread; false reads it, as POST .../read does.
    unread: NotRequired[bool]


class ChangeContact(TypedDict):
    """ChangeContact."""
    # The name in the account's address book, which its phone gets too; empty takes it away.
    savedName: str


class ChangeData(TypedDict):
    """ChangeData."""
    change: Change


class ChangeEndpoint(TypedDict):
    """ChangeEndpoint."""
    # Empty: all.
    chatKinds: NotRequired[List[Literal["user", "group", "broadcast", "status", "channel"]]]
    events: NotRequired[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]]
    # null: those of the account and those of others.
    fromMe: NotRequired[Union[bool, None]]
    headers: NotRequired[Dict[str, str]]
    maxInFlight: NotRequired[int]
    order: NotRequired[Literal["none", "chat", "session"]]
    # null: no limit.
    ratePerSecond: NotRequired[Union[int, None]]
    # null: the standard schedule. Deliveries that have failed before go by it from their next failure on.
    retrySeconds: NotRequired[Union[List[int], None]]
    sessions: NotRequired[List[str]]
    state: NotRequired[Literal["active", "paused"]]
    timeoutSeconds: NotRequired[int]
    url: NotRequired[str]
    waitForMedia: NotRequired[bool]


class ChangeFailedEvent(TypedDict):
    """ChangeFailedEvent."""
    data: ChangeData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["change.failed"]


class ChangeGroup(TypedDict):
    """ChangeGroup."""
    # Only admins may send.
    announcement: NotRequired[bool]
    # An empty one takes it away.
    description: NotRequired[str]
    # After how many seconds new messages disappear; 0 is never.
    disappearingSeconds: NotRequired[Literal[0, 86400, 604800, 7776000]]
    # An admin has to approve who joins by link.
    joinApproval: NotRequired[bool]
    # Only admins may change name, description and picture.
    locked: NotRequired[bool]
    # Who may add participants.
    memberAdd: NotRequired[Literal["all", "admins"]]
    name: NotRequired[str]


class ChangeKey(TypedDict):
    """ChangeKey."""
    # null: never.
    expiresAt: NotRequired[Union[str, None]]
    name: NotRequired[str]
    # Empty: all.
    networks: NotRequired[List[str]]
    # null: the setting RATE_LIMIT.
    requestsPerMinute: NotRequired[Union[int, None]]
    scopes: NotRequired[List[Literal["read", "send", "manage", "admin"]]]
    # Empty: all.
    sessions: NotRequired[List[str]]


class ChangeLabel(TypedDict):
    """ChangeLabel."""
    # One of WhatsApp's colours.
    color: NotRequired[int]
    # What it is called.
    name: NotRequired[str]


class ChangeParticipant(TypedDict):
    """ChangeParticipant."""
    role: Literal["member", "admin"]


class ChangePrivacy(TypedDict):
    """ChangePrivacy."""
    # Who sees what it says about itself.
    about: NotRequired[Literal["all", "contacts", "contact_blacklist", "none"]]
    # Whose calls ring.
    callAdd: NotRequired[Literal["all", "known"]]
    # WhatsApp's strict account settings.
    defense: NotRequired[Literal["on_standard", "off"]]
    # After how many seconds messages disappear in chats that begin from now on: a day, a week or 90 days; 0 is never.
    disappearingSeconds: NotRequired[Literal[0, 86400, 604800, 7776000]]
    # Who may add it to groups.
    groupAdd: NotRequired[Literal["all", "contacts", "contact_blacklist", "none"]]
    # Who sees when the account was last online. contact_blacklist: contacts without those whom the owner chose on the phone.
    lastSeen: NotRequired[Literal["all", "contacts", "contact_blacklist", "none"]]
    # Who may write to it.
    messages: NotRequired[Literal["all", "contacts"]]
    # Who sees that it is online.
    online: NotRequired[Literal["all", "match_last_seen"]]
    # Who sees its picture.
    picture: NotRequired[Literal["all", "contacts", "contact_blacklist", "none"]]
    # Whether senders learn what was read, and the account of them.
    readReceipts: NotRequired[Literal["all", "none"]]
    # Who may use its stickers. contact_allowlist: those whom the owner chose on the phone.
    stickers: NotRequired[Literal["contacts", "contact_allowlist", "none"]]


class ChangeProfile(TypedDict):
    """ChangeProfile."""
    # What it says about itself; an empty one takes it away.
    about: NotRequired[str]
    # What the account calls itself; others see it beside its number.
    name: NotRequired[str]


class ChangeSession(TypedDict):
    """ChangeSession."""
    name: NotRequired[str]
    settings: NotRequired[SessionSettings]


class Channel(TypedDict):
    """Channel."""
    createdAt: NotRequired[str]
    description: NotRequired[str]
    followers: int
    # JID.
    id: str
    # The end of its link.
    inviteCode: NotRequired[str]
    inviteUrl: NotRequired[str]
    # The account is not notified of its posts.
    muted: NotRequired[bool]
    name: str
    # It changes with the picture.
    pictureId: NotRequired[str]
    # Where WhatsApp has the picture, for some days.
    pictureUrl: NotRequired[str]
    # What the account is to it; a guest does not follow it. Absent where it was looked up by its link.
    role: NotRequired[Literal["owner", "admin", "subscriber", "guest"]]
    # Whether WhatsApp shows it, or has suspended it.
    state: NotRequired[Literal["active", "suspended", "geosuspended"]]
    # WhatsApp verified who stands behind it.
    verified: NotRequired[bool]


class ChannelCountsData(TypedDict):
    """ChannelCountsData."""
    channelId: str
    posts: List[CountedPost]


class ChannelCountsEvent(TypedDict):
    """ChannelCountsEvent."""
    data: ChannelCountsData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["channel.counts"]


class ChannelData(TypedDict):
    """ChannelData."""
    # joined: the account follows it, or has made it. deleted: the account has deleted it; one that somebody else deleted is left.
    change: Literal["joined", "left", "changed", "deleted"]
    # With changed: the members of channel that are another now.
    changed: NotRequired[List[str]]
    # As it is now; as it was, where it was left or deleted.
    channel: Channel


class ChannelDone(TypedDict):
    """ChannelDone."""
    channelId: str


class ChannelMessageEvent(TypedDict):
    """ChannelMessageEvent."""
    data: MessageData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["channel.message"]


ChannelPost = TypedDict(
    "ChannelPost",
    {
        # The batch that it was sent with.
        "batchId": "NotRequired[str]",
        # JID of the chat.
        "chatId": "str",
        # What the sender wrote there; chasqui only keeps it.
        "clientReference": "NotRequired[str]",
        "content": "Content",
        "direction": "Literal['incoming', 'outgoing']",
        # Seconds after which it disappears, where the chat has a timer.
        "disappearsAfter": "NotRequired[int]",
        # When it was last edited; content is what it says now.
        "editedAt": "NotRequired[str]",
        "error": "NotRequired[MessageError]",
        # When it is given up if it could not be sent. Every message that is to be sent has one.
        "expiresAt": "NotRequired[str]",
        # How often it was forwarded; apps show it as forwarded from 1 and as forwarded many times from 5.
        "forwarded": "NotRequired[int]",
        "from": "Address",
        # It came with the chat's history, and not as it was sent.
        "history": "NotRequired[bool]",
        "id": "str",
        # Who is mentioned in the text or caption, where @ and the number stand.
        "mentions": "NotRequired[List[Address]]",
        # Everybody in the group is mentioned.
        "mentionsEveryone": "NotRequired[bool]",
        # Until when it is pinned in its chat.
        "pinnedUntil": "NotRequired[str]",
        # high: it overtakes what waits to be sent.
        "priority": "NotRequired[Literal['high']]",
        # WhatsApp's own form of it (waE2E.Message in JSON), with raw=true; keys are left out.
        "raw": "NotRequired[Any]",
        # How many reacted with what, the most frequent first.
        "reactionCounts": "List[ReactionCount]",
        # What people react with, in answers of this API; events do not hold it.
        "reactions": "NotRequired[List[Reaction]]",
        # The message that this one answers.
        "replyTo": "NotRequired[Reply]",
        # When it was deleted for everybody; content is what it said.
        "revokedAt": "NotRequired[str]",
        # When it is to be sent, while status is scheduled.
        "sendAt": "NotRequired[str]",
        # Of a post in a channel: the channel's number of it, once WhatsApp has it.
        "serverId": "NotRequired[int]",
        # The session that sent or received it.
        "sessionId": "str",
        # The account starred it.
        "starred": "NotRequired[bool]",
        # How far it has come; it only moves forward.
        "status": "Literal['scheduled', 'queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'cancelled', 'expired']",
        # When it was sent, as WhatsApp says; for a message not yet sent, when it was accepted.
        "timestamp": "str",
        "to": "Address",
        # How many have seen it.
        "views": "int",
        # What it waits for while its status is queued, beside its turn and a connection: an earlier message of its chat, typing that is
        # shown first, or what settings.sending of the session says.
        "waitsFor": "NotRequired[Literal['chat', 'typing', 'pace', 'newContacts', 'perDay', 'window']]",
        # WhatsApp's id of the message, chosen when it is accepted.
        "whatsappId": "str",
    },
)


class ChannelUpdatedEvent(TypedDict):
    """ChannelUpdatedEvent."""
    data: ChannelData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["channel.updated"]


class ChannelWatched(TypedDict):
    """ChannelWatched."""
    channelId: str
    # Ask again before then, to go on; a session that connects anew is told nothing until it has asked again.
    until: str


class Chat(TypedDict):
    """Chat."""
    archived: bool
    # After how many seconds new messages disappear; 0 is never.
    disappearingSeconds: int
    # Canonical JID: the phone's where it is known, else the LID's.
    id: str
    kind: Literal["user", "group", "broadcast", "status", "channel"]
    # Ids of its labels.
    labels: List[str]
    # The newest message that is kept.
    lastMessage: NotRequired[Message]
    lastMessageAt: NotRequired[str]
    # WhatsApp's phone-independent number, digits only.
    lid: NotRequired[str]
    # A person marked it as unread.
    markedUnread: bool
    # Until when it is muted; the year 9999 is for good.
    mutedUntil: NotRequired[str]
    # The name this address is known by to the session.
    name: NotRequired[str]
    # Phone number, digits only.
    phone: NotRequired[str]
    pinned: bool
    # Messages that came in since it was last read.
    unread: int


class ChatData(TypedDict):
    """ChatData."""
    # As it is now; without its last message.
    chat: Chat
    # Its messages were deleted.
    cleared: NotRequired[bool]
    # It was deleted with its messages.
    deleted: NotRequired[bool]


class ChatTypingEvent(TypedDict):
    """ChatTypingEvent."""
    data: TypingData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["chat.typing"]


class ChatUpdatedEvent(TypedDict):
    """ChatUpdatedEvent."""
    data: ChatData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["chat.updated"]


class CheckContacts(TypedDict):
    """CheckContacts."""
    # Phone numbers with their country code (digits, + allowed). A JID of a phone is accepted too.
    numbers: List[str]


class Contact(TypedDict):
    """Contact."""
    # What he says about himself, as it was last known; the answer for one contact asks WhatsApp, where the session is connected.
    about: NotRequired[str]
    # When he wrote that, where WhatsApp told of it.
    aboutAt: NotRequired[str]
    # The account blocked him.
    blocked: bool
    # What WhatsApp verified.
    businessName: NotRequired[str]
    # Canonical JID: the phone's where it is known, else the LID's.
    id: str
    kind: Literal["user", "group", "broadcast", "status", "channel"]
    # WhatsApp's phone-independent number, digits only.
    lid: NotRequired[str]
    # The name this address is known by to the session.
    name: NotRequired[str]
    # Phone number, digits only.
    phone: NotRequired[str]
    # WhatsApp's id of his picture, which changes with it; as last known, as about.
    pictureId: NotRequired[str]
    # What he calls himself.
    pushName: NotRequired[str]
    # In the account's address book.
    savedName: NotRequired[str]


class ContactCard(TypedDict):
    """ContactCard."""
    name: NotRequired[str]
    # Phone numbers, digits only.
    phones: NotRequired[List[str]]
    # The card itself (RFC 2426 or 6350).
    vcard: NotRequired[str]


class ContactCheck(TypedDict):
    """ContactCheck."""
    # Whose it is. phone is the number that WhatsApp resolved, which may differ from the one that was asked, as with Brazil's ninth digit
    # and Argentina's 9: send to this one.
    contact: NotRequired[Address]
    # The number, as it was asked.
    number: str
    # Whether an account has it.
    onWhatsApp: bool


class ContactChecks(TypedDict):
    """ContactChecks."""
    # One for each number, in the order of the request.
    data: List[ContactCheck]


class ContactData(TypedDict):
    """ContactData."""
    # What has changed.
    changed: Literal["name", "picture", "about", "blocked", "address", "erased"]
    contact: Contact
    # The id that this contact had until now, and that all his chats and messages have left: his phone became known.
    previousId: NotRequired[str]


class ContactUpdatedEvent(TypedDict):
    """ContactUpdatedEvent."""
    data: ContactData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["contact.updated"]


class ContactsContent(TypedDict):
    """ContactsContent."""
    # One card, or several in one message.
    contacts: List[NewCard]
    type: Literal["contacts"]


class Content(TypedDict):
    """Content."""
    # When type is album.
    album: NotRequired[Album]
    # WhatsApp's id of the album that an image or a video belongs to.
    albumId: NotRequired[str]
    # A sticker that moves.
    animated: NotRequired[bool]
    # What a status update that is a text or a voice note stands on, as red, green and blue.
    backgroundColor: NotRequired[str]
    # What is written under an image, video, document or live location.
    caption: NotRequired[str]
    # When type is contacts.
    contacts: NotRequired[List[ContactCard]]
    # When type is event.
    event: NotRequired[CalendarEvent]
    # The font of a status update that is a text: system, systemText, script, systemBold, morningBreeze, calistoga, exo2 or courierPrime.
    font: NotRequired[str]
    # A video that plays by itself, without sound, again and again.
    gif: NotRequired[bool]
    # When type is groupInvite.
    groupInvite: NotRequired[GroupInvite]
    # The preview of a link in a text.
    linkPreview: NotRequired[LinkPreview]
    # When type is liveLocation.
    liveLocation: NotRequired[LiveLocation]
    # When type is location.
    location: NotRequired[Location]
    # The file, when type is image, video, audio, voice, document or sticker.
    media: NotRequired[Media]
    # When type is poll.
    poll: NotRequired[Poll]
    # What it says, when type is text.
    text: NotRequired[str]
    # unsupported: a kind that this version does not read yet. undecryptable: WhatsApp is asked to send it again, and that copy replaces it.
    type: Literal["text", "image", "video", "audio", "voice", "document", "sticker", "location", "liveLocation", "contacts", "poll", "event", "groupInvite", "album", "unsupported", "undecryptable"]
    # A video that was recorded in the chat and is shown round.
    videoNote: NotRequired[bool]
    # The recipient can open it once.
    viewOnce: NotRequired[bool]


class CountedPost(TypedDict):
    """CountedPost."""
    # How many reacted with what, the most frequent first.
    reactionCounts: List[ReactionCount]
    # The channel's number of the post.
    serverId: int
    # How many have seen it.
    views: int
    whatsappId: NotRequired[str]


class CreateBatch(TypedDict):
    """CreateBatch."""
    # Send one message so long after the other, and not as fast as WhatsApp takes them; what has its time ahead is scheduled.
    delaySeconds: NotRequired[int]
    # Give up what could not be sent by then. Without it each message has the operator's default, from its own time on.
    expiresAt: NotRequired[str]
    # Add to each delay as much at random, up to this.
    jitterSeconds: NotRequired[int]
    # They are sent in this order. A file is named by its mediaId alone: upload it first, or take it over by its URL.
    messages: List[BatchMessage]
    # Of all its messages, as in a message of its own.
    priority: NotRequired[Literal["normal", "high"]]
    # Send the first then, within a year.
    sendAt: NotRequired[str]


class CreateChannel(TypedDict):
    """CreateChannel."""
    description: NotRequired[str]
    name: str


class CreateEndpoint(TypedDict):
    """CreateEndpoint."""
    # Of what happens in a chat, only that in chats of these kinds; default and empty: all. Events that are about no chat come all the same.
    chatKinds: NotRequired[List[Literal["user", "group", "broadcast", "status", "channel"]]]
    # The types of event to get, also as message.* and the like; default *, which is all of them. GET /v1/event-types lists them.
    events: NotRequired[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]]
    # legacy sends the message alone, in the form of the original; events is then message.received, which is also its default.
    format: NotRequired[Literal["standard", "legacy"]]
    # true: of messages, only those of the session's own account; false: only those of others; null or absent: both. Events that are about
    # no message come all the same.
    fromMe: NotRequired[Union[bool, None]]
    # Headers of your own, sent with every delivery.
    headers: NotRequired[Dict[str, str]]
    # The most deliveries at once.
    maxInFlight: NotRequired[int]
    # chat or session: the next event of the same chat or session is sent only when the one before is dealt with.
    order: NotRequired[Literal["none", "chat", "session"]]
    # The most attempts a second; null or absent: no limit. What is beyond it waits, and uses up no attempt.
    ratePerSecond: NotRequired[Union[int, None]]
    # The waits between attempts, in seconds, each spread by 20 %: n of them make n+1 attempts. null or absent: 5, 30, 120, 600, 1800, 7200,
    # 18000, 36000, 50400, 72000, 86400.
    retrySeconds: NotRequired[Union[List[int], None]]
    # A secret of your own: whsec_ and 24 to 64 random bytes in padded base64, as Standard Webhooks has it. Without it one of 32 bytes is
    # made.
    secret: NotRequired[str]
    # Only these sessions; default and empty: all.
    sessions: NotRequired[List[str]]
    # paused: events are held until it is active.
    state: NotRequired[Literal["active", "paused"]]
    # How long a delivery may take.
    timeoutSeconds: NotRequired[int]
    # http or https; or nats or nats+tls for NATS JetStream, whose path is the subject, with {type} and {session} in it:
    # nats://user:password@host:4222/chasqui.{session}.{type}. Private, loopback and metadata addresses are refused, unless
    # WEBHOOK_ALLOW_CIDRS allows the network. user:password@ becomes Basic auth.
    url: str
    # Whether the event of a message with a file waits for it to be there, 30 s at most.
    waitForMedia: NotRequired[bool]


class CreateGroup(TypedDict):
    """CreateGroup."""
    # Only admins may send.
    announcement: NotRequired[bool]
    # Make a community, with a group for its announcements.
    community: NotRequired[bool]
    # After how many seconds new messages disappear; 0 is never.
    disappearingSeconds: NotRequired[Literal[0, 86400, 604800, 7776000]]
    # An admin has to approve who joins by link.
    joinApproval: NotRequired[bool]
    # Only admins may change name, description and picture.
    locked: NotRequired[bool]
    # Who may add participants; without it all.
    memberAdd: NotRequired[Literal["all", "admins"]]
    name: str
    # JID of a community that the group is to belong to.
    parentId: NotRequired[str]
    # Whom to put into it, beside the account: phone numbers or JIDs.
    participants: NotRequired[List[str]]


class CreateKey(TypedDict):
    """CreateKey."""
    # From then on it is not valid. Default: never.
    expiresAt: NotRequired[str]
    # What it is for; the audit log names it.
    name: str
    # The only addresses that it may be used from, as CIDR or single. Behind a reverse proxy all requests come from the proxy. Empty: all.
    networks: NotRequired[List[str]]
    # Default: the setting RATE_LIMIT.
    requestsPerMinute: NotRequired[int]
    # What it may do.
    scopes: List[Literal["read", "send", "manage", "admin"]]
    # The only sessions that there are for it, whether they exist yet or not. Empty: all. With admin it must be empty.
    sessions: NotRequired[List[str]]


class CreateLabel(TypedDict):
    """CreateLabel."""
    # One of WhatsApp's colours.
    color: NotRequired[int]
    # What it is called.
    name: str


class CreateLink(TypedDict):
    """CreateLink."""
    # What its page shows of you. Default: nothing.
    brand: NotRequired[NewBrand]
    # What the audit log calls it.
    name: NotRequired[str]
    # How long it can be used, up to 7 days. Default: an hour.
    validSeconds: NotRequired[int]


class CreateReplay(TypedDict):
    """CreateReplay."""
    # Events that were made then or later. Of what is no longer kept (after 30 days, unless the operator chose otherwise) nothing is sent.
    since: str
    # What to send again; default: exhausted alone.
    states: NotRequired[List[Literal["exhausted", "cancelled", "succeeded", "missing"]]]
    # Only events of these types; default and empty: all.
    types: NotRequired[List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]]
    # Events that were made before then; default, and at most, now.
    until: NotRequired[str]


class CreateSession(TypedDict):
    """CreateSession."""
    # Your own name for it, used in every path. It cannot change.
    id: str
    # For people.
    name: NotRequired[str]
    settings: NotRequired[SessionSettings]
    # Whether to start it right away; default true.
    start: NotRequired[bool]


CreateTicket = TypedDict(
    "CreateTicket",
    {
        # What it opens: one stream of events, within 60 s, or the content of media, for 10 minutes and any number of times.
        "for": "Literal['stream', 'media']",
    },
)


class CreatedEndpoint(TypedDict):
    """CreatedEndpoint."""
    # What waits for it; only where one endpoint is read.
    backlog: NotRequired[EndpointBacklog]
    # closed: deliveries go out. open: it failed too often in a row, so nothing goes out until breakerUntil, and no attempt is used up.
    # half_open: one delivery at a time tries whether it answers again.
    breaker: Literal["closed", "open", "half_open"]
    # Until when the breaker is open.
    breakerUntil: NotRequired[str]
    # Of what happens in a chat, only that in chats of these kinds; empty is all.
    chatKinds: List[Literal["user", "group", "broadcast", "status", "channel"]]
    # How many deliveries at once it bears, as far as its answers have shown: at most maxInFlight.
    concurrency: int
    # Failures since the last success.
    consecutiveFailures: int
    createdAt: str
    disabledReason: NotRequired[str]
    # The types of event it gets; * is all, those to come included, and message.* are those that begin so.
    events: List[str]
    # The first failure since the last success.
    failingSince: NotRequired[str]
    # The form of the body: standard is the event as /v1/events has it; legacy is the message alone, in the form of the original (see the
    # webhook legacy.message).
    format: Literal["standard", "legacy"]
    # true: of messages, only those of the session's own account; false: only those of others; absent: both.
    fromMe: NotRequired[bool]
    # Headers of your own, sent with every delivery.
    headers: Dict[str, str]
    id: str
    maxInFlight: int
    order: Literal["none", "chat", "session"]
    # Until when earlier secrets sign beside the present one, the latest first.
    previousSecretsUntil: List[str]
    # The most attempts a second; absent: no limit.
    ratePerSecond: NotRequired[int]
    # The waits between attempts; absent is the standard schedule: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, which
    # are 12 attempts in about 76 h.
    retrySeconds: NotRequired[List[int]]
    # What deliveries are signed with, as Standard Webhooks 1.0 has it. Also at .../secret.
    secret: str
    # Only these sessions; empty is all.
    sessions: List[str]
    # disabled: chasqui gave up on it; disabledReason says why. Set it to active again when it is mended: what was held is then delivered.
    state: Literal["active", "paused", "disabled"]
    timeoutSeconds: int
    updatedAt: str
    url: str
    # Whether the event of a message with a file waits for it to be there, 30 s at most.
    waitForMedia: bool


class CreatedKey(TypedDict):
    """CreatedKey."""
    createdAt: str
    # Absent: never.
    expiresAt: NotRequired[str]
    # How the key begins, to tell keys apart.
    hint: str
    id: str
    # The key itself. It is shown this once, and stored only as a hash.
    key: str
    # When it was last used, to the minute.
    lastUsedAt: NotRequired[str]
    name: str
    # The only addresses that it may be used from; empty: all.
    networks: List[str]
    # Until when the key before its rotation is valid too.
    previousUntil: NotRequired[str]
    # Absent: the setting RATE_LIMIT.
    requestsPerMinute: NotRequired[int]
    scopes: List[Literal["read", "send", "manage", "admin"]]
    # The only sessions that there are for it; empty: all.
    sessions: List[str]


class Delivery(TypedDict):
    """Delivery."""
    # Attempts that count, since it was made or last sent again.
    attemptCount: int
    createdAt: str
    endpointId: str
    # The event, and the webhook-id of every attempt.
    eventId: str
    # Absent when the event is no longer kept.
    eventType: NotRequired[str]
    # When it was succeeded, exhausted or cancelled.
    finishedAt: NotRequired[str]
    id: str
    # What came of its last attempt.
    lastClass: NotRequired[AttemptClass]
    # The HTTP status of its last attempt, where there was one.
    lastStatus: NotRequired[int]
    # While it is pending: when it is due. It goes out later where its endpoint fails, is busy, or asks for order.
    nextAttemptAt: NotRequired[str]
    # The session that the event happened to.
    sessionId: NotRequired[str]
    # pending waits for its time, sending is on its way, succeeded was taken with 2xx; exhausted failed in all its attempts and can be sent
    # again; cancelled will not be sent, because its endpoint was deleted or its event is no longer kept; held waits for its endpoint, which
    # is paused or disabled.
    state: Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]


class DeliveryDetail(TypedDict):
    """DeliveryDetail."""
    # Attempts that count, since it was made or last sent again.
    attemptCount: int
    # Its attempts, oldest first, those before it was sent again included: the latest 100.
    attempts: List[Attempt]
    createdAt: str
    endpointId: str
    # The event as webhooks carry it; absent when it is no longer kept.
    event: NotRequired[Event]
    # The event, and the webhook-id of every attempt.
    eventId: str
    # Absent when the event is no longer kept.
    eventType: NotRequired[str]
    # When it was succeeded, exhausted or cancelled.
    finishedAt: NotRequired[str]
    id: str
    # What came of its last attempt.
    lastClass: NotRequired[AttemptClass]
    # The HTTP status of its last attempt, where there was one.
    lastStatus: NotRequired[int]
    # While it is pending: when it is due. It goes out later where its endpoint fails, is busy, or asks for order.
    nextAttemptAt: NotRequired[str]
    # The session that the event happened to.
    sessionId: NotRequired[str]
    # pending waits for its time, sending is on its way, succeeded was taken with 2xx; exhausted failed in all its attempts and can be sent
    # again; cancelled will not be sent, because its endpoint was deleted or its event is no longer kept; held waits for its endpoint, which
    # is paused or disabled.
    state: Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]


class DocumentContent(TypedDict):
    """DocumentContent."""
    # What is written under it.
    caption: NotRequired[str]
    media: MediaSource
    type: Literal["document"]


class EditEvent(TypedDict):
    """EditEvent."""
    # It is called off.
    cancelled: Literal[True]


class EditMessage(TypedDict):
    """EditMessage."""
    # The new caption, of an image, a video or a document.
    caption: NotRequired[str]
    # What becomes of an event.
    event: NotRequired[EditEvent]
    # Send it then instead, within a year, where status is scheduled. expiresAt moves with it.
    sendAt: NotRequired[str]
    # The new text, of a text.
    text: NotRequired[str]


class EditedData(TypedDict):
    """EditedData."""
    # Who edited it.
    by: NotRequired[Address]
    # As it is now.
    message: Message


class Endpoint(TypedDict):
    """Endpoint."""
    # What waits for it; only where one endpoint is read.
    backlog: NotRequired[EndpointBacklog]
    # closed: deliveries go out. open: it failed too often in a row, so nothing goes out until breakerUntil, and no attempt is used up.
    # half_open: one delivery at a time tries whether it answers again.
    breaker: Literal["closed", "open", "half_open"]
    # Until when the breaker is open.
    breakerUntil: NotRequired[str]
    # Of what happens in a chat, only that in chats of these kinds; empty is all.
    chatKinds: List[Literal["user", "group", "broadcast", "status", "channel"]]
    # How many deliveries at once it bears, as far as its answers have shown: at most maxInFlight.
    concurrency: int
    # Failures since the last success.
    consecutiveFailures: int
    createdAt: str
    disabledReason: NotRequired[str]
    # The types of event it gets; * is all, those to come included, and message.* are those that begin so.
    events: List[str]
    # The first failure since the last success.
    failingSince: NotRequired[str]
    # The form of the body: standard is the event as /v1/events has it; legacy is the message alone, in the form of the original (see the
    # webhook legacy.message).
    format: Literal["standard", "legacy"]
    # true: of messages, only those of the session's own account; false: only those of others; absent: both.
    fromMe: NotRequired[bool]
    # Headers of your own, sent with every delivery.
    headers: Dict[str, str]
    id: str
    maxInFlight: int
    order: Literal["none", "chat", "session"]
    # Until when earlier secrets sign beside the present one, the latest first.
    previousSecretsUntil: List[str]
    # The most attempts a second; absent: no limit.
    ratePerSecond: NotRequired[int]
    # The waits between attempts; absent is the standard schedule: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, which
    # are 12 attempts in about 76 h.
    retrySeconds: NotRequired[List[int]]
    # Only these sessions; empty is all.
    sessions: List[str]
    # disabled: chasqui gave up on it; disabledReason says why. Set it to active again when it is mended: what was held is then delivered.
    state: Literal["active", "paused", "disabled"]
    timeoutSeconds: int
    updatedAt: str
    url: str
    # Whether the event of a message with a file waits for it to be there, 30 s at most.
    waitForMedia: bool


class EndpointBacklog(TypedDict):
    """EndpointBacklog."""
    # Deliveries that wait for the endpoint to be active. 10000 means that many or more.
    held: int
    # Deliveries that are due or wait for their time. 10000 means that many or more.
    pending: int


class EndpointSecret(TypedDict):
    """EndpointSecret."""
    secret: str


class EndpointTest(TypedDict):
    """EndpointTest."""
    # What came of the first attempt; only in the answer 200.
    delivery: NotRequired[TestedDelivery]
    # The event webhook.test, which is the webhook-id of its delivery.
    eventId: str


class Erased(TypedDict):
    """Erased."""
    # Events of the log that named him.
    events: int
    # Messages from and to him, in groups too.
    messages: int


class EventContent(TypedDict):
    """EventContent."""
    event: NewEvent
    type: Literal["event"]


class EventPage(TypedDict):
    """EventPage."""
    # The events, oldest first, byte for byte as webhooks carry them.
    data: List[Event]
    # Whether more can be read right away. A page can be empty and have more behind it, when the filter leaves out much.
    hasMore: bool
    # Pass it as after to read on, now or later: always there, and empty only while nothing has ever happened.
    nextCursor: str


class EventRespondedEvent(TypedDict):
    """EventRespondedEvent."""
    data: ResponseData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["event.responded"]


EventResponse = TypedDict(
    "EventResponse",
    {
        "at": "str",
        # How many come along.
        "extraGuests": "NotRequired[int]",
        "from": "Address",
        "response": "Literal['going', 'notGoing', 'maybe']",
    },
)


class EventResponses(TypedDict):
    """EventResponses."""
    # JID of the chat.
    chatId: str
    # One for each person, the last that they gave, oldest first.
    data: List[EventResponse]
    # Ours; absent where the session never had the message.
    messageId: NotRequired[str]
    whatsappId: str


class EventTypeInfo(TypedDict):
    """EventTypeInfo."""
    # What has happened.
    summary: str
    type: str


class EventTypes(TypedDict):
    """EventTypes."""
    data: List[EventTypeInfo]
    # What an endpoint's filter takes beside these types: * is all of them, those to come included, and message.* all that begin so.
    wildcards: List[str]


class ExportSession(TypedDict):
    """ExportSession."""
    # Encrypts the file. Without it nobody can open it, and it is kept nowhere.
    passphrase: str


class FetchRequest(TypedDict):
    """FetchRequest."""
    # Default: what the server or the URL says.
    fileName: NotRequired[str]
    # What it is; default: what the server says.
    mimetype: NotRequired[str]
    # http or https. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network.
    url: str


class FieldError(TypedDict):
    """FieldError."""
    # What kind of error it is.
    code: Literal["unknown_field", "required", "invalid"]
    # Where: body, query, path or header, and the way to the value.
    location: NotRequired[str]
    # What was expected.
    message: str


class ForwardMessage(TypedDict):
    """ForwardMessage."""
    # Any text of yours; it comes back in every form of the messages.
    clientReference: NotRequired[str]
    # Whom to forward it to: phone numbers or JIDs of people or groups, each once; as many as WhatsApp's apps allow.
    to: List[str]


class ForwardedMessages(TypedDict):
    """ForwardedMessages."""
    # One for each chat, in the order of the request.
    data: List[Message]


class Group(TypedDict):
    """Group."""
    # Whether its participants know each other's phones.
    addressingMode: NotRequired[Literal["pn", "lid"]]
    # Only admins may send.
    announcement: NotRequired[bool]
    # It is a community, which holds groups.
    community: NotRequired[bool]
    createdAt: NotRequired[str]
    # It is the group for its community's announcements.
    defaultSubgroup: NotRequired[bool]
    description: NotRequired[str]
    # After how many seconds new messages disappear; 0 is never.
    disappearingSeconds: NotRequired[int]
    # JID.
    id: str
    # An admin has to approve who joins by link.
    joinApproval: NotRequired[bool]
    # Only admins may change name, description and picture.
    locked: NotRequired[bool]
    # Who may add participants.
    memberAdd: NotRequired[Literal["all", "admins"]]
    name: str
    # Who created it.
    owner: NotRequired[Address]
    # JID of the community that it belongs to.
    parentId: NotRequired[str]
    participantCount: NotRequired[int]
    # In the answer for one group.
    participants: NotRequired[List[Participant]]
    # WhatsApp suspended it.
    suspended: NotRequired[bool]


class GroupCreated(TypedDict):
    """GroupCreated."""
    # Whether its participants know each other's phones.
    addressingMode: NotRequired[Literal["pn", "lid"]]
    # Only admins may send.
    announcement: NotRequired[bool]
    # It is a community, which holds groups.
    community: NotRequired[bool]
    createdAt: NotRequired[str]
    # It is the group for its community's announcements.
    defaultSubgroup: NotRequired[bool]
    description: NotRequired[str]
    # After how many seconds new messages disappear; 0 is never.
    disappearingSeconds: NotRequired[int]
    # JID.
    id: str
    # An admin has to approve who joins by link.
    joinApproval: NotRequired[bool]
    # Only admins may change name, description and picture.
    locked: NotRequired[bool]
    # Who may add participants.
    memberAdd: NotRequired[Literal["all", "admins"]]
    name: str
    # Who could not be added, and why.
    notAdded: NotRequired[List[NotAdded]]
    # Who created it.
    owner: NotRequired[Address]
    # JID of the community that it belongs to.
    parentId: NotRequired[str]
    participantCount: NotRequired[int]
    # In the answer for one group.
    participants: NotRequired[List[Participant]]
    # WhatsApp suspended it.
    suspended: NotRequired[bool]


class GroupData(TypedDict):
    """GroupData."""
    # Who did it, where WhatsApp says so.
    by: NotRequired[Address]
    # In group.updated: the members of group that have changed; also picture, invite (its link is another) and subgroups (of a community).
    # One that is empty or not there now was taken away.
    changed: NotRequired[List[str]]
    # In group.updated and group.left at least its id and what has changed; participants are left out.
    group: Group
    # In group.left: why.
    reason: NotRequired[Literal["left", "removed", "deleted"]]


class GroupDone(TypedDict):
    """GroupDone."""
    groupId: str


class GroupInvite(TypedDict):
    """GroupInvite."""
    caption: NotRequired[str]
    # What lets the recipient in, with the sender's name, until it expires.
    code: NotRequired[str]
    expiresAt: NotRequired[str]
    # JID of the group.
    groupId: str
    # The group's name.
    name: NotRequired[str]


class GroupInviteContent(TypedDict):
    """GroupInviteContent."""
    groupInvite: NewInvite
    type: Literal["groupInvite"]


class GroupJoinRequestEvent(TypedDict):
    """GroupJoinRequestEvent."""
    data: JoinRequestData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["group.join-request"]


class GroupJoinedEvent(TypedDict):
    """GroupJoinedEvent."""
    data: GroupData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["group.joined"]


class GroupJoining(TypedDict):
    """GroupJoining."""
    # The group, without its participants, unless pending.
    group: NotRequired[Group]
    groupId: str
    # An admin has to approve it first; group.joined follows then.
    pending: bool


class GroupLeftEvent(TypedDict):
    """GroupLeftEvent."""
    data: GroupData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["group.left"]


class GroupLink(TypedDict):
    """GroupLink."""
    code: str
    url: str


class GroupParticipantsEvent(TypedDict):
    """GroupParticipantsEvent."""
    data: ParticipantsData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["group.participants"]


class GroupPictured(TypedDict):
    """GroupPictured."""
    groupId: str
    # WhatsApp's id of the picture, which changes with it; absent when there is none.
    pictureId: NotRequired[str]


class GroupUpdatedEvent(TypedDict):
    """GroupUpdatedEvent."""
    data: GroupData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["group.updated"]


class Health(TypedDict):
    """Health."""
    status: Literal["ok"]


class HealthReason(TypedDict):
    """HealthReason."""
    code: Literal["account_restricted", "account_banned", "rate_limited", "not_on_whatsapp", "unanswered"]
    # What it is and what helps, for a person.
    message: str


class HistoryAsked(TypedDict):
    """HistoryAsked."""
    # JID of the chat.
    chatId: str
    # How many messages were asked for.
    count: int


class HistoryData(TypedDict):
    """HistoryData."""
    # With on_demand: JID of the chat.
    chatId: NotRequired[str]
    # How many chats this part told of.
    chats: int
    # What the phone sent.
    kind: Literal["initial", "recent", "full", "push_names", "on_demand", "other"]
    # How many messages were new.
    messages: int
    # This part was given up, and the phone does not offer it again; a chat's older messages can be asked for. gone: WhatsApp has the file
    # no more. unreadable: it is damaged, or larger than what is read. unavailable: it could not be loaded for minutes.
    missing: NotRequired[Literal["gone", "unreadable", "unavailable"]]
    # Per cent of its kind, as the phone counts.
    progress: NotRequired[int]


class HistorySyncedEvent(TypedDict):
    """HistorySyncedEvent."""
    data: HistoryData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["history.synced"]


class Ignore(TypedDict):
    """Ignore."""
    # Messages that somebody sent to a broadcast list.
    broadcasts: NotRequired[bool]
    # Posts of channels.
    channels: NotRequired[bool]
    # Whatever happens in groups.
    groups: NotRequired[bool]
    # Status updates of others.
    status: NotRequired[bool]


class IgnoreRules(TypedDict):
    """IgnoreRules."""
    # Ignore what somebody sent to a broadcast list.
    broadcasts: NotRequired[bool]
    # Ignore posts of channels.
    channels: NotRequired[bool]
    # Ignore whatever happens in groups, the receipts of what is sent to them included.
    groups: NotRequired[bool]
    # Ignore status updates of others.
    status: NotRequired[bool]


class ImageContent(TypedDict):
    """ImageContent."""
    # The album that it belongs to: the id, ours or WhatsApp's, of a message of type album that was sent to the same chat before.
    albumId: NotRequired[str]
    # What is written under it.
    caption: NotRequired[str]
    media: MediaSource
    type: Literal["image"]
    # The recipient can open it once.
    viewOnce: NotRequired[bool]


JoinRequest = TypedDict(
    "JoinRequest",
    {
        "from": "Address",
        "requestedAt": "str",
    },
)


JoinRequestData = TypedDict(
    "JoinRequestData",
    {
        "action": "Literal['created', 'cancelled']",
        # Who wants to join.
        "from": "Address",
        "groupId": "str",
    },
)


class JoinRequests(TypedDict):
    """JoinRequests."""
    data: List[JoinRequest]


class Label(TypedDict):
    """Label."""
    # One of WhatsApp's colours, 0 to 19.
    color: int
    id: str
    name: str


class LabelData(TypedDict):
    """LabelData."""
    # JID of the chat that got it or lost it.
    chatId: NotRequired[str]
    # The label is gone, from every chat.
    deleted: NotRequired[bool]
    label: Label
    # With chatId: whether the chat has it now.
    labeled: NotRequired[bool]


class LabelUpdatedEvent(TypedDict):
    """LabelUpdatedEvent."""
    data: LabelData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["label.updated"]


class Labels(TypedDict):
    """Labels."""
    # The labels, by id.
    data: List[Label]


class Link(TypedDict):
    """Link."""
    # Until when it can be used. It ends before that once the session is linked, or by another link for it.
    expiresAt: str
    sessionId: str
    # What its holder sends as Authorization: Bearer. It is shown this once, and stored only as a hash.
    token: str
    # The page for its holder: below PUBLIC_URL, with the token in it.
    url: str


class LinkPreview(TypedDict):
    """LinkPreview."""
    description: NotRequired[str]
    title: NotRequired[str]
    url: str


class LinkState(TypedDict):
    """LinkState."""
    # What its page shows of whoever made it.
    brand: NotRequired[Brand]
    # Until when the link can be used.
    expiresAt: str
    # The session's name.
    name: NotRequired[str]
    # Whether a simulated phone can link it: POST /v1/sessions/{sessionId}/simulated-scan.
    sandbox: bool
    sessionId: str
    state: str


class ListAPIKey(TypedDict):
    """ListAPIKey."""
    # The items, newest first.
    data: List[APIKey]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListAuditEntry(TypedDict):
    """ListAuditEntry."""
    # The items, newest first.
    data: List[AuditEntry]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListCall(TypedDict):
    """ListCall."""
    # The items, newest first.
    data: List[Call]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListChange(TypedDict):
    """ListChange."""
    # The items, newest first.
    data: List[Change]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListChannel(TypedDict):
    """ListChannel."""
    # The items, newest first.
    data: List[Channel]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListChannelPost(TypedDict):
    """ListChannelPost."""
    # The items, newest first.
    data: List[ChannelPost]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListChat(TypedDict):
    """ListChat."""
    # The items, newest first.
    data: List[Chat]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListContact(TypedDict):
    """ListContact."""
    # The items, newest first.
    data: List[Contact]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListDelivery(TypedDict):
    """ListDelivery."""
    # The items, newest first.
    data: List[Delivery]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListEndpoint(TypedDict):
    """ListEndpoint."""
    # The items, newest first.
    data: List[Endpoint]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListGroup(TypedDict):
    """ListGroup."""
    # The items, newest first.
    data: List[Group]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListLogEntry(TypedDict):
    """ListLogEntry."""
    # The items, newest first.
    data: List[LogEntry]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListMediaInfo(TypedDict):
    """ListMediaInfo."""
    # The items, newest first.
    data: List[MediaInfo]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListMessage(TypedDict):
    """ListMessage."""
    # The items, newest first.
    data: List[Message]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListReplay(TypedDict):
    """ListReplay."""
    # The items, newest first.
    data: List[Replay]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListSession(TypedDict):
    """ListSession."""
    # The items, newest first.
    data: List[Session]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class ListStatusViewer(TypedDict):
    """ListStatusViewer."""
    # The items, newest first.
    data: List[StatusViewer]
    # Whether older items follow.
    hasMore: bool
    # Pass it as cursor to read on; only there when hasMore is true.
    nextCursor: NotRequired[str]


class LiveLocation(TypedDict):
    """LiveLocation."""
    # Metres.
    accuracyMeters: NotRequired[int]
    # Degrees clockwise from magnetic north.
    heading: NotRequired[int]
    # Degrees.
    latitude: float
    # Degrees.
    longitude: float
    # It grows with each position of one share.
    sequence: NotRequired[int]
    # Metres a second.
    speed: NotRequired[float]


class LiveLocationContent(TypedDict):
    """LiveLocationContent."""
    # What is written under it.
    caption: NotRequired[str]
    liveLocation: NewLiveLocation
    type: Literal["liveLocation"]


class Location(TypedDict):
    """Location."""
    address: NotRequired[str]
    # Degrees.
    latitude: float
    # Degrees.
    longitude: float
    name: NotRequired[str]


class LocationContent(TypedDict):
    """LocationContent."""
    location: NewLocation
    type: Literal["location"]


class LogEntry(TypedDict):
    """LogEntry."""
    at: str
    # WhatsApp's own code, where it gave one.
    code: NotRequired[str]
    # Its place in the log.
    id: str
    # state: its state or the reason for it changed. linked: a phone linked it. pairing: a step of linking, or why one came to nothing.
    # restriction: WhatsApp restricted the account, or does not any more. settings: a client changed its name or settings.
    kind: Literal["state", "linked", "pairing", "restriction", "settings"]
    # Why, for a person.
    reason: NotRequired[str]
    # The names of what was changed, where kind is settings.
    settings: NotRequired[List[str]]
    # The state, where kind is state.
    state: NotRequired[str]


class MarkRead(TypedDict):
    """MarkRead."""
    # Messages that came in, by either of their ids.
    messageIds: List[str]


class Me(TypedDict):
    """Me."""
    # Absent: never.
    expiresAt: NotRequired[str]
    # Absent for API_KEY.
    id: NotRequired[str]
    # owner: API_KEY, the operator's own. key: one of /v1/api-keys.
    kind: Literal["owner", "key"]
    name: str
    # How many requests it may make; 0: any number.
    requestsPerMinute: int
    scopes: List[Literal["read", "send", "manage", "admin"]]
    # The only sessions that there are for it; empty: all.
    sessions: List[str]


class Media(TypedDict):
    """Media."""
    fileName: NotRequired[str]
    # The media's id, for GET /v1/media/{mediaId} and to send it again.
    id: str
    # What the sender says it is.
    mimetype: str
    # Of the bytes, in lowercase hex.
    sha256: str
    # Bytes.
    size: int
    # Where its bytes are, with the API key. It never changes; while they are on their way a GET waits for them.
    url: str


class MediaFailedData(TypedDict):
    """MediaFailedData."""
    # JID of the chat.
    chatId: str
    # Of the message: outgoing is one that the owner's phone sent.
    direction: NotRequired[Literal["incoming", "outgoing"]]
    error: MessageError
    media: Media
    messageId: str
    whatsappId: str


class MediaFailedEvent(TypedDict):
    """MediaFailedEvent."""
    data: MediaFailedData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["media.failed"]


class MediaInfo(TypedDict):
    """MediaInfo."""
    createdAt: str
    error: NotRequired[MessageError]
    fileName: NotRequired[str]
    # Pixels.
    height: NotRequired[int]
    # The media's id, for GET /v1/media/{mediaId} and to send it again.
    id: str
    # The message that it came with.
    messageId: NotRequired[str]
    # What the sender says it is.
    mimetype: str
    presignedUntil: NotRequired[str]
    # A URL of the object store that needs no key, when presign asked for it.
    presignedUrl: NotRequired[str]
    # How long it plays, where that is known.
    seconds: NotRequired[int]
    # The session that received it.
    sessionId: NotRequired[str]
    # Of the bytes, in lowercase hex.
    sha256: str
    # Bytes.
    size: int
    # pending: on its way from WhatsApp. failed: it cannot be had, error says why. expired: its bytes are kept no more.
    status: Literal["pending", "ready", "failed", "expired"]
    # Where its bytes are, with the API key. It never changes; while they are on their way a GET waits for them.
    url: str
    # Pixels, where they are known.
    width: NotRequired[int]


class MediaSource(TypedDict):
    """MediaSource."""
    # The file itself in standard base64, or as a data URL: at most 16 MiB of it. Upload larger files with POST /v1/media.
    base64: NotRequired[str]
    # What it is called; shown with documents. Default: what its source says.
    fileName: NotRequired[str]
    # A file that is here already: uploaded with POST /v1/media, or received.
    mediaId: NotRequired[str]
    # What it is. Default: what its source says, else what fits the type of the message. The content is not looked at.
    mimetype: NotRequired[str]
    # Where to fetch it: http or https. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network.
    url: NotRequired[str]


Message = TypedDict(
    "Message",
    {
        # The batch that it was sent with.
        "batchId": "NotRequired[str]",
        # JID of the chat.
        "chatId": "str",
        # What the sender wrote there; chasqui only keeps it.
        "clientReference": "NotRequired[str]",
        "content": "Content",
        "direction": "Literal['incoming', 'outgoing']",
        # Seconds after which it disappears, where the chat has a timer.
        "disappearsAfter": "NotRequired[int]",
        # When it was last edited; content is what it says now.
        "editedAt": "NotRequired[str]",
        "error": "NotRequired[MessageError]",
        # When it is given up if it could not be sent. Every message that is to be sent has one.
        "expiresAt": "NotRequired[str]",
        # How often it was forwarded; apps show it as forwarded from 1 and as forwarded many times from 5.
        "forwarded": "NotRequired[int]",
        "from": "Address",
        # It came with the chat's history, and not as it was sent.
        "history": "NotRequired[bool]",
        "id": "str",
        # Who is mentioned in the text or caption, where @ and the number stand.
        "mentions": "NotRequired[List[Address]]",
        # Everybody in the group is mentioned.
        "mentionsEveryone": "NotRequired[bool]",
        # Until when it is pinned in its chat.
        "pinnedUntil": "NotRequired[str]",
        # high: it overtakes what waits to be sent.
        "priority": "NotRequired[Literal['high']]",
        # WhatsApp's own form of it (waE2E.Message in JSON), with raw=true; keys are left out.
        "raw": "NotRequired[Any]",
        # What people react with, in answers of this API; events do not hold it.
        "reactions": "NotRequired[List[Reaction]]",
        # The message that this one answers.
        "replyTo": "NotRequired[Reply]",
        # When it was deleted for everybody; content is what it said.
        "revokedAt": "NotRequired[str]",
        # When it is to be sent, while status is scheduled.
        "sendAt": "NotRequired[str]",
        # Of a post in a channel: the channel's number of it, once WhatsApp has it.
        "serverId": "NotRequired[int]",
        # The session that sent or received it.
        "sessionId": "str",
        # The account starred it.
        "starred": "NotRequired[bool]",
        # How far it has come; it only moves forward.
        "status": "Literal['scheduled', 'queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'cancelled', 'expired']",
        # When it was sent, as WhatsApp says; for a message not yet sent, when it was accepted.
        "timestamp": "str",
        "to": "Address",
        # What it waits for while its status is queued, beside its turn and a connection: an earlier message of its chat, typing that is
        # shown first, or what settings.sending of the session says.
        "waitsFor": "NotRequired[Literal['chat', 'typing', 'pace', 'newContacts', 'perDay', 'window']]",
        # WhatsApp's id of the message, chosen when it is accepted.
        "whatsappId": "str",
    },
)


class MessageBatch(TypedDict):
    """MessageBatch."""
    # When it was cancelled: what had not left by then did not leave.
    cancelledAt: NotRequired[str]
    # How many of its messages have which status; a status that none has is left out.
    counts: Dict[str, int]
    createdAt: str
    id: str
    sessionId: str
    # How many messages it was accepted with.
    size: int


class MessageData(TypedDict):
    """MessageData."""
    message: Message


class MessageDeletedEvent(TypedDict):
    """MessageDeletedEvent."""
    data: RevokedData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.deleted"]


class MessageEditedEvent(TypedDict):
    """MessageEditedEvent."""
    data: EditedData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.edited"]


class MessageError(TypedDict):
    """MessageError."""
    # One of the problem codes.
    code: str
    # What happened, for a person.
    message: str


class MessagePinnedEvent(TypedDict):
    """MessagePinnedEvent."""
    data: PinnedData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.pinned"]


class MessageReactionEvent(TypedDict):
    """MessageReactionEvent."""
    data: ReactionData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.reaction"]


class MessageReceipt(TypedDict):
    """MessageReceipt."""
    contact: Address
    # When one of his devices received it. Who has read it has received it.
    deliveredAt: NotRequired[str]
    # When he played a voice note or a video, or opened what can be opened once.
    playedAt: NotRequired[str]
    # When he read it, unless he hides that.
    readAt: NotRequired[str]


class MessageReceipts(TypedDict):
    """MessageReceipts."""
    # One for each person whose device has told something, in the order in which they received it: at most as many as the group has
    # participants.
    data: List[MessageReceipt]


class MessageReceivedEvent(TypedDict):
    """MessageReceivedEvent."""
    data: MessageData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.received"]


class MessageRevokedEvent(TypedDict):
    """MessageRevokedEvent."""
    data: RevokedData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.revoked"]


class MessageSentEvent(TypedDict):
    """MessageSentEvent."""
    data: MessageData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.sent"]


class MessageStarredEvent(TypedDict):
    """MessageStarredEvent."""
    data: StarredData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.starred"]


class MessageStatusEvent(TypedDict):
    """MessageStatusEvent."""
    data: StatusData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["message.status"]


class MessagesRead(TypedDict):
    """MessagesRead."""
    # Ours, those of deleted messages left out.
    messageIds: List[str]


class NewAlbum(TypedDict):
    """NewAlbum."""
    images: NotRequired[int]
    videos: NotRequired[int]


class NewBrand(TypedDict):
    """NewBrand."""
    # The page's own colour.
    color: NotRequired[str]
    # A PNG, JPEG or WebP of at most 32 KiB, as a data URL.
    logo: NotRequired[str]
    # Who asks for the linking.
    name: NotRequired[str]


class NewCard(TypedDict):
    """NewCard."""
    # Needed with phones; else that of the vCard.
    name: NotRequired[str]
    # Phone numbers with their country codes, digits or with a +. A vCard is made of them.
    phones: NotRequired[List[str]]
    # The card itself (RFC 2426 or 6350), in place of phones.
    vcard: NotRequired[str]


class NewContactRate(TypedDict):
    """NewContactRate."""
    # How many of these have written back.
    answered: int
    # How many the settings allow now, warm-up taken into account; absent without a limit.
    perDay: NotRequired[int]
    # To how many it wrote first within 24 hours.
    today: int
    # To how many it wrote first from 1 to 8 days ago.
    week: int


class NewContactSettings(TypedDict):
    """NewContactSettings."""
    # The longest; each wait is between the two, at random.
    maxSeconds: int
    # The shortest wait.
    minSeconds: int
    # To how many people at most the account writes first within 24 hours; 0 is no limit. Further messages to them do not count.
    perDay: NotRequired[int]
    # For so many days perDay grows evenly from a part to all of it, as a new account should begin.
    warmUpDays: NotRequired[int]
    # When the warm-up began; without it, when the session was created.
    warmUpFrom: NotRequired[str]


class NewContacts(TypedDict):
    """NewContacts."""
    # The longest; each wait is between the two, at random.
    maxSeconds: int
    # The shortest wait.
    minSeconds: int
    # To how many people at most the account writes first within 24 hours; 0 is no limit. Further messages to them do not count.
    perDay: NotRequired[int]
    # For so many days perDay grows evenly from a part to all of it, as a new account should begin.
    warmUpDays: NotRequired[int]
    # When the warm-up began; without it, when the session was created.
    warmUpFrom: NotRequired[str]


class NewEvent(TypedDict):
    """NewEvent."""
    description: NotRequired[str]
    # When it ends.
    endAt: NotRequired[str]
    # Guests may bring others.
    extraGuests: NotRequired[bool]
    # A link to a call, http or https.
    joinLink: NotRequired[str]
    # Where it is.
    location: NotRequired[NewLocation]
    name: str
    # When it begins; WhatsApp keeps whole seconds.
    startAt: str


class NewInvite(TypedDict):
    """NewInvite."""
    caption: NotRequired[str]
    # The code that lets the recipient in. Default: that of the group's link, for which the account must be an admin of it.
    code: NotRequired[str]
    # Until when it can be used. Default: in three days, as WhatsApp's apps have it.
    expiresAt: NotRequired[str]
    # JID of the group.
    groupId: str
    # The group's name. Default: what it is called, where the account is in it.
    name: NotRequired[str]


class NewLiveLocation(TypedDict):
    """NewLiveLocation."""
    # Metres.
    accuracyMeters: NotRequired[int]
    # Degrees clockwise from magnetic north.
    heading: NotRequired[int]
    # Degrees.
    latitude: float
    # Degrees.
    longitude: float
    # It grows with each position of one share.
    sequence: NotRequired[int]
    # Metres a second.
    speed: NotRequired[float]


class NewLocation(TypedDict):
    """NewLocation."""
    address: NotRequired[str]
    # Degrees.
    latitude: float
    # Degrees.
    longitude: float
    name: NotRequired[str]


class NewPoll(TypedDict):
    """NewPoll."""
    # The answers to choose from, each once, up to 100 characters.
    options: List[str]
    question: str
    # How many one may choose; 0 is any number.
    selectableCount: NotRequired[int]


class NewPreview(TypedDict):
    """NewPreview."""
    description: NotRequired[str]
    # A picture to show small beside it, of up to 5 MiB: JPEG, PNG, GIF or WebP.
    image: NotRequired[MediaSource]
    title: str
    # The link, as it stands in the text.
    url: str


class NotAdded(TypedDict):
    """NotAdded."""
    # Why; the list grows. invite_required: his settings let nobody add him, send him inviteCode as a message of type groupInvite.
    # recipient_not_on_whatsapp, already_in_group, group_full, recently_left, blocked (he blocked the account), community_not_allowed,
    # whatsapp_rejected.
    code: str
    contact: Address
    # With it he can join by himself.
    inviteCode: NotRequired[str]
    # Until when.
    inviteExpiresAt: NotRequired[str]
    # WhatsApp's own code.
    whatsappCode: int


class OwnPresence(TypedDict):
    """OwnPresence."""
    # What the account is while the session is connected.
    state: Literal["available", "unavailable"]


class Pace(TypedDict):
    """Pace."""
    # The longest; each wait is between the two, at random.
    maxSeconds: int
    # The shortest wait.
    minSeconds: int


class PaceSettings(TypedDict):
    """PaceSettings."""
    # The longest; each wait is between the two, at random.
    maxSeconds: int
    # The shortest wait.
    minSeconds: int


class PairingCode(TypedDict):
    """PairingCode."""
    # What the phone's owner enters: WhatsApp, Linked devices, Link with phone number.
    code: str
    # When the code ends; another can be asked for at any time, which ends this one.
    expiresAt: str
    # The phone number that the code is for, digits only.
    phone: str


class Participant(TypedDict):
    """Participant."""
    # Canonical JID: the phone's where it is known, else the LID's.
    id: str
    kind: Literal["user", "group", "broadcast", "status", "channel"]
    # WhatsApp's phone-independent number, digits only.
    lid: NotRequired[str]
    # The name this address is known by to the session.
    name: NotRequired[str]
    # Phone number, digits only.
    phone: NotRequired[str]
    role: Literal["member", "admin", "superadmin"]


class ParticipantsAdded(TypedDict):
    """ParticipantsAdded."""
    # Who is in the group now, or waits for an admin's approval where one has to approve.
    added: List[Address]
    # Who could not be added, and why.
    notAdded: NotRequired[List[NotAdded]]


class ParticipantsData(TypedDict):
    """ParticipantsData."""
    # joined: by a link, an invitation or an approved request.
    action: Literal["added", "joined", "removed", "left", "promoted", "demoted"]
    # Who did it, where WhatsApp says so.
    by: NotRequired[Address]
    groupId: str
    participants: List[Address]


class ParticipantsShown(TypedDict):
    """ParticipantsShown."""
    # Who is in the group, in WhatsApp's order.
    data: List[Participant]


class Passkey(TypedDict):
    """Passkey."""
    # In the step confirmation: the code that the phone shows too.
    code: NotRequired[str]
    # When linking has to begin anew.
    expiresAt: str
    # In the step request: the options for navigator.credentials.get({publicKey}), in WebAuthn's JSON form
    # (PublicKeyCredential.parseRequestOptionsFromJSON).
    request: NotRequired[Any]
    # request: answer request with the account's passkey. waiting: WhatsApp and the phone are at it. confirmation: compare code with the one
    # that the phone shows, and confirm it.
    step: Literal["request", "waiting", "confirmation"]


class PasskeyResponse(TypedDict):
    """PasskeyResponse."""
    authenticatorData: str
    # In base64url, as all that follows.
    clientDataJSON: str
    signature: str
    userHandle: NotRequired[str]


class Picture(TypedDict):
    """Picture."""
    # WhatsApp's id of it, which changes with the picture.
    id: str
    # image: in full; preview: 96 pixels or so wide.
    type: Literal["image", "preview"]
    # Where its bytes are at WhatsApp, for anybody, for a time that WhatsApp chooses.
    url: str


class PinMessage(TypedDict):
    """PinMessage."""
    # How long it stays pinned: a day, a week or 30 days.
    seconds: Literal[86400, 604800, 2592000]


class PinnedData(TypedDict):
    """PinnedData."""
    at: str
    by: NotRequired[Address]
    # JID of the chat.
    chatId: str
    # Ours; absent where the session never had the message.
    messageId: NotRequired[str]
    # false: it was unpinned.
    pinned: bool
    pinnedUntil: NotRequired[str]
    whatsappId: str


class Poll(TypedDict):
    """Poll."""
    # The answers to choose from.
    options: List[str]
    question: str
    # How many one may choose; 0 is any number.
    selectableCount: NotRequired[int]


class PollContent(TypedDict):
    """PollContent."""
    poll: NewPoll
    type: Literal["poll"]


class PollResult(TypedDict):
    """PollResult."""
    # How many chose it.
    count: int
    option: str
    # Who chose it, in the order of their votes.
    voters: List[Address]


class PollResults(TypedDict):
    """PollResults."""
    # JID of the chat.
    chatId: str
    # Ours; absent where the session never had the message.
    messageId: NotRequired[str]
    # In the order of the poll.
    options: List[PollResult]
    question: str
    # How many people have a vote.
    voters: int
    whatsappId: str


class PollVotedEvent(TypedDict):
    """PollVotedEvent."""
    data: VoteData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["poll.voted"]


class PostReacted(TypedDict):
    """PostReacted."""
    channelId: str
    # Empty: it was taken back.
    emoji: str
    # The channel's number of the post.
    serverId: int


class PostStatus(TypedDict):
    """PostStatus."""
    # Any text of yours; it comes back in every form of the status update.
    clientReference: NotRequired[str]
    content: StatusContent
    # Give it up if it could not be posted by then; within 30 days, of sendAt where that is given. Without it the operator's default holds
    # (24 hours, unless MESSAGE_EXPIRY_HOURS says otherwise). It says nothing of how long it is shown, which is 24 hours.
    expiresAt: NotRequired[str]
    # Post it then, within a year; its status is scheduled until then. expiresAt counts from there.
    sendAt: NotRequired[str]
    # WhatsApp's id for it, where you choose it yourself.
    whatsappId: NotRequired[str]


class PostToChannel(TypedDict):
    """PostToChannel."""
    # Any text of yours; it comes back in every form of the post.
    clientReference: NotRequired[str]
    # A text, image, video, audio, voice note, document or sticker; not one to be viewed once.
    content: SendContent
    # Give it up if it could not be posted by then; as for messages.
    expiresAt: NotRequired[str]
    # Post it then, within a year; its status is scheduled until then.
    sendAt: NotRequired[str]
    # WhatsApp's id for it, where you choose it yourself: one that the channel never had.
    whatsappId: NotRequired[str]


class Presence(TypedDict):
    """Presence."""
    contact: Address
    # When the contact was last there, where its privacy lets this account know.
    lastSeen: NotRequired[str]
    # unknown: WhatsApp has told nothing since the session connected, or the session is not connected.
    state: Literal["available", "unavailable", "unknown"]
    # Whether the session is told of it, by presence.updated.
    subscribed: bool
    # What the contact does in its chat with the account, in the last 25 seconds.
    typing: NotRequired[Literal["typing", "recording"]]
    # When WhatsApp last told of it.
    updatedAt: NotRequired[str]


class PresenceData(TypedDict):
    """PresenceData."""
    presence: Presence


class PresenceUpdatedEvent(TypedDict):
    """PresenceUpdatedEvent."""
    data: PresenceData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["presence.updated"]


class Privacy(TypedDict):
    """Privacy."""
    # Who sees what it says about itself; as lastSeen.
    about: NotRequired[str]
    # Whose calls ring: all, or known.
    callAdd: NotRequired[str]
    # WhatsApp's strict account settings: on_standard, or off.
    defense: NotRequired[str]
    # After how many seconds messages disappear in chats that begin from now on; 0 is never.
    disappearingSeconds: int
    # Who may add it to groups; as lastSeen. The others can send an invitation.
    groupAdd: NotRequired[str]
    # Who sees when the account was last online: all, contacts, contact_blacklist (contacts without some whom the owner chose on the phone)
    # or none. Here and below WhatsApp may come to tell others.
    lastSeen: NotRequired[str]
    # Who may write to it: all, or contacts.
    messages: NotRequired[str]
    # Who sees that it is online: all, or match_last_seen (those who see lastSeen).
    online: NotRequired[str]
    # Who sees its picture; as lastSeen.
    picture: NotRequired[str]
    # all: senders learn what was read; none: they do not, and the account does not learn it of them.
    readReceipts: NotRequired[str]
    # Who may use its stickers: contacts, contact_allowlist (some whom the owner chose on the phone) or none.
    stickers: NotRequired[str]


class Problem(TypedDict):
    """Problem."""
    # What a program decides by.
    code: str
    # What happened this time, for a person.
    detail: str
    errors: NotRequired[List[FieldError]]
    # The path that was asked.
    instance: NotRequired[str]
    # The message that was accepted, and then failed.
    messageId: NotRequired[str]
    # The request in the log; also the header X-Request-Id.
    requestId: NotRequired[str]
    # The HTTP status.
    status: int
    title: str
    # Where a person reads about it, relative to the API.
    type: str


class Profile(TypedDict):
    """Profile."""
    # What it says about itself.
    about: NotRequired[str]
    # What WhatsApp verified, where the account is a business.
    businessName: NotRequired[str]
    # Canonical JID: the phone's where it is known, else the LID's.
    id: str
    kind: Literal["user", "group", "broadcast", "status", "channel"]
    # WhatsApp's phone-independent number, digits only.
    lid: NotRequired[str]
    # The name this address is known by to the session.
    name: NotRequired[str]
    # Phone number, digits only.
    phone: NotRequired[str]
    # Where its picture is; absent when there is none.
    picture: NotRequired[Picture]


class ProfilePictured(TypedDict):
    """ProfilePictured."""
    # WhatsApp's id of the picture, which changes with it; absent when there is none.
    pictureId: NotRequired[str]


class QR(TypedDict):
    """QR."""
    expiresAt: str
    # The code as a data URL.
    png: NotRequired[str]
    # The text that the QR code holds.
    qr: str


Reaction = TypedDict(
    "Reaction",
    {
        "at": "str",
        "emoji": "str",
        "from": "Address",
    },
)


class ReactionCount(TypedDict):
    """ReactionCount."""
    count: int
    emoji: str


ReactionData = TypedDict(
    "ReactionData",
    {
        "at": "str",
        # JID of the chat.
        "chatId": "str",
        # outgoing: the account reacts, from here or from the owner's phone.
        "direction": "Literal['incoming', 'outgoing']",
        # Empty: the reaction was taken back.
        "emoji": "str",
        # Who reacts.
        "from": "Address",
        # Ours; absent where the session never had the message.
        "messageId": "NotRequired[str]",
        "whatsappId": "str",
    },
)


class Replay(TypedDict):
    """Replay."""
    createdAt: str
    endpointId: str
    # When it was done or cancelled.
    finishedAt: NotRequired[str]
    id: str
    # How much of the time from since to until is dealt with.
    progress: float
    # Deliveries that were made due.
    resent: int
    # Events that were looked at.
    scanned: int
    since: str
    # waiting goes on by itself: when its endpoint is active again, or has taken more of what is due. done: all of it is due or has gone
    # out; what comes of each delivery is its own. cancelled also when the endpoint was deleted.
    state: Literal["running", "waiting", "done", "cancelled"]
    states: List[Literal["exhausted", "cancelled", "succeeded", "missing"]]
    # Empty: all.
    types: List[Literal["*", "session.*", "message.*", "poll.*", "event.*", "chat.*", "label.*", "history.*", "contact.*", "group.*", "status.*", "channel.*", "presence.*", "call.*", "change.*", "media.*", "webhook.*", "session.status", "session.qr", "session.pairing-code", "session.risk", "message.received", "message.sent", "message.status", "message.edited", "message.revoked", "message.deleted", "message.reaction", "message.pinned", "message.starred", "poll.voted", "event.responded", "chat.updated", "label.updated", "history.synced", "contact.updated", "group.joined", "group.left", "group.updated", "group.participants", "group.join-request", "status.received", "channel.updated", "channel.message", "channel.counts", "presence.updated", "chat.typing", "call.offered", "call.accepted", "call.ended", "change.failed", "media.failed", "webhook.test", "webhook.failing", "webhook.disabled"]]
    until: str


Reply = TypedDict(
    "Reply",
    {
        # JID of its chat, where that is another: status@broadcast where a status update is answered.
        "chatId": "NotRequired[str]",
        # Who wrote it.
        "from": "NotRequired[Address]",
        # Ours, where the session has the message.
        "messageId": "NotRequired[str]",
        # Its text or caption.
        "text": "NotRequired[str]",
        # Its type of content.
        "type": "NotRequired[str]",
        "whatsappId": "str",
    },
)


class Report(TypedDict):
    """Report."""
    # Each part that is needed: ok, or what is wrong with it.
    checks: Dict[str, str]
    # degraded: S3 is missing, so that files wait; all else works.
    status: Literal["ok", "degraded"]


class Respond(TypedDict):
    """Respond."""
    # How many come along, where the event allows it and the account goes.
    extraGuests: NotRequired[int]
    response: Literal["going", "notGoing", "maybe"]


ResponseData = TypedDict(
    "ResponseData",
    {
        "at": "str",
        # JID of the chat.
        "chatId": "str",
        # outgoing: the account answers.
        "direction": "Literal['incoming', 'outgoing']",
        # How many come along.
        "extraGuests": "NotRequired[int]",
        "from": "Address",
        # Ours; absent where the session never had the message.
        "messageId": "NotRequired[str]",
        "response": "Literal['going', 'notGoing', 'maybe']",
        "whatsappId": "str",
    },
)


class RevokedData(TypedDict):
    """RevokedData."""
    at: str
    # Who deleted it: its sender, or an admin of the group.
    by: NotRequired[Address]
    # JID of the chat.
    chatId: str
    # Ours; absent where the session never had the message.
    messageId: NotRequired[str]
    whatsappId: str


class RiskData(TypedDict):
    """RiskData."""
    health: AccountHealth


class RotateKey(TypedDict):
    """RotateKey."""
    # How long the key as it was stays valid beside the new one, up to 7 days. 0: it ends at once.
    overlapSeconds: NotRequired[int]


class RotateSecret(TypedDict):
    """RotateSecret."""
    # How long the present secret goes on signing beside the new one; 0: not at all.
    overlapHours: NotRequired[int]
    # A secret of your own: whsec_ and 24 to 64 random bytes in padded base64. Without it one of 32 bytes is made.
    secret: NotRequired[str]


class RotatedSecret(TypedDict):
    """RotatedSecret."""
    # Until when the secret before signs as well.
    previousValidUntil: str
    # What deliveries are signed with from now on.
    secret: str


class SendMessage(TypedDict):
    """SendMessage."""
    # Any text of yours; it comes back in every form of the message.
    clientReference: NotRequired[str]
    content: SendContent
    # Give it up if it could not be sent by then; within 30 days, of sendAt where that is given. Without it the operator's default holds (24
    # hours, unless MESSAGE_EXPIRY_HOURS says otherwise), which the answer shows.
    expiresAt: NotRequired[str]
    # Whom the text or caption mentions, as phone numbers or JIDs. Write @ and the number there, where the name is to be shown: Thanks,
    # @5491123456789.
    mentions: NotRequired[List[str]]
    # The text or caption mentions everybody in the group, who are told even where they muted it.
    mentionsEveryone: NotRequired[bool]
    # high overtakes what waits to be sent, whatever the chat, and does not wait for settings.sending of the session. It goes once the
    # message that is being sent has left.
    priority: NotRequired[Literal["normal", "high"]]
    # The message that this one answers, by its id, ours or WhatsApp's: one of the same chat, or a status update of the person whom it is
    # sent to.
    replyTo: NotRequired[str]
    # Send it then, within a year; its status is scheduled until then. expiresAt counts from there. A time that comes while no connector
    # runs, or while the session is not connected, is made up for until expiresAt.
    sendAt: NotRequired[str]
    # Whom to send it to: a phone number with its country code (digits, + allowed), or a JID of a person or group.
    to: str
    # Show for so long in the chat that the account is typing, or recording a voice note, before it is sent. The account is online
    # meanwhile; the chat's later messages wait, those of other chats do not.
    typingSeconds: NotRequired[int]
    # WhatsApp's id for it, where you choose it yourself: one that the chat never had. Two messages with one id are one to their recipient.
    whatsappId: NotRequired[str]


class Sending(TypedDict):
    """Sending."""
    # Messages to people who never wrote: what WhatsApp restricts and bans accounts for.
    newContacts: NotRequired[NewContacts]
    # Between two messages that answer nobody.
    pace: NotRequired[Pace]
    # When messages that answer nobody are sent.
    window: NotRequired[Window]


class SendingSettings(TypedDict):
    """SendingSettings."""
    # Messages to people who never wrote: what WhatsApp restricts and bans accounts for.
    newContacts: NotRequired[NewContactSettings]
    # Between two messages that answer nobody.
    pace: NotRequired[PaceSettings]
    # When messages that answer nobody are sent.
    window: NotRequired[WindowSettings]


class Session(TypedDict):
    """Session."""
    # When it last connected.
    connectedAt: NotRequired[str]
    # The connector that runs it now.
    connector: NotRequired[str]
    createdAt: str
    # What you asked for; state follows it.
    desired: Literal["started", "stopped"]
    # Your own name for it.
    id: str
    # When WhatsApp last sent something.
    lastEventAt: NotRequired[str]
    # The account's phone-independent number, digits only.
    lid: NotRequired[str]
    # For people.
    name: NotRequired[str]
    # The account's number, digits only, once linked.
    phone: NotRequired[str]
    # Why it is in this state, for a person.
    reason: NotRequired[str]
    settings: Settings
    # What it is now.
    state: Literal["stopped", "starting", "qr", "pairing_code", "passkey_required", "connected", "reconnecting", "logged_out", "banned", "restricted", "replaced", "failed"]


class SessionData(TypedDict):
    """SessionData."""
    # In session.pairing-code: the code to enter on the phone.
    pairingCode: NotRequired[PairingCode]
    # In session.status with the state passkey_required: what WhatsApp asks for.
    passkey: NotRequired[Passkey]
    # In session.qr: the code to scan.
    qr: NotRequired[QR]
    session: Session


class SessionPairingCodeEvent(TypedDict):
    """SessionPairingCodeEvent."""
    data: SessionData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["session.pairing-code"]


class SessionQrEvent(TypedDict):
    """SessionQrEvent."""
    data: SessionData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["session.qr"]


class SessionRiskEvent(TypedDict):
    """SessionRiskEvent."""
    data: RiskData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["session.risk"]


class SessionSettings(TypedDict):
    """SessionSettings."""
    # What is done to calls that come in; replaces what was there. By default they ring.
    calls: NotRequired[SetCalls]
    # Shown on the phone's list of linked devices from the next linking on; default chasqui.
    deviceName: NotRequired[str]
    # What makes neither messages nor events; replaces what was there.
    ignore: NotRequired[IgnoreRules]
    # true: messages that come in are read at once, and their senders get read receipts unless the account's privacy keeps them back;
    # default false.
    markRead: NotRequired[bool]
    # Free for your use; replaces what was there.
    metadata: NotRequired[Dict[str, str]]
    # What the account shows of itself while the session is connected; default unavailable, so that the owner's phone notifies. PUT
    # .../presence sets the same.
    presence: NotRequired[Literal["available", "unavailable"]]
    # What all of its connections to WhatsApp go through, media included: socks5://, http:// or https://, with a user and password where it
    # wants them; "" for none. It is never shown again in full. A change connects the session anew.
    proxy: NotRequired[str]
    # How messages are paced; replaces what was there, and {} takes it away. What waits already follows it.
    sending: NotRequired[SendingSettings]


class SessionStatusEvent(TypedDict):
    """SessionStatusEvent."""
    data: SessionData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["session.status"]


class SetCalls(TypedDict):
    """SetCalls."""
    # Rejects every call at once, on all devices of the account.
    reject: bool
    # Sent to a caller who was rejected, once an hour at most; not in group calls.
    text: NotRequired[str]


class SetPicture(TypedDict):
    """SetPicture."""
    # A JPEG, PNG, GIF or WebP. Its middle is taken, as a square of at most 640 pixels.
    media: MediaSource


class SetPresence(TypedDict):
    """SetPresence."""
    # What the account shows of itself.
    state: Literal["available", "unavailable"]


class SetReaction(TypedDict):
    """SetReaction."""
    # One emoji.
    emoji: str


class SetTyping(TypedDict):
    """SetTyping."""
    # What is shown in the chat.
    state: Literal["typing", "recording", "paused"]


class Setting(TypedDict):
    """Setting."""
    # What it is when it is not set.
    default: NotRequired[str]
    # What it does.
    description: str
    # The environment variable.
    name: str
    # Whether the value is never shown.
    secret: bool
    # What is in force, by default or because it was set. *** stands for a secret, and for addresses that may hold one; empty is unset.
    value: str


class SettingList(TypedDict):
    """SettingList."""
    # In the order of --help.
    data: List[Setting]


class Settings(TypedDict):
    """Settings."""
    # What is done to calls that come in.
    calls: NotRequired[CallSettings]
    # Shown on the phone's list of linked devices when the session is linked; default chasqui.
    deviceName: NotRequired[str]
    # What it takes no notice of.
    ignore: NotRequired[Ignore]
    # Messages that come in are read at once.
    markRead: NotRequired[bool]
    # Free for the client's use.
    metadata: NotRequired[Dict[str, str]]
    # What the account shows of itself while it is connected; default unavailable.
    presence: NotRequired[Literal["available", "unavailable"]]
    # What its connections go through; *** stands for a user and password.
    proxy: NotRequired[str]
    # How messages are paced; absent: as fast as WhatsApp takes them.
    sending: NotRequired[Sending]


SimulateMessage = TypedDict(
    "SimulateMessage",
    {
        # The contact's phone number, with its country code; it is made if there is none. Default: one that is the same each time.
        "from": "NotRequired[str]",
        # What it is called, if it is made. Default: Simulated contact.
        "name": "NotRequired[str]",
        # What it writes.
        "text": "str",
    },
)


class SimulateScan(TypedDict):
    """SimulateScan."""
    # The phone, with its country code; it is made if there is none. Default: a new one, with a number that no phone has.
    number: NotRequired[str]


SimulatedMessage = TypedDict(
    "SimulatedMessage",
    {
        # The contact's phone number, digits only.
        "from": "str",
        # WhatsApp's id of the message, by which it can be read once it has come.
        "whatsappId": "str",
    },
)


class SimulatedScan(TypedDict):
    """SimulatedScan."""
    # The phone's number, digits only.
    number: str
    sessionId: str


class StarredData(TypedDict):
    """StarredData."""
    at: str
    # JID of the chat.
    chatId: str
    # Ours; absent where the session never had the message.
    messageId: NotRequired[str]
    starred: bool
    whatsappId: str


class Stats(TypedDict):
    """Stats."""
    # Every step, oldest first, those in which nothing happened included.
    data: List[StatsStep]
    # When the first step begins.
    since: str
    # The length of a step, in seconds.
    step: int
    # When the last step ends.
    until: str


class StatsDeliveries(TypedDict):
    """StatsDeliveries."""
    # Deliveries that were given up after their last attempt.
    exhausted: int
    # Attempts that failed; most are tried again.
    failed: int
    # Of those that succeeded; absent where none did.
    latency: NotRequired[StatsLatency]
    # Deliveries that a receiver answered with 2xx.
    succeeded: int


class StatsLatency(TypedDict):
    """StatsLatency."""
    # Seconds from the event to the 2xx that half of the deliveries took at most, estimated.
    p50: float
    # The same of 95 of 100.
    p95: float


class StatsMessages(TypedDict):
    """StatsMessages."""
    # Messages that failed or expired.
    failed: int
    # Messages that came in.
    received: int
    # Messages that WhatsApp took, those of the owner's phone included.
    sent: int


class StatsQueueLag(TypedDict):
    """StatsQueueLag."""
    # What is to be done at WhatsApp: messages to be sent among it.
    commands: float
    # Deliveries to endpoints that may be sent to.
    deliveries: float
    # Events on their way into the log.
    events: float
    # Files to be fetched.
    media: float


class StatsStep(TypedDict):
    """StatsStep."""
    # When it begins.
    at: str
    deliveries: StatsDeliveries
    messages: StatsMessages
    queueLag: StatsQueueLag
    # How many sessions there are, by state, at its end; in the step that is not over, now. A state that none is in is left out; all are, in
    # steps for which nobody counted.
    sessions: Dict[str, int]


class StatusData(TypedDict):
    """StatusData."""
    at: str
    # Who received or read it.
    by: NotRequired[Address]
    # JID of the chat.
    chatId: str
    error: NotRequired[MessageError]
    messageId: str
    # What it has become.
    status: str
    whatsappId: str


class StatusImageContent(TypedDict):
    """StatusImageContent."""
    # What is written under it.
    caption: NotRequired[str]
    media: MediaSource
    type: Literal["image"]


class StatusReceivedEvent(TypedDict):
    """StatusReceivedEvent."""
    data: MessageData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["status.received"]


class StatusTextContent(TypedDict):
    """StatusTextContent."""
    # What the text, which is white, stands on: red, green and blue.
    backgroundColor: NotRequired[str]
    font: NotRequired[Literal["system", "systemText", "script", "systemBold", "morningBreeze", "calistoga", "exo2", "courierPrime"]]
    # What it says.
    text: str
    type: Literal["text"]


class StatusVideoContent(TypedDict):
    """StatusVideoContent."""
    # What is written under it.
    caption: NotRequired[str]
    # It plays by itself, without sound, again and again.
    gif: NotRequired[bool]
    # WhatsApp's apps post up to 90 seconds; it is not cut here.
    media: MediaSource
    type: Literal["video"]


class StatusViewer(TypedDict):
    """StatusViewer."""
    viewedAt: str
    viewer: Address


class StatusVoiceContent(TypedDict):
    """StatusVoiceContent."""
    # What it is shown on: red, green and blue.
    backgroundColor: NotRequired[str]
    # Ogg Opus goes out as it is; other audio is made that, where ffmpeg is installed with the API.
    media: MediaSource
    type: Literal["voice"]


class StickerContent(TypedDict):
    """StickerContent."""
    # WebP goes out as it is, still or animated; WhatsApp's own stickers have 512 by 512 pixels. PNG and JPEG are made that, with
    # transparent margins; an animated GIF too, where ffmpeg is installed with the API.
    media: MediaSource
    type: Literal["sticker"]


class Subgroup(TypedDict):
    """Subgroup."""
    # It is the group for the community's announcements.
    defaultSubgroup: bool
    # JID.
    id: str
    name: str


class Subgroups(TypedDict):
    """Subgroups."""
    data: List[Subgroup]


class TestedDelivery(TypedDict):
    """TestedDelivery."""
    id: str
    # How the attempt ended: ok, status (another than 2xx), dns, connect, tls, timeout, blocked (an address that may not be reached),
    # broken, or local and storage for failures on this side; the list only grows.
    lastClass: NotRequired[str]
    # The HTTP status of the answer; absent when there was none.
    lastStatus: NotRequired[int]
    # pending: it failed, and is tried again as every event is.
    state: Literal["pending", "sending", "succeeded", "exhausted", "cancelled", "held"]


class TextContent(TypedDict):
    """TextContent."""
    # A preview of your own, in place of a fetched one.
    linkPreview: NotRequired[NewPreview]
    # fetch: the page of the first link in the text is read now, for up to 5 seconds, and what it says of itself is shown below the text. A
    # page that says nothing, or cannot be reached, is no error: the text goes out without.
    preview: NotRequired[Literal["none", "fetch"]]
    # What it says; *bold*, _italic_, ~struck~ and lists as in WhatsApp.
    text: str
    type: Literal["text"]


class ThinEvent(TypedDict):
    """An event of more than 256 KiB, as webhooks carry it: data is empty, and dataUrl leads to the whole event."""
    data: Dict[str, Any]
    # Where the whole event is, with the API key: GET /v1/events/{eventId}.
    dataUrl: str
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    # What happened; the list only grows.
    type: str


class Ticket(TypedDict):
    """Ticket."""
    # Until when it opens something. A stream that it has opened goes on after that.
    expiresAt: str
    # Pass it as the query parameter ticket. It is shown this once, and stored only as a hash.
    ticket: str


class Typing(TypedDict):
    """Typing."""
    # JID of the chat.
    chatId: str
    state: Literal["typing", "recording", "paused"]


TypingData = TypedDict(
    "TypingData",
    {
        "at": "str",
        # JID of the chat.
        "chatId": "str",
        # Who it is.
        "from": "Address",
        # typing and recording hold until paused, a message of the same person, or for 25 seconds; they are told again as long as they last.
        "state": "Literal['typing', 'recording', 'paused']",
    },
)


class Version(TypedDict):
    """Version."""
    # The version of this document.
    api: str
    name: str
    # Whether there are simulated phones, for POST /v1/sessions/{sessionId}/simulated-scan and simulated-message.
    sandbox: bool
    # The program's version.
    version: str


class VideoContent(TypedDict):
    """VideoContent."""
    # The album that it belongs to: the id, ours or WhatsApp's, of a message of type album that was sent to the same chat before.
    albumId: NotRequired[str]
    # What is written under it.
    caption: NotRequired[str]
    # It plays by itself, without sound, again and again.
    gif: NotRequired[bool]
    media: MediaSource
    type: Literal["video"]
    # It is shown round, as if recorded in the chat.
    videoNote: NotRequired[bool]
    # The recipient can open it once.
    viewOnce: NotRequired[bool]


class VoiceContent(TypedDict):
    """VoiceContent."""
    # Ogg Opus goes out as it is; other audio is made that, where ffmpeg is installed with the API.
    media: MediaSource
    type: Literal["voice"]
    # The recipient can play it once.
    viewOnce: NotRequired[bool]


class Vote(TypedDict):
    """Vote."""
    # All that the account chooses, in the words of the poll; none takes its vote back.
    options: List[str]


VoteData = TypedDict(
    "VoteData",
    {
        "at": "str",
        # JID of the chat.
        "chatId": "str",
        # outgoing: the account votes.
        "direction": "Literal['incoming', 'outgoing']",
        # Who votes.
        "from": "Address",
        # Ours; absent where the session never had the message.
        "messageId": "NotRequired[str]",
        # All that the voter chose; none where the vote was taken back.
        "options": "List[str]",
        "whatsappId": "str",
    },
)


class WebhookData(TypedDict):
    """WebhookData."""
    endpoint: WebhookEndpoint
    # In webhook.test: a message that nobody wrote, so that there is something to show in every format.
    message: NotRequired[Message]


class WebhookDisabledEvent(TypedDict):
    """WebhookDisabledEvent."""
    data: WebhookData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["webhook.disabled"]


class WebhookEndpoint(TypedDict):
    """WebhookEndpoint."""
    # Failures since the last success.
    consecutiveFailures: int
    # The first failure since the last success.
    failingSince: NotRequired[str]
    id: str
    # In webhook.failing and webhook.disabled: what is wrong, for a person.
    reason: NotRequired[str]
    state: Literal["active", "paused", "disabled"]
    # Without user, password and query, which may hold secrets.
    url: str


class WebhookFailingEvent(TypedDict):
    """WebhookFailingEvent."""
    data: WebhookData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["webhook.failing"]


class WebhookTestEvent(TypedDict):
    """WebhookTestEvent."""
    data: WebhookData
    # The event's id everywhere: here, as webhook-id, as cursor.
    id: str
    # The session it happened to.
    sessionId: NotRequired[str]
    # When it happened, as WhatsApp says where it does.
    timestamp: str
    type: Literal["webhook.test"]


Window = TypedDict(
    "Window",
    {
        # The days on which it opens; without them every day.
        "days": "NotRequired[List[Literal['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']]]",
        # When it opens.
        "from": "str",
        # A name of the IANA time zone database.
        "timeZone": "str",
        # When it closes; where that is before it opens, on the next day.
        "to": "str",
    },
)


WindowSettings = TypedDict(
    "WindowSettings",
    {
        # The days on which it opens; without them every day.
        "days": "NotRequired[List[Literal['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']]]",
        # When it opens.
        "from": "str",
        # A name of the IANA time zone database.
        "timeZone": "str",
        # When it closes; where that is before it opens, on the next day.
        "to": "str",
    },
)


# What came of an attempt; the list only grows.
# - ok: answered with 2xx
# - status: answered with another status; redirects are not followed
# - dns: the URL's name has no address
# - connect: nobody accepts connections there
# - tls: no TLS handshake, or a certificate that is not valid for the name
# - timeout: no status within the endpoint's timeoutSeconds
# - blocked: the address is one that webhooks may not reach, such as that of a private network
# - broken: the connection ended before a status, or what came was not HTTP
# - refused: the broker does not take the message: no stream for its subject, no permission, a wrong password, a stream that is full
# - oversize: the message is larger than the broker takes
# - local: a failure of chasqui itself, such as no DNS server; it costs no attempt
# - storage: the file of the message could not be read; it costs no attempt
# - aborted: not sent to its end because chasqui was stopped; it is in no list of attempts, costs none, and is made up for at once
# - expired: not sent: the event is no longer kept, and the delivery is cancelled
# - unfit: not sent: the endpoint's format has no form for this event, and the delivery is cancelled
AttemptClass = Literal["ok", "status", "dns", "connect", "tls", "timeout", "blocked", "broken", "refused", "oversize", "local", "storage", "aborted", "expired", "unfit"]

# Something that happened, told apart by type. Types that this version does not know can come; pass over them.
Event = Union[CallAcceptedEvent, CallEndedEvent, CallOfferedEvent, ChangeFailedEvent, ChannelCountsEvent, ChannelMessageEvent, ChannelUpdatedEvent, ChatTypingEvent, ChatUpdatedEvent, ContactUpdatedEvent, EventRespondedEvent, GroupJoinRequestEvent, GroupJoinedEvent, GroupLeftEvent, GroupParticipantsEvent, GroupUpdatedEvent, HistorySyncedEvent, LabelUpdatedEvent, MediaFailedEvent, MessageDeletedEvent, MessageEditedEvent, MessagePinnedEvent, MessageReactionEvent, MessageReceivedEvent, MessageRevokedEvent, MessageSentEvent, MessageStarredEvent, MessageStatusEvent, PollVotedEvent, PresenceUpdatedEvent, SessionPairingCodeEvent, SessionQrEvent, SessionRiskEvent, SessionStatusEvent, StatusReceivedEvent, WebhookDisabledEvent, WebhookFailingEvent, WebhookTestEvent]

# What to send; type decides what else there is.
SendContent = Union[AlbumContent, AudioContent, ContactsContent, DocumentContent, EventContent, GroupInviteContent, ImageContent, LiveLocationContent, LocationContent, PollContent, StickerContent, TextContent, VideoContent, VoiceContent]

# What to send; type decides what else there is.
StatusContent = Union[StatusImageContent, StatusTextContent, StatusVideoContent, StatusVoiceContent]

# The codes of problems that this version knows. More can come.
Code = Literal[
    "account_banned",
    "account_restricted",
    "address_not_allowed",
    "api_key_not_found",
    "bad_request",
    "call_not_found",
    "call_over",
    "channel_not_found",
    "chat_not_found",
    "contact_not_found",
    "cursor_expired",
    "delivery_expired",
    "endpoint_not_active",
    "export_too_large",
    "forbidden",
    "group_not_found",
    "idempotency_in_progress",
    "idempotency_key_reused",
    "insufficient_scope",
    "internal_error",
    "invite_not_valid",
    "label_not_found",
    "link_used",
    "malformed_json",
    "media_expired",
    "media_fetch_failed",
    "media_not_found",
    "media_pending",
    "media_too_large",
    "message_id_taken",
    "message_not_cancellable",
    "message_not_editable",
    "message_not_forwardable",
    "message_not_found",
    "message_not_revocable",
    "message_not_sent",
    "not_acceptable",
    "not_channel_admin",
    "not_found",
    "not_group_admin",
    "not_in_group",
    "pairing_expired",
    "passkey_not_required",
    "passkey_refused",
    "passkey_required",
    "payload_too_large",
    "rate_limited",
    "recipient_not_on_whatsapp",
    "request_timeout",
    "sandbox_not_available",
    "session_already_exists",
    "session_already_linked",
    "session_logged_out",
    "session_not_connected",
    "session_not_found",
    "session_not_stopped",
    "too_many_subscriptions",
    "unauthorized",
    "unavailable",
    "unsupported_media_type",
    "upgrade_required",
    "validation_failed",
    "webhook_replay_running",
    "whatsapp_rejected",
    "whatsapp_timeout",
]
