package normalise

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// object is one JSON object, its members still text: a member of a wrong type
// costs that member, never the record.
type object map[string]jsontext.Value

func parse(raw []byte) (object, error) {
	var o object
	err := json.Unmarshal(raw, &o, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	switch {
	case err != nil && !jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)):
		return nil, refuse("not_json", "%v", err)
	case o == nil:
		return nil, refuse("not_an_object", "the record is no object")
	}
	return o, nil
}

func decode[T any](v jsontext.Value) T {
	var out T
	if len(v) > 0 && json.Unmarshal(v, &out, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		var zero T
		return zero
	}
	return out
}

const nilGUID = "00000000-0000-0000-0000-000000000000"

// str is a member as text: numbers too; the nil GUID and the empty string are
// absent.
func (o object) str(names ...string) string {
	for _, n := range names {
		v := o[n]
		if len(v) == 0 {
			continue
		}
		s := text(v)
		if k := v.Kind(); s == "" && (k == '0' || k == 't' || k == 'f') {
			s = v.String()
		}
		if s != "" && s != nilGUID {
			return s
		}
	}
	return ""
}

// text is a JSON string without its quotes; most need no decoding.
func text(v jsontext.Value) string {
	if n := len(v); n > 1 && v[0] == '"' && bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v) {
		return string(v[1 : n-1])
	}
	return decode[string](v)
}

// object is a nested object, also where it is JSON within a string.
func (o object) object(names ...string) object {
	for _, n := range names {
		if v := unwrap(o[n]); len(v) > 0 && v.Kind() == '{' {
			return decode[object](v)
		}
	}
	return nil
}

func (o object) objects(names ...string) []object {
	for _, n := range names {
		if v := unwrap(o[n]); len(v) > 0 && v.Kind() == '[' {
			return decode[[]object](v)
		}
	}
	return nil
}

func (o object) strs(name string) []string {
	var out []string
	for _, v := range decode[[]jsontext.Value](unwrap(o[name])) {
		if s := text(v); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (o object) bool(name string) bool {
	return strings.EqualFold(o.str(name), "true")
}

func (o object) time(names ...string) time.Time {
	t, _ := parseTime(o.str(names...))
	return t
}

// unwrap strips one layer of JSON in a string.
func unwrap(v jsontext.Value) jsontext.Value {
	if len(v) == 0 || v.Kind() != '"' {
		return v
	}
	inner := jsontext.Value(strings.TrimSpace(decode[string](v)))
	if len(inner) > 0 && (inner[0] == '{' || inner[0] == '[') && inner.IsValid() {
		return inner
	}
	return v
}

// parseTime reads every form that these services write: RFC 3339 with up to
// seven digits, offsets, no zone (UTC), US dates. A year that no log can hold is
// no time: "0001-01-01T00:00:00Z" stands for an absent one.
func parseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "1/2/2006 3:04:05 PM", "1/2/2006, 3:04:05.999 PM", "1/2/2006 15:04:05", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// set reads a modified property's value: JSON in a string is stripped one
// layer, lists become their elements, objects stay text.
func set(v string) []string {
	v = strings.TrimSpace(v)
	if v == "" || v == "null" || v == "[]" || v == `""` {
		return nil
	}
	j := jsontext.Value(v)
	if !j.IsValid() {
		return []string{v}
	}
	if j.Kind() == '[' {
		var out []string
		for _, e := range decode[[]jsontext.Value](j) {
			out = append(out, scalar(e)...)
		}
		return out
	}
	return scalar(j)
}

func scalar(v jsontext.Value) []string {
	if v.Kind() == 'n' {
		return nil
	}
	if v.Kind() == '"' {
		s := decode[string](v)
		if s == "" {
			return nil
		}
		return []string{s}
	}
	return []string{string(v)}
}

// one is the only or first element of a set.
func one(list []string) string {
	if len(list) == 0 || list[0] == nilGUID {
		return ""
	}
	return list[0]
}

// minus is the elements of a that are not in b, without case.
func minus(a, b []string) []string {
	have := map[string]bool{}
	for _, s := range b {
		have[strings.ToLower(s)] = true
	}
	var out []string
	for _, s := range a {
		if k := strings.ToLower(s); !have[k] {
			have[k] = true
			out = append(out, s)
		}
	}
	return out
}
