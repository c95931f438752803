package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
	"github.com/go-chi/chi/v5"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
)

// A Code names a kind of problem. Clients decide by it; the list only grows.
type Code string

// The codes that this version answers with, in requests and in the error of a message.
const (
	BadRequest             Code = "bad_request"
	MalformedJSON          Code = "malformed_json"
	Unauthorized           Code = "unauthorized"
	LinkUsed               Code = "link_used"
	Forbidden              Code = "forbidden"
	InsufficientScope      Code = "insufficient_scope"
	AddressNotAllowed      Code = "address_not_allowed"
	KeyNotFound            Code = "api_key_not_found"
	NotFound               Code = "not_found"
	SessionNotFound        Code = "session_not_found"
	MessageNotFound        Code = "message_not_found"
	MessageNotSent         Code = "message_not_sent"
	MessageNotEditable     Code = "message_not_editable"
	MessageNotRevocable    Code = "message_not_revocable"
	MessageNotForwardable  Code = "message_not_forwardable"
	MessageNotCancellable  Code = "message_not_cancellable"
	MessageIDTaken         Code = "message_id_taken"
	ChatNotFound           Code = "chat_not_found"
	ContactNotFound        Code = "contact_not_found"
	LabelNotFound          Code = "label_not_found"
	CallNotFound           Code = "call_not_found"
	CallOver               Code = "call_over"
	TooManySubscriptions   Code = "too_many_subscriptions"
	GroupNotFound          Code = "group_not_found"
	NotInGroup             Code = "not_in_group"
	NotGroupAdmin          Code = "not_group_admin"
	ChannelNotFound        Code = "channel_not_found"
	NotChannelAdmin        Code = "not_channel_admin"
	InviteNotValid         Code = "invite_not_valid"
	MethodNotAllowed       Code = "method_not_allowed"
	NotAcceptable          Code = "not_acceptable"
	RequestTimeout         Code = "request_timeout"
	SessionAlreadyExists   Code = "session_already_exists"
	SessionAlreadyLinked   Code = "session_already_linked"
	SessionNotConnected    Code = "session_not_connected"
	SessionNotStopped      Code = "session_not_stopped"
	SessionLoggedOut       Code = "session_logged_out"
	PairingExpired         Code = "pairing_expired"
	PasskeyNotRequired     Code = "passkey_not_required" //nolint:gosec // G101: the name of a problem, not a credential
	PasskeyRequired        Code = "passkey_required"
	PasskeyRefused         Code = "passkey_refused"
	EndpointNotActive      Code = "endpoint_not_active"
	IdempotencyInProgress  Code = "idempotency_in_progress"
	CursorExpired          Code = "cursor_expired"
	PayloadTooLarge        Code = "payload_too_large"
	ExportTooLarge         Code = "export_too_large"
	MediaTooLarge          Code = "media_too_large"
	UnsupportedMediaType   Code = "unsupported_media_type"
	MediaNotFound          Code = "media_not_found"
	MediaExpired           Code = "media_expired"
	MediaFetchFailed       Code = "media_fetch_failed"
	MediaPending           Code = "media_pending"
	ValidationFailed       Code = "validation_failed"
	UpgradeRequired        Code = "upgrade_required"
	WebhookReplayRunning   Code = "webhook_replay_running"
	DeliveryExpired        Code = "delivery_expired"
	IdempotencyKeyReused   Code = "idempotency_key_reused"
	RecipientNotOnWhatsApp Code = "recipient_not_on_whatsapp"
	RateLimited            Code = "rate_limited"
	AccountRestricted      Code = "account_restricted"
	AccountBanned          Code = "account_banned"
	InternalError          Code = "internal_error"
	WhatsAppRejected       Code = "whatsapp_rejected"
	SandboxNotAvailable    Code = "sandbox_not_available"
	Unavailable            Code = "unavailable"
	WhatsAppTimeout        Code = "whatsapp_timeout"
)

// explanation is what a person reads about a code, at /problems/{code}.
type explanation struct {
	status int
	title  string
	text   string
}

