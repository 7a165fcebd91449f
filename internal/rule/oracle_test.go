package rule

import (
	"math/big"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/appgovd/appgovd/internal/event"
)

// The oracle: what docs/rules.md says, in the plainest way, over the syntax tree of
// HCL. It compiles nothing, folds nothing and stops at nothing early. It shares with
// the compiler only how a field is read and what a list and the table of tiers hold;
// templates, look-alikes, user agents and domains have examples instead.

// worth is a value of the oracle.
type worth struct {
	kind  kind
	known bool
	yes   bool
	n     int64
	s     string
	elems []event.Permission // of a set, a string set's with a name alone; of a list too
}

func unknownOf(k kind) worth      { return worth{kind: k} }
func yesNo(b bool) worth          { return worth{kind: kindBool, known: true, yes: b} }
func textOf(s string) worth       { return worth{kind: kindString, known: true, s: s} }
func numOf(k kind, n int64) worth { return worth{kind: k, known: true, n: n} }

func (w worth) is(b bool) bool { return w.known && w.yes == b }

type oracle struct {
	c   *checker
	env *Env
}

func (o oracle) eval(e hclsyntax.Expression) worth {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return o.eval(e.Expression)
	case *hclsyntax.LiteralValueExpr:
		return literalWorth(e.Val)
	case *hclsyntax.TemplateExpr:
		return literalWorth(e.Parts[0].(*hclsyntax.LiteralValueExpr).Val)
	case *hclsyntax.TupleConsExpr:
		list := worth{kind: kindList, known: true}
		for _, x := range e.Exprs {
			list.elems = append(list.elems, event.Permission{Name: o.eval(x).s})
		}
		return list
	case *hclsyntax.ScopeTraversalExpr:
		name, _ := dotted(e.Traversal)
		return o.field(name)
	case *hclsyntax.UnaryOpExpr:
		return o.unary(e)
	case *hclsyntax.ConditionalExpr:
		a, b := o.eval(e.TrueResult), o.eval(e.FalseResult)
		switch c := o.eval(e.Condition); {
		case c.is(true):
			return a
		case c.is(false):
			return b
		}
		return unknownOf(a.kind)
	case *hclsyntax.BinaryOpExpr:
		return o.binary(e.Op, o.eval(e.LHS), o.eval(e.RHS))
	case *hclsyntax.FunctionCallExpr:
		return o.call(e)
	}
	panic("not part of the language")
}

func literalWorth(v cty.Value) worth {
	switch {
	case v.IsNull():
		return worth{kind: kindNull}
	case v.Type() == cty.Bool:
		return yesNo(v.True())
	case v.Type() == cty.String:
		return textOf(v.AsString())
	}
	n, _ := v.AsBigFloat().Int64()
	return numOf(kindInt, n)
}

func (o oracle) field(name string) worth {
	f := o.c.fields[name]
	w := worth{kind: f.kind}
	switch {
	case f.truth != nil:
		t := f.truth(o.env)
		w.known, w.yes = t != Unknown, t == True
	case f.num != nil:
		w.n, w.known = f.num(o.env)
	case f.str != nil:
		w.s, w.known = f.str(o.env)
	default:
		s, ok := f.set(o.env)
		w.known = ok
		for i := range s.len() {
			if f.kind == kindSet {
				if v, in := s.at(i); in {
					w.elems = append(w.elems, event.Permission{Name: v})
				}
			} else if p, in := s.perm(i); in {
				w.elems = append(w.elems, *p)
			}
		}
	}
	return w
}

func (o oracle) unary(e *hclsyntax.UnaryOpExpr) worth {
	v := o.eval(e.Val)
	switch {
	case !v.known:
	case e.Op == hclsyntax.OpLogicalNot:
		v.yes = !v.yes
	default:
		v.n = clamp(new(big.Int).Neg(big.NewInt(v.n)))
	}
	return v
}

func clamp(n *big.Int) int64 {
	switch {
	case n.IsInt64():
		return n.Int64()
	case n.Sign() < 0:
		return -1 << 63
	}
	return 1<<63 - 1
}

