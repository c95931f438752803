package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
	waevents "go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/events"
	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/sandbox"
)

// asks accepts a change as the API does. begun says that a process has tried it already, and died.
func (b *bench) asks(session, kind, target string, parameters any, begun bool) uuid.UUID {
	b.Helper()
	id := events.NewID()
	text, err := json.Marshal(parameters)
	if err != nil {
		b.Fatal(err)
	}
	err = b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := tx.Exec(b.ctx(), `INSERT INTO changes (id, session_id, kind, target, chat_id, parameters, expires_at, begun_at)
			VALUES ($1, $2, $3, $4, $4, $5, now() + interval '1 hour', CASE WHEN $6 THEN now() END)`, id, session, kind, target, text, begun)
		if err != nil {
			return err
		}
		b.command(tx, session, id)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) command(tx *queue.Tx, session string, id uuid.UUID) {
	payload, _ := json.Marshal(events.ChangeCommand{ChangeID: id, SessionID: session})
	tx.Publish(events.TopicCommands, queue.Message{
		ID: id, Lane: events.ChangeLane(session), Session: session, Payload: payload, Metadata: map[string]string{events.MetaCommand: events.CommandChange},
	})
}

// repeats does a change that was made again, as after a crash between WhatsApp's answer and the transaction that ends it.
func (b *bench) repeats(session string, id uuid.UUID) {
	b.Helper()
	err := b.db.InTx(b.ctx(), func(tx *queue.Tx) error {
		_, err := tx.Exec(b.ctx(), `UPDATE changes SET status = 'queued', finished_at = NULL, result = NULL, error_code = NULL, error_message = NULL WHERE id = $1`, id)
		b.command(tx, session, id)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// outcome waits for the end of a change, and returns its status with the code of its error, and its result.
func (b *bench) outcome(id uuid.UUID) (status string, result string) {
	b.Helper()
	b.await("change to end", func() bool {
		status = one[string](b, `SELECT status || coalesce(' ' || error_code, '') FROM changes WHERE id = $1`, id)
		return status != events.ChangeQueued
	})
	return status, one[string](b, `SELECT coalesce(result::text, '') FROM changes WHERE id = $1`, id)
}

func TestAGroupIsCreatedOnceOverCrashes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone("5491150000002", "Bert")
	b.linked("a", "5491150000001")
	wanted := events.NewGroup{Name: "Once", Participants: []string{"5491150000002@" + events.PhoneServer}}
	id := b.asks("a", events.CreateGroup.Kind, "", wanted, false)
	var first, second, third events.GroupCreated
	read := func(id uuid.UUID, into *events.GroupCreated) {
		t.Helper()
		status, result := b.outcome(id)
		if err := json.Unmarshal([]byte(result), into); status != events.ChangeDone || err != nil || into.ID == "" {
			t.Fatalf("%s %s: %v", status, result, err)
		}
	}
	read(id, &first)
	b.repeats("a", id)
	if read(id, &second); second.ID != first.ID || len(second.Participants) != 2 {
		t.Errorf("made again: %+v", second)
	}
	// A process that died before it asked has made nothing, and what another change made is that one's.
	if read(b.asks("a", events.CreateGroup.Kind, "", wanted, true), &third); third.ID == first.ID {
		t.Error("took the group of another change for its own")
	}
	groups, err := b.sandbox.Groups(b.ctx(), "5491150000001")
	if err != nil || len(groups) != 2 {
		t.Errorf("there are %d groups, %v", len(groups), err)
	}
	if name := one[string](b, `SELECT name FROM contacts WHERE id = $1`, first.ID); name != "Once" {
		t.Errorf("the group is called %q", name)
	}
}

func TestChangesOfGroupsCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.connector()
	b.phone("5491150000002", "Bert")
	b.phone("5491150000003", "Carla")
	b.linked("a", "5491150000001")
	make := func(owner string, g sandbox.NewGroup) string {
		t.Helper()
		made, err := b.sandbox.CreateGroup(b.ctx(), owner, g)
		if err != nil {
			t.Fatal(err)
		}
		return made.JID
	}
	carla := "5491150000003@" + events.PhoneServer
	own := make("5491150000001", sandbox.NewGroup{Subject: "Own", Participants: []string{"5491150000002"}})
	town := make("5491150000001", sandbox.NewGroup{Subject: "Town", Community: true})
	berts := make("5491150000002", sandbox.NewGroup{Subject: "Bert's", Participants: []string{"5491150000001"}})
	open := make("5491150000002", sandbox.NewGroup{Subject: "Open"})
	link, err := b.sandbox.InviteLink(b.ctx(), "5491150000002", open, false)
	if err != nil {
		t.Fatal(err)
	}
	door := make("5491150000001", sandbox.NewGroup{Subject: "Door", GroupSettings: sandbox.GroupSettings{JoinApproval: true}})
	doorLink, err := b.sandbox.InviteLink(b.ctx(), "5491150000001", door, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.sandbox.JoinGroup(b.ctx(), "5491150000003", sandbox.Invitation{Link: doorLink}); err != nil {
		t.Fatal(err)
	}
	name := "Renamed"
	for _, c := range []struct {
		kind, target string
		parameters   any
		unbegun      string // how it ends where it is not known to have been tried before
	}{
		{events.UpdateGroup.Kind, own, events.GroupUpdate{Name: &name}, "done"},
		{events.AddParticipants.Kind, own, events.ParticipantsTarget{Participants: []string{carla}}, "done"},
		{events.SetParticipantRole.Kind, own, events.ParticipantTarget{Participant: carla, Action: events.RoleAdmin}, "done"},
		{events.RemoveParticipant.Kind, own, events.ParticipantTarget{Participant: carla}, "failed not_found"},
		{events.LinkSubgroup.Kind, town, events.SubgroupTarget{SubgroupID: own, Linked: true}, "done"},
		{events.LinkSubgroup.Kind, town, events.SubgroupTarget{SubgroupID: own}, "failed group_not_found"},
		{events.LeaveGroup.Kind, berts, events.GroupTarget{}, "failed not_in_group"},
		{events.JoinGroup.Kind, "", events.InviteQuestion{Code: link[strings.LastIndex(link, "/")+1:]}, "done"},
		{events.AnswerJoinRequest.Kind, door, events.ParticipantTarget{Participant: carla, Action: events.ApproveJoin}, "failed not_found"},
	} {
		id := b.asks("a", c.kind, c.target, c.parameters, false)
		if status, _ := b.outcome(id); status != "done" {
			t.Fatalf("%s: %s", c.kind, status)
		}
		b.repeats("a", id)
		if status, result := b.outcome(id); status != "done" || c.kind == events.AddParticipants.Kind && !strings.Contains(result, `"added":[{`) {
			t.Errorf("%s again: %s %s", c.kind, status, result)
		}
		if status, _ := b.outcome(b.asks("a", c.kind, c.target, c.parameters, false)); status != c.unbegun {
			t.Errorf("%s anew: %s, want %s", c.kind, status, c.unbegun)
		}
	}
}

// connected is a session's connection.
func connected(c *Connector, id string) *connection { return c.session(id).sender() }

func TestANoticeOfAGroupIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("a", "5491150000001")
	conn := connected(c, "a")
	group, at := types.NewJID("120363012345678901", types.GroupServer), time.Now().Truncate(time.Second)
	bert, carla := types.NewJID("5491150000002", types.DefaultUserServer), types.NewJID("5491150000003", types.DefaultUserServer)
	joined := &waevents.JoinedGroup{Type: "new", Sender: &bert, GroupInfo: types.GroupInfo{
		JID: group, GroupCreated: at, GroupName: types.GroupName{Name: "Trip"}, GroupEphemeral: types.GroupEphemeral{IsEphemeral: true, DisappearingTimer: 86400},
	}}
	notices := []any{
		joined,
		&waevents.GroupInfo{JID: group, Sender: &bert, Timestamp: at, Name: &types.GroupName{Name: "The trip"}},
		&waevents.GroupInfo{JID: group, Sender: &bert, Timestamp: at, Join: []types.JID{carla}, ParticipantVersionID: "1"},
		&waevents.GroupInfo{JID: group, Sender: &carla, Timestamp: at, Leave: []types.JID{carla}, ParticipantVersionID: "2"},
		&waevents.GroupInfo{JID: group, Sender: &bert, Timestamp: at, Join: []types.JID{carla}, ParticipantVersionID: "3"},
		&waevents.GroupInfo{JID: group, Sender: &bert, Timestamp: at, Suspended: true},
		&waevents.GroupInfo{JID: group, Sender: &bert, Timestamp: at, UnknownChanges: []*waBinary.Node{{Tag: "created_membership_requests", Content: []waBinary.Node{
			{Tag: "requested_user", Attrs: waBinary.Attrs{"jid": carla}}, {Tag: "requested_user", Attrs: waBinary.Attrs{"jid": bert}},
		}}}},
		&waevents.Picture{JID: group, Author: bert, Timestamp: at, PictureID: "1"},
		&waevents.GroupInfo{JID: group, Sender: &bert, Timestamp: at, Delete: &types.GroupDelete{Deleted: true}},
	}
	for _, notice := range append(slices.Clone(notices), notices...) { // all of them come twice
		if !conn.handle(notice) {
			t.Fatalf("%T was not taken", notice)
		}
	}
	got := map[events.Type]int{}
	for _, e := range b.events(events.GroupJoined, events.GroupUpdated, events.GroupParticipants, events.GroupJoinRequested, events.GroupLeft) {
		got[e.Type]++
	}
	want := map[events.Type]int{events.GroupJoined: 1, events.GroupUpdated: 3, events.GroupParticipants: 3, events.GroupJoinRequested: 2, events.GroupLeft: 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", got, want)
	}
	name, seconds := one[string](b, `SELECT name FROM contacts WHERE id = $1`, group.String()), one[int](b, `SELECT disappearing_seconds FROM chats WHERE id = $1`, group.String())
	if name != "The trip" || seconds != 86400 {
		t.Errorf("the group is called %q, its messages stay %d s", name, seconds)
	}
	if !conn.handle(&waevents.GroupInfo{JID: group, Timestamp: at, Ephemeral: &types.GroupEphemeral{}}) || one[int](b, `SELECT disappearing_seconds FROM chats WHERE id = $1`, group.String()) != 0 {
		t.Error("the timer of the chat does not follow the group's")
	}
}

func TestHostileNoticesOfGroups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("a", "5491150000001")
	conn := connected(c, "a")
	group, nobody := types.NewJID("120363012345678901", types.GroupServer), types.EmptyJID
	long := strings.Repeat("x\x00\xff", 100_000)
	crowd := make([]types.JID, 10_000)
	for i := range crowd {
		crowd[i] = types.NewJID(fmt.Sprint(5491150000000+i), types.DefaultUserServer)
	}
	for _, notice := range []any{
		&waevents.JoinedGroup{}, &waevents.GroupInfo{}, &waevents.Picture{}, &waevents.Picture{JID: crowd[0], PictureID: long},
		&waevents.JoinedGroup{Sender: &nobody, GroupInfo: types.GroupInfo{JID: group, GroupName: types.GroupName{Name: long}, GroupTopic: types.GroupTopic{Topic: long}, AddressingMode: "odd",
			MemberAddMode: "odd", GroupEphemeral: types.GroupEphemeral{IsEphemeral: true, DisappearingTimer: 1 << 31}}},
		&waevents.GroupInfo{JID: group, Sender: &nobody, Name: &types.GroupName{Name: long}, Topic: &types.GroupTopic{Topic: long}, Join: crowd, Leave: crowd,
			Ephemeral: &types.GroupEphemeral{IsEphemeral: true, DisappearingTimer: 1 << 31}, Link: &types.GroupLinkChange{Type: "odd"}, Unlink: &types.GroupLinkChange{Type: "parent_group"}},
		&waevents.GroupInfo{JID: group, UnknownChanges: []*waBinary.Node{
			{Tag: "created_membership_requests"}, {Tag: "created_membership_requests", Content: []byte(long)},
			{Tag: "revoked_membership_requests", Content: []waBinary.Node{{Attrs: waBinary.Attrs{"jid": "text"}}, {Attrs: waBinary.Attrs{"jid": nobody, "phone_number": 5}}}},
			{Tag: "member_add_mode", Content: 5}, {Tag: "member_add_mode", Content: []byte(long)},
		}},
	} {
		if !conn.handle(notice) {
			t.Errorf("%T stops the session: %v", notice, context.Cause(conn.ctx))
		}
	}
	if conn.ctx.Err() != nil {
		t.Error(context.Cause(conn.ctx))
	}
}

func TestAListOfManyGroupsComesInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.connector()
	b.linked("a", "5491150000001")
	conn := connected(c, "a")
	all := make([]events.Group, 2000)
	for i := range all { // the worst that names and descriptions can do
		all[i] = events.Group{ID: fmt.Sprintf("%d@g.us", 120363000009999-i), Name: strings.Repeat("\x01", maxSubject), Description: strings.Repeat("\x01", maxDescription)}
	}
	conn.groups.remember(all)
	after, seen := "999@g.us", 0
	for pages := 0; after != ""; pages++ {
		page, err := conn.listGroups(b.ctx(), events.GroupsQuestion{After: after, Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(page)
		if len(text) > events.MaxAnswer || len(page.Data) == 0 || pages > 2000 {
			t.Fatalf("page %d has %d groups in %d bytes", pages, len(page.Data), len(text))
		}
		for _, g := range page.Data {
			if g.ID != all[seen].ID {
				t.Fatalf("group %d is %s", seen, g.ID)
			}
			seen++
		}
		after = page.Next
	}
	if seen != len(all) {
		t.Errorf("%d groups", seen)
	}
	big := events.Group{}
	for range maxCommunity {
		big.Participants = append(big.Participants, events.Participant{Address: events.NewAddress("5491150000001@s.whatsapp.net", "", "123456789012345", strings.Repeat("\x01", maxName)), Role: "member"})
	}
	if err := fit(&big, people(&big)); err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(big); len(text) > events.MaxAnswer {
		t.Errorf("a community has %d bytes", len(text))
	}
}
