package rule

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
)

// Limits of the language.
const (
	maxExpression = 16 << 10 // bytes of one expression
	maxPattern    = 1000     // characters of a glob or a regular expression
	maxText       = 4 << 10  // characters of a constant string
	maxRegex      = 5_000    // of a regular expression
	maxAllRegex   = 1_000_000
)

// checker holds what expressions are checked against, and collects every
// mistake.
type checker struct {
	fields map[string]field
	funcs  map[string]function
	lists  map[string]*list
	tiers  *tierTable
	twins  *confusables
	zone   *time.Location
	files  map[string][]byte // of the blob, for lists
	torn   map[string]bool   // files that do not parse: what is missing in one may stand behind the mistake
	policy bool              // the expression at hand sees the inventory alone
	extra  map[string]field  // what only the expression at hand sees
	steps  *steps            // of the sequence whose condition or alert is at hand

	actions       []string
	idForm        *regexp.Regexp
	techniqueForm *regexp.Regexp

	regexSteps int // of all regular expressions

	diags    hcl.Diagnostics
	hints    *hints // for Lint; nil = nobody asks
	shadows  []shadowAt
	recorder *recorder // of probes; nil = none are kept
	grammar  *grammar  // of blocks; nil = nobody asks
}

func newChecker(zone *time.Location) *checker {
	return &checker{
		fields: schema(),
		funcs:  functions(),
		lists:  map[string]*list{},
		tiers:  newTierTable(),
		twins:  newConfusables(),
		zone:   zone,
		torn:   map[string]bool{},

		actions:       actionNames(),
		idForm:        regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`),
		techniqueForm: regexp.MustCompile(`^T\d{4}(\.\d{3})?$`),
	}
}

func actionNames() []string {
	var names []string
	for _, a := range event.Actions() {
		names = append(names, a.Name)
	}
	return names
}

// fail notes a mistake and returns the node that stands for it.
func (c *checker) fail(r hcl.Range, code, summary, detail string, args ...any) node {
	c.diags = append(c.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...),
		Subject: r.Ptr(), Extra: diag.Code(code),
	})
	return node{kind: kindBad, rng: r}
}

// expression checks one whole expression.
func (c *checker) expression(e hclsyntax.Expression) node {
	r := e.Range()
	if size := r.End.Byte - r.Start.Byte; size > maxExpression {
		return c.fail(r, "limit_exceeded", "Expression too long",
			"The expression has %d bytes; at most %d are allowed. Use a list or split the rule.", size, maxExpression)
	}
	return c.expr(e)
}

func (c *checker) expr(e hclsyntax.Expression) node {
	at := c.recorder.begin(e)
	n := c.dispatch(e)
	n.rng = e.Range()
	n = n.fold().subjectOf()
	c.recorder.end(c, at, n)
	return n
}

func (c *checker) dispatch(e hclsyntax.Expression) node {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return c.literal(e)
	case *hclsyntax.TemplateExpr:
		return c.template(e)
	case *hclsyntax.TemplateWrapExpr:
		return c.expr(e.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		return c.expr(e.Expression)
	case *hclsyntax.ScopeTraversalExpr:
		return c.field(e)
	case *hclsyntax.FunctionCallExpr:
		return c.call(e)
	case *hclsyntax.BinaryOpExpr:
		return c.binary(e)
	case *hclsyntax.UnaryOpExpr:
		return c.unary(e)
	case *hclsyntax.ConditionalExpr:
		return c.conditional(e)
	case *hclsyntax.TupleConsExpr:
		return c.tuple(e)
	}
	return c.fail(e.Range(), "unsupported_expression", "Not part of the rule language",
		"Rules know operators, conditionals, templates, function calls and fields; for, splat, index and object expressions are left out.")
}

func (c *checker) literal(e *hclsyntax.LiteralValueExpr) node {
	v, ok := constant(e)
	if !ok {
		return c.fail(e.Range(), "bad_number", "Not an integer", "Numbers are integers of 64 bits.")
	}
	switch v := v.(type) {
	case nil:
		return node{kind: kindNull, konst: true}
	case bool:
		t := truthOf(v)
		return node{kind: kindBool, konst: true, truth: func(*Env) Truth { return t }}
	case int64:
		return node{kind: kindInt, konst: true, num: func(*Env) (int64, bool) { return v, true }}
	case string:
		return constString(v)
	}
	return c.fail(e.Range(), "unsupported_expression", "Not part of the rule language", "Only strings, integers, true, false and null can be written.")
}

func constString(s string) node {
	return node{kind: kindString, konst: true, str: func(*Env) (string, bool) { return s, true }}
}

func (c *checker) field(e *hclsyntax.ScopeTraversalExpr) node {
	name, ok := dotted(e.Traversal)
	if !ok {
		return c.fail(e.Range(), "unsupported_expression", "Not a field", "A field is written as words with dots, such as app.name.")
	}
	if c.steps != nil {
		if n, ok := c.steps.field(c, e, name); ok {
			return n
		}
	}
	if f, ok := c.extra[name]; ok {
		return node{kind: f.kind, cost: 1, truth: f.truth, num: f.num, str: f.str}
	}
	f, ok := c.fields[name]
	step, rest, _ := strings.Cut(name, ".")
	if _, known := c.fields[rest]; known && !ok {
		return c.fail(e.Range(), "unknown_field", "Unknown field", "There is no field %q, nor a step %q that comes before.%s", name, step, suggest(name, keys(c.fields)))
	}
	if !ok {
		return c.fail(e.Range(), "unknown_field", "Unknown field", "There is no field %q.%s", name, suggest(name, append(keys(c.extra), keys(c.fields)...)))
	}
	if c.policy && (f.info.From == event.FromEvent || f.info.From == event.FromActor) {
		return c.fail(e.Range(), "event_field_in_policy", "Field of an event in a policy",
			"%q belongs to an event; a policy looks at the inventory, at no event. Use app.* fields.", name)
	}
	return node{kind: f.kind, cost: 1, ident: name, truth: f.truth, num: f.num, str: f.str, set: f.set}.asked()
}

// dotted joins a traversal of plain names.
func dotted(t hcl.Traversal) (string, bool) {
	name := t.RootName()
	for _, step := range t[1:] {
		attr, ok := step.(hcl.TraverseAttr)
		if !ok {
			return "", false
		}
		name += "." + attr.Name
	}
	return name, true
}

func (c *checker) tuple(e *hclsyntax.TupleConsExpr) node {
	items := make([]string, 0, len(e.Exprs))
	bad := false
	for _, x := range e.Exprs {
		n := c.expr(x)
		if n.kind == kindBad {
			bad = true
			continue
		}
		s, ok := n.text()
		if !ok {
			c.fail(x.Range(), "wrong_type", "Not a constant string", "A list in an expression holds constant strings.")
			bad = true
			continue
		}
		items = append(items, s)
	}
	if bad {
		return node{kind: kindBad}
	}
	return node{kind: kindList, konst: true, items: items}
}

// want reports a mistake unless n has one of the kinds.
func (c *checker) want(n node, what string, kinds ...kind) bool {
	if n.kind == kindBad {
		return false
	}
	for _, k := range kinds {
		if n.kind == k {
			return true
		}
	}
	c.fail(n.rng, "wrong_type", "Wrong type", "%s must be %s; this is %s.", what, kindNames(kinds), n.kind.a())
	return false
}

func kindNames(kinds []kind) string {
	s := ""
	for i, k := range kinds {
		switch {
		case i > 0 && i == len(kinds)-1:
			s += " or "
		case i > 0:
			s += ", "
		}
		s += k.a()
	}
	return s
}
