package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRoutingIsReadWhole(t *testing.T) {
	c, diags := Load("testdata/valid/routing.hcl")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	minute, none := time.Minute, time.Duration(0)
	want := []Notify{{}, {GroupBy: []string{"rule_id", "app.id"}, GroupWait: &minute, RepeatInterval: &none, Mutes: []string{"nights"}, Rate: &Rate{3, time.Minute}}}
	child := Notify{GroupBy: []string{}, Escalate: &Escalate{time.Hour, []string{"pagerduty/boss"}}}
	if len(c.Routes) != 2 || len(c.Routes[1].Routes) != 1 {
		t.Fatalf("routes %+v", c.Routes)
	}
	got := []Notify{c.Routes[0].Notify, c.Routes[1].Notify}
	if diff := cmp.Diff(want, got) + cmp.Diff(child, c.Routes[1].Routes[0].Notify); diff != "" {
		t.Error(diff)
	}
	if r := c.Routes[1]; r.Where.Text != `alert.severity == "high"` || r.Name != "on-call" || r.Routes[0].Sinks != nil || c.Routes[0].Where != nil {
		t.Errorf("route %+v", r)
	}
	m, s, i := c.Mutes[0], c.Silences[0], c.Inhibits[0]
	if m.From != 22*60 || m.To != 6*60 || m.Zone != "Europe/Berlin" || !cmp.Equal(m.Weekdays, []time.Weekday{time.Monday, time.Tuesday}) {
		t.Errorf("mute %+v", m)
	}
	if s.Where.Text != `app.name == "Payroll" && alert.kind == "policy"` || !s.Until.Equal(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)) || !s.From.IsZero() {
		t.Errorf("silence %+v", s)
	}
	if i.Source.Text != `alert.severity == "critical"` || i.Target.Text != `alert.severity == "low"` || !cmp.Equal(i.Equal, []string{"app.id"}) {
		t.Errorf("inhibit %+v", i)
	}
}
