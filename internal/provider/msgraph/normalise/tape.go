package normalise

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// tape is one JSON text in one pass: its values in order of the text, each with
// where it ends and where the value behind it stands. It is valid JSON (RFC 8259)
// in valid UTF-8; a name may occur twice, the last one counts.
type tape struct {
	text  []byte
	nodes []node
	index []uint32 // members of one object by hash of name, where there are many and no layout fits; 0 = none
	quick bool     // the index is made
	of    uint32   // the object that it is of
	whole string   // the text for as long as the work on it, where strings need not outlive it; "" = they do
	known *layouts // of the outermost object, nil for texts within texts
	fits  *layout  // the one that it has, nil for none
	laid  []uint32 // its members, in order of the layout
	kept  string   // where strings without escapes are found for good, "" = they are copied
	room  *tapes   // of the tapes of texts within this one
	own   []byte   // memory for the text of a tape within another one
	open  []uint32 // memory for the scanner
}

// tapes is room for tapes within a record; it serves the next one too.
type tapes struct {
	all   []*tape
	used  int
	lists []string // memory for lists of one text, of this record
}

// makeLists makes memory for n lists of one text.
func (r *tapes) makeLists(n int) { r.lists = make([]string, 0, n) }

// listOf is a list of one text.
func (r *tapes) listOf(s string) []string {
	n := len(r.lists)
	if n == cap(r.lists) {
		return []string{s}
	}
	r.lists = append(r.lists, s)
	return r.lists[n : n+1 : n+1]
}

// maxTapes is how many are kept; a record that carries more texts in texts is none
// to be quick with.
const maxTapes = 64

// next is a tape, and 1 + its number until the room is free, 0 for one without.
func (r *tapes) next() (*tape, uint32) {
	if r.used == maxTapes {
		return &tape{room: r}, 0
	}
	if r.used == len(r.all) {
		r.all = append(r.all, &tape{room: r})
	}
	r.used++
	return r.all[r.used-1], uint32(r.used)
}

// free gives all tapes back.
func (r *tapes) free() {
	for _, t := range r.all[:r.used] {
		t.text, t.kept = nil, ""
	}
	r.used, r.lists = 0, nil
}

// node is one value. Offsets are into the text.
type node struct {
	nameFrom, nameTo uint32 // of a member: its name without quotes
	from, to         uint32
	next             uint32 // the node behind this value and all within
	kept             uint32 // 1 + where the content of a string begins in kept, as it is written here; 0 = nowhere
	inner            uint32 // 1 + the number of the tape of what a string carries, 0 = not scanned
	kind             byte   // first byte of the value; '0' for every number
	escaped          bool   // a string with a backslash
	nameEscaped      bool
}

const (
	maxNesting = 1000
	maxText    = 1 << 30
	noName     = 0
)

// scan reads text into t; false where it is not JSON. It uses no recursion.
func (t *tape) scan(text []byte) bool {
	t.text, t.nodes, t.quick, t.fits, t.laid = text, t.nodes[:0], false, nil, t.laid[:0]
	if len(text) > maxText {
		return false
	}
	s := scanner{t: t, b: text, open: t.open[:0]}
	if t.known != nil {
		s.guess = t.known.last
	}
	ok := s.value(noName, noName, false)
	for ok && len(s.open) > 0 {
		ok = s.step()
	}
	s.space()
	t.open = s.open
	if !ok || s.at != len(text) || s.wide != 0 && !utf8.Valid(text) {
		return false
	}
	if s.guess != nil && len(t.laid) == len(s.guess.members) && t.nodes[0].kind == '{' {
		t.fits = s.guess
		t.known.fits(t.fits)
	}
	return true
}

type scanner struct {
	t     *tape
	b     []byte
	at    int
	wide  uint64   // not 0 where a string has bytes beyond ASCII
	guess *layout  // what the outermost object was so far, nil where it differs from all
	open  []uint32 // containers that are not closed
}

