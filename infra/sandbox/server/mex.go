package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// mexHandler answers a GraphQL query, which clients name by an id, with what goes into the answer's member "data".
type mexHandler func(ctx context.Context, c *conn, variables json.RawMessage) (data any, err error)

// mexOperation is a GraphQL operation that clients name by the id of a stored query (sendMexIQ in newsletter.go). A client knows an
// operation by one id, another client or another version of it by another.
type mexOperation struct {
	name   string // what WhatsApp's own clients call it (argo/name-to-queryids.json)
	field  string // the member of `data` that holds the answer
	ids    []string
	answer func(ctx context.Context, c *conn, v *mexVariables) (any, error)
}

// mexOperations are the operations that whatsmeow and Baileys know. Their ids are, in this order, whatsmeow's for web clients and for
// others (newsletter.go), those of its argo/name-to-queryids.json, and Baileys' (Types/Mex). The shapes of the answers are those of
// argo/argo-wire-type-store.argo; clients that are not told format=argo read them as JSON.
var mexOperations = []mexOperation{
	{"NewsletterCreate", "xwa2_newsletter_create", []string{"6234210096708695", "27527996220149684", "8823471724422422"}, mexCreate},
	{"NewsletterMetadata", "xwa2_newsletter", []string{"6563316087068696", "9779843322044422"}, mexMetadata},
	subscribedOperation,
	{"NewsletterRecommended", "xwa2_newsletters_recommended", []string{"7263823273662354", "27256776790637714"}, mexDirectory},
	{"NewsletterDirectoryList", "xwa2_newsletters_directory_list", []string{"6190824427689257", "8629852843766813"}, mexDirectory},
	{"NewsletterSubscribers", "xwa2_newsletter_subscribers", []string{"9800646650009898", "25403502652570342", "9783111038412085"}, mexSubscribers},
	{
		"NewsletterMetadataUpdate", "xwa2_newsletter_update",
		[]string{"7150902998257522", "7839742399440946", "8580212968761751", "24250201037901610"}, mexUpdate,
	},
	followOperation,
	{"NewsletterLeave", "xwa2_newsletter_leave_v2", []string{"6392786840836363", "8782612271820087", "6548204731885183", "9767147403369991"}, mexLeave},
	{"NewsletterMute", "xwa2_newsletter_mute_v2", []string{"6274038279359549", "5971669009605755", "29766401636284406"}, mexMute},
	{"NewsletterUnmute", "xwa2_newsletter_unmute_v2", []string{"6068417879924485", "6104029483058502", "9864994326891137"}, mexUnmute},
	{"NewsletterAdminMetadataQuery", "xwa2_newsletter_admin", []string{"7785791618136078", "7130823597031706"}, mexAdmin},
	{"NewsletterAdminInvite", "xwa2_newsletter_admin_invite_create", []string{"24943748628557365"}, mexInviteAdmin},
	{"NewsletterAdminInviteRevoke", "xwa2_newsletter_admin_invite_revoke", []string{"6550386328343169"}, mexRevokeInvite},
	{"NewsletterAcceptAdminInvite", "xwa2_newsletter_admin_invite_accept", []string{"6179636105471882"}, mexAcceptInvite},
	{"NewsletterAdminDemote", "xwa2_newsletter_admin_demote", []string{"7220922401252829"}, mexDemote},
	{"NewsletterAdminDemote", "xwa2_newsletter_demote", []string{"6551828931592903"}, mexDemote},
	{"NewsletterChangeOwner", "xwa2_newsletter_change_owner", []string{"6951013521615265", "7341777602580933"}, mexChangeOwner},
	{"NewsletterDelete", "xwa2_newsletter_delete_v2", []string{"6285734628148226", "30062808666639665"}, mexDelete},

	{"FetchReachoutTimelockQuery", "xwa2_fetch_account_reachout_timelock", []string{"9462376090546244", "23983697327930364"}, mexRestriction},
	{"XWA2MessageCappingInfoQuery", "xwa2_message_capping_info", []string{"25275321118723031", "24503548349331633"}, mexMessageCap},
}

var (
	subscribedOperation = mexOperation{"NewsletterSubscribed", "xwa2_newsletter_subscribed", []string{"6388546374527196"}, mexSubscribed}
	followOperation     = mexOperation{"NewsletterJoin", "xwa2_newsletter_join_v2", []string{"9926858900719341", "6742622672428529", "24404358912487870"}, mexFollow}
)

// sharedQuery is the id that whatsmeow has for two operations of clients that are not web's, subscribed and follow; only the latter has a
// variable.
const sharedQuery = "8621797084555037"

