package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.mau.fi/whatsmeow/appstate"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waServerSync"
	"go.mau.fi/whatsmeow/proto/waSyncAction"
	"go.mau.fi/whatsmeow/proto/waSyncdSnapshotRecovery"
	"go.mau.fi/whatsmeow/store"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"
)

// recovered makes the answer to a companion that lost its place in a collection of app state: all of its content as the phone reads it from
// the server just now, not encrypted but for the message itself (ProcessRecovery in whatsmeow's appstate/recovery.go).
func (c *connection) recovered(ctx context.Context, d debt) (*waE2E.Message, error) {
	name, request, _ := strings.Cut(d.Recover, " ")
	answer := &resultsOf{
		PeerDataOperationRequestType: waE2E.PeerDataOperationRequestType_COMPANION_SYNCD_SNAPSHOT_FATAL_RECOVERY.Enum(), StanzaID: &request,
	}
	if slices.Contains(appstate.AllPatchNames[:], appstate.WAPatchName(name)) {
		content, err := c.readCollection(ctx, appstate.WAPatchName(name))
		if err != nil {
			return nil, err
		}
		text, err := proto.Marshal(content)
		if err != nil {
			return nil, fmt.Errorf("marshal app state: %w", err)
		}
		answer.PeerDataOperationResult = []*peerResult{{
			SyncdSnapshotFatalRecoveryResponse: &waE2E.PeerDataOperationRequestResponseMessage_PeerDataOperationResult_SyncDSnapshotFatalRecoveryResponse{
				CollectionSnapshot: text, IsCompressed: proto.Bool(false),
			},
		}}
	}
	return &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE.Enum(), PeerDataOperationRequestResponseMessage: answer,
	}}, nil
}

// readCollection reads a collection from its beginning and verifies it, beside the state that the phone's client has of it.
func (c *connection) readCollection(ctx context.Context, name appstate.WAPatchName) (*waSyncdSnapshotRecovery.SyncdSnapshotRecovery, error) {
	scratch := scratchStore{}
	reader := appstate.NewProcessor(&store.Device{AppState: scratch, AppStateKeys: c.client.Store.AppStateKeys}, waLog.Noop)
	var state appstate.HashState
	records := map[string]appstate.Mutation{}
	var order []string
	for snapshot, more := true, true; more; snapshot = false {
		//nolint:staticcheck // SA1019: whatsmeow marks its internals as deprecated; its public API fetches into the client's own state alone
		patches, err := c.client.DangerousInternals().FetchAppStatePatches(ctx, name, state.Version, snapshot)
		if err != nil {
			return nil, fmt.Errorf("fetch app state: %w", err)
		}
		var mutations []appstate.Mutation
		if mutations, state, err = reader.DecodePatches(ctx, patches, state, true); err != nil {
			return nil, fmt.Errorf("read app state: %w", err)
		}
		for _, m := range mutations {
			index := string(m.IndexMAC)
			order = slices.DeleteFunc(order, func(known string) bool { return known == index })
			delete(records, index)
			if m.Operation == waServerSync.SyncdMutation_SET {
				records[index], order = m, append(order, index)
			}
		}
		more = patches.HasMorePatches
	}
	content := &waSyncdSnapshotRecovery.SyncdSnapshotRecovery{
		CollectionName: proto.String(string(name)), CollectionLthash: state.Hash[:],
		Version: &waSyncdSnapshotRecovery.SyncdVersion{Version: &state.Version},
	}
	for _, index := range order {
		m := records[index]
		path, err := json.Marshal(m.Index)
		if err != nil {
			return nil, fmt.Errorf("marshal index: %w", err)
		}
		content.MutationRecords = append(content.MutationRecords, &waSyncdSnapshotRecovery.SyncdPlainTextRecord{
			KeyID: m.KeyID, Mac: m.ValueMAC, Value: &waSyncAction.SyncActionData{Index: path, Value: m.Action, Version: &m.Version},
		})
	}
	return content, nil
}

// scratchStore keeps the value MACs by index while a collection is read once; it is read from its beginning, so a version is never asked for.
type scratchStore map[string][]byte

func (scratchStore) PutAppStateVersion(context.Context, string, uint64, [128]byte) error { return nil }
func (scratchStore) GetAppStateVersion(context.Context, string) (version uint64, hash [128]byte, err error) {
	return version, hash, nil
}
func (scratchStore) DeleteAppStateVersion(context.Context, string) error { return nil }

func (s scratchStore) PutAppStateMutationMACs(_ context.Context, _ string, _ uint64, mutations []store.AppStateMutationMAC) error {
	for _, m := range mutations {
		s[string(m.IndexMAC)] = slices.Clone(m.ValueMAC)
	}
	return nil
}

func (s scratchStore) DeleteAppStateMutationMACs(_ context.Context, _ string, indexMACs [][]byte) error {
	for _, index := range indexMACs {
		delete(s, string(index))
	}
	return nil
}

func (s scratchStore) GetAppStateMutationMAC(_ context.Context, _ string, indexMAC []byte) ([]byte, error) {
	return s[string(indexMAC)], nil
}
