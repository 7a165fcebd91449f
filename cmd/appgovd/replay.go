package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/rule"
)

type replayFlags struct {
	rules                   []string
	format, summary, tenant string
}

func replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay [flags] FILE...",
		Short: "Run exported logs through the rules; alerts go to standard output",
		Long: `Run exported logs through the rules, in order of event time across all files,
with no configuration and no state: alerts as JSON lines on standard output,
progress and a summary on standard error.

A file holds JSON lines, arrays, {"value":[...]} pages of Microsoft Graph,
{"records":[...]} blobs of diagnostic settings, rows of Log Analytics or
{"tables":[...]} of its answers, records of the unified audit log, or is a CSV file
of a portal; plain or gzip; - is standard input. Files of the inventory (applications, service
principals, grants) are what is known from the beginning.

Exit code 0: every record was read, even if some were quarantined; 1: a file could
not be read; 2: wrong usage or rules.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return replay(c, args, f) },
	}
	c.Flags().StringArrayVar(&f.rules, "rules", nil, "directory or file of rules, may be repeated; the shipped rules where it is absent")
	c.Flags().StringVar(&f.format, "format", "ecs", "form of the alerts: ecs or json")
	c.Flags().StringVar(&f.summary, "summary", "text", "form of the summary: text, or json (one document, no progress)")
	c.Flags().StringVar(&f.tenant, "tenant", app.ReplayTenant, "tenant id of records that name none")
	return c
}

func replay(c *cobra.Command, files []string, f replayFlags) error {
	encode, err := format.Named(f.format, nil)
	if err != nil {
		return misuse{fmt.Errorf("--format: %w", err)}
	}
	if f.summary != "text" && f.summary != "json" {
		return misuse{fmt.Errorf("--summary is %q; it must be text or json", f.summary)}
	}
	set, err := replayRules(c.ErrOrStderr(), f.rules)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := bufio.NewWriter(c.OutOrStdout())
	said := teller{w: c.ErrOrStderr(), quiet: f.summary == "json"}
	r := app.NewReplay(app.ReplayOptions{
		Rules: set, Tenant: strings.ToLower(f.tenant), Alert: func(a *event.Alert) error {
			_, err := out.Write(append(encode(nil, a), '\n'))
			return err
		},
		Refuse: said.refused, Step: said.progress,
	})
	for _, name := range files {
		said.file(r, name, readFile(r, name, c.InOrStdin()))
	}
	err = errors.Join(r.Run(ctx), out.Flush(), r.Close(), said.summary(r.Summary()))
	if err != nil {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "appgovd: replay: %v\n", err)
	}
	if err != nil || len(r.Summary().Failed) > 0 {
		return exitError{exitFailed}
	}
	return nil
}

// replayRules compiles the rules of the paths, or those that come with appgovd.
func replayRules(stderr io.Writer, paths []string) (*rule.Set, error) {
	set, err := rulesOf(stderr, paths, rule.Compile)
	if err != nil {
		return nil, err
	}
	if len(set.Rules)+len(set.Policies) == 0 {
		return nil, misuse{fmt.Errorf("--rules: no rule in %s", strings.Join(paths, ", "))}
	}
	return set, nil
}

func readFile(r *app.Replay, name string, stdin io.Reader) error {
	if name == "-" {
		return r.Read(name, stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		r.Fail(name, err)
		return err
	}
	err = r.Read(name, f)
	return errors.Join(err, f.Close())
}

// teller writes what a person wants to know to standard error. Names and reasons
// hold text of others: they are quoted.
type teller struct {
	w       io.Writer
	quiet   bool
	refusal int
	last    time.Time
}

// maxRefusals bounds the records whose reasons are told one by one.
const maxRefusals = 20

func (t *teller) say(format string, args ...any) {
	if !t.quiet {
		_, _ = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *teller) refused(file string, err error) {
	if t.refusal++; t.refusal <= maxRefusals {
		t.say("%s: quarantined: %s\n", file, oneLine(err.Error()))
	}
}

// oneLine makes text of others one printable line.
func oneLine(s string) string {
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	q := fmt.Sprintf("%+q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func (t *teller) file(r *app.Replay, name string, err error) {
	if err != nil {
		t.say("%s: %s\n", name, oneLine(err.Error()))
		return
	}
	t.say("%s: read, %d records so far\n", name, r.Summary().Read)
}

func (t *teller) progress(s app.ReplaySummary) {
	if time.Since(t.last) < 2*time.Second {
		return
	}
	t.last = time.Now()
	t.say("%d of %d records applied, up to %s\n", s.Unique+s.Versions+s.Duplicates, s.Decoded, s.Last.Format(time.RFC3339))
}

func (t *teller) summary(s app.ReplaySummary) error {
	if t.quiet {
		return writeJSON(t.w, s)
	}
	if t.refusal > maxRefusals {
		t.say("%d more records were quarantined\n", t.refusal-maxRefusals)
	}
	t.say("records: %d read, %d decoded, %d unique, %d versions, %d duplicates, %d quarantined\n",
		s.Read, s.Decoded, s.Unique, s.Versions, s.Duplicates, s.Read-s.Decoded)
	t.counts("quarantined", s.Quarantined)
	total := 0
	for _, n := range s.Alerts {
		total += n
	}
	t.say("alerts: %d\n", total)
	t.counts("alerts", s.Alerts)
	for _, f := range s.Failed {
		t.say("not read to the end: %s: %s\n", f.Name, oneLine(f.Error))
	}
	return nil
}

func (t *teller) counts(what string, m map[string]int) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		t.say("%s: %s %d\n", what, k, m[k])
	}
}
