// Code generated from openapi.yaml by make generate. DO NOT EDIT.

export type ClientOptions = {
    baseUrl: `${string}://${string}` | (string & {});
};

export type ApiKey = {
    createdAt: string;
    /**
     * Absent: never.
     */
    expiresAt?: string;
    /**
     * How the key begins, to tell keys apart.
     */
    hint: string;
    id: string;
    /**
     * When it was last used, to the minute.
     */
    lastUsedAt?: string;
    name: string;
    /**
     * The only addresses that it may be used from; empty: all.
     */
    networks: Array<string>;
    /**
     * Until when the key before its rotation is valid too.
     */
    previousUntil?: string;
    /**
     * Absent: the setting RATE_LIMIT.
     */
    requestsPerMinute?: number;
    scopes: Array<'read' | 'send' | 'manage' | 'admin'>;
    /**
     * The only sessions that there are for it; empty: all.
     */
    sessions: Array<string>;
};

export type AccountHealth = {
    /**
     * How many of these failed, by code.
     */
    failed: {
        [key: string]: number;
    };
    /**
     * good: nothing stands out. caution: WhatsApp may soon restrict the account. risk: it has.
     */
    level: 'good' | 'caution' | 'risk';
    newContacts: NewContactRate;
    /**
     * What the level comes from; none where it is good.
     */
    reasons: Array<HealthReason>;
    /**
     * Until when WhatsApp lets the account write to nobody new.
     */
    restrictedUntil?: string;
    /**
     * Messages that it sent, of its last 2,000 in both directions, within 24 hours.
     */
    sent: number;
    /**
     * How many messages wait for what the session's settings make them wait for, at most 1,000 in all.
     */
    waiting: {
        [key: string]: number;
    };
    /**
     * When the session's window opens, while it is closed.
     */
    windowOpensAt?: string;
};

export type AddParticipants = {
    /**
     * Phone numbers or JIDs.
     */
    participants: Array<string>;
};

export type Address = {
    /**
     * Canonical JID: the phone's where it is known, else the LID's.
     */
    id: string;
    kind: 'user' | 'group' | 'broadcast' | 'status' | 'channel';
    /**
     * WhatsApp's phone-independent number, digits only.
     */
    lid?: string;
    /**
     * The name this address is known by to the session.
     */
    name?: string;
    /**
     * Phone number, digits only.
     */
    phone?: string;
};

export type Album = {
    images: number;
    videos: number;
};

export type AlbumContent = {
    /**
     * How many images and videos follow, two at least. Send them next, each with the albumId of this message.
     */
    album: NewAlbum;
    type: 'album';
};

export type AnswerPasskey = {
    /**
     * Not looked at.
     */
    authenticatorAttachment?: string;
    /**
     * Not looked at.
     */
    clientExtensionResults?: {
        [key: string]: unknown;
    };
    /**
     * The credential's id, in base64url.
     */
    id: string;
    /**
     * The same.
     */
    rawId: string;
    response: PasskeyResponse;
    type: 'public-key';
};

export type AskHistory = {
    /**
     * A message of the chat, by our id or WhatsApp's: those before it are asked for. Without it, those before the oldest that is kept.
     */
    before?: string;
    /**
     * How many messages; WhatsApp recommends 50.
     */
    count: number;
};

export type AskPairingCode = {
    /**
     * The phone number of the account, with its country code.
     */
    phone: string;
};

export type Attempt = {
    /**
     * Which it is of its series. What costs no attempt has the number of the one that comes after it; a series begins anew when the delivery is sent again.
     */
    attempt: number;
    class: AttemptClass;
    /**
     * Milliseconds from the beginning to the end of the answer, or to the failure.
     */
    durationMs: number;
    /**
     * What went wrong, for a person. It may change.
     */
    error?: string;
    /**
     * The answer's body, its first 16 KiB.
     */
    responseBody?: string;
    /**
     * How responseBody is written: base64 where the body is not UTF-8. Absent where there was none.
     */
    responseBodyEncoding?: 'text' | 'base64';
    /**
     * The answer's header, without cookies, up to 8 KiB.
     */
    responseHeaders: {
        [key: string]: string;
    };
    startedAt: string;
    /**
     * The HTTP status, where there was one.
     */
    status?: number;
};

/**
 * What came of an attempt; the list only grows.
 * - ok: answered with 2xx
 * - status: answered with another status; redirects are not followed
 * - dns: the URL's name has no address
 * - connect: nobody accepts connections there
 * - tls: no TLS handshake, or a certificate that is not valid for the name
 * - timeout: no status within the endpoint's timeoutSeconds
 * - blocked: the address is one that webhooks may not reach, such as that of a private network
 * - broken: the connection ended before a status, or what came was not HTTP
 * - refused: the broker does not take the message: no stream for its subject, no permission, a wrong password, a stream that is full
 * - oversize: the message is larger than the broker takes
 * - local: a failure of chasqui itself, such as no DNS server; it costs no attempt
 * - storage: the file of the message could not be read; it costs no attempt
 * - aborted: not sent to its end because chasqui was stopped; it is in no list of attempts, costs none, and is made up for at once
 * - expired: not sent: the event is no longer kept, and the delivery is cancelled
 * - unfit: not sent: the endpoint's format has no form for this event, and the delivery is cancelled
 */
export type AttemptClass = 'ok' | 'status' | 'dns' | 'connect' | 'tls' | 'timeout' | 'blocked' | 'broken' | 'refused' | 'oversize' | 'local' | 'storage' | 'aborted' | 'expired' | 'unfit';

export type AudioContent = {
    media: MediaSource;
    type: 'audio';
};

export type AuditEntry = {
    /**
     * Where the request came from; behind a reverse proxy the proxy's.
     */
    address: string;
    at: string;
    id: string;
    /**
     * Whose request it was; absent for API_KEY.
     */
    keyId?: string;
    /**
     * What the key was called then.
     */
    keyName: string;
    /**
     * The operationId of this document.
     */
    operation: string;
    /**
     * What was asked for, without its query.
     */
    path: string;
    /**
     * The request in the log.
     */
    requestId: string;
    /**
     * The session that the path names.
     */
    sessionId?: string;
};

export type BatchMessage = {
    /**
     * Any text of yours; it comes back in every form of the message.
     */
    clientReference?: string;
    content: SendContent;
    /**
     * Whom to send it to, as in a message of its own.
     */
    to: string;
    /**
     * Show for so long that the account is typing before it is sent. The chat's later messages wait.
     */
    typingSeconds?: number;
};

export type Blocklist = {
    /**
     * Whom the account has blocked, by id.
     */
    data: Array<Address>;
};

export type Brand = {
    /**
     * The page's own colour.
     */
    color?: string;
    /**
     * A PNG, JPEG or WebP of at most 32 KiB, as a data URL.
     */
    logo?: string;
    /**
     * Who asks for the linking.
     */
    name?: string;
};

export type BusinessDay = {
    /**
     * Minutes after midnight, with specific_hours.
     */
    close?: number;
    day: 'sun' | 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat';
    mode: 'open_24h' | 'specific_hours' | 'appointment_only';
    /**
     * Minutes after midnight, with specific_hours.
     */
    open?: number;
};

export type BusinessProfile = {
    address?: string;
    categories: Array<string>;
    description?: string;
    email?: string;
    /**
     * When it is open; none: it does not say.
     */
    hours: Array<BusinessDay>;
    /**
     * Of its opening hours, as in the IANA list.
     */
    timezone?: string;
    websites: Array<string>;
};

export type CalendarEvent = {
    /**
     * It was called off.
     */
    cancelled?: boolean;
    description?: string;
    /**
     * When it ends.
     */
    endAt?: string;
    /**
     * Guests may bring others.
     */
    extraGuests?: boolean;
    /**
     * A link to a call.
     */
    joinLink?: string;
    /**
     * Where it is.
     */
    location?: Location;
    name: string;
    /**
     * When it begins; WhatsApp keeps whole seconds.
     */
    startAt: string;
};

export type Call = {
    acceptedAt?: string;
    endedAt?: string;
    /**
     * Who calls.
     */
    from: Address;
    /**
     * In a group's call: JID of the group.
     */
    groupId?: string;
    id: string;
    /**
     * When it began to ring.
     */
    offeredAt: string;
    /**
     * Why it ended. rejected: by the account, here or on another device; timeout: nobody answered; missed: the caller hung up first; completed: it had been accepted; unknown: WhatsApp did not tell.
     */
    reason?: 'rejected' | 'timeout' | 'missed' | 'completed' | 'unknown';
    sessionId: string;
    /**
     * accepted: on another device of the account.
     */
    state: 'ringing' | 'accepted' | 'ended';
    /**
     * Whether it is a video call.
     */
    video: boolean;
    /**
     * WhatsApp's id of it.
     */
    whatsappId: string;
};

export type CallAcceptedEvent = {
    data: CallData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'call.accepted';
};

export type CallData = {
    call: Call;
};

export type CallEndedEvent = {
    data: CallData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'call.ended';
};

export type CallOfferedEvent = {
    data: CallData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'call.offered';
};

export type CallSettings = {
    /**
     * Rejects every call at once.
     */
    reject: boolean;
    /**
     * Sent to a caller who was rejected, once an hour at most; not in group calls.
     */
    text?: string;
};

export type Change = {
    createdAt: string;
    /**
     * Why it failed.
     */
    error?: MessageError;
    /**
     * When it is given up if it could not be done.
     */
    expiresAt: string;
    id: string;
    /**
     * What is changed; the list grows.
     */
    kind: string;
    /**
     * What the operation would have answered, once it is done.
     */
    result?: unknown;
    sessionId: string;
    /**
     * queued: it waits for the session's connection, or its turn.
     */
    status: 'queued' | 'done' | 'failed' | 'expired';
    /**
     * The message's id or the JID that it is about.
     */
    target?: string;
};

export type ChangeChannel = {
    /**
     * An empty one takes it away.
     */
    description?: string;
    name?: string;
};

export type ChangeChat = {
    /**
     * Archives it, which unpins it too, or takes it out of the archive.
     */
    archived?: boolean;
    /**
     * After how many seconds new messages disappear, for everybody in the chat: a day, a week or 90 days; 0 is never.
     */
    disappearingSeconds?: 0 | 86400 | 604800 | 7776000;
    /**
     * Mutes it until then; 9999-12-31T00:00:00Z is for good. null ends it.
     */
    mutedUntil?: string | null;
    /**
     * Pins it above the others. An archived chat is not pinned.
     */
    pinned?: boolean;
    /**
     * true marks it as unread; false reads it, as POST .../read does.
     */
    unread?: boolean;
};

export type ChangeContact = {
    /**
     * The name in the account's address book, which its phone gets too; empty takes it away.
     */
    savedName: string;
};

export type ChangeData = {
    change: Change;
};

export type ChangeEndpoint = {
    /**
     * Empty: all.
     */
    chatKinds?: Array<'user' | 'group' | 'broadcast' | 'status' | 'channel'>;
    events?: Array<'*' | 'session.*' | 'message.*' | 'poll.*' | 'event.*' | 'chat.*' | 'label.*' | 'history.*' | 'contact.*' | 'group.*' | 'status.*' | 'channel.*' | 'presence.*' | 'call.*' | 'change.*' | 'media.*' | 'webhook.*' | 'session.status' | 'session.qr' | 'session.pairing-code' | 'session.risk' | 'message.received' | 'message.sent' | 'message.status' | 'message.edited' | 'message.revoked' | 'message.deleted' | 'message.reaction' | 'message.pinned' | 'message.starred' | 'poll.voted' | 'event.responded' | 'chat.updated' | 'label.updated' | 'history.synced' | 'contact.updated' | 'group.joined' | 'group.left' | 'group.updated' | 'group.participants' | 'group.join-request' | 'status.received' | 'channel.updated' | 'channel.message' | 'channel.counts' | 'presence.updated' | 'chat.typing' | 'call.offered' | 'call.accepted' | 'call.ended' | 'change.failed' | 'media.failed' | 'webhook.test' | 'webhook.failing' | 'webhook.disabled'>;
    /**
     * null: those of the account and those of others.
     */
    fromMe?: boolean | null;
    headers?: {
        [key: string]: string;
    };
    maxInFlight?: number;
    order?: 'none' | 'chat' | 'session';
    /**
     * null: no limit.
     */
    ratePerSecond?: number | null;
    /**
     * null: the standard schedule. Deliveries that have failed before go by it from their next failure on.
     */
    retrySeconds?: Array<number> | null;
    sessions?: Array<string>;
    state?: 'active' | 'paused';
    timeoutSeconds?: number;
    url?: string;
    waitForMedia?: boolean;
};

export type ChangeFailedEvent = {
    data: ChangeData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'change.failed';
};

export type ChangeGroup = {
    /**
     * Only admins may send.
     */
    announcement?: boolean;
    /**
     * An empty one takes it away.
     */
    description?: string;
    /**
     * After how many seconds new messages disappear; 0 is never.
     */
    disappearingSeconds?: 0 | 86400 | 604800 | 7776000;
    /**
     * An admin has to approve who joins by link.
     */
    joinApproval?: boolean;
    /**
     * Only admins may change name, description and picture.
     */
    locked?: boolean;
    /**
     * Who may add participants.
     */
    memberAdd?: 'all' | 'admins';
    name?: string;
};

export type ChangeKey = {
    /**
     * null: never.
     */
    expiresAt?: string | null;
    name?: string;
    /**
     * Empty: all.
     */
    networks?: Array<string>;
    /**
     * null: the setting RATE_LIMIT.
     */
    requestsPerMinute?: number | null;
    scopes?: Array<'read' | 'send' | 'manage' | 'admin'>;
    /**
     * Empty: all.
     */
    sessions?: Array<string>;
};

export type ChangeLabel = {
    /**
     * One of WhatsApp's colours.
     */
    color?: number;
    /**
     * What it is called.
     */
    name?: string;
};

export type ChangeParticipant = {
    role: 'member' | 'admin';
};

export type ChangePrivacy = {
    /**
     * Who sees what it says about itself.
     */
    about?: 'all' | 'contacts' | 'contact_blacklist' | 'none';
    /**
     * Whose calls ring.
     */
    callAdd?: 'all' | 'known';
    /**
     * WhatsApp's strict account settings.
     */
    defense?: 'on_standard' | 'off';
    /**
     * After how many seconds messages disappear in chats that begin from now on: a day, a week or 90 days; 0 is never.
     */
    disappearingSeconds?: 0 | 86400 | 604800 | 7776000;
    /**
     * Who may add it to groups.
     */
    groupAdd?: 'all' | 'contacts' | 'contact_blacklist' | 'none';
    /**
     * Who sees when the account was last online. contact_blacklist: contacts without those whom the owner chose on the phone.
     */
    lastSeen?: 'all' | 'contacts' | 'contact_blacklist' | 'none';
    /**
     * Who may write to it.
     */
    messages?: 'all' | 'contacts';
    /**
     * Who sees that it is online.
     */
    online?: 'all' | 'match_last_seen';
    /**
     * Who sees its picture.
     */
    picture?: 'all' | 'contacts' | 'contact_blacklist' | 'none';
    /**
     * Whether senders learn what was read, and the account of them.
     */
    readReceipts?: 'all' | 'none';
    /**
     * Who may use its stickers. contact_allowlist: those whom the owner chose on the phone.
     */
    stickers?: 'contacts' | 'contact_allowlist' | 'none';
};

export type ChangeProfile = {
    /**
     * What it says about itself; an empty one takes it away.
     */
    about?: string;
    /**
     * What the account calls itself; others see it beside its number.
     */
    name?: string;
};

export type ChangeSession = {
    name?: string;
    settings?: SessionSettings;
};

export type Channel = {
    createdAt?: string;
    description?: string;
    followers: number;
    /**
     * JID.
     */
    id: string;
    /**
     * The end of its link.
     */
    inviteCode?: string;
    inviteUrl?: string;
    /**
     * The account is not notified of its posts.
     */
    muted?: boolean;
    name: string;
    /**
     * It changes with the picture.
     */
    pictureId?: string;
    /**
     * Where WhatsApp has the picture, for some days.
     */
    pictureUrl?: string;
    /**
     * What the account is to it; a guest does not follow it. Absent where it was looked up by its link.
     */
    role?: 'owner' | 'admin' | 'subscriber' | 'guest';
    /**
     * Whether WhatsApp shows it, or has suspended it.
     */
    state?: 'active' | 'suspended' | 'geosuspended';
    /**
     * WhatsApp verified who stands behind it.
     */
    verified?: boolean;
};

export type ChannelCountsData = {
    channelId: string;
    posts: Array<CountedPost>;
};

export type ChannelCountsEvent = {
    data: ChannelCountsData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'channel.counts';
};

export type ChannelData = {
    /**
     * joined: the account follows it, or has made it. deleted: the account has deleted it; one that somebody else deleted is left.
     */
    change: 'joined' | 'left' | 'changed' | 'deleted';
    /**
     * With changed: the members of channel that are another now.
     */
    changed?: Array<string>;
    /**
     * As it is now; as it was, where it was left or deleted.
     */
    channel: Channel;
};

export type ChannelDone = {
    channelId: string;
};

export type ChannelMessageEvent = {
    data: MessageData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'channel.message';
};

export type ChannelPost = {
    /**
     * The batch that it was sent with.
     */
    batchId?: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * What the sender wrote there; chasqui only keeps it.
     */
    clientReference?: string;
    content: Content;
    direction: 'incoming' | 'outgoing';
    /**
     * Seconds after which it disappears, where the chat has a timer.
     */
    disappearsAfter?: number;
    /**
     * When it was last edited; content is what it says now.
     */
    editedAt?: string;
    error?: MessageError;
    /**
     * When it is given up if it could not be sent. Every message that is to be sent has one.
     */
    expiresAt?: string;
    /**
     * How often it was forwarded; apps show it as forwarded from 1 and as forwarded many times from 5.
     */
    forwarded?: number;
    from: Address;
    /**
     * It came with the chat's history, and not as it was sent.
     */
    history?: boolean;
    id: string;
    /**
     * Who is mentioned in the text or caption, where @ and the number stand.
     */
    mentions?: Array<Address>;
    /**
     * Everybody in the group is mentioned.
     */
    mentionsEveryone?: boolean;
    /**
     * Until when it is pinned in its chat.
     */
    pinnedUntil?: string;
    /**
     * high: it overtakes what waits to be sent.
     */
    priority?: 'high';
    /**
     * WhatsApp's own form of it (waE2E.Message in JSON), with raw=true; keys are left out.
     */
    raw?: unknown;
    /**
     * How many reacted with what, the most frequent first.
     */
    reactionCounts: Array<ReactionCount>;
    /**
     * What people react with, in answers of this API; events do not hold it.
     */
    reactions?: Array<Reaction>;
    /**
     * The message that this one answers.
     */
    replyTo?: Reply;
    /**
     * When it was deleted for everybody; content is what it said.
     */
    revokedAt?: string;
    /**
     * When it is to be sent, while status is scheduled.
     */
    sendAt?: string;
    /**
     * Of a post in a channel: the channel's number of it, once WhatsApp has it.
     */
    serverId?: number;
    /**
     * The session that sent or received it.
     */
    sessionId: string;
    /**
     * The account starred it.
     */
    starred?: boolean;
    /**
     * How far it has come; it only moves forward.
     */
    status: 'scheduled' | 'queued' | 'sending' | 'sent' | 'delivered' | 'read' | 'played' | 'failed' | 'cancelled' | 'expired';
    /**
     * When it was sent, as WhatsApp says; for a message not yet sent, when it was accepted.
     */
    timestamp: string;
    to: Address;
    /**
     * How many have seen it.
     */
    views: number;
    /**
     * What it waits for while its status is queued, beside its turn and a connection: an earlier message of its chat, typing that is shown first, or what settings.sending of the session says.
     */
    waitsFor?: 'chat' | 'typing' | 'pace' | 'newContacts' | 'perDay' | 'window';
    /**
     * WhatsApp's id of the message, chosen when it is accepted.
     */
    whatsappId: string;
};

export type ChannelUpdatedEvent = {
    data: ChannelData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'channel.updated';
};

export type ChannelWatched = {
    channelId: string;
    /**
     * Ask again before then, to go on; a session that connects anew is told nothing until it has asked again.
     */
    until: string;
};

