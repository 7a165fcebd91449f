package rule

import "unicode/utf8"

func textFunctions() map[string]function {
	return map[string]function{
		"contains": {
			signature: "contains(text, part...)",
			doc:       "Whether text holds one of the parts, ignoring case. A set as text: whether any element does.",
			examples:  []Example{{`contains(app.name, "MAIL")`, "true"}, {`contains(app.reply_urls, "localhost")`, "true"}, {`contains(actor.upn, "x")`, "unknown"}},
			pure:      true,
			compile:   partFunction(opPart, hasFold),
		},
		"starts_with": {
			signature: "starts_with(text, part...)",
			doc:       "Whether text begins with one of the parts, ignoring case. A set as text: whether any element does.",
			examples:  []Example{{`starts_with(app.name, "contoso")`, "true"}},
			pure:      true,
			compile:   partFunction(opPrefix, func(s, p string) bool { return prefixFold(s, p) >= 0 }),
		},
		"ends_with": {
			signature: "ends_with(text, part...)",
			doc:       "Whether text ends with one of the parts, ignoring case. A set as text: whether any element does.",
			examples:  []Example{{`ends_with(actor.name, "example", "ADMIN")`, "true"}},
			pure:      true,
			compile:   partFunction(opSuffix, suffixFold),
		},
		"glob": {
			signature: "glob(text, pattern...)",
			doc:       "Whether the whole text matches a pattern of * (any characters) and ? (one character), ignoring case. Patterns are constants.",
			examples:  []Example{{`glob(app.name, "contoso*sync")`, "true"}, {`glob(app.name, "contoso")`, "false"}},
			pure:      true,
			compile:   globFunction,
		},
		"matches": {
			signature: "matches(text, regex...)",
			doc:       "Whether text holds a match of a regular expression in RE2 syntax, ignoring case; write (?-i) to heed it, and ^ and $ to bind the ends. Expressions are constants.",
			examples:  []Example{{`matches(app.name, "^contoso (mail|file) sync$")`, "true"}, {`matches(app.name, "(?-i)contoso")`, "false"}},
			pure:      true,
			compile:   regexFunction,
		},
		"lower": {
			signature: "lower(text)",
			doc:       "The text in the form that comparisons use: case folded by Unicode simple folding.",
			examples:  []Example{{`lower("ŠTRASSE K")`, "štrasse k"}},
			compile:   lowerFunction,
		},
		"length": {
			signature: "length(x)",
			doc:       "Number of characters of a string, or of elements of a set.",
			examples:  []Example{{`length(app.name)`, "17"}, {`length(permissions)`, "2"}},
			compile:   lengthFunction,
		},
		"coalesce": {
			signature: "coalesce(x, otherwise)",
			doc:       "x where it is known, else the second value: this is how a rule says what unknown means to it.",
			examples:  []Example{{`coalesce(actor.upn, "nobody")`, "nobody"}, {`coalesce(actor.tier, 4) <= 2`, "false"}},
			compile:   coalesceFunction,
		},
	}
}

// subject checks the first argument of a test on texts.
func (c *checker) subject(at *call) (node, bool) {
	return at.args[0], c.want(at.args[0], "The first argument of "+at.name, kindString, kindSet, kindPermissions)
}

// partFunction makes a function of a test against other strings, constant or
// not.
func partFunction(op termOp, test func(s, part string) bool) func(*checker, *call) node {
	return func(c *checker, at *call) node {
		if !c.arity(at, 2, -1) {
			return bad()
		}
		x, ok := c.subject(at)
		if !ok {
			return bad()
		}
		var parts []strFunc
		for _, n := range at.args[1:] {
			if !c.want(n, "A part", kindString, kindList) {
				return bad()
			}
			for _, item := range n.items {
				parts = append(parts, constString(item).str)
			}
			if n.str != nil {
				parts = append(parts, n.str)
			}
		}
		n := boolNode(at.cost(10), over(x.anyCase(), func(env *Env, s string) Truth {
			verdict := False
			for _, f := range parts {
				p, ok := f(env)
				if !ok {
					verdict = Unknown
				} else if test(s, p) {
					return True
				}
			}
			return verdict
		}))
		if texts, ok := constTexts(at.args[1:]); ok {
			n.yes = x.terms(op, texts)
		}
		return n
	}
}

// constTexts are the texts of arguments that are all constant.
func constTexts(args []node) ([]string, bool) {
	var out []string
	for _, n := range args {
		s, ok := n.text()
		switch {
		case n.kind == kindList:
			out = append(out, n.items...)
		case ok:
			out = append(out, s)
		default:
			return nil, false
		}
	}
	return out, true
}

