package signalstore

import (
	"context"
	"errors"
	"fmt"

	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"
)

// The map of phone numbers to LIDs is shared by all devices of the container and belongs to no owner: its writes carry no fence. Its
// cache has no bound but the people met.

// mapping runs one call on the map. sqlstore enters new mappings into the cache before they are committed, so that after an error it
// would never write them again: the cache is dropped.
func mapping[T any](ctx context.Context, s *deviceStore, call func(context.Context, *sqlstore.CachedLIDMap) (T, error)) (result T, err error) {
	err = s.run(ctx, binding{}, func(ctx context.Context) (err error) {
		result, err = call(ctx, s.container.lids.Load())
		return err
	})
	if err != nil {
		s.container.dropLIDs()
	}
	return result, err
}

func (c *Container) dropLIDs() { c.lids.Store(sqlstore.NewCachedLIDMap(c.db)) }

// misaddressed refuses what is not the kind of JID that a call wants, which sqlstore would answer with an error that cannot be told from the
// database's.
func misaddressed(jid types.JID, server string) error {
	if jid.Server != server {
		return fmt.Errorf("look up %s: its server is not %s", jid, server)
	}
	return nil
}

func (s *deviceStore) PutManyLIDMappings(ctx context.Context, mappings []store.LIDMapping) error {
	_, err := mapping(ctx, s, func(ctx context.Context, lids *sqlstore.CachedLIDMap) (any, error) {
		return nil, lids.PutManyLIDMappings(ctx, mappings)
	})
	return err
}

func (s *deviceStore) PutLIDMapping(ctx context.Context, lid, pn types.JID) error {
	if err := errors.Join(misaddressed(lid, types.HiddenUserServer), misaddressed(pn, types.DefaultUserServer)); err != nil {
		return err
	}
	_, err := mapping(ctx, s, func(ctx context.Context, lids *sqlstore.CachedLIDMap) (any, error) {
		return nil, lids.PutLIDMapping(ctx, lid, pn)
	})
	return err
}

func (s *deviceStore) GetPNForLID(ctx context.Context, lid types.JID) (types.JID, error) {
	if err := misaddressed(lid, types.HiddenUserServer); err != nil {
		return types.JID{}, err
	}
	return mapping(ctx, s, func(ctx context.Context, lids *sqlstore.CachedLIDMap) (types.JID, error) {
		return lids.GetPNForLID(ctx, lid)
	})
}

func (s *deviceStore) GetLIDForPN(ctx context.Context, pn types.JID) (types.JID, error) {
	if err := misaddressed(pn, types.DefaultUserServer); err != nil {
		return types.JID{}, err
	}
	return mapping(ctx, s, func(ctx context.Context, lids *sqlstore.CachedLIDMap) (types.JID, error) {
		return lids.GetLIDForPN(ctx, pn)
	})
}

func (s *deviceStore) GetManyLIDsForPNs(ctx context.Context, pns []types.JID) (map[types.JID]types.JID, error) {
	return mapping(ctx, s, func(ctx context.Context, lids *sqlstore.CachedLIDMap) (map[types.JID]types.JID, error) {
		return lids.GetManyLIDsForPNs(ctx, pns)
	})
}

// Phones returns the phones that are known for some LIDs, both in digits. It asks the table and not the cache, which does not know what another
// process has learnt.
func (c *Container) Phones(ctx context.Context, lids []string) (map[string]string, error) {
	rows, err := c.pool.QueryContext(ctx, `SELECT lid, pn FROM whatsmeow_lid_map WHERE lid = ANY ($1)`, array{lids})
	if err != nil {
		return nil, fmt.Errorf("look up phones: %w", err)
	}
	defer func() { _ = rows.Close() }()
	phones := map[string]string{}
	for rows.Next() {
		var lid, phone string
		if err := rows.Scan(&lid, &phone); err != nil {
			return nil, fmt.Errorf("read phone: %w", err)
		}
		phones[lid] = phone
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read phones: %w", err)
	}
	return phones, nil
}
