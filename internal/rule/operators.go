package rule

import (
	"math"
	"math/bits"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func (c *checker) unary(e *hclsyntax.UnaryOpExpr) node {
	n := c.expr(e.Val)
	if n.kind == kindBad {
		return n
	}
	if e.Op == hclsyntax.OpLogicalNot {
		if !c.want(n, "What ! turns round", kindBool) {
			return node{kind: kindBad}
		}
		f := n.truth
		return node{kind: kindBool, cost: n.cost, konst: n.konst, yes: n.no, no: n.yes, truth: func(env *Env) Truth { return not(f(env)) }}
	}
	if !c.want(n, "What - negates", kindInt, kindDuration) {
		return node{kind: kindBad}
	}
	f := n.num
	return node{kind: n.kind, cost: n.cost, konst: n.konst, num: func(env *Env) (int64, bool) {
		v, ok := f(env)
		return sub(0, v), ok
	}}
}

func (c *checker) binary(e *hclsyntax.BinaryOpExpr) node {
	switch e.Op {
	case hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
		return c.logical(e)
	}
	a, b := c.expr(e.LHS), c.expr(e.RHS)
	if a.kind == kindBad || b.kind == kindBad {
		return node{kind: kindBad}
	}
	n := node{kind: kindBool, cost: a.cost + b.cost + 1, konst: a.konst && b.konst}
	switch e.Op {
	case hclsyntax.OpEqual:
		n.truth = c.equal(e, a, b)
		n.yes, n.no = equalAccess(a, b)
	case hclsyntax.OpNotEqual:
		if f := c.equal(e, a, b); f != nil {
			n.truth = func(env *Env) Truth { return not(f(env)) }
			n.no, n.yes = equalAccess(a, b)
		}
	case hclsyntax.OpLessThan, hclsyntax.OpLessThanOrEqual, hclsyntax.OpGreaterThan, hclsyntax.OpGreaterThanOrEqual:
		n.truth = c.order(e, a, b)
		n.yes, n.no = orderAccess(e.Op, a, b)
	default:
		return c.arithmetic(e, a, b)
	}
	if n.truth == nil {
		return node{kind: kindBad}
	}
	return n
}

// logical flattens a chain of one operator and puts cheap operands first: with
// total evaluation the order cannot change the verdict.
func (c *checker) logical(e *hclsyntax.BinaryOpExpr) node {
	var terms []node
	bad := false
	for _, x := range chain(e, e.Op) {
		n := c.expr(x)
		if !c.want(n, "An operand of && and ||", kindBool) {
			bad = true
			continue
		}
		terms = append(terms, n)
	}
	if bad {
		return node{kind: kindBad}
	}
	return join(terms, e.Op == hclsyntax.OpLogicalAnd)
}

func chain(e hclsyntax.Expression, op *hclsyntax.Operation) []hclsyntax.Expression {
	switch x := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return chain(x.Expression, op)
	case *hclsyntax.BinaryOpExpr:
		if x.Op == op {
			return append(chain(x.LHS, op), chain(x.RHS, op)...)
		}
	}
	return []hclsyntax.Expression{e}
}

// join makes one closure of terms: all must hold (and), or any may (or). A constant
// that decides is the verdict, one that does not is left out.
func join(terms []node, and bool) node {
	sort.SliceStable(terms, func(i, j int) bool { return terms[i].cost < terms[j].cost })
	out := node{kind: kindBool, konst: true, yes: never(), no: never()}
	if and {
		out.yes = nil
	} else {
		out.no = nil
	}
	fs := make([]truthFunc, 0, len(terms))
	for _, t := range terms {
		if t.konst && t.truth(&Env{}) == truthOf(!and) {
			return t
		}
		if t.konst && t.truth(&Env{}) == truthOf(and) && len(terms) > 1 {
			continue
		}
		out.cost += t.cost
		out.konst = out.konst && t.konst
		fs = append(fs, t.truth)
		switch yes := t.yes.of(len(fs)); {
		case !and && len(fs) == 1:
			out.yes, out.no = t.yes, t.no
		case !and:
			out.yes, out.no = either(out.yes, t.yes), both(out.no, t.no)
		case len(fs) == 1:
			out.yes, out.no = yes, t.no
		default:
			out.yes, out.no = both(out.yes, yes), either(out.no, t.no)
		}
	}
	if !and {
		out.truth = anyOf(fs)
		return out
	}
	out.truth, out.conjuncts = allOf(fs), fs
	return out
}

