package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

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
	for dec := json.NewDecoder(bytes.NewReader(body)); ; {
		var d event.DeadLetter
		switch err := dec.Decode(&d); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		_ = keep(d)
	}
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
	var input bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List alerts that a sink refused for good, or records that could not be decoded",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			if input {
				return listInput(c, &from.store, output)
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
	c.Flags().BoolVar(&input, "input", false, "list records that could not be decoded; needs --state-dir")
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

// undecoded is a record that could not be decoded: its frame and its place in it
// are its name.
type undecoded struct {
	ID   string    `json:"id"`
	Read time.Time `json:"read"`
	event.Quarantine
}

// undecodedIn reads the records that could not be decoded.
func undecodedIn(at *store) (out []undecoded, err error) {
	if at.dir == "" {
		return nil, misuse{errors.New("records that could not be decoded are read from the ledger: give --state-dir")}
	}
	err = at.view(func(v *ledger.View) error {
		return v.Packed(func(p *event.Packed) error {
			f := &p.Head
			for i, q := range f.Quarantined {
				out = append(out, undecoded{fmt.Sprintf("%d.%d", f.LSN, i), f.Time, q})
			}
			return nil
		})
	})
	return out, err
}

func listInput(c *cobra.Command, at *store, output string) error {
	all, err := undecodedIn(at)
	if err != nil {
		return err
	}
	if output == "json" {
		return lines(c.OutOrStdout(), all)
	}
	t := table{tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)}
	t.row("ID\tREAD\tSOURCE\tREASON\tBYTES\tDETAIL")
	for _, q := range all {
		t.row("%s\t%s\t%s\t%s\t%d\t%q", q.ID, when(q.Read), q.Source, q.Reason, len(q.Raw), brief(q.Detail))
	}
	return t.w.Flush()
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
				return showInput(c, &from.store, args[0], raw)
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

func showInput(c *cobra.Command, at *store, id string, raw bool) error {
	all, err := undecodedIn(at)
	if err != nil {
		return err
	}
	for _, q := range all {
		switch {
		case q.ID != id:
		case raw:
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", q.Raw)
			return err
		default:
			return writeJSON(c.OutOrStdout(), struct {
				undecoded
				Raw string
			}{q, string(q.Raw)})
		}
	}
	return fmt.Errorf("no record %s: %d that could not be decoded are in the ledger", id, len(all))
}

func deadRetryCommand() *cobra.Command {
	var from letters
	var every bool
	c := &cobra.Command{
		Use:   "retry ID... | --all [--sink SINK]",
		Short: "Give dead letters to their sink once more",
		Long: `Give dead letters to their sink once more, through the running daemon. What the
sink takes is settled; what it refuses again stays, with the new reason. A sink that
cannot be reached changes nothing. The ids of the delivery are those of the first
time.`,
		RunE: func(c *cobra.Command, args []string) error {
			return from.settle(c, args, every, "retry", nil)
		},
	}
	from.flags(c)
	c.Flags().BoolVar(&every, "all", false, "every open letter, of --sink where it is given")
	return c
}

func deadDropCommand() *cobra.Command {
	var from letters
	var every bool
	var reason string
	c := &cobra.Command{
		Use:   "drop ID... --reason TEXT | --all [--sink SINK] --reason TEXT",
		Short: "Give dead letters up",
		Long: `Give dead letters up, through the running daemon. The reason is logged and kept.
Nobody will see these alerts at that sink.`,
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return misuse{errors.New("a letter is dropped for a reason: give --reason")}
			}
			return from.settle(c, args, every, "drop", url.Values{"reason": {reason}})
		},
	}
	from.flags(c)
	c.Flags().BoolVar(&every, "all", false, "every open letter, of --sink where it is given")
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
