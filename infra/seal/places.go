package seal

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// A Place is a column whose values are sealed.
type Place struct {
	Table, Column string
	// Identity are the columns that say, together with the place, what a value belongs to. None of them ever changes in a row, nor when whatsmeow
	// copies one (MigratePNToLID: sessions and sender keys move to another their_id and sender_id).
	Identity []string
	Form     Form
	// inside applies a change to each text of a JSON value that is sealed.
	inside func(raw json.RawMessage, change func(string) (string, error)) (json.RawMessage, error)
}

// Form is how a column holds what is sealed.
type Form int

// The forms: bytes, text, and JSON of which parts are sealed.
const (
	Bytes Form = iota
	Text
	JSON
)

// Signal says whether the place is in the schema of the devices' Signal state.
func (p Place) Signal() bool { return strings.HasPrefix(p.Table, "whatsmeow_") }

func (p Place) String() string { return p.Table + "." + p.Column }

// At is what is authenticated with a value of a row: the place, and what its Identity columns hold, bytes in hex.
func (p Place) At(identity ...string) string {
	return p.Table + "." + p.Column + "\x00" + strings.Join(identity, "\x00")
}

// The places.
var (
	EndpointSecret          = Place{Table: "webhook_endpoints", Column: "secret", Identity: []string{"id"}, Form: Text}
	EndpointPreviousSecrets = Place{Table: "webhook_endpoints", Column: "previous_secrets", Identity: []string{"id"}, Form: JSON, inside: insidePreviousSecrets}
	EndpointHeaders         = Place{Table: "webhook_endpoints", Column: "headers", Identity: []string{"id"}, Form: JSON, inside: insideHeaders}
	SessionProxy            = Place{Table: "sessions", Column: "settings", Identity: []string{"id"}, Form: JSON, inside: insideSettings}
	IdempotencyResponse     = Place{Table: "idempotency_keys", Column: "response", Identity: []string{"principal", "key"}}
	MediaKey                = Place{Table: "media", Column: "media_key", Identity: []string{"id"}}
	// RawMessage holds the keys of a message's file and of what is added to it. A forwarded message takes it over by SQL.
	RawMessage = Place{Table: "messages", Column: "raw", Identity: []string{"session_id"}}
	// HistoryOffer holds the key of a file with a part of the history, until it is stored.
	HistoryOffer = Place{Table: "history_parts", Column: "notification", Identity: []string{"session_id"}}

	NoiseKey        = Place{Table: "whatsmeow_device", Column: "noise_key", Identity: []string{"jid"}}
	IdentityKey     = Place{Table: "whatsmeow_device", Column: "identity_key", Identity: []string{"jid"}}
	SignedPreKey    = Place{Table: "whatsmeow_device", Column: "signed_pre_key", Identity: []string{"jid"}}
	AdvSecret       = Place{Table: "whatsmeow_device", Column: "adv_key", Identity: []string{"jid"}}
	PreKey          = Place{Table: "whatsmeow_pre_keys", Column: "key", Identity: []string{"jid", "key_id"}}
	SignalSession   = Place{Table: "whatsmeow_sessions", Column: "session", Identity: []string{"our_jid"}}
	SenderKey       = Place{Table: "whatsmeow_sender_keys", Column: "sender_key", Identity: []string{"our_jid", "chat_id"}}
	AppStateSyncKey = Place{Table: "whatsmeow_app_state_sync_keys", Column: "key_data", Identity: []string{"jid"}}
	MessageSecret   = Place{Table: "whatsmeow_message_secrets", Column: "key", Identity: []string{"our_jid", "message_id"}}
	PrivacyToken    = Place{Table: "whatsmeow_privacy_tokens", Column: "token", Identity: []string{"our_jid"}}
	NCTSalt         = Place{Table: "whatsmeow_nct_salt", Column: "salt", Identity: []string{"our_jid"}}
	BufferedEvent   = Place{Table: "whatsmeow_event_buffer", Column: "plaintext", Identity: []string{"our_jid"}}
	OutgoingEvent   = Place{Table: "whatsmeow_retry_buffer", Column: "plaintext", Identity: []string{"our_jid", "message_id"}}
)

