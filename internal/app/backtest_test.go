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

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
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

func readDir(t *testing.T, dir string) *event.RulesBlob {
	t.Helper()
	blob, err := ReadRules([]string{dir}, false)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func onSignIn(id, where string) string {
	return "rule \"" + id + "\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.signin\", \"user.signin\"]\n  where = " + where + "\n}\n"
}

func TestABacktestComparesRulesWithTheLiveOnesOnTheHistory(t *testing.T) {
	w := newWorld(t)
	w.rules = rulesDir(t, onSignIn("same", `source.ip == "81.2.69.1"`)+onSignIn("narrow", `source.ip == "81.2.69.1"`)+onSignIn("gone", "true"))
	tested := readDir(t, rulesDir(t, onSignIn("same", `source.ip == "81.2.69.1"`)+onSignIn("narrow", `starts_with(source.ip, "81.")`)+onSignIn("silent", "false")))
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

func TestABacktestReadsBothSetsInTheTimeZoneOfTheLiveOneAndGradesByItsOwnTiers(t *testing.T) {
	v := &event.RulesBlob{Zone: "Asia/Tokyo"}
	text := "rule \"r\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.consent.granted\"]\n where = hour() == 9 && tier(permissions) == 1\n}\n"
	file := func(tier string) []event.RulesFile {
		return []event.RulesFile{{Path: "r.hcl", Text: []byte(text)}, {Path: "permission_tiers.csv", Text: []byte("graph,delegated,Mail.Read," + tier + "\n")}}
	}
	v.Files = file("1")
	tn := &backtestTenant{blob: v}
	b := backtest{o: BacktestOptions{Rules: &event.RulesBlob{Zone: "UTC", Files: file("1")}}}
	stored := event.Frame{Kind: event.FramePage, Time: time.Unix(0, 0).UTC(), Events: []event.Event{{
		ID: event.NewID("w", "1"), Time: time.Unix(0, 0).UTC(), Action: event.ActionConsentGranted,
		Permissions: []event.Permission{{Kind: "delegated", Name: "Mail.Read", Tier: 3}}, // graded by the tiers of then
	}}}
	if err := b.prepare(tn); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*detect.Machine{"under test": tn.now, "live": tn.live} {
		if n := len(again(m, &stored)); n != 1 {
			t.Errorf("%s: %d alerts, want 1", name, n)
		}
	}
	if stored.Events[0].Permissions[0].Tier != 3 {
		t.Error("the stored frame is changed")
	}
	if b.o.Rules.Zone != "UTC" {
		t.Error("the caller's rules are changed")
	}
}

func TestABacktestOfWhatIsNoLedger(t *testing.T) {
	_, err := Backtest(t.Context(), BacktestOptions{StateDir: t.TempDir(), Rules: &event.RulesBlob{}})
	if err == nil || !strings.Contains(err.Error(), "view ledger") {
		t.Errorf("%v", err)
	}
}

// TestABacktestNamesWhatWasNotKept: calls that were summed up are no events, and the
// rules that would have looked at them are named.
func TestABacktestNamesWhatWasNotKept(t *testing.T) {
	w := newWorld(t)
	tested := readDir(t, rulesDir(t, onSignIn("signins", "true")+"rule \"calls\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.call\"]\n}\n"))
	synctest.Test(t, func(t *testing.T) {
		w.run(t, func(*Agent) {
			w.set(func() {
				w.read = func() (event.Page, error) {
					w.read = nil
					minute := time.Now().UTC().Truncate(time.Minute)
					return event.Page{Fetched: 7, Rollups: []event.Rollup{{Minute: minute, App: "a", Workload: "other", Endpoint: "x", Status: 2, Calls: 7}}}, nil
				}
			})
			pass(3 * time.Minute)
			r, err := Backtest(t.Context(), BacktestOptions{StateDir: filepath.Join(w.dir, "state"), Rules: tested})
			if err != nil {
				t.Fatal(err)
			}
			if r.NotKept != 7 || len(r.OfCalls) != 1 || r.OfCalls[0] != "calls" || !strings.Contains(r.Text(), "7 calls to APIs were summed up") {
				t.Errorf("%+v\n%s", r, r.Text())
			}
		})
	})
}
