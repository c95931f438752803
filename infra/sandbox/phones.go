package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chasqui/chasqui/infra/sandbox/server"
)

// NewPhone is what CreatePhone is given.
type NewPhone struct {
	// Number is the phone number in digits, 7 to 15, country code first.
	Number string `json:"number"`
	// Name has 1 to 100 bytes.
	Name string `json:"name"`
	// Level is "live" by default. A phone of level "sink" or "stub" costs about a kilobyte and can only be written to.
	Level server.Level `json:"level"`
	// AutoReply is "echo" or "".
	AutoReply string `json:"autoReply"`
	// Count makes so many phones of level sink or stub, with numbers that follow each other; 0 is 1, and 10,000 the most.
	Count int `json:"count"`
}

// mostPhones bounds NewPhone.Count.
const mostPhones = 10_000

func (n *NewPhone) check() error {
	if err := checkNumber("number", n.Number); err != nil {
		return err
	}
	n.Level, n.Count = cmp.Or(n.Level, server.Live), max(n.Count, 1)
	live := n.Level == server.Live
	switch {
	case n.Name == "" || len(n.Name) > 100 || strings.Contains(n.Name, "\x00"):
		return failure(http.StatusUnprocessableEntity, "name must have 1 to 100 bytes, none of them NUL")
	case !live && n.Level != server.Sink && n.Level != server.Stub:
		return failure(http.StatusUnprocessableEntity, `level must be "live", "sink", "stub" or absent`)
	case n.AutoReply != "" && (n.AutoReply != "echo" || !live):
		return failure(http.StatusUnprocessableEntity, `autoReply must be "echo" or absent, and is for live phones`)
	case n.Count > mostPhones || n.Count > 1 && live:
		return failure(http.StatusUnprocessableEntity, "count must be 1 to %d, and is for phones of level sink and stub", mostPhones)
	}
	return nil
}

// CreatePhone makes a phone and waits up to 10 s for its first login. The same call again finds the phone there (created is false); one with
// another name, level or autoReply is refused with status 409. Of several phones the first is returned.
func (s *Sandbox) CreatePhone(ctx context.Context, n NewPhone) (view Phone, created bool, err error) {
	if err := n.check(); err != nil {
		return Phone{}, false, err
	}
	if n.Level != server.Live {
		return s.createKeys(ctx, n)
	}
	p, created, err := s.createLive(ctx, phoneRow{Number: n.Number, Name: n.Name, AutoReply: n.AutoReply, CreatedAt: time.Now().UTC()})
	if err != nil {
		return Phone{}, false, err
	}
	login := time.NewTimer(loginWait)
	defer login.Stop()
	select {
	case <-p.loggedIn:
	case <-login.C: // the server refuses connections just now; the phone keeps trying
	case <-ctx.Done():
	}
	return s.view(p), created, nil
}

// createLive makes a phone and starts it, or finds the one that is there.
func (s *Sandbox) createLive(ctx context.Context, row phoneRow) (p *phone, created bool, err error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	if p, err := s.phone(row.Number); err == nil {
		if p.row.Name != row.Name || p.row.AutoReply != row.AutoReply {
			return nil, false, failure(http.StatusConflict, "phone %s exists with another name or autoReply", row.Number)
		}
		return p, false, nil
	}
	if _, taken := s.server.Account(row.Number); taken {
		return nil, false, failure(http.StatusConflict, "phone %s exists with another level", row.Number)
	}
	if err := s.journal.Commit(ctx, jsonRecord("phone", row.Number, row)); err != nil {
		return nil, false, fmt.Errorf("store phone: %w", err)
	}
	p, err = s.launch(ctx, row)
	return p, err == nil, err
}

// createKeys makes phones that are nothing but keys at the server.
func (s *Sandbox) createKeys(ctx context.Context, n NewPhone) (view Phone, created bool, err error) {
	s.creating.Lock()
	defer s.creating.Unlock()
	first, err := strconv.ParseUint(n.Number, 10, 64)
	if err != nil {
		return Phone{}, false, fmt.Errorf("read number: %w", err)
	}
	var wanted []server.NewAccount
	for i := range n.Count {
		number := strconv.FormatUint(first+uint64(i), 10)
		account, ok := s.server.Account(number)
		if ok && (account.Level != n.Level || account.Name != n.Name) {
			return Phone{}, false, failure(http.StatusConflict, "phone %s exists with another name or level", number)
		}
		if !ok {
			wanted = append(wanted, server.NewAccount{Phone: number, Name: n.Name, Level: n.Level})
		}
	}
	if _, err := s.server.CreateAccounts(ctx, wanted...); err != nil {
		return Phone{}, false, err
	}
	account, _ := s.server.Account(n.Number)
	return s.keysView(account), len(wanted) > 0, nil
}

// keysView shows a phone that is nothing but keys.
func (s *Sandbox) keysView(a server.Account) Phone {
	return Phone{Number: a.Phone, Name: a.Name, Level: a.Level, LID: a.LID, Devices: s.devices(a.Phone), CreatedAt: a.CreatedAt.UTC()}
}

// devices are the JIDs of the devices that are linked to a phone.
func (s *Sandbox) devices(number string) []string {
	devices := []string{}
	for _, jid := range s.server.Devices(number) {
		devices = append(devices, jid.String())
	}
	return devices
}

// phonesPage bounds one answer of Phones.
const phonesPage = 1000

// Phones lists the phones whose numbers follow after, at most 1,000, by number.
func (s *Sandbox) Phones(after string) []Phone {
	views := []Phone{}
	for _, account := range s.server.Accounts() {
		if account.Phone <= after || len(views) == phonesPage {
			continue
		}
		if account.Level != server.Live {
			views = append(views, s.keysView(account))
		} else if p, err := s.phone(account.Phone); err == nil { // one whose creation is under way is left out
			views = append(views, s.view(p))
		}
	}
	return views
}

// Phone shows one phone; status 404 when there is none of that number.
func (s *Sandbox) Phone(number string) (Phone, error) {
	if account, ok := s.server.Account(number); ok && account.Level != server.Live {
		return s.keysView(account), nil
	}
	p, err := s.phone(number)
	if err != nil {
		return Phone{}, err
	}
	return s.view(p), nil
}
