package signalstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	libsignal "go.mau.fi/libsignal/logger"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"
)

func TestLogsNoContents(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := SlogLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	stanza := waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{"id": "ID1", "type": "text", "notify": "secret"}, Content: []byte("secret")}
	log.Warnf("Node handling is taking long for %s", &stanza)
	log.Warnf("Node handling is taking long for %s", stanza)
	log.Debugf("Unexpected %v", []waBinary.Node{stanza})
	log.Debugf("Frame %s", strings.Repeat("secret", 100))
	log.Infof("Key %X and %s", []byte("secret"), []byte("secret"))
	log.Errorf("Message %+v", &waE2E.Message{Conversation: proto.String("secret")})
	log.Sub("Recv").Debugf("%s", "secret")
	log.Sub("Send").Debugf("%s", "secret")
	log.Sub("Socket").Errorf("Failed for %s after %d: %v", chat, 7, errors.New("cause"))
	if strings.Contains(out.String(), "level=ERROR msg=\"Failed for") {
		t.Error("a broken connection is an error")
	}
	log.Errorf("Handler panicked: %v\n%s", "oops", []byte("goroutine 7 [running]:"))
	log.Infof("Successfully authenticated")
	got := out.String()
	if strings.Contains(got, "level=INFO") {
		t.Errorf("whatsmeow's chatter is not debug:\n%s", got)
	}
	if strings.Contains(got, "secret") || strings.Contains(got, "736563726574") {
		t.Errorf("a secret is logged:\n%s", got)
	}
	for _, want := range []string{"<message id=ID1 type=text>", "level=ERROR", "module=Socket", "Failed for " + chat.String() + " after 7: cause", "goroutine 7"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func TestLogsWhyLibsignalFailsAndNoKeys(t *testing.T) {
	t.Parallel()
	if _, ok := libsignal.Logger.(cipherLog); !ok {
		t.Fatalf("libsignal logs to a %T", libsignal.Logger)
	}
	var out bytes.Buffer
	var log libsignal.Loggable = cipherLog{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	log.Debug("SessionCipher.go:400", "Using cipherKey: [115 101 99]")
	log.Info("a.go:1", strings.Repeat("x", 1000))
	log.Warning("b.go:2", "warned")
	log.Error("SessionCipher.go:319", "Unable to verify ciphertext mac")
	got := out.String()
	if strings.Contains(got, "115") || len(got) > 1000 || strings.Count(got, "level=DEBUG") != 3 ||
		!strings.Contains(got, `msg="Unable to verify ciphertext mac" module=libsignal at=SessionCipher.go:319`) {
		t.Errorf("logged:\n%s", got)
	}
}