// explanations holds every code.
var explanations = map[Code]explanation{
	BadRequest:             {400, "Bad request", "The request is not understood: a body is missing, or the URL holds characters that cannot stand there."},
	MalformedJSON:          {400, "Malformed JSON", "The body is not one valid JSON value. Check quotes and commas; strings cannot hold the character U+0000."},
	LinkUsed:               {401, "Link used", "The session of this link is linked, and with that the link has ended. Whoever holds it is done; to link another phone, log the session out and make another link."},
	Unauthorized:           {401, "Unauthorized", "Send the API key as X-API-Key, or as Authorization: Bearer. The key is the setting API_KEY; chasqui dev prints it. A ticket opens a stream once, within 60 s."},
	Forbidden:              {403, "Forbidden", "WhatsApp does not allow the session's account to know or do this, or a page of another origin asks at /mcp. The detail says more."},
	InsufficientScope:      {403, "Insufficient scope", "The API key may not do this: its scopes do not allow it, or it is for some sessions alone. The detail says what is needed; GET /v1/me says what the key may do."},
	AddressNotAllowed:      {403, "Address not allowed", "The API key may not be used from this address: it is for other networks alone."},
	KeyNotFound:            {404, "API key not found", "There is no API key with this id. GET /v1/api-keys lists them."},
	NotFound:               {404, "Not found", "Nothing has this id or path."},
	SessionNotFound:        {404, "Session not found", "No session has this id, or it is being deleted. GET /v1/sessions lists them."},
	MessageNotFound:        {404, "Message not found", "The session has no message with this id. Both the msg_ id and WhatsApp's own are accepted."},
	MessageNotSent:         {409, "Message not sent", "WhatsApp does not have the message: it is still to be sent, or could not be. Its status says which."},
	MessageNotEditable:     {409, "Message not editable", "The message cannot be edited: only the account's own texts and captions can, for 15 minutes after they were sent, or 30 days in a channel. The detail says which."},
	MessageNotRevocable:    {409, "Message not revocable", "The message cannot be deleted for everybody: only the account's own can, for about two days after they were sent, or 30 in a channel, and others' by an admin of the group. With scope=me any message can be deleted for the account alone."},
	MessageNotForwardable:  {409, "Message not forwardable", "The message cannot be forwarded: it was deleted, is to be viewed once, or is of a kind that WhatsApp's apps do not forward, such as polls, events and albums. The detail says which."},
	MessageNotCancellable:  {409, "Message not cancellable", "Only a message that is scheduled or queued can be cancelled: nothing of it has left then. This one is being sent, was sent or received, or has ended otherwise."},
	MessageIDTaken:         {409, "WhatsApp id taken", "The chat has a message with this whatsappId already. Choose an id that it never had, or leave it out. A request that is repeated with its Idempotency-Key gets its first answer instead."},
	ChatNotFound:           {404, "Chat not found", "The session has no chat with this id. GET /v1/sessions/{sessionId}/chats lists them."},
	ContactNotFound:        {404, "Contact not found", "The session knows nobody with this id. GET /v1/sessions/{sessionId}/contacts lists whom it knows."},
	LabelNotFound:          {404, "Label not found", "The account has no label with this id. GET /v1/sessions/{sessionId}/labels lists them."},
	CallNotFound:           {404, "Call not found", "The session has no call with this id. GET /v1/sessions/{sessionId}/calls lists those of the last 30 days."},
	CallOver:               {409, "Call over", "The call rings no more: it was accepted or rejected, here or on another device, or the caller hung up."},
	TooManySubscriptions:   {409, "Too many subscriptions", "The session is told of the presence of as many people as it can be. End a subscription first: DELETE /v1/sessions/{sessionId}/presence/{contactId}/subscription."},
	GroupNotFound:          {404, "Group not found", "WhatsApp knows no group with this id, or does not show it to this account."},
	NotInGroup:             {403, "Not in the group", "The session's account is not in this group, which only participants may know or do this in."},
	NotGroupAdmin:          {403, "Not an admin", "Only an admin of the group may do this, and the session's account is none."},
	ChannelNotFound:        {404, "Channel not found", "WhatsApp knows no channel with this id, or it was deleted."},
	NotChannelAdmin:        {403, "Not an admin of the channel", "Only the owner of the channel may do this, or one of its admins, and the session's account is none."},
	InviteNotValid:         {404, "Invitation not valid", "The code leads to no group or channel: it was revoked, has expired, or was never valid."},
	MethodNotAllowed:       {405, "Method not allowed", "The path exists, but not with this method. The header Allow names those it has."},
	NotAcceptable:          {406, "Not acceptable", "The answer does not exist in any form that the header Accept names."},
	RequestTimeout:         {408, "Request timeout", "The body took longer than 30 s to arrive. Send it again over a better connection."},
	SessionAlreadyExists:   {409, "Session already exists", "A session has this id already, perhaps one that is just being deleted. Choose another id, or use that session."},
	SessionAlreadyLinked:   {409, "Session already linked", "The session is linked to an account, so there is no QR code to scan. Log it out first to link another."},
	SessionNotConnected:    {409, "Session not connected", "The session is not running, or has no connection to WhatsApp. Start it, or wait until its state is connected."},
	SessionNotStopped:      {409, "Session not stopped", "The session runs, or is about to. Stop it first, with POST /v1/sessions/{sessionId}/stop, and wait until its state is stopped."},
	SessionLoggedOut:       {409, "Session logged out", "The account has unlinked this session, or is banned. Start the session and scan a new QR code."},
	PairingExpired:         {409, "Pairing expired", "Nobody scanned a QR code in time. Start or restart the session for new ones."},
	PasskeyNotRequired:     {409, "Passkey not required", "WhatsApp does not wait for this step of a passkey. While the session's state is passkey_required, GET /v1/sessions/{sessionId}/passkey says which step it waits for; once its time is over, linking begins anew."},
	PasskeyRequired:        {409, "Passkey required", "A phone is linking this session, and WhatsApp waits for the account's passkey: GET /v1/sessions/{sessionId}/passkey. Restart the session to begin anew."},
	PasskeyRefused:         {422, "Passkey refused", "WhatsApp did not accept the answer of the passkey: it is another account's, or not for this request. Another answer may be sent until expiresAt."},
	SandboxNotAvailable:    {409, "Sandbox not available", "There are no simulated phones here: the api is told of no simulated WhatsApp, or the real one is used. chasqui dev has one; with docker compose it comes with infra/docker/sandbox.env; elsewhere set SANDBOX_URL."},
	EndpointNotActive:      {409, "Endpoint not active", "The webhook endpoint is paused or disabled, so nothing is sent to it. Set its state to active first: PATCH /v1/webhook-endpoints/{endpointId}."},
	IdempotencyInProgress:  {409, "Still in progress", "A request with this Idempotency-Key is still running. Repeat it after the time in Retry-After."},
	CursorExpired:          {410, "Cursor expired", "The event of this cursor is no longer kept. Read without after to begin at the oldest event that is."},
	MediaNotFound:          {404, "Media not found", "Nothing has this media id. A file that came with a message has its id in the message's content."},
	MediaExpired:           {410, "Media expired", "The bytes of this media are kept no more: they are older than the operator keeps them, or were deleted."},
	WebhookReplayRunning:   {409, "Replay running", "The webhook endpoint has a replay already, which the detail names. Wait until it is done, or cancel it with POST /v1/webhook-replays/{replayId}/cancel."},
	DeliveryExpired:        {410, "Delivery expired", "The delivery cannot be sent again: its event is no longer kept, or its webhook endpoint was deleted."},
	MediaTooLarge:          {413, "Media too large", "The file is larger than is taken here (the setting MEDIA_MAX_MB). In JSON, base64 takes at most 16 MiB: upload larger files with POST /v1/media as multipart/form-data, and send the id."},
	MediaFetchFailed:       {422, "Media could not be fetched", "The file cannot be had: its URL leads nowhere, to an address that is not allowed, or to something else than a file, or WhatsApp and the phone have it no more. The detail says which."},
	MediaPending:           {503, "Media on its way", "The file of this message is still being fetched from WhatsApp. Repeat it after the time in Retry-After."},
	PayloadTooLarge:        {413, "Payload too large", "The body is larger than this operation takes: 1 MiB of JSON."},
	ExportTooLarge:         {413, "Export too large", "The file of the session has more than 64 MiB, which is the most that is carried over the API. Use chasqui backup, and chasqui restore with --only."},
	UnsupportedMediaType:   {415, "Unsupported media type", "Send the body as Content-Type: application/json, without Content-Encoding."},
	ValidationFailed:       {422, "Validation failed", "The request is well formed, but some of it cannot be. errors names each place and what is wrong there. Unknown fields and query parameters are refused, so that a typing error is not silently ignored."},
	IdempotencyKeyReused:   {422, "Idempotency-Key reused", "This Idempotency-Key was used within 24 h for another request. Take a new key for each thing you want done; repeat one only with the very same path and body."},
	RecipientNotOnWhatsApp: {422, "Recipient not on WhatsApp", "No WhatsApp account has this number. Check the country code."},
	UpgradeRequired:        {426, "Upgrade required", "This path speaks WebSocket (RFC 6455, version 13). Open it with a WebSocket client; GET /v1/events/stream has the same events over plain HTTP."},
	RateLimited:            {429, "Rate limited", "Too many requests, or WhatsApp takes no more of this account for now. Wait for the time in Retry-After."},
	AccountRestricted:      {429, "Account restricted", "WhatsApp restricts this account for now, for instance from writing to people who never wrote to it. Retry-After says for how long, where WhatsApp has told."},
	AccountBanned:          {409, "Account banned", "WhatsApp banned the account, often for hours or days, before the message was sent. The session's reason says for how long; start the session again after that, and send the message anew."},
	InternalError:          {500, "Internal error", "Something in chasqui went wrong. The log has the cause under the requestId."},
	WhatsAppRejected:       {502, "Rejected by WhatsApp", "WhatsApp refused it. The detail holds its reason."},
	Unavailable:            {503, "Unavailable", "Something this needs, such as the database or the QR code, is not there right now. Repeat it after the time in Retry-After; with an Idempotency-Key a repeated POST does nothing twice."},
	WhatsAppTimeout:        {504, "WhatsApp did not answer", "WhatsApp did not answer in time. A message may still arrive; its status will say so. A question may be asked again, with a longer Prefer: wait."},
}

