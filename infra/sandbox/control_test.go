package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/sandbox"
	"github.com/chasqui/chasqui/infra/testdb"
)

func TestControlAPIRefusesWithAProblemThatSaysWhy(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	createPhone(t, s.URL(), anna, "")
	jsonType := http.Header{"Content-Type": {"application/json"}}
	with := func(name, value string) http.Header {
		return http.Header{"Content-Type": {"application/json"}, name: {value}}
	}
	for name, c := range map[string]struct {
		method, path, body string
		header             http.Header
		status             int
		detail             string
	}{
		"malformed JSON":          {"POST", "/phones", `{"number":`, jsonType, 400, "JSON"},
		"two values":              {"POST", "/phones", `{} {}`, jsonType, 400, "follows"},
		"unknown field":           {"POST", "/phones", `{"number":"5491100000009","name":"x","nick":"y"}`, jsonType, 400, "nick"},
		"no content type":         {"POST", "/phones", `{"number":"5491100000009","name":"x"}`, http.Header{}, 415, "application/json"},
		"letters in the number":   {"POST", "/phones", `{"number":"54911ABC","name":"x"}`, jsonType, 422, "digits"},
		"no name":                 {"POST", "/phones", `{"number":"5491100000009"}`, jsonType, 422, "name"},
		"unknown autoReply":       {"POST", "/phones", `{"number":"5491100000009","name":"x","autoReply":"shout"}`, jsonType, 422, "echo"},
		"number taken":            {"POST", "/phones", `{"number":"` + anna + `","name":"Other"}`, jsonType, 409, "exists"},
		"large body":              {"POST", "/phones", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, jsonType, 413, "bytes"},
		"unknown phone":           {"GET", "/phones/5491100000009", "", nil, 404, "no phone"},
		"unknown phone, messages": {"GET", "/phones/5491100000009/messages", "", nil, 404, "no phone"},
		"unknown phone, unlink":   {"DELETE", "/phones/5491100000009/devices", "", nil, 404, "no phone"},
		"QR that is none":         {"POST", "/phones/" + anna + "/scan", `{"qr":"hello"}`, jsonType, 422, ""},
		"recipient unknown":       {"POST", "/phones/" + anna + "/messages", `{"to":"5491100000009","type":"text","text":"x"}`, jsonType, 422, "not on this WhatsApp"},
		"unknown type":            {"POST", "/phones/" + anna + "/messages", `{"to":"` + anna + `","type":"smell","text":"x"}`, jsonType, 422, "type"},
		"no text":                 {"POST", "/phones/" + anna + "/messages", `{"to":"` + anna + `","type":"text"}`, jsonType, 422, "text"},
		"waits too long":          {"GET", "/phones/" + anna + "/messages?wait=61", "", nil, 422, "wait"},
		"after is no number":      {"GET", "/phones/" + anna + "/messages?after=x", "", nil, 422, "after"},
		"ack delay too long":      {"PUT", "/faults", `{"ackDelayMs":60001}`, jsonType, 422, "ackDelayMs"},
		"read from nobody":        {"POST", "/phones/" + anna + "/read", `{}`, jsonType, 422, "from"},
		"wrong method":            {"PATCH", "/phones", "", nil, 405, "GET, HEAD, POST"},
		"wrong path":              {"GET", "/phone", "", nil, 404, "/phone"},
		"another Host":            {"GET", "/phones", "", with("Host", "rebound.example"), 421, "Host"},
		"another site's page":     {"POST", "/faults/disconnect", "", with("Origin", "http://evil.example"), 403, "sites"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, s.URL()+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range c.header {
				req.Header[k] = v
			}
			req.Host = c.header.Get("Host")
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var problem struct {
				Type, Title, Detail string
				Status              int
			}
			if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
				t.Fatalf("status %d without a problem: %v", resp.StatusCode, err)
			}
			if resp.StatusCode != c.status || problem.Status != c.status || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d (%s), want %d: %+v", resp.StatusCode, resp.Header.Get("Content-Type"), c.status, problem)
			}
			if !strings.Contains(problem.Detail, c.detail) || problem.Detail == "" {
				t.Errorf("detail %q does not say %q", problem.Detail, c.detail)
			}
		})
	}
	var list struct{ Phones []sandbox.Phone }
	call(t, "GET", s.URL()+"/phones", nil, 200, &list)
	if len(list.Phones) != 1 || list.Phones[0].Number != anna {
		t.Errorf("a refused request left something behind: %+v", list.Phones)
	}
}

func TestCreatingAPhoneAgainFindsIt(t *testing.T) {
	t.Parallel()
	s := start(t, testdb.DSN(t), "127.0.0.1:0")
	body := map[string]string{"number": anna, "name": "Anna", "autoReply": "echo"}
	var first, second sandbox.Phone
	call(t, "POST", s.URL()+"/phones", body, 201, &first)
	call(t, "POST", s.URL()+"/phones", body, 200, &second)
	if !first.Connected || first.LID == "" || first.Name != "Anna" || first.AutoReply != "echo" {
		t.Errorf("the new phone is %+v", first)
	}
	if first.LID != second.LID || !first.CreatedAt.Equal(second.CreatedAt) {
		t.Errorf("the second call answered %+v, the first %+v", second, first)
	}
}
