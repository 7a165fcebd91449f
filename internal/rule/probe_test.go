package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProbesTellTheValueOfEveryPart(t *testing.T) {
	set, diags := CompileProbed(blobOf(`
rule "a" {
  title    = "t"
  severity = "low"
  on       = ["app.consent.granted"]
  where = ((app.tier <= 1 || actor.type == "user") &&
    length(permissions) > 1 && actor.upn != "x")
  score = 10 + (app.publisher.verified ? 0 : 15)
  alert {
    summary = "${app.name} got it"
    by      = [app.id]
  }
}
policy "p" {
  title    = "t"
  severity = "low"
  where    = app.idle > duration("90d")
}`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var b strings.Builder
	for _, id := range []string{"a", "p", "none"} {
		for _, p := range set.Probes(id) {
			fmt.Fprintf(&b, "%d %s%s%s: %s = %s\n", p.Range.Start.Line, strings.Repeat("  ", p.Level), of(p), p.Text, p.Type, p.Value(sample()))
		}
	}
	want := `6 where = (app.tier <= 1 || actor.type == "user") && length(permissions) > 1 && actor.upn != "x": bool = (unknown)
6   app.tier <= 1 || actor.type == "user": bool = true
6     app.tier <= 1: bool = false
6       app.tier: int = 2
6       1: int = 1
6     actor.type == "user": bool = true
6       actor.type: string = user
6       "user": string = user
7   length(permissions) > 1: bool = true
7     length(permissions): int = 2
7       permissions: permission set = Mail.Read, offline_access
7     1: int = 1
7   actor.upn != "x": bool = (unknown)
7     actor.upn: string = (unknown: not_exposed)
7     "x": string = x
`
	got := b.String()
	if diff := cmp.Diff(want, got[:min(len(got), len(want))]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, part := range []string{"app.publisher.verified ? 0 : 15", `alert.summary = "${app.name} got it": string = Contoso Mail Sync got it`, "alert.by = app.id: string = sp1", `app.idle > duration("90d"): bool = (unknown)`} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	if plain := mustCompile(t, "rule \"a\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.added\"]\n where = app.name == \"x\"\n}"); len(plain.Probes("a")) != 0 {
		t.Error("Compile keeps probes")
	}
}

func of(p Probe) string {
	if p.Of == "" {
		return ""
	}
	return p.Of + " = "
}