func allOf(fs []truthFunc) truthFunc {
	if len(fs) == 1 {
		return fs[0]
	}
	return func(env *Env) Truth {
		verdict := True
		for _, f := range fs {
			switch f(env) {
			case False:
				return False
			case Unknown:
				verdict = Unknown
			}
		}
		return verdict
	}
}

func anyOf(fs []truthFunc) truthFunc {
	if len(fs) == 1 {
		return fs[0]
	}
	return func(env *Env) Truth {
		verdict := False
		for _, f := range fs {
			switch f(env) {
			case True:
				return True
			case Unknown:
				verdict = Unknown
			}
		}
		return verdict
	}
}

// equalAccess is where a == b is found by when it is true, and when it is false.
func equalAccess(a, b node) (yes, no *access) {
	if a.konst {
		a, b = b, a
	}
	if !b.konst || a.kind != b.kind {
		return nil, nil
	}
	switch {
	case b.str != nil:
		if s, ok := b.text(); ok {
			return a.terms(opEqual, []string{s}), nil
		}
	case b.num != nil:
		if v, ok := b.num(&Env{}); ok {
			return a.numbers(opNumber, v), nil
		}
	case b.truth != nil:
		switch b.truth(&Env{}) {
		case True:
			return a.yes, a.no
		case False:
			return a.no, a.yes
		}
	}
	return nil, nil
}

// orderAccess is equalAccess of an order.
func orderAccess(op *hclsyntax.Operation, a, b node) (yes, no *access) {
	turned := a.konst
	if turned {
		a, b = b, a
	}
	if !b.konst || a.kind != b.kind || b.num == nil {
		return nil, nil
	}
	v, ok := b.num(&Env{})
	if !ok {
		return nil, nil
	}
	greater := op == hclsyntax.OpGreaterThan || op == hclsyntax.OpGreaterThanOrEqual
	orEqual := op == hclsyntax.OpGreaterThanOrEqual || op == hclsyntax.OpLessThanOrEqual
	if turned {
		greater = !greater
	}
	if greater != orEqual { // a > v, a <= v: what is v is none of the greater
		most, least := a.numbers(opAtMost, v), a.above(v)
		if greater {
			return least, most
		}
		return most, least
	}
	most, least := a.below(v), a.numbers(opAtLeast, v)
	if greater {
		return least, most
	}
	return most, least
}

// above is the access of more than v.
func (n node) above(v int64) *access {
	if v == math.MaxInt64 {
		return never()
	}
	return n.numbers(opAtLeast, v+1)
}

// below is the access of less than v.
func (n node) below(v int64) *access {
	if v == math.MinInt64 {
		return never()
	}
	return n.numbers(opAtMost, v-1)
}

func (c *checker) equal(e *hclsyntax.BinaryOpExpr, a, b node) truthFunc {
	if a.kind == kindNull {
		a, b = b, a
	}
	switch {
	case b.kind == kindNull:
		known := a.known()
		return func(env *Env) Truth { return truthOf(!known(env)) }
	case a.kind == kindString && b.kind == kindString:
		if v, ok := b.text(); ok {
			c.hints.compared(a, e.Range(), v)
		} else if v, ok := a.text(); ok {
			c.hints.compared(b, e.Range(), v)
		}
		return equalText(a, b)
	case a.kind == kindBool && b.kind == kindBool:
		x, y := a.truth, b.truth
		return func(env *Env) Truth {
			p, q := x(env), y(env)
			if p == Unknown || q == Unknown {
				return Unknown
			}
			return truthOf(p == q)
		}
	case a.kind == b.kind && a.kind.number():
		return compare(a, b, func(x, y int64) bool { return x == y })
	}
	c.mismatch(e, a, b)
	return nil
}

