// Package testnats gives tests a NATS server of their own, with JetStream, in the test's process.
package testnats

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience bounds what takes milliseconds.
const patience = 30 * time.Second

// A Server is a NATS server that a test can stop and start again, on the same port and with the same streams.
type Server struct {
	t       *testing.T
	options server.Options
	running *server.Server
	conn    *nats.Conn
}

// Start starts a server on the loopback; change may alter its options before.
func Start(t *testing.T, change ...func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, options: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}}
	for _, f := range change {
		f(&s.options)
	}
	t.Cleanup(s.Stop)
	s.Restart()
	s.options.Port = s.running.Addr().(*net.TCPAddr).Port
	return s
}

// Stop stops the server, as an operator does.
func (s *Server) Stop() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	if s.running != nil {
		s.running.Shutdown()
		s.running.WaitForShutdown()
		s.running = nil
	}
}

// Restart starts the server again.
func (s *Server) Restart() {
	s.t.Helper()
	options := s.options
	running, err := server.NewServer(&options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = running
	running.Start()
	if !running.ReadyForConnections(patience) {
		s.t.Fatal("testnats: the server does not start")
	}
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return net.JoinHostPort(s.options.Host, strconv.Itoa(s.options.Port)) }

// URL is the server's with a path, and the credentials of the first user that the options have.
func (s *Server) URL(path string) string { return "nats://" + s.login() + s.Addr() + path }

func (s *Server) login() string {
	o := s.options
	switch {
	case len(o.Users) > 0:
		return url.UserPassword(o.Users[0].Username, o.Users[0].Password).String() + "@"
	case o.Authorization != "":
		return url.User(o.Authorization).String() + "@"
	}
	return ""
}

// Clients is how many connections the server has, without the test's own.
func (s *Server) Clients() int {
	n := s.running.NumClients()
	if s.conn != nil {
		n--
	}
	return n
}

// Conn is a connection of the test's own, which ends when the server is stopped.
func (s *Server) Conn() *nats.Conn {
	s.t.Helper()
	if s.conn != nil {
		return s.conn
	}
	login := nats.Token(s.options.Authorization)
	if len(s.options.Users) > 0 {
		login = nats.UserInfo(s.options.Users[0].Username, s.options.Users[0].Password)
	}
	conn, err := nats.Connect("nats://"+s.Addr(), nats.InProcessServer(s.running), login)
	if err != nil {
		s.t.Fatal(err)
	}
	s.conn = conn
	return conn
}

// Stream makes a stream, as an operator does.
func (s *Server) Stream(config jetstream.StreamConfig) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	js, err := jetstream.New(s.Conn())
	if err == nil {
		_, err = js.CreateStream(ctx, config)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Messages returns what a stream from which nothing was deleted holds, in its order.
func (s *Server) Messages(name string) []*jetstream.RawStreamMsg {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	js, err := jetstream.New(s.Conn())
	if err != nil {
		s.t.Fatal(err)
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		s.t.Fatal(err)
	}
	list := make([]*jetstream.RawStreamMsg, stream.CachedInfo().State.LastSeq)
	for i := range list {
		if list[i], err = stream.GetMsg(ctx, uint64(i+1)); err != nil {
			s.t.Fatal(err)
		}
	}
	return list
}
