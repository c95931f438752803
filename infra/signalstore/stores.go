package signalstore

import (
	"context"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"
)

// These calls pass on to sqlstore, each through Do or get. They are written out, rather than promoted from an embedded store, so that one
// that a later whatsmeow adds does not compile until it goes through them too.

// store.PreKeyStore

// GetOrGenPreKeys stores new keys in one transaction. A link makes 812 of them, and sqlstore commits each by itself.
func (s *deviceStore) GetOrGenPreKeys(ctx context.Context, count uint32) (made []*keys.PreKey, err error) {
	err = s.run(ctx, binding{fence: s.options.Fence, deferred: true}, func(ctx context.Context) error {
		return s.container.db.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
			made, err = s.inner.GetOrGenPreKeys(ctx, count)
			return err
		})
	})
	return made, err
}

func (s *deviceStore) GenOnePreKey(ctx context.Context) (*keys.PreKey, error) {
	return get(ctx, s, func(ctx context.Context) (*keys.PreKey, error) { return s.inner.GenOnePreKey(ctx) })
}

func (s *deviceStore) GetPreKey(ctx context.Context, id uint32) (*keys.PreKey, error) {
	return get(ctx, s, func(ctx context.Context) (*keys.PreKey, error) { return s.inner.GetPreKey(ctx, id) })
}

func (s *deviceStore) RemovePreKey(ctx context.Context, id uint32) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.RemovePreKey(ctx, id) })
}

func (s *deviceStore) MarkPreKeysAsUploaded(ctx context.Context, upToID uint32) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.MarkPreKeysAsUploaded(ctx, upToID) })
}

func (s *deviceStore) UploadedPreKeyCount(ctx context.Context) (int, error) {
	return get(ctx, s, func(ctx context.Context) (int, error) { return s.inner.UploadedPreKeyCount(ctx) })
}

// store.SenderKeyStore

func (s *deviceStore) PutSenderKey(ctx context.Context, group, user string, session []byte) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutSenderKey(ctx, group, user, session) })
}

func (s *deviceStore) GetSenderKey(ctx context.Context, group, user string) ([]byte, error) {
	return get(ctx, s, func(ctx context.Context) ([]byte, error) { return s.inner.GetSenderKey(ctx, group, user) })
}

// store.AppStateSyncKeyStore

func (s *deviceStore) PutAppStateSyncKey(ctx context.Context, id []byte, key store.AppStateSyncKey) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutAppStateSyncKey(ctx, id, key) })
}

func (s *deviceStore) GetAppStateSyncKey(ctx context.Context, id []byte) (*store.AppStateSyncKey, error) {
	return get(ctx, s, func(ctx context.Context) (*store.AppStateSyncKey, error) { return s.inner.GetAppStateSyncKey(ctx, id) })
}

func (s *deviceStore) GetLatestAppStateSyncKeyID(ctx context.Context) ([]byte, error) {
	return get(ctx, s, func(ctx context.Context) ([]byte, error) { return s.inner.GetLatestAppStateSyncKeyID(ctx) })
}

func (s *deviceStore) GetAllAppStateSyncKeys(ctx context.Context) ([]*store.AppStateSyncKey, error) {
	return get(ctx, s, func(ctx context.Context) ([]*store.AppStateSyncKey, error) {
		return s.inner.GetAllAppStateSyncKeys(ctx)
	})
}

// store.AppStateStore

// PutAppStateVersion only notes the version: it is stored by PutAppStateMutationMACs, see ratchet.AppStates.
func (s *deviceStore) PutAppStateVersion(ctx context.Context, name string, version uint64, hash [128]byte) error {
	return s.Do(ctx, func(context.Context) error { s.states.Note(name, version, hash); return nil })
}

func (s *deviceStore) GetAppStateVersion(ctx context.Context, name string) (first uint64, second [128]byte, err error) {
	err = s.Do(ctx, func(ctx context.Context) (err error) {
		first, second, err = s.inner.GetAppStateVersion(ctx, name)
		return err
	})
	return first, second, err
}

func (s *deviceStore) DeleteAppStateVersion(ctx context.Context, name string) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.DeleteAppStateVersion(ctx, name) })
}

