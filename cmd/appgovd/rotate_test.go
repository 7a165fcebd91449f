package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// As logrotate does: the file is moved away, then SIGHUP. The configuration is
// broken meanwhile, so that nothing but the files is opened anew.
func TestSIGHUPOpensTheFileOfASinkAnewEvenWhenTheReloadIsRefused(t *testing.T) {
	dir := t.TempDir()
	conf, alerts := filepath.Join(dir, "appgovd.hcl"), filepath.Join(dir, "alerts.jsonl")
	put := func(text string) {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(fmt.Sprintf("agent {\n  state_dir = %q\n}\nsink \"file\" \"alerts\" {\n  path = %q\n}\n", filepath.Join(dir, "state"), alerts))
	var log bytes.Buffer
	daemon := exec.Command("appgovd", "run", conf)
	daemon.Stderr = &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the daemon answers", func() bool {
		return exec.Command("appgovd", "status", "--socket", filepath.Join(dir, "state", "admin.sock")).Run() == nil
	})
	put("broken {")
	for i := range 3 {
		if err := os.Rename(alerts, fmt.Sprintf("%s.%d", alerts, i)); err != nil {
			t.Fatal(err)
		}
		if err := daemon.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, "the file is there again", func() bool { _, err := os.Stat(alerts); return err == nil })
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil || !bytes.Contains(log.Bytes(), []byte("the old one goes on")) {
		t.Errorf("%v\n%s", err, &log)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !ok() {
		select {
		case <-limit:
			t.Fatalf("wait until %s: too long", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
