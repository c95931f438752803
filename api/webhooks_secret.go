package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chasqui/chasqui/events/queue"
	"github.com/chasqui/chasqui/infra/postgres"
	"github.com/chasqui/chasqui/infra/seal"
)

const (
	secretPrefix = "whsec_"
	// The bytes of a secret, as Standard Webhooks 1.0 bounds them.
	minSecret, maxSecret = 24, 64
	// defaultOverlap is how long, in hours, the secret before signs as well.
	defaultOverlap = 24
	// maxPreviousSecrets bounds the secrets that sign beside the present one: each is one more signature in a header of every delivery.
	maxPreviousSecrets = 5
)

// EndpointSecret is an endpoint's secret alone.
type EndpointSecret struct {
	Secret string `json:"secret" example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
}

// RotatedSecret is what a rotation answers.
type RotatedSecret struct {
	Secret             string    `json:"secret" doc:"What deliveries are signed with from now on." example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	PreviousValidUntil time.Time `json:"previousValidUntil" doc:"Until when the secret before signs as well."`
}

type rotateSecret struct {
	OverlapHours *int   `json:"overlapHours,omitempty" minimum:"0" maximum:"168" default:"24" doc:"How long the present secret goes on signing beside the new one; 0: not at all." example:"24"`
	Secret       string `json:"secret,omitempty" minLength:"38" maxLength:"94" pattern:"^whsec_[A-Za-z0-9+/]+=*$" doc:"A secret of your own: whsec_ and 24 to 64 random bytes in padded base64. Without it one of 32 bytes is made." example:"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
}

type secretRotated struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true when this repeats the answer to an earlier request."`
	Body     RotatedSecret
}

const exampleSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func (s *Server) addEndpointSecrets() {
	register(s, operation{
		method: "GET", path: endpointPath + "/secret", id: "get-webhook-secret", scope: scopeManage, tag: "Webhooks", status: 200,
		summary: "Read a webhook endpoint's secret", description: "whsec_ and random bytes in base64, 32 of them unless it was chosen otherwise, as the libraries of Standard Webhooks take it.",
		response: EndpointSecret{exampleSecret}, codes: []Code{NotFound},
	}, s.getEndpointSecret)
	register(s, operation{
		method: "POST", path: endpointPath + "/secret/rotate", id: "rotate-webhook-secret", tag: "Webhooks", status: 200,
		summary: "Change a webhook endpoint's secret",
		description: "The new secret signs from the next attempt on, those of events that have failed before included. The present one signs beside it for overlapHours, and secrets from earlier rotations " +
			"until their own time, so that a receiver can be changed without missing anything. At most 5 earlier ones sign: a rotation that would keep a sixth is refused, and goes through with " +
			"overlapHours 0. After a leak take 0 and change the receiver at once: an earlier secret that still signs does no harm, but a receiver that accepts it does.",
		request: map[string]any{"overlapHours": 24}, response: RotatedSecret{exampleSecret, exampleTime}, codes: []Code{NotFound},
	}, s.rotateEndpointSecret)
}

// newSecret returns a secret in the form of Standard Webhooks 1.0: whsec_ and 32 random bytes in padded standard base64.
func newSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the program when the system has no randomness
	return secretPrefix + base64.StdEncoding.EncodeToString(random[:])
}

// checkSecret refuses a secret that the libraries of Standard Webhooks would not take. What it says does not repeat it.
func checkSecret(secret string) error {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
		return invalid("body.secret", fmt.Sprintf("expected whsec_ and %d to %d bytes in padded base64", minSecret, maxSecret))
	}
	return nil
}

func (s *Server) getEndpointSecret(ctx context.Context, in *struct{ EndpointPath }) (*struct{ Body EndpointSecret }, error) {
	row, err := s.endpoint(ctx, in.EndpointID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body EndpointSecret }{EndpointSecret{row.Secret}}, nil
}

func (s *Server) rotateEndpointSecret(ctx context.Context, in *struct {
	EndpointPath
	Idempotent
	Body *rotateSecret
}) (*secretRotated, error) {
	id, err := parseEndpointID(in.EndpointID)
	if err != nil {
		return nil, err
	}
	next, overlap := newSecret(), defaultOverlap
	if in.Body != nil && in.Body.OverlapHours != nil {
		overlap = *in.Body.OverlapHours
	}
	if in.Body != nil && in.Body.Secret != "" {
		next = in.Body.Secret
		if err := checkSecret(next); err != nil {
			return nil, err
		}
	}
	rotated, replayed, err := once(ctx, s, in.IdempotencyKey, func(ctx context.Context, tx *queue.Tx) (out RotatedSecret, err error) {
		row, err := s.lockedEndpoint(ctx, tx, id)
		if err != nil {
			return out, err
		}
		if next == row.Secret {
			return out, invalid("body.secret", "this is the endpoint's secret already")
		}
		now := time.Now().UTC()
		previous, err := postgres.PreviousSecrets(row.PreviousSecrets, now)
		if err != nil {
			return out, err
		}
		previous = slices.DeleteFunc(previous, func(p postgres.PreviousSecret) bool { return p.Secret == next })
		out = RotatedSecret{Secret: next, PreviousValidUntil: now.Add(time.Duration(overlap) * time.Hour)}
		if overlap > 0 {
			if len(previous) >= maxPreviousSecrets {
				return out, invalid("body.overlapHours", fmt.Sprintf("%d earlier secrets still sign; rotate with 0, or again after the first of their times (previousSecretsUntil)", len(previous)))
			}
			previous = slices.Insert(previous, 0, postgres.PreviousSecret{Secret: row.Secret, Until: out.PreviousValidUntil})
		}
		var kept json.RawMessage
		kept, err = json.Marshal(append([]postgres.PreviousSecret{}, previous...)) // never null
		if err != nil {
			return out, fmt.Errorf("encode previous secrets: %w", err)
		}
		if kept, err = s.config.Keys.SealJSON(seal.EndpointPreviousSecrets, kept, id.String()); err != nil {
			return out, err
		}
		if err := s.q.EndpointSetSecret(ctx, tx, s.config.Keys.SealText(next, seal.EndpointSecret.At(id.String())), kept, id); err != nil {
			return out, fmt.Errorf("set secret: %w", err)
		}
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	return &secretRotated{replayedHeader(replayed), rotated}, nil
}
