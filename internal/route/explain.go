package route

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Step is what one route made of an alert, in the order in which they are tried. A
// route that is not reached, because one before it took the alert, is no step.
type Step struct {
	Route     string   `json:"route"`
	Depth     int      `json:"depth"` // 0 = not within another route
	Matched   bool     `json:"matched"`
	Failed    string   `json:"failed,omitempty"` // the condition that it does not meet, with the value of the alert
	Took      bool     `json:"took"`             // its own sinks are told, not those of a route within it
	Direct    bool     `json:"direct,omitempty"` // it hands alerts on at once
	Sinks     []string `json:"sinks,omitempty"`
	Escalates []string `json:"escalates,omitempty"` // sinks that it tells after a time
	Continue  bool     `json:"continue,omitempty"`  // the routes after it are tried too
}

// Verdict is what becomes of an alert at one sink, and why.
type Verdict struct {
	Sink    string
	Outcome Outcome
	Why     string         // in a sentence
	Policy  *Policy        // of a group
	Labels  []event.Detail // of a group
	Muted   time.Time      // now, until then; zero = not, or without end
	Endless bool           // muted now and for good: its mutes leave no minute of the week free
	Silence *Silence       // that holds for it now; nil = none
}

// Explain tells what every route and every sink, sorted by name, makes of a at now. It
// knows nothing of groups that are open: whether the alert would be inhibited depends
// on them. s may be nil.
func (t *Tree) Explain(a *event.Alert, s *Silences, now time.Time) ([]Step, []Verdict) {
	x := explainer{a: a}
	if !t.own(a) {
		x.try(t.roots, 0)
	}
	var verdicts []Verdict
	for _, name := range slices.Sorted(maps.Keys(t.sinks)) {
		v := Verdict{Sink: name}
		v.Outcome, v.Policy = t.Decide(a, name)
		v.Why = t.why(a, &v, x.steps)
		if v.Policy != nil {
			for _, f := range v.Policy.fields {
				v.Labels = append(v.Labels, event.Detail{Name: f.Name, Value: f.Value(a)})
			}
			until, ends := v.Policy.muteEnds(now)
			if v.Endless = !ends; until.After(now) {
				v.Muted = until
			}
			if s != nil {
				v.Silence = s.match(a, now)
			}
		}
		verdicts = append(verdicts, v)
	}
	return x.steps, verdicts
}

// explainer walks the tree as walk does, for all sinks, and takes notes.
type explainer struct {
	a     *event.Alert
	steps []Step
}

func (x *explainer) try(nodes []*node, depth int) (taken bool) {
	for _, n := range nodes {
		s := Step{Route: n.Name, Depth: depth, Matched: n.matches(x.a), Direct: n.policy == nil, Sinks: n.Sinks, Continue: n.Continue}
		if n.escalate != nil {
			s.Escalates = n.escalate.Sinks
		}
		if !s.Matched {
			s.Failed = n.failed(x.a)
		}
		x.steps = append(x.steps, s)
		if !s.Matched {
			continue
		}
		place := len(x.steps) - 1
		x.steps[place].Took = !x.try(n.children, depth+1)
		if taken = true; !n.Continue {
			return true
		}
	}
	return taken
}

// failed is the first condition of the route that a does not meet.
func (n *node) failed(a *event.Alert) string {
	switch {
	case a.Severity < n.MinSeverity:
		return fmt.Sprintf("min_severity = %q: the alert is %s", n.MinSeverity, orNone(a.Severity.String()))
	case !anyGlob(n.Rules, a.RuleID):
		return fmt.Sprintf("rules = %s: the alert is of %s", quoted(n.Rules), orNone(strconv.Quote(a.RuleID)))
	case !anyGlob(n.Kinds, a.Kind):
		return fmt.Sprintf("kinds = %s: the alert is of kind %s", quoted(n.Kinds), orNone(a.Kind))
	default:
		return "where = " + n.Where.String() + ": it is not true of the alert"
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// why says in a sentence what made the verdict.
func (t *Tree) why(a *event.Alert, v *Verdict, steps []Step) string {
	matched := slices.ContainsFunc(steps, func(s Step) bool { return s.Matched })
	switch {
	case t.own(a):
		return "it is the sink's own alert, which no route keeps from it"
	case v.Outcome == Below:
		return fmt.Sprintf("the sink takes nothing below %s", t.sinks[v.Sink].MinSeverity)
	case v.Outcome == Elsewhere:
		return "the routes that match send it to other sinks"
	case v.Policy != nil && v.Policy.Escalated:
		return fmt.Sprintf("route %s tells this sink of groups that are open after %s", v.Policy.Route, v.Policy.Wait)
	case v.Policy != nil:
		return fmt.Sprintf("route %s groups it, and waits %s", v.Policy.Route, v.Policy.Wait)
	case !matched:
		return "no route matches: it goes to every sink"
	}
	for _, s := range steps {
		if s.Took && slices.Contains(s.Sinks, v.Sink) {
			return fmt.Sprintf("route %s hands it on at once", s.Route)
		}
	}
	return ""
}
