// Package servicetest owns the real servers that tests talk to: a Kafka broker, an Elasticsearch or OpenSearch node, an
// rsyslog or syslog-ng daemon and an Alertmanager, each started for one test on free ports of the loopback address, with TLS certificates
// made on the fly where the server speaks TLS, and gone when the test ends, or when the test's process dies.
//
// `make services` provides what they need. Where something is missing the test is skipped with "SKIPPED: reason";
// with CI=true it fails. A server takes seconds to start: start it in a parent test and hand it to the subtests.
//
// The package is test support: nothing in the product imports it.
package servicetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	// startLimit bounds one start of one server; a loaded machine with two cores needs a quarter of it.
	startLimit = 2 * time.Minute
	// startAttempts is how often a server is started on other ports when it does not come up.
	startAttempts = 3
	// pollInterval is the pause between two looks at a server that is starting.
	pollInterval = 50 * time.Millisecond
	// logTail is how much of a server's own output a failure shows, in bytes.
	logTail = 4 << 10
)

// cacheDir is where `make services` keeps the servers: $APPGOVD_CACHE, else $XDG_CACHE_HOME/appgovd, else
// ~/.cache/appgovd, and there "services".
func cacheDir() (string, error) {
	if dir := os.Getenv("APPGOVD_CACHE"); dir != "" {
		return filepath.Join(dir, "services"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache: %w", err)
	}
	return filepath.Join(dir, "appgovd", "services"), nil
}

// cached is the folder that `make services` made for name; the test ends here when there is none.
func cached(t testing.TB, name string) string {
	t.Helper()
	base, err := cacheDir()
	if err != nil {
		unavailable(t, err.Error())
	}
	dir := filepath.Join(base, name)
	if _, err := os.Stat(filepath.Join(dir, ".pins")); err != nil {
		unavailable(t, fmt.Sprintf("%s is not installed under %s; run make services", name, base))
	}
	return dir
}

// Program is the path of an installed program, also where /usr/sbin is not on the path; the test ends here when there
// is none: skipped with the reason, failed where CI=true.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	unavailable(t, name+" is not installed; run make services")
	return ""
}

// unavailable ends a test whose server cannot be had on this machine.
func unavailable(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("a server for tests is missing, which CI=true forbids: %s", reason)
	}
	t.Skipf("SKIPPED: %s", reason)
}

// newDir is a folder for one server, readable by other users (some servers refuse to run as root), removed after the
// server is gone.
func newDir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "appgovd-"+name+"-")
	if err != nil {
		t.Fatalf("make server folder: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove server folder: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("open server folder: %v", err)
	}
	return dir
}

// writeFile writes a server's file or ends the test.
func writeFile(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatalf("write server file: %v", err)
	}
	return path
}

// freePorts are n ports of the loopback address that nobody listens on, for TCP and UDP. They lie below the range that
// the kernel gives to outgoing connections, so that a port is still free when its server comes back after Kill.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	return freePortsIn(t, 15_000, 32_000, n)
}

// freePortsIn are n free ports from lowest up to, and without, highest.
func freePortsIn(t testing.TB, lowest, highest, n int) []int {
	t.Helper()
	const tries = 1_000
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports
		}
		port := lowest + rand.IntN(highest-lowest)
		if l, err := net.Listen("tcp", address(port)); err == nil {
			defer func() { _ = l.Close() }() // held until all are found, so that they differ
			ports = append(ports, port)
		}
	}
	t.Fatalf("find free ports: %d of %d found", len(ports), n)
	return nil
}

// address is a port of the loopback interface. TLS certificates name both 127.0.0.1 and localhost.
func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// server is one child process with the processes that it starts. Kill and Restart are promoted to the exported servers.
type server struct {
	name    string
	command func() *exec.Cmd
	ready   func(ctx context.Context) error
	log     *os.File
	cmd     *exec.Cmd
	exited  chan struct{}
}

// launch starts a server and waits until it is ready. Another process may take a port between the search and the
// start; then make is called again, up to startAttempts times, to configure the server anew.
func launch(t testing.TB, dir string, build func() *server) *server {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "output.log"))
	if err != nil {
		t.Fatalf("create server log: %v", err)
	}
	t.Cleanup(func() { _ = log.Close() })
	for attempt := 1; ; attempt++ {
		s := build()
		s.log = log
		err := s.start()
		if err == nil {
			t.Cleanup(s.kill)
			return s
		}
		s.kill()
		if attempt == startAttempts {
			t.Fatalf("start %s: %v\n%s", s.name, err, s.output())
		}
	}
}

// Kill ends the server with SIGKILL, as a power cut of the process would, and waits until it is gone. What it wrote
// stays for Restart.
func (s *server) Kill(t testing.TB) {
	t.Helper()
	s.kill()
}

// Restart starts a killed server on the same ports with the same data, and waits until it is ready.
func (s *server) Restart(t testing.TB) {
	t.Helper()
	s.kill()
	if err := s.start(); err != nil {
		t.Fatalf("restart %s: %v\n%s", s.name, err, s.output())
	}
}

func (s *server) start() error {
	cmd := s.command()
	// Not the file itself: Wait returns once every process of the server has closed its end of the pipe.
	cmd.Stdout = struct{ io.Writer }{s.log}
	cmd.Stderr = cmd.Stdout
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // a killed server never ends well
		close(s.exited)
	}()
	return s.await()
}

// await polls ready until it answers nil, the process ends, or startLimit is over.
func (s *server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("the process ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startLimit, err)
		case <-tick.C:
		}
	}
}

func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // the whole group; gone already is fine
	<-s.exited
	s.cmd = nil
}

// output is the end of what the server printed.
func (s *server) output() string {
	all, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(all[max(0, len(all)-logTail):])
}
