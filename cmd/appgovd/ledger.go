package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

func ledgerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ledger",
		Short: "Inspect and steer the ledger in the state directory",
		Long: `Inspect and steer the ledger in the state directory. status, verify, dump and
export only read, and may run beside the daemon. repair --apply and rewind --apply
need the ledger for themselves: they are refused, with its pid, while a daemon runs.`,
	}
	c.AddCommand(ledgerStatusCommand(), ledgerVerifyCommand(), ledgerDumpCommand(), ledgerExportCommand(), ledgerRepairCommand(), ledgerRewindCommand())
	return c
}

// store is where a ledger lies.
type store struct{ dir, overflow string }

func (s *store) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.dir, "state-dir", "/var/lib/appgovd", "state directory with the ledger")
	s.overflowFlag(c)
}

func (s *store) overflowFlag(c *cobra.Command) {
	c.Flags().StringVar(&s.overflow, "overflow-dir", "", "overflow directory, where the configuration names one")
}

// view opens the ledger for reading while do runs.
func (s *store) view(do func(*ledger.View) error) error {
	v, err := ledger.OpenView(s.dir, s.overflow)
	if err != nil {
		return err
	}
	return errors.Join(do(v), v.Close())
}

func (s *store) inspect(deep bool) (r ledger.Report, err error) {
	err = s.view(func(v *ledger.View) error {
		r, err = v.Inspect(deep)
		return err
	})
	return r, err
}

// own becomes the owner of the state directory, so that root leaves no file there
// that the daemon could not write; the directory is reached before.
func (s *store) own() error {
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || stat.Uid == 0 {
		return nil
	}
	if err := os.Chdir(s.dir); err != nil {
		return err
	}
	s.dir = "."
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(int(stat.Gid), int(stat.Gid), int(stat.Gid)), syscall.Setresuid(int(stat.Uid), int(stat.Uid), int(stat.Uid))); err != nil {
		return fmt.Errorf("become the owner of the state directory: %w", err)
	}
	return nil
}

func (s *store) options() ledger.Options { return ledger.Options{OverflowDir: s.overflow} }

