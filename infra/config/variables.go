package config

import (
	"fmt"
	"reflect"
	"strings"
)

// A Variable is one environment variable that a role reads.
type Variable struct {
	Name     string
	Required bool // the role does not start without it
	Secret   bool // its value must not be shown: a key, or an address that may hold a password
}

// Variables lists what a role's struct is filled from, in the order of --help.
func Variables(target any) []Variable {
	settings, _ := inspect(target)
	variables := make([]Variable, len(settings))
	for i, s := range settings {
		variables[i] = Variable{Name: s.env, Required: s.required, Secret: secretKinds[s.kind]}
	}
	return variables
}

// A Value is a setting as it is in force.
type Value struct {
	Name, Value, Default, Doc string
	Secret                    bool // Value is "***" where it is set: it is a key, or an address that may hold a password
}

// Values lists what a role's struct was filled with, in the order of --help. Nothing in it is secret.
func Values(target any) []Value {
	settings, _ := inspect(target)
	values := make([]Value, len(settings))
	for i, s := range settings {
		v := Value{Name: s.env, Default: s.defaultValue, Doc: s.doc, Secret: secretKinds[s.kind]}
		switch {
		case s.field.IsZero() && s.field.Kind() != reflect.Bool && s.field.Kind() != reflect.Int:
		case v.Secret:
			v.Value = "***"
		default:
			v.Value = strings.Trim(fmt.Sprint(s.field.Interface()), "[]")
		}
		values[i] = v
	}
	return values
}
