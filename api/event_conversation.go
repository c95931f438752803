package api

import (
	"reflect"

	"github.com/chasqui/chasqui/events"
)

var (
	exampleContact = events.Contact{Address: exampleMessage.To, SavedName: "Juan Pérez", PushName: "Juan"}
	exampleChat    = events.Chat{Address: exampleMessage.To, LastMessageAt: &exampleTime, Unread: 2, Pinned: true, Labels: []string{"1"}}
	exampleLabel   = events.Label{ID: "1", Name: "New customer", Color: 3}
	exampleGroup   = events.Group{
		ID: "120363025246125486@g.us", Name: "Neighbours", Description: "For everybody in the house.", Owner: &exampleMessage.From, CreatedAt: &exampleTime,
		MemberAdd: "all", AddressingMode: "lid", ParticipantCount: 2, Announcement: new(bool), Locked: new(bool), JoinApproval: new(bool), DisappearingSeconds: new(int),
	}
)

// conversationShapes are the events about messages, chats, contacts and groups that are no message by themselves.
func conversationShapes(incoming events.Message) map[events.Type]eventShape {
	story := exampleStatus()
	ref := events.MessageRef{MessageID: exampleMessageID, WhatsAppID: exampleMessage.WhatsAppID, ChatID: exampleMessage.ChatID}
	who, yes, edited, failed := exampleMessage.To, true, incoming, exampleChange
	edited.EditedAt, edited.Content.Text = &exampleTime, "Is my order ready now?"
	failed.Status, failed.Error = events.ChangeFailed, &events.MessageError{Code: string(Forbidden), Message: "WhatsApp does not allow this account to know or do it (code 403)."}
	renamed := events.Group{ID: exampleGroup.ID, Name: "Good neighbours"}
	left := events.Group{ID: exampleGroup.ID, Name: exampleGroup.Name}
	shapes := map[events.Type]eventShape{}
	for _, shape := range []struct {
		t       events.Type
		summary string
		data    any
	}{
		{events.MessageEdited, "A message was edited", events.EditedData{Message: edited, By: &who}},
		{events.MessageRevoked, "A message was deleted for everybody", events.RevokedData{MessageRef: ref, By: &who, At: exampleTime}},
		{events.MessageDeleted, "The account deleted a message for itself", events.RevokedData{MessageRef: ref, At: exampleTime}},
		{events.MessageReaction, "Somebody reacts to a message, or takes it back", events.ReactionData{MessageRef: ref, From: who, Direction: events.Incoming, Emoji: "👍", At: exampleTime}},
		{events.MessagePinned, "A message was pinned or unpinned", events.PinnedData{MessageRef: ref, By: &who, Pinned: true, PinnedUntil: &exampleTime, At: exampleTime}},
		{events.MessageStarred, "The account starred a message, or took the star back", events.StarredData{MessageRef: ref, Starred: true, At: exampleTime}},
		{events.PollVoted, "Somebody voted in a poll", events.VoteData{MessageRef: ref, From: who, Direction: events.Incoming, Options: []string{"Monday"}, At: exampleTime}},
		{events.EventResponded, "Somebody answers an invitation to an event", events.ResponseData{MessageRef: ref, From: who, Direction: events.Incoming, Response: "going", ExtraGuests: 1, At: exampleTime}},
		{events.ChatUpdated, "A chat's settings have changed, or it was emptied or deleted", events.ChatData{Chat: exampleChat}},
		{events.LabelUpdated, "A label has changed, or a chat got it or lost it", events.LabelData{Label: exampleLabel, ChatID: exampleMessage.ChatID, Labeled: &yes}},
		{events.HistorySynced, "A part of the phone's history has been stored, or cannot be had", events.HistoryData{Kind: "initial", Progress: 100, Chats: 12, Messages: 250}},
		{events.ContactUpdated, "A contact has changed", events.ContactData{Contact: exampleContact, Changed: "name"}},
		{events.GroupJoined, "The account is in a group now", events.GroupData{Group: exampleGroup, By: &who}},
		{events.GroupLeft, "The account is in a group no more", events.GroupData{Group: left, By: &who, Reason: "removed"}},
		{events.GroupUpdated, "A group's settings have changed", events.GroupData{Group: renamed, By: &who, Changed: []string{"name"}}},
		{events.GroupParticipants, "People came into a group, left it, or have another role", events.ParticipantsData{GroupID: exampleGroup.ID, Action: "added", Participants: []events.Address{who}, By: &exampleMessage.From}},
		{events.GroupJoinRequested, "Somebody asks to join a group, or does so no more", events.JoinRequestData{GroupID: exampleGroup.ID, Action: "created", From: who}},
		{events.StatusReceived, "A contact has posted a status update", events.MessageData{Message: story}},
		{events.ChangeUndone, "A change that was accepted will not be made", events.ChangeData{Change: failed}},
	} {
		shapes[shape.t] = eventShape{shape.summary, reflect.TypeOf(shape.data), exampleEvent(shape.t, shape.data)}
	}
	return shapes
}
