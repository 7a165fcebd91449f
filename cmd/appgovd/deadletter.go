package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

func deadLetterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "deadletter",
		Short: "See and settle what could not be delivered or decoded",
		Long: `See and settle alerts that a sink refused for good, and see records that could not
be decoded. An alert stays until it is delivered by retry, dropped, or older than
dead_letter_history; a record stays as long as the frame that holds it.`,
	}
	c.AddCommand(deadListCommand(), deadShowCommand(), deadRetryCommand(), deadDropCommand())
	return c
}

// letters is where dead letters are read: from the running daemon, or from the
// state directory.
type letters struct {
	at    endpoint
	store store
	sink  string

	input  bool   // records that could not be decoded, not letters
	source string // of these
}

func (l *letters) flags(c *cobra.Command) {
	l.at.flags(c)
	c.Flags().StringVar(&l.store.dir, "state-dir", "", "read the ledger in this directory instead of asking the daemon")
	l.store.overflowFlag(c)
	c.Flags().StringVar(&l.sink, "sink", "", "letters of this sink only, such as kafka/soc")
	c.MarkFlagsMutuallyExclusive("state-dir", "socket", "config")
}

// all reads the open letters, oldest first.
func (l *letters) all(c *cobra.Command) ([]event.DeadLetter, error) {
	var out []event.DeadLetter
	keep := func(d event.DeadLetter) error {
		if l.sink == "" || l.sink == d.Sink {
			out = append(out, d)
		}
		return nil
	}
	switch {
	case l.store.dir != "":
		err := l.store.view(func(v *ledger.View) error { return v.DeadLetters(keep) })
		return out, err
	case l.store.overflow != "":
		return nil, misuse{errors.New("--overflow-dir goes with --state-dir")}
	}
	body, err := l.at.get(c, "/deadletters")
	if err != nil {
		return nil, err
	}
	err = eachLine(body, keep)
	return out, err
}

// one is the letter whose id begins with prefix.
func (l *letters) one(c *cobra.Command, prefix string) (event.DeadLetter, error) {
	all, err := l.all(c)
	if err != nil {
		return event.DeadLetter{}, err
	}
	return oneOf(all, prefix)
}

func oneOf(all []event.DeadLetter, prefix string) (event.DeadLetter, error) {
	var found []event.DeadLetter
	for _, d := range all {
		if prefix != "" && strings.HasPrefix(d.ID.String(), strings.ToLower(prefix)) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return event.DeadLetter{}, fmt.Errorf("no open dead letter has an id that begins with %q", prefix)
	case 1:
		return found[0], nil
	}
	return event.DeadLetter{}, fmt.Errorf("%d dead letters have an id that begins with %q: write more of it", len(found), prefix)
}

func deadListCommand() *cobra.Command {
	var from letters
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "List alerts that a sink refused for good, or records that could not be decoded",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			switch input, err := from.ofInput(nil); {
			case err != nil:
				return err
			case input:
				return from.listInput(c, output)
			}
			all, err := from.all(c)
			if err != nil {
				return err
			}
			if output == "json" {
				return lines(c.OutOrStdout(), all)
			}
			t := table{tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)}
			t.row("ID\tREFUSED\tSINK\tATTEMPTS\tRULE\tREASON")
			for _, d := range all {
				t.row("%s\t%s\t%s\t%d\t%s\t%q", d.ID.String()[:12], when(d.Time), d.Sink, d.Attempts, d.Alert.RuleID, brief(d.Reason))
			}
			return t.w.Flush()
		},
	}
	from.flags(c)
	from.inputFlags(c)
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json (a line each)")
	return c
}

func lines[T any](out io.Writer, all []T) error {
	enc := json.NewEncoder(out)
	for _, x := range all {
		if err := enc.Encode(x); err != nil {
			return err
		}
	}
	return nil
}

const briefly = 100 // characters of a reason in a table

func brief(s string) string {
	if r := []rune(s); len(r) > briefly {
		return string(r[:briefly]) + "..."
	}
	return s
}

