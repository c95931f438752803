package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.mau.fi/whatsmeow/appstate"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waServerSync"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/chasqui/chasqui/infra/sandbox/journal"
)

const (
	// maxPatch bounds one patch, in bytes; what is larger comes as an external blob. WhatsApp's own bound is not known.
	maxPatch = 1 << 20
	// maxPage bounds the patches of one answer, in bytes: a frame has at most 16 MB (FrameMaxSize in socket/constants.go).
	maxPage = 8 << 20
	// lag is how many patches that a snapshot covers are kept for the devices that are behind: they need not begin anew.
	lag = 1000
	// maxPatches is how many patches a collection has before its snapshot is made without anybody asking for it.
	maxPatches = 2 * lag
)

// AppStateSettings say how the server gives app state. Zero values stand for the defaults.
type AppStateSettings struct {
	// SnapshotAfter is how many patches a device that begins anew is given before it gets a snapshot instead; 100 by default.
	SnapshotAfter int
	// Page is how many patches one answer holds; 100 by default.
	Page int
}

// appState is what an account's devices share about chats and contacts, encrypted so that only they can read it.
type appState struct {
	mu          sync.Mutex // held over each reading and each change with its commit
	collections map[string]*collection
}

// collection is one of the sequences of patches that app state consists of. What its patches amount to is its snapshot, which the server can
// make: a patch sets or removes records by the MAC of their index, which is in the clear, and carries the MAC of the state after it.
type collection struct {
	version uint64                              // the newest patch's
	patches []patch                             // the newest, without a gap
	base    []byte                              // a SyncdSnapshot; nil before the first
	covers  uint64                              // the version of base
	file    *waServerSync.ExternalBlobReference // where base was stored for downloads; nil when it was not since the start
}

type patch struct {
	version uint64
	raw     []byte // a SyncdPatch with its version in it
}

func registerAppState(r *registry) {
	r.queries[query{"w:sync:app:state", "set", "sync"}] = handleAppState
	r.loaders["patch"] = loadPatch
	r.loaders["snapshot"] = loadSnapshot
}

// SetAppState changes the settings until the server closes.
func (s *Server) SetAppState(settings AppStateSettings) { s.appState.Store(&settings) }

// AppState returns the settings in force.
func (s *Server) AppState() AppStateSettings {
	settings := AppStateSettings{}
	if set := s.appState.Load(); set != nil {
		settings = *set
	}
	if settings.SnapshotAfter <= 0 {
		settings.SnapshotAfter = 100
	}
	if settings.Page <= 0 {
		settings.Page = 100
	}
	return settings
}

// collection finds a collection by its name, or begins it; nil for a name that WhatsApp does not have. The caller holds the lock.
func (a *appState) collection(name string) *collection {
	if !slices.Contains(appstate.AllPatchNames[:], appstate.WAPatchName(name)) {
		return nil
	}
	if a.collections == nil {
		a.collections = map[string]*collection{}
	}
	if a.collections[name] == nil {
		a.collections[name] = &collection{}
	}
	return a.collections[name]
}

func patchKey(phone, name string, version uint64) string {
	return fmt.Sprintf("%s/%s/%020d", phone, name, version)
}

// loadPatch takes a patch; they come in the order of their versions.
func loadPatch(s *Server, r journal.Record) error {
	path, digits, _ := cutLast(r.Key)
	version, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	c, err := s.loadedCollection(path)
	if err != nil || c == nil {
		return err
	}
	c.patches = append(c.patches, patch{version, r.Value})
	c.version = max(c.version, version)
	return nil
}

func loadSnapshot(s *Server, r journal.Record) error {
	c, err := s.loadedCollection(r.Key)
	if err != nil || c == nil {
		return err
	}
	var snapshot waServerSync.SyncdSnapshot
	if err := proto.Unmarshal(r.Value, &snapshot); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	c.base, c.covers = r.Value, snapshot.GetVersion().GetVersion()
	c.version = max(c.version, c.covers)
	return nil
}

// loadedCollection finds a collection by phone/name while the server starts, when there is no other goroutine; nil when its account is gone.
func (s *Server) loadedCollection(path string) (*collection, error) {
	phone, name, _ := cutLast(path)
	a := s.byPhone[phone]
	if a == nil {
		return nil, nil
	}
	c := a.appState.collection(name)
	if c == nil {
		return nil, fmt.Errorf("no such collection: %s", name)
	}
	return c, nil
}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return path, "", false
	}
	return path[:i], path[i+1:], true
}

