package sandbox

import (
	"go.mau.fi/whatsmeow/proto/waE2E"
)

// interactive reads the messages of businesses, with something to choose, and the choices.
func (r *reader) interactive(m *waE2E.Message, c *Content) bool {
	switch {
	case m.GetButtonsMessage() != nil:
		b := m.GetButtonsMessage()
		c.Type, c.Title, c.Text = "buttons", b.GetText(), b.GetContentText()
		for _, button := range b.GetButtons() {
			c.Buttons = append(c.Buttons, Button{ID: button.GetButtonID(), Text: button.GetButtonText().GetDisplayText()})
		}
	case m.GetButtonsResponseMessage() != nil:
		b := m.GetButtonsResponseMessage()
		c.Type, c.SelectedID, c.Text = "buttonsResponse", b.GetSelectedButtonID(), b.GetSelectedDisplayText()
	case m.GetListMessage() != nil:
		l := m.GetListMessage()
		c.Type, c.Title, c.Text = "list", l.GetTitle(), l.GetDescription()
		for _, section := range l.GetSections() {
			for _, row := range section.GetRows() {
				c.Buttons = append(c.Buttons, Button{ID: row.GetRowID(), Text: row.GetTitle(), Description: row.GetDescription()})
			}
		}
	case m.GetListResponseMessage() != nil:
		l := m.GetListResponseMessage()
		c.Type, c.SelectedID, c.Text = "listResponse", l.GetSingleSelectReply().GetSelectedRowID(), l.GetTitle()
	case m.GetTemplateMessage() != nil:
		c.Type = "template"
		template(m.GetTemplateMessage(), c)
	case m.GetTemplateButtonReplyMessage() != nil:
		b := m.GetTemplateButtonReplyMessage()
		c.Type, c.SelectedID, c.Text = "templateButtonReply", b.GetSelectedID(), b.GetSelectedDisplayText()
	case m.GetInteractiveMessage() != nil:
		c.Type = "interactive"
		flow(m.GetInteractiveMessage(), c)
	case m.GetInteractiveResponseMessage() != nil:
		i := m.GetInteractiveResponseMessage()
		c.Type, c.Text, c.SelectedID = "interactiveResponse", i.GetBody().GetText(), i.GetNativeFlowResponseMessage().GetName()
	case m.GetProductMessage() != nil:
		p := m.GetProductMessage()
		c.Type, c.Title, c.Text = "product", p.GetProduct().GetTitle(), p.GetProduct().GetDescription()
	case m.GetOrderMessage() != nil:
		c.Type, c.Title, c.Text = "order", m.GetOrderMessage().GetOrderTitle(), m.GetOrderMessage().GetMessage()
	default:
		return false
	}
	return true
}

func template(m *waE2E.TemplateMessage, c *Content) {
	t := m.GetHydratedTemplate()
	if t == nil {
		t = m.GetHydratedFourRowTemplate()
	}
	if t == nil {
		flow(m.GetInteractiveMessageTemplate(), c)
		return
	}
	c.Title, c.Text = t.GetHydratedTitleText(), t.GetHydratedContentText()
	for _, button := range t.GetHydratedButtons() {
		switch {
		case button.GetQuickReplyButton() != nil:
			c.Buttons = append(c.Buttons, Button{ID: button.GetQuickReplyButton().GetID(), Text: button.GetQuickReplyButton().GetDisplayText()})
		case button.GetUrlButton() != nil:
			c.Buttons = append(c.Buttons, Button{ID: button.GetUrlButton().GetURL(), Text: button.GetUrlButton().GetDisplayText()})
		case button.GetCallButton() != nil:
			c.Buttons = append(c.Buttons, Button{ID: button.GetCallButton().GetPhoneNumber(), Text: button.GetCallButton().GetDisplayText()})
		}
	}
}

// flow reads the newer form of buttons, each of which is a name and JSON of its own.
func flow(m *waE2E.InteractiveMessage, c *Content) {
	c.Title, c.Text = m.GetHeader().GetTitle(), m.GetBody().GetText()
	for _, button := range m.GetNativeFlowMessage().GetButtons() {
		c.Buttons = append(c.Buttons, Button{ID: button.GetName(), Text: button.GetButtonParamsJSON()})
	}
}
