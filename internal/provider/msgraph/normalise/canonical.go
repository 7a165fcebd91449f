package normalise

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// canon writes the canonical form of a record: members in order of their names,
// no white space, numbers and strings as RFC 8785 writes them; an object, or a
// list of objects, that a member carries as text is written as what it is. What
// must never be kept is left out: secrets and their hints, values of credentials,
// and the service's plumbing.
type canon struct {
	out     []byte
	members []canonMember
}

// canonMember is a member on its way into order; key is the beginning of its
// name, place its place in the text.
type canonMember struct {
	key       uint64
	at, place uint32
}

func (w *canon) value(t *tape, at uint32) {
	n := &t.nodes[at]
	switch n.kind {
	case '{':
		w.object(t, at)
	case '[':
		w.list(t, at)
	case '"':
		at := len(w.out) + 1
		if w.str(t.text[n.from:n.to], n.escaped) {
			n.kept = uint32(at) + 1
		}
	case '0':
		w.number(t.text[n.from:n.to])
	default:
		w.out = append(w.out, t.text[n.from:n.to]...)
	}
}

func (w *canon) list(t *tape, at uint32) {
	w.out = append(w.out, '[')
	for i := at + 1; i < t.nodes[at].next; i = t.nodes[i].next {
		if i > at+1 {
			w.out = append(w.out, ',')
		}
		w.value(t, i)
	}
	w.out = append(w.out, ']')
}

func (w *canon) object(t *tape, at uint32) {
	if at == 0 && t.fits != nil {
		w.laidOut(t, t.fits)
		return
	}
	base := len(w.members)
	values := w.collect(t, at)
	members := w.members[base:]
	from := len(w.out)
	for k, m := range members {
		name := t.name(&t.nodes[m.at])
		if secret(name, values) || k+1 < len(members) && members[k+1].key == m.key && bytes.Equal(t.name(&t.nodes[members[k+1].at]), name) {
			continue
		}
		w.named(t, m.at)
	}
	w.close(from)
	w.members = w.members[:base]
}

// laidOut writes the outermost object of t, whose order is known.
func (w *canon) laidOut(t *tape, l *layout) {
	values, from := l.titled >= 0 && ofCredential(t, t.laid[l.titled]), len(w.out)
	for _, k := range l.order {
		if m := &l.members[k]; !m.hidden && !(values && m.value) {
			w.named(t, t.laid[k])
		}
	}
	w.close(from)
}

// named writes a member, with a comma before it that close makes the brace of the
// first one.
func (w *canon) named(t *tape, at uint32) {
	n := &t.nodes[at]
	if n.nameTo+2 == n.from && !n.nameEscaped && w.asWritten(t, n) {
		from := len(w.out)
		w.out = append(w.out, t.text[n.nameFrom-2:n.to]...) // with what stands before the name, in place of the comma
		w.out[from] = ','
		if n.kind == '"' {
			n.kept = uint32(from+int(n.from-n.nameFrom)+3) + 1
		}
		return
	}
	w.out = append(w.out, ',')
	w.str(t.text[n.nameFrom-1:n.nameTo+1], n.nameEscaped)
	w.out = append(w.out, ':')
	w.member(t, at)
}

// close ends the object whose members were written from there.
func (w *canon) close(from int) {
	if len(w.out) == from {
		w.out = append(w.out, ',')
	}
	w.out[from] = '{'
	w.out = append(w.out, '}')
}

// asWritten reports whether the value of a member is canonical as it stands.
func (w *canon) asWritten(t *tape, n *node) bool {
	switch n.kind {
	case '"':
		c := t.text[n.from+1]
		return !n.escaped && c > ' ' && c < utf8.RuneSelf && c != '{' && c != '['
	case '0':
		return isPlainNumber(t.text[n.from:n.to])
	}
	return n.kind != '{' && n.kind != '['
}

// collect appends the members of an object in order; values reports whether the
// object is a modified property whose values are those of a credential.
func (w *canon) collect(t *tape, at uint32) (values bool) {
	base := len(w.members)
	for i := at + 1; i < t.nodes[at].next; i = t.nodes[i].next {
		name := t.name(&t.nodes[i])
		w.members = append(w.members, canonMember{prefix(name), i, uint32(len(w.members) - base)})
		if len(name) == len("displayName") && string(name) == "displayName" {
			values = values || ofCredential(t, i)
		}
	}
	order(t, w.members[base:])
	return values
}