func (o oracle) binary(op *hclsyntax.Operation, a, b worth) worth {
	switch op {
	case hclsyntax.OpLogicalAnd:
		switch {
		case a.is(false) || b.is(false):
			return yesNo(false)
		case a.known && b.known:
			return yesNo(true)
		}
		return unknownOf(kindBool)
	case hclsyntax.OpLogicalOr:
		switch {
		case a.is(true) || b.is(true):
			return yesNo(true)
		case a.known && b.known:
			return yesNo(false)
		}
		return unknownOf(kindBool)
	case hclsyntax.OpEqual:
		return equalWorth(a, b)
	case hclsyntax.OpNotEqual:
		w := equalWorth(a, b)
		w.yes = !w.yes
		return w
	case hclsyntax.OpLessThan, hclsyntax.OpLessThanOrEqual, hclsyntax.OpGreaterThan, hclsyntax.OpGreaterThanOrEqual:
		if !a.known || !b.known {
			return unknownOf(kindBool)
		}
		d := big.NewInt(a.n).Cmp(big.NewInt(b.n))
		return yesNo(op == hclsyntax.OpLessThan && d < 0 || op == hclsyntax.OpLessThanOrEqual && d <= 0 || op == hclsyntax.OpGreaterThan && d > 0 || op == hclsyntax.OpGreaterThanOrEqual && d >= 0)
	}
	return calculate(op, a, b)
}

func equalWorth(a, b worth) worth {
	switch {
	case a.kind == kindNull:
		return yesNo(!b.known)
	case b.kind == kindNull:
		return yesNo(!a.known)
	case !a.known || !b.known:
		return unknownOf(kindBool)
	case a.kind == kindString:
		return yesNo(same(a.s, b.s))
	case a.kind == kindBool:
		return yesNo(a.yes == b.yes)
	}
	return yesNo(a.n == b.n)
}

func calculate(op *hclsyntax.Operation, a, b worth) worth {
	k := a.kind
	if a.kind == kindTime && b.kind == kindTime {
		k = kindDuration
	}
	if !a.known || !b.known {
		return unknownOf(k)
	}
	x, y, z := big.NewInt(a.n), big.NewInt(b.n), new(big.Int)
	switch op {
	case hclsyntax.OpAdd:
		z.Add(x, y)
	case hclsyntax.OpSubtract:
		z.Sub(x, y)
	case hclsyntax.OpMultiply:
		z.Mul(x, y)
	default:
		if y.Sign() == 0 {
			return unknownOf(k)
		}
		if z.Quo(x, y); op == hclsyntax.OpModulo {
			z.Rem(x, y)
		}
	}
	return numOf(k, clamp(z))
}

// least is the smallest character that folds to the same as r: simple folding by
// the definition of unicode.SimpleFold.
func least(r rune) rune {
	min := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		if f < min {
			min = f
		}
	}
	return min
}

func folded(s string) []rune {
	var out []rune
	for _, r := range s {
		out = append(out, least(r))
	}
	return out
}

func same(a, b string) bool { return string(folded(a)) == string(folded(b)) }

// globbed matches by trying everything.
func globbed(p, s []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '*':
		return globbed(p[1:], s) || len(s) > 0 && globbed(p, s[1:])
	case len(s) == 0:
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && globbed(p[1:], s[1:])
}

// some is how a test over a string or a set turns out.
func some(x worth, test func(event.Permission) worth) worth {
	if !x.known {
		return unknownOf(kindBool)
	}
	if x.kind == kindString {
		return test(event.Permission{Name: x.s})
	}
	out := yesNo(false)
	for _, e := range x.elems {
		switch w := test(e); {
		case w.is(true):
			return w
		case !w.known:
			out = w
		}
	}
	return out
}

// values are the texts of the arguments, lists taken apart; some may be unknown.
func values(args []worth) []worth {
	var out []worth
	for _, a := range args {
		if a.kind != kindList {
			out = append(out, a)
			continue
		}
		for _, e := range a.elems {
			out = append(out, textOf(e.Name))
		}
	}
	return out
}

