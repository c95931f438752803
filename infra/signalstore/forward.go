package signalstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"go.mau.fi/libsignal/kdf"
	"go.mau.fi/libsignal/keys/chain"
	"go.mau.fi/libsignal/state/record"
	"go.mau.fi/whatsmeow/store"
)

const (
	// forwardSteps is how far Forward moves a sending chain. Receivers follow up to 2000 steps at once (libsignal's SessionCipher.go,
	// maxFutureMessages) and keep the keys that were passed over: 500 leaves them room, and stands for 500 messages in a row to one
	// device that were not answered.
	forwardSteps = 500
	forwardBatch = 200
)

// Forward makes the Signal state of devices that was restored from an older copy safe to send with. After the copy was made the original
// may have gone on sending: the same keys would come again for other messages, which weakens them, and receivers drop what they have seen
// the key of ("received message with old counter") without a word. So
//
//   - every sending chain moves ahead by 500 messages, which receivers take for messages that are still on their way; receiving is as it was,
//     and an original that never went on has lost nothing;
//   - sessions with the account's own devices, which get a copy of every message sent and so are moved on the most, and the devices' own
//     sender keys for groups go: they begin anew with the next message.
//
// It runs in the transaction that restores the devices, before anything uses them.
func Forward(ctx context.Context, tx pgx.Tx, schema string, jids []string) error {
	table := func(name string) string { return pgx.Identifier{schema, name}.Sanitize() }
	// An address is the user, with a LID's server as _1, and the device: 123_1:0.
	own := func(column string) string {
		return "split_part(split_part(" + column + ", ':', 1), '_', 1) IN (split_part(split_part(d.jid, '@', 1), ':', 1), " +
			"split_part(split_part(d.lid, '@', 1), ':', 1))"
	}
	for name, column := range map[string]string{"whatsmeow_sessions": "x.their_id", "whatsmeow_sender_keys": "x.sender_id"} {
		_, err := tx.Exec(ctx, "DELETE FROM "+table(name)+" x USING "+table("whatsmeow_device")+" d WHERE d.jid = x.our_jid AND d.jid = ANY ($1) AND "+
			own(column), jids)
		if err != nil {
			return fmt.Errorf("forget own sessions: %w", err)
		}
	}
	type row struct {
		Our, Their string
		Session    []byte
	}
	for _, jid := range jids {
		for last := ""; ; {
			found, err := tx.Query(ctx, "SELECT our_jid, their_id, session FROM "+table("whatsmeow_sessions")+
				" WHERE our_jid = $1 AND their_id > $2 AND session IS NOT NULL ORDER BY their_id LIMIT $3", jid, last, forwardBatch)
			if err != nil {
				return fmt.Errorf("read sessions: %w", err)
			}
			rows, err := pgx.CollectRows(found, pgx.RowToStructByPos[row])
			if err != nil {
				return fmt.Errorf("read sessions: %w", err)
			}
			if len(rows) == 0 {
				break
			}
			batch := &pgx.Batch{}
			for _, r := range rows {
				batch.Queue("UPDATE "+table("whatsmeow_sessions")+" SET session = $3 WHERE our_jid = $1 AND their_id = $2", r.Our, r.Their, forwarded(r.Session))
			}
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return fmt.Errorf("write sessions: %w", err)
			}
			last = rows[len(rows)-1].Their
		}
	}
	return nil
}

// forwarded moves the sending chains of a session record ahead, those of its earlier states too: a message may make one current again. A
// record that cannot be read stays as it is; whatsmeow begins a session anew where it meets one.
func forwarded(raw []byte) []byte {
	serializer := store.SignalProtobufSerializer.Session
	session, err := serializer.Deserialize(raw)
	if err != nil {
		return raw
	}
	for _, state := range append([]*record.StateStructure{session.SessionState}, session.PreviousStates...) {
		if state == nil || state.SenderChain == nil || state.SenderChain.ChainKey == nil {
			continue
		}
		key := chain.NewKeyFromStruct(state.SenderChain.ChainKey, kdf.DeriveSecrets)
		for range forwardSteps {
			key = key.NextKey()
		}
		state.SenderChain.ChainKey = chain.NewStructFromKey(key)
	}
	return serializer.Serialize(session)
}
