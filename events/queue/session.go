package queue

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Ready makes the parked lanes of a session ready. It belongs to the transaction that ends the reason for parking, after the statement that
// changes the row which Park.Unless reads. When tx is a *Tx, subscribers are woken after its commit.
func Ready(ctx context.Context, tx pgx.Tx, topic, session string) error {
	if _, err := tx.Exec(ctx, `SELECT queue_ready($1, $2)`, topic, session); err != nil {
		return fmt.Errorf("ready lanes: %w", err)
	}
	if t, ok := tx.(*Tx); ok {
		t.Notify(topic)
	}
	return nil
}

// Free ends the leases of a session's lanes and fences their holders. Whoever takes over a claim calls it in the same transaction, after
// locking the claim FOR UPDATE; otherwise it would wait for the leases beside the claim. The messages in hand count a crash, as if the
// leases had run out; an owner that leaves in good order hands its lanes back first (Subscriber.Close).
func Free(ctx context.Context, tx pgx.Tx, session string) error {
	if _, err := tx.Exec(ctx, `SELECT queue_free_session($1)`, session); err != nil {
		return fmt.Errorf("free lanes of session: %w", err)
	}
	return nil
}

// FreeOwner is Free for all lanes of an owner that is known to be dead.
func FreeOwner(ctx context.Context, tx pgx.Tx, owner string) error {
	if _, err := tx.Exec(ctx, `SELECT queue_free_owner($1)`, owner); err != nil {
		return fmt.Errorf("free lanes of owner: %w", err)
	}
	return nil
}

// DeleteSession removes all lanes, messages and dead letters of a session, whatever the topic. What its handlers still have in hand is
// fenced. The caller sees to it that nobody publishes for the session any more (by deleting the row that publishers lock).
func DeleteSession(ctx context.Context, tx pgx.Tx, session string) error {
	if _, err := tx.Exec(ctx, `SELECT queue_delete_session($1)`, session); err != nil {
		return fmt.Errorf("delete session's lanes: %w", err)
	}
	return nil
}
