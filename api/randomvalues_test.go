package api

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A generator makes values out of the schemas of the document: those that fit, and those that are spoiled in one place.
type generator struct {
	*rand.Rand
	schemas  map[string]any
	patterns map[string]*regexp.Regexp
	seen     []string // strings of the server's answers: ids of what there is, which fit by their pattern where they are asked for
}

// maxDepth is how deep optional members go.
const maxDepth = 6

func (g *generator) resolve(schema map[string]any) map[string]any {
	for schema["$ref"] != nil {
		ref := schema["$ref"].(string)
		schema = g.schemas[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any)
	}
	return schema
}

// value returns a value that fits a schema.
func (g *generator) value(schema map[string]any, depth int) any {
	schema = g.resolve(schema)
	if examples, ok := schema["examples"].([]any); ok && g.IntN(2) == 0 {
		example := examples[g.IntN(len(examples))]
		if text, ok := example.(string); ok && g.IntN(4) > 0 {
			return g.like(text)
		}
		return example
	}
	if enum, ok := schema["enum"].([]any); ok {
		return enum[g.IntN(len(enum))]
	}
	for _, union := range []string{"oneOf", "anyOf"} {
		if of, ok := schema[union].([]any); ok {
			return g.value(of[g.IntN(len(of))].(map[string]any), depth)
		}
	}
	kind := schema["type"]
	if kinds, ok := kind.([]any); ok {
		kind = kinds[g.IntN(len(kinds))]
	}
	switch kind {
	case "object":
		return g.object(schema, depth)
	case "array":
		n := g.between(schema, "minItems", "maxItems", 3)
		items := make([]any, 0, n)
		for range n {
			items = append(items, g.value(schema["items"].(map[string]any), depth+1))
		}
		return items
	case "integer":
		return int64(g.number(schema))
	case "number":
		return g.number(schema)
	case "boolean":
		return g.IntN(2) == 0
	case "string":
		return g.text(schema)
	case "null":
		return nil
	}
	return "anything"
}

func (g *generator) object(schema map[string]any, depth int) any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if slices.Contains(required, any(name)) || depth < maxDepth && g.IntN(3) == 0 {
			object[name] = g.value(properties[name].(map[string]any), depth+1)
		}
	}
	if others, ok := schema["additionalProperties"].(map[string]any); ok {
		for i := range g.IntN(3) {
			object[fmt.Sprintf("X-Random-%d", i)] = g.value(others, depth+1)
		}
	}
	return object
}

// between is a number of things that a schema allows, and few.
func (g *generator) between(schema map[string]any, least, most string, few int) int {
	low, high := 0, few
	if bound, ok := schema[least].(float64); ok {
		low = int(bound)
		high = max(high, low)
	}
	if bound, ok := schema[most].(float64); ok {
		high = min(high, int(bound))
	}
	return low + g.IntN(high-low+1)
}

func (g *generator) number(schema map[string]any) float64 {
	low, lowest := schema["minimum"].(float64)
	high, highest := schema["maximum"].(float64)
	switch {
	case !lowest && !highest:
		low, high = -1000, 1000
	case !lowest:
		low = high - 1000
	case !highest:
		high = low + 1000
	}
	switch g.IntN(4) { // the bounds themselves are where mistakes are
	case 0:
		return low
	case 1:
		return high
	}
	return low + math.Floor(g.Float64()*(high-low))
}

func (g *generator) text(schema map[string]any) string {
	if format, ok := schema["format"].(string); ok {
		switch format {
		case "date-time":
			return time.Now().Add(time.Duration(g.IntN(96)-48) * time.Hour).UTC().Format(time.RFC3339)
		case "uri":
			return fmt.Sprintf("https://127.0.0.1:%d/%d", 1+g.IntN(65535), g.IntN(1000)) // the guard refuses it without asking anybody
		}
	}
	if pattern, ok := schema["pattern"].(string); ok {
		compiled := g.patterns[pattern]
		if compiled == nil {
			compiled = regexp.MustCompile(pattern)
			g.patterns[pattern] = compiled
		}
		fitting := slices.DeleteFunc(slices.Clone(g.seen), func(s string) bool { return !compiled.MatchString(s) || !fitsLength(schema, s) })
		if len(fitting) > 0 && g.IntN(4) > 0 {
			return fitting[g.IntN(len(fitting))]
		}
		parsed, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			panic(err) // regexp has compiled it
		}
		for range 100 {
			var out strings.Builder
			g.match(&out, parsed.Simplify())
			if s := out.String(); compiled.MatchString(s) && fitsLength(schema, s) {
				return s
			}
		}
		panic("no text was found for " + pattern)
	}
	n := g.between(schema, "minLength", "maxLength", 40)
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789 -_.@+/'\"\\<>&%{}[]\t\nñáЖ漢🦙\u202e\u0301"
	runes := []rune(alphabet)
	out := make([]rune, n)
	for i := range out {
		out[i] = runes[g.IntN(len(runes))]
	}
	return string(out)
}