func globFunction(c *checker, at *call) node {
	n := patternFunction(c, at, 15, func(_ node, p string) (func(string) bool, bool) {
		return func(s string) bool { return globFold(p, s) }, true
	})
	if n.kind != kindBad {
		patterns, _ := c.texts(at, 1)
		n.yes = at.args[0].globs(patterns)
	}
	return n
}

func regexFunction(c *checker, at *call) node {
	found := never()
	out := patternFunction(c, at, 100, func(n node, p string) (func(string) bool, bool) {
		re, steps, err := compileRegex(p)
		switch c.regexSteps += steps; {
		case err != nil:
			c.fail(n.rng, "bad_regex", "Bad regular expression", "%q is not RE2 syntax: %s.", p, err)
			return nil, false
		case steps > maxRegex:
			c.fail(n.rng, "limit_exceeded", "Regular expression too large", "%q has %d steps, at most %d are allowed: repeat less.", p, steps, maxRegex)
			return nil, false
		case c.regexSteps > maxAllRegex:
			c.fail(n.rng, "limit_exceeded", "Regular expressions too large", "With this one the regular expressions of all rules have more than %d steps together.", maxAllRegex)
			return nil, false
		}
		texts := required(p)
		test := guard(texts, re.MatchString)
		if heads := heads(p); len(heads) > 0 {
			test = from(heads, re.MatchString)
		}
		found = either(found, at.args[0].regex(texts, test))
		return test, true
	})
	out.yes = found
	return out
}

func patternFunction(c *checker, at *call, cost int, test func(n node, pattern string) (func(string) bool, bool)) node {
	if !c.arity(at, 2, -1) {
		return bad()
	}
	x, ok1 := c.subject(at)
	patterns, ok2 := c.texts(at, 1)
	if !ok1 || !ok2 {
		return bad()
	}
	tests := make([]func(string) bool, 0, len(patterns))
	for _, p := range patterns {
		if utf8.RuneCountInString(p) > maxPattern {
			return c.fail(at.rng, "limit_exceeded", "Pattern too long", "A pattern has at most %d characters.", maxPattern)
		}
		t, ok := test(at.args[len(at.args)-1], p)
		if !ok {
			return bad()
		}
		tests = append(tests, t)
	}
	return boolNode(at.cost(cost), over(x, func(_ *Env, s string) Truth {
		for _, t := range tests {
			if t(s) {
				return True
			}
		}
		return False
	}))
}

func lowerFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of lower", kindString) {
		return bad()
	}
	x := at.args[0].anyCase()
	f := x.str
	return node{kind: kindString, cost: at.cost(5), konst: x.konst, subj: x.subj, as: f, str: func(env *Env) (string, bool) {
		s, ok := f(env)
		return foldString(s), ok
	}}
}

func lengthFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of length", kindString, kindSet, kindPermissions) {
		return bad()
	}
	n := node{kind: kindInt, cost: at.cost(2)}
	if f := at.args[0].str; f != nil {
		n.num = func(env *Env) (int64, bool) {
			s, ok := f(env)
			return int64(utf8.RuneCountInString(s)), ok
		}
		return n
	}
	f := at.args[0].set
	n.num = func(env *Env) (int64, bool) {
		s, ok := f(env)
		return int64(s.count()), ok
	}
	return n
}

func coalesceFunction(c *checker, at *call) node {
	if !c.arity(at, 2, 2) {
		return bad()
	}
	a, b := at.args[0], at.args[1]
	if a.kind != b.kind || a.kind == kindNull || a.kind == kindList {
		return c.fail(at.rng, "wrong_type", "Wrong type", "Both arguments of coalesce must have the same type; these are %s and %s.", a.kind.a(), b.kind.a())
	}
	n := node{kind: a.kind, cost: at.cost(1)}
	switch {
	case a.truth != nil:
		n.truth = func(env *Env) Truth {
			if t := a.truth(env); t != Unknown {
				return t
			}
			return b.truth(env)
		}
	case a.num != nil:
		n.num = firstKnown(a.num, b.num)
	case a.str != nil:
		n.str = firstKnown(a.str, b.str)
	case a.set != nil:
		n.set = firstKnown(a.set, b.set)
	}
	return n
}

func firstKnown[T any](a, b func(*Env) (T, bool)) func(*Env) (T, bool) {
	return func(env *Env) (T, bool) {
		if v, ok := a(env); ok {
			return v, true
		}
		return b(env)
	}
}
