package rule

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// function is one function of the language.
type function struct {
	signature string
	doc       string
	examples  []Example
	event     bool // needs an event: not for policies
	pure      bool // a truth that depends on the arguments alone
	compile   func(c *checker, at *call) node
}

// Example is an expression over the sample environment of the reference and the
// value it has, as text.
type Example struct{ Expr, Value string }

// FunctionInfo documents one function.
type FunctionInfo struct {
	Name, Signature, Doc string
	Examples             []Example
}

// Functions lists the functions of the language, sorted by name.
func Functions() []FunctionInfo {
	all := functions()
	out := make([]FunctionInfo, 0, len(all))
	for _, name := range keys(all) {
		f := all[name]
		out = append(out, FunctionInfo{name, f.signature, f.doc, f.examples})
	}
	return out
}

// functions joins the tables of the files functions_*.go.
func functions() map[string]function {
	out := map[string]function{}
	for _, part := range []map[string]function{textFunctions(), setFunctions(), changeFunctions(), networkFunctions(), timeFunctions(), similarityFunctions(), lookupFunctions()} {
		for name, f := range part {
			out[name] = f
		}
	}
	return out
}

// call is one use of a function.
type call struct {
	name string
	rng  hcl.Range
	args []node
}

// cost of the arguments plus own.
func (a *call) cost(own int) int {
	for _, n := range a.args {
		own += n.cost
	}
	return own
}

func (c *checker) call(e *hclsyntax.FunctionCallExpr) node {
	f, ok := c.funcs[e.Name]
	at := &call{name: e.Name, rng: e.Range()}
	bad := false
	for _, x := range e.Args {
		n := c.expr(x)
		bad = bad || n.kind == kindBad
		at.args = append(at.args, n)
	}
	switch {
	case !ok:
		return c.fail(e.NameRange, "unknown_function", "Unknown function", "There is no function %q.%s", e.Name, suggest(e.Name, keys(c.funcs)))
	case e.ExpandFinal:
		return c.fail(e.Range(), "unsupported_expression", "Not part of the rule language", "Arguments cannot be expanded with \"...\".")
	case f.event && c.policy:
		return c.fail(e.Range(), "event_field_in_policy", "Function of an event in a policy", "%s asks an event; a policy looks at the inventory, at no event.", e.Name)
	case f.event && c.steps != nil && c.steps.self >= 0:
		return c.fail(e.Range(), "unsupported_expression", "Function of an event beside another step", "%s asks the event itself: write it in a condition of its own, joined by &&.", e.Name)
	case bad:
		return node{kind: kindBad}
	}
	n := f.compile(c, at)
	if n.kind == kindBad {
		return n
	}
	n.ident = at.ident()
	if n.truth != nil {
		n.konst = f.pure && at.konst()
		if n.cost <= cheap {
			n = n.asked()
		}
	}
	return n
}

// cheap is the cost up to which a truth is worth knowing before any rule asks.
const cheap = 20

func (a *call) konst() bool {
	for _, n := range a.args {
		if !n.konst {
			return false
		}
	}
	return true
}

// arity reports a mistake unless the number of arguments fits; most < 0 = any.
func (c *checker) arity(at *call, least, most int) bool {
	n := len(at.args)
	if n >= least && (most < 0 || n <= most) {
		return true
	}
	c.fail(at.rng, "wrong_arguments", "Wrong number of arguments", "Use it as %s.", c.funcs[at.name].signature)
	return false
}

// texts reads arguments that are constant strings or lists of them.
func (c *checker) texts(at *call, from int) ([]string, bool) {
	var out []string
	for _, n := range at.args[from:] {
		if n.kind == kindList {
			out = append(out, n.items...)
			continue
		}
		s, ok := n.text()
		if !ok {
			c.fail(n.rng, "wrong_type", "Not a constant string", "%s takes constant strings or a list of them here.", at.name)
			return nil, false
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		c.fail(at.rng, "wrong_arguments", "Nothing to compare with", "Use it as %s.", c.funcs[at.name].signature)
		return nil, false
	}
	return out, true
}

// named finds the list that an argument names.
func (c *checker) named(n node) (*list, bool) {
	name, ok := n.text()
	if !ok {
		c.fail(n.rng, "wrong_type", "Not a list's name", "The name of a list is a constant string.")
		return nil, false
	}
	l, ok := c.lists[name]
	if !ok {
		c.fail(n.rng, "unknown_list", "Unknown list", "There is no list %q.%s", name, suggest(name, keys(c.lists)))
		return nil, false
	}
	l.used = true
	return l, true
}

// over applies a test to a string, or to the elements of a set until one holds.
func over(n node, test func(*Env, string) Truth) truthFunc {
	if n.str != nil {
		f := n.str
		return func(env *Env) Truth {
			s, ok := f(env)
			if !ok {
				return Unknown
			}
			return test(env, s)
		}
	}
	f := n.set
	return func(env *Env) Truth {
		s, ok := f(env)
		if !ok {
			return Unknown
		}
		verdict := False
		for i := range s.len() {
			v, ok := s.at(i)
			if !ok {
				continue
			}
			switch test(env, v) {
			case True:
				return True
			case Unknown:
				verdict = Unknown
			}
		}
		return verdict
	}
}

func boolNode(cost int, f truthFunc) node { return node{kind: kindBool, cost: cost, truth: f} }

func bad() node { return node{kind: kindBad} }
