package inventory

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// maxFacts bounds what is kept of audit events that explain grants.
const maxFacts = 200_000

// anyPermission stands for an audit event that names no permission.
const anyPermission = "*"

// facts is what the audit log said about grants, and the grants that still wait
// for an explanation.
type facts struct {
	from    int64              // the audit log is known without a hole from here on, unix ns; 0 = not read yet
	said    map[fact]int64     // newest audit event, unix ns
	waiting map[string]waiting // by grant id
}

// fact: some app was given some permission.
type fact struct {
	App        string // app id or object id of the principal
	Permission string // name or role id, lower case, or anyPermission
}

// waiting is a grant that appeared and whose audit event has not been seen yet.
type waiting struct {
	Seen        int64    // when the grant was first seen, unix ns
	Absent      int64    // when it was last known not to exist, unix ns
	Permissions []string // lower-case names and role ids that are new
}

func newFacts() facts {
	return facts{said: map[fact]int64{}, waiting: map[string]waiting{}}
}

func (f *facts) forget(grant string) { delete(f.waiting, grant) }

// Observe takes from an event what the inventory keeps of it: the last use of
// an app from sign-ins that succeeded, and which grants the audit log explains.
func (m *Model) Observe(e *event.Event) {
	if e.Class == event.ClassAudit {
		m.audited(e.Time)
	}
	m.observeUse(e)
	if e.Result == event.ResultFailure {
		return
	}
	switch {
	case e.Class == event.ClassSignIn:
		m.use(e)
	case e.Action == event.ActionConsentGranted, e.Action == event.ActionPermissionGranted,
		e.Action == event.ActionAppRestored: // brings its grants back, and no record of each
		m.explain(e)
	}
}

// audited notes from when on the audit log is read: its first record or watermark.
func (m *Model) audited(at time.Time) {
	if m.facts.from == 0 && !at.IsZero() {
		m.facts.from = at.UnixNano()
	}
}

// AuditGap says that the audit log was not read up to a moment: a grant that may
// have been made before it can no longer be called unexplained.
func (m *Model) AuditGap(to time.Time) {
	m.facts.from = max(m.facts.from, nanos(to))
}

func (m *Model) use(e *event.Event) {
	key := e.App.Key()
	if key == "" {
		return
	}
	before, known := m.used[key]
	if at := nanos(e.Time); !known || at > before {
		m.used[m.own(key)] = at // a map takes the new key even where it has an equal one
	}
	if !known {
		m.forgetStrangers()
	}
}

// own is key, which lies in an event, in memory of the model's.
func (m *Model) own(key string) string {
	if a := m.client(key); a != nil && a.view != nil && a.view.AppID == key {
		return a.view.AppID
	}
	return strings.Clone(key)
}

// forgetStrangers drops the last use of apps that the inventory does not know where there
// are too many: those used longest ago, then by key, a tenth of the bound at once.
func (m *Model) forgetStrangers() {
	if len(m.used) <= m.opt.MaxStrangers+2*len(m.objects) { // a known app has two ids at most
		return
	}
	var strangers []string
	for key := range m.used {
		if m.apps[key] == nil && m.objects[key] == nil {
			strangers = append(strangers, key)
		}
	}
	slices.SortFunc(strangers, func(a, b string) int { return cmp.Or(cmp.Compare(m.used[a], m.used[b]), strings.Compare(a, b)) })
	for _, key := range strangers[:len(strangers)-m.opt.MaxStrangers+m.opt.MaxStrangers/10] {
		delete(m.used, key)
	}
}

// Collected says that the sign-ins of source are known from since on. The first
// call for a source counts.
func (m *Model) Collected(source string, since time.Time) {
	if _, ok := m.collect[source]; !ok && !since.IsZero() {
		m.collect[source], m.covers = since.UnixNano(), [2]cover{}
		m.uses.forget()
	}
}

// CollectedThrough says that all sign-ins of source before a moment are known.
func (m *Model) CollectedThrough(source string, to time.Time) {
	if !to.IsZero() {
		m.Collected(source, to)
		m.through[source], m.covers = max(m.through[source], to.UnixNano()), [2]cover{}
		m.uses.forget()
		m.uses.forget()
	}
}

func (m *Model) explain(e *event.Event) {
	at, names := nanos(e.Time), eventPermissions(e)
	for _, id := range [...]string{e.App.ID, e.App.AppID, e.App.ObjectID} {
		if id == "" {
			continue
		}
		for _, n := range names {
			if last, ok := m.facts.said[fact{id, n}]; !ok || last < at {
				m.facts.said[fact{strings.Clone(id), strings.Clone(n)}] = at
			}
		}
	}
	m.boundFacts()
}

