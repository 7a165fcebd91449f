package detect

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// carried is one alert of the provider that we carry on.
type carried struct {
	ID       event.ID
	Seq      uint32
	Opened   int64
	Updated  int64 // the provider's time of its last update
	Content  event.ID
	Resolved bool
	App      event.App
	Title    string
	Upstream string // the provider's id
}

// carry begins to carry an upstream alert on. Its id tells apart what the same
// rule carried before it was off, or before it forgot: sequences begin at 0 again.
func (m *Machine) carry(r *rule.Rule, st *ruleState, e *event.Event) {
	c := &carried{
		ID:     event.NewID("alert", m.opt.Tenant, r.ID, e.Upstream.AlertID, e.ID.String(), e.Content.String(), strconv.FormatInt(st.Since, 10)),
		Opened: nanos(opened(e)), App: e.App.Clone(), Title: strings.Clone(e.Upstream.Title), Upstream: strings.Clone(e.Upstream.AlertID),
	}
	st.Upstream[text(e.ID.String())] = c
	m.evicted(r.ID, evict(st.Upstream, m.opt.MaxKeys, func(c *carried) int64 { return c.Opened }))
	m.tell(r, c, e, event.AlertNew)
}

// opened is when the provider opened its alert; the event is its last update.
func opened(e *event.Event) time.Time {
	if e.Upstream.Created.IsZero() {
		return e.Time
	}
	return e.Upstream.Created
}

// follow tells an update of an alert that we already carry on; false = unknown.
// What the provider resolved or changed is told whatever `where` says by now.
func (m *Machine) follow(r *rule.Rule, st *ruleState, e *event.Event) bool {
	c := st.Upstream[text(e.ID.String())]
	if c == nil {
		return false
	}
	if e.Content == c.Content || nanos(e.Upstream.Updated) < c.Updated {
		return true
	}
	c.Seq++
	m.tell(r, c, e, event.AlertUpdated)
	return true
}

func (m *Machine) tell(r *rule.Rule, c *carried, e *event.Event, state event.AlertState) {
	u := e.Upstream
	c.Updated, c.Content, c.Resolved = nanos(u.Updated), e.Content, u.Status == "resolved"
	if c.Resolved {
		state = event.AlertResolved
	}
	a := m.alert(r, e)
	a.Kind, a.ID, a.Sequence, a.State = event.AlertUpstream, c.ID, c.Seq, state
	a.Opened, a.DedupeKey, a.Count = moment(c.Opened), c.Upstream, 1
	copied := *u
	a.Upstream = &copied
	if u.Title != "" {
		a.Title = u.Title
	}
	if u.Severity != 0 {
		a.Severity = u.Severity
	}
	a.Techniques = slices.Concat(r.Techniques, u.Techniques)
	slices.Sort(a.Techniques)
	a.Techniques = slices.Compact(a.Techniques)
	if c.Resolved {
		a.Reason = "resolved by the provider"
	}
	m.addEvidence(&a, r, e, nil)
	m.emitRule(r, a)
}
