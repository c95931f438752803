package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	waBinary "go.mau.fi/whatsmeow/binary"
)

// retriesPage bounds one answer of MediaRetries.
const retriesPage = 100

// MediaRetry is a companion's wish that its phone uploads a message's file again.
type MediaRetry struct {
	ID         int64 // names the request to AnswerMediaRetry
	MessageID  string
	Ciphertext []byte // the message's id, under a key made of the file's, which the server does not have
	IV         []byte
}

// takeMediaRetry stores a request for a file, which is a receipt of type server-error to one's own account (SendMediaRetryReceipt in
// mediaretry.go), and tells the phone of it. A device has one request for one message at a time; one that makes no sense is dropped.
func (s *Server) takeMediaRetry(ctx context.Context, from *device, receipt *waBinary.Node) error {
	if from.number == 0 || len(content(receipt.GetChildByTag("encrypt", "enc_p"))) == 0 || len(content(receipt.GetChildByTag("encrypt", "enc_iv"))) != 12 {
		return nil
	}
	request, err := waBinary.Marshal(*receipt)
	if err != nil {
		return fmt.Errorf("marshal media retry: %w", err)
	}
	_, err = s.pool.Exec(ctx, `INSERT INTO sandbox.media_retries (account_id, device_id, message_id, request) VALUES ($1, $2, $3, $4)
		ON CONFLICT (device_id, message_id) DO UPDATE SET request = excluded.request`, from.account.id, from.id, attr(receipt, "id"), request)
	if err != nil {
		return fmt.Errorf("store media retry: %w", err)
	}
	if s.asked != nil {
		s.asked(from.account.keys.Phone)
	}
	return nil
}

// MediaRetries lists what a phone was asked to upload again and has not answered, oldest first, 100 at most. It returns ErrNoAccount for an
// unknown number.
func (s *Server) MediaRetries(ctx context.Context, phone string) ([]MediaRetry, error) {
	s.mu.RLock()
	a := s.byPhone[phone]
	s.mu.RUnlock()
	if a == nil {
		return nil, ErrNoAccount
	}
	rows, err := s.pool.Query(ctx, `SELECT id, message_id, request FROM sandbox.media_retries WHERE account_id = $1 ORDER BY id LIMIT $2`, a.id, retriesPage)
	if err != nil {
		return nil, fmt.Errorf("list media retries: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r MediaRetry, err error) {
		var request []byte
		if err := row.Scan(&r.ID, &r.MessageID, &request); err != nil {
			return r, err
		}
		receipt, err := decode(request)
		if err != nil {
			return r, err
		}
		r.Ciphertext, r.IV = content(receipt.GetChildByTag("encrypt", "enc_p")), content(receipt.GetChildByTag("encrypt", "enc_iv"))
		return r, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list media retries: %w", err)
	}
	return list, nil
}

// AnswerMediaRetry gives the phone's answer to the companion that asked: encrypted for it, or a code when the phone has no key to do so
// (ciphertext is nil; the codes are those of waMmsRetry.MediaRetryNotification_ResultType). The request ends in the transaction that queues
// the answer; one that has ended already is answered no more.
func (s *Server) AnswerMediaRetry(ctx context.Context, id int64, ciphertext, iv []byte, code int) error {
	var answers []queued
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var accountID, deviceID int64
		var request []byte
		err := tx.QueryRow(ctx, `DELETE FROM sandbox.media_retries WHERE id = $1 RETURNING account_id, device_id, request`, id).
			Scan(&accountID, &deviceID, &request)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		receipt, err := decode(request)
		if err != nil {
			return err
		}
		d := s.deviceByID(accountID, deviceID)
		if d == nil { // unlinked meanwhile
			return nil
		}
		// parseMediaRetryNotification (mediaretry.go) wants the message's id as the stanza's.
		notice := waBinary.Node{Tag: "notification", Attrs: waBinary.Attrs{
			"from": d.account.pn(), "type": "mediaretry", "id": receipt.Attrs["id"], "t": strconv.FormatInt(time.Now().Unix(), 10),
		}}
		children := receipt.GetChildrenByTag("rmr")
		if ciphertext == nil {
			children = append(children, waBinary.Node{Tag: "error", Attrs: waBinary.Attrs{"code": code}})
		} else {
			children = append(children, waBinary.Node{Tag: "encrypt", Content: []waBinary.Node{
				{Tag: "enc_p", Content: ciphertext}, {Tag: "enc_iv", Content: iv},
			}})
		}
		notice.Content = children
		answers = []queued{{d, notice}}
		var batch pgx.Batch
		if err := queueStanzas(&batch, answers); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return fmt.Errorf("answer media retry: %w", err)
	}
	s.wake(answers)
	return nil
}

// deviceByID finds a linked device by its row's id.
func (s *Server) deviceByID(accountID, id int64) *device {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, a := range s.byPhone {
		for _, d := range a.devices {
			if a.id == accountID && d.id == id {
				return d
			}
		}
	}
	return nil
}
