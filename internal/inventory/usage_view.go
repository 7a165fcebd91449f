package inventory

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// minDays is how many whole days make a mean.
const minDays = 7

// usageMemo is the usage that was asked for last: several fields of one rule ask for it.
type usageMemo struct {
	key   string
	today int32
	known bool
	parts event.UseParts
	usage event.AppUsage
}

// UsageOf tells what rules see of the use of an app, of which v is a view, at a
// moment, in the parts that are wanted. It counts what stood in the pages before the
// one at hand.
func (m *Model) UsageOf(v *event.AppView, now time.Time, parts event.UseParts) event.AppUsage {
	key := event.App{ID: v.ID, AppID: v.AppID, ObjectID: v.ObjectID}.Key()
	memo := &m.uses.memo
	if today := dayOf(now); !memo.known || memo.key != key || memo.today != today {
		*memo = usageMemo{key: key, today: today, known: true, usage: event.AppUsage{Self: m.isOwn(v)}}
	}
	if more := parts &^ memo.parts; more != 0 {
		m.usageOf(v, key, memo.today, more, &memo.usage)
		memo.parts |= more
	}
	return memo.usage
}

func (m *Model) isOwn(v *event.AppView) bool {
	return len(m.uses.own) > 0 && m.uses.own[strings.ToLower(v.AppID)]
}

// usageOf works out parts of a usage.
func (m *Model) usageOf(v *event.AppView, key string, today int32, parts event.UseParts, out *event.AppUsage) {
	if parts&event.UsePast == 0 {
		out.Today = m.daysOf(v, key, today, false).at(0).UseFigures
		return
	}
	a, want := m.uses.apps[key], pastUse{today: today, born: born(v), of: m.blank(v.Kind, today).turn}
	keep := a != nil && len(m.uses.shed) == 0
	if !keep || !want.unpack(a.known) {
		m.workOut(&want, m.daysOf(v, key, today, true))
		if keep {
			a.known, a.knownOn = want.pack(), today
		}
	}
	out.Day, out.Mean = want.day, want.mean
	if parts&event.UseToday != 0 {
		out.Today = m.daysOf(v, key, today, false).at(0).UseFigures
	}
}

// pastUse is what the days before today come to. It is kept for each app, as to work it
// out takes a microsecond or two, which a question about all apps pays for each.
type pastUse struct {
	today, born int32
	of          uint32 // the turn of what is known of all apps
	day, mean   event.UseFigures
}