func (s *deviceStore) PutAppStateMutationMACs(ctx context.Context, name string, version uint64, mutations []store.AppStateMutationMAC) error {
	return s.Do(ctx, func(ctx context.Context) error {
		state, ok := s.states.Take(name)
		if !ok {
			return s.inner.PutAppStateMutationMACs(ctx, name, version, mutations)
		}
		return s.container.db.DoTxn(ctx, nil, func(ctx context.Context) error {
			if err := s.tellState(ctx, name, state.Version, len(mutations)); err != nil {
				return err
			}
			if err := s.inner.PutAppStateVersion(ctx, name, state.Version, state.Hash); err != nil {
				return err
			}
			if err := s.inner.DeleteAppStateMutationMACs(ctx, name, state.Removed); err != nil {
				return err
			}
			return s.inner.PutAppStateMutationMACs(ctx, name, version, mutations)
		})
	})
}

// tellState runs OnState for a version that is about to be stored.
func (s *deviceStore) tellState(ctx context.Context, name string, version uint64, entries int) error {
	if s.options.OnState == nil {
		return nil
	}
	before, _, err := s.inner.GetAppStateVersion(ctx, name)
	if err != nil {
		return err
	}
	return s.options.OnState(ctx, s.container.db.Execable(ctx), State{Name: name, Version: version, Entries: entries, Initial: before == 0})
}

func (s *deviceStore) DeleteAppStateMutationMACs(ctx context.Context, name string, indexMACs [][]byte) error {
	return s.Do(ctx, func(ctx context.Context) error {
		if s.states.Remove(name, indexMACs) {
			return nil
		}
		return s.inner.DeleteAppStateMutationMACs(ctx, name, indexMACs)
	})
}

func (s *deviceStore) GetAppStateMutationMAC(ctx context.Context, name string, indexMAC []byte) ([]byte, error) {
	return get(ctx, s, func(ctx context.Context) ([]byte, error) { return s.inner.GetAppStateMutationMAC(ctx, name, indexMAC) })
}

// store.ContactStore

func (s *deviceStore) PutPushName(ctx context.Context, user types.JID, pushName string) (first bool, second string, err error) {
	err = s.Do(ctx, func(ctx context.Context) (err error) {
		first, second, err = s.inner.PutPushName(ctx, user, pushName)
		return err
	})
	return first, second, err
}

func (s *deviceStore) PutBusinessName(ctx context.Context, user types.JID, businessName string) (first bool, second string, err error) {
	err = s.Do(ctx, func(ctx context.Context) (err error) {
		first, second, err = s.inner.PutBusinessName(ctx, user, businessName)
		return err
	})
	return first, second, err
}

func (s *deviceStore) PutContactName(ctx context.Context, user types.JID, fullName, firstName string) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutContactName(ctx, user, fullName, firstName) })
}

func (s *deviceStore) PutAllContactNames(ctx context.Context, contacts []store.ContactEntry) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutAllContactNames(ctx, contacts) })
}

func (s *deviceStore) PutManyRedactedPhones(ctx context.Context, entries []store.RedactedPhoneEntry) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutManyRedactedPhones(ctx, entries) })
}

func (s *deviceStore) GetContact(ctx context.Context, user types.JID) (types.ContactInfo, error) {
	return get(ctx, s, func(ctx context.Context) (types.ContactInfo, error) { return s.inner.GetContact(ctx, user) })
}

func (s *deviceStore) GetAllContacts(ctx context.Context) (map[types.JID]types.ContactInfo, error) {
	return get(ctx, s, func(ctx context.Context) (map[types.JID]types.ContactInfo, error) { return s.inner.GetAllContacts(ctx) })
}

// store.ChatSettingsStore

func (s *deviceStore) PutMutedUntil(ctx context.Context, chat types.JID, mutedUntil time.Time) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutMutedUntil(ctx, chat, mutedUntil) })
}

func (s *deviceStore) PutPinned(ctx context.Context, chat types.JID, pinned bool) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutPinned(ctx, chat, pinned) })
}

func (s *deviceStore) PutArchived(ctx context.Context, chat types.JID, archived bool) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutArchived(ctx, chat, archived) })
}

func (s *deviceStore) GetChatSettings(ctx context.Context, chat types.JID) (types.LocalChatSettings, error) {
	return get(ctx, s, func(ctx context.Context) (types.LocalChatSettings, error) { return s.inner.GetChatSettings(ctx, chat) })
}

