package signalstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Renew makes the Signal state of devices that was restored from an older copy safe to use: it forgets the keys that the devices encrypt
// with, so that they begin every session, and their part in every group, anew. After the copy was made the original may have gone on, or the
// same copy may have been restored before: the same keys would come again for other messages, which weakens them, and receivers drop what
// they have seen the key of ("received message with old counter") without a word. Moving the sending chains ahead instead, by a number of
// messages, keeps the other direction readable but fails when the copy is restored a second time.
//
// What others still encrypt for the old sessions is asked for again (whatsmeow's retry receipts) and comes as soon as their device is
// online. Keys that only read, those of other members of groups, stay.
//
// It runs in the transaction that restores the devices, before anything uses them.
func Renew(ctx context.Context, tx pgx.Tx, schema string, jids []string) error {
	table := func(name string) string { return pgx.Identifier{schema, name}.Sanitize() }
	if _, err := tx.Exec(ctx, "DELETE FROM "+table("whatsmeow_sessions")+" WHERE our_jid = ANY ($1)", jids); err != nil {
		return fmt.Errorf("forget sessions: %w", err)
	}
	// A sender is the user, with a LID's server as _1, and the device: 123_1:0. Our row may be under the number or the LID.
	_, err := tx.Exec(ctx, "DELETE FROM "+table("whatsmeow_sender_keys")+" k USING "+table("whatsmeow_device")+` d
		WHERE d.jid = k.our_jid AND d.jid = ANY ($1) AND split_part(split_part(k.sender_id, ':', 1), '_', 1)
		   IN (split_part(split_part(d.jid, '@', 1), ':', 1), split_part(split_part(d.lid, '@', 1), ':', 1))`, jids)
	if err != nil {
		return fmt.Errorf("forget own sender keys: %w", err)
	}
	return nil
}
