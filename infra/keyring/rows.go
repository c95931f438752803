package keyring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chasqui/chasqui/infra/seal"
)

// errRow says that a row is not of the form that row_to_json gives it.
var errRow = errors.New("a sealed column of the row is not what it should be")

// OpenRow returns a row, as PostgreSQL's row_to_json makes it with bytes in hex, with nothing sealed in it.
func OpenRow(keys *seal.Keys, table string, row []byte) ([]byte, error) {
	return changeRow(table, row, keys.Open, keys.OpenText, keys.OpenJSON)
}

// SealRow seals what is to be sealed in such a row.
func SealRow(keys *seal.Keys, table string, row []byte) ([]byte, error) {
	return changeRow(table, row,
		func(value []byte, at string) ([]byte, error) { return keys.Seal(value, at), nil },
		func(value, at string) (string, error) { return keys.SealText(value, at), nil }, keys.SealJSON)
}

func changeRow(table string, row []byte, inBytes func([]byte, string) ([]byte, error), inText func(string, string) (string, error),
	inJSON func(seal.Place, json.RawMessage, ...string) (json.RawMessage, error),
) ([]byte, error) {
	places := seal.OfTable(table)
	if len(places) == 0 {
		return row, nil
	}
	var columns map[string]json.RawMessage
	if err := json.Unmarshal(row, &columns); err != nil {
		return nil, errRow // the decoder's error may quote a key
	}
	changed := false
	for _, p := range places {
		value := columns[p.Column]
		if value == nil || string(value) == "null" {
			continue
		}
		of := make([]string, len(p.Identity))
		for i, name := range p.Identity {
			of[i] = string(columns[name])
			if strings.HasPrefix(of[i], `"`) && json.Unmarshal(columns[name], &of[i]) != nil {
				return nil, errRow
			}
		}
		next, err := changeColumn(p, value, of, inBytes, inText, inJSON)
		if err != nil {
			return nil, fmt.Errorf("%v of %s: %w", p, strings.Join(of, " "), err)
		}
		if !bytes.Equal(next, value) {
			columns[p.Column], changed = next, true
		}
	}
	if !changed {
		return row, nil
	}
	return json.Marshal(columns)
}

func changeColumn(p seal.Place, value json.RawMessage, of []string, inBytes func([]byte, string) ([]byte, error), inText func(string, string) (string, error),
	inJSON func(seal.Place, json.RawMessage, ...string) (json.RawMessage, error),
) (json.RawMessage, error) {
	if p.Form == seal.JSON {
		return inJSON(p, value, of...)
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return nil, errRow
	}
	if p.Form == seal.Text {
		text, err := inText(text, p.At(of...))
		if err != nil {
			return nil, err
		}
		return json.Marshal(text)
	}
	digits, ok := strings.CutPrefix(text, `\x`)
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return nil, errRow
	}
	if raw, err = inBytes(raw, p.At(of...)); err != nil {
		return nil, err
	}
	return json.Marshal(`\x` + hex.EncodeToString(raw))
}
