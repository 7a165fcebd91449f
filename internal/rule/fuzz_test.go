package rule

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/hclsafe"
)

func parse(t testing.TB, text string) hclsyntax.Expression {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(text), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return e
}

// FuzzLoader feeds any text to everything that reads rules: no panic, and either
// a set or a mistake with a place.
func FuzzLoader(f *testing.F) {
	for _, pattern := range []string{"testdata/invalid/*.hcl", "../../rules/*/*.hcl", "../../rules/data/*.csv"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("rule \"a\" {\n where = ((((\n"))
	f.Add([]byte("rule \"a\" {\n where = \"${\"${\"${1}\"}\"}\" == null\n score = - - - 1e99999\n}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		blob := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{
			{Path: "a.hcl", Text: text}, {Path: "a.test.hcl", Text: text}, {Path: "data/permission_tiers.csv", Text: text},
		}}
		set, diags := Compile(blob)
		if (set == nil) != diags.HasErrors() {
			t.Fatalf("set %v with diagnostics %v", set, diags)
		}
		for _, d := range diags {
			if d.Subject == nil {
				t.Errorf("a mistake without a place: %v", d)
			}
		}
		for _, x := range second(Tests(blob)) {
			if x.Subject == nil {
				t.Errorf("a mistake without a place: %v", x)
			}
		}
	})
}

// FuzzExpression evaluates whatever passes the checks, with everything known and
// with nothing known: total, and the same on a second look.
func FuzzExpression(f *testing.F) {
	for _, fn := range Functions() {
		for _, x := range fn.Examples {
			f.Add(x.Expr)
		}
	}
	f.Add(`app.tier / 0 == -9223372036854775807 - 2 || "${permissions} ${time}" != null`)
	f.Fuzz(func(t *testing.T, text string) {
		if hclsafe.Check("x.hcl", []byte(text)).HasErrors() {
			t.Skip("beyond the limits")
		}
		e, diags := hclsyntax.ParseExpression([]byte(text), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Skip("not an expression")
		}
		c := sampleChecker(t)
		n := c.expression(e)
		if (n.kind == kindBad) != c.diags.HasErrors() {
			t.Fatalf("%q is a %s with diagnostics %v", text, n.kind, c.diags)
		}
		if n.kind == kindBad || n.kind == kindList || n.kind == kindNull {
			return
		}
		for _, env := range []*Env{sample(), {}, {App: sample().App}} {
			if a, b := valueText(c, n, env), valueText(c, n, env); a != b {
				t.Errorf("%q is %q and then %q", text, a, b)
			}
		}
	})
}

func second(_ []Test, diags hcl.Diagnostics) hcl.Diagnostics { return diags }
