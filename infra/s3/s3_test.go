package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/goleak"

	"github.com/chasqui/chasqui/infra/s3"
	"github.com/chasqui/chasqui/infra/tests3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests3.With(m)) }

const mega = 1 << 20

func open(t *testing.T, config s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// each runs the test with a store on each kind of server.
func each(t *testing.T, test func(*testing.T, *s3.Store, s3.Config)) {
	t.Parallel()
	tests3.Each(t, func(t *testing.T, config s3.Config) { test(t, open(t, config), config) })
}

func random(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content)
	return content
}

// stream is content as an io.Reader and nothing more.
func stream(content []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} }

func put(t *testing.T, s *s3.Store, key string, content []byte) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, stream(content), int64(len(content)), "image/png"); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *s3.Store, key string, offset, length int64) []byte {
	t.Helper()
	body, err := s.Get(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func keys(t *testing.T, s *s3.Store, prefix string) []string {
	t.Helper()
	var found []string
	for object, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, object.Key)
	}
	return found
}

// uploads returns how many uploads are incomplete, by a client of its own.
func uploads(t *testing.T, config s3.Config, key string) int {
	t.Helper()
	page, err := core(t, config).ListMultipartUploads(t.Context(), config.Bucket, key, "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Uploads)
}

func core(t *testing.T, config s3.Config) *minio.Core {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	client, err := minio.NewCore(strings.TrimPrefix(config.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""), Region: "us-east-1", Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestWhatWasPutIsGot(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, config s3.Config) {
		for _, size := range []int{0, 1, 100, 5*mega - 1, 5 * mega, 5*mega + 1, 10 * mega, 12*mega + 345} {
			content := random(size)
			for _, stated := range []int64{int64(size), -1} {
				key := fmt.Sprintf("objects/%d/%d", size, stated)
				written, err := s.Put(t.Context(), key, stream(content), stated, "")
				if err != nil || written != int64(size) {
					t.Fatalf("put %d bytes, stated as %d: %d, %v", size, stated, written, err)
				}
				if stat, err := s.Stat(t.Context(), key); err != nil || stat != int64(size) {
					t.Fatalf("stat of %d bytes, stated as %d: %d, %v", size, stated, stat, err)
				}
				if !bytes.Equal(get(t, s, key, 0, -1), content) {
					t.Fatalf("%d bytes, stated as %d, came back as others", size, stated)
				}
				if n := uploads(t, config, key); n != 0 {
					t.Fatalf("%d uploads left", n)
				}
			}
		}
	})
}

func TestPutReplacesAnObject(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		put(t, s, "object", []byte("first, and longer"))
		put(t, s, "object", []byte("second"))
		if got := string(get(t, s, "object", 0, -1)); got != "second" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestAnErrorOfTheBodyLeavesNothing(t *testing.T) {
	broken := errors.New("the phone is gone")
	each(t, func(t *testing.T, s *s3.Store, config s3.Config) {
		for _, size := range []int{0, 1000, 5 * mega, 7 * mega, 11 * mega} {
			content := random(size)
			for name, body := range map[string]func() (io.Reader, int64, error){
				"breaks":              func() (io.Reader, int64, error) { return iotest.ErrReader(broken), -1, broken },
				"breaks, size stated": func() (io.Reader, int64, error) { return iotest.ErrReader(broken), int64(size) + 5, broken },
				// What a download says that was cut off must not count as its end.
				"cut off": func() (io.Reader, int64, error) {
					return iotest.ErrReader(io.ErrUnexpectedEOF), -1, io.ErrUnexpectedEOF
				},
				"too short": func() (io.Reader, int64, error) { return strings.NewReader(""), int64(size) + 1, nil },
				"too long":  func() (io.Reader, int64, error) { return strings.NewReader("more"), int64(size), nil },
			} {
				rest, stated, want := body()
				key := "key-" + rand.Text()
				_, err := s.Put(t.Context(), key, io.MultiReader(stream(content), rest), stated, "")
				if err == nil || want != nil && !errors.Is(err, want) || s3.Unavailable(err) || strings.Contains(err.Error(), "key-") {
					t.Fatalf("%s after %d bytes: %v", name, size, err)
				}
				if _, err := s.Stat(t.Context(), key); !errors.Is(err, s3.ErrNotFound) {
					t.Fatalf("%s after %d bytes: the object is there: %v", name, size, err)
				}
				if n := uploads(t, config, key); n != 0 {
					t.Fatalf("%s after %d bytes: %d uploads left", name, size, n)
				}
			}
		}
		if found := keys(t, s, ""); len(found) != 0 {
			t.Fatalf("left: %v", found)
		}
	})
}

func TestACancelledPutLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, config s3.Config) {
		for _, size := range []int64{-1, 20 * mega} {
			ctx, cancel := context.WithCancel(t.Context())
			// The body cancels in the middle, as its sender's going away does.
			body := io.MultiReader(stream(random(8*mega)), readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() }))
			if _, err := s.Put(ctx, "object", body, size, ""); !errors.Is(err, context.Canceled) || s3.Unavailable(err) {
				t.Fatalf("size %d: %v", size, err)
			}
			if _, err := s.Stat(t.Context(), "object"); !errors.Is(err, s3.ErrNotFound) {
				t.Fatalf("size %d: the object is there: %v", size, err)
			}
			if n := uploads(t, config, "object"); n != 0 {
				t.Fatalf("size %d: %d uploads left", size, n)
			}
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestRanges(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		put(t, s, "digits", []byte("0123456789"))
		put(t, s, "empty", nil)
		for _, test := range []struct {
			key            string
			offset, length int64
			want           string
		}{
			{"digits", 0, -1, "0123456789"}, {"digits", 0, 1, "0"}, {"digits", 3, 4, "3456"}, {"digits", 7, -1, "789"},
			{"digits", 7, 100, "789"}, {"digits", 0, 100, "0123456789"}, {"digits", 9, 1, "9"}, {"digits", 10, -1, ""}, {"digits", 10, 5, ""},
			{"digits", 99, 1, ""}, {"digits", 4, 0, ""}, {"empty", 0, -1, ""}, {"empty", 0, 10, ""}, {"empty", 1, -1, ""}, {"empty", 0, 0, ""},
		} {
			if got := string(get(t, s, test.key, test.offset, test.length)); got != test.want {
				t.Errorf("%s from %d, %d bytes: %q, want %q", test.key, test.offset, test.length, got, test.want)
			}
		}
		if _, err := s.Get(t.Context(), "digits", -1, 2); err == nil {
			t.Error("a negative offset is taken")
		}
	})
}

func TestWhatIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		for _, length := range []int64{-1, 0, 5} {
			if _, err := s.Get(t.Context(), "secret-key", 0, length); !errors.Is(err, s3.ErrNotFound) || s3.Unavailable(err) || strings.Contains(err.Error(), "secret-key") {
				t.Errorf("get of %d bytes: %v", length, err)
			}
		}
		if _, err := s.Stat(t.Context(), "secret-key"); !errors.Is(err, s3.ErrNotFound) || strings.Contains(err.Error(), "secret-key") {
			t.Errorf("stat: %v", err)
		}
		if err := s.Delete(t.Context(), "secret-key"); err != nil {
			t.Errorf("delete: %v", err)
		}
	})
}

func TestDelete(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		put(t, s, "folder/object", []byte("content"))
		put(t, s, "folder/other", []byte("content"))
		for range 2 {
			if err := s.Delete(t.Context(), "folder/object"); err != nil {
				t.Fatal(err)
			}
		}
		if found := keys(t, s, ""); !slices.Equal(found, []string{"folder/other"}) {
			t.Fatalf("left: %v", found)
		}
	})
}

func TestPresignedURLs(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		content := random(100_000)
		put(t, s, "media/a b+ü", content)
		for _, test := range []struct{ file, kind, wantDisposition, wantKind string }{
			{"", "", "attachment", "image/png"},
			{"plan.pdf", "application/pdf", "attachment; filename=plan.pdf", "application/pdf"},
			{`Año "1".ogg`, "audio/ogg; codecs=opus", "attachment; filename*=utf-8''A%C3%B1o%20%221%22.ogg", "audio/ogg; codecs=opus"},
		} {
			address, err := s.Presign(t.Context(), "media/a b+ü", time.Minute, test.file, test.kind)
			if err != nil {
				t.Fatal(err)
			}
			got, header := fetch(t, address)
			if !bytes.Equal(got, content) || header.Get("Content-Disposition") != test.wantDisposition || header.Get("Content-Type") != test.wantKind {
				t.Errorf("%q: %d bytes, %q, %q", test.file, len(got), header.Get("Content-Disposition"), header.Get("Content-Type"))
			}
		}
		for _, expires := range []time.Duration{0, 8 * 24 * time.Hour} {
			if _, err := s.Presign(t.Context(), "media/secret-key", expires, "", ""); err == nil || strings.Contains(err.Error(), "secret-key") {
				t.Errorf("expires in %v: %v", expires, err)
			}
		}
	})
}

func fetch(t *testing.T, address string) ([]byte, http.Header) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %s", response.Status, err, content)
	}
	return content, response.Header
}

