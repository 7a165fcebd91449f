package rule

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

var update = flag.Bool("update", false, "write the expected files anew")

func blobOf(text string) *event.RulesBlob {
	return &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "rules.hcl", Text: []byte(text)}}}
}

func mustCompile(t testing.TB, text string) *Set {
	t.Helper()
	set, diags := Compile(blobOf(text))
	for _, d := range diags {
		t.Error(d.Error())
	}
	if t.Failed() {
		t.FailNow()
	}
	return set
}

func TestRuleOfTheDesignDocumentCompilesAndMatches(t *testing.T) {
	set := mustCompile(t, `
list "deploy_pipelines" {
  entry "9b3c" {
    comment = "GitHub runner"
    until   = "2027-01-01"
  }
}
rule "entra.credential.added_to_privileged_app" {
  title      = "Credential added to a privileged app"
  severity   = "high"
  techniques = ["T1098.001"]
  references = ["https://example.com"]
  on         = ["app.credential.added"]
  where      = app.tier <= 1 && !in_list("deploy_pipelines", actor.id)
  score      = 60 + (app.publisher.verified ? 0 : 15)
  suppress {
    by  = [app.id]
    for = "24h"
  }
  alert {
    summary = "${actor.name} added a ${credential.kind} to ${app.name}"
  }
}`)
	rules := set.Candidates("app.credential.added")
	if len(rules) != 1 {
		t.Fatalf("candidates: %d, want 1", len(rules))
	}
	env := &Env{
		Event: &event.Event{Actor: event.Actor{ID: "a1", Name: "Eve\nAdmin"}, Credential: event.Credential{Kind: "password"}, App: event.App{ID: "sp", Name: "Sync"}},
		App:   &event.AppView{Tier: 1},
	}
	r := rules[0]
	if got := r.Match(env); got != True {
		t.Errorf("match: %v, want True", got)
	}
	if got := r.Score(env); got != 75 {
		t.Errorf("score: %d, want 75", got)
	}
	if got, want := r.Summary(env), "Eve Admin added a password to Sync"; got != want {
		t.Errorf("summary: %q, want %q", got, want)
	}
}

func TestScoreIsTheSeveritysOwnWhereUnknownAndWithinBounds(t *testing.T) {
	cases := []struct {
		sentence, score string
		want            int
	}{
		{"absent", "", 75},
		{"unknown", "score = actor.tier", 75},
		{"too high", "score = 1000 * app.tier", 100},
		{"too low", "score = -5 * app.tier", 0},
	}
	for _, x := range cases {
		t.Run(x.sentence, func(t *testing.T) {
			set := mustCompile(t, "rule \"r\" {\n title = \"t\"\n severity = \"high\"\n on = [\"app.added\"]\n"+x.score+"\n}")
			if got := set.Rules[0].Score(sample()); got != x.want {
				t.Errorf("score %d, want %d", got, x.want)
			}
		})
	}
}

func TestRevisionFollowsTheTextOfTheRuleAlone(t *testing.T) {
	const one = "rule \"a\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.added\"]\n}\n"
	alone := mustCompile(t, one)
	moved := mustCompile(t, "# a comment\nlist \"l\" {}\n"+one)
	edited := mustCompile(t, strings.Replace(one, "low", "high", 1))
	if alone.Rules[0].Revision != moved.Rules[0].Revision {
		t.Error("a rule that only moved has a new revision")
	}
	if alone.Rules[0].Revision == edited.Rules[0].Revision {
		t.Error("an edited rule has the old revision")
	}
	if alone.Revision == moved.Revision {
		t.Error("another blob has the same revision")
	}
}

