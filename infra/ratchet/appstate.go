package ratchet

import "sync"

// AppStates makes one of the three steps in which whatsmeow stores a new version of a part of the account's state (appstate/decode.go, storeMACs: the
// version, then the entries that are gone, then those that are new, even if there are none). In between, whoever writes the state (SendAppState, which
// holds no lock) would take the new version with the entries of the old one, and its patch would have a sum that no device accepts from then on; a crash
// there would leave it so for good. So a store notes the first two steps here, and stores all with the third.
type AppStates struct {
	mu    sync.Mutex
	noted map[string]NotedState
}

// NotedState is a version that is to be stored with the entries that come with it.
type NotedState struct {
	Version uint64
	Hash    [128]byte
	Removed [][]byte
}

// Note is the first step.
func (a *AppStates) Note(name string, version uint64, hash [128]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.noted == nil {
		a.noted = make(map[string]NotedState)
	}
	a.noted[name] = NotedState{Version: version, Hash: hash}
}

// Remove is the second step; false when there was no first.
func (a *AppStates) Remove(name string, indexMACs [][]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	state, ok := a.noted[name]
	if ok {
		state.Removed = append(state.Removed, indexMACs...)
		a.noted[name] = state
	}
	return ok
}

// Take begins the third step and forgets the others; false when there were none.
func (a *AppStates) Take(name string) (NotedState, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state, ok := a.noted[name]
	delete(a.noted, name)
	return state, ok
}
