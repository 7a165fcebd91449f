package rule

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// object is a constant object in the order of its text.
type object []member

type member struct {
	name  string
	rng   hcl.Range
	value any
	at    hcl.Range
}

// constant reads a constant without HCL's evaluator, whose for expressions
// could be made to run for ever: nil, bool, int64, string, []any or object.
func constant(e hclsyntax.Expression) (any, bool) {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return constant(e.Expression)
	case *hclsyntax.LiteralValueExpr:
		return scalar(e.Val)
	case *hclsyntax.TemplateExpr:
		return literalText(e)
	case *hclsyntax.UnaryOpExpr:
		if v, ok := constant(e.Val); ok && e.Op == hclsyntax.OpNegate {
			if n, ok := v.(int64); ok {
				return sub(0, n), true
			}
		}
	case *hclsyntax.TupleConsExpr:
		return tupleOf(e)
	case *hclsyntax.ObjectConsExpr:
		return objectOf(e)
	}
	return nil, false
}

func scalar(v cty.Value) (any, bool) {
	switch {
	case v.IsNull():
		return nil, true
	case v.Type() == cty.Bool:
		return v.True(), true
	case v.Type() == cty.String:
		return v.AsString(), true
	case v.Type() == cty.Number:
		f := v.AsBigFloat()
		if n, acc := f.Int64(); acc == 0 {
			return n, true
		}
	}
	return nil, false
}

func literalText(e *hclsyntax.TemplateExpr) (any, bool) {
	s := ""
	for _, p := range e.Parts {
		l, ok := p.(*hclsyntax.LiteralValueExpr)
		if !ok || l.Val.IsNull() || l.Val.Type() != cty.String {
			return nil, false
		}
		s += l.Val.AsString()
	}
	return s, true
}

func tupleOf(e *hclsyntax.TupleConsExpr) (any, bool) {
	out := make([]any, 0, len(e.Exprs))
	for _, x := range e.Exprs {
		v, ok := constant(x)
		if !ok {
			return nil, false
		}
		out = append(out, v)
	}
	return out, true
}

func objectOf(e *hclsyntax.ObjectConsExpr) (any, bool) {
	out := make(object, 0, len(e.Items))
	for _, item := range e.Items {
		name, ok := keyName(item.KeyExpr)
		if !ok {
			return nil, false
		}
		v, ok := constant(item.ValueExpr)
		if !ok {
			return nil, false
		}
		out = append(out, member{name: name, rng: item.KeyExpr.Range(), value: v, at: item.ValueExpr.Range()})
	}
	return out, true
}

func keyName(e hclsyntax.Expression) (string, bool) {
	k, ok := e.(*hclsyntax.ObjectConsKeyExpr)
	if !ok {
		return "", false
	}
	if t, ok := k.Wrapped.(*hclsyntax.ScopeTraversalExpr); ok && !k.ForceNonLiteral {
		return dotted(t.Traversal)
	}
	v, ok := constant(k.Wrapped)
	s, isText := v.(string)
	return s, ok && isText
}
