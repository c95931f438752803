// Package testdns gives a test a DNS server of its own, whose answers may change from question to question.
package testdns

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// T is what a test gives: a *testing.T, a *testing.B.
type T interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Resolver returns a resolver that asks a DNS server of the test's own. It answers with the addresses that zone has for a name, such as
// "rebinding.test.", which is called once a question: a look-up asks for IPv4 and for IPv6. nil means that there is no such name.
func Resolver(t T, zone func(name string) []string) *net.Resolver {
	t.Helper()
	pc, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := answer(buf[:n], zone); err == nil {
				_, _ = pc.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func answer(query []byte, zone func(string) []string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, errors.New("not one question")
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	found := zone(q.Name.String())
	if found == nil {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, s := range found {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, err
		}
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}