// oneOf is a test of one text against several.
func oneOf(x worth, others []worth, test func(s, other string) bool) worth {
	return some(x, func(p event.Permission) worth {
		out := yesNo(false)
		for _, v := range others {
			switch {
			case !v.known:
				out = unknownOf(kindBool)
			case test(p.Name, v.s):
				return yesNo(true)
			}
		}
		return out
	})
}

func (o oracle) call(e *hclsyntax.FunctionCallExpr) worth {
	var args []worth
	for _, a := range e.Args {
		args = append(args, o.eval(a))
	}
	switch e.Name {
	case "any_of":
		return oneOf(args[0], values(args[1:]), same)
	case "none_of":
		w := oneOf(args[0], values(args[1:]), same)
		w.yes = !w.yes
		return w
	case "all_of":
		out := yesNo(true)
		for _, v := range values(args[1:]) {
			out = o.binary(hclsyntax.OpLogicalAnd, out, oneOf(args[0], []worth{v}, same))
		}
		return out
	case "contains":
		return oneOf(args[0], values(args[1:]), func(s, p string) bool { return strings.Contains(string(folded(s)), string(folded(p))) })
	case "starts_with":
		return oneOf(args[0], values(args[1:]), func(s, p string) bool { return strings.HasPrefix(string(folded(s)), string(folded(p))) })
	case "ends_with":
		return oneOf(args[0], values(args[1:]), func(s, p string) bool { return strings.HasSuffix(string(folded(s)), string(folded(p))) })
	case "glob":
		return oneOf(args[0], values(args[1:]), func(s, p string) bool { return globbed(folded(p), folded(s)) })
	case "matches":
		return oneOf(args[0], values(args[1:]), func(s, p string) bool { return regexp.MustCompile("(?i)" + p).MatchString(s) })
	case "has_permission":
		return some(args[0], func(p event.Permission) worth {
			for _, v := range values(args[1:]) {
				w := wanted{"", v.s}
				if args[0].kind == kindPermissions {
					w = splitKind(v.s)
				}
				if (w.kind == "" || w.kind == p.Kind) && globbed(folded(w.glob), folded(p.Name)) {
					return yesNo(true)
				}
			}
			return yesNo(false)
		})
	case "in_list":
		return o.inList(args[0].s, args[1])
	case "coalesce":
		if args[0].known {
			return args[0]
		}
		return args[1]
	case "length":
		if args[0].kind == kindString {
			return worth{kind: kindInt, known: args[0].known, n: int64(len([]rune(args[0].s)))}
		}
		return worth{kind: kindInt, known: args[0].known, n: int64(len(args[0].elems))}
	case "lower":
		return worth{kind: kindString, known: args[0].known, s: foldString(args[0].s)}
	}
	return o.call2(e, args)
}

// inList by going through all entries.
func (o oracle) inList(name string, x worth) worth {
	if x.kind == kindInt {
		x.kind, x.s = kindString, strconv.FormatInt(x.n, 10)
	}
	l := o.c.lists[name]
	return some(x, func(p event.Permission) worth {
		for _, text := range l.texts {
			if same(text, p.Name) && o.env.Now.UnixNano() < l.until(text) {
				return yesNo(true)
			}
		}
		return yesNo(false)
	})
}

