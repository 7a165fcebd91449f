package rule

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func TestTheSchemaOfTheLanguageIsFresh(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/reference/rules.schema.json", string(b)+"\n")
}

// A block that the sample text forgets would be an empty one in the schema.
func TestEveryBlockOfTheLanguageIsInTheSchema(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Properties map[string]struct {
			Additional json.RawMessage `json:"additionalProperties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for name, p := range doc.Properties {
		if strings.Contains(string(p.Additional), `"properties": {}`) {
			t.Errorf("a block within %s has no attributes: is it in the sample?\n%s", name, p.Additional)
		}
	}
	for path, want := range map[string][]string{
		"rule": {"where", "on", "sequence", "shadow_of", "min_samples", "max_evidence"}, "policy": {"scope", "except"}, "test": {"expect", "credential", "disabled_by"},
		"exception": {"owner"}, "risk": {"half_life"}, "list": {"file", "until"},
	} {
		for _, w := range want {
			if !strings.Contains(string(doc.Properties[path].Additional), `"`+w+`"`) {
				t.Errorf("%s has no %s", path, w)
			}
		}
	}
}

// Editors would mark what the compiler takes.
func TestTheShippedRulesAndTestsFitTheSchema(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../rules/*/*.hcl")
	if err != nil || len(files) < 50 {
		t.Fatal(len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range misfits(doc, doc, inJSON(t, name, text), filepath.Base(name)) {
			t.Error(m)
		}
	}
	for text, want := range map[string]string{
		"rule \"x\" {\n wher = true\n}":                                   "/rule/x/wher: not expected",
		"rule \"x\" {\n mode = \"activ\"\n}":                              "/rule/x/mode: activ is none of",
		"rule \"x\" {\n severity = \"hihg\"\n}":                           "/rule/x/severity: hihg is none of",
		"policy \"x\" {\n severity = true ? \"low\" : \"high\"\n}":        "/policy/x: there is no title",
		"rule \"x\" {\n suppress {\n by = [app.id]\n }\n}":                "/rule/x/suppress: there is no for",
		"rule \"x\" {\n on = [\"app.adde\"]\n}":                           "/rule/x/on/0: app.adde is none of",
		"rule \"x\" {\n threshold {\n count = 0\n }\n threshold {\n }\n}": "/rule/x/threshold/0/count: 0 is below",
		"test \"x\" {\n risk {\n scor = 1\n }\n risk {\n }\n}":            "/test/x/risk/0/scor: not expected",
		"rule \"x\" {\n suppress {\n for = \"1 day\"\n }\n}":              "/rule/x/suppress/for: 1 day does not match",
		"rule \"x\" {\n compare {\n min_samples = 2001\n }\n}":            "/rule/x/compare/min_samples: 2001 is above",
	} {
		got := misfits(doc, doc, inJSON(t, "x.hcl", []byte(text)), "")
		if strings.Contains(want, "there is no") {
			got = slices.DeleteFunc(got, func(s string) bool { return s != want })
		} else {
			got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "there is no") })
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q, want %s", got, want)
		}
	}
}

// inJSON is a text in the form that HCL has in JSON.
func inJSON(t *testing.T, name string, text []byte) any {
	t.Helper()
	file, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return bodyInJSON(file.Body.(*hclsyntax.Body), text)
}

func bodyInJSON(b *hclsyntax.Body, text []byte) map[string]any {
	out := map[string]any{}
	for name, a := range b.Attributes {
		out[name] = exprInJSON(a.Expr, text)
	}
	for _, x := range b.Blocks {
		v := bodyInJSON(x.Body, text)
		switch old, _ := out[x.Type].(map[string]any); {
		case len(x.Labels) == 1 && old == nil:
			out[x.Type] = map[string]any{x.Labels[0]: v}
		case len(x.Labels) == 1:
			old[x.Labels[0]] = v
		case out[x.Type] == nil:
			out[x.Type] = v
		case old != nil:
			out[x.Type] = []any{old, v}
		default:
			out[x.Type] = append(out[x.Type].([]any), v)
		}
	}
	return out
}

func exprInJSON(e hclsyntax.Expression, text []byte) any {
	if list, ok := e.(*hclsyntax.TupleConsExpr); ok {
		out := []any{}
		for _, x := range list.Exprs {
			out = append(out, exprInJSON(x, text))
		}
		return out
	}
	switch v, _ := constant(e); v := v.(type) {
	case int64:
		return float64(v)
	case nil:
	default:
		return v
	}
	return "${" + string(e.Range().SliceBytes(text)) + "}"
}

// misfits is what of v does not fit a schema, as far as the schema of the language goes.
func misfits(root, schema map[string]any, v any, at string) (out []string) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	say := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	if kinds := listOf(schema["type"]); len(kinds) > 0 && !slices.Contains(kinds, any(kindInJSON(v))) {
		say("%v is none of the types %v", v, kinds)
	}
	if all := listOf(schema["enum"]); len(all) > 0 && !slices.Contains(all, v) {
		say("%v is none of %v", v, all)
	}
	if all := listOf(schema["anyOf"]); len(all) > 0 && !slices.ContainsFunc(all, func(x any) bool { return len(misfits(root, x.(map[string]any), v, at)) == 0 }) {
		say("%v is none of %v", v, all)
	}
	switch v := v.(type) {
	case float64:
		if low, ok := schema["minimum"].(float64); ok && v < low {
			say("%g is below %g", v, low)
		}
		if high, ok := schema["maximum"].(float64); ok && v > high {
			say("%g is above %g", v, high)
		}
	case string:
		if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			say("%s does not match %s", v, p)
		}
	case []any:
		if items, ok := schema["items"].(map[string]any); ok {
			for i, x := range v {
				out = append(out, misfits(root, items, x, fmt.Sprintf("%s/%d", at, i))...)
			}
		}
	case map[string]any:
		known, _ := schema["properties"].(map[string]any)
		for _, name := range listOf(schema["required"]) {
			if v[name.(string)] == nil {
				say("there is no %s", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			of, ok := known[name].(map[string]any)
			if !ok {
				of, ok = schema["additionalProperties"].(map[string]any)
			}
			if ok {
				out = append(out, misfits(root, of, v[name], at+"/"+name)...)
			} else if schema["additionalProperties"] == false {
				out = append(out, at+"/"+name+": not expected")
			}
		}
	}
	return out
}

func listOf(v any) []any {
	if all, ok := v.([]any); ok || v == nil {
		return all
	}
	return []any{v}
}

func kindInJSON(v any) string {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "array"
	default:
		return "object"
	}
}