func equalText(a, b node) truthFunc {
	if _, ok := a.text(); ok {
		a, b = b, a
	}
	x, y := a.anyCase().str, b.anyCase().str
	if want, ok := b.text(); ok {
		return func(env *Env) Truth {
			s, ok := x(env)
			if !ok {
				return Unknown
			}
			return truthOf(s == want || strings.EqualFold(s, want))
		}
	}
	return func(env *Env) Truth {
		s, ok1 := x(env)
		t, ok2 := y(env)
		if !ok1 || !ok2 {
			return Unknown
		}
		return truthOf(strings.EqualFold(s, t))
	}
}

func (c *checker) order(e *hclsyntax.BinaryOpExpr, a, b node) truthFunc {
	if a.kind != b.kind || !a.kind.number() {
		c.mismatch(e, a, b)
		return nil
	}
	switch e.Op {
	case hclsyntax.OpLessThan:
		return compare(a, b, func(x, y int64) bool { return x < y })
	case hclsyntax.OpLessThanOrEqual:
		return compare(a, b, func(x, y int64) bool { return x <= y })
	case hclsyntax.OpGreaterThan:
		return compare(a, b, func(x, y int64) bool { return x > y })
	default:
		return compare(a, b, func(x, y int64) bool { return x >= y })
	}
}

func compare(a, b node, holds func(x, y int64) bool) truthFunc {
	f, g := a.num, b.num
	return func(env *Env) Truth {
		x, ok1 := f(env)
		y, ok2 := g(env)
		if !ok1 || !ok2 {
			return Unknown
		}
		return truthOf(holds(x, y))
	}
}

