package rules_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/appgovd/appgovd/internal/detect/ruletest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
	"github.com/appgovd/appgovd/rules"
)

var update = flag.Bool("update", false, "format the rules files")

func pack(t testing.TB, tests bool) *event.RulesBlob {
	t.Helper()
	files, err := rule.ReadFS(rules.Files, tests)
	if err != nil {
		t.Fatal(err)
	}
	return &event.RulesBlob{Engine: "test", Files: files, Zone: "UTC"}
}

func TestThePackPassesItsOwnTests(t *testing.T) {
	report, err := ruletest.Run(pack(t, true), ruletest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := report.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Error(out.String())
	}
	for _, c := range report.Uncovered() {
		t.Errorf("%s has %d firing cases and %d near misses, want at least one of each", c.Rule, c.Fires, c.NearMisses)
	}
	if !report.Complete() {
		t.Errorf("tests leave conditions or exceptions uncovered: appgovd test --coverage rules")
	}
	if len(report.Coverage) < 15 {
		t.Errorf("the pack has %d rules and policies, want at least 15", len(report.Coverage))
	}
	t.Logf("%s", out.String())
}

func TestEveryRuleTellsWhyItExistsAndWhereToReadOn(t *testing.T) {
	set, diags := rule.Compile(pack(t, false))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, r := range set.Rules {
		if len(r.Techniques) == 0 || len(r.References) == 0 {
			t.Errorf("%s has %d techniques and %d references, want some of each", r.ID, len(r.Techniques), len(r.References))
		}
	}
	for _, p := range set.Policies {
		if len(p.Techniques) == 0 || len(p.References) == 0 {
			t.Errorf("%s has %d techniques and %d references, want some of each", p.ID, len(p.Techniques), len(p.References))
		}
	}
}

func TestRulesFilesAreFormatted(t *testing.T) {
	for _, f := range pack(t, true).Files {
		if !strings.HasSuffix(f.Path, ".hcl") {
			continue
		}
		want := hclwrite.Format(f.Text)
		if string(want) == string(f.Text) {
			continue
		}
		if *update {
			if err := os.WriteFile(f.Path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("%s is not in the standard form; go test ./rules -update", f.Path)
	}
}
