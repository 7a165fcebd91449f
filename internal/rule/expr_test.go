package rule

import (
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func TestExamplesOfTheFunctionReferenceAreTrue(t *testing.T) {
	c := sampleChecker(t)
	for _, f := range Functions() {
		if len(f.Examples) == 0 {
			t.Errorf("%s has no example", f.Name)
		}
		for _, x := range f.Examples {
			got, diags := evaluate(t, c, x.Expr, sample())
			if diags.HasErrors() {
				t.Errorf("%s: %v", x.Expr, diags)
				continue
			}
			if got != x.Value {
				t.Errorf("%s = %s, the reference says %s", x.Expr, got, x.Value)
			}
		}
	}
}

func TestEveryFieldOfTheSchemaHasAnAccessorOfItsType(t *testing.T) {
	fields := schema()
	for _, info := range event.Fields() {
		f := fields[info.Name]
		ok := false
		switch {
		case f.kind == kindBool:
			ok = f.truth != nil
		case f.kind.number():
			ok = f.num != nil
		case f.kind == kindString:
			ok = f.str != nil
		case f.kind.anySet():
			ok = f.set != nil
		}
		if !ok {
			t.Errorf("%s is documented as %s and has no accessor of that type", info.Name, info.Type)
		}
	}
	for _, part := range []map[string]field{recordAccess(), partyAccess(), grantAccess(), signInAccess(), appAccess(), usageAccess()} {
		for name := range part {
			if fields[name].info.Name == "" {
				t.Errorf("%s has an accessor and no documentation", name)
			}
		}
	}
}

func TestEveryFieldIsUnknownInAnEmptyEnvironment(t *testing.T) {
	c := sampleChecker(t)
	for _, info := range event.Fields() {
		if got, _ := evaluate(t, c, info.Name+" == null", &Env{}); got != "true" {
			t.Errorf("%s == null is %s where nothing is known", info.Name, got)
		}
	}
}

func TestSemantics(t *testing.T) {
	cases := []struct{ sentence, expr, want string }{
		{"a comparison with an unknown value is unknown", `actor.upn == "x"`, "unknown"},
		{"and so is its negation", `actor.upn != "x"`, "unknown"},
		{"false decides a conjunction, whatever is unknown", `actor.upn == "x" && result == "failure"`, "false"},
		{"true does not", `actor.upn == "x" && result == "success"`, "unknown"},
		{"true decides a disjunction, whatever is unknown", `actor.upn == "x" || result == "success"`, "true"},
		{"false does not", `actor.upn == "x" || result == "failure"`, "unknown"},
		{"not of unknown is unknown", `!(actor.upn == "x")`, "unknown"},
		{"null asks whether a value is known, and is itself never unknown", `actor.upn == null`, "true"},
		{"not equal to null asks the reverse", `actor.name != null`, "true"},
		{"a conditional with an unknown condition is unknown", `actor.tier == 1 ? 1 : 2`, "unknown"},
		{"strings compare without case", `result == "SUCCESS"`, "true"},
		{"and by Unicode folding", `"ΣΊΣΥΦΟΣ" == "σίσυφος"`, "true"},
		{"the Kelvin sign is a k", `"K" == "k"`, "true"},
		{"the dotted capital I of Turkish is not an i", `"İ" == "i"`, "false"},
		{"a division by zero is unknown", `1 / 0 == 1`, "unknown"},
		{"sums stop at the largest integer", `9223372036854775807 + 1 == 9223372036854775807`, "true"},
		{"products stop there too", `9223372036854775807 * -2 < -9223372036854775807`, "true"},
		{"the smallest integer divided by minus one does not overflow", `(-9223372036854775807 - 1) / -1`, "9223372036854775807"},
		{"a time less a time is a duration", `time - app.first_seen == duration("30d")`, "true"},
		{"a time plus a duration is a time", `app.first_seen + duration("30d") == time`, "true"},
		{"revoked permissions are not in the set of granted ones", `has_permission(permissions, "Mail.Send")`, "false"},
		{"but in a set of their own", `has_permission(permissions.revoked, "Mail.Send")`, "true"},
		{"a difference ignores case", `length(added("AppAddress"))`, "1"},
		{"a text names an unknown part", `"by ${actor.upn}"`, "by (unknown)"},
		{"a conditional may stand in a text", `"${result == "success" ? "did" : "tried"}"`, "did"},
		{"the inventory's app answers where the event has no name", `app.origin`, "external"},
		{"durations compare with durations", `app.idle > duration("90d")`, "unknown"},
		{"precedence is that of HCL", `1 + 2 * 3 == 7 && !false`, "true"},
	}
	c := sampleChecker(t)
	for _, x := range cases {
		t.Run(x.sentence, func(t *testing.T) {
			got, diags := evaluate(t, c, x.expr, sample())
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			if got != x.want {
				t.Errorf("%s = %s, want %s", x.expr, got, x.want)
			}
		})
	}
}

func TestSummariesKeepAttackersTextOnOneLine(t *testing.T) {
	set := mustCompile(t, `
rule "r" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  alert {
    summary = "app ${app.name} end"
  }
}`)
	env := sample()
	env.Event.App.Name = "Evil\r\n\x1b[31mApp\u202e\u2028\x00 " + strings.Repeat("x", 5000)
	got := set.Rules[0].Summary(env)
	if want := "app Evil [31mApp " + strings.Repeat("x", maxValue-len("Evil [31mApp ")) + "… end"; got != want {
		t.Errorf("summary: %q, want %q", got, want)
	}
}

func TestListEntriesExpire(t *testing.T) {
	set := mustCompile(t, `
list "l" {
  entry "u1" {
    until = "2026-03-04"
  }
}
rule "r" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = in_list("l", actor.id)
}`)
	env := sample()
	if got := set.Rules[0].Match(env); got != True {
		t.Errorf("the day before: %v, want True", got)
	}
	env.Now = env.Now.AddDate(0, 0, 2)
	if got := set.Rules[0].Match(env); got != False {
		t.Errorf("the day after: %v, want False", got)
	}
}

func TestKeysOfDifferentValuesDifferAndOfEqualOnesDoNot(t *testing.T) {
	set := mustCompile(t, `
rule "r" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  suppress {
    by  = [actor.name, app.name, source.asn]
    for = "1h"
  }
}`)
	key := func(actor, app string, asn uint32) (string, bool) {
		e := &event.Event{Actor: event.Actor{Name: actor}, App: event.App{Name: app}, Origin: event.Origin{ASN: asn}}
		k, ok := set.Rules[0].Suppress.By.Append(nil, &Env{Event: e})
		return string(k), ok
	}
	ab, _ := key("ab", "c", 1)
	if k, _ := key("a", "bc", 1); k == ab {
		t.Error("(ab, c) and (a, bc) have one key")
	}
	if k, _ := key("AB", "C", 1); k != ab {
		t.Error("two names that compare equal have two keys")
	}
	if k, _ := key("ab", "c", 2); k == ab {
		t.Error("two numbers have one key")
	}
	if _, ok := key("ab", "", 1); ok {
		t.Error("a key with an unknown part is known")
	}
}
