package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
)

// UsageDays is how many days of usage are kept beside that of today, all in UTC.
const UsageDays = 30

const (
	maxUsageNames = 1 << 16 // endpoints, resources, countries and services that are told apart
	maxUsageName  = 200     // bytes of one
	maxUsageGaps  = 64      // per source
)

// usage is what apps did, by app and day. What is kept is bytes without pointers; they
// are replaced, never changed, so that a frozen state shares them.
type usage struct {
	apps    map[string]*appUsage // by App.Key
	names   symbols
	today   int32             // day of the newest frame
	calls   map[string]*reach // by key of the source, those that tell of single calls
	signIns map[string]*reach // gaps of the sign-in logs, by key of the source
	reports map[int32]bool    // days of which a report on calls was read whole
	shed    map[int32]bool    // days on which what an app did was not kept: there were too many
	told    map[string]int32  // day that the report at hand of a scope tells of
	own     map[string]bool   // client ids by which appgovd itself reads the tenant
	lost    uint64            // records of days that are too old or still to come, or of one app too many

	pending map[usageKey]*day // of the page at hand
	order   []usageKey        // those of pending, as they came
	spare   []*day
	room    day // of a day that is looked at
	memo    usageMemo
	days    appDays
	turns   uint32
	blank   [2]blankDays      // of apps and of managed identities, since the last page
	covered map[int32]covered // of the days that were asked for since the last page
}

// appUsage is the usage of one app: whole days that are past, and the newest one.
type appUsage struct {
	past, last []byte
	day        int32  // of last
	knownOn    int32  // the day of which known is
	known      string // a packed pastUse, "" = to be worked out
}

type usageKey struct {
	app string
	day int32
}

// reach is how far a source tells of something. Times are unix ns, 0 = never.
type reach struct {
	From, Through int64
	Gaps          []span `json:",omitempty"`
}

type span struct{ From, To int64 }

func newUsage() usage {
	u := usage{apps: map[string]*appUsage{}, calls: map[string]*reach{}, signIns: map[string]*reach{}, reports: map[int32]bool{}, shed: map[int32]bool{}, told: map[string]int32{}, pending: map[usageKey]*day{}}
	u.names = newSymbols()
	u.names.intern("(other)")
	return u
}

// name interns a name, or counts it with the rest where there are too many.
func (u *usage) name(s string) sym {
	if id, ok := u.names.find(s); ok {
		return id
	}
	if s = shortened(s); len(u.names.text) >= maxUsageNames {
		if id, ok := u.names.find(s); ok {
			return id
		}
		return restName
	}
	return u.names.intern(s)
}

