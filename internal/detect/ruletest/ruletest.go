// Package ruletest owns the running of the tests that stand beside rules: each
// on a fresh machine, with the alerts compared to those expected.
package ruletest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// Options of Run. All may be zero.
type Options struct {
	// Decode turns the raw records of a fixture into events; name is the
	// fixture's path. nil: a test with a fixture fails.
	Decode func(name string, raw []byte) ([]event.Event, error)
	// Only keeps the tests that it accepts; nil = all.
	Only func(rule.Test) bool
}

// Report is what came of all tests.
type Report struct {
	Passed   int        `json:"passed"`
	Failed   int        `json:"failed"`
	Tests    []Result   `json:"tests"`
	Coverage []Coverage `json:"coverage"` // every rule and policy, by id

	Exceptions []Spared `json:"exceptions,omitempty"` // every one, by id
}

// Spared counts the tests in which an exception took something out.
type Spared struct {
	Exception string `json:"exception"`
	Tests     int    `json:"tests"`
}

// Result is what came of one test.
type Result struct {
	Name     string    `json:"name"`
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Rules    []string  `json:"rules"`
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is one thing that is not as expected.
type Failure struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Coverage counts the tests of one rule: those in which it must fire and those
// in which it must not.
//
// Conditions are the smallest parts of its conditions that are true or false. A
// test reaches one when it was true in one test of the rule and not true in
// another (or at another time).
type Coverage struct {
	Rule       string      `json:"rule"`
	Fires      int         `json:"fires"`
	NearMisses int         `json:"near_misses"`
	Conditions int         `json:"conditions"`
	Reached    int         `json:"reached"`
	Unreached  []Condition `json:"unreached,omitempty"`
}

// Condition is a part of a rule's condition that tests saw in one way at most.
type Condition struct {
	File  string   `json:"file"`
	Line  int      `json:"line"`
	Text  string   `json:"text"`
	Never []string `json:"never"` // "true", "false"; unknown counts as false
}

// OK reports whether every test passed.
func (r Report) OK() bool { return r.Failed == 0 }

// Uncovered lists the rules that lack a firing case or a near miss.
func (r Report) Uncovered() []Coverage {
	var out []Coverage
	for _, c := range r.Coverage {
		if c.Fires == 0 || c.NearMisses == 0 {
			out = append(out, c)
		}
	}
	return out
}

// Unspared lists the exceptions that no test reaches.
func (r Report) Unspared() []string {
	var out []string
	for _, x := range r.Exceptions {
		if x.Tests == 0 {
			out = append(out, x.Exception)
		}
	}
	return out
}

// Run compiles blob and runs its tests. The error is hcl.Diagnostics when rules
// or tests are not well formed; a test that fails is in the report.
func Run(blob *event.RulesBlob, o Options) (Report, error) {
	set, diags := rule.CompileProbed(blob)
	if diags.HasErrors() {
		return Report{}, diags
	}
	tests, diags := rule.Tests(blob)
	if diags.HasErrors() {
		return Report{}, diags
	}
	var r Report
	for _, e := range set.Exceptions {
		r.Exceptions = append(r.Exceptions, Spared{Exception: e.ID})
	}
	cover := newCoverage(set)
	for _, t := range tests {
		if o.Only != nil && !o.Only(t) {
			continue
		}
		res, hits := run(set, t, o, cover.look(t))
		for i := range r.Exceptions {
			if hits[r.Exceptions[i].Exception] > 0 {
				r.Exceptions[i].Tests++
			}
		}
		if len(res.Failures) == 0 {
			r.Passed++
			cover.add(t)
		} else {
			r.Failed++
		}
		r.Tests = append(r.Tests, res)
	}
	r.Coverage = cover.list()
	return r, nil
}

// runner is one test on its way.
type runner struct {
	test    rule.Test
	machine *detect.Machine
	alerts  []event.Alert
}

// run also returns the hits of each exception.
func run(set *rule.Set, t rule.Test, o Options, look func(string, *rule.Env)) (Result, map[string]uint64) {
	res := Result{Name: t.Name, File: t.Range.Filename, Line: t.Range.Start.Line, Rules: t.Rules}
	r := runner{test: t, machine: detect.New(set, detect.Options{
		Tenant: rule.TestTenant, Settle: -1, PolicyEvery: time.Nanosecond, Watch: detect.Watch{Look: look},
	})}
	r.machine.Inventory().SetOwn(t.Own)
	r.firstSync()
	for i := range t.Steps {
		if err := r.step(&t.Steps[i], o); err != nil {
			at := t.Steps[i].Range
			res.Failures = append(res.Failures, Failure{at.Filename, at.Start.Line, err.Error()})
		}
	}
	res.Failures = append(res.Failures, compare(t, r.alerts)...)
	hits := map[string]uint64{}
	for _, x := range r.machine.Exceptions() {
		hits[x.ID] = x.Hits
	}
	for _, x := range t.Spared {
		if n := hits[x.Exception]; x.Hits < 0 && n == 0 || x.Hits >= 0 && n != uint64(x.Hits) {
			res.Failures = append(res.Failures, Failure{x.Range.Filename, x.Range.Start.Line, fmt.Sprintf("%s spared %d times, want %s", x.Exception, n, wanted(x.Hits))})
		}
	}
	return res, hits
}

func wanted(hits int) string {
	if hits < 0 {
		return "at least once"
	}
	return strconv.Itoa(hits)
}

// kinds is the order in which pages of the inventory come.
func kinds() []string {
	return []string{event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment}
}

// sources are those that tests pretend to read.
func sources() []string {
	return []string{"test/alerts", "test/call", "test/directory_audits", "test/signins_interactive", "test/signins_managed_identity", "test/signins_non_interactive", "test/signins_service_principal"}
}

// firstSync shows the inventory that is there from the beginning, and lets the
// policies look at it.
func (r *runner) firstSync() {
	for _, kind := range kinds() {
		r.page(kind, r.test.Objects, &event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}, r.test.Since)
	}
	r.tick(r.test.Since)
}

