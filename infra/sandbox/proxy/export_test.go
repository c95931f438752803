package proxy

import (
	"crypto/tls"
	"crypto/x509"
)

// Certificate is what the authority signs for a host.
func (p *Proxy) Certificate(host string) (*x509.Certificate, error) {
	c, err := p.authority.certify(host)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(c.Certificate[0])
}

// ForName is the certificate that a handshake is answered with.
func (p *Proxy) ForName(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return p.authority.config().GetCertificate(hello)
}