// Limits of what a problem repeats of a request: a validation error must never be larger than the request that caused it.
const (
	maxEcho   = 128 // bytes of any text
	maxErrors = 20
)

// A FieldError says what is wrong at one place of a request.
type FieldError struct {
	Code     string `json:"code" enum:"unknown_field,required,invalid" doc:"What kind of error it is." example:"invalid"`
	Message  string `json:"message" doc:"What was expected." example:"expected number <= 200"`
	Location string `json:"location,omitempty" doc:"Where: body, query, path or header, and the way to the value." example:"query.limit"`
}

// A Problem is every answer that is not a success, as RFC 9457 has it.
type Problem struct {
	Type      string       `json:"type" doc:"Where a person reads about it, relative to the API." example:"/problems/validation_failed"`
	Title     string       `json:"title" example:"Validation failed"`
	Status    int          `json:"status" doc:"The HTTP status." example:"422"`
	Code      Code         `json:"code" doc:"What a program decides by." example:"validation_failed"`
	Detail    string       `json:"detail" doc:"What happened this time, for a person." example:"1 value is not accepted"`
	Instance  string       `json:"instance,omitempty" doc:"The path that was asked." example:"/v1/sessions"`
	RequestID string       `json:"requestId,omitempty" doc:"The request in the log; also the header X-Request-Id." example:"req_5f2b9c0e7a1d4f63"`
	Errors    []FieldError `json:"errors,omitempty"`
	MessageID string       `json:"messageId,omitempty" doc:"The message that was accepted, and then failed." example:"msg_01932f0c5d6b7a10b1f4d0c4a8e2f001"`

	headers http.Header
}