func (r *runner) page(kind string, all []event.Object, sync *event.Sync, at time.Time) {
	var objects []event.Object
	for _, o := range all {
		if o.Kind == kind {
			objects = append(objects, o)
		}
	}
	if len(objects) > 0 || sync.Complete {
		r.apply(&event.Frame{Kind: event.FramePage, Source: "test/" + kind, Time: at, Objects: objects, Sync: sync})
	}
}

func (r *runner) tick(at time.Time) {
	f := &event.Frame{Kind: event.FrameTick, Time: at}
	for _, s := range sources() {
		f.CompleteThrough = append(f.CompleteThrough, event.SourceTime{Source: s, Time: at})
	}
	r.apply(f)
}

func (r *runner) apply(f *event.Frame) {
	r.machine.Apply(f)
	for _, a := range f.Alerts {
		if slices.Contains(r.test.Rules, a.RuleID) {
			r.alerts = append(r.alerts, a)
		}
	}
}

func (r *runner) step(s *rule.Step, o Options) error {
	switch {
	case s.Event != nil:
		r.events([]event.Event{*s.Event}, s.At)
	case s.Risk != nil:
		if got := r.machine.AppRisk(s.Risk.App.Key(), s.At); got != s.Risk.Risk {
			return fmt.Errorf("the risk of %q is %d, want %d", s.Risk.App.Name, got, s.Risk.Risk)
		}
	case s.Tick:
		r.tick(s.At)
	case s.Fixture != "":
		return r.fixture(s, o)
	default:
		for _, kind := range kinds() {
			r.page(kind, s.Objects, &event.Sync{Scope: kind, Kind: kind}, s.At)
		}
	}
	return nil
}

func (r *runner) events(events []event.Event, at time.Time) {
	for _, e := range events {
		source := e.Source
		if source == "" {
			source = "test/" + e.Class
		}
		r.apply(&event.Frame{Kind: event.FramePage, Source: source, Time: at, Events: []event.Event{e}})
	}
}

func (r *runner) fixture(s *rule.Step, o Options) error {
	if o.Decode == nil {
		return errors.New("fixtures cannot be read here")
	}
	events, err := o.Decode(s.Fixture, s.Raw)
	if err != nil {
		return fmt.Errorf("read fixture %s: %w", s.Fixture, err)
	}
	slices.SortStableFunc(events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	r.events(events, s.At)
	return nil
}

// compare pairs alerts with expectations, in order; what is left over fails.
func compare(t rule.Test, alerts []event.Alert) []Failure {
	left := slices.Clone(alerts)
	var out []Failure
	for _, x := range t.Expect {
		var got []event.Alert
		for len(got) < x.Alerts {
			i := slices.IndexFunc(left, func(a event.Alert) bool { return len(mismatches(x, a)) == 0 })
			if i < 0 {
				break
			}
			got = append(got, left[i])
			left = slices.Delete(left, i, i+1)
		}
		if text := short(x, got, left); text != "" {
			out = append(out, Failure{x.Range.Filename, x.Range.Start.Line, text})
		}
	}
	for _, a := range left {
		out = append(out, Failure{t.Range.Filename, t.Range.Start.Line, "unexpected alert: " + describe(a)})
	}
	return out
}

// short says what an expectation lacks, "" when nothing.
func short(x rule.Expect, got, left []event.Alert) string {
	if len(got) < x.Alerts {
		text := fmt.Sprintf("%s: %d of %d alerts", x.Rule, len(got), x.Alerts)
		for _, a := range left {
			if a.RuleID == x.Rule {
				return text + "; the nearest has " + strings.Join(mismatches(x, a), ", ")
			}
		}
		return text
	}
	if n := got[len(got)-1].Count; x.Count > 0 && n != x.Count {
		return fmt.Sprintf("%s: the last alert counts %d matches, want %d", x.Rule, n, x.Count)
	}
	return ""
}

// mismatches lists how a differs from what x expects.
func mismatches(x rule.Expect, a event.Alert) []string {
	var out []string
	differ := func(ok bool, name string, got, want any) {
		if !ok {
			out = append(out, fmt.Sprintf("%s %v, want %v", name, got, want))
		}
	}
	differ(a.RuleID == x.Rule, "rule", a.RuleID, x.Rule)
	if x.Kind == "" {
		differ(a.Kind != event.AlertSummary, "kind", a.Kind, "no summary")
	} else {
		differ(a.Kind == x.Kind, "kind", a.Kind, x.Kind)
	}
	differ(x.State == "" || a.State == x.State, "state", a.State, x.State)
	differ(x.Severity == 0 || a.Severity == x.Severity, "severity", a.Severity, x.Severity)
	differ(x.Score < 0 || a.Score == x.Score, "score", a.Score, x.Score)
	names := []string{a.App.Name, a.App.AppID, a.App.ID, a.App.ObjectID}
	differ(x.App == "" || slices.Contains(names, x.App), "app", fmt.Sprintf("%q", a.App.Name), fmt.Sprintf("%q", x.App))
	differ(strings.Contains(a.Summary, x.Summary), "summary", fmt.Sprintf("%q", a.Summary), fmt.Sprintf("%q in it", x.Summary))
	return out
}

func describe(a event.Alert) string {
	return fmt.Sprintf("%s (%s, %s, %s, score %d) on %q at %s: %q",
		a.RuleID, a.Kind, a.State, a.Severity, a.Score, a.App.Name, a.Time.UTC().Format(time.RFC3339), a.Summary)
}
