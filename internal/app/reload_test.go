package app

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

// thousandRules are 1,000 rules that remember, one in ten of which is another in
// each edition, and one that tells every sign-in.
func thousandRules(edition int) string {
	var b strings.Builder
	b.WriteString("rule \"w.each\" {\n  title = \"Each\"\n  severity = \"low\"\n  on = [\"app.signin\"]\n}\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "rule \"w.r%d\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.signin\"]\n  where = actor.id == \"u%d\"\n  threshold {\n    count = 2\n    by = [app.id]\n    within = \"%dm\"\n  }\n}\n", i, i, 10+edition*((i+9)%10/9))
	}
	return b.String()
}

// While a source goes on giving sign-ins, a reload of 1,000 rules loses none and
// reads none twice, before the changed rules know the history and behind.
func TestNoEventIsLostOverAReloadOfAThousandRules(t *testing.T) {
	live(t, "three editions", func(t *testing.T, w *world) {
		w.step = time.Second
		given := 0
		w.read = func() (event.Page, error) {
			p := event.Page{CompleteThrough: time.Now()}
			for range 3 {
				given++
				id := fmt.Sprint(given)
				p.Events = append(p.Events, event.Event{
					ID: event.NewID("n", id), Content: event.NewID("n", id), UpstreamID: id, Provider: "entra", Tenant: "t", Class: event.ClassSignIn,
					Action: event.ActionAppSignIn, Time: time.Now(), App: event.App{ID: "s1", AppID: "a1", Name: "One"}, Actor: event.Actor{Type: event.TypeUser, ID: "u" + fmt.Sprint(given%1000)}})
			}
			p.Fetched = len(p.Events)
			return p, nil
		}
		for edition := range 3 {
			w.useRules(t, thousandRules(edition))
			w.run(t, func(a *Agent) {
				pass(30 * time.Second)
				if n := len(a.tenants[0].machine.Set().Rules); n != 1001 {
					t.Fatalf("%d rules are in force", n)
				}
			})
		}
		v, err := ledger.OpenView(filepath.Join(w.dir, "state"), "")
		if err != nil {
			t.Fatal(err)
		}
		stored, told := map[string]int{}, map[string]int{}
		if err := v.Frames(func(f *event.Frame) error {
			for i := range f.Events {
				stored[f.Events[i].UpstreamID]++
			}
			for i := range f.Alerts {
				if f.Alerts[i].RuleID == "w.each" {
					told[f.Alerts[i].Evidence[0].UpstreamID]++
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= given; i++ {
			if id := fmt.Sprint(i); stored[id] != 1 || told[id] != 1 {
				t.Errorf("sign-in %s is stored %d times and told %d times", id, stored[id], told[id])
			}
		}
		if given < 200 || len(stored) != given {
			t.Errorf("%d were given, %d are stored", given, len(stored))
		}
		if n := w.kinds(t)[event.FrameWarmed]; n != 2 {
			t.Errorf("%d frames let changed rules speak, want one for each reload", n)
		}
	})
}
