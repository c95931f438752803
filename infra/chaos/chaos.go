//go:build linux && !release

// Package chaos runs chasqui as it runs in production, each role in several processes on a real PostgreSQL and a real S3, with a steady load
// both ways, and breaks it in every way that a machine room knows: processes are killed, stopped and drained, PostgreSQL and S3 are ended at
// once, connections are cut and go silent, the receiver of webhooks fails. Then it lets everything settle and counts from outside, at the
// phones, at the receiver and in S3, what was lost, came twice or came out of order.
//
// It is for those who work on chasqui and for those who want to see before they believe: `chasqui chaos`. A program built with the tag
// release leaves it out. It needs Linux, where children end with their parent.
package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/chasqui/chasqui/infra/config"
)

// Included says whether this program was built with the harness.
const Included = true

const (
	connectors  = 3
	dispatchers = 2
	apis        = 2
	// drainMost bounds the wait for what is on its way when the load has ended. A webhook that failed three times is tried again after two
	// minutes, and one of these waits is as long as it takes to be sure that nothing more comes.
	drainMost = 6 * time.Minute
	// faultsEvery is the mean time between the beginnings of two faults; each wait is at random between half and three halves of it.
	faultsEvery = 7 * time.Second
)

// Run is `chasqui chaos`: it breaks what it runs for the given time, prints the table and writes it. It fails when anything was lost, came
// twice or came out of order.
func Run(ctx context.Context, c *config.Chaos, out io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	s, err := start(ctx, program, c)
	if err != nil {
		return err
	}
	table, err := s.run(ctx, time.Duration(c.Seconds)*time.Second)
	s.stop()
	if err != nil {
		return fmt.Errorf("%w; the logs are in %s", err, s.dir)
	}
	table.Panics = s.panics()
	table.print(out)
	if c.JSON != "" {
		body, err := json.MarshalIndent(table, "", "  ")
		if err != nil {
			return fmt.Errorf("encode table: %w", err)
		}
		if err := os.WriteFile(c.JSON, append(body, '\n'), 0o600); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if problems := table.problems(); len(problems) > 0 {
		for _, p := range problems {
			fmt.Fprintln(out, p)
		}
		return fmt.Errorf("%d of the figures are not what they have to be; the logs are in %s", len(problems), s.dir)
	}
	if c.Data != "" {
		fmt.Fprintln(out, "The logs are in", s.dir)
		return nil
	}
	return os.RemoveAll(s.dir)
}

// run loads the stack, breaks it, heals it, and counts.
func (s *stack) run(ctx context.Context, d time.Duration) (*Table, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	load, endLoad := context.WithTimeout(ctx, d)
	defer endLoad()
	patience, giveUp := context.WithTimeout(ctx, d+drainMost)
	defer giveUp()
	began := time.Now()
	l := s.startLoad(load, patience, fail)
	f := s.startFaults(load)
	progress := time.NewTicker(time.Minute)
	defer progress.Stop()
	for running := true; running; {
		select {
		case <-load.Done():
			running = false
		case <-progress.C:
			slog.InfoContext(ctx, "under way", "after", time.Since(began).Round(time.Second).String(), "faults", f.count())
		}
	}
	f.wait() // each fault heals what it broke
	l.work.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	ended := time.Now()
	slog.InfoContext(ctx, "the load has ended", "after", ended.Sub(began).Round(time.Second).String(), "faults", f.count())
	settled := s.settle(patience, l)
	table, err := s.count(ctx, l)
	if err != nil {
		return nil, err
	}
	table.Seed, table.Seconds, table.Sessions = s.cfg.Seed, int(d.Seconds()), s.cfg.Sessions
	table.DrainSeconds = round(time.Since(ended))
	table.Unsettled = settled
	f.fill(table)
	return table, nil
}

// logFile makes the file that takes what one process logs.
func (s *stack) logFile(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func round(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
