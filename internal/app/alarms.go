package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/ledger"
)

// alarmKinds lists the first words of the keys of all alarms; docs/runbook.md
// has an entry for each.
func alarmKinds() []string {
	return []string{
		"account", "budget", "dead_letter", "disk_full", "freshness", "gap", "geoip", "ledger_damage", "ledger_full", "ledger_half_full", "ledger_nearly_full",
		"quarantine", "reopen", "replay", "routing", "rules", "sink", "snapshot", "source",
	}
}

const (
	sinkAttempts = 10             // failures in a row before a sink is an alarm: some 40 s
	quietTime    = 24 * time.Hour // without another one, after which an alarm of things that happened is over
	budgetTicks  = 3              // ticks in a row that make or end an overload
)

// watched is what the alarms count between two ticks.
type watched struct {
	started          time.Time
	mu               sync.Mutex // of accounts and early
	dead, quarantine tally
	accounts         map[string]imbalance // by source
	load             map[string]int       // by budget: ticks in a row above its limit, below 0 within it
	diverged         map[string]uint64    // by tenant
	early            []ledger.Alarm       // before the stored state is known
	recovered        bool
	trimmed          time.Time // when old dead letters were last looked for
	missing          map[string]missing
}

// missing are the frames that were gone before a sink had read their events, and when
// the last of them was missed.
type missing struct {
	frames uint64
	at     time.Time
}

func newWatched(now time.Time) *watched {
	return &watched{started: now, accounts: map[string]imbalance{}, load: map[string]int{}, diverged: map[string]uint64{}, missing: map[string]missing{}}
}

// tally counts what happened, by subject and reason. The zero value is empty.
type tally struct {
	mu sync.Mutex
	of map[string]count
}

// count is what happened to one subject.
type count struct {
	N       uint64
	Reasons map[string]uint64
	Last    time.Time
	Reason  string // of the last
}

// add counts one for subject.
func (t *tally) add(subject, reason string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]count{}
	}
	c := t.of[subject]
	if c.Reasons == nil {
		c.Reasons = map[string]uint64{}
	}
	c.N, c.Last, c.Reason = c.N+1, at, reason
	if _, known := c.Reasons[reason]; known || len(c.Reasons) < maxReasons {
		c.Reasons[reason]++
	}
	t.of[subject] = c
}

const maxReasons = 32 // a destination's words are without end

func (t *tally) get(subject string) count {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[subject]
}

// frame counts what f quarantines; it is called with every frame that is appended.
func (t *tally) frame(f *event.Frame) {
	for _, q := range f.Quarantined {
		t.add(f.Source, q.Reason, f.Time)
	}
}

// watchedLog shows what is appended to the ledger.
type watchedLog struct {
	*ledger.Ledger
	see func(*event.Frame)
}

// Append shows f before the ledger owns it.
func (w watchedLog) Append(f *event.Frame) (wait func(context.Context) error, err error) {
	w.see(f)
	return w.Ledger.Append(f)
}

// watchedDeadLetters counts what goes into the dead letter.
type watchedDeadLetters struct {
	to    deliver.DeadLetters
	tally *tally
}

// PutDeadLetter counts d once it is durable.
func (w watchedDeadLetters) PutDeadLetter(d event.DeadLetter) error {
	err := w.to.PutDeadLetter(d)
	if err == nil {
		countDead(w.tally, d)
	}
	return err
}

// countDead leaves out what the alarm itself says: where a sink refuses that,
// too, the alarm would never end.
func countDead(t *tally, d event.DeadLetter) {
	if d.Alert.Kind != event.AlertHealth || d.Alert.DedupeKey != "dead_letter/"+d.Sink {
		t.add(d.Sink, d.Reason, d.Time)
	}
}

// ledgerAlarm keeps what comes before the open alarms are known from the ledger.
func (a *Agent) ledgerAlarm(al ledger.Alarm) {
	if strings.HasPrefix(al.Key, "ledger_damage/") { // one alarm, whatever the place
		al.Key = "ledger_damage"
	}
	a.watched.mu.Lock()
	defer a.watched.mu.Unlock()
	if !a.watched.recovered {
		a.watched.early = append(a.watched.early, al)
		return
	}
	a.raiseLedger(al)
}

