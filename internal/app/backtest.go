package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/rule"
)

// BacktestOptions of Backtest.
type BacktestOptions struct {
	StateDir    string
	OverflowDir string           // "" = none
	Rules       *event.RulesBlob // read in the time zone of the live ones
	Since       time.Time        // alerts of before are not counted; zero = all
}

// BacktestReport is what rules would have done on the history of a ledger, beside
// what the rules now in force do on the same history.
type BacktestReport struct {
	From     time.Time        `json:"from,omitzero"` // of the oldest frame held
	To       time.Time        `json:"to,omitzero"`
	Since    time.Time        `json:"since,omitzero"`
	Whole    bool             `json:"whole"` // the history begins with the ledger: nothing before it is missing
	Frames   int              `json:"frames"`
	Events   int              `json:"events"`
	NotKept  uint64           `json:"not_kept,omitempty"`       // calls that were summed up: no rule saw them one by one
	OfCalls  []string         `json:"rules_of_calls,omitempty"` // rules under test that may have missed some of them
	Damaged  int              `json:"damaged"`                  // parts of the ledger that could not be read
	Tenants  []string         `json:"tenants"`
	NoLive   bool             `json:"no_live_rules,omitempty"` // the history names no rules, or they do not compile
	Rules    []BacktestResult `json:"rules"`                   // those that alert in either set, by id
	Silent   []string         `json:"silent,omitempty"`        // rules under test that never alert
	Unfilled []string         `json:"inventory_incomplete,omitempty"`
}

// BacktestResult is one rule in both sets. Alerts are new ones: updates and
// resolutions do not count.
type BacktestResult struct {
	ID       string        `json:"rule"`
	Severity string        `json:"severity"`
	Alerts   int           `json:"alerts"`
	Apps     int           `json:"apps"`
	PerDay   float64       `json:"alerts_per_day"`
	Live     int           `json:"live_alerts"`
	Both     int           `json:"both"` // the same alert in both sets, by its id
	OnlyNew  int           `json:"only_here"`
	OnlyLive int           `json:"only_live"`
	Samples  []BacktestHit `json:"samples,omitempty"` // the first alerts
}

// BacktestHit is one alert.
type BacktestHit struct {
	Time    time.Time `json:"time"`
	App     string    `json:"app"`
	Summary string    `json:"summary"`
}

const backtestSamples = 5

// Backtest runs rules over the history that the ledger in a state directory holds.
// It takes no lock and changes nothing, so that the daemon may be running. Records
// that were never stored cannot be found by it.
func Backtest(ctx context.Context, o BacktestOptions) (BacktestReport, error) {
	v, err := ledger.OpenView(o.StateDir, o.OverflowDir)
	if err != nil {
		return BacktestReport{}, err
	}
	b := backtest{o: o, tenants: map[string]*backtestTenant{}, rules: map[string]*BacktestResult{}}
	err = errors.Join(b.run(ctx, v), v.Close())
	b.report.Damaged = v.Damaged()
	return b.finish(v.First()), err
}

type backtest struct {
	o       BacktestOptions
	tenants map[string]*backtestTenant
	rules   map[string]*BacktestResult
	ids     []string // of the rules under test
	calls   []string // those of them that look at calls
	report  BacktestReport
}

// backtestTenant is one tenant under the rules under test and under the live ones.
type backtestTenant struct {
	id        string // of the tenant, as its events say
	provider  string
	blob      *event.RulesBlob // the last one in force
	live, now *detect.Machine
	alerts    [2]map[event.ID]bool // new ones, by id: live, now
	apps      map[string]map[string]bool
}

