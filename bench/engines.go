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

// engine evaluates all rules on one event of the pool that it was made for, and
// appends the numbers of those that match.
type engine func(event int, hits []int) []int

// made names how an engine is made of rules and events. It prepares the events
// once, which is not counted.
type made struct {
	name string
	make func([]benchRule, []event.Event) (engine, error)
}

// The events of the first five are as their users have them; typed ones are as
// each engine likes them best.
var engines = []made{
	{"appgovd", newAppgovd}, {"hclsyntax", newHCL}, {"cel-go", newCEL(false)}, {"expr", newExpr(false)}, {"opa", newOPA(false)},
	{"cel-go, typed and flat", newCEL(true)}, {"expr, typed and flat", newExpr(true)}, {"opa, its own values", newOPA(true)},
}

// asMaps are the engines of which the best is what appgovd is compared with.
var asMaps = []string{"cel-go", "expr", "opa"}

func same(field string) string { return field }

// prepared are the events of a pool in another form.
func prepared[T any](pool []event.Event, as func(*event.Event) T) []T {
	out := make([]T, 0, len(pool))
	for i := range pool {
		out = append(out, as(&pool[i]))
	}
	return out
}

// blob writes the rules in the product's language.
func blob(rules []benchRule) *event.RulesBlob {
	form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "any_of(%s, %s)", 'c': "contains(%s, %s)", 'r': "matches(%s, %s)", '>': "%s > %s"}
	out := &event.RulesBlob{Zone: "UTC"}
	for chunk := range slices.Chunk(rules, 500) {
		var b strings.Builder
		for _, r := range chunk {
			fmt.Fprintf(&b, "rule %q {\n  title = \"t\"\n  severity = \"low\"\n  on = %s\n  where = %s\n%s}\n", r.id, on(r.action), r.write(form, " && ", "[", "]", same), r.block)
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

func newAppgovd(rules []benchRule, pool []event.Event) (engine, error) {
	set, diags := rule.Compile(blob(rules))
	if diags.HasErrors() {
		return nil, diags
	}
	number := map[*rule.Rule]int{}
	for i, r := range set.Rules {
		number[r] = i // ids are in order
	}
	m, env := set.Matcher(), &rule.Env{}
	return func(at int, hits []int) []int {
		env.Event, env.Now = &pool[at], pool[at].Time
		for _, r := range m.Candidates(env) {
			if r.Holds(env) {
				hits = append(hits, number[r])
			}
		}
		return hits
	}, nil
}

// newHCL evaluates the expressions by hcl's own evaluator, as a program does that
// takes HCL for more than configuration.
func newHCL(rules []benchRule, pool []event.Event) (engine, error) {
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
	contexts := prepared(pool, func(e *event.Event) *hcl.EvalContext {
		return &hcl.EvalContext{Variables: ctyOf(nested(e)).AsValueMap(), Functions: funcs}
	})
	return func(at int, hits []int) []int {
		ctx := contexts[at]
		for i, x := range all {
			if v, diags := x.Value(ctx); !diags.HasErrors() && v.True() {
				hits = append(hits, i)
			}
		}
		return hits
	}, nil
}

// ctyOf is a value that was decoded from JSON, as hcl has it.
func ctyOf(v any) cty.Value {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]cty.Value{}
		for name, x := range v {
			out[name] = ctyOf(x)
		}
		return cty.ObjectVal(out)
	case []any:
		out := make([]cty.Value, 0, len(v))
		for _, x := range v {
			out = append(out, ctyOf(x))
		}
		return cty.TupleVal(out)
	case string:
		return cty.StringVal(v)
	case float64:
		return cty.NumberFloatVal(v)
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

// form is how the events of an engine look, and what it calls a field.
func form(typed bool) (as func(*event.Event) map[string]any, named func(string) string) {
	if typed {
		return flat, underscored
	}
	return nested, same
}

func newCEL(typed bool) func([]benchRule, []event.Event) (engine, error) {
	return func(rules []benchRule, pool []event.Event) (engine, error) {
		as, named := form(typed)
		var options []cel.EnvOption
		for name, v := range as(&pool[0]) {
			kind := cel.DynType
			if typed {
				kind = cel.StringType
				if _, number := v.(int64); number {
					kind = cel.IntType
				}
			}
			options = append(options, cel.Variable(name, kind))
		}
		env, err := cel.NewEnv(options...)
		if err != nil {
			return nil, err
		}
		form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "%s in %s", 'c': "%s.contains(%s)", 'r': "%s.matches(%s)", '>': "%s > %s"}
		var all []cel.Program
		for _, r := range rules {
			tree, issues := env.Compile(r.guarded().write(form, " && ", "[", "]", named))
			if issues.Err() != nil {
				return nil, issues.Err()
			}
			p, err := env.Program(tree, cel.EvalOptions(cel.OptOptimize))
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
		inputs := prepared(pool, as)
		return func(at int, hits []int) []int {
			for i, p := range all {
				if v, _, err := p.Eval(inputs[at]); err == nil && v.Value() == true {
					hits = append(hits, i)
				}
			}
			return hits
		}, nil
	}
}

func newExpr(typed bool) func([]benchRule, []event.Event) (engine, error) {
	return func(rules []benchRule, pool []event.Event) (engine, error) {
		as, named := form(typed)
		form := map[byte]string{'=': "%s == %s", '!': "%s != %s", 'i': "%s in %s", 'c': "%s contains %s", 'r': "%s matches %s", '>': "%s > %s"}
		var all []*vm.Program
		for _, r := range rules {
			p, err := expr.Compile(r.guarded().write(form, " && ", "[", "]", named), expr.Env(as(&pool[0])), expr.AsBool())
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
		inputs := prepared(pool, as)
		var machine vm.VM
		return func(at int, hits []int) []int {
			for i, p := range all {
				if v, err := machine.Run(p, inputs[at]); err == nil && v == true {
					hits = append(hits, i)
				}
			}
			return hits
		}, nil
	}
}

func newOPA(typed bool) func([]benchRule, []event.Event) (engine, error) {
	return func(rules []benchRule, pool []event.Event) (engine, error) {
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
		inputs := prepared(pool, func(e *event.Event) rego.EvalOption {
			if typed {
				return rego.EvalParsedInput(ast.MustInterfaceToValue(nested(e)))
			}
			return rego.EvalInput(nested(e))
		})
		return func(at int, hits []int) []int {
			result, err := query.Eval(ctx, inputs[at])
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
}
