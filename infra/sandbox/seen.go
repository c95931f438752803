package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Message is a message as a phone decrypted it.
type Message struct {
	// Seq numbers what one phone saw, rising in the order it was shown; there may be gaps.
	Seq int64 `json:"seq"`
	// ID is WhatsApp's id, chosen by the sender.
	ID string `json:"id"`
	// From and To are phone numbers in digits.
	From string `json:"from"`
	To   string `json:"to"`
	// FromMe says that a device linked to this phone sent it.
	FromMe bool `json:"fromMe"`
	// Type is "text", or names other content, as "image", whose text is empty. "voice" is audio that was recorded, not attached.
	Type string `json:"type"`
	Text string `json:"text"`
	// Timestamp is the second in which the server accepted the message.
	Timestamp time.Time `json:"timestamp"`
	// Media is there when the message has a file; its members are the message's own in JSON.
	*Media
}

// messagesPage bounds one answer of Messages.
const messagesPage = 1000

// show commits what a phone decrypted: once, and with it the reply that an echo phone owes. A further copy is only counted. chat is the
// JID that a read receipt is addressed to, replyID the id a reply would have, file what the phone has of a message's file, or nil. It
// reports whether a reply was queued.
//
// It is one statement, so nothing of it can be there without the rest. A reply is never answered, whoever sent it, so two echo phones
// cannot talk for ever; nor is what the phone's own linked devices sent.
func (s *Sandbox) show(ctx context.Context, number, chat, replyID string, m Message, file *mediaCopy) (replies bool, err error) {
	if file == nil {
		file = &mediaCopy{}
	}
	err = s.pool.QueryRow(ctx, `
		WITH phone AS (
			UPDATE sandbox.phones SET last_seq = last_seq + 1 WHERE number = $1 RETURNING last_seq, auto_reply
		), seen AS (
			INSERT INTO sandbox.phone_seen AS s 
				(number, seq, id, sender, recipient, chat, from_me, type, text, sent_at, media, media_key, enc_sha256, media_class)
			SELECT $1, last_seq, $2, $3, $4, $5, $6, $7, $8, $9, $11, $12, $13, nullif($14, '') FROM phone
			ON CONFLICT (number, sender, recipient, id) DO UPDATE SET repeats = s.repeats + 1
			RETURNING s.repeats
		), reply AS (
			INSERT INTO sandbox.phone_outbox (number, id, recipient, text, reply)
			SELECT $1, $10, $3, $8, true FROM phone, seen
			 WHERE seen.repeats = 0 AND phone.auto_reply = 'echo' AND NOT $6 AND $7 = 'text'
			   AND NOT EXISTS (SELECT FROM sandbox.phone_outbox o WHERE o.number = $3 AND o.id = $2 AND o.reply)
			RETURNING id
		)
		SELECT EXISTS (SELECT FROM reply) FROM seen`,
		number, m.ID, m.From, m.To, chat, m.FromMe, m.Type, m.Text, m.Timestamp, replyID,
		m.Media, file.Key, file.EncSHA256, string(file.Class)).Scan(&replies)
	if err != nil {
		return false, fmt.Errorf("store message seen: %w", err)
	}
	return replies, nil
}

// Messages returns what the phone saw after seq number after, at most 1,000 messages, oldest first. With none it waits for the first, up
// to wait or the end of ctx, and then returns an empty list.
func (s *Sandbox) Messages(ctx context.Context, number string, after int64, wait time.Duration) ([]Message, error) {
	p, err := s.phone(number)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		changed := p.seen.wait() // taken before the query, so that a commit in between is noticed
		rows, err := s.pool.Query(ctx, `
			SELECT seq, id, sender, recipient, from_me, type, text, sent_at, media FROM sandbox.phone_seen
			 WHERE number = $1 AND seq > $2 ORDER BY seq LIMIT $3`, number, after, messagesPage)
		if err != nil {
			return nil, fmt.Errorf("list messages seen: %w", err)
		}
		messages, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Message, err error) {
			err = row.Scan(&m.Seq, &m.ID, &m.From, &m.To, &m.FromMe, &m.Type, &m.Text, &m.Timestamp, &m.Media)
			m.Timestamp = m.Timestamp.UTC()
			return m, err
		})
		if err != nil {
			return nil, fmt.Errorf("list messages seen: %w", err)
		}
		if len(messages) > 0 {
			return messages, nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return []Message{}, nil
		case <-ctx.Done():
			return []Message{}, nil
		case <-s.ctx.Done():
			return []Message{}, nil
		}
	}
}

// unread is a message that waits for its read receipt.
type unread struct {
	Seq  int64
	ID   string
	Chat string
}

// readBatch is how many messages one read receipt names. The real limit is not known; whatsmeow accepts any number.
const readBatch = 100

// Read sends read receipts for every message of from that the phone has not read yet, and returns how many there were once the server has
// taken them. After a crash in the middle a receipt may be sent twice.
func (s *Sandbox) Read(ctx context.Context, number, from string) (int, error) {
	p, err := s.phone(number)
	if err != nil {
		return 0, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT seq, id, chat FROM sandbox.phone_seen
		 WHERE number = $1 AND sender = $2 AND read_at IS NULL AND NOT from_me ORDER BY seq`, number, from)
	if err != nil {
		return 0, fmt.Errorf("list unread messages: %w", err)
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowToStructByPos[unread])
	if err != nil {
		return 0, fmt.Errorf("list unread messages: %w", err)
	}
	for done := 0; done < len(waiting); {
		// One receipt is addressed to one chat: the same sender may have been seen by number and by LID.
		end := done + 1
		for end < len(waiting) && end-done < readBatch && waiting[end].Chat == waiting[done].Chat {
			end++
		}
		if err := p.markRead(ctx, waiting[done:end]); err != nil {
			return done, err
		}
		done = end
	}
	return len(waiting), nil
}

// storeRead commits that the messages were read.
func (s *Sandbox) storeRead(ctx context.Context, number string, batch []unread) error {
	seqs := make([]int64, len(batch))
	for i, m := range batch {
		seqs[i] = m.Seq
	}
	_, err := s.pool.Exec(ctx, `UPDATE sandbox.phone_seen SET read_at = now() WHERE number = $1 AND seq = ANY($2)`, number, seqs)
	if err != nil {
		return fmt.Errorf("store read messages: %w", err)
	}
	return nil
}
