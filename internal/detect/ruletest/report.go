package ruletest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/appgovd/appgovd/internal/rule"
)

// coverage counts tests per rule.
type coverage map[string]*Coverage

func newCoverage(set *rule.Set) coverage {
	c := coverage{}
	for _, r := range set.Rules {
		c[r.ID] = &Coverage{Rule: r.ID}
	}
	for _, p := range set.Policies {
		c[p.ID] = &Coverage{Rule: p.ID}
	}
	return c
}

func (c coverage) add(t rule.Test) {
	for _, id := range t.Rules {
		switch fires := slices.ContainsFunc(t.Expect, func(x rule.Expect) bool { return x.Rule == id }); {
		case c[id] == nil:
		case fires:
			c[id].Fires++
		default:
			c[id].NearMisses++
		}
	}
}

func (c coverage) list() []Coverage {
	out := make([]Coverage, 0, len(c))
	for _, id := range slices.Sorted(maps.Keys(c)) {
		out = append(out, *c[id])
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

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