// store.MsgSecretStore

func (s *deviceStore) PutMessageSecrets(ctx context.Context, inserts []store.MessageSecretInsert) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutMessageSecrets(ctx, inserts) })
}

func (s *deviceStore) PutMessageSecret(ctx context.Context, chat, sender types.JID, id types.MessageID, secret []byte) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutMessageSecret(ctx, chat, sender, id, secret) })
}

func (s *deviceStore) GetMessageSecret(ctx context.Context, chat, sender types.JID, id types.MessageID) (first []byte, second types.JID, err error) {
	err = s.Do(ctx, func(ctx context.Context) (err error) {
		first, second, err = s.inner.GetMessageSecret(ctx, chat, sender, id)
		return err
	})
	return first, second, err
}

// store.PrivacyTokenStore

func (s *deviceStore) PutPrivacyTokens(ctx context.Context, tokens ...store.PrivacyToken) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutPrivacyTokens(ctx, tokens...) })
}

func (s *deviceStore) GetPrivacyToken(ctx context.Context, user types.JID) (*store.PrivacyToken, error) {
	return get(ctx, s, func(ctx context.Context) (*store.PrivacyToken, error) { return s.inner.GetPrivacyToken(ctx, user) })
}

func (s *deviceStore) DeleteExpiredPrivacyTokens(ctx context.Context, cutoff time.Time) (int64, error) {
	return get(ctx, s, func(ctx context.Context) (int64, error) { return s.inner.DeleteExpiredPrivacyTokens(ctx, cutoff) })
}

// store.NCTSaltStore

func (s *deviceStore) PutNCTSalt(ctx context.Context, salt []byte) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.PutNCTSalt(ctx, salt) })
}

func (s *deviceStore) GetNCTSalt(ctx context.Context) ([]byte, error) {
	return get(ctx, s, func(ctx context.Context) ([]byte, error) { return s.inner.GetNCTSalt(ctx) })
}

func (s *deviceStore) DeleteNCTSalt(ctx context.Context) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.DeleteNCTSalt(ctx) })
}

// store.EventBuffer

func (s *deviceStore) GetBufferedEvent(ctx context.Context, ciphertextHash [32]byte) (*store.BufferedEvent, error) {
	return get(ctx, s, func(ctx context.Context) (*store.BufferedEvent, error) {
		return s.inner.GetBufferedEvent(ctx, ciphertextHash)
	})
}

func (s *deviceStore) PutBufferedEvent(ctx context.Context, ciphertextHash [32]byte, plaintext []byte, serverTimestamp time.Time) error {
	return s.Do(ctx, func(ctx context.Context) error {
		return s.inner.PutBufferedEvent(ctx, ciphertextHash, plaintext, serverTimestamp)
	})
}

// ClearBufferedEventPlaintext is not waited for: undone, the message is handled once more if it comes again, and known.
func (s *deviceStore) ClearBufferedEventPlaintext(ctx context.Context, ciphertextHash [32]byte) error {
	return s.run(ctx, binding{fence: s.options.Fence, lazy: true}, func(ctx context.Context) error { return s.inner.ClearBufferedEventPlaintext(ctx, ciphertextHash) })
}

func (s *deviceStore) DeleteOldBufferedHashes(ctx context.Context) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.DeleteOldBufferedHashes(ctx) })
}

func (s *deviceStore) GetOutgoingEvent(ctx context.Context, chatJID, altChatJID types.JID, id types.MessageID) (first string, second []byte, err error) {
	err = s.Do(ctx, func(ctx context.Context) (err error) {
		first, second, err = s.inner.GetOutgoingEvent(ctx, chatJID, altChatJID, id)
		return err
	})
	return first, second, err
}

func (s *deviceStore) AddOutgoingEvent(ctx context.Context, chatJID types.JID, id types.MessageID, format string, plaintext []byte) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.AddOutgoingEvent(ctx, chatJID, id, format, plaintext) })
}

func (s *deviceStore) DeleteOldOutgoingEvents(ctx context.Context) error {
	return s.Do(ctx, func(ctx context.Context) error { return s.inner.DeleteOldOutgoingEvents(ctx) })
}
