package rule

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/event"
)

// Probe is one expression within a rule or policy, whole or a part of another:
// what explanations show and what coverage counts. Probes stand in the order of
// the text, a part behind the whole, one level deeper.
type Probe struct {
	Range hcl.Range
	Of    string // of a whole expression: the attribute, such as "where" or "suppress.by"
	Text  string // as written, on one line
	Level int    // 0 = a whole expression, the value of an attribute
	Type  string // "bool", "string", "permission set" ...
	Const bool   // the same value in every environment

	truth truthFunc
	show  stringExpr
}

// Value is the probe's value for env as text; "(unknown)" where it is unknown, of a field with the reason.
func (p *Probe) Value(env *Env) string { return p.show(env) }

// Truth is the verdict of a probe of type bool; ok is false for other types.
func (p *Probe) Truth(env *Env) (t Truth, ok bool) {
	if p.truth == nil {
		return Unknown, false
	}
	return p.truth(env), true
}

// CompileProbed compiles as Compile does, and keeps every expression of each rule
// and policy for Probes. Such a set is for tools: it takes several times the memory.
func CompileProbed(blob *event.RulesBlob) (*Set, hcl.Diagnostics) {
	return compile(blob, true)
}

// Probes are the expressions of the rule or policy of that id; none in a set that
// Compile made.
func (s *Set) Probes(id string) []Probe { return s.probes[id] }

// ExceptionProbes are the probes of an exception, as Probes are those of a rule.
func (s *Set) ExceptionProbes(id string) []Probe { return s.probes[exceptionProbes+id] }

const exceptionProbes = "exception " // before its id: no id of a rule has a space

// Conditions are the smallest probes of a rule or policy that are true or false
// and not always the same.
func (s *Set) Conditions(id string) []Probe {
	var out []Probe
	all := s.probes[id]
	for i, p := range all {
		if p.truth != nil && !p.Const && !divides(all[i+1:], p.Level) {
			out = append(out, p)
		}
	}
	return out
}

// divides reports whether among the parts of a probe, which stand behind it, one
// is a condition itself.
func divides(behind []Probe, level int) bool {
	for _, p := range behind {
		if p.Level <= level {
			return false
		}
		if p.truth != nil && !p.Const {
			return true
		}
	}
	return false
}

// named gives whole expressions the names of their attributes.
func named(probes []Probe, body *hclsyntax.Body, path string) {
	for name, a := range body.Attributes {
		from, to := a.Expr.Range().Start.Byte, a.Expr.Range().End.Byte
		for i := range probes {
			if r := probes[i].Range; probes[i].Level == 0 && r.Start.Byte >= from && r.End.Byte <= to {
				probes[i].Of = path + name
			}
		}
	}
	for _, b := range body.Blocks {
		named(probes, b.Body, path+strings.Join(append([]string{b.Type}, b.Labels...), ".")+".")
	}
}

// recorder collects the probes of the rule at hand.
type recorder struct {
	text  []byte
	level int
	list  []Probe
}

// begin notes that an expression is looked at; end what became of it. Parentheses
// are no expression of their own.
func (r *recorder) begin(e hclsyntax.Expression) int {
	if _, parens := e.(*hclsyntax.ParenthesesExpr); r == nil || parens {
		return -1
	}
	rng := e.Range()
	r.list = append(r.list, Probe{Range: rng, Text: oneLine(r.text, rng), Level: r.level})
	r.level++
	return len(r.list) - 1
}

func (r *recorder) end(c *checker, at int, n node) {
	if at < 0 {
		return
	}
	r.level--
	p := &r.list[at]
	p.Type, p.Const, p.truth = n.kind.String(), n.konst, n.truth
	switch n.kind {
	case kindBad, kindNull, kindList:
		text := p.Text
		p.show = func(*Env) string { return text }
	default:
		p.show = c.show(n)
	}
	if f, ok := c.fields[n.ident]; ok {
		p.show = reasoned(p.show, n.reason(f))
	}
}

// reasoned is show with the reason why a field is unknown.
func reasoned(show stringExpr, reason strFunc) stringExpr {
	return func(env *Env) string {
		if why, unknown := reason(env); unknown {
			return "(unknown: " + why + ")"
		}
		return show(env)
	}
}

// oneLine is the text of a range with its white space folded.
func oneLine(text []byte, r hcl.Range) string {
	if r.Start.Byte < 0 || r.End.Byte > len(text) || r.Start.Byte > r.End.Byte {
		return ""
	}
	return strings.Join(strings.Fields(string(text[r.Start.Byte:r.End.Byte])), " ")
}
