package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The sandbox is a program that needs nothing: no database, no settings.
//
// Feature: A local WhatsApp for any whatsmeow or Baileys program
func TestTheSandboxRunsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	readyFile, transcript := filepath.Join(dir, "ready.json"), filepath.Join(dir, "stanzas.jsonl")
	p := spawn(t, "sandbox", dir, []string{"DATABASE_URL="}, binary, "sandbox", "--sandbox-port", "0", "--ready-file", readyFile, "--sandbox-transcript", transcript)
	info := p.awaitReady(t, readyFile, 30*time.Second)
	for _, said := range []string{info.SandboxURL, info.WhatsAppURL, info.WhatsAppRootKey, "in memory"} {
		eventually(t, 10*time.Second, "it to print "+said, func() error { // once it is ready
			if !strings.Contains(p.log.String(), said) {
				return errors.New(p.log.String())
			}
			return nil
		})
	}
	phones := client{base: info.SandboxURL}
	const ann, bob = "5491155550001", "5491155550002"
	for _, number := range []string{ann, bob} {
		phones.must(t, "POST", "/phones", map[string]string{"number": number, "name": number}, nil)
	}
	phones.must(t, "POST", "/phones/"+ann+"/messages", map[string]string{"to": bob, "type": "text", "text": "nobody else's business"}, nil)
	var shown struct{ Messages []struct{ Text string } }
	phones.must(t, "GET", "/phones/"+bob+"/messages?wait=30", nil, &shown)
	if len(shown.Messages) != 1 || shown.Messages[0].Text != "nobody else's business" {
		t.Errorf("Bob's phone shows %+v", shown)
	}
	p.stop(t)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	written, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(written), "business") || !strings.Contains(string(written), `"tag":"message"`) {
		t.Errorf("the transcript is:\n%.2000s", written)
	}
	for line := range strings.Lines(string(written)) {
		if !json.Valid([]byte(line)) {
			t.Fatalf("not JSON: %s", line)
		}
	}
	if _, err := http.Get(info.SandboxURL + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}
