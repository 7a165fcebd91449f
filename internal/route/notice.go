package route

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Bounds of an alert that is kept whole, and of the texts of a notice.
const (
	slimBytes    = 8 << 10
	slimEvidence = 5
	titleBytes   = 200
	ruleCounts   = 10
	firstTitles  = 5
)

// slim is the encoding of what a notice may say of an alert.
func slim(a *event.Alert) []byte {
	s := *a
	s.Group, s.DedupeKey = nil, ""
	s.Evidence = s.Evidence[:min(len(s.Evidence), slimEvidence)]
	s.Title, s.Summary = capped(s.Title, 1<<10), capped(s.Summary, 2<<10)
	b := event.AppendAlert(make([]byte, 0, 1<<10), &s)
	if len(b) <= slimBytes {
		return b
	}
	s = event.Alert{
		ID: a.ID, DeliveryID: a.DeliveryID, Sequence: a.Sequence, State: a.State, Kind: capped(a.Kind, MaxLabel), Provider: capped(a.Provider, MaxLabel),
		Tenant: capped(a.Tenant, MaxLabel), RuleID: capped(a.RuleID, MaxLabel), Title: capped(a.Title, MaxLabel), Summary: capped(a.Summary, 1<<10),
		Severity: a.Severity, Score: a.Score, Time: a.Time, Opened: a.Opened, Backfill: a.Backfill, AppTier: a.AppTier, AppRisk: a.AppRisk,
		AppOrigin: capped(a.AppOrigin, MaxLabel), Action: capped(a.Action, MaxLabel), Count: a.Count, EvidenceTotal: a.EvidenceTotal,
		App:      event.App{ID: capped(a.App.ID, MaxLabel), ObjectID: capped(a.App.ObjectID, MaxLabel), AppID: capped(a.App.AppID, MaxLabel), Name: capped(a.App.Name, MaxLabel), OwnerTenant: capped(a.App.OwnerTenant, MaxLabel)},
		Actor:    event.Actor{Type: capped(a.Actor.Type, MaxLabel), ID: capped(a.Actor.ID, MaxLabel), Name: capped(a.Actor.Name, MaxLabel), UPN: capped(a.Actor.UPN, MaxLabel), AppID: capped(a.Actor.AppID, MaxLabel)},
		Target:   slimEntity(a.Target),
		Resource: slimEntity(a.Resource),
		Origin:   event.Origin{IP: capped(a.Origin.IP, MaxLabel), ASN: a.Origin.ASN, ASOrg: capped(a.Origin.ASOrg, MaxLabel), Country: capped(a.Origin.Country, MaxLabel)},
	}
	return event.AppendAlert(b[:0], &s)
}

func slimEntity(e event.Entity) event.Entity {
	return event.Entity{Type: capped(e.Type, MaxLabel), ID: capped(e.ID, MaxLabel), AppID: capped(e.AppID, MaxLabel), Name: capped(e.Name, MaxLabel), UPN: capped(e.UPN, MaxLabel)}
}

// notice is what the sink is told of one group.
func (b *Board) notice(c *candidate, now int64) event.Alert {
	g := c.g
	a := b.face(c)
	a.ID = event.NewID("notice", b.sink, string(g.key[:]), strconv.FormatUint(g.episode, 10))
	a.State = stateOfNotice(g.seq)
	if c.open == 0 {
		a.State = event.AlertResolved
	}
	a.Sequence, a.Opened, a.Time = g.seq+1, at(g.first), at(g.newest)
	a.Group = b.groupOf(c)
	a.Count = count(g.total)
	a.Reason = b.reason(c, now)
	alone := g.total == 1
	switch {
	case alone:
	case c.open == 0:
		a.Title = fmt.Sprintf("%d alerts are over: %s", g.total, a.Title)
	case c.tellable > 1:
		a.Title = fmt.Sprintf("%d alerts: %s", c.tellable, a.Title)
	}
	if !alone {
		a.Summary = sentence(a.Group)
	}
	a.SetDelivery()
	return a
}

func stateOfNotice(seq uint32) event.AlertState {
	if seq == 0 {
		return event.AlertNew
	}
	return event.AlertUpdated
}

