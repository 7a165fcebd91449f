package rule

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/appgovd/appgovd/internal/event"
)

// maker writes expressions of a type.
type maker struct{ r *rand.Rand }

func (g maker) pick(s ...string) string { return s[g.r.IntN(len(s))] }

func (g maker) text() string { return strings.ReplaceAll(quoted(g.r), `\x`, `\\x`) }

func (g maker) make(k kind, depth int) string {
	if depth <= 0 {
		return g.leaf(k)
	}
	switch g.r.IntN(9) {
	case 0:
		return g.leaf(k)
	case 1:
		return "(" + g.make(kindBool, depth-1) + " ? " + g.make(k, depth-1) + " : " + g.make(k, depth-1) + ")"
	case 2:
		return "coalesce(" + g.make(k, depth-1) + ", " + g.make(k, depth-1) + ")"
	}
	switch k {
	case kindBool:
		return g.bool(depth - 1)
	case kindInt:
		return g.int(depth - 1)
	case kindString:
		return "lower(" + g.make(kindString, depth-1) + ")"
	case kindDuration:
		return g.duration(depth - 1)
	case kindTime:
		return "(" + g.make(kindTime, depth-1) + g.pick(" + ", " - ") + g.make(kindDuration, depth-1) + ")"
	}
	return g.leaf(k)
}

func (g maker) leaf(k kind) string {
	switch k {
	case kindBool:
		return g.pick("true", "false", "app.enabled", "backfill", "app.tenant_wide", "consent.admin", "app.publisher.verified", `changed("tags")`, `changed("None", "TAGS")`)
	case kindInt:
		return g.pick(strconv.FormatInt(g.r.Int64N(12)-4, 10), "9223372036854775807", "(-9223372036854775807 - 1)", "source.asn", "app.tier", "app.users", "hour()", "weekday()", "app.risk")
	case kindString:
		return g.pick(g.text(), g.text(), "app.name", "actor.id", "result", "source.user_agent", "source.ip", "source.country", `detail("KEY")`, `detail("none")`, "actor.upn", `lookup("table", app.name, "team")`)
	case kindSet:
		return g.pick("consent.scopes", "app.reply_urls", `added("Tags")`, `removed("tags")`, `before("Tags")`, `after("TAGS")`, `after("none")`, "app.credential_kinds", "app.owners")
	case kindPermissions:
		return g.pick("permissions", "permissions.delegated", "permissions.application", "permissions.revoked", "app.permissions", "app.delegated")
	case kindDuration:
		return g.pick(`duration("1d")`, `duration("1d12h30m5s")`, `duration("2w")`, "age(app.first_seen)", "age(app.created)", "app.idle")
	}
	return g.pick(`time("2026-03-01")`, `time("2026-03-03T12:00:00Z")`, "app.first_seen", "time", "app.last_used")
}

func (g maker) subject(depth int) string {
	return g.make([]kind{kindString, kindSet, kindPermissions}[g.r.IntN(3)], depth)
}