func ledgerStatusCommand() *cobra.Command {
	var at store
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell what the ledger holds: segments, readers, snapshots, and what is wrong at a first look",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return at.report(c, output, false)
		},
	}
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func ledgerVerifyCommand() *cobra.Command {
	var at store
	var output string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read every byte of the ledger and compare every checksum",
		Long: `Read every byte of the ledger, its snapshots, cursors and dead letters, and compare
every checksum and the chain of frames. Exit code 1 where something is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return at.report(c, output, true)
		},
	}
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func (s *store) report(c *cobra.Command, output string, deep bool) error {
	if output != "table" && output != "json" {
		return badOutput(output, "table")
	}
	r, err := s.inspect(deep)
	if err != nil {
		return err
	}
	if output == "json" {
		err = writeJSON(c.OutOrStdout(), r)
	} else {
		err = printLedger(c.OutOrStdout(), r)
	}
	if err == nil && deep && len(r.Problems) > 0 {
		return fmt.Errorf("verify: %d problems; \"appgovd ledger repair\" tells what becomes of them", len(r.Problems))
	}
	return err
}

func printLedger(out io.Writer, r ledger.Report) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	held := "no daemon holds it"
	if r.Owner != 0 {
		held = fmt.Sprintf("held by pid %d", r.Owner)
	}
	t.row("ledger in %q, %s: frames %d to %d, %d alerts, %d bytes in %d segments\n", r.Dir, held, r.First, r.Last, r.Alerts, r.Bytes, len(r.Segments))
	t.row("READER\tAT FRAME\tWAITING\tACCEPTED\tDEAD LETTER\tROUTED ELSEWHERE\tGROUPED\tDROPPED\tLOST\tLEFT")
	for _, x := range r.Cursors {
		t.row("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s", x.Name, x.LSN, x.Waiting, x.Accepted, x.DeadLetter, x.Skipped, x.Grouped, x.Dropped, x.Lost, when(x.Left))
	}
	if len(r.Forwards) > 0 {
		t.row("\nREADER OF EVENTS\tAT FRAME\tFRAMES WAITING\tACCEPTED\tDEAD LETTER\tNOT ASKED FOR\tFRAMES MISSED")
	}
	for _, x := range r.Forwards {
		t.row("%s\t%d\t%d\t%d\t%d\t%d\t%d", x.Name, x.LSN, x.Frames, x.Accepted, x.DeadLetter, x.Skipped, x.Missing)
	}
	t.row("")
	for _, x := range r.Snapshots {
		t.row("snapshot of frame %d, %d bytes", x.LSN, x.Bytes)
	}
	t.row("%d open dead letters; %d rotten and %d torn parts set aside so far", r.DeadLetters, r.Corrupt, r.Torn)
	if r.Frames > 0 {
		t.row("%d frames read", r.Frames)
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	return printProblems(out, r.Problems)
}

func printProblems(out io.Writer, all []ledger.Problem) error {
	for _, p := range all {
		if _, err := fmt.Fprintf(out, "problem: %s: %s; then %s\n", p.Where, p.What, p.Then); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "nothing is wrong")
		return err
	}
	return nil
}

// span is a part of the history.
type span struct {
	from         uint64
	since, until string
	limit        int
}

func (s *span) flags(c *cobra.Command) {
	c.Flags().Uint64Var(&s.from, "from", 0, "begin with the frame of this number")
	c.Flags().StringVar(&s.since, "since", "", "frames that were appended at this time or later: RFC 3339, or a duration back such as 2d")
	c.Flags().StringVar(&s.until, "until", "", "frames that were appended before this time")
}

var errEnough = errors.New("enough")

// frames calls fn with the frames of the span.
func (s *span) frames(v *ledger.View, fn func(*event.Packed) error) error {
	since, err := moment(s.since)
	if err != nil {
		return misuse{fmt.Errorf("--since: %w", err)}
	}
	until, err := moment(s.until)
	if err != nil {
		return misuse{fmt.Errorf("--until: %w", err)}
	}
	n := 0
	err = v.Packed(func(p *event.Packed) error {
		f := &p.Head
		if f.LSN < s.from || f.Time.Before(since) || !until.IsZero() && !f.Time.Before(until) {
			return nil
		}
		if n++; s.limit > 0 && n > s.limit {
			return errEnough
		}
		return fn(p)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// moment reads a time, or a duration before now; "" is the zero time.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := config.ParseDuration(s); err == nil {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is neither a time such as 2026-03-01T08:00:00Z nor a duration such as 2d", s)
	}
	return t, nil
}

// dumped is a frame in words.
type dumped struct {
	LSN         uint64    `json:"lsn"`
	Kind        string    `json:"kind"`
	Time        time.Time `json:"time"`
	Source      string    `json:"source,omitempty"`
	Events      int       `json:"events,omitempty"`
	Objects     int       `json:"objects,omitempty"`
	Quarantined int       `json:"quarantined,omitempty"`
	Gaps        int       `json:"gaps,omitempty"`
	Alerts      int       `json:"alerts,omitempty"`
	AlertBase   uint64    `json:"alert_base"`
	Mark        string    `json:"mark,omitempty"`
}

func ledgerDumpCommand() *cobra.Command {
	var at store
	var part span
	var whole bool
	c := &cobra.Command{
		Use:   "dump",
		Short: "Print the frames of the ledger, a line of JSON each",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			enc := json.NewEncoder(c.OutOrStdout())
			return at.view(func(v *ledger.View) error {
				return part.frames(v, func(p *event.Packed) error {
					if whole {
						f, err := p.Frame()
						if err != nil {
							return err
						}
						return enc.Encode(f)
					}
					f := &p.Head
					return enc.Encode(dumped{f.LSN, f.Kind.String(), f.Time, f.Source, p.Events(), p.Objects(), len(f.Quarantined), len(f.Gaps), p.Alerts(), f.AlertBase, string(f.Mark)})
				})
			})
		},
	}
	at.flags(c)
	part.flags(c)
	c.Flags().IntVar(&part.limit, "limit", 0, "print so many frames at most; 0 = all")
	c.Flags().BoolVar(&whole, "whole", false, "with everything that the frames hold")
	return c
}

func ledgerExportCommand() *cobra.Command {
	var at store
	var part span
	var what string
	c := &cobra.Command{
		Use:   "export",
		Short: "Print alerts, events or records from the ledger, a line of JSON each",
		Long: `Print alerts, events or records from the ledger, a line of JSON each: alerts and
events in canonical form, records as the cloud gave them (secrets are left out when
they are read), fit for "appgovd replay".`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			write, err := exporter(c.OutOrStdout(), what)
			if err != nil {
				return err
			}
			return at.view(func(v *ledger.View) error { return part.frames(v, write) })
		},
	}
	at.flags(c)
	part.flags(c)
	c.Flags().StringVar(&what, "what", "alerts", "alerts, events or records")
	return c
}

func exporter(out io.Writer, what string) (func(*event.Packed) error, error) {
	switch what {
	case "alerts":
		return func(p *event.Packed) error {
			alerts, err := p.AlertsIn(0, p.Alerts())
			return errors.Join(err, lines(out, alerts))
		}, nil
	case "events":
		return eachEvent(func(e *event.Event) error { return lines(out, []event.Event{*e}) }), nil
	case "records":
		return eachEvent(func(e *event.Event) error {
			if len(e.Raw) == 0 {
				return nil
			}
			_, err := fmt.Fprintf(out, "%s\n", e.Raw)
			return err
		}), nil
	}
	return nil, misuse{fmt.Errorf("--what %q: want alerts, events or records", what)}
}

// eachEvent calls fn with every event of a frame; it is good until fn returns.
func eachEvent(fn func(*event.Event) error) func(*event.Packed) error {
	var e event.Event
	return func(p *event.Packed) error {
		for i := range p.Events() {
			if err := p.Event(i, &e); err != nil {
				return err
			}
			if err := fn(&e); err != nil {
				return err
			}
		}
		return nil
	}
}

func ledgerRepairCommand() *cobra.Command {
	var at store
	var apply bool
	c := &cobra.Command{
		Use:   "repair",
		Short: "Tell what becomes of damage, and with --apply do it now",
		Long: `Tell what becomes of damage in the ledger. The daemon does the same by itself at its
next start and nothing has to be repaired by hand; --apply does it now, for instance
before a copy is made. Nothing is deleted: damaged parts are kept in corrupt/ and torn/.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := at.inspect(true)
			if err != nil {
				return err
			}
			if err := printProblems(c.OutOrStdout(), r.Problems); err != nil || !apply {
				if err == nil && len(r.Problems) > 0 {
					_, err = fmt.Fprintln(c.OutOrStdout(), "nothing was changed; --apply does it")
				}
				return err
			}
			if err := at.own(); err != nil {
				return err
			}
			done, err := ledger.Repair(at.dir, at.options())
			for _, text := range done {
				_, _ = fmt.Fprintf(c.OutOrStdout(), "done: %s\n", text)
			}
			if err == nil {
				_, err = fmt.Fprintf(c.OutOrStdout(), "the ledger opens; %d parts were set aside or told\n", len(done))
			}
			return err
		},
	}
	at.flags(c)
	c.Flags().BoolVar(&apply, "apply", false, "do it")
	return c
}

