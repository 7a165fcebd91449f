package route

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

const (
	low      = event.SeverityLow
	medium   = event.SeverityMedium
	high     = event.SeverityHigh
	critical = event.SeverityCritical
)

func TestAGroupIsToldAfterItsWait(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", low))
	d.pass(10 * time.Second)
	d.take(d.an("r", "b", high))
	want(t, said(d.pass(19*time.Second)), "")
	told := d.pass(time.Second)
	want(t, said(told), "new 2 alerts: r of b")
	g := told[0].Group
	if told[0].Severity != high || told[0].Count != 2 || g.Total != 2 || g.Open != 2 || g.Route != "oncall" || len(g.Members) != 2 || g.Members[0].Severity != high ||
		g.Labels[0] != (event.Detail{Name: "rule_id", Value: "r"}) || g.Severities[0] != (event.SeverityCount{Severity: high, Alerts: 1}) || g.Rules[0] != (event.RuleCount{RuleID: "r", Alerts: 2}) {
		t.Fatalf("%+v", told[0])
	}
	want(t, told[0].Summary, "2 alerts are open: 1 high, 1 low; 2 since 2026-03-02T10:00:00Z. 2 of r. The gravest: r of b; r of a.")
	want(t, said(d.pass(time.Hour)), "")
}

func TestANoticeOfOneAlertSpeaksItsWords(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", low))
	told := d.pass(time.Minute)
	want(t, said(told), "new r of a")
	want(t, told[0].Summary, "what a did")
	if a := an("r", "a", low); told[0].ID == a.ID || told[0].DeliveryID == a.DeliveryID || told[0].Group == nil {
		t.Fatalf("%+v", told[0])
	}
}

func TestNewsWaitForTheInterval(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", low))
	first := d.pass(time.Minute) // told at 30 s
	d.take(d.an("r", "b", low))
	want(t, said(d.until(start().Add(5*time.Minute+29*time.Second))), "")
	second := d.pass(time.Second)
	want(t, said(second), "updated 2 alerts: r of b")
	if first[0].ID != second[0].ID || second[0].Sequence != 2 || first[0].DeliveryID == second[0].DeliveryID {
		t.Fatalf("%+v", second[0])
	}
}

func TestAGroupEndsWithItsLastAlertAndTheNextOneIsAnother(t *testing.T) {
	d := newDesk(t, notify(nil))
	a, b := d.an("r", "a", low), d.an("r", "b", low)
	d.take(a, b)
	first := d.pass(time.Minute)
	d.take(over(a))
	want(t, said(d.pass(time.Hour)), "")
	d.take(over(b))
	end := d.pass(0)
	want(t, said(end), "resolved 2 alerts are over: r of b")
	if end[0].ID != first[0].ID || end[0].Group.Open != 0 {
		t.Fatalf("%+v", end[0])
	}
	d.take(d.an("r", "c", low))
	if next := d.pass(time.Minute); next[0].ID == first[0].ID || next[0].State != event.AlertNew || next[0].Sequence != 1 {
		t.Fatalf("%+v", next[0])
	}
}

func TestWhatIsOverBeforeTheWaitIsNotTold(t *testing.T) {
	d := newDesk(t, notify(nil))
	a := d.an("r", "a", low)
	d.take(a)
	d.pass(10 * time.Second)
	d.take(over(a))
	want(t, said(d.pass(time.Hour)), "")
	if s := d.b.Status(d.now); s.Groups != 0 || s.Account != (Account{Grouped: 2, Over: 2}) {
		t.Fatalf("%+v", s)
	}
}

func TestAnOpenGroupIsToldAgain(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.RepeatInterval = dur(4 * time.Hour) }))
	d.take(d.an("r", "a", low))
	told := d.pass(9 * time.Hour)
	want(t, said(told), "new r of a | updated r of a | updated r of a")
	want(t, told[1].Reason, "still open after 4h0m30s")
}

