package api

import (
	"context"
	"slices"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
)

// ParticipantPath names somebody in a group, or who wants to be.
type ParticipantPath struct {
	GroupPath
	ParticipantID string `path:"participantId" maxLength:"64" doc:"A phone number or a JID." example:"5491123456789"`
}

type addParticipants struct {
	Participants []string `json:"participants" minItems:"1" maxItems:"256" doc:"Phone numbers or JIDs." example:"[\"5491123456789\"]"`
}

type changeParticipant struct {
	Role string `json:"role" enum:"member,admin" example:"admin"`
}

// participantsShown are those of a group.
type participantsShown struct {
	Data []events.Participant `json:"data" doc:"Who is in the group, in WhatsApp's order."`
}

func (s *Server) addParticipants() {
	const people, waiting = groupPath + "/participants", groupPath + "/join-requests"
	one := append(slices.Clone(groupChangeCodes), NotFound)
	register(s, operation{
		method: "GET", path: people, id: "list-participants", tag: "Groups", status: 200, wait: groupWait,
		summary: "List the participants of a group", description: "Who is in the group, with phone and LID where WhatsApp tells both.",
		response: participantsShown{exampleMembers}, codes: groupQueryCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Asking
	}) (*asked[participantsShown], error) {
		group, err := s.askGroup(ctx, in.GroupPath, in.Asking)
		if err != nil {
			return nil, err
		}
		out := &asked[participantsShown]{PreferenceApplied: group.PreferenceApplied, Body: participantsShown{group.Body.Participants}}
		if out.Body.Data == nil {
			out.Body.Data = []events.Participant{}
		}
		return out, nil
	})
	register(s, operation{
		method: "POST", path: people, id: "add-participants", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Add participants to a group", description: "Adds people to a group. Who cannot be added is in notAdded, with the reason.",
		request: addParticipants{[]string{"5491123456789"}}, response: events.ParticipantsAdded{Added: []events.Address{exampleMessage.To}}, codes: groupChangeCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Changing
		Idempotent
		Body addParticipants
	}) (*changed[events.ParticipantsAdded], error) {
		id, err := groupID("path.groupId", in.GroupID)
		if err != nil {
			return nil, err
		}
		return change(ctx, s, in.SessionID, in.IdempotencyKey, in.Changing, events.AddParticipants, func(ctx context.Context, tx *queue.Tx) (w wish[events.ParticipantsTarget], err error) {
			list, err := s.participants(ctx, tx, in.SessionID, in.Body.Participants)
			return wish[events.ParticipantsTarget]{id, id, events.ParticipantsTarget{Participants: list}}, err
		})
	})
	register(s, operation{
		method: "PATCH", path: people + "/{participantId}", id: "change-participant", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Change the role of a participant", description: "Makes a participant an admin, or an admin an ordinary participant. Nobody changes who created the group.",
		request: changeParticipant{events.RoleAdmin}, response: exampleDone, codes: one,
	}, func(ctx context.Context, in *struct {
		ParticipantPath
		Changing
		Body changeParticipant
	}) (*changed[events.GroupDone], error) {
		return s.onParticipant(ctx, in.ParticipantPath, "", in.Changing, events.SetParticipantRole, in.Body.Role)
	})
	register(s, operation{
		method: "DELETE", path: people + "/{participantId}", id: "remove-participant", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
		summary: "Remove a participant from a group", description: "Removes somebody from the group, who cannot come back by its link.",
		response: exampleDone, codes: one,
	}, func(ctx context.Context, in *struct {
		ParticipantPath
		Changing
	}) (*changed[events.GroupDone], error) {
		return s.onParticipant(ctx, in.ParticipantPath, "", in.Changing, events.RemoveParticipant, "")
	})
	register(s, operation{
		method: "GET", path: waiting, id: "list-join-requests", tag: "Groups", status: 200, wait: groupWait,
		summary: "List who wants to join a group", description: "Who waits for an admin's approval, where joining needs one.",
		response: events.JoinRequests{Data: []events.JoinRequest{{From: exampleMessage.To, RequestedAt: exampleTime}}}, codes: groupQueryCodes,
	}, func(ctx context.Context, in *struct {
		GroupPath
		Asking
	}) (*asked[events.JoinRequests], error) {
		return askAbout(ctx, s, in.GroupPath, in.Asking, events.ListJoinRequests)
	})
	for _, answer := range []struct{ verb, action, summary, description string }{
		{"approve", events.ApproveJoin, "Approve a request to join", "Lets somebody into the group who asked to join it."},
		{"reject", events.RejectJoin, "Reject a request to join", "Ends somebody's request to join the group."},
	} {
		register(s, operation{
			method: "POST", path: waiting + "/{participantId}/" + answer.verb, id: answer.verb + "-join-request", tag: "Groups", status: 200, also: queuedToo, wait: groupWait,
			summary: answer.summary, description: answer.description, response: exampleDone, codes: one,
		}, func(ctx context.Context, in *struct {
			ParticipantPath
			Changing
			Idempotent
		}) (*changed[events.GroupDone], error) {
			return s.onParticipant(ctx, in.ParticipantPath, in.IdempotencyKey, in.Changing, events.AnswerJoinRequest, answer.action)
		})
	}
}

// onParticipant does something to somebody in a group.
func (s *Server) onParticipant(ctx context.Context, path ParticipantPath, key string, in Changing, kind events.ChangeKind[events.ParticipantTarget, events.GroupDone], action string) (*changed[events.GroupDone], error) {
	id, err := groupID("path.groupId", path.GroupID)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, path.SessionID, key, in, kind, func(ctx context.Context, tx *queue.Tx) (w wish[events.ParticipantTarget], err error) {
		who, err := s.personID(ctx, tx, path.SessionID, "path.participantId", path.ParticipantID)
		return wish[events.ParticipantTarget]{id, id, events.ParticipantTarget{Participant: who, Action: action}}, err
	})
}
