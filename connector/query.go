package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.mau.fi/whatsmeow"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

const (
	// queriesMost bounds the queries of one session at WhatsApp at once, so that a client in a hurry does not look to WhatsApp like a
	// scraper, and queriesMostAll those of all sessions here: a quarter of the lanes that the subscriber holds, so that a silent WhatsApp
	// leaves room for sends.
	queriesMost, queriesMostAll = 8, 250
	// queryWait is the pause of a query that found no room, or its session on its way here.
	queryWait = 250 * time.Millisecond
)

// questions are what this connector can ask WhatsApp, by kind. It is the only place that knows them.
var questions = map[string]ask{
	events.CheckContacts.Kind: asking(events.CheckContacts, (*connection).checkContacts),
	events.SetTyping.Kind:     asking(events.SetTyping, (*connection).setTyping),
	events.ReadContact.Kind:   asking(events.ReadContact, (*connection).readContact),
	events.ReadPicture.Kind:   asking(events.ReadPicture, (*connection).readPicture),
	events.ReadBusiness.Kind:  asking(events.ReadBusiness, (*connection).readBusiness),
	events.ReadBlocklist.Kind: asking(events.ReadBlocklist, (*connection).readBlocklist),

	events.ListChannels.Kind:  asking(events.ListChannels, (*connection).listChannels),
	events.GetChannel.Kind:    asking(events.GetChannel, (*connection).getChannel),
	events.LookUpChannel.Kind: asking(events.LookUpChannel, (*connection).lookUpChannel),
	events.ListPosts.Kind:     asking(events.ListPosts, (*connection).listPosts),
	events.WatchChannel.Kind:  asking(events.WatchChannel, (*connection).watchChannel),

	events.ListGroups.Kind:       asking(events.ListGroups, (*connection).listGroups),
	events.GetGroup.Kind:         asking(events.GetGroup, (*connection).getGroup),
	events.GetGroupInvite.Kind:   asking(events.GetGroupInvite, (*connection).getGroupInvite),
	events.ListJoinRequests.Kind: asking(events.ListJoinRequests, (*connection).listJoinRequests),
	events.ListSubgroups.Kind:    asking(events.ListSubgroups, (*connection).listSubgroups),
	events.LookUpInvite.Kind:     asking(events.LookUpInvite, (*connection).lookUpInvite),

	events.ReadProfile.Kind: asking(events.ReadProfile, (*connection).readProfile),
	events.ReadPrivacy.Kind: asking(events.ReadPrivacy, (*connection).readPrivacy),
}

// ask puts a question in JSON to WhatsApp. Its error is one of whatsmeow's, or a refusal.
type ask func(ctx context.Context, c *connection, question json.RawMessage) (answer any, err error)

// asking makes the method that answers a kind of query fit for questions.
func asking[Q, A any](_ events.Query[Q, A], do func(*connection, context.Context, Q) (A, error)) ask {
	return func(ctx context.Context, c *connection, raw json.RawMessage) (any, error) {
		var question Q
		if err := json.Unmarshal(raw, &question); err != nil {
			return nil, fmt.Errorf("decode question: %w", err)
		}
		return do(c, ctx, question)
	}
}

// refusal is why a query has no answer, or a change was not made: a code of the API's problems, and a message that its caller may read.
type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code + ": " + r.message }

var offline = &refusal{"session_not_connected", "The session has no connection to WhatsApp."}

// refusalOf says what a failed call to WhatsApp means for whoever asked. A query or change that knows better returns a refusal of its own.
func refusalOf(err error) *refusal {
	var (
		known        *refusal
		iq           *whatsmeow.IQError
		disconnected *whatsmeow.DisconnectedError
	)
	code := serverCode(err)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, whatsmeow.ErrGroupNotFound):
		return groupNotFound
	case errors.Is(err, whatsmeow.ErrNotInGroup):
		return notInGroup
	case code != 0:
		switch code {
		case codeReachOut:
			return &refusal{"account_restricted", "WhatsApp restricts this account for now (code 463)."}
		case codeTooMany:
			return &refusal{"rate_limited", fmt.Sprintf("WhatsApp takes no more of this account for now (code %d).", code)}
		case 401, 403:
			return &refusal{"forbidden", fmt.Sprintf("WhatsApp does not allow this account to know or do it (code %d).", code)}
		case 404, 410:
			return &refusal{"not_found", fmt.Sprintf("WhatsApp knows nothing of it (code %d).", code)}
		}
		return &refusal{"whatsapp_rejected", fmt.Sprintf("WhatsApp refused it with code %d.", code)}
	case errors.Is(err, errNotOnWhatsApp):
		return &refusal{"recipient_not_on_whatsapp", "The number is not on WhatsApp."}
	case errors.As(err, &iq) && iq.Code != 0:
		return &refusal{"whatsapp_rejected", fmt.Sprintf("WhatsApp failed at it with code %d.", iq.Code)}
	case errors.As(err, &disconnected), errors.Is(err, whatsmeow.ErrNotConnected), errors.Is(err, whatsmeow.ErrNotLoggedIn), errors.Is(err, context.Canceled):
		return offline
	case errors.Is(err, whatsmeow.ErrIQTimedOut), errors.Is(err, context.DeadlineExceeded):
		return &refusal{"whatsapp_timeout", "WhatsApp did not answer in time."}
	}
	return &refusal{"internal_error", "It could not be asked, or the answer not be read."}
}