export type Chat = {
    archived: boolean;
    /**
     * After how many seconds new messages disappear; 0 is never.
     */
    disappearingSeconds: number;
    /**
     * Canonical JID: the phone's where it is known, else the LID's.
     */
    id: string;
    kind: 'user' | 'group' | 'broadcast' | 'status' | 'channel';
    /**
     * Ids of its labels.
     */
    labels: Array<string>;
    /**
     * The newest message that is kept.
     */
    lastMessage?: Message;
    lastMessageAt?: string;
    /**
     * WhatsApp's phone-independent number, digits only.
     */
    lid?: string;
    /**
     * A person marked it as unread.
     */
    markedUnread: boolean;
    /**
     * Until when it is muted; the year 9999 is for good.
     */
    mutedUntil?: string;
    /**
     * The name this address is known by to the session.
     */
    name?: string;
    /**
     * Phone number, digits only.
     */
    phone?: string;
    pinned: boolean;
    /**
     * Messages that came in since it was last read.
     */
    unread: number;
};

export type ChatData = {
    /**
     * As it is now; without its last message.
     */
    chat: Chat;
    /**
     * Its messages were deleted.
     */
    cleared?: boolean;
    /**
     * It was deleted with its messages.
     */
    deleted?: boolean;
};

export type ChatTypingEvent = {
    data: TypingData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'chat.typing';
};

export type ChatUpdatedEvent = {
    data: ChatData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'chat.updated';
};

export type CheckContacts = {
    /**
     * Phone numbers with their country code (digits, + allowed). A JID of a phone is accepted too.
     */
    numbers: Array<string>;
};

export type Contact = {
    /**
     * What he says about himself, as it was last known; the answer for one contact asks WhatsApp, where the session is connected.
     */
    about?: string;
    /**
     * When he wrote that, where WhatsApp told of it.
     */
    aboutAt?: string;
    /**
     * The account blocked him.
     */
    blocked: boolean;
    /**
     * What WhatsApp verified.
     */
    businessName?: string;
    /**
     * Canonical JID: the phone's where it is known, else the LID's.
     */
    id: string;
    kind: 'user' | 'group' | 'broadcast' | 'status' | 'channel';
    /**
     * WhatsApp's phone-independent number, digits only.
     */
    lid?: string;
    /**
     * The name this address is known by to the session.
     */
    name?: string;
    /**
     * Phone number, digits only.
     */
    phone?: string;
    /**
     * WhatsApp's id of his picture, which changes with it; as last known, as about.
     */
    pictureId?: string;
    /**
     * What he calls himself.
     */
    pushName?: string;
    /**
     * In the account's address book.
     */
    savedName?: string;
};

export type ContactCard = {
    name?: string;
    /**
     * Phone numbers, digits only.
     */
    phones?: Array<string>;
    /**
     * The card itself (RFC 2426 or 6350).
     */
    vcard?: string;
};

export type ContactCheck = {
    /**
     * Whose it is. phone is the number that WhatsApp resolved, which may differ from the one that was asked, as with Brazil's ninth digit and Argentina's 9: send to this one.
     */
    contact?: Address;
    /**
     * The number, as it was asked.
     */
    number: string;
    /**
     * Whether an account has it.
     */
    onWhatsApp: boolean;
};

export type ContactChecks = {
    /**
     * One for each number, in the order of the request.
     */
    data: Array<ContactCheck>;
};

export type ContactData = {
    /**
     * What has changed.
     */
    changed: 'name' | 'picture' | 'about' | 'blocked' | 'address' | 'erased';
    contact: Contact;
    /**
     * The id that this contact had until now, and that all his chats and messages have left: his phone became known.
     */
    previousId?: string;
};

export type ContactUpdatedEvent = {
    data: ContactData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'contact.updated';
};

export type ContactsContent = {
    /**
     * One card, or several in one message.
     */
    contacts: Array<NewCard>;
    type: 'contacts';
};

export type Content = {
    /**
     * When type is album.
     */
    album?: Album;
    /**
     * WhatsApp's id of the album that an image or a video belongs to.
     */
    albumId?: string;
    /**
     * A sticker that moves.
     */
    animated?: boolean;
    /**
     * What a status update that is a text or a voice note stands on, as red, green and blue.
     */
    backgroundColor?: string;
    /**
     * What is written under an image, video, document or live location.
     */
    caption?: string;
    /**
     * When type is contacts.
     */
    contacts?: Array<ContactCard>;
    /**
     * When type is event.
     */
    event?: CalendarEvent;
    /**
     * The font of a status update that is a text: system, systemText, script, systemBold, morningBreeze, calistoga, exo2 or courierPrime.
     */
    font?: string;
    /**
     * A video that plays by itself, without sound, again and again.
     */
    gif?: boolean;
    /**
     * When type is groupInvite.
     */
    groupInvite?: GroupInvite;
    /**
     * The preview of a link in a text.
     */
    linkPreview?: LinkPreview;
    /**
     * When type is liveLocation.
     */
    liveLocation?: LiveLocation;
    /**
     * When type is location.
     */
    location?: Location;
    /**
     * The file, when type is image, video, audio, voice, document or sticker.
     */
    media?: Media;
    /**
     * When type is poll.
     */
    poll?: Poll;
    /**
     * What it says, when type is text.
     */
    text?: string;
    /**
     * unsupported: a kind that this version does not read yet. undecryptable: WhatsApp is asked to send it again, and that copy replaces it.
     */
    type: 'text' | 'image' | 'video' | 'audio' | 'voice' | 'document' | 'sticker' | 'location' | 'liveLocation' | 'contacts' | 'poll' | 'event' | 'groupInvite' | 'album' | 'unsupported' | 'undecryptable';
    /**
     * A video that was recorded in the chat and is shown round.
     */
    videoNote?: boolean;
    /**
     * The recipient can open it once.
     */
    viewOnce?: boolean;
};

export type CountedPost = {
    /**
     * How many reacted with what, the most frequent first.
     */
    reactionCounts: Array<ReactionCount>;
    /**
     * The channel's number of the post.
     */
    serverId: number;
    /**
     * How many have seen it.
     */
    views: number;
    whatsappId?: string;
};

export type CreateBatch = {
    /**
     * Send one message so long after the other, and not as fast as WhatsApp takes them; what has its time ahead is scheduled.
     */
    delaySeconds?: number;
    /**
     * Give up what could not be sent by then. Without it each message has the operator's default, from its own time on.
     */
    expiresAt?: string;
    /**
     * Add to each delay as much at random, up to this.
     */
    jitterSeconds?: number;
    /**
     * They are sent in this order. A file is named by its mediaId alone: upload it first, or take it over by its URL.
     */
    messages: Array<BatchMessage>;
    /**
     * Of all its messages, as in a message of its own.
     */
    priority?: 'normal' | 'high';
    /**
     * Send the first then, within a year.
     */
    sendAt?: string;
};

export type CreateChannel = {
    description?: string;
    name: string;
};

export type CreateEndpoint = {
    /**
     * Of what happens in a chat, only that in chats of these kinds; default and empty: all. Events that are about no chat come all the same.
     */
    chatKinds?: Array<'user' | 'group' | 'broadcast' | 'status' | 'channel'>;
    /**
     * The types of event to get, also as message.* and the like; default *, which is all of them. GET /v1/event-types lists them.
     */
    events?: Array<'*' | 'session.*' | 'message.*' | 'poll.*' | 'event.*' | 'chat.*' | 'label.*' | 'history.*' | 'contact.*' | 'group.*' | 'status.*' | 'channel.*' | 'presence.*' | 'call.*' | 'change.*' | 'media.*' | 'webhook.*' | 'session.status' | 'session.qr' | 'session.pairing-code' | 'session.risk' | 'message.received' | 'message.sent' | 'message.status' | 'message.edited' | 'message.revoked' | 'message.deleted' | 'message.reaction' | 'message.pinned' | 'message.starred' | 'poll.voted' | 'event.responded' | 'chat.updated' | 'label.updated' | 'history.synced' | 'contact.updated' | 'group.joined' | 'group.left' | 'group.updated' | 'group.participants' | 'group.join-request' | 'status.received' | 'channel.updated' | 'channel.message' | 'channel.counts' | 'presence.updated' | 'chat.typing' | 'call.offered' | 'call.accepted' | 'call.ended' | 'change.failed' | 'media.failed' | 'webhook.test' | 'webhook.failing' | 'webhook.disabled'>;
    /**
     * legacy sends the message alone, in the form of the original; events is then message.received, which is also its default.
     */
    format?: 'standard' | 'legacy';
    /**
     * true: of messages, only those of the session's own account; false: only those of others; null or absent: both. Events that are about no message come all the same.
     */
    fromMe?: boolean | null;
    /**
     * Headers of your own, sent with every delivery.
     */
    headers?: {
        [key: string]: string;
    };
    /**
     * The most deliveries at once.
     */
    maxInFlight?: number;
    /**
     * chat or session: the next event of the same chat or session is sent only when the one before is dealt with.
     */
    order?: 'none' | 'chat' | 'session';
    /**
     * The most attempts a second; null or absent: no limit. What is beyond it waits, and uses up no attempt.
     */
    ratePerSecond?: number | null;
    /**
     * The waits between attempts, in seconds, each spread by 20 %: n of them make n+1 attempts. null or absent: 5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400.
     */
    retrySeconds?: Array<number> | null;
    /**
     * A secret of your own: whsec_ and 24 to 64 random bytes in padded base64, as Standard Webhooks has it. Without it one of 32 bytes is made.
     */
    secret?: string;
    /**
     * Only these sessions; default and empty: all.
     */
    sessions?: Array<string>;
    /**
     * paused: events are held until it is active.
     */
    state?: 'active' | 'paused';
    /**
     * How long a delivery may take.
     */
    timeoutSeconds?: number;
    /**
     * http or https; or nats or nats+tls for NATS JetStream, whose path is the subject, with {type} and {session} in it: nats://user:password@host:4222/chasqui.{session}.{type}. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network. user:password@ becomes Basic auth.
     */
    url: string;
    /**
     * Whether the event of a message with a file waits for it to be there, 30 s at most.
     */
    waitForMedia?: boolean;
};

export type CreateGroup = {
    /**
     * Only admins may send.
     */
    announcement?: boolean;
    /**
     * Make a community, with a group for its announcements.
     */
    community?: boolean;
    /**
     * After how many seconds new messages disappear; 0 is never.
     */
    disappearingSeconds?: 0 | 86400 | 604800 | 7776000;
    /**
     * An admin has to approve who joins by link.
     */
    joinApproval?: boolean;
    /**
     * Only admins may change name, description and picture.
     */
    locked?: boolean;
    /**
     * Who may add participants; without it all.
     */
    memberAdd?: 'all' | 'admins';
    name: string;
    /**
     * JID of a community that the group is to belong to.
     */
    parentId?: string;
    /**
     * Whom to put into it, beside the account: phone numbers or JIDs.
     */
    participants?: Array<string>;
};

export type CreateKey = {
    /**
     * From then on it is not valid. Default: never.
     */
    expiresAt?: string;
    /**
     * What it is for; the audit log names it.
     */
    name: string;
    /**
     * The only addresses that it may be used from, as CIDR or single. Behind a reverse proxy all requests come from the proxy. Empty: all.
     */
    networks?: Array<string>;
    /**
     * Default: the setting RATE_LIMIT.
     */
    requestsPerMinute?: number;
    /**
     * What it may do.
     */
    scopes: Array<'read' | 'send' | 'manage' | 'admin'>;
    /**
     * The only sessions that there are for it, whether they exist yet or not. Empty: all. With admin it must be empty.
     */
    sessions?: Array<string>;
};

export type CreateLabel = {
    /**
     * One of WhatsApp's colours.
     */
    color?: number;
    /**
     * What it is called.
     */
    name: string;
};

export type CreateLink = {
    /**
     * What its page shows of you. Default: nothing.
     */
    brand?: NewBrand;
    /**
     * What the audit log calls it.
     */
    name?: string;
    /**
     * How long it can be used, up to 7 days. Default: an hour.
     */
    validSeconds?: number;
};

export type CreateReplay = {
    /**
     * Events that were made then or later. Of what is no longer kept (after 30 days, unless the operator chose otherwise) nothing is sent.
     */
    since: string;
    /**
     * What to send again; default: exhausted alone.
     */
    states?: Array<'exhausted' | 'cancelled' | 'succeeded' | 'missing'>;
    /**
     * Only events of these types; default and empty: all.
     */
    types?: Array<'*' | 'session.*' | 'message.*' | 'poll.*' | 'event.*' | 'chat.*' | 'label.*' | 'history.*' | 'contact.*' | 'group.*' | 'status.*' | 'channel.*' | 'presence.*' | 'call.*' | 'change.*' | 'media.*' | 'webhook.*' | 'session.status' | 'session.qr' | 'session.pairing-code' | 'session.risk' | 'message.received' | 'message.sent' | 'message.status' | 'message.edited' | 'message.revoked' | 'message.deleted' | 'message.reaction' | 'message.pinned' | 'message.starred' | 'poll.voted' | 'event.responded' | 'chat.updated' | 'label.updated' | 'history.synced' | 'contact.updated' | 'group.joined' | 'group.left' | 'group.updated' | 'group.participants' | 'group.join-request' | 'status.received' | 'channel.updated' | 'channel.message' | 'channel.counts' | 'presence.updated' | 'chat.typing' | 'call.offered' | 'call.accepted' | 'call.ended' | 'change.failed' | 'media.failed' | 'webhook.test' | 'webhook.failing' | 'webhook.disabled'>;
    /**
     * Events that were made before then; default, and at most, now.
     */
    until?: string;
};

export type CreateSession = {
    /**
     * Your own name for it, used in every path. It cannot change.
     */
    id: string;
    /**
     * For people.
     */
    name?: string;
    settings?: SessionSettings;
    /**
     * Whether to start it right away; default true.
     */
    start?: boolean;
};

export type CreateTicket = {
    /**
     * What it opens: one stream of events, within 60 s, or the content of media, for 10 minutes and any number of times.
     */
    for: 'stream' | 'media';
};

export type CreatedEndpoint = {
    /**
     * What waits for it; only where one endpoint is read.
     */
    backlog?: EndpointBacklog;
    /**
     * closed: deliveries go out. open: it failed too often in a row, so nothing goes out until breakerUntil, and no attempt is used up. half_open: one delivery at a time tries whether it answers again.
     */
    breaker: 'closed' | 'open' | 'half_open';
    /**
     * Until when the breaker is open.
     */
    breakerUntil?: string;
    /**
     * Of what happens in a chat, only that in chats of these kinds; empty is all.
     */
    chatKinds: Array<'user' | 'group' | 'broadcast' | 'status' | 'channel'>;
    /**
     * How many deliveries at once it bears, as far as its answers have shown: at most maxInFlight.
     */
    concurrency: number;
    /**
     * Failures since the last success.
     */
    consecutiveFailures: number;
    createdAt: string;
    disabledReason?: string;
    /**
     * The types of event it gets; * is all, those to come included, and message.* are those that begin so.
     */
    events: Array<string>;
    /**
     * The first failure since the last success.
     */
    failingSince?: string;
    /**
     * The form of the body: standard is the event as /v1/events has it; legacy is the message alone, in the form of the original (see the webhook legacy.message).
     */
    format: 'standard' | 'legacy';
    /**
     * true: of messages, only those of the session's own account; false: only those of others; absent: both.
     */
    fromMe?: boolean;
    /**
     * Headers of your own, sent with every delivery.
     */
    headers: {
        [key: string]: string;
    };
    id: string;
    maxInFlight: number;
    order: 'none' | 'chat' | 'session';
    /**
     * Until when earlier secrets sign beside the present one, the latest first.
     */
    previousSecretsUntil: Array<string>;
    /**
     * The most attempts a second; absent: no limit.
     */
    ratePerSecond?: number;
    /**
     * The waits between attempts; absent is the standard schedule: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, which are 12 attempts in about 76 h.
     */
    retrySeconds?: Array<number>;
    /**
     * What deliveries are signed with, as Standard Webhooks 1.0 has it. Also at .../secret.
     */
    secret: string;
    /**
     * Only these sessions; empty is all.
     */
    sessions: Array<string>;
    /**
     * disabled: chasqui gave up on it; disabledReason says why. Set it to active again when it is mended: what was held is then delivered.
     */
    state: 'active' | 'paused' | 'disabled';
    timeoutSeconds: number;
    updatedAt: string;
    url: string;
    /**
     * Whether the event of a message with a file waits for it to be there, 30 s at most.
     */
    waitForMedia: boolean;
};

export type CreatedKey = {
    createdAt: string;
    /**
     * Absent: never.
     */
    expiresAt?: string;
    /**
     * How the key begins, to tell keys apart.
     */
    hint: string;
    id: string;
    /**
     * The key itself. It is shown this once, and stored only as a hash.
     */
    key: string;
    /**
     * When it was last used, to the minute.
     */
    lastUsedAt?: string;
    name: string;
    /**
     * The only addresses that it may be used from; empty: all.
     */
    networks: Array<string>;
    /**
     * Until when the key before its rotation is valid too.
     */
    previousUntil?: string;
    /**
     * Absent: the setting RATE_LIMIT.
     */
    requestsPerMinute?: number;
    scopes: Array<'read' | 'send' | 'manage' | 'admin'>;
    /**
     * The only sessions that there are for it; empty: all.
     */
    sessions: Array<string>;
};

export type Delivery = {
    /**
     * Attempts that count, since it was made or last sent again.
     */
    attemptCount: number;
    createdAt: string;
    endpointId: string;
    /**
     * The event, and the webhook-id of every attempt.
     */
    eventId: string;
    /**
     * Absent when the event is no longer kept.
     */
    eventType?: string;
    /**
     * When it was succeeded, exhausted or cancelled.
     */
    finishedAt?: string;
    id: string;
    /**
     * What came of its last attempt.
     */
    lastClass?: AttemptClass;
    /**
     * The HTTP status of its last attempt, where there was one.
     */
    lastStatus?: number;
    /**
     * While it is pending: when it is due. It goes out later where its endpoint fails, is busy, or asks for order.
     */
    nextAttemptAt?: string;
    /**
     * The session that the event happened to.
     */
    sessionId?: string;
    /**
     * pending waits for its time, sending is on its way, succeeded was taken with 2xx; exhausted failed in all its attempts and can be sent again; cancelled will not be sent, because its endpoint was deleted or its event is no longer kept; held waits for its endpoint, which is paused or disabled.
     */
    state: 'pending' | 'sending' | 'succeeded' | 'exhausted' | 'cancelled' | 'held';
};

export type DeliveryDetail = {
    /**
     * Attempts that count, since it was made or last sent again.
     */
    attemptCount: number;
    /**
     * Its attempts, oldest first, those before it was sent again included: the latest 100.
     */
    attempts: Array<Attempt>;
    createdAt: string;
    endpointId: string;
    /**
     * The event as webhooks carry it; absent when it is no longer kept.
     */
    event?: Event;
    /**
     * The event, and the webhook-id of every attempt.
     */
    eventId: string;
    /**
     * Absent when the event is no longer kept.
     */
    eventType?: string;
    /**
     * When it was succeeded, exhausted or cancelled.
     */
    finishedAt?: string;
    id: string;
    /**
     * What came of its last attempt.
     */
    lastClass?: AttemptClass;
    /**
     * The HTTP status of its last attempt, where there was one.
     */
    lastStatus?: number;
    /**
     * While it is pending: when it is due. It goes out later where its endpoint fails, is busy, or asks for order.
     */
    nextAttemptAt?: string;
    /**
     * The session that the event happened to.
     */
    sessionId?: string;
    /**
     * pending waits for its time, sending is on its way, succeeded was taken with 2xx; exhausted failed in all its attempts and can be sent again; cancelled will not be sent, because its endpoint was deleted or its event is no longer kept; held waits for its endpoint, which is paused or disabled.
     */
    state: 'pending' | 'sending' | 'succeeded' | 'exhausted' | 'cancelled' | 'held';
};

export type DocumentContent = {
    /**
     * What is written under it.
     */
    caption?: string;
    media: MediaSource;
    type: 'document';
};

export type EditEvent = {
    /**
     * It is called off.
     */
    cancelled: true;
};

