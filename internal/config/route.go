package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/diag"
)

// Route says which sinks get which alerts, and how people are told. Conditions stay
// expressions: whoever knows the language of rules compiles them.
type Route struct {
	Name        string // "" = it has none
	Where       *Condition
	MinSeverity string
	Rules       []string // globs over rule ids; empty = all
	Kinds       []string // alert kinds; empty = all
	Sinks       []string // "kind/name"; nil = as the route around it
	Continue    bool
	Notify      Notify
	Routes      []Route
	Body        hcl.Body
	Range       hcl.Range
}

// Notify is how a route tells people; what it leaves unsaid is nil.
type Notify struct {
	GroupBy        []string
	GroupWait      *time.Duration
	GroupInterval  *time.Duration
	RepeatInterval *time.Duration
	ResolveAfter   *time.Duration
	Rate           *Rate
	Mutes          []string
	Escalate       *Escalate
}

// Rate is at most Max notices in each Per.
type Rate struct {
	Max int
	Per time.Duration
}

// Escalate tells Sinks of what is open After a time.
type Escalate struct {
	After time.Duration
	Sinks []string
}

// Condition is an expression over an alert, and how it is written.
type Condition struct {
	Expr hcl.Expression
	Text string
}

// Mute is a window of the week in which nobody is told.
type Mute struct {
	Name     string
	Weekdays []time.Weekday // on which it begins; empty = every day
	From, To int            // minutes since midnight
	Zone     string         // "" = the agent's
	Body     hcl.Body
	Range    hcl.Range
}

// Silence keeps alerts from being told until it ends.
type Silence struct {
	Name           string
	Where          *Condition
	Author, Reason string
	From, Until    time.Time // From zero = at once
	Body           hcl.Body
	Range          hcl.Range
}

// Inhibit keeps what Target matches from being told while an alert is open that
// Source matches and that has the same values of Equal.
type Inhibit struct {
	Source, Target *Condition
	Equal          []string
	Body           hcl.Body
	Range          hcl.Range
}

type routeBody struct {
	Name           string         `hcl:"name,optional"`
	Where          *hcl.Attribute `hcl:"where,optional"`
	MinSeverity    string         `hcl:"min_severity,optional"`
	Rules          []string       `hcl:"rules,optional"`
	Kinds          []string       `hcl:"kinds,optional"`
	Sinks          []string       `hcl:"sinks,optional"`
	Continue       bool           `hcl:"continue,optional"`
	GroupBy        []string       `hcl:"group_by,optional"`
	GroupWait      *string        `hcl:"group_wait,optional"`
	GroupInterval  *string        `hcl:"group_interval,optional"`
	RepeatInterval *string        `hcl:"repeat_interval,optional"`
	ResolveAfter   *string        `hcl:"resolve_after,optional"`
	Mutes          []string       `hcl:"mute,optional"`
	Rate           []rateBody     `hcl:"rate,block"`
	Escalate       []escalateBody `hcl:"escalate,block"`
	Routes         []routeBody    `hcl:"route,block"`
	Body           hcl.Body       `hcl:",body"`
	Range          hcl.Range      `hcl:",def_range"`
}

type rateBody struct {
	Max   int       `hcl:"max"`
	Per   string    `hcl:"per"`
	Body  hcl.Body  `hcl:",body"`
	Range hcl.Range `hcl:",def_range"`
}

type escalateBody struct {
	After string    `hcl:"after"`
	Sinks []string  `hcl:"sinks"`
	Body  hcl.Body  `hcl:",body"`
	Range hcl.Range `hcl:",def_range"`
}

type muteBody struct {
	Name     string    `hcl:"name,label"`
	Weekdays []string  `hcl:"weekdays,optional"`
	From     string    `hcl:"from"`
	To       string    `hcl:"to"`
	Zone     string    `hcl:"time_zone,optional"`
	Body     hcl.Body  `hcl:",body"`
	Range    hcl.Range `hcl:",def_range"`
}

type silenceBody struct {
	Name   string         `hcl:"name,label"`
	Where  *hcl.Attribute `hcl:"where"`
	Author string         `hcl:"author"`
	Reason string         `hcl:"reason"`
	From   string         `hcl:"from,optional"`
	Until  string         `hcl:"until"`
	Body   hcl.Body       `hcl:",body"`
	Range  hcl.Range      `hcl:",def_range"`
}

type inhibitBody struct {
	Source *hcl.Attribute `hcl:"source"`
	Target *hcl.Attribute `hcl:"target"`
	Equal  []string       `hcl:"equal,optional"`
	Body   hcl.Body       `hcl:",body"`
	Range  hcl.Range      `hcl:",def_range"`
}

// condition is nil where there is none.
func condition(attr *hcl.Attribute, src []byte) *Condition {
	if attr == nil {
		return nil
	}
	r := attr.Expr.Range()
	if !r.CanSliceBytes(src) {
		return &Condition{attr.Expr, ""}
	}
	return &Condition{attr.Expr, string(r.SliceBytes(src))}
}