// problem makes the answer for a code. detail goes to the caller: it must hold nothing of the inside.
func problem(code Code, detail string) *Problem {
	e, ok := explanations[code]
	if !ok {
		code, e = InternalError, explanations[InternalError]
	}
	p := &Problem{Type: "/problems/" + string(code), Title: e.title, Status: e.status, Code: code, Detail: detail, headers: http.Header{}}
	switch code {
	case Unauthorized, LinkUsed:
		p.headers.Set("WWW-Authenticate", `Bearer realm="chasqui"`)
	case IdempotencyInProgress, Unavailable, MediaPending:
		p.headers.Set("Retry-After", "2")
	}
	return p
}

// invalid is the validation_failed of one value that only the program could judge.
func invalid(location, message string) *Problem {
	p := problem(ValidationFailed, "1 value is not accepted")
	p.Errors = []FieldError{{Code: "invalid", Message: message, Location: location}}
	return p
}

// Error makes a Problem an error; it is what the log shows.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus is Huma's way to ask for the status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is Huma's way to ask for headers.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType is Huma's way to ask for the media type: that of RFC 9457, whatever was negotiated.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Huma's own defaults are variables of its package. Field names are compared exactly, as JSON does, and arrays are never null.
func init() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return requestProblem(status, message, errs)
	}
	huma.NewErrorWithContext = func(_ huma.Context, status int, message string, errs ...error) huma.StatusError {
		return requestProblem(status, message, errs)
	}
}

