// Code generated from openapi.yaml by make generate. DO NOT EDIT.

import { client } from './client.gen.js';
import { type Client, formDataBodySerializer, type Options as Options2, type TDataShape } from './client/index.js';
import type { AcceptGroupInviteData, AcceptGroupInviteResponses, AddParticipantsData, AddParticipantsResponses, AnswerPasskeyData, AnswerPasskeyResponses, ApproveJoinRequestData, ApproveJoinRequestResponses, AskPairingCodeData, AskPairingCodeResponses, BlockContactData, BlockContactResponses, CancelMessageBatchData, CancelMessageBatchResponses, CancelMessageData, CancelMessageResponses, CancelReplayData, CancelReplayResponses, ChangeApiKeyData, ChangeApiKeyResponses, ChangeChannelData, ChangeChannelResponses, ChangeChatData, ChangeChatResponses, ChangeContactData, ChangeContactResponses, ChangeGroupData, ChangeGroupResponses, ChangeLabelData, ChangeLabelResponses, ChangeParticipantData, ChangeParticipantResponses, ChangePrivacyData, ChangePrivacyResponses, ChangeProfileData, ChangeProfileResponses, ChangeSessionData, ChangeSessionResponses, ChangeWebhookEndpointData, ChangeWebhookEndpointResponses, CheckContactsData, CheckContactsResponses, ClearChatData, ClearChatResponses, ConfirmPasskeyData, ConfirmPasskeyResponses, CreateApiKeyData, CreateApiKeyResponses, CreateChannelData, CreateChannelResponses, CreateGroupData, CreateGroupResponses, CreateLabelData, CreateLabelResponses, CreateLinkData, CreateLinkResponses, CreateMessageBatchData, CreateMessageBatchResponses, CreateSessionData, CreateSessionResponses, CreateStreamTicketData, CreateStreamTicketResponses, CreateWebhookEndpointData, CreateWebhookEndpointResponses, DeleteApiKeyData, DeleteApiKeyResponses, DeleteChannelData, DeleteChannelMessageReactionData, DeleteChannelMessageReactionResponses, DeleteChannelPictureData, DeleteChannelPictureResponses, DeleteChannelResponses, DeleteChatData, DeleteChatResponses, DeleteGroupPictureData, DeleteGroupPictureResponses, DeleteLabelData, DeleteLabelResponses, DeleteMediaData, DeleteMediaResponses, DeleteMessageData, DeleteMessageResponses, DeleteProfilePictureData, DeleteProfilePictureResponses, DeleteReactionData, DeleteReactionResponses, DeleteSessionData, DeleteSessionResponses, DeleteStatusUpdateData, DeleteStatusUpdateResponses, DeleteWebhookEndpointData, DeleteWebhookEndpointResponses, EditMessageData, EditMessageResponses, EraseContactData, EraseContactResponses, ExportSessionData, ExportSessionResponses, FetchMediaData, FetchMediaResponses, FollowChannelData, FollowChannelResponses, ForwardMessageData, ForwardMessageResponses, GetApiKeyData, GetApiKeyResponses, GetBusinessProfileData, GetBusinessProfileResponses, GetChangeData, GetChangeResponses, GetChannelData, GetChannelResponses, GetChatData, GetChatResponses, GetContactBusinessProfileData, GetContactBusinessProfileResponses, GetContactData, GetContactPictureData, GetContactPictureResponses, GetContactResponses, GetDeliveryData, GetDeliveryResponses, GetEventData, GetEventResponses, GetGroupData, GetGroupInviteData, GetGroupInviteResponses, GetGroupResponses, GetHealthData, GetHealthResponses, GetLinkData, GetLinkResponses, GetMeData, GetMediaContentData, GetMediaContentResponses, GetMediaData, GetMediaResponses, GetMeResponses, GetMessageBatchData, GetMessageBatchResponses, GetMessageData, GetMessageMediaData, GetMessageMediaResponses, GetMessageResponses, GetPasskeyData, GetPasskeyResponses, GetPollResultsData, GetPollResultsResponses, GetPresenceData, GetPresenceResponses, GetPrivacyData, GetPrivacyResponses, GetProfileData, GetProfileResponses, GetReadinessData, GetReadinessResponses, GetReplayData, GetReplayResponses, GetSessionData, GetSessionHealthData, GetSessionHealthResponses, GetSessionQrData, GetSessionQrResponses, GetSessionResponses, GetStatsData, GetStatsResponses, GetStatusUpdateData, GetStatusUpdateResponses, GetVersionData, GetVersionResponses, GetWebhookEndpointData, GetWebhookEndpointResponses, GetWebhookSecretData, GetWebhookSecretResponses, ImportSessionData, ImportSessionResponses, JoinGroupData, JoinGroupResponses, LabelChatData, LabelChatResponses, LeaveGroupData, LeaveGroupResponses, LinkSubgroupData, LinkSubgroupResponses, ListApiKeysData, ListApiKeysResponses, ListAuditLogData, ListAuditLogResponses, ListBlockedData, ListBlockedResponses, ListCallsData, ListCallsResponses, ListChangesData, ListChangesResponses, ListChannelMessagesData, ListChannelMessagesResponses, ListChannelsData, ListChannelsResponses, ListChatMessagesData, ListChatMessagesResponses, ListChatsData, ListChatsResponses, ListContactsData, ListContactsResponses, ListDeliveriesData, ListDeliveriesResponses, ListEndpointDeliveriesData, ListEndpointDeliveriesResponses, ListEventResponsesData, ListEventResponsesResponses, ListEventsData, ListEventsResponses, ListEventTypesData, ListEventTypesResponses, ListGroupsData, ListGroupsResponses, ListJoinRequestsData, ListJoinRequestsResponses, ListLabelsData, ListLabelsResponses, ListMediaData, ListMediaResponses, ListMessagesData, ListMessagesResponses, ListParticipantsData, ListParticipantsResponses, ListReceiptsData, ListReceiptsResponses, ListReplaysData, ListReplaysResponses, ListSessionLogData, ListSessionLogResponses, ListSessionsData, ListSessionsResponses, ListSettingsData, ListSettingsResponses, ListStatusUpdatesData, ListStatusUpdatesResponses, ListStatusViewersData, ListStatusViewersResponses, ListSubgroupsData, ListSubgroupsResponses, ListWebhookEndpointsData, ListWebhookEndpointsResponses, LogoutSessionData, LogoutSessionResponses, LookUpChannelInviteData, LookUpChannelInviteResponses, LookUpGroupInviteData, LookUpGroupInviteResponses, MarkMessagesReadData, MarkMessagesReadResponses, MuteChannelData, MuteChannelResponses, PinMessageData, PinMessageResponses, PostStatusUpdateData, PostStatusUpdateResponses, PostToChannelData, PostToChannelResponses, ReactToChannelMessageData, ReactToChannelMessageResponses, ReadChatData, ReadChatResponses, RejectCallData, RejectCallResponses, RejectJoinRequestData, RejectJoinRequestResponses, RemoveParticipantData, RemoveParticipantResponses, ReplayWebhookEndpointData, ReplayWebhookEndpointResponses, RequestHistoryData, RequestHistoryResponses, RespondToEventData, RespondToEventResponses, RestartSessionData, RestartSessionResponses, RetryDeliveryData, RetryDeliveryResponses, RetryMessageMediaData, RetryMessageMediaResponses, RotateApiKeyData, RotateApiKeyResponses, RotateGroupInviteData, RotateGroupInviteResponses, RotateWebhookSecretData, RotateWebhookSecretResponses, SendMessageData, SendMessageResponses, SetChannelPictureData, SetChannelPictureResponses, SetGroupPictureData, SetGroupPictureResponses, SetPresenceData, SetPresenceResponses, SetProfilePictureData, SetProfilePictureResponses, SetReactionData, SetReactionResponses, SetTypingData, SetTypingResponses, SimulateMessageData, SimulateMessageResponses, SimulateScanData, SimulateScanResponses, StarMessageData, StarMessageResponses, StartSessionData, StartSessionResponses, StopSessionData, StopSessionResponses, SubscribePresenceData, SubscribePresenceResponses, TestWebhookEndpointData, TestWebhookEndpointResponses, UnblockContactData, UnblockContactResponses, UnfollowChannelData, UnfollowChannelResponses, UnlabelChatData, UnlabelChatResponses, UnlinkSubgroupData, UnlinkSubgroupResponses, UnmuteChannelData, UnmuteChannelResponses, UnpinMessageData, UnpinMessageResponses, UnstarMessageData, UnstarMessageResponses, UnsubscribePresenceData, UnsubscribePresenceResponses, UploadMediaData, UploadMediaResponses, ViewStatusUpdateData, ViewStatusUpdateResponses, VoteData2, VoteResponses, WatchChannelData, WatchChannelResponses } from './types.gen.js';

export type Options<TData extends TDataShape = TDataShape, ThrowOnError extends boolean = boolean, TResponse = unknown> = Options2<TData, ThrowOnError, TResponse> & {
    /**
     * You can provide a client instance returned by `createClient()` instead of
     * individual options. This might be also useful if you want to implement a
     * custom client.
     */
    client?: Client;
    /**
     * You can pass arbitrary values through the `meta` object. This can be
     * used to access values that aren't defined as part of the SDK function.
     */
    meta?: Record<string, unknown>;
};

class HeyApiClient {
    protected client: Client;
    
    constructor(args?: {
        client?: Client;
    }) {
        this.client = args?.client ?? client;
    }
}