func (a *Agent) raiseLedger(al ledger.Alarm) {
	if al.Active {
		a.health.Raise(al.Key, event.SeverityHigh, "The ledger needs attention", al.Text)
	} else {
		a.health.Resolve(al.Key, "no longer so")
	}
}

// raiseEarly raises what the ledger found while it was opened; where it found
// no damage, that of a former start is over.
func (a *Agent) raiseEarly() {
	a.watched.mu.Lock()
	defer a.watched.mu.Unlock()
	a.watched.recovered = true
	var damage []string
	for _, al := range a.watched.early {
		if al.Key == "ledger_damage" {
			damage = append(damage, al.Text)
		} else {
			a.raiseLedger(al)
		}
	}
	a.watched.early = nil
	if len(damage) == 0 {
		a.health.Resolve("ledger_damage", "a start without damage")
		return
	}
	a.raiseLedger(ledger.Alarm{Key: "ledger_damage", Text: cut(strings.Join(damage, "; ")), Active: true})
}

// startWatch takes stock once everything is built.
func (a *Agent) startWatch() error {
	if err := a.ledger.DeadLetters(func(d event.DeadLetter) error { countDead(&a.watched.dead, d); return nil }); err != nil {
		return err
	}
	for _, t := range a.tenants {
		a.watched.diverged[t.key] = t.machine.Stats().Diverged
		for _, l := range t.loops {
			a.watched.accounts[l.Status().Key] = a.formerImbalance(l.Status())
		}
	}
	a.forget()
	for _, t := range a.tenants {
		t.lookAtRules(a.o.Now())
	}
	a.reg.MustRegister(sinkMetrics{a}, ruleMetrics{a})
	return nil
}

// forget resolves alarms of what left the configuration.
func (a *Agent) forget() {
	known := map[string]bool{}
	for _, t := range a.tenants {
		known[t.key] = true
		for _, n := range t.sources {
			known[n.Key] = true
		}
	}
	for _, s := range a.plan.sinks {
		known[s.block.Key()] = true
	}
	if g := a.plan.Config.GeoIP; g != nil {
		for _, path := range databases(g) {
			known[path] = true
		}
	}
	for _, al := range a.health.Open() {
		_, subject, ok := strings.Cut(al.DedupeKey, "/")
		if ok && !known[subject] && !known[parent(subject)] {
			a.health.Resolve(al.DedupeKey, "it left the configuration")
		}
	}
}

// parent is a key without its last part: the tenant of a budget.
func parent(key string) string { return key[:max(strings.LastIndexByte(key, '/'), 0)] }

// watch looks after everything that raises and resolves by its state; it is
// called at every tick.
func (a *Agent) watch() {
	now := a.o.Now()
	a.watchSinkAccounts()
	a.watchRouting()
	a.watchSinks(now)
	a.watchForwards(now)
	for _, t := range a.tenants {
		a.watchBudgets(t)
		a.watchReplay(t)
		a.watchRules(t, now)
		for _, l := range t.loops {
			s := l.Status()
			a.watchAccount(s.Key, s.Account)
			a.watchQuarantine(s.Key, now)
			a.watchGaps(s, now)
			a.watchFreshness(t, s.Key, s.CompleteThrough, now)
		}
	}
	a.trimDeadLetters(now)
	a.geoip.watch(a.health)
	a.health.Settle()
}

// watchSinkAccounts checks that what was appended is accepted, in the dead
// letter, routed elsewhere, grouped or waiting, and that what was grouped is told or
// kept back for a reason.
func (a *Agent) watchSinkAccounts() {
	for name, r := range a.ledger.Stats().Readers {
		if s := a.routing.status(name); r.Balance == "" && s != nil && !s.Account.Balanced() {
			r.Balance = fmt.Sprintf("of its groups: %+v", s.Account)
		}
		if key := "account/" + name; r.Balance != "" {
			a.health.Raise(key, event.SeverityHigh, "The account of a sink does not add up", name+": "+r.Balance)
		} else {
			a.health.Resolve(key, "the account adds up again")
		}
	}
}

