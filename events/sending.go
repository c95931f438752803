package events

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Sending paces what a session sends, so that an account does not write as no person would. Messages of priority high do not wait for it, and
// those that answer somebody (AnswerWithin) go at once.
type Sending struct {
	Pace        *Pace        `json:"pace,omitempty" doc:"Between two messages that answer nobody."`
	NewContacts *NewContacts `json:"newContacts,omitempty" doc:"Messages to people who never wrote: what WhatsApp restricts and bans accounts for."`
	Window      *Window      `json:"window,omitempty" doc:"When messages that answer nobody are sent."`
}

// Paces says whether anything waits for it.
func (s *Sending) Paces() bool {
	return s != nil && (s.Pace != nil || s.NewContacts != nil || s.Window != nil)
}

// AnswerWithin is how long after somebody wrote a message to him is an answer: as long as WhatsApp's own Business API lets a business answer freely.
const AnswerWithin = 24 * time.Hour

// A Pace is a wait between two messages, at random between its ends.
type Pace struct {
	MinSeconds int `json:"minSeconds" minimum:"0" maximum:"3600" doc:"The shortest wait." example:"3"`
	MaxSeconds int `json:"maxSeconds" minimum:"0" maximum:"3600" doc:"The longest; each wait is between the two, at random." example:"8"`
}

// NewContacts bounds how an account writes to people who never wrote to it.
type NewContacts struct {
	Pace
	PerDay     int        `json:"perDay,omitempty" minimum:"0" maximum:"10000" doc:"To how many people at most the account writes first within 24 hours; 0 is no limit. Further messages to them do not count." example:"40"`
	WarmUpDays int        `json:"warmUpDays,omitempty" minimum:"0" maximum:"90" doc:"For so many days perDay grows evenly from a part to all of it, as a new account should begin." example:"14"`
	WarmUpFrom *time.Time `json:"warmUpFrom,omitempty" doc:"When the warm-up began; without it, when the session was created."`
}

// A Window is a time of day.
type Window struct {
	Days     []string `json:"days,omitempty" maxItems:"7" uniqueItems:"true" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"The days on which it opens; without them every day." example:"[\"mon\",\"tue\",\"wed\",\"thu\",\"fri\"]"`
	From     string   `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" patternDescription:"hours and minutes, as 09:30" doc:"When it opens." example:"09:00"`
	To       string   `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" patternDescription:"hours and minutes, as 09:30" doc:"When it closes; where that is before it opens, on the next day." example:"19:00"`
	TimeZone string   `json:"timeZone" minLength:"1" maxLength:"64" doc:"A name of the IANA time zone database." example:"America/Lima"`
}

// Check says what is wrong with it, and where below location.
func (s Sending) Check() (location string, err error) {
	for name, pace := range map[string]*Pace{"pace": s.Pace, "newContacts": s.NewContacts.pace()} {
		if pace != nil && pace.MaxSeconds < pace.MinSeconds {
			return name + ".maxSeconds", errors.New("expected no less than minSeconds")
		}
	}
	if n := s.NewContacts; n != nil && n.WarmUpDays > 0 && n.PerDay == 0 {
		return "newContacts.perDay", errors.New("expected a limit for warmUpDays to lead to")
	}
	if w := s.Window; w != nil {
		if w.From == w.To {
			return "window.to", errors.New("expected another time than from")
		}
		if _, err := time.LoadLocation(w.TimeZone); err != nil || w.TimeZone == "Local" {
			return "window.timeZone", errors.New("expected a time zone as America/Lima")
		}
	}
	return "", nil
}

func (n *NewContacts) pace() *Pace {
	if n == nil {
		return nil
	}
	return &n.Pace
}

// Limit is perDay at a moment, warm-up taken into account; created is when the session was. 0 is no limit.
func (n *NewContacts) Limit(now, created time.Time) int {
	if n.WarmUpDays == 0 {
		return n.PerDay
	}
	if n.WarmUpFrom != nil {
		created = *n.WarmUpFrom
	}
	day := max(1, int(now.Sub(created)/(24*time.Hour))+1) // the first is 1
	if day >= n.WarmUpDays {
		return n.PerDay
	}
	return (n.PerDay*day + n.WarmUpDays - 1) / n.WarmUpDays
}