func fitsLength(schema map[string]any, s string) bool {
	n := float64(utf8.RuneCountInString(s))
	low, lowest := schema["minLength"].(float64)
	high, highest := schema["maxLength"].(float64)
	return (!lowest || n >= low) && (!highest || n <= high)
}

// many is how often something is repeated at most that may be so without a limit.
func (g *generator) many() int { return []int{3, 12, 60}[g.IntN(3)] }

// like returns what the server has answered of the same kind as an example, such as msg_ and what follows; there may be nothing but the example.
func (g *generator) like(example string) string {
	kind := regexp.MustCompile(`^[a-z]+_|@[a-z.]+$`).FindString(example)
	if kind == "" {
		return example
	}
	alike := slices.DeleteFunc(slices.Clone(g.seen), func(s string) bool { return !strings.HasPrefix(s, kind) && !strings.HasSuffix(s, kind) })
	if len(alike) == 0 {
		return example
	}
	return alike[g.IntN(len(alike))]
}

// match writes a text that a regular expression matches.
func (g *generator) match(out *strings.Builder, re *syntax.Regexp) {
	repeat := func(low, high int) {
		for range low + g.IntN(high-low+1) {
			g.match(out, re.Sub[0])
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		out.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		i := 2 * g.IntN(len(re.Rune)/2)
		low, high := re.Rune[i], min(re.Rune[i+1], re.Rune[i]+500)
		out.WriteRune(low + rune(g.IntN(int(high-low)+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteRune(rune(' ' + g.IntN('~'-' ')))
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			g.match(out, sub)
		}
	case syntax.OpAlternate:
		g.match(out, re.Sub[g.IntN(len(re.Sub))])
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpStar:
		repeat(0, g.many())
	case syntax.OpPlus:
		repeat(1, g.many())
	case syntax.OpRepeat:
		repeat(re.Min, max(re.Max, re.Min))
	default: // anchors and what matches nothing
	}
}

// spoil returns v with one place in it changed, which may or may not make it unfit.
func (g *generator) spoil(v any) any {
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		out := maps.Clone(v)
		switch {
		case len(names) > 0 && g.IntN(4) > 0:
			name := names[g.IntN(len(names))]
			out[name] = g.spoil(v[name])
		case len(names) > 0 && g.IntN(2) == 0:
			delete(out, names[g.IntN(len(names))])
		case g.IntN(3) > 0:
			out[g.wrong().(string)] = g.odd()
		default:
			return g.odd()
		}
		return out
	case []any:
		out := slices.Clone(v)
		switch {
		case len(v) > 0 && g.IntN(4) > 0:
			i := g.IntN(len(v))
			out[i] = g.spoil(v[i])
		case g.IntN(2) == 0:
			for range 1 + g.IntN(1200) {
				out = append(out, g.odd())
			}
		default:
			return g.odd()
		}
		return out
	}
	return g.odd()
}

// odd is what no schema asks for, or few do.
func (g *generator) odd() any {
	switch g.IntN(12) {
	case 0, 1:
		return nil
	case 2:
		return []any{}
	case 3:
		return map[string]any{}
	case 4:
		return g.IntN(2) == 0
	case 5:
		return []any{math.MaxInt64, math.MinInt64, -1, 0, 1, 1e300, 0.5, float64(1 << 53)}[g.IntN(8)]
	default:
		return g.wrong()
	}
}

// wrong is a text that is likely to be out of place.
func (g *generator) wrong() any {
	return []any{
		"", " ", "null", "../../etc/passwd", "'; DROP TABLE sessions; --", "\u202e\u0000", "\u0000", strings.Repeat("ñ", 300), strings.Repeat("x", 5000), "0", "-1", "true", "1e9999", "[]",
		"2026-13-45T99:00:00Z", "https://", "http://169.254.169.254/", "@s.whatsapp.net", "+", "+5491100000000", "status@broadcast", "%zz", "msg_", "🦙", "\r\nX-Injected: 1",
	}[g.IntN(25)]
}