export type EditMessage = {
    /**
     * The new caption, of an image, a video or a document.
     */
    caption?: string;
    /**
     * What becomes of an event.
     */
    event?: EditEvent;
    /**
     * Send it then instead, within a year, where status is scheduled. expiresAt moves with it.
     */
    sendAt?: string;
    /**
     * The new text, of a text.
     */
    text?: string;
};

export type EditedData = {
    /**
     * Who edited it.
     */
    by?: Address;
    /**
     * As it is now.
     */
    message: Message;
};

export type Endpoint = {
    /**
     * What waits for it; only where one endpoint is read.
     */
    backlog?: EndpointBacklog;
    /**
     * closed: deliveries go out. open: it failed too often in a row, so nothing goes out until breakerUntil, and no attempt is used up. half_open: one delivery at a time tries whether it answers again.
     */
    breaker: 'closed' | 'open' | 'half_open';
    /**
     * Until when the breaker is open.
     */
    breakerUntil?: string;
    /**
     * Of what happens in a chat, only that in chats of these kinds; empty is all.
     */
    chatKinds: Array<'user' | 'group' | 'broadcast' | 'status' | 'channel'>;
    /**
     * How many deliveries at once it bears, as far as its answers have shown: at most maxInFlight.
     */
    concurrency: number;
    /**
     * Failures since the last success.
     */
    consecutiveFailures: number;
    createdAt: string;
    disabledReason?: string;
    /**
     * The types of event it gets; * is all, those to come included, and message.* are those that begin so.
     */
    events: Array<string>;
    /**
     * The first failure since the last success.
     */
    failingSince?: string;
    /**
     * The form of the body: standard is the event as /v1/events has it; legacy is the message alone, in the form of the original (see the webhook legacy.message).
     */
    format: 'standard' | 'legacy';
    /**
     * true: of messages, only those of the session's own account; false: only those of others; absent: both.
     */
    fromMe?: boolean;
    /**
     * Headers of your own, sent with every delivery.
     */
    headers: {
        [key: string]: string;
    };
    id: string;
    maxInFlight: number;
    order: 'none' | 'chat' | 'session';
    /**
     * Until when earlier secrets sign beside the present one, the latest first.
     */
    previousSecretsUntil: Array<string>;
    /**
     * The most attempts a second; absent: no limit.
     */
    ratePerSecond?: number;
    /**
     * The waits between attempts; absent is the standard schedule: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, which are 12 attempts in about 76 h.
     */
    retrySeconds?: Array<number>;
    /**
     * Only these sessions; empty is all.
     */
    sessions: Array<string>;
    /**
     * disabled: chasqui gave up on it; disabledReason says why. Set it to active again when it is mended: what was held is then delivered.
     */
    state: 'active' | 'paused' | 'disabled';
    timeoutSeconds: number;
    updatedAt: string;
    url: string;
    /**
     * Whether the event of a message with a file waits for it to be there, 30 s at most.
     */
    waitForMedia: boolean;
};

export type EndpointBacklog = {
    /**
     * Deliveries that wait for the endpoint to be active. 10000 means that many or more.
     */
    held: number;
    /**
     * Deliveries that are due or wait for their time. 10000 means that many or more.
     */
    pending: number;
};

export type EndpointSecret = {
    secret: string;
};

export type EndpointTest = {
    /**
     * What came of the first attempt; only in the answer 200.
     */
    delivery?: TestedDelivery;
    /**
     * The event webhook.test, which is the webhook-id of its delivery.
     */
    eventId: string;
};

export type Erased = {
    /**
     * Events of the log that named him.
     */
    events: number;
    /**
     * Messages from and to him, in groups too.
     */
    messages: number;
};

/**
 * Something that happened, told apart by type. Types that this version does not know can come; pass over them.
 */
export type Event = ({
    type: 'call.accepted';
} & CallAcceptedEvent) | ({
    type: 'call.ended';
} & CallEndedEvent) | ({
    type: 'call.offered';
} & CallOfferedEvent) | ({
    type: 'change.failed';
} & ChangeFailedEvent) | ({
    type: 'channel.counts';
} & ChannelCountsEvent) | ({
    type: 'channel.message';
} & ChannelMessageEvent) | ({
    type: 'channel.updated';
} & ChannelUpdatedEvent) | ({
    type: 'chat.typing';
} & ChatTypingEvent) | ({
    type: 'chat.updated';
} & ChatUpdatedEvent) | ({
    type: 'contact.updated';
} & ContactUpdatedEvent) | ({
    type: 'event.responded';
} & EventRespondedEvent) | ({
    type: 'group.join-request';
} & GroupJoinRequestEvent) | ({
    type: 'group.joined';
} & GroupJoinedEvent) | ({
    type: 'group.left';
} & GroupLeftEvent) | ({
    type: 'group.participants';
} & GroupParticipantsEvent) | ({
    type: 'group.updated';
} & GroupUpdatedEvent) | ({
    type: 'history.synced';
} & HistorySyncedEvent) | ({
    type: 'label.updated';
} & LabelUpdatedEvent) | ({
    type: 'media.failed';
} & MediaFailedEvent) | ({
    type: 'message.deleted';
} & MessageDeletedEvent) | ({
    type: 'message.edited';
} & MessageEditedEvent) | ({
    type: 'message.pinned';
} & MessagePinnedEvent) | ({
    type: 'message.reaction';
} & MessageReactionEvent) | ({
    type: 'message.received';
} & MessageReceivedEvent) | ({
    type: 'message.revoked';
} & MessageRevokedEvent) | ({
    type: 'message.sent';
} & MessageSentEvent) | ({
    type: 'message.starred';
} & MessageStarredEvent) | ({
    type: 'message.status';
} & MessageStatusEvent) | ({
    type: 'poll.voted';
} & PollVotedEvent) | ({
    type: 'presence.updated';
} & PresenceUpdatedEvent) | ({
    type: 'session.pairing-code';
} & SessionPairingCodeEvent) | ({
    type: 'session.qr';
} & SessionQrEvent) | ({
    type: 'session.risk';
} & SessionRiskEvent) | ({
    type: 'session.status';
} & SessionStatusEvent) | ({
    type: 'status.received';
} & StatusReceivedEvent) | ({
    type: 'webhook.disabled';
} & WebhookDisabledEvent) | ({
    type: 'webhook.failing';
} & WebhookFailingEvent) | ({
    type: 'webhook.test';
} & WebhookTestEvent);

export type EventContent = {
    event: NewEvent;
    type: 'event';
};

export type EventPage = {
    /**
     * The events, oldest first, byte for byte as webhooks carry them.
     */
    data: Array<Event>;
    /**
     * Whether more can be read right away. A page can be empty and have more behind it, when the filter leaves out much.
     */
    hasMore: boolean;
    /**
     * Pass it as after to read on, now or later: always there, and empty only while nothing has ever happened.
     */
    nextCursor: string;
};

export type EventRespondedEvent = {
    data: ResponseData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'event.responded';
};

export type EventResponse = {
    at: string;
    /**
     * How many come along.
     */
    extraGuests?: number;
    from: Address;
    response: 'going' | 'notGoing' | 'maybe';
};

export type EventResponses = {
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * One for each person, the last that they gave, oldest first.
     */
    data: Array<EventResponse>;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    whatsappId: string;
};

export type EventTypeInfo = {
    /**
     * What has happened.
     */
    summary: string;
    type: string;
};

export type EventTypes = {
    data: Array<EventTypeInfo>;
    /**
     * What an endpoint's filter takes beside these types: * is all of them, those to come included, and message.* all that begin so.
     */
    wildcards: Array<string>;
};

export type ExportSession = {
    /**
     * Encrypts the file. Without it nobody can open it, and it is kept nowhere.
     */
    passphrase: string;
};

export type FetchRequest = {
    /**
     * Default: what the server or the URL says.
     */
    fileName?: string;
    /**
     * What it is; default: what the server says.
     */
    mimetype?: string;
    /**
     * http or https. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network.
     */
    url: string;
};

export type FieldError = {
    /**
     * What kind of error it is.
     */
    code: 'unknown_field' | 'required' | 'invalid';
    /**
     * Where: body, query, path or header, and the way to the value.
     */
    location?: string;
    /**
     * What was expected.
     */
    message: string;
};

export type ForwardMessage = {
    /**
     * Any text of yours; it comes back in every form of the messages.
     */
    clientReference?: string;
    /**
     * Whom to forward it to: phone numbers or JIDs of people or groups, each once; as many as WhatsApp's apps allow.
     */
    to: Array<string>;
};

export type ForwardedMessages = {
    /**
     * One for each chat, in the order of the request.
     */
    data: Array<Message>;
};

export type Group = {
    /**
     * Whether its participants know each other's phones.
     */
    addressingMode?: 'pn' | 'lid';
    /**
     * Only admins may send.
     */
    announcement?: boolean;
    /**
     * It is a community, which holds groups.
     */
    community?: boolean;
    createdAt?: string;
    /**
     * It is the group for its community's announcements.
     */
    defaultSubgroup?: boolean;
    description?: string;
    /**
     * After how many seconds new messages disappear; 0 is never.
     */
    disappearingSeconds?: number;
    /**
     * JID.
     */
    id: string;
    /**
     * An admin has to approve who joins by link.
     */
    joinApproval?: boolean;
    /**
     * Only admins may change name, description and picture.
     */
    locked?: boolean;
    /**
     * Who may add participants.
     */
    memberAdd?: 'all' | 'admins';
    name: string;
    /**
     * Who created it.
     */
    owner?: Address;
    /**
     * JID of the community that it belongs to.
     */
    parentId?: string;
    participantCount?: number;
    /**
     * In the answer for one group.
     */
    participants?: Array<Participant>;
    /**
     * WhatsApp suspended it.
     */
    suspended?: boolean;
};

export type GroupCreated = {
    /**
     * Whether its participants know each other's phones.
     */
    addressingMode?: 'pn' | 'lid';
    /**
     * Only admins may send.
     */
    announcement?: boolean;
    /**
     * It is a community, which holds groups.
     */
    community?: boolean;
    createdAt?: string;
    /**
     * It is the group for its community's announcements.
     */
    defaultSubgroup?: boolean;
    description?: string;
    /**
     * After how many seconds new messages disappear; 0 is never.
     */
    disappearingSeconds?: number;
    /**
     * JID.
     */
    id: string;
    /**
     * An admin has to approve who joins by link.
     */
    joinApproval?: boolean;
    /**
     * Only admins may change name, description and picture.
     */
    locked?: boolean;
    /**
     * Who may add participants.
     */
    memberAdd?: 'all' | 'admins';
    name: string;
    /**
     * Who could not be added, and why.
     */
    notAdded?: Array<NotAdded>;
    /**
     * Who created it.
     */
    owner?: Address;
    /**
     * JID of the community that it belongs to.
     */
    parentId?: string;
    participantCount?: number;
    /**
     * In the answer for one group.
     */
    participants?: Array<Participant>;
    /**
     * WhatsApp suspended it.
     */
    suspended?: boolean;
};

export type GroupData = {
    /**
     * Who did it, where WhatsApp says so.
     */
    by?: Address;
    /**
     * In group.updated: the members of group that have changed; also picture, invite (its link is another) and subgroups (of a community). One that is empty or not there now was taken away.
     */
    changed?: Array<string>;
    /**
     * In group.updated and group.left at least its id and what has changed; participants are left out.
     */
    group: Group;
    /**
     * In group.left: why.
     */
    reason?: 'left' | 'removed' | 'deleted';
};

export type GroupDone = {
    groupId: string;
};

export type GroupInvite = {
    caption?: string;
    /**
     * What lets the recipient in, with the sender's name, until it expires.
     */
    code?: string;
    expiresAt?: string;
    /**
     * JID of the group.
     */
    groupId: string;
    /**
     * The group's name.
     */
    name?: string;
};

export type GroupInviteContent = {
    groupInvite: NewInvite;
    type: 'groupInvite';
};

export type GroupJoinRequestEvent = {
    data: JoinRequestData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'group.join-request';
};

export type GroupJoinedEvent = {
    data: GroupData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'group.joined';
};

export type GroupJoining = {
    /**
     * The group, without its participants, unless pending.
     */
    group?: Group;
    groupId: string;
    /**
     * An admin has to approve it first; group.joined follows then.
     */
    pending: boolean;
};

export type GroupLeftEvent = {
    data: GroupData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'group.left';
};

export type GroupLink = {
    code: string;
    url: string;
};

export type GroupParticipantsEvent = {
    data: ParticipantsData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'group.participants';
};

export type GroupPictured = {
    groupId: string;
    /**
     * WhatsApp's id of the picture, which changes with it; absent when there is none.
     */
    pictureId?: string;
};

export type GroupUpdatedEvent = {
    data: GroupData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'group.updated';
};

export type Health = {
    status: 'ok';
};

export type HealthReason = {
    code: 'account_restricted' | 'account_banned' | 'rate_limited' | 'not_on_whatsapp' | 'unanswered';
    /**
     * What it is and what helps, for a person.
     */
    message: string;
};

export type HistoryAsked = {
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * How many messages were asked for.
     */
    count: number;
};

export type HistoryData = {
    /**
     * With on_demand: JID of the chat.
     */
    chatId?: string;
    /**
     * How many chats this part told of.
     */
    chats: number;
    /**
     * What the phone sent.
     */
    kind: 'initial' | 'recent' | 'full' | 'push_names' | 'on_demand' | 'other';
    /**
     * How many messages were new.
     */
    messages: number;
    /**
     * This part was given up, and the phone does not offer it again; a chat's older messages can be asked for. gone: WhatsApp has the file no more. unreadable: it is damaged, or larger than what is read. unavailable: it could not be loaded for minutes.
     */
    missing?: 'gone' | 'unreadable' | 'unavailable';
    /**
     * Per cent of its kind, as the phone counts.
     */
    progress?: number;
};

export type HistorySyncedEvent = {
    data: HistoryData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'history.synced';
};

export type Ignore = {
    /**
     * Messages that somebody sent to a broadcast list.
     */
    broadcasts?: boolean;
    /**
     * Posts of channels.
     */
    channels?: boolean;
    /**
     * Whatever happens in groups.
     */
    groups?: boolean;
    /**
     * Status updates of others.
     */
    status?: boolean;
};

export type IgnoreRules = {
    /**
     * Ignore what somebody sent to a broadcast list.
     */
    broadcasts?: boolean;
    /**
     * Ignore posts of channels.
     */
    channels?: boolean;
    /**
     * Ignore whatever happens in groups, the receipts of what is sent to them included.
     */
    groups?: boolean;
    /**
     * Ignore status updates of others.
     */
    status?: boolean;
};

export type ImageContent = {
    /**
     * The album that it belongs to: the id, ours or WhatsApp's, of a message of type album that was sent to the same chat before.
     */
    albumId?: string;
    /**
     * What is written under it.
     */
    caption?: string;
    media: MediaSource;
    type: 'image';
    /**
     * The recipient can open it once.
     */
    viewOnce?: boolean;
};

export type JoinRequest = {
    from: Address;
    requestedAt: string;
};

export type JoinRequestData = {
    action: 'created' | 'cancelled';
    /**
     * Who wants to join.
     */
    from: Address;
    groupId: string;
};

export type JoinRequests = {
    data: Array<JoinRequest>;
};

export type Label = {
    /**
     * One of WhatsApp's colours, 0 to 19.
     */
    color: number;
    id: string;
    name: string;
};

export type LabelData = {
    /**
     * JID of the chat that got it or lost it.
     */
    chatId?: string;
    /**
     * The label is gone, from every chat.
     */
    deleted?: boolean;
    label: Label;
    /**
     * With chatId: whether the chat has it now.
     */
    labeled?: boolean;
};

export type LabelUpdatedEvent = {
    data: LabelData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'label.updated';
};

export type Labels = {
    /**
     * The labels, by id.
     */
    data: Array<Label>;
};

export type Link = {
    /**
     * Until when it can be used. It ends before that once the session is linked, or by another link for it.
     */
    expiresAt: string;
    sessionId: string;
    /**
     * What its holder sends as Authorization: Bearer. It is shown this once, and stored only as a hash.
     */
    token: string;
    /**
     * The page for its holder: below PUBLIC_URL, with the token in it.
     */
    url: string;
};

export type LinkPreview = {
    description?: string;
    title?: string;
    url: string;
};

export type LinkState = {
    /**
     * What its page shows of whoever made it.
     */
    brand?: Brand;
    /**
     * Until when the link can be used.
     */
    expiresAt: string;
    /**
     * The session's name.
     */
    name?: string;
    /**
     * Whether a simulated phone can link it: POST /v1/sessions/{sessionId}/simulated-scan.
     */
    sandbox: boolean;
    sessionId: string;
    state: string;
};

