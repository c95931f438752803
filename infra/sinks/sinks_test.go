package sinks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// authority signs the certificates of the tests' servers; TestMain has the system trust it.
var authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sinks")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	authority.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	authority.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, authority.cert, authority.cert, authority.key.Public(), authority.key)
	if err != nil {
		panic(err)
	}
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", file)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// certificate is a server's, for a name.
func certificate(t *testing.T, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, cert, authority.cert, key.Public(), authority.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"nats://broker.test", "nats://broker.test/", "nats://user:pa%20ss@broker.test:4333/wa.{session}.{type}", "nats://token@broker.test/a",
		"NATS+TLS://[2606:4700::1111]:4222/x-{type}", "nats://broker.test/%7Btype%7D"} {
		if err := Check(s); err != nil || !Takes(s) {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, want := range map[string]string{
		"kafka://broker.test/a": "nats://", "tls://broker.test": "nats://", "nats://": "host", "nats:broker.test": "host", "nats://:4222/a": "host", "nats://broker.test/a?x=1": "query",
		"nats://broker.test/a#b": "fragment", "nats://broker.test/a b": "spaces", "nats://broker.test/a%0d%0aPUB": "spaces", "nats://broker.test/a.*": "wildcards", "nats://broker.test/a.>": "wildcards",
		"nats://broker.test/a/b": "slashes", "nats://broker.test/{chat}": "braces", "nats://broker.test/a..b": "empty", "nats://broker.test/.a": "empty", "nats://broker.test/a.": "empty",
		"nats://broker.test/$JS.API.STREAM.PURGE.x": "server itself", "nats://broker.test/_INBOX.a": "server itself", "nats://broker.test/" + strings.Repeat("a", 600): "longer",
		"nats://broker.test/%ff": "spaces", "nats://u:hunter2@bro ker/": "URL",
	} {
		if err := Check(s); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want an error that says %q", s, err, want)
		}
	}
	for _, s := range []string{"https://nats.test", "", "nats", "natsx://a"} {
		if Takes(s) && s != "nats" {
			t.Errorf("%q is taken", s)
		}
	}
}
