package rule

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// block reads one HCL block and reports what does not fit.
type block struct {
	c    *checker
	kind string
	body *hclsyntax.Body
	rng  hcl.Range // of its header

	labels []string
	path   string // of types from the outermost block on, as far as that matters
}

func (c *checker) block(b *hclsyntax.Block) block {
	return block{c: c, kind: b.Type, body: b.Body, rng: b.DefRange(), labels: b.Labels, path: c.grammar.path(b.Type)}
}

// name is the block's type at the beginning of a sentence.
func (b block) name() string { return capital(article(b.kind)) }

// allow reports attributes and blocks that are not named here.
func (b block) allow(attrs, blocks string) {
	known, inner := strings.Fields(attrs), strings.Fields(blocks)
	b.c.grammar.allow(b.path, known, inner)
	for _, name := range keys(b.body.Attributes) {
		a := b.body.Attributes[name]
		switch {
		case has(known, name):
		case has(inner, name):
			b.c.fail(a.NameRange, "unknown_attribute", "Block expected", "%q is a block: write %s { ... } without an equals sign.", name, name)
		default:
			b.c.fail(a.NameRange, "unknown_attribute", "Unknown attribute", "%s block has no attribute %q.%s", b.name(), name, suggest(name, append(known, inner...)))
		}
	}
	for _, x := range b.body.Blocks {
		if !has(inner, x.Type) {
			b.c.fail(x.DefRange(), "unknown_block", "Unknown block", "%s block has no block %q.%s", b.name(), x.Type, suggest(x.Type, append(known, inner...)))
		}
	}
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// child is the one inner block of a type.
func (b block) child(name string) (block, bool) {
	var found *hclsyntax.Block
	for _, x := range b.body.Blocks {
		switch {
		case x.Type != name:
		case found != nil:
			b.c.fail(x.DefRange(), "duplicate_block", "Block given twice", "%s block has one %s block at most.", b.name(), name)
		default:
			found = x
		}
	}
	if found == nil {
		return block{}, false
	}
	for _, r := range found.LabelRanges {
		b.c.fail(r, "unexpected_label", "Label not expected", "%s block has no label.", capital(article(name)))
	}
	out := b.c.block(found)
	out.path = b.path + "." + name
	return out, true
}

func (b block) attr(name string) (*hclsyntax.Attribute, bool) {
	a, ok := b.body.Attributes[name]
	return a, ok
}

func (b block) missing(name, advice string) {
	if b.c.torn[b.rng.Filename] {
		return
	}
	b.c.fail(b.rng, "missing_attribute", "Missing "+name, "%s needs %s: %s.", b.name(), name, advice)
}

// value reads a constant attribute.
func (b block) value(name string) (any, hcl.Range, bool) {
	a, ok := b.attr(name)
	if !ok {
		return nil, hcl.Range{}, false
	}
	v, ok := constant(a.Expr)
	if !ok {
		b.c.fail(a.Expr.Range(), "not_constant", "Not a constant", "%s must be a constant.", name)
	}
	return v, a.Expr.Range(), ok
}

// text reads a constant string attribute, "" when absent or wrong.
func (b block) text(name string) (string, hcl.Range) {
	b.c.grammar.note(b.path, name, attribute{"type": "string"})
	v, r, ok := b.value(name)
	if !ok {
		return "", r
	}
	s, ok := v.(string)
	if !ok {
		b.c.fail(r, "wrong_type", "Wrong type", "%s must be a string.", name)
	}
	return s, r
}

// texts reads a constant list of strings; a string stands for a list of one.
func (b block) texts(name string) []string {
	out, _ := b.textsAt(name)
	return out
}

// textsAt also gives each string's place.
func (b block) textsAt(name string) ([]string, []hcl.Range) {
	b.c.grammar.note(b.path, name, attribute{"type": []string{"array", "string"}, "items": attribute{"type": "string"}})
	a, ok := b.attr(name)
	if !ok {
		return nil, nil
	}
	items := []hclsyntax.Expression{a.Expr}
	if t, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok {
		items = t.Exprs
	}
	var out []string
	var at []hcl.Range
	for _, x := range items {
		v, _ := constant(x)
		s, ok := v.(string)
		if !ok {
			b.c.fail(x.Range(), "wrong_type", "Wrong type", "%s is a list of constant strings.", name)
			continue
		}
		out, at = append(out, s), append(at, x.Range())
	}
	return out, at
}

// duration reads a positive constant duration, 0 when absent or wrong.
func (b block) duration(name string) time.Duration {
	s, r := b.text(name)
	b.c.grammar.note(b.path, name, attribute{"type": "string", "pattern": `^([0-9]+[wdhms])+$`})
	if s == "" {
		return 0
	}
	d, err := parseDuration(s)
	switch {
	case err != nil:
		b.c.fail(r, "bad_duration", "Bad duration", "%s.", err)
	case d == 0:
		b.c.fail(r, "bad_duration", "Bad duration", "%s must be longer than nothing.", name)
	}
	return d
}

// number reads a constant integer between low and high.
func (b block) number(name string, low, high, absent int64) int64 {
	b.c.grammar.note(b.path, name, attribute{"type": "integer", "minimum": low, "maximum": high})
	v, r, ok := b.value(name)
	if !ok {
		return absent
	}
	n, ok := v.(int64)
	if !ok || n < low || n > high {
		b.c.fail(r, "bad_number", "Bad number", "%s must be an integer from %d to %d.", name, low, high)
		return absent
	}
	return n
}

// where reads an expression of type bool; always True when absent.
func (b block) where(name string) node {
	b.c.grammar.note(b.path, name, attribute{"type": []string{"string", "boolean"}, "description": "an expression of type bool"})
	a, ok := b.attr(name)
	if !ok {
		return node{kind: kindBool, konst: true, truth: func(*Env) Truth { return True }}
	}
	n := b.c.expression(a.Expr)
	if !b.c.want(n, name, kindBool) {
		return bad()
	}
	return n
}

// score reads an expression of type int, clamped to 0 to 100, of which a constant must
// not need it; the severity's own score when absent or unknown.
func (b block) score(sev severityExpr) intExpr {
	usual := func(env *Env) int { return int(sev(env))*20 - 5 }
	a, ok := b.attr("score")
	if !ok {
		return usual
	}
	n := b.c.expression(a.Expr)
	if !b.c.want(n, "score", kindInt) || !b.percentage(n, "score") {
		return nil
	}
	return func(env *Env) int {
		v, ok := n.num(env)
		if !ok {
			return usual(env)
		}
		return int(min(100, max(0, v)))
	}
}

// percentage reports whether an int, where it is constant, is one of 0 to 100.
func (b block) percentage(n node, name string) bool {
	if !n.konst || n.num == nil {
		return true
	}
	if v, known := n.num(&Env{}); known && (v < 0 || v > 100) {
		b.c.fail(n.rng, "bad_number", "Bad number", "%s must be an integer from 0 to 100.", name)
		return false
	}
	return true
}

// summary reads a template of one line; the title when absent.
func (b block) summary(title stringExpr) stringExpr {
	a, ok := b.attr("summary")
	if !ok {
		return title
	}
	return b.line(a.Expr)
}

// line is an expression as one line of text.
func (b block) line(e hclsyntax.Expression) stringExpr {
	n := b.c.expression(e)
	if n.kind == kindBad {
		return nil
	}
	if n.kind != kindString {
		return b.c.show(n)
	}
	return func(env *Env) string {
		s, ok := n.str(env)
		if !ok {
			return unknownText
		}
		return tame(s, maxMade)
	}
}

// key reads a list of expressions that names a group; nil when absent.
func (b block) key(name string) Key {
	b.c.grammar.note(b.path, name, attribute{"type": []string{"array", "string"}, "description": "an expression, or a list of them"})
	a, ok := b.attr(name)
	if !ok {
		return nil
	}
	items := []hclsyntax.Expression{a.Expr}
	if t, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok {
		items = t.Exprs
	}
	return b.keyOf(name, items)
}

func (b block) keyOf(name string, items []hclsyntax.Expression) Key {
	k := make(keyParts, 0, len(items))
	for _, x := range items {
		n := b.c.expression(x)
		if !b.c.want(n, "An element of "+name, kindString, kindInt, kindBool, kindTime, kindDuration, kindSet, kindPermissions) {
			continue
		}
		if n.konst && n.kind != kindBad {
			b.c.fail(x.Range(), "constant_key", "The same for every event", "An element of %s tells nothing apart when it is constant.%s", name, b.c.unquoted(x))
		}
		k = append(k, n)
	}
	return k
}

// unquoted is advice where a constant text is the name of a field.
func (c *checker) unquoted(x hclsyntax.Expression) string {
	v, _ := constant(x)
	if name, ok := v.(string); ok {
		if _, known := c.fields[name]; known {
			return " Write the field without quotes: " + name + "."
		}
	}
	return ""
}

// keyParts is a Key made of expressions.
type keyParts []node

// Append writes each value with its kind and, for texts, its length. Texts are
// folded, since two that compare equal must name the same group; sets in order.
func (k keyParts) Append(dst []byte, env *Env) ([]byte, bool) {
	for i := range k {
		var ok bool
		if dst, ok = k[i].append(dst, env); !ok {
			return dst, false
		}
	}
	return dst, true
}

func appendText(dst []byte, s string) []byte {
	at := len(dst)
	dst = append(dst, byte(kindString), 0, 0, 0, 0)
	dst = appendFold(dst, s)
	binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at-5))
	return dst
}