// ofCredential reports whether a displayName is that of a credential.
func ofCredential(t *tape, at uint32) bool {
	n := &t.nodes[at]
	return n.kind == '"' && bytes.EqualFold(t.content(n), []byte("Credential"))
}

// fewMembers is where insertion is the quickest order.
const fewMembers = 12

func order(t *tape, m []canonMember) {
	if len(m) > fewMembers {
		slices.SortFunc(m, func(a, b canonMember) int { return compare(t, a, b) })
		return
	}
	for i := 1; i < len(m); i++ {
		x, j := m[i], i
		for ; j > 0 && (x.key < m[j-1].key || x.key == m[j-1].key && compare(t, x, m[j-1]) < 0); j-- {
			m[j] = m[j-1]
		}
		m[j] = x
	}
}

// compare orders by name, equal names by place.
func compare(t *tape, a, b canonMember) int {
	if a.key != b.key {
		return cmp.Compare(a.key, b.key)
	}
	if c := bytes.Compare(t.name(&t.nodes[a.at]), t.name(&t.nodes[b.at])); c != 0 {
		return c
	}
	return cmp.Compare(a.place, b.place)
}

// prefix is the first eight bytes of a name as a number that sorts like them.
func prefix(name []byte) uint64 {
	if len(name) >= 8 {
		return binary.BigEndian.Uint64(name)
	}
	var b [8]byte
	copy(b[:], name)
	return binary.BigEndian.Uint64(b[:])
}

// secret reports whether a member of that name is never kept.
func secret(name []byte, values bool) bool {
	if len(name) == 0 {
		return false
	}
	switch name[0] { // most names tell by their first byte
	case 'h', 's', 'n', 'o', '_':
	default:
		return false
	}
	switch string(name) {
	case "hint", "secretText":
		return true
	case "newValue", "oldValue":
		return values
	}
	return bytes.HasPrefix(name, []byte("__UDI_RequiredFields_"))
}

// member writes the value of a member: flat rows carry objects and lists as text.
func (w *canon) member(t *tape, at uint32) {
	n := &t.nodes[at]
	if n.kind == '"' {
		if inner := within(t, at); inner.t != nil && (inner.kind() == '{' || inner.ofObjects()) {
			w.value(inner.t, inner.at)
			return
		}
	}
	w.value(t, at)
}

// str writes a string with its quotes; one without escapes, or with none but the
// short ones, is asIs.
func (w *canon) str(quoted []byte, escaped bool) (asIs bool) {
	if !escaped || shortEscapes(quoted) {
		w.out = append(w.out, quoted...)
		return true
	}
	s, err := jsontext.AppendUnquote(nil, quoted)
	if err == nil {
		w.out, err = jsontext.AppendQuote(w.out, s)
	}
	if err != nil { // the scan refuses what could fail here
		w.out = append(w.out, quoted...)
	}
	return false
}

// shortEscapes reports whether s has no escapes but those that the canonical form
// has too.
func shortEscapes(s []byte) bool {
	for i := bytes.IndexByte(s, '\\'); i >= 0; {
		switch s[i+1] {
		case '"', '\\', 'b', 'f', 'n', 'r', 't':
		default:
			return false
		}
		next := bytes.IndexByte(s[i+2:], '\\')
		if next < 0 {
			break
		}
		i += 2 + next
	}
	return true
}

// plainDigits is how many digits a number has at most that is surely exact.
const plainDigits = 15

// isPlainNumber reports whether a number is canonical as it stands, by its looks.
func isPlainNumber(b []byte) bool {
	if len(b) > plainDigits {
		return false
	}
	point := -1
	for i, c := range b {
		switch {
		case c == '.':
			point = i
		case c < '0' || c > '9':
			return false
		}
	}
	// a fraction begins and ends with a digit other than 0: neither small nor longer than needed
	return point < 0 || b[point+1] != '0' && b[len(b)-1] != '0'
}

func (w *canon) number(b []byte) {
	if len(b) <= plainDigits && !bytes.ContainsAny(b, ".eE-") {
		w.out = append(w.out, b...)
		return
	}
	v := jsontext.Value(bytes.Clone(b))
	if v.Canonicalize() != nil {
		v = b
	}
	w.out = append(w.out, v...)
}