// maxTime bounds every time of a route.
const maxTime = 30 * 24 * time.Hour

func (b routeBody) route(src []byte, top bool) (Route, hcl.Diagnostics) {
	p := parser{body: b.Body, at: b.Range}
	r := Route{
		Name: b.Name, Where: condition(b.Where, src), MinSeverity: b.MinSeverity, Rules: b.Rules, Kinds: b.Kinds, Sinks: b.Sinks, Continue: b.Continue, Body: b.Body, Range: b.Range,
		Notify: Notify{
			GroupBy: b.GroupBy, Mutes: b.Mutes,
			GroupWait: p.time("group_wait", b.GroupWait, 0), GroupInterval: p.time("group_interval", b.GroupInterval, time.Second),
			RepeatInterval: p.time("repeat_interval", b.RepeatInterval, 0), ResolveAfter: p.time("resolve_after", b.ResolveAfter, time.Minute),
		},
	}
	if b.MinSeverity != "" {
		p.severity("min_severity", b.MinSeverity)
	}
	if top && b.Sinks == nil {
		p.fail("sinks", "Missing sinks", "A route names the sinks of its alerts: sinks = [\"kind/name\"]. Only a route within another may leave them out, and has those of the route around it.")
	}
	for _, k := range b.Kinds {
		p.choice("kinds", k, "detection", "policy", "summary", "upstream", "risk", "health")
	}
	r.Notify.Rate = p.rate(b.Rate)
	r.Notify.Escalate = p.escalate(b.Escalate)
	for _, child := range b.Routes {
		c, diags := child.route(src, false)
		r.Routes, p.diags = append(r.Routes, c), append(p.diags, diags...)
	}
	return r, p.diags
}

// time is nil where nothing is said.
func (p *parser) time(attr string, text *string, low time.Duration) *time.Duration {
	if text == nil {
		return nil
	}
	d := p.duration(attr, or(*text, "?"), low, low, maxTime)
	return &d
}

func (p *parser) rate(blocks []rateBody) *Rate {
	if len(blocks) == 0 {
		return nil
	}
	p.once("rate", len(blocks))
	b := blocks[0]
	in := parser{body: b.Body, at: b.Range}
	r := Rate{b.Max, in.duration("per", or(b.Per, "?"), time.Minute, time.Second, maxTime)}
	if b.Max < 1 || b.Max > 100 {
		in.fail("max", "Number out of range", "max is %d; it must lie between 1 and 100.", b.Max)
	}
	p.diags = append(p.diags, in.diags...)
	return &r
}

func (p *parser) escalate(blocks []escalateBody) *Escalate {
	if len(blocks) == 0 {
		return nil
	}
	p.once("escalate", len(blocks))
	b := blocks[0]
	in := parser{body: b.Body, at: b.Range}
	e := Escalate{in.duration("after", or(b.After, "?"), time.Hour, time.Second, maxTime), b.Sinks}
	p.diags = append(p.diags, in.diags...)
	return &e
}

func (p *parser) once(block string, n int) {
	if n > 1 {
		p.fail(block, "Duplicate block", "A route has one %s block; this one has %d.", block, n)
	}
}

// addRouting adds what the file says of routes, mutes, silences and inhibitions.
func (c *Config) addRouting(b *fileBody, src []byte) (diags hcl.Diagnostics) {
	for _, r := range b.Routes {
		route, d := r.route(src, true)
		c.Routes, diags = append(c.Routes, route), append(diags, d...)
	}
	for _, m := range b.Mutes {
		diags = append(diags, c.addMute(m)...)
	}
	for _, s := range b.Silences {
		diags = append(diags, c.addSilence(s, src)...)
	}
	for _, i := range b.Inhibits {
		c.Inhibits = append(c.Inhibits, Inhibit{condition(i.Source, src), condition(i.Target, src), i.Equal, i.Body, i.Range})
	}
	return diags
}

func (c *Config) addMute(b muteBody) hcl.Diagnostics {
	p := parser{body: b.Body, at: b.Range}
	m := Mute{Name: b.Name, Zone: b.Zone, Body: b.Body, Range: b.Range, From: p.clock("from", b.From), To: p.clock("to", b.To)}
	if m.From == 24*60 {
		p.fail("from", "Invalid time of the day", "A mute begins before 24:00; write \"00:00\" and the next weekday.")
	}
	for _, text := range b.Weekdays {
		m.Weekdays = append(m.Weekdays, p.weekday("weekdays", text))
	}
	if b.Zone != "" {
		if _, err := time.LoadLocation(b.Zone); err != nil || b.Zone == "Local" {
			p.fail("time_zone", "Unknown time zone", "There is no time zone %q. Use a name of the time zone database, such as \"Europe/Berlin\".", b.Zone)
		}
	}
	c.Mutes = append(c.Mutes, m)
	return p.diags
}

