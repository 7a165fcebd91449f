package rule

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// subject is a value of the environment that conditions ask about, named so that
// the same one of two rules is read once.
type subject struct {
	id    string // as a rule writes it: "app.name", `added("Tags")`
	truth truthFunc
	num   numFunc
	str   strFunc
	set   setFunc
}

// access is where a condition can be found by: it can hold only where one of the
// terms does, and one of each of also, which are rarer first. Nil says nothing;
// without terms the condition never holds.
type access struct {
	terms    []term
	also     []*access // without also
	exact    bool      // the condition holds wherever one of the terms does
	conjunct int       // 1 + the number of the conjunct that holds wherever one of the terms does, 0 = none
}

// term is one question that an index answers for all rules at once. For a set it
// is asked of each element.
type term struct {
	on   *subject
	op   termOp
	text string            // folded
	num  int64             // for numbers; 1 or 0 for a truth
	list *list             // for opList
	test func(string) bool // what text alone does not decide, where it is dear; nil = nothing
}

type termOp uint8

const (
	opEqual   termOp = iota // the text is text
	opPart                  // the text holds text
	opPrefix                // the text begins with text
	opSuffix                // the text ends with text
	opList                  // the text is in list
	opNumber                // the number is num
	opAtMost                // the number is num or less
	opAtLeast               // the number is num or more
	opTruth                 // the truth is num
)

// weight guesses the share of events for which a term holds. It is a constant of
// the rule's text: neither a clock nor the events of a tenant change the index.
func (t *term) weight() float64 {
	w := t.own()
	if t.on.set != nil {
		w *= 3
	}
	return w
}

func (t *term) own() float64 {
	switch t.op {
	case opEqual:
		return frequency(t.on.id)
	case opPart, opPrefix, opSuffix:
		return [...]float64{1, 0.4, 0.2, 0.05, 0.02, 0.02, 0.01}[min(len(t.text), 6)]
	case opList:
		return 0.02
	case opNumber:
		return 0.05
	default:
		return 0.5
	}
}

// frequency guesses how often a field has a given one of its values.
func frequency(id string) float64 {
	switch id {
	case "action", "tenant", "provider":
		return 0.95
	case "class", "category", "service", "result", "actor.type", "target.type", "consent.type", "credential.kind", "app.kind", "app.origin", "actor.origin",
		"signin.kind", "signin.credential_type", "signin.protocol", "signin.client_app", "signin.user_type", "signin.risk_level", "signin.conditional_access",
		"call.method", "call.workload", "call.api_version",
		"upstream.status", "upstream.severity", "upstream.service_source", "upstream.detection_source", "upstream.classification", "app.credential_kinds":
		return 0.3
	case "activity", "source.country", "result_code", "result_reason", "upstream.category", "changes", "call.endpoint", "call.permissions":
		return 0.05
	}
	return 0.002
}

func (a *access) weight() float64 {
	sum := 0.0
	for i := range a.terms {
		sum += a.terms[i].weight()
	}
	return sum
}

// never is the access of what cannot hold.
func never() *access { return &access{exact: true} }

// both is the access of two conditions that must both hold: all that they ask, the
// rarest first.
func both(a, b *access) *access {
	if a == nil || b == nil {
		if a == nil {
			a = b
		}
		return a.inexact()
	}
	all := append(a.each(), b.each()...)
	sort.SliceStable(all, func(i, j int) bool { return all[i].weight() < all[j].weight() })
	out := *all[0]
	out.exact, out.also = false, all[1:min(len(all), maxAsked)]
	return &out
}

// inexact is a where more must hold than it says.
func (a *access) inexact() *access {
	if a == nil || !a.exact {
		return a
	}
	out := *a
	out.exact = false
	return &out
}

// of is a as the access of the conjunct with that number; what it proves of
// conjuncts within that one is forgotten.
func (a *access) of(conjunct int) *access {
	if a == nil {
		return nil
	}
	out := *a
	out.conjunct = 0
	if a.exact && len(a.also) == 0 {
		out.conjunct = conjunct
	}
	out.also = slices.Clone(a.also)
	for i, x := range out.also {
		out.also[i] = x.of(0)
	}
	return &out
}

// proven are the numbers of the conjuncts that hold for every candidate.
func (a *access) proven() []int {
	var out []int
	if a == nil {
		return nil
	}
	for _, x := range a.asked() {
		if x.conjunct > 0 {
			out = append(out, x.conjunct-1)
		}
	}
	return out
}

