package config

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// ErrHelp says that the arguments asked for help, which Usage gives.
var ErrHelp = flag.ErrHelp

// A setting is one leaf of a role's struct.
type setting struct {
	field                              reflect.Value
	env, flag, kind, defaultValue, doc string
	required                           bool
}

// A problem is one thing wrong with one setting. Its text never holds the value
// of a secret.
type problem struct{ name, fix string }

func (p problem) Error() string { return p.name + ": " + p.fix }

// A checker is a struct with a rule that spans its settings.
type checker interface{ check() error }

// Load fills a role's struct: flags win over the environment, that over the
// default; empty is unset. It reports everything that is wrong at once, joined
// as by errors.Join. Arguments that ask for help give ErrHelp.
func Load(target any, arguments []string, getenv func(string) string) error {
	settings, checkers := inspect(target)
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	given := make(map[string]*string)
	for _, s := range settings {
		if s.flag != "" {
			given[s.flag] = flags.String(s.flag, "", s.doc)
		}
	}
	var problems []error
	switch err := flags.Parse(arguments); {
	case errors.Is(err, ErrHelp):
		return ErrHelp
	case err != nil:
		problems = append(problems, fmt.Errorf("%w; see --help", err))
	case flags.NArg() > 0:
		problems = append(problems, fmt.Errorf("unexpected argument %q; see --help", flags.Arg(0)))
	}
	for _, s := range settings {
		name, value := s.env, getenv(s.env)
		if s.flag != "" && *given[s.flag] != "" {
			name, value = "--"+s.flag, *given[s.flag]
		}
		value = strings.TrimSpace(value)
		if value == "" {
			value = s.defaultValue
		}
		if value == "" {
			if s.required {
				problems = append(problems, problem{s.env, "it must be set: " + s.doc})
			}
			continue
		}
		if err := parse(s, value); err != nil {
			shown := fmt.Sprintf("%q is wrong: ", value)
			if secretKinds[s.kind] {
				shown = ""
			}
			problems = append(problems, problem{name, shown + err.Error()})
		}
	}
	// A struct that embeds another has the other's rule as well, by promotion.
	seen := make(map[error]bool)
	for _, c := range checkers {
		if err := c.check(); err != nil && !seen[err] {
			seen[err] = true
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// inspect lists a struct's settings, those of embedded structs in place, and
// the rules that span several.
func inspect(target any) (settings []setting, checkers []checker) {
	var walk func(value reflect.Value, required string)
	walk = func(value reflect.Value, required string) {
		if c, ok := value.Addr().Interface().(checker); ok {
			checkers = append(checkers, c)
		}
		for i := range value.NumField() {
			field, tag := value.Type().Field(i), value.Type().Field(i).Tag
			if field.Anonymous {
				walk(value.Field(i), cmp.Or(tag.Get("required"), required))
				continue
			}
			env := tag.Get("env")
			settings = append(settings, setting{
				field: value.Field(i), env: env, flag: tag.Get("flag"), kind: tag.Get("kind"),
				defaultValue: tag.Get("default"), doc: tag.Get("doc"),
				required: env == required,
			})
		}
	}
	walk(reflect.ValueOf(target).Elem(), "")
	return settings, checkers
}
