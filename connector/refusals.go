package connector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/s3"
)

const (
	// sendPatience is how long one message is tried before it fails, counted anew after the session was offline.
	sendPatience = 5 * time.Minute
	// limitedFirst and limitedMost are the pauses after WhatsApp says that the account sends too much: they double. Nobody has published how
	// long its limits last; a minute keeps an account that is limited for hours at 60 attempts an hour.
	limitedFirst, limitedMost = 5 * time.Second, time.Minute
	// malformedMost is how often a message is sent that WhatsApp calls malformed.
	malformedMost = 3
	// panicWait is the pause after a command made the program panic, and panicsMost how often it may before it goes to the dead letters. Nothing
	// else of a command counts as an attempt.
	panicWait, panicsMost = 5 * time.Second, 5
)

// The codes with which WhatsApp refuses a message, or a query that comes before it, and which mean something to us. They are not documented.
const (
	// codeReachOut is WhatsApp Web's NackCallerReachoutTimelocked (WhiskeySockets/Baileys#2441; Baileys calls it SenderReachoutTimelocked): the
	// account may not write first to people it has no chat with, for hours or days. Chats it has go on. So it is about this account and this
	// recipient, no repetition of the next minutes changes it, and other messages must not wait behind it. whatsmeow sends the recipient's
	// privacy token, the lack of which gave the same code.
	codeReachOut = 463
	// codeTooMany is a limit on the account's rate: on messages, and on the queries before them (whatsmeow errors.go, ErrIQRateOverLimit).
	// Whatever the session sends next would meet it too, so the whole lane pauses.
	codeTooMany = 429
	// codeMalformed is smax-invalid: the stanza does not fit WhatsApp's schema (whatsmeow client.go, nodeHandlers). Users report it for single
	// messages that a repetition brings through (tulir/whatsmeow#922, asternic/wuzapi#95: keys or devices that were just changing), and for
	// addresses that can never work (tulir/whatsmeow#859). So it is made anew a few times, and is then refused.
	codeMalformed = 479
)

// codeUnanswered and unanswered are what is said of a message whose time ended before it was known whether WhatsApp had taken it.
const (
	codeUnanswered = "whatsapp_timeout"
	unanswered     = "WhatsApp's answer to the message never came, and its time is over. It may have been delivered all the same."
)

// refused decides what becomes of a message that was not sent.
func (s *session) refused(ctx context.Context, conn *connection, id uuid.UUID, err error) (string, error) {
	var known *refusal
	code := serverCode(err)
	switch {
	case errors.Is(err, errClaimLost):
		return s.again(err)
	case errors.As(err, &known):
		return s.fail(ctx, id, known.code, known.message)
	case errors.Is(err, errLookAgain):
		return "waiting", queue.WaitFor{}
	case interrupted(ctx, conn, err):
		s.log.InfoContext(s.ctx, "send interrupted", "message", id, "error", err)
		return "waiting", queue.WaitFor{D: brokenWait}
	case s3.Unavailable(err): // ours, like the database; the message is not to fail for it
		return s.again(err)
	case errors.Is(err, errMediaGone):
		return s.fail(ctx, id, "media_expired", "The file of this message is kept no more.")
	case errors.Is(err, errNotOnWhatsApp):
		return s.fail(ctx, id, "recipient_not_on_whatsapp", "The recipient's number is not on WhatsApp.")
	case code == codeReachOut:
		return s.fail(ctx, id, "account_restricted", "WhatsApp restricts this account: it may not write to this recipient now (code 463).")
	case code == codeMalformed:
		if s.sending.malformed++; s.sending.malformed < malformedMost {
			break
		}
		fallthrough
	case code != 0 && code != codeTooMany:
		return s.fail(ctx, id, "whatsapp_rejected", fmt.Sprintf("WhatsApp refused the message with code %d.", code))
	}
	s.log.WarnContext(s.ctx, "message not sent", "message", id, "error", err)
	wait := 2 * time.Second
	if code == codeTooMany {
		wait = min(limitedMost, limitedFirst<<min(s.sending.limited, 10))
		s.sending.limited++
	}
	switch {
	case time.Since(s.sending.since) < sendPatience:
		return "waiting", queue.WaitFor{D: wait}
	case code == codeTooMany:
		return s.fail(ctx, id, "rate_limited", "WhatsApp takes no more messages of this account for now (code 429).")
	case s.sending.handed:
		return s.fail(ctx, id, "whatsapp_timeout", "WhatsApp did not acknowledge the message. It may have been delivered all the same.")
	case errors.Is(err, whatsmeow.ErrIQTimedOut), errors.Is(err, context.DeadlineExceeded):
		return s.fail(ctx, id, "whatsapp_timeout", "WhatsApp did not answer in time. The message was not sent.")
	default:
		return s.fail(ctx, id, "internal_error", "The message could not be sent.")
	}
}

// serverCode is the code with which WhatsApp's server refused a message or a query, or 0. For messages whatsmeow has it only as the end of
// its error's text (send.go, SendMessage: "%w %d").
func serverCode(err error) int {
	var iq *whatsmeow.IQError
	if errors.As(err, &iq) {
		if iq.Code >= 500 && iq.Code != 501 {
			return 0 // the server's own trouble, which passes; 501 is a query that it will never know
		}
		return iq.Code
	}
	var graph types.GraphQLErrors
	if errors.As(err, &graph) && len(graph) > 0 {
		if code := graph[0].Extensions.ErrorCode; code < 500 || code == 501 {
			return code
		}
		return 0
	}
	if errors.Is(err, whatsmeow.ErrServerReturnedError) {
		text := err.Error()
		if code, err := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:]); err == nil {
			return code
		}
	}
	return 0
}