func TestAnAlertWithoutNewsIsOver(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.ResolveAfter = dur(2 * time.Hour); n.RepeatInterval = dur(90 * time.Minute) }))
	a := d.an("r", "a", low)
	d.take(a)
	d.pass(time.Hour)
	d.take(in(event.AlertUpdated, a))
	told := d.pass(2 * time.Hour)
	want(t, said(told), "updated r of a | updated r of a | resolved r of a")
	want(t, told[2].Reason, "no news for 2h0m0s")
	if s := d.b.Status(d.now); s.Groups != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestByAlertEveryAlertIsItsOwnGroup(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{ByAlert} }))
	a := d.an("r", "a", low)
	d.take(a, d.an("r", "b", high))
	want(t, said(d.pass(time.Minute)), "new r of b | new r of a")
	d.take(over(a))
	want(t, said(d.pass(time.Hour)), "resolved r of a")
}

// byGravity sends what is grave by one route to the pager and the rest by another, or elsewhere.
func byGravity(rest ...Route) Config {
	return Config{Routes: append([]Route{{Name: "page", MinSeverity: high, Sinks: []string{pager}, Notify: Notify{GroupBy: []string{"rule_id"}}}}, rest...)}
}

func TestAnAlertThatAnotherRouteTakesLeavesItsGroup(t *testing.T) {
	channel := Route{Name: "channel", Sinks: []string{pager}, Notify: Notify{GroupBy: []string{"rule_id"}}}
	for _, first := range []time.Duration{time.Minute, 0} { // told by the first route, or not yet
		d := newDesk(t, byGravity(channel))
		a := d.an("r", "a", low)
		d.take(a)
		before := d.pass(first)
		a.Severity = high
		a = in(event.AlertUpdated, a)
		d.take(a)
		told := append(before, d.pass(10*time.Minute)...)
		if first > 0 {
			want(t, said(told), "new r of a | new r of a | resolved r of a")
		} else {
			want(t, said(told), "new r of a")
		}
		d.take(over(a))
		want(t, said(d.pass(10*time.Minute)), "resolved r of a")
		if s := d.b.Status(d.now); s.Groups != 0 || s.Account.Open != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

func TestAnAlertThatNoRouteGroupsAnyMoreLeavesItsGroup(t *testing.T) {
	for name, rest := range map[string]Route{"elsewhere": {Name: "rest", Sinks: []string{"kafka/all"}}, "direct": {Name: "rest", Sinks: []string{pager}}} {
		d := newDesk(t, byGravity(rest))
		a := d.an("r", "a", high)
		d.take(a)
		want(t, said(d.pass(time.Minute)), "new r of a")
		a.Severity = low
		if direct := d.take(over(a)); (len(direct) == 1) != (name == "direct") {
			t.Fatalf("%s: %d are direct", name, len(direct))
		}
		want(t, said(d.pass(10*time.Minute)), "resolved r of a")
		if s := d.b.Status(d.now); s.Groups != 0 {
			t.Fatalf("%s: %+v", name, s)
		}
	}
}

func TestAnAlertMovesWithinABatch(t *testing.T) {
	d := newDesk(t, byGravity(Route{Name: "channel", Sinks: []string{pager}, Notify: Notify{GroupBy: []string{"rule_id"}}}))
	a := d.an("r", "a", low)
	b := a
	b.Severity = high
	b = in(event.AlertUpdated, b)
	c := b
	c.Severity = low
	c = in(event.AlertUpdated, c)
	d.take(a, b, c)
	if s := d.b.Status(d.now); s.Groups != 1 || s.Alerts != 1 {
		t.Fatalf("%+v", s)
	}
	d.take(over(c))
	want(t, said(d.pass(time.Hour)), "")
}

func TestWithoutFieldsAllAreOneGroup(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{} }))
	d.take(d.an("r", "a", low), d.an("s", "b", high))
	want(t, said(d.pass(time.Minute)), "new 2 alerts: s of b")
}

func TestAnAlertStaysInItsGroupWhenItsLabelsChange(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{"severity"} }))
	a := d.an("r", "a", low)
	d.take(a)
	d.pass(time.Minute)
	a.Severity = high
	d.take(in(event.AlertUpdated, a))
	told := d.pass(10 * time.Minute)
	want(t, said(told), "updated r of a")
	if told[0].Severity != high {
		t.Fatalf("%+v", told[0])
	}
	d.take(over(a))
	want(t, said(d.pass(10*time.Minute)), "resolved r of a")
}

