package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
)

// binary is the path of the appgovd that TestMain built.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "appgovd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "appgovd")
	if out, err := goBuild(binary); err != nil {
		fmt.Fprintf(os.Stderr, "build appgovd: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func goBuild(path string, tags ...string) ([]byte, error) {
	return exec.Command("go", "build", "-tags", strings.Join(tags, ","), "-o", path, "../../cmd/appgovd").CombinedOutput()
}

// build makes an appgovd with build tags.
func build(t *testing.T, tags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "appgovd")
	if out, err := goBuild(path, tags...); err != nil {
		t.Fatalf("build appgovd: %v\n%s", err, out)
	}
	return path
}

// daemon is the real command on one configuration, started and killed at will.
type daemon struct {
	dir    string   // of the configuration; short, for the socket
	state  string   // state directory; dir/state unless a test moves it
	wrap   []string // the command to run the daemon under, and its arguments; empty = none
	binary string   // other than the one that TestMain built
	env    []string // besides that of the test
	cmd    *exec.Cmd
	exited chan struct{}
	log    *os.File
	peak   int // highest VmHWM of all its processes so far, in bytes
}

// newDaemon makes a directory for a configuration, which configure writes.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{dir: dir, state: filepath.Join(dir, "state"), binary: binary}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("the end of the daemon's log:\n%s", d.logTail())
		}
		_ = os.RemoveAll(dir)
	})
	if d.log, err = os.Create(d.path("log")); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

func (d *daemon) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	args := append(slices.Clone(d.wrap), d.binary, "run", d.path("agent.hcl"))
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Env = append(os.Environ(), d.env...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	d.exited = exited
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // most are killed
		close(exited)
	}(d.cmd)
}

// command runs the binary once, to its end, and returns what it printed.
func (d *daemon) command(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), d.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("appgovd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kill ends the process with SIGKILL, if it runs.
func (d *daemon) kill() { d.end(syscall.SIGKILL) }

// stop ends it with SIGTERM.
func (d *daemon) stop() { d.end(syscall.SIGTERM) }

func (d *daemon) end(sig syscall.Signal) {
	if d.cmd == nil {
		return
	}
	d.peak = max(d.peak, d.memory("VmHWM"))
	_ = d.cmd.Process.Signal(sig)
	<-d.exited
	d.cmd = nil
}

// alive fails the test when the process has ended by itself.
func (d *daemon) alive(t *testing.T) {
	t.Helper()
	select {
	case <-d.exited:
		t.Fatalf("appgovd ended by itself: %v", d.cmd.ProcessState)
	default:
	}
}

// memory is a line of /proc/PID/status in bytes: VmRSS now, VmHWM at most.
func (d *daemon) memory(line string) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kb << 10
		}
	}
	return 0
}

func (d *daemon) logTail() string {
	b, _ := os.ReadFile(d.log.Name())
	return string(b[max(0, len(b)-4<<10):])
}

// ask gets a path of the admin API; an error while it starts is none of the test's.
func (d *daemon) ask(ctx context.Context, path string) ([]byte, error) {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", filepath.Join(d.state, "admin.sock"))
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://appgovd"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, b)
	}
	return b, err
}

func (d *daemon) status(ctx context.Context) (s app.Status, err error) {
	b, err := d.ask(ctx, "/status")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

// inventory is the export of the directory, one line per object.
func (d *daemon) inventory(t *testing.T) (lines [][]byte) {
	t.Helper()
	b, err := d.ask(t.Context(), "/inventory")
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	return lines
}

// until waits for done while the process lives; it fails the test with what
// was waited for, and why it did not come, after limit.
func (d *daemon) until(t *testing.T, limit time.Duration, what string, why *string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		d.alive(t)
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %s", limit, what, *why)
		}
		pause(t.Context(), 200*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
