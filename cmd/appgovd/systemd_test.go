package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unit is a configuration that the daemon runs on as systemd starts it.
type unit struct {
	dir, conf string
	env       []string
	files     []*os.File // sockets that are handed over
}

func newUnit(t *testing.T, more string) *unit {
	t.Helper()
	dir, err := os.MkdirTemp("", "unit-") // short: paths of sockets end after 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	u := &unit{dir: dir, conf: filepath.Join(dir, "appgovd.hcl")}
	text := fmt.Sprintf("agent {\n  state_dir = %q\n  shutdown_timeout = \"5m\"\n}\n%s", u.path("state"), more)
	if err := os.WriteFile(u.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *unit) path(name string) string { return filepath.Join(u.dir, name) }

// start runs the daemon; the shell in between knows the pid that it will have.
func (u *unit) start(t *testing.T) *exec.Cmd {
	t.Helper()
	script := "exec appgovd run " + u.conf
	if len(u.files) > 0 {
		script = fmt.Sprintf("export LISTEN_PID=$$ LISTEN_FDS=%d; %s", len(u.files), script)
	}
	c := exec.Command("sh", "-c", script+" 2>"+u.path("log"))
	c.Env, c.ExtraFiles = append(os.Environ(), u.env...), u.files
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	return c
}

// said is the daemon's log so far.
func (u *unit) said() string { b, _ := os.ReadFile(u.path("log")); return string(b) }

func (u *unit) status(socket string) (string, error) {
	out, err := exec.Command("appgovd", "status", "--socket", socket).CombinedOutput()
	return string(out), err
}

func sendTo(t *testing.T, c *exec.Cmd, s os.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// handOver is a listener as systemd passes it on.
func handOver[L interface {
	net.Listener
	File() (*os.File, error)
}](t *testing.T, l L, err error) *os.File {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		_ = l.Close()
	})
	return f
}

func TestTheSocketOfSystemdIsUsedAndStays(t *testing.T) {
	u := newUnit(t, "")
	path := u.path("handed.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	u.files = []*os.File{handOver(t, l, err)}
	daemon := u.start(t)
	until(t, "it answers there", func() bool { _, err := u.status(path); return err == nil })
	if _, err := os.Stat(u.path("state/admin.sock")); err == nil {
		t.Error("it made a socket of its own as well")
	}
	sendTo(t, daemon, syscall.SIGTERM)
	if err := daemon.Wait(); err != nil {
		t.Errorf("%v\n%s", err, u.said())
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("it took the socket along, which is not its own: %v", err)
	}
}

func TestAPortThatSystemdHandsOverIsRefused(t *testing.T) {
	u := newUnit(t, "")
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	u.files = []*os.File{handOver(t, l, err)}
	daemon := u.start(t)
	if err := daemon.Wait(); err == nil || daemon.ProcessState.ExitCode() != 1 || !strings.Contains(u.said(), "the admin API is served on Unix sockets only") {
		t.Errorf("%v\n%s", err, u.said())
	}
}

// notices reads what the daemon tells systemd until one begins with want.
func notices(t *testing.T, c *net.UnixConn, want string) (all []string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("no %s after %q: %v", want, all, err)
		}
		all = append(all, string(b[:n]))
		if strings.HasPrefix(string(b[:n]), want) {
			return all
		}
	}
}

func TestSystemdIsToldOfStartReloadProgressAndStop(t *testing.T) {
	u := newUnit(t, "")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: u.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	u.env = []string{"NOTIFY_SOCKET=" + u.path("notify"), "WATCHDOG_USEC=200000"}
	daemon := u.start(t)
	notices(t, c, "READY=1")
	notices(t, c, "WATCHDOG=1")
	for _, broken := range []bool{true, false} {
		text, err := os.ReadFile(u.conf)
		if err != nil {
			t.Fatal(err)
		}
		if broken {
			if err := os.WriteFile(u.conf, []byte("broken {"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sendTo(t, daemon, syscall.SIGHUP)
		if got := notices(t, c, "RELOADING=1"); !strings.Contains(got[len(got)-1], "\nMONOTONIC_USEC=") {
			t.Errorf("%q has no time", got)
		}
		notices(t, c, "READY=1")
		notices(t, c, "WATCHDOG=1")
		if err := os.WriteFile(u.conf, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sendTo(t, daemon, syscall.SIGTERM)
	notices(t, c, "STOPPING=1")
	if err := daemon.Wait(); err != nil {
		t.Errorf("%v\n%s", err, u.said())
	}
}

// Alerts wait for a sink that nobody serves, so that stopping takes as long as
// shutdown_timeout allows: five minutes here.
func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler()) // its authority is unknown: a human must act
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	defer stranger.Close()
	u := newUnit(t, fmt.Sprintf(`
source "entra" "x" {
  tenant_id     = "22222222-2222-4222-8222-222222222222"
  client_id     = "11111111-1111-4111-8111-111111111111"
  client_secret = env("APPGOV_UNIT_SECRET")
  graph_url     = %[1]q
  login_url     = %[1]q
  collect       = ["applications"]
}
sink "kafka" "gone" {
  brokers = [%[2]q]
  topic   = "alerts"
}
`, stranger.URL, closed.Addr().String()))
	u.env = []string{"APPGOV_UNIT_SECRET=x"}
	daemon := u.start(t)
	socket := u.path("state/admin.sock")
	until(t, "an alarm waits for the sink", func() bool { s, _ := u.status(socket); return strings.Contains(s, "alarm source/entra/x/applications") })
	sendTo(t, daemon, syscall.SIGTERM)
	until(t, "it waits for the sink", func() bool {
		s, err := u.status(socket)
		return err == nil && strings.Contains(s, "kafka/gone") && strings.Contains(u.said(), "stopping")
	})
	sendTo(t, daemon, syscall.SIGTERM)
	began := time.Now()
	err = daemon.Wait()
	if took := time.Since(began); err == nil || took > 2*time.Minute {
		t.Errorf("%v after %s", err, took)
	}
}
