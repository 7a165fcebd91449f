package detect

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestWhatNoRecordCanMeetIsDropped(t *testing.T) {
	w := newWorld(t, testRules)
	w.tick(time.Minute)
	for i := range 50 {
		for _, action := range []string{event.ActionOwnerAdded, event.ActionCredentialAdded, event.ActionAppSignIn} {
			w.event(action, w.now, func(e *event.Event) { e.App.ID, e.Origin.ASN = fmt.Sprint(i), uint32(i+1) })
		}
	}
	keys := func() [3]int { return [3]int{stat(w, "t.quiet").Keys, stat(w, "t.burst").Keys, stat(w, "t.asn").Keys} }
	for _, step := range []struct {
		after time.Duration
		want  [3]int
	}{
		{26 * time.Hour, [3]int{50, 50, 50}},
		{time.Hour, [3]int{50, 0, 50}}, // 10 minutes and 26 hours
		{24 * time.Hour, [3]int{0, 0, 50}},
		{28 * 24 * time.Hour, [3]int{0, 0, 50}},
		{48 * time.Hour, [3]int{0, 0, 0}},
	} {
		w.tick(step.after)
		if got := keys(); got != step.want {
			t.Errorf("%v later: suppressions, windows and seen keys = %v, want %v", step.after, got, step.want)
		}
	}
}

func TestWhileOldRecordsAreReadOldStateCounts(t *testing.T) {
	w := newWorld(t, testRules)
	long := start().AddDate(0, 0, -60)
	read := func(at time.Time) []event.Alert {
		w.now = w.now.Add(2 * time.Hour)
		w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{{Source: "entra/t/directory_audits", Time: at}}})
		return w.event(event.ActionCredentialAdded, at.Add(time.Minute), nil)
	}
	expectTold(t, read(long))
	expectTold(t, read(long))
	expectTold(t, read(long.Add(time.Minute)), "t.burst detection new One n=3")
}

func TestASnapshotThatCannotBeReadIsNotWritten(t *testing.T) {
	if fits(maxState) != nil || fits(maxState+1) == nil {
		t.Errorf("%d bytes must fit, and one more must not", maxState)
	}
}

func TestALateFirstReadIsToldInTheSummary(t *testing.T) {
	const many = 500
	w := newWorld(t, testRules)
	var apps, grants []event.Object
	for i := range many {
		apps, grants = append(apps, app(i)), append(grants, wide(i))
	}
	w.firstSync(append(apps, wide(0))...)
	expectTold(t, w.tick(time.Minute), "t.wide summary new  n=1")
	late := func(generation uint64, of ...event.Object) []event.Alert {
		return w.objects(&event.Sync{Scope: "another", Kind: event.ObjectDelegatedGrant, Generation: generation, Baseline: true}, of...)
	}
	expectTold(t, late(2, grants[1:many/2]...))
	expectTold(t, late(2, grants[many/2:]...))
	expectTold(t, w.tick(time.Minute), "t.wide summary updated  n=500")
	expectTold(t, w.tick(2*time.Hour))
	expectDifferentDeliveries(t, w)
}

func TestPoliciesWaitForWhatIsCollectedOnly(t *testing.T) {
	for _, c := range []struct {
		kinds []string
		ready bool
	}{
		{nil, false}, {[]string{event.ObjectServicePrincipal}, true},
		{[]string{event.ObjectServicePrincipal, event.ObjectDelegatedGrant}, false}, {[]string{event.ObjectApplication}, false},
		{[]string{}, true},
	} {
		w := newWorld(t, testRules)
		w.m.opt.Kinds = c.kinds
		kind := event.ObjectServicePrincipal
		w.objects(&event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}, app(1))
		w.tick(time.Minute)
		if got := w.m.Stats().Ready; got != c.ready {
			t.Errorf("kinds %q: ready = %v, want %v", c.kinds, got, c.ready)
		}
	}
	w := newWorld(t, testRules)
	w.m.opt.Kinds = []string{event.ObjectApplication}
	kind := event.ObjectApplication
	w.objects(&event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true})
	w.tick(time.Minute)
	if !w.m.Stats().Ready {
		t.Error("policies wait for service principals that nobody collects")
	}
}

// A ledger takes frames below 256 MiB: the largest that the machine makes at once.
func TestTwentyThousandOpenAlertsResolveInOneFrame(t *testing.T) {
	const many, bound = 20_000, 256 << 20
	w := newWorld(t, testRules)
	w.firstSync()
	w.tick(time.Minute)
	var apps, grants []event.Object
	for i := range many {
		a := app(i)
		a.App.Name = strings.Repeat("n", 256)
		apps, grants = append(apps, a), append(grants, wide(i))
	}
	w.objects(delta(event.ObjectServicePrincipal), apps...)
	if got := w.objects(delta(event.ObjectDelegatedGrant), grants...); len(got) != many {
		t.Fatalf("%d alerts open, want %d", len(got), many)
	}
	check := func(what string, alerts []event.Alert) {
		size := len(event.AppendFrame(nil, w.frames[len(w.frames)-1]))
		if len(alerts) < many || size > bound/4 {
			t.Errorf("%s: %d alerts in a frame of %d bytes, want %d in at most %d", what, len(alerts), size, many, bound/4)
		}
		t.Logf("%s: %d alerts, %d bytes", what, len(alerts), size)
	}
	var snap strings.Builder
	if err := w.m.Snapshot(&snap); err != nil {
		t.Fatal(err)
	}
	check("rules without the policy", w.rules(testRules[:strings.Index(testRules, `policy "t.wide"`)]))
	if err := w.m.Restore(strings.NewReader(snap.String())); err != nil {
		t.Fatal(err)
	}
	check("a sweep", w.objects(&event.Sync{Scope: event.ObjectDelegatedGrant, Kind: event.ObjectDelegatedGrant, Generation: 2, Complete: true}))
}
