package route

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// ways says for each sink what becomes of a.
func ways(t *testing.T, c Config, a event.Alert) string {
	t.Helper()
	if c.Sinks == nil {
		c.Sinks = []Sink{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	}
	tree, err := NewTree(c)
	if err != nil {
		t.Fatal(err)
	}
	_, verdicts := tree.Explain(&a, nil, start())
	var parts []string
	for _, v := range verdicts {
		outcome, p := tree.Decide(&a, v.Sink)
		if outcome != v.Outcome || p != v.Policy || v.Why == "" {
			t.Fatalf("explained as %+v, decided as %s", v, outcome)
		}
		word := map[Outcome]string{Elsewhere: "-", Below: "below", Direct: "direct"}[outcome]
		if p != nil {
			word = p.Route
			if p.Escalated {
				word += "!"
			}
		}
		parts = append(parts, v.Sink+":"+word)
	}
	return strings.Join(parts, " ")
}

func TestRoutes(t *testing.T) {
	wait := Notify{GroupWait: dur(time.Minute)}
	nested := Config{Routes: []Route{
		{Name: "all", Sinks: []string{"a"}, Notify: wait, Routes: []Route{
			{Rules: []string{"x.*"}, Sinks: []string{"b"}},
			{Rules: []string{"x.1", "y.*"}, Continue: true},
			{Rules: []string{"y.1"}, Sinks: []string{"c"}},
		}},
		{Sinks: []string{"c"}},
	}}
	for name, tt := range map[string]struct {
		c    Config
		rule string
		want string
	}{
		"without routes every sink gets it at once":                    {Config{}, "r", "a:direct b:direct c:direct"},
		"what no route matches goes to every sink":                     {Config{Routes: []Route{{Rules: []string{"x"}, Sinks: []string{"a"}}}}, "r", "a:direct b:direct c:direct"},
		"the first route that matches takes it":                        {Config{Routes: []Route{{Sinks: []string{"a"}}, {Sinks: []string{"b"}}}}, "r", "a:direct b:- c:-"},
		"with continue the following routes see it too":                {Config{Routes: []Route{{Sinks: []string{"a"}, Continue: true}, {Sinks: []string{"b"}}}}, "r", "a:direct b:direct c:-"},
		"a where that is not true is no match":                         {Config{Routes: []Route{{Where: condition("rule_id=x"), Sinks: []string{"a"}}, {Sinks: []string{"b"}}}}, "r", "a:- b:direct c:-"},
		"min_severity of the route":                                    {Config{Routes: []Route{{MinSeverity: critical, Sinks: []string{"a"}}, {Sinks: []string{"b"}}}}, "r", "a:- b:direct c:-"},
		"kinds":                                                        {Config{Routes: []Route{{Kinds: []string{"health"}, Sinks: []string{"a"}}, {Sinks: []string{"b"}}}}, "r", "a:- b:direct c:-"},
		"a child takes it from its parent":                             {nested, "x.2", "a:- b:route[1].1 c:-"},
		"a child without sinks has those of its parent":                {nested, "y.2", "a:route[1].2 b:- c:-"},
		"a child that continues lets its siblings see it":              {nested, "y.1", "a:route[1].2 b:- c:route[1].3"},
		"where no child matches the parent takes it":                   {nested, "z", "a:all b:- c:-"},
		"the first route that names a sink decides for it":             {Config{Routes: []Route{{Name: "one", Sinks: []string{"a"}, Continue: true, Notify: wait}, {Sinks: []string{"a", "b"}}}}, "r", "a:one b:direct c:-"},
		"an escalation counts where no route names the sink":           {Config{Routes: []Route{{Name: "one", Sinks: []string{"a"}, Continue: true, Notify: Notify{Escalate: &Escalate{time.Hour, []string{"b", "c"}}}}, {Sinks: []string{"c"}}}}, "r", "a:one b:one! c:direct"},
		"a sink takes nothing below its severity, whatever routes say": {Config{Sinks: []Sink{{"a", critical}, {"b", low}}, Routes: []Route{{Sinks: []string{"a", "b"}}}}, "r", "a:below b:direct"},
		"a sink's own alert reaches it whatever routes say":            {Config{Sinks: []Sink{{"a", critical}}, Routes: []Route{{Sinks: []string{}}}, Own: func(a *event.Alert) bool { return a.RuleID == "r" }}, "r", "a:direct"},
		"a route for nobody":                                           {Config{Routes: []Route{{Sinks: []string{}}}}, "r", "a:- b:- c:-"},
	} {
		t.Run(name, func(t *testing.T) { want(t, ways(t, tt.c, an(tt.rule, "x", high)), tt.want) })
	}
}

func TestARouteSaysWhatItLeavesUnsaidAsTheOneAroundIt(t *testing.T) {
	c := Config{Sinks: []Sink{{Name: "a"}, {Name: "b"}}, Mutes: []Mute{{Name: "m", From: 0, To: 60}}, Routes: []Route{{
		Name: "top", Sinks: []string{"a"}, Notify: Notify{GroupBy: []string{"rule_id"}, GroupWait: dur(time.Minute), Rate: &Rate{2, time.Minute}, Mutes: []string{"m"}},
		Routes: []Route{{Name: "in", Rules: []string{"r"}, Notify: Notify{GroupWait: dur(0), Mutes: []string{}}}},
	}}}
	tree, err := NewTree(c)
	if err != nil {
		t.Fatal(err)
	}
	a := an("r", "x", high)
	_, p := tree.Decide(&a, "a")
	got := fmt.Sprint(p.Route, p.GroupBy, p.Wait, p.Interval, p.Repeat, p.ResolveAfter, p.Rate, len(p.mutes))
	want(t, got, "in[rule_id] 0s 5m0s 0s 24h0m0s {2 1m0s} 0")
	if !tree.Notifies("a") || tree.Notifies("b") {
		t.Fatal("only sink a is notified")
	}
}

func TestExplain(t *testing.T) {
	c := Config{Sinks: []Sink{{Name: "chat"}, {Name: "pager", MinSeverity: low}, {Name: "log"}}, Mutes: []Mute{{Name: "m", From: 9 * 60, To: 12 * 60}}, Routes: []Route{
		{Rules: []string{"x"}, Sinks: []string{"log"}},
		{MinSeverity: critical, Sinks: []string{"log"}},
		{Kinds: []string{"health"}, Sinks: []string{"log"}},
		{Where: condition("app.id=other"), Sinks: []string{"log"}},
		{Name: "oncall", Sinks: []string{"chat"}, Notify: Notify{GroupBy: []string{"app.id"}, Mutes: []string{"m"}, Escalate: &Escalate{time.Hour, []string{"pager"}}}},
		{Sinks: []string{"log"}},
	}}
	tree, err := NewTree(c)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := NewSilences(compile, []Silence{{Name: "known", Where: "rule_id=r", Author: "kim", Reason: "test", Until: start().Add(time.Hour)}})
	a := an("r", "app", high)
	steps, verdicts := tree.Explain(&a, s, start())
	var lines []string
	for _, x := range steps {
		lines = append(lines, fmt.Sprint(x.Route, " ", x.Matched, " ", x.Took, " ", x.Failed))
	}
	want(t, strings.Join(lines, "\n"), strings.Join([]string{
		`route[1] false false rules = ["x"]: the alert is of "r"`,
		`route[2] false false min_severity = "critical": the alert is high`,
		`route[3] false false kinds = ["health"]: the alert is of kind detection`,
		`route[4] false false where = app.id=other: it is not true of the alert`,
		`oncall true true `,
	}, "\n"))
	chat, log, pager := verdicts[0], verdicts[1], verdicts[2]
	want(t, chat.Why, "route oncall groups it, and waits 30s")
	want(t, log.Why, "the routes that match send it to other sinks")
	want(t, pager.Why, "route oncall tells this sink of groups that are open after 1h0m0s")
	if len(chat.Labels) != 1 || chat.Labels[0] != (event.Detail{Name: "app.id", Value: "app"}) || !chat.Muted.Equal(start().Add(2*time.Hour)) || chat.Silence == nil || chat.Silence.Name != "known" {
		t.Fatalf("%+v", chat)
	}
	if _, err := json.Marshal(steps); err != nil {
		t.Fatal(err)
	}
}

func TestMistakesOfAConfiguration(t *testing.T) {
	one := func(r Route) Config { return Config{Sinks: []Sink{{Name: "a"}, {Name: "b"}}, Routes: []Route{r}} }
	n := func(n Notify) Config { return one(Route{Sinks: []string{"a"}, Notify: n}) }
	for want, c := range map[string]Config{
		`route "route[1]": there is no sink "z"`:                                       one(Route{Sinks: []string{"z"}}),
		`route "route[1]": "[" is no pattern`:                                          one(Route{Rules: []string{"["}}),
		`route "x": there are two of that name`:                                        {Routes: []Route{{Name: "x"}, {Name: "x"}}},
		`route "route[1]": there is no field "nope" to group by`:                       n(Notify{GroupBy: []string{"nope"}}),
		`route "route[1]": there is no mute "m"`:                                       n(Notify{Mutes: []string{"m"}}),
		`route "route[1]": group_interval is 0s, it must lie between 1s and 720h0m0s`:  n(Notify{GroupInterval: dur(0)}),
		`route "route[1]": rate is 0 per 1m0s, it must be 1 to 100 per 1s to 720h0m0s`: n(Notify{Rate: &Rate{0, time.Minute}}),
		`route "route[1]": it escalates to a, which it tells at once`:                  n(Notify{Escalate: &Escalate{time.Hour, []string{"a"}}}),
		`mute "m": from lies between 00:00 and 23:59, to between 00:00 and 24:00`:      {Mutes: []Mute{{Name: "m", From: 1440}}},
		`mute "m": there are two of that name`:                                         {Mutes: []Mute{{Name: "m", To: 1}, {Name: "m", To: 1}}},
		`inhibit[1]: it needs a source and a target`:                                   {Inhibits: []Inhibit{{}}},
		`inhibit[1]: there is no field "nope"`:                                         {Inhibits: []Inhibit{{Source: condition(""), Target: condition(""), Equal: []string{"nope"}}}},
	} {
		if _, err := NewTree(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestMutes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	clock := func(s string) Clock {
		c, err := ParseClock(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, tt := range []struct{ name, days, from, to, at, until string }{
		{"within a day", "", "12:00", "14:00", "2026-06-01T13:00:00+02:00", "2026-06-01T14:00:00+02:00"},
		{"the first minute", "", "12:00", "14:00", "2026-06-01T12:00:00+02:00", "2026-06-01T14:00:00+02:00"},
		{"just before", "", "12:00", "14:00", "2026-06-01T11:59:59+02:00", ""},
		{"the end is outside", "", "12:00", "14:00", "2026-06-01T14:00:00+02:00", ""},
		{"over midnight, before it", "", "22:00", "06:00", "2026-06-01T23:00:00+02:00", "2026-06-02T06:00:00+02:00"},
		{"over midnight, behind it", "", "22:00", "06:00", "2026-06-02T05:59:59+02:00", "2026-06-02T06:00:00+02:00"},
		{"the weekday is that of the beginning", "Fri", "22:00", "06:00", "2026-06-06T05:00:00+02:00", "2026-06-06T06:00:00+02:00"},
		{"and not that of the end", "Sat", "22:00", "06:00", "2026-06-06T05:00:00+02:00", ""},
		{"a whole day", "Sat", "00:00", "24:00", "2026-06-06T23:59:59+02:00", "2026-06-07T00:00:00+02:00"},
		{"from equal to to is a day", "Sat", "08:00", "08:00", "2026-06-07T07:00:00+02:00", "2026-06-07T08:00:00+02:00"},
		{"the night of 23 hours", "", "22:00", "06:00", "2026-03-28T23:00:00+01:00", "2026-03-29T06:00:00+02:00"},
		{"the night of 25 hours", "", "22:00", "06:00", "2026-10-24T23:00:00+02:00", "2026-10-25T06:00:00+01:00"},
		{"an end that the clock leaves out", "", "22:00", "02:30", "2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"a beginning that the clock leaves out", "", "02:30", "05:00", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"},
		{"an end that comes twice is the last", "", "22:00", "02:30", "2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+01:00"},
		{"a beginning that comes twice is the first", "", "02:30", "05:00", "2026-10-25T02:30:00+02:00", "2026-10-25T05:00:00+01:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Mute{From: clock(tt.from), To: clock(tt.to), Zone: berlin}
			for d := time.Sunday; d <= time.Saturday; d++ {
				if tt.days != "" && strings.HasPrefix(d.String(), tt.days) {
					m.Weekdays = append(m.Weekdays, d)
				}
			}
			at, _ := time.Parse(time.RFC3339, tt.at)
			until, ok := m.Until(at)
			got := ""
			if ok {
				got = until.Format(time.RFC3339)
			}
			want(t, got, tt.until)
		})
	}
	for _, bad := range []string{"", "7:00", "24:01", "12:60", "12-00", "ab:cd", "+1:00"} {
		if c, err := ParseClock(bad); err == nil {
			t.Errorf("%q is %s", bad, c)
		}
	}
}

func TestMutesInARowAreOne(t *testing.T) {
	p := Policy{mutes: []*Mute{{From: 10 * 60, To: 11 * 60}, {From: 11 * 60, To: 13 * 60}}}
	if got := at(p.unmuted(nanos(start()))); !got.Equal(start().Add(3 * time.Hour)) {
		t.Fatal(got)
	}
	always := Policy{mutes: []*Mute{{From: 0, To: 1440}}}
	if got := at(always.unmuted(nanos(start()))); got.Sub(start()) < 24*time.Hour {
		t.Fatal(got)
	}
}

// What is told of the end of a mute is a time at which it ends, or that it has none.
func TestWhenAMuteEnds(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	week := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday}
	hours := func(n Clock, days ...time.Weekday) (list []*Mute) { // one after the other, all day
		for from := Clock(0); from < 24*60; from += n {
			list = append(list, &Mute{Weekdays: days, From: from, To: from + n, Zone: zone})
		}
		return list
	}
	monday := time.Date(2026, 11, 23, 0, 0, 0, 0, zone)
	for _, tt := range []struct {
		name  string
		mutes []*Mute
		at    time.Time
		end   time.Time
		ends  bool
	}{
		{"none", nil, monday, monday, true},
		{"all day, every day", hours(24 * 60), monday, time.Time{}, false},
		{"day and night", []*Mute{{From: 8 * 60, To: 20 * 60, Zone: zone}, {From: 20 * 60, To: 8 * 60, Zone: zone}}, monday, time.Time{}, false},
		{"hour by hour", hours(60), monday, time.Time{}, false},
		{"hour by hour until Sunday", hours(60, week...), monday, monday.AddDate(0, 0, 6), true},
		{"the week of the clock change", hours(24*60, week...), time.Date(2026, 10, 19, 0, 0, 0, 0, zone), time.Date(2026, 10, 25, 0, 0, 0, 0, zone), true},
		{"hour by hour over the clock change", hours(60), time.Date(2026, 3, 28, 0, 0, 0, 0, zone), time.Time{}, false},
	} {
		p := Policy{mutes: tt.mutes}
		if end, ends := p.muteEnds(tt.at); ends != tt.ends || !end.Equal(tt.end) {
			t.Errorf("%s: %v, %t, want %v, %t", tt.name, end, ends, tt.end, tt.ends)
		}
	}
}

func TestMistakesOfASilence(t *testing.T) {
	s, err := NewSilences(compile, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := Silence{Where: "app.id=1", Author: "kim", Reason: "test", Until: start().Add(time.Hour)}
	for want, change := range map[string]func(*Silence){
		"add silence: it needs an author and a reason":           func(s *Silence) { s.Author = "" },
		"add silence: it needs a condition (where)":              func(s *Silence) { s.Where = "" },
		`add silence: "nonsense" is no condition`:                func(s *Silence) { s.Where = "nonsense" },
		"add silence: it needs an end (until)":                   func(s *Silence) { s.Until = time.Time{} },
		"add silence: it is over already":                        func(s *Silence) { s.Until = start() },
		"add silence: it ends before it begins":                  func(s *Silence) { s.From = s.Until },
		"add silence: author and reason have at most 1024 bytes": func(s *Silence) { s.Reason = strings.Repeat("x", 2000) },
	} {
		c := good
		change(&c)
		if _, err := s.Add(c, start()); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for i := range MaxSilences {
		c := good
		c.Reason = fmt.Sprint(i)
		op, err := s.Add(c, start())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Add(good, start()); err == nil {
		t.Error("there is one more than may be")
	}
	if _, err := s.Expire(event.ID{1}, start()); err == nil {
		t.Error("a silence that is not there ends")
	}
	if _, err := s.Add(Silence{Where: "app.id=1", Author: "kim", Reason: "later", Until: start().Add(3 * time.Hour)}, start().Add(2*time.Hour)); err != nil {
		t.Errorf("those that are over count: %v", err)
	}
}

func TestASilenceOfAFileIsNotOfTheCommandLine(t *testing.T) {
	s, err := NewSilences(compile, []Silence{{Name: "f", Where: "app.id=1", Author: "kim", Reason: "test", Until: start().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expire(s.List(start())[0].ID, start()); err == nil || !strings.Contains(err.Error(), "configuration") {
		t.Error(err)
	}
	if n := len(s.AppendState(nil)); n != 2 {
		t.Errorf("it is in the state: %d bytes", n)
	}
	if _, err := NewSilences(compile, []Silence{{Name: "g", Where: "nonsense", Author: "kim", Reason: "test", Until: start()}}); err == nil || !strings.Contains(err.Error(), `silence "g"`) {
		t.Error(err)
	}
}

func TestASilenceThatNoLongerCompilesSaysSoAndSilencesNothing(t *testing.T) {
	d := newDesk(t, notify(nil))
	d.silence("app.id=1", start().Add(time.Hour))
	s, _ := NewSilences(func(string) (Matcher, error) { return nil, fmt.Errorf("no such field") }, nil)
	if err := s.Restore(d.s.AppendState(nil)); err != nil {
		t.Fatal(err)
	}
	a := an("r", "1", low)
	if got := s.List(start()); len(got) != 1 || got[0].Problem != "no such field" || s.match(&a, start()) != nil {
		t.Fatalf("%+v", got)
	}
}

func TestAChangeOfSilencesIsTold(t *testing.T) {
	d := newDesk(t, notify(nil))
	changed := d.s.Changed()
	select {
	case <-changed:
		t.Fatal("nothing changed yet")
	default:
	}
	d.silence("app.id=1", start().Add(time.Hour))
	<-changed
}