func (o oracle) call2(e *hclsyntax.FunctionCallExpr, args []worth) worth {
	switch e.Name {
	case "age":
		return calculate(hclsyntax.OpSubtract, numOf(kindTime, o.env.Now.UnixNano()), args[0])
	case "hour":
		return numOf(kindInt, int64(o.env.Now.In(o.c.zone).Hour()))
	case "weekday":
		day := int64(o.env.Now.In(o.c.zone).Weekday())
		if day == 0 {
			day = 7
		}
		return numOf(kindInt, day)
	case "duration":
		return numOf(kindDuration, naiveDuration(args[0].s))
	case "time":
		t, err := time.ParseInLocation("2006-01-02", args[0].s, o.c.zone)
		if err != nil {
			t, _ = time.Parse(time.RFC3339, args[0].s)
		}
		return numOf(kindTime, t.UnixNano())
	case "percent":
		hundred := calculate(hclsyntax.OpMultiply, args[0], numOf(kindInt, 100))
		return calculate(hclsyntax.OpDivide, hundred, args[1])
	case "edit_distance":
		return naiveDistance(args[0], args[1])
	case "tier":
		return o.tier(args[0])
	case "cidr_match", "is_private_ip":
		return address(e.Name, args)
	case "changed":
		for _, a := range values(args) {
			if _, ok := o.change(a.s); ok {
				return yesNo(true)
			}
		}
		return yesNo(false)
	case "before", "after", "added", "removed":
		return o.difference(e.Name, args[0].s)
	case "detail":
		for _, d := range o.env.Event.Details {
			if same(d.Name, args[0].s) {
				return worth{kind: kindString, known: d.Value != "", s: d.Value}
			}
		}
		return unknownOf(kindString)
	case "lookup":
		in := o.inList(args[0].s, args[1])
		for entry, attributes := range o.c.lists[args[0].s].values {
			if v, ok := attributes[args[2].s]; ok && in.is(true) && same(entry, args[1].s) {
				return textOf(v)
			}
		}
		return unknownOf(kindString)
	}
	panic("no function " + e.Name)
}

func naiveDuration(s string) int64 {
	total := int64(0)
	for _, m := range regexp.MustCompile(`(\d+)([wdhms])`).FindAllStringSubmatch(s, -1) {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		total += n * int64(map[string]time.Duration{"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second}[m[2]])
	}
	return total
}

func naiveDistance(a, b worth) worth {
	x, y := folded(a.s), folded(b.s)
	if !a.known || !b.known || len(x) > 256 || len(y) > 256 {
		return unknownOf(kindInt)
	}
	row := make([][]int64, len(x)+1)
	for i := range row {
		row[i] = make([]int64, len(y)+1)
		for j := range row[i] {
			switch {
			case i == 0 || j == 0:
				row[i][j] = int64(i + j)
			case x[i-1] == y[j-1]:
				row[i][j] = row[i-1][j-1]
			default:
				row[i][j] = 1 + min(row[i-1][j-1], row[i-1][j], row[i][j-1])
			}
		}
	}
	return numOf(kindInt, row[len(x)][len(y)])
}

func (o oracle) tier(x worth) worth {
	worst := int8(0)
	if x.kind == kindString {
		w := splitKind(x.s)
		if w.kind == "" {
			w.kind = "application"
		}
		worst = o.c.tiers.tier("", w.kind, w.glob)
	}
	for _, p := range x.elems {
		t := p.Tier
		if t == 0 {
			t = o.c.tiers.tier(p.API, p.Kind, p.Name)
		}
		if t != 0 && (worst == 0 || t < worst) {
			worst = t
		}
	}
	return worth{kind: kindInt, known: x.known && worst != 0, n: int64(worst)}
}

func address(function string, args []worth) worth {
	ip := net.ParseIP(args[0].s)
	if !args[0].known || ip == nil {
		return unknownOf(kindBool)
	}
	if function == "is_private_ip" {
		return yesNo(ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
	}
	for _, v := range values(args[1:]) {
		if _, n, err := net.ParseCIDR(v.s); err == nil && n.Contains(ip) {
			return yesNo(true)
		}
	}
	return yesNo(false)
}

func (o oracle) change(name string) (event.Change, bool) {
	for _, c := range o.env.Event.Changes {
		if same(c.Name, name) {
			return c, true
		}
	}
	return event.Change{}, false
}

func (o oracle) difference(function, name string) worth {
	c, _ := o.change(name)
	from, without := c.New, c.Old
	if function == "before" || function == "removed" {
		from, without = c.Old, c.New
	}
	if function == "before" || function == "after" {
		without = nil
	}
	out := worth{kind: kindSet, known: true}
next:
	for _, s := range from {
		for _, w := range without {
			if same(s, w) {
				continue next
			}
		}
		out.elems = append(out.elems, event.Permission{Name: s})
	}
	return out
}