func TestBeyondTheRateTheRestIsOneSummary(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{ByAlert}; n.Rate = &Rate{3, time.Minute} }))
	var all []event.Alert
	for i := range 50 {
		a := d.an("r", fmt.Sprint(i), low)
		if i == 20 {
			a.Severity = critical
		}
		all = append(all, a)
	}
	d.take(all...)
	told := d.pass(31 * time.Second)
	want(t, said(told), "new r of 20 | new r of 0 | new 48 groups with 48 alerts: r of 1")
	if g := told[2].Group; g.Groups != 48 || g.Total != 48 || g.Open != 48 || len(g.Members) != MaxWhole {
		t.Fatalf("%+v", g)
	}
	d.take(d.an("r", "late", high), d.an("r", "later", low))
	want(t, said(d.pass(58*time.Second)), "")
	told2 := d.pass(2 * time.Second)
	want(t, said(told2), "new r of late | new r of later")
	for i := range all {
		all[i] = over(all[i])
	}
	d.take(all...)
	end := d.pass(time.Hour)
	want(t, said(end), "resolved r of 0 | resolved r of 20 | resolved 48 groups are over: r of 1")
	if end[2].ID != told[2].ID || end[2].Sequence != 2 {
		t.Fatalf("%+v", end[2])
	}
}

func TestWhatIsOverGetsItsTurnInAStorm(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{ByAlert}; n.Rate = &Rate{1, time.Minute} }))
	first := d.an("r", "first", low)
	d.take(first)
	d.pass(time.Minute)
	d.take(over(first))
	resolved := false
	for i := range 20 {
		d.take(d.an("r", fmt.Sprint("a", i), high), d.an("r", fmt.Sprint("b", i), high))
		for _, a := range d.pass(time.Minute) {
			resolved = resolved || a.State == event.AlertResolved
		}
	}
	if !resolved {
		t.Fatal("the end of the first group was never told")
	}
}

func TestWhileMutedNobodyIsToldAndThenWhatIsStillOpen(t *testing.T) {
	c := notify(func(n *Notify) { n.Mutes = []string{"lunch"} })
	c.Mutes = []Mute{{Name: "lunch", From: 9 * 60, To: 12 * 60}}
	d := newDesk(t, c)
	gone, left := d.an("r", "gone", low), d.an("s", "left", low)
	d.take(gone, left)
	d.pass(time.Hour)
	d.take(over(gone))
	if s := d.b.Status(d.now); s.Muted != 1 || !s.Next.Equal(start().Add(2*time.Hour)) || s.Account.Muted != 2 {
		t.Fatalf("%+v", s)
	}
	want(t, said(d.pass(59*time.Minute)), "")
	want(t, said(d.pass(time.Minute)), "new s of left")
}

func TestASilencedAlertIsToldWhenTheSilenceEnds(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.silence("app.id=a", start().Add(time.Hour))
	d.take(d.an("r", "a", high), d.an("r", "b", low))
	told := d.pass(time.Minute)
	want(t, said(told), "new r of b")
	if g := told[0].Group; g.Silenced != 1 || g.Open != 2 || len(g.Members) != 1 || told[0].Severity != low {
		t.Fatalf("%+v", g)
	}
	want(t, said(d.pass(58*time.Minute)), "")
	want(t, said(d.pass(time.Minute)), "updated 2 alerts: r of a")
}

func TestASilenceReachesAlertsThatCameBeforeIt(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", high))
	id := d.silence("rule_id=r", start().Add(time.Hour))
	want(t, said(d.pass(time.Minute)), "")
	op, err := d.s.Expire(id, d.now)
	if err != nil {
		t.Fatal(err)
	}
	d.silences(op)
	want(t, said(d.pass(0)), "new r of a")
}

