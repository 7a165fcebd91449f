package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/appgovd/appgovd/internal/rule"
)

// rulesDir writes a directory of rules and returns its name.
func rulesDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "r.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func compiledDir(t *testing.T, dir string) *rule.Set {
	t.Helper()
	blob, err := ReadRules([]string{dir}, false)
	if err != nil {
		t.Fatal(err)
	}
	set, diags := rule.Compile(blob)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return set
}

func onSignIn(id, where string) string {
	return "rule \"" + id + "\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.signin\", \"user.signin\"]\n  where = " + where + "\n}\n"
}

func TestABacktestComparesRulesWithTheLiveOnesOnTheHistory(t *testing.T) {
	w := newWorld(t)
	w.rules = rulesDir(t, onSignIn("same", `source.ip == "81.2.69.1"`)+onSignIn("narrow", `source.ip == "81.2.69.1"`)+onSignIn("gone", "true"))
	tested := compiledDir(t, rulesDir(t, onSignIn("same", `source.ip == "81.2.69.1"`)+onSignIn("narrow", `starts_with(source.ip, "81.")`)+onSignIn("silent", "false")))
	synctest.Test(t, func(t *testing.T) {
		w.run(t, func(a *Agent) {
			for i, ip := range []string{"81.2.69.1", "81.2.69.2", "10.0.0.1"} {
				w.signIn(i+1, ip)
				pass(2 * time.Minute)
			}
			look := func(since time.Time) []BacktestResult {
				// The agent runs: nothing is locked, nothing is changed.
				r, err := Backtest(t.Context(), BacktestOptions{StateDir: filepath.Join(w.dir, "state"), Rules: tested, Since: since})
				if err != nil {
					t.Fatal(err)
				}
				if !r.Whole || r.Damaged != 0 || r.Events != 3 || r.NoLive || len(r.Tenants) != 1 || r.Tenants[0] != theTenant {
					t.Errorf("%+v", r)
				}
				if !strings.Contains(r.Text(), "No alert: ") {
					t.Error(r.Text())
				}
				return r.Rules
			}
			want := []BacktestResult{
				{ID: "gone", Severity: "low", Live: 3, OnlyLive: 3},
				{ID: "narrow", Severity: "low", Alerts: 2, PerDay: 2, Live: 1, Both: 1, OnlyNew: 1},
				{ID: "same", Severity: "low", Alerts: 1, PerDay: 1, Live: 1, Both: 1},
			}
			if diff := cmp.Diff(want, look(time.Time{}), cmpopts.IgnoreFields(BacktestResult{}, "Samples", "Apps")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := look(time.Now().Add(time.Hour)); len(got) != 0 {
				t.Errorf("later than all: %+v", got)
			}
		})
	})
}

func TestABacktestOfWhatIsNoLedger(t *testing.T) {
	_, err := Backtest(t.Context(), BacktestOptions{StateDir: t.TempDir(), Rules: &rule.Set{}})
	if err == nil || !strings.Contains(err.Error(), "view ledger") {
		t.Errorf("%v", err)
	}
}
