package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// privacyDefaults are the settings of a fresh account, as WhatsApp's are (types.PrivacySettings); read receipts are on.
var privacyDefaults = map[string]string{
	"groupadd": "all", "last": "all", "status": "all", "profile": "all", "readreceipts": "all", "online": "all", "calladd": "all",
	"messages": "all", "defense": "off", "stickers": "contacts",
}

func registerPrivacy(r *registry) {
	r.queries[query{"privacy", "get", "privacy"}] = handlePrivacyGet
	r.queries[query{"privacy", "set", "privacy"}] = handlePrivacySet
	r.queries[query{"privacy", "set", "tokens"}] = handlePrivacyTokens
	r.loaders["privacylist"] = loadPrivacyList
}

func handlePrivacyGet(_ context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("privacy")
	if list, ok := request.GetOptionalChildByTag("list"); ok {
		return c.privacyList(attr(&list, "name"), attr(&list, "value"))
	}
	settings := maps.Clone(privacyDefaults)
	c.s.mu.RLock()
	maps.Copy(settings, c.device.account.privacy)
	c.s.mu.RUnlock()
	return []waBinary.Node{{Tag: "privacy", Content: categories(settings)}}, nil
}

func categories(settings map[string]string) []waBinary.Node {
	var nodes []waBinary.Node
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		nodes = append(nodes, waBinary.Node{Tag: "category", Attrs: waBinary.Attrs{"name": name, "value": settings[name]}})
	}
	return nodes
}

// handlePrivacySet changes settings and tells the account's other devices.
func handlePrivacySet(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("privacy")
	changed := map[string]string{}
	for _, category := range request.GetChildren() {
		name, value := attr(&category, "name"), attr(&category, "value")
		if !slices.Contains(privacyValues[name], value) {
			return nil, errBadRequest
		}
		changed[name] = value
	}
	if err := c.setPrivacyLists(ctx, request.GetChildren()); err != nil {
		return nil, err
	}
	a := c.device.account
	var notices []queued
	for _, d := range c.s.devicesOf(a, c.device) {
		notices = append(notices, queued{d, waBinary.Node{
			Tag:     "notification",
			Attrs:   waBinary.Attrs{"from": a.pn(), "type": "account_sync", "id": newID(), "t": time.Now().Unix()},
			Content: []waBinary.Node{{Tag: "privacy", Content: categories(changed)}},
		}})
	}
	err := c.s.changeAccount(ctx, a, func(a *account) {
		if a.privacy == nil {
			a.privacy = map[string]string{}
		}
		maps.Copy(a.privacy, changed)
	}, notices)
	if err != nil {
		return nil, fmt.Errorf("store privacy settings: %w", err)
	}
	return []waBinary.Node{{Tag: "privacy", Content: categories(changed)}}, nil
}

// handlePrivacyTokens gives others the token that proves to the server that the account trusts them; they send it along with what they
// address to it.
func handlePrivacyTokens(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("tokens")
	a := c.device.account
	var notices []queued
	for _, token := range request.GetChildren() {
		jid, _ := token.Attrs["jid"].(types.JID)
		trusted := c.s.user(jid)
		if trusted == nil {
			continue
		}
		mac := hmac.New(sha256.New, []byte(c.s.seed))
		if err := c.s.remember(ctx, a, trusted); err != nil {
			return nil, err
		}
		fmt.Fprintf(mac, "trusted contact %s %s %s", a.keys.Phone, trusted.keys.Phone, attr(&token, "t"))
		for _, d := range c.s.devicesOf(trusted, nil) {
			notices = append(notices, queued{d, waBinary.Node{
				Tag:   "notification",
				Attrs: waBinary.Attrs{"from": a.pn(), "sender_lid": a.lid(), "type": "privacy_token", "id": newID(), "t": time.Now().Unix()},
				Content: []waBinary.Node{{Tag: "tokens", Content: []waBinary.Node{{
					Tag:   "token",
					Attrs: waBinary.Attrs{"type": "trusted_contact", "t": attr(&token, "t"), "jid": trusted.pn()}, Content: mac.Sum(nil)[:16],
				}}}},
			}})
		}
	}
	return nil, c.s.enqueue(ctx, notices)
}
