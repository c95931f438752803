package keystore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

// maxSecrets bounds a device's message secrets, each about 250 bytes, which whatsmeow stores with every message and never deletes. Without
// its secret a message's votes and edits can no longer be read.
const maxSecrets = 20_000

// both are the addresses under which a user may be stored: the one given and, where the other is known, that.
func (s *deviceStore) both(jid types.JID) []types.JID {
	list := []types.JID{jid}
	switch jid.Server {
	case types.HiddenUserServer:
		if pn, ok := s.container.people.pnOf(jid.User); ok {
			list = append(list, types.NewJID(pn, types.DefaultUserServer))
		}
	case types.DefaultUserServer:
		if lid, ok := s.container.people.lidOf(jid.User); ok {
			list = append(list, types.NewJID(lid, types.HiddenUserServer))
		}
	}
	return list
}

func secretRef(chat, sender types.JID, id types.MessageID) ref {
	return ref{secrets, join(chat.String(), sender.String(), id)}
}

// PutMessageSecrets implements store.MsgSecretStore. What is stored for a message stays.
func (s *deviceStore) PutMessageSecrets(ctx context.Context, inserts []store.MessageSecretInsert) error {
	return s.change(ctx, func(t *tx) error {
		for _, in := range inserts {
			r := secretRef(in.Chat.ToNonAD(), in.Sender.ToNonAD(), in.ID)
			if _, ok := t.get(r); !ok {
				t.put(r, append(stamp(), in.Secret...))
			}
		}
		t.bound(secrets, maxSecrets, func([]byte) bool { return true })
		return nil
	})
}

// PutMessageSecret implements store.MsgSecretStore.
func (s *deviceStore) PutMessageSecret(ctx context.Context, chat, sender types.JID, id types.MessageID, secret []byte) error {
	return s.PutMessageSecrets(ctx, []store.MessageSecretInsert{{Chat: chat, Sender: sender, ID: id, Secret: secret}})
}

// GetMessageSecret implements store.MsgSecretStore. Chat and sender may each be given by number or by LID.
func (s *deviceStore) GetMessageSecret(ctx context.Context, chat, sender types.JID, id types.MessageID) (secret []byte, from types.JID, err error) {
	err = s.view(ctx, func(t *tx) error {
		for _, c := range s.both(chat.ToNonAD()) {
			for _, by := range s.both(sender.ToNonAD()) {
				if value := t.read(secretRef(c, by, id)); value != nil && secret == nil {
					secret, from = value[stampSize:], by
				}
			}
		}
		return nil
	})
	return secret, from, err
}

// tokenRow's times are Unix seconds.
type tokenRow struct {
	Token     []byte `json:"token"`
	Timestamp int64  `json:"timestamp"`
	Sent      *int64 `json:"senderTimestamp,omitempty"`
}

// PutPrivacyTokens implements store.PrivacyTokenStore. An older token does not replace a newer one, and one without the time at which we
// sent ours leaves the time that is stored.
func (s *deviceStore) PutPrivacyTokens(ctx context.Context, list ...store.PrivacyToken) error {
	return s.change(ctx, func(t *tx) error {
		for _, token := range list {
			err := edit(t, ref{tokens, join(token.User.ToNonAD().String())}, func(row *tokenRow) {
				seconds := token.Timestamp.Unix()
				if row.Token != nil && seconds < row.Timestamp {
					return
				}
				row.Token, row.Timestamp = append([]byte{}, token.Token...), seconds
				if !token.SenderTimestamp.IsZero() {
					row.Sent = new(int64)
					*row.Sent = token.SenderTimestamp.Unix()
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// GetPrivacyToken implements store.PrivacyTokenStore. Of two that are stored for a user, by number and by LID, it is the newer.
func (s *deviceStore) GetPrivacyToken(ctx context.Context, user types.JID) (token *store.PrivacyToken, err error) {
	var newest tokenRow
	err = s.view(ctx, func(t *tx) error {
		for _, jid := range s.both(user.ToNonAD()) {
			var row tokenRow
			found, err := load(t, ref{tokens, join(jid.String())}, &row)
			if err != nil {
				return err
			}
			if found && (newest.Token == nil || row.Timestamp > newest.Timestamp) {
				newest = row
			}
		}
		return nil
	})
	if err != nil || newest.Token == nil {
		return nil, err
	}
	token = &store.PrivacyToken{User: user.ToNonAD(), Token: newest.Token, Timestamp: time.Unix(newest.Timestamp, 0)}
	if newest.Sent != nil {
		token.SenderTimestamp = time.Unix(*newest.Sent, 0)
	}
	return token, nil
}

// DeleteExpiredPrivacyTokens implements store.PrivacyTokenStore.
func (s *deviceStore) DeleteExpiredPrivacyTokens(ctx context.Context, cutoff time.Time) (deleted int64, err error) {
	err = s.change(ctx, func(t *tx) error {
		for _, row := range t.rows(tokens, "") {
			var token tokenRow
			if err := json.Unmarshal(row.value, &token); err != nil {
				return fmt.Errorf("decode privacy token: %w", err)
			}
			if token.Timestamp < cutoff.Unix() {
				t.remove(ref{tokens, row.key})
				deleted++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// PutNCTSalt implements store.NCTSaltStore.
func (s *deviceStore) PutNCTSalt(ctx context.Context, value []byte) error {
	return s.put(ctx, ref{salt, single}, value)
}

// GetNCTSalt implements store.NCTSaltStore.
func (s *deviceStore) GetNCTSalt(ctx context.Context) ([]byte, error) {
	return s.read(ctx, ref{salt, single})
}

// DeleteNCTSalt implements store.NCTSaltStore.
func (s *deviceStore) DeleteNCTSalt(ctx context.Context) error {
	return s.remove(ctx, ref{salt, single})
}