// pack writes p as short as it is: there is one for every app.
func (p *pastUse) pack() string {
	var room [160]byte
	b := room[:0]
	for _, n := range [...]uint64{uint64(p.today), uint64(p.born), uint64(p.of)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, f := range [...]*event.UseFigures{&p.day, &p.mean} {
		known := byte(b2i(f.CallsKnown) | b2i(f.UsersKnown)<<1 | b2i(f.BytesKnown)<<2 | b2i(f.SignInsKnown)<<3)
		b = append(b, known)
		for _, n := range [...]int64{f.Calls, f.Errors, f.Users, f.Bytes, f.SignIns, f.Failures} {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return string(b)
}

// unpack fills p with what was packed, if that is of the same days and knowledge.
func (p *pastUse) unpack(packed string) bool {
	var room [160]byte
	r := numbers{in: append(room[:0], packed...)}
	if packed == "" || r.uint() != uint64(p.today) || r.uint() != uint64(p.born) || r.uint() != uint64(p.of) {
		return false
	}
	for _, f := range [...]*event.UseFigures{&p.day, &p.mean} {
		known := r.byte()
		*f = event.UseFigures{
			CallsKnown: known&1 != 0, UsersKnown: known&2 != 0, BytesKnown: known&4 != 0, SignInsKnown: known&8 != 0,
			Calls: int64(r.uint()), Errors: int64(r.uint()), Users: int64(r.uint()), Bytes: int64(r.uint()), SignIns: int64(r.uint()), Failures: int64(r.uint()),
		}
	}
	return r.err == nil
}

func (m *Model) workOut(p *pastUse, days *appDays) {
	var last dayFigures
	var mean means
	born := p.born
	if born == 0 {
		born = days.first
	}
	for i := 1; i <= UsageDays; i++ {
		d := days.at(i)
		takeCalls(&last, d)
		takeSignIns(&last, d)
		if p.today-int32(i) >= born {
			mean.add(d)
		}
	}
	p.day, p.mean = last.UseFigures, mean.figures()
}

// dayFigures are the figures of one day, and whether all of it is known.
type dayFigures struct {
	event.UseFigures
	whole, signInsWhole bool
	report              bool // by the provider's own sum
	shed                bool // what the app did may not have been kept
}

// takeCalls makes f tell of the calls of a whole day, unless it does.
func takeCalls(f, d *dayFigures) {
	if d.whole && !f.whole {
		f.whole, f.CallsKnown, f.Calls, f.Errors, f.UsersKnown, f.Users, f.BytesKnown, f.Bytes = true, true, d.Calls, d.Errors, d.UsersKnown, d.Users, d.BytesKnown, d.Bytes
	}
}

func takeSignIns(f, d *dayFigures) {
	if d.signInsWhole && !f.signInsWhole {
		f.signInsWhole, f.SignInsKnown, f.SignIns, f.Failures = true, true, d.SignIns, d.Failures
	}
}

// appDays are the days up to today of one app, each worked out when it is asked for.
type appDays struct {
	m      *Model
	v      *event.AppView
	today  int32
	first  int32                      // the oldest day on which the app did anything
	packed [UsageDays + 1]packedDay   // by days ago; without a body where there is nothing
	blank  *[UsageDays + 1]dayFigures // what is known of an app that did nothing
	figure dayFigures
}

// daysOf looks for what an app did; past = not only today.
func (m *Model) daysOf(v *event.AppView, key string, today int32, past bool) *appDays {
	x := &m.uses.days
	*x = appDays{m: m, v: v, today: today, first: today, blank: &m.blank(v.Kind, today).days}
	a := m.uses.apps[key]
	if a == nil {
		return x
	}
	before := a.past
	if !past && a.day <= today {
		before = nil
	}
	for _, part := range [...][]byte{before, a.last} {
		for len(part) > 0 {
			p, next, err := nextDay(part)
			if err != nil { // what is in memory was written here, or checked when it was restored
				break
			}
			x.first = min(x.first, p.number)
			if i := today - p.number; i >= 0 && int(i) < len(x.packed) {
				x.packed[i] = p
			}
			part = next
		}
	}
	return x
}

// born is the first whole day on which the app was there, 0 = unknown.
func born(v *event.AppView) int32 {
	switch {
	case !v.Created.IsZero():
		return dayOf(v.Created) + 1 // the day on which it was made is no whole one
	case !v.FirstSeen.IsZero():
		return dayOf(v.FirstSeen) + 1
	}
	return 0
}

// at are the figures of a day so many days ago, until the next one is asked for.
func (x *appDays) at(i int) *dayFigures {
	f, number := &x.figure, x.today-int32(i)
	*f = x.blank[i]
	shed := x.m.shed(x.v, number)
	if x.packed[i].body == nil && !shed {
		return f
	}
	s := sums{number: number}
	if x.packed[i].body != nil {
		s.skim(x.packed[i])
	}
	if f.shed = shed; shed {
		f.SignInsKnown, f.signInsWhole = false, false
	}
	x.m.callsOf(f, &s)
	f.SignIns, f.Failures = s.signIns, s.failures
	return f
}

// blank is what is known of an app of a kind that did nothing.
func (m *Model) blank(kind string, today int32) *blankDays {
	b := &m.uses.blank[0]
	if kind == managedIdentity {
		b = &m.uses.blank[1]
	}
	if b.known && b.today == today {
		return b
	}
	before, was := b.days, b.today
	b.known, b.today = true, today
	since, through, signIns := m.collected(kind)
	for i := range b.days {
		f, number := &b.days[i], today-int32(i)
		*f = dayFigures{}
		begin, end := dayTime(number), dayTime(number+1)
		f.SignInsKnown = signIns && !since.After(begin) && !through.Before(begin) && !m.signInsBroken(kind, begin.UnixNano(), end.UnixNano())
		f.signInsWhole = f.SignInsKnown && !through.Before(end)
		m.callsOf(f, &sums{number: number})
	}
	if before[0] = b.days[0]; was != today || before != b.days { // today is no past day
		m.uses.turns++
		b.turn = m.uses.turns
	}
	return b
}

// blankDays are the figures of an app that did nothing, by days ago.
type blankDays struct {
	known bool
	today int32
	turn  uint32 // another one whenever something else is known of a past day
	days  [UsageDays + 1]dayFigures
}

// shed reports whether what the app of v did on a day may not have been kept. What the
// directory knew before that day always is.
func (m *Model) shed(v *event.AppView, number int32) bool {
	return m.uses.shed[number] && (v.FirstSeen.IsZero() || dayOf(v.FirstSeen) >= number)
}

// signInsBroken reports whether a gap of one of the sign-in logs of a kind of app lies in
// a part of time.
func (m *Model) signInsBroken(kind string, begin, end int64) bool {
	for source, r := range m.uses.signIns {
		if r.broken(begin, end) && slices.ContainsFunc(signInsOf(kind), func(name string) bool { return event.Carries(source, name) }) {
			return true
		}
	}
	return false
}

// callsOf makes f tell of the calls of a day: by single records where they are whole,
// else by the report on that day, else by what records there are.
func (m *Model) callsOf(f *dayFigures, d *sums) {
	from, known := m.from(d, f.shed)
	f.CallsKnown, f.whole, f.report = known, from.whole, from.report
	switch {
	case !known:
	case from.report:
		r := &d.report
		f.Calls, f.Errors, f.Users, f.Bytes = int64(r.calls), int64(r.errors), max(0, r.users), max(0, r.bytes)
		f.UsersKnown, f.BytesKnown = !r.known || r.users >= 0, !r.known || r.bytes >= 0
	default:
		t := &d.total
		f.Calls, f.Errors, f.Bytes, f.Users = int64(t.calls), int64(t.errors), t.bytes, d.users
		f.UsersKnown, f.BytesKnown = true, t.sized > 0 || t.calls == 0
	}
}

// basis is by what the calls of a day are known.
type basis struct {
	report bool // the provider's own sum; else single records
	whole  bool // all of the day
}

// from decides which of the sources that tell of a day's calls counts: never two. Where
// the day was shed, what is missing is not zero.
func (m *Model) from(d *sums, shed bool) (b basis, known bool) {
	u := &m.uses
	c := u.covers(d.number)
	switch {
	case c.whole && !shed:
		return basis{whole: true}, true
	case d.report.known || u.reports[d.number] && !shed:
		return basis{report: true, whole: true}, true
	}
	return basis{}, c.begun && !shed || d.called
}

// covered is whether the sources of single calls were read from the beginning of a day
// on without a hole, and whether to its end.
type covered struct{ begun, whole bool }

// forget drops what was worked out of the state, which changes.
func (u *usage) forget() {
	u.memo, u.covered = usageMemo{}, nil
	u.blank[0].known, u.blank[1].known = false, false
}

func (u *usage) covers(number int32) covered {
	c, known := u.covered[number]
	if !known {
		if u.covered == nil {
			u.covered = map[int32]covered{}
		}
		c.begun, c.whole = u.reaches(number)
		u.covered[number] = c
	}
	return c
}

func (u *usage) reaches(number int32) (begun, whole bool) {
	if len(u.calls) == 0 {
		return false, false
	}
	begin, end := dayTime(number).UnixNano(), dayTime(number+1).UnixNano()
	begun, whole = true, true
	for _, r := range u.calls {
		if r.From > begin || r.Through < begin || r.broken(begin, end) {
			return false, false
		}
		whole = whole && r.Through >= end
	}
	return begun, whole
}

// means adds up whole days.
type means struct {
	sum                           event.UseFigures
	calls, users, bytes, signedIn int64
}

func (s *means) add(d *dayFigures) {
	if d.whole {
		s.calls, s.sum.Calls, s.sum.Errors = s.calls+1, s.sum.Calls+d.Calls, s.sum.Errors+d.Errors
		if d.UsersKnown {
			s.users, s.sum.Users = s.users+1, s.sum.Users+d.Users
		}
		if d.BytesKnown {
			s.bytes, s.sum.Bytes = s.bytes+1, s.sum.Bytes+d.Bytes
		}
	}
	if d.signInsWhole {
		s.signedIn, s.sum.SignIns, s.sum.Failures = s.signedIn+1, s.sum.SignIns+d.SignIns, s.sum.Failures+d.Failures
	}
}

func (s *means) figures() (f event.UseFigures) {
	if f.CallsKnown = s.calls >= minDays; f.CallsKnown {
		f.Calls, f.Errors = s.sum.Calls/s.calls, s.sum.Errors/s.calls
	}
	if f.UsersKnown = s.users >= minDays; f.UsersKnown {
		f.Users = s.sum.Users / s.users
	}
	if f.BytesKnown = s.bytes >= minDays; f.BytesKnown {
		f.Bytes = s.sum.Bytes / s.bytes
	}
	if f.SignInsKnown = s.signedIn >= minDays; f.SignInsKnown {
		f.SignIns, f.Failures = s.sum.SignIns/s.signedIn, s.sum.Failures/s.signedIn
	}
	return f
}

// Usage is what is known of the use of one app, the newest day first.
type Usage struct {
	Self    bool
	Calls   []CallDay
	SignIns []SignInDay
	Sources []UsageSource // that tell of calls
	Logs    []UsageSource // that tell of sign-ins to an app of its kind
}

// UsageSource is how far a source tells of single calls, or of sign-ins.
type UsageSource struct {
	Name          string
	From, Through time.Time
	Gaps          []event.Gap
}

// CallDay is a day of calls. Without Known nothing else says anything.
type CallDay struct {
	Day               time.Time
	Known             bool
	Report            bool // as the provider sums up, else by single calls
	Whole             bool // all of the day is known
	Calls, Errors     int64
	UsersKnown, Exact bool // of distinct users: the number is known, and no estimate
	Users             int64
	BytesKnown        bool
	Bytes, Sized      int64      // of the responses, and of how many calls they are known
	Endpoints         []Endpoint // by workload and name
	Services          []string   // that a report names
}

// Endpoint counts the calls to one endpoint, or to the rest of its workload.
type Endpoint struct {
	Workload, Name string
	Rest           bool // those that are not told apart
	Calls, Errors  int64
	Bytes, Sized   int64
}

// SignInDay is a day of sign-ins. Without Known nothing else says anything.
type SignInDay struct {
	Day                  time.Time
	Known                bool // at least a part of it
	Whole                bool
	Count, Failures      int64
	Kinds                []SignInKind
	Resources, Countries []Place // the most first
}

// SignInKind counts sign-ins of one kind with one result.
type SignInKind struct {
	Kind   string
	Result event.Result
	Count  int64
}

// Place counts sign-ins to a resource or from a country; "" is not known.
type Place struct {
	Name            string
	Rest            bool // those that are not told apart
	Count, Failures int64
}

// Usage tells of the days up to now of the app that v is a view of.
func (m *Model) Usage(v *event.AppView, now time.Time, days int) Usage {
	key := event.App{ID: v.ID, AppID: v.AppID, ObjectID: v.ObjectID}.Key()
	today := dayOf(now)
	days = min(days, UsageDays+1)
	out := Usage{Self: m.isOwn(v), Sources: m.usageSources(), Logs: m.signInLogs(v.Kind)}
	list := m.daysOf(v, key, today, true)
	for i := range days {
		f, d := list.at(i), &m.uses.room
		d.clear()
		d.number = today - int32(i)
		if p := list.packed[i]; p.body != nil {
			_ = d.unpack(p) // see daysOf
		}
		out.Calls, out.SignIns = append(out.Calls, m.callDay(f, d)), append(out.SignIns, m.signInDay(f, d))
	}
	return out
}

func (m *Model) usageSources() []UsageSource {
	var out []UsageSource
	for _, name := range slices.Sorted(maps.Keys(m.uses.calls)) {
		r := m.uses.calls[name]
		out = append(out, UsageSource{name, moment(r.From), moment(r.Through), r.gaps(name)})
	}
	return out
}

// signInLogs are the sources of sign-ins to apps of a kind; one that is not read has no
// time.
func (m *Model) signInLogs(kind string) []UsageSource {
	var out []UsageSource
	for _, name := range signInsOf(kind) {
		from, to := m.read(name)
		s := UsageSource{Name: name, From: moment(from), Through: moment(to)}
		for _, source := range slices.Sorted(maps.Keys(m.uses.signIns)) {
			if event.Carries(source, name) {
				s.Gaps = append(s.Gaps, m.uses.signIns[source].gaps(source)...)
			}
		}
		out = append(out, s)
	}
	return out
}

func (r *reach) gaps(source string) (out []event.Gap) {
	for _, g := range r.Gaps {
		out = append(out, event.Gap{Source: source, From: moment(g.From), To: moment(g.To)})
	}
	return out
}

func (m *Model) callDay(f *dayFigures, d *day) CallDay {
	from, known := m.from(d.sums(), f.shed)
	out := CallDay{
		Day: dayTime(d.number), Known: known, Report: from.report, Whole: from.whole, Calls: f.Calls, Errors: f.Errors,
		UsersKnown: f.UsersKnown, Exact: true, Users: f.Users, BytesKnown: f.BytesKnown, Bytes: f.Bytes,
	}
	for _, s := range d.report.services {
		out.Services = append(out.Services, m.uses.names.string(s))
	}
	if from.report {
		out.Exact = false
		if f.BytesKnown {
			out.Sized = f.Calls
		}
		return out
	}
	_, out.Exact = d.users.Count()
	out.Sized = int64(d.total().sized)
	all := event.Workloads()
	for _, e := range d.endpoints {
		x := Endpoint{Workload: all[min(int(e.workload), len(all)-1)], Calls: int64(e.calls), Errors: int64(e.errors), Bytes: e.bytes, Sized: int64(e.sized)}
		if x.Rest = e.name == restName; !x.Rest {
			x.Name = m.uses.names.string(e.name)
		}
		out.Endpoints = append(out.Endpoints, x)
	}
	return out
}

func (m *Model) signInDay(f *dayFigures, d *day) SignInDay {
	out := SignInDay{Day: dayTime(d.number), Known: f.SignInsKnown || f.SignIns > 0, Whole: f.signInsWhole, Count: f.SignIns, Failures: f.Failures}
	for i, n := range d.kinds {
		if n > 0 {
			result := [...]event.Result{event.ResultUnknown, event.ResultSuccess, event.ResultFailure}[i%3]
			out.Kinds = append(out.Kinds, SignInKind{SignInKinds()[i/3], result, int64(n)})
		}
	}
	out.Resources, out.Countries = m.places(d.resources), m.places(d.countries)
	return out
}

// places are the most first, the rest last.
func (m *Model) places(list []place) []Place {
	var out []Place
	for _, p := range list {
		x := Place{Rest: p.name == restName, Count: int64(p.count), Failures: int64(p.failures)}
		if !x.Rest {
			x.Name = m.uses.names.string(p.name)
		}
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b Place) int {
		if a.Rest != b.Rest {
			return cmp.Compare(b2i(a.Rest), b2i(b.Rest))
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
	})
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
