package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

func backtestCommand() *cobra.Command {
	var since, output string
	var at store
	c := &cobra.Command{
		Use:   "backtest [flags] DIR...",
		Short: "Run rules over the history in the ledger, beside the live ones",
		Long: `Run rules over the history that the ledger holds: what they would have alerted on
and how often, compared with what the rules now in force do on the same history.
An alert is the same in both where its id is. Both are read in the daemon's time zone. Rules in audit mode alert nothing.

The ledger is only read: appgovd may be running. What is older than --since fills
what rules remember and is not counted. Records that were never stored are not
found.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text")
			}
			o := app.BacktestOptions{StateDir: at.dir, OverflowDir: at.overflow}
			if since != "" {
				d, err := config.ParseDuration(since)
				if err != nil {
					return misuse{fmt.Errorf("--since: %w", err)}
				}
				o.Since = time.Now().Add(-d)
			}
			keep := func(blob *event.RulesBlob) (*rule.Set, hcl.Diagnostics) {
				o.Rules = blob
				return rule.Compile(blob)
			}
			if _, err := rulesOf(c.ErrOrStderr(), args, keep); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			r, err := app.Backtest(ctx, o)
			if err != nil {
				return err
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), r)
			}
			_, err = io.WriteString(c.OutOrStdout(), r.Text())
			return err
		},
	}
	c.Flags().StringVar(&since, "since", "", "count alerts of this time until now, such as 30d; all that the ledger holds where it is absent")
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}
