package api

import (
	"reflect"

	"github.com/chasqui/chasqui/events"
)

var (
	exampleChannel = events.Channel{
		ID: "120363025246125486@newsletter", Name: "Neighbourhood news", Description: "What happens around the corner.", InviteCode: "0029VaAbCdEfGhIjKlMnOp",
		InviteURL: "https://whatsapp.com/channel/0029VaAbCdEfGhIjKlMnOp", Followers: 1200, State: "active", Role: events.RoleSubscriber, Muted: new(bool), CreatedAt: &exampleTime,
	}
	examplePost = func() events.Message {
		m := exampleMessage
		m.ChatID, m.Direction, m.Status, m.ClientReference, m.ServerID = exampleChannel.ID, events.Incoming, events.StatusDelivered, "", 117
		m.From = events.NewAddress(exampleChannel.ID, "", "", exampleChannel.Name)
		m.To, m.Content.Text = m.From, "The market opens at nine."
		return m
	}()
	exampleCounts = events.PostCounts{Views: 840, ReactionCounts: []events.ReactionCount{{Emoji: "👍", Count: 12}}}
)

// channelShapes are the events about channels.
func channelShapes() map[events.Type]eventShape {
	renamed := events.ChannelData{Channel: exampleChannel, Change: "changed", Changed: []string{"name"}}
	counts := events.ChannelCountsData{ChannelID: exampleChannel.ID, Posts: []events.CountedPost{{ServerID: 117, WhatsAppID: examplePost.WhatsAppID, PostCounts: exampleCounts}}}
	shapes := map[events.Type]eventShape{}
	for _, shape := range []struct {
		t       events.Type
		summary string
		data    any
	}{
		{events.ChannelUpdated, "The account follows a channel, or does so no more, or the channel has changed", renamed},
		{events.ChannelMessage, "A channel that the account follows has a new post", events.MessageData{Message: examplePost}},
		{events.ChannelCounts, "Posts were seen or reacted to, in a channel that is watched", counts},
	} {
		shapes[shape.t] = eventShape{shape.summary, reflect.TypeOf(shape.data), exampleEvent(shape.t, shape.data)}
	}
	return shapes
}
