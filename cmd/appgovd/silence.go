package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/route"
)

func silenceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "silence",
		Short: "Keep alerts from being told for a time",
		Long: `Keep alerts that a condition matches from being told for a time. A silence holds for routes that group alerts for people;
other sinks get everything. What is still open when it ends is told then. The running daemon keeps silences over restarts
and reloads; "silence" blocks of the configuration are silences, too, and end by leaving it.`,
	}
	c.AddCommand(silenceAddCommand(), silenceListCommand(), silenceExpireCommand())
	return c
}

func silenceAddCommand() *cobra.Command {
	var at endpoint
	var add route.Silence
	var last, until, from string
	c := &cobra.Command{
		Use:   "add --where EXPR --author WHO --reason WHY --for 2h|--until TIME",
		Short: "Silence what a condition matches",
		Long: `Silence alerts that a condition matches, in the language of rules, such as 'app.id == "..." && alert.severity != "critical"';
docs/reference/fields.md lists the fields. Prints the id of the silence.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if add.Where == "" || add.Author == "" || add.Reason == "" || (last == "") == (until == "") {
				return misuse{errors.New("give --where, --author, --reason, and either --for or --until")}
			}
			if err := spanOf(&add, last, from, until, time.Now()); err != nil {
				return misuse{err}
			}
			body, err := json.Marshal(add)
			if err != nil {
				return err
			}
			b, err := at.send(c, http.MethodPost, "/silences", body)
			if err != nil {
				return err
			}
			var added route.Silence
			if err := json.Unmarshal(b, &added); err != nil {
				return fmt.Errorf("read the daemon's answer: %w", err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s until %s\n", added.ID, when(added.Until))
			return err
		},
	}
	at.flags(c)
	c.Flags().StringVar(&add.Where, "where", "", "condition on an alert")
	c.Flags().StringVar(&add.Author, "author", "", "who silences")
	c.Flags().StringVar(&add.Reason, "reason", "", "why")
	c.Flags().StringVar(&last, "for", "", "how long, such as 2h or 3d")
	c.Flags().StringVar(&until, "until", "", "until when, RFC 3339")
	c.Flags().StringVar(&from, "from", "", "from when on, RFC 3339; without it at once")
	return c
}

// spanOf fills in when the silence holds.
func spanOf(s *route.Silence, last, from, until string, now time.Time) (err error) {
	if from != "" {
		if s.From, err = time.Parse(time.RFC3339, from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		now = s.From
	}
	if until != "" {
		if s.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return fmt.Errorf("--until: %w", err)
		}
		return nil
	}
	d, err := config.ParseDuration(last)
	if err != nil {
		return fmt.Errorf("--for: %w", err)
	}
	s.Until = now.Add(d)
	return nil
}

func silenceListCommand() *cobra.Command {
	var at endpoint
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "List silences that hold or will",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			b, err := at.get(c, "/silences")
			if err != nil {
				return err
			}
			var all []route.Silence
			if err := json.Unmarshal(b, &all); err != nil {
				return fmt.Errorf("read the daemon's answer: %w", err)
			}
			if output == "json" {
				return lines(c.OutOrStdout(), all)
			}
			t := table{tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)}
			t.row("ID\tFROM\tUNTIL\tAUTHOR\tREASON\tWHERE")
			for _, s := range all {
				id := s.ID.String()[:12]
				if s.Name != "" {
					id = "file:" + s.Name
				}
				t.row("%s\t%s\t%s\t%q\t%q\t%s", id, when(s.From), when(s.Until), s.Author, s.Reason, oneLine(s.Where))
			}
			for _, s := range all {
				t.trouble("silence "+s.ID.String()[:12], s.Problem, "")
			}
			return t.w.Flush()
		},
	}
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json (a line each)")
	return c
}

func silenceExpireCommand() *cobra.Command {
	var at endpoint
	c := &cobra.Command{
		Use:   "expire ID",
		Short: "End a silence of the command line now",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := at.send(c, http.MethodPost, "/silences/"+url.PathEscape(args[0])+"/expire", nil); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "ended")
			return err
		},
	}
	at.flags(c)
	return c
}