func TestWhatIsOverBeforeItsSilenceIsCountedAsSilenced(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.silence("app.id=a", start().Add(time.Hour))
	a := d.an("r", "a", high)
	d.take(a)
	d.pass(time.Minute)
	d.take(over(a))
	want(t, said(d.pass(2*time.Hour)), "")
	if got := d.b.Status(d.now).Account; got != (Account{Grouped: 2, Silenced: 2}) {
		t.Fatalf("%+v", got)
	}
}

func inhibiting(equal ...string) Config {
	c := notify(func(n *Notify) { n.GroupBy = []string{ByAlert} })
	c.Inhibits = []Inhibit{{Source: condition("severity=critical"), Target: condition("rule_id=r"), Equal: equal}}
	return c
}

func TestAGraverAlertInhibitsThoseWithEqualValues(t *testing.T) {
	d := newDesk(t, inhibiting("app.id"))
	source, target := an("s", "a", critical), an("r", "a", low)
	d.take(source, target, an("r", "b", low))
	want(t, said(d.pass(time.Minute)), "new s of a | new r of b")
	if s := d.b.Status(d.now); s.Inhibited != 1 {
		t.Fatalf("%+v", s)
	}
	d.take(over(source))
	want(t, said(d.pass(10*time.Minute)), "new r of a | resolved s of a")
}

func TestNoAlertInhibitsItself(t *testing.T) {
	d := newDesk(t, inhibiting())
	d.take(d.an("r", "a", critical))
	want(t, said(d.pass(time.Minute)), "new r of a")
}

func TestASourceInhibitsWhateverItsRoute(t *testing.T) {
	c := inhibiting("app.id")
	c.Routes = append([]Route{{Rules: []string{"s"}, Sinks: []string{"kafka/all"}}}, c.Routes...)
	d := newDesk(t, c)
	source := an("s", "a", critical)
	d.take(source)
	d.take(an("r", "a", low))
	want(t, said(d.pass(time.Hour)), "")
	d.take(over(source))
	want(t, said(d.pass(0)), "new r of a")
}

func TestASourceWithoutNewsInhibitsNoLonger(t *testing.T) {
	c := inhibiting("app.id")
	c.Routes[0].Notify.ResolveAfter = dur(72 * time.Hour)
	d := newDesk(t, c)
	d.take(an("s", "a", critical), an("r", "a", low))
	want(t, said(d.pass(24*time.Hour-time.Second)), "new s of a")
	want(t, said(d.pass(time.Second)), "new r of a")
}

func escalating() Config {
	c := notify(func(n *Notify) { n.Escalate = &Escalate{time.Hour, []string{pager}} })
	c.Routes[0].Sinks = []string{"kafka/all"}
	return c
}

func TestAnEscalationTellsOfWhatIsStillOpen(t *testing.T) {
	d := newDesk(t, escalating())
	a := d.an("r", "a", low)
	d.take(a, d.an("s", "b", low))
	d.pass(30 * time.Minute)
	d.take(over(a))
	want(t, said(d.pass(29*time.Minute)), "")
	told := d.pass(time.Minute)
	want(t, said(told), "new s of b")
	want(t, told[0].Reason, "still open after 1h0m0s")
}

func TestNothingIsToldOfASilencedEscalation(t *testing.T) {
	d := newDesk(t, escalating())
	d.silence("rule_id=s", start().Add(20*time.Hour))
	b := d.an("s", "b", low)
	d.take(b)
	want(t, said(d.pass(3*time.Hour)), "")
	d.take(over(b))
	want(t, said(d.pass(30*time.Hour)), "")
}

