package events

import "testing"

func TestBareURLTellsNoSecret(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://user:hunter2@example.com:8443/hook?token=hunter2#hunter2": "https://example.com:8443/hook",
		"nats://user:hunter2@broker.test:4222/wa.{session}.{type}":         "nats://broker.test:4222/wa.{session}.{type}",
		"nats+tls://hunter2@broker.test":                                   "nats+tls://broker.test",
		"http://bro ken":                                                   "",
	} {
		if got := BareURL(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}
