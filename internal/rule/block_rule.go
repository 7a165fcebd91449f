package rule

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/event"
)

func (c *checker) ruleBlock(id string, src source) *Rule {
	b := c.block(src.Block)
	b.allow(headAttributes+"on shadow_of", "threshold first_seen compare sequence absence suppress risk alert")
	h := b.head(src)
	r := &Rule{
		ID: id, Revision: h.revision, State: stateRevision(src), Title: h.title, Severity: h.severity, Techniques: h.techniques,
		References: h.references, Mode: h.mode,
	}
	if r.Sequence = b.sequence(r); r.Sequence == nil {
		r.On = b.actions()
		b.condition(r)
	}
	r.Thresholds = b.thresholds()
	r.FirstSeen = b.firstSeen()
	r.Compare = b.compare()
	r.Absence = b.absence()
	r.Suppress = b.silence(r)
	b.alert(r)
	r.Points = b.points()
	r.ShadowOf = b.shadowOf(id, &r.Mode)
	return r
}

func (b block) condition(r *Rule) {
	r.takes(b.where("where"))
	_, conditional := b.attr("where")
	r.free = !conditional
}

// takes makes where the condition of r, and its access how r is found.
func (r *Rule) takes(where node) {
	if len(where.conjuncts) == 0 {
		where.conjuncts, where.yes = []truthFunc{where.truth}, where.yes.of(1)
	}
	r.where, r.found = predicate(where.truth), where.yes
	r.rest = predicate(remaining(where.conjuncts, where.yes.proven()))
}

// remaining is what is left of conjuncts where some are proven.
func remaining(conjuncts []truthFunc, proven []int) truthFunc {
	var left []truthFunc
	for i, f := range conjuncts {
		if !slices.Contains(proven, i) {
			left = append(left, f)
		}
	}
	return allOf(left)
}

// alert compiles what an alert of r says.
func (b block) alert(r *Rule) {
	if r.Compare != nil {
		b.c.extra = comparedFields()
	}
	if r.Absence != nil {
		b.c.extra = absenceFields()
	}
	if r.Sequence != nil {
		b.c.steps = &steps{all: r.Sequence.Steps, self: -1}
	}
	defer func() { b.c.extra, b.c.steps = nil, nil }()
	r.graded, r.titled = b.graded(), b.titled()
	r.score = b.score(r.SeverityOf)
	r.summary = fixed(r.Title)
	if r.titled != nil {
		r.summary = r.titled
	}
	if a, ok := b.child("alert"); ok {
		a.allow("summary by max_evidence", "")
		r.summary = a.summary(r.summary)
		r.DedupeBy = a.key("by")
		r.Evidence = int(a.number("max_evidence", 1, 1000, 0))
	}
}

func fixed(title string) stringExpr {
	title = tame(title, maxMade)
	return func(*Env) string { return title }
}

// computes reports whether title and severity of such a block may be computed.
func (b block) computes() bool { return b.kind == "rule" || b.kind == "policy" }

// title reads the title; of one that is computed, the text.
func (b block) title() string {
	if a, ok := b.attr("title"); ok && b.computes() {
		if t, computed := template(a.Expr); computed {
			return t
		}
	}
	title, _ := b.text("title")
	if !b.given("title", title) {
		b.missing("title", "what an analyst reads first")
	}
	return title
}

// template is the text of a template that names fields, as far as it is constant.
func template(e hclsyntax.Expression) (string, bool) {
	t, ok := e.(*hclsyntax.TemplateExpr)
	if !ok {
		return "", false
	}
	if _, constant := literalText(t); constant {
		return "", false
	}
	var text strings.Builder
	for _, p := range t.Parts {
		if v, ok := constant(p); ok {
			s, _ := v.(string)
			text.WriteString(s)
		} else {
			text.WriteString("…")
		}
	}
	return text.String(), true
}

// titled compiles a title that is computed; nil = it is constant.
func (b block) titled() stringExpr {
	a, ok := b.attr("title")
	if !ok {
		return nil
	}
	if _, computed := template(a.Expr); !computed {
		return nil
	}
	return b.line(a.Expr)
}

// severity reads the severity; of one that is computed the highest that it can
// become.
func (b block) severity() event.Severity {
	if a, ok := b.attr("severity"); ok && b.computes() {
		if e, computed := choice(a.Expr); computed {
			return b.highest(e)
		}
	}
	s, at := b.text("severity")
	b.c.grammar.require(b.path, "severity")
	b.c.grammar.note(b.path, "severity", attribute{"anyOf": []attribute{{"enum": severities()}, {"type": "string", "pattern": `^\$\{`}}})
	severity, ok := event.ParseSeverity(s)
	if !ok {
		b.badSeverity(s, at)
	}
	return severity
}

func choice(e hclsyntax.Expression) (*hclsyntax.ConditionalExpr, bool) {
	if p, ok := e.(*hclsyntax.ParenthesesExpr); ok {
		return choice(p.Expression)
	}
	x, ok := e.(*hclsyntax.ConditionalExpr)
	return x, ok
}

func (b block) highest(x *hclsyntax.ConditionalExpr) event.Severity {
	var worst event.Severity
	for _, e := range []hclsyntax.Expression{x.TrueResult, x.FalseResult} {
		if inner, ok := choice(e); ok {
			worst = max(worst, b.highest(inner))
			continue
		}
		v, _ := constant(e)
		s, ok := v.(string)
		if !ok {
			b.c.fail(e.Range(), "not_constant", "Not a constant", "A computed severity chooses between constants, such as app.tier == 1 ? \"critical\" : \"high\".")
			continue
		}
		one, ok := event.ParseSeverity(s)
		if !ok {
			b.badSeverity(s, e.Range())
		}
		worst = max(worst, one)
	}
	return worst
}

