package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// commands consumes the topic of commands: for each claimed session sends one at a time and in order, queries beside them, for hundreds of
// sessions at once.
type commands struct {
	c          *Connector
	subscriber *queue.Subscriber
	router     *message.Router
	done       chan struct{}
	once       sync.Once
}

// quieter makes what Watermill tells of its own starting and stopping debug.
var quieter = map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}

func newCommands(c *Connector) (*commands, error) {
	subscriber, err := queue.NewSubscriber(queue.SubscriberConfig{
		Pool: c.pool, CompletePool: c.complete, Waker: c.waker, Owner: c.cfg.Owner, Claims: true, Grace: drainWait, Logger: c.log,
		MaxAttempts: panicsMost,
	})
	if err != nil {
		return nil, err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: handlerTimeout}, watermill.NewSlogLoggerWithLevelMapping(c.log, quieter))
	if err != nil {
		return nil, fmt.Errorf("make router: %w", err)
	}
	k := &commands{c: c, subscriber: subscriber, router: router, done: make(chan struct{})}
	router.AddMiddleware(queue.Outcome)
	router.AddConsumerHandler("commands", events.TopicCommands, subscriber, k.handle)
	go func() {
		defer close(k.done)
		if err := router.Run(context.Background()); err != nil {
			c.log.Error("commands ended", "error", err)
		}
	}()
	select {
	case <-router.Running():
		return k, nil
	case <-k.done:
		return nil, errors.New("the router of commands did not start")
	}
}

// close lets the commands in hand end within a second, gives the others back, and waits.
func (k *commands) close() {
	k.once.Do(func() {
		if err := k.subscriber.Close(); err != nil {
			k.c.log.Warn("subscriber not closed", "error", err)
		}
		if err := k.router.Close(); err != nil {
			k.c.log.Warn("router not closed", "error", err)
		}
		<-k.done
	})
}

// handle does one command. Failure policy: a command that cannot be understood goes to the dead letters; see session.send,
// session.query and session.change for the rest.
func (k *commands) handle(msg *message.Message) (err error) {
	started, outcome := time.Now(), "error"
	ctx, span := k.c.traced(msg)
	msg.SetContext(ctx)
	defer func() {
		if p := recover(); p != nil {
			k.c.log.ErrorContext(msg.Context(), "command panicked", "panic", p, "stack", string(debug.Stack()))
			err = queue.RetryAfter{D: panicWait, Err: fmt.Errorf("panic: %v", p)}
		}
		endCommand(span, outcome)
		took := time.Since(started)
		k.c.metrics.commands.WithLabelValues(outcome).Inc()
		k.c.metrics.seconds.WithLabelValues("command").Observe(took.Seconds())
		k.c.log.DebugContext(ctx, "command", "command", msg.Metadata.Get(events.MetaCommand), "session", msg.Metadata.Get(queue.MetaSession), "id", msg.UUID,
			"outcome", outcome, "ms", took.Milliseconds())
	}()
	switch kind := msg.Metadata.Get(events.MetaCommand); kind {
	case events.CommandSend:
		outcome, err = run(k.c, msg, func(cmd events.SendCommand) string { return cmd.SessionID }, func(s *session, cmd events.SendCommand) (string, error) {
			if aside, err := s.holdBack(msg.Context(), cmd); err != nil {
				return s.again(err)
			} else if aside {
				return "aside", nil
			}
			return s.send(msg.Context(), cmd.MessageID)
		})
	case events.CommandRetryMedia:
		outcome, err = run(k.c, msg, func(cmd events.RetryMediaCommand) string { return cmd.SessionID }, func(s *session, cmd events.RetryMediaCommand) (string, error) {
			return s.retryMedia(msg.Context(), cmd.MediaID)
		})
	case events.CommandQuery:
		outcome, err = run(k.c, msg, func(cmd events.QueryCommand) string { return cmd.SessionID }, func(s *session, cmd events.QueryCommand) (string, error) {
			return s.query(msg.Context(), cmd)
		})
	case events.CommandChange:
		outcome, err = run(k.c, msg, func(cmd events.ChangeCommand) string { return cmd.SessionID }, func(s *session, cmd events.ChangeCommand) (string, error) {
			return s.change(msg.Context(), cmd.ChangeID)
		})
	case events.CommandEmptyChat:
		outcome, err = run(k.c, msg, func(cmd events.EmptyChatCommand) string { return cmd.SessionID }, func(s *session, cmd events.EmptyChatCommand) (string, error) {
			return s.emptyChat(msg.Context(), cmd)
		})
	case events.CommandHistory:
		outcome, err = run(k.c, msg, func(cmd events.HistoryCommand) string { return cmd.SessionID }, func(s *session, cmd events.HistoryCommand) (string, error) {
			return s.history(msg.Context(), cmd.PartID)
		})
	default:
		return queue.Permanent{Err: fmt.Errorf("unknown command %q", kind)}
	}
	return err
}

// run decodes a command and gives it to its session.
func run[C any](c *Connector, msg *message.Message, sessionID func(C) string, do func(*session, C) (string, error)) (string, error) {
	var cmd C
	if err := json.Unmarshal(msg.Payload, &cmd); err != nil {
		return "error", queue.Permanent{Err: fmt.Errorf("decode command: %w", err)}
	}
	s := c.session(sessionID(cmd))
	if s == nil { // taken and not launched yet, or given away and not taken yet
		return "waiting", queue.WaitFor{D: brokenWait}
	}
	return do(s, cmd)
}
