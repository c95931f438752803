package connector

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/events"
)

// A status update is a message in the chat status@broadcast, and goes every message's way in and out; this is what is peculiar to it.

// statusSweepMost bounds the status updates of one sweep's transaction.
const statusSweepMost = 1000

// opaque and white are colours as WhatsApp has them: alpha, red, green, blue.
const opaque, white uint32 = 0xFF000000, 0xFFFFFFFF

// fonts are events.StatusFonts as WhatsApp has them.
var fonts = map[string]waE2E.ExtendedTextMessage_FontType{
	"system": waE2E.ExtendedTextMessage_SYSTEM, "systemText": waE2E.ExtendedTextMessage_SYSTEM_TEXT, "script": waE2E.ExtendedTextMessage_FB_SCRIPT,
	"systemBold": waE2E.ExtendedTextMessage_SYSTEM_BOLD, "morningBreeze": waE2E.ExtendedTextMessage_MORNINGBREEZE_REGULAR,
	"calistoga": waE2E.ExtendedTextMessage_CALISTOGA_REGULAR, "exo2": waE2E.ExtendedTextMessage_EXO2_EXTRABOLD,
	"courierPrime": waE2E.ExtendedTextMessage_COURIERPRIME_BOLD,
}

// dress gives a message the look that its content says, which only a status update's does.
func dress(m *waE2E.Message, content *events.Content) {
	rgb, err := strconv.ParseUint(strings.TrimPrefix(content.BackgroundColor, "#"), 16, 24)
	if err != nil {
		return
	}
	background := proto.Uint32(opaque | uint32(rgb))
	if m.AudioMessage != nil {
		m.AudioMessage.BackgroundArgb = background
		return
	}
	if m.Conversation != nil {
		m.ExtendedTextMessage, m.Conversation = &waE2E.ExtendedTextMessage{Text: m.Conversation}, nil
	}
	if text := m.ExtendedTextMessage; text != nil {
		text.BackgroundArgb, text.TextArgb, text.Font = background, proto.Uint32(white), fonts[content.Font].Enum()
	}
}

// dressed reads the look of a status update.
func dressed(m *waE2E.Message, content *events.Content) {
	var background *uint32
	if text := m.GetExtendedTextMessage(); text != nil {
		background = text.BackgroundArgb
		for name, font := range fonts {
			if text.Font != nil && *text.Font == font {
				content.Font = name
			}
		}
	} else if m.GetAudioMessage() != nil {
		background = m.AudioMessage.BackgroundArgb
	}
	if background != nil {
		content.BackgroundColor = fmt.Sprintf("#%06X", *background&^opaque)
	}
}

// undress takes away the look of a status update, which is forwarded as a message.
func undress(m *waE2E.Message) {
	if text := m.GetExtendedTextMessage(); text != nil {
		text.BackgroundArgb, text.TextArgb, text.Font = nil, nil, nil
	}
	if m.GetAudioMessage() != nil {
		m.AudioMessage.BackgroundArgb = nil
	}
}

// audience is who gets a message to a chat of many: a group's participants, or those of the address book whom the account lets see its status
// updates. whatsmeow looks for them again as it sends.
func (c *connection) audience(ctx context.Context, chat types.JID) ([]types.JID, error) {
	if chat == types.StatusBroadcastJID {
		//nolint:staticcheck // SA1019: what whatsmeow itself sends by
		list, err := c.client.DangerousInternals().GetBroadcastListParticipants(ctx, chat)
		if err != nil {
			return nil, fmt.Errorf("ask for status audience: %w", err)
		}
		return list, nil
	}
	info, err := c.client.GetGroupInfo(ctx, chat)
	if err != nil {
		return nil, fmt.Errorf("ask for group: %w", err)
	}
	members := make([]types.JID, len(info.Participants))
	for i, p := range info.Participants {
		members[i] = p.JID
	}
	return members, nil
}

// sweepStatus deletes the status updates that have been over for long, of all sessions.
func (c *Connector) sweepStatus(ctx context.Context) error {
	for {
		n, err := c.queries.StatusSweep(ctx, c.pool, time.Now().Add(-events.StatusKept), statusSweepMost)
		if err != nil {
			return fmt.Errorf("sweep status updates: %w", err)
		}
		if n < statusSweepMost {
			return nil
		}
	}
}
