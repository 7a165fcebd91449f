package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/diag"
)

func sinkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sink",
		Short: "Try a destination",
	}
	c.AddCommand(sinkTestCommand())
	return c
}

func sinkTestCommand() *cobra.Command {
	var at endpoint
	var o app.SinkTestOptions
	var direct, output string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "test NAME",
		Short: "Send one marked test alert through a sink and tell what its destination says",
		Long: `Send one alert that says of itself that it is a test through the sink NAME ("slack/soc", or "soc" where only one has that
name), and tell what the destination says: accepted, refused for good, or failed with the class of the failure and advice.
The running daemon sends it, with its own credentials, between the batches of that sink. With --direct no daemon is needed:
the sink is made of that configuration, and what it needs must be readable here. Routes and min_severity are not asked.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text")
			}
			o.Sink, o.Version, o.Out = args[0], version, c.OutOrStdout()
			var all []app.SinkTest
			var err error
			if direct == "" {
				all, err = at.testSink(c, o)
			} else {
				all, err = testDirectly(c, direct, o, timeout)
			}
			return errors.Join(err, tell(c.OutOrStdout(), output, all))
		},
	}
	at.flags(c)
	c.Flags().StringVar(&direct, "direct", "", "send without a daemon, by this configuration (FILE or DIR)")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait with --direct")
	c.Flags().StringVar(&o.Severity, "severity", "high", "severity of the alert")
	c.Flags().BoolVar(&o.Resolve, "resolve", false, "resolve the alert again, so that no incident stays open")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json (a line each)")
	c.MarkFlagsMutuallyExclusive("direct", "socket")
	c.MarkFlagsMutuallyExclusive("direct", "config")
	return c
}

// testSink asks the daemon.
func (e *endpoint) testSink(c *cobra.Command, o app.SinkTestOptions) (all []app.SinkTest, err error) {
	form := url.Values{"sink": {o.Sink}, "severity": {o.Severity}, "resolve": {strconv.FormatBool(o.Resolve)}}
	b, err := e.call(c, http.MethodPost, "/sinks/test?"+form.Encode())
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return all, nil
}

func testDirectly(c *cobra.Command, path string, o app.SinkTestOptions, timeout time.Duration) ([]app.SinkTest, error) {
	p, diags := app.Check(path)
	if err := diag.Text(c.ErrOrStderr(), diags, p.Files); err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, exitError{exitUsage}
	}
	ctx, cancel := context.WithTimeout(c.Context(), timeout)
	defer cancel()
	return p.TestSink(ctx, o)
}

// tell prints the results; one that is not accepted is an error, too.
func tell(w io.Writer, output string, all []app.SinkTest) error {
	var failed error
	for _, t := range all {
		if t.Outcome != app.Accepted {
			failed = fmt.Errorf("%s does not have the test alert", t.Sink)
		}
	}
	if output == "json" {
		return errors.Join(lines(w, all), failed)
	}
	for _, t := range all {
		text := fmt.Sprintf("%s: %s alert %s", t.Sink, t.State, t.Outcome)
		if t.Class != "" {
			text += " (" + t.Class + ")"
		}
		if t.Error != "" {
			text += ": " + oneLine(t.Error)
		}
		if _, err := fmt.Fprintf(w, "%s\n  alert %s, delivery %s\n", text, t.Alert, t.Delivery); err != nil {
			return err
		}
		if t.Hint == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %s\n", t.Hint); err != nil {
			return err
		}
	}
	return failed
}
