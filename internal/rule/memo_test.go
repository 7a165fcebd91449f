package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAMemoIsBounded(t *testing.T) {
	var m memo
	for i := range 3 * memoValues {
		s := fmt.Sprint(i)
		m.get(s)
		m.get(s)
		m.put(s, []mask{{0, uint64(i)}})
	}
	if len(m.known) > memoValues {
		t.Errorf("it remembers %d values, at most %d", len(m.known), memoValues)
	}
	if m.on(strings.Repeat("x", memoValue+1)) {
		t.Error("it is asked for a value that is longer than it keeps")
	}
	var wide memo
	wide.put("wide", make([]mask, memoRules+1))
	if len(wide.known) != 0 {
		t.Error("it keeps more rules of one value than it may")
	}
}

func TestAMemoWithoutUseSwitchesItselfOffAndTriesAgain(t *testing.T) {
	var m memo
	ask := func(s string) bool {
		if !m.on(s) {
			return false
		}
		if _, known := m.get(s); !known {
			m.put(s, nil)
		}
		return true
	}
	for i := range memoPeriod {
		if !ask(fmt.Sprint(i)) {
			t.Fatalf("it is off after %d questions", i)
		}
	}
	if len(m.known) != 0 {
		t.Error("it is off and keeps its values")
	}
	for i := range memoRest {
		if ask("again") {
			t.Fatalf("it is on again after %d questions", i)
		}
	}
	for i := range 5 * memoPeriod {
		if !ask([]string{"a", "b"}[i%2]) {
			t.Fatal("it is off although it is of use")
		}
	}
}

// One matcher whose memo fills up, goes off and comes back finds every rule
// that holds.
func TestAMemoChangesNoAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	var b strings.Builder
	for i := range 70 {
		fmt.Fprintf(&b, "rule \"r%02d\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.consent.granted\"]\n where = contains(source.user_agent, \"tool%d\") || ends_with(app.name, \"%d\") || matches(source.user_agent, \"v%d[ab]\")\n}\n", i, i, i%10, i)
	}
	set := mustCompile(t, b.String())
	old := set.Matcher()
	off, on := 0, 0
	for i := range memoRest + 8*memoPeriod {
		env := sample()
		env.Event.Origin.UserAgent = fmt.Sprintf("tool%d/v%d%c", r.IntN(80), r.IntN(80), "abc"[r.IntN(3)])
		if i/memoPeriod%2 == 1 || i > memoRest {
			env.Event.Origin.UserAgent = fmt.Sprintf("tool%d", i%3)
		}
		env.Event.App.Name = fmt.Sprint(r.IntN(50))
		got := holding(old.Candidates(env), env)
		if want := holding(set.Candidates(env.Event.Action), env); !slices.Equal(got, want) {
			t.Fatalf("event %d: with a memo %v hold, without an index %v", i, got, want)
		}
		if slices.ContainsFunc(old.memos, func(m memo) bool { return m.rest > 0 }) {
			off++
		} else {
			on++
		}
	}
	if off == 0 || on == 0 {
		t.Errorf("a memo was off for %d events and all were on for %d: the test says little", off, on)
	}
}

func TestPlacementsSayHowARuleIsFoundOrWhyItIsNot(t *testing.T) {
	where := map[string]string{
		"a.equal":   `actor.id == "x" && app.name != "y"`,
		"b.free":    ``,
		"c.never":   `false`,
		"d.unequal": `actor.id != "x"`,
		"e.part":    `contains(app.name, "mail")`,
		"f.either":  `actor.id == "x" || app.tier <= 2`,
		"g.half":    `actor.id == "x" || actor.name != "y"`,
	}
	var b strings.Builder
	for _, id := range keys(where) {
		fmt.Fprintf(&b, "rule %q {\n title = \"t\"\n severity = \"low\"\n on = [\"app.signin\"]\n", id)
		if where[id] != "" {
			fmt.Fprintf(&b, " where = %s\n", where[id])
		}
		b.WriteString("}\n")
	}
	b.WriteString("rule \"h.off\" {\n title = \"t\"\n severity = \"low\"\n mode = \"off\"\n on = [\"app.signin\"]\n}\n")
	got := map[string]string{}
	for _, p := range mustCompile(t, b.String()).Placements() {
		got[p.ID] = p.Path + p.Reason
		if !slices.Equal(p.Actions, []string{"app.signin"}) {
			t.Errorf("%s: actions %v", p.ID, p.Actions)
		}
	}
	none := "no part of its condition that must hold compares a field with a constant"
	want := map[string]string{
		"a.equal": "", "b.free": "it has no condition", "c.never": "it never holds", "d.unequal": none,
		"e.part": "", "f.either": "", "g.half": none,
	}
	for id, x := range want {
		if x == "" {
			if got[id] == "" || got[id] == none {
				t.Errorf("%s is placed by %q", id, got[id])
			}
			delete(got, id)
			delete(want, id)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