// watchForwards tells of events that a sink never gets.
func (a *Agent) watchForwards(now time.Time) {
	readers := a.ledger.Stats().Readers
	for name, last := range a.watched.missing {
		key, n := "events_lost/"+name, readers[name].Missing
		switch {
		case n > last.frames:
			a.watched.missing[name] = missing{n, now}
			a.health.Raise(key, event.SeverityMedium, "A sink of events missed some",
				fmt.Sprintf("%s: %d frames were gone from the ledger before the sink had read their events: it was away or too slow, and events are given up when the ledger is half full. Alerts are not concerned. The alarm ends after a day without another one.", name, n))
		case now.Sub(last.at) >= quietTime:
			a.health.Resolve(key, "a day without another one")
		}
	}
}

// watchRouting tells of notify frames that could not be replayed at the start.
func (a *Agent) watchRouting() {
	if n, last := a.routing.unread(); n > 0 {
		a.health.Raise("routing", event.SeverityHigh, "Groups of alerts could not be restored",
			fmt.Sprintf("%d notify frames of the ledger could not be replayed at the start, the last one, %s. What they say of groups and silences is missing: people may be told twice or late, and a silence may be gone; see \"appgovd silence list\". Alerts themselves are not lost. A defect, or a ledger of a later build: please report it. The alarm ends at the next start that replays everything.", n, cut(last)))
	} else {
		a.health.Resolve("routing", "everything was replayed")
	}
}

// imbalance is by how much the account of a source is out, and since when.
type imbalance struct {
	out  int64
	seen time.Time
}

// formerImbalance is what the runs before left: news only where its alarm is
// still open.
func (a *Agent) formerImbalance(s ingest.Status) imbalance {
	told, open := a.health.since("account/" + s.Key)
	if !open {
		told = a.watched.started.Add(-quietTime)
	}
	return imbalance{difference(s.Account), told}
}

func difference(a event.Account) int64 {
	return int64(a.Fetched - a.New - a.Seen - a.Quarantined - a.Gap)
}

// watchAccount checks that what was fetched is new, seen, quarantined or in a
// gap. The account is a sum over the life of the source and a difference stays
// in it: the alarm is over when the difference has not grown for a day.
func (a *Agent) watchAccount(key string, acc event.Account) {
	a.watched.mu.Lock()
	defer a.watched.mu.Unlock()
	now, alarm, out, last := a.o.Now(), "account/"+key, difference(acc), a.watched.accounts[key]
	if out != last.out {
		last = imbalance{out, now}
		a.watched.accounts[key] = last
	}
	switch {
	case out == 0:
		a.health.Resolve(alarm, "the account adds up again")
	case now.Sub(last.seen) < quietTime:
		a.health.Raise(alarm, event.SeverityHigh, "The account of a source does not add up",
			fmt.Sprintf("%s: fetched %d, but new %d + seen %d + quarantined %d + gap %d. Records may be missing; please report it. The alarm ends when the difference has not changed for a day.", key, acc.Fetched, acc.New, acc.Seen, acc.Quarantined, acc.Gap))
	default:
		a.health.Resolve(alarm, fmt.Sprintf("what was read in the last day adds up; the difference of %d stays in the account", out))
	}
}

// watchSinks tells of dead letters.
func (a *Agent) watchSinks(now time.Time) {
	for _, s := range a.plan.sinks {
		name := s.block.Key()
		key, c, open := "dead_letter/"+name, a.watched.dead.get(name), a.ledger.DeadLetterCount(name)
		switch {
		case c.N == 0 || open == 0:
			a.health.Resolve(key, "the dead letter has nothing of this sink")
		case now.Sub(c.Last) >= quietTime:
			a.health.Resolve(key, "a day without another one")
		default:
			a.health.Raise(key, event.SeverityHigh, "A sink refuses alerts for good",
				fmt.Sprintf("%s: %d in the dead letter, the last one because: %s. The others are delivered. See \"appgovd deadletter list\". The alarm ends after a day without another one, or when they are settled.", name, min(c.N, uint64(open)), cut(c.Reason)))
		}
	}
}

// cut bounds what a destination says.
func cut(s string) string {
	if len(s) <= 500 {
		return s
	}
	return strings.ToValidUTF8(s[:500], "") + "..."
}

