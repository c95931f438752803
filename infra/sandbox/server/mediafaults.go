package server

import (
	"context"
	"errors"
	"io"
	"time"
)

// MediaFaults are the disturbances of the media host; the zero value is none. They are for downloads, or else for uploads, and spare the
// simulated phones'.
type MediaFaults struct {
	// Status is what every request is answered with, as 403, 404, 410 or 500; 0 lets it pass to the following.
	Status int
	// BytesPerSecond is how fast a body moves; 0 is as fast as it can.
	BytesPerSecond int64
	// Truncate cuts the connection in the middle of the body, whose full length was announced.
	Truncate bool
	// Stall holds the body in its middle until the client gives up or the faults are replaced, and then cuts the connection.
	Stall bool
	// Count is how many requests are disturbed; 0 is all.
	Count int
	// Uploads are disturbed instead of downloads.
	Uploads bool
	// PhoneHasNone makes phones answer that they do not have the file they are asked to upload again. Count does not end it.
	PhoneHasNone bool
}

// disturbs says whether there is anything that is done to requests.
func (f MediaFaults) disturbs() bool {
	return f.Status != 0 || f.BytesPerSecond != 0 || f.Truncate || f.Stall
}

// mediaFault takes what is to be done to a request, or nil. a is who uploads; nobody is known to download, so those are disturbed for all.
func (s *Server) mediaFault(upload, phone bool, a *account) *faults {
	f := s.faultsOf(a)
	if phone || upload != f.Media.Uploads || !f.Media.disturbs() {
		return nil
	}
	for f.Media.Count > 0 {
		left := f.left.Load()
		if left == 0 {
			return nil
		}
		if f.left.CompareAndSwap(left, left-1) {
			break
		}
	}
	return f
}

// errDisturbed ends a body that a fault cuts.
var errDisturbed = errors.New("cut by a fault")

// disturbed is a body that moves slowly, or is cut in its middle.
type disturbed struct {
	*faults
	ctx   context.Context
	body  io.Reader
	left  int64  // until the cut; -1 when there is none
	flush func() // lets the client have what there is before the cut
}

// disturb makes of a body of the given size what the fault wants.
func (f *faults) disturb(ctx context.Context, body io.Reader, size int64, flush func()) io.Reader {
	d := &disturbed{faults: f, ctx: ctx, body: body, left: -1, flush: flush}
	if f.Media.Truncate || f.Media.Stall {
		d.left = size / 2
	}
	return d
}

func (d *disturbed) Read(p []byte) (int, error) {
	if d.left == 0 {
		d.flush()
		if d.Media.Stall {
			d.hold(d.ctx)
		}
		return 0, errDisturbed
	}
	if d.left > 0 {
		p = p[:min(int64(len(p)), d.left)]
	}
	rate := d.Media.BytesPerSecond
	if rate > 0 {
		p = p[:min(int64(len(p)), max(rate/10, 1))] // ten steps a second
	}
	n, err := d.body.Read(p)
	if d.left > 0 {
		d.left -= int64(n)
	}
	if rate > 0 && n > 0 {
		timer := time.NewTimer(time.Duration(n) * time.Second / time.Duration(rate))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-d.replaced:
		case <-d.ctx.Done():
			return n, d.ctx.Err()
		}
	}
	return n, err
}

// hold waits until the client gives up or the faults are replaced.
func (f *faults) hold(ctx context.Context) {
	select {
	case <-f.replaced:
	case <-ctx.Done():
	}
}