// graded compiles a severity that is computed; nil = it is constant.
func (b block) graded() severityExpr {
	a, ok := b.attr("severity")
	if !ok {
		return nil
	}
	x, computed := choice(a.Expr)
	if !computed {
		return nil
	}
	return b.choose(x)
}

// choose makes a choice of severities; a condition that is unknown does not hold.
func (b block) choose(e hclsyntax.Expression) severityExpr {
	x, ok := choice(e)
	if !ok {
		v, _ := constant(e)
		s, _ := v.(string)
		severity, _ := event.ParseSeverity(s)
		return func(*Env) event.Severity { return severity }
	}
	cond := b.c.expression(x.Condition)
	yes, no := b.choose(x.TrueResult), b.choose(x.FalseResult)
	if !b.c.want(cond, "The condition before ?", kindBool) {
		return no
	}
	return func(env *Env) event.Severity {
		if cond.truth(env) == True {
			return yes(env)
		}
		return no(env)
	}
}

// children are the inner blocks of a type, which may have a label each.
func (b block) children(name string) []block {
	var out []block
	for _, x := range b.body.Blocks {
		if x.Type == name {
			inner := b.c.block(x)
			inner.path = b.path + "." + name
			out = append(out, inner)
		}
	}
	return out
}

const maxThresholds = 5

func (b block) thresholds() []*Threshold {
	all := b.children("threshold")
	var out []*Threshold
	up := false
	for _, t := range all {
		x := t.threshold()
		up = up || x.AtMost < 0
		out = append(out, x)
	}
	switch {
	case len(all) > maxThresholds:
		b.c.fail(all[maxThresholds].rng, "limit_exceeded", "Too many thresholds", "A rule has at most %d thresholds.", maxThresholds)
	case len(all) > 0 && !up:
		b.c.fail(all[0].rng, "never_fires", "Nothing counts up", "A threshold with at_most only holds alerts back; beside it the rule needs one with count.")
	}
	return out
}

// maxDistinct is how many different values a threshold may ask for: each event costs
// time in proportion to what its window holds.
const maxDistinct = 4096

func (b block) threshold() *Threshold {
	b.allow("count at_most distinct sum where by within max_keys", "")
	out := &Threshold{
		Count: int(b.number("count", 1, 1_000_000, 0)), AtMost: int(b.number("at_most", 0, 1_000_000, -1)),
		By: b.key("by"), Distinct: b.key("distinct"), Within: b.duration("within"),
		MaxKeys: int(b.number("max_keys", 1, 10_000_000, defaultMaxKeys)),
	}
	out.where = predicate(b.where("where").truth)
	if a, ok := b.attr("sum"); ok {
		n := b.c.expression(a.Expr)
		out.Sums = b.c.want(n, "sum", kindInt)
		out.value = n.num
		if out.Distinct != nil {
			b.c.fail(a.NameRange, "conflicting_attributes", "Both distinct and sum", "A threshold counts different values or adds up a number, not both.")
		}
	}
	count, up := b.attr("count")
	_, down := b.attr("at_most")
	switch {
	case !up && !down:
		b.missing("count", "how many matches make an alert")
	case up && down:
		b.c.fail(count.NameRange, "conflicting_attributes", "Both count and at_most", "A threshold asks for count or more, or for at_most or fewer; write two blocks for both.")
	case out.Distinct != nil && max(out.Count, out.AtMost) > maxDistinct:
		b.c.fail(b.rng, "limit_exceeded", "Too many different values", "A threshold tells at most %d different values apart; a compare with distinct estimates any number of them.", maxDistinct)
	}
	b.need("by", "what is counted together, such as [app.id]; [] counts all together")
	b.need("within", "the length of the window, such as \"1h\"")
	return out
}

func (b block) firstSeen() *FirstSeen {
	f, ok := b.child("first_seen")
	if !ok {
		return nil
	}
	f.allow("key at_most history min_history max_keys", "")
	out := &FirstSeen{
		Key: f.key("key"), AtMost: int(f.number("at_most", 0, 100, 0)), History: f.duration("history"), MinHistory: f.duration("min_history"),
		MaxKeys: int(f.number("max_keys", 1, 10_000_000, defaultMaxKeys)),
	}
	f.need("key", "the fields whose combination must be new, such as [app.id, source.asn]")
	f.need("history", "how long a key counts as seen, such as \"30d\"")
	return out
}

// silence reads suppress. A rule with windows that has none is silent for their
// length: every further match in one would alert again.
func (b block) silence(r *Rule) *Suppress {
	s, ok := b.child("suppress")
	if !ok {
		for _, t := range r.Thresholds {
			if t.AtMost < 0 {
				return &Suppress{By: t.By, For: t.Within}
			}
		}
		if r.Compare != nil {
			return &Suppress{By: r.Compare.By, For: r.Compare.Window}
		}
		return nil
	}
	s.allow("by for", "")
	out := &Suppress{By: s.key("by"), For: s.duration("for")}
	s.need("by", "what is silenced together, such as [app.id]")
	s.need("for", "how long, such as \"24h\"")
	return out
}
