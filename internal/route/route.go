package route

import (
	"cmp"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Matcher is a compiled condition on an alert. It is safe for concurrent use, keeps
// nothing of the alert and gives the same answer for the same alert.
type Matcher interface {
	// Match reports whether the condition is true; unknown is not true.
	Match(a *event.Alert) bool
	// String is the condition as it was written.
	String() string
}

// Route is one route as it is configured. An alert that meets all its conditions is
// tried on Routes first, in order: the first that matches takes it, and the following
// ones see it only when that one has Continue. Where none matches, the route itself
// takes it. What a route leaves unsaid (nil) it has from the one around it.
type Route struct {
	Name        string         // "" = route[1], or route[1].2 for its second child
	Where       Matcher        // nil = every alert
	MinSeverity event.Severity // 0 = every severity
	Rules       []string       // globs over rule ids; empty = all
	Kinds       []string       // globs over alert kinds; empty = all
	Continue    bool
	Sinks       []string // "kind/name"; nil = as the route around it
	Notify      Notify
	Routes      []Route
}

// Notify is how a route tells people. A route that says none of it, and has none of
// it from around it, hands each alert on at once: it is direct.
type Notify struct {
	GroupBy        []string       // names of fields; empty, not nil = all in one group; ByAlert = each by itself
	GroupWait      *time.Duration // from the first alert of a group to its first notice; DefaultGroupWait
	GroupInterval  *time.Duration // between notices of a group, at least; DefaultGroupInterval
	RepeatInterval *time.Duration // after which a group that is open is told again; 0 = never
	ResolveAfter   *time.Duration // after which an alert without news is over; DefaultResolveAfter
	Rate           *Rate
	Mutes          []string  // names of Mutes; empty, not nil = none
	Escalate       *Escalate // nil = as the route around it
}

// ByAlert alone in GroupBy puts every alert in a group of its own.
const ByAlert = "..."

// What a notification route does where it says nothing.
const (
	DefaultGroupWait     = 30 * time.Second
	DefaultGroupInterval = 5 * time.Minute
	DefaultResolveAfter  = 24 * time.Hour
)

// Rate is how many notices a route may send to a sink in any span of Per. What is
// due beyond it is merged into one summary.
type Rate struct {
	Max int // 1 to MaxRate; 0 = no limit
	Per time.Duration
}

// MaxRate is the highest Rate.Max.
const MaxRate = 100

// Escalate tells Sinks of a group that is still open After its first alert.
type Escalate struct {
	After time.Duration
	Sinks []string // "kind/name"
}

// Sink is a destination as routing knows it.
type Sink struct {
	Name        string         // "kind/name"
	MinSeverity event.Severity // nothing below reaches it, whatever routes say; 0 = everything does
}

// Config is all that a Tree is made of.
type Config struct {
	Routes   []Route
	Sinks    []Sink
	Mutes    []Mute
	Inhibits []Inhibit
	// Own tells of alerts that are the sink's own, as the one that stands in place of
	// dropped ones: they reach it at once whatever routes say. nil = there are none.
	Own func(*event.Alert) bool
	// Zone is that of mutes that have none, nil = UTC; Zones are those of tenants, which
	// come before it for their alerts.
	Zone  *time.Location
	Zones map[string]*time.Location
}

// Policy is what a notification route does with the alerts of one sink, everything
// inherited filled in.
type Policy struct {
	Route        string
	GroupBy      []string
	Wait         time.Duration // of an escalation: its age
	Interval     time.Duration
	Repeat       time.Duration // 0 = never
	ResolveAfter time.Duration
	Rate         Rate
	Mutes        []string
	Escalated    bool // the sink is told because the group grows old

	id     event.ID // of route and grouping: a group of another id is of another configuration
	prefix string   // id, as the keys of its groups begin
	fields []Field
	mutes  []*Mute            // each with its zone
	zoned  map[string]*Policy // of tenants whose zone is another one, the same by their clocks
}

// of is the policy for the tenant of a, nil where p is.
func (p *Policy) of(a *event.Alert) *Policy {
	if p != nil && p.zoned[a.Tenant] != nil {
		return p.zoned[a.Tenant]
	}
	return p
}

// all are p and those of zones, in any order.
func (p *Policy) all() iter.Seq[*Policy] {
	return func(yield func(*Policy) bool) {
		if !yield(p) {
			return
		}
		for _, z := range p.zoned {
			if !yield(z) {
				return
			}
		}
	}
}

// node is a route with everything that it inherits.
type node struct {
	Route
	policy   *Policy // nil = direct
	escalate *Escalate
	old      *Policy // of the sinks of escalate
	children []*node
}

// Tree is a checked configuration of routing. It never changes and is safe for
// concurrent use.
type Tree struct {
	roots    []*node
	sinks    map[string]Sink
	mutes    map[string]*Mute
	inhibits []Inhibit
	own      func(*event.Alert) bool
}

// NewTree checks c and makes a tree of it. Errors name the route, the silence or the
// mute that is wrong, one per line.
func NewTree(c Config) (*Tree, error) {
	b := builder{Tree: &Tree{sinks: map[string]Sink{}, mutes: map[string]*Mute{}, inhibits: c.Inhibits, own: c.Own}, zone: cmp.Or(c.Zone, time.UTC), zones: c.Zones, names: map[string]bool{}}
	if b.own == nil {
		b.own = func(*event.Alert) bool { return false }
	}
	for _, s := range c.Sinks {
		b.sinks[s.Name] = s
	}
	b.addMutes(c.Mutes)
	b.checkInhibits(c.Inhibits)
	for i, r := range c.Routes {
		b.roots = append(b.roots, b.add(r, "route["+strconv.Itoa(i+1)+"]", inherited{}))
	}
	return b.Tree, b.err()
}

// Notifies reports whether a route groups alerts for the sink: then it needs a board. One
// whose board still has groups from before a reload needs it too: they are told as they
// stand.
func (t *Tree) Notifies(sink string) bool {
	return slices.ContainsFunc(t.roots, func(n *node) bool { return n.notifies(sink) })
}

func (n *node) notifies(sink string) bool {
	return n.policy != nil && slices.Contains(n.Sinks, sink) || n.escalate != nil && slices.Contains(n.escalate.Sinks, sink) ||
		slices.ContainsFunc(n.children, func(c *node) bool { return c.notifies(sink) })
}

// Outcome is what becomes of an alert at one sink.
type Outcome uint8

// Outcomes.
const (
	Elsewhere Outcome = iota + 1 // routes send it to other sinks only
	Below                        // its severity is below what the sink takes
	Direct                       // it is handed on at once
	Grouped                      // it joins a group of the sink's board
)

// String is a short word.
func (o Outcome) String() string {
	names := [...]string{"", "elsewhere", "below_min_severity", "direct", "grouped"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Decide is what becomes of a at the sink, with the policy of its group where it is
// Grouped. The first route that names the sink decides, an escalation only where no
// route names it otherwise. An alert that no route matches is Direct at every sink.
func (t *Tree) Decide(a *event.Alert, sink string) (Outcome, *Policy) {
	if t.own(a) {
		return Direct, nil
	}
	if a.Severity < t.sinks[sink].MinSeverity {
		return Below, nil
	}
	if len(t.roots) == 0 {
		return Direct, nil
	}
	w := walk{a: a, sink: sink}
	w.try(t.roots)
	switch {
	case w.direct:
		return Direct, nil
	case w.policy != nil:
		return Grouped, w.policy
	case w.old != nil:
		return Grouped, w.old
	case w.matched:
		return Elsewhere, nil
	}
	return Direct, nil
}

// walk follows one alert down the tree for one sink.
type walk struct {
	a       *event.Alert
	sink    string
	matched bool
	direct  bool
	policy  *Policy
	old     *Policy
}

// try reports whether the alert was taken by one of nodes.
func (w *walk) try(nodes []*node) (taken bool) {
	for _, n := range nodes {
		if !n.matches(w.a) {
			continue
		}
		taken, w.matched = true, true
		if !w.try(n.children) {
			w.take(n)
		}
		if w.direct || w.policy != nil || !n.Continue {
			return true
		}
	}
	return taken
}

func (w *walk) take(n *node) {
	if slices.Contains(n.Sinks, w.sink) {
		w.direct, w.policy = n.policy == nil, n.policy.of(w.a)
	}
	if w.old == nil && n.escalate != nil && slices.Contains(n.escalate.Sinks, w.sink) {
		w.old = n.old.of(w.a)
	}
}

func (n *node) matches(a *event.Alert) bool {
	return a.Severity >= n.MinSeverity && anyGlob(n.Rules, a.RuleID) && anyGlob(n.Kinds, a.Kind) && (n.Where == nil || n.Where.Match(a))
}

func anyGlob(globs []string, s string) bool {
	for _, g := range globs {
		if ok, err := path.Match(g, s); ok && err == nil {
			return true
		}
	}
	return len(globs) == 0
}

// each calls f for every route.
func (t *Tree) each(f func(*node)) {
	var down func([]*node)
	down = func(nodes []*node) {
		for _, n := range nodes {
			f(n)
			down(n.children)
		}
	}
	down(t.roots)
}
