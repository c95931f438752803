// Command tour does with the SDK what its README shows, against a running `chasqui dev`, and fails where anything is not as it should be.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	chasqui "github.com/chasqui/chasqui/openapi/sdk/go"
)

// The phones are those of the sandbox; PEER answers every text with the same text.
var session, phone, peer = os.Getenv("SESSION"), os.Getenv("PHONE"), os.Getenv("PEER")

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client, err := chasqui.New(chasqui.Config{URL: os.Getenv("CHASQUI_URL"), APIKey: os.Getenv("CHASQUI_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context, *chasqui.Client) error
	}{{"link", link}, {"send and receive", sendAndReceive}, {"errors", problems}, {"pages", pages}, {"media", media}, {"webhook", webhook}, {"faults", faults}} {
		if err := step.do(ctx, client); err != nil {
			log.Fatalf("%s: %v", step.name, err)
		}
	}
}

// link makes a session, and has the simulated phone scan its QR code.
func link(ctx context.Context, client *chasqui.Client) error {
	if _, err := client.CreateSession(ctx, chasqui.CreateSession{ID: session}); err != nil {
		return err
	}
	qr, err := client.GetSessionQR(ctx, session, &chasqui.GetSessionQRParams{Wait: chasqui.Ptr(int64(30))})
	if err != nil {
		return err
	}
	scan, err := json.Marshal(map[string]string{"qr": qr.QR})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("SANDBOX_URL")+"/phones/"+phone+"/scan", bytes.NewReader(scan))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("scan: %s", res.Status)
	}
	after := ""
	for { // the log has had every event since the session was made
		page, err := client.ListEvents(ctx, &chasqui.ListEventsParams{SessionID: []string{session}, After: chasqui.Ptr(after), Wait: chasqui.Ptr(int64(10))})
		if err != nil {
			return err
		}
		for _, event := range page.Data {
			value, err := event.ValueByDiscriminator()
			if err != nil {
				return err
			}
			if is, ok := value.(chasqui.SessionStatusEvent); ok && is.Data.Session.State == chasqui.SessionStateConnected {
				return nil
			}
		}
		after = page.NextCursor
	}
}

func sendAndReceive(ctx context.Context, client *chasqui.Client) error {
	sent, err := client.SendMessage(ctx, session, chasqui.SendMessage{To: peer, Content: chasqui.Text("hello from Go")}, chasqui.Wait(20*time.Second))
	if err != nil {
		return err
	}
	if sent.Status == chasqui.MessageStatusQueued || sent.Status == chasqui.MessageStatusFailed {
		return fmt.Errorf("the message is %s", sent.Status)
	}
	// The stream begins with the newest event before the message, so that the answer is surely after it.
	newest := ""
	for event, err := range client.AllEvents(ctx, &chasqui.ListEventsParams{SessionID: []string{session}}) {
		if err != nil {
			return err
		}
		if event.Type == chasqui.EventSessionStatus {
			newest = event.ID
		}
	}
	options := chasqui.EventsOptions{After: newest, SessionIDs: []string{session}, Types: []string{chasqui.EventMessageReceived}}
	for event, err := range client.Events(ctx, options) {
		if err != nil {
			return err
		}
		received, err := event.AsMessageReceivedEvent()
		if err != nil {
			return err
		}
		if m := received.Data.Message; m.Content.Text == "hello from Go" && m.From.Phone != "" {
			return nil
		}
	}
	return fmt.Errorf("the answer never came: %w", ctx.Err())
}

func problems(ctx context.Context, client *chasqui.Client) error {
	_, err := client.GetSession(ctx, "nobody")
	var e *chasqui.Error
	if !errors.As(err, &e) || e.Code != chasqui.CodeSessionNotFound || e.Status != 404 || e.Detail == "" || e.RequestID == "" {
		return fmt.Errorf("an unknown session: %v", err)
	}
	_, err = client.SendMessage(ctx, session, chasqui.SendMessage{To: "nonsense", Content: chasqui.Text("")})
	if !errors.As(err, &e) || e.Code != chasqui.CodeValidationFailed || len(e.Errors) == 0 || e.Errors[0].Location == "" {
		return fmt.Errorf("a message without a text: %v", err)
	}
	return nil
}

