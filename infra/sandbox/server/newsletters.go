package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// WhatsApp calls channels newsletters on the wire. A channel is four kinds of records: its settings, its members, its messages (posts), and
// what each account did to a message (marks).
const (
	channelKind = "channel"           // by user part of the JID
	memberKind  = "channel_member"    // by channel and phone number
	postKind    = "channel_post"      // by channel and server id
	markKind    = "channel_post_mark" // by channel, server id and phone number
)

const (
	// maxPosts and maxPostBytes bound the messages kept of one channel; the oldest go first. How many the real service keeps is not known.
	maxPosts, maxPostBytes = 10_000, 16 << 20
	// maxChannels bounds the channels of all accounts.
	maxChannels = 10_000
	// maxChannelName and maxChannelText bound a channel's name and description in bytes; the apps allow 100 and 2,048 characters.
	maxChannelName, maxChannelText = 400, 8192
	// maxPicture bounds a channel's picture in bytes; the apps send JPEG of 640 pixels, about a tenth of that.
	maxPicture = 1 << 20
	// adminInviteLife is how long an invitation to be an admin is good for.
	adminInviteLife = 7 * 24 * time.Hour
	// firstPost is a channel's first server id; those of real channels begin at 100 or so.
	firstPost = 100
)

// Roles in a channel; whatsmeow reads them in lower case (NewsletterRole in types/newsletter.go).
const (
	roleGuest      = "GUEST"
	roleSubscriber = "SUBSCRIBER"
	roleAdmin      = "ADMIN"
	roleOwner      = "OWNER"
)

// channels are all channels. The zero value is ready.
type channels struct {
	mu       sync.RWMutex
	byUser   map[string]*channel // by the user part of the JID
	byInvite map[string]*channel
}

// channel is one channel. A change holds change from its decision to its end, the commit included, and mu while it is applied.
type channel struct {
	jid    types.JID
	change sync.Mutex

	mu        sync.RWMutex
	gone      bool // deleted
	settings  channelSettings
	members   map[*account]member
	posts     []*post // ordered by server id
	bytes     int     // of the posts' plaintexts
	byMessage map[string]*post
	live      map[*device]time.Time // until when a device has live updates; not kept over a restart, as clients ask again each few minutes
}

// channelSettings is the record of kind "channel".
type channelSettings struct {
	Created     int64       `json:"created"` // unix seconds
	Invite      string      `json:"invite"`
	Name        channelText `json:"name"`
	Description channelText `json:"description"`
	Picture     string      `json:"picture,omitempty"` // its path on the media host
	PictureSet  int64       `json:"pictureSet,omitempty"`
	Reactions   string      `json:"reactions"` // which codes are allowed: ALL, BASIC, NONE or BLOCKLIST
}

type channelText struct {
	Text string `json:"text"`
	Set  int64  `json:"set"` // unix microseconds
}

// member is what an account is to a channel, and the record of kind "channel_member". The zero value is a guest.
type member struct {
	Role    string `json:"role,omitempty"` // "" for a guest
	Muted   bool   `json:"muted,omitempty"`
	Since   int64  `json:"since,omitempty"`   // unix seconds
	Invited int64  `json:"invited,omitempty"` // until when the account may become an admin, in unix seconds
}

func (m member) role() string { return cmp.Or(m.Role, roleGuest) }

// manages says whether the account may write and change settings.
func (m member) manages() bool { return m.Role == roleAdmin || m.Role == roleOwner }

// mute is the viewer's setting as clients read it.
func (m member) mute() string {
	if m.Muted {
		return "ON"
	}
	return "OFF"
}

func registerChannels(r *registry) {
	r.routes[types.NewsletterServer] = routeChannel
	r.queries[query{"newsletter", "get", "messages"}] = handlePosts
	r.queries[query{"newsletter", "get", "message_updates"}] = handlePostUpdates
	r.queries[query{"newsletter", "set", "live_updates"}] = handleLiveUpdates
	r.loaders[channelKind] = loadChannel
	r.loaders[memberKind] = loadMember
	r.loaders[postKind] = loadPost
	r.loaders[markKind] = loadMark
}

func newChannel(user string, settings channelSettings) *channel {
	return &channel{
		jid: types.NewJID(user, types.NewsletterServer), settings: settings,
		members: map[*account]member{}, byMessage: map[string]*post{}, live: map[*device]time.Time{},
	}
}

// add makes a channel known.
func (all *channels) add(ch *channel) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byUser == nil {
		all.byUser, all.byInvite = map[string]*channel{}, map[string]*channel{}
	}
	all.byUser[ch.jid.User], all.byInvite[ch.settings.Invite] = ch, ch
}

// remove forgets a channel.
func (all *channels) remove(ch *channel) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byUser, ch.jid.User)
	delete(all.byInvite, ch.settings.Invite)
}

