package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/postgres/db"
)

type vote struct {
	Options []string `json:"options" maxItems:"12" doc:"All that the account chooses, in the words of the poll; none takes its vote back." example:"[\"Monday\"]"`
}

type respond struct {
	Response    string `json:"response" enum:"going,notGoing,maybe" example:"going"`
	ExtraGuests int    `json:"extraGuests,omitempty" minimum:"0" maximum:"100" doc:"How many come along, where the event allows it and the account goes." example:"1"`
}

func (s *Server) addMessageResults() {
	const path, wait = "/v1/sessions/{sessionId}/messages/{messageId}", maxPreferredWait * time.Second
	own, guest := exampleMessage.From, exampleMessage.To
	register(s, operation{
		method: "POST", path: path + "/vote", id: "vote", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Vote in a poll",
		description: "Votes for options of a poll, of others or the account's own, in place of its vote before.",
		request:     vote{Options: []string{"Monday"}},
		response:    events.VoteData{MessageRef: exampleRef, From: own, Direction: events.Outgoing, Options: []string{"Monday"}, At: exampleTime},
		codes:       append(changeCodes, MessageNotFound, MessageNotSent),
	}, s.vote)
	register(s, operation{
		method: "GET", path: path + "/poll-results", id: "get-poll-results", tag: "Messages", status: 200, summary: "Read the results of a poll",
		description: "How many chose each option, and who: what has come since the session was linked.",
		response: events.PollResults{MessageRef: exampleRef, Question: "When shall we meet?", Voters: 1, Options: []events.PollResult{
			{Option: "Monday", Count: 1, Voters: []events.Address{guest}}, {Option: "Tuesday", Voters: []events.Address{}},
		}},
		codes: []Code{SessionNotFound, MessageNotFound},
	}, s.pollResults)
	register(s, operation{
		method: "POST", path: path + "/respond", id: "respond-to-event", tag: "Messages", status: 200, also: queuedToo, wait: wait, summary: "Answer an invitation to an event",
		description: "Says whether the account comes to an event, in place of its answer before.",
		request:     respond{Response: "going", ExtraGuests: 1},
		response:    events.ResponseData{MessageRef: exampleRef, From: own, Direction: events.Outgoing, Response: "going", ExtraGuests: 1, At: exampleTime},
		codes:       append(changeCodes, MessageNotFound, MessageNotSent),
	}, s.respond)
	register(s, operation{
		method: "GET", path: path + "/responses", id: "list-event-responses", tag: "Messages", status: 200, summary: "Read the answers to an event",
		description: "Who answered an invitation to an event, and what: what has come since the session was linked.",
		response:    events.EventResponses{MessageRef: exampleRef, Data: []events.EventResponse{{From: guest, Response: "going", At: exampleTime}}},
		codes:       []Code{SessionNotFound, MessageNotFound},
	}, s.eventResponses)
}

// messageOf is the message that a path names, if it is of a type.
func (s *Server) messageOf(ctx context.Context, from db.DBTX, path MessagePath, kind string) (row db.MessageView, m events.Message, err error) {
	if row, m, err = s.messageAt(ctx, from, path); err != nil {
		return row, m, err
	}
	if err = notPost(row); err != nil {
		return row, m, err
	}
	if m.Content.Type != kind || m.Content.Poll == nil && m.Content.Event == nil {
		return row, m, problem(MessageNotFound, "expected a message of type "+kind+"; it is of type "+m.Content.Type)
	}
	return row, m, nil
}

func (s *Server) vote(ctx context.Context, in *struct {
	MessagePath
	Idempotent
	Changing
	Body vote
}) (*changed[events.VoteData], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.Vote, func(ctx context.Context, tx *queue.Tx) (w wish[events.Voting], err error) {
		row, m, err := s.messageOf(ctx, tx, in.MessagePath, events.ContentPoll)
		if err != nil {
			return w, err
		}
		if m.RevokedAt != nil {
			return w, problem(MessageNotFound, "the poll was deleted for everybody")
		}
		poll, chosen := m.Content.Poll, []string{}
		for i, option := range in.Body.Options {
			location := fmt.Sprintf("body.options[%d]", i)
			if !slices.Contains(poll.Options, option) {
				return w, invalid(location, "expected an option of the poll")
			}
			if slices.Contains(in.Body.Options[:i], option) {
				return w, invalid(location, "expected each option once")
			}
		}
		if most := poll.SelectableCount; most > 0 && len(in.Body.Options) > most {
			return w, invalid("body.options", fmt.Sprintf("expected at most %d options of this poll", most))
		}
		for _, option := range poll.Options {
			if slices.Contains(in.Body.Options, option) {
				chosen = append(chosen, option)
			}
		}
		return wish[events.Voting]{row.ID.String(), m.ChatID, events.Voting{WhatsAppID: newWhatsAppID(), Options: chosen}}, nil
	})
}

