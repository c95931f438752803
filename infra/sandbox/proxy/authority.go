package proxy

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
	"time"
)

// certificateLife is how long the authority and its certificates are valid. Each start makes new ones, so they only have to outlive a
// process; 398 days is the longest that Apple's platforms accept.
const certificateLife = 398 * 24 * time.Hour

// authority signs the certificates of WhatsApp's hosts. Its key is random, lives in memory and dies with the process, and its certificate is
// constrained to these hosts' domains: who puts it among a machine's trusted roots by mistake has not opened anything else.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	leaf        *ecdsa.PrivateKey // the key of every host
	pem         []byte
	notBefore   time.Time
	notAfter    time.Time
}

func newAuthority(now time.Time) (*authority, error) {
	a := &authority{notBefore: now.Add(-24 * time.Hour), notAfter: now.Add(certificateLife)} // a day back, for clocks that are behind
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "chasqui sandbox"},
		NotBefore: a.notBefore, NotAfter: a.notAfter,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: zones,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

// config makes a certificate at each handshake, for the very host that the client asks for: a wildcard would not cover hosts that are more
// than one label below whatsapp.net. Signing takes less than a tenth of a millisecond, so none is kept.
func (a *authority) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, // a WebSocket cannot be opened over HTTP/2 as clients do it
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !ours(hello.ServerName) {
				return nil, fmt.Errorf("TLS for %.200q, which is no host of WhatsApp's", hello.ServerName)
			}
			return a.certify(hello.ServerName)
		},
	}
}

func (a *authority) certify(host string) (*tls.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "chasqui sandbox host"}, DNSNames: []string{host},
		NotBefore: a.notBefore, NotAfter: a.notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.certificate, a.leaf.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: a.leaf}, nil
}

// serial is a random serial number of 120 bits; RFC 5280 allows 20 bytes.
func serial() *big.Int {
	var b [15]byte
	_, _ = rand.Read(b[:]) // it never fails
	return new(big.Int).SetBytes(b[:])
}
