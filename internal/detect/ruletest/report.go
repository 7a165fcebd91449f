package ruletest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/rule"
)

// coverage counts tests per rule.
type coverage map[string]*covered

type covered struct {
	Coverage
	conditions []*condition
	looked     bool // the rule looked at something in the test at hand
}

// condition is one part of a rule that is true or false, and what tests saw.
type condition struct {
	probe     rule.Probe
	yes, none bool
}

func newCoverage(set *rule.Set) coverage {
	c := coverage{}
	add := func(id string) {
		x := &covered{Coverage: Coverage{Rule: id}}
		for _, p := range set.Conditions(id) {
			x.conditions = append(x.conditions, &condition{probe: p})
		}
		c[id] = x
	}
	for _, r := range set.Rules {
		add(r.ID)
	}
	for _, p := range set.Policies {
		add(p.ID)
	}
	for _, k := range set.Risks {
		if k.AlertAt > 0 {
			add(k.ID())
			c[k.ID()].looked = true // whatever adds to it
		}
	}
	return c
}

// add counts a test that passed: a rule fired in it, or looked and did not fire.
func (c coverage) add(t rule.Test) {
	for _, id := range t.Rules {
		switch fires := slices.ContainsFunc(t.Expect, func(x rule.Expect) bool { return x.Rule == id }); {
		case c[id] == nil:
		case fires:
			c[id].Fires++
		case c[id].looked:
			c[id].NearMisses++
		}
	}
}

// look notes at what the rules of a test look, and how their conditions turn out.
func (c coverage) look(t rule.Test) func(string, *rule.Env) {
	for _, id := range t.Rules {
		if x := c[id]; x != nil && len(x.conditions) > 0 {
			x.looked = false
		}
	}
	return func(id string, env *rule.Env) {
		if c[id] == nil || !slices.Contains(t.Rules, id) {
			return
		}
		c[id].looked = true
		for _, x := range c[id].conditions {
			if v, _ := x.probe.Truth(env); v == rule.True {
				x.yes = true
			} else {
				x.none = true
			}
		}
	}
}

func (c coverage) list() []Coverage {
	out := make([]Coverage, 0, len(c))
	for _, id := range slices.Sorted(maps.Keys(c)) {
		x := c[id]
		for _, cond := range x.conditions {
			x.Conditions++
			if cond.yes && cond.none {
				x.Reached++
				continue
			}
			at := cond.probe.Range
			x.Unreached = append(x.Unreached, Condition{File: at.Filename, Line: at.Start.Line, Text: cond.probe.Text, Never: cond.never()})
		}
		out = append(out, x.Coverage)
	}
	return out
}

func (c *condition) never() []string {
	var out []string
	if !c.yes {
		out = append(out, "true")
	}
	if !c.none {
		out = append(out, "false")
	}
	return out
}

// WriteText writes the report for people: failures as file:line, then what no
// test covers, then the counts.
func (r Report) WriteText(w io.Writer) error {
	p := printer{w: w}
	for _, t := range r.Tests {
		if len(t.Failures) > 0 {
			p.line("FAIL %s:%d: %s", t.File, t.Line, t.Name)
		}
		for _, f := range t.Failures {
			p.line("  %s:%d: %s", f.File, f.Line, f.Text)
		}
	}
	for _, c := range r.Uncovered() {
		p.line("not covered: %s: %d firing, %d near miss", c.Rule, c.Fires, c.NearMisses)
	}
	for _, id := range r.Unspared() {
		p.line("not covered: exception %s", id)
	}
	p.line("%d passed, %d failed, %d rules and policies", r.Passed, r.Failed, len(r.Coverage))
	return p.err
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// JUnitCoverage is how coverage is told in the report of JUnit: by a suite with a case for each rule and
// exception.
type JUnitCoverage int

// How the report of JUnit shows what no test covers.
const (
	CoverageLeftOut  JUnitCoverage = iota
	CoverageShown                  // as cases that were skipped
	CoverageRequired               // as failures
)

// WriteJUnit writes the report in the form that CI servers read: one suite per
// file. https://github.com/testmoapp/junitxml
func (r Report) WriteJUnit(w io.Writer, c JUnitCoverage) error {
	out := junitReport{Name: "appgovd", Tests: r.Passed + r.Failed, Failures: r.Failed}
	for _, t := range r.Tests {
		if n := len(out.Suites); n == 0 || out.Suites[n-1].Name != t.File {
			out.Suites = append(out.Suites, junitSuite{Name: t.File})
		}
		suite := &out.Suites[len(out.Suites)-1]
		c := junitCase{Name: t.Name, Class: t.File, File: t.File, Line: t.Line}
		if len(t.Failures) > 0 {
			suite.Failures++
			c.Failure = &junitFailure{Message: t.Failures[0].Text}
			for _, f := range t.Failures {
				c.Failure.Text += fmt.Sprintf("%s:%d: %s\n", f.File, f.Line, f.Text)
			}
		}
		suite.Tests++
		suite.Cases = append(suite.Cases, c)
	}
	if c != CoverageLeftOut {
		suite := r.coverageSuite(c == CoverageRequired)
		out.Tests, out.Failures, out.Suites = out.Tests+suite.Tests, out.Failures+suite.Failures, append(out.Suites, suite)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r Report) coverageSuite(required bool) junitSuite {
	out := junitSuite{Name: "coverage"}
	add := func(id string, lacks []string) {
		x := junitCase{Name: id, Class: "coverage"}
		text := strings.Join(lacks, "\n")
		switch {
		case text != "" && required:
			out.Failures++
			x.Failure = &junitFailure{Message: lacks[0], Text: text}
		case text != "":
			x.Skipped = &junitSkipped{Message: text}
		}
		out.Tests, out.Cases = out.Tests+1, append(out.Cases, x)
	}
	for _, v := range r.Coverage {
		add(v.Rule, v.Lacks())
	}
	for _, x := range r.Exceptions {
		var lacks []string
		if x.Tests == 0 {
			lacks = []string{"no test reaches it"}
		}
		add("exception "+x.Exception, lacks)
	}
	return out
}

// Lacks says what tests do not cover of a rule; none when they cover it.
func (c Coverage) Lacks() (out []string) {
	if c.Fires == 0 || c.NearMisses == 0 {
		out = append(out, fmt.Sprintf("%d firing cases, %d near misses: at least one of each", c.Fires, c.NearMisses))
	}
	for _, x := range c.Unreached {
		out = append(out, fmt.Sprintf("%s:%d: never %s: %s", x.File, x.Line, strings.Join(x.Never, " nor "), x.Text))
	}
	return out
}

// Complete reports whether tests cover every rule, condition and exception.
func (r Report) Complete() bool {
	return len(r.Unspared()) == 0 && !slices.ContainsFunc(r.Coverage, func(c Coverage) bool { return len(c.Lacks()) > 0 })
}

type junitReport struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr,omitempty"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