export type ListApiKey = {
    /**
     * The items, newest first.
     */
    data: Array<ApiKey>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListAuditEntry = {
    /**
     * The items, newest first.
     */
    data: Array<AuditEntry>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListCall = {
    /**
     * The items, newest first.
     */
    data: Array<Call>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListChange = {
    /**
     * The items, newest first.
     */
    data: Array<Change>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListChannel = {
    /**
     * The items, newest first.
     */
    data: Array<Channel>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListChannelPost = {
    /**
     * The items, newest first.
     */
    data: Array<ChannelPost>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListChat = {
    /**
     * The items, newest first.
     */
    data: Array<Chat>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListContact = {
    /**
     * The items, newest first.
     */
    data: Array<Contact>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListDelivery = {
    /**
     * The items, newest first.
     */
    data: Array<Delivery>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListEndpoint = {
    /**
     * The items, newest first.
     */
    data: Array<Endpoint>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListGroup = {
    /**
     * The items, newest first.
     */
    data: Array<Group>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListLogEntry = {
    /**
     * The items, newest first.
     */
    data: Array<LogEntry>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListMediaInfo = {
    /**
     * The items, newest first.
     */
    data: Array<MediaInfo>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListMessage = {
    /**
     * The items, newest first.
     */
    data: Array<Message>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListReplay = {
    /**
     * The items, newest first.
     */
    data: Array<Replay>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListSession = {
    /**
     * The items, newest first.
     */
    data: Array<Session>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type ListStatusViewer = {
    /**
     * The items, newest first.
     */
    data: Array<StatusViewer>;
    /**
     * Whether older items follow.
     */
    hasMore: boolean;
    /**
     * Pass it as cursor to read on; only there when hasMore is true.
     */
    nextCursor?: string;
};

export type LiveLocation = {
    /**
     * Metres.
     */
    accuracyMeters?: number;
    /**
     * Degrees clockwise from magnetic north.
     */
    heading?: number;
    /**
     * Degrees.
     */
    latitude: number;
    /**
     * Degrees.
     */
    longitude: number;
    /**
     * It grows with each position of one share.
     */
    sequence?: number;
    /**
     * Metres a second.
     */
    speed?: number;
};

export type LiveLocationContent = {
    /**
     * What is written under it.
     */
    caption?: string;
    liveLocation: NewLiveLocation;
    type: 'liveLocation';
};

export type Location = {
    address?: string;
    /**
     * Degrees.
     */
    latitude: number;
    /**
     * Degrees.
     */
    longitude: number;
    name?: string;
};

export type LocationContent = {
    location: NewLocation;
    type: 'location';
};

export type LogEntry = {
    at: string;
    /**
     * WhatsApp's own code, where it gave one.
     */
    code?: string;
    /**
     * Its place in the log.
     */
    id: string;
    /**
     * state: its state or the reason for it changed. linked: a phone linked it. pairing: a step of linking, or why one came to nothing. restriction: WhatsApp restricted the account, or does not any more. settings: a client changed its name or settings.
     */
    kind: 'state' | 'linked' | 'pairing' | 'restriction' | 'settings';
    /**
     * Why, for a person.
     */
    reason?: string;
    /**
     * The names of what was changed, where kind is settings.
     */
    settings?: Array<string>;
    /**
     * The state, where kind is state.
     */
    state?: string;
};

export type MarkRead = {
    /**
     * Messages that came in, by either of their ids.
     */
    messageIds: Array<string>;
};

export type Me = {
    /**
     * Absent: never.
     */
    expiresAt?: string;
    /**
     * Absent for API_KEY.
     */
    id?: string;
    /**
     * owner: API_KEY, the operator's own. key: one of /v1/api-keys.
     */
    kind: 'owner' | 'key';
    name: string;
    /**
     * How many requests it may make; 0: any number.
     */
    requestsPerMinute: number;
    scopes: Array<'read' | 'send' | 'manage' | 'admin'>;
    /**
     * The only sessions that there are for it; empty: all.
     */
    sessions: Array<string>;
};

export type Media = {
    fileName?: string;
    /**
     * The media's id, for GET /v1/media/{mediaId} and to send it again.
     */
    id: string;
    /**
     * What the sender says it is.
     */
    mimetype: string;
    /**
     * Of the bytes, in lowercase hex.
     */
    sha256: string;
    /**
     * Bytes.
     */
    size: number;
    /**
     * Where its bytes are, with the API key. It never changes; while they are on their way a GET waits for them.
     */
    url: string;
};

export type MediaFailedData = {
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * Of the message: outgoing is one that the owner's phone sent.
     */
    direction?: 'incoming' | 'outgoing';
    error: MessageError;
    media: Media;
    messageId: string;
    whatsappId: string;
};

export type MediaFailedEvent = {
    data: MediaFailedData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'media.failed';
};

export type MediaInfo = {
    createdAt: string;
    error?: MessageError;
    fileName?: string;
    /**
     * Pixels.
     */
    height?: number;
    /**
     * The media's id, for GET /v1/media/{mediaId} and to send it again.
     */
    id: string;
    /**
     * The message that it came with.
     */
    messageId?: string;
    /**
     * What the sender says it is.
     */
    mimetype: string;
    presignedUntil?: string;
    /**
     * A URL of the object store that needs no key, when presign asked for it.
     */
    presignedUrl?: string;
    /**
     * How long it plays, where that is known.
     */
    seconds?: number;
    /**
     * The session that received it.
     */
    sessionId?: string;
    /**
     * Of the bytes, in lowercase hex.
     */
    sha256: string;
    /**
     * Bytes.
     */
    size: number;
    /**
     * pending: on its way from WhatsApp. failed: it cannot be had, error says why. expired: its bytes are kept no more.
     */
    status: 'pending' | 'ready' | 'failed' | 'expired';
    /**
     * Where its bytes are, with the API key. It never changes; while they are on their way a GET waits for them.
     */
    url: string;
    /**
     * Pixels, where they are known.
     */
    width?: number;
};

export type MediaSource = {
    /**
     * The file itself in standard base64, or as a data URL: at most 16 MiB of it. Upload larger files with POST /v1/media.
     */
    base64?: string;
    /**
     * What it is called; shown with documents. Default: what its source says.
     */
    fileName?: string;
    /**
     * A file that is here already: uploaded with POST /v1/media, or received.
     */
    mediaId?: string;
    /**
     * What it is. Default: what its source says, else what fits the type of the message. The content is not looked at.
     */
    mimetype?: string;
    /**
     * Where to fetch it: http or https. Private, loopback and metadata addresses are refused, unless WEBHOOK_ALLOW_CIDRS allows the network.
     */
    url?: string;
};

export type Message = {
    /**
     * The batch that it was sent with.
     */
    batchId?: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * What the sender wrote there; chasqui only keeps it.
     */
    clientReference?: string;
    content: Content;
    direction: 'incoming' | 'outgoing';
    /**
     * Seconds after which it disappears, where the chat has a timer.
     */
    disappearsAfter?: number;
    /**
     * When it was last edited; content is what it says now.
     */
    editedAt?: string;
    error?: MessageError;
    /**
     * When it is given up if it could not be sent. Every message that is to be sent has one.
     */
    expiresAt?: string;
    /**
     * How often it was forwarded; apps show it as forwarded from 1 and as forwarded many times from 5.
     */
    forwarded?: number;
    from: Address;
    /**
     * It came with the chat's history, and not as it was sent.
     */
    history?: boolean;
    id: string;
    /**
     * Who is mentioned in the text or caption, where @ and the number stand.
     */
    mentions?: Array<Address>;
    /**
     * Everybody in the group is mentioned.
     */
    mentionsEveryone?: boolean;
    /**
     * Until when it is pinned in its chat.
     */
    pinnedUntil?: string;
    /**
     * high: it overtakes what waits to be sent.
     */
    priority?: 'high';
    /**
     * WhatsApp's own form of it (waE2E.Message in JSON), with raw=true; keys are left out.
     */
    raw?: unknown;
    /**
     * What people react with, in answers of this API; events do not hold it.
     */
    reactions?: Array<Reaction>;
    /**
     * The message that this one answers.
     */
    replyTo?: Reply;
    /**
     * When it was deleted for everybody; content is what it said.
     */
    revokedAt?: string;
    /**
     * When it is to be sent, while status is scheduled.
     */
    sendAt?: string;
    /**
     * Of a post in a channel: the channel's number of it, once WhatsApp has it.
     */
    serverId?: number;
    /**
     * The session that sent or received it.
     */
    sessionId: string;
    /**
     * The account starred it.
     */
    starred?: boolean;
    /**
     * How far it has come; it only moves forward.
     */
    status: 'scheduled' | 'queued' | 'sending' | 'sent' | 'delivered' | 'read' | 'played' | 'failed' | 'cancelled' | 'expired';
    /**
     * When it was sent, as WhatsApp says; for a message not yet sent, when it was accepted.
     */
    timestamp: string;
    to: Address;
    /**
     * What it waits for while its status is queued, beside its turn and a connection: an earlier message of its chat, typing that is shown first, or what settings.sending of the session says.
     */
    waitsFor?: 'chat' | 'typing' | 'pace' | 'newContacts' | 'perDay' | 'window';
    /**
     * WhatsApp's id of the message, chosen when it is accepted.
     */
    whatsappId: string;
};

export type MessageBatch = {
    /**
     * When it was cancelled: what had not left by then did not leave.
     */
    cancelledAt?: string;
    /**
     * How many of its messages have which status; a status that none has is left out.
     */
    counts: {
        [key: string]: number;
    };
    createdAt: string;
    id: string;
    sessionId: string;
    /**
     * How many messages it was accepted with.
     */
    size: number;
};

export type MessageData = {
    message: Message;
};

export type MessageDeletedEvent = {
    data: RevokedData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.deleted';
};

export type MessageEditedEvent = {
    data: EditedData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.edited';
};

export type MessageError = {
    /**
     * One of the problem codes.
     */
    code: string;
    /**
     * What happened, for a person.
     */
    message: string;
};

export type MessagePinnedEvent = {
    data: PinnedData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.pinned';
};

export type MessageReactionEvent = {
    data: ReactionData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.reaction';
};

export type MessageReceipt = {
    contact: Address;
    /**
     * When one of his devices received it. Who has read it has received it.
     */
    deliveredAt?: string;
    /**
     * When he played a voice note or a video, or opened what can be opened once.
     */
    playedAt?: string;
    /**
     * When he read it, unless he hides that.
     */
    readAt?: string;
};

export type MessageReceipts = {
    /**
     * One for each person whose device has told something, in the order in which they received it: at most as many as the group has participants.
     */
    data: Array<MessageReceipt>;
};

export type MessageReceivedEvent = {
    data: MessageData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.received';
};

export type MessageRevokedEvent = {
    data: RevokedData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.revoked';
};

export type MessageSentEvent = {
    data: MessageData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.sent';
};

export type MessageStarredEvent = {
    data: StarredData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.starred';
};

export type MessageStatusEvent = {
    data: StatusData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'message.status';
};

export type MessagesRead = {
    /**
     * Ours, those of deleted messages left out.
     */
    messageIds: Array<string>;
};

export type NewAlbum = {
    images?: number;
    videos?: number;
};

export type NewBrand = {
    /**
     * The page's own colour.
     */
    color?: string;
    /**
     * A PNG, JPEG or WebP of at most 32 KiB, as a data URL.
     */
    logo?: string;
    /**
     * Who asks for the linking.
     */
    name?: string;
};

export type NewCard = {
    /**
     * Needed with phones; else that of the vCard.
     */
    name?: string;
    /**
     * Phone numbers with their country codes, digits or with a +. A vCard is made of them.
     */
    phones?: Array<string>;
    /**
     * The card itself (RFC 2426 or 6350), in place of phones.
     */
    vcard?: string;
};

export type NewContactRate = {
    /**
     * How many of these have written back.
     */
    answered: number;
    /**
     * How many the settings allow now, warm-up taken into account; absent without a limit.
     */
    perDay?: number;
    /**
     * To how many it wrote first within 24 hours.
     */
    today: number;
    /**
     * To how many it wrote first from 1 to 8 days ago.
     */
    week: number;
};

export type NewContactSettings = {
    /**
     * The longest; each wait is between the two, at random.
     */
    maxSeconds: number;
    /**
     * The shortest wait.
     */
    minSeconds: number;
    /**
     * To how many people at most the account writes first within 24 hours; 0 is no limit. Further messages to them do not count.
     */
    perDay?: number;
    /**
     * For so many days perDay grows evenly from a part to all of it, as a new account should begin.
     */
    warmUpDays?: number;
    /**
     * When the warm-up began; without it, when the session was created.
     */
    warmUpFrom?: string;
};

export type NewContacts = {
    /**
     * The longest; each wait is between the two, at random.
     */
    maxSeconds: number;
    /**
     * The shortest wait.
     */
    minSeconds: number;
    /**
     * To how many people at most the account writes first within 24 hours; 0 is no limit. Further messages to them do not count.
     */
    perDay?: number;
    /**
     * For so many days perDay grows evenly from a part to all of it, as a new account should begin.
     */
    warmUpDays?: number;
    /**
     * When the warm-up began; without it, when the session was created.
     */
    warmUpFrom?: string;
};

export type NewEvent = {
    description?: string;
    /**
     * When it ends.
     */
    endAt?: string;
    /**
     * Guests may bring others.
     */
    extraGuests?: boolean;
    /**
     * A link to a call, http or https.
     */
    joinLink?: string;
    /**
     * Where it is.
     */
    location?: NewLocation;
    name: string;
    /**
     * When it begins; WhatsApp keeps whole seconds.
     */
    startAt: string;
};

export type NewInvite = {
    caption?: string;
    /**
     * The code that lets the recipient in. Default: that of the group's link, for which the account must be an admin of it.
     */
    code?: string;
    /**
     * Until when it can be used. Default: in three days, as WhatsApp's apps have it.
     */
    expiresAt?: string;
    /**
     * JID of the group.
     */
    groupId: string;
    /**
     * The group's name. Default: what it is called, where the account is in it.
     */
    name?: string;
};

export type NewLiveLocation = {
    /**
     * Metres.
     */
    accuracyMeters?: number;
    /**
     * Degrees clockwise from magnetic north.
     */
    heading?: number;
    /**
     * Degrees.
     */
    latitude: number;
    /**
     * Degrees.
     */
    longitude: number;
    /**
     * It grows with each position of one share.
     */
    sequence?: number;
    /**
     * Metres a second.
     */
    speed?: number;
};

export type NewLocation = {
    address?: string;
    /**
     * Degrees.
     */
    latitude: number;
    /**
     * Degrees.
     */
    longitude: number;
    name?: string;
};

export type NewPoll = {
    /**
     * The answers to choose from, each once, up to 100 characters.
     */
    options: Array<string>;
    question: string;
    /**
     * How many one may choose; 0 is any number.
     */
    selectableCount?: number;
};

export type NewPreview = {
    description?: string;
    /**
     * A picture to show small beside it, of up to 5 MiB: JPEG, PNG, GIF or WebP.
     */
    image?: MediaSource;
    title: string;
    /**
     * The link, as it stands in the text.
     */
    url: string;
};

export type NotAdded = {
    /**
     * Why; the list grows. invite_required: his settings let nobody add him, send him inviteCode as a message of type groupInvite. recipient_not_on_whatsapp, already_in_group, group_full, recently_left, blocked (he blocked the account), community_not_allowed, whatsapp_rejected.
     */
    code: string;
    contact: Address;
    /**
     * With it he can join by himself.
     */
    inviteCode?: string;
    /**
     * Until when.
     */
    inviteExpiresAt?: string;
    /**
     * WhatsApp's own code.
     */
    whatsappCode: number;
};

export type OwnPresence = {
    /**
     * What the account is while the session is connected.
     */
    state: 'available' | 'unavailable';
};

export type Pace = {
    /**
     * The longest; each wait is between the two, at random.
     */
    maxSeconds: number;
    /**
     * The shortest wait.
     */
    minSeconds: number;
};

export type PaceSettings = {
    /**
     * The longest; each wait is between the two, at random.
     */
    maxSeconds: number;
    /**
     * The shortest wait.
     */
    minSeconds: number;
};

export type PairingCode = {
    /**
     * What the phone's owner enters: WhatsApp, Linked devices, Link with phone number.
     */
    code: string;
    /**
     * When the code ends; another can be asked for at any time, which ends this one.
     */
    expiresAt: string;
    /**
     * The phone number that the code is for, digits only.
     */
    phone: string;
};

export type Participant = {
    /**
     * Canonical JID: the phone's where it is known, else the LID's.
     */
    id: string;
    kind: 'user' | 'group' | 'broadcast' | 'status' | 'channel';
    /**
     * WhatsApp's phone-independent number, digits only.
     */
    lid?: string;
    /**
     * The name this address is known by to the session.
     */
    name?: string;
    /**
     * Phone number, digits only.
     */
    phone?: string;
    role: 'member' | 'admin' | 'superadmin';
};

export type ParticipantsAdded = {
    /**
     * Who is in the group now, or waits for an admin's approval where one has to approve.
     */
    added: Array<Address>;
    /**
     * Who could not be added, and why.
     */
    notAdded?: Array<NotAdded>;
};

export type ParticipantsData = {
    /**
     * joined: by a link, an invitation or an approved request.
     */
    action: 'added' | 'joined' | 'removed' | 'left' | 'promoted' | 'demoted';
    /**
     * Who did it, where WhatsApp says so.
     */
    by?: Address;
    groupId: string;
    participants: Array<Address>;
};

export type ParticipantsShown = {
    /**
     * Who is in the group, in WhatsApp's order.
     */
    data: Array<Participant>;
};

export type Passkey = {
    /**
     * In the step confirmation: the code that the phone shows too.
     */
    code?: string;
    /**
     * When linking has to begin anew.
     */
    expiresAt: string;
    /**
     * In the step request: the options for navigator.credentials.get({publicKey}), in WebAuthn's JSON form (PublicKeyCredential.parseRequestOptionsFromJSON).
     */
    request?: unknown;
    /**
     * request: answer request with the account's passkey. waiting: WhatsApp and the phone are at it. confirmation: compare code with the one that the phone shows, and confirm it.
     */
    step: 'request' | 'waiting' | 'confirmation';
};

export type PasskeyResponse = {
    authenticatorData: string;
    /**
     * In base64url, as all that follows.
     */
    clientDataJSON: string;
    signature: string;
    userHandle?: string;
};

export type Picture = {
    /**
     * WhatsApp's id of it, which changes with the picture.
     */
    id: string;
    /**
     * image: in full; preview: 96 pixels or so wide.
     */
    type: 'image' | 'preview';
    /**
     * Where its bytes are at WhatsApp, for anybody, for a time that WhatsApp chooses.
     */
    url: string;
};

export type PinMessage = {
    /**
     * How long it stays pinned: a day, a week or 30 days.
     */
    seconds: 86400 | 604800 | 2592000;
};

export type PinnedData = {
    at: string;
    by?: Address;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    /**
     * false: it was unpinned.
     */
    pinned: boolean;
    pinnedUntil?: string;
    whatsappId: string;
};

export type Poll = {
    /**
     * The answers to choose from.
     */
    options: Array<string>;
    question: string;
    /**
     * How many one may choose; 0 is any number.
     */
    selectableCount?: number;
};

export type PollContent = {
    poll: NewPoll;
    type: 'poll';
};

export type PollResult = {
    /**
     * How many chose it.
     */
    count: number;
    option: string;
    /**
     * Who chose it, in the order of their votes.
     */
    voters: Array<Address>;
};

export type PollResults = {
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    /**
     * In the order of the poll.
     */
    options: Array<PollResult>;
    question: string;
    /**
     * How many people have a vote.
     */
    voters: number;
    whatsappId: string;
};

export type PollVotedEvent = {
    data: VoteData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'poll.voted';
};

export type PostReacted = {
    channelId: string;
    /**
     * Empty: it was taken back.
     */
    emoji: string;
    /**
     * The channel's number of the post.
     */
    serverId: number;
};

export type PostStatus = {
    /**
     * Any text of yours; it comes back in every form of the status update.
     */
    clientReference?: string;
    content: StatusContent;
    /**
     * Give it up if it could not be posted by then; within 30 days, of sendAt where that is given. Without it the operator's default holds (24 hours, unless MESSAGE_EXPIRY_HOURS says otherwise). It says nothing of how long it is shown, which is 24 hours.
     */
    expiresAt?: string;
    /**
     * Post it then, within a year; its status is scheduled until then. expiresAt counts from there.
     */
    sendAt?: string;
    /**
     * WhatsApp's id for it, where you choose it yourself.
     */
    whatsappId?: string;
};

export type PostToChannel = {
    /**
     * Any text of yours; it comes back in every form of the post.
     */
    clientReference?: string;
    /**
     * A text, image, video, audio, voice note, document or sticker; not one to be viewed once.
     */
    content: SendContent;
    /**
     * Give it up if it could not be posted by then; as for messages.
     */
    expiresAt?: string;
    /**
     * Post it then, within a year; its status is scheduled until then.
     */
    sendAt?: string;
    /**
     * WhatsApp's id for it, where you choose it yourself: one that the channel never had.
     */
    whatsappId?: string;
};

export type Presence = {
    contact: Address;
    /**
     * When the contact was last there, where its privacy lets this account know.
     */
    lastSeen?: string;
    /**
     * unknown: WhatsApp has told nothing since the session connected, or the session is not connected.
     */
    state: 'available' | 'unavailable' | 'unknown';
    /**
     * Whether the session is told of it, by presence.updated.
     */
    subscribed: boolean;
    /**
     * What the contact does in its chat with the account, in the last 25 seconds.
     */
    typing?: 'typing' | 'recording';
    /**
     * When WhatsApp last told of it.
     */
    updatedAt?: string;
};

export type PresenceData = {
    presence: Presence;
};

export type PresenceUpdatedEvent = {
    data: PresenceData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'presence.updated';
};

export type Privacy = {
    /**
     * Who sees what it says about itself; as lastSeen.
     */
    about?: string;
    /**
     * Whose calls ring: all, or known.
     */
    callAdd?: string;
    /**
     * WhatsApp's strict account settings: on_standard, or off.
     */
    defense?: string;
    /**
     * After how many seconds messages disappear in chats that begin from now on; 0 is never.
     */
    disappearingSeconds: number;
    /**
     * Who may add it to groups; as lastSeen. The others can send an invitation.
     */
    groupAdd?: string;
    /**
     * Who sees when the account was last online: all, contacts, contact_blacklist (contacts without some whom the owner chose on the phone) or none. Here and below WhatsApp may come to tell others.
     */
    lastSeen?: string;
    /**
     * Who may write to it: all, or contacts.
     */
    messages?: string;
    /**
     * Who sees that it is online: all, or match_last_seen (those who see lastSeen).
     */
    online?: string;
    /**
     * Who sees its picture; as lastSeen.
     */
    picture?: string;
    /**
     * all: senders learn what was read; none: they do not, and the account does not learn it of them.
     */
    readReceipts?: string;
    /**
     * Who may use its stickers: contacts, contact_allowlist (some whom the owner chose on the phone) or none.
     */
    stickers?: string;
};

export type Problem = {
    /**
     * What a program decides by.
     */
    code: string;
    /**
     * What happened this time, for a person.
     */
    detail: string;
    errors?: Array<FieldError>;
    /**
     * The path that was asked.
     */
    instance?: string;
    /**
     * The message that was accepted, and then failed.
     */
    messageId?: string;
    /**
     * The request in the log; also the header X-Request-Id.
     */
    requestId?: string;
    /**
     * The HTTP status.
     */
    status: number;
    title: string;
    /**
     * Where a person reads about it, relative to the API.
     */
    type: string;
};

export type Profile = {
    /**
     * What it says about itself.
     */
    about?: string;
    /**
     * What WhatsApp verified, where the account is a business.
     */
    businessName?: string;
    /**
     * Canonical JID: the phone's where it is known, else the LID's.
     */
    id: string;
    kind: 'user' | 'group' | 'broadcast' | 'status' | 'channel';
    /**
     * WhatsApp's phone-independent number, digits only.
     */
    lid?: string;
    /**
     * The name this address is known by to the session.
     */
    name?: string;
    /**
     * Phone number, digits only.
     */
    phone?: string;
    /**
     * Where its picture is; absent when there is none.
     */
    picture?: Picture;
};

export type ProfilePictured = {
    /**
     * WhatsApp's id of the picture, which changes with it; absent when there is none.
     */
    pictureId?: string;
};

export type Qr = {
    expiresAt: string;
    /**
     * The code as a data URL.
     */
    png?: string;
    /**
     * The text that the QR code holds.
     */
    qr: string;
};

export type Reaction = {
    at: string;
    emoji: string;
    from: Address;
};

export type ReactionCount = {
    count: number;
    emoji: string;
};

export type ReactionData = {
    at: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * outgoing: the account reacts, from here or from the owner's phone.
     */
    direction: 'incoming' | 'outgoing';
    /**
     * Empty: the reaction was taken back.
     */
    emoji: string;
    /**
     * Who reacts.
     */
    from: Address;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    whatsappId: string;
};

export type Replay = {
    createdAt: string;
    endpointId: string;
    /**
     * When it was done or cancelled.
     */
    finishedAt?: string;
    id: string;
    /**
     * How much of the time from since to until is dealt with.
     */
    progress: number;
    /**
     * Deliveries that were made due.
     */
    resent: number;
    /**
     * Events that were looked at.
     */
    scanned: number;
    since: string;
    /**
     * waiting goes on by itself: when its endpoint is active again, or has taken more of what is due. done: all of it is due or has gone out; what comes of each delivery is its own. cancelled also when the endpoint was deleted.
     */
    state: 'running' | 'waiting' | 'done' | 'cancelled';
    states: Array<'exhausted' | 'cancelled' | 'succeeded' | 'missing'>;
    /**
     * Empty: all.
     */
    types: Array<'*' | 'session.*' | 'message.*' | 'poll.*' | 'event.*' | 'chat.*' | 'label.*' | 'history.*' | 'contact.*' | 'group.*' | 'status.*' | 'channel.*' | 'presence.*' | 'call.*' | 'change.*' | 'media.*' | 'webhook.*' | 'session.status' | 'session.qr' | 'session.pairing-code' | 'session.risk' | 'message.received' | 'message.sent' | 'message.status' | 'message.edited' | 'message.revoked' | 'message.deleted' | 'message.reaction' | 'message.pinned' | 'message.starred' | 'poll.voted' | 'event.responded' | 'chat.updated' | 'label.updated' | 'history.synced' | 'contact.updated' | 'group.joined' | 'group.left' | 'group.updated' | 'group.participants' | 'group.join-request' | 'status.received' | 'channel.updated' | 'channel.message' | 'channel.counts' | 'presence.updated' | 'chat.typing' | 'call.offered' | 'call.accepted' | 'call.ended' | 'change.failed' | 'media.failed' | 'webhook.test' | 'webhook.failing' | 'webhook.disabled'>;
    until: string;
};

export type Reply = {
    /**
     * JID of its chat, where that is another: status@broadcast where a status update is answered.
     */
    chatId?: string;
    /**
     * Who wrote it.
     */
    from?: Address;
    /**
     * Ours, where the session has the message.
     */
    messageId?: string;
    /**
     * Its text or caption.
     */
    text?: string;
    /**
     * Its type of content.
     */
    type?: string;
    whatsappId: string;
};

export type Report = {
    /**
     * Each part that is needed: ok, or what is wrong with it.
     */
    checks: {
        [key: string]: string;
    };
    /**
     * degraded: S3 is missing, so that files wait; all else works.
     */
    status: 'ok' | 'degraded';
};

export type Respond = {
    /**
     * How many come along, where the event allows it and the account goes.
     */
    extraGuests?: number;
    response: 'going' | 'notGoing' | 'maybe';
};

export type ResponseData = {
    at: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * outgoing: the account answers.
     */
    direction: 'incoming' | 'outgoing';
    /**
     * How many come along.
     */
    extraGuests?: number;
    from: Address;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    response: 'going' | 'notGoing' | 'maybe';
    whatsappId: string;
};

export type RevokedData = {
    at: string;
    /**
     * Who deleted it: its sender, or an admin of the group.
     */
    by?: Address;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    whatsappId: string;
};

export type RiskData = {
    health: AccountHealth;
};

export type RotateKey = {
    /**
     * How long the key as it was stays valid beside the new one, up to 7 days. 0: it ends at once.
     */
    overlapSeconds?: number;
};

export type RotateSecret = {
    /**
     * How long the present secret goes on signing beside the new one; 0: not at all.
     */
    overlapHours?: number;
    /**
     * A secret of your own: whsec_ and 24 to 64 random bytes in padded base64. Without it one of 32 bytes is made.
     */
    secret?: string;
};

export type RotatedSecret = {
    /**
     * Until when the secret before signs as well.
     */
    previousValidUntil: string;
    /**
     * What deliveries are signed with from now on.
     */
    secret: string;
};

/**
 * What to send; type decides what else there is.
 */
export type SendContent = ({
    type: 'album';
} & AlbumContent) | ({
    type: 'audio';
} & AudioContent) | ({
    type: 'contacts';
} & ContactsContent) | ({
    type: 'document';
} & DocumentContent) | ({
    type: 'event';
} & EventContent) | ({
    type: 'groupInvite';
} & GroupInviteContent) | ({
    type: 'image';
} & ImageContent) | ({
    type: 'liveLocation';
} & LiveLocationContent) | ({
    type: 'location';
} & LocationContent) | ({
    type: 'poll';
} & PollContent) | ({
    type: 'sticker';
} & StickerContent) | ({
    type: 'text';
} & TextContent) | ({
    type: 'video';
} & VideoContent) | ({
    type: 'voice';
} & VoiceContent);

export type SendMessage = {
    /**
     * Any text of yours; it comes back in every form of the message.
     */
    clientReference?: string;
    content: SendContent;
    /**
     * Give it up if it could not be sent by then; within 30 days, of sendAt where that is given. Without it the operator's default holds (24 hours, unless MESSAGE_EXPIRY_HOURS says otherwise), which the answer shows.
     */
    expiresAt?: string;
    /**
     * Whom the text or caption mentions, as phone numbers or JIDs. Write @ and the number there, where the name is to be shown: Thanks, @5491123456789.
     */
    mentions?: Array<string>;
    /**
     * The text or caption mentions everybody in the group, who are told even where they muted it.
     */
    mentionsEveryone?: boolean;
    /**
     * high overtakes what waits to be sent, whatever the chat, and does not wait for settings.sending of the session. It goes once the message that is being sent has left.
     */
    priority?: 'normal' | 'high';
    /**
     * The message that this one answers, by its id, ours or WhatsApp's: one of the same chat, or a status update of the person whom it is sent to.
     */
    replyTo?: string;
    /**
     * Send it then, within a year; its status is scheduled until then. expiresAt counts from there. A time that comes while no connector runs, or while the session is not connected, is made up for until expiresAt.
     */
    sendAt?: string;
    /**
     * Whom to send it to: a phone number with its country code (digits, + allowed), or a JID of a person or group.
     */
    to: string;
    /**
     * Show for so long in the chat that the account is typing, or recording a voice note, before it is sent. The account is online meanwhile; the chat's later messages wait, those of other chats do not.
     */
    typingSeconds?: number;
    /**
     * WhatsApp's id for it, where you choose it yourself: one that the chat never had. Two messages with one id are one to their recipient.
     */
    whatsappId?: string;
};

export type Sending = {
    /**
     * Messages to people who never wrote: what WhatsApp restricts and bans accounts for.
     */
    newContacts?: NewContacts;
    /**
     * Between two messages that answer nobody.
     */
    pace?: Pace;
    /**
     * When messages that answer nobody are sent.
     */
    window?: Window;
};

export type SendingSettings = {
    /**
     * Messages to people who never wrote: what WhatsApp restricts and bans accounts for.
     */
    newContacts?: NewContactSettings;
    /**
     * Between two messages that answer nobody.
     */
    pace?: PaceSettings;
    /**
     * When messages that answer nobody are sent.
     */
    window?: WindowSettings;
};

export type Session = {
    /**
     * When it last connected.
     */
    connectedAt?: string;
    /**
     * The connector that runs it now.
     */
    connector?: string;
    createdAt: string;
    /**
     * What you asked for; state follows it.
     */
    desired: 'started' | 'stopped';
    /**
     * Your own name for it.
     */
    id: string;
    /**
     * When WhatsApp last sent something.
     */
    lastEventAt?: string;
    /**
     * The account's phone-independent number, digits only.
     */
    lid?: string;
    /**
     * For people.
     */
    name?: string;
    /**
     * The account's number, digits only, once linked.
     */
    phone?: string;
    /**
     * Why it is in this state, for a person.
     */
    reason?: string;
    settings: Settings;
    /**
     * What it is now.
     */
    state: 'stopped' | 'starting' | 'qr' | 'pairing_code' | 'passkey_required' | 'connected' | 'reconnecting' | 'logged_out' | 'banned' | 'restricted' | 'replaced' | 'failed';
};

export type SessionData = {
    /**
     * In session.pairing-code: the code to enter on the phone.
     */
    pairingCode?: PairingCode;
    /**
     * In session.status with the state passkey_required: what WhatsApp asks for.
     */
    passkey?: Passkey;
    /**
     * In session.qr: the code to scan.
     */
    qr?: Qr;
    session: Session;
};

export type SessionPairingCodeEvent = {
    data: SessionData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'session.pairing-code';
};

export type SessionQrEvent = {
    data: SessionData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'session.qr';
};

export type SessionRiskEvent = {
    data: RiskData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'session.risk';
};

export type SessionSettings = {
    /**
     * What is done to calls that come in; replaces what was there. By default they ring.
     */
    calls?: SetCalls;
    /**
     * Shown on the phone's list of linked devices from the next linking on; default chasqui.
     */
    deviceName?: string;
    /**
     * What makes neither messages nor events; replaces what was there.
     */
    ignore?: IgnoreRules;
    /**
     * true: messages that come in are read at once, and their senders get read receipts unless the account's privacy keeps them back; default false.
     */
    markRead?: boolean;
    /**
     * Free for your use; replaces what was there.
     */
    metadata?: {
        [key: string]: string;
    };
    /**
     * What the account shows of itself while the session is connected; default unavailable, so that the owner's phone notifies. PUT .../presence sets the same.
     */
    presence?: 'available' | 'unavailable';
    /**
     * What all of its connections to WhatsApp go through, media included: socks5://, http:// or https://, with a user and password where it wants them; "" for none. It is never shown again in full. A change connects the session anew.
     */
    proxy?: string;
    /**
     * How messages are paced; replaces what was there, and {} takes it away. What waits already follows it.
     */
    sending?: SendingSettings;
};

export type SessionStatusEvent = {
    data: SessionData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'session.status';
};

export type SetCalls = {
    /**
     * Rejects every call at once, on all devices of the account.
     */
    reject: boolean;
    /**
     * Sent to a caller who was rejected, once an hour at most; not in group calls.
     */
    text?: string;
};

export type SetPicture = {
    /**
     * A JPEG, PNG, GIF or WebP. Its middle is taken, as a square of at most 640 pixels.
     */
    media: MediaSource;
};

export type SetPresence = {
    /**
     * What the account shows of itself.
     */
    state: 'available' | 'unavailable';
};

export type SetReaction = {
    /**
     * One emoji.
     */
    emoji: string;
};

export type SetTyping = {
    /**
     * What is shown in the chat.
     */
    state: 'typing' | 'recording' | 'paused';
};

export type Setting = {
    /**
     * What it is when it is not set.
     */
    default?: string;
    /**
     * What it does.
     */
    description: string;
    /**
     * The environment variable.
     */
    name: string;
    /**
     * Whether the value is never shown.
     */
    secret: boolean;
    /**
     * What is in force, by default or because it was set. *** stands for a secret, and for addresses that may hold one; empty is unset.
     */
    value: string;
};

export type SettingList = {
    /**
     * In the order of --help.
     */
    data: Array<Setting>;
};

export type Settings = {
    /**
     * What is done to calls that come in.
     */
    calls?: CallSettings;
    /**
     * Shown on the phone's list of linked devices when the session is linked; default chasqui.
     */
    deviceName?: string;
    /**
     * What it takes no notice of.
     */
    ignore?: Ignore;
    /**
     * Messages that come in are read at once.
     */
    markRead?: boolean;
    /**
     * Free for the client's use.
     */
    metadata?: {
        [key: string]: string;
    };
    /**
     * What the account shows of itself while it is connected; default unavailable.
     */
    presence?: 'available' | 'unavailable';
    /**
     * What its connections go through; *** stands for a user and password.
     */
    proxy?: string;
    /**
     * How messages are paced; absent: as fast as WhatsApp takes them.
     */
    sending?: Sending;
};

export type SimulateMessage = {
    /**
     * The contact's phone number, with its country code; it is made if there is none. Default: one that is the same each time.
     */
    from?: string;
    /**
     * What it is called, if it is made. Default: Simulated contact.
     */
    name?: string;
    /**
     * What it writes.
     */
    text: string;
};

export type SimulateScan = {
    /**
     * The phone, with its country code; it is made if there is none. Default: a new one, with a number that no phone has.
     */
    number?: string;
};

export type SimulatedMessage = {
    /**
     * The contact's phone number, digits only.
     */
    from: string;
    /**
     * WhatsApp's id of the message, by which it can be read once it has come.
     */
    whatsappId: string;
};

export type SimulatedScan = {
    /**
     * The phone's number, digits only.
     */
    number: string;
    sessionId: string;
};

export type StarredData = {
    at: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    starred: boolean;
    whatsappId: string;
};

export type Stats = {
    /**
     * Every step, oldest first, those in which nothing happened included.
     */
    data: Array<StatsStep>;
    /**
     * When the first step begins.
     */
    since: string;
    /**
     * The length of a step, in seconds.
     */
    step: number;
    /**
     * When the last step ends.
     */
    until: string;
};

export type StatsDeliveries = {
    /**
     * Deliveries that were given up after their last attempt.
     */
    exhausted: number;
    /**
     * Attempts that failed; most are tried again.
     */
    failed: number;
    /**
     * Of those that succeeded; absent where none did.
     */
    latency?: StatsLatency;
    /**
     * Deliveries that a receiver answered with 2xx.
     */
    succeeded: number;
};

export type StatsLatency = {
    /**
     * Seconds from the event to the 2xx that half of the deliveries took at most, estimated.
     */
    p50: number;
    /**
     * The same of 95 of 100.
     */
    p95: number;
};

export type StatsMessages = {
    /**
     * Messages that failed or expired.
     */
    failed: number;
    /**
     * Messages that came in.
     */
    received: number;
    /**
     * Messages that WhatsApp took, those of the owner's phone included.
     */
    sent: number;
};

export type StatsQueueLag = {
    /**
     * What is to be done at WhatsApp: messages to be sent among it.
     */
    commands: number;
    /**
     * Deliveries to endpoints that may be sent to.
     */
    deliveries: number;
    /**
     * Events on their way into the log.
     */
    events: number;
    /**
     * Files to be fetched.
     */
    media: number;
};

export type StatsStep = {
    /**
     * When it begins.
     */
    at: string;
    deliveries: StatsDeliveries;
    messages: StatsMessages;
    queueLag: StatsQueueLag;
    /**
     * How many sessions there are, by state, at its end; in the step that is not over, now. A state that none is in is left out; all are, in steps for which nobody counted.
     */
    sessions: {
        [key: string]: number;
    };
};

/**
 * What to send; type decides what else there is.
 */
export type StatusContent = ({
    type: 'image';
} & StatusImageContent) | ({
    type: 'text';
} & StatusTextContent) | ({
    type: 'video';
} & StatusVideoContent) | ({
    type: 'voice';
} & StatusVoiceContent);

export type StatusData = {
    at: string;
    /**
     * Who received or read it.
     */
    by?: Address;
    /**
     * JID of the chat.
     */
    chatId: string;
    error?: MessageError;
    messageId: string;
    /**
     * What it has become.
     */
    status: string;
    whatsappId: string;
};

export type StatusImageContent = {
    /**
     * What is written under it.
     */
    caption?: string;
    media: MediaSource;
    type: 'image';
};

export type StatusReceivedEvent = {
    data: MessageData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'status.received';
};

export type StatusTextContent = {
    /**
     * What the text, which is white, stands on: red, green and blue.
     */
    backgroundColor?: string;
    font?: 'system' | 'systemText' | 'script' | 'systemBold' | 'morningBreeze' | 'calistoga' | 'exo2' | 'courierPrime';
    /**
     * What it says.
     */
    text: string;
    type: 'text';
};

export type StatusVideoContent = {
    /**
     * What is written under it.
     */
    caption?: string;
    /**
     * It plays by itself, without sound, again and again.
     */
    gif?: boolean;
    /**
     * WhatsApp's apps post up to 90 seconds; it is not cut here.
     */
    media: MediaSource;
    type: 'video';
};

export type StatusViewer = {
    viewedAt: string;
    viewer: Address;
};

export type StatusVoiceContent = {
    /**
     * What it is shown on: red, green and blue.
     */
    backgroundColor?: string;
    /**
     * Ogg Opus goes out as it is; other audio is made that, where ffmpeg is installed with the API.
     */
    media: MediaSource;
    type: 'voice';
};

export type StickerContent = {
    /**
     * WebP goes out as it is, still or animated; WhatsApp's own stickers have 512 by 512 pixels. PNG and JPEG are made that, with transparent margins; an animated GIF too, where ffmpeg is installed with the API.
     */
    media: MediaSource;
    type: 'sticker';
};

export type Subgroup = {
    /**
     * It is the group for the community's announcements.
     */
    defaultSubgroup: boolean;
    /**
     * JID.
     */
    id: string;
    name: string;
};

export type Subgroups = {
    data: Array<Subgroup>;
};

export type TestedDelivery = {
    id: string;
    /**
     * How the attempt ended: ok, status (another than 2xx), dns, connect, tls, timeout, blocked (an address that may not be reached), broken, or local and storage for failures on this side; the list only grows.
     */
    lastClass?: string;
    /**
     * The HTTP status of the answer; absent when there was none.
     */
    lastStatus?: number;
    /**
     * pending: it failed, and is tried again as every event is.
     */
    state: 'pending' | 'sending' | 'succeeded' | 'exhausted' | 'cancelled' | 'held';
};

export type TextContent = {
    /**
     * A preview of your own, in place of a fetched one.
     */
    linkPreview?: NewPreview;
    /**
     * fetch: the page of the first link in the text is read now, for up to 5 seconds, and what it says of itself is shown below the text. A page that says nothing, or cannot be reached, is no error: the text goes out without.
     */
    preview?: 'none' | 'fetch';
    /**
     * What it says; *bold*, _italic_, ~struck~ and lists as in WhatsApp.
     */
    text: string;
    type: 'text';
};

/**
 * An event of more than 256 KiB, as webhooks carry it: data is empty, and dataUrl leads to the whole event.
 */
export type ThinEvent = {
    data: {
        [key: string]: unknown;
    };
    /**
     * Where the whole event is, with the API key: GET /v1/events/{eventId}.
     */
    dataUrl: string;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    /**
     * What happened; the list only grows.
     */
    type: string;
};

export type Ticket = {
    /**
     * Until when it opens something. A stream that it has opened goes on after that.
     */
    expiresAt: string;
    /**
     * Pass it as the query parameter ticket. It is shown this once, and stored only as a hash.
     */
    ticket: string;
};

export type Typing = {
    /**
     * JID of the chat.
     */
    chatId: string;
    state: 'typing' | 'recording' | 'paused';
};

export type TypingData = {
    at: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * Who it is.
     */
    from: Address;
    /**
     * typing and recording hold until paused, a message of the same person, or for 25 seconds; they are told again as long as they last.
     */
    state: 'typing' | 'recording' | 'paused';
};

export type Version = {
    /**
     * The version of this document.
     */
    api: string;
    name: string;
    /**
     * Whether there are simulated phones, for POST /v1/sessions/{sessionId}/simulated-scan and simulated-message.
     */
    sandbox: boolean;
    /**
     * The program's version.
     */
    version: string;
};

export type VideoContent = {
    /**
     * The album that it belongs to: the id, ours or WhatsApp's, of a message of type album that was sent to the same chat before.
     */
    albumId?: string;
    /**
     * What is written under it.
     */
    caption?: string;
    /**
     * It plays by itself, without sound, again and again.
     */
    gif?: boolean;
    media: MediaSource;
    type: 'video';
    /**
     * It is shown round, as if recorded in the chat.
     */
    videoNote?: boolean;
    /**
     * The recipient can open it once.
     */
    viewOnce?: boolean;
};

export type VoiceContent = {
    /**
     * Ogg Opus goes out as it is; other audio is made that, where ffmpeg is installed with the API.
     */
    media: MediaSource;
    type: 'voice';
    /**
     * The recipient can play it once.
     */
    viewOnce?: boolean;
};

export type Vote = {
    /**
     * All that the account chooses, in the words of the poll; none takes its vote back.
     */
    options: Array<string>;
};

export type VoteData = {
    at: string;
    /**
     * JID of the chat.
     */
    chatId: string;
    /**
     * outgoing: the account votes.
     */
    direction: 'incoming' | 'outgoing';
    /**
     * Who votes.
     */
    from: Address;
    /**
     * Ours; absent where the session never had the message.
     */
    messageId?: string;
    /**
     * All that the voter chose; none where the vote was taken back.
     */
    options: Array<string>;
    whatsappId: string;
};

export type WebhookData = {
    endpoint: WebhookEndpoint;
    /**
     * In webhook.test: a message that nobody wrote, so that there is something to show in every format.
     */
    message?: Message;
};

export type WebhookDisabledEvent = {
    data: WebhookData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'webhook.disabled';
};

export type WebhookEndpoint = {
    /**
     * Failures since the last success.
     */
    consecutiveFailures: number;
    /**
     * The first failure since the last success.
     */
    failingSince?: string;
    id: string;
    /**
     * In webhook.failing and webhook.disabled: what is wrong, for a person.
     */
    reason?: string;
    state: 'active' | 'paused' | 'disabled';
    /**
     * Without user, password and query, which may hold secrets.
     */
    url: string;
};

export type WebhookFailingEvent = {
    data: WebhookData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'webhook.failing';
};

export type WebhookTestEvent = {
    data: WebhookData;
    /**
     * The event's id everywhere: here, as webhook-id, as cursor.
     */
    id: string;
    /**
     * The session it happened to.
     */
    sessionId?: string;
    /**
     * When it happened, as WhatsApp says where it does.
     */
    timestamp: string;
    type: 'webhook.test';
};

export type Window = {
    /**
     * The days on which it opens; without them every day.
     */
    days?: Array<'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun'>;
    /**
     * When it opens.
     */
    from: string;
    /**
     * A name of the IANA time zone database.
     */
    timeZone: string;
    /**
     * When it closes; where that is before it opens, on the next day.
     */
    to: string;
};

export type WindowSettings = {
    /**
     * The days on which it opens; without them every day.
     */
    days?: Array<'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun'>;
    /**
     * When it opens.
     */
    from: string;
    /**
     * A name of the IANA time zone database.
     */
    timeZone: string;
    /**
     * When it closes; where that is before it opens, on the next day.
     */
    to: string;
};

export type GetHealthData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/healthz';
};

export type GetHealthResponses = {
    /**
     * OK
     */
    200: Health;
};

export type GetHealthResponse = GetHealthResponses[keyof GetHealthResponses];

export type GetReadinessData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/readyz';
};

export type GetReadinessResponses = {
    /**
     * OK
     */
    200: Report;
};

export type GetReadinessResponse = GetReadinessResponses[keyof GetReadinessResponses];

export type ListApiKeysData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/api-keys';
};

export type ListApiKeysResponses = {
    /**
     * OK
     */
    200: ListApiKey;
};

export type ListApiKeysResponse = ListApiKeysResponses[keyof ListApiKeysResponses];

export type CreateApiKeyData = {
    body: CreateKey;
    path?: never;
    query?: never;
    url: '/v1/api-keys';
};

export type CreateApiKeyResponses = {
    /**
     * Created
     */
    201: CreatedKey;
};

export type CreateApiKeyResponse = CreateApiKeyResponses[keyof CreateApiKeyResponses];

export type DeleteApiKeyData = {
    body?: never;
    path: {
        /**
         * A key of the list.
         */
        keyId: string;
    };
    query?: never;
    url: '/v1/api-keys/{keyId}';
};

export type DeleteApiKeyResponses = {
    /**
     * No Content
     */
    204: void;
};

export type DeleteApiKeyResponse = DeleteApiKeyResponses[keyof DeleteApiKeyResponses];

export type GetApiKeyData = {
    body?: never;
    path: {
        /**
         * A key of the list.
         */
        keyId: string;
    };
    query?: never;
    url: '/v1/api-keys/{keyId}';
};

export type GetApiKeyResponses = {
    /**
     * OK
     */
    200: ApiKey;
};

export type GetApiKeyResponse = GetApiKeyResponses[keyof GetApiKeyResponses];

export type ChangeApiKeyData = {
    body: ChangeKey;
    path: {
        /**
         * A key of the list.
         */
        keyId: string;
    };
    query?: never;
    url: '/v1/api-keys/{keyId}';
};

export type ChangeApiKeyResponses = {
    /**
     * OK
     */
    200: ApiKey;
};

export type ChangeApiKeyResponse = ChangeApiKeyResponses[keyof ChangeApiKeyResponses];

export type RotateApiKeyData = {
    body: RotateKey;
    path: {
        /**
         * A key of the list.
         */
        keyId: string;
    };
    query?: never;
    url: '/v1/api-keys/{keyId}/rotate';
};

export type RotateApiKeyResponses = {
    /**
     * OK
     */
    200: CreatedKey;
};

export type RotateApiKeyResponse = RotateApiKeyResponses[keyof RotateApiKeyResponses];

export type ListAuditLogData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * Only of this key.
         */
        keyId?: string;
        /**
         * Only where the path names this session.
         */
        sessionId?: string;
        /**
         * Only this operationId.
         */
        operation?: string;
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/audit-log';
};

export type ListAuditLogResponses = {
    /**
     * OK
     */
    200: ListAuditEntry;
};

export type ListAuditLogResponse = ListAuditLogResponses[keyof ListAuditLogResponses];

export type ListEventTypesData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/v1/event-types';
};

export type ListEventTypesResponses = {
    /**
     * OK
     */
    200: EventTypes;
};

export type ListEventTypesResponse = ListEventTypesResponses[keyof ListEventTypesResponses];

export type ListEventsData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * An event's id or a nextCursor: read what came after it. Without it: from the oldest event that is kept.
         */
        after?: string;
        /**
         * Begin with the newest so many events, those that the filters leave out counted. Not together with after.
         */
        last?: number;
        /**
         * Events a page.
         */
        limit?: number;
        /**
         * Only these types, separated by commas: a type, message.* for all that begin so, or * for all.
         */
        type?: Array<'*' | 'session.*' | 'message.*' | 'poll.*' | 'event.*' | 'chat.*' | 'label.*' | 'history.*' | 'contact.*' | 'group.*' | 'status.*' | 'channel.*' | 'presence.*' | 'call.*' | 'change.*' | 'media.*' | 'webhook.*' | 'session.status' | 'session.qr' | 'session.pairing-code' | 'session.risk' | 'message.received' | 'message.sent' | 'message.status' | 'message.edited' | 'message.revoked' | 'message.deleted' | 'message.reaction' | 'message.pinned' | 'message.starred' | 'poll.voted' | 'event.responded' | 'chat.updated' | 'label.updated' | 'history.synced' | 'contact.updated' | 'group.joined' | 'group.left' | 'group.updated' | 'group.participants' | 'group.join-request' | 'status.received' | 'channel.updated' | 'channel.message' | 'channel.counts' | 'presence.updated' | 'chat.typing' | 'call.offered' | 'call.accepted' | 'call.ended' | 'change.failed' | 'media.failed' | 'webhook.test' | 'webhook.failing' | 'webhook.disabled'>;
        /**
         * Only these sessions, separated by commas. An event that belongs to no session is left out then.
         */
        sessionId?: Array<string>;
        /**
         * Only events about chats of these kinds, separated by commas. Events that are about no chat stay.
         */
        chatKind?: Array<'user' | 'group' | 'broadcast' | 'status' | 'channel'>;
        /**
         * true: of the events about messages only those about the account's own, its receipts included; false: only those about messages that came in. Events that are about no message stay.
         */
        fromMe?: boolean;
        /**
         * Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys are left out. Absent for a message without one, and where it is very large or the page has too much of it.
         */
        raw?: boolean;
        /**
         * Seconds to wait for an event when there is none.
         */
        wait?: number;
    };
    url: '/v1/events';
};

export type ListEventsResponses = {
    /**
     * OK
     */
    200: EventPage;
};

export type ListEventsResponse = ListEventsResponses[keyof ListEventsResponses];

export type GetEventData = {
    body?: never;
    path: {
        /**
         * An event: the webhook-id of a webhook, the id of a stream.
         */
        eventId: string;
    };
    query?: {
        /**
         * Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys are left out. Absent for a message without one, and where it is very large or the page has too much of it.
         */
        raw?: boolean;
    };
    url: '/v1/events/{eventId}';
};

export type GetEventResponses = {
    /**
     * OK
     */
    200: Event;
};

export type GetEventResponse = GetEventResponses[keyof GetEventResponses];

export type GetLinkData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/v1/link';
};

export type GetLinkResponses = {
    /**
     * OK
     */
    200: LinkState;
};

export type GetLinkResponse = GetLinkResponses[keyof GetLinkResponses];

export type GetMeData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/v1/me';
};

export type GetMeResponses = {
    /**
     * OK
     */
    200: Me;
};

export type GetMeResponse = GetMeResponses[keyof GetMeResponses];

export type ListMediaData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * Only in these statuses, separated by commas.
         */
        status?: Array<'pending' | 'ready' | 'failed' | 'expired'>;
        /**
         * Only of these kinds, separated by commas.
         */
        kind?: Array<'image' | 'video' | 'audio' | 'document'>;
        /**
         * Only what messages of these sessions brought or send, separated by commas.
         */
        sessionId?: Array<string>;
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/media';
};

export type ListMediaResponses = {
    /**
     * OK
     */
    200: ListMediaInfo;
};

export type ListMediaResponse = ListMediaResponses[keyof ListMediaResponses];

export type UploadMediaData = {
    body: {
        /**
         * The file. Its own Content-Type and filename are taken over.
         */
        file: Blob | File;
        /**
         * What it is called, where the part does not say so.
         */
        fileName?: string;
        /**
         * What it is, where the part does not say so.
         */
        mimetype?: string;
    };
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path?: never;
    query?: never;
    url: '/v1/media';
};

export type UploadMediaResponses = {
    /**
     * Created
     */
    201: MediaInfo;
};

export type UploadMediaResponse = UploadMediaResponses[keyof UploadMediaResponses];

export type FetchMediaData = {
    body: FetchRequest;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path?: never;
    query?: never;
    url: '/v1/media/fetch';
};

export type FetchMediaResponses = {
    /**
     * Created
     */
    201: MediaInfo;
};

export type FetchMediaResponse = FetchMediaResponses[keyof FetchMediaResponses];

export type DeleteMediaData = {
    body?: never;
    path: {
        /**
         * A file: of an upload, or of the content of a message.
         */
        mediaId: string;
    };
    query?: never;
    url: '/v1/media/{mediaId}';
};

export type DeleteMediaResponses = {
    /**
     * No Content
     */
    204: void;
};

export type DeleteMediaResponse = DeleteMediaResponses[keyof DeleteMediaResponses];

export type GetMediaData = {
    body?: never;
    path: {
        /**
         * A file: of an upload, or of the content of a message.
         */
        mediaId: string;
    };
    query?: {
        /**
         * Seconds for which a presigned URL of the object store is wanted.
         */
        presign?: number;
    };
    url: '/v1/media/{mediaId}';
};

export type GetMediaResponses = {
    /**
     * OK
     */
    200: MediaInfo;
};

export type GetMediaResponse = GetMediaResponses[keyof GetMediaResponses];

export type GetMediaContentData = {
    body?: never;
    path: {
        /**
         * A file: of an upload, or of the content of a message.
         */
        mediaId: string;
    };
    query?: never;
    url: '/v1/media/{mediaId}/content';
};

export type GetMediaContentResponses = {
    /**
     * The file
     */
    200: Blob | File;
};

export type GetMediaContentResponse = GetMediaContentResponses[keyof GetMediaContentResponses];

export type ImportSessionData = {
    body: {
        /**
         * The export, up to 64 MiB.
         */
        file: Blob | File;
        /**
         * What it was encrypted with.
         */
        passphrase: string;
    };
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path?: never;
    query?: never;
    url: '/v1/session-imports';
};

export type ImportSessionResponses = {
    /**
     * Created
     */
    201: Session;
};

export type ImportSessionResponse = ImportSessionResponses[keyof ImportSessionResponses];

export type ListSessionsData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions';
};

export type ListSessionsResponses = {
    /**
     * OK
     */
    200: ListSession;
};

export type ListSessionsResponse = ListSessionsResponses[keyof ListSessionsResponses];

export type CreateSessionData = {
    body: CreateSession;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path?: never;
    query?: never;
    url: '/v1/sessions';
};

export type CreateSessionResponses = {
    /**
     * Created
     */
    201: Session;
};

export type CreateSessionResponse = CreateSessionResponses[keyof CreateSessionResponses];

export type DeleteSessionData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * Whether to unlink the account from the phone too. false: for a session that was exported and goes on elsewhere with the same keys, which an unlinking would end.
         */
        unlink?: boolean;
    };
    url: '/v1/sessions/{sessionId}';
};

export type DeleteSessionResponses = {
    /**
     * Accepted
     */
    202: unknown;
    /**
     * No Content
     */
    204: void;
};

export type DeleteSessionResponse = DeleteSessionResponses[keyof DeleteSessionResponses];

export type GetSessionData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}';
};

export type GetSessionResponses = {
    /**
     * OK
     */
    200: Session;
};

export type GetSessionResponse = GetSessionResponses[keyof GetSessionResponses];

export type ChangeSessionData = {
    body: ChangeSession;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}';
};