// query handles one query command. Its row is there as long as somebody waits for the answer: without it, or past its deadline, the query is dropped
// and WhatsApp is not asked. The call to WhatsApp stands outside any transaction; after a crash the next owner repeats it.
//
// Failure policy: a query is never parked. While the session is on its way here, or has as many queries in hand as it may, it comes again
// after a moment, uncounted; a session that is offline, and whatever WhatsApp refuses, is its answer. What the database does not take is
// asked again until the deadline.
func (s *session) query(ctx context.Context, cmd events.QueryCommand) (outcome string, err error) {
	for _, room := range []chan struct{}{s.asking, s.c.asking} {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		default:
			return "waiting", queue.WaitFor{D: queryWait}
		}
	}
	began := time.Now()
	row, err := s.c.queries.QueryRead(ctx, s.c.pool, cmd.QueryID, s.id)
	remaining := time.Duration(row.LeftSeconds * float64(time.Second))
	switch {
	case errors.Is(err, pgx.ErrNoRows): // whoever asked has left
		return s.drop(cmd, time.Since(cmd.Deadline))
	case err != nil:
		return s.askAgain(cmd, fmt.Errorf("read query: %w", err))
	case row.Answered: // by the owner before, who died before the queue heard of it
		return "repeated", nil
	case remaining <= 0:
		return s.drop(cmd, -remaining)
	}
	conn, kind := s.sender(), row.Kind
	do := questions[kind]
	link := linkings[kind]
	if link != nil {
		conn, do = s.linkable(), link
	}
	var answer json.RawMessage
	switch {
	case do == nil: // which is no label for a metric
		kind, err = "unknown", &refusal{"unavailable", "The connector of this session is older than the API and cannot ask this yet."}
	case conn == nil && (s.arriving() || kind == events.AskPairingCode.Kind):
		return "waiting", queue.WaitFor{D: queryWait}
	case conn == nil && link != nil:
		err = passkeyNotRequired
	case conn == nil:
		err = offline
	default:
		answer, err = conn.ask(ctx, remaining, do, row.Parameters)
		if err != nil && (ctx.Err() != nil || s.ctx.Err() != nil || errors.Is(err, errClaimLost) || errors.Is(err, errNotYet)) { // the next owner asks again
			return "waiting", queue.WaitFor{D: queryWait}
		}
	}
	outcome, label := "answered", "answered"
	var refused *refusal
	if err != nil {
		refused = refusalOf(err)
		outcome, label = "refused", refused.code
		s.log.InfoContext(s.ctx, "query refused", "kind", cmd.Kind, "query", cmd.QueryID, "code", refused.code, "error", err)
	}
	if err := s.answer(ctx, cmd.QueryID, answer, refused); err != nil {
		return s.askAgain(cmd, err)
	}
	s.c.metrics.queries.WithLabelValues(kind, label).Observe(time.Since(began).Seconds())
	return outcome, nil
}

// drop lets a query go for whose answer nobody waits any more.
func (s *session) drop(cmd events.QueryCommand, late time.Duration) (string, error) {
	s.log.InfoContext(s.ctx, "query dropped: nobody waits for its answer any more", "kind", cmd.Kind, "query", cmd.QueryID,
		"late", max(0, late).Round(time.Millisecond).String())
	return "dropped", nil
}

// askAgain lets a query wait after trouble that is not its own.
func (s *session) askAgain(cmd events.QueryCommand, err error) (string, error) {
	if errors.Is(err, errClaimLost) {
		s.cancel(errClaimLost)
	} else {
		s.log.WarnContext(s.ctx, "query waits", "kind", cmd.Kind, "query", cmd.QueryID, "error", err)
	}
	return "waiting", queue.WaitFor{D: time.Second}
}

// arriving says that the session has not been connected under this claim yet, nor failed to: it was when it was asked, at the owner before.
func (s *session) arriving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.tried
}

// ask puts a question to WhatsApp over this connection, within limit, and ends with it.
func (c *connection) ask(ctx context.Context, limit time.Duration, do ask, question json.RawMessage) (answer json.RawMessage, err error) {
	err = c.call(ctx, limit, "query", func(ctx context.Context) error {
		found, err := do(ctx, c, question)
		if err != nil {
			return err
		}
		if answer, err = json.Marshal(found); err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		if len(answer) > events.MaxAnswer {
			return fmt.Errorf("the answer has %d bytes", len(answer))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// answer writes what a query found, or why it did not, and wakes who waits. Where nobody does any more it changes nothing. It goes on when
// the command's lane is lost meanwhile: the fence knows whether the session is still ours.
func (s *session) answer(ctx context.Context, id uuid.UUID, answer json.RawMessage, refused *refusal) error {
	var code, message *string
	if refused != nil {
		answer, code, message = nil, &refused.code, &refused.message
	}
	return s.inTx(context.WithoutCancel(ctx), func(ctx context.Context, tx *queue.Tx) error {
		if _, err := s.c.queries.QueryAnswer(ctx, tx, answer, code, message, id); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		tx.Notify(events.WakeQueries, id.String())
		return nil
	})
}
