package config

import (
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/chasqui/chasqui/infra/netguard"
	"github.com/chasqui/chasqui/infra/seal"
)

// secretKinds are the kinds whose values never appear in a message: a URL may hold
// a password.
var secretKinds = map[string]bool{"secret": true, "postgres": true, "key": true, "http": true, "ws": true, "passphrase": true, "encryption": true, "headers": true}

// goodName is what buckets (3 to 63 characters) and regions of S3 are called, as far as all servers agree.
var goodName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// parse checks a value by its setting's kind and stores it. Its errors say what
// to write instead, never what was written.
func parse(s setting, value string) error {
	var parsed string
	var err error
	switch s.kind {
	case "level":
		var level slog.Level
		switch value = strings.ToLower(value); value {
		case "debug", "info", "warn", "error":
			err = level.UnmarshalText([]byte(value))
		default:
			err = errors.New("use debug, info, warn or error")
		}
		s.field.SetInt(int64(level))
		return err
	case "port":
		return parseNumber(s, value, 0, 65535)
	case "count":
		return parseNumber(s, value, 1, 100_000)
	case "limit":
		return parseNumber(s, value, 0, 10_000_000)
	case "cidrs":
		networks, err := netguard.ParseAllow(value)
		if err != nil {
			return errors.New("use networks such as 172.16.0.0/12, separated by commas")
		}
		s.field.Set(reflect.ValueOf(networks))
		return nil
	case "ratio":
		ratio, err := strconv.ParseFloat(value, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) { // NaN is neither
			return errors.New("use a number from 0 to 1")
		}
		s.field.SetFloat(ratio)
		return nil
	case "headers":
		headers, err := parseHeaders(value)
		s.field.Set(reflect.ValueOf(headers))
		return err
	case "switch":
		if value != "true" && value != "false" {
			return errors.New("use true or false")
		}
		s.field.SetBool(value == "true")
		return nil
	case "list":
		var list []string
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		s.field.Set(reflect.ValueOf(list))
		return nil
	case "key":
		key, err := hex.DecodeString(value)
		if err != nil || len(key) != 32 {
			return errors.New("use 64 hex digits")
		}
		s.field.SetBytes(key)
		return nil
	case "encryption":
		keys, err := seal.Parse(value)
		if err != nil {
			return err
		}
		s.field.Set(reflect.ValueOf(keys))
		return nil
	case "http":
		parsed, err = parseURL(value, "http", "https")
		parsed = strings.TrimRight(parsed, "/")
	case "ws":
		parsed, err = parseURL(value, "ws", "wss")
	case "postgres":
		parsed, err = parsePostgres(value)
	case "secret":
		parsed, err = parseSecret(value)
	case "passphrase":
		parsed, err = parsePassphrase(value)
	case "address":
		if _, port, bad := net.SplitHostPort(value); bad != nil || !isPort(port) {
			err = errors.New("use host:port, such as 127.0.0.1:9090 or :9090")
		}
		parsed = value
	case "host":
		if strings.ContainsAny(value, "/ ") || strings.Contains(value, ":") && net.ParseIP(value) == nil {
			err = errors.New("use an address or a name, without a port")
		}
		parsed = value
	case "name":
		if !goodName.MatchString(value) {
			err = errors.New("use letters, digits, dots and hyphens, at most 63 of them")
		}
		parsed = value
	case "path":
		parsed = value
	default:
		panic("config: " + s.env + " is of no known kind") // a mistake in a tag; every test of this package meets it
	}
	if err != nil {
		return err
	}
	s.field.SetString(parsed)
	return nil
}

func parseNumber(s setting, value string, least, most int) error {
	number, err := strconv.Atoi(value)
	if err != nil || number < least || number > most {
		return errors.New("use a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most))
	}
	s.field.SetInt(int64(number))
	return nil
}

func isPort(value string) bool {
	_, err := strconv.ParseUint(value, 10, 16)
	return err == nil
}

// parseURL takes an absolute URL of one of the schemes, with a host.
func parseURL(value string, schemes ...string) (string, error) {
	example := errors.New("use an address such as " + schemes[0] + "://host:port/path")
	address, err := url.Parse(value)
	if err != nil || address.Hostname() == "" || address.Fragment != "" || address.Opaque != "" {
		return "", example
	}
	if port := address.Port(); port != "" && !isPort(port) {
		return "", example
	}
	for _, scheme := range schemes {
		if strings.EqualFold(address.Scheme, scheme) {
			return value, nil
		}
	}
	return "", example
}

// parsePostgres wants the URL form: other forms that PostgreSQL's own programs
// take differ in how they are quoted, and cannot be passed on as a URL.
func parsePostgres(value string) (string, error) {
	address, err := url.Parse(value)
	if err != nil || address.Scheme != "postgres" && address.Scheme != "postgresql" || strings.Trim(address.Path, "/") == "" {
		return "", errors.New("use postgres://user:password@host:port/database, with special characters in the password written as %XX")
	}
	if address.Host == "" && address.Query().Get("host") == "" {
		return "", errors.New("it names no host: use postgres://user:password@host:port/database, or ?host=/folder for a unix socket")
	}
	return value, nil
}

// parseSecret takes what can stand in an HTTP header without quoting.
func parseSecret(value string) (string, error) {
	for _, r := range value {
		if r <= ' ' || r > '~' {
			return "", errors.New("use letters, digits and punctuation of ASCII, without spaces")
		}
	}
	if len(value) > 512 {
		return "", errors.New("it is longer than 512 characters")
	}
	return value, nil
}

// parsePassphrase takes any text that is long enough not to be guessed at once.
func parsePassphrase(value string) (string, error) {
	switch length := utf8.RuneCountInString(value); {
	case length < 12:
		return "", errors.New("use at least 12 characters, such as five words at random")
	case length > 1024:
		return "", errors.New("it is longer than 1024 characters")
	}
	return value, nil
}

// parseHeaders reads name=value pairs as OpenTelemetry has them, values percent-encoded.
func parseHeaders(list string) (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, encoded, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		if name = strings.TrimSpace(name); !found || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New("use name=value, separated by commas, with values percent-encoded")
		}
		headers[name] = value
	}
	return headers, nil
}
