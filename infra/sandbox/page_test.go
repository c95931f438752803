package sandbox_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/keystore"
	"github.com/chasqui/chasqui/infra/testbrowser"
)

// In a browser, a developer adds phones, links a client by pasting its QR code, writes, sees ticks, files and reactions, and switches a fault
// on and off.
func TestThePhonePage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	tab := testbrowser.Open(t)
	s := sandbox.Start(t, sandbox.Config{Logger: quiet(), Transcript: 200})
	tab.Do(chromedp.EmulateViewport(1280, 860), chromedp.Navigate(s.URL()+"/"))
	for number, name := range map[string]string{anna: "Anna", bert: "Bert"} {
		tab.Do(chromedp.SetValue("#new-phone [name=number]", number), chromedp.SetValue("#new-phone [name=name]", name), chromedp.Click("#new-phone button"))
		tab.Await(`document.querySelector('[data-phone="` + number + `"] .dot.on') !== null`)
	}

	client := (&companion{t: t, addr: strings.TrimPrefix(s.URL(), "http://")}).with(keystore.New(journal.NewMemory()).NewDevice(keystore.Options{}))
	codes := client.wait()
	tab.Do(chromedp.Click(`[data-phone="` + bert + `"]`))
	tab.Await(`document.querySelector('#waiting').textContent.includes('shows a QR code')`)
	tab.Do(chromedp.SetValue("#scan [name=qr]", codes[0]), chromedp.Click("#scan button"))
	found(client, "the login", func(*events.Connected) bool { return true })
	tab.Await(`document.querySelector('#devices').textContent.includes('` + bert + `:1@')`)

	tab.Do(chromedp.Click(`[data-phone="`+anna+`"]`), chromedp.SetValue("#new-chat [name=to]", bert), chromedp.Click("#new-chat button"),
		chromedp.SendKeys("#text", "hello from the page"), chromedp.Click("#compose > button"))
	if m, err := s.WaitMessage(ctx, bert, nil); err != nil || m.Text != "hello from the page" || m.From != anna {
		t.Fatalf("Bert's phone shows %+v, %v", m, err)
	}
	tab.Await(`document.querySelector('.bubble.mine')?.dataset.status === 'delivered'`)
	if _, err := s.Read(ctx, bert, anna); err != nil {
		t.Fatal(err)
	}
	tab.Await(`document.querySelector('.bubble.mine')?.dataset.status === 'read'`)
	id, err := s.Send(ctx, bert, sandbox.Outgoing{To: anna, Content: sandbox.Content{Type: "text", Text: "hello back"}})
	if err != nil {
		t.Fatal(err)
	}
	tab.Await(`[...document.querySelectorAll('.bubble:not(.mine)')].some(b => b.textContent.includes('hello back'))`)
	tab.Await(`(document.querySelector('.bubble[data-id="` + id + `"] .actions button').click(), true)`) // it is there for who points at the bubble
	if _, err := s.WaitMessage(ctx, bert, func(m sandbox.Message) bool { return m.Type == "reaction" && m.Target.ID == id }); err != nil {
		t.Fatal(err)
	}
	tab.Await(`document.querySelector('.reactions')?.textContent === '👍'`)

	picture := image.NewRGBA(image.Rect(0, 0, 320, 200))
	for x := range 320 {
		for y := range 200 {
			picture.Set(x, y, color.RGBA{uint8(x / 2), 120, uint8(y), 255})
		}
	}
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(file, encoded.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tab.Do(chromedp.SetUploadFiles("#file", []string{file}))
	if m, err := s.WaitMessage(ctx, bert, func(m sandbox.Message) bool { return m.Type == "image" }); err != nil || m.Size != int64(encoded.Len()) {
		t.Errorf("Bert's phone shows %+v, %v", m, err)
	}
	tab.Await(`document.querySelector('.bubble.mine img')?.naturalWidth === 320`)
	tab.Screenshot("CHASQUI_SCREENSHOT", "-phones")

	tab.Do(chromedp.Click("#tab-faults"), chromedp.Click("[data-fault=dropAcks]"))
	tab.Await(`document.querySelector('#in-force').textContent === 'On: dropAcks'`)
	tab.Do(chromedp.Click("#fault-end"))
	tab.Await(`document.querySelector('#in-force').textContent === 'No fault is on.'`)
	tab.Do(chromedp.Click("#tab-traffic"))
	tab.Await(`document.querySelectorAll('#stanzas li').length > 20`)
	tab.Screenshot("CHASQUI_SCREENSHOT", "-traffic")
	tab.Do(chromedp.EmulateViewport(390, 800))
	tab.Screenshot("CHASQUI_SCREENSHOT", "-narrow")
	if n := s.Stats().UnknownStanzas; n != 0 {
		t.Errorf("%d stanzas were unknown", n)
	}
}
