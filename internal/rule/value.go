package rule

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/event"
)

// kind is the static type of an expression.
type kind uint8

const (
	kindBad kind = iota // already reported: fits everywhere, says nothing more
	kindNull
	kindBool
	kindInt
	kindTime
	kindDuration
	kindString
	kindSet
	kindPermissions
	kindList // a tuple of constant strings
)

// String is the kind's name in messages.
func (k kind) String() string {
	return [...]string{"invalid", "null", "bool", "int", "time", "duration", "string", "string set", "permission set", "list of strings"}[k]
}

// a is the kind's name with its article.
func (k kind) a() string { return article(k.String()) }

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeio") {
		return "an " + noun
	}
	return "a " + noun
}

func (k kind) number() bool { return k == kindInt || k == kindTime || k == kindDuration }
func (k kind) anySet() bool { return k == kindSet || k == kindPermissions }

type (
	truthFunc func(*Env) Truth
	// numFunc yields an int, a duration in nanoseconds or a time in nanoseconds
	// since 1970; false = unknown.
	numFunc func(*Env) (int64, bool)
	strFunc func(*Env) (string, bool)
	setFunc func(*Env) (set, bool)
)

// node is a checked expression: its type and one closure that fits the type.
type node struct {
	kind  kind
	rng   hcl.Range
	cost  int  // rough, for the order of conjuncts
	konst bool // the same value in every environment
	items []string
	ident string // what names the same value in every rule; "" = nothing does
	// subj is what an index may ask for in place of the value, since they differ
	// in case at most.
	subj *subject
	as   strFunc // the same string but for case, without a copy; nil = str is
	yes  *access // where a truth that is True is found by
	no   *access // and one that is False

	conjuncts []truthFunc // of a truth that is all of them

	truth truthFunc
	num   numFunc
	str   strFunc
	set   setFunc
}

// written is an int as its decimal digits, for lists; anything else is itself.
func (n node) written() node {
	if n.kind != kindInt {
		return n
	}
	f := n.num
	return node{kind: kindString, rng: n.rng, cost: n.cost + 2, konst: n.konst, str: func(env *Env) (string, bool) {
		v, ok := f(env)
		return strconv.FormatInt(v, 10), ok
	}}
}

// anyCase is n for tests that ignore case.
func (n node) anyCase() node {
	if n.as != nil {
		n.str = n.as
	}
	return n
}

// known reports whether the value is known.
func (n node) known() func(*Env) bool {
	switch {
	case n.truth != nil:
		return func(env *Env) bool { return n.truth(env) != Unknown }
	case n.num != nil:
		return func(env *Env) bool { _, ok := n.num(env); return ok }
	case n.str != nil:
		return func(env *Env) bool { _, ok := n.str(env); return ok }
	case n.set != nil:
		return func(env *Env) bool { _, ok := n.set(env); return ok }
	}
	return func(*Env) bool { return false }
}

// fold computes a constant once.
func (n node) fold() node {
	if !n.konst {
		return n
	}
	env := &Env{}
	switch {
	case n.truth != nil:
		v := n.truth(env)
		n.truth = func(*Env) Truth { return v }
		n.yes, n.no = never(), never()
		switch v {
		case True:
			n.yes = nil
		case False:
			n.no = nil
		}
	case n.num != nil:
		v, ok := n.num(env)
		n.num = func(*Env) (int64, bool) { return v, ok }
	case n.str != nil:
		v, ok := n.str(env)
		n.str = func(*Env) (string, bool) { return v, ok }
	}
	n.cost = 0
	return n
}

// text is the value of a constant string.
func (n node) text() (string, bool) {
	if !n.konst || n.str == nil {
		return "", false
	}
	return n.str(&Env{})
}

func truthOf(b bool) Truth {
	if b {
		return True
	}
	return False
}

func not(t Truth) Truth {
	switch t {
	case True:
		return False
	case False:
		return True
	}
	return Unknown
}

// nanos converts a time, clamped to what 64 bits hold; the zero time is
// unknown.
func nanos(t time.Time) (int64, bool) {
	switch {
	case t.IsZero():
		return 0, false
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64, true
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64, true
	}
	return t.UnixNano(), true
}

// set is a set as an expression sees it: a view on an event or the inventory,
// made without a copy. One of strs, changes, creds and permissions is used.
type set struct {
	strs  []string
	minus []string // these are not in the set

	changes []event.Change     // named by their names
	creds   []event.Credential // named by their kinds

	perms []event.Permission
	more  []event.Permission
	only  string // permissions of this kind; "" = all
	gone  bool   // revoked permissions instead of granted ones
}

func (s *set) len() int {
	return len(s.strs) + len(s.changes) + len(s.creds) + len(s.perms) + len(s.more)
}

// at is the i-th element; false where that place holds none.
func (s *set) at(i int) (string, bool) {
	if i < len(s.strs) {
		return s.strs[i], len(s.minus) == 0 || !containsFold(s.minus, s.strs[i])
	}
	i -= len(s.strs)
	switch {
	case i < len(s.changes):
		return s.changes[i].Name, true
	case i < len(s.creds):
		return s.creds[i].Kind, true
	}
	p, ok := s.perm(i)
	if !ok {
		return "", false
	}
	return p.Name, true
}

func (s *set) perm(i int) (*event.Permission, bool) {
	var p *event.Permission
	if i < len(s.perms) {
		p = &s.perms[i]
	} else {
		p = &s.more[i-len(s.perms)]
	}
	return p, s.gone == p.Removed && (s.only == "" || s.only == p.Kind)
}

// count is the number of elements.
func (s *set) count() int {
	n := 0
	for i := range s.len() {
		if _, ok := s.at(i); ok {
			n++
		}
	}
	return n
}

// bigSet is where a difference is computed with a table instead of pairwise.
const bigSet = 32

// difference is a without b.
func difference(a, b []string) set {
	if len(a) <= bigSet || len(b) <= bigSet {
		return set{strs: a, minus: b}
	}
	gone := make(map[string]struct{}, len(b))
	for _, s := range b {
		gone[foldString(s)] = struct{}{}
	}
	var left []string
	for _, s := range a {
		if _, ok := gone[foldString(s)]; !ok {
			left = append(left, s)
		}
	}
	return set{strs: left}
}