func TestPresignedURLsHaveThePublicAddress(t *testing.T) {
	t.Parallel()
	config := tests3.New(t)
	config.PublicURL = "https://media.example.org:8443"
	s := open(t, config)
	address, err := s.Presign(t.Context(), "object", time.Hour, "", "")
	if err != nil || !strings.HasPrefix(address, "https://media.example.org:8443/"+config.Bucket+"/object?") {
		t.Fatalf("%s, %v", address, err)
	}
	// The same server by another name: the signature holds for that name alone.
	config.PublicURL = strings.Replace(config.Endpoint, "127.0.0.1", "localhost", 1)
	s = open(t, config)
	put(t, s, "object", []byte("content"))
	if address, err = s.Presign(t.Context(), "object", time.Hour, "", ""); err != nil {
		t.Fatal(err)
	}
	if got, _ := fetch(t, address); string(got) != "content" {
		t.Fatalf("got %q", got)
	}
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		begun := time.Now().Add(-2 * time.Second) // servers tell whole seconds
		names := []string{"a/1", "a/2", "a/b/3", "ab", "b/ü x+y", "c"}
		for i, name := range names {
			put(t, s, name, random(i))
		}
		for prefix, want := range map[string][]string{"": names, "a/": names[:3], "a": names[:4], "b/": names[4:5], "nothing": nil} {
			if found := keys(t, s, prefix); !slices.Equal(found, want) {
				t.Errorf("prefix %q: %q, want %q", prefix, found, want)
			}
		}
		i := 0
		for object, err := range s.List(t.Context(), "") {
			if err != nil || object.Size != int64(i) || object.Modified.Before(begun) || object.Modified.After(time.Now().Add(2*time.Second)) {
				t.Errorf("%+v, %v", object, err)
			}
			if i++; i == 3 {
				break // goes unpunished
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ended := false
		for _, err := range s.List(ctx, "") {
			ended = errors.Is(err, context.Canceled)
		}
		if !ended {
			t.Error("a cancelled listing looks complete")
		}
	})
}

func TestListsMoreThanAPage(t *testing.T) {
	t.Parallel()
	s := open(t, tests3.New(t))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 140 {
				if _, err := s.Put(t.Context(), fmt.Sprintf("many/%d-%03d", worker, i), strings.NewReader("x"), 1, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if found := keys(t, s, "many/"); len(found) != 8*140 || !slices.IsSorted(found) {
		t.Fatalf("%d objects", len(found))
	}
}

func TestSweepsUploads(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, config s3.Config) {
		client := core(t, config)
		for _, key := range []string{"one", "folder/two", "folder/two"} {
			upload, err := client.NewMultipartUpload(t.Context(), config.Bucket, key, minio.PutObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.PutObjectPart(t.Context(), config.Bucket, key, upload, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := s.SweepUploads(t.Context(), time.Hour); err != nil || n != 0 {
			t.Fatalf("swept %d that are young, %v", n, err)
		}
		// A server may tell the beginning in whole seconds, the next one even.
		if n, err := s.SweepUploads(t.Context(), -time.Minute); err != nil || n != 3 {
			t.Fatalf("swept %d, %v", n, err)
		}
		for _, key := range []string{"one", "folder/two"} {
			if n := uploads(t, config, key); n != 0 {
				t.Fatalf("%d uploads left", n)
			}
		}
	})
}

func TestProcessesMayOpenTheSameBucketAtOnce(t *testing.T) {
	t.Parallel()
	tests3.Each(t, func(t *testing.T, config s3.Config) {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				s, err := s3.Open(t.Context(), config)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	good := tests3.New(t)
	for name, change := range map[string]func(*s3.Config){
		"no URL":       func(c *s3.Config) { c.Endpoint = "localhost:9000" },
		"a path":       func(c *s3.Config) { c.Endpoint += "/path" },
		"a password":   func(c *s3.Config) { c.Endpoint = "http://user:hunter2@127.0.0.1" },
		"ftp":          func(c *s3.Config) { c.PublicURL = "ftp://127.0.0.1" },
		"wrong secret": func(c *s3.Config) { c.SecretKey = "hunter2hunter2" },
		"wrong key":    func(c *s3.Config) { c.AccessKey = "hunter2hunter2" },
		"bucket name":  func(c *s3.Config) { c.Bucket = "No Bucket" },
		"sync":         func(c *s3.Config) { c.SyncDir = "/nowhere" },
	} {
		config := good
		change(&config)
		if _, err := s3.Open(t.Context(), config); err == nil || s3.Unavailable(err) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSyncsWhatWasPut(t *testing.T) {
	t.Parallel()
	config := tests3.New(t)
	config.SyncDir = t.TempDir() // any filesystem syncs
	s := open(t, config)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if _, err := s.Put(t.Context(), fmt.Sprintf("object-%d", i), strings.NewReader("x"), 1, ""); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestBuffersAreNotShared(t *testing.T) {
	each(t, func(t *testing.T, s *s3.Store, _ s3.Config) {
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				content := random(6*mega + i)
				key := fmt.Sprintf("object-%d", i)
				if _, err := s.Put(t.Context(), key, stream(content), -1, ""); err != nil {
					t.Error(err)
					return
				}
				body, err := s.Get(t.Context(), key, 0, -1)
				if err != nil {
					t.Error(err)
					return
				}
				defer body.Close()
				sum := sha256.New()
				if _, err := io.Copy(sum, body); err != nil || [32]byte(sum.Sum(nil)) != sha256.Sum256(content) {
					t.Errorf("object %d differs: %v", i, err)
				}
			})
		}
		group.Wait()
	})
}
