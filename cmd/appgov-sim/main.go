// Command appgov-sim serves a simulated Microsoft Graph tenant over TLS: for
// the demo, for end-to-end tests and for load. See docs/simulator.md.
//
// Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/sim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings is what the command line says beside the options of the cloud.
type settings struct {
	options     sim.Options
	listen      string
	caOut       string
	issued      string
	requests    string
	brokers     []string
	topic       string
	categories  []string
	printConfig bool
	scenarios   bool
}

// usage marks mistakes of the command line.
type usage struct{ error }

// Unwrap returns the mistake itself.
func (u usage) Unwrap() error { return u.error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := command(stdout, stderr)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "appgov-sim:", err)
	if errors.As(err, new(usage)) {
		_, _ = fmt.Fprintln(stderr, "Try: appgov-sim --help")
		return 2
	}
	return 1
}

func command(stdout, stderr io.Writer) *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "appgov-sim",
		Short: "serve a simulated Microsoft Graph tenant",
		Long: "appgov-sim serves a simulated tenant over TLS with a certificate authority of its own: token endpoint, apps, grants,\n" +
			"audit and sign-in logs, alerts, and the ways in which the real service misbehaves. The same seed gives the same tenant.",
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage{fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), stdout, stderr) },
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	s.flags(cmd)
	return cmd
}

func (s *settings) run(ctx context.Context, stdout, stderr io.Writer) error {
	if s.scenarios {
		for _, sc := range sim.Scenarios() {
			_, _ = fmt.Fprintf(stdout, "%-18s %s\n", sc[0], sc[1])
		}
		return nil
	}
	if err := s.validate(); err != nil {
		return usage{err}
	}
	if s.printConfig {
		return s.config(stdout)
	}
	return s.serve(ctx, stderr)
}

func (s *settings) validate() error {
	for _, c := range s.categories {
		if !slices.Contains(sim.Categories(), c) {
			return fmt.Errorf("unknown category %q: known are %s", c, strings.Join(sim.Categories(), ", "))
		}
	}
	return s.options.Validate()
}

// config prints the configuration for a cloud with these options.
func (s *settings) config(stdout io.Writer) error {
	o := s.options
	o.Apps, o.Grants, o.Events, o.Calls, o.Alerts, o.Office, o.Changes = -1, 0, 0, 0, 0, 0, 0 // only its identity is of interest
	c, err := sim.New(o)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, c.SourceBlock("https://"+s.listen, s.caOut))
	return err
}

func (s *settings) serve(ctx context.Context, stderr io.Writer) (err error) {
	for _, l := range []struct {
		name string
		to   *io.Writer
	}{{s.issued, &s.options.Log}, {s.requests, &s.options.RequestLog}} {
		if l.name == "" {
			continue
		}
		f, err := os.Create(l.name)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		*l.to = f
	}
	c, err := sim.New(s.options)
	if err != nil {
		return err
	}
	base, ca, stop, err := c.Start(s.listen)
	if err != nil {
		return err
	}
	defer stop()
	if s.caOut != "" {
		if err := replace(s.caOut, ca); err != nil {
			return fmt.Errorf("write certificate authority: %w", err)
		}
	}
	_, _ = fmt.Fprintf(stderr, "appgov-sim: serving %s tenant=%s client=%s records=%d\n", base, c.TenantID(), c.ClientID(), c.Status().Records)
	return s.stream(ctx, c)
}

// stream sends the records of diagnostic settings, where that is wanted, and waits for
// the end of ctx.
func (s *settings) stream(ctx context.Context, c *sim.Cloud) error {
	if len(s.brokers) > 0 {
		k := sim.NewKafka(s.brokers, s.topic)
		defer func() { _ = k.Close() }()
		if err := c.Stream(ctx, s.categories, k.Send); err != nil && ctx.Err() == nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// replace writes a file so that a reader sees all of it or nothing.
func replace(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".appgov-sim-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), name)
}