func deadShowCommand() *cobra.Command {
	var from letters
	var raw bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter as JSON",
		Long: `Show one dead letter as JSON. The beginning of its id will do. FRAME.NUMBER, as
list --input prints it, shows a record that could not be decoded; with --raw as it
came, fit for "appgovd replay".`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.Contains(args[0], ".") {
				return from.showInput(c, args[0], raw)
			}
			d, err := from.one(c, args[0])
			if err != nil {
				return err
			}
			return writeJSON(c.OutOrStdout(), d)
		},
	}
	from.flags(c)
	c.Flags().BoolVar(&raw, "raw", false, "print the bytes of a record that could not be decoded, nothing else")
	return c
}

func deadRetryCommand() *cobra.Command {
	var from letters
	var every bool
	c := &cobra.Command{
		Use:   "retry ID... | --all [--sink SINK] | --all --input [--source SOURCE]",
		Short: "Give dead letters to their sink once more, or decode records once more",
		Long: `Give dead letters to their sink once more, through the running daemon. What the
sink takes is settled; what it refuses again stays, with the new reason. A sink that
cannot be reached changes nothing. The ids of the delivery are those of the first
time.

FRAME.NUMBER, as list --input prints it, is a record that could not be decoded: it is
decoded once more, as a newer release may be able to, goes through the rules, and may
alert. One of the inventory is superseded by what its source reads anew.`,
		RunE: func(c *cobra.Command, args []string) error {
			return from.settle(c, args, every, "retry", url.Values{})
		},
	}
	from.flags(c)
	from.inputFlags(c)
	c.Flags().BoolVar(&every, "all", false, "every open letter, of --sink or --source where it is given")
	return c
}

func deadDropCommand() *cobra.Command {
	var from letters
	var every bool
	var reason string
	c := &cobra.Command{
		Use:   "drop ID... --reason TEXT | --all [--sink SINK] --reason TEXT | --all --input [--source SOURCE] --reason TEXT",
		Short: "Give dead letters or undecoded records up",
		Long: `Give dead letters up, through the running daemon. The reason is logged and kept.
Nobody will see these alerts at that sink. FRAME.NUMBER, as list --input prints it, is
a record that could not be decoded; it stays in its frame, and is not listed any more.`,
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return misuse{errors.New("a letter is dropped for a reason: give --reason")}
			}
			return from.settle(c, args, every, "drop", url.Values{"reason": {reason}})
		},
	}
	from.flags(c)
	from.inputFlags(c)
	c.Flags().BoolVar(&every, "all", false, "every open letter, of --sink or --source where it is given")
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}

// settle lets the daemon settle letters, one after the other, and prints what became
// of each.
func (l *letters) settle(c *cobra.Command, ids []string, every bool, verb string, form url.Values) error {
	switch {
	case l.store.dir != "":
		return misuse{fmt.Errorf("only the running daemon can %s: leave --state-dir away", verb)}
	case every == (len(ids) > 0):
		return misuse{errors.New("give ids, or --all")}
	}
	switch input, err := l.ofInput(ids); {
	case err != nil:
		return err
	case input:
		return l.settleInput(c, ids, verb, form)
	}
	chosen, err := l.all(c)
	if err != nil {
		return err
	}
	if !every {
		all := chosen
		chosen = nil
		for _, id := range ids {
			d, err := oneOf(all, id)
			if err != nil {
				return err
			}
			chosen = append(chosen, d)
		}
	}
	failed := 0
	for _, d := range chosen {
		s, err := l.ask(c, d.ID, verb, form)
		if err != nil {
			_, _ = fmt.Fprintf(c.ErrOrStderr(), "appgovd: %s: %s\n", d.ID.String()[:12], oneLine(err.Error()))
			failed++
			continue
		}
		if s.Outcome == app.Refused {
			failed++
		}
		_, _ = fmt.Fprintf(c.OutOrStdout(), "%s  %s  %s  %q\n", d.ID.String()[:12], s.Sink, s.Outcome, brief(s.Reason))
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d letters stay", failed, len(chosen))
	}
	return nil
}

func (l *letters) ask(c *cobra.Command, id event.ID, verb string, form url.Values) (s app.Settlement, err error) {
	body, err := l.at.call(c, http.MethodPost, "/deadletters/"+id.String()+"/"+verb+"?"+form.Encode())
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("read the answer: %w", err)
	}
	return s, nil
}
