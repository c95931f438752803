package receivertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// A Certificate is a kind of certificate that a receiver shows.
type Certificate int

// The kinds of certificate. Each is signed by the receiver's own authority, which RootCAs is.
const (
	Valid     Certificate = iota
	Expired               // yesterday
	WrongHost             // it is another's
)

type tlsConn = tls.Conn

// authority is a certificate authority of one receiver, with its certificate.
type authority struct {
	pool *x509.CertPool
	leaf tls.Certificate
}

func newAuthority(t T, kind Certificate) *authority {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatalf("receiver: certificate: %v", err)
		}
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receivertest"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	rootRaw, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	must(err)
	root, err = x509.ParseCertificate(rootRaw)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "receiver"}, NotBefore: now.Add(-47 * time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"receiver.test"},
	}
	switch kind {
	case Valid:
	case Expired:
		leaf.NotAfter = now.Add(-24 * time.Hour)
	case WrongHost:
		leaf.IPAddresses, leaf.DNSNames = nil, []string{"elsewhere.test"}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leafRaw, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	must(err)
	a := &authority{pool: x509.NewCertPool(), leaf: tls.Certificate{Certificate: [][]byte{leafRaw}, PrivateKey: key}}
	a.pool.AddCert(root)
	return a
}

func (a *authority) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.leaf}}
}

// RootCAs is what a sender must trust to trust the receiver's certificate; nil without TLS.
func (r *Receiver) RootCAs() *x509.CertPool {
	if r.ca == nil {
		return nil
	}
	return r.ca.pool
}
