package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/detect/ruletest"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

func testCommand() *cobra.Command {
	var f testFlags
	c := &cobra.Command{
		Use:   "test DIR...",
		Short: "Run the tests that stand beside rules",
		Long: `Run the tests that stand beside rules. What no test covers is named: rules without
a firing case or a near miss, and with --coverage each part of a condition that
was never true, or never false, in any test of its rule.

Exit code 0: every test passed; 1: one failed; 2: rules or tests do not compile.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runTests(c, args, f) },
	}
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text, json or junit")
	zoneFlag(c, &f.zone)
	c.Flags().BoolVar(&f.coverage, "coverage", false, "name the conditions that no test reaches; in JUnit's form a suite of its own")
	c.Flags().BoolVar(&f.required, "require-coverage", false, "fail when tests leave a rule, a condition or an exception uncovered; names them")
	return c
}

// zoneFlag lets a tool read rules in the zone that the daemon has in agent.time_zone.
func zoneFlag(c *cobra.Command, zone *string) {
	c.Flags().StringVar(zone, "time-zone", "UTC", "time zone of hours, weekdays and dates in rules: time_zone of the agent")
}

type testFlags struct {
	output   string
	zone     string
	coverage bool
	required bool // tests must cover everything
}

func (f testFlags) junit() ruletest.JUnitCoverage {
	switch {
	case f.required:
		return ruletest.CoverageRequired
	case f.coverage:
		return ruletest.CoverageShown
	}
	return ruletest.CoverageLeftOut
}

func runTests(c *cobra.Command, args []string, f testFlags) error {
	if !slices.Contains([]string{"text", "json", "junit"}, f.output) {
		return badOutput(f.output, "text, junit")
	}
	blob, err := app.ReadRules(args, true)
	if err != nil {
		return misuse{err}
	}
	blob.Zone = f.zone
	if diags := mistakes(blob); diags.HasErrors() {
		if err := diag.Text(c.ErrOrStderr(), diags, texts(blob)); err != nil {
			return err
		}
		return exitError{exitUsage}
	}
	report, err := ruletest.Run(blob, ruletest.Options{Decode: app.DecodeFixture})
	if err != nil {
		return misuse{err}
	}
	if len(report.Tests) == 0 {
		return misuse{fmt.Errorf("there is no test in %s: tests stand in *.test.hcl files beside the rules", strings.Join(args, ", "))}
	}
	switch f.output {
	case "json":
		err = writeJSON(c.OutOrStdout(), report)
	case "junit":
		err = report.WriteJUnit(c.OutOrStdout(), f.junit())
	default:
		err = printReport(c, report, f.coverage || f.required)
	}
	if err == nil && (report.Failed > 0 || f.required && !report.Complete()) {
		err = exitError{exitFailed}
	}
	return err
}

// mistakes are those of the rules, or where they have none those of their tests.
func mistakes(blob *event.RulesBlob) hcl.Diagnostics {
	if _, diags := rule.Compile(blob); diags.HasErrors() {
		return diags
	}
	_, diags := rule.Tests(blob)
	return diags
}

func printReport(c *cobra.Command, r ruletest.Report, coverage bool) error {
	out := c.OutOrStdout()
	for _, t := range r.Tests {
		for _, f := range t.Failures {
			if _, err := fmt.Fprintf(out, "%s:%d: %s: %s\n", f.File, f.Line, t.Name, f.Text); err != nil {
				return err
			}
		}
	}
	for _, v := range r.Coverage {
		if v.Fires == 0 || v.NearMisses == 0 {
			if _, err := fmt.Fprintf(out, "%s: %d firing cases, %d near misses: at least one of each\n", v.Rule, v.Fires, v.NearMisses); err != nil {
				return err
			}
		}
	}
	for _, id := range r.Unspared() {
		if _, err := fmt.Fprintf(out, "exception %s: no test reaches it\n", id); err != nil {
			return err
		}
	}
	conditions, reached := 0, 0
	for _, v := range r.Coverage {
		conditions, reached = conditions+v.Conditions, reached+v.Reached
		for _, x := range v.Unreached {
			if coverage {
				_, _ = fmt.Fprintf(out, "%s:%d: %s: never %s: %s\n", x.File, x.Line, v.Rule, strings.Join(x.Never, " nor "), x.Text)
			}
		}
	}
	_, err := fmt.Fprintf(out, "%d passed, %d failed; %d of %d conditions were seen both ways\n", r.Passed, r.Failed, reached, conditions)
	return err
}
