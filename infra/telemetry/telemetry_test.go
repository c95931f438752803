package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/chasqui/chasqui/infra/readiness"
	"github.com/chasqui/chasqui/infra/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTellsHealthAndMetrics(t *testing.T) {
	t.Parallel()
	var sick, slow atomic.Bool
	registry := prometheus.NewRegistry()
	prometheus.WrapRegistererWith(nil, registry).MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "chasqui_answer", Help: "The answer."}, func() float64 { return 42 }))
	s := telemetry.New(telemetry.Config{
		Addr: "127.0.0.1:0", Metrics: registry,
		Checks: []readiness.Check{
			readiness.Part("claims", func(context.Context) error {
				if sick.Load() {
					return errors.New("postgres://user:hunter2@db is down")
				}
				return nil
			}),
			readiness.Part("s3", func(context.Context) error {
				if slow.Load() {
					return errors.New("hunter2 is away")
				}
				return nil
			}),
		},
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		response, err := client.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := get("/readyz"); status != http.StatusOK || body != `{"status":"ok","checks":{"claims":"ok","s3":"ok"}}`+"\n" {
		t.Errorf("/readyz while healthy: %d %s", status, body)
	}
	slow.Store(true)
	if status, body := get("/readyz"); status != http.StatusOK || body != `{"status":"degraded","checks":{"claims":"ok","s3":"down"}}`+"\n" {
		t.Errorf("/readyz without S3: %d %s", status, body)
	}
	if _, body := get("/metrics"); !strings.Contains(body, "chasqui_answer 42") {
		t.Errorf("/metrics: %s", body)
	}
	if status, _ := get("/debug/pprof/heap"); status != http.StatusNotFound {
		t.Errorf("/debug/pprof/ that nobody asked for: %d", status)
	}
	sick.Store(true)
	if status, body := get("/readyz"); status != http.StatusServiceUnavailable || body != `{"status":"unavailable","checks":{"claims":"down","s3":"down"}}`+"\n" {
		t.Errorf("/readyz while sick: %d %s", status, body)
	}
	if status, _ := get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz while sick: %d", status)
	}
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Get("http://" + s.Addr().String() + "/healthz"); err == nil {
		t.Error("it still answers after Stop")
	}
}

func TestProfilesWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	s := telemetry.New(telemetry.Config{Addr: "127.0.0.1:0", Metrics: prometheus.NewRegistry(), Profiles: true})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop(t.Context()) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, name := range []string{"", "heap", "profile?seconds=1"} {
		response, err := client.Get("http://" + s.Addr().String() + "/debug/pprof/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Errorf("%q: %d", name, response.StatusCode)
		}
	}
}
