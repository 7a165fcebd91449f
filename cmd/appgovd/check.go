package main

import (
	"fmt"
	"io"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/diag"
)

func checkCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "check FILE|DIR",
		Short: "Check a configuration and its rules; needs no network",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, diags := app.Check(args[0])
			if err := show(c.OutOrStdout(), output, diags, p.Files); err != nil {
				return err
			}
			if diags.HasErrors() {
				return exitError{exitUsage}
			}
			if output == "text" {
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s is valid\n", args[0])
				return err
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
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