func TestBeyondTheBoundsAlertsAreCounted(t *testing.T) {
	d := newDesk(t, notify(nil))
	var batch []event.Alert
	for i := range 3000 {
		batch = append(batch, d.an("r", fmt.Sprint(i), low))
	}
	d.take(batch...)
	d.take(d.an("r", "grave", critical))
	told := d.pass(time.Minute)
	want(t, said(told), "new 3001 alerts: r of grave")
	g := told[0].Group
	if g.Total != 3001 || g.Open != 3001 || g.Counted != 2001 || len(g.Members) != MaxWhole || g.Members[0].Severity != critical || told[0].Severity != critical {
		t.Fatalf("%+v", g)
	}
	for i := range batch {
		batch[i] = over(batch[i])
	}
	d.take(batch...)
	d.take(over(d.an("r", "grave", critical)))
	want(t, said(d.pass(time.Hour)), "resolved 3001 alerts are over: r of grave")
	if s := d.b.Status(d.now); s.Account != (Account{Grouped: 6002, Notified: 6002}) || s.Bounds.Tracked < 2000 {
		t.Fatalf("%+v", s)
	}
}

func TestASilenceHoldsForAlertsThatAreKnownByNumberAlone(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.silence("rule_id=r", start().Add(time.Hour))
	var batch []event.Alert
	for i := range 3000 {
		batch = append(batch, d.an("r", fmt.Sprint(i), low))
	}
	d.take(batch...)
	want(t, said(d.pass(59*time.Minute)), "")
	if told := d.pass(time.Minute); len(told) != 1 || told[0].Group.Open != 3000 || told[0].Group.Silenced != 0 {
		t.Fatalf("%+v", told)
	}
}

func TestBeyondAThousandGroupsFurtherOnesAreOne(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{"app.id"} }))
	var batch []event.Alert
	for i := range 1500 {
		batch = append(batch, d.an("r", fmt.Sprint(i), low))
	}
	d.take(batch...)
	if s := d.b.Status(d.now); s.Groups != 1001 || s.Bounds.Groups != 500 {
		t.Fatalf("%+v", s)
	}
	told := d.pass(time.Minute)
	if last := told[len(told)-1]; len(told) != 1001 || last.Group.Labels[0].Value != Overflow || last.Group.Total != 500 {
		t.Fatalf("%d %+v", len(told), last.Group)
	}
}

func TestAReloadKeepsGroupsWhoseRouteIsTheSame(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", low))
	first := d.pass(time.Minute)
	d.reload(notify(func(n *Notify) { n.GroupInterval = dur(10 * time.Minute) }))
	d.take(d.an("r", "b", low))
	want(t, said(d.pass(9*time.Minute)), "")
	told := d.pass(time.Minute)
	want(t, said(told), "updated 2 alerts: r of b")
	if told[0].ID != first[0].ID {
		t.Fatal("it is another group")
	}
}

func TestAGroupWhoseRouteIsGoneIsToldAsItStands(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", low))
	d.reload(notify(func(n *Notify) { n.GroupBy = []string{"app.id"} }))
	told := d.pass(0)
	want(t, said(told), "new r of a")
	want(t, told[0].Reason, "the route oncall, which grouped these alerts, is gone or changed: nothing more will be said of them here")
	if s := d.b.Status(d.now); s.Groups != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestASilencedGroupWhoseRouteIsGoneIsToldWhenTheSilenceEnds(t *testing.T) {
	for name, resolved := range map[string]bool{"open": false, "over before": true} {
		d := newDesk(t, notify(nil))
		d.silence("rule_id=r", d.now.Add(2*time.Hour))
		a := d.an("r", "a", low)
		d.take(a)
		d.reload(notify(func(n *Notify) { n.GroupBy = []string{"app.id"} }))
		want(t, said(d.pass(time.Hour)), "")
		if resolved {
			d.take(over(a))
			want(t, said(d.pass(3*time.Hour)), "")
		} else {
			want(t, said(d.pass(3*time.Hour)), "new r of a")
		}
		if s := d.b.Status(d.now); s.Groups != 0 || s.Account.Open != 0 {
			t.Fatalf("%s: %+v", name, s)
		}
	}
}

func TestManyGroupsOfARouteThatIsGoneAreFewNotices(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{ByAlert} }))
	for i := range 40 {
		d.take(d.an("r", fmt.Sprint(i), low))
	}
	d.reload(notify(nil))
	want(t, said(d.pass(time.Hour)), "new r of 0 | new r of 1 | new 38 groups with 38 alerts: r of 2")
}

