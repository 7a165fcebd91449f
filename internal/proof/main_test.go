// Package proof shows on real file systems that the ledger keeps its promise: a
// process that uses it as the daemon does is killed, or the power of its disk is
// cut, and what is left is compared with what it was promised.
package proof

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dirOf names, in the environment of this binary, the directory to write to: it
// is the writer then, and no test.
const dirOf, notesOf = "APPGOVD_PROOF_DIR", "APPGOVD_PROOF_NOTES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirOf); dir != "" {
		fmt.Fprintln(os.Stderr, write(dir, os.Getenv(notesOf)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// process is a running writer.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	output strings.Builder
}

// start runs the writer of the test binary at path.
func start(t *testing.T, path, dir, notes string, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path), exited: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), dirOf+"="+dir, notesOf+"="+notes), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // it is killed
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// runs waits for d, or until the process has ended; it reports whether it runs.
func (p *process) runs(d time.Duration) bool {
	select {
	case <-p.exited:
		return false
	case <-time.After(d):
		return true
	}
}

// killed reports whether it ended by SIGKILL.
func (p *process) killed() bool {
	s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// notes is a file outside the disk that is cut.
func notes(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
