package app

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/route"
)

// checkRouting makes the tree of routes and the silences of files. Conditions are
// compiled by the rules that will be in force; where those have mistakes, the
// conditions wait.
func (p *Plan) checkRouting() hcl.Diagnostics {
	k := routeChecker{p: p}
	c := route.Config{Own: func(a *event.Alert) bool { return a.RuleID == ledger.GapRule }}
	c.Zone, c.Zones = location(p.Config.Agent.TimeZone), p.zones()
	for _, s := range p.Config.Sinks {
		if s.Forward == config.ForwardEvents {
			continue
		}
		low, _ := event.ParseSeverity(s.MinSeverity)
		c.Sinks = append(c.Sinks, route.Sink{Name: s.Key(), MinSeverity: low})
	}
	for i := range p.Config.Routes {
		c.Routes = append(c.Routes, k.route(&p.Config.Routes[i]))
	}
	for _, m := range p.Config.Mutes {
		c.Mutes = append(c.Mutes, k.mute(m))
	}
	for i := range p.Config.Inhibits {
		in := &p.Config.Inhibits[i]
		c.Inhibits = append(c.Inhibits, route.Inhibit{Source: k.condition(in.Source), Target: k.condition(in.Target), Equal: in.Equal})
		k.fields(in.Body, in.Range, "equal", in.Equal)
	}
	for _, s := range p.Config.Silences {
		if s.Where == nil { // told before
			continue
		}
		one := route.Silence{Name: s.Name, Where: s.Where.Text, Author: s.Author, Reason: s.Reason, From: s.From, Until: s.Until}
		if k.condition(s.Where) != nil && !s.Until.IsZero() { // else a mistake was told
			if _, err := route.NewSilences(p.matcher, []route.Silence{one}); err != nil {
				k.fail(s.Range, "invalid_value", "Invalid silence", "%v.", err)
			}
		}
		p.silences = append(p.silences, one)
	}
	if k.diags.HasErrors() || p.set == nil {
		return k.diags
	}
	var err error
	if p.tree, err = route.NewTree(c); err != nil {
		for line := range strings.Lines(err.Error()) {
			k.fail(k.place(line), "invalid_value", "Invalid routing", "%s.", strings.TrimSpace(line))
		}
	}
	return k.diags
}

type routeChecker struct {
	p     *Plan
	diags hcl.Diagnostics
}

func (k *routeChecker) fail(at hcl.Range, code diag.Code, summary, format string, args ...any) {
	k.diags = append(k.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at, Extra: code})
}

// place is where the route stands that a mistake of the tree names, else where routing
// begins.
func (k *routeChecker) place(mistake string) hcl.Range {
	c := k.p.Config
	found := c.Agent.Range
	if len(c.Inhibits) > 0 {
		found = c.Inhibits[0].Range
	}
	var look func(routes []config.Route, name func(int) string)
	look = func(routes []config.Route, name func(int) string) {
		for i := range routes {
			place := name(i)
			if n := cmp.Or(routes[i].Name, place); strings.HasPrefix(mistake, fmt.Sprintf("route %q:", n)) {
				found = routes[i].Range
			}
			look(routes[i].Routes, func(i int) string { return fmt.Sprintf("%s.%d", place, i+1) })
		}
	}
	look(c.Routes, func(i int) string { return fmt.Sprintf("route[%d]", i+1) })
	return found
}

func (k *routeChecker) route(r *config.Route) route.Route {
	low, _ := event.ParseSeverity(r.MinSeverity)
	n := r.Notify
	out := route.Route{
		Name: r.Name, Where: k.condition(r.Where), MinSeverity: low, Rules: r.Rules, Kinds: r.Kinds, Continue: r.Continue, Sinks: r.Sinks,
		Notify: route.Notify{GroupBy: n.GroupBy, GroupWait: n.GroupWait, GroupInterval: n.GroupInterval, RepeatInterval: n.RepeatInterval, ResolveAfter: n.ResolveAfter, Mutes: n.Mutes},
	}
	if n.Rate != nil {
		out.Notify.Rate = &route.Rate{Max: n.Rate.Max, Per: n.Rate.Per}
	}
	if n.Escalate != nil {
		out.Notify.Escalate = &route.Escalate{After: n.Escalate.After, Sinks: n.Escalate.Sinks}
	}
	if len(n.GroupBy) != 1 || n.GroupBy[0] != route.ByAlert {
		k.fields(r.Body, r.Range, "group_by", n.GroupBy)
	}
	for i := range r.Routes {
		out.Routes = append(out.Routes, k.route(&r.Routes[i]))
	}
	return out
}

// fields checks what alerts are told apart by.
func (k *routeChecker) fields(body hcl.Body, at hcl.Range, attr string, list []string) {
	rng := config.AttributeRange(body, attr, at)
	if len(list) > route.MaxGroupBy {
		k.fail(rng, "limit_exceeded", "Too many fields", "%s has %d fields; at most %d are possible.", attr, len(list), route.MaxGroupBy)
	}
	var known []string
	for _, f := range route.Fields() {
		known = append(known, f.Name)
	}
	for _, name := range list {
		if _, ok := route.FieldNamed(name); !ok {
			k.fail(rng, "unknown_field", "Unknown field", "Alerts cannot be told apart by %q.%s docs/reference/fields.md lists what there is.", name, config.Suggest(name, known))
		}
	}
}

func (k *routeChecker) mute(m config.Mute) route.Mute {
	out := route.Mute{Name: m.Name, Weekdays: m.Weekdays, From: route.Clock(m.From), To: route.Clock(m.To)}
	if m.Zone != "" {
		out.Zone = location(m.Zone)
	}
	return out
}

// location is UTC where there is no zone of that name: that mistake was told before.
func location(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

// zones are those of tenants, by their ids as alerts have them.
func (p *Plan) zones() map[string]*time.Location {
	zones := map[string]*time.Location{}
	for _, named := range p.sources {
		zone, ok := p.Config.Agent.TimeZones[named.block.Name]
		for _, s := range p.sources {
			if ok && strings.EqualFold(s.kind.tenant, named.kind.tenant) {
				zones[s.kind.tenant] = location(zone)
			}
		}
	}
	return zones
}

// condition is nil where there is none, and where it has mistakes.
func (k *routeChecker) condition(c *config.Condition) route.Matcher {
	if c == nil || k.p.set == nil {
		return nil
	}
	f, diags := k.p.set.AlertCondition(c.Expr, c.Text)
	k.diags = append(k.diags, diags...)
	if diags.HasErrors() {
		return nil
	}
	return f
}

// matcher compiles a condition of a silence.
func (p *Plan) matcher(text string) (route.Matcher, error) {
	f, diags := p.set.AlertFilter(text)
	if diags.HasErrors() {
		return nil, diags
	}
	return f, nil
}
