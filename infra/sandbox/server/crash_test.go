package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types/events"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// childDSN and childAddress are the environment of a server process of its own, which the test kills.
const (
	childDSN     = "SANDBOX_SERVER_TEST_DSN"
	childAddress = "SANDBOX_SERVER_TEST_ADDRESS"
)

// runChild serves until it is killed, or its parent's end closes its standard input.
func runChild(dsn string) {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		panic(err)
	}
	kept, err := journal.OpenPostgres(context.Background(), pool)
	if err != nil {
		panic(err)
	}
	s, err := server.New(context.Background(), server.Config{Journal: kept})
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", os.Getenv(childAddress))
	if err != nil {
		panic(err)
	}
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	panic(http.Serve(listener, s))
}

// A server process is killed again and again while two phones write to each other: everything that was acknowledged arrives, in order,
// each text once.
func TestKillingTheServerLosesNothing(t *testing.T) {
	t.Parallel()
	const count, kills = 60, 4
	n := setup(t)
	ana, ben := n.phone("5491100000001", "Ana"), n.phone("5491100000002", "Ben")
	ana.text(*ben.Store.ID, "hello")
	ben.receives("hello")
	n.eventually("receipt", func() bool { return n.Server().Stats().MessagesDelivered == 1 })
	n.settled()
	n.stop()

	// The listener moves into the child; the clients follow, since they look up the address with every connection.
	address := n.http.Listener.Addr().String()
	n.http.Close()
	spawn := func() (kill func()) {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDSN+"="+n.dsn, childAddress+"="+address)
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		child.Stderr = t.Output()
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		return sync.OnceFunc(func() {
			_ = child.Process.Kill()
			_ = child.Wait()
			_ = stdin.Close()
		})
	}
	kill := spawn()
	t.Cleanup(func() { kill(); n.start() })

	// Each side sends its texts one by one, each with one id until it is acknowledged, as a durable sender does.
	var senders sync.WaitGroup
	var progress sync.Mutex
	sent := 0
	for _, pair := range [][2]*client{{ana, ben}, {ben, ana}} {
		senders.Go(func() {
			pause := time.NewTicker(20 * time.Millisecond)
			defer pause.Stop()
			for i := range count {
				id, limit := pair[0].GenerateMessageID(), time.Now().Add(2*patience)
				for {
					_, err := pair[0].SendMessage(t.Context(), pair[1].Store.LID, &waE2E.Message{Conversation: proto.String(fmt.Sprint("number ", i))},
						whatsmeow.SendRequestExtra{ID: id, Timeout: 3 * time.Second})
					if err == nil {
						break
					}
					if time.Now().After(limit) || t.Context().Err() != nil {
						t.Errorf("text %d not sent: %v", i, err)
						return
					}
					pair[0].WaitForConnection(5 * time.Second)
					<-pause.C // a client that has not noticed yet that it was cut would try again at once, and for nothing
				}
				progress.Lock()
				sent++
				progress.Unlock()
			}
		})
	}
	for k := 1; k <= kills; k++ {
		n.eventually("progress", func() bool {
			progress.Lock()
			defer progress.Unlock()
			return sent >= k*2*count/(kills+2) || t.Failed()
		})
		kill()
		kill = spawn()
	}
	senders.Wait()
	for _, c := range []*client{ana, ben} {
		until(c, func() bool { return len(distinct(c)) >= count })
		var want []string
		for i := range count {
			want = append(want, fmt.Sprint("number ", i))
		}
		if got := distinct(c); !slices.Equal(got, want) {
			t.Errorf("received %v", got)
		}
	}
}

// distinct returns the numbered texts that a client received, in order, each id once as a phone shows it.
func distinct(c *client) (texts []string) {
	seen := map[string]bool{}
	for _, m := range all[*events.Message](c) {
		if text := m.Message.GetConversation(); strings.HasPrefix(text, "number ") && !seen[m.Info.ID] {
			seen[m.Info.ID] = true
			texts = append(texts, text)
		}
	}
	return texts
}
