package inventory

import (
	"cmp"
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
	usage event.AppUsage
}

// UsageOf tells what rules see of the use of an app, of which v is a view, at a
// moment. It counts what stood in the pages before the one at hand.
func (m *Model) UsageOf(v *event.AppView, now time.Time) event.AppUsage {
	key := event.App{ID: v.ID, AppID: v.AppID, ObjectID: v.ObjectID}.Key()
	memo := &m.uses.memo
	if today := dayOf(now); !memo.known || memo.key != key || memo.today != today {
		*memo = usageMemo{key, today, true, m.usageOf(v, key, today)}
	}
	return memo.usage
}

func (m *Model) usageOf(v *event.AppView, key string, today int32) event.AppUsage {
	out := event.AppUsage{Self: m.uses.own[strings.ToLower(v.AppID)]}
	days, first := m.figures(v, key, today)
	born := first
	if !v.Created.IsZero() {
		born = dayOf(v.Created) + 1 // the day on which it was made is no whole one
	} else if !v.FirstSeen.IsZero() {
		born = dayOf(v.FirstSeen) + 1
	}
	out.Today = days[0].UseFigures
	var mean means
	for i := UsageDays; i > 0; i-- {
		d := &days[i]
		takeCalls(&out.Day, d)
		takeSignIns(&out.Day, d)
		if today-int32(i) >= born {
			mean.add(d)
		}
	}
	out.Mean = mean.figures()
	return out
}

// dayFigures are the figures of one day, and whether all of it is known.
type dayFigures struct {
	event.UseFigures
	whole, signInsWhole bool
	shed                bool // what the app did may not have been kept
}

// takeCalls makes f tell of the calls of a whole day.
func takeCalls(f *event.UseFigures, d *dayFigures) {
	if d.whole {
		f.CallsKnown, f.Calls, f.Errors, f.UsersKnown, f.Users, f.BytesKnown, f.Bytes = true, d.Calls, d.Errors, d.UsersKnown, d.Users, d.BytesKnown, d.Bytes
	}
}

func takeSignIns(f *event.UseFigures, d *dayFigures) {
	if d.signInsWhole {
		f.SignInsKnown, f.SignIns, f.Failures = true, d.SignIns, d.Failures
	}
}

// figures are those of the days up to today, which is the first; first is the oldest
// day on which the app did anything.
func (m *Model) figures(v *event.AppView, key string, today int32) (out [UsageDays + 1]dayFigures, first int32) {
	since, through, signIns := m.collected(v.Kind)
	for i := range out {
		number := today - int32(i)
		begin, end := dayTime(number), dayTime(number+1)
		out[i].SignInsKnown = signIns && !since.After(begin) && !through.Before(begin) && !m.signInsBroken(v.Kind, begin.UnixNano(), end.UnixNano())
		out[i].shed = m.shed(v, number)
		out[i].SignInsKnown = out[i].SignInsKnown && !out[i].shed
		out[i].signInsWhole = out[i].SignInsKnown && !through.Before(end)
		m.callsOf(&out[i], &day{number: number})
	}
	first = today
	if a := m.uses.apps[key]; a != nil {
		a.days(&m.uses.room, func(d *day) {
			first = min(first, d.number)
			if i := today - d.number; i >= 0 && int(i) < len(out) {
				m.callsOf(&out[i], d)
				for k, n := range d.kinds {
					out[i].SignIns += int64(n)
					if k%3 == 2 {
						out[i].Failures += int64(n)
					}
				}
			}
		})
	}
	return out, first
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
func (m *Model) callsOf(f *dayFigures, d *day) {
	from, known := m.from(d, f.shed)
	f.CallsKnown, f.whole = known, from.whole
	switch {
	case !known:
	case from.report:
		r := &d.report
		f.Calls, f.Errors, f.Users, f.Bytes = int64(r.calls), int64(r.errors), max(0, r.users), max(0, r.bytes)
		f.UsersKnown, f.BytesKnown = !r.known || r.users >= 0, !r.known || r.bytes >= 0
	default:
		t := d.total()
		f.Calls, f.Errors, f.Bytes = int64(t.calls), int64(t.errors), t.bytes
		f.Users, _ = d.users.Count()
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
func (m *Model) from(d *day, shed bool) (b basis, known bool) {
	u := &m.uses
	c := u.covers(d.number)
	switch {
	case c.whole && !shed:
		return basis{whole: true}, true
	case d.report.known || u.reports[d.number] && !shed:
		return basis{report: true, whole: true}, true
	}
	return basis{}, c.begun && !shed || len(d.endpoints) > 0
}

// covered is whether the sources of single calls were read from the beginning of a day
// on without a hole, and whether to its end.
type covered struct{ begun, whole bool }

// forget drops what was worked out of the state, which changes.
func (u *usage) forget() { u.memo, u.covered = usageMemo{}, nil }

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
	out := Usage{Self: m.uses.own[strings.ToLower(v.AppID)], Sources: m.usageSources(), Logs: m.signInLogs(v.Kind)}
	figures, _ := m.figures(v, key, today)
	for i := range days {
		d := day{number: today - int32(i)}
		out.Calls = append(out.Calls, m.callDay(&figures[i], &d))
		out.SignIns = append(out.SignIns, m.signInDay(&figures[i], &d))
	}
	if a := m.uses.apps[key]; a != nil {
		a.days(&m.uses.room, func(d *day) {
			if i := today - d.number; i >= 0 && int(i) < days {
				out.Calls[i], out.SignIns[i] = m.callDay(&figures[i], d), m.signInDay(&figures[i], d)
			}
		})
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
	from, known := m.from(d, f.shed)
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
