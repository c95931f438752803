package sandbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// What a program of its own process is told: where the sandbox's control API is, which root to trust, where to keep its Signal store.
const joinURL, joinRoot, joinDSN = "SANDBOX_TEST_JOIN_URL", "SANDBOX_TEST_JOIN_ROOT", "SANDBOX_TEST_JOIN_DSN"

// TestAProgramJoinsByItsEnvironment: a whatsmeow client that knows nothing of the sandbox but the root of its certificates, in a process
// whose HTTPS_PROXY and SSL_CERT_FILE are set, is linked and exchanges texts and images. The process is this test once more.
func TestAProgramJoinsByItsEnvironment(t *testing.T) {
	if os.Getenv(joinURL) != "" {
		join(t, os.Getenv(joinURL), os.Getenv(joinRoot), os.Getenv(joinDSN))
		return
	}
	t.Parallel()
	dsn := testdb.DSN(t)
	s := startWith(t, sandbox.Config{DSN: dsn, Addr: "127.0.0.1:0", ProxyAddr: "127.0.0.1:0", Logger: quiet()})
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	var ca []byte
	if res, err := http.Get(s.URL() + "/ca.pem"); err != nil {
		t.Fatal(err)
	} else if ca, err = io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !bytes.Equal(ca, s.CA()) || res.Body.Close() != nil {
		t.Fatalf("GET /ca.pem: %d %v\n%s", res.StatusCode, err, ca)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program := exec.CommandContext(ctx, self, "-test.run=^TestAProgramJoinsByItsEnvironment$", "-test.v")
	root := s.RootKey()
	program.Env = append(os.Environ(), "HTTPS_PROXY="+s.ProxyURL(), "SSL_CERT_FILE="+file, "NO_PROXY=",
		joinURL+"="+s.URL(), joinRoot+"="+hex.EncodeToString(root[:]), joinDSN+"="+dsn)
	output := make(chan error)
	go func() {
		out, err := program.CombinedOutput()
		if err != nil {
			t.Logf("the program said:\n%s", out)
		}
		output <- err
	}()
	got := shown(t, s.URL(), bert, 2, incoming)
	if got[0].Text != "hello" || got[1].Type != "image" || got[1].Media == nil || hashOf(seqMedia(t, s.URL(), bert, got[1])) != hashOf(random(7, 200_000)) {
		t.Errorf("the phone shows %+v", got)
	}
	sendImage(t, s.URL(), bert, anna, random(8, 100_000))
	if err := <-output; err != nil {
		t.Fatal(err)
	}
}

// join is the program: what it is told is the root; the rest is its environment's.
func join(t *testing.T, controlURL, root, dsn string) {
	if n, err := hex.Decode(whatsmeow.WACertPubKey[:], []byte(root)); err != nil || n != 32 {
		t.Fatal("the root is not 32 bytes in hex")
	}
	c := newCompanion(t, dsn, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	version, err := whatsmeow.GetLatestVersion(ctx, nil)
	if err != nil || *version != store.GetWAVersion() {
		t.Errorf("the latest version is %v, %v", version, err)
	}
	c.link(controlURL, anna)
	c.send(bert, "TEXT", "hello")
	c.sendMessage(bert, "IMAGE", &waE2E.Message{ImageMessage: imageMessage(c.upload(random(7, 200_000), whatsmeow.MediaImage))})
	c.await("an image", func() bool { return len(c.messages) > 0 })
	data, err := c.client.Download(ctx, c.messages[0].Message.GetImageMessage())
	if err != nil || !bytes.Equal(data, random(8, 100_000)) {
		t.Errorf("the image has %d bytes, %v", len(data), err)
	}
}

// TestTheProxyLeadsToNoControl: the control API is not at WhatsApp's addresses, and there is no certificate without a proxy.
func TestTheProxyLeadsToNoControl(t *testing.T) {
	t.Parallel()
	s := startWith(t, sandbox.Config{DSN: testdb.DSN(t), Addr: "127.0.0.1:0", ProxyAddr: "127.0.0.1:0", Logger: quiet()})
	proxyURL, err := url.Parse(s.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA())
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		Proxy: http.ProxyURL(proxyURL), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
	for path, want := range map[string]int{"/sw.js": 200, "/phones": 404, "/stats": 404, "/ca.pem": 404} {
		res, err := client.Get("https://web.whatsapp.com" + path)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s through the proxy: %d, want %d", path, res.StatusCode, want)
		}
	}
	without := start(t, testdb.DSN(t), "127.0.0.1:0")
	if status, text := try(t, "GET", without.URL()+"/ca.pem", nil, nil); status != 404 || !strings.Contains(text, "SANDBOX_PROXY_ADDR") || without.ProxyURL() != "" {
		t.Errorf("a sandbox without a proxy answers %d %s", status, text)
	}
}

func TestAPhonesDevicesAreSwitchedToAddressesByNumber(t *testing.T) {
	t.Parallel()
	dsn := testdb.DSN(t)
	s := start(t, dsn, "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	c := newCompanion(t, dsn, host(s.URL()))
	c.link(s.URL(), anna)
	for i, step := range []struct{ addressing, server string }{{"auto", types.HiddenUserServer}, {"pn", types.DefaultUserServer}, {"auto", types.HiddenUserServer}} {
		var phone sandbox.Phone
		call(t, "PATCH", s.URL()+"/phones/"+anna, map[string]string{"addressing": step.addressing}, 200, &phone)
		if phone.Addressing != step.addressing {
			t.Errorf("the phone's addressing is %q, want %q", phone.Addressing, step.addressing)
		}
		call(t, "POST", s.URL()+"/phones/"+bert+"/messages", map[string]string{"to": anna, "type": "text", "text": "hello"}, 201, nil)
		c.await("the text", func() bool { return len(c.messages) > i })
		if sender := c.messages[i].Info.Sender; sender.Server != step.server {
			t.Errorf("with %q the sender is %s", step.addressing, sender)
		}
	}
	call(t, "PATCH", s.URL()+"/phones/"+anna, map[string]string{"addressing": "lid"}, 422, nil)
	call(t, "PATCH", s.URL()+"/phones/5491151119999", map[string]string{"addressing": "pn"}, 404, nil)
}
