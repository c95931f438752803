package proxy

import "crypto/x509"

// Certificate is what the authority signs for a host.
func (p *Proxy) Certificate(host string) (*x509.Certificate, error) {
	c, err := p.authority.certify(host)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(c.Certificate[0])
}
