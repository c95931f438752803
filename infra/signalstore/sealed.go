package signalstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/util/dbutil"
	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"

	"github.com/chasqui/chasqui/infra/seal"
)

// sealed is a device's tables, with what is secret in them sealed: what others could read its messages with, or write in its name. Identities of
// others, contacts, settings and the sums of the account's state are as sqlstore has them.
//
// Where sqlstore makes a key itself, or wants 32 bytes of a column, the query is our own: prekeys, and the device (getDevice, putDevice).
type sealed struct {
	*sqlstore.SQLStore
	keys *seal.Keys
	db   *dbutil.Database

	preKeys sync.Mutex // from reading the last number to writing the next
}

func (s *sealed) PutSession(ctx context.Context, address string, session []byte) error {
	return s.SQLStore.PutSession(ctx, address, s.keys.Seal(session, seal.SignalSession.At(s.JID)))
}

func (s *sealed) PutManySessions(ctx context.Context, sessions map[string][]byte) error {
	rows := make(map[string][]byte, len(sessions))
	for address, session := range sessions {
		rows[address] = s.keys.Seal(session, seal.SignalSession.At(s.JID))
	}
	return s.SQLStore.PutManySessions(ctx, rows)
}

func (s *sealed) GetSession(ctx context.Context, address string) ([]byte, error) {
	session, err := s.SQLStore.GetSession(ctx, address)
	if err != nil {
		return nil, err
	}
	return s.keys.Open(session, seal.SignalSession.At(s.JID))
}

func (s *sealed) GetManySessions(ctx context.Context, addresses []string) (map[string][]byte, error) {
	sessions, err := s.SQLStore.GetManySessions(ctx, addresses)
	if err != nil {
		return nil, err
	}
	for address, session := range sessions {
		if sessions[address], err = s.keys.Open(session, seal.SignalSession.At(s.JID)); err != nil {
			return nil, err
		}
	}
	return sessions, nil
}

func (s *sealed) PutSenderKey(ctx context.Context, group, user string, session []byte) error {
	return s.SQLStore.PutSenderKey(ctx, group, user, s.keys.Seal(session, seal.SenderKey.At(s.JID, group)))
}

func (s *sealed) GetSenderKey(ctx context.Context, group, user string) ([]byte, error) {
	key, err := s.SQLStore.GetSenderKey(ctx, group, user)
	if err != nil {
		return nil, err
	}
	return s.keys.Open(key, seal.SenderKey.At(s.JID, group))
}

func (s *sealed) PutAppStateSyncKey(ctx context.Context, id []byte, key store.AppStateSyncKey) error {
	key.Data = s.keys.Seal(key.Data, seal.AppStateSyncKey.At(s.JID))
	return s.SQLStore.PutAppStateSyncKey(ctx, id, key)
}

func (s *sealed) GetAppStateSyncKey(ctx context.Context, id []byte) (*store.AppStateSyncKey, error) {
	key, err := s.SQLStore.GetAppStateSyncKey(ctx, id)
	if err != nil || key == nil {
		return nil, err
	}
	key.Data, err = s.keys.Open(key.Data, seal.AppStateSyncKey.At(s.JID))
	return key, err
}