export type ChangeSessionResponses = {
    /**
     * OK
     */
    200: Session;
};

export type ChangeSessionResponse = ChangeSessionResponses[keyof ChangeSessionResponses];

export type ListBlockedData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/blocklist';
};

export type ListBlockedResponses = {
    /**
     * OK
     */
    200: Blocklist;
};

export type ListBlockedResponse = ListBlockedResponses[keyof ListBlockedResponses];

export type UnblockContactData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/blocklist/{contactId}';
};

export type UnblockContactResponses = {
    /**
     * OK
     */
    200: Contact;
    /**
     * Accepted
     */
    202: Change;
};

export type UnblockContactResponse = UnblockContactResponses[keyof UnblockContactResponses];

export type BlockContactData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/blocklist/{contactId}';
};

export type BlockContactResponses = {
    /**
     * OK
     */
    200: Contact;
    /**
     * Accepted
     */
    202: Change;
};

export type BlockContactResponse = BlockContactResponses[keyof BlockContactResponses];

export type GetBusinessProfileData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/business-profile';
};

export type GetBusinessProfileResponses = {
    /**
     * OK
     */
    200: BusinessProfile;
};

export type GetBusinessProfileResponse = GetBusinessProfileResponses[keyof GetBusinessProfileResponses];

export type ListCallsData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/calls';
};

