package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waServerSync"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// patchPage is how many patches one answer holds; a client asks for the rest.
	patchPage = 100
	// maxCollections bounds one query; there are five (appstate/keys.go).
	maxCollections = 16
)

func registerAppState(r *registry) {
	r.queries[query{"w:sync:app:state", "set", "sync"}] = handleAppState
	r.loaders["patch"] = loadPatch
}

// handleAppState reads and writes app state: what an account's devices share about chats and contacts, encrypted so that only they can
// read it. A collection is the sequence of its patches; there are no snapshots, a client that asks for one gets all patches.
func handleAppState(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("sync")
	collections := request.GetChildren()
	if len(collections) > maxCollections {
		return nil, errBadRequest
	}
	answers := make([]waBinary.Node, 0, len(collections))
	for i := range collections {
		answer, err := c.syncCollection(ctx, &collections[i])
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return []waBinary.Node{{Tag: "sync", Content: answers}}, nil
}

// syncCollection appends the patch that comes with a collection, if it builds on the newest version, and answers with what the client does
// not have: after a successful write nothing but the new version, else the patches since its version.
func (c *conn) syncCollection(ctx context.Context, collection *waBinary.Node) (waBinary.Node, error) {
	name := attr(collection, "name")
	var base int64
	if version := attr(collection, "version"); version != "" {
		var err error
		if base, err = strconv.ParseInt(version, 10, 64); err != nil {
			return waBinary.Node{}, errBadRequest
		}
	}
	if name == "" {
		return waBinary.Node{}, errBadRequest
	}
	answer := waBinary.Node{Tag: "collection", Attrs: waBinary.Attrs{"name": name, "type": "result"}}
	var parts []waBinary.Node
	if sent, ok := collection.GetOptionalChildByTag("patch"); ok {
		appended, err := c.appendPatch(ctx, name, base, content(sent))
		if err != nil {
			return answer, err
		}
		if appended {
			answer.Attrs["version"] = base + 1
			return answer, nil
		}
		answer.Attrs["type"] = "error"
		parts = append(parts, waBinary.Node{Tag: "error", Attrs: waBinary.Attrs{"code": 409, "text": "conflict"}})
	}
	c.s.mu.RLock()
	kept := c.device.account.patches[name]
	c.s.mu.RUnlock()
	var patches []waBinary.Node
	for base < int64(len(kept)) && len(patches) < patchPage {
		patches = append(patches, waBinary.Node{Tag: "patch", Content: kept[base]})
		base++
	}
	if base < int64(len(kept)) {
		answer.Attrs["has_more_patches"] = "true"
	}
	answer.Attrs["version"] = base
	if len(patches) > 0 {
		parts = append(parts, waBinary.Node{Tag: "patches", Content: patches})
	}
	if len(parts) > 0 {
		answer.Content = parts
	}
	return answer, nil
}

// appendPatch stores a patch as the version after base and tells the account's other devices. It reports false when base is not the
// newest version.
func (c *conn) appendPatch(ctx context.Context, name string, base int64, raw []byte) (appended bool, err error) {
	var patch waServerSync.SyncdPatch
	if err := proto.Unmarshal(raw, &patch); err != nil {
		return false, errBadRequest
	}
	version := base + 1
	patch.Version = &waServerSync.SyncdVersion{Version: proto.Uint64(uint64(version))}
	numbered, err := proto.Marshal(&patch)
	if err != nil {
		return false, fmt.Errorf("number patch: %w", err)
	}
	a := c.device.account
	var notices []queued
	for _, d := range c.s.devicesOf(a, c.device) {
		notices = append(notices, queued{d, waBinary.Node{
			Tag:     "notification",
			Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": "server_sync", "id": newID(), "t": time.Now().Unix()},
			Content: []waBinary.Node{{Tag: "collection", Attrs: waBinary.Attrs{"name": name, "version": version}}},
		}})
	}
	a.change.Lock()
	defer a.change.Unlock()
	c.s.mu.RLock()
	newest := int64(len(a.patches[name]))
	c.s.mu.RUnlock()
	if newest != base {
		return false, nil
	}
	if err := c.s.commit(ctx, []journal.Record{{Kind: "patch", Key: fmt.Sprintf("%s/%s/%012d", a.keys.Phone, name, version), Value: numbered}}, notices); err != nil {
		return false, fmt.Errorf("store app state: %w", err)
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	a.addPatch(name, numbered)
	return true, nil
}

func (a *account) addPatch(name string, patch []byte) {
	if a.patches == nil {
		a.patches = map[string][][]byte{}
	}
	a.patches[name] = append(a.patches[name], patch)
}

func loadPatch(s *Server, r journal.Record) error {
	parts := strings.Split(r.Key, "/")
	a := s.byPhone[parts[0]]
	if a == nil || len(parts) != 3 {
		return errors.New("not a patch of an account")
	}
	a.addPatch(parts[1], r.Value)
	return nil
}