// get finds a channel, or returns errItemNotFound.
func (all *channels) get(jid types.JID) (*channel, error) {
	all.mu.RLock()
	defer all.mu.RUnlock()
	if ch := all.byUser[jid.User]; ch != nil && jid.Server == types.NewsletterServer {
		return ch, nil
	}
	return nil, errItemNotFound
}

// list returns the channels that are wanted, ordered by JID.
func (all *channels) list(wanted func(*channel) bool) []*channel {
	all.mu.RLock()
	found := []*channel{}
	for _, ch := range all.byUser {
		found = append(found, ch)
	}
	all.mu.RUnlock()
	found = slices.DeleteFunc(found, func(ch *channel) bool { return !wanted(ch) })
	slices.SortFunc(found, func(a, b *channel) int { return strings.Compare(a.jid.User, b.jid.User) })
	return found
}

// createChannel makes a channel with its owner, durably. The owner's other devices are told.
func (s *Server) createChannel(ctx context.Context, by *device, settings channelSettings) (*channel, error) {
	s.channels.mu.RLock()
	full := len(s.channels.byUser) >= maxChannels
	s.channels.mu.RUnlock()
	if full {
		return nil, queryError{429, "too many channels"}
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1e12))
	if err != nil {
		return nil, fmt.Errorf("choose channel's JID: %w", err)
	}
	// Both forms are those of real channels: 18 digits, and 22 letters and digits after whatsapp.com/channel/.
	settings.Invite = "0029Va" + rand.Text()[:16]
	ch := newChannel(fmt.Sprintf("120363%012d", number), settings)
	owner := member{Role: roleOwner, Since: settings.Created}
	ch.members[by.account] = owner
	stanzas := s.toDevices(s.devicesOf(by.account, by), joinNotification(ch, owner))
	if err := s.commit(ctx, []journal.Record{record(channelKind, ch.jid.User, settings), ch.memberRecord(by.account, owner)}, stanzas); err != nil {
		return nil, err
	}
	s.channels.add(ch)
	return ch, nil
}

// member is what an account is to the channel.
func (ch *channel) member(a *account) member {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	return ch.members[a]
}

// followers counts the members that are no guests; the caller holds mu.
func (ch *channel) followers() (n int) {
	for _, m := range ch.members {
		if m.Role != "" {
			n++
		}
	}
	return n
}

// followerDevices returns the devices of everyone who follows the channel, but the given one, which may be nil.
func (s *Server) followerDevices(ch *channel, except *device) (devices []*device) {
	ch.mu.RLock()
	defer ch.mu.RUnlock()
	for a, m := range ch.members {
		if m.Role != "" {
			devices = append(devices, s.devicesOf(a, except)...)
		}
	}
	return devices
}

func (ch *channel) memberRecord(a *account, m member) journal.Record {
	key := ch.jid.User + " " + a.keys.Phone
	if m == (member{}) {
		return journal.Record{Kind: memberKind, Key: key}
	}
	return record(memberKind, key, m)
}

// setMembers commits what accounts are to the channel from now on, with the stanzas that tell of it, and applies it. The caller holds change.
func (s *Server) setMembers(ctx context.Context, ch *channel, members map[*account]member, stanzas []queued) error {
	records := make([]journal.Record, 0, len(members))
	for a, m := range members {
		records = append(records, ch.memberRecord(a, m))
	}
	if err := s.commit(ctx, records, stanzas); err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for a, m := range members {
		if ch.members[a] = m; m == (member{}) {
			delete(ch.members, a)
		}
	}
	return nil
}

// lockForChange holds the channel for a change, unless it was deleted in the meantime.
func (ch *channel) lockForChange() error {
	ch.change.Lock()
	if ch.gone { // written under both locks
		ch.change.Unlock()
		return errItemNotFound
	}
	return nil
}

func loadChannel(s *Server, r journal.Record) error {
	var settings channelSettings
	if err := json.Unmarshal(r.Value, &settings); err != nil {
		return err
	}
	s.channels.add(newChannel(r.Key, settings))
	return nil
}

func loadMember(s *Server, r journal.Record) error {
	user, phone, _ := strings.Cut(r.Key, " ")
	ch, a := s.channels.byUser[user], s.byPhone[phone]
	if ch == nil || a == nil {
		return fmt.Errorf("member %s of no channel, or no account", r.Key)
	}
	var m member
	if err := json.Unmarshal(r.Value, &m); err != nil {
		return err
	}
	ch.members[a] = m
	return nil
}

// postID reads a record's key: the channel, the server id, and what follows them.
func (s *Server) postID(key string) (ch *channel, id int, rest string, err error) {
	user, rest, _ := strings.Cut(key, " ")
	number, rest, _ := strings.Cut(rest, " ")
	ch = s.channels.byUser[user]
	if id, err = strconv.Atoi(number); err == nil && ch == nil {
		err = fmt.Errorf("%s is in no channel", key)
	}
	return ch, id, rest, err
}