export type ListCallsResponses = {
    /**
     * OK
     */
    200: ListCall;
};

export type ListCallsResponse = ListCallsResponses[keyof ListCallsResponses];

export type RejectCallData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The call, by our id or WhatsApp's.
         */
        callId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/calls/{callId}/reject';
};

export type RejectCallResponses = {
    /**
     * OK
     */
    200: Call;
    /**
     * Accepted
     */
    202: Change;
};

export type RejectCallResponse = RejectCallResponses[keyof RejectCallResponses];

export type ListChangesData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
        /**
         * Only those.
         */
        status?: 'queued' | 'done' | 'failed' | 'expired';
    };
    url: '/v1/sessions/{sessionId}/changes';
};

export type ListChangesResponses = {
    /**
     * OK
     */
    200: ListChange;
};

export type ListChangesResponse = ListChangesResponses[keyof ListChangesResponses];

export type GetChangeData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The change that was answered when it was asked for.
         */
        changeId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/changes/{changeId}';
};

export type GetChangeResponses = {
    /**
     * OK
     */
    200: Change;
};

export type GetChangeResponse = GetChangeResponses[keyof GetChangeResponses];

export type LookUpChannelInviteData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The code: what follows https://whatsapp.com/channel/ in the link.
         */
        code: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channel-invites/{code}';
};

export type LookUpChannelInviteResponses = {
    /**
     * OK
     */
    200: Channel;
};

export type LookUpChannelInviteResponse = LookUpChannelInviteResponses[keyof LookUpChannelInviteResponses];

export type ListChannelsData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/channels';
};

export type ListChannelsResponses = {
    /**
     * OK
     */
    200: ListChannel;
};

export type ListChannelsResponse = ListChannelsResponses[keyof ListChannelsResponses];

export type CreateChannelData = {
    body: CreateChannel;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels';
};

export type CreateChannelResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type CreateChannelResponse = CreateChannelResponses[keyof CreateChannelResponses];

export type DeleteChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}';
};

export type DeleteChannelResponses = {
    /**
     * OK
     */
    200: ChannelDone;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteChannelResponse = DeleteChannelResponses[keyof DeleteChannelResponses];

export type GetChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}';
};

export type GetChannelResponses = {
    /**
     * OK
     */
    200: Channel;
};

export type GetChannelResponse = GetChannelResponses[keyof GetChannelResponses];

export type ChangeChannelData = {
    body: ChangeChannel;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}';
};

export type ChangeChannelResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeChannelResponse = ChangeChannelResponses[keyof ChangeChannelResponses];

export type WatchChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/live-updates';
};

export type WatchChannelResponses = {
    /**
     * OK
     */
    200: ChannelWatched;
};

export type WatchChannelResponse = WatchChannelResponses[keyof WatchChannelResponses];

export type ListChannelMessagesData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/channels/{channelId}/messages';
};

export type ListChannelMessagesResponses = {
    /**
     * OK
     */
    200: ListChannelPost;
};

export type ListChannelMessagesResponse = ListChannelMessagesResponses[keyof ListChannelMessagesResponses];

export type PostToChannelData = {
    body: PostToChannel;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: answer only when it is posted, or after N seconds (up to 30).
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/messages';
};

export type PostToChannelResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Message;
};

export type PostToChannelResponse = PostToChannelResponses[keyof PostToChannelResponses];

export type DeleteChannelMessageReactionData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
        /**
         * The post: its serverId, which is the channel's number of it, or its id, ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction';
};

export type DeleteChannelMessageReactionResponses = {
    /**
     * OK
     */
    200: PostReacted;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteChannelMessageReactionResponse = DeleteChannelMessageReactionResponses[keyof DeleteChannelMessageReactionResponses];

export type ReactToChannelMessageData = {
    body: SetReaction;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
        /**
         * The post: its serverId, which is the channel's number of it, or its id, ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction';
};

export type ReactToChannelMessageResponses = {
    /**
     * OK
     */
    200: PostReacted;
    /**
     * Accepted
     */
    202: Change;
};

export type ReactToChannelMessageResponse = ReactToChannelMessageResponses[keyof ReactToChannelMessageResponses];

export type UnmuteChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/mute';
};

export type UnmuteChannelResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type UnmuteChannelResponse = UnmuteChannelResponses[keyof UnmuteChannelResponses];

export type MuteChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/mute';
};

export type MuteChannelResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type MuteChannelResponse = MuteChannelResponses[keyof MuteChannelResponses];