func TestPolicyScopeSparesAndSelectsApps(t *testing.T) {
	set := mustCompile(t, `
list "spared" { entries = ["A2"] }
list "chosen" { entries = ["a1", "a2"] }
policy "p" {
  title    = "t"
  severity = "low"
  where    = app.enabled
  scope {
    only   = ["chosen"]
    except = ["spared"]
  }
}`)
	for id, want := range map[string]Truth{"a1": True, "a2": False, "a3": False} {
		if got := set.Policies[0].Match(&Env{App: &event.AppView{AppID: id, Enabled: true}}); got != want {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
}

func TestModeOffTakesARuleOutOfTheIndex(t *testing.T) {
	set := mustCompile(t, "rule \"a\" {\n title = \"t\"\n severity = \"low\"\n mode = \"off\"\n on = [\"app.added\"]\n}\n")
	if n := len(set.Candidates("app.added")); n != 0 {
		t.Errorf("%d candidates, want none", n)
	}
}

// TestMistakes compares each diagnostic of testdata/invalid with the comment
// "# ERROR columns: text" on its line; all mistakes of a file come at once.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	comment := regexp.MustCompile(` *# ERROR ([0-9-]+): ([^#\n]*)`)
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				text = annotate(name, comment.ReplaceAllString(string(text), ""))
				if err := os.WriteFile(name, text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			for i, line := range strings.Split(string(text), "\n") {
				for _, m := range comment.FindAllStringSubmatch(line, -1) {
					want = append(want, fmt.Sprintf("%d:%s: %s", i+1, m[1], strings.TrimSpace(m[2])))
				}
			}
			got := mistakes(name, text)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

// annotate writes the mistakes of a file behind its lines.
func annotate(name, text string) []byte {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	for _, m := range mistakes(name, []byte(strings.Join(lines, "\n"))) {
		number, rest, _ := strings.Cut(m, ":")
		n, _ := strconv.Atoi(number)
		lines[n-1] += " # ERROR " + rest
	}
	return []byte(strings.Join(lines, "\n"))
}

func mistakes(name string, text []byte) []string {
	blob := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: name, Text: text}}}
	_, diags := Compile(blob)
	if strings.HasSuffix(name, ".test.hcl") {
		_, diags = Tests(blob)
	}
	sort.SliceStable(diags, func(i, j int) bool {
		a, b := diags[i].Subject.Start, diags[j].Subject.Start
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	var out []string
	for _, d := range diags {
		columns := fmt.Sprint(d.Subject.Start.Column)
		if d.Subject.End.Line == d.Subject.Start.Line {
			columns += fmt.Sprintf("-%d", d.Subject.End.Column)
		}
		out = append(out, fmt.Sprintf("%d:%s: %s: %s", d.Subject.Start.Line, columns, d.Summary, d.Detail))
	}
	return out
}

func TestTwentyThousandParenthesesAreAClearError(t *testing.T) {
	text := "rule \"a\" {\n where = " + strings.Repeat("(", 20000) + "true" + strings.Repeat(")", 20000) + "\n}"
	_, diags := Compile(blobOf(text))
	if !diags.HasErrors() || diags[0].Summary != "Nested too deeply" {
		t.Errorf("diagnostics: %v", diags)
	}
}

func TestAnUnknownZoneIsAnError(t *testing.T) {
	if _, diags := Compile(&event.RulesBlob{Zone: "Europe/Atlantis"}); !diags.HasErrors() {
		t.Error("no error")
	}
}

func TestWordsOfAlertsAreNoPartOfWhatStateMeans(t *testing.T) {
	const text = `rule "r" {
  title    = "One"
  severity = "low"
  on       = ["app.added"]
  where    = app.name == "x"
  suppress {
    by  = [app.id]
    for = "1h"
  }
}
`
	state := func(old, changed string) string {
		set, diags := Compile(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "r.hcl", Text: []byte(strings.Replace(text, old, changed, 1))}}})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return set.Rules[0].State
	}
	for _, c := range []struct {
		old, changed string
		same         bool
	}{
		{`"One"`, `"Two"`, true}, {`"low"`, `"high"`, true}, {"\n}\n", "\n  alert {\n    summary = \"s\"\n  }\n}\n", true},
		{`"app.added"`, `"app.updated"`, false}, {`"x"`, `"y"`, false}, {`"1h"`, `"2h"`, false}, {`[app.id]`, `[app.name]`, false},
	} {
		if got := state("", "") == state(c.old, c.changed); got != c.same {
			t.Errorf("%s -> %s: state means the same = %v, want %v", c.old, c.changed, got, c.same)
		}
	}
}

func TestSetsMakeKeysWhateverTheirOrder(t *testing.T) {
	set, diags := Compile(&event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "r.hcl", Text: []byte(`rule "r" {
  title    = "One"
  severity = "low"
  on       = ["app.added"]
  suppress {
    by  = [permissions]
    for = "1h"
  }
}
`)}}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	key := func(p ...event.Permission) string {
		b, ok := set.Rules[0].Suppress.By.Append(nil, &Env{Event: &event.Event{Permissions: p}})
		if !ok {
			t.Fatalf("%v make no key", p)
		}
		return string(b)
	}
	mail, files := event.Permission{Kind: "delegated", Name: "Mail.Read"}, event.Permission{Kind: "delegated", Name: "Files.Read"}
	if key(mail, files) != key(files, mail, mail) {
		t.Error("the order of permissions, or one told twice, makes another key")
	}
	for name, other := range map[string]string{
		"fewer permissions":     key(mail),
		"none":                  key(),
		"another kind":          key(event.Permission{Kind: "application", Name: "Mail.Read"}, files),
		"one known by id alone": key(mail, event.Permission{Kind: "delegated", ID: "7"}),
	} {
		if other == key(mail, files) {
			t.Errorf("%s: the same key", name)
		}
	}
	if key(event.Permission{Kind: "delegated", ID: "7"}) == key(event.Permission{Kind: "delegated", ID: "8"}) {
		t.Error("two permissions without a name make the same key")
	}
}
