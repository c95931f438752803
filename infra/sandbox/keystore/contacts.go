package keystore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
)

type contactRow struct {
	First    string `json:"first,omitempty"`
	Full     string `json:"full,omitempty"`
	Push     string `json:"push,omitempty"`
	Business string `json:"business,omitempty"`
	Phone    string `json:"redactedPhone,omitempty"`
}

func (c contactRow) info() types.ContactInfo {
	return types.ContactInfo{
		Found: true, FirstName: c.First, FullName: c.Full, PushName: c.Push, BusinessName: c.Business, RedactedPhone: c.Phone,
	}
}

// load reads a JSON row into value, which stays as it is where there is none.
func load[T any](t *tx, r ref, value *T) (found bool, err error) {
	stored, ok := t.get(r)
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(stored, value); err != nil {
		return false, fmt.Errorf("decode %s: %w", kinds[r.table], err)
	}
	return true, nil
}

// edit changes a JSON row, or makes it.
func edit[T any](t *tx, r ref, f func(*T)) error {
	var row T
	if _, err := load(t, r, &row); err != nil {
		return err
	}
	f(&row)
	value, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kinds[r.table], err)
	}
	t.put(r, value)
	return nil
}

func contactRef(user types.JID) ref { return ref{contacts, join(user.String())} }

// rename sets one of a contact's names and returns whether that changed it, and from what. The name that is there makes no row.
func (s *deviceStore) rename(ctx context.Context, user types.JID, field func(*contactRow) *string, name string) (changed bool, previous string, err error) {
	err = s.change(ctx, func(t *tx) error {
		var c contactRow
		if _, err := load(t, contactRef(user), &c); err != nil || *field(&c) == name {
			return err
		}
		changed, previous = true, *field(&c)
		return edit(t, contactRef(user), func(c *contactRow) { *field(c) = name })
	})
	if err != nil {
		return false, "", err
	}
	return changed, previous, nil
}

// PutPushName implements store.ContactStore.
func (s *deviceStore) PutPushName(ctx context.Context, user types.JID, pushName string) (changed bool, previous string, err error) {
	return s.rename(ctx, user, func(c *contactRow) *string { return &c.Push }, pushName)
}

// PutBusinessName implements store.ContactStore.
func (s *deviceStore) PutBusinessName(ctx context.Context, user types.JID, businessName string) (changed bool, previous string, err error) {
	return s.rename(ctx, user, func(c *contactRow) *string { return &c.Business }, businessName)
}

// PutContactName implements store.ContactStore. The interface has the names the other way round than its callers and sqlstore.
func (s *deviceStore) PutContactName(ctx context.Context, user types.JID, firstName, fullName string) error {
	return s.change(ctx, func(t *tx) error {
		var c contactRow
		if _, err := load(t, contactRef(user), &c); err != nil || (c.First == firstName && c.Full == fullName) {
			return err
		}
		return edit(t, contactRef(user), func(c *contactRow) { c.First, c.Full = firstName, fullName })
	})
}

// PutAllContactNames implements store.ContactStore. Of two entries for a contact the first counts, as in sqlstore.
func (s *deviceStore) PutAllContactNames(ctx context.Context, entries []store.ContactEntry) error {
	return s.change(ctx, func(t *tx) error {
		for _, e := range slices.Backward(entries) {
			if err := edit(t, contactRef(e.JID), func(c *contactRow) { c.First, c.Full = e.FirstName, e.FullName }); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutManyRedactedPhones implements store.ContactStore.
func (s *deviceStore) PutManyRedactedPhones(ctx context.Context, entries []store.RedactedPhoneEntry) error {
	return s.change(ctx, func(t *tx) error {
		for _, e := range slices.Backward(entries) { // as above
			if err := edit(t, contactRef(e.JID), func(c *contactRow) { c.Phone = e.RedactedPhone }); err != nil {
				return err
			}
		}
		return nil
	})
}

// GetContact implements store.ContactStore.
func (s *deviceStore) GetContact(ctx context.Context, user types.JID) (info types.ContactInfo, err error) {
	err = s.view(ctx, func(t *tx) error {
		var c contactRow
		found, err := load(t, contactRef(user), &c)
		if found {
			info = c.info()
		}
		return err
	})
	return info, err
}

// GetAllContacts implements store.ContactStore.
func (s *deviceStore) GetAllContacts(ctx context.Context) (map[types.JID]types.ContactInfo, error) {
	all := make(map[types.JID]types.ContactInfo)
	err := s.view(ctx, func(t *tx) error {
		for _, row := range t.rows(contacts, "") {
			jid, err := types.ParseJID(parts(row.key)[0])
			if err != nil {
				return fmt.Errorf("decode contact: %w", err)
			}
			var c contactRow
			if err := json.Unmarshal(row.value, &c); err != nil {
				return fmt.Errorf("decode contact: %w", err)
			}
			all[jid] = c.info()
		}
		return nil
	})
	return all, err
}

// chatRow's MutedUntil is in Unix seconds, 0 for not muted and -1 for ever.
type chatRow struct {
	MutedUntil int64 `json:"mutedUntil,omitempty"`
	Pinned     bool  `json:"pinned,omitempty"`
	Archived   bool  `json:"archived,omitempty"`
}

func (s *deviceStore) editChat(ctx context.Context, chat types.JID, f func(*chatRow)) error {
	return s.change(ctx, func(t *tx) error { return edit(t, ref{chats, join(chat.String())}, f) })
}

// PutMutedUntil implements store.ChatSettingsStore.
func (s *deviceStore) PutMutedUntil(ctx context.Context, chat types.JID, mutedUntil time.Time) error {
	var seconds int64
	if mutedUntil.Equal(store.MutedForever) {
		seconds = -1
	} else if !mutedUntil.IsZero() {
		seconds = mutedUntil.Unix()
	}
	return s.editChat(ctx, chat, func(c *chatRow) { c.MutedUntil = seconds })
}

// PutPinned implements store.ChatSettingsStore.
func (s *deviceStore) PutPinned(ctx context.Context, chat types.JID, pinned bool) error {
	return s.editChat(ctx, chat, func(c *chatRow) { c.Pinned = pinned })
}

// PutArchived implements store.ChatSettingsStore.
func (s *deviceStore) PutArchived(ctx context.Context, chat types.JID, archived bool) error {
	return s.editChat(ctx, chat, func(c *chatRow) { c.Archived = archived })
}

// GetChatSettings implements store.ChatSettingsStore.
func (s *deviceStore) GetChatSettings(ctx context.Context, chat types.JID) (settings types.LocalChatSettings, err error) {
	var c chatRow
	err = s.view(ctx, func(t *tx) (err error) {
		settings.Found, err = load(t, ref{chats, join(chat.String())}, &c)
		return err
	})
	settings.Pinned, settings.Archived = c.Pinned, c.Archived
	if c.MutedUntil < 0 {
		settings.MutedUntil = store.MutedForever
	} else if c.MutedUntil > 0 {
		settings.MutedUntil = time.Unix(c.MutedUntil, 0)
	}
	return settings, err
}
