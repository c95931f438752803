package sandbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waMmsRetry"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

// Files are sent in both directions, and one is asked for again, while the sandbox's process is killed again and again.
func TestNoMediaAreLostOrTornWhenTheSandboxIsKilled(t *testing.T) {
	t.Parallel()
	const count = 12
	dsn := testdb.DSN(t)
	trustSandbox(t)
	url, kill := startChild(t, dsn, "127.0.0.1:0")
	createPhone(t, url, anna, "")
	createPhone(t, url, bert, "")
	c := newCompanion(t, dsn, host(url))
	c.link(url, anna)
	var sending sync.WaitGroup
	progress := make(chan int, 2*count)
	sending.Go(func() { // Bert's phone; a request that a kill broke off was taken or was not
		retry := time.NewTicker(20 * time.Millisecond)
		defer retry.Stop()
		for i := range count {
			body := map[string]string{"to": anna, "type": "document", "fileName": fmt.Sprint("in", i), "data": base64.StdEncoding.EncodeToString(random(byte(i), 700_000))}
			deadline := time.Now().Add(patience)
			for {
				status, _ := try(t, "POST", url+"/phones/"+bert+"/messages", body, nil)
				if status == 201 || status == 504 {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("file %d was not taken: %d", i, status)
					return
				}
				<-retry.C
			}
			progress <- i
		}
	})
	sending.Go(func() { // Anna's companion, under one id each until it is acknowledged
		for i := range count {
			deadline := time.Now().Add(patience)
			for {
				up, err := c.client.Upload(context.Background(), random(byte(100+i), 700_000), whatsmeow.MediaImage)
				if err == nil {
					_, err = c.client.SendMessage(context.Background(), types.NewJID(bert, types.DefaultUserServer), &waE2E.Message{ImageMessage: imageMessage(up)},
						whatsmeow.SendRequestExtra{ID: fmt.Sprint("OUT", i), Timeout: 5 * time.Second})
				}
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("image %d was not sent: %v", i, err)
					return
				}
				c.client.WaitForConnection(time.Second)
			}
			progress <- i
		}
	})
	for range 4 {
		for range count / 3 {
			<-progress
		}
		kill()
		_, kill = startChild(t, dsn, host(url))
	}
	sending.Wait()
	out := shown(t, url, bert, count, everything)
	for i, m := range out {
		if m.ID != fmt.Sprint("OUT", i) || m.Media == nil || m.SHA256 != hashOf(random(byte(100+i), 700_000)) {
			t.Errorf("Bert's phone shows %s %+v as number %d", m.ID, m.Media, i)
		}
	}
	if got := seqMedia(t, url, bert, out[0]); hashOf(got) != out[0].SHA256 {
		t.Error("the file of a message shown is another")
	}
	names := map[string]string{}
	for len(names) < count {
		for _, m := range awaitShown(t, url, anna, func(m sandbox.Message) bool { return !m.FromMe }, len(names)) {
			names[m.FileName] = m.SHA256
		}
	}
	for i := range count {
		if got := names[fmt.Sprint("in", i)]; got != hashOf(random(byte(i), 700_000)) {
			t.Errorf("Anna's phone has a file in%d of hash %s", i, got)
		}
	}
	// The phone owes the answer to a request that the dead process took.
	m := awaitShown(t, url, anna, func(m sandbox.Message) bool { return m.FileName == "in0" }, 0)[0]
	_, file := c.received(m.ID)
	call(t, "DELETE", url+"/phones/"+anna+"/messages/"+m.ID+"/media", nil, 204, nil)
	info := &types.MessageInfo{ID: m.ID, MessageSource: types.MessageSource{Chat: types.NewJID(bert, types.DefaultUserServer)}}
	if err := c.client.SendMediaRetryReceipt(t.Context(), info, file.GetMediaKey()); err != nil {
		t.Fatal(err)
	}
	//nolint:staticcheck // SA1019: the answer to a ping says that the receipt, which came before it, was taken
	if answered, _ := c.client.DangerousInternals().SendKeepAlive(t.Context()); !answered {
		t.Fatal("the receipt was not taken")
	}
	kill()
	_, _ = startChild(t, dsn, host(url))
	var answer *events.MediaRetry
	c.await("the answer", func() bool {
		for _, evt := range c.other {
			if e, ok := evt.(*events.MediaRetry); ok {
				answer = e
			}
		}
		return answer != nil
	})
	notice, err := whatsmeow.DecryptMediaRetryNotification(answer, file.GetMediaKey())
	if err != nil || notice.GetResult() != waMmsRetry.MediaRetryNotification_SUCCESS {
		t.Errorf("the answer is %v %v", notice, err)
	}
}

