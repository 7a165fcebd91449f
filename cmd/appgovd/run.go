package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
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
			if err := serve(c, args[0], p); err != nil {
				_, _ = fmt.Fprintf(c.ErrOrStderr(), "appgovd: %v\n", err)
				return exitError{exitFailed}
			}
			return nil
		},
	}
}

// serve runs agents, one after the other: SIGHUP replaces the running one when
// the new configuration is good. The ledger carries everything over.
func serve(c *cobra.Command, path string, p *app.Plan) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // on a host with other agents memory is dearer than processor time
	}
	log, err := logger(p.Config.Agent)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var current atomic.Pointer[app.Agent]
	closeServers, err := listen(p, &current, log)
	if err != nil {
		return err
	}
	defer closeServers()
	go watchdog(ctx, &current)
	for {
		a, err := app.New(ctx, p, app.Options{Log: log, Version: version, Stdout: c.OutOrStdout()})
		if err != nil {
			return err
		}
		current.Store(a)
		next, err := runOne(ctx, a, hup, path, log)
		current.Store(nil)
		if err != nil || next == nil {
			return err
		}
		p = next
	}
}

// runOne runs a until the end (nil plan) or until a good new configuration is
// there.
func runOne(ctx context.Context, a *app.Agent, hup <-chan os.Signal, path string, log *zap.Logger) (*app.Plan, error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(running) }()
	notify(daemon.SdNotifyReady + "\nSTATUS=collecting")
	for {
		select {
		case err := <-done:
			return nil, err
		case <-ctx.Done():
			notify(daemon.SdNotifyStopping)
			return nil, <-done
		case <-hup:
			a.Reopen()
			notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, monotonic()))
			p, diags := app.Check(path)
			if diags.HasErrors() {
				log.Error("the new configuration is refused; the old one goes on", zap.Error(diags))
				notify(daemon.SdNotifyReady)
				continue
			}
			log.Info("reloading the configuration")
			stop()
			return p, <-done
		}
	}
}

// monotonic is CLOCK_MONOTONIC in microseconds, as systemd wants it.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano() / 1000
}

func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// watchdog tells systemd that the process makes progress, at half the interval.
func watchdog(ctx context.Context, current *atomic.Pointer[app.Agent]) {
	interval, err := daemon.SdWatchdogEnabled(false)
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
		if a := current.Load(); a == nil || a.Alive() == nil {
			notify(daemon.SdNotifyWatchdog)
		}
	}
}

// listen serves the admin API on its Unix socket (systemd's, or one made here)
// and, where asked for, health and metrics on a TCP port.
func listen(p *app.Plan, current *atomic.Pointer[app.Agent], log *zap.Logger) (func(), error) {
	l, err := adminListener(p)
	if err != nil {
		return nil, err
	}
	servers := []*http.Server{start(l, handler(current, (*app.Agent).Handler), log)}
	if addr := p.Config.Agent.MetricsListen; addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen for metrics: %w", err)
		}
		servers = append(servers, start(l, handler(current, (*app.Agent).Public), log))
	}
	return func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}, nil
}

func adminListener(p *app.Plan) (net.Listener, error) {
	ls, err := activation.Listeners()
	if err == nil && len(ls) > 0 && ls[0] != nil {
		return ls[0], nil
	}
	path := p.AdminSocket()
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on admin socket: %s is in use by another appgovd", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	if err := os.MkdirAll(p.Config.Agent.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	return l, os.Chmod(path, 0o660) //nolint:gosec // the group of the service may ask it
}

func handler(current *atomic.Pointer[app.Agent], of func(*app.Agent) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := current.Load()
		if a == nil {
			http.Error(w, "starting or reloading", http.StatusServiceUnavailable)
			return
		}
		of(a).ServeHTTP(w, r)
	})
}

func start(l net.Listener, h http.Handler, log *zap.Logger) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("listener ended", zap.Error(err))
		}
	}()
	return s
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
