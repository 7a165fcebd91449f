package sim

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object whose members keep their order, so that the same
// record always has the same bytes. Values are nil, string, bool, int, int64,
// float64, []string, object, []object and list.
type object []member

type member struct {
	name  string
	value any
}

// list is a JSON array of anything an object may hold.
type list []any

// only keeps the members that keep names, in the object's own order.
func (o object) only(keep func(name string) bool) object {
	out := make(object, 0, len(o))
	for _, m := range o {
		if keep(m.name) {
			out = append(out, m)
		}
	}
	return out
}

// get is the value of a member, nil where there is none.
func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// text is the text of a member, empty where it is none.
func (o object) text(name string) string {
	s, _ := o.get(name).(string)
	return s
}

// with is o with another value of a member that it has.
func (o object) with(name string, value any) object {
	out := slices.Clone(o)
	for i := range out {
		if out[i].name == name {
			out[i].value = value
		}
	}
	return out
}

// filled leaves out the members that say nothing: null, an empty list, an object
// of such members.
func (o object) filled() object {
	out := make(object, 0, len(o))
	for _, m := range o {
		if says(m.value) {
			out = append(out, m)
		}
	}
	return out
}

func says(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case []string:
		return len(v) > 0
	case list:
		return len(v) > 0
	case object:
		return len(v.filled()) > 0
	}
	return true
}

// quoted is JSON text of a string: Graph quotes strings twice there.
func quoted(s string) string { return string(appendString(nil, s)) }

// quotedList is JSON text of a list of strings.
func quotedList(s ...string) string { return string(appendJSON(nil, s)) }

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	case object:
		return appendObject(b, v)
	case []object:
		return appendArray(b, v)
	case []string:
		return appendArray(b, v)
	case list:
		return appendArray(b, v)
	}
	return append(b, "null"...)
}

func appendObject(b []byte, o object) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, m.name)
		b = append(b, ':')
		b = appendJSON(b, m.value)
	}
	return append(b, '}')
}

func appendArray[T any](b []byte, items []T) []byte {
	b = append(b, '[')
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, it)
	}
	return append(b, ']')
}

// appendString quotes s. Text beyond ASCII stays as it is.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b = append(b, '\\', ch)
		case ch < 0x20:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[ch>>4], "0123456789abcdef"[ch&15])
		case ch < utf8.RuneSelf:
			b = append(b, ch)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n - 1
		}
	}
	return append(b, '"')
}

// writeLine writes v as one JSON line. A log that cannot be written does not
// stop the simulation.
func writeLine(w io.Writer, v any) {
	line, err := json.Marshal(v)
	if err != nil {
		return
	}
	_, _ = w.Write(append(line, '\n'))
}
