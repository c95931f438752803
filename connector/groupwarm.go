package connector

import "go.mau.fi/whatsmeow/types"

func (m *groupMemory) cool(group types.JID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.warm, group)
}
