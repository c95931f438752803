package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/chasqui/chasqui/events"
)

func TestEndpointSettings(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	a := f.must(201, &made, "POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook"})
	for _, absent := range []string{"ratePerSecond", "fromMe", "retrySeconds", "breakerUntil", "backlog"} {
		if strings.Contains(string(a.body), absent) {
			t.Errorf("%s is there by default: %s", absent, a.body)
		}
	}
	if made.ChatKinds == nil || len(made.ChatKinds) != 0 || made.Breaker != "closed" || made.Concurrency != 16 || made.PreviousSecrets == nil {
		t.Errorf("defaults: %s", a.body)
	}
	path := f.endpoint(&made, map[string]any{
		"ratePerSecond": 50, "chatKinds": []string{"user", "group"}, "fromMe": false, "retrySeconds": []int{1, 86400}, "events": []string{"message.*", "session.status"}, "maxInFlight": 8,
	})
	show := func(e Endpoint) string {
		text := func(v any) string { return strings.Trim(fmt.Sprint(v), "[]") }
		rate, fromMe := "none", "both"
		if e.RatePerSecond != nil {
			rate = text(*e.RatePerSecond)
		}
		if e.FromMe != nil {
			fromMe = text(*e.FromMe)
		}
		return fmt.Sprintf("rate %s; kinds %s; fromMe %s; waits %s; events %s", rate, text(e.ChatKinds), fromMe, text(e.RetrySeconds), text(e.Events))
	}
	want := func(e Endpoint, want string) {
		t.Helper()
		if got := show(e); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	all := "rate 50; kinds user group; fromMe false; waits 1 86400; events message.* session.status"
	want(made.Endpoint, all)
	var e Endpoint
	f.must(200, &e, "GET", path, nil)
	want(e, all)
	// What is absent stays.
	f.must(200, &e, "PATCH", path, `{"maxInFlight":4}`)
	want(e, all)
	f.must(200, &e, "PATCH", path, `{"ratePerSecond":1000,"fromMe":true,"retrySeconds":[7],"chatKinds":["status"],"events":["*"]}`)
	want(e, "rate 1000; kinds status; fromMe true; waits 7; events *")
	// null clears, one at a time.
	f.must(200, &e, "PATCH", path, `{"ratePerSecond":null}`)
	want(e, "rate none; kinds status; fromMe true; waits 7; events *")
	f.must(200, &e, "PATCH", path, `{"fromMe":null,"chatKinds":[]}`)
	want(e, "rate none; kinds ; fromMe both; waits 7; events *")
	f.must(200, &e, "PATCH", path, `{"retrySeconds":null}`)
	want(e, "rate none; kinds ; fromMe both; waits ; events *")
	if f.count("webhook_endpoints WHERE retry_seconds IS NULL AND rate_per_second IS NULL AND from_me IS NULL") != 2 {
		t.Error("null is not stored as that")
	}
	f.endpoint(&made, map[string]any{"ratePerSecond": nil, "fromMe": nil, "retrySeconds": nil})
	want(made.Endpoint, "rate none; kinds ; fromMe both; waits ; events *")

	for _, refused := range []string{
		`"ratePerSecond":0`, `"ratePerSecond":1001`, `"ratePerSecond":1e30`, `"ratePerSecond":1.5`, `"ratePerSecond":"5"`, `"chatKinds":["people"]`, `"chatKinds":["user","user","user","user","user","user"]`,
		`"fromMe":"yes"`, `"retrySeconds":[]`, `"retrySeconds":[0]`, `"retrySeconds":[86401]`, `"retrySeconds":[null]`, `"retrySeconds":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]`,
	} {
		f.problem(f.do("POST", "/v1/webhook-endpoints", `{"url":"https://203.0.113.9/hook",`+refused+`}`), ValidationFailed)
		f.problem(f.do("PATCH", path, `{`+refused+`}`), ValidationFailed)
	}
	if f.count("webhook_endpoints") != 3 {
		t.Error("what was refused is there")
	}
}

// Feature: Several webhook endpoints with filters
func TestEndpointEventFilters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var types EventTypes
	f.must(200, &types, "GET", "/v1/event-types", nil)
	if len(types.Data) != len(events.Types) || !slices.Equal(types.Wildcards, events.TypePatterns()[:len(types.Wildcards)]) || len(types.Wildcards) < 5 {
		t.Errorf("types: %+v", types)
	}
	all := append([]string{}, types.Wildcards...)
	for i, info := range types.Data {
		if info.Type != string(events.Types[i]) || info.Summary != eventShapes[events.Types[i]].summary {
			t.Errorf("type %+v", info)
		}
		all = append(all, info.Type)
	}
	var made CreatedEndpoint
	path := f.endpoint(&made, map[string]any{"events": all})
	if fmt.Sprint(made.Events) != fmt.Sprint(all) {
		t.Errorf("stored %v", made.Events)
	}
	for _, filter := range []string{"message.recieved", "message", "message.", "message*", "*.*", "m*", "**", "", "messages.*", "message.received.*"} {
		for _, a := range []answer{
			f.do("POST", "/v1/webhook-endpoints", map[string]any{"url": "https://203.0.113.9/hook", "events": []string{"message.received", filter}}),
			f.do("PATCH", path, map[string]any{"events": []string{"message.received", filter}}),
		} {
			p := f.problem(a, ValidationFailed)
			if len(p.Errors) != 1 || p.Errors[0].Location != "body.events[1]" || p.Errors[0].Message != fmt.Sprintf(validation.MsgExpectedOneOf, strings.Join(all, ", ")) {
				t.Errorf("%q: %+v", filter, p)
			}
		}
	}
	f.problem(f.do("PATCH", path, `{"events":[]}`), ValidationFailed)
	f.problem(f.do("POST", "/v1/webhook-endpoints", `{"url":"https://203.0.113.9/hook","format":"legacy","events":["message.*"]}`), ValidationFailed)
}

