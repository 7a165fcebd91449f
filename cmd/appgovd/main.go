// Command appgovd is the app-governance daemon and its tools.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/fault"
)

// version is set by the linker.
var version = "dev"

// Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration.
const (
	exitFailed = 1
	exitUsage  = 2
)

// exitError carries the exit code of an error that was already shown.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	root := command(stdout, stderr)
	root.SetArgs(args)
	c, err := root.ExecuteC()
	var exit exitError
	if err == nil {
		return 0
	}
	if errors.As(err, &exit) {
		return exit.code
	}
	_, _ = fmt.Fprintf(stderr, "appgovd: %s\n", strings.TrimSpace(err.Error()))
	if hint := fault.Hint(err); hint != "" {
		_, _ = fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	if errors.As(err, new(failure)) {
		return exitFailed
	}
	_, _ = fmt.Fprintf(stderr, "Try: %s --help\n", c.CommandPath())
	return exitUsage
}

// failure marks the errors of a command that was used well; the others, and
// those that the command itself marks as misuse, are wrong usage.
type (
	failure struct{ error }
	misuse  struct{ error }
)

// Unwrap returns what failed.
func (f failure) Unwrap() error { return f.error }

// Unwrap returns the mistake itself.
func (m misuse) Unwrap() error { return m.error }

func command(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "appgovd",
		Short:         "App governance for security operations centres",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(suggestFlag)
	root.AddCommand(runCommand(), appsCommand(), checkCommand(), testCommand(), rulesCommand(), explainCommand(), backtestCommand(), replayCommand(), deadLetterCommand(), ledgerCommand(), routeCommand(), setupCommand(), silenceCommand(), sinkCommand(), statusCommand(), tailCommand(), topCommand(), versionCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		finish(c)
	}
	return root
}

// finish makes errors of a command failures, and words behind a group of
// commands mistakes: cobra would print its help and call that a success.
func finish(c *cobra.Command) {
	for _, sub := range c.Commands() {
		finish(sub)
	}
	if !c.Runnable() {
		c.Args, c.RunE = known, func(c *cobra.Command, _ []string) error { return c.Help() }
		return
	}
	do := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		err := do(c, args)
		if err == nil || errors.As(err, new(exitError)) || errors.As(err, new(misuse)) {
			return err
		}
		return failure{err}
	}
}

// known refuses the name of a command that a group does not have.
func known(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	return fmt.Errorf("unknown command %q for %q.%s", args[0], c.CommandPath(), config.Suggest(args[0], names))
}

func suggestFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("%w.%s", err, config.Suggest("--"+unknown.GetSpecifiedName(), names))
}
