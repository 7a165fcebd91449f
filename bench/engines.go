package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// engine evaluates all rules on one event and appends the numbers of those that
// match.
type engine func(e *event.Event, hits []int) []int

// made names how an engine is made of rules.
type made struct {
	name string
	make func([]benchRule) (engine, error)
}

var engines = []made{{"appgovd", newAppgovd}, {"hclsyntax", newHCL}, {"cel-go", newCEL}, {"expr", newExpr}, {"opa", newOPA}}

func same(field string) string { return field }

// blob writes the rules in the product's language.
func blob(rules []benchRule) *event.RulesBlob {
	form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "any_of(%s, %s)", 'c': "contains(%s, %s)", 'r': "matches(%s, %s)", '>': "%s > %s"}
	dotted := func(f string) string {
		for _, part := range []string{"actor_", "app_", "source_"} {
			if rest, ok := strings.CutPrefix(f, part); ok {
				return strings.TrimSuffix(part, "_") + "." + rest
			}
		}
		return f
	}
	out := &event.RulesBlob{Zone: "UTC"}
	for chunk := range slices.Chunk(rules, 500) {
		var b strings.Builder
		for _, r := range chunk {
			fmt.Fprintf(&b, "rule %q {\n  title = \"t\"\n  severity = \"low\"\n  on = %s\n  where = %s\n}\n", r.id, on(r.action), r.write(form, " && ", "[", "]", dotted))
		}
		out.Files = append(out.Files, event.RulesFile{Path: chunk[0].id + ".hcl", Text: []byte(b.String())})
	}
	return out
}

func on(action string) string {
	if action == "" {
		return `["` + strings.Join(actions, `", "`) + `"]`
	}
	return `["` + action + `"]`
}

func newAppgovd(rules []benchRule) (engine, error) {
	set, diags := rule.Compile(blob(rules))
	if diags.HasErrors() {
		return nil, diags
	}
	number := map[*rule.Rule]int{}
	for i, r := range set.Rules {
		number[r] = i // ids are in order
	}
	m, env := set.Matcher(), &rule.Env{}
	return func(e *event.Event, hits []int) []int {
		env.Event, env.Now = e, e.Time
		for _, r := range m.Candidates(env) {
			if r.Match(env) == rule.True {
				hits = append(hits, number[r])
			}
		}
		return hits
	}, nil
}

// newHCL evaluates the expressions by hcl's own evaluator, as a program does that
// takes HCL for more than configuration.
func newHCL(rules []benchRule) (engine, error) {
	compiled := map[string]*regexp.Regexp{}
	test := func(f func(s, arg string) bool) function.Function {
		return function.New(&function.Spec{
			Params: []function.Parameter{{Name: "s", Type: cty.String}, {Name: "arg", Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
			},
		})
	}
	funcs := map[string]function.Function{
		"one_of": stdlib.ContainsFunc, "holds": test(strings.Contains),
		"regex": test(func(s, p string) bool { return compiled[p].MatchString(s) }),
	}
	form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "one_of(%[2]s, %[1]s)", 'c': "holds(%s, %s)", 'r': "regex(%s, %s)", '>': "%s > %s"}
	var all []hclsyntax.Expression
	for _, r := range rules {
		for _, c := range r.conjuncts {
			if c.op == 'r' {
				compiled[c.args[0]] = regexp.MustCompile(c.args[0])
			}
		}
		x, diags := hclsyntax.ParseExpression([]byte(r.guarded().write(form, " && ", "[", "]", same)), "x", hcl.InitialPos)
		if diags.HasErrors() {
			return nil, diags
		}
		all = append(all, x)
	}
	return func(e *event.Event, hits []int) []int {
		vars := map[string]cty.Value{"source_asn": cty.NumberIntVal(int64(e.Origin.ASN))}
		for _, f := range textFields {
			vars[f] = cty.StringVal(text(e, f))
		}
		ctx := &hcl.EvalContext{Variables: vars, Functions: funcs}
		for i, x := range all {
			if v, diags := x.Value(ctx); !diags.HasErrors() && v.True() {
				hits = append(hits, i)
			}
		}
		return hits
	}, nil
}

// fields is the event as CEL and expr see it: flat, and filled before.
func fields(e *event.Event, into map[string]any) {
	for _, f := range textFields {
		into[f] = text(e, f)
	}
	into["source_asn"] = int64(e.Origin.ASN)
}

func newCEL(rules []benchRule) (engine, error) {
	options := []cel.EnvOption{cel.Variable("source_asn", cel.IntType)}
	for _, f := range textFields {
		options = append(options, cel.Variable(f, cel.StringType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "%s in %s", 'c': "%s.contains(%s)", 'r': "%s.matches(%s)", '>': "%s > %s"}
	var all []cel.Program
	for _, r := range rules {
		tree, issues := env.Compile(r.guarded().write(form, " && ", "[", "]", same))
		if issues.Err() != nil {
			return nil, issues.Err()
		}
		p, err := env.Program(tree, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	vars := map[string]any{}
	return func(e *event.Event, hits []int) []int {
		fields(e, vars)
		for i, p := range all {
			if v, _, err := p.Eval(vars); err == nil && v.Value() == true {
				hits = append(hits, i)
			}
		}
		return hits
	}, nil
}

func newExpr(rules []benchRule) (engine, error) {
	vars := map[string]any{}
	fields(&event.Event{}, vars)
	form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "%s in %s", 'c': "%s contains %s", 'r': "%s matches %s", '>': "%s > %s"}
	var all []*vm.Program
	for _, r := range rules {
		p, err := expr.Compile(r.guarded().write(form, " && ", "[", "]", same), expr.Env(vars), expr.AsBool())
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	var machine vm.VM
	return func(e *event.Event, hits []int) []int {
		fields(e, vars)
		for i, p := range all {
			if v, err := machine.Run(p, vars); err == nil && v == true {
				hits = append(hits, i)
			}
		}
		return hits
	}, nil
}

func newOPA(rules []benchRule) (engine, error) {
	form := map[byte]string{'=': "input.%s == %s", '!': "input.%s != %s", 'i': "input.%s in %s", 'c': "contains(input.%s, %s)", 'r': "regex.match(%[2]s, input.%[1]s)", '>': "input.%s > %s"}
	var b strings.Builder
	b.WriteString("package bench\n")
	for i, r := range rules {
		fmt.Fprintf(&b, "hits contains %d if {\n %s\n}\n", i, r.guarded().write(form, "\n ", "{", "}", same))
	}
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.bench.hits"), rego.Module("bench.rego", b.String())).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	return func(e *event.Event, hits []int) []int {
		items := [][2]*ast.Term{{ast.StringTerm("source_asn"), ast.IntNumberTerm(int(e.Origin.ASN))}}
		for _, f := range textFields {
			items = append(items, [2]*ast.Term{ast.StringTerm(f), ast.StringTerm(text(e, f))})
		}
		result, err := query.Eval(ctx, rego.EvalParsedInput(ast.NewObject(items...)))
		if err != nil || len(result) == 0 {
			return hits
		}
		for _, v := range result[0].Expressions[0].Value.([]any) {
			n, _ := strconv.Atoi(fmt.Sprint(v))
			hits = append(hits, n)
		}
		slices.Sort(hits)
		return hits
	}, nil
}
