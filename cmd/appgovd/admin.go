package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/fault"
)

// listenAdmin returns the socket that systemd hands over, or makes the one that
// the configuration names. It is a Unix socket in either case.
func listenAdmin(p *app.Plan) (net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the socket of systemd: %w", err)
	}
	for _, l := range given {
		if l == nil {
			continue
		}
		if n := l.Addr().Network(); n != "unix" {
			return nil, fmt.Errorf("take the socket of systemd: %s is a %s socket; the admin API is served on Unix sockets only", l.Addr(), n)
		}
		return l, nil
	}
	path := p.AdminSocket()
	if err := os.MkdirAll(p.Config.Agent.StateDir, 0o700); err != nil {
		return nil, fault.WithHint(fmt.Errorf("make state directory: %w", err), "the user of the service must be able to make and own it; under systemd StateDirectory= does that")
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	l, err := listenPrivately(path)
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket: %w", err)
	}
	return l, nil
}

// removeStale removes a socket that a process left behind which is no more. It
// touches neither a socket that somebody listens on nor anything else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, 5*time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("%s is in use by another appgovd", path)
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, os.ErrNotExist):
		return nil
	default:
		return err
	}
}

// listenPrivately makes the socket with mode 0660 from its first moment: the
// group of the service may ask it, when it may enter the directory. The mask is
// the process's, and narrower than usual for as long as it takes.
func listenPrivately(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s has more than %d bytes, which no Unix socket can: name a shorter admin_socket", path, maxSocketPath)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, err
	}
	old := unix.Umask(0o117)
	defer unix.Umask(old)
	return net.Listen("unix", path)
}

// maxSocketPath is the size of sun_path in sockaddr_un less the final 0, unix(7).
const maxSocketPath = 107

// listenMetrics serves health and metrics on a TCP port, where one is asked for.
func listenMetrics(addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil //nolint:nilnil // nothing to listen on
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return l, nil
}

// start serves h on l, if there is one, until the returned function is called;
// that takes the socket away, however early it comes.
func start(l net.Listener, h http.Handler, log *zap.Logger) (stop func()) {
	if l == nil {
		return func() {}
	}
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: zap.NewStdLog(log.Named("http")),
	}
	go func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("listener ended", zap.Error(err))
		}
	}()
	return func() {
		_ = s.Close()
		_ = l.Close()
	}
}
