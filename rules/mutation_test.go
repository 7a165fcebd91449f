package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/detect/ruletest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// TestEveryConditionOfTheWhereIsNeededByATest replaces each operand of the
// outer && and || of each `where`, those of steps and thresholds included, by the value that has no effect there: some
// test of the rule must notice.
func TestEveryConditionOfTheWhereIsNeededByATest(t *testing.T) {
	blob := pack(t, true)
	for i, f := range blob.Files {
		if !strings.HasSuffix(f.Path, ".hcl") || strings.HasSuffix(f.Path, ".test.hcl") {
			continue
		}
		file, diags := hclsyntax.ParseConfig(f.Text, f.Path, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, b := range file.Body.(*hclsyntax.Body).Blocks {
			for _, where := range conditions(b.Body) {
				mutate(t, blob, i, b.Labels[0], where)
			}
		}
	}
}

// conditions are the wheres of a block and of the blocks in it.
func conditions(body *hclsyntax.Body) []hclsyntax.Expression {
	var out []hclsyntax.Expression
	if where := body.Attributes["where"]; where != nil {
		out = append(out, where.Expr)
	}
	for _, b := range body.Blocks {
		out = append(out, conditions(b.Body)...)
	}
	return out
}

func mutate(t *testing.T, blob *event.RulesBlob, file int, id string, where hclsyntax.Expression) {
	text := blob.Files[file].Text
	for _, m := range operands(where) {
		r := m.expr.Range()
		changed := slices.Concat(text[:r.Start.Byte], []byte(m.neutral), text[r.End.Byte:])
		mutant := *blob
		mutant.Files = slices.Clone(blob.Files)
		mutant.Files[file].Text = changed
		report, err := ruletest.Run(&mutant, ruletest.Options{Only: func(x rule.Test) bool { return slices.Contains(x.Rules, id) }})
		if err != nil {
			t.Errorf("%s: %v", id, err)
		} else if report.OK() {
			t.Errorf("%s: no test needs %s", id, strings.Join(strings.Fields(string(r.SliceBytes(text))), " "))
		}
	}
}

// operand is a part of a condition and the constant that takes its effect away.
type operand struct {
	expr    hclsyntax.Expression
	neutral string
}

func operands(e hclsyntax.Expression) []operand {
	switch x := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return operands(x.Expression)
	case *hclsyntax.BinaryOpExpr:
		switch x.Op {
		case hclsyntax.OpLogicalAnd:
			return slices.Concat(neutral(x.LHS, "true"), neutral(x.RHS, "true"))
		case hclsyntax.OpLogicalOr:
			return slices.Concat(neutral(x.LHS, "false"), neutral(x.RHS, "false"))
		}
	}
	return nil
}

// neutral takes e as a whole, unless it is a chain itself.
func neutral(e hclsyntax.Expression, value string) []operand {
	if inner := operands(e); len(inner) > 0 {
		return inner
	}
	return []operand{{e, value}}
}