// awaitShown waits until the phone shows more than n messages that keep returns true for, and returns all of them.
func awaitShown(t *testing.T, url, number string, keep func(sandbox.Message) bool, n int) []sandbox.Message {
	t.Helper()
	var all []sandbox.Message
	var after int64
	for deadline := time.Now().Add(patience); len(all) <= n; {
		var p page
		call(t, "GET", fmt.Sprintf("%s/phones/%s/messages?after=%d&wait=5", url, number, after), nil, 200, &p)
		after = p.Next
		for _, m := range p.Messages {
			if keep(m) {
				all = append(all, m)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("phone %s has shown %d messages", number, len(all))
		}
	}
	return all
}

// A document of 60 MB goes from a request through Bert's phone, the host and Anna's phone. It is not parallel, so the memory of this
// process is that of all of them.
func TestADocumentOf60MBPassesThroughLittleMemory(t *testing.T) {
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	createPhone(t, s.URL(), bert, "")
	const size = 60_000_000
	hash := sha256.New()
	if _, err := io.CopyN(hash, rand.NewChaCha8([32]byte{60}), size); err != nil {
		t.Fatal(err)
	}
	baseline := heap()
	sampler := &sampler{stop: make(chan struct{})}
	sampler.work.Go(sampler.run)
	reader, writer := io.Pipe()
	go func() {
		fmt.Fprintf(writer, `{"data":"`)
		encoder := base64.NewEncoder(base64.StdEncoding, writer)
		_, _ = io.CopyN(encoder, rand.NewChaCha8([32]byte{60}), size)
		_ = encoder.Close()
		fmt.Fprintf(writer, `","type":"document","fileName":"big","to":"%s"}`, anna)
		_ = writer.Close()
	}()
	begin := time.Now()
	res, err := http.Post(s.URL()+"/phones/"+bert+"/messages", "application/json", reader)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 201 {
		t.Fatalf("answered with %d %s", res.StatusCode, answer)
	}
	m := shown(t, s.URL(), anna, 1, everything)[0]
	if m.Size != size || m.SHA256 != hex.EncodeToString(hash.Sum(nil)) || m.FileName != "big" {
		t.Errorf("Anna's phone shows %+v", m.Media)
	}
	back := sha256.New()
	got, err := http.Get(fmt.Sprintf("%s/phones/%s/messages/%d/media", s.URL(), anna, m.Seq))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if _, err := io.Copy(back, got.Body); err != nil || !bytes.Equal(back.Sum(nil), hash.Sum(nil)) {
		t.Errorf("other bytes came back: %v", err)
	}
	close(sampler.stop)
	sampler.work.Wait()
	grown := max(sampler.peak, baseline) - baseline
	t.Logf("60 MB: %.1f MB above %.1f MB, in %v", float64(grown)/1e6, float64(baseline)/1e6, time.Since(begin))
	if grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// sampler looks at the heap a hundred times a second.
type sampler struct {
	stop chan struct{}
	work sync.WaitGroup
	peak uint64
}

func (s *sampler) run() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.peak = max(s.peak, heap())
		case <-s.stop:
			return
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
