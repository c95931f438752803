package connector

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"github.com/chasqui/chasqui/events"
)

// linking asks something of a session that is being linked, and returns the answer or the code for which there is none.
func linking[Q, A any](b *bench, session string, query events.Query[Q, A], question Q) (answer A, code string) {
	b.Helper()
	raw, err := json.Marshal(question)
	if err != nil {
		b.Fatal(err)
	}
	return linkingAnswer[A](b, b.query(session, query.Kind, raw, time.Minute))
}

func linkingAnswer[A any](b *bench, id uuid.UUID) (answer A, code string) {
	b.Helper()
	b.await("the answer", func() bool { return one[bool](b, `SELECT answered_at IS NOT NULL FROM queries WHERE id = $1`, id) })
	if code := one[string](b, `SELECT coalesce(error_code, '') FROM queries WHERE id = $1`, id); code != "" {
		return answer, code
	}
	if err := json.Unmarshal(one[[]byte](b, `SELECT result FROM queries WHERE id = $1`, id), &answer); err != nil {
		b.Fatal(err)
	}
	return answer, ""
}

// enter makes the phone enter a code, in the background: with a passkey it takes until that is given.
func (b *bench) enter(number, code string) <-chan error {
	done := make(chan error, 1)
	ctx := b.ctx()
	go func() {
		_, err := b.sandbox.EnterCode(ctx, number, code)
		done <- err
	}()
	return done
}

// tooLate makes a connection as it is 5 minutes after WhatsApp asked for the passkey: whatsmeow proves no handoff any more.
func tooLate(c *connection) {
	key := reflect.ValueOf(c.client).Elem().FieldByName("passkeyHandoffKey")
	store := reflect.NewAt(key.Type(), unsafe.Pointer(key.UnsafeAddr())).MethodByName("Store")
	store.Call([]reflect.Value{reflect.Zero(store.Type().In(0))})
}

// Feature: Pairing code and passkey
func TestCodesAreComparedWhereThePasskeyCameLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var log lines
	c := b.connector(func(cfg *Config) {
		cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	b.phone(owner, "Owner")
	authenticator, err := b.sandbox.RequirePasskey(b.ctx(), owner)
	if err != nil {
		t.Fatal(err)
	}
	b.createSession("sales")
	code, refused := linking(b, "sales", events.AskPairingCode, events.PairingCodeQuestion{Phone: owner})
	if refused != "" {
		t.Fatal(refused)
	}
	phone := b.enter(owner, code.Code)
	b.awaitState("sales", events.StatePasskeyRequired)
	tooLate(c.session("sales").linkable())
	asked, _ := linking(b, "sales", events.ReadPasskey, struct{}{})
	raw, err := authenticator.Answer(asked.Request)
	if err != nil {
		t.Fatal(err)
	}
	var assertion events.PasskeyAnswer
	if err := json.Unmarshal(raw, &assertion); err != nil {
		t.Fatal(err)
	}
	if _, refused := linking(b, "sales", events.ConfirmPasskey, struct{}{}); refused != "passkey_not_required" {
		t.Errorf("a confirmation before its time is %q", refused)
	}
	if is, refused := linking(b, "sales", events.AnswerPasskey, assertion); refused != "" || is.Step == events.PasskeyRequest {
		t.Fatalf("the answer is %+v, %q", is, refused)
	}
	var compare events.Passkey
	b.await("codes to compare", func() bool {
		compare, _ = linking(b, "sales", events.ReadPasskey, struct{}{})
		return compare.Step == events.PasskeyConfirmation
	})
	if len(compare.Code) != 9 {
		t.Errorf("compare %+v", compare)
	}
	b.await("an event with the code", func() bool { // the answer comes from memory, and may be first
		last := b.events(events.SessionStatus)
		passkey := last[len(last)-1].Data.Passkey
		return passkey != nil && passkey.Code == compare.Code
	})
	if _, refused := linking(b, "sales", events.AnswerPasskey, assertion); refused != "passkey_not_required" {
		t.Errorf("a second answer is %q", refused)
	}
	if _, refused := linking(b, "sales", events.ConfirmPasskey, struct{}{}); refused != "" {
		t.Fatalf("the confirmation is %q", refused)
	}
	if err := <-phone; err != nil {
		t.Fatal(err)
	}
	b.awaitState("sales", events.StateConnected)

	written := log.String()
	for _, secret := range []string{code.Code, strings.ReplaceAll(code.Code, "-", ""), compare.Code, assertion.Response.Signature, assertion.Response.ClientDataJSON} {
		if strings.Contains(written, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestPasskeyThatNobodyGives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace.passkey = 300 * time.Millisecond
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone(owner, "Owner")
	if _, err := b.sandbox.RequirePasskey(b.ctx(), owner); err != nil {
		t.Fatal(err)
	}
	b.createSession("sales")
	code, _ := linking(b, "sales", events.AskPairingCode, events.PairingCodeQuestion{Phone: owner})
	phone := b.enter(owner, code.Code)
	if err := <-phone; err == nil {
		t.Error("the phone linked a session without its passkey")
	}
	b.await("the linking to begin anew", func() bool {
		seen := 0
		for _, e := range b.events(events.SessionStatus) {
			switch {
			case seen == 0 && e.Data.Session.State == events.StatePasskeyRequired, seen == 1 && e.Data.Session.State == events.StateQR:
				seen++
			}
		}
		return seen == 2
	})
	if _, refused := linking(b, "sales", events.ReadPasskey, struct{}{}); refused != "passkey_not_required" {
		t.Errorf("a passkey whose time is over is %q", refused)
	}
}

func TestPairingCodeLivesLong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.prepared()
	c.pace.firstCode = 3 * time.Second
	if err := c.Start(b.ctx()); err != nil {
		t.Fatal(err)
	}
	b.phone(owner, "Owner")
	b.createSession("sales")
	b.await("the second QR code", func() bool { return len(b.events(events.SessionQR)) > 1 })
	if !c.session("sales").linkable().stale.Load() {
		t.Error("a connection is fresh whose first QR code has ended")
	}
	before := b.sandbox.Waiting()[0].ID
	code, refused := linking(b, "sales", events.AskPairingCode, events.PairingCodeQuestion{Phone: owner})
	if refused != "" {
		t.Fatal(refused)
	}
	if left := time.Until(code.ExpiresAt); left < 100*time.Second {
		t.Errorf("the code lives for %s", left)
	}
	if waiting := b.sandbox.Waiting(); len(waiting) != 1 || waiting[0].ID == before || waiting[0].Phone != owner {
		t.Errorf("waiting are %+v, before %s", waiting, before)
	}
}

// A code whose connector dies is gone, and the session says so; another is there for the asking.
func TestPairingCodeAfterAKill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.connector(func(cfg *Config) { cfg.Owner = "a" })
	b.phone(owner, "Owner")
	b.createSession("sales")
	code, _ := linking(b, "sales", events.AskPairingCode, events.PairingCodeQuestion{Phone: owner})
	b.awaitState("sales", events.StatePairingCode)
	b.abandon(first)
	b.connector(func(cfg *Config) { cfg.Owner, cfg.TakeOver = "a", true })
	b.awaitState("sales", events.StateQR)
	if err := <-b.enter(owner, code.Code); err == nil {
		t.Error("the code of a connector that is dead links a session")
	}
	code, refused := linking(b, "sales", events.AskPairingCode, events.PairingCodeQuestion{Phone: owner})
	if refused != "" {
		t.Fatal(refused)
	}
	if err := <-b.enter(owner, code.Code); err != nil {
		t.Fatal(err)
	}
	b.awaitState("sales", events.StateConnected)
}