func (g maker) bool(depth int) string {
	number := []kind{kindInt, kindInt, kindDuration, kindTime}[g.r.IntN(4)]
	switch g.r.IntN(17) {
	case 0, 1:
		return "(" + g.make(kindBool, depth) + " && " + g.make(kindBool, depth) + ")"
	case 2, 3:
		return "(" + g.make(kindBool, depth) + " || " + g.make(kindBool, depth) + ")"
	case 4:
		return "!" + g.make(kindBool, depth)
	case 5:
		return "(" + g.make(number, depth) + g.pick(" < ", " <= ", " > ", " >= ", " == ", " != ") + g.make(number, depth) + ")"
	case 6:
		return "(" + g.make(kindString, depth) + g.pick(" == ", " != ") + g.make(kindString, depth) + ")"
	case 7:
		return "(" + g.make(kindBool, depth) + g.pick(" == ", " != ") + g.make(kindBool, depth) + ")"
	case 8:
		return "(" + g.make([]kind{kindString, kindInt, kindBool, kindSet, kindTime}[g.r.IntN(5)], depth) + g.pick(" == null", " != null") + ")"
	case 9:
		return g.pick("any_of", "none_of") + "(" + g.subject(depth) + ", " + g.text() + g.pick("", ", "+g.text(), ", ["+g.text()+", "+g.text()+"]") + ")"
	case 10:
		return g.pick("contains", "starts_with", "ends_with") + "(" + g.subject(depth) + ", " + g.make(kindString, depth) + g.pick("", ", "+g.text(), ", ["+g.text()+"]") + ")"
	case 11:
		return "glob(" + g.subject(depth) + ", " + g.pick(`"*mail*"`, `"?ail*"`, `"*"`, `"*\u212A*"`, `"a*a"`, `"**", "x"`, `""`, `"*e*d*"`) + ")"
	case 12:
		return "matches(" + g.subject(depth) + ", " + g.pick(`"^mail"`, `"(read|send)$"`, `"(?-i)Mail"`, `"[xk]elvin"`, `"(aa){2}", "^x"`, `"py.*2"`, `"^$"`, `"s+e"`, `"\\bmail\\b"`) + ")"
	case 13:
		return "has_permission(" + g.make([]kind{kindSet, kindPermissions}[g.r.IntN(2)], depth) + ", " + g.pick(`"mail.read"`, `"Mail.*"`, `"*"`, `"ma?l"`) + ")"
	case 14:
		return "all_of(" + g.make([]kind{kindSet, kindPermissions}[g.r.IntN(2)], depth) + ", " + g.text() + g.pick("", ", "+g.text()) + ")"
	case 15:
		return "in_list(" + g.pick(`"table"`, `"old"`) + ", " + g.make([]kind{kindString, kindInt, kindSet, kindPermissions}[g.r.IntN(4)], depth) + ")"
	}
	return g.pick("cidr_match("+g.pick("source.ip", g.make(kindString, depth))+`, "10.0.0.0/8", "2001:db8::/32")`, "is_private_ip("+g.pick("source.ip", g.make(kindString, depth))+")",
		`has_permission(permissions, "application:mail.*")`)
}

func (g maker) int(depth int) string {
	switch g.r.IntN(6) {
	case 0, 1:
		return "(" + g.make(kindInt, depth) + g.pick(" + ", " - ", " * ", " / ", " % ") + g.make(kindInt, depth) + ")"
	case 2:
		return "-" + g.make(kindInt, depth)
	case 3:
		return "length(" + g.subject(depth) + ")"
	case 4:
		return g.pick("percent("+g.make(kindInt, depth)+", "+g.make(kindInt, depth)+")", "edit_distance("+g.make(kindString, depth)+", "+g.make(kindString, depth)+")")
	}
	return "tier(" + g.make([]kind{kindString, kindPermissions}[g.r.IntN(2)], depth) + ")"
}

func (g maker) duration(depth int) string {
	switch g.r.IntN(4) {
	case 0:
		return "(" + g.make(kindDuration, depth) + g.pick(" + ", " - ") + g.make(kindDuration, depth) + ")"
	case 1:
		return "(" + g.make(kindDuration, depth) + g.pick(" * ", " / ") + g.make(kindInt, depth) + ")"
	case 2:
		return "(" + g.make(kindTime, depth) + " - " + g.make(kindTime, depth) + ")"
	}
	return "-" + g.make(kindDuration, depth)
}

// differentialChecker knows the lists and tiers of the generated expressions.
func differentialChecker(t testing.TB) *checker {
	c := sampleChecker(t)
	table, old := newList("table", hcl.Range{}), newList("old", hcl.Range{})
	for _, w := range []string{"Mail", "KELVIN", "x", "3", "straße"} {
		table.add(w, forever)
		table.say(w, "team", "Team "+w)
	}
	old.add("send", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	old.add("mail", forever)
	c.lists["table"], c.lists["old"] = table, old
	return c
}

// wider adds to a generated environment what the index does not look at.
func wider(r *rand.Rand, env *Env) *Env {
	env.Now = env.Now.Add(time.Duration(r.IntN(200)-100) * time.Hour)
	env.Event.Origin.IP = []string{"", "10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1", "n/a", "203.0.113.9", "fe80::1"}[r.IntN(7)]
	env.Event.Consent.AdminSet, env.Event.Consent.Admin = r.IntN(2) == 0, r.IntN(2) == 0
	for i := range env.Event.Permissions {
		env.Event.Permissions[i].Tier = int8(r.IntN(5))
	}
	if env.App != nil {
		env.App.Delegated = []event.Permission{{Kind: "delegated", Name: word(r), Tier: int8(r.IntN(3))}}
		env.App.OwnersKnown, env.App.Owners = r.IntN(2) == 0, wordList(r)
		env.App.UsedKnown = r.IntN(2) == 0
		if r.IntN(2) == 0 {
			env.App.Created, env.App.LastUsed = env.Now.Add(-time.Duration(r.IntN(1000))*time.Hour), env.Now
		}
	}
	return env
}

func parsed(t testing.TB, text string) hclsyntax.Expression {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(text), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", text, diags)
	}
	return e
}