func TestHowAnEndpointDoes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var e Endpoint
	path := f.endpoint(nil, nil)
	for _, c := range []struct {
		set, breaker string
		until        bool
		concurrency  int
	}{
		{"breaker_until = now() + interval '1 hour', concurrency = 3", "open", true, 3},
		{"breaker_until = now() - interval '1 second', concurrency = 200", "half_open", false, 16},
		{"breaker_until = NULL, concurrency = NULL", "closed", false, 16},
	} {
		f.exec("UPDATE webhook_endpoints SET " + c.set)
		f.must(200, &e, "GET", path, nil)
		if e.Breaker != c.breaker || (e.BreakerUntil != nil) != c.until || e.Concurrency != c.concurrency {
			t.Errorf("%s: breaker %s until %v, concurrency %d", c.set, e.Breaker, e.BreakerUntil, e.Concurrency)
		}
	}
	// A clean record: by a state that is asked for, by another URL, by /webhook/config; by nothing else.
	stained := "failing_told AND concurrency = 2 AND rate_tokens = 5 AND rate_at IS NOT NULL AND breaker_until IS NOT NULL AND consecutive_failures = 10"
	clean := "NOT failing_told AND concurrency IS NULL AND rate_tokens = 0 AND rate_at IS NULL AND breaker_until IS NULL AND consecutive_failures = 0"
	f.must(200, nil, "POST", "/webhook/config", `{"webhookUrl":"https://203.0.113.9/hook"}`)
	configured := "/v1/webhook-endpoints/" + events.EndpointPrefix.Format(configuredEndpoint)
	for _, c := range []struct {
		method, path, body, want string
	}{
		{"PATCH", path, `{"maxInFlight":9,"url":"https://203.0.113.9/hook"}`, stained}, {"PATCH", path, `{"state":"active"}`, clean}, {"PATCH", path, `{"url":"https://203.0.113.9/other"}`, clean},
		{"POST", "/webhook/config", `{"webhookUrl":"https://203.0.113.9/other"}`, clean}, {"PATCH", configured, `{"ratePerSecond":3}`, stained},
	} {
		f.exec("UPDATE webhook_endpoints SET failing_told = true, concurrency = 2, rate_tokens = 5, rate_at = now(), breaker_until = now(), consecutive_failures = 10")
		f.must(200, nil, c.method, c.path, c.body)
		want := 1
		if c.want == stained {
			want = 2 // the other one too
		}
		if n := f.count("webhook_endpoints WHERE " + c.want); n != want {
			t.Errorf("%s %s %s: %d endpoints are %s", c.method, c.path, c.body, n, c.want)
		}
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var made CreatedEndpoint
	var e Endpoint
	path := f.endpoint(&made, nil)
	f.endpoint(nil, nil)
	id, _ := events.EndpointPrefix.Parse(made.ID)
	add := func(n int, state string, order any) {
		t.Helper()
		f.exec(`INSERT INTO deliveries (id, event_id, event_seq, endpoint_id, state, order_key) SELECT gen_random_uuid(), gen_random_uuid(), 1, $1, $2, $3 FROM generate_series(1, $4)`, id, state, order, n)
	}
	add(2, "pending", nil)
	add(3, "pending", "chat")
	add(4, "held", "chat")
	add(1, "sending", nil)
	add(1, "succeeded", nil)
	want := func(pending, held int) {
		t.Helper()
		if f.must(200, &e, "GET", path, nil); e.Backlog == nil || e.Backlog.Pending != pending || e.Backlog.Held != held {
			t.Errorf("backlog %+v, want %d and %d", e.Backlog, pending, held)
		}
	}
	want(5, 4)
	var list List[Endpoint]
	if f.must(200, &list, "GET", "/v1/webhook-endpoints", nil); len(list.Data) != 2 || list.Data[0].Backlog != nil || list.Data[1].Backlog != nil {
		t.Errorf("a list counts: %+v", list)
	}
	add(6000, "pending", nil)
	add(6000, "pending", "chat")
	add(mostCounted+5, "held", nil)
	want(mostCounted, mostCounted)
}
