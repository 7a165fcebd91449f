package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// conditionOf is a rule with that condition.
func conditionOf(where string) string {
	return "rule \"h.x\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.consent.granted\"]\n  where = " + where + "\n}\n"
}

func TestAFileOfTenMegabytesIsAClearError(t *testing.T) {
	rules := strings.Repeat("# nothing\n", 1<<20) + conditionOf("true")
	for _, path := range []string{"h.hcl", "list.csv", "permission_tiers.csv"} {
		blob := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: path, Text: []byte(rules)}}}
		if path == "list.csv" {
			blob.Files = append(blob.Files, event.RulesFile{Path: "l.hcl", Text: []byte("list \"l\" {\n  file = \"list.csv\"\n}\n")})
		}
		_, diags := Compile(blob)
		if !diags.HasErrors() || len(diags) > 100 || diags[0].Summary != "File too large" || diags[0].Subject.Filename != path {
			t.Errorf("%s: %d diagnostics, %.200v", path, len(diags), diags)
		}
	}
}

func TestNestingThatNeverEndsIsAClearErrorInEveryBlock(t *testing.T) {
	for _, open := range []string{"(", "[", "{", "!", "-", "\"${", "lower(", "true ? "} {
		_, diags := Compile(blobOf(conditionOf(strings.Repeat(open, 20000) + "1")))
		if !diags.HasErrors() || len(diags) > 100 {
			t.Errorf("20,000 times %q: %d diagnostics", open, len(diags))
		}
	}
}

func TestARegularExpressionThatWouldGrowIsAClearError(t *testing.T) {
	for _, pattern := range []string{"(((a{100}){100}){100})", "a{1001}", strings.Repeat("x{1000}", 140), strings.Repeat("(", 330) + "a" + strings.Repeat(")*", 330)} {
		_, diags := Compile(blobOf(conditionOf(fmt.Sprintf("matches(app.name, %q)", pattern))))
		if len(diags) > 1 || len(diags) == 1 && diags[0].Summary != "Bad regular expression" && diags[0].Summary != "Regular expression too large" {
			t.Errorf("%.30s: %v", pattern, diags)
		}
		if !diags.HasErrors() && !strings.Contains(pattern, ")*") { // nested stars are one
			t.Errorf("%.30s is taken", pattern)
		}
	}
	t.Run("together they are bounded too", func(t *testing.T) {
		var b strings.Builder
		for i := range 1100 {
			fmt.Fprintf(&b, "rule \"h.x%d\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.added\"]\n  where = matches(app.name, \"a{1000}\")\n}\n", i)
		}
		_, diags := Compile(blobOf(b.String()))
		if !diags.HasErrors() || diags[0].Summary != "Regular expressions too large" {
			t.Errorf("diagnostics %.200v", diags)
		}
	})
}

// A machine that goes back and forth would not be done with these in a lifetime.
func TestARegularExpressionTakesTimeInProportionToItsText(t *testing.T) {
	for _, pattern := range []string{"^(a+)+$", "^(a|aa)+$", "^(a|a?)+b$", "^([a-z]*)*$", "(x+x+)+y"} {
		set := mustCompile(t, conditionOf(fmt.Sprintf("matches(app.name, %q)", pattern)))
		env := sample()
		env.App, env.Event.App.Name = nil, strings.Repeat("a", 100_000)+strings.Repeat("x", 100_000)+"!"
		if set.Rules[0].Match(env) == True {
			t.Errorf("%s holds", pattern)
		}
		set.Matcher().Candidates(env)
	}
}