// mexVariables are the variables of all operations.
type mexVariables struct {
	NewsletterID  types.JID       `json:"newsletter_id"`
	UserID        types.JID       `json:"user_id"`
	FetchViewer   bool            `json:"fetch_viewer_metadata"`
	Updates       channelUpdates  `json:"updates"`
	Input         json.RawMessage `json:"input"`
	CreationInput json.RawMessage `json:"newsletter_input"` // whatsmeow's name for the input of NewsletterCreate
}

// input decodes the input variable; what it does not have stays as it is.
func (v *mexVariables) input(into any) error {
	text := v.Input
	if len(v.CreationInput) > 0 {
		text = v.CreationInput
	}
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return errBadRequest
	}
	return nil
}

func registerMex(r *registry) {
	for _, operation := range mexOperations {
		for _, id := range operation.ids {
			r.mex[id] = operation.handle
		}
	}
	r.mex[sharedQuery] = mexShared
	r.queries[query{"w:mex", "get", "query"}] = handleMex
}

// handle answers the operation for one client.
func (o mexOperation) handle(ctx context.Context, c *conn, variables json.RawMessage) (any, error) {
	var v mexVariables
	if len(variables) > 0 && json.Unmarshal(variables, &v) != nil {
		return nil, errBadRequest
	}
	answer, err := o.answer(ctx, c, &v)
	if err != nil {
		return nil, err
	}
	return map[string]any{o.field: answer}, nil
}

// mexShared tells the two operations of sharedQuery apart.
func mexShared(ctx context.Context, c *conn, variables json.RawMessage) (any, error) {
	var v mexVariables
	if len(variables) > 0 && json.Unmarshal(variables, &v) != nil {
		return nil, errBadRequest
	}
	if v.NewsletterID.IsEmpty() {
		return subscribedOperation.handle(ctx, c, variables)
	}
	return followOperation.handle(ctx, c, variables)
}

// handleMex gives a query to its handler and answers in the form of GraphQL, errors too (types.GraphQLResponse; executeWMexQuery in Baileys).
func handleMex(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	question := iq.GetChildByTag("query")
	id := attr(&question, "query_id")
	var body struct {
		Variables json.RawMessage `json:"variables"`
	}
	var data any
	err := error(queryError{400, "unknown query_id"})
	handler, known := c.s.handlers.mex[id]
	switch {
	case !known:
		c.s.counts.unknown.Add(1)
		c.s.log.WarnContext(ctx, "unknown mex query", "query", id)
	case json.Unmarshal(content(question), &body) != nil:
		err = errBadRequest
	default:
		data, err = handler(ctx, c, body.Variables)
	}
	response := map[string]any{"data": data}
	if err != nil {
		var refused queryError
		if !errors.As(err, &refused) {
			c.s.log.ErrorContext(ctx, "mex query failed", "query", id, "error", err)
			refused = errInternal
		}
		response["data"], response["errors"] = nil, []any{map[string]any{
			"message": refused.text, "path": []string{},
			"extensions": map[string]any{"error_code": refused.code, "is_retryable": refused.code >= 500, "severity": "CRITICAL"},
		}}
	}
	text, err := json.Marshal(response)
	if err != nil {
		return nil, fmt.Errorf("marshal mex answer: %w", err)
	}
	return []waBinary.Node{{Tag: "result", Content: text}}, nil
}

// mexNotification tells a device of something in the form of GraphQL (handleMexNotification in notification.go). Baileys reads the
// updates of some kinds beside the data (handleLegacyMexNewsletterNotification in messages-recv), others it knows from the data.
func mexNotification(operation, field string, data any, updates ...any) waBinary.Node {
	payload := map[string]any{"data": map[string]any{field: data}}
	if len(updates) > 0 {
		payload["operation"], payload["updates"] = operation, updates
	}
	text, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("notification %s is not JSON: %v", operation, err)) // a type that cannot be marshalled is a mistake in this package
	}
	return waBinary.Node{
		Tag:     "notification",
		Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": "mex", "id": newID(), "t": time.Now().Unix()},
		Content: []waBinary.Node{{Tag: "update", Attrs: waBinary.Attrs{"op_name": operation}, Content: text}},
	}
}

// mexMessageCap says that the account may begin as many chats as it likes.
func mexMessageCap(context.Context, *conn, *mexVariables) (any, error) {
	return map[string]any{
		"capping_status": "NONE", "ote_status": "NOT_ELIGIBLE", "mv_status": "NOT_ELIGIBLE",
		"server_sent_timestamp": fmt.Sprint(time.Now().Unix()),
	}, nil
}
