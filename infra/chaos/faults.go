//go:build linux && !release

package chaos

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/server"
	"github.com/chasqui/chasqui/infra/testwire"
)

// A fault breaks something, waits, and heals it.
type fault struct {
	name   string
	weight int
	// most is the longest that it lasts; how long it does is at random.
	most time.Duration
	// aim chooses what is broken; nil where everything of the kind is being broken already.
	aim func(*faults) *target
}

// target is what one fault breaks.
type target struct {
	name       string
	harm, heal func() error
	free       func() // whatever was reserved
}

// faults breaks one thing after the other, several at a time.
type faults struct {
	s      *stack
	random *rand.Rand
	work   sync.WaitGroup
	done   chan struct{}

	mu     sync.Mutex
	held   map[string]bool // what is one of its kind and broken now
	counts map[string]int
}

// kinds are the faults and how often each comes in relation to the others. What loses, repeats or reorders stanzas on their way to a
// connector is not among them: WhatsApp's servers would not, and the order of what they deliver is theirs.
var kinds = []fault{
	{"kill", 4, 4 * time.Second, (*faults).kill},
	{"drain", 2, 2 * time.Second, (*faults).drain},
	{"pause", 4, 28 * time.Second, (*faults).pause},
	{"postgres", 1, 0, (*faults).endPostgres},
	{"s3", 1, 0, (*faults).endS3},
	{"cut sessions", 2, 0, (*faults).cutSessions},
	{"disturb sessions", 3, 6 * time.Second, (*faults).disturbSessions},
	{"cut from WhatsApp", 1, 20 * time.Second, (*faults).cutFromWhatsApp},
	{"no word from WhatsApp", 1, 25 * time.Second, (*faults).silenceWhatsApp},
	{"cut from PostgreSQL", 1, 25 * time.Second, (*faults).cutFromPostgres},
	{"no word from PostgreSQL", 1, 25 * time.Second, (*faults).silencePostgres},
	{"receiver", 3, 15 * time.Second, (*faults).upsetReceiver},
}

// startFaults begins to break things, until ctx ends.
func (s *stack) startFaults(ctx context.Context) *faults {
	f := &faults{
		s: s, random: rand.New(rand.NewPCG(uint64(s.cfg.Seed), 1<<32)),
		done: make(chan struct{}), held: make(map[string]bool), counts: make(map[string]int),
	}
	go f.run(ctx)
	return f
}

func (f *faults) run(ctx context.Context) {
	defer close(f.done)
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	for {
		timer := time.NewTimer(faultsEvery/2 + time.Duration(f.random.Int64N(int64(faultsEvery))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		for begun := false; !begun; { // what is broken already makes room for another kind
			pick := f.random.IntN(total)
			for _, k := range kinds {
				if pick -= k.weight; pick < 0 {
					begun = f.begin(ctx, k)
					break
				}
			}
		}
	}
}

// begin breaks what the fault aims at, and heals it in the background; false when there is nothing to aim at.
func (f *faults) begin(ctx context.Context, k fault) bool {
	t := k.aim(f)
	if t == nil {
		return false
	}
	lasts := time.Duration(0)
	if k.most > 0 {
		lasts = time.Duration(f.random.Int64N(int64(k.most)))
	}
	f.mu.Lock()
	f.counts[k.name]++
	f.mu.Unlock()
	slog.InfoContext(ctx, "fault", "what", k.name, "of", t.name, "for", lasts.Round(100*time.Millisecond).String())
	f.work.Go(func() {
		defer t.free()
		if err := t.harm(); err != nil {
			slog.WarnContext(ctx, "fault failed", "what", k.name, "of", t.name, "error", err)
		}
		timer := time.NewTimer(lasts)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if t.heal == nil {
			return
		}
		if err := t.heal(); err != nil {
			slog.ErrorContext(ctx, "not healed", "what", k.name, "of", t.name, "error", err)
		}
	})
	return true
}

// wait waits until everything is healed.
func (f *faults) wait() {
	<-f.done
	f.work.Wait()
}

func (f *faults) count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.counts {
		n += c
	}
	return n
}

// fill writes what was broken into the table.
func (f *faults) fill(t *Table) {
	t.Faults = f.count()
	f.mu.Lock()
	defer f.mu.Unlock()
	t.kinds = f.counts
}

// role chooses a process that nothing is being done to; the last one of its role is spared from nothing, as in life.
func (f *faults) role(roles ...string) *process {
	list := f.s.processes
	for _, i := range f.random.Perm(len(list)) {
		p := list[i]
		for _, r := range roles {
			if strings.HasPrefix(p.name, r) && p.take() {
				return p
			}
		}
	}
	return nil
}

func (f *faults) kill() *target {
	p := f.role("connector", "dispatcher", "api")
	if p == nil {
		return nil
	}
	return &target{p.name, func() error { p.kill(); return nil }, func() error { return p.start(f.s.forker) }, p.release}
}

func (f *faults) drain() *target {
	p := f.role("connector", "dispatcher", "api")
	if p == nil {
		return nil
	}
	return &target{p.name, p.drain, func() error { return p.start(f.s.forker) }, p.release}
}

// pause stops a process in its tracks, often for longer than a claim or a lease lasts.
func (f *faults) pause() *target {
	p := f.role("connector", "dispatcher", "api")
	if p == nil {
		return nil
	}
	return &target{
		p.name, func() error { p.signal(syscall.SIGSTOP); return nil }, func() error { p.signal(syscall.SIGCONT); return nil }, p.release,
	}
}

// hold reserves what there is one of.
func (f *faults) hold(name string) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held[name] {
		return nil
	}
	f.held[name] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.held, name)
	}
}

