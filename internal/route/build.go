package route

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// builder makes a Tree and gathers what is wrong with it.
type builder struct {
	*Tree
	zone  *time.Location
	zones map[string]*time.Location
	names map[string]bool
	errs  []error
}

func (b *builder) err() error { return errors.Join(b.errs...) }

func (b *builder) fail(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// inherited is what a route has from the one around it.
type inherited struct {
	sinks  []string
	notify Notify
}

func (b *builder) addMutes(mutes []Mute) {
	for i := range mutes {
		m := &mutes[i]
		if err := m.check(); err != nil {
			b.fail("mute %q: %w", m.Name, err)
		}
		if b.mutes[m.Name] != nil {
			b.fail("mute %q: there are two of that name", m.Name)
		}
		b.mutes[m.Name] = m
	}
}

func (b *builder) checkInhibits(inhibits []Inhibit) {
	if len(inhibits) > MaxInhibits {
		b.fail("there are %d inhibit blocks, at most %d are possible", len(inhibits), MaxInhibits)
	}
	for i := range inhibits {
		if err := inhibits[i].prepare(); err != nil {
			b.fail("inhibit[%d]: %w", i+1, err)
		}
	}
}

// add makes the node of one route and of those within it. place is what it is called
// where it has no name.
func (b *builder) add(r Route, place string, in inherited) *node {
	if r.Name == "" {
		r.Name = place
	}
	if b.names[r.Name] {
		b.fail("route %q: there are two of that name", r.Name)
	}
	b.names[r.Name] = true
	for _, g := range slices.Concat(r.Rules, r.Kinds) {
		if _, err := path.Match(g, ""); err != nil {
			b.fail("route %q: %q is no pattern", r.Name, g)
		}
	}
	if r.Sinks == nil {
		r.Sinks = in.sinks
	}
	r.Notify = r.Notify.over(in.notify)
	n := &node{Route: r, escalate: r.Notify.Escalate}
	b.checkSinks(r)
	if r.Notify.says() {
		n.policy = b.policy(r, false)
	}
	if n.escalate != nil {
		n.old = b.policy(r, true)
	}
	for i, child := range r.Routes {
		n.children = append(n.children, b.add(child, place+"."+strconv.Itoa(i+1), inherited{r.Sinks, r.Notify}))
	}
	return n
}

func (b *builder) checkSinks(r Route) {
	named := slices.Clone(r.Sinks)
	if e := r.Notify.Escalate; e != nil {
		named = append(named, e.Sinks...)
		for _, s := range e.Sinks {
			if slices.Contains(r.Sinks, s) {
				b.fail("route %q: it escalates to %s, which it tells at once", r.Name, s)
			}
		}
	}
	for _, s := range named {
		if _, ok := b.sinks[s]; !ok {
			b.fail("route %q: there is no sink %q", r.Name, s)
		}
	}
}

// over is n with what it leaves unsaid taken from around.
func (n Notify) over(around Notify) Notify {
	n.GroupWait, n.GroupInterval = first(n.GroupWait, around.GroupWait), first(n.GroupInterval, around.GroupInterval)
	n.RepeatInterval, n.ResolveAfter = first(n.RepeatInterval, around.RepeatInterval), first(n.ResolveAfter, around.ResolveAfter)
	n.Rate, n.Escalate = first(n.Rate, around.Rate), first(n.Escalate, around.Escalate)
	if n.GroupBy == nil {
		n.GroupBy = around.GroupBy
	}
	if n.Mutes == nil {
		n.Mutes = around.Mutes
	}
	return n
}

func first[T any](own, around *T) *T {
	if own != nil {
		return own
	}
	return around
}

func (n Notify) says() bool {
	return n.GroupBy != nil || n.GroupWait != nil || n.GroupInterval != nil || n.RepeatInterval != nil || n.ResolveAfter != nil ||
		n.Rate != nil || n.Mutes != nil || n.Escalate != nil
}

// policy makes what r does at a sink that it names, or at one that it escalates to.
func (b *builder) policy(r Route, escalated bool) *Policy {
	n := r.Notify
	p := &Policy{
		Route: r.Name, GroupBy: n.GroupBy, Mutes: n.Mutes, Escalated: escalated,
		Wait: or(n.GroupWait, DefaultGroupWait), Interval: or(n.GroupInterval, DefaultGroupInterval),
		Repeat: or(n.RepeatInterval, 0), ResolveAfter: or(n.ResolveAfter, DefaultResolveAfter), Rate: or(n.Rate, Rate{}),
	}
	if escalated {
		p.Wait = n.Escalate.After
	}
	b.checkTimes(p)
	for _, name := range n.Mutes {
		if b.mutes[name] == nil {
			b.fail("route %q: there is no mute %q", r.Name, name)
		}
	}
	b.group(p)
	p.mutes = b.mutesIn(p, b.zone)
	p.named(event.NewID("route", r.Name, strings.Join(p.GroupBy, "\x00")))
	p.zoned = b.zoned(p)
	return p
}

func (p *Policy) named(id event.ID) { p.id, p.prefix = id, string(id[:]) }

// mutesIn are the mutes of p, those without a zone by the clocks of zone.
func (b *builder) mutesIn(p *Policy, zone *time.Location) (list []*Mute) {
	for _, name := range p.Mutes {
		if m := b.mutes[name]; m != nil {
			at := *m
			at.Zone = cmp.Or(m.Zone, zone)
			list = append(list, &at)
		}
	}
	return list
}

// zoned are the policies of tenants by whose clocks the mutes of p hold at other times;
// tenants of one zone share one.
func (b *builder) zoned(p *Policy) map[string]*Policy {
	if !slices.ContainsFunc(p.Mutes, func(name string) bool { return b.mutes[name] != nil && b.mutes[name].Zone == nil }) {
		return nil
	}
	zones, tenants := map[string]*Policy{b.zone.String(): p}, map[string]*Policy{}
	for tenant, zone := range b.zones {
		z := zones[zone.String()]
		if z == nil {
			one := *p
			z, zones[zone.String()] = &one, &one
			z.mutes = b.mutesIn(p, zone)
			z.named(event.NewID("route", p.Route, strings.Join(p.GroupBy, "\x00"), "zone", zone.String()))
		}
		tenants[tenant] = z
	}
	return tenants
}

func (b *builder) group(p *Policy) {
	if slices.Equal(p.GroupBy, []string{ByAlert}) {
		return
	}
	if len(p.GroupBy) > MaxGroupBy {
		b.fail("route %q: it groups by %d fields, at most %d are possible", p.Route, len(p.GroupBy), MaxGroupBy)
	}
	for _, name := range p.GroupBy {
		f, ok := FieldNamed(name)
		if !ok {
			b.fail("route %q: there is no field %q to group by", p.Route, name)
			continue
		}
		p.fields = append(p.fields, f)
	}
}

func (b *builder) checkTimes(p *Policy) {
	for _, t := range []struct {
		name string
		is   time.Duration
		low  time.Duration
	}{{"group_wait", p.Wait, 0}, {"group_interval", p.Interval, time.Second}, {"repeat_interval", p.Repeat, 0}, {"resolve_after", p.ResolveAfter, time.Minute}} {
		if t.is < t.low || t.is > MaxTime {
			b.fail("route %q: %s is %s, it must lie between %s and %s", p.Route, t.name, t.is, t.low, MaxTime)
		}
	}
	if r := p.Rate; r != (Rate{}) && (r.Max < 1 || r.Max > MaxRate || r.Per < time.Second || r.Per > MaxTime) {
		b.fail("route %q: rate is %d per %s, it must be 1 to %d per 1s to %s", p.Route, r.Max, r.Per, MaxRate, MaxTime)
	}
}

// MaxTime bounds every time of a route.
const MaxTime = 30 * 24 * time.Hour

// MaxGroupBy is how many fields a route can group by.
const MaxGroupBy = 8

func or[T any](v *T, fallback T) T {
	if v != nil {
		return *v
	}
	return fallback
}