func (s *scanner) space() {
	for s.at < len(s.b) {
		switch s.b[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek is the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.b) && s.b[s.at] > ' ' {
		return s.b[s.at]
	}
	s.space()
	if s.at < len(s.b) {
		return s.b[s.at]
	}
	return 0
}

// step reads one member or element of the innermost open container, or its end.
func (s *scanner) step() bool {
	parent := s.open[len(s.open)-1]
	n := &s.t.nodes[parent]
	first := int(parent)+1 == len(s.t.nodes)
	c := s.peek()
	if c == n.kind+2 { // '[' and ']', '{' and '}' are two apart
		s.at++
		n.to, n.next = uint32(s.at), uint32(len(s.t.nodes))
		s.open = s.open[:len(s.open)-1]
		return true
	}
	if !first {
		if c != ',' {
			return false
		}
		s.at++
		c = s.peek()
	}
	if n.kind == '[' {
		return s.value(noName, noName, false)
	}
	if c != '"' {
		return false
	}
	if s.guess != nil && parent == 0 {
		if from, to := s.guessed(); to > 0 {
			return s.value(from, to, false)
		}
	}
	from := s.at + 1
	escaped, ok := s.str()
	to := s.at - 1
	if !ok || s.peek() != ':' {
		return false
	}
	s.at++
	return s.value(uint32(from), uint32(to), escaped)
}

// guessed reads the name of a member of the outermost object as its layout has it;
// nothing where it has another one.
func (s *scanner) guessed() (from, to uint32) {
	k, rest := len(s.t.laid), s.b[s.at:]
	if !s.guess.continues(k, rest) {
		if s.guess = s.t.known.other(s.guess, k, rest); s.guess == nil {
			return 0, 0
		}
	}
	s.t.laid = append(s.t.laid, uint32(len(s.t.nodes)))
	q := len(s.guess.members[k].quoted)
	from, to = uint32(s.at+1), uint32(s.at+q-2)
	s.at += q
	return from, to
}

// value reads a scalar, or the beginning of a container.
func (s *scanner) value(nameFrom, nameTo uint32, nameEscaped bool) bool {
	c := s.peek()
	at := len(s.t.nodes)
	s.t.nodes = append(s.t.nodes, node{}) // filled where it stands: a copy would wait for each of its fields
	n := &s.t.nodes[at]
	n.nameFrom, n.nameTo, n.nameEscaped, n.from, n.kind = nameFrom, nameTo, nameEscaped, uint32(s.at), c
	ok := true
	switch c {
	case '"':
		n.escaped, ok = s.str()
	case '{', '[':
		if len(s.open) == maxNesting {
			return false
		}
		s.open = append(s.open, uint32(at))
		s.at++
	case 't':
		ok = s.word("true")
	case 'f':
		ok = s.word("false")
	case 'n':
		ok = s.word("null")
	default:
		n.kind = '0'
		ok = s.number()
	}
	n.to, n.next = uint32(s.at), uint32(at+1)
	return ok
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// str reads a string from its opening to behind its closing quote.
func (s *scanner) str() (escaped, ok bool) {
	b, i, wide := s.b, s.at+1, uint64(0) // not in s: each step would wait for the store of the one before
	for {
		for i+8 <= len(b) { // eight bytes at once, as long as none of them is special
			w := binary.LittleEndian.Uint64(b[i:])
			wide |= w // too many rather than too few, behind the string's end
			if m := special(w); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return escaped, false
		}
		switch c := b[i]; {
		case c == '"':
			s.at = i + 1
			s.wide |= wide & (0x80 * ones)
			return escaped, true
		case c == '\\':
			escaped = true
			n := escape(b[i:])
			if n == 0 {
				return escaped, false
			}
			i += n
		case c < ' ':
			return escaped, false
		default:
			wide |= uint64(c)
			i++
		}
	}
}

// ones are eight bytes that are 1.
const ones = 0x0101010101010101

// special marks, by its highest bit, the first of the eight bytes of w that is a quote, a
// backslash or a control character; bytes behind it may be marked wrongly.
func special(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	return ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & (0x80 * ones)
}

// escape is the length of the escape sequence that b begins with, 0 for none that
// is valid. A surrogate needs its other half.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		switch r := hex4(b[2:]); {
		case r < 0, r >= 0xdc00 && r < 0xe000:
			return 0
		case r >= 0xd800 && r < 0xdc00:
			if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
				return 0
			}
			if r := hex4(b[8:]); r < 0xdc00 || r >= 0xe000 {
				return 0
			}
			return 12
		}
		return 6
	}
	return 0
}

func hex4(b []byte) int {
	if len(b) < 4 {
		return -1
	}
	r := 0
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.b) && s.b[s.at]-'0' <= 9 {
		s.at++
	}
	return s.at > from
}