func eventPermissions(e *event.Event) []string {
	names := make([]string, 0, 2*len(e.Permissions)+len(e.Consent.Scopes))
	for _, p := range e.Permissions {
		if !p.Removed {
			names = appendNames(names, p)
		}
	}
	for _, s := range e.Consent.Scopes {
		if !slices.ContainsFunc(e.Permissions, func(p event.Permission) bool { return !p.Removed && p.Name == s }) {
			names = append(names, strings.ToLower(s))
		}
	}
	if len(names) == 0 {
		return []string{anyPermission}
	}
	return names
}

func permissionNames(p event.Permission) []string { return appendNames(nil, p) }

func appendNames(names []string, p event.Permission) []string {
	for _, s := range [...]string{p.Name, p.ID} {
		if s != "" {
			names = append(names, strings.ToLower(s))
		}
	}
	return names
}

// boundFacts drops the oldest tenth when there are too many facts.
func (m *Model) boundFacts() {
	if len(m.facts.said) <= maxFacts {
		return
	}
	keys := m.sortedFacts()
	slices.SortStableFunc(keys, func(a, b fact) int { return cmp.Compare(m.facts.said[a], m.facts.said[b]) })
	for _, k := range keys[:len(keys)/10] {
		delete(m.facts.said, k)
	}
}

func (m *Model) sortedFacts() []fact {
	keys := make([]fact, 0, len(m.facts.said))
	for k := range m.facts.said {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, fact.compare)
	return keys
}

func (f fact) compare(other fact) int {
	return cmp.Or(strings.Compare(f.App, other.App), strings.Compare(f.Permission, other.Permission))
}

// expect notes that g needs an explanation for the permissions that are new.
func (m *Model) expect(g *grant, s *scope, added []event.Permission) {
	w := waiting{Seen: g.lastAt, Absent: g.lastAt}
	if s != nil && s.Last != 0 {
		w.Absent = s.Last
	}
	if old, ok := m.facts.waiting[g.id]; ok {
		w.Seen, w.Absent, w.Permissions = old.Seen, min(w.Absent, old.Absent), old.Permissions
	}
	for _, p := range added {
		w.Permissions = append(w.Permissions, permissionNames(p)...)
	}
	slices.Sort(w.Permissions)
	w.Permissions = slices.Compact(w.Permissions)
	m.facts.waiting[g.id] = w
}

// Reconcile takes the audit log's watermark: every audit event before through
// has been observed. It returns one inventory.grant.unexplained event per grant
// that appeared without one, in order of first sight, stamped with at. One
// permission that an audit event names explains a grant; so does an audit event
// of that app that names none. A grant that may be older than what is known of
// the audit log is let go.
func (m *Model) Reconcile(through, at time.Time) []event.Event {
	if through.IsZero() {
		return nil
	}
	m.audited(through)
	s := step{m: m, at: at.UTC()}
	for _, id := range m.due(through) {
		w := m.facts.waiting[id]
		delete(m.facts.waiting, id)
		g := m.grants.find(id)
		if g == nil || min(w.Absent, w.Seen) < m.facts.from || m.explained(g, w) {
			continue
		}
		e := s.grantEvent(event.ActionInvGrantUnexplained, g)
		e.Details = []event.Detail{{Name: "first_seen", Value: moment(w.Seen).Format(time.RFC3339)}}
		s.emit(e)
	}
	m.pruneFacts(through)
	return s.events
}

// due lists the waiting grants that the watermark has passed.
func (m *Model) due(through time.Time) []string {
	limit := through.Add(-m.opt.Margin).UnixNano()
	var ids []string
	for id, w := range m.facts.waiting {
		if w.Seen <= limit {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.facts.waiting[a].Seen, m.facts.waiting[b].Seen), strings.Compare(a, b))
	})
	return ids
}

func (m *Model) explained(g *grant, w waiting) bool {
	from := min(w.Absent, w.Seen) - int64(m.opt.Slack)
	ids := []string{m.names.string(g.client)}
	if o := m.objects[ids[0]]; o != nil {
		if o.facts.AppID != "" {
			ids = append(ids, o.facts.AppID)
		}
		if r := o.app.registration; r != nil {
			ids = append(ids, r.id)
		}
	}
	for _, id := range ids {
		for _, p := range append(w.Permissions[:len(w.Permissions):len(w.Permissions)], anyPermission) {
			if at, ok := m.facts.said[fact{id, p}]; ok && at >= from {
				return true
			}
		}
	}
	return false
}

// pruneFacts forgets what can no longer explain a grant: what is older than the
// oldest read of grants, with slack, and than the watermark.
func (m *Model) pruneFacts(through time.Time) {
	oldest := through.UnixNano()
	for _, s := range m.scopes {
		if s.Kind == event.ObjectDelegatedGrant || s.Kind == event.ObjectAppRoleAssignment {
			oldest = min(oldest, s.Last)
		}
	}
	for _, w := range m.facts.waiting {
		oldest = min(oldest, w.Absent)
	}
	oldest -= 2 * int64(m.opt.Slack)
	for k, at := range m.facts.said {
		if at < oldest {
			delete(m.facts.said, k)
		}
	}
}
