package events

import (
	"testing"
	"time"
)

func TestWindowOpens(t *testing.T) {
	t.Parallel()
	work := []string{"mon", "tue", "wed", "thu", "fri"}
	for _, tt := range []struct {
		name, zone, from, to string
		days                 []string
		now, opens           string
	}{
		{"open", "America/Lima", "09:00", "19:00", work, "2026-01-05T15:00:00Z", "2026-01-05T15:00:00Z"},
		{"as it opens", "America/Lima", "09:00", "19:00", work, "2026-01-05T14:00:00Z", "2026-01-05T14:00:00Z"},
		{"before it opens", "America/Lima", "09:00", "19:00", work, "2026-01-05T13:59:59Z", "2026-01-05T14:00:00Z"},
		{"as it closes", "America/Lima", "09:00", "19:00", work, "2026-01-06T00:00:00Z", "2026-01-06T14:00:00Z"},
		{"over the weekend", "America/Lima", "09:00", "19:00", work, "2026-01-10T01:00:00Z", "2026-01-12T14:00:00Z"},
		{"every day", "UTC", "09:00", "19:00", nil, "2026-01-10T20:00:00Z", "2026-01-11T09:00:00Z"},
		{"over midnight, before", "UTC", "22:00", "02:00", []string{"fri"}, "2026-01-10T01:59:00Z", "2026-01-10T01:59:00Z"},
		{"over midnight, after", "UTC", "22:00", "02:00", []string{"fri"}, "2026-01-10T02:00:00Z", "2026-01-16T22:00:00Z"},
		{"when the clocks go forward", "Europe/Berlin", "09:00", "10:00", nil, "2026-03-29T06:00:00Z", "2026-03-29T07:00:00Z"},
		{"when they went back", "Europe/Berlin", "09:00", "10:00", nil, "2026-10-25T07:00:00Z", "2026-10-25T08:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		w := Window{Days: tt.days, From: tt.from, To: tt.to, TimeZone: tt.zone}
		if got, err := w.Opens(now); err != nil || got.UTC().Format(time.RFC3339) != tt.opens {
			t.Errorf("%s: it opens at %s (%v), not at %s", tt.name, got.UTC().Format(time.RFC3339), err, tt.opens)
		}
	}
	if _, err := (&Window{From: "09:00", To: "10:00", TimeZone: "Nowhere"}).Opens(time.Now()); err == nil {
		t.Error("an unknown time zone has a time")
	}
}

func TestNewContactsLimit(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	began := created.AddDate(0, 0, 10)
	for _, tt := range []struct {
		n     NewContacts
		after time.Duration
		want  int
	}{
		{NewContacts{PerDay: 40}, 0, 40},
		{NewContacts{PerDay: 40, WarmUpDays: 10}, -time.Hour, 4},
		{NewContacts{PerDay: 40, WarmUpDays: 10}, 0, 4},
		{NewContacts{PerDay: 40, WarmUpDays: 10}, 23 * time.Hour, 4},
		{NewContacts{PerDay: 40, WarmUpDays: 10}, 24 * time.Hour, 8},
		{NewContacts{PerDay: 40, WarmUpDays: 10}, 9 * 24 * time.Hour, 40},
		{NewContacts{PerDay: 40, WarmUpDays: 10}, 90 * 24 * time.Hour, 40},
		{NewContacts{PerDay: 40, WarmUpDays: 10, WarmUpFrom: &began}, 11 * 24 * time.Hour, 8},
		{NewContacts{PerDay: 1, WarmUpDays: 30}, 0, 1},
	} {
		if got := tt.n.Limit(created.Add(tt.after), created); got != tt.want {
			t.Errorf("%+v after %s: %d, not %d", tt.n, tt.after, got, tt.want)
		}
	}
}

func TestSendingCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    Sending
		want string
	}{
		{Sending{}, ""},
		{Sending{Pace: &Pace{1, 2}, NewContacts: &NewContacts{Pace: Pace{3, 3}, PerDay: 1, WarmUpDays: 2}, Window: &Window{From: "09:00", To: "08:00", TimeZone: "UTC"}}, ""},
		{Sending{Pace: &Pace{2, 1}}, "pace.maxSeconds"},
		{Sending{NewContacts: &NewContacts{Pace: Pace{2, 1}}}, "newContacts.maxSeconds"},
		{Sending{NewContacts: &NewContacts{WarmUpDays: 3}}, "newContacts.perDay"},
		{Sending{Window: &Window{From: "09:00", To: "09:00", TimeZone: "UTC"}}, "window.to"},
		{Sending{Window: &Window{From: "09:00", To: "10:00", TimeZone: "Mars/Olympus"}}, "window.timeZone"},
		{Sending{Window: &Window{From: "09:00", To: "10:00", TimeZone: "Local"}}, "window.timeZone"},
	} {
		if got, err := tt.s.Check(); got != tt.want || (err != nil) != (tt.want != "") {
			t.Errorf("%+v: %q, %v", tt.s, got, err)
		}
	}
	if (*Sending)(nil).Paces() || (&Sending{}).Paces() || !(&Sending{Pace: &Pace{}}).Paces() {
		t.Error("it does not say whether something is paced")
	}
}