// shortened is the beginning of a name, at a whole rune; what is no text is none.
func shortened(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxUsageName {
		return s
	}
	end := maxUsageName
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func dayOf(t time.Time) int32 { return int32(t.Unix() / 86400) }

func dayTime(day int32) time.Time { return time.Unix(int64(day)*86400, 0).UTC() }

// SetOwn names the client ids by which appgovd itself reads the tenant.
func (m *Model) SetOwn(ids []string) {
	m.uses.own = map[string]bool{}
	for _, id := range ids {
		m.uses.own[strings.ToLower(id)] = true
	}
	m.uses.forget()
}

// of is where the page at hand counts what an app did at a time; nil where that is of
// no day that is kept.
func (u *usage) of(key string, at time.Time) *day {
	number := dayOf(at)
	if key == "" || number < u.today-UsageDays || number > u.today+1 {
		u.lost++
		return nil
	}
	d := u.pending[usageKey{key, number}]
	if d == nil {
		if n := len(u.spare); n > 0 {
			d, u.spare = u.spare[n-1], u.spare[:n-1]
		} else {
			d = &day{}
		}
		d.number = number
		u.pending[usageKey{key, number}] = d
		u.order = append(u.order, usageKey{key, number})
	}
	return d
}

// Date says which day it is: that of the frame at hand. Days that are too old go.
func (m *Model) Date(at time.Time) {
	m.uses.forget()
	today := dayOf(at)
	if today <= m.uses.today {
		return
	}
	m.uses.today = today
	m.uses.expire()
}

func (u *usage) expire() {
	oldest := u.today - UsageDays
	for key, a := range u.apps {
		if a.day < oldest {
			delete(u.apps, key)
			continue
		}
		a.past = a.since(oldest)
	}
	for _, days := range [...]map[int32]bool{u.reports, u.shed} {
		maps.DeleteFunc(days, func(day int32, _ bool) bool { return day < oldest })
	}
	if len(u.names.text) >= maxUsageNames/4*3 {
		u.rename()
	}
	before := dayTime(oldest).UnixNano()
	for source, r := range u.calls {
		r.forget(before)
		if max(r.From, r.Through) < before {
			delete(u.calls, source) // it is read no more
		}
	}
	for source, r := range u.signIns {
		if r.forget(before); len(r.Gaps) == 0 {
			delete(u.signIns, source)
		}
	}
}

// forget drops the gaps that ended before a moment.
func (r *reach) forget(before int64) {
	r.Gaps = slices.DeleteFunc(r.Gaps, func(g span) bool { return g.To < before })
}

// since is what is past without the days before one.
func (a *appUsage) since(oldest int32) []byte {
	rest := a.past
	for len(rest) > 0 {
		d, next, err := nextDay(rest)
		if err != nil || d.number >= oldest {
			break
		}
		rest = next
	}
	return rest
}

// observeUse counts what an event tells of the use of an app. Only the first version
// of a record counts.
func (m *Model) observeUse(e *event.Event) {
	switch {
	case e.Version > 0 || e.Derived:
	case e.Class == event.ClassCall && e.Call != nil:
		m.observeCall(e)
	case e.Class == event.ClassSignIn:
		m.observeSignIn(e)
	}
}

func (m *Model) observeCall(e *event.Event) {
	u := &m.uses
	u.begin(e.Source, e.Time)
	d := u.of(e.App.Key(), e.Time)
	if d == nil {
		return
	}
	x := endpoint{workloadNumber(e.Call.Workload), u.name(e.Call.Endpoint), figures{calls: 1}}
	if e.Call.StatusClass() >= 4 {
		x.errors = 1
	}
	if e.Call.BytesKnown {
		x.sized, x.bytes = 1, max(0, e.Call.Bytes)
	}
	d.call(x)
	if e.Actor.Type == event.TypeUser {
		d.users.Add(e.Actor.ID)
	}
}

// Rollups counts calls of a source that were not kept one by one.
func (m *Model) Rollups(source string, list []event.Rollup) {
	u := &m.uses
	for i := range list {
		r := &list[i]
		u.begin(source, r.Minute)
		key := r.App
		if a := m.find(key); a != nil {
			key = a.ref().Key()
		}
		if d := u.of(key, r.Minute); d != nil {
			d.call(endpoint{workloadNumber(r.Workload), u.name(r.Endpoint), figures{r.Calls, r.Errors(), r.Sized, max(0, r.Bytes)}})
			d.users.Merge(&r.Users)
		}
	}
}

// begin notes that a source tells of calls.
func (u *usage) begin(source string, at time.Time) {
	r := u.calls[source]
	if r == nil {
		r = &reach{}
		u.calls[strings.Clone(source)] = r
	}
	if r.From == 0 { // the first record counts, as late ones tell of no beginning
		r.From = nanos(at)
	}
}

// CallsThrough says that all calls that a source tells of before a moment are known. A
// source that neither told of a call nor names them in its key is none of calls.
func (m *Model) CallsThrough(source string, to time.Time) {
	if event.Carries(source, "calls") && !to.IsZero() {
		m.uses.begin(source, to)
	}
	if r := m.uses.calls[source]; r != nil {
		r.Through = max(r.Through, nanos(to))
		m.uses.forget()
	}
}

// UsageGap says that a source did not read what happened between two moments. That of
// one that tells neither of calls nor of sign-ins is nothing.
func (m *Model) UsageGap(g event.Gap) {
	u := &m.uses
	r := u.calls[g.Source]
	if _, signIns := m.collect[g.Source]; r == nil && signIns {
		if r = u.signIns[g.Source]; r == nil {
			r = &reach{}
			u.signIns[strings.Clone(g.Source)] = r
		}
	}
	if r == nil || g.From.IsZero() && g.To.IsZero() {
		return
	}
	if g.To.IsZero() {
		g.To = dayTime(u.today + 1)
	}
	u.forget()
	r.Gaps = append(r.Gaps, span{nanos(g.From), nanos(g.To)})
	if len(r.Gaps) > maxUsageGaps { // the oldest two become one
		r.Gaps[1].From = min(r.Gaps[0].From, r.Gaps[1].From)
		r.Gaps[1].To = max(r.Gaps[0].To, r.Gaps[1].To)
		r.Gaps = slices.Delete(r.Gaps, 0, 1)
	}
}

// broken reports whether a gap lies in a part of time.
func (r *reach) broken(begin, end int64) bool {
	return r != nil && slices.ContainsFunc(r.Gaps, func(g span) bool { return g.From < end && g.To > begin })
}

// workloadNumber is the place of a workload in event.Workloads, that of "other" for
// what is none.
func workloadNumber(s string) uint8 {
	all := event.Workloads()
	if i := slices.Index(all, s); i >= 0 {
		return uint8(i)
	}
	return uint8(len(all) - 1)
}

func (m *Model) observeSignIn(e *event.Event) {
	u := &m.uses
	kind := signInKind(e.SignIn.Kind)
	if event.Carries(e.Source, "spn_signin_events") && m.collectsSignIns(e.SignIn.Kind) {
		return // the sign-in log tells the same
	}
	d := u.of(e.App.Key(), e.Time)
	if d == nil {
		return
	}
	result, failed := 0, uint64(0)
	switch e.Result {
	case event.ResultSuccess:
		result = 1
	case event.ResultFailure:
		result, failed = 2, 1
	}
	d.kinds[kind*3+result]++
	d.resources = visit(d.resources, place{u.name(cmp.Or(e.Resource.Name, e.Resource.AppID, e.Resource.ID)), 1, failed})
	d.countries = visit(d.countries, place{u.name(e.Origin.Country), 1, failed})
}

// SignInKinds are the kinds that are counted, "" for others.
func SignInKinds() [signInKinds / 3]string {
	return [...]string{"", "interactive", "non_interactive", "service_principal", "managed_identity"}
}

func signInKind(s string) int {
	for i, k := range SignInKinds() {
		if k == s {
			return i
		}
	}
	return 0
}

// collectsSignIns reports whether the sign-in log of a kind is read.
func (m *Model) collectsSignIns(kind string) bool {
	for source := range m.collect {
		if event.Carries(source, "signins_"+kind) {
			return true
		}
	}
	return false
}

// reported counts what a report says of an app's calls on one day.
func (s *step) reported(o *event.Object) {
	b, u := o.Trait, &s.m.uses
	from := b.Time("from")
	if from.IsZero() || b.About == "" {
		return
	}
	if s.sync != nil {
		u.told[s.sync.Scope] = dayOf(from)
	}
	key := b.About
	if a := s.m.find(key); a != nil {
		key = a.ref().Key()
	}
	d := u.of(key, from)
	if d == nil {
		return
	}
	known := func(name string) int64 {
		if b.Value(name) == "" {
			return -1
		}
		return max(0, whole(b, name))
	}
	d.report = report{known: true, calls: uint64(max(0, whole(b, "calls"))), errors: uint64(max(0, whole(b, "errors"))), bytes: known("response_bytes"), users: known("users")}
	for _, name := range b.Values("services") {
		if len(d.report.services) < maxServices {
			d.report.services = append(d.report.services, u.name(name))
		}
	}
}

// reportedWhole notes that a report on calls was read to its end.
func (s *step) reportedWhole() {
	if day, known := s.m.uses.told[s.sync.Scope]; known && s.sync.Kind == event.ObjectAppCalls && day >= s.m.uses.today-UsageDays {
		s.m.uses.reports[day] = true
	}
}

// Used ends a page: what it told of the use of apps counts from here on.
func (m *Model) Used() {
	u := &m.uses
	if len(u.pending) == 0 {
		return
	}
	var room day
	for _, k := range u.order {
		d := u.pending[k]
		m.store(k.app, d, &room)
		d.clear()
		if len(u.spare) < 1<<10 {
			u.spare = append(u.spare, d)
		}
	}
	clear(u.pending)
	clear(u.order) // its keys lie in records
	u.order = u.order[:0]
	u.forget()
}

// store adds a part of a day to what is kept; room is for what is unpacked.
func (m *Model) store(key string, d, room *day) {
	u := &m.uses
	a := u.apps[key]
	if a != nil && d.number < a.knownOn {
		a.known = ""
	}
	switch {
	case a == nil && len(u.apps) >= m.opt.MaxStrangers+2*len(m.apps) && (m.find(key) == nil || !m.evict()):
		u.lost++
		u.shed[d.number] = true
	case a == nil:
		u.apps[strings.Clone(key)] = &appUsage{last: d.append(nil), day: d.number} // key may lie in a record
	case d.number == a.day:
		a.last = merged(a.last, d, room)
	case d.number > a.day:
		a.past = slices.Concat(a.past, a.last)
		a.last, a.day = d.append(nil), d.number
	default:
		a.late(d, room)
	}
}

// evict makes room for an app that the directory knows: of the strangers, those that did
// nothing for the longest time go, some at once. It reports whether there is any.
func (m *Model) evict() bool {
	u := &m.uses
	var strangers []string
	for key := range u.apps {
		if m.find(key) == nil {
			strangers = append(strangers, key)
		}
	}
	slices.SortFunc(strangers, func(a, b string) int { return cmp.Or(cmp.Compare(u.apps[a].day, u.apps[b].day), strings.Compare(a, b)) })
	for _, key := range strangers[:(len(strangers)+9)/10] {
		u.apps[key].days(&u.room, func(d *day) { u.shed[d.number] = true })
		delete(u.apps, key)
	}
	return len(strangers) > 0
}

// merged is a packed day with a part more.
func merged(packed []byte, d, room *day) []byte {
	p, _, err := nextDay(packed)
	if err == nil {
		err = room.unpack(p)
	}
	if err != nil { // what is in memory was written here, or checked when it was restored
		return d.append(nil)
	}
	room.merge(d)
	return room.append(nil)
}

// late adds a part of a day that is not the newest one.
func (a *appUsage) late(d, room *day) {
	var out []byte
	rest, done := a.past, false
	for len(rest) > 0 {
		p, next, err := nextDay(rest)
		if err != nil {
			break
		}
		switch {
		case p.number == d.number:
			out, done = append(out, merged(p.whole, d, room)...), true
		case p.number > d.number && !done:
			out, done = append(d.append(out), p.whole...), true
		default:
			out = append(out, p.whole...)
		}
		rest = next
	}
	if !done {
		out = d.append(out)
	}
	a.past = slices.Clip(out)
}

// days calls f with every day of an app that is kept, the oldest first, each in d.
func (a *appUsage) days(d *day, f func(d *day)) {
	for _, part := range [...][]byte{a.past, a.last} {
		for len(part) > 0 {
			p, next, err := nextDay(part)
			if err != nil || d.unpack(p) != nil {
				break
			}
			f(d)
			part = next
		}
	}
}