func ledgerRewindCommand() *cobra.Command {
	var at store
	var sink, to, what string
	var apply bool
	c := &cobra.Command{
		Use:   "rewind --sink KIND/NAME --to TIME|FRAME",
		Short: "Send a sink back, so that it gets alerts or events again",
		Long: `Send a sink back to a frame, or to the first frame that was appended at a time, so
that it gets the alerts from there on again when the daemon starts: with the ids of the
first time, so that a destination that knows ids keeps one of each. Only what the ledger
still holds can go out again. Its account begins anew. Of a sink with forward = "events"
it is the events: --what events. Without --apply nothing changes.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if sink == "" || to == "" {
				return misuse{errors.New("give --sink and --to")}
			}
			target, err := targetOf(to)
			if err != nil {
				return misuse{fmt.Errorf("--to: %w", err)}
			}
			if err := at.own(); err != nil {
				return err
			}
			var r ledger.Rewound
			switch what {
			case "alerts":
				r, err = ledger.Rewind(at.dir, sink, target, apply, at.options())
			case "events":
				r, err = ledger.RewindEvents(at.dir, sink, target, apply, at.options())
			default:
				return misuse{fmt.Errorf("--what: %q: want alerts or events", what)}
			}
			if err != nil {
				return err
			}
			verb := "would go"
			if apply {
				verb = "goes"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s %s from frame %d back to frame %d: %d %s go out again, as far as they are routed to it\n", r.Reader, verb, r.From, r.To, r.Alerts+r.Events, what)
			if err == nil && !apply {
				_, err = fmt.Fprintln(c.OutOrStdout(), "nothing was changed; --apply does it")
			}
			return err
		},
	}
	at.flags(c)
	c.Flags().StringVar(&sink, "sink", "", "the sink, such as kafka/soc")
	c.Flags().StringVar(&to, "to", "", "number of a frame, RFC 3339 time, or a duration back such as 2d")
	c.Flags().StringVar(&what, "what", "alerts", "what goes out again: alerts or events")
	c.Flags().BoolVar(&apply, "apply", false, "do it")
	return c
}

func targetOf(s string) (ledger.Target, error) {
	if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64); err == nil {
		if n == 0 {
			return ledger.Target{}, errors.New("frames are numbered from 1")
		}
		return ledger.Target{LSN: n}, nil
	}
	t, err := moment(s)
	return ledger.Target{Time: t}, err
}
