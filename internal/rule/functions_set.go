package rule

import (
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

func setFunctions() map[string]function {
	return map[string]function{
		"in_list": {
			signature: "in_list(list, x)",
			doc:       "Whether x is an entry of a list that has not expired, ignoring case. A set as x: whether any element is. An int as x: its digits.",
			examples:  []Example{{`in_list("pipelines", actor.id)`, "false"}, {`in_list("brands", "CONTOSO")`, "true"}},
			compile:   inListFunction,
		},
		"any_of": {
			signature: "any_of(x, value...)",
			doc:       "Whether x equals one of the values, ignoring case. A set as x: whether any element does.",
			examples:  []Example{{`any_of(actor.type, "user", "app")`, "true"}, {`any_of(consent.scopes, ["mail.read", "Mail.Send"])`, "true"}},
			pure:      true,
			compile:   anyOfFunction,
		},
		"all_of": {
			signature: "all_of(set, value...)",
			doc:       "Whether every one of the values is in the set, ignoring case.",
			examples:  []Example{{`all_of(consent.scopes, ["mail.read", "offline_access"])`, "true"}},
			compile:   allOfFunction,
		},
		"none_of": {
			signature: "none_of(x, value...)",
			doc:       "The contrary of any_of.",
			examples:  []Example{{`none_of(source.country, "DE", "FR")`, "true"}},
			pure:      true,
			compile: func(c *checker, at *call) node {
				n := anyOfFunction(c, at)
				if n.kind == kindBool {
					f := n.truth
					n.truth = func(env *Env) Truth { return not(f(env)) }
					n.yes, n.no = n.no, n.yes
				}
				return n
			},
		},
		"has_permission": {
			signature: "has_permission(permissions, pattern...)",
			doc:       "Whether a permission set, or a set of scope names, holds one that matches a pattern: a name, with * for any characters. \"application:Mail.*\" and \"delegated:Mail.*\" ask for one kind, on permission sets only.",
			examples:  []Example{{`has_permission(permissions, "Mail.*")`, "true"}, {`has_permission(permissions, "application:Mail.*")`, "false"}, {`has_permission(app.permissions, "mail.read")`, "true"}},
			compile:   hasPermissionFunction,
		},
		"tier": {
			signature: "tier(permissions)",
			doc:       "The worst tier in a permission set, or that of one permission by name (an application permission of Microsoft Graph, unless written \"delegated:Name\"): 1 control plane, 2 data of the organisation, 3 data of one user, 4 harmless. Unknown where no permission has a known tier.",
			examples:  []Example{{`tier(permissions)`, "3"}, {`tier("RoleManagement.ReadWrite.Directory")`, "1"}, {`tier("delegated:User.Read")`, "4"}},
			compile:   tierFunction,
		},
	}
}

func inListFunction(c *checker, at *call) node {
	if !c.arity(at, 2, 2) {
		return bad()
	}
	l, ok := c.named(at.args[0])
	if !ok || !c.want(at.args[1], "The second argument of in_list", kindString, kindInt, kindSet, kindPermissions) {
		return bad()
	}
	x := at.args[1].written()
	n := boolNode(at.cost(3), over(x.anyCase(), func(env *Env, s string) Truth {
		now, _ := nanos(env.Now)
		return truthOf(l.has(s, now))
	}))
	if x.subj != nil {
		n.yes = &access{terms: []term{{on: x.subj, op: opList, list: l}}}
	}
	return n
}

func anyOfFunction(c *checker, at *call) node {
	if !c.arity(at, 2, -1) {
		return bad()
	}
	x, ok1 := c.subject(at)
	values, ok2 := c.texts(at, 1)
	if !ok1 || !ok2 {
		return bad()
	}
	c.hints.compared(x, at.rng, values...)
	has := membership(values)
	n := boolNode(at.cost(3), over(x.anyCase(), func(_ *Env, s string) Truth { return truthOf(has(s)) }))
	n.yes = x.terms(opEqual, values)
	return n
}

// membership tests against few values one by one, against many by a table.
func membership(values []string) func(string) bool {
	if len(values) <= 4 {
		return func(s string) bool { return containsFold(values, s) }
	}
	table := make(map[string]struct{}, len(values))
	for _, v := range values {
		table[foldString(v)] = struct{}{}
	}
	return func(s string) bool {
		var buf [128]byte
		_, ok := table[string(appendFold(buf[:0], s))]
		return ok
	}
}

func allOfFunction(c *checker, at *call) node {
	if !c.arity(at, 2, -1) {
		return bad()
	}
	values, ok := c.texts(at, 1)
	if !ok || !c.want(at.args[0], "The first argument of all_of", kindSet, kindPermissions) {
		return bad()
	}
	f := at.args[0].set
	n := boolNode(at.cost(10), func(env *Env) Truth {
		s, ok := f(env)
		if !ok {
			return Unknown
		}
		for _, v := range values {
			if !s.has(v) {
				return False
			}
		}
		return True
	})
	if n.yes = at.args[0].terms(opEqual, values[:1]); len(values) > 1 {
		n.yes = n.yes.inexact()
	}
	return n
}

func (s *set) has(v string) bool {
	for i := range s.len() {
		if e, ok := s.at(i); ok && strings.EqualFold(e, v) {
			return true
		}
	}
	return false
}

// wanted is a permission pattern: kind, or "" for both, and a glob.
type wanted struct{ kind, glob string }

func (w wanted) matches(p *event.Permission) bool {
	return (w.kind == "" || w.kind == p.Kind) && globFold(w.glob, p.Name)
}

func splitKind(pattern string) wanted {
	if kind, name, ok := strings.Cut(pattern, ":"); ok && (kind == "application" || kind == "delegated") {
		return wanted{kind, name}
	}
	return wanted{"", pattern}
}

func hasPermissionFunction(c *checker, at *call) node {
	if !c.arity(at, 2, -1) {
		return bad()
	}
	patterns, ok := c.texts(at, 1)
	if !ok || !c.want(at.args[0], "The first argument of has_permission", kindPermissions, kindSet) {
		return bad()
	}
	wants := make([]wanted, 0, len(patterns))
	for _, p := range patterns {
		c.hints.permission(c.tiers, at.rng, p)
		w := splitKind(p)
		if w.kind != "" && at.args[0].kind == kindSet {
			return c.fail(at.rng, "wrong_type", "No kinds in a set of names", "A %q pattern needs a permission set such as permissions or app.permissions.", w.kind+":")
		}
		wants = append(wants, w)
	}
	globs := make([]string, 0, len(wants))
	for _, w := range wants {
		globs = append(globs, w.glob)
	}
	n := boolNode(at.cost(10), heldPermission(at.args[0].set, wants))
	if at.args[0].kind == kindSet {
		n.truth = over(at.args[0], func(_ *Env, s string) Truth {
			for _, w := range wants {
				if globFold(w.glob, s) {
					return True
				}
			}
			return False
		})
	}
	n.yes = at.args[0].globs(globs)
	return n
}

func heldPermission(f setFunc, wants []wanted) truthFunc {
	return func(env *Env) Truth {
		s, ok := f(env)
		if !ok {
			return Unknown
		}
		for i := range s.len() {
			p, ok := s.perm(i)
			if !ok {
				continue
			}
			for _, w := range wants {
				if w.matches(p) {
					return True
				}
			}
		}
		return False
	}
}

func tierFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of tier", kindPermissions, kindString) {
		return bad()
	}
	tiers := c.tiers
	n := node{kind: kindInt, cost: at.cost(20)}
	if f := at.args[0].str; f != nil {
		if name, ok := at.args[0].text(); ok {
			c.hints.permission(tiers, at.rng, name)
		}
		n.num = func(env *Env) (int64, bool) {
			s, ok := f(env)
			w := splitKind(s)
			if w.kind == "" {
				w.kind = "application"
			}
			t := tiers.tier("", w.kind, w.glob)
			return int64(t), ok && t != 0
		}
		return n
	}
	f := at.args[0].set
	n.num = func(env *Env) (int64, bool) {
		s, ok := f(env)
		if !ok {
			return 0, false
		}
		return worstTier(tiers, &s)
	}
	return n
}

func worstTier(tiers *tierTable, s *set) (int64, bool) {
	worst := int8(0)
	for i := range s.len() {
		p, ok := s.perm(i)
		if !ok {
			continue
		}
		t := p.Tier
		if t == 0 {
			t = tiers.tier(p.API, p.Kind, p.Name)
		}
		if t != 0 && (worst == 0 || t < worst) {
			worst = t
		}
	}
	return int64(worst), worst != 0
}