func pages(ctx context.Context, client *chasqui.Client) error {
	seen := map[string]bool{}
	for m, err := range client.AllMessages(ctx, session, &chasqui.ListMessagesParams{Limit: chasqui.Ptr(int64(1))}) {
		if err != nil {
			return err
		}
		if seen[m.ID] {
			return fmt.Errorf("message %s came twice", m.ID)
		}
		seen[m.ID] = true
	}
	if len(seen) < 2 {
		return fmt.Errorf("%d messages, want the one sent and its answer", len(seen))
	}
	return nil
}

func media(ctx context.Context, client *chasqui.Client) error {
	const note = "a note \x00\xff\r\n--"
	file, err := client.Upload(ctx, `a "note" ñ.txt`, "text/plain", strings.NewReader(note))
	if err != nil {
		return err
	}
	if file.FileName != `a "note" ñ.txt` || file.Mimetype != "text/plain" {
		return fmt.Errorf("it is called %s, %s", file.FileName, file.Mimetype)
	}
	res, err := client.GetMediaContent(ctx, file.ID)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != note {
		return fmt.Errorf("it holds %q: %w", body, err)
	}
	return client.DeleteMedia(ctx, file.ID)
}

// webhook has chasqui send a signed test event here.
func webhook(ctx context.Context, client *chasqui.Client) error {
	type hook struct {
		header http.Header
		body   []byte
	}
	hooks := make(chan hook, 8)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			hooks <- hook{r.Header, body}
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	endpoint, err := client.CreateWebhookEndpoint(ctx, chasqui.CreateEndpoint{
		URL: "http://" + listener.Addr().String() + "/hook", Sessions: &[]string{session}, Events: &[]chasqui.CreateEndpointEvents{chasqui.CreateEndpointEventsWebhookTest},
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.DeleteWebhookEndpoint(context.WithoutCancel(ctx), endpoint.ID) }()
	if _, err := client.TestWebhookEndpoint(ctx, endpoint.ID, chasqui.Wait(20*time.Second)); err != nil {
		return err
	}
	select {
	case h := <-hooks:
		event, err := chasqui.VerifyWebhook(h.header, h.body, "whsec_bm90IHRoaXMgb25l", endpoint.Secret)
		if err != nil {
			return err
		}
		if event.Type != chasqui.EventWebhookTest || event.ID != h.header.Get("webhook-id") {
			return fmt.Errorf("the webhook holds %s %s", event.Type, event.ID)
		}
		if _, err := chasqui.VerifyWebhook(h.header, append(h.body, ' '), endpoint.Secret); !errors.Is(err, chasqui.ErrBadSignature) {
			return fmt.Errorf("a forged webhook: %v", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no webhook came: %w", ctx.Err())
	}
}

// faults meets a server that fails as servers and networks do; who runs this looks at what the server saw.
func faults(ctx context.Context, _ *chasqui.Client) error {
	client, err := chasqui.New(chasqui.Config{URL: os.Getenv("FAULTS_URL"), APIKey: "secret"})
	if err != nil {
		return err
	}
	if m, err := client.SendMessage(ctx, "s", chasqui.SendMessage{To: "1", Content: chasqui.Text("x")}); err != nil || m.ID != "msg_1" {
		return fmt.Errorf("a repeated message: %w", err)
	}
	var e *chasqui.Error
	if _, err := client.ListSessions(ctx, nil); !errors.As(err, &e) || e.Code != chasqui.CodeRateLimited || e.RetryAfter != time.Hour {
		return fmt.Errorf("a limit: %v", err)
	}
	if _, err := client.GetSession(ctx, "proxy"); !errors.As(err, &e) || e.Code != "" || e.Status != 403 {
		return fmt.Errorf("a proxy's answer: %v", err)
	}
	if _, err := client.GetSession(ctx, "elsewhere"); err == nil {
		return errors.New("a redirect was followed")
	}
	if chat, change, err := client.ChangeChat(ctx, "s", "1", chasqui.ChangeChat{Archived: chasqui.Ptr(true)}); err != nil || chat != nil || change.ID != "chg_1" {
		return fmt.Errorf("a queued change: %w", err)
	}
	var ids []string
	for event, err := range client.Events(ctx, chasqui.EventsOptions{}) {
		if err != nil {
			if !chasqui.Is(err, chasqui.CodeCursorExpired) {
				return err
			}
			break
		}
		ids = append(ids, event.ID)
	}
	if !slices.Equal(ids, []string{"evt_1", "evt_3"}) {
		return fmt.Errorf("the broken stream brought %v", ids)
	}
	return nil
}
