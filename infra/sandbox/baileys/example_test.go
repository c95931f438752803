package baileys_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testnode"
)

// TestTheExampleAnswers runs the program that the documentation shows, from here, where Baileys is.
func TestTheExampleAnswers(t *testing.T) {
	t.Parallel()
	testnode.Install(t, ".")
	s := setup(t)
	program, err := os.ReadFile("../examples/pong.mjs")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	node := exec.CommandContext(ctx, "node", "--input-type=module")
	node.WaitDelay = 10 * time.Second
	node.Stdin = bytes.NewReader(program)
	root := s.RootKey()
	node.Env = append(os.Environ(), "SANDBOX="+s.URL(), "WHATSAPP_URL="+s.WhatsAppURL(), "WHATSAPP_ROOT_KEY="+hex.EncodeToString(root[:]), "NUMBER="+anna,
		"AUTH="+filepath.Join(t.TempDir(), "auth"))
	var output bytes.Buffer
	node.Stdout, node.Stderr = &output, &output
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel() // it runs until it is killed
		_ = node.Wait()
		if t.Failed() {
			t.Logf("the program said:\n%s", output.String())
		}
	}()
	// What is sent before the device is linked is the phone's alone. And Baileys drops the session with its phone when the first message of it
	// comes, also while it encrypts the copy of an answer for it, so the phone has to have given its keys and history before.
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for {
		phone, err := s.Phone(anna)
		if err != nil {
			t.Fatal(err)
		}
		_, owed, err := s.History(anna)
		if err != nil {
			t.Fatal(err)
		}
		if len(phone.Devices) > 0 && owed == 0 {
			break
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("the program was not linked")
		}
	}
	if _, err := s.SendText(ctx, bert, anna, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WaitMessage(ctx, bert, func(m sandbox.Message) bool { return m.From == anna && m.Text == "pong" }); err != nil {
		t.Fatal(err)
	}
}