// Bounds of what is asked for one rule: how many questions at most, and the share of
// events that are left below which none is added.
const (
	maxAsked = 3
	rare     = 0.001
)

// each are the questions of a, apart.
func (a *access) each() []*access {
	first := *a
	first.also = nil
	return append([]*access{&first}, a.also...)
}

// asked are the questions of a that are worth it.
func (a *access) asked() []*access {
	all, left := a.each(), a.weight()
	for n := 1; n < len(all); n++ {
		if left < rare {
			return all[:n]
		}
		left *= all[n].weight()
	}
	return all
}

// either is the access of two conditions of which one must hold.
func either(a, b *access) *access {
	if a == nil || b == nil {
		return nil
	}
	return &access{terms: append(append([]term(nil), a.terms...), b.terms...), exact: a.exact && b.exact}
}

// path says in words how a rule is found.
func (a *access) path() string {
	var all []string
	for _, x := range a.asked() {
		all = append(all, x.questions())
	}
	return strings.Join(all, "; and ")
}

func (a *access) questions() string {
	type way struct{ id, verb string }
	var order []way
	count := map[way]int{}
	for i := range a.terms {
		w := way{a.terms[i].on.id, a.terms[i].verb()}
		if count[w]++; count[w] == 1 {
			order = append(order, w)
		}
	}
	parts := make([]string, 0, len(order))
	for _, w := range order {
		parts = append(parts, fmt.Sprintf("%s %s (%d)", w.id, w.verb, count[w]))
	}
	return strings.Join(parts, ", ")
}

func (t *term) verb() string {
	return [...]string{"equals", "contains", "starts with", "ends with", "in list", "equals number", "at most", "at least", "is"}[t.op]
}

// terms makes an access of one question with each of several constants; nil where
// one of them is empty and so asks nothing.
func (n node) terms(op termOp, texts []string) *access {
	if n.subj == nil || n.subj.num != nil || n.subj.truth != nil {
		return nil
	}
	out := never()
	for _, s := range texts {
		if s == "" && op != opEqual {
			return nil
		}
		t := term{on: n.subj, op: op, text: foldString(s)}
		out.terms, out.exact = append(out.terms, t), out.exact && (op == opEqual || len(t.text) <= maxPart)
	}
	return out
}

// numbers is the access of a comparison with a constant.
func (n node) numbers(op termOp, c int64) *access {
	if n.subj == nil || n.subj.num == nil {
		return nil
	}
	return &access{terms: []term{{on: n.subj, op: op, num: c}}, exact: true}
}

// asked gives a truth the access by its own value: for what is cheap to know and
// has no better one.
func (n node) asked() node {
	n = n.subjectOf()
	if n.yes == nil && n.no == nil && n.subj != nil && n.truth != nil {
		n.yes = &access{terms: []term{{on: n.subj, op: opTruth, num: 1}}, exact: true}
		n.no = &access{terms: []term{{on: n.subj, op: opTruth, num: 0}}, exact: true}
	}
	return n
}

// subjectOf makes a node that has a name a subject.
func (n node) subjectOf() node {
	if n.ident == "" || n.konst || n.subj != nil {
		return n
	}
	n.subj = &subject{id: n.ident, truth: n.truth, num: n.num, str: n.str, set: n.set}
	return n
}

// named is the text that means the same value in every rule, "" where there is
// none.
func (n node) named() string {
	switch {
	case n.kind == kindList:
		return fmt.Sprintf("%q", n.items)
	case !n.konst:
		return n.ident
	case n.str != nil:
		s, _ := n.str(&Env{})
		return strconv.Quote(s)
	case n.num != nil:
		v, ok := n.num(&Env{})
		return fmt.Sprintf("%s(%d,%t)", n.kind, v, ok)
	case n.truth != nil:
		return strconv.Itoa(int(n.truth(&Env{})))
	}
	return ""
}

// ident names a call by its function and arguments.
func (a *call) ident() string {
	parts := make([]string, 0, len(a.args))
	for _, n := range a.args {
		name := n.named()
		if name == "" {
			return ""
		}
		parts = append(parts, name)
	}
	return a.name + "(" + strings.Join(parts, ", ") + ")"
}
