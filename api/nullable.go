package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// nullable is a member of a change that can be taken away: absent it leaves what is there, null clears it, a value takes its place. Its tag
// has omitzero, not omitempty, so that it is optional.
type nullable[T any] struct {
	given bool
	value *T // nil: null
}

// UnmarshalJSON is called for null too, and never for what is absent.
func (n *nullable[T]) UnmarshalJSON(b []byte) error {
	n.given, n.value = true, nil
	return json.Unmarshal(b, &n.value)
}

// Schema is that of T, or null.
func (nullable[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return s
}

// onto returns what becomes of a value, nil for none.
func (n nullable[T]) onto(before *T) *T {
	if n.given {
		return n.value
	}
	return before
}

// nullMember finds bodies that may hold a null.
var nullMember = regexp.MustCompile(`[:,[\s]null`)

// refuseNulls returns the problem of a body with a null where the operation's schema has none: Huma takes one for an absent member, and who sends
// {"name":null} to clear the name would be told that it was done. A body that is no JSON is Huma's to refuse.
func (s *Server) refuseNulls(op *huma.Operation, body []byte) *Problem {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil || !nullMember.Match(body) {
		return nil
	}
	var value any
	if json.Unmarshal(body, &value) != nil {
		return nil //nolint:nilerr // Huma refuses it, and says why
	}
	if nulls := s.nulls(op.RequestBody.Content["application/json"].Schema, value, "body"); len(nulls) > 0 {
		return requestProblem(http.StatusUnprocessableEntity, "", nulls)
	}
	return nil
}

// nulls finds the nulls of a value that its schema does not allow.
func (s *Server) nulls(schema *huma.Schema, value any, at string) (found []error) {
	if schema != nil && schema.Ref != "" {
		schema = s.huma.OpenAPI().Components.Schemas.SchemaFromRef(schema.Ref)
	}
	if schema == nil { // an unknown member, which is refused as such
		return nil
	}
	switch value := value.(type) {
	case nil:
		if !schema.Nullable && schema.Type != "" {
			found = append(found, &huma.ErrorDetail{Message: "expected " + schema.Type + " and not null; what has no value is left out", Location: at})
		}
	case []any:
		for i, item := range value {
			found = append(found, s.nulls(schema.Items, item, at+"["+strconv.Itoa(i)+"]")...)
		}
	case map[string]any:
		if union, ok := schema.Extensions["discriminator"].(*huma.Discriminator); ok {
			kind, _ := value[union.PropertyName].(string)
			if schema = s.huma.OpenAPI().Components.Schemas.SchemaFromRef(union.Mapping[kind]); schema == nil {
				return nil // an unknown kind, which is refused as such
			}
		}
		others, _ := schema.AdditionalProperties.(*huma.Schema)
		for name, member := range value {
			found = append(found, s.nulls(cmp.Or(schema.Properties[name], others), member, at+"."+name)...)
		}
	}
	return found
}
