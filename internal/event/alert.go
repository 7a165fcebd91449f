package event

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// DetectionSource is the literal that every alert carries as detection_source.
const DetectionSource = "App Governance"

// Severity of an alert. The zero value is invalid.
type Severity uint8

// Severities, rising.
const (
	SeverityInformational Severity = iota + 1
	SeverityLow
	SeverityMedium
	SeverityHigh
	SeverityCritical
)

// String is the lower-case name, "" for the zero value.
func (s Severity) String() string {
	if s >= SeverityInformational && s <= SeverityCritical {
		return [...]string{"", "informational", "low", "medium", "high", "critical"}[s]
	}
	return ""
}

// ParseSeverity is the inverse of String; ok is false for other text.
func ParseSeverity(s string) (Severity, bool) {
	for v := SeverityInformational; v <= SeverityCritical; v++ {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}

// AlertState is where an alert is in its life.
type AlertState string

// States of an alert.
const (
	AlertNew      AlertState = "new"
	AlertUpdated  AlertState = "updated"
	AlertResolved AlertState = "resolved"
)

// Alert kinds.
const (
	AlertDetection = "detection" // a rule on events
	AlertPolicy    = "policy"    // a policy on the inventory
	AlertSummary   = "summary"   // what a policy found on day one, in one alert
	AlertUpstream  = "upstream"  // the provider's own alert, carried on
	AlertRisk      = "risk"      // the points of an app or actor crossed a line
	AlertHealth    = "health"    // appgovd about itself
)

// AlertKinds are all of them.
func AlertKinds() []string {
	return []string{AlertDetection, AlertPolicy, AlertSummary, AlertUpstream, AlertRisk, AlertHealth}
}

// Alert is one emission. ID is stable over updates; DeliveryID is unique per
// emission: every document that leaves carries both.
type Alert struct {
	ID         ID // NewID("alert", tenant, rule id, dedupe key, opening event or tick)
	DeliveryID ID // NewID("delivery", ID, Sequence)
	Sequence   uint32
	State      AlertState
	Kind       string

	Provider, Tenant string
	RuleID           string
	RuleRevision     string
	Title            string
	Summary          string
	Severity         Severity
	Score            int // 0-100
	Techniques       []string
	References       []string

	Time     time.Time // of the event or tick that caused this emission
	Opened   time.Time // of the first
	Backfill bool

	App       App
	AppOrigin string
	AppTier   int8
	AppRisk   int // 0-100: of the app behind this alert, its own points included
	Actor     Actor
	Target    Entity
	Resource  Entity
	Origin    Origin
	Action    string

	DedupeKey     string
	Count         int        // matches so far
	Evidence      []Evidence // capped
	EvidenceTotal int
	Reason        string // why it was resolved, or what a summary counts
	Labels        []Detail
	Upstream      *Upstream
	Group         *Group // of a notice, which stands for several alerts; nil = one alert by itself
	Event         *Event // set where it is no alert but an event that is handed on (see Forwarded)
}

// KindEvent is the Kind of an event that is handed on.
const KindEvent = "event"

// Forwarded is an event on its way to a sink, which takes it as it takes alerts. Its ids
// are those of the event; another version of the record is another delivery. It keeps e.
func Forwarded(e *Event) Alert {
	return Alert{
		ID: e.ID, DeliveryID: NewID("delivery", e.ID.String(), itoa(uint64(e.Version))), Sequence: e.Version, Kind: KindEvent,
		Provider: e.Provider, Tenant: e.Tenant, Title: cmp.Or(e.Activity, e.Action), Time: e.Time, Opened: e.Time, Backfill: e.Backfill,
		App: e.App, Actor: e.Actor, Target: e.Target, Resource: e.Resource, Origin: e.Origin, Action: e.Action, Event: e,
	}
}

// Group is what a notice says of the alerts that it stands for.
type Group struct {
	Route      string          // name of the route that grouped them
	Labels     []Detail        // fields that they have in common, as the route names them
	Total      uint64          // alerts so far, those that are over included
	Open       uint64          // alerts that are not over
	Severities []SeverityCount // of the open ones that are not left out, the gravest first
	Rules      []RuleCount     // of the same, the most frequent first; capped
	First      time.Time       // when the first of them happened
	Last       time.Time       // when the last news of them came
	Members    []Member        // the gravest, then newest of the same; capped
	Silenced   uint64          // open, and left out because somebody silenced them
	Inhibited  uint64          // open, and left out because a graver alert stands for them
	Counted    uint64          // of the same, known by number alone: there are too many
	Groups     uint64          // groups that a summary stands for; 0 = it is one group
}

// String says in one line what the group is and how many alerts it has.
func (g *Group) String() string {
	var b strings.Builder
	b.WriteString(g.Route)
	for i, l := range g.Labels {
		b.WriteString(first(i, " ", ", ") + l.Name + "=" + l.Value)
	}
	if g.Groups > 0 {
		fmt.Fprintf(&b, ": %d groups, %d of %d alerts open", g.Groups, g.Open, g.Total)
	} else {
		fmt.Fprintf(&b, ": %d of %d alerts open", g.Open, g.Total)
	}
	for i, s := range g.Severities {
		b.WriteString(first(i, " (", ", ") + itoa(s.Alerts) + " " + s.Severity.String())
	}
	if len(g.Severities) > 0 {
		b.WriteByte(')')
	}
	if g.Silenced+g.Inhibited > 0 {
		fmt.Fprintf(&b, "; %d silenced, %d inhibited", g.Silenced, g.Inhibited)
	}
	return b.String()
}

// first is what stands before the element i of a list.
func first(i int, opening, between string) string {
	if i == 0 {
		return opening
	}
	return between
}

// SeverityCount is how many alerts have a severity.
type SeverityCount struct {
	Severity Severity
	Alerts   uint64
}

// RuleCount is how many alerts are of a rule; RuleID "" = of further rules.
type RuleCount struct {
	RuleID string
	Alerts uint64
}

// Member is one alert of a Group.
type Member struct {
	ID       ID
	RuleID   string
	Severity Severity
	Title    string // capped
}

// Evidence points at one event behind an alert.
type Evidence struct {
	EventID    ID
	UpstreamID string
	Time       time.Time
	Action     string
	Activity   string
	Summary    string
}

// TestRule is the rule of the alerts by which a human tries a sink: nothing has happened.
const TestRule = "health.test"

// SetDelivery fills DeliveryID from ID and Sequence.
func (a *Alert) SetDelivery() {
	a.DeliveryID = NewID("delivery", a.ID.String(), itoa(uint64(a.Sequence)))
}

func itoa(n uint64) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