// server is a child of this process that is ended at once and comes back by itself.
func (f *faults) server(name string, pid func() int) *target {
	free := f.hold(name)
	if free == nil {
		return nil
	}
	before := 0
	return &target{
		name: name, free: free,
		harm: func() error {
			before = pid()
			if before == 0 {
				return nil
			}
			return syscall.Kill(before, syscall.SIGKILL)
		},
		heal: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return poll(ctx, 50*time.Millisecond, func() (bool, error) { now := pid(); return now != 0 && now != before, nil })
		},
	}
}

func (f *faults) endPostgres() *target { return f.server("postgres", f.s.postgres.PID) }

func (f *faults) endS3() *target { return f.server("s3", f.s.s3.PID) }

// cutSessions cuts the connections of all sessions, or of one, at WhatsApp.
func (f *faults) cutSessions() *target {
	number := ""
	if f.random.IntN(2) == 0 {
		number = business(f.random.IntN(f.s.cfg.Sessions))
	}
	return &target{"sessions", func() error { f.s.sandbox.Disconnect(number); return nil }, nil, func() {}}
}

// disturbSessions has WhatsApp cut connections around a send, swallow or delay its answers, deliver twice, or take no connections.
func (f *faults) disturbSessions() *target {
	free := f.hold("sandbox")
	if free == nil {
		return nil
	}
	disturbances := []struct {
		name string
		server.Faults
	}{
		{"cut before a send", server.Faults{CutBefore: server.Sometimes{Rate: 0.1}}},
		{"cut after a send", server.Faults{CutAfter: server.Sometimes{Rate: 0.1}}},
		{"answers swallowed", server.Faults{DropAcks: true}},
		{"answers late", server.Faults{AckDelay: 300 * time.Millisecond, AckJitter: time.Second, QueryDelay: 200 * time.Millisecond}},
		{"delivered twice", server.Faults{Duplicate: server.Sometimes{Rate: 0.3}}},
		{"no connections", server.Faults{RefuseConnections: true}},
		{"silence", server.Faults{Silence: true}},
	}
	d := disturbances[f.random.IntN(len(disturbances))]
	d.Seed = f.random.Uint64()
	return &target{
		d.name, func() error {
			f.s.sandbox.SetFaults(d.Faults)
			if d.RefuseConnections {
				f.s.sandbox.Disconnect("")
			}
			return nil
		},
		func() error {
			if d.Silence {
				// What was swallowed comes with the next connection. If this one stood, what follows would overtake it, which no network does.
				f.s.sandbox.SetFaults(server.Faults{Silence: true, RefuseConnections: true})
				f.s.sandbox.Disconnect("")
			}
			f.s.sandbox.SetFaults(server.Faults{})
			return nil
		}, free,
	}
}

// network chooses a connector that nothing is being done to, and breaks one of its networks.
func (f *faults) network(of func(*joined) *testwire.Wire, harm func(*testwire.Wire)) *target {
	p := f.role("connector")
	for _, j := range f.s.connectors {
		if j.process == p {
			wire := of(j)
			return &target{p.name, func() error { harm(wire); return nil }, func() error { wire.Mend(); return nil }, p.release}
		}
	}
	return nil
}

func toWhatsApp(j *joined) *testwire.Wire { return j.whatsApp }
func toDatabase(j *joined) *testwire.Wire { return j.database }

func (f *faults) cutFromWhatsApp() *target { return f.network(toWhatsApp, (*testwire.Wire).Cut) }
func (f *faults) silenceWhatsApp() *target { return f.network(toWhatsApp, (*testwire.Wire).Blackhole) }
func (f *faults) cutFromPostgres() *target { return f.network(toDatabase, (*testwire.Wire).Cut) }
func (f *faults) silencePostgres() *target { return f.network(toDatabase, (*testwire.Wire).Blackhole) }

func (f *faults) upsetReceiver() *target {
	free := f.hold("receiver")
	if free == nil {
		return nil
	}
	m := []mood{failing, silent, absent, rude}[f.random.IntN(4)]
	name := map[mood]string{failing: "answers 503", silent: "does not answer", absent: "refuses connections", rude: "hangs up"}[m]
	return &target{name, func() error { return f.s.receiver.feel(m) }, func() error { return f.s.receiver.feel(fine) }, free}
}
