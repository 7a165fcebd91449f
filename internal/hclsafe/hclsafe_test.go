package hclsafe

import (
	"strings"
	"testing"
)

func TestHostileTextGetsAClearError(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"20,000 parentheses", "a = " + strings.Repeat("(", 20000) + "1" + strings.Repeat(")", 20000), "Nested too deeply"},
		{"20,000 brackets that never close", "a = " + strings.Repeat("[", 20000), "Nested too deeply"},
		{"nested blocks", strings.Repeat("b {\n", 20000), "Nested too deeply"},
		{"nested templates", "a = " + strings.Repeat(`"${`, 20000), "Nested too deeply"},
		{"a chain of negations", "a = " + strings.Repeat("!", 500000) + "true", "Expression too long"},
		{"a sum of many terms", "a = 1" + strings.Repeat("+1", 400000), "Expression too long"},
		{"a chain of conditionals", "a = " + strings.Repeat("x ? 1 : ", 50000) + "2", "Expression too long"},
		{"a chain of attributes", "a = x" + strings.Repeat(".y", 400000), "Expression too long"},
		{"ten megabytes", strings.Repeat("# x\n", 10<<18), "File too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, diags := Parse("x.hcl", []byte(c.src))
			if !diags.HasErrors() || diags[0].Summary != c.want {
				t.Fatalf("diagnostics %v, want %q", diags, c.want)
			}
		})
	}
}

func TestOrdinaryTextParses(t *testing.T) {
	src := "a \"b\" {\n  x = [" + strings.Repeat("\"v\", ", 5000) + "]\n  y = \"${1 + 2}\"\n}\n" + strings.Repeat("z {\n  v = a.b.c\n}\n", 3000)
	if _, diags := Parse("x.hcl", []byte(src)); diags.HasErrors() {
		t.Fatal(diags)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a = (1 + x.y[0])\nb \"c\" {}\n"))
	f.Add([]byte("a = \"${\"${1}\"}\""))
	f.Fuzz(func(_ *testing.T, src []byte) { _, _ = Parse("x.hcl", src) })
}