// clock is minutes since midnight, 24:00 included.
func (p *parser) clock(attr, text string) int {
	hours, minutes, ok := strings.Cut(text, ":")
	h, err := strconv.ParseUint(hours, 10, 8)
	m, err2 := strconv.ParseUint(minutes, 10, 8)
	if !ok || err != nil || err2 != nil || len(text) != 5 || m > 59 || h*60+m > 24*60 {
		p.fail(attr, "Invalid time of the day", "%q is no time of the day: write \"22:00\".", text)
		return 0
	}
	return int(h*60 + m)
}

func (p *parser) weekday(attr, text string) time.Weekday {
	days := []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	for i, d := range days {
		if strings.EqualFold(text, d) || strings.EqualFold(text, d[:3]) {
			return time.Weekday(i)
		}
	}
	p.fail(attr, "Unknown weekday", "%q is no weekday; write one of %s.%s", text, strings.Join(days, ", "), Suggest(text, days))
	return 0
}

func (c *Config) addSilence(b silenceBody, src []byte) hcl.Diagnostics {
	p := parser{body: b.Body, at: b.Range}
	s := Silence{Name: b.Name, Where: condition(b.Where, src), Author: b.Author, Reason: b.Reason, Body: b.Body, Range: b.Range, From: p.instant("from", b.From, true), Until: p.instant("until", b.Until, false)}
	for _, text := range [][2]string{{"author", b.Author}, {"reason", b.Reason}} {
		if strings.TrimSpace(text[1]) == "" {
			p.fail(text[0], "Empty "+text[0], "A silence says who keeps people from being told, and why.")
		}
	}
	if !s.Until.IsZero() && !s.From.Before(s.Until) {
		p.fail("until", "Silence ends before it begins", "from is %s.", s.From.Format(time.RFC3339))
	}
	c.Silences = append(c.Silences, s)
	return p.diags
}

func (p *parser) instant(attr, text string, optional bool) time.Time {
	if text == "" && optional {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.fail(attr, "Invalid time", "%q is no time of RFC 3339: write \"2026-12-01T08:00:00Z\".", text)
	}
	return t.UTC()
}

// crossCheckRouting checks what names what.
func (c *Config) crossCheckRouting(sinks []string) (diags hcl.Diagnostics) {
	mutes := named{what: "mute"}
	for _, m := range c.Mutes {
		diags = append(diags, mutes.add(m.Name, m.Range)...)
	}
	silences := named{what: "silence"}
	for _, s := range c.Silences {
		diags = append(diags, silences.add(s.Name, s.Range)...)
	}
	routes := named{what: "route"}
	for _, r := range c.Routes {
		diags = append(diags, r.crossCheck(&routes, sinks, mutes.names)...)
	}
	return diags
}

// named are blocks whose names must differ.
type named struct {
	what  string
	names []string
	at    map[string]hcl.Range
}

func (n *named) add(name string, at hcl.Range) hcl.Diagnostics {
	if old, ok := n.at[name]; ok {
		return hcl.Diagnostics{errorf(&at, "duplicate_name", "Duplicate "+n.what, "A %s %q is already defined at %s. Names must differ: state is kept under them.", n.what, name, old)}
	}
	if n.at == nil {
		n.at = map[string]hcl.Range{}
	}
	n.names, n.at[name] = append(n.names, name), at
	if !validName(name) {
		return hcl.Diagnostics{errorf(&at, "bad_name", "Bad name", "The name %q must be 1 to 64 letters, digits, '-' or '_'.", name)}
	}
	return nil
}

func (r *Route) crossCheck(routes *named, sinks, mutes []string) (diags hcl.Diagnostics) {
	if r.Name != "" {
		diags = routes.add(r.Name, r.Range)
	}
	unknown := func(attr, what, name string, known []string) {
		rng := AttributeRange(r.Body, attr, r.Range)
		diags = append(diags, errorf(&rng, diag.Code("unknown_"+what), "Unknown "+what, "The route names the %s %q, which does not exist%s.%s", what, name, map[string]string{"sink": ", or takes events and no alerts"}[what], Suggest(name, known)))
	}
	for _, name := range r.Sinks {
		if !contains(sinks, name) {
			unknown("sinks", "sink", name, sinks)
		}
	}
	if e := r.Notify.Escalate; e != nil {
		for _, name := range e.Sinks {
			if !contains(sinks, name) {
				unknown("escalate.sinks", "sink", name, sinks)
			}
		}
	}
	for _, name := range r.Notify.Mutes {
		if !contains(mutes, name) {
			unknown("mute", "mute", name, mutes)
		}
	}
	for i := range r.Routes {
		diags = append(diags, r.Routes[i].crossCheck(routes, sinks, mutes)...)
	}
	return diags
}
