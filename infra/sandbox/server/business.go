package server

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"go.mau.fi/libsignal/ecc"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waVnameCert"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

// Business is the profile of a business account, as its owner wrote it.
type Business struct {
	Name        string   `json:"name"` // the verified name
	Description string   `json:"description,omitempty"`
	Address     string   `json:"address,omitempty"`
	Email       string   `json:"email,omitempty"`
	Websites    []string `json:"websites,omitempty"`
	Categories  []string `json:"categories,omitempty"`
	// Timezone, of the IANA list, and Hours say when the business is open.
	Timezone string          `json:"timezone,omitempty"`
	Hours    []BusinessHours `json:"hours,omitempty"`
}

// BusinessHours are those of one day of the week.
type BusinessHours struct {
	Day   string `json:"day"`             // sun, mon, tue, wed, thu, fri, sat
	Mode  string `json:"mode"`            // open_24h, specific_hours, appointment_only
	Open  int    `json:"open,omitempty"`  // minutes after midnight, for specific_hours
	Close int    `json:"close,omitempty"` // the same
}

// business is a business account's profile, a record "business". It is replaced, never changed.
type business struct {
	Business
	Serial   uint64 `json:"serial"`   // of the name's certificate
	IssuedAt int64  `json:"issuedAt"` // unix seconds
	Cert     []byte `json:"cert"`     // waVnameCert.VerifiedNameCertificate
}

func registerBusiness(r *registry) {
	r.queries[query{"w:biz", "get", "business_profile"}] = handleBusinessGet
	r.queries[query{"w:biz", "set", "business_profile"}] = handleBusinessSet
	r.queries[query{"w:biz:catalog", "get", ""}] = handleCatalog
	r.queries[query{"w:biz:catalog", "set", ""}] = handleCatalogSet
	r.queries[query{"fb:thrift_iq", "get", "order"}] = handleOrder
	r.queries[query{"bot", "get", "bot"}] = handleBots
	r.loaders["business"] = accountLoader(func(a *account, rec journal.Record) error {
		a.business = &business{}
		return json.Unmarshal(rec.Value, a.business)
	})
}

// SetBusiness makes an account a business with this profile, or with nil an ordinary one again. It returns ErrNoAccount.
func (s *Server) SetBusiness(ctx context.Context, phone string, profile *Business) error {
	a, err := s.accountOf(phone)
	if err != nil {
		return err
	}
	a.editing.Lock()
	defer a.editing.Unlock()
	return s.setBusiness(ctx, a, profile)
}

// setBusiness wants the account's editing held. A name that stays keeps its certificate.
func (s *Server) setBusiness(ctx context.Context, a *account, profile *Business) error {
	s.mu.RLock()
	old := a.business
	s.mu.RUnlock()
	rec, set := journal.Record{Kind: "business", Key: a.keys.Phone}, (*business)(nil)
	if profile != nil {
		set = &business{Business: *profile}
		if old != nil && old.Name == profile.Name {
			set.Serial, set.IssuedAt, set.Cert = old.Serial, old.IssuedAt, old.Cert
		} else if err := set.certify(a); err != nil {
			return err
		}
		rec = record("business", a.keys.Phone, set)
	}
	if err := s.commit(ctx, []journal.Record{rec}, nil); err != nil {
		return fmt.Errorf("store business profile: %w", err)
	}
	s.mu.Lock()
	a.business = set
	s.mu.Unlock()
	return nil
}

// Business returns an account's business profile; nil for an ordinary account or none.
func (s *Server) Business(phone string) *Business {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.byPhone[phone]; a != nil && a.business != nil {
		profile := a.business.Business
		return &profile
	}
	return nil
}

// certify makes the certificate of the name, signed with the account's identity key. WhatsApp signs it too, with a key that nobody here has
// and no client looks for.
func (b *business) certify(a *account) error {
	b.Serial, b.IssuedAt = uint64(randomUint32()), time.Now().Unix()
	details, err := proto.Marshal(&waVnameCert.VerifiedNameCertificate_Details{
		Serial: proto.Uint64(b.Serial), Issuer: proto.String("smb:wa"), VerifiedName: proto.String(b.Name), IssueTime: proto.Uint64(uint64(b.IssuedAt)),
	})
	if err != nil {
		return fmt.Errorf("marshal name certificate: %w", err)
	}
	signature := ecc.CalculateSignature(ecc.NewDjbECPrivateKey(*a.keys.Identity.Priv), details)
	b.Cert, err = proto.Marshal(&waVnameCert.VerifiedNameCertificate{Details: details, Signature: signature[:]})
	if err != nil {
		return fmt.Errorf("marshal name certificate: %w", err)
	}
	return nil
}

// verifiedNode is the certificate with all that parseVerifiedNameContent (user.go) insists on.
func (b *business) verifiedNode() waBinary.Node {
	return waBinary.Node{Tag: "verified_name", Content: b.Cert, Attrs: waBinary.Attrs{
		"v": 2, "verified_level": "unknown", "serial": strconv.FormatUint(b.Serial, 10), "host_storage": 1, "actual_actors": 1,
		"privacy_mode_ts": b.IssuedAt,
	}}
}