// requestProblem turns what Huma found wrong with a request into a Problem. Huma's details hold the offending value, which may be the whole
// body: only location and message are taken over, shortened.
func requestProblem(status int, message string, errs []error) *Problem {
	var p *Problem
	switch status {
	case http.StatusBadRequest:
		if p = problem(BadRequest, message); len(errs) > 0 {
			p = problem(MalformedJSON, "the body is not valid JSON")
		}
	case http.StatusUnsupportedMediaType:
		return problem(UnsupportedMediaType, "the body must be application/json")
	case http.StatusUnprocessableEntity:
		p = problem(ValidationFailed, fmt.Sprintf("%d values are not accepted", len(errs)))
		if len(errs) == 1 {
			p.Detail = "1 value is not accepted"
		}
	case http.StatusNotAcceptable:
		return problem(NotAcceptable, "the answer is application/json")
	case http.StatusRequestEntityTooLarge:
		return problem(PayloadTooLarge, message)
	case http.StatusRequestTimeout:
		return problem(RequestTimeout, message)
	default:
		return problem(InternalError, "something went wrong")
	}
	for _, err := range errs[:min(len(errs), maxErrors)] {
		f := FieldError{Code: "invalid"}
		var d huma.ErrorDetailer
		if !errors.As(err, &d) {
			f.Message = shorten(err.Error())
		} else {
			detail := d.ErrorDetail() // its Error() would print the whole value
			f.Message, f.Location = shorten(detail.Message), shorten(detail.Location)
			if before, _, _ := strings.Cut(validation.MsgExpectedOneOf, "%s"); strings.HasPrefix(detail.Message, before) {
				f.Message = detail.Message // a list of ours, and nothing of the request's
			}
			if detail.Message == validation.MsgUnexpectedProperty || strings.HasPrefix(f.Location, "query.") && detail.Value == "" {
				f.Code = "unknown_field"
			}
			if before, after, _ := strings.Cut(validation.MsgExpectedRequiredProperty, "%s"); strings.HasPrefix(detail.Message, before) && strings.HasSuffix(detail.Message, after) {
				f.Code = "required"
			}
		}
		p.Errors = append(p.Errors, f)
	}
	slices.SortStableFunc(p.Errors, func(a, b FieldError) int { return strings.Compare(a.Location, b.Location) }) // unknown fields come in map order
	return p
}

// shorten cuts s to maxEcho bytes at a character's boundary.
func shorten(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	s = s[:maxEcho-len("…")]
	for !utf8.ValidString(s) && len(s) > 0 {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// problemOf turns whatever an operation failed with into what its caller sees: a Problem as it is, a database that cannot be reached as 503,
// all else as 500. The cause goes to the log alone.
func (s *Server) problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		s.log.DebugContext(ctx, "request abandoned by its client", "error", err)
		return problem(Unavailable, "the request was abandoned")
	}
	if isUnavailable(err) {
		s.log.WarnContext(ctx, "database unavailable", "error", err)
		return problem(Unavailable, "the database cannot be reached right now")
	}
	s.log.ErrorContext(ctx, "request failed", "error", err)
	return problem(InternalError, "something went wrong; the log has the cause under this requestId")
}

// isUnavailable says whether err means that a repetition may go through: PostgreSQL is away, the pool's wait timed out, it is a standby
// (25006), or the transaction may simply be run again.
func isUnavailable(err error) bool {
	if postgres.Away(err) || queue.Retryable(err) {
		return true
	}
	code := postgres.ErrorCode(err)
	return code == "25006" || code == "" && errors.Is(err, context.DeadlineExceeded)
}

var problemPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}} · chasqui</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}code{background:#8882;padding:.1em .3em}</style>
<h1>{{.Title}}</h1><p><code>{{.Code}}</code> · HTTP {{.Status}}</p><p>{{.Text}}</p><p><a href="/docs">The API's documentation</a></p></html>
`))

// showProblem is GET /problems/{code}: the page that a problem's type leads a person to.
func (s *Server) showProblem(w http.ResponseWriter, r *http.Request) {
	code := Code(chi.URLParam(r, "code"))
	e, ok := explanations[code]
	if !ok {
		s.writeProblem(w, r, problem(NotFound, "there is no problem of this name"))
		return
	}
	var page bytes.Buffer
	if err := problemPage.Execute(&page, map[string]string{"Title": e.title, "Code": string(code), "Status": strconv.Itoa(e.status), "Text": e.text}); err != nil {
		s.writeProblem(w, r, s.problemOf(r.Context(), err))
		return
	}
	writePage(w, page.Bytes())
}