var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // by time.Weekday

// Opens is when the window is next open: now, where it is.
func (w *Window) Opens(now time.Time) (time.Time, error) {
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil {
		return now, fmt.Errorf("load time zone: %w", err)
	}
	from, err1 := time.Parse("15:04", w.From)
	to, err2 := time.Parse("15:04", w.To)
	if err := errors.Join(err1, err2); err != nil {
		return now, fmt.Errorf("parse time of day: %w", err)
	}
	y, m, d := now.In(zone).Date()
	for ahead := -1; ahead <= 7; ahead++ { // yesterday's may still be open
		opens := time.Date(y, m, d+ahead, from.Hour(), from.Minute(), 0, 0, zone)
		if len(w.Days) > 0 && !slices.Contains(w.Days, days[time.Date(y, m, d+ahead, 12, 0, 0, 0, zone).Weekday()]) {
			continue
		}
		closes := time.Date(y, m, d+ahead, to.Hour(), to.Minute(), 0, 0, zone)
		if !to.After(from) {
			closes = time.Date(y, m, d+ahead+1, to.Hour(), to.Minute(), 0, 0, zone)
		}
		switch {
		case now.Before(opens):
			return opens, nil
		case now.Before(closes):
			return now, nil
		}
	}
	return now, errors.New("find when the window opens: no day of it within a week")
}

// What a message that is queued waits for, beside its turn.
const (
	WaitsForChat        = "chat"        // an earlier message of its chat
	WaitsForTyping      = "typing"      // typing is shown
	WaitsForPace        = "pace"        // the wait between messages
	WaitsForNewContacts = "newContacts" // the wait between messages to new contacts
	WaitsForDay         = "perDay"      // the day's new contacts are written to
	WaitsForWindow      = "window"      // the window is closed
)

// Released is in their place once the message waits for its turn alone.
const Released = "released"

// PriorityHigh is the priority of a message that overtakes what waits.
const PriorityHigh = "high"

// AccountHealth is how an account fares with WhatsApp.
type AccountHealth struct {
	Level           string         `json:"level" enum:"good,caution,risk" doc:"good: nothing stands out. caution: WhatsApp may soon restrict the account. risk: it has." example:"good"`
	Reasons         []HealthReason `json:"reasons" doc:"What the level comes from; none where it is good."`
	RestrictedUntil *time.Time     `json:"restrictedUntil,omitempty" doc:"Until when WhatsApp lets the account write to nobody new."`
	Sent            int            `json:"sent" doc:"Messages that it sent, of its last 2,000 in both directions, within 24 hours." example:"120"`
	Failed          map[string]int `json:"failed" doc:"How many of these failed, by code." example:"{\"recipient_not_on_whatsapp\":2}"`
	NewContacts     NewContactRate `json:"newContacts"`
	Waiting         map[string]int `json:"waiting" doc:"How many messages wait for what the session's settings make them wait for, at most 1,000 in all." example:"{\"newContacts\":12}"`
	WindowOpensAt   *time.Time     `json:"windowOpensAt,omitempty" doc:"When the session's window opens, while it is closed."`
}

// NewContactRate is how an account writes to people who never wrote to it, and how they take it.
type NewContactRate struct {
	Today    int `json:"today" doc:"To how many it wrote first within 24 hours." example:"12"`
	PerDay   int `json:"perDay,omitempty" doc:"How many the settings allow now, warm-up taken into account; absent without a limit." example:"40"`
	Week     int `json:"week" doc:"To how many it wrote first from 1 to 8 days ago." example:"150"`
	Answered int `json:"answered" doc:"How many of these have written back." example:"61"`
}

// A HealthReason is one thing that makes the level of an account's health.
type HealthReason struct {
	Code    string `json:"code" enum:"account_restricted,account_banned,rate_limited,not_on_whatsapp,unanswered" example:"unanswered"`
	Message string `json:"message" doc:"What it is and what helps, for a person." example:"Of 150 people that the account wrote to first, 4 answered. Write to people who expect it."`
}

// The levels of AccountHealth.
const (
	HealthGood    = "good"
	HealthCaution = "caution"
	HealthRisk    = "risk"
)

// RiskData is the data of session.risk.
type RiskData struct {
	Health AccountHealth `json:"health"`
}