func (s *scanner) has(c byte) bool {
	if s.at < len(s.b) && s.b[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) number() bool {
	s.has('-')
	if !s.has('0') && !s.digits() {
		return false
	}
	if s.has('.') && !s.digits() {
		return false
	}
	if s.has('e') || s.has('E') {
		if !s.has('+') {
			s.has('-')
		}
		return s.digits()
	}
	return true
}

// name is the name of a member.
func (t *tape) name(n *node) []byte {
	b := t.text[n.nameFrom:n.nameTo]
	if n.nameEscaped {
		b, _ = jsontext.AppendUnquote(nil, t.text[n.nameFrom-1:n.nameTo+1])
	}
	return b
}

// content is a string without quotes and escapes.
func (t *tape) content(n *node) []byte {
	if !n.escaped {
		return t.text[n.from+1 : n.to-1]
	}
	b, _ := jsontext.AppendUnquote(make([]byte, 0, n.to-n.from), t.text[n.from:n.to])
	return b
}

// str is a string without quotes and escapes, for good.
func (t *tape) str(n *node) string {
	if t.whole != "" && !n.escaped {
		return t.whole[n.from+1 : n.to-1]
	}
	if !n.escaped && n.kept > 0 && t.kept != "" {
		return t.kept[n.kept-1 : n.kept-1+n.to-n.from-2]
	}
	return string(t.content(n))
}

// quoted is what a string holds that is a JSON string itself and needs no escapes
// but those of its quotes, as most values of modified properties are.
func (t *tape) quoted(n *node) (string, bool) {
	if n.to-n.from < 7 || !n.escaped {
		return "", false
	}
	b := t.text[n.from+1 : n.to-1]
	if b[0] != '\\' || b[1] != '"' || bytes.IndexByte(b[2:], '\\') != len(b)-4 || b[len(b)-1] != '"' {
		return "", false
	}
	if n.kept > 0 && t.kept != "" {
		return t.kept[n.kept+1 : n.kept-1+n.to-n.from-4], true
	}
	return string(b[2 : len(b)-2]), true
}

const (
	indexFrom = 12  // members; a smaller object is searched
	indexTo   = 400 // members; in a larger one the chains would be long
	indexSize = 1024
)

// hashName is cheap and spreads the names of one kind of record.
func hashName[T string | []byte](name T) uint32 {
	n := len(name)
	if n == 0 {
		return 0
	}
	h := uint32(n)*0x9e3779b1 + uint32(name[0])*0x85ebca6b + uint32(name[n/2])*0xc2b2ae35 + uint32(name[n-1])*0x27d4eb2f
	if n > 4 {
		h += uint32(name[n-4])*0x165667b1 + uint32(name[n/4])*0x2545f491
	}
	return (h ^ h>>15) % indexSize
}

// makeQuick makes the members of an outermost object quick to find: by a layout
// that is learnt, else by an index.
func (t *tape) makeQuick() {
	if t.fits != nil {
		return
	}
	t.laid = t.laid[:0]
	if t.fits = t.known.learn(t); t.fits == nil {
		t.makeIndex(0)
		return
	}
	for i := uint32(1); i < t.nodes[0].next; i = t.nodes[i].next {
		t.laid = append(t.laid, i)
	}
}

// makeIndex makes the members of an object quick to find, where they are many, but
// not too many.
func (t *tape) makeIndex(of uint32) {
	t.quick = false
	members := 0
	for i := of + 1; i < t.nodes[of].next; i = t.nodes[i].next {
		members++
	}
	if t.nodes[of].kind != '{' || members < indexFrom || members > indexTo {
		return
	}
	if t.index == nil {
		t.index = make([]uint32, indexSize)
	}
	clear(t.index)
	t.quick, t.of = true, of
	for i := of + 1; i < t.nodes[of].next; i = t.nodes[i].next {
		h := hashName(t.name(&t.nodes[i]))
		for t.index[h] != 0 {
			h = (h + 1) % indexSize
		}
		t.index[h] = i
	}
}

// find is the member of the container at number of with that name, 0 for none.
func (t *tape) find(of uint32, name string) uint32 {
	if of == 0 && t.fits != nil {
		if k := t.fits.find(name); k >= 0 {
			return t.laid[k]
		}
		return 0
	}
	found := uint32(0)
	if t.quick && of == t.of {
		for h := hashName(name); t.index[h] != 0; h = (h + 1) % indexSize {
			if i := t.index[h]; i > found && string(t.name(&t.nodes[i])) == name {
				found = i
			}
		}
		return found
	}
	for i := of + 1; i < t.nodes[of].next; i = t.nodes[i].next {
		n := &t.nodes[i]
		if !n.nameEscaped && int(n.nameTo-n.nameFrom) != len(name) {
			continue
		}
		if string(t.name(n)) == name {
			found = i // the last of equal names
		}
	}
	return found
}