// verifiedName is the certificate that messages of a business carry; none for others.
func (s *Server) verifiedName(a *account) []waBinary.Node {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a.business == nil {
		return nil
	}
	return []waBinary.Node{a.business.verifiedNode()}
}

// pairedBusiness tells a companion that it is being linked to a business (pair.go).
func (s *Server) pairedBusiness(a *account) []waBinary.Node {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a.business == nil {
		return nil
	}
	return []waBinary.Node{{Tag: "biz", Attrs: waBinary.Attrs{"name": a.business.Name}}}
}

// handleBusinessGet answers with a profile (parseBusinessProfile in user.go), or without one for an ordinary account (Baileys).
func handleBusinessGet(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("business_profile")
	var profiles []waBinary.Node
	for _, wanted := range request.GetChildrenByTag("profile") {
		jid, _ := wanted.Attrs["jid"].(types.JID)
		a := c.s.user(jid)
		if a == nil {
			continue
		}
		c.s.mu.RLock()
		b := a.business
		c.s.mu.RUnlock()
		if b != nil {
			profiles = append(profiles, b.node(jid.ToNonAD()))
		}
	}
	answer := waBinary.Node{Tag: "business_profile", Attrs: waBinary.Attrs{"v": attr(&request, "v")}}
	if len(profiles) > 0 {
		answer.Content = profiles
	}
	return []waBinary.Node{answer}, nil
}

func (b *business) node(jid types.JID) waBinary.Node {
	text := func(tag, value string) waBinary.Node { return waBinary.Node{Tag: tag, Content: []byte(value)} }
	children := []waBinary.Node{text("address", b.Address), text("description", b.Description), text("email", b.Email)}
	for _, website := range b.Websites {
		children = append(children, text("website", website))
	}
	var categories, hours []waBinary.Node
	for _, name := range b.Categories {
		id := fnv.New32a() // WhatsApp's ids are numbers of its own
		_, _ = id.Write([]byte(name))
		category := text("category", name)
		category.Attrs = waBinary.Attrs{"id": strconv.FormatUint(uint64(id.Sum32()), 10)}
		categories = append(categories, category)
	}
	for _, day := range b.Hours {
		config := waBinary.Node{Tag: "business_hours_config", Attrs: waBinary.Attrs{"day_of_week": day.Day, "mode": day.Mode}}
		if day.Mode == "specific_hours" {
			config.Attrs["open_time"], config.Attrs["close_time"] = day.Open, day.Close
		}
		hours = append(hours, config)
	}
	children = append(children, waBinary.Node{Tag: "categories", Content: categories},
		waBinary.Node{Tag: "business_hours", Attrs: waBinary.Attrs{"timezone": b.Timezone}, Content: hours},
		waBinary.Node{Tag: "profile_options", Content: []waBinary.Node{text("commerce_experience", "none"), text("cart_enabled", "false")}})
	return waBinary.Node{Tag: "profile", Attrs: waBinary.Attrs{"jid": jid}, Content: children}
}

// handleBusinessSet changes the parts of the own profile that are in the request (updateBussinesProfile in Baileys). A cover photo is taken
// and not shown.
func handleBusinessSet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	s, a := c.s, c.device.account
	a.editing.Lock()
	defer a.editing.Unlock()
	s.mu.RLock()
	old := a.business
	s.mu.RUnlock()
	if old == nil {
		return nil, errForbidden
	}
	changed, websites := old.Business, []string(nil)
	request := iq.GetChildByTag("business_profile")
	for _, part := range request.GetChildren() {
		text := string(content(part))
		switch part.Tag {
		case "address":
			changed.Address = text
		case "description":
			changed.Description = text
		case "email":
			changed.Email = text
		case "website":
			websites = append(websites, text)
			changed.Websites = websites
		case "business_hours":
			changed.Timezone, changed.Hours = attr(&part, "timezone"), nil
			for _, day := range part.GetChildrenByTag("business_hours_config") {
				ag := day.AttrGetter()
				changed.Hours = append(changed.Hours, BusinessHours{
					Day: ag.OptionalString("day_of_week"), Mode: ag.OptionalString("mode"), Open: ag.OptionalInt("open_time"), Close: ag.OptionalInt("close_time"),
				})
			}
		}
	}
	return nil, s.setBusiness(ctx, a, &changed)
}

// handleCatalog answers that a business has nothing for sale (getCatalog and getCollections in Baileys).
func handleCatalog(_ context.Context, _ *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	children := iq.GetChildren()
	if len(children) == 0 {
		return nil, errBadRequest
	}
	return []waBinary.Node{{Tag: children[0].Tag}}, nil
}

// handleCatalogSet refuses to change a catalog: this server has none.
func handleCatalogSet(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return nil, errNotAllowed
}

// handleOrder answers that there is no such order (GetOrderDetails in business.go).
func handleOrder(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return nil, errItemNotFound
}

// handleBots answers that there are no bots (GetBotListV2 in user.go).
func handleBots(context.Context, *conn, *waBinary.Node) ([]waBinary.Node, error) {
	return []waBinary.Node{{Tag: "bot", Content: []waBinary.Node{{Tag: "section", Attrs: waBinary.Attrs{"type": "all"}}}}}, nil
}
