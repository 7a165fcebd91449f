package servicetest_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// child runs one test of this binary in a process of its own.
func child(t *testing.T, test string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

func TestMissingServer(t *testing.T) {
	empty := "APPGOVD_CACHE=" + t.TempDir()
	t.Run("a test whose server is missing is skipped with the reason", func(t *testing.T) {
		out, err := child(t, "TestKafka", empty, "CI=").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "SKIPPED: kafka is not installed") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("with CI=true it fails", func(t *testing.T) {
		out, err := child(t, "TestKafka", empty, "CI=true").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "kafka is not installed") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

const hold = "APPGOVD_SERVICETEST_HOLD"

// holdServer is the child of TestOrphan: it starts a server, says where, and waits to be killed.
func holdServer(t *testing.T) {
	t.Helper()
	r := servicetest.Rsyslog(t, servicetest.SyslogOptions{})
	fmt.Println("listens at", r.TCP)
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

func TestOrphan(t *testing.T) {
	if os.Getenv(hold) != "" {
		holdServer(t)
		return
	}
	t.Run("a server dies with the test's process", func(t *testing.T) {
		cmd := child(t, "TestOrphan", hold+"=1", "TMPDIR="+t.TempDir())
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stdin.Close() }()
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		address := ""
		for lines := bufio.NewScanner(stdout); address == "" && lines.Scan(); {
			if strings.Contains(lines.Text(), "SKIP") {
				t.Skip(lines.Text())
			}
			_, address, _ = strings.Cut(lines.Text(), "listens at ")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if address == "" {
			t.Fatal("the child named no address")
		}
		awaitRefusal(t, address)
	})
}

func awaitRefusal(t *testing.T, address string) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-limit:
			t.Fatalf("%s still takes connections", address)
		case <-tick.C:
		}
	}
}