// handleAppState reads and writes app state (sendAppState and fetchAppStatePatches in appstate.go).
func handleAppState(ctx context.Context, c *conn, iq *waBinary.Node) ([]waBinary.Node, error) {
	request := iq.GetChildByTag("sync")
	asked := request.GetChildren()
	if len(asked) > len(appstate.AllPatchNames) {
		return nil, errBadRequest
	}
	a := &c.device.account.appState
	a.mu.Lock()
	defer a.mu.Unlock()
	answers := make([]waBinary.Node, 0, len(asked))
	for i := range asked {
		collection := a.collection(attr(&asked[i], "name"))
		if collection == nil {
			return nil, errBadRequest
		}
		answer, err := c.syncCollection(ctx, collection, &asked[i])
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return []waBinary.Node{{Tag: "sync", Content: answers}}, nil
}

// syncCollection appends the patch that comes with a collection, if it builds on the newest version, and answers with what the client does
// not have: after a successful write nothing but the new version, else the patches since its version, with an error 409 when it wanted to
// write. The caller holds the account's lock.
func (c *conn) syncCollection(ctx context.Context, col *collection, asked *waBinary.Node) (waBinary.Node, error) {
	name, settings := attr(asked, "name"), c.s.AppState()
	answer := waBinary.Node{Tag: "collection", Attrs: waBinary.Attrs{"name": name, "type": "result"}}
	var base uint64
	if version := attr(asked, "version"); version != "" {
		var err error
		if base, err = strconv.ParseUint(version, 10, 64); err != nil {
			return answer, errBadRequest
		}
	}
	var parts []waBinary.Node
	page := settings.Page
	if sent, ok := asked.GetOptionalChildByTag("patch"); ok {
		if base == col.version {
			if err := c.appendPatch(ctx, col, name, content(sent)); err != nil {
				return answer, err
			}
			answer.Attrs["version"] = col.version
			return answer, nil
		}
		answer.Attrs["type"] = "error"
		parts = append(parts, waBinary.Node{Tag: "error", Attrs: waBinary.Attrs{"code": 409, "text": "conflict"}})
		page = max(page, lag) // the client writes once more after this answer (sendAppState), so all of it has to be in it
	}
	// A device that begins anew gets a snapshot instead of many patches. So does, unasked, one that is so far behind that its patches are gone;
	// whatsmeow takes that for an error, and begins anew when FetchAppState is told to.
	wants := attr(asked, "return_snapshot") == "true" && base == 0 && col.version > uint64(settings.SnapshotAfter)
	if wants || base < col.version && (len(col.patches) == 0 || base+1 < col.patches[0].version) {
		reference, err := c.s.snapshot(ctx, c.device.account, col, name, settings)
		if err != nil {
			return answer, fmt.Errorf("make snapshot of app state: %w", err)
		}
		parts = append(parts, waBinary.Node{Tag: "snapshot", Content: reference})
		base = col.covers
	}
	var patches []waBinary.Node
	size := 0
	for _, p := range col.patches {
		if p.version <= base {
			continue
		}
		if size += len(p.raw); len(patches) == page || len(patches) > 0 && size > maxPage {
			answer.Attrs["has_more_patches"] = "true"
			break
		}
		patches = append(patches, waBinary.Node{Tag: "patch", Content: p.raw})
		base = p.version
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

// appendPatch stores a patch as the newest and tells the account's other devices.
func (c *conn) appendPatch(ctx context.Context, col *collection, name string, raw []byte) error {
	s, a := c.s, c.device.account
	var sent waServerSync.SyncdPatch
	if len(raw) > maxPatch || proto.Unmarshal(raw, &sent) != nil {
		return errBadRequest
	}
	mutations, err := s.mutations(ctx, &sent)
	if errors.Is(err, errExternal) {
		return errBadRequest
	}
	if err != nil {
		return fmt.Errorf("read patch: %w", err)
	}
	if !wellFormed(&sent, mutations) {
		return errBadRequest
	}
	version := col.version + 1
	sent.Version = &waServerSync.SyncdVersion{Version: proto.Uint64(version)}
	numbered, err := proto.Marshal(&sent)
	if err != nil {
		return fmt.Errorf("number patch: %w", err)
	}
	next := *col
	next.version, next.patches = version, append(slices.Clip(col.patches), patch{version, numbered})
	records := []journal.Record{{Kind: "patch", Key: patchKey(a.keys.Phone, name, version), Value: numbered}}
	if sent.ExternalMutations != nil || len(next.patches) > maxPatches {
		// An external blob expires, so what it says is taken into the snapshot while it is there.
		covering, err := s.cover(ctx, a, &next, name)
		if err != nil {
			return fmt.Errorf("make snapshot of app state: %w", err)
		}
		records = append(records, covering...)
	}
	var notices []queued
	for _, d := range s.devicesOf(a, c.device) {
		notices = append(notices, queued{d, waBinary.Node{
			Tag:     "notification",
			Attrs:   waBinary.Attrs{"from": types.ServerJID, "type": "server_sync", "id": newID(), "t": time.Now().Unix()},
			Content: []waBinary.Node{{Tag: "collection", Attrs: waBinary.Attrs{"name": name, "version": version}}},
		}})
	}
	if err := s.commit(ctx, records, notices); err != nil {
		return fmt.Errorf("append app state patch: %w", err)
	}
	*col = next
	return nil
}

// wellFormed says whether clients can take a patch apart: whatsmeow cuts MACs of 32 bytes off what they decrypt without looking
// (decodeMutation in appstate/decode.go), and one patch that nobody can read would end the collection for all devices.
func wellFormed(p *waServerSync.SyncdPatch, mutations []*waServerSync.SyncdMutation) bool {
	const mac, iv, block = 32, 16, 16
	if len(mutations) == 0 || len(p.GetSnapshotMAC()) != mac || len(p.GetPatchMAC()) != mac || len(p.GetKeyID().GetID()) == 0 {
		return false
	}
	return !slices.ContainsFunc(mutations, func(m *waServerSync.SyncdMutation) bool {
		r := m.GetRecord()
		return len(r.GetIndex().GetBlob()) != mac || len(r.GetValue().GetBlob()) < iv+block+mac || len(r.GetKeyID().GetID()) == 0
	})
}
