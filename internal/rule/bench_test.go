package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// generated makes n rules of a mix that detections show: three of five ask for
// equality and sets, one for parts of texts, one for the inventory; half of
// them look at the action of the sample event.
func generated(n int) *event.RulesBlob {
	where := []string{
		`result == "success" && actor.id == "user-%d" && consent.type == "all_principals"`,
		`any_of(app.app_id, "x-%[1]d", "y-%[1]d", "z-%[1]d") && has_permission(permissions, "Mail.*")`,
		`source.asn == %d && none_of(source.country, "DE", "FR")`,
		`contains(app.name, "suspicious-%d") || ends_with(source.user_agent, "kit/%[1]d")`,
		`app.tier <= 1 && !coalesce(app.publisher.verified, false) && age(app.first_seen) < duration("%[1]dh") && app.name == "never"`,
	}
	actions := []string{"app.consent.granted", "app.credential.added", "app.signin", "app.consent.granted"}
	blob := &event.RulesBlob{Zone: "UTC"}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "rule \"generated.r%d\" {\n  title = \"Generated %d\"\n  severity = \"medium\"\n  on = [%q]\n  where = %s\n  suppress {\n    by = [app.id]\n    for = \"1h\"\n  }\n  alert {\n    summary = \"${actor.name} and ${app.name}\"\n  }\n}\n",
			i, i, actions[i%len(actions)], fmt.Sprintf(where[i%len(where)], i+100))
		if i%500 == 499 || i == n-1 {
			blob.Files = append(blob.Files, event.RulesFile{Path: fmt.Sprintf("generated%d.hcl", i), Text: []byte(b.String())})
			b.Reset()
		}
	}
	return blob
}

func compiled(tb testing.TB, n int) *Set {
	tb.Helper()
	set, diags := Compile(generated(n))
	if diags.HasErrors() {
		tb.Fatal(diags)
	}
	return set
}

func matches(set *Set, env *Env) int {
	n := 0
	for _, r := range set.Candidates(env.Event.Action) {
		if r.Match(env) == True {
			n++
		}
	}
	return n
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{15, 1000} {
		blob := generated(n)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, diags := Compile(blob); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{15, 1000} {
		set, env := compiled(b, n), sample()
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if matches(set, env) != 0 {
					b.Fatal("the sample matches")
				}
			}
		})
	}
}

func BenchmarkLookalike(b *testing.B) {
	twins := newConfusables()
	var brands []brand
	for i := range 40 {
		brands = append(brands, newBrand(twins, fmt.Sprintf("Protected%cName", 'a'+i%26), forever))
	}
	for name, text := range map[string]string{"ascii": "Contoso Payroll Connector", "cyrillic": "Зарплата Contoso"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if lookalike(twins, brands, text, 0) {
					b.Fatal("found a brand")
				}
			}
		})
	}
}

func BenchmarkTier(b *testing.B) {
	table := shippedTiers(b)
	b.ReportAllocs()
	for b.Loop() {
		if table.tier("", "delegated", "Unheard.Of.ReadWrite.All") != 2 {
			b.Fatal("wrong tier")
		}
	}
}

func TestAnEventThatMatchesNothingAllocatesNothing(t *testing.T) {
	set, env := compiled(t, 1000), sample()
	if n := testing.AllocsPerRun(100, func() { matches(set, env) }); n != 0 {
		t.Errorf("%v allocations per event, want 0", n)
	}
	c := sampleChecker(t)
	expressions := []string{
		`lookalike(app.name, "brands") && mixed_script(app.name)`,
		`in_list("brands", app.name) && cidr_match(source.ip, "10.0.0.0/8")`,
		`any_of(added("AppAddress"), "x") || tier(permissions) == 1 || glob(app.reply_urls, "*x*")`,
		`matches(app.name, "^no") || hour() == 3 || all_of(consent.scopes, "a", "b")`,
		`all_of(app.permissions, "Mail.Read", "x") || contains(detail("User-Agent"), "wget") || any_of(app.name, "a", "b", "c", "d", "e")`,
	}
	for _, x := range expressions {
		n := c.expression(parse(t, x))
		if c.diags.HasErrors() {
			t.Fatal(c.diags)
		}
		if allocs := testing.AllocsPerRun(100, func() { n.truth(env) }); allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", x, allocs)
		}
	}
}