export type DeleteChannelPictureData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/picture';
};

export type DeleteChannelPictureResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteChannelPictureResponse = DeleteChannelPictureResponses[keyof DeleteChannelPictureResponses];

export type SetChannelPictureData = {
    body: SetPicture;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/picture';
};

export type SetChannelPictureResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type SetChannelPictureResponse = SetChannelPictureResponses[keyof SetChannelPictureResponses];

export type UnfollowChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/subscription';
};

export type UnfollowChannelResponses = {
    /**
     * OK
     */
    200: ChannelDone;
    /**
     * Accepted
     */
    202: Change;
};

export type UnfollowChannelResponse = UnfollowChannelResponses[keyof UnfollowChannelResponses];

export type FollowChannelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The channel's JID, with or without @newsletter.
         */
        channelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/channels/{channelId}/subscription';
};

export type FollowChannelResponses = {
    /**
     * OK
     */
    200: Channel;
    /**
     * Accepted
     */
    202: Change;
};

export type FollowChannelResponse = FollowChannelResponses[keyof FollowChannelResponses];

export type ListChatsData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
        /**
         * Only archived chats, or only others.
         */
        archived?: boolean;
        /**
         * Only pinned chats, or only others.
         */
        pinned?: boolean;
        /**
         * Only chats with unread messages or marked as unread, or only others.
         */
        unread?: boolean;
        /**
         * Only chats with people, or only groups.
         */
        kind?: 'user' | 'group';
        /**
         * Only chats with this label.
         */
        labelId?: string;
        /**
         * Only chats whose name or number has this text in it.
         */
        q?: string;
    };
    url: '/v1/sessions/{sessionId}/chats';
};

export type ListChatsResponses = {
    /**
     * OK
     */
    200: ListChat;
};

export type ListChatsResponse = ListChatsResponses[keyof ListChatsResponses];

export type DeleteChatData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}';
};

export type DeleteChatResponses = {
    /**
     * OK
     */
    200: Chat;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteChatResponse = DeleteChatResponses[keyof DeleteChatResponses];

export type GetChatData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}';
};

export type GetChatResponses = {
    /**
     * OK
     */
    200: Chat;
};

export type GetChatResponse = GetChatResponses[keyof GetChatResponses];

export type ChangeChatData = {
    body: ChangeChat;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}';
};

export type ChangeChatResponses = {
    /**
     * OK
     */
    200: Chat;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeChatResponse = ChangeChatResponses[keyof ChangeChatResponses];

export type RequestHistoryData = {
    body: AskHistory;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}/history-sync';
};

export type RequestHistoryResponses = {
    /**
     * OK
     */
    200: HistoryAsked;
    /**
     * Accepted
     */
    202: Change;
};

export type RequestHistoryResponse = RequestHistoryResponses[keyof RequestHistoryResponses];

export type UnlabelChatData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
        /**
         * The label's id.
         */
        labelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}';
};

export type UnlabelChatResponses = {
    /**
     * OK
     */
    200: Chat;
    /**
     * Accepted
     */
    202: Change;
};

export type UnlabelChatResponse = UnlabelChatResponses[keyof UnlabelChatResponses];

export type LabelChatData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
        /**
         * The label's id.
         */
        labelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}';
};

export type LabelChatResponses = {
    /**
     * OK
     */
    200: Chat;
    /**
     * Accepted
     */
    202: Change;
};

export type LabelChatResponse = LabelChatResponses[keyof LabelChatResponses];

export type ClearChatData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}/messages';
};

export type ClearChatResponses = {
    /**
     * OK
     */
    200: Chat;
    /**
     * Accepted
     */
    202: Change;
};

export type ClearChatResponse = ClearChatResponses[keyof ClearChatResponses];

export type ListChatMessagesData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/chats/{chatId}/messages';
};

export type ListChatMessagesResponses = {
    /**
     * OK
     */
    200: ListMessage;
};

export type ListChatMessagesResponse = ListChatMessagesResponses[keyof ListChatMessagesResponses];

export type ReadChatData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code (digits, + allowed), or a JID.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}/read';
};

export type ReadChatResponses = {
    /**
     * OK
     */
    200: Chat;
    /**
     * Accepted
     */
    202: Change;
};

export type ReadChatResponse = ReadChatResponses[keyof ReadChatResponses];

export type SetTypingData = {
    body: SetTyping;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The chat: a phone number with its country code, or the JID of a person or group.
         */
        chatId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/chats/{chatId}/typing';
};

export type SetTypingResponses = {
    /**
     * OK
     */
    200: Typing;
};

export type SetTypingResponse = SetTypingResponses[keyof SetTypingResponses];

export type ListContactsData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
        /**
         * Only whose name holds this text, or whose number or LID these digits.
         */
        q?: string;
        /**
         * Only who has this number.
         */
        phone?: string;
        /**
         * Only who has this LID, in digits.
         */
        lid?: string;
        /**
         * true: only those whom the account blocked; false: only others.
         */
        blocked?: boolean;
        /**
         * true: only those in the account's address book; false: only others.
         */
        saved?: boolean;
    };
    url: '/v1/sessions/{sessionId}/contacts';
};

export type ListContactsResponses = {
    /**
     * OK
     */
    200: ListContact;
};

export type ListContactsResponse = ListContactsResponses[keyof ListContactsResponses];

export type CheckContactsData = {
    body: CheckContacts;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/contacts/check';
};

export type CheckContactsResponses = {
    /**
     * OK
     */
    200: ContactChecks;
};

export type CheckContactsResponse = CheckContactsResponses[keyof CheckContactsResponses];

export type EraseContactData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: {
        /**
         * true: erase him, which cannot be undone.
         */
        erase?: boolean;
    };
    url: '/v1/sessions/{sessionId}/contacts/{contactId}';
};

export type EraseContactResponses = {
    /**
     * OK
     */
    200: Erased;
};

export type EraseContactResponse = EraseContactResponses[keyof EraseContactResponses];

export type GetContactData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30; without it 3.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/contacts/{contactId}';
};

export type GetContactResponses = {
    /**
     * OK
     */
    200: Contact;
};

export type GetContactResponse = GetContactResponses[keyof GetContactResponses];

export type ChangeContactData = {
    body: ChangeContact;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/contacts/{contactId}';
};

export type ChangeContactResponses = {
    /**
     * OK
     */
    200: Contact;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeContactResponse = ChangeContactResponses[keyof ChangeContactResponses];

export type GetContactBusinessProfileData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/contacts/{contactId}/business-profile';
};

export type GetContactBusinessProfileResponses = {
    /**
     * OK
     */
    200: BusinessProfile;
};

export type GetContactBusinessProfileResponse = GetContactBusinessProfileResponses[keyof GetContactBusinessProfileResponses];

export type GetContactPictureData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: {
        /**
         * true: the small form.
         */
        preview?: boolean;
    };
    url: '/v1/sessions/{sessionId}/contacts/{contactId}/picture';
};

export type GetContactPictureResponses = {
    /**
     * OK
     */
    200: Picture;
};

export type GetContactPictureResponse = GetContactPictureResponses[keyof GetContactPictureResponses];

export type ExportSessionData = {
    body: ExportSession;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/export';
};

export type ExportSessionResponses = {
    /**
     * The file, in the format of age
     */
    200: Blob | File;
};

export type ExportSessionResponse = ExportSessionResponses[keyof ExportSessionResponses];

export type LookUpGroupInviteData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The code: what follows https://chat.whatsapp.com/ in the link.
         */
        code: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/group-invites/{code}';
};

export type LookUpGroupInviteResponses = {
    /**
     * OK
     */
    200: Group;
};

export type LookUpGroupInviteResponse = LookUpGroupInviteResponses[keyof LookUpGroupInviteResponses];

export type JoinGroupData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The code: what follows https://chat.whatsapp.com/ in the link.
         */
        code: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/group-invites/{code}/join';
};

export type JoinGroupResponses = {
    /**
     * OK
     */
    200: GroupJoining;
    /**
     * Accepted
     */
    202: Change;
};

export type JoinGroupResponse = JoinGroupResponses[keyof JoinGroupResponses];

export type ListGroupsData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/groups';
};

export type ListGroupsResponses = {
    /**
     * OK
     */
    200: ListGroup;
};

export type ListGroupsResponse = ListGroupsResponses[keyof ListGroupsResponses];

export type CreateGroupData = {
    body: CreateGroup;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups';
};

export type CreateGroupResponses = {
    /**
     * OK
     */
    200: GroupCreated;
    /**
     * Accepted
     */
    202: Change;
};

export type CreateGroupResponse = CreateGroupResponses[keyof CreateGroupResponses];

export type GetGroupData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}';
};

export type GetGroupResponses = {
    /**
     * OK
     */
    200: Group;
};

export type GetGroupResponse = GetGroupResponses[keyof GetGroupResponses];

export type ChangeGroupData = {
    body: ChangeGroup;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}';
};

export type ChangeGroupResponses = {
    /**
     * OK
     */
    200: Group;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeGroupResponse = ChangeGroupResponses[keyof ChangeGroupResponses];

export type GetGroupInviteData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/invite';
};

export type GetGroupInviteResponses = {
    /**
     * OK
     */
    200: GroupLink;
};

export type GetGroupInviteResponse = GetGroupInviteResponses[keyof GetGroupInviteResponses];

export type RotateGroupInviteData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/invite/rotate';
};

export type RotateGroupInviteResponses = {
    /**
     * OK
     */
    200: GroupLink;
    /**
     * Accepted
     */
    202: Change;
};

export type RotateGroupInviteResponse = RotateGroupInviteResponses[keyof RotateGroupInviteResponses];

export type ListJoinRequestsData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/join-requests';
};

export type ListJoinRequestsResponses = {
    /**
     * OK
     */
    200: JoinRequests;
};

export type ListJoinRequestsResponse = ListJoinRequestsResponses[keyof ListJoinRequestsResponses];

export type ApproveJoinRequestData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
        /**
         * A phone number or a JID.
         */
        participantId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/approve';
};

export type ApproveJoinRequestResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type ApproveJoinRequestResponse = ApproveJoinRequestResponses[keyof ApproveJoinRequestResponses];

export type RejectJoinRequestData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
        /**
         * A phone number or a JID.
         */
        participantId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/reject';
};

export type RejectJoinRequestResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type RejectJoinRequestResponse = RejectJoinRequestResponses[keyof RejectJoinRequestResponses];

export type LeaveGroupData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/leave';
};

export type LeaveGroupResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type LeaveGroupResponse = LeaveGroupResponses[keyof LeaveGroupResponses];

export type ListParticipantsData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/participants';
};

export type ListParticipantsResponses = {
    /**
     * OK
     */
    200: ParticipantsShown;
};

export type ListParticipantsResponse = ListParticipantsResponses[keyof ListParticipantsResponses];

export type AddParticipantsData = {
    body: AddParticipants;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/participants';
};

export type AddParticipantsResponses = {
    /**
     * OK
     */
    200: ParticipantsAdded;
    /**
     * Accepted
     */
    202: Change;
};

export type AddParticipantsResponse = AddParticipantsResponses[keyof AddParticipantsResponses];

export type RemoveParticipantData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
        /**
         * A phone number or a JID.
         */
        participantId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}';
};

export type RemoveParticipantResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type RemoveParticipantResponse = RemoveParticipantResponses[keyof RemoveParticipantResponses];

export type ChangeParticipantData = {
    body: ChangeParticipant;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
        /**
         * A phone number or a JID.
         */
        participantId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}';
};

export type ChangeParticipantResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeParticipantResponse = ChangeParticipantResponses[keyof ChangeParticipantResponses];

export type DeleteGroupPictureData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/picture';
};

export type DeleteGroupPictureResponses = {
    /**
     * OK
     */
    200: GroupPictured;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteGroupPictureResponse = DeleteGroupPictureResponses[keyof DeleteGroupPictureResponses];

export type SetGroupPictureData = {
    body: SetPicture;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/picture';
};

export type SetGroupPictureResponses = {
    /**
     * OK
     */
    200: GroupPictured;
    /**
     * Accepted
     */
    202: Change;
};

export type SetGroupPictureResponse = SetGroupPictureResponses[keyof SetGroupPictureResponses];

export type ListSubgroupsData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/subgroups';
};

export type ListSubgroupsResponses = {
    /**
     * OK
     */
    200: Subgroups;
};

export type ListSubgroupsResponse = ListSubgroupsResponses[keyof ListSubgroupsResponses];

export type UnlinkSubgroupData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
        /**
         * The JID of the group, with or without @g.us.
         */
        subgroupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}';
};

export type UnlinkSubgroupResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type UnlinkSubgroupResponse = UnlinkSubgroupResponses[keyof UnlinkSubgroupResponses];

export type LinkSubgroupData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The group's JID, with or without @g.us.
         */
        groupId: string;
        /**
         * The JID of the group, with or without @g.us.
         */
        subgroupId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}';
};

export type LinkSubgroupResponses = {
    /**
     * OK
     */
    200: GroupDone;
    /**
     * Accepted
     */
    202: Change;
};

export type LinkSubgroupResponse = LinkSubgroupResponses[keyof LinkSubgroupResponses];

export type GetSessionHealthData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/health';
};

export type GetSessionHealthResponses = {
    /**
     * OK
     */
    200: AccountHealth;
};

export type GetSessionHealthResponse = GetSessionHealthResponses[keyof GetSessionHealthResponses];

export type ListLabelsData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/labels';
};

export type ListLabelsResponses = {
    /**
     * OK
     */
    200: Labels;
};

export type ListLabelsResponse = ListLabelsResponses[keyof ListLabelsResponses];

export type CreateLabelData = {
    body: CreateLabel;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/labels';
};

export type CreateLabelResponses = {
    /**
     * OK
     */
    200: Label;
    /**
     * Accepted
     */
    202: Change;
};

export type CreateLabelResponse = CreateLabelResponses[keyof CreateLabelResponses];

export type DeleteLabelData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The label's id.
         */
        labelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/labels/{labelId}';
};

export type DeleteLabelResponses = {
    /**
     * OK
     */
    200: Label;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteLabelResponse = DeleteLabelResponses[keyof DeleteLabelResponses];

export type ChangeLabelData = {
    body: ChangeLabel;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The label's id.
         */
        labelId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/labels/{labelId}';
};

export type ChangeLabelResponses = {
    /**
     * OK
     */
    200: Label;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeLabelResponse = ChangeLabelResponses[keyof ChangeLabelResponses];

export type CreateLinkData = {
    body: CreateLink;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/links';
};

export type CreateLinkResponses = {
    /**
     * Created
     */
    201: Link;
};

export type CreateLinkResponse = CreateLinkResponses[keyof CreateLinkResponses];

export type ListSessionLogData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/log';
};

export type ListSessionLogResponses = {
    /**
     * OK
     */
    200: ListLogEntry;
};

export type ListSessionLogResponse = ListSessionLogResponses[keyof ListSessionLogResponses];

export type LogoutSessionData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/logout';
};

export type LogoutSessionResponses = {
    /**
     * Accepted
     */
    202: Session;
};

export type LogoutSessionResponse = LogoutSessionResponses[keyof LogoutSessionResponses];

export type CreateMessageBatchData = {
    body: CreateBatch;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/message-batches';
};

export type CreateMessageBatchResponses = {
    /**
     * Accepted
     */
    202: MessageBatch;
};

export type CreateMessageBatchResponse = CreateMessageBatchResponses[keyof CreateMessageBatchResponses];

export type GetMessageBatchData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The batch's id.
         */
        batchId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/message-batches/{batchId}';
};

export type GetMessageBatchResponses = {
    /**
     * OK
     */
    200: MessageBatch;
};

export type GetMessageBatchResponse = GetMessageBatchResponses[keyof GetMessageBatchResponses];

export type CancelMessageBatchData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The batch's id.
         */
        batchId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/message-batches/{batchId}/cancel';
};

export type CancelMessageBatchResponses = {
    /**
     * OK
     */
    200: MessageBatch;
};

export type CancelMessageBatchResponse = CancelMessageBatchResponses[keyof CancelMessageBatchResponses];

export type ListMessagesData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
        /**
         * Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys are left out. Absent for a message without one, and where it is very large or the page has too much of it.
         */
        raw?: boolean;
        /**
         * Only those with all these words in their text, caption, file name, or question of a poll; the last word may be the beginning of one. In quotes: one after the other; or: one of both; -: without. Case does not matter, accents do.
         */
        q?: string;
        /**
         * Only this chat: a phone number or a JID. Status updates are in none but status@broadcast: without it they are left out.
         */
        chatId?: string;
        /**
         * Only those with a timestamp of then or later.
         */
        since?: string;
        /**
         * Only those with a timestamp before then.
         */
        until?: string;
        /**
         * Only this type of content.
         */
        type?: string;
        /**
         * Only those received, or sent.
         */
        direction?: 'incoming' | 'outgoing';
        /**
         * Only with this status.
         */
        status?: 'scheduled' | 'queued' | 'sending' | 'sent' | 'delivered' | 'read' | 'played' | 'failed' | 'cancelled' | 'expired';
        /**
         * Only those of a batch.
         */
        batchId?: string;
    };
    url: '/v1/sessions/{sessionId}/messages';
};

export type ListMessagesResponses = {
    /**
     * OK
     */
    200: ListMessage;
};

export type ListMessagesResponse = ListMessagesResponses[keyof ListMessagesResponses];

export type SendMessageData = {
    body: SendMessage;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: answer only when it is sent, or after N seconds (up to 30).
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages';
};

export type SendMessageResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Message;
};

export type SendMessageResponse = SendMessageResponses[keyof SendMessageResponses];

export type MarkMessagesReadData = {
    body: MarkRead;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/mark-read';
};

export type MarkMessagesReadResponses = {
    /**
     * OK
     */
    200: MessagesRead;
    /**
     * Accepted
     */
    202: Change;
};

export type MarkMessagesReadResponse = MarkMessagesReadResponses[keyof MarkMessagesReadResponses];

export type DeleteMessageData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: {
        /**
         * For whom it is deleted.
         */
        scope?: 'everyone' | 'me';
    };
    url: '/v1/sessions/{sessionId}/messages/{messageId}';
};

export type DeleteMessageResponses = {
    /**
     * OK
     */
    200: RevokedData;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteMessageResponse = DeleteMessageResponses[keyof DeleteMessageResponses];

export type GetMessageData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: {
        /**
         * Add WhatsApp's own form of the message (waE2E.Message in JSON) as raw, as it is stored: after an edit it is the new one. Keys are left out. Absent for a message without one, and where it is very large or the page has too much of it.
         */
        raw?: boolean;
    };
    url: '/v1/sessions/{sessionId}/messages/{messageId}';
};

export type GetMessageResponses = {
    /**
     * OK
     */
    200: Message;
};

export type GetMessageResponse = GetMessageResponses[keyof GetMessageResponses];

export type EditMessageData = {
    body: EditMessage;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}';
};

export type EditMessageResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type EditMessageResponse = EditMessageResponses[keyof EditMessageResponses];

export type AcceptGroupInviteData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/accept-invite';
};

export type AcceptGroupInviteResponses = {
    /**
     * OK
     */
    200: GroupJoining;
    /**
     * Accepted
     */
    202: Change;
};

export type AcceptGroupInviteResponse = AcceptGroupInviteResponses[keyof AcceptGroupInviteResponses];

export type CancelMessageData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/cancel';
};

export type CancelMessageResponses = {
    /**
     * OK
     */
    200: Message;
};

export type CancelMessageResponse = CancelMessageResponses[keyof CancelMessageResponses];

export type ForwardMessageData = {
    body: ForwardMessage;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/forward';
};

export type ForwardMessageResponses = {
    /**
     * Accepted
     */
    202: ForwardedMessages;
};

export type ForwardMessageResponse = ForwardMessageResponses[keyof ForwardMessageResponses];

export type GetMessageMediaData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/media';
};

export type GetMessageMediaResponses = {
    /**
     * OK
     */
    200: MediaInfo;
};

export type GetMessageMediaResponse = GetMessageMediaResponses[keyof GetMessageMediaResponses];

export type RetryMessageMediaData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/media/retry';
};

export type RetryMessageMediaResponses = {
    /**
     * Accepted
     */
    202: MediaInfo;
};