// watchQuarantine tells of records that could not be decoded.
func (a *Agent) watchQuarantine(source string, now time.Time) {
	key, c := "quarantine/"+source, a.watched.quarantine.get(source)
	if told, open := a.health.since(key); c.N == 0 && open {
		c.Last = told // before this start
	}
	switch {
	case now.Sub(c.Last) >= quietTime:
		a.health.Resolve(key, "a day without another one")
	case c.N > 0:
		a.health.Raise(key, event.SeverityMedium, "Records cannot be decoded",
			fmt.Sprintf("%s: %s since the start. They lie in the ledger as they came; the rest of their pages is evaluated. The alarm ends after a day without another one.", source, reasons(c.Reasons)))
	}
}

// reasons is "reason (3), reason (1)", in order.
func reasons(m map[string]uint64) string {
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s (%d)", r, m[r]))
	}
	return strings.Join(parts, ", ")
}

// watchBudgets tells when polls and sweeps need more than our part of the
// provider's limits for several ticks.
func (a *Agent) watchBudgets(t *tenant) {
	for _, b := range t.budgets() {
		key := "budget/" + t.key + "/" + b.Family
		n := a.watched.load[key]
		if b.Load > 1 {
			n = max(n, 0) + 1
		} else {
			n = min(n, 0) - 1
		}
		a.watched.load[key] = n
		switch {
		case n >= budgetTicks:
			a.health.Raise(key, event.SeverityMedium, "The budget no longer covers polls and sweeps",
				fmt.Sprintf("%s, limit of %s: needed %.0f %%, so that records come later and later. Collect fewer sources, raise poll_interval or sweep_interval, or take the event stream instead of polling.", t.key, b.Family, 100*b.Load))
		case n <= -budgetTicks:
			a.health.Resolve(key, "polls and sweeps fit again")
		}
	}
}

// watchReplay tells when the state that was rebuilt at the start made other
// alerts of the stored frames than are stored.
func (a *Agent) watchReplay(t *tenant) {
	if key := "replay/" + t.key; a.watched.diverged[t.key] > 0 {
		a.health.Raise(key, event.SeverityMedium, "The rebuilt state differs from the one before",
			fmt.Sprintf("%s: %d frames gave other alerts at the start than when they were read. What was delivered stands; windows, baselines and open findings may differ. Expected once after an update of appgovd, else a defect: please report it. The alarm ends at the next start without a difference.", t.key, a.watched.diverged[t.key]))
	} else {
		a.health.Resolve(key, "the state was rebuilt without a difference")
	}
}

// watchFreshness tells when a source is complete through a time that lies
// further behind than its schedule explains. Where the source itself is an
// alarm, or there is no room, that is the reason and enough.
func (a *Agent) watchFreshness(t *tenant, source string, complete, now time.Time) {
	key, bound, through := "freshness/"+source, t.delay(source), "nothing"
	if bound == 0 {
		return
	}
	if !complete.IsZero() {
		through = "everything up to " + complete.UTC().Format(time.RFC3339)
	}
	switch {
	case !complete.IsZero() && now.Sub(complete) <= bound:
		a.health.Resolve(key, "the source has caught up")
	case now.Sub(a.watched.started) > bound && !a.health.explained(source):
		a.health.Raise(key, event.SeverityMedium, "A source lags behind",
			fmt.Sprintf("%s: %s was read, and by its schedule no more than %s should be missing. Alerts on later records are late. See whether the source is throttled, its budget is spent, or a first read of much history goes on.", source, through, bound))
	}
}

// explained reports whether an open alarm says why a source lags.
func (h *health) explained(source string) bool {
	for _, key := range []string{"source/" + source, "ledger_full", "disk_full"} {
		if _, open := h.since(key); open {
			return true
		}
	}
	return false
}

// sinkState raises an alarm for a sink that needs a human, at once, and for one
// that goes on failing.
func (a *Agent) sinkState(s deliver.Status) {
	key, text := "sink/"+s.Sink, joinAdvice(s.Sink+": "+s.Error, s.Hint)
	switch {
	case s.State == deliver.StateHealthy:
		a.health.Resolve(key, "the sink takes alerts again")
	case s.State == deliver.StatePaused:
		a.health.Raise(key, event.SeverityHigh, "A sink is paused", text)
	case s.Attempts >= sinkAttempts:
		a.health.Raise(key, event.SeverityMedium, "A sink keeps failing", text)
	}
}
