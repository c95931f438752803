package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

func (s *Server) addMessageMedia() {
	ready := MediaInfo{Media: exampleFile, Status: "ready", SessionID: "sales", MessageID: exampleMessageID, CreatedAt: exampleTime}
	asked := ready
	asked.Status = "pending"
	register(s, operation{
		method: "GET", path: "/v1/sessions/{sessionId}/messages/{messageId}/media", id: "get-message-media", tag: "Messages", status: 200,
		summary: "Read about a message's file", description: "What GET /v1/media/{mediaId} answers of the file of a message.",
		response: ready, codes: []Code{SessionNotFound, MessageNotFound, MediaNotFound},
	}, s.getMessageMedia)
	register(s, operation{
		method: "POST", path: "/v1/sessions/{sessionId}/messages/{messageId}/media/retry", id: "retry-message-media", tag: "Messages", status: 202,
		summary: "Ask the phone for a file again",
		description: "Asks the owner's phone to upload a received file again that could not be had, because WhatsApp keeps files for some weeks only. It is asked when the session is connected, " +
			"and answers when it is on; the file's status is pending until then, or until media.failed tells that it could not be had. A file that is there is answered as it is.",
		response: asked, codes: []Code{SessionNotFound, SessionLoggedOut, MessageNotFound, MediaNotFound, MediaExpired, MediaFetchFailed},
	}, s.retryMessageMedia)
}

// fileOf is the file of a message.
func (s *Server) fileOf(ctx context.Context, from db.DBTX, path MessagePath) (file db.Media, err error) {
	if _, err := s.sessionRow(ctx, from, path.SessionID); err != nil {
		return file, err
	}
	_, message, err := s.messageAt(ctx, from, path)
	if err != nil {
		return file, err
	}
	if message.Content.Media == nil {
		return file, problem(MediaNotFound, "the message has no file")
	}
	id, err := events.MediaPrefix.Parse(message.Content.Media.ID)
	if err != nil {
		return file, fmt.Errorf("read media's id: %w", err)
	}
	file, err = s.q.MediaGet(ctx, from, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return file, problem(MediaNotFound, "the message's file was deleted")
	}
	if err != nil {
		return file, fmt.Errorf("read media: %w", err)
	}
	return file, nil
}

func (s *Server) getMessageMedia(ctx context.Context, in *struct{ MessagePath }) (*mediaShown, error) {
	file, err := s.fileOf(ctx, s.pool, in.MessagePath)
	if err != nil {
		return nil, err
	}
	info, err := s.mediaInfo(file)
	return &mediaShown{info}, err
}

func (s *Server) retryMessageMedia(ctx context.Context, in *struct {
	MessagePath
	Idempotent
}) (*mediaOutput, error) {
	info, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (info MediaInfo, err error) {
		if err := s.sendingAllowed(ctx, tx, in.SessionID); err != nil {
			return info, err
		}
		file, err := s.fileOf(ctx, tx, in.MessagePath)
		if err != nil {
			return info, err
		}
		asked, err := s.q.MediaAskAgain(ctx, tx, file.ID, in.SessionID)
		if errors.Is(err, pgx.ErrNoRows) {
			if file, err = s.fileOf(ctx, tx, in.MessagePath); err != nil { // it may have come since it was read
				return info, err
			}
			switch file.Status {
			case "ready":
				return s.mediaInfo(file)
			case "expired":
				return info, notReady(file)
			}
			return info, problem(MediaFetchFailed, "the phone cannot be asked for this file: nothing is known of it that the phone would know it by")
		}
		if err != nil {
			return info, fmt.Errorf("ask for media again: %w", err)
		}
		command, err := json.Marshal(events.RetryMediaCommand{MediaID: file.ID, SessionID: in.SessionID})
		if err != nil {
			return info, fmt.Errorf("encode command: %w", err)
		}
		tx.Publish(events.TopicCommands, queue.Message{
			Lane: events.MediaLane(in.SessionID), Session: in.SessionID, Payload: command, Metadata: map[string]string{events.MetaCommand: events.CommandRetryMedia},
		})
		return s.mediaInfo(asked)
	})
	if err != nil {
		return nil, err
	}
	return &mediaOutput{Location: "/v1/media/" + info.ID, Replayed: replayedHeader(replayed), Body: info}, nil
}
