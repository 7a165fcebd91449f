package rule

import (
	"math"

	"github.com/hashicorp/hcl/v2"
)

// list is a named set of texts, some of which may expire.
type list struct {
	name    string
	rng     hcl.Range
	entries map[string]int64             // folded text -> until, nanoseconds since 1970
	texts   []string                     // as written, in order
	values  map[string]map[string]string // folded text -> what is said of the entry, by attribute
	used    bool                         // an expression or a scope names it
}

const forever = math.MaxInt64

func newList(name string, rng hcl.Range) *list {
	return &list{name: name, rng: rng, entries: map[string]int64{}, values: map[string]map[string]string{}}
}

func (l *list) add(text string, until int64) {
	key := foldString(text)
	if _, known := l.entries[key]; !known {
		l.texts = append(l.texts, text)
	}
	l.entries[key] = until
}

// say notes what is said of an entry.
func (l *list) say(text, attribute, value string) {
	key := foldString(text)
	if l.values[key] == nil {
		l.values[key] = map[string]string{}
	}
	l.values[key][attribute] = value
}

// has reports whether s is a member at a time, ignoring case.
func (l *list) has(s string, now int64) bool {
	var buf [128]byte
	until, ok := l.entries[string(appendFold(buf[:0], s))]
	return ok && now < until
}

// until is when an entry expires, in nanoseconds since 1970.
func (l *list) until(text string) int64 { return l.entries[foldString(text)] }

// attributes are the names of all attributes that an entry has.
func (l *list) attributes() []string {
	seen := map[string]bool{}
	for _, values := range l.values {
		for name := range values {
			seen[name] = true
		}
	}
	return keys(seen)
}

// value is what the list says of s at a time.
func (l *list) value(s, attribute string, now int64) (string, bool) {
	if !l.has(s, now) {
		return "", false
	}
	v := l.values[foldString(s)][attribute]
	return v, v != ""
}