// computed is the value that the compiler's closures give, in the oracle's form.
func computed(n node, env *Env) worth {
	w := worth{kind: n.kind}
	switch {
	case n.truth != nil:
		v := n.truth(env)
		w.known, w.yes = v != Unknown, v == True
	case n.num != nil:
		w.n, w.known = n.num(env)
	default:
		w.s, w.known = n.str(env)
	}
	return w
}

func differ(a, b worth) bool {
	return a.known != b.known || a.known && (a.yes != b.yes || a.n != b.n || !same(a.s, b.s))
}

// evaluations is how many values are compared: APPGOVD_EVALUATIONS, or few.
func evaluations(t testing.TB) int {
	n, err := strconv.Atoi(os.Getenv("APPGOVD_EVALUATIONS"))
	if os.Getenv("APPGOVD_EVALUATIONS") == "" {
		return 200_000
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheCompilerAgreesWithThePageOnSemantics(t *testing.T) {
	const each = 100 // environments per expression
	c := differentialChecker(t)
	total, known, yes := evaluations(t), 0, 0
	for seed := range uint64(total / each) {
		r := rand.New(rand.NewPCG(seed, 1))
		kind := []kind{kindBool, kindBool, kindBool, kindInt, kindString, kindDuration}[r.IntN(6)]
		text := maker{r}.make(kind, 1+r.IntN(5))
		e := parsed(t, text)
		c.diags = nil
		n := c.expression(e)
		if c.diags.HasErrors() {
			t.Fatalf("seed %d: %s: %v", seed, text, c.diags)
		}
		for range each {
			env := wider(r, generatedEnv(r))
			want, got := oracle{c, env}.eval(e), computed(n, env)
			if want.known {
				known++
			}
			if want.is(true) {
				yes++
			}
			if differ(want, got) {
				t.Fatalf("seed %d: %s\nthe page: %+v\ncompiled: %+v\nevent %+v\napp %+v", seed, text, want, got, env.Event, env.App)
			}
		}
	}
	t.Logf("%d evaluations, %d known, %d true: 0 differences", total, known, yes)
	if known < total/2 || yes < total/20 {
		t.Error("the expressions say little")
	}
}

// plain makes expressions that mean the same in HCL: known values, small integers,
// lower-case text, no division.
func (g maker) plain(k kind, depth int) string {
	if depth <= 0 {
		if k == kindBool {
			return g.pick("true", "false", "b1", "b2")
		}
		if k == kindString {
			return g.pick(`"a"`, `"b"`, "s1", "s2")
		}
		return g.pick(strconv.Itoa(g.r.IntN(9)), "n1", "n2")
	}
	switch g.r.IntN(5) {
	case 0:
		return "(" + g.plain(kindBool, depth-1) + " ? " + g.plain(k, depth-1) + " : " + g.plain(k, depth-1) + ")"
	case 1:
		return g.plain(k, 0)
	}
	switch k {
	case kindInt:
		return g.pick("-", "(1) * ") + "(" + g.plain(kindInt, depth-1) + g.pick(" + ", " - ", " * ") + g.plain(kindInt, depth-1) + ")"
	case kindString:
		return g.plain(k, 0)
	}
	other := []kind{kindBool, kindInt, kindString}[g.r.IntN(3)]
	return g.pick(
		"("+g.plain(kindBool, depth-1)+g.pick(" && ", " || ")+g.plain(kindBool, depth-1)+")",
		"!"+g.plain(kindBool, depth-1),
		"("+g.plain(kindInt, depth-1)+g.pick(" < ", " <= ", " > ", " >= ")+g.plain(kindInt, depth-1)+")",
		"("+g.plain(other, depth-1)+g.pick(" == ", " != ")+g.plain(other, depth-1)+")",
	)
}

func TestTheCompilerAgreesWithHCLWhereBothMeanTheSame(t *testing.T) {
	c := differentialChecker(t)
	fields := strings.NewReplacer("b1", "app.enabled", "b2", "backfill", "s1", "app.name", "s2", "actor.id", "n1", "source.asn", "n2", "app.users")
	count := evaluations(t) / 10
	for seed := range uint64(count / 20) {
		r := rand.New(rand.NewPCG(seed, 2))
		text := maker{r}.plain(kindBool, 1+r.IntN(5))
		e := parsed(t, text)
		c.diags = nil
		n := c.expression(parsed(t, fields.Replace(text)))
		if c.diags.HasErrors() {
			t.Fatalf("%s: %v", text, c.diags)
		}
		for range 20 {
			env := &Env{Event: &event.Event{Backfill: r.IntN(2) == 0, Actor: event.Actor{ID: []string{"a", "b"}[r.IntN(2)]}, Origin: event.Origin{ASN: 1 + uint32(r.IntN(8))}},
				App: &event.AppView{Enabled: r.IntN(2) == 0, Name: []string{"a", "b"}[r.IntN(2)], Users: r.IntN(9)}}
			v, diags := e.Value(&hcl.EvalContext{Variables: map[string]cty.Value{
				"b1": cty.BoolVal(env.App.Enabled), "b2": cty.BoolVal(env.Event.Backfill), "s1": cty.StringVal(env.App.Name), "s2": cty.StringVal(env.Event.Actor.ID),
				"n1": cty.NumberUIntVal(uint64(env.Event.Origin.ASN)), "n2": cty.NumberIntVal(int64(env.App.Users)),
			}})
			if diags.HasErrors() {
				t.Fatalf("%s: %v", text, diags)
			}
			if got := n.truth(env); got != truthOf(v.True()) {
				t.Fatalf("seed %d: %s is %v in HCL and %v here; %+v %+v", seed, text, v.True(), got, env.Event, env.App)
			}
		}
	}
	t.Logf("%d evaluations, 0 differences", count)
}

// The oracle must be able to tell: a compiler that got one thing wrong is found.
func TestTheOracleFindsAWrongCompiler(t *testing.T) {
	c := differentialChecker(t)
	env := &Env{Event: &event.Event{App: event.App{Name: "KELVIN"}}, Now: time.Unix(1, 0)}
	for text, wrong := range map[string]string{
		`app.name == "kelvin"`:         `!(app.name == "kelvin")`,
		`actor.upn == "x"`:             `false`,
		`actor.upn == "x" || true`:     `actor.upn == "x"`,
		`9223372036854775807 + 1 > 0`:  `false`,
		`length(app.name) / 0 == null`: `false`,
		`contains(app.name, "elv")`:    `contains(app.name, "(?-i)elv")`,
	} {
		n := c.expression(parsed(t, wrong))
		if !differ(oracle{c, env}.eval(parsed(t, text)), computed(n, env)) {
			t.Errorf("%s is taken for %s", wrong, text)
		}
	}
}

// FuzzDifferential takes the seeds from the fuzzer.
func FuzzDifferential(f *testing.F) {
	for i := range uint64(50) {
		f.Add(i, i*7)
	}
	c := differentialChecker(f)
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		text := maker{r}.make(kindBool, 1+r.IntN(6))
		e := parsed(t, text)
		c.diags = nil
		n := c.expression(e)
		if c.diags.HasErrors() {
			if !strings.Contains(c.diags.Error(), "Expression too long") {
				t.Fatalf("%s: %v", text, c.diags)
			}
			return
		}
		for range 20 {
			env := wider(r, generatedEnv(r))
			if want, got := (oracle{c, env}).eval(e), computed(n, env); differ(want, got) {
				t.Fatalf("%s\nthe page: %+v\ncompiled: %+v\nevent %+v\napp %+v", text, want, got, env.Event, env.App)
			}
		}
	})
}