func TestABatchIsGroupedOnce(t *testing.T) {
	d := newDesk(t, notify(nil))
	_, _, op := d.b.Take([]event.Alert{d.an("r", "a", low)}, event.Position{LSN: 7, Index: 3}, d.now)
	op.Settled.Accepted, op.Settled.Notify = 4, 9
	for range 2 {
		if err := d.b.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	pos, n := d.b.Taken()
	if pos != (event.Position{LSN: 7, Index: 3}) || n != (event.Settled{Accepted: 4, Grouped: 1, Notify: 9}) || d.b.Status(d.now).Account.Grouped != 1 {
		t.Fatalf("%+v %+v", pos, n)
	}
}

func TestAReaderThatIsSetBackGroupsAgain(t *testing.T) {
	d := newDesk(t, notify(nil))
	a := d.an("r", "a", low)
	for i, place := range []uint64{7, 3} {
		_, _, op := d.b.Take([]event.Alert{a}, event.Position{LSN: place}, d.now)
		op.Settled.Notify = uint64(10 + i)
		if err := d.b.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	if pos, n := d.b.Taken(); pos.LSN != 3 || n.Notify != 11 || d.b.Status(d.now).Account.Grouped != 2 || d.b.Status(d.now).Alerts != 1 {
		t.Fatalf("%+v %+v", pos, d.b.Status(d.now))
	}
}

func TestAClockThatGoesBackALittleIsNotFollowed(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.take(d.an("r", "a", low))
	d.pass(time.Minute)
	d.now = d.now.Add(-50 * time.Second)
	d.take(d.an("r", "b", low))
	want(t, said(d.until(start().Add(5*time.Minute+29*time.Second))), "")
	want(t, said(d.pass(time.Second)), "updated 2 alerts: r of b")
}

func TestAClockThatWasWrongHoldsNothingUp(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.RepeatInterval = dur(time.Hour); n.ResolveAfter = dur(48 * time.Hour) }))
	d.now = start().Add(365 * 24 * time.Hour) // a year ahead
	d.take(an("r", "a", low))
	want(t, said(d.pass(time.Minute)), "new r of a")
	d.take(an("r", "b", low))
	d.now = start()
	want(t, said(d.pass(4*time.Minute)), "")
	want(t, said(d.pass(time.Minute)), "updated 2 alerts: r of b")
	want(t, said(d.pass(time.Hour)), "updated 2 alerts: r of b")
	want(t, said(d.pass(47 * time.Hour))[:20], "updated 2 alerts: r ")
	if s := d.b.Status(d.now); s.Groups != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestTheBoundsOfABoardHold(t *testing.T) {
	d := newDesk(t, notify(func(n *Notify) { n.GroupBy = []string{"dedupe_key"}; n.GroupWait = dur(time.Hour) }))
	take := func(batch []event.Alert) {
		d.place++
		_, _, op := d.b.Take(batch, event.Position{LSN: d.place}, d.now)
		if err := d.b.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", 2000)
	for k := range 260 { // more alerts than are known by id, with more text than is kept
		var batch []event.Alert
		for i := range 500 {
			a := an("r", fmt.Sprint(k, " ", i), low)
			a.DedupeKey, a.Summary, a.Title, a.Tenant = fmt.Sprint(k%130*5+i%5), long, long, long
			batch = append(batch, a)
		}
		take(batch)
	}
	s := d.b.Status(d.now)
	if d.b.ids > MaxAllIDs || d.b.wholeBytes > WholeBudget+2*slimBytes*MaxGroups || s.Alerts != 130_000 || s.Bounds.Tracked == 0 || s.Bounds.Whole == 0 {
		t.Fatalf("%d ids, %d bytes, %+v", d.b.ids, d.b.wholeBytes, s)
	}
	if err := d.shade.Restore(d.b.AppendState(nil)); err != nil {
		t.Fatal(err)
	}
	told := d.pass(2 * time.Hour)
	alerts := uint64(0)
	for _, a := range told {
		if alerts += a.Group.Open; a.Title == "" || a.Severity != low {
			t.Fatalf("%+v", a)
		}
	}
	if alerts != 130_000 || d.b.Status(d.now).Account.Notified != 130_000 {
		t.Fatalf("%d notices tell of %d alerts: %+v", len(told), alerts, d.b.Status(d.now).Account)
	}
}

func TestTooManySourcesAreForgottenTheOldestFirst(t *testing.T) {
	d := newDesk(t, inhibiting("app.id"))
	d.take(an("s", "first", critical))
	d.now = d.now.Add(time.Minute)
	var batch []event.Alert
	for i := range MaxSources {
		batch = append(batch, an("s", fmt.Sprint(i), critical))
	}
	_, _, op := d.b.Take(batch, event.Position{LSN: 1 << 20}, d.now)
	if err := d.b.Apply(op); err != nil {
		t.Fatal(err)
	}
	if s := d.b.Status(d.now); s.Bounds.Sources != 1 || len(d.b.sources) != MaxSources {
		t.Fatalf("%d sources, %+v", len(d.b.sources), s.Bounds)
	}
	a, b := an("r", "first", low), an("r", "1", low)
	if _, why, _ := d.b.hushOf(&a, nanos(d.now)); why != reasonOver {
		t.Fatal("a source that was forgotten inhibits")
	}
	if _, why, _ := d.b.hushOf(&b, nanos(d.now)); why != reasonInhibited {
		t.Fatal("a source that is known does not inhibit")
	}
}

// A mute without a zone is by the clock of the alert's tenant where that has one, else by
// the common one; a zone of its own comes first.
func TestAMuteIsByTheClockOfTheTenant(t *testing.T) {
	zone := func(name string) *time.Location {
		z, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	c := notify(func(n *Notify) { n.Mutes = []string{"lunch", "fixed"} })
	c.Mutes = []Mute{{Name: "lunch", From: 12 * 60, To: 13 * 60}, {Name: "fixed", From: 23 * 60, To: 23*60 + 30, Zone: time.UTC}}
	c.Sinks = []Sink{{Name: pager}}
	c.Zone, c.Zones = time.UTC, map[string]*time.Location{"berlin": zone("Europe/Berlin"), "paris": zone("Europe/Paris"), "bonn": zone("Europe/Berlin"), "utc": time.UTC}
	tree, err := NewTree(c)
	if err != nil {
		t.Fatal(err)
	}
	of := func(tenant string) *Policy {
		a := an("r", "x", high)
		a.Tenant = tenant
		_, p := tree.Decide(&a, pager)
		return p
	}
	noon := start().Add(2 * time.Hour)
	for tenant, from := range map[string]time.Time{"": noon, "unknown": noon, "utc": noon, "berlin": noon.Add(-time.Hour), "bonn": noon.Add(-time.Hour), "paris": noon.Add(-time.Hour)} {
		p := of(tenant)
		for at := start(); at.Before(start().Add(24 * time.Hour)); at = at.Add(30 * time.Minute) {
			in := !at.Before(from) && at.Before(from.Add(time.Hour)) || at.Equal(start().Add(13*time.Hour))
			if got := p.unmuted(nanos(at)) > nanos(at); got != in {
				t.Errorf("tenant %q at %v: muted %t", tenant, at, got)
			}
		}
	}
	if of("berlin") != of("bonn") || of("berlin").id == of("paris").id || of("unknown") != of("utc") {
		t.Error("tenants of one zone have one policy, those of others have others")
	}

	d := newDesk(t, c)
	told := func(tenant string, until time.Duration) string {
		a := d.an("r", tenant, high)
		a.Tenant = tenant
		d.take(a)
		return said(d.pass(until))
	}
	want(t, said(d.pass(time.Hour)), "") // 11:00 UTC
	want(t, told("berlin", time.Minute), "")
	want(t, told("unknown", time.Minute), "new r of unknown")
	if s := d.b.Status(d.now); s.Groups != 2 || s.Muted != 1 {
		t.Errorf("%+v", s)
	}
	want(t, said(d.pass(58*time.Minute)), "new r of berlin")
	want(t, told("unknown", 30*time.Minute), "")
}
