package normalise

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// value is one JSON value in a tape; without a tape it is absent.
type value struct {
	t  *tape
	at uint32
}

// object is one JSON object, its members still text: a member of a wrong type
// costs that member, never the record. The zero value has no members.
type object struct{ value }

func (v value) found() bool { return v.t != nil }

// kind is the first byte of the value, '0' for numbers, 0 for none.
func (v value) kind() byte {
	if v.t == nil {
		return 0
	}
	return v.t.nodes[v.at].kind
}

// raw is the value as it stands in the text.
func (v value) raw() []byte {
	n := &v.t.nodes[v.at]
	return v.t.text[n.from:n.to]
}

// text is a string without its quotes, "" for other values.
func (v value) text() string {
	if v.kind() != '"' {
		return ""
	}
	return v.t.str(&v.t.nodes[v.at])
}

// each calls f for the elements of a list.
func (v value) each(f func(value)) {
	if v.kind() != '[' {
		return
	}
	for i := v.at + 1; i < v.t.nodes[v.at].next; i = v.t.nodes[i].next {
		f(value{v.t, i})
	}
}

// ofObjects reports whether v is a list that holds objects and nothing else.
func (v value) ofObjects() bool {
	objects, others := 0, 0
	v.each(func(x value) {
		if x.kind() == '{' {
			objects++
		} else if x.kind() != 'n' {
			others++
		}
	})
	return objects > 0 && others == 0
}

// within is the object or list that a string carries as text; absent where it
// carries none.
func within(t *tape, at uint32) value {
	n := &t.nodes[at]
	switch c := t.text[n.from+1]; { // most strings tell by their first byte
	case c == '\\' && bytes.IndexByte([]byte("nrtu"), t.text[n.from+2]) < 0: // a quote or what else is no white space
		return value{}
	case c == '{', c == '[', c == '\\', c <= ' ', c >= utf8.RuneSelf:
	default:
		return value{}
	}
	if n.inner > 0 {
		return value{t.room.all[n.inner-1], 0}
	}
	inner, number := t.room.next()
	b := t.text[n.from+1 : n.to-1]
	if n.escaped {
		inner.own, _ = jsontext.AppendUnquote(inner.own[:0], t.text[n.from:n.to])
		b = inner.own
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] != '{' && b[0] != '[' || !inner.scan(b) {
		inner.nodes = inner.nodes[:0] // of half a text, or of one before
		return value{}
	}
	n.inner = number
	return value{inner, 0}
}

// unwrap strips one layer of JSON in a string.
func (v value) unwrap() value {
	if v.kind() == '"' {
		if inner := within(v.t, v.at); inner.found() {
			return inner
		}
	}
	return v
}

// scanned is the value that a text holds; absent where it is no JSON.
func (r *tapes) scanned(s string) value {
	t, _ := r.next()
	t.own = append(t.own[:0], s...)
	if !t.scan(t.own) {
		return value{}
	}
	return value{t, 0}
}

// objectIn is the object that a text holds, without members where it holds none.
func (r *tapes) objectIn(s string) object {
	if v := r.scanned(s); v.kind() == '{' {
		return object{v}
	}
	return object{}
}

const nilGUID = "00000000-0000-0000-0000-000000000000"

// get is a member; absent where there is none.
func (o object) get(name string) value {
	if o.t == nil {
		return value{}
	}
	if at := o.t.find(o.at, name); at != 0 {
		return value{o.t, at}
	}
	return value{}
}

// has reports whether there is a member of that name, null included.
func (o object) has(name string) bool { return o.get(name).found() }

// str is a member as text: numbers too; the nil GUID and the empty string are
// absent.
func (o object) str(names ...string) string {
	for _, n := range names {
		var s string
		switch v := o.get(n); v.kind() {
		case '"':
			s = v.text()
		case '0', 't', 'f':
			if n := &v.t.nodes[v.at]; v.t.whole != "" {
				s = v.t.whole[n.from:n.to]
			} else {
				s = string(v.raw())
			}
		}
		if s != "" && s != nilGUID {
			return s
		}
	}
	return ""
}