// Places are all of them.
var Places = []Place{
	EndpointSecret, EndpointPreviousSecrets, EndpointHeaders, SessionProxy, IdempotencyResponse, MediaKey, RawMessage, HistoryOffer,
	NoiseKey, IdentityKey, SignedPreKey, AdvSecret, PreKey, SignalSession, SenderKey, AppStateSyncKey, MessageSecret, PrivacyToken, NCTSalt, BufferedEvent, OutgoingEvent,
}

// OfTable are the places of one table.
func OfTable(name string) (places []Place) {
	for _, p := range Places {
		if p.Table == name {
			places = append(places, p)
		}
	}
	return places
}

// OpenJSON returns a JSON value of a place with nothing sealed in it.
func (k *Keys) OpenJSON(p Place, raw json.RawMessage, identity ...string) (json.RawMessage, error) {
	return p.inside(raw, func(text string) (string, error) { return k.OpenText(text, p.At(identity...)) })
}

// SealJSON seals what is to be sealed in a JSON value of a place.
func (k *Keys) SealJSON(p Place, raw json.RawMessage, identity ...string) (json.RawMessage, error) {
	return p.inside(raw, func(text string) (string, error) { return k.SealText(text, p.At(identity...)), nil })
}

// ResealJSON is Reseal for a JSON value of a place.
func (k *Keys) ResealJSON(p Place, raw json.RawMessage, identity ...string) (resealed json.RawMessage, changed bool, err error) {
	resealed, err = p.inside(raw, func(text string) (string, error) {
		text, other, err := k.ResealText(text, p.At(identity...))
		changed = changed || other
		return text, err
	})
	return resealed, changed, err
}

// insideHeaders seals the whole: an object that is sealed is a string.
func insideHeaders(raw json.RawMessage, change func(string) (string, error)) (json.RawMessage, error) {
	text := string(raw)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, fmt.Errorf("decode headers: %w", err)
		}
	}
	if text == "{}" {
		return raw, nil
	}
	text, err := change(text)
	if err != nil || strings.HasPrefix(text, "{") {
		return json.RawMessage(text), err
	}
	return json.Marshal(text)
}

// insidePreviousSecrets keeps the times readable, by which the secrets go.
func insidePreviousSecrets(raw json.RawMessage, change func(string) (string, error)) (json.RawMessage, error) {
	var all []struct {
		Secret string    `json:"secret"`
		Until  time.Time `json:"until"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("decode previous secrets: %w", err)
	}
	if len(all) == 0 {
		return raw, nil
	}
	for i := range all {
		var err error
		if all[i].Secret, err = change(all[i].Secret); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// insideSettings seals the user and password of the proxy, so that the rest of its address can be shown without a key.
func insideSettings(raw json.RawMessage, change func(string) (string, error)) (json.RawMessage, error) {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(raw, &settings); err != nil {
		return nil, fmt.Errorf("decode settings: %w", err)
	}
	var proxy string
	if settings["proxy"] == nil {
		return raw, nil
	}
	if err := json.Unmarshal(settings["proxy"], &proxy); err != nil {
		return nil, fmt.Errorf("decode proxy: %w", err)
	}
	changed, err := insideURL(proxy, change)
	if err != nil {
		return nil, err
	}
	if changed == proxy {
		return raw, nil
	}
	if settings["proxy"], err = json.Marshal(changed); err != nil {
		return nil, fmt.Errorf("encode proxy: %w", err)
	}
	return json.Marshal(settings)
}

// insideURL changes the user and password of a URL, which is otherwise left as it was written.
func insideURL(address string, change func(string) (string, error)) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address, nil //nolint:nilerr // without a user there is nothing to seal in it
	}
	scheme, rest, _ := strings.Cut(address, "://")
	// The user ends at the last @ of the authority, as url.Parse has it.
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return address, nil
	}
	user, err := change(authority[:at])
	if err != nil {
		return "", err
	}
	return scheme + "://" + user + authority[at:] + path, nil
}

// OpenProxy returns the address of a session's proxy with its user and password.
func (k *Keys) OpenProxy(address, session string) (string, error) {
	return insideURL(address, func(text string) (string, error) { return k.OpenText(text, SessionProxy.At(session)) })
}

// SealProxy seals the user and password in the address of a session's proxy.
func (k *Keys) SealProxy(address, session string) (string, error) {
	return insideURL(address, func(text string) (string, error) { return k.SealText(text, SessionProxy.At(session)), nil })
}
