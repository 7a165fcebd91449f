package rule

import (
	"fmt"
	"sort"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
)

// Source is where a rule or policy stands, and its text.
type Source struct {
	Range hcl.Range // of the header
	Text  string    // the whole block

	attributes map[string]bool // that it has
}

// Source of the rule or policy of that id; zero in a set that Compile made.
func (s *Set) Source(id string) Source { return s.sources[id] }

// Lint compiles blob and adds warnings on what works and still is no good rule: no
// test that fires or none that must not, no description, no technique, conditions
// that are the same for every event, values that a field never has, names that look
// mistyped, lists that nothing names, entries and exceptions that have expired at now.
// Errors are those of Compile and of Tests.
func Lint(blob *event.RulesBlob, now time.Time) hcl.Diagnostics {
	zone, diags := loadZone(blob.Zone)
	c := newChecker(zone)
	c.diags, c.hints = diags, newHints(now)
	set := compileBy(c, blob, true)
	tests, more := Tests(blob)
	c.diags = append(c.diags, more...)
	if c.diags.HasErrors() {
		return distinct(c.diags)
	}
	l := linter{c: c, set: set, fires: map[string]bool{}, silent: map[string]bool{}}
	for _, t := range tests {
		l.count(t)
	}
	for _, id := range set.ids() {
		l.rule(id)
	}
	l.lists(now)
	c.diags = append(c.diags, c.hints.list...)
	return c.diags
}

// distinct drops what both readers of the same files said.
func distinct(diags hcl.Diagnostics) hcl.Diagnostics {
	seen := map[string]bool{}
	var out hcl.Diagnostics
	for _, d := range diags {
		if key := d.Error(); !seen[key] {
			seen[key] = true
			out = append(out, d)
		}
	}
	return out
}

func (s *Set) ids() []string {
	var ids []string
	for _, r := range s.Rules {
		ids = append(ids, r.ID)
	}
	for _, p := range s.Policies {
		ids = append(ids, p.ID)
	}
	sort.Strings(ids)
	return ids
}

type linter struct {
	c             *checker
	set           *Set
	fires, silent map[string]bool // rules with a test that does, by id
}

func (l *linter) count(t Test) {
	expected := map[string]bool{}
	for _, x := range t.Expect {
		expected[x.Rule] = true
	}
	for _, id := range t.Rules {
		if expected[id] {
			l.fires[id] = true
		} else {
			l.silent[id] = true
		}
	}
}

func (l *linter) warn(r hcl.Range, code, summary, detail string, args ...any) {
	l.c.diags = append(l.c.diags, &hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: r.Ptr(), Extra: diag.Code(code),
	})
}

func (l *linter) rule(id string) {
	src := l.set.sources[id]
	if !l.fires[id] {
		l.warn(src.Range, "no_firing_test", "No test fires", "No test expects an alert of %s. Write one, so that a change that silences the rule is seen.", id)
	}
	if !l.silent[id] {
		l.warn(src.Range, "no_near_miss", "No near miss", "No test of %s ends without an alert. Write the nearest case that must stay silent.", id)
	}
	if !src.attributes["description"] {
		l.warn(src.Range, "no_description", "No description", "An analyst reads in the description what happened and what to look at.")
	}
	if !src.attributes["techniques"] {
		l.warn(src.Range, "no_technique", "No technique", "Name the ATT&CK techniques, such as techniques = [\"T1098.001\"]; [] where none fits.")
	}
	for _, p := range l.set.probes[id] {
		if p.Const && p.truth != nil && p.Text != "true" && p.Text != "false" {
			l.warn(p.Range, "constant_condition", "Always the same", "This is %s for every event.", p.Value(&Env{}))
		}
	}
}

func (l *linter) lists(now time.Time) {
	at, _ := nanos(now)
	for _, name := range keys(l.c.lists) {
		x := l.c.lists[name]
		if !x.used {
			l.warn(x.rng, "unused_list", "List not used", "No rule, policy or scope names the list %q.", name)
		}
		for _, text := range x.texts {
			if x.until(text) <= at {
				l.warn(x.rng, "expired_entry", "Entry has expired", "The entry %q of the list %q is no member any more: renew it or take it out.", text, name)
			}
		}
	}
}
