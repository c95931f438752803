package server

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// retriesPage bounds one answer of MediaRetries.
const retriesPage = 100

// MediaRetry is a companion's wish that its phone uploads a message's file again.
type MediaRetry struct {
	ID         string // names the request to AnswerMediaRetry
	MessageID  string
	Ciphertext []byte // the message's id, under a key made of the file's, which the server does not have
	IV         []byte
}

// mediaRetry is a request as the account keeps it: the receipt that asks for it.
type mediaRetry struct {
	from    *device
	receipt *waBinary.Node
}

func (r *mediaRetry) key() string { return fmt.Sprintf("%08x/%s", r.from.id, attr(r.receipt, "id")) }

func loadMediaRetry(s *Server, r journal.Record) error {
	var device int64
	if _, err := fmt.Sscanf(r.Key[:min(len(r.Key), 8)], "%x", &device); err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	d := s.devices[device]
	if d == nil {
		s.forget(r)
		return nil
	}
	receipt, err := decode(r.Value)
	if err != nil {
		return err
	}
	d.account.retries = append(d.account.retries, &mediaRetry{d, receipt})
	return nil
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
	taken := &mediaRetry{from, receipt}
	if err := s.commit(ctx, []journal.Record{{Kind: "mediaretry", Key: taken.key(), Value: request}}, nil); err != nil {
		return fmt.Errorf("store media retry: %w", err)
	}
	a := from.account
	s.mu.Lock()
	a.retries = append(slices.DeleteFunc(a.retries, func(r *mediaRetry) bool { return r.key() == taken.key() }), taken)
	s.mu.Unlock()
	if s.asked != nil {
		s.asked(a.keys.Phone)
	}
	return nil
}

// MediaRetries lists what a phone was asked to upload again and has not answered, oldest first, 100 at most. It returns ErrNoAccount for an
// unknown number.
func (s *Server) MediaRetries(phone string) ([]MediaRetry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.byPhone[phone]
	if a == nil {
		return nil, ErrNoAccount
	}
	var list []MediaRetry
	for _, r := range a.retries[:min(len(a.retries), retriesPage)] {
		list = append(list, MediaRetry{
			ID: r.key(), MessageID: attr(r.receipt, "id"),
			Ciphertext: content(r.receipt.GetChildByTag("encrypt", "enc_p")), IV: content(r.receipt.GetChildByTag("encrypt", "enc_iv")),
		})
	}
	return list, nil
}

// AnswerMediaRetry gives the phone's answer to the companion that asked: encrypted for it, or a code when the phone has no key to do so
// (ciphertext is nil; the codes are those of waMmsRetry.MediaRetryNotification_ResultType). The request ends in the commit that queues the
// answer; one that has ended already is answered no more.
func (s *Server) AnswerMediaRetry(ctx context.Context, phone, id string, ciphertext, iv []byte, code int) error {
	var request *mediaRetry
	s.mu.RLock()
	a := s.byPhone[phone]
	if a != nil {
		if i := slices.IndexFunc(a.retries, func(r *mediaRetry) bool { return r.key() == id }); i >= 0 {
			request = a.retries[i]
		}
	}
	s.mu.RUnlock()
	if request == nil {
		return nil
	}
	receipt := request.receipt
	// parseMediaRetryNotification (mediaretry.go) wants the message's id as the stanza's.
	notice := waBinary.Node{Tag: "notification", Attrs: waBinary.Attrs{
		"from": a.pn(), "type": "mediaretry", "id": receipt.Attrs["id"], "t": strconv.FormatInt(time.Now().Unix(), 10),
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
	var answers []queued
	// A request for history has no message (rmr) that a notification could be about; the phone answers it by another peer message.
	if s.linked(request.from) && len(children) > 1 {
		answers = []queued{{request.from, notice}}
	}
	if err := s.commit(ctx, []journal.Record{{Kind: "mediaretry", Key: id}}, answers); err != nil {
		return fmt.Errorf("answer media retry: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.retries = slices.DeleteFunc(a.retries, func(r *mediaRetry) bool { return r == request })
	return nil
}

// linked says whether a device was not removed.
func (s *Server) linked(d *device) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.devices[d.id] == d
}