export type RetryMessageMediaResponse = RetryMessageMediaResponses[keyof RetryMessageMediaResponses];

export type UnpinMessageData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/pin';
};

export type UnpinMessageResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type UnpinMessageResponse = UnpinMessageResponses[keyof UnpinMessageResponses];

export type PinMessageData = {
    body: PinMessage;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/pin';
};

export type PinMessageResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type PinMessageResponse = PinMessageResponses[keyof PinMessageResponses];

export type GetPollResultsData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/poll-results';
};

export type GetPollResultsResponses = {
    /**
     * OK
     */
    200: PollResults;
};

export type GetPollResultsResponse = GetPollResultsResponses[keyof GetPollResultsResponses];

export type DeleteReactionData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/reaction';
};

export type DeleteReactionResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteReactionResponse = DeleteReactionResponses[keyof DeleteReactionResponses];

export type SetReactionData = {
    body: SetReaction;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/reaction';
};

export type SetReactionResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type SetReactionResponse = SetReactionResponses[keyof SetReactionResponses];

export type ListReceiptsData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/receipts';
};

export type ListReceiptsResponses = {
    /**
     * OK
     */
    200: MessageReceipts;
};

export type ListReceiptsResponse = ListReceiptsResponses[keyof ListReceiptsResponses];

export type RespondToEventData = {
    body: Respond;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/respond';
};

export type RespondToEventResponses = {
    /**
     * OK
     */
    200: ResponseData;
    /**
     * Accepted
     */
    202: Change;
};

export type RespondToEventResponse = RespondToEventResponses[keyof RespondToEventResponses];

export type ListEventResponsesData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/responses';
};

export type ListEventResponsesResponses = {
    /**
     * OK
     */
    200: EventResponses;
};

export type ListEventResponsesResponse = ListEventResponsesResponses[keyof ListEventResponsesResponses];

export type UnstarMessageData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/star';
};

export type UnstarMessageResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type UnstarMessageResponse = UnstarMessageResponses[keyof UnstarMessageResponses];

export type StarMessageData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/star';
};

export type StarMessageResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Change;
};

export type StarMessageResponse = StarMessageResponses[keyof StarMessageResponses];

export type VoteData2 = {
    body: Vote;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The message's id: ours (msg_...) or WhatsApp's.
         */
        messageId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/messages/{messageId}/vote';
};

export type VoteResponses = {
    /**
     * OK
     */
    200: VoteData;
    /**
     * Accepted
     */
    202: Change;
};

export type VoteResponse = VoteResponses[keyof VoteResponses];

export type AskPairingCodeData = {
    body: AskPairingCode;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/pairing-code';
};

export type AskPairingCodeResponses = {
    /**
     * OK
     */
    200: PairingCode;
};

export type AskPairingCodeResponse = AskPairingCodeResponses[keyof AskPairingCodeResponses];

export type GetPasskeyData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/passkey';
};

export type GetPasskeyResponses = {
    /**
     * OK
     */
    200: Passkey;
};

export type GetPasskeyResponse = GetPasskeyResponses[keyof GetPasskeyResponses];

export type ConfirmPasskeyData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/passkey/confirmation';
};

export type ConfirmPasskeyResponses = {
    /**
     * OK
     */
    200: Passkey;
};

export type ConfirmPasskeyResponse = ConfirmPasskeyResponses[keyof ConfirmPasskeyResponses];

export type AnswerPasskeyData = {
    body: AnswerPasskey;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/passkey/response';
};

export type AnswerPasskeyResponses = {
    /**
     * OK
     */
    200: Passkey;
};

export type AnswerPasskeyResponse = AnswerPasskeyResponses[keyof AnswerPasskeyResponses];

export type SetPresenceData = {
    body: SetPresence;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/presence';
};

export type SetPresenceResponses = {
    /**
     * OK
     */
    200: OwnPresence;
};

export type SetPresenceResponse = SetPresenceResponses[keyof SetPresenceResponses];

export type GetPresenceData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/presence/{contactId}';
};

export type GetPresenceResponses = {
    /**
     * OK
     */
    200: Presence;
};

export type GetPresenceResponse = GetPresenceResponses[keyof GetPresenceResponses];

export type UnsubscribePresenceData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/presence/{contactId}/subscription';
};

export type UnsubscribePresenceResponses = {
    /**
     * OK
     */
    200: Presence;
    /**
     * Accepted
     */
    202: Change;
};

export type UnsubscribePresenceResponse = UnsubscribePresenceResponses[keyof UnsubscribePresenceResponses];

export type SubscribePresenceData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * A phone number with its country code, or a JID: of the phone or the LID.
         */
        contactId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/presence/{contactId}/subscription';
};

export type SubscribePresenceResponses = {
    /**
     * OK
     */
    200: Presence;
    /**
     * Accepted
     */
    202: Change;
};

export type SubscribePresenceResponse = SubscribePresenceResponses[keyof SubscribePresenceResponses];

export type GetPrivacyData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/privacy';
};

export type GetPrivacyResponses = {
    /**
     * OK
     */
    200: Privacy;
};

export type GetPrivacyResponse = GetPrivacyResponses[keyof GetPrivacyResponses];

export type ChangePrivacyData = {
    body: ChangePrivacy;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/privacy';
};

export type ChangePrivacyResponses = {
    /**
     * OK
     */
    200: Privacy;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangePrivacyResponse = ChangePrivacyResponses[keyof ChangePrivacyResponses];

export type GetProfileData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp's answer, 1 to 30; without it 10.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/profile';
};

export type GetProfileResponses = {
    /**
     * OK
     */
    200: Profile;
};

export type GetProfileResponse = GetProfileResponses[keyof GetProfileResponses];

export type ChangeProfileData = {
    body: ChangeProfile;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/profile';
};

export type ChangeProfileResponses = {
    /**
     * OK
     */
    200: Profile;
    /**
     * Accepted
     */
    202: Change;
};

export type ChangeProfileResponse = ChangeProfileResponses[keyof ChangeProfileResponses];

export type DeleteProfilePictureData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/profile/picture';
};

export type DeleteProfilePictureResponses = {
    /**
     * OK
     */
    200: ProfilePictured;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteProfilePictureResponse = DeleteProfilePictureResponses[keyof DeleteProfilePictureResponses];

export type SetProfilePictureData = {
    body: SetPicture;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/profile/picture';
};

export type SetProfilePictureResponses = {
    /**
     * OK
     */
    200: ProfilePictured;
    /**
     * Accepted
     */
    202: Change;
};

export type SetProfilePictureResponse = SetProfilePictureResponses[keyof SetProfilePictureResponses];

export type GetSessionQrData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * Seconds to wait for a code. A session that was just started has one after a second or two.
         */
        wait?: number;
    };
    url: '/v1/sessions/{sessionId}/qr';
};

export type GetSessionQrResponses = {
    /**
     * The code, in the form that Accept asks for
     */
    200: Qr;
};

export type GetSessionQrResponse = GetSessionQrResponses[keyof GetSessionQrResponses];

export type RestartSessionData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/restart';
};

export type RestartSessionResponses = {
    /**
     * Accepted
     */
    202: Session;
};

export type RestartSessionResponse = RestartSessionResponses[keyof RestartSessionResponses];

export type SimulateMessageData = {
    body: SimulateMessage;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/simulated-message';
};

export type SimulateMessageResponses = {
    /**
     * OK
     */
    200: SimulatedMessage;
};

export type SimulateMessageResponse = SimulateMessageResponses[keyof SimulateMessageResponses];

export type SimulateScanData = {
    body: SimulateScan;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/simulated-scan';
};

export type SimulateScanResponses = {
    /**
     * OK
     */
    200: SimulatedScan;
};

export type SimulateScanResponse = SimulateScanResponses[keyof SimulateScanResponses];

export type StartSessionData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/start';
};

export type StartSessionResponses = {
    /**
     * Accepted
     */
    202: Session;
};

export type StartSessionResponse = StartSessionResponses[keyof StartSessionResponses];

export type ListStatusUpdatesData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
        /**
         * Only own status updates, or only those of contacts.
         */
        fromMe?: boolean;
        /**
         * Only those of this contact: a phone number or a JID.
         */
        contactId?: string;
    };
    url: '/v1/sessions/{sessionId}/status-updates';
};

export type ListStatusUpdatesResponses = {
    /**
     * OK
     */
    200: ListMessage;
};

export type ListStatusUpdatesResponse = ListStatusUpdatesResponses[keyof ListStatusUpdatesResponses];

export type PostStatusUpdateData = {
    body: PostStatus;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: answer only when it is posted, or after N seconds (up to 30).
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/status-updates';
};

export type PostStatusUpdateResponses = {
    /**
     * OK
     */
    200: Message;
    /**
     * Accepted
     */
    202: Message;
};

export type PostStatusUpdateResponse = PostStatusUpdateResponses[keyof PostStatusUpdateResponses];

export type DeleteStatusUpdateData = {
    body?: never;
    headers?: {
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The status update's id: ours (msg_...) or WhatsApp's.
         */
        statusId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/status-updates/{statusId}';
};

export type DeleteStatusUpdateResponses = {
    /**
     * OK
     */
    200: RevokedData;
    /**
     * Accepted
     */
    202: Change;
};

export type DeleteStatusUpdateResponse = DeleteStatusUpdateResponses[keyof DeleteStatusUpdateResponses];

export type GetStatusUpdateData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The status update's id: ours (msg_...) or WhatsApp's.
         */
        statusId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/status-updates/{statusId}';
};

export type GetStatusUpdateResponses = {
    /**
     * OK
     */
    200: Message;
};

export type GetStatusUpdateResponse = GetStatusUpdateResponses[keyof GetStatusUpdateResponses];

export type ViewStatusUpdateData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: wait up to N seconds for WhatsApp, 0 to 30. Without it 10, or not at all while the session is not connected.
         */
        Prefer?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The status update's id: ours (msg_...) or WhatsApp's.
         */
        statusId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/status-updates/{statusId}/view';
};

export type ViewStatusUpdateResponses = {
    /**
     * OK
     */
    200: MessagesRead;
    /**
     * Accepted
     */
    202: Change;
};

export type ViewStatusUpdateResponse = ViewStatusUpdateResponses[keyof ViewStatusUpdateResponses];

export type ListStatusViewersData = {
    body?: never;
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
        /**
         * The status update's id: ours (msg_...) or WhatsApp's.
         */
        statusId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/sessions/{sessionId}/status-updates/{statusId}/viewers';
};

export type ListStatusViewersResponses = {
    /**
     * OK
     */
    200: ListStatusViewer;
};

export type ListStatusViewersResponse = ListStatusViewersResponses[keyof ListStatusViewersResponses];

export type StopSessionData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * The session's id, as you chose it.
         */
        sessionId: string;
    };
    query?: never;
    url: '/v1/sessions/{sessionId}/stop';
};

export type StopSessionResponses = {
    /**
     * Accepted
     */
    202: Session;
};

export type StopSessionResponse = StopSessionResponses[keyof StopSessionResponses];

export type ListSettingsData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/v1/settings';
};

export type ListSettingsResponses = {
    /**
     * OK
     */
    200: SettingList;
};

export type ListSettingsResponse = ListSettingsResponses[keyof ListSettingsResponses];

export type GetStatsData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * From when on, within 30 days; default: an hour ago. The step in which it lies is the first.
         */
        since?: string;
        /**
         * The length of a step in seconds, a multiple of 60. Default: what gives up to 200 steps.
         */
        step?: number;
    };
    url: '/v1/stats';
};

export type GetStatsResponses = {
    /**
     * OK
     */
    200: Stats;
};

export type GetStatsResponse = GetStatsResponses[keyof GetStatsResponses];

export type CreateStreamTicketData = {
    body: CreateTicket;
    path?: never;
    query?: never;
    url: '/v1/stream-tickets';
};

export type CreateStreamTicketResponses = {
    /**
     * Created
     */
    201: Ticket;
};

export type CreateStreamTicketResponse = CreateStreamTicketResponses[keyof CreateStreamTicketResponses];

export type GetVersionData = {
    body?: never;
    path?: never;
    query?: never;
    url: '/v1/version';
};

export type GetVersionResponses = {
    /**
     * OK
     */
    200: Version;
};

export type GetVersionResponse = GetVersionResponses[keyof GetVersionResponses];

export type ListDeliveriesData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * Only in these states, separated by commas.
         */
        state?: Array<'pending' | 'sending' | 'succeeded' | 'exhausted' | 'cancelled' | 'held'>;
        /**
         * Only of this event.
         */
        eventId?: string;
        /**
         * Only of events that were made then or later, to the millisecond.
         */
        since?: string;
        /**
         * Only of events that were made before then.
         */
        until?: string;
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/webhook-deliveries';
};

export type ListDeliveriesResponses = {
    /**
     * OK
     */
    200: ListDelivery;
};

export type ListDeliveriesResponse = ListDeliveriesResponses[keyof ListDeliveriesResponses];

export type GetDeliveryData = {
    body?: never;
    path: {
        /**
         * A delivery, as the lists of them name it.
         */
        deliveryId: string;
    };
    query?: never;
    url: '/v1/webhook-deliveries/{deliveryId}';
};

export type GetDeliveryResponses = {
    /**
     * OK
     */
    200: DeliveryDetail;
};

export type GetDeliveryResponse = GetDeliveryResponses[keyof GetDeliveryResponses];

export type RetryDeliveryData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * A delivery, as the lists of them name it.
         */
        deliveryId: string;
    };
    query?: never;
    url: '/v1/webhook-deliveries/{deliveryId}/retry';
};

export type RetryDeliveryResponses = {
    /**
     * Accepted
     */
    202: Delivery;
};

export type RetryDeliveryResponse = RetryDeliveryResponses[keyof RetryDeliveryResponses];

export type ListWebhookEndpointsData = {
    body?: never;
    path?: never;
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/webhook-endpoints';
};

export type ListWebhookEndpointsResponses = {
    /**
     * OK
     */
    200: ListEndpoint;
};

export type ListWebhookEndpointsResponse = ListWebhookEndpointsResponses[keyof ListWebhookEndpointsResponses];

export type CreateWebhookEndpointData = {
    body: CreateEndpoint;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path?: never;
    query?: never;
    url: '/v1/webhook-endpoints';
};

export type CreateWebhookEndpointResponses = {
    /**
     * Created
     */
    201: CreatedEndpoint;
};

export type CreateWebhookEndpointResponse = CreateWebhookEndpointResponses[keyof CreateWebhookEndpointResponses];

export type DeleteWebhookEndpointData = {
    body?: never;
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}';
};

export type DeleteWebhookEndpointResponses = {
    /**
     * No Content
     */
    204: void;
};

export type DeleteWebhookEndpointResponse = DeleteWebhookEndpointResponses[keyof DeleteWebhookEndpointResponses];

export type GetWebhookEndpointData = {
    body?: never;
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}';
};

export type GetWebhookEndpointResponses = {
    /**
     * OK
     */
    200: Endpoint;
};

export type GetWebhookEndpointResponse = GetWebhookEndpointResponses[keyof GetWebhookEndpointResponses];

export type ChangeWebhookEndpointData = {
    body: ChangeEndpoint;
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}';
};

export type ChangeWebhookEndpointResponses = {
    /**
     * OK
     */
    200: Endpoint;
};

export type ChangeWebhookEndpointResponse = ChangeWebhookEndpointResponses[keyof ChangeWebhookEndpointResponses];

export type ListEndpointDeliveriesData = {
    body?: never;
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: {
        /**
         * Only of events of these types, separated by commas; message.* and the like too.
         */
        type?: Array<'*' | 'session.*' | 'message.*' | 'poll.*' | 'event.*' | 'chat.*' | 'label.*' | 'history.*' | 'contact.*' | 'group.*' | 'status.*' | 'channel.*' | 'presence.*' | 'call.*' | 'change.*' | 'media.*' | 'webhook.*' | 'session.status' | 'session.qr' | 'session.pairing-code' | 'session.risk' | 'message.received' | 'message.sent' | 'message.status' | 'message.edited' | 'message.revoked' | 'message.deleted' | 'message.reaction' | 'message.pinned' | 'message.starred' | 'poll.voted' | 'event.responded' | 'chat.updated' | 'label.updated' | 'history.synced' | 'contact.updated' | 'group.joined' | 'group.left' | 'group.updated' | 'group.participants' | 'group.join-request' | 'status.received' | 'channel.updated' | 'channel.message' | 'channel.counts' | 'presence.updated' | 'chat.typing' | 'call.offered' | 'call.accepted' | 'call.ended' | 'change.failed' | 'media.failed' | 'webhook.test' | 'webhook.failing' | 'webhook.disabled'>;
        /**
         * Only in these states, separated by commas.
         */
        state?: Array<'pending' | 'sending' | 'succeeded' | 'exhausted' | 'cancelled' | 'held'>;
        /**
         * Only of this event.
         */
        eventId?: string;
        /**
         * Only of events that were made then or later, to the millisecond.
         */
        since?: string;
        /**
         * Only of events that were made before then.
         */
        until?: string;
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/webhook-endpoints/{endpointId}/deliveries';
};

export type ListEndpointDeliveriesResponses = {
    /**
     * OK
     */
    200: ListDelivery;
};

export type ListEndpointDeliveriesResponse = ListEndpointDeliveriesResponses[keyof ListEndpointDeliveriesResponses];

export type ReplayWebhookEndpointData = {
    body: CreateReplay;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}/replay';
};

export type ReplayWebhookEndpointResponses = {
    /**
     * Accepted
     */
    202: Replay;
};

export type ReplayWebhookEndpointResponse = ReplayWebhookEndpointResponses[keyof ReplayWebhookEndpointResponses];

export type ListReplaysData = {
    body?: never;
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: {
        /**
         * nextCursor of the page before.
         */
        cursor?: string;
        /**
         * Items a page.
         */
        limit?: number;
    };
    url: '/v1/webhook-endpoints/{endpointId}/replays';
};

export type ListReplaysResponses = {
    /**
     * OK
     */
    200: ListReplay;
};

export type ListReplaysResponse = ListReplaysResponses[keyof ListReplaysResponses];

export type GetWebhookSecretData = {
    body?: never;
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}/secret';
};

export type GetWebhookSecretResponses = {
    /**
     * OK
     */
    200: EndpointSecret;
};

export type GetWebhookSecretResponse = GetWebhookSecretResponses[keyof GetWebhookSecretResponses];

export type RotateWebhookSecretData = {
    body?: RotateSecret;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}/secret/rotate';
};

export type RotateWebhookSecretResponses = {
    /**
     * OK
     */
    200: RotatedSecret;
};

export type RotateWebhookSecretResponse = RotateWebhookSecretResponses[keyof RotateWebhookSecretResponses];

export type TestWebhookEndpointData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
        /**
         * wait=N: answer only when there was an attempt, or after N seconds (up to 30).
         */
        Prefer?: string;
    };
    path: {
        /**
         * A webhook endpoint.
         */
        endpointId: string;
    };
    query?: never;
    url: '/v1/webhook-endpoints/{endpointId}/test';
};

export type TestWebhookEndpointResponses = {
    /**
     * OK
     */
    200: EndpointTest;
    /**
     * Accepted
     */
    202: EndpointTest;
};

export type TestWebhookEndpointResponse = TestWebhookEndpointResponses[keyof TestWebhookEndpointResponses];

export type GetReplayData = {
    body?: never;
    path: {
        /**
         * A replay of the list, or of the answer that began it.
         */
        replayId: string;
    };
    query?: never;
    url: '/v1/webhook-replays/{replayId}';
};

export type GetReplayResponses = {
    /**
     * OK
     */
    200: Replay;
};

export type GetReplayResponse = GetReplayResponses[keyof GetReplayResponses];

export type CancelReplayData = {
    body?: never;
    headers?: {
        /**
         * Any text of your own that names this request, such as an order's number. A repeat within 24 h does nothing again.
         */
        'Idempotency-Key'?: string;
    };
    path: {
        /**
         * A replay of the list, or of the answer that began it.
         */
        replayId: string;
    };
    query?: never;
    url: '/v1/webhook-replays/{replayId}/cancel';
};

export type CancelReplayResponses = {
    /**
     * OK
     */
    200: Replay;
};

export type CancelReplayResponse = CancelReplayResponses[keyof CancelReplayResponses];
