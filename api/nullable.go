package api

import (
	"encoding/json"
	"reflect"

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
