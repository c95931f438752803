// Package testpoll waits, in tests, for what no signal tells of.
package testpoll

import "time"

const (
	// least and most bound the pause between two looks, and share is the part of the time waited so far that one pause takes: what comes soon is
	// seen soon, and what takes its time is not looked at a thousand times meanwhile.
	least, most = 5 * time.Millisecond, 250 * time.Millisecond
	share       = 20
)

// True calls look until it returns true, for at most d, and says whether it did.
func True(d time.Duration, look func() bool) bool {
	began := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for !look() {
		waited := time.Since(began)
		if waited >= d {
			return false
		}
		timer.Reset(min(max(waited/share, least), most, d-waited))
		<-timer.C
	}
	return true
}

// Until calls look until it returns nil, for at most d, and returns its last error.
func Until(d time.Duration, look func() error) (err error) {
	True(d, func() bool { err = look(); return err == nil })
	return err
}