class HeyApiRegistry<T> {
    private readonly defaultKey = 'default';
    
    private readonly instances: Map<string, T> = new Map();
    
    get(key?: string): T {
        const instance = this.instances.get(key ?? this.defaultKey);
        if (!instance) {
            throw new Error(`No SDK client found. Create one with "new Operations()" to fix this error.`);
        }
        return instance;
    }
    
    set(value: T, key?: string): void {
        this.instances.set(key ?? this.defaultKey, value);
    }
}

export class Operations extends HeyApiClient {
    public static readonly __registry = new HeyApiRegistry<Operations>();
    
    constructor(args?: {
        client?: Client;
        key?: string;
    }) {
        super(args);
        Operations.__registry.set(this, args?.key);
    }
    
    /**
     * Is the process alive?
     *
     * Answers as long as the process serves requests. Restart it when this fails.
     */
    public getHealth<ThrowOnError extends boolean = true>(options?: Options<GetHealthData, ThrowOnError>) {
        return (options?.client ?? this.client).get<GetHealthResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            url: '/healthz',
            ...options
        });
    }
    
    /**
     * Can it work?
     *
     * Answers 200 when the database is there and has this version's schema, else 503 with what is wrong. Send requests elsewhere when this fails. Without S3 it is degraded, and still 200: files wait, all else works.
     */
    public getReadiness<ThrowOnError extends boolean = true>(options?: Options<GetReadinessData, ThrowOnError>) {
        return (options?.client ?? this.client).get<GetReadinessResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            url: '/readyz',
            ...options
        });
    }
    
    /**
     * List API keys
     *
     * All keys but API_KEY, which is a setting. Those that have expired stay for 30 days.
     */
    public listApiKeys<ThrowOnError extends boolean = true>(options?: Options<ListApiKeysData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListApiKeysResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/api-keys',
            ...options
        });
    }
    
    /**
     * Create an API key
     *
     * For a program or person that may do less than API_KEY: by scope, for some sessions alone, from some networks, until some time, so often a minute. For a key with sessions there are no others: not in lists, events, media or answers. There is no Idempotency-Key here: a second key does no harm, and a stored answer would keep the first.
     */
    public createApiKey<ThrowOnError extends boolean = true>(options: Options<CreateApiKeyData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateApiKeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/api-keys',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete an API key
     *
     * It is valid no more: at once, or after 5 seconds for a process that could not be told. What it has done stays, and the audit log names it.
     */
    public deleteApiKey<ThrowOnError extends boolean = true>(options: Options<DeleteApiKeyData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteApiKeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/api-keys/{keyId}',
            ...options
        });
    }
    
    /**
     * Read an API key
     *
     * What it may do, and when it was last used.
     */
    public getApiKey<ThrowOnError extends boolean = true>(options: Options<GetApiKeyData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetApiKeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/api-keys/{keyId}',
            ...options
        });
    }
    
    /**
     * Change an API key
     *
     * Changes what is given and leaves the rest. Every process knows at once, or after 5 seconds where it could not be told.
     */
    public changeApiKey<ThrowOnError extends boolean = true>(options: Options<ChangeApiKeyData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeApiKeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/api-keys/{keyId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Rotate an API key
     *
     * A new key takes its place, with the same id, quota and rights. The key as it was stays valid for overlapSeconds; one from an earlier rotation does not.
     */
    public rotateApiKey<ThrowOnError extends boolean = true>(options: Options<RotateApiKeyData, ThrowOnError>) {
        return (options.client ?? this.client).post<RotateApiKeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/api-keys/{keyId}/rotate',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read the audit log
     *
     * Every change that was made through the API: who, what, from where; newest first. An entry is written with its change, or not at all. What was sent is not in it, nor are requests that were refused. It reaches back 400 days.
     */
    public listAuditLog<ThrowOnError extends boolean = true>(options?: Options<ListAuditLogData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListAuditLogResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/audit-log',
            ...options
        });
    }
    
    /**
     * List the types of event
     *
     * Every type of event of this version, and the wildcards that an endpoint's filter takes beside them. The list only grows.
     */
    public listEventTypes<ThrowOnError extends boolean = true>(options?: Options<ListEventTypesData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListEventTypesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/event-types',
            ...options
        });
    }
    
    /**
     * Read the event log
     *
     * Everything that happened, oldest first and each event once: begin without after, and then pass each nextCursor as after. Nothing is skipped, whatever else happens meanwhile. With last=100 the newest 100 come instead of the oldest. With raw=true the events about a message that is still stored have WhatsApp's own form of it in data.message.raw, which neither webhooks nor the log itself hold. An event stands in the log a moment after it happened, and for 30 days unless the operator chose otherwise; after an event that is no longer kept comes cursor_expired.
     */
    public listEvents<ThrowOnError extends boolean = true>(options?: Options<ListEventsData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListEventsResponses, unknown, ThrowOnError, 'data'>({
            querySerializer: { parameters: {
                    type: { array: { explode: false } },
                    sessionId: { array: { explode: false } },
                    chatKind: { array: { explode: false } }
                } },
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/events',
            ...options
        });
    }
    
    /**
     * Read an event
     *
     * One event, byte for byte as webhooks carry it; with raw=true WhatsApp's own form of its message is added, if that is still stored.
     */
    public getEvent<ThrowOnError extends boolean = true>(options: Options<GetEventData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetEventResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/events/{eventId}',
            ...options
        });
    }
    
    /**
     * Read what a link is for
     *
     * The session that the link of the request links, and how far it is.
     */
    public getLink<ThrowOnError extends boolean = true>(options?: Options<GetLinkData, ThrowOnError>) {
        return (options?.client ?? this.client).get<GetLinkResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/link',
            ...options
        });
    }
    
    /**
     * Read what this key may do
     *
     * Whose key it is that asks, its scopes and sessions, and how long it is valid.
     */
    public getMe<ThrowOnError extends boolean = true>(options?: Options<GetMeData, ThrowOnError>) {
        return (options?.client ?? this.client).get<GetMeResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/me',
            ...options
        });
    }
    
    /**
     * List files
     *
     * The files of messages that came in and those that were uploaded, newest first: what GET /v1/media/{mediaId} shows. A key for some sessions sees what their messages brought or send, and what was uploaded with it.
     */
    public listMedia<ThrowOnError extends boolean = true>(options?: Options<ListMediaData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListMediaResponses, unknown, ThrowOnError, 'data'>({
            querySerializer: { parameters: {
                    status: { array: { explode: false } },
                    kind: { array: { explode: false } },
                    sessionId: { array: { explode: false } }
                } },
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/media',
            ...options
        });
    }
    
    /**
     * Upload a file
     *
     * Stores a file to be sent later, any number of times and from any session, by its id. The part file is streamed, so it can be as large as the operator allows (MEDIA_MAX_MB). The same content is stored once, whoever uploads it.
     */
    public uploadMedia<ThrowOnError extends boolean = true>(options: Options<UploadMediaData, ThrowOnError>) {
        return (options.client ?? this.client).post<UploadMediaResponses, unknown, ThrowOnError, 'data'>({
            ...formDataBodySerializer,
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/media',
            ...options,
            headers: {
                'Content-Type': null,
                ...options.headers
            }
        });
    }
    
    /**
     * Take over a file by its URL
     *
     * Fetches a file and stores it, as if it had been uploaded. It may take two minutes.
     */
    public fetchMedia<ThrowOnError extends boolean = true>(options: Options<FetchMediaData, ThrowOnError>) {
        return (options.client ?? this.client).post<FetchMediaResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/media/fetch',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a file
     *
     * Its bytes go; a message that names it still does.
     */
    public deleteMedia<ThrowOnError extends boolean = true>(options: Options<DeleteMediaData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteMediaResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/media/{mediaId}',
            ...options
        });
    }
    
    /**
     * Read about a file
     *
     * What is known of it, whether its bytes are there, and on request a URL of the object store itself.
     */
    public getMedia<ThrowOnError extends boolean = true>(options: Options<GetMediaData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetMediaResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/media/{mediaId}',
            ...options
        });
    }
    
    /**
     * Read a file's bytes
     *
     * The bytes themselves, or with Range a part of them. While a received file is on its way from WhatsApp the answer waits for it, up to 30 s, and is then media_pending. The URL never changes, and neither do its bytes: ETag is their SHA-256.
     */
    public getMediaContent<ThrowOnError extends boolean = true>(options: Options<GetMediaContentData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetMediaContentResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [
                { name: 'X-API-Key', type: 'apiKey' },
                { scheme: 'bearer', type: 'http' },
                {
                    in: 'query',
                    name: 'ticket',
                    type: 'apiKey'
                }
            ],
            url: '/v1/media/{mediaId}/content',
            ...options
        });
    }
    
    /**
     * Import a session
     *
     * Takes over the session of an export, under its own id and with everything that is in the file, or nothing where some of it cannot be. It is stopped: start it once the one that it was made of will not run again. A file of `chasqui backup` is taken too if it holds one session; one of more is for `chasqui restore`.
     */
    public importSession<ThrowOnError extends boolean = true>(options: Options<ImportSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<ImportSessionResponses, unknown, ThrowOnError, 'data'>({
            ...formDataBodySerializer,
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/session-imports',
            ...options,
            headers: {
                'Content-Type': null,
                ...options.headers
            }
        });
    }
    
    /**
     * List sessions
     *
     * All sessions, newest first. Those being deleted are left out.
     */
    public listSessions<ThrowOnError extends boolean = true>(options?: Options<ListSessionsData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListSessionsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions',
            ...options
        });
    }
    
    /**
     * Create a session
     *
     * Creates a session and starts it, unless start is false. Then read its QR code and scan it with the phone.
     */
    public createSession<ThrowOnError extends boolean = true>(options: Options<CreateSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a session
     *
     * Unlinks the account from the phone, unless unlink is false, and removes the session with its messages, chats and contacts; its events stay until they expire. 204: it is gone. 202: after 10 s it is still on its way; it is hidden already, its id is not free yet, and nothing more has to be done.
     */
    public deleteSession<ThrowOnError extends boolean = true>(options: Options<DeleteSessionData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}',
            ...options
        });
    }
    
    /**
     * Read a session
     *
     * Its state, and with reason why it is in it.
     */
    public getSession<ThrowOnError extends boolean = true>(options: Options<GetSessionData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}',
            ...options
        });
    }
    
    /**
     * Change a session
     *
     * Changes its name and settings. What is absent stays as it is.
     */
    public changeSession<ThrowOnError extends boolean = true>(options: Options<ChangeSessionData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read the block list
     *
     * Asks WhatsApp whom the account has blocked.
     */
    public listBlocked<ThrowOnError extends boolean = true>(options: Options<ListBlockedData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListBlockedResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/blocklist',
            ...options
        });
    }
    
    /**
     * Unblock a contact
     *
     * Takes somebody off the block list.
     */
    public unblockContact<ThrowOnError extends boolean = true>(options: Options<UnblockContactData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnblockContactResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/blocklist/{contactId}',
            ...options
        });
    }
    
    /**
     * Block a contact
     *
     * What he sends reaches the account no more, and he does not see when it is online.
     */
    public blockContact<ThrowOnError extends boolean = true>(options: Options<BlockContactData, ThrowOnError>) {
        return (options.client ?? this.client).put<BlockContactResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/blocklist/{contactId}',
            ...options
        });
    }
    
    /**
     * Read the account's business profile
     *
     * Asks WhatsApp what the account tells about itself as a business. not_found: it is none.
     */
    public getBusinessProfile<ThrowOnError extends boolean = true>(options: Options<GetBusinessProfileData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetBusinessProfileResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/business-profile',
            ...options
        });
    }
    
    /**
     * List calls
     *
     * The calls that came in during the last 30 days, newest first. Those that the owner makes on the phone are not told to linked devices.
     */
    public listCalls<ThrowOnError extends boolean = true>(options: Options<ListCallsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListCallsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/calls',
            ...options
        });
    }
    
    /**
     * Reject a call
     *
     * Rejects a call that rings, on all devices of the account. It does not wait behind other changes. call_over: it rings no more; so fails, too, what was accepted while the session was not connected and came too late. The session's setting calls rejects every call by itself.
     */
    public rejectCall<ThrowOnError extends boolean = true>(options: Options<RejectCallData, ThrowOnError>) {
        return (options.client ?? this.client).post<RejectCallResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/calls/{callId}/reject',
            ...options
        });
    }
    
    /**
     * List changes
     *
     * What is to be changed at WhatsApp for this session, and what was in the last 24 hours, newest first: edits, reactions, settings of chats, changes of groups. An operation that changes something answers 200 with its result when WhatsApp has done it, or 202 with the change: while the session is not connected it waits, for 24 hours unless the operator chose otherwise, and survives every crash. One that fails later is told by the event change.failed.
     */
    public listChanges<ThrowOnError extends boolean = true>(options: Options<ListChangesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListChangesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/changes',
            ...options
        });
    }
    
    /**
     * Read a change
     *
     * A change that was accepted: what has become of it, and its result.
     */
    public getChange<ThrowOnError extends boolean = true>(options: Options<GetChangeData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetChangeResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/changes/{changeId}',
            ...options
        });
    }
    
    /**
     * Look up a channel's link
     *
     * The channel that a link leads to.
     */
    public lookUpChannelInvite<ThrowOnError extends boolean = true>(options: Options<LookUpChannelInviteData, ThrowOnError>) {
        return (options.client ?? this.client).get<LookUpChannelInviteResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channel-invites/{code}',
            ...options
        });
    }
    
    /**
     * List channels
     *
     * The channels that the account follows or runs, by their ids. WhatsApp is asked for each page. Channels are not found by a name: whoever wants to follow one has its link.
     */
    public listChannels<ThrowOnError extends boolean = true>(options: Options<ListChannelsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListChannelsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels',
            ...options
        });
    }
    
    /**
     * Create a channel
     *
     * Makes a channel of the account's, and accepts WhatsApp's terms for channels, as its apps do before the first. Repeat a POST without an answer with the same Idempotency-Key: WhatsApp itself would make another channel.
     */
    public createChannel<ThrowOnError extends boolean = true>(options: Options<CreateChannelData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a channel
     *
     * Deletes a channel of the account's, for everybody and for good. Only its owner may.
     */
    public deleteChannel<ThrowOnError extends boolean = true>(options: Options<DeleteChannelData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}',
            ...options
        });
    }
    
    /**
     * Read a channel
     *
     * A channel, also one that the account does not follow, and what the account is to it.
     */
    public getChannel<ThrowOnError extends boolean = true>(options: Options<GetChannelData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}',
            ...options
        });
    }
    
    /**
     * Change a channel
     *
     * Changes what is given. Only its owner and its admins may.
     */
    public changeChannel<ThrowOnError extends boolean = true>(options: Options<ChangeChannelData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Be told what a channel's posts are met with
     *
     * Asks WhatsApp to tell for a while, of which it says how long, how often posts are seen and what they are met with: as the event channel.counts. Asked again, it goes on for longer.
     */
    public watchChannel<ThrowOnError extends boolean = true>(options: Options<WatchChannelData, ThrowOnError>) {
        return (options.client ?? this.client).put<WatchChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/live-updates',
            ...options
        });
    }
    
    /**
     * List a channel's posts
     *
     * Asks WhatsApp for a channel's posts, the newest first, up to 100 a page, with how often each was seen and what it was met with; also for a channel that the account does not follow. What is shown is kept from then on: every post has an id, and its file is fetched when somebody reads it. What is kept is listed without a connection by GET /v1/sessions/{sessionId}/messages?chatId={channelId}. WhatsApp keeps posts for 30 days. A page may hold less than its limit.
     */
    public listChannelMessages<ThrowOnError extends boolean = true>(options: Options<ListChannelMessagesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListChannelMessagesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/messages',
            ...options
        });
    }
    
    /**
     * Post to a channel
     *
     * Accepts a post for a channel that the account runs, and posts it in the background, in order with the session's messages: it survives every crash from here on, and followers see it once. It is a message like any other, with the channel as its chat: read it, wait for it and cancel it, edit or delete it (for up to 30 days) by /v1/sessions/{sessionId}/messages/{messageId}; message.sent and message.status tell of it. not_channel_admin: the account may not post there.
     */
    public postToChannel<ThrowOnError extends boolean = true>(options: Options<PostToChannelData, ThrowOnError>) {
        return (options.client ?? this.client).post<PostToChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/messages',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Take a reaction to a post back
     *
     * Takes the account's reaction to a post back.
     */
    public deleteChannelMessageReaction<ThrowOnError extends boolean = true>(options: Options<DeleteChannelMessageReactionData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteChannelMessageReactionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction',
            ...options
        });
    }
    
    /**
     * React to a post
     *
     * Sets the account's reaction to a post of a channel that it follows, in place of the one before.
     */
    public reactToChannelMessage<ThrowOnError extends boolean = true>(options: Options<ReactToChannelMessageData, ThrowOnError>) {
        return (options.client ?? this.client).put<ReactToChannelMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/messages/{messageId}/reaction',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Unmute a channel
     *
     * The owner's phone notifies of the channel's posts.
     */
    public unmuteChannel<ThrowOnError extends boolean = true>(options: Options<UnmuteChannelData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnmuteChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/mute',
            ...options
        });
    }
    
    /**
     * Mute a channel
     *
     * The owner's phone does not notify of the channel's posts. Events go on.
     */
    public muteChannel<ThrowOnError extends boolean = true>(options: Options<MuteChannelData, ThrowOnError>) {
        return (options.client ?? this.client).put<MuteChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/mute',
            ...options
        });
    }
    
    /**
     * Take a channel's picture away
     *
     * The channel has no picture from then on.
     */
    public deleteChannelPicture<ThrowOnError extends boolean = true>(options: Options<DeleteChannelPictureData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteChannelPictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/picture',
            ...options
        });
    }
    
    /**
     * Set a channel's picture
     *
     * Gives the channel a picture, in place of the one before.
     */
    public setChannelPicture<ThrowOnError extends boolean = true>(options: Options<SetChannelPictureData, ThrowOnError>) {
        return (options.client ?? this.client).put<SetChannelPictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/picture',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Unfollow a channel
     *
     * The account follows the channel no more. Its owner cannot leave it.
     */
    public unfollowChannel<ThrowOnError extends boolean = true>(options: Options<UnfollowChannelData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnfollowChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/subscription',
            ...options
        });
    }
    
    /**
     * Follow a channel
     *
     * The account follows the channel, and gets its posts as the event channel.message.
     */
    public followChannel<ThrowOnError extends boolean = true>(options: Options<FollowChannelData, ThrowOnError>) {
        return (options.client ?? this.client).put<FollowChannelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/channels/{channelId}/subscription',
            ...options
        });
    }
    
    /**
     * List chats
     *
     * The session's chats with their last message, the one with the newest first; those without any come last. It is read from what chasqui keeps and needs no connection.
     */
    public listChats<ThrowOnError extends boolean = true>(options: Options<ListChatsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListChatsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats',
            ...options
        });
    }
    
    /**
     * Delete a chat
     *
     * Deletes a chat with its messages, here and on the account's devices; nobody else's. The answer is the chat as it was. What is still to be sent stays, and so does a chat in which something is written meanwhile.
     */
    public deleteChat<ThrowOnError extends boolean = true>(options: Options<DeleteChatData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}',
            ...options
        });
    }
    
    /**
     * Read a chat
     *
     * A chat with its last message.
     */
    public getChat<ThrowOnError extends boolean = true>(options: Options<GetChatData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}',
            ...options
        });
    }
    
    /**
     * Change a chat
     *
     * Archives, pins or mutes a chat, marks it as unread or read, or sets its timer, on all devices of the account. What is left out stays as it is.
     */
    public changeChat<ThrowOnError extends boolean = true>(options: Options<ChangeChatData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Ask the phone for older messages
     *
     * Asks the owner's phone for a chat's messages before one. They come as history, without an event each: the event history.synced with the chat's chatId tells that they are there, once the phone has answered, which it does when it is on, or, with missing, that they cannot be had.
     */
    public requestHistory<ThrowOnError extends boolean = true>(options: Options<RequestHistoryData, ThrowOnError>) {
        return (options.client ?? this.client).post<RequestHistoryResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/history-sync',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Take a label from a chat
     *
     * Takes a label from a chat.
     */
    public unlabelChat<ThrowOnError extends boolean = true>(options: Options<UnlabelChatData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnlabelChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}',
            ...options
        });
    }
    
    /**
     * Label a chat
     *
     * Gives a chat a label.
     */
    public labelChat<ThrowOnError extends boolean = true>(options: Options<LabelChatData, ThrowOnError>) {
        return (options.client ?? this.client).put<LabelChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/labels/{labelId}',
            ...options
        });
    }
    
    /**
     * Clear a chat
     *
     * Deletes all messages of a chat, here and on the account's devices; nobody else's. The chat stays, and so does what is still to be sent.
     */
    public clearChat<ThrowOnError extends boolean = true>(options: Options<ClearChatData, ThrowOnError>) {
        return (options.client ?? this.client).delete<ClearChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/messages',
            ...options
        });
    }
    
    /**
     * List a chat's messages
     *
     * The messages of a chat in both directions, newest first: those of the history too.
     */
    public listChatMessages<ThrowOnError extends boolean = true>(options: Options<ListChatMessagesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListChatMessagesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/messages',
            ...options
        });
    }
    
    /**
     * Mark a chat as read
     *
     * Reads all that is unread in a chat: the senders get read receipts, unless the account's privacy keeps them back, and the owner's phone shows the chat as read.
     */
    public readChat<ThrowOnError extends boolean = true>(options: Options<ReadChatData, ThrowOnError>) {
        return (options.client ?? this.client).post<ReadChatResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/read',
            ...options
        });
    }
    
    /**
     * Show typing in a chat
     *
     * Shows in a chat that the account is typing or recording, or has stopped. WhatsApp's apps show it for up to 25 s unless it is said again, and nobody keeps it for later: a session that is not connected is a problem at once. The account is online meanwhile, and its phone does not notify. To show it before a message, send that with typingSeconds.
     */
    public setTyping<ThrowOnError extends boolean = true>(options: Options<SetTypingData, ThrowOnError>) {
        return (options.client ?? this.client).put<SetTypingResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/chats/{chatId}/typing',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * List contacts
     *
     * The people whom the session knows, by id: those who wrote or were written to, were checked, or stand in the account's address book.
     */
    public listContacts<ThrowOnError extends boolean = true>(options: Options<ListContactsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListContactsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts',
            ...options
        });
    }
    
    /**
     * Check phone numbers
     *
     * Asks WhatsApp which of up to 50 numbers have an account, and whose it is. A number of Brazil, Mexico or Argentina that has none as it is written is asked for in its other national forms too (Brazil's ninth digit, Mexico's 1, Argentina's 9 and 15): contact.phone is the number that has the account. It takes no Idempotency-Key: asked twice, it answers twice. A session that is not connected is a problem at once. Checking many numbers that have no account is what spammers do: WhatsApp answers rate_limited, or bans the account.
     */
    public checkContacts<ThrowOnError extends boolean = true>(options: Options<CheckContactsData, ThrowOnError>) {
        return (options.client ?? this.client).post<CheckContactsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts/check',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Erase a contact
     *
     * Erases somebody from this session's store, for good, as the law of privacy may ask: who he is, the chat with him, his messages in groups, with their files, reactions, votes and receipts; what was still to be sent to him or changed about him; and the events that name him, with their deliveries. It changes nothing at WhatsApp and on the phone, and needs no connection. erase=true is required. It is done in steps, each for good: if it is interrupted or answers unavailable, repeat it until it answers 200, which means that all of it is done, and contact.updated tells of it. What stays: an event that was waiting to be logged at that moment and one that is just being delivered, until retention takes them; the answers kept for an Idempotency-Key, for 24 hours; what others wrote about him; the keys of his encryption, without which he could not write again; and what webhooks have received.
     */
    public eraseContact<ThrowOnError extends boolean = true>(options: Options<EraseContactData, ThrowOnError>) {
        return (options.client ?? this.client).delete<EraseContactResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts/{contactId}',
            ...options
        });
    }
    
    /**
     * Read a contact
     *
     * Who somebody is, by phone number or LID. about and pictureId are asked of WhatsApp, for 3 seconds unless Prefer: wait says otherwise; with wait=0, or where there is no answer or no connection, they are what was last known. Somebody whom the session does not know is asked for, too.
     */
    public getContact<ThrowOnError extends boolean = true>(options: Options<GetContactData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetContactResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts/{contactId}',
            ...options
        });
    }
    
    /**
     * Save a contact
     *
     * Saves somebody in the account's address book, on all its devices, or with an empty name takes his name away. A name that is deleted on the phone stays here until it is set again: WhatsApp tells linked devices of it in a form that is not read yet.
     */
    public changeContact<ThrowOnError extends boolean = true>(options: Options<ChangeContactData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeContactResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts/{contactId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a business's profile
     *
     * Asks WhatsApp what a business tells about itself. not_found: this is no business.
     */
    public getContactBusinessProfile<ThrowOnError extends boolean = true>(options: Options<GetContactBusinessProfileData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetContactBusinessProfileResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts/{contactId}/business-profile',
            ...options
        });
    }
    
    /**
     * Read a contact's picture
     *
     * Asks WhatsApp where somebody's profile picture is. not_found: there is none, or the account may not see it.
     */
    public getContactPicture<ThrowOnError extends boolean = true>(options: Options<GetContactPictureData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetContactPictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/contacts/{contactId}/picture',
            ...options
        });
    }
    
    /**
     * Export a session
     *
     * A file with the session's settings, its device with its keys, its contacts and chats, encrypted with a passphrase: with both, POST /v1/session-imports of another installation takes the session over, without a QR code. Messages, events and webhook endpoints are not in it. The session must be stopped first, and must never again be started here once it runs there: two with the same keys push each other out at WhatsApp, and messages of both get lost. To delete it here, do so with unlink=false, or it is unlinked there too. It takes no Idempotency-Key: asked twice, there are two files.
     */
    public exportSession<ThrowOnError extends boolean = true>(options: Options<ExportSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<ExportSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/export',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Look up a link
     *
     * The group that a link leads to, without joining it and without its participants.
     */
    public lookUpGroupInvite<ThrowOnError extends boolean = true>(options: Options<LookUpGroupInviteData, ThrowOnError>) {
        return (options.client ?? this.client).get<LookUpGroupInviteResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/group-invites/{code}',
            ...options
        });
    }
    
    /**
     * Join a group by a link
     *
     * The account joins the group, or, with pending, waits for an admin's approval. Whoever is in it already has joined.
     */
    public joinGroup<ThrowOnError extends boolean = true>(options: Options<JoinGroupData, ThrowOnError>) {
        return (options.client ?? this.client).post<JoinGroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/group-invites/{code}/join',
            ...options
        });
    }
    
    /**
     * List groups
     *
     * The groups and communities that the account is in, without their participants, the greatest id first. WhatsApp is asked for the first page, and always sends them all; further pages are of the same answer for a minute. A page may hold less than its limit.
     */
    public listGroups<ThrowOnError extends boolean = true>(options: Options<ListGroupsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListGroupsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups',
            ...options
        });
    }
    
    /**
     * Create a group
     *
     * Makes a group, or a community with its group for announcements. Who cannot be added is in notAdded, with the reason; whom his settings keep from being added gets an inviteCode, to be sent to him as a message of type groupInvite. Repeat a POST without an answer with the same Idempotency-Key: WhatsApp itself would make another group.
     */
    public createGroup<ThrowOnError extends boolean = true>(options: Options<CreateGroupData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateGroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a group
     *
     * A group that the account is in, with its participants.
     */
    public getGroup<ThrowOnError extends boolean = true>(options: Options<GetGroupData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetGroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}',
            ...options
        });
    }
    
    /**
     * Change a group
     *
     * Changes what is given. WhatsApp takes one thing after the other: what comes before one that it refuses stays changed.
     */
    public changeGroup<ThrowOnError extends boolean = true>(options: Options<ChangeGroupData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeGroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a group's link
     *
     * The link by which anybody can join the group. Only admins see it, unless the group lets everybody.
     */
    public getGroupInvite<ThrowOnError extends boolean = true>(options: Options<GetGroupInviteData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetGroupInviteResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/invite',
            ...options
        });
    }
    
    /**
     * Replace a group's link
     *
     * Makes a new link. The one before leads nowhere from then on. Where WhatsApp's answer was lost another is made: the one in the answer holds.
     */
    public rotateGroupInvite<ThrowOnError extends boolean = true>(options: Options<RotateGroupInviteData, ThrowOnError>) {
        return (options.client ?? this.client).post<RotateGroupInviteResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/invite/rotate',
            ...options
        });
    }
    
    /**
     * List who wants to join a group
     *
     * Who waits for an admin's approval, where joining needs one.
     */
    public listJoinRequests<ThrowOnError extends boolean = true>(options: Options<ListJoinRequestsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListJoinRequestsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/join-requests',
            ...options
        });
    }
    
    /**
     * Approve a request to join
     *
     * Lets somebody into the group who asked to join it.
     */
    public approveJoinRequest<ThrowOnError extends boolean = true>(options: Options<ApproveJoinRequestData, ThrowOnError>) {
        return (options.client ?? this.client).post<ApproveJoinRequestResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/approve',
            ...options
        });
    }
    
    /**
     * Reject a request to join
     *
     * Ends somebody's request to join the group.
     */
    public rejectJoinRequest<ThrowOnError extends boolean = true>(options: Options<RejectJoinRequestData, ThrowOnError>) {
        return (options.client ?? this.client).post<RejectJoinRequestResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/join-requests/{participantId}/reject',
            ...options
        });
    }
    
    /**
     * Leave a group
     *
     * The account leaves the group; a community with all its groups.
     */
    public leaveGroup<ThrowOnError extends boolean = true>(options: Options<LeaveGroupData, ThrowOnError>) {
        return (options.client ?? this.client).post<LeaveGroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/leave',
            ...options
        });
    }
    
    /**
     * List the participants of a group
     *
     * Who is in the group, with phone and LID where WhatsApp tells both.
     */
    public listParticipants<ThrowOnError extends boolean = true>(options: Options<ListParticipantsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListParticipantsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/participants',
            ...options
        });
    }
    
    /**
     * Add participants to a group
     *
     * Adds people to a group. Who cannot be added is in notAdded, with the reason.
     */
    public addParticipants<ThrowOnError extends boolean = true>(options: Options<AddParticipantsData, ThrowOnError>) {
        return (options.client ?? this.client).post<AddParticipantsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/participants',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Remove a participant from a group
     *
     * Removes somebody from the group, who cannot come back by its link.
     */
    public removeParticipant<ThrowOnError extends boolean = true>(options: Options<RemoveParticipantData, ThrowOnError>) {
        return (options.client ?? this.client).delete<RemoveParticipantResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}',
            ...options
        });
    }
    
    /**
     * Change the role of a participant
     *
     * Makes a participant an admin, or an admin an ordinary participant. Nobody changes who created the group.
     */
    public changeParticipant<ThrowOnError extends boolean = true>(options: Options<ChangeParticipantData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeParticipantResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/participants/{participantId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Take a group's picture away
     *
     * The group has no picture from then on.
     */
    public deleteGroupPicture<ThrowOnError extends boolean = true>(options: Options<DeleteGroupPictureData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteGroupPictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/picture',
            ...options
        });
    }
    
    /**
     * Set a group's picture
     *
     * Gives the group a picture, in place of the one before. Where WhatsApp's answer was lost it is set again, which the group may see as a second change.
     */
    public setGroupPicture<ThrowOnError extends boolean = true>(options: Options<SetGroupPictureData, ThrowOnError>) {
        return (options.client ?? this.client).put<SetGroupPictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/picture',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * List the groups of a community
     *
     * All groups of a community, also those that the account is not in.
     */
    public listSubgroups<ThrowOnError extends boolean = true>(options: Options<ListSubgroupsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListSubgroupsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/subgroups',
            ...options
        });
    }
    
    /**
     * Take a group out of a community
     *
     * The group goes on without the community, whose participants stay.
     */
    public unlinkSubgroup<ThrowOnError extends boolean = true>(options: Options<UnlinkSubgroupData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnlinkSubgroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}',
            ...options
        });
    }
    
    /**
     * Put a group into a community
     *
     * Makes a group one of a community's. The account must be an admin of both; the group's participants get into the community.
     */
    public linkSubgroup<ThrowOnError extends boolean = true>(options: Options<LinkSubgroupData, ThrowOnError>) {
        return (options.client ?? this.client).put<LinkSubgroupResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/groups/{groupId}/subgroups/{subgroupId}',
            ...options
        });
    }
    
    /**
     * Read how an account fares
     *
     * What WhatsApp restricts and bans accounts for, as far as it can be known from outside: how many people the account writes to first, how many of them answer, what was refused. And what messages wait for because settings.sending says so. session.risk tells when the level changes. WhatsApp publishes no limits: the levels are chasqui's own judgement.
     */
    public getSessionHealth<ThrowOnError extends boolean = true>(options: Options<GetSessionHealthData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetSessionHealthResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/health',
            ...options
        });
    }
    
    /**
     * List labels
     *
     * The labels of a business account, all of them in one answer.
     */
    public listLabels<ThrowOnError extends boolean = true>(options: Options<ListLabelsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListLabelsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/labels',
            ...options
        });
    }
    
    /**
     * Make a label
     *
     * Makes a label on all devices of the account. Only the apps of business accounts show labels.
     */
    public createLabel<ThrowOnError extends boolean = true>(options: Options<CreateLabelData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateLabelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/labels',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a label
     *
     * Deletes a label, which takes it from every chat. The answer is the label as it was.
     */
    public deleteLabel<ThrowOnError extends boolean = true>(options: Options<DeleteLabelData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteLabelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/labels/{labelId}',
            ...options
        });
    }
    
    /**
     * Change a label
     *
     * Changes a label's name or colour.
     */
    public changeLabel<ThrowOnError extends boolean = true>(options: Options<ChangeLabelData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeLabelResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/labels/{labelId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Create a link for somebody who links the session
     *
     * A token for one linking, and the page for it: with it, and no key, a customer's page reads the session's QR code, asks for a pairing code, and answers for a passkey. It can do nothing else, sees nothing else of the session than its name and state, and ends when the session is linked. An earlier link for the session ends too.
     */
    public createLink<ThrowOnError extends boolean = true>(options: Options<CreateLinkData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateLinkResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/links',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a session's log
     *
     * What happened to the session, newest first: its states with their reasons and WhatsApp's codes, what linked it and what came to nothing, restrictions, and which settings were changed, without their values. The newest 500 entries are kept, and go with the session.
     */
    public listSessionLog<ThrowOnError extends boolean = true>(options: Options<ListSessionLogData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListSessionLogResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/log',
            ...options
        });
    }
    
    /**
     * Log a session out
     *
     * Unlinks the account from the phone. The session and its messages stay; start it to link it anew. On one that is not linked it does nothing. The answer comes at once; state follows, and each change of it is an event session.status.
     */
    public logoutSession<ThrowOnError extends boolean = true>(options: Options<LogoutSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<LogoutSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/logout',
            ...options
        });
    }
    
    /**
     * Send many messages
     *
     * Accepts up to 1,000 messages at once: all of them, or none. They go out in their order, each once, and each tells how far it comes as any other message. delaySeconds spreads them over time. GET of the batch counts how far they are; list-messages shows them, with batchId.
     */
    public createMessageBatch<ThrowOnError extends boolean = true>(options: Options<CreateMessageBatchData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateMessageBatchResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/message-batches',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a batch
     *
     * How far the messages of a batch have come.
     */
    public getMessageBatch<ThrowOnError extends boolean = true>(options: Options<GetMessageBatchData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetMessageBatchResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/message-batches/{batchId}',
            ...options
        });
    }
    
    /**
     * Cancel a batch
     *
     * Cancels those of its messages that are scheduled or queued, and answers what is left. message.status tells of each. A batch that is cancelled already is answered as it is.
     */
    public cancelMessageBatch<ThrowOnError extends boolean = true>(options: Options<CancelMessageBatchData, ThrowOnError>) {
        return (options.client ?? this.client).post<CancelMessageBatchResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/message-batches/{batchId}/cancel',
            ...options
        });
    }
    
    /**
     * List messages, or search them
     *
     * The session's messages in both directions, newest first; those that match every filter given. With q they are searched for words, of which the index knows the first 16,384 characters of each message. What takes longer than 5 s is unavailable, and wants narrower filters.
     */
    public listMessages<ThrowOnError extends boolean = true>(options: Options<ListMessagesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListMessagesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages',
            ...options
        });
    }
    
    /**
     * Send a message
     *
     * Accepts a message and sends it in the background, in order: it survives every crash from here on, and the recipient sees it once. It is accepted in every state of the session but logged_out and banned, and waits until the session is connected, or until its expiresAt. What ends otherwise says why in error.code, here and in message.status: recipient_not_on_whatsapp, account_restricted (WhatsApp does not let the account write to this recipient now), account_banned and session_logged_out (before it was sent), rate_limited (WhatsApp took none of the account's messages for 5 minutes), whatsapp_rejected, whatsapp_timeout (no answer: it may have been delivered all the same), media_expired, internal_error. A message that expired has a code only if it may have been delivered. With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it, 202 when N seconds are over, or the problem that it failed with, with messageId.
     */
    public sendMessage<ThrowOnError extends boolean = true>(options: Options<SendMessageData, ThrowOnError>) {
        return (options.client ?? this.client).post<SendMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Mark messages as read
     *
     * Tells the senders of messages that they were read, unless the account keeps that to itself, and the account's other devices.
     */
    public markMessagesRead<ThrowOnError extends boolean = true>(options: Options<MarkMessagesReadData, ThrowOnError>) {
        return (options.client ?? this.client).post<MarkMessagesReadResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/mark-read',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a message
     *
     * For everybody: an own message, for 60 hours after it was sent, or in a group where the account is an admin anybody's. It is kept here with revokedAt. For me: any message, on all devices of the account and here. One that is still to be sent is cancelled instead.
     */
    public deleteMessage<ThrowOnError extends boolean = true>(options: Options<DeleteMessageData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}',
            ...options
        });
    }
    
    /**
     * Read a message
     *
     * A message by its msg_ id or by WhatsApp's.
     */
    public getMessage<ThrowOnError extends boolean = true>(options: Options<GetMessageData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}',
            ...options
        });
    }
    
    /**
     * Edit a message
     *
     * Changes the text of an own message, or the caption of its file, for 15 minutes after it was sent, or calls an own event off. One that is still scheduled or queued is changed before it is sent, at any time, and nobody sees that it was; with sendAt a scheduled one gets another time.
     */
    public editMessage<ThrowOnError extends boolean = true>(options: Options<EditMessageData, ThrowOnError>) {
        return (options.client ?? this.client).patch<EditMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Accept a personal invitation to a group
     *
     * The account joins the group that a message of type groupInvite, which somebody sent it, invites it to. Whoever is in it already has accepted.
     */
    public acceptGroupInvite<ThrowOnError extends boolean = true>(options: Options<AcceptGroupInviteData, ThrowOnError>) {
        return (options.client ?? this.client).post<AcceptGroupInviteResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/accept-invite',
            ...options
        });
    }
    
    /**
     * Cancel a message
     *
     * Cancels a message whose status is scheduled or queued: nothing of it leaves. message.status tells it. One that is being sent, or was, is message_not_cancellable; one that is cancelled already is answered as it is.
     */
    public cancelMessage<ThrowOnError extends boolean = true>(options: Options<CancelMessageData, ThrowOnError>) {
        return (options.client ?? this.client).post<CancelMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/cancel',
            ...options
        });
    }
    
    /**
     * Forward a message
     *
     * Sends the same content to up to 5 chats, marked as forwarded. Each is a message of its own, accepted and sent as any other. Its file is not uploaded again; what it answered and whom it mentioned stays behind.
     */
    public forwardMessage<ThrowOnError extends boolean = true>(options: Options<ForwardMessageData, ThrowOnError>) {
        return (options.client ?? this.client).post<ForwardMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/forward',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read about a message's file
     *
     * What GET /v1/media/{mediaId} answers of the file of a message.
     */
    public getMessageMedia<ThrowOnError extends boolean = true>(options: Options<GetMessageMediaData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetMessageMediaResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/media',
            ...options
        });
    }
    
    /**
     * Ask the phone for a file again
     *
     * Asks the owner's phone to upload a received file again that could not be had, because WhatsApp keeps files for some weeks only. It is asked when the session is connected, and answers when it is on; the file's status is pending until then, or until media.failed tells that it could not be had. A file that is there is answered as it is.
     */
    public retryMessageMedia<ThrowOnError extends boolean = true>(options: Options<RetryMessageMediaData, ThrowOnError>) {
        return (options.client ?? this.client).post<RetryMessageMediaResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/media/retry',
            ...options
        });
    }
    
    /**
     * Unpin a message
     *
     * Unpins a message, for everybody in its chat.
     */
    public unpinMessage<ThrowOnError extends boolean = true>(options: Options<UnpinMessageData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnpinMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/pin',
            ...options
        });
    }
    
    /**
     * Pin a message
     *
     * Pins a message at the top of its chat, for everybody in it. In a group WhatsApp may leave that to admins.
     */
    public pinMessage<ThrowOnError extends boolean = true>(options: Options<PinMessageData, ThrowOnError>) {
        return (options.client ?? this.client).put<PinMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/pin',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read the results of a poll
     *
     * How many chose each option, and who: what has come since the session was linked.
     */
    public getPollResults<ThrowOnError extends boolean = true>(options: Options<GetPollResultsData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetPollResultsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/poll-results',
            ...options
        });
    }
    
    /**
     * Take a reaction back
     *
     * Takes the account's reaction to a message back.
     */
    public deleteReaction<ThrowOnError extends boolean = true>(options: Options<DeleteReactionData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteReactionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/reaction',
            ...options
        });
    }
    
    /**
     * React to a message
     *
     * Sets the account's reaction to a message, in place of the one before.
     */
    public setReaction<ThrowOnError extends boolean = true>(options: Options<SetReactionData, ThrowOnError>) {
        return (options.client ?? this.client).put<SetReactionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/reaction',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a message's receipts
     *
     * Who has received, read and played a message that the session sent, and when: in a group each participant. A message that was received has none.
     */
    public listReceipts<ThrowOnError extends boolean = true>(options: Options<ListReceiptsData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListReceiptsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/receipts',
            ...options
        });
    }
    
    /**
     * Answer an invitation to an event
     *
     * Says whether the account comes to an event, in place of its answer before.
     */
    public respondToEvent<ThrowOnError extends boolean = true>(options: Options<RespondToEventData, ThrowOnError>) {
        return (options.client ?? this.client).post<RespondToEventResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/respond',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read the answers to an event
     *
     * Who answered an invitation to an event, and what: what has come since the session was linked.
     */
    public listEventResponses<ThrowOnError extends boolean = true>(options: Options<ListEventResponsesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListEventResponsesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/responses',
            ...options
        });
    }
    
    /**
     * Take a star back
     *
     * Takes the star of a message back.
     */
    public unstarMessage<ThrowOnError extends boolean = true>(options: Options<UnstarMessageData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnstarMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/star',
            ...options
        });
    }
    
    /**
     * Star a message
     *
     * Stars a message on all devices of the account; nobody else sees it.
     */
    public starMessage<ThrowOnError extends boolean = true>(options: Options<StarMessageData, ThrowOnError>) {
        return (options.client ?? this.client).put<StarMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/star',
            ...options
        });
    }
    
    /**
     * Vote in a poll
     *
     * Votes for options of a poll, of others or the account's own, in place of its vote before.
     */
    public vote<ThrowOnError extends boolean = true>(options: Options<VoteData2, ThrowOnError>) {
        return (options.client ?? this.client).post<VoteResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/messages/{messageId}/vote',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Ask for a pairing code
     *
     * A code that the account's owner enters on the phone instead of scanning a QR code (WhatsApp, Linked devices, Link a device, Link with phone number). The session is started if it does not run. The code is valid until expiresAt, 100 s to 160 s, and ends sooner if the session is restarted or moves to another connector, or another code is asked for: then ask again. It takes no Idempotency-Key: asked twice, it gives two codes, of which the second counts. QR codes go on beside it; after a wrong code was entered a QR code shown by then cannot be scanned any more, and others follow. The code is also the event session.pairing-code.
     */
    public askPairingCode<ThrowOnError extends boolean = true>(options: Options<AskPairingCodeData, ThrowOnError>) {
        return (options.client ?? this.client).post<AskPairingCodeResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/pairing-code',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read what WhatsApp asks of a passkey
     *
     * WhatsApp asks for the passkey of some accounts after their QR code was scanned or their pairing code entered; the session is passkey_required then. Each step is also in the event session.status. The passkey is bound to whatsapp.com: an answer can be made by a browser that shows web.whatsapp.com, or by whatever else holds the passkey.
     */
    public getPasskey<ThrowOnError extends boolean = true>(options: Options<GetPasskeyData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetPasskeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/passkey',
            ...options
        });
    }
    
    /**
     * Confirm that the codes are equal
     *
     * Says that code is the one that the phone shows, and so ends the step confirmation. If they differ, restart the session instead.
     */
    public confirmPasskey<ThrowOnError extends boolean = true>(options: Options<ConfirmPasskeyData, ThrowOnError>) {
        return (options.client ?? this.client).post<ConfirmPasskeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/passkey/confirmation',
            ...options
        });
    }
    
    /**
     * Answer with a passkey
     *
     * Gives WhatsApp the assertion that the passkey made for request. Mostly the phone has linked the session a moment later. Where the answer took longer than 5 minutes, WhatsApp wants codes compared first: the step is confirmation then. passkey_refused: WhatsApp did not accept it, and takes another.
     */
    public answerPasskey<ThrowOnError extends boolean = true>(options: Options<AnswerPasskeyData, ThrowOnError>) {
        return (options.client ?? this.client).post<AnswerPasskeyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/passkey/response',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Set the own presence
     *
     * Says whether the account is online while the session is connected, now and after every reconnect. It is the session's setting presence, which PATCH of the session sets as well. By default it is unavailable, so that the owner's phone notifies of what comes in; while it is available, the phone may keep silent, and senders see two ticks from this device. An account that shows typing is available for that time, and for 25 seconds more, and then again what is set here.
     */
    public setPresence<ThrowOnError extends boolean = true>(options: Options<SetPresenceData, ThrowOnError>) {
        return (options.client ?? this.client).put<SetPresenceResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/presence',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read a contact's presence
     *
     * Whether somebody is online, as WhatsApp last told, and whether he is typing to the account. WhatsApp is not asked: it tells of those the session is subscribed to. Of everybody else the state is unknown.
     */
    public getPresence<ThrowOnError extends boolean = true>(options: Options<GetPresenceData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetPresenceResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/presence/{contactId}',
            ...options
        });
    }
    
    /**
     * End a subscription to a contact's presence
     *
     * Ends what PUT began: no event follows, and nothing more is known of the contact. WhatsApp is told so in the form that its former clients used; should it not heed that, it goes on telling this connection, and nobody else hears of it.
     */
    public unsubscribePresence<ThrowOnError extends boolean = true>(options: Options<UnsubscribePresenceData, ThrowOnError>) {
        return (options.client ?? this.client).delete<UnsubscribePresenceResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/presence/{contactId}/subscription',
            ...options
        });
    }
    
    /**
     * Subscribe to a contact's presence
     *
     * Lets WhatsApp tell whether somebody is online: each change is an event presence.updated. It holds until it is taken back, over reconnects, for up to 1,000 people a session. WhatsApp tells nothing while the account itself is unavailable: set its presence to available. Nor does it tell of people whose privacy hides it from this account, of anybody's last seen time while the account hides its own, and often of strangers: those who wrote to the account lately have given it a token for that, which is sent along. It does not say which of these is the case: the state then stays unknown.
     */
    public subscribePresence<ThrowOnError extends boolean = true>(options: Options<SubscribePresenceData, ThrowOnError>) {
        return (options.client ?? this.client).put<SubscribePresenceResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/presence/{contactId}/subscription',
            ...options
        });
    }
    
    /**
     * Read the account's privacy settings
     *
     * Asks WhatsApp to whom the account shows what. No event tells of a setting that the owner changes on the phone.
     */
    public getPrivacy<ThrowOnError extends boolean = true>(options: Options<GetPrivacyData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetPrivacyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/privacy',
            ...options
        });
    }
    
    /**
     * Change the account's privacy settings
     *
     * Changes to whom the account shows what: what is left out stays. The settings are set one after the other, each by itself: where WhatsApp refuses one, others may be set already. The answer is what WhatsApp has then.
     */
    public changePrivacy<ThrowOnError extends boolean = true>(options: Options<ChangePrivacyData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangePrivacyResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/privacy',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read the account's profile
     *
     * Asks WhatsApp what the account shows of itself.
     */
    public getProfile<ThrowOnError extends boolean = true>(options: Options<GetProfileData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetProfileResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/profile',
            ...options
        });
    }
    
    /**
     * Change the account's profile
     *
     * Changes what the account shows of itself: what is left out stays. What changes, here or on the phone, is told by contact.updated of the account's own JID. What people see beside a message is the name that it was sent under.
     */
    public changeProfile<ThrowOnError extends boolean = true>(options: Options<ChangeProfileData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeProfileResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/profile',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Take the account's picture away
     *
     * The account has no picture from then on.
     */
    public deleteProfilePicture<ThrowOnError extends boolean = true>(options: Options<DeleteProfilePictureData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteProfilePictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/profile/picture',
            ...options
        });
    }
    
    /**
     * Set the account's picture
     *
     * Gives the account a picture, in place of the one before. Set again, others see it come again.
     */
    public setProfilePicture<ThrowOnError extends boolean = true>(options: Options<SetProfilePictureData, ThrowOnError>) {
        return (options.client ?? this.client).put<SetProfilePictureResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/profile/picture',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Read the QR code
     *
     * The code to scan with the phone (WhatsApp, Linked devices, Link a device). A code is valid until expiresAt, about 20 s, and then another follows, until the last one expires: pairing_expired. They go on beside a pairing code. A session that is linked has no code: session_already_linked. unavailable: there is none yet; ask again, or with wait.
     */
    public getSessionQr<ThrowOnError extends boolean = true>(options: Options<GetSessionQrData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetSessionQrResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/qr',
            ...options
        });
    }
    
    /**
     * Restart a session
     *
     * Disconnects and connects again; also starts a session that is stopped or has failed. The answer comes at once; state follows, and each change of it is an event session.status.
     */
    public restartSession<ThrowOnError extends boolean = true>(options: Options<RestartSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<RestartSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/restart',
            ...options
        });
    }
    
    /**
     * Receive a message of a simulated contact
     *
     * For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated contact writes to the session's account. WhatsApp has the message when this answers; the session receives it a moment later, or once it is connected again, as message.received. It takes no Idempotency-Key: asked twice, the contact writes twice.
     */
    public simulateMessage<ThrowOnError extends boolean = true>(options: Options<SimulateMessageData, ThrowOnError>) {
        return (options.client ?? this.client).post<SimulateMessageResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/simulated-message',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Link the session with a simulated phone
     *
     * For trying things without a phone, where the simulated WhatsApp runs: GET /v1/version says whether it does. A simulated phone scans the session's QR code, for which it waits up to 30 s; it enters the pairing code instead where the session shows one for this phone, and answers for its passkey where WhatsApp asks for it. The session is connected a moment later. It takes no Idempotency-Key: asked twice, the second is told session_already_linked.
     */
    public simulateScan<ThrowOnError extends boolean = true>(options: Options<SimulateScanData, ThrowOnError>) {
        return (options.client ?? this.client).post<SimulateScanResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/simulated-scan',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Start a session
     *
     * Wants the session to run: it connects, or shows a QR code where it is not linked. On one that runs it does nothing. The answer comes at once; state follows, and each change of it is an event session.status.
     */
    public startSession<ThrowOnError extends boolean = true>(options: Options<StartSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<StartSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/start',
            ...options
        });
    }
    
    /**
     * List status updates
     *
     * The status updates that are shown now, of the account and of its contacts, newest first: those of the last 24 hours that were not deleted, and own ones that are still to be posted. Older ones can be read by their ids for 30 days, then they go, with their files. It is read from what chasqui keeps and needs no connection.
     */
    public listStatusUpdates<ThrowOnError extends boolean = true>(options: Options<ListStatusUpdatesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListStatusUpdatesResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/status-updates',
            ...options
        });
    }
    
    /**
     * Post a status update
     *
     * Accepts a status update and posts it in the background, in the order of the session's messages, as send-message does: to those contacts of the account's address book whom its status privacy, set on the phone, lets see it. It is a message in the chat status@broadcast: message.sent and message.status tell of it, cancel-message cancels it while it is scheduled or queued, and a failure has the same codes. With Prefer: wait=N (up to 30) the answer waits: 200 once WhatsApp has it.
     */
    public postStatusUpdate<ThrowOnError extends boolean = true>(options: Options<PostStatusUpdateData, ThrowOnError>) {
        return (options.client ?? this.client).post<PostStatusUpdateResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/status-updates',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a status update
     *
     * Deletes an own status update for everybody, while it is shown. It is kept here with revokedAt. One that is still to be posted is cancelled instead, by cancel-message.
     */
    public deleteStatusUpdate<ThrowOnError extends boolean = true>(options: Options<DeleteStatusUpdateData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteStatusUpdateResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/status-updates/{statusId}',
            ...options
        });
    }
    
    /**
     * Read a status update
     *
     * A status update by its msg_ id or by WhatsApp's, for 30 days. Its status says how far it has come: read is viewed by somebody.
     */
    public getStatusUpdate<ThrowOnError extends boolean = true>(options: Options<GetStatusUpdateData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetStatusUpdateResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/status-updates/{statusId}',
            ...options
        });
    }
    
    /**
     * View a status update
     *
     * Tells a contact that the account has viewed his status update, unless the account keeps read receipts to itself, and the account's other devices. To answer it, send a message to him with replyTo; a reaction to it reaches him too.
     */
    public viewStatusUpdate<ThrowOnError extends boolean = true>(options: Options<ViewStatusUpdateData, ThrowOnError>) {
        return (options.client ?? this.client).post<ViewStatusUpdateResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/status-updates/{statusId}/view',
            ...options
        });
    }
    
    /**
     * List a status update's viewers
     *
     * Who has viewed an own status update, and when: the last first. Those who keep read receipts to themselves are not among them. One of a contact has none.
     */
    public listStatusViewers<ThrowOnError extends boolean = true>(options: Options<ListStatusViewersData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListStatusViewersResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/status-updates/{statusId}/viewers',
            ...options
        });
    }
    
    /**
     * Stop a session
     *
     * Wants the session to rest: it disconnects, stays linked, and receives nothing until it is started. The answer comes at once; state follows, and each change of it is an event session.status.
     */
    public stopSession<ThrowOnError extends boolean = true>(options: Options<StopSessionData, ThrowOnError>) {
        return (options.client ?? this.client).post<StopSessionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/sessions/{sessionId}/stop',
            ...options
        });
    }
    
    /**
     * List the settings in force
     *
     * What the api process that answers runs by, without secrets. They are set in its environment and change with its next start; other roles have their own.
     */
    public listSettings<ThrowOnError extends boolean = true>(options?: Options<ListSettingsData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListSettingsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/settings',
            ...options
        });
    }
    
    /**
     * Read what happened, in steps of time
     *
     * For a dashboard: messages, deliveries and how long they took, the queue's lag and the sessions by state, up to now, in steps of whole minutes; at most 500 steps, and 30 days back. The last step is not over, and what it counts is up to 5 s old. GET /v1/events/stream?stats=true tells the newest every 5 s.
     */
    public getStats<ThrowOnError extends boolean = true>(options?: Options<GetStatsData, ThrowOnError>) {
        return (options?.client ?? this.client).get<GetStatsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/stats',
            ...options
        });
    }
    
    /**
     * Create a ticket for a browser
     *
     * EventSource, WebSocket and images cannot send a key. Your server, which has the key, asks for a ticket and hands it to the page, which passes it as ?ticket=. One for a stream opens one stream within 60 s; for each reconnect ask for another. One for media opens all media that the key may read for 10 minutes. There is no Idempotency-Key here: a second ticket does no harm, and a stored answer would keep the first.
     */
    public createStreamTicket<ThrowOnError extends boolean = true>(options: Options<CreateStreamTicketData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateStreamTicketResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/stream-tickets',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Which version runs?
     *
     * The program's version and the API's.
     */
    public getVersion<ThrowOnError extends boolean = true>(options?: Options<GetVersionData, ThrowOnError>) {
        return (options?.client ?? this.client).get<GetVersionResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            url: '/v1/version',
            ...options
        });
    }
    
    /**
     * List the deliveries of all endpoints
     *
     * The deliveries of all endpoints together, those of the newest events first. state=exhausted lists what nobody took: the dead letters. Those of deleted endpoints are left out.
     */
    public listDeliveries<ThrowOnError extends boolean = true>(options?: Options<ListDeliveriesData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListDeliveriesResponses, unknown, ThrowOnError, 'data'>({
            querySerializer: { parameters: { state: { array: { explode: false } } } },
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-deliveries',
            ...options
        });
    }
    
    /**
     * Read a delivery
     *
     * A delivery with its event and every attempt: when, how long, what came of it, and what the receiver answered.
     */
    public getDelivery<ThrowOnError extends boolean = true>(options: Options<GetDeliveryData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetDeliveryResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-deliveries/{deliveryId}',
            ...options
        });
    }
    
    /**
     * Send a delivery again
     *
     * Whatever its state, also one that succeeded: it is due now, with all its attempts before it, under the same webhook-id. It goes out at once and out of its order, since later events have gone already. One that is on its way at this moment is answered as it is. While its endpoint is paused or disabled it is held. delivery_expired: its event is no longer kept, or its endpoint was deleted. To send many again, see POST /v1/webhook-endpoints/{endpointId}/replay.
     */
    public retryDelivery<ThrowOnError extends boolean = true>(options: Options<RetryDeliveryData, ThrowOnError>) {
        return (options.client ?? this.client).post<RetryDeliveryResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-deliveries/{deliveryId}/retry',
            ...options
        });
    }
    
    /**
     * List webhook endpoints
     *
     * All endpoints, newest first, without their secrets. The one of WEBHOOK_URL is the last.
     */
    public listWebhookEndpoints<ThrowOnError extends boolean = true>(options?: Options<ListWebhookEndpointsData, ThrowOnError>) {
        return (options?.client ?? this.client).get<ListWebhookEndpointsResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints',
            ...options
        });
    }
    
    /**
     * Create a webhook endpoint
     *
     * Events from now on are delivered to it, signed with the secret in the answer.
     */
    public createWebhookEndpoint<ThrowOnError extends boolean = true>(options: Options<CreateWebhookEndpointData, ThrowOnError>) {
        return (options.client ?? this.client).post<CreateWebhookEndpointResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Delete a webhook endpoint
     *
     * Nothing more is delivered to it, but for what is being sent at this moment. That of WEBHOOK_URL comes back when the setting changes.
     */
    public deleteWebhookEndpoint<ThrowOnError extends boolean = true>(options: Options<DeleteWebhookEndpointData, ThrowOnError>) {
        return (options.client ?? this.client).delete<DeleteWebhookEndpointResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}',
            ...options
        });
    }
    
    /**
     * Read a webhook endpoint
     *
     * An endpoint with its state and what waits for it, without its secret.
     */
    public getWebhookEndpoint<ThrowOnError extends boolean = true>(options: Options<GetWebhookEndpointData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetWebhookEndpointResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}',
            ...options
        });
    }
    
    /**
     * Change a webhook endpoint
     *
     * Changes what is given and leaves the rest; each event falls wholly before or after the change. state paused holds events back; active delivers what was held, and forgives the failures before.
     */
    public changeWebhookEndpoint<ThrowOnError extends boolean = true>(options: Options<ChangeWebhookEndpointData, ThrowOnError>) {
        return (options.client ?? this.client).patch<ChangeWebhookEndpointResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * List an endpoint's deliveries
     *
     * An endpoint's deliveries, those of the newest events first, for as long as events are kept (30 days unless the operator chose otherwise). A page can be empty and have more behind it, when type leaves out much.
     */
    public listEndpointDeliveries<ThrowOnError extends boolean = true>(options: Options<ListEndpointDeliveriesData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListEndpointDeliveriesResponses, unknown, ThrowOnError, 'data'>({
            querySerializer: { parameters: { type: { array: { explode: false } }, state: { array: { explode: false } } } },
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}/deliveries',
            ...options
        });
    }
    
    /**
     * Send an endpoint's deliveries of a time again
     *
     * Makes due again what an endpoint has not got, by the time of the events and what became of them: after an outage of the receiver, since=when it began. Each goes out under the same webhook-id, with all its attempts before it, oldest first, and in the endpoint's order among what is sent again. It is done little by little, so that what happens meanwhile is hardly delayed: an endpoint never has more than 1000 deliveries due because of it. An endpoint has one replay at a time: webhook_replay_running names the one that runs, which can be cancelled.
     */
    public replayWebhookEndpoint<ThrowOnError extends boolean = true>(options: Options<ReplayWebhookEndpointData, ThrowOnError>) {
        return (options.client ?? this.client).post<ReplayWebhookEndpointResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}/replay',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * List an endpoint's replays
     *
     * The replays of an endpoint, newest first, for as long as events are kept.
     */
    public listReplays<ThrowOnError extends boolean = true>(options: Options<ListReplaysData, ThrowOnError>) {
        return (options.client ?? this.client).get<ListReplaysResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}/replays',
            ...options
        });
    }
    
    /**
     * Read a webhook endpoint's secret
     *
     * whsec_ and random bytes in base64, 32 of them unless it was chosen otherwise, as the libraries of Standard Webhooks take it.
     */
    public getWebhookSecret<ThrowOnError extends boolean = true>(options: Options<GetWebhookSecretData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetWebhookSecretResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}/secret',
            ...options
        });
    }
    
    /**
     * Change a webhook endpoint's secret
     *
     * The new secret signs from the next attempt on, those of events that have failed before included. The present one signs beside it for overlapHours, and secrets from earlier rotations until their own time, so that a receiver can be changed without missing anything. At most 5 earlier ones sign: a rotation that would keep a sixth is refused, and goes through with overlapHours 0. After a leak take 0 and change the receiver at once: an earlier secret that still signs does no harm, but a receiver that accepts it does.
     */
    public rotateWebhookSecret<ThrowOnError extends boolean = true>(options: Options<RotateWebhookSecretData, ThrowOnError>) {
        return (options.client ?? this.client).post<RotateWebhookSecretResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}/secret/rotate',
            ...options,
            headers: {
                'Content-Type': 'application/json',
                ...options.headers
            }
        });
    }
    
    /**
     * Test a webhook endpoint
     *
     * Publishes an event webhook.test that goes to this endpoint alone, whatever its filters say, signed and repeated as every event; endpoints of the format legacy get the message in it. With Prefer: wait=N (up to 30) the answer waits: 200 with what came of the first attempt, or 202 when there was none within N seconds, as while the breaker is open. An endpoint that is paused or disabled is not tested: set its state to active first, which also forgives its failures.
     */
    public testWebhookEndpoint<ThrowOnError extends boolean = true>(options: Options<TestWebhookEndpointData, ThrowOnError>) {
        return (options.client ?? this.client).post<TestWebhookEndpointResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-endpoints/{endpointId}/test',
            ...options
        });
    }
    
    /**
     * Read a replay
     *
     * A replay and how far it is.
     */
    public getReplay<ThrowOnError extends boolean = true>(options: Options<GetReplayData, ThrowOnError>) {
        return (options.client ?? this.client).get<GetReplayResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-replays/{replayId}',
            ...options
        });
    }
    
    /**
     * Cancel a replay
     *
     * Nothing more is made due by it; what is due already goes out. One that is over stays as it is.
     */
    public cancelReplay<ThrowOnError extends boolean = true>(options: Options<CancelReplayData, ThrowOnError>) {
        return (options.client ?? this.client).post<CancelReplayResponses, unknown, ThrowOnError, 'data'>({
            responseStyle: 'data',
            security: [{ name: 'X-API-Key', type: 'apiKey' }, { scheme: 'bearer', type: 'http' }],
            url: '/v1/webhook-replays/{replayId}/cancel',
            ...options
        });
    }
}