// names lists the elements of a set, folded, in order and each once, so that equal
// sets make equal keys. A permission is named with its kind; by its id where its
// name is not known.
func (s *set) names() []string {
	var out []string
	for i := range s.len() {
		name, ok := s.at(i)
		if !ok {
			continue
		}
		if len(s.perms)+len(s.more) > 0 {
			p, _ := s.perm(i - len(s.strs))
			name = p.Kind + ":" + cmp.Or(name, p.ID)
		}
		out = append(out, foldString(name))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (n *node) append(dst []byte, env *Env) ([]byte, bool) {
	switch {
	case n.str != nil:
		s, ok := n.str(env)
		if !ok {
			return dst, false
		}
		return appendText(dst, s), true
	case n.set != nil:
		s, ok := n.set(env)
		if !ok {
			return dst, false
		}
		names := s.names()
		dst = binary.BigEndian.AppendUint32(append(dst, byte(kindSet)), uint32(len(names)))
		for _, name := range names {
			dst = appendText(dst, name)
		}
		return dst, true
	case n.num != nil:
		v, ok := n.num(env)
		dst = append(dst, byte(n.kind))
		for shift := 56; shift >= 0; shift -= 8 {
			dst = append(dst, byte(uint64(v)>>shift))
		}
		return dst, ok
	default:
		t := n.truth(env)
		return append(dst, byte(kindBool), byte(t)), t != Unknown
	}
}
