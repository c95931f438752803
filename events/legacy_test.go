package events

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

func received(change func(*Message)) Message {
	m := Message{
		ID: "msg_01932f0c5d6b7a10b1f4d0c4a8e2f001", WhatsAppID: "3EB0C767D097B7A0F1D2E3", SessionID: "mi-sesion-01", ChatID: "5491123456789@s.whatsapp.net", Direction: Incoming,
		From: NewAddress("5491123456789@s.whatsapp.net", "5491123456789", "120363001122334", "Juan Pérez"), To: NewAddress("5491100000000@s.whatsapp.net", "", "", ""),
		Status: StatusDelivered, Content: Content{Type: ContentText, Text: "Texto del mensaje"}, Timestamp: time.Unix(1640995200, 0),
	}
	if change != nil {
		change(&m)
	}
	return m
}

// TestLegacyShape: the whole JSON, which clients of the original parse.
func TestLegacyShape(t *testing.T) {
	t.Parallel()
	var got []LegacyMessage
	group := NewAddress("120363025246125486@g.us", "", "", "Friends")
	for _, change := range []func(*Message){
		nil,
		func(m *Message) {
			m.Content = Content{Type: ContentImage, Caption: "Descripción", Media: &Media{ID: "med_1", URL: "http://127.0.0.1:3000/v1/media/med_1/content", Mimetype: "image/jpeg", Size: 3, FileName: "imagen.jpg"}}
		},
		func(m *Message) { m.ChatID, m.To = group.ID, group },
		func(m *Message) {
			m.ChatID, m.From = "120363001122334@lid", NewAddress("120363001122334@lid", "", "120363001122334", "Nobody's number")
		},
		func(m *Message) { m.Direction, m.From, m.To = Outgoing, m.To, m.From },
	} {
		got = append(got, Legacy(received(change)))
	}
	raw, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/legacy.json"
	if *update {
		if err := os.WriteFile(golden, append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != string(raw)+"\n" {
		t.Errorf("%v: the shape is now\n%s", err, raw)
	}
}

func TestLegacyTypes(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"text": "chat", "image": "image", "video": "video", "voice": "ptt", "audio": "audio", "document": "document", "sticker": "sticker",
		"location": "location", "contacts": "vcard", "poll": "poll_creation", "unsupported": "unknown", "undecryptable": "ciphertext", "of tomorrow": "unknown",
	} {
		if got := Legacy(received(func(m *Message) { m.Content = Content{Type: content} })).Type; got != want {
			t.Errorf("%s: %s, want %s", content, got, want)
		}
	}
}

func TestParseLegacyAddress(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"5491123456789": "5491123456789@s.whatsapp.net", "+54 9 11 2345-6789": "5491123456789@s.whatsapp.net", " +54 (9) [11] 2345 6789 ": "5491123456789@s.whatsapp.net",
		"5491123456789@c.us": "5491123456789@s.whatsapp.net", "+5491123456789@c.us": "5491123456789@s.whatsapp.net", "54 9 11 2345-6789@s.whatsapp.net": "5491123456789@s.whatsapp.net",
		"5491123456789-1600000000@g.us": "5491123456789-1600000000@g.us", "120363025246125486@g.us": "120363025246125486@g.us", "120363001122334@lid": "120363001122334@lid",
		"": "", "@c.us": "", "12345": "", "54911CALLME": "", "5491123456789@example.com": "", "++5491123456789": "", "5491123456789@c.us@c.us": "",
	} {
		got, err := ParseLegacyAddress(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", s, got, err, want)
		}
	}
}