func (s *sealed) GetAllAppStateSyncKeys(ctx context.Context) ([]*store.AppStateSyncKey, error) {
	all, err := s.SQLStore.GetAllAppStateSyncKeys(ctx)
	if err != nil {
		return nil, err
	}
	for _, key := range all {
		if key.Data, err = s.keys.Open(key.Data, seal.AppStateSyncKey.At(s.JID)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (s *sealed) PutMessageSecrets(ctx context.Context, inserts []store.MessageSecretInsert) error {
	rows := slices.Clone(inserts)
	for i := range rows {
		rows[i].Secret = s.keys.Seal(rows[i].Secret, seal.MessageSecret.At(s.JID, rows[i].ID))
	}
	return s.SQLStore.PutMessageSecrets(ctx, rows)
}

func (s *sealed) PutMessageSecret(ctx context.Context, chat, sender types.JID, id types.MessageID, secret []byte) error {
	return s.SQLStore.PutMessageSecret(ctx, chat, sender, id, s.keys.Seal(secret, seal.MessageSecret.At(s.JID, id)))
}

func (s *sealed) GetMessageSecret(ctx context.Context, chat, sender types.JID, id types.MessageID) ([]byte, types.JID, error) {
	secret, real, err := s.SQLStore.GetMessageSecret(ctx, chat, sender, id)
	if err != nil {
		return nil, real, err
	}
	secret, err = s.keys.Open(secret, seal.MessageSecret.At(s.JID, id))
	return secret, real, err
}

func (s *sealed) PutPrivacyTokens(ctx context.Context, tokens ...store.PrivacyToken) error {
	rows := slices.Clone(tokens)
	for i := range rows {
		rows[i].Token = s.keys.Seal(rows[i].Token, seal.PrivacyToken.At(s.JID))
	}
	return s.SQLStore.PutPrivacyTokens(ctx, rows...)
}

func (s *sealed) GetPrivacyToken(ctx context.Context, user types.JID) (*store.PrivacyToken, error) {
	token, err := s.SQLStore.GetPrivacyToken(ctx, user)
	if err != nil || token == nil {
		return nil, err
	}
	token.Token, err = s.keys.Open(token.Token, seal.PrivacyToken.At(s.JID))
	return token, err
}

func (s *sealed) PutNCTSalt(ctx context.Context, salt []byte) error {
	return s.SQLStore.PutNCTSalt(ctx, s.keys.Seal(salt, seal.NCTSalt.At(s.JID)))
}

func (s *sealed) GetNCTSalt(ctx context.Context) ([]byte, error) {
	salt, err := s.SQLStore.GetNCTSalt(ctx)
	if err != nil {
		return nil, err
	}
	return s.keys.Open(salt, seal.NCTSalt.At(s.JID))
}

func (s *sealed) PutBufferedEvent(ctx context.Context, ciphertextHash [32]byte, plaintext []byte, serverTimestamp time.Time) error {
	return s.SQLStore.PutBufferedEvent(ctx, ciphertextHash, s.keys.Seal(plaintext, seal.BufferedEvent.At(s.JID)), serverTimestamp)
}

func (s *sealed) GetBufferedEvent(ctx context.Context, ciphertextHash [32]byte) (*store.BufferedEvent, error) {
	event, err := s.SQLStore.GetBufferedEvent(ctx, ciphertextHash)
	if err != nil || event == nil {
		return nil, err
	}
	event.Plaintext, err = s.keys.Open(event.Plaintext, seal.BufferedEvent.At(s.JID))
	return event, err
}

func (s *sealed) AddOutgoingEvent(ctx context.Context, chatJID types.JID, id types.MessageID, format string, plaintext []byte) error {
	return s.SQLStore.AddOutgoingEvent(ctx, chatJID, id, format, s.keys.Seal(plaintext, seal.OutgoingEvent.At(s.JID, id)))
}

func (s *sealed) GetOutgoingEvent(ctx context.Context, chatJID, altChatJID types.JID, id types.MessageID) (string, []byte, error) {
	format, plaintext, err := s.SQLStore.GetOutgoingEvent(ctx, chatJID, altChatJID, id)
	if err != nil {
		return format, nil, err
	}
	plaintext, err = s.keys.Open(plaintext, seal.OutgoingEvent.At(s.JID, id))
	return format, plaintext, err
}

// preKeyAt is where a prekey is sealed.
func (s *sealed) preKeyAt(id uint32) string {
	return seal.PreKey.At(s.JID, strconv.FormatUint(uint64(id), 10))
}

func (s *sealed) insertPreKey(ctx context.Context, id uint32, uploaded bool) (*keys.PreKey, error) {
	key := keys.NewPreKey(id)
	_, err := s.db.Exec(ctx, `INSERT INTO whatsmeow_pre_keys (jid, key_id, key, uploaded) VALUES ($1, $2, $3, $4)`,
		s.JID, id, s.keys.Seal(key.Priv[:], s.preKeyAt(id)), uploaded)
	return key, err
}

func (s *sealed) nextPreKeyID(ctx context.Context) (uint32, error) {
	var last uint32
	err := s.db.QueryRow(ctx, `SELECT coalesce(max(key_id), 0) FROM whatsmeow_pre_keys WHERE jid = $1`, s.JID).Scan(&last)
	return last + 1, err
}

// GenOnePreKey makes a prekey that is given away at once.
func (s *sealed) GenOnePreKey(ctx context.Context) (*keys.PreKey, error) {
	s.preKeys.Lock()
	defer s.preKeys.Unlock()
	id, err := s.nextPreKeyID(ctx)
	if err != nil {
		return nil, err
	}
	return s.insertPreKey(ctx, id, true)
}

// GetOrGenPreKeys returns the prekeys that WhatsApp does not have yet, and makes what is missing to count.
func (s *sealed) GetOrGenPreKeys(ctx context.Context, count uint32) ([]*keys.PreKey, error) {
	s.preKeys.Lock()
	defer s.preKeys.Unlock()
	found, err := s.unuploaded(ctx, count)
	if err != nil || len(found) >= int(count) {
		return found, err
	}
	id, err := s.nextPreKeyID(ctx)
	if err != nil {
		return nil, err
	}
	for ; len(found) < int(count); id++ {
		key, err := s.insertPreKey(ctx, id, false)
		if err != nil {
			return nil, err
		}
		found = append(found, key)
	}
	return found, nil
}

func (s *sealed) unuploaded(ctx context.Context, count uint32) (found []*keys.PreKey, err error) {
	rows, err := s.db.Query(ctx, `SELECT key_id, key FROM whatsmeow_pre_keys WHERE jid = $1 AND NOT uploaded ORDER BY key_id LIMIT $2`, s.JID, count)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		key, err := s.scanPreKey(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, key)
	}
	return found, rows.Err()
}

func (s *sealed) GetPreKey(ctx context.Context, id uint32) (*keys.PreKey, error) {
	key, err := s.scanPreKey(s.db.QueryRow(ctx, `SELECT key_id, key FROM whatsmeow_pre_keys WHERE jid = $1 AND key_id = $2`, s.JID, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // as whatsmeow wants it
	}
	return key, err
}

func (s *sealed) scanPreKey(row dbutil.Scannable) (*keys.PreKey, error) {
	var (
		id    uint32
		value []byte
	)
	if err := row.Scan(&id, &value); err != nil {
		return nil, err
	}
	private, err := openKey(s.keys, value, s.preKeyAt(id))
	if err != nil {
		return nil, err
	}
	return &keys.PreKey{KeyPair: *keys.NewKeyPairFromPrivateKey(private), KeyID: id}, nil
}

// openKey opens a private key.
func openKey(k *seal.Keys, value []byte, at string) (private [32]byte, err error) {
	value, err = k.Open(value, at)
	if err != nil {
		return private, err
	}
	if len(value) != len(private) {
		return private, sqlstore.ErrInvalidLength
	}
	return [32]byte(value), nil
}

// getDevice is sqlstore's GetDevice, with our own stores still to be put in.
func (c *Container) getDevice(ctx context.Context, jid types.JID) (*store.Device, error) {
	var (
		noise, identity, signed, signature, adv []byte
		account                                 waAdv.ADVSignedDeviceIdentity
		facebook                                uuid.NullUUID
	)
	device := &store.Device{Log: c.log, SignedPreKey: &keys.PreKey{}, Account: &account}
	err := c.db.QueryRow(ctx, `SELECT jid, lid, registration_id, noise_key, identity_key, signed_pre_key, signed_pre_key_id, signed_pre_key_sig,
		adv_key, adv_details, adv_account_sig, adv_account_sig_key, adv_device_sig,
		platform, business_name, push_name, facebook_uuid, lid_migration_ts, companion_meta_nonce FROM whatsmeow_device WHERE jid = $1`, jid).Scan(
		&device.ID, &device.LID, &device.RegistrationID, &noise, &identity, &signed, &device.SignedPreKey.KeyID, &signature,
		&adv, &account.Details, &account.AccountSignature, &account.AccountSignatureKey, &account.DeviceSignature,
		&device.Platform, &device.BusinessName, &device.PushName, &facebook, &device.LIDMigrationTimestamp, &device.CompanionMetaNonce)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoDevice
	}
	if err != nil {
		return nil, err
	}
	of := jid.String()
	for _, key := range []struct {
		value []byte
		place seal.Place
		put   func([32]byte)
	}{
		{noise, seal.NoiseKey, func(k [32]byte) { device.NoiseKey = keys.NewKeyPairFromPrivateKey(k) }},
		{identity, seal.IdentityKey, func(k [32]byte) { device.IdentityKey = keys.NewKeyPairFromPrivateKey(k) }},
		{signed, seal.SignedPreKey, func(k [32]byte) { device.SignedPreKey.KeyPair = *keys.NewKeyPairFromPrivateKey(k) }},
	} {
		private, err := openKey(c.keys, key.value, key.place.At(of))
		if err != nil {
			return nil, fmt.Errorf("open %v: %w", key.place, err)
		}
		key.put(private)
	}
	if device.AdvSecretKey, err = c.keys.Open(adv, seal.AdvSecret.At(of)); err != nil {
		return nil, fmt.Errorf("open %v: %w", seal.AdvSecret, err)
	}
	if len(signature) != 64 {
		return nil, sqlstore.ErrInvalidLength
	}
	device.SignedPreKey.Signature = (*[64]byte)(signature)
	device.FacebookUUID = facebook.UUID
	return device, nil
}

// putDevice is sqlstore's PutDevice: the keys are written once, what may change every time.
func (c *Container) putDevice(ctx context.Context, d *store.Device, account *waAdv.ADVSignedDeviceIdentity) error {
	of := d.ID.String()
	_, err := c.db.Exec(ctx, `INSERT INTO whatsmeow_device (jid, lid, registration_id, noise_key, identity_key, signed_pre_key, signed_pre_key_id, signed_pre_key_sig,
			adv_key, adv_details, adv_account_sig, adv_account_sig_key, adv_device_sig,
			platform, business_name, push_name, facebook_uuid, lid_migration_ts, companion_meta_nonce)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (jid) DO UPDATE SET lid = excluded.lid, platform = excluded.platform, business_name = excluded.business_name, push_name = excluded.push_name,
			lid_migration_ts = excluded.lid_migration_ts, companion_meta_nonce = excluded.companion_meta_nonce`,
		d.ID, d.LID, d.RegistrationID, c.keys.Seal(d.NoiseKey.Priv[:], seal.NoiseKey.At(of)), c.keys.Seal(d.IdentityKey.Priv[:], seal.IdentityKey.At(of)),
		c.keys.Seal(d.SignedPreKey.Priv[:], seal.SignedPreKey.At(of)), d.SignedPreKey.KeyID, d.SignedPreKey.Signature[:],
		c.keys.Seal(d.AdvSecretKey, seal.AdvSecret.At(of)), account.Details, account.AccountSignature, account.AccountSignatureKey, account.DeviceSignature,
		d.Platform, d.BusinessName, d.PushName, uuid.NullUUID{UUID: d.FacebookUUID, Valid: d.FacebookUUID != uuid.Nil}, d.LIDMigrationTimestamp, d.CompanionMetaNonce)
	return err
}
