package rule

import (
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Sequence fires when its steps follow each other in event time, all of one key
// and within Within from the first to the last.
type Sequence struct {
	Within  time.Duration
	Steps   []*SequenceStep
	Absent  bool // some step must not happen
	MaxKeys int
}

// SequenceStep is one step of a sequence.
type SequenceStep struct {
	Name      string
	On        []string
	Not       bool // it must not happen before the next step, or before the sequence ends
	By        Key
	FirstSeen *FirstSeen

	own    node // conditions that name no other step
	across []truthFunc
	names  []string // captured fields
	values []node
}

// Value is one captured field: a string, or a number or truth in Num.
type Value struct {
	Known bool
	Num   int64
	Str   string
}

// Match evaluates what a step asks of its own event.
func (s *SequenceStep) Match(env *Env) Truth { return s.own.truth(env) }

// Capture reads what later conditions and the alert name of the event at hand.
func (s *SequenceStep) Capture(env *Env) []Value {
	out := make([]Value, 0, len(s.values))
	for _, n := range s.values {
		var v Value
		switch {
		case n.str != nil:
			v.Str, v.Known = n.str(env)
		case n.num != nil:
			v.Num, v.Known = n.num(env)
		default:
			t := n.truth(env)
			v.Num, v.Known = int64(t), t != Unknown
		}
		out = append(out, v)
	}
	return out
}

// Follows evaluates what a step asks of the steps before it: env.Steps holds what
// was captured of each, its own included.
func (s *SequenceStep) Follows(env *Env) Truth { return allOf(s.across)(env) }

// Asks reports whether Follows asks anything.
func (s *SequenceStep) Asks() bool { return len(s.across) > 0 }

// captured is the value of a field as a step captured it.
func captured(k kind, step, slot int) node {
	get := func(env *Env) Value {
		if step >= len(env.Steps) || slot >= len(env.Steps[step]) {
			return Value{}
		}
		return env.Steps[step][slot]
	}
	n := node{kind: k, cost: 1}
	switch {
	case k == kindString:
		n.str = func(env *Env) (string, bool) { v := get(env); return v.Str, v.Known }
	case k.number():
		n.num = func(env *Env) (int64, bool) { v := get(env); return v.Num, v.Known }
	default:
		n.truth = func(env *Env) Truth {
			v := get(env)
			if !v.Known {
				return Unknown
			}
			return Truth(v.Num)
		}
	}
	return n
}

// steps resolves the names of steps in the expression at hand.
type steps struct {
	all  []*SequenceStep
	self int // the step whose condition this is; its own fields are captured, too. -1 = an alert
}

// field is a field of a step; false where the name is none.
func (s *steps) field(c *checker, e *hclsyntax.ScopeTraversalExpr, name string) (node, bool) {
	root, rest, _ := strings.Cut(name, ".")
	at := s.self
	for i, x := range s.all {
		if x.Name == root {
			at = i
		}
	}
	if at < 0 {
		return node{}, false
	}
	if s.all[at].Name != root {
		rest = name
	}
	f, ok := c.fields[rest]
	switch {
	case !ok:
		return c.fail(e.Range(), "unknown_field", "Unknown field", "There is no field %q.%s", rest, suggest(rest, keys(c.fields))), true
	case f.kind.anySet():
		return c.fail(e.Range(), "wrong_type", "A set is not kept", "Of a step only single values are kept; %s is %s. Ask it in a condition of its own, joined by &&.", rest, f.kind.a()), true
	case s.all[at].Not && at != s.self:
		return c.fail(e.Range(), "unknown_field", "A step that must not happen", "Step %q must not happen: there is nothing to say of it.", root), true
	}
	step := s.all[at]
	slot := indexOf(step.names, rest)
	if slot < 0 {
		slot = len(step.names)
		step.names = append(step.names, rest)
		step.values = append(step.values, node{kind: f.kind, truth: f.truth, num: f.num, str: f.str})
	}
	return captured(f.kind, at, slot), true
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}

// names reports whether an expression names a step.
func (s *steps) names(e hclsyntax.Expression) bool {
	for _, t := range e.Variables() {
		for _, x := range s.all {
			if x.Name == t.RootName() {
				return true
			}
		}
	}
	return false
}

const maxSteps = 5

// sequence reads the block and sets what r looks at.
func (b block) sequence(r *Rule) *Sequence {
	x, ok := b.child("sequence")
	if !ok {
		return nil
	}
	x.allow("by within max_keys", "step")
	s := &Sequence{Within: x.duration("within"), MaxKeys: int(x.number("max_keys", 1, 10_000_000, defaultMaxKeys))}
	x.need("by", "what the steps have in common, such as [app.app_id]")
	x.need("within", "how long it may take from the first step to the last, such as \"24h\"")
	for _, name := range []string{"on", "where"} {
		if a, ok := b.attr(name); ok {
			b.c.fail(a.NameRange, "unexpected_attribute", "Belongs into the steps", "The steps of a sequence say each what they look at; the rule itself has no %s.", name)
		}
	}
	for _, other := range []string{"threshold", "first_seen", "compare", "absence"} {
		for _, o := range b.children(other) {
			b.c.fail(o.rng, "conflicting_blocks", "Nothing beside a sequence", "A rule with a sequence has no %s block; a step may have a first_seen.", other)
		}
	}
	var own []node
	for _, st := range x.children("step") {
		s.Steps = append(s.Steps, x.step(st, s))
		step := s.Steps[len(s.Steps)-1]
		own = append(own, step.own)
		for _, action := range step.On {
			if !has(r.On, action) {
				r.On = append(r.On, action)
			}
		}
	}
	x.sound(s)
	if where := join(own, false); !b.c.diags.HasErrors() {
		r.takes(where)
		r.free = where.konst
	}
	return s
}

// sound checks the steps together.
func (b block) sound(s *Sequence) {
	happen := 0
	for _, st := range s.Steps {
		if !st.Not {
			happen++
		}
		s.Absent = s.Absent || st.Not
	}
	switch {
	case len(s.Steps) < 2 || len(s.Steps) > maxSteps:
		b.c.fail(b.rng, "bad_sequence", "Not a sequence", "A sequence has 2 to %d steps: step \"name\" { on = [...] }.", maxSteps)
	case s.Steps[0].Not:
		b.c.fail(b.rng, "bad_sequence", "Nothing to begin with", "The first step is one that happens; put not = true on a later one.")
	}
}

// step reads one step; those before it are in s.
func (b block) step(st block, s *Sequence) *SequenceStep {
	st.allow("on where by not", "first_seen")
	out := &SequenceStep{On: st.actions(), By: b.key("by")}
	if labels := st.labels; len(labels) != 1 || !b.c.idForm.MatchString(labels[0]) || strings.Contains(labels[0], ".") || b.c.isRoot(labels[0]) {
		b.c.fail(st.rng, "bad_label", "One name expected", "Write step \"name\" { ... } with a lower-case word that no field begins with.")
	} else {
		out.Name = labels[0]
	}
	for _, other := range s.Steps {
		if other.Name == out.Name {
			b.c.fail(st.rng, "duplicate_step", "Step named twice", "Another step is called %q.", out.Name)
		}
	}
	if a, ok := st.attr("by"); ok {
		out.By = st.key("by")
		if one, all := length(a), length(b.body.Attributes["by"]); one != all {
			b.c.fail(a.Expr.Range(), "bad_key", "Keys do not fit together", "by of the sequence has %d elements and this has %d; they are compared one by one.", all, one)
		}
	}
	if v, at, ok := st.value("not"); ok {
		if out.Not, ok = v.(bool); !ok {
			b.c.fail(at, "wrong_type", "Wrong type", "not must be true or false.")
		}
	}
	out.FirstSeen = st.firstSeen()
	st.conditions(out, s)
	return out
}

func length(a *hclsyntax.Attribute) int {
	if a == nil {
		return 0
	}
	if t, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok {
		return len(t.Exprs)
	}
	return 1
}

// isRoot reports whether fields begin with a word.
func (c *checker) isRoot(word string) bool {
	for name := range c.fields {
		if root, _, _ := strings.Cut(name, "."); root == word {
			return true
		}
	}
	return false
}

// conditions splits the step's where into what its own event decides, and what
// earlier steps have a part in.
func (b block) conditions(out *SequenceStep, s *Sequence) {
	scope := &steps{all: append(s.Steps[:len(s.Steps):len(s.Steps)], out), self: len(s.Steps)}
	own := []node{{kind: kindBool, konst: true, truth: func(*Env) Truth { return True }}}
	if a, ok := b.attr("where"); ok {
		for _, e := range chain(a.Expr, hclsyntax.OpLogicalAnd) {
			if !scope.names(e) {
				if n := b.c.expression(e); b.c.want(n, "where", kindBool) {
					own = append(own, n)
				}
				continue
			}
			b.c.steps = scope
			n := b.c.expression(e)
			b.c.steps = nil
			if b.c.want(n, "where", kindBool) {
				out.across = append(out.across, n.truth)
			}
		}
	}
	out.own = join(own, true)
}