// mismatch explains why two values cannot be compared, with what to write
// instead.
func (c *checker) mismatch(e *hclsyntax.BinaryOpExpr, a, b node) {
	advice := ""
	switch {
	case a.kind.anySet() || b.kind.anySet():
		advice = ` Ask a set by any_of(set, ["x"]), all_of, none_of, length(set) or has_permission.`
	case a.kind == kindList || b.kind == kindList:
		advice = ` Ask for membership by any_of(x, ["a", "b"]).`
	case a.kind == kindTime || b.kind == kindTime:
		advice = ` Write a time as time("2026-01-31T00:00:00Z"), or compare age(x) with duration("90d").`
	case a.kind == kindDuration || b.kind == kindDuration:
		advice = ` Write a duration as duration("90d").`
	case a.kind == kindString && b.kind == kindString:
		advice = ` Strings have no order.`
	}
	c.fail(e.Range(), "wrong_type", "Wrong type", "%s and %s cannot be compared this way.%s", capital(a.kind.a()), b.kind.a(), advice)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// arithmetic on integers, durations and times; it saturates, and a division by
// zero is unknown.
func (c *checker) arithmetic(e *hclsyntax.BinaryOpExpr, a, b node) node {
	out, op := result(e.Op, a.kind, b.kind)
	if op == nil {
		return c.fail(e.Range(), "wrong_type", "Wrong type", "%s and %s cannot be calculated with this way.", capital(a.kind.a()), b.kind.a())
	}
	f, g := a.num, b.num
	return node{kind: out, cost: a.cost + b.cost + 1, konst: a.konst && b.konst, num: func(env *Env) (int64, bool) {
		x, ok1 := f(env)
		y, ok2 := g(env)
		if !ok1 || !ok2 {
			return 0, false
		}
		return op(x, y)
	}}
}

type arith func(x, y int64) (int64, bool)

func result(op *hclsyntax.Operation, a, b kind) (kind, arith) {
	plus := func(x, y int64) (int64, bool) { return add(x, y), true }
	minus := func(x, y int64) (int64, bool) { return sub(x, y), true }
	switch op {
	case hclsyntax.OpAdd:
		switch {
		case a == kindInt && b == kindInt, a == kindDuration && b == kindDuration, a == kindTime && b == kindDuration:
			return a, plus
		}
	case hclsyntax.OpSubtract:
		switch {
		case a == kindTime && b == kindTime:
			return kindDuration, minus
		case a == kindInt && b == kindInt, a == kindDuration && b == kindDuration, a == kindTime && b == kindDuration:
			return a, minus
		}
	case hclsyntax.OpMultiply:
		if (a == kindInt || a == kindDuration) && b == kindInt {
			return a, func(x, y int64) (int64, bool) { return mul(x, y), true }
		}
	case hclsyntax.OpDivide:
		if (a == kindInt || a == kindDuration) && b == kindInt {
			return a, quotient
		}
	case hclsyntax.OpModulo:
		if a == kindInt && b == kindInt {
			return a, remainder
		}
	}
	return kindBad, nil
}

func quotient(x, y int64) (int64, bool) {
	switch {
	case y == 0:
		return 0, false
	case y == -1:
		return sub(0, x), true
	}
	return x / y, true
}

func remainder(x, y int64) (int64, bool) {
	switch y {
	case 0:
		return 0, false
	case -1:
		return 0, true
	}
	return x % y, true
}

func add(x, y int64) int64 {
	s := x + y
	switch {
	case x > 0 && y > 0 && s < 0:
		return math.MaxInt64
	case x < 0 && y < 0 && s >= 0:
		return math.MinInt64
	}
	return s
}

func sub(x, y int64) int64 {
	if y == math.MinInt64 {
		if x >= 0 {
			return math.MaxInt64
		}
		return x - y
	}
	return add(x, -y)
}

func mul(x, y int64) int64 {
	negative := (x < 0) != (y < 0)
	hi, lo := bits.Mul64(magnitude(x), magnitude(y))
	switch {
	case hi != 0 || lo > math.MaxInt64:
		if negative {
			return math.MinInt64
		}
		return math.MaxInt64
	case negative:
		return -int64(lo)
	}
	return int64(lo)
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// conditional is unknown where its condition is.
func (c *checker) conditional(e *hclsyntax.ConditionalExpr) node {
	cond, a, b := c.expr(e.Condition), c.expr(e.TrueResult), c.expr(e.FalseResult)
	if !c.want(cond, "The condition before ?", kindBool) || a.kind == kindBad || b.kind == kindBad {
		return node{kind: kindBad}
	}
	if a.kind != b.kind || a.kind == kindNull || a.kind == kindList {
		return c.fail(e.Range(), "wrong_type", "Wrong type", "Both results of ? : must have the same type; these are %s and %s.", a.kind.a(), b.kind.a())
	}
	n := node{kind: a.kind, cost: cond.cost + max(a.cost, b.cost), konst: cond.konst && a.konst && b.konst}
	if a.truth != nil {
		n.yes = either(both(cond.yes, a.yes), both(cond.no, b.yes))
		n.no = either(both(cond.yes, a.no), both(cond.no, b.no))
	}
	return choose(n, cond.truth, a, b)
}

func choose(n node, cond truthFunc, a, b node) node {
	switch {
	case a.truth != nil:
		n.truth = func(env *Env) Truth {
			switch cond(env) {
			case True:
				return a.truth(env)
			case False:
				return b.truth(env)
			}
			return Unknown
		}
	case a.num != nil:
		n.num = pick(cond, a.num, b.num)
	case a.str != nil:
		n.str = pick(cond, a.str, b.str)
	case a.set != nil:
		n.set = pick(cond, a.set, b.set)
	}
	return n
}

func pick[T any](cond truthFunc, a, b func(*Env) (T, bool)) func(*Env) (T, bool) {
	return func(env *Env) (T, bool) {
		switch cond(env) {
		case True:
			return a(env)
		case False:
			return b(env)
		}
		var zero T
		return zero, false
	}
}
