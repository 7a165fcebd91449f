package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
)

func routeCommand() *cobra.Command {
	c := &cobra.Command{Use: "route", Short: "See where alerts go"}
	c.AddCommand(routeTestCommand())
	return c
}

func routeTestCommand() *cobra.Command {
	var config, at, output string
	c := &cobra.Command{
		Use:   "test ALERT.json|-",
		Short: "Tell which sinks would get an alert, and why",
		Long: `Tell which sinks would get an alert by a configuration, and why: for every route whether it matches, and if not which
condition fails; for every sink whether it gets the alert at once, in a group, or not. The alert is one JSON document as sinks
with format = "json" write it ("-" is standard input); only severity must be there. No daemon is asked: silences of the
command line, and alerts that are open and would inhibit this one, are not known here.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text")
			}
			if config == "" {
				return misuse{errors.New("give --config")}
			}
			when, err := momentOf(at)
			if err != nil {
				return misuse{fmt.Errorf("--at: %w", err)}
			}
			a, err := readAlert(c.InOrStdin(), args[0])
			if err != nil {
				return misuse{err}
			}
			return testRoute(c, config, &a, when, output)
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration (FILE or DIR)")
	c.Flags().StringVar(&at, "at", "", "moment for mutes and silences, RFC 3339; without it now")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func momentOf(at string) (time.Time, error) {
	if at == "" {
		return time.Now(), nil
	}
	return time.Parse(time.RFC3339, at)
}

// mostAlert is more than any alert has.
const mostAlert = 8 << 20

func readAlert(stdin io.Reader, name string) (a event.Alert, err error) {
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return a, err
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, mostAlert))
	if err != nil {
		return a, fmt.Errorf("read %s: %w", name, err)
	}
	if a, err = format.ParseJSON(b); err != nil {
		return a, fmt.Errorf("%s: %w", name, err)
	}
	return a, nil
}

func testRoute(c *cobra.Command, config string, a *event.Alert, at time.Time, output string) error {
	p, diags := app.Check(config)
	if diags.HasErrors() {
		return errors.Join(diag.Text(c.ErrOrStderr(), diags, p.Files), exitError{exitUsage})
	}
	e, err := p.ExplainRoute(a, at)
	if err != nil {
		return err
	}
	if output == "json" {
		return writeJSON(c.OutOrStdout(), e)
	}
	return printRoute(c.OutOrStdout(), a, e)
}

func printRoute(out io.Writer, a *event.Alert, e app.Explained) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("alert %q: rule %q, kind %q, severity %s\n", a.Title, a.RuleID, a.Kind, a.Severity)
	for _, s := range e.Steps {
		indent := strings.Repeat("  ", s.Depth)
		switch {
		case !s.Matched:
			t.row("%sroute %s: no: %s", indent, s.Route, oneLine(s.Failed))
		case s.Took:
			t.row("%sroute %s: matches, for %s", indent, s.Route, strings.Join(slices.Concat(s.Sinks, s.Escalates), ", "))
		default:
			t.row("%sroute %s: matches, and a route within it takes the alert", indent, s.Route)
		}
	}
	t.row("\nSINK\tOUTCOME\tWHY")
	for _, s := range e.Sinks {
		t.row("%s\t%s\t%s", s.Sink, s.Outcome, oneLine(s.Why))
	}
	for _, s := range e.Sinks {
		t.group(s)
	}
	return t.w.Flush()
}

// group tells what keeps the alert of a group from being told.
func (t table) group(s app.ExplainedSink) {
	if s.Route == "" {
		return
	}
	labels := make([]string, len(s.Labels))
	for i, l := range s.Labels {
		labels[i] = fmt.Sprintf("%s=%q", l.Name, l.Value)
	}
	t.row("%s: group {%s} of route %s, first notice after %s", s.Sink, strings.Join(labels, ", "), s.Route, s.Wait)
	if s.Endless {
		t.row("%s: muted without end: its mutes leave no minute of the week free", s.Sink)
	}
	if !s.Muted.IsZero() {
		t.row("%s: muted until %s", s.Sink, when(s.Muted))
	}
	if q := s.Silenced; q != nil {
		t.row("%s: silenced until %s by %q: %q", s.Sink, when(q.Until), q.Author, q.Reason)
	}
}
