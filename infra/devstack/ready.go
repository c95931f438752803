package devstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// Ready is what a running stack offers, as its ready file says it; empty strings
// where there is none.
type Ready struct {
	URL             string `json:"url"`
	APIKey          string `json:"apiKey"`
	SandboxURL      string `json:"sandboxUrl"`
	SandboxProxyURL string `json:"sandboxProxyUrl"`
	WhatsAppURL     string `json:"whatsappUrl"`
	WhatsAppRootKey string `json:"whatsappRootKey"`
	DatabaseURL     string `json:"databaseUrl"`
	S3Endpoint      string `json:"s3Endpoint"`
	S3Bucket        string `json:"s3Bucket"`
	S3AccessKey     string `json:"s3AccessKey"` // of the embedded server alone
	S3SecretKey     string `json:"s3SecretKey"`
}

// Write makes the file appear, complete, readable by its owner alone: it holds
// the key. An empty path writes nothing.
func (r Ready) Write(path string) error {
	if path == "" {
		return nil
	}
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false) // so that a script that cuts the addresses out gets them right
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	if err := writeFile(path, content.Bytes()); err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	return nil
}

// RemoveReady takes an earlier run's file away, so that nobody takes it for this
// run's. An empty path removes nothing.
func RemoveReady(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove old ready file: %w", err)
	}
	return nil
}

// Announce tells a person what runs, with three commands to paste: they send a
// text and show the echo where there is the sandbox's demo, and link a first
// session where there is not.
func (r Ready) Announce(out io.Writer, demo bool) {
	key := "-H 'X-API-Key: " + strings.ReplaceAll(r.APIKey, "'", `'\''`) + "'"
	json := key + " -H 'Content-Type: application/json'"
	fmt.Fprintf(out, "\nchasqui is ready.\n\n  API      %s\n  API key  %s\n", r.URL, r.APIKey)
	if r.SandboxURL != "" {
		fmt.Fprintf(out, "  Sandbox  %s\n", r.SandboxURL)
	}
	if demo {
		fmt.Fprintf(out, `
# Send a text from the session %q to a simulated contact that echoes:
curl -sS '%s/v1/sessions/%s/messages' %s -H 'Prefer: wait=10' -d '{"to":"%s","content":{"type":"text","text":"hello"}}'
sleep 1
# List the session's messages, newest first: the echo has come back.
curl -sS '%s/v1/sessions/%s/messages?limit=10' %s
# The same as events, which is what webhooks carry:
curl -sS '%s/v1/events?limit=50' %s

`, demoSession, r.URL, demoSession, json, echoNumber, r.URL, demoSession, key, r.URL, key)
		return
	}
	fmt.Fprintf(out, `
# Create a session:
curl -sS '%s/v1/sessions' %s -d '{"id":"first"}'
# Get its QR code as a picture, and scan it in WhatsApp under Linked devices:
curl -sS '%s/v1/sessions/first/qr?wait=30' %s -H 'Accept: image/png' -o qr.png
# See how it is:
curl -sS '%s/v1/sessions/first' %s

`, r.URL, json, r.URL, key, r.URL, key)
}

// LocalURL is the URL of a listener as this machine reaches it: a listener on
// every interface is asked on the loopback one.
func LocalURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // a listener on [::] takes IPv4 too
	}
	return "http://" + net.JoinHostPort(host, port)
}