// run reads the history twice: first for who the tenants are and which rules are
// in force at its end.
func (b *backtest) run(ctx context.Context, v *ledger.View) error {
	err := v.Packed(func(p *event.Packed) error {
		b.meet(p)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, t := range b.tenants {
		if err := b.prepare(t); err != nil {
			return err
		}
	}
	return v.Frames(func(f *event.Frame) error {
		if t := b.tenants[tenantKey(f.Source)]; t != nil {
			b.apply(t, f)
		}
		return ctx.Err()
	})
}

// tenantKey is "entra/contoso" of "entra/contoso/directory_audits"; "" for frames
// of no tenant.
func tenantKey(source string) string {
	parts := strings.SplitN(source, "/", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[0] + "/" + parts[1]
}

func (b *backtest) meet(p *event.Packed) {
	f := &p.Head
	key := tenantKey(f.Source)
	if key == "" {
		return
	}
	t := b.tenants[key]
	if t == nil {
		provider, _, _ := strings.Cut(key, "/")
		t = &backtestTenant{provider: provider, apps: map[string]map[string]bool{}, alerts: [2]map[event.ID]bool{{}, {}}}
		b.tenants[key] = t
	}
	if f.Rules != nil {
		t.blob = f.Rules
	}
	if t.id == "" {
		t.id = tenantOf(p)
	}
	if b.report.From.IsZero() || f.Time.Before(b.report.From) {
		b.report.From = f.Time
	}
	if f.Time.After(b.report.To) {
		b.report.To = f.Time
	}
	b.report.Frames++
}

// tenantOf is the tenant that the records of a frame name, "" where it has none. What
// does not decode is told when the frame is applied.
func tenantOf(p *event.Packed) string {
	var e event.Brief
	if p.Events() > 0 && p.Brief(0, &e) == nil {
		return strings.Clone(e.Tenant)
	}
	if a, err := p.AlertsIn(0, 1); err == nil && len(a) > 0 {
		return a[0].Tenant
	}
	return ""
}

func (b *backtest) prepare(t *backtestTenant) error {
	o := detect.Options{Provider: t.provider, Tenant: t.id}
	blob := *b.o.Rules
	if t.blob != nil {
		blob.Zone, blob.Own = t.blob.Zone, t.blob.Own
	}
	tested, diags := rule.Compile(&blob)
	if diags.HasErrors() {
		return fmt.Errorf("compile rules: %w", diags)
	}
	t.now, b.ids, b.calls = detect.New(tested, o), idsOf(tested), nil
	for _, r := range tested.Candidates(event.ActionAppCall) {
		b.calls = append(b.calls, r.ID)
	}
	if t.blob == nil {
		b.report.NoLive = true
		return nil
	}
	set, diags := rule.Compile(t.blob)
	if diags.HasErrors() {
		b.report.NoLive = true
		return nil
	}
	t.live = detect.New(set, o)
	return nil
}

// apply runs a frame as it was read, without what the rules of then made of it.
func (b *backtest) apply(t *backtestTenant, f *event.Frame) {
	if !f.Kind.Read() && f.Kind != event.FrameTick {
		return
	}
	b.report.Events += len(f.Events)
	for i := range f.Rollups {
		b.report.NotKept += f.Rollups[i].Calls
	}
	b.count(t, 1, again(t.now, f))
	if t.live != nil {
		b.count(t, 0, again(t.live, f))
	}
}

// again applies a frame anew: what its permissions are worth is said by the tiers of m.
func again(m *detect.Machine, f *event.Frame) []event.Alert {
	c := detect.AsRead(f)
	for i := range c.Events {
		for j := range c.Events[i].Permissions {
			c.Events[i].Permissions[j].Tier = 0
		}
	}
	m.Apply(&c)
	return c.Alerts
}

func (b *backtest) count(t *backtestTenant, side int, alerts []event.Alert) {
	for i := range alerts {
		a := &alerts[i]
		if a.State != event.AlertNew || a.Time.Before(b.o.Since) {
			continue
		}
		t.alerts[side][a.ID] = true
		r := b.rules[a.RuleID]
		if r == nil {
			r = &BacktestResult{ID: a.RuleID, Severity: a.Severity.String()}
			b.rules[a.RuleID] = r
		}
		if side == 0 {
			r.Live++
			if t.alerts[1][a.ID] {
				r.Both++
			}
			continue
		}
		r.Alerts++
		b.sample(t, r, a)
	}
}

func (b *backtest) sample(t *backtestTenant, r *BacktestResult, a *event.Alert) {
	if t.apps[r.ID] == nil {
		t.apps[r.ID] = map[string]bool{}
	}
	if key := a.App.Key(); key != "" {
		t.apps[r.ID][key] = true
	}
	if len(r.Samples) < backtestSamples {
		r.Samples = append(r.Samples, BacktestHit{a.Time, a.App.Name, a.Summary})
	}
}

func (b *backtest) finish(first uint64) BacktestReport {
	r := b.report
	r.Whole, r.Since = first == 1, b.o.Since
	r.Tenants = slices.Sorted(maps.Keys(b.tenants))
	from := r.From
	if b.o.Since.After(from) {
		from = b.o.Since
	}
	if r.NotKept > 0 {
		r.OfCalls = b.calls
	}
	days := max(r.To.Sub(from).Hours()/24, 1)
	for _, id := range slices.Sorted(maps.Keys(b.rules)) {
		x := *b.rules[id]
		for _, t := range b.tenants {
			x.Apps += len(t.apps[id])
		}
		x.OnlyNew, x.OnlyLive = x.Alerts-x.Both, x.Live-x.Both
		x.PerDay = float64(x.Alerts) / days
		r.Rules = append(r.Rules, x)
	}
	for _, id := range b.ids {
		if x := b.rules[id]; x == nil || x.Alerts == 0 {
			r.Silent = append(r.Silent, id)
		}
	}
	for _, key := range r.Tenants {
		if m := b.tenants[key].now; m != nil && !m.Stats().Ready {
			r.Unfilled = append(r.Unfilled, key)
		}
	}
	return r
}

func idsOf(set *rule.Set) []string {
	var ids []string
	for _, r := range set.Rules {
		if r.Mode != rule.ModeOff {
			ids = append(ids, r.ID)
		}
	}
	for _, p := range set.Policies {
		if p.Mode != rule.ModeOff {
			ids = append(ids, p.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// Text is the report for people. Names of apps are data of others: they are quoted.
func (r *BacktestReport) Text() string {
	var s strings.Builder
	fmt.Fprintf(&s, "History from %s to %s: %d frames, %d events of %s\n", stampOf(r.From), stampOf(r.To), r.Frames, r.Events, strings.Join(r.Tenants, ", "))
	if !r.Whole {
		s.WriteString("What was before is no longer held: what rules remember, and the inventory until its next full read, begin empty.\n")
	}
	if r.Damaged > 0 {
		fmt.Fprintf(&s, "%d parts of the ledger could not be read and are missing here.\n", r.Damaged)
	}
	if len(r.OfCalls) > 0 {
		fmt.Fprintf(&s, "%d calls to APIs were summed up and not kept one by one, since no rule of then could select them: of them these rules see nothing here: %s\n", r.NotKept, strings.Join(r.OfCalls, ", "))
	}
	if r.NoLive {
		s.WriteString("There are no live rules to compare with.\n")
	}
	for _, key := range r.Unfilled {
		fmt.Fprintf(&s, "%s: the inventory was never read whole in this history; policies were not looked at.\n", key)
	}
	for _, x := range r.Rules {
		fmt.Fprintf(&s, "\n%s (%s): %d alerts on %d apps, %.1f a day; live %d, the same in both %d, only here %d, only live %d\n", x.ID, x.Severity, x.Alerts, x.Apps, x.PerDay, x.Live, x.Both, x.OnlyNew, x.OnlyLive)
		for _, h := range x.Samples {
			fmt.Fprintf(&s, "  %s app %q: %q\n", stampOf(h.Time), h.App, h.Summary)
		}
	}
	if len(r.Silent) > 0 {
		fmt.Fprintf(&s, "\nNo alert: %s\n", strings.Join(r.Silent, ", "))
	}
	return s.String()
}

func stampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }
