package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/diag"
)

func checkCommand() *cobra.Command {
	var output string
	var online bool
	c := &cobra.Command{
		Use:   "check FILE|DIR",
		Short: "Check a configuration and its rules; needs no network without --online",
		Long: `Check a configuration and its rules. With --online also try it: the token, the permissions that it holds, the clock, the first page of
every source, and the way to each sink; with what is missing and how to mend it. Nothing is kept, and no alert is sent.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, diags := app.Check(args[0])
			shown := c.OutOrStdout()
			if online { // what is found out is the output
				shown = c.ErrOrStderr()
			}
			if err := show(shown, output, diags, p.Files); err != nil {
				return err
			}
			if diags.HasErrors() {
				return exitError{exitUsage}
			}
			if online {
				return checkOnline(c, p, output)
			}
			if output == "text" {
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s is valid\n", args[0])
				return err
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	c.Flags().BoolVar(&online, "online", false, "try token, permissions, licences, the first page of every source and the way to every sink")
	return c
}

func checkOnline(c *cobra.Command, p *app.Plan, output string) error {
	findings := p.CheckOnline(c.Context(), version)
	bad := 0
	for _, f := range findings {
		if !f.OK {
			bad++
		}
	}
	if err := showOnline(c.OutOrStdout(), output, findings); err != nil {
		return err
	}
	if bad > 0 {
		return exitError{exitFailed}
	}
	return nil
}

func showOnline(w io.Writer, output string, findings []app.OnlineFinding) error {
	if output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(findings)
	}
	for _, f := range findings {
		mark := "ok     "
		if !f.OK {
			mark = "FAILED "
		}
		if _, err := fmt.Fprintf(w, "%s%s %s: %s\n", mark, f.Block, f.What, f.Text); err != nil {
			return err
		}
		if f.Advice != "" {
			if _, err := fmt.Fprintf(w, "       hint: %s\n", f.Advice); err != nil {
				return err
			}
		}
	}
	return nil
}

func show(w io.Writer, output string, diags hcl.Diagnostics, files map[string][]byte) error {
	switch output {
	case "json":
		return diag.JSON(w, diags, files)
	case "text":
		return diag.Text(w, diags, files)
	default:
		return badOutput(output, "text")
	}
}
