package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/detect/ruletest"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/rule"
)

func testCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "test DIR...",
		Short: "Run the tests that stand beside rules",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return runTests(c, args, output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func runTests(c *cobra.Command, args []string, output string) error {
	if output != "text" && output != "json" {
		return badOutput(output, "text")
	}
	blob, err := app.ReadRules(args, true)
	if err != nil {
		return misuse{err}
	}
	files := map[string][]byte{}
	for _, f := range blob.Files {
		files[f.Path] = f.Text
	}
	if _, diags := rule.Compile(blob); diags.HasErrors() {
		if err := diag.Text(c.ErrOrStderr(), diags, files); err != nil {
			return err
		}
		return exitError{exitUsage}
	}
	report, err := ruletest.Run(blob, ruletest.Options{Decode: app.DecodeFixture})
	if err != nil {
		return misuse{err}
	}
	if output == "json" {
		enc := json.NewEncoder(c.OutOrStdout())
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = printReport(c, report)
	}
	if err == nil && report.Failed > 0 {
		err = exitError{exitFailed}
	}
	return err
}

func printReport(c *cobra.Command, r ruletest.Report) error {
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
	_, err := fmt.Fprintf(out, "%d passed, %d failed\n", r.Passed, r.Failed)
	return err
}