func count(n uint64) int { return int(min(n, math.MaxInt32)) }

// face is a copy of the gravest alert that can be told.
func (b *Board) face(c *candidate) event.Alert {
	raw := c.g.text()
	if c.best >= 0 {
		raw = c.g.whole[c.best].raw
	}
	return faceOf(raw)
}

// faceOf is an alert that was kept; its text is its own.
func faceOf(raw []byte) event.Alert {
	a, err := event.DecodeAlert(raw)
	if err != nil || len(raw) == 0 {
		return event.Alert{Kind: event.AlertDetection, Title: "an alert", Severity: event.SeverityMedium}
	}
	return *a
}

// reason says why the group is told where that is not plain.
func (b *Board) reason(c *candidate, now int64) string {
	switch {
	case c.kind == kindGone:
		return "the route " + c.g.lane.route + ", which grouped these alerts, is gone or changed: nothing more will be said of them here"
	case c.kind == kindAgain, c.policy.Escalated && c.g.seq == 0:
		return fmt.Sprintf("still open after %s", time.Duration(now-c.g.opened).Round(time.Second))
	case c.open == 0 && len(c.expired) > 0:
		return fmt.Sprintf("no news for %s", c.policy.ResolveAfter)
	}
	return ""
}

// groupOf tells of the alerts of a group.
func (b *Board) groupOf(c *candidate) *event.Group {
	g := c.g
	out := &event.Group{
		Route: g.lane.route, Labels: g.labels, Total: g.total, Open: c.open, First: at(g.first), Last: at(g.newest),
		Silenced: c.hushed[reasonSilenced], Inhibited: c.hushed[reasonInhibited],
	}
	rules := map[string]uint64{}
	for i := range g.entries {
		tally(rules, g, c, &g.entries[i])
	}
	for i := range g.crowds {
		tally(rules, g, c, &g.crowds[i])
		if x := g.crowds[i].id; !has(c.left, x) && !has(c.expired, x) {
			out.Counted += uint64(g.crowds[i].open)
		}
	}
	out.Severities, out.Rules = severities(&c.counts), ruleCountsOf(rules)
	for i := range g.whole {
		m := &g.whole[i]
		if has(c.left, m.id) || has(c.expired, m.id) {
			continue
		}
		a := faceOf(m.raw)
		out.Members = append(out.Members, event.Member{ID: m.id, RuleID: a.RuleID, Severity: m.severity, Title: capped(a.Title, titleBytes)})
	}
	return out
}

func tally(rules map[string]uint64, g *group, c *candidate, e *entry) {
	if !has(c.left, e.id) && !has(c.expired, e.id) {
		rules[g.rule(e.rule)] += uint64(e.open)
	}
}

func severities(counts *[event.SeverityCritical + 1]uint64) (list []event.SeverityCount) {
	for s := event.SeverityCritical; s > 0; s-- {
		if counts[s] > 0 {
			list = append(list, event.SeverityCount{Severity: s, Alerts: counts[s]})
		}
	}
	return list
}

func ruleCountsOf(rules map[string]uint64) (list []event.RuleCount) {
	rest := rules[""]
	for id, n := range rules {
		if id != "" && n > 0 {
			list = append(list, event.RuleCount{RuleID: id, Alerts: n})
		}
	}
	slices.SortFunc(list, func(a, b event.RuleCount) int {
		return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(a.RuleID, b.RuleID))
	})
	for _, r := range list[min(len(list), ruleCounts):] {
		rest += r.Alerts
	}
	list = list[:min(len(list), ruleCounts)]
	if rest > 0 {
		list = append(list, event.RuleCount{Alerts: rest})
	}
	return list
}

