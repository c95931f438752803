package dispatcher

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/chasqui/chasqui/infra/netguard"
)

// The classes of attempts, as they are recorded and counted.
const (
	classOK      = "ok"      // 2xx
	classStatus  = "status"  // another status; redirects are not followed
	classDNS     = "dns"     // the name has no address
	classConnect = "connect" // nobody accepts connections there
	classTLS     = "tls"     // no handshake, or a certificate that is not valid for the name
	classTimeout = "timeout" // no status within the endpoint's timeout
	classBlocked = "blocked" // the address may not be reached
	classBroken  = "broken"  // the connection ended before a status, or what came was not HTTP
	classLocal   = "local"   // a failure of ours; it costs no attempt
	classAborted = "aborted" // not sent to its end because this process stops; neither recorded nor counted
	classExpired = "expired" // not sent: retention has removed the event
	classStorage = "storage" // the message's file cannot be read; it costs no attempt, and other deliveries of the endpoint go on
	classUnfit   = "unfit"   // not sent: the endpoint's format has no form for this event

	// Of brokers alone.
	classRefused  = "refused"  // it does not take the message: no stream for it, no permission, a wrong password, a stream that is full
	classOversize = "oversize" // the message is larger than it takes
)

// resolverMemory is for how long one look-up that worked shows that the DNS server does, so that another's failure is the name's own.
const resolverMemory = time.Minute

// localErrors are the system's ways to say that this machine, not the receiver, is short of something.
var localErrors = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ENETDOWN, syscall.EADDRNOTAVAIL}

// tlsError marks what failed in the handshake; its cause may be of any type.
type tlsError struct{ error }

func (e *tlsError) Unwrap() error { return e.error }

// classify says what kind of failure err is.
func (d *Dispatcher) classify(err error) string {
	var (
		store   *storeError
		blocked *netguard.BlockedError
		dns     *net.DNSError
		op      *net.OpError
		failed  *tlsError
		cert    *tls.CertificateVerificationError
		timeout net.Error
	)
	switch {
	case errors.Is(err, errUnfit):
		return classUnfit
	case errors.As(err, &store):
		return classStorage
	case errors.As(err, &blocked):
		return classBlocked
	case slices.ContainsFunc(localErrors, func(e error) bool { return errors.Is(err, e) }):
		return classLocal
	case errors.As(err, &dns):
		if dns.IsNotFound || time.Since(time.Unix(0, d.resolvedAt.Load())) < resolverMemory {
			return classDNS
		}
		return classLocal // nothing resolves: our DNS server, not this name
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return classTimeout
	case errors.As(err, &failed), errors.As(err, &cert):
		return classTLS
	case errors.As(err, &op) && op.Op == "dial":
		return classConnect
	default:
		return classBroken
	}
}

// describe returns the text of an error as an attempt records it.
func describe(err error) string {
	s := clean(err.Error())
	if len(s) > errorKept {
		s = clean(s[:errorKept])
	}
	return s
}
