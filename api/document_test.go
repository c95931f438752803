package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/chasqui/chasqui/events"
)

var update = flag.Bool("update", false, "rewrite the documents in openapi/")

// TestSpec fails when a document in openapi/ is not what the code says.
func TestSpec(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]func() ([]byte, error){"openapi.yaml": Spec, "openapi-3.0.yaml": Spec30} {
		document, err := spec()
		if err != nil {
			t.Fatal(err)
		}
		committed := filepath.Join("..", "openapi", name)
		if *update {
			if err := os.WriteFile(committed, document, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, document) {
			t.Errorf("%s is stale: run go test ./api -run TestSpec -update", committed)
		}
	}
}

// TestSpecsAreValid holds both documents against the schemas that the OpenAPI Initiative publishes for their versions.
func TestSpecsAreValid(t *testing.T) {
	t.Parallel()
	for version, spec := range map[string]func() ([]byte, error){"3.1": Spec, "3.0": Spec30} {
		raw, err := spec()
		if err != nil {
			t.Fatal(err)
		}
		document, err := libopenapi.NewDocument(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(document.GetVersion(), version) {
			t.Errorf("the document of %s calls itself %s", version, document.GetVersion())
		}
		v, errs := validator.NewValidator(document)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if ok, errs := v.ValidateDocument(); !ok {
			for _, e := range errs {
				t.Errorf("%s: %v", version, e)
				for _, cause := range e.SchemaValidationErrors {
					t.Errorf("%s: %s", version, cause.Error())
				}
			}
		}
	}
}

func names(parameters []*huma.Param) (names []string) {
	for _, p := range parameters {
		names = append(names, p.Name)
	}
	return names
}

// TestDocument checks what a reader and a generator need of every operation.
// sentSchemas are what clients send; the others are what they get.
var sentSchemas = map[string]bool{
	"CreateSession": true, "ChangeSession": true, "SessionSettings": true, "SendMessage": true, "TextContent": true, "ImageContent": true, "VideoContent": true,
	"AudioContent": true, "VoiceContent": true, "DocumentContent": true, "StickerContent": true, "MediaSource": true, "FetchRequest": true,
	"CreateEndpoint": true, "ChangeEndpoint": true, "RotateSecret": true, "CreateTicket": true, "CheckContacts": true, "CreateReplay": true, "SetReaction": true, "ChangeContact": true,
	"CreateGroup": true, "ChangeGroup": true, "AddParticipants": true, "ChangeParticipant": true, "SetPicture": true,
	"EditMessage": true, "EditEvent": true, "ExportSession": true, "PinMessage": true, "ForwardMessage": true, "MarkRead": true, "Vote": true, "Respond": true,
	"LocationContent": true, "LiveLocationContent": true, "ContactsContent": true, "PollContent": true, "EventContent": true, "GroupInviteContent": true, "AlbumContent": true,
	"NewPreview": true, "NewLocation": true, "NewLiveLocation": true, "NewCard": true, "NewPoll": true, "NewEvent": true, "NewInvite": true, "NewAlbum": true,
	"CreateBatch": true, "BatchMessage": true, "SetTyping": true, "SendingSettings": true, "PaceSettings": true, "NewContactSettings": true, "WindowSettings": true,
	"ChangeProfile": true, "ChangePrivacy": true,
	"SetPresence": true, "SetCalls": true,
	"PostStatus": true, "StatusTextContent": true, "StatusImageContent": true, "StatusVideoContent": true, "StatusVoiceContent": true,
	"CreateChannel": true, "ChangeChannel": true, "PostToChannel": true,
	"IgnoreRules": true, "AskPairingCode": true, "AnswerPasskey": true, "PasskeyResponse": true,
	"CreateKey": true, "KeyRules": true, "ChangeKey": true, "RotateKey": true, "CreateLink": true, "NewBrand": true, "SimulateScan": true, "SimulateMessage": true,
	"ChangeChat": true, "AskHistory": true, "CreateLabel": true, "ChangeLabel": true,
}

func TestDocument(t *testing.T) {
	t.Parallel()
	raw, err := newRoutes().document()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths, Webhooks map[string]map[string]struct {
			OperationID, Summary, Description string
			Tags                              []string
			RequestBody                       *struct{ Content map[string]map[string]any }
			Responses                         map[string]struct{ Content map[string]map[string]any }
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	check := func(where string, item map[string]struct {
		OperationID, Summary, Description string
		Tags                              []string
		RequestBody                       *struct{ Content map[string]map[string]any }
		Responses                         map[string]struct{ Content map[string]map[string]any }
	}) {
		for method, o := range item {
			where := method + " " + where
			if o.OperationID == "" || seen[o.OperationID] || o.Summary == "" || o.Description == "" || len(o.Tags) != 1 {
				t.Errorf("%s: id %q, summary %q, description %q, tags %v", where, o.OperationID, o.Summary, o.Description, o.Tags)
			}
			seen[o.OperationID] = true
			if o.RequestBody != nil {
				if body, ok := o.RequestBody.Content["application/json"]; ok && body["example"] == nil {
					t.Errorf("%s: no example of the body", where)
				}
			}
			for status, r := range o.Responses {
				for contentType, c := range r.Content {
					if c["example"] == nil && c["examples"] == nil && contentType != "image/png" && contentType != "*/*" {
						t.Errorf("%s: no example of %s %s", where, status, contentType)
					}
					if (status[0] == '2') == (contentType == "application/problem+json") {
						t.Errorf("%s: %s is %s", where, status, contentType)
					}
				}
			}
		}
	}
	for path, item := range document.Paths {
		check(path, item)
	}
	for name, item := range document.Webhooks {
		check(name, item)
	}
	if len(document.Webhooks) != len(events.Types)+1 { // and the original's
		t.Errorf("%d types of event are documented of %d", len(document.Webhooks), len(events.Types))
	}
	for name, schema := range document.Components.Schemas {
		closed := schema["additionalProperties"] == false
		if sent := sentSchemas[name]; closed != sent {
			t.Errorf("schema %s: closed is %t", name, closed)
		}
	}
	if union := document.Components.Schemas["SendContent"]; union["oneOf"] == nil || union["discriminator"] == nil || union["properties"] != nil {
		t.Errorf("the union is %v", union)
	}
}