// sentence says in words what g says in numbers.
func sentence(g *event.Group) string {
	var parts []string
	if g.Groups > 0 {
		parts = append(parts, fmt.Sprintf("Route %s has more to tell than it may: this stands for %d groups.", g.Route, g.Groups))
	}
	bySeverity := ""
	for i, s := range g.Severities {
		bySeverity += [2]string{", ", ": "}[b2i(i == 0)] + fmt.Sprintf("%d %s", s.Alerts, s.Severity)
	}
	parts = append(parts, fmt.Sprintf("%d alerts are open%s; %d since %s.", g.Open, bySeverity, g.Total, g.First.Format(time.RFC3339)))
	for _, r := range g.Rules {
		name := r.RuleID
		if name == "" {
			name = "further rules"
		}
		parts = append(parts, fmt.Sprintf("%d of %s.", r.Alerts, name))
	}
	if g.Silenced+g.Inhibited > 0 {
		parts = append(parts, fmt.Sprintf("Left out: %d silenced, %d inhibited.", g.Silenced, g.Inhibited))
	}
	if g.Counted > 0 {
		parts = append(parts, fmt.Sprintf("%d are known by number alone.", g.Counted))
	}
	var titles []string
	for _, m := range g.Members[:min(len(g.Members), firstTitles)] {
		titles = append(titles, strings.Join(strings.Fields(m.Title), " "))
	}
	if len(titles) > 0 {
		parts = append(parts, "The gravest: "+strings.Join(titles, "; ")+".")
	}
	return strings.Join(parts, " ")
}

func b2i(v bool) int {
	if v {
		return 1
	}
	return 0
}

// summaryNotice is what the sink is told of several groups of a route at once.
func (b *Board) summaryNotice(l *lane, list []*candidate, gone bool) event.Alert {
	a := b.face(list[0])
	s := l.summary
	if s.seq == 0 || gone {
		s = summary{episode: b.ops + 1}
	}
	g := &event.Group{Route: l.route, Groups: uint64(len(list))}
	var counts [event.SeverityCritical + 1]uint64
	rules := map[string]uint64{}
	for _, c := range list {
		one := b.groupOf(c)
		g.Total, g.Open, g.Silenced, g.Inhibited, g.Counted = g.Total+one.Total, g.Open+one.Open, g.Silenced+one.Silenced, g.Inhibited+one.Inhibited, g.Counted+one.Counted
		for sev, n := range c.counts {
			counts[sev] += n
		}
		for _, r := range one.Rules {
			rules[r.RuleID] += r.Alerts
		}
		if g.First.IsZero() || one.First.Before(g.First) {
			g.First = one.First
		}
		if one.Last.After(g.Last) {
			g.Last = one.Last
		}
		if len(g.Members) < MaxWhole {
			g.Members = append(g.Members, one.Members[:min(len(one.Members), 1)]...)
		}
	}
	g.Severities, g.Rules = severities(&counts), ruleCountsOf(rules)
	a.ID, a.State, a.Sequence = b.summaryID(l, s.episode, gone), stateOfNotice(s.seq), s.seq+1
	a.Group, a.Count, a.Opened, a.Time = g, count(g.Total), g.First, g.Last
	a.Title = fmt.Sprintf("%d groups with %d alerts: %s", g.Groups, g.Open, a.Title)
	a.Summary = sentence(g)
	if gone {
		a.Reason = b.reason(list[0], 0)
	}
	a.SetDelivery()
	return a
}

func (b *Board) summaryID(l *lane, episode uint64, gone bool) event.ID {
	what := "summary"
	if gone {
		what = "last summary"
	}
	return event.NewID("notice", b.sink, string(l.id[:]), what, strconv.FormatUint(episode, 10))
}

// summaryOver tells that all groups of a summary are over.
func (b *Board) summaryOver(l *lane, now int64) event.Alert {
	a := faceOf(l.summary.face)
	s := &l.summary
	a.ID, a.State, a.Sequence = b.summaryID(l, s.episode, false), event.AlertResolved, s.seq+1
	a.Opened, a.Time = at(s.opened), at(now)
	a.Group = &event.Group{Route: l.route, Groups: s.total, First: at(s.opened), Last: at(now)}
	a.Title = fmt.Sprintf("%d groups are over: %s", s.total, a.Title)
	a.Summary = fmt.Sprintf("All groups of route %s that a summary stood for are over.", l.route)
	a.Reason = ""
	a.SetDelivery()
	return a
}
