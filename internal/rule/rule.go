// Package rule owns the language: parsing, type checking, compiling, the index
// and the explanation of a verdict. It keeps no state between events and does
// no I/O.
package rule

import (
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Truth is the verdict of an expression: three-valued, because a field that a
// provider does not expose is unknown, never zero. A rule fires on True alone.
type Truth int8

// Verdicts.
const (
	False Truth = iota
	True
	Unknown
)

// Env is what an expression sees. It is read only and used for one evaluation.
type Env struct {
	Event *event.Event   // nil when a policy is evaluated
	App   *event.AppView // the app that the event is about; nil = not in the inventory
	// AppOrigin is whose the app is by the record's own word, for where the
	// inventory does not tell.
	AppOrigin string
	Actor     *event.AppView // the acting app, for app-initiated events; nil = none or not in the inventory
	Risk      int            // of the app at Now, before the event at hand
	RiskKnown bool
	Usage     Usage         // nil: no use of any app is known
	Now       time.Time     // event time for rules, tick time for policies
	Compared  Compared      // what the rule's compare found; for alerts
	Steps     [][]Value     // what the steps of a sequence captured
	Silence   time.Duration // how long an absence lasted; for alerts, 0 = none
	Alert     *event.Alert  // what an AlertFilter looks at
}

// Mode of a rule or policy.
type Mode uint8

// Modes.
const (
	ModeActive Mode = iota
	ModeAudit       // evaluated and counted, no alert leaves
	ModeOff
	ModeScore // adds its points to the risk of its entities; no alert leaves
)

// Key is a compiled list of expressions that names a group (`by`, `key`,
// `distinct`). Append writes an unambiguous encoding of the values; ok is false
// when one of them is unknown.
type Key interface {
	Append(dst []byte, env *Env) (key []byte, ok bool)
}

// Rule is one compiled rule on events. It is immutable.
type Rule struct {
	ID         string
	Revision   string // hash of its text
	State      string // hash of what gives its state a meaning: on, where and the blocks that remember
	Title      string
	Severity   event.Severity
	Techniques []string
	References []string
	On         []string // canonical actions
	Mode       Mode
	Thresholds []*Threshold // all must hold
	FirstSeen  *FirstSeen
	Compare    *Compare
	Sequence   *Sequence
	Absence    *Absence
	Suppress   *Suppress
	Exceptions []*Exception // that name it, by id
	Points     Points
	ShadowOf   string // the rule that it is compared with; "" = none
	DedupeBy   Key    // alert identity; nil = the event itself
	Evidence   int    // events named in one alert; 0 = as many as the machine is set to

	titled  stringExpr   // nil = Title as it is
	graded  severityExpr // nil = Severity always
	where   predicate
	rest    predicate // what the index does not prove of where
	found   *access   // where its events are found by; nil = anywhere
	free    bool      // it has no where
	score   intExpr
	summary stringExpr
}

// Threshold holds when what falls within a sliding window of event time per key
// amounts to Count at least, or to AtMost at most: matches, different values where
// Distinct is given, or the sum of Value where Sums is set.
type Threshold struct {
	Count    int
	AtMost   int // -1 = not asked
	Distinct Key // nil = count events
	Sums     bool
	By       Key
	Within   time.Duration
	MaxKeys  int

	where predicate
	value numFunc
}

// Counts tells whether the event at hand is one that the threshold looks at.
func (t *Threshold) Counts(env *Env) Truth { return t.where(env) }

// Value is what a sum adds for the event at hand; false = unknown.
func (t *Threshold) Value(env *Env) (int64, bool) { return t.value(env) }

// FirstSeen fires when Key was seen at most AtMost times during History, once
// MinHistory has passed since the rule began to look.
type FirstSeen struct {
	Key        Key
	AtMost     int
	History    time.Duration
	MinHistory time.Duration
	MaxKeys    int
}

// Suppress swallows further alerts with the same key for a while.
type Suppress struct {
	By  Key
	For time.Duration
}

// Policy is a compiled condition on the inventory. It is immutable.
type Policy struct {
	ID         string
	Revision   string
	Title      string
	Severity   event.Severity
	Techniques []string
	References []string
	Mode       Mode
	Exceptions []*Exception // that name it, by id
	Points     Points
	ShadowOf   string // the policy that it is compared with; "" = none

	titled  stringExpr   // nil = Title as it is
	graded  severityExpr // nil = Severity always
	where   predicate
	score   intExpr
	summary stringExpr
}

type severityExpr func(*Env) event.Severity
type predicate func(*Env) Truth
type intExpr func(*Env) int
type stringExpr func(*Env) string

// Match evaluates the rule's `where`; a rule without one is True.
func (r *Rule) Match(env *Env) Truth { return r.where(env) }

// Remembers reports whether what r concludes depends on earlier events.
func (r *Rule) Remembers() bool {
	return len(r.Thresholds) > 0 || r.FirstSeen != nil || r.Compare != nil || r.Sequence != nil || r.Absence != nil
}

// Holds tells whether Match is True of a rule that a Matcher gave for env: of what
// the Matcher knows nothing is asked again.
func (r *Rule) Holds(env *Env) bool { return r.rest(env) == True }

// Unconditional reports whether r takes every event of its actions by design.
func (r *Rule) Unconditional() bool { return r.free }

// Score is the rule's score for env, 0-100.
func (r *Rule) Score(env *Env) int { return r.score(env) }

// TitleOf is the alert's title for env.
func (r *Rule) TitleOf(env *Env) string {
	if r.titled == nil {
		return r.Title
	}
	return r.titled(env)
}

// SeverityOf is the alert's severity for env.
func (r *Rule) SeverityOf(env *Env) event.Severity {
	if r.graded == nil {
		return r.Severity
	}
	return r.graded(env)
}

// Summary is the alert's one-line summary for env.
func (r *Rule) Summary(env *Env) string { return r.summary(env) }

// Match evaluates the policy's `where`.
func (p *Policy) Match(env *Env) Truth { return p.where(env) }

// TitleOf is the title of an alert on one app.
func (p *Policy) TitleOf(env *Env) string {
	if p.titled == nil {
		return p.Title
	}
	return p.titled(env)
}

// SeverityOf is the severity of an alert on one app.
func (p *Policy) SeverityOf(env *Env) event.Severity {
	if p.graded == nil {
		return p.Severity
	}
	return p.graded(env)
}

// Score is the policy's score for env, 0-100.
func (p *Policy) Score(env *Env) int { return p.score(env) }

// Summary is the alert's one-line summary for env.
func (p *Policy) Summary(env *Env) string { return p.summary(env) }

// Set is all rules and policies in force. It is immutable.
type Set struct {
	Rules      []*Rule      // sorted by ID
	Policies   []*Policy    // sorted by ID
	Exceptions []*Exception // sorted by ID
	Shadows    []Shadow
	Risks      []*Risk // sorted by entity; that of apps is always there
	Revision   string  // hash of the blob

	byAction map[string]*index
	memos    int // that a Matcher needs
	tiers    *tierTable
	probes   map[string][]Probe
	sources  map[string]Source
	lists    map[string]*list
	zone     *time.Location
	own      []string
}

// Own are the client ids by which appgovd itself reads the tenant.
func (s *Set) Own() []string { return s.own }

// Only is a set of those rules alone, with what they name and without policies.
func (s *Set) Only(ids []string) *Set {
	out := &Set{Exceptions: s.Exceptions, Risks: s.Risks, Revision: s.Revision, byAction: map[string]*index{}, tiers: s.tiers, probes: s.probes, sources: s.sources, lists: s.lists, zone: s.zone, own: s.own}
	for _, r := range s.Rules {
		if slices.Contains(ids, r.ID) {
			out.Rules = append(out.Rules, r)
		}
	}
	out.index()
	return out
}

// Candidates returns all rules of an action, sorted by ID. A Matcher finds those
// among them that an event can match.
func (s *Set) Candidates(action string) []*Rule {
	if x := s.byAction[action]; x != nil {
		return x.rules
	}
	return nil
}

// Tier grades one permission: 1 (control plane) to 4 (harmless), 0 unknown. api
// is the resource's app id or "" for Microsoft Graph; kind is "delegated" or
// "application".
func (s *Set) Tier(api, kind, name string) int8 { return s.tiers.tier(api, kind, name) }

// String is the mode as rules write it.
func (m Mode) String() string { return [...]string{"active", "audit", "off", "score"}[m] }