// object is a nested object, also where it is JSON within a string.
func (o object) object(names ...string) object {
	for _, n := range names {
		if v := o.get(n).unwrap(); v.kind() == '{' {
			return object{v}
		}
	}
	return object{}
}

// objects are the objects of a list.
func (o object) objects(names ...string) []object {
	for _, n := range names {
		v := o.get(n).unwrap()
		if v.kind() != '[' {
			continue
		}
		n := 0
		v.each(func(value) { n++ })
		out := make([]object, 0, n)
		v.each(func(x value) {
			if x.kind() == '{' {
				out = append(out, object{x})
			}
		})
		return out
	}
	return nil
}

func (o object) strs(name string) []string { return o.addStrs(name, nil) }

// addStrs appends the texts of a list.
func (o object) addStrs(name string, out []string) []string {
	o.get(name).unwrap().each(func(x value) {
		if s := x.text(); s != "" {
			out = append(out, s)
		}
	})
	return out
}

func (o object) bool(name string) bool {
	return strings.EqualFold(o.str(name), "true")
}

func (o object) time(names ...string) time.Time {
	t, _ := parseTime(o.str(names...))
	return t
}

// parseTime reads every form that these services write: RFC 3339 with up to
// seven digits, offsets, no zone (UTC), US dates. A year that no log can hold is
// no time: "0001-01-01T00:00:00Z" stands for an absent one.
func parseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil { // as nearly all are written
		return plausible(t)
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "1/2/2006 3:04:05 PM", "1/2/2006, 3:04:05.999 PM", "1/2/2006 15:04:05", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return plausible(t)
		}
	}
	return time.Time{}, false
}

// plausible is t where a log of these services can hold it: from 1970 until 2200.
func plausible(t time.Time) (time.Time, bool) {
	const until = 7_258_118_400 // 2200-01-01T00:00:00Z
	if at := t.Unix(); at < 0 || at >= until {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// set reads the value of a modified property.
func (o object) set(name string) []string {
	if v := o.get(name); v.kind() == '"' {
		n := &v.t.nodes[v.at]
		if s, ok := v.t.quoted(n); ok {
			return o.t.room.listOf(s)
		}
		if n.escaped {
			inner, _ := o.t.room.next()
			inner.own, _ = jsontext.AppendUnquote(inner.own[:0], v.t.text[n.from:n.to])
			return inner.set()
		}
	}
	return o.t.room.set(o.str(name))
}

// set reads a modified property's value: JSON in a string is stripped one
// layer, lists become their elements, objects stay text.
func (r *tapes) set(s string) []string {
	s = strings.TrimSpace(s)
	if s == "" || s == "null" || s == "[]" || s == `""` {
		return nil
	}
	if isPlain(s) {
		return r.listOf(s[1 : len(s)-1])
	}
	inner, _ := r.next()
	inner.own = append(inner.own[:0], s...)
	return inner.set()
}

// set reads a modified property's value in t's own memory.
func (t *tape) set() []string {
	text, r := bytes.TrimSpace(t.own), t.room
	if len(text) == 0 || string(text) == nilGUID {
		return nil
	}
	if !t.scan(text) {
		return r.listOf(string(text))
	}
	v := value{t, 0}
	switch v.kind() {
	case 'n':
		return nil
	case '[':
		var out []string
		v.each(func(x value) {
			if s := scalar(x); s != "" {
				out = append(out, s)
			}
		})
		return out
	}
	s := scalar(v)
	if s == "" {
		return nil
	}
	return r.listOf(s)
}

// isPlain reports whether s is a JSON string that stands for what is between its
// quotes, as nearly all values are. s came out of a scan, so it is UTF-8.
func isPlain(s string) bool {
	if len(s) < 3 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '"' || s[i] == '\\' || s[i] < ' ' {
			return false
		}
	}
	return true
}

// scalar is an element of a set; "" for none.
func scalar(v value) string {
	switch v.kind() {
	case 'n':
		return ""
	case '"':
		return v.text()
	}
	return string(v.raw())
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