func (s *Server) respond(ctx context.Context, in *struct {
	MessagePath
	Idempotent
	Changing
	Body respond
}) (*changed[events.ResponseData], error) {
	return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.Respond, func(ctx context.Context, tx *queue.Tx) (w wish[events.Responding], err error) {
		row, m, err := s.messageOf(ctx, tx, in.MessagePath, events.ContentEvent)
		if err != nil {
			return w, err
		}
		switch {
		case m.RevokedAt != nil:
			return w, problem(MessageNotFound, "the event was deleted for everybody")
		case in.Body.ExtraGuests > 0 && !m.Content.Event.ExtraGuests:
			return w, invalid("body.extraGuests", "expected none: nobody may bring others to this event")
		case in.Body.ExtraGuests > 0 && in.Body.Response != "going":
			return w, invalid("body.extraGuests", "expected none, unless the account goes itself")
		}
		return wish[events.Responding]{row.ID.String(), m.ChatID, events.Responding{
			WhatsAppID: newWhatsAppID(), Response: in.Body.Response, ExtraGuests: in.Body.ExtraGuests,
		}}, nil
	})
}

// votes are the votes in a poll or the answers to an event, and who they are of.
func (s *Server) votes(ctx context.Context, row db.MessageView) (rows []db.VoteListRow, who []events.Address, err error) {
	if rows, err = s.q.VoteList(ctx, s.pool, row.SessionID, row.ID); err != nil {
		return nil, nil, fmt.Errorf("list votes: %w", err)
	}
	for _, r := range rows {
		a := events.NewAddress(r.VoterID, r.Phone, r.Lid, r.Name)
		if r.VoterID == "" {
			a = postgres.OwnAddress(r.OwnPhone, r.OwnLid, r.OwnName)
		}
		who = append(who, a)
	}
	return rows, who, nil
}

func (s *Server) pollResults(ctx context.Context, in *struct{ MessagePath }) (*struct{ Body events.PollResults }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	row, m, err := s.messageOf(ctx, s.pool, in.MessagePath, events.ContentPoll)
	if err != nil {
		return nil, err
	}
	rows, who, err := s.votes(ctx, row)
	if err != nil {
		return nil, err
	}
	results := events.PollResults{MessageRef: events.MessageRef{MessageID: m.ID, WhatsAppID: m.WhatsAppID, ChatID: m.ChatID}, Question: m.Content.Poll.Question}
	results.Options = make([]events.PollResult, len(m.Content.Poll.Options))
	for i, option := range m.Content.Poll.Options {
		result := events.PollResult{Option: option, Voters: []events.Address{}}
		for j, r := range rows {
			if slices.Contains(r.Choices, option) {
				result.Voters = append(result.Voters, who[j])
			}
		}
		result.Count = len(result.Voters)
		results.Options[i] = result
	}
	for _, r := range rows {
		if len(r.Choices) > 0 {
			results.Voters++
		}
	}
	return &struct{ Body events.PollResults }{results}, nil
}

func (s *Server) eventResponses(ctx context.Context, in *struct{ MessagePath }) (*struct{ Body events.EventResponses }, error) {
	if _, err := s.sessionRow(ctx, s.pool, in.SessionID); err != nil {
		return nil, err
	}
	row, m, err := s.messageOf(ctx, s.pool, in.MessagePath, events.ContentEvent)
	if err != nil {
		return nil, err
	}
	rows, who, err := s.votes(ctx, row)
	if err != nil {
		return nil, err
	}
	out := events.EventResponses{MessageRef: events.MessageRef{MessageID: m.ID, WhatsAppID: m.WhatsAppID, ChatID: m.ChatID}, Data: []events.EventResponse{}}
	for i, r := range rows {
		if len(r.Choices) == 1 {
			out.Data = append(out.Data, events.EventResponse{From: who[i], Response: r.Choices[0], ExtraGuests: int(r.Guests), At: r.Timestamp})
		}
	}
	return &struct{ Body events.EventResponses }{out}, nil
}
