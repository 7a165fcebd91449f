package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/diag"
)

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run FILE|DIR",
		Short: "Run the daemon in the foreground",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, diags := app.Check(args[0])
			if err := diag.Text(c.ErrOrStderr(), diags, p.Files); err != nil {
				return err
			}
			if diags.HasErrors() {
				return exitError{exitUsage}
			}
			return serve(c, args[0], p)
		},
	}
}

// daemon is the process around one agent at a time: SIGHUP replaces the running
// agent when the new configuration is good. The ledger carries everything over.
type daemon struct {
	path    string // of the configuration
	stdout  io.Writer
	log     *zap.Logger
	hup     chan os.Signal
	current atomic.Pointer[app.Agent]
	release func() // of the port of the metrics
	letGo   func() // of the signals that ask for a stop
}

func serve(c *cobra.Command, path string, p *app.Plan) error {
	log, err := logger(p.Config.Agent)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &daemon{path: path, stdout: c.OutOrStdout(), log: log, hup: make(chan os.Signal, 1), letGo: stop}
	if os.Getenv("GOGC") == "" {
		go keepLean(ctx, func() bool { return d.current.Load() != nil })
	}
	defer func() { _ = d.log.Sync() }()
	signal.Notify(d.hup, syscall.SIGHUP)
	defer signal.Stop(d.hup)
	socket, err := listenAdmin(p)
	if err != nil {
		return err
	}
	defer start(socket, d.handler((*app.Agent).Handler), log)()
	port, err := listenMetrics(p.Config.Agent.MetricsListen)
	if err != nil {
		return err
	}
	d.release = start(port, d.handler((*app.Agent).Public), log)
	defer func() { d.release() }()
	go d.watchdog(ctx)
	return d.run(ctx, p)
}

// run runs agents, one after the other, until ctx ends or one fails.
func (d *daemon) run(ctx context.Context, p *app.Plan) error {
	a, err := d.build(ctx, p)
	if err != nil {
		return err
	}
	a.Refused(nil)
	for {
		next, err := d.runOne(ctx, a, p)
		d.current.Store(nil)
		if err != nil || next == nil {
			return err
		}
		if a, p, err = d.replace(ctx, p, next); err != nil {
			return err
		}
	}
}

func (d *daemon) build(ctx context.Context, p *app.Plan) (*app.Agent, error) {
	return app.New(ctx, p, app.Options{Log: d.log, Version: version, Stdout: d.stdout})
}

// replace builds the agent of the next plan. What only then turns out to be
// wrong, such as a secret that cannot be read, brings the old plan back.
func (d *daemon) replace(ctx context.Context, old, next *app.Plan) (*app.Agent, *app.Plan, error) {
	a, refused := d.adopt(ctx, old, next)
	if refused == nil {
		a.Refused(nil)
		return a, next, nil
	}
	if ctx.Err() != nil {
		return nil, nil, refused
	}
	a, err := d.build(ctx, old)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("take over the new configuration: %w", refused), fmt.Errorf("go back to the old one: %w", err))
	}
	a.Refused(refused)
	return a, old, nil
}

// adopt takes over what a reload may change outside the agent: the port of the
// metrics and the form of the log. It leaves everything as it was on an error.
func (d *daemon) adopt(ctx context.Context, old, next *app.Plan) (*app.Agent, error) {
	was := d.log
	log, err := logger(next.Config.Agent)
	if err != nil {
		return nil, err
	}
	moved := old.Config.Agent.MetricsListen != next.Config.Agent.MetricsListen
	var port net.Listener
	if moved {
		if port, err = listenMetrics(next.Config.Agent.MetricsListen); err != nil {
			return nil, err
		}
	}
	d.log = log
	a, err := d.build(ctx, next)
	if err != nil {
		d.log = was
		if port != nil {
			_ = port.Close()
		}
		return nil, err
	}
	if moved {
		d.release()
		d.release = start(port, d.handler((*app.Agent).Public), log)
	}
	return a, nil
}

// runOne runs a until the end (nil plan) or until a good new configuration is
// there.
func (d *daemon) runOne(ctx context.Context, a *app.Agent, p *app.Plan) (*app.Plan, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d.current.Store(a)
	done := make(chan error, 1)
	go func() { done <- a.Run(running) }()
	notify(sdnotify.SdNotifyReady + "\nSTATUS=collecting")
	for {
		select {
		case err := <-done:
			return nil, err
		case <-ctx.Done():
			d.letGo() // the next one does what it does to any process
			d.log.Info("stopping; a second signal ends appgovd at once")
			notify(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d", sdnotify.SdNotifyStopping, (p.Config.Agent.ShutdownTimeout + 10*time.Second).Microseconds()))
			return nil, <-done
		case <-d.hup:
			a.Reopen()
			notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sdnotify.SdNotifyReloading, monotonic()))
			next, err := reread(d.path, p)
			if err != nil {
				a.Refused(err)
				notify(sdnotify.SdNotifyReady)
				continue
			}
			d.log.Info("reloading the configuration")
			stop(app.ErrReload)
			return next, <-done
		}
	}
}

// reread checks the configuration for a reload.
func reread(path string, old *app.Plan) (*app.Plan, error) {
	p, diags := app.Check(path)
	if diags.HasErrors() {
		return nil, diags
	}
	was, now := old.Config.Agent.StateDir, p.Config.Agent.StateDir
	if was != now {
		return nil, fmt.Errorf("change state_dir from %s to %s: a reload cannot; stop appgovd, move the directory and start it again", was, now)
	}
	if was, now := old.AdminSocket(), p.AdminSocket(); was != now {
		return nil, fmt.Errorf("change admin_socket from %s to %s: a reload cannot; restart appgovd", was, now)
	}
	return p, nil
}

// monotonic is CLOCK_MONOTONIC in microseconds, as systemd wants it.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano() / 1000
}

func notify(state string) { _, _ = sdnotify.SdNotify(false, state) }

// watchdog tells systemd that the process makes progress, at half the interval.
func (d *daemon) watchdog(ctx context.Context) {
	interval, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	t := time.NewTicker(interval / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if a := d.current.Load(); a == nil || a.Alive() == nil {
			notify(sdnotify.SdNotifyWatchdog)
		}
	}
}

func (d *daemon) handler(of func(*app.Agent) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := d.current.Load()
		if a == nil {
			http.Error(w, "starting or reloading", http.StatusServiceUnavailable)
			return
		}
		of(a).ServeHTTP(w, r)
	})
}

func logger(a config.Agent) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(a.LogLevel)
	if err != nil {
		return nil, err
	}
	c := zap.NewProductionConfig()
	c.Level = zap.NewAtomicLevelAt(level)
	c.Sampling = nil
	c.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if a.LogFormat == "console" {
		c.Encoding = "console"
	}
	return c.Build(zap.WithCaller(false), zap.AddStacktrace(zapcore.DPanicLevel))
}
