package rule

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/hclsafe"
)

// FilterName is the file that mistakes in a filter are said to stand in.
const FilterName = "filter"

// Filter is a condition on an app that somebody asks for, in the language of
// policies.
type Filter struct {
	where predicate
	whole bool
}

// Filter compiles an expression of type bool over fields of apps. It sees the lists
// and tiers of the set. The text is a stranger's: it is bounded as rules are.
func (s *Set) Filter(text string) (*Filter, hcl.Diagnostics) { return s.filter(text, true) }

// EventFilter is Filter over the fields of an event, as the where of a rule is.
func (s *Set) EventFilter(text string) (*Filter, hcl.Diagnostics) { return s.filter(text, false) }

// EventCondition is EventFilter for an expression that stands in a file: mistakes have
// their place there. Only the expressions of HCL's own syntax can be one.
func (s *Set) EventCondition(e hcl.Expression) (*Filter, hcl.Diagnostics) {
	return s.compile(e, "The condition", false)
}

func (s *Set) filter(text string, policy bool) (*Filter, hcl.Diagnostics) {
	e, diags := parseFilter(text)
	if diags.HasErrors() {
		return nil, diags
	}
	return s.compile(e, "The filter", policy)
}

func (s *Set) compile(e hcl.Expression, what string, policy bool) (*Filter, hcl.Diagnostics) {
	c := newChecker(s.zone)
	c.lists, c.tiers, c.policy = s.lists, s.tiers, policy
	where := c.condition(e, what)
	if where == nil {
		return nil, c.diags
	}
	return &Filter{where: where, whole: slices.ContainsFunc(e.Variables(), needsMore)}, c.diags
}

// condition compiles an expression of type bool; nil where it is none.
func (c *checker) condition(e hcl.Expression, what string) predicate {
	native, ok := e.(hclsyntax.Expression)
	if !ok {
		c.fail(e.Range(), "unsupported_expression", "Not an expression", "The condition is an expression of HCL.")
		return nil
	}
	n := c.expression(native)
	if !c.want(n, what, kindBool) || c.diags.HasErrors() {
		return nil
	}
	return predicate(n.truth)
}

// parseFilter reads a stranger's text, which is bounded as rules are.
func parseFilter(text string) (hclsyntax.Expression, hcl.Diagnostics) {
	if diags := hclsafe.Check(FilterName, []byte(text)); diags.HasErrors() {
		return nil, diags
	}
	return hclsyntax.ParseExpression([]byte(text), FilterName, hcl.InitialPos)
}

// Match is True where the app of env passes.
func (f *Filter) Match(env *Env) Truth { return f.where(env) }

// Whole reports whether the filter asks for more than the single values of the app
// itself, its use and its risk (inventory.Model.Each).
func (f *Filter) Whole() bool { return f.whole }

// needsMore reports whether a field is not among those that an app has without its
// lists, grants and traits.
func needsMore(field hcl.Traversal) bool {
	if len(field) < 2 || field.RootName() != "app" {
		return false // now and the like
	}
	a, ok := field[1].(hcl.TraverseAttr)
	return !ok || !slices.Contains([]string{
		"id", "object_id", "app_id", "name", "owner_tenant", "kind", "origin", "first_party", "enabled", "publisher",
		"created", "first_seen", "last_seen", "last_used", "idle", "risk", "is_appgovd",
	}, a.Name) && !isFigure(a.Name)
}

// isFigure reports whether a field is one of the use of an app.
func isFigure(name string) bool {
	for _, figure := range [...]string{"calls", "call_errors", "call_users", "response_bytes", "signins", "signin_failures"} {
		if rest, ok := strings.CutPrefix(name, figure); ok && (rest == "" || rest == "_today" || rest == "_mean") {
			return true
		}
	}
	return false
}
