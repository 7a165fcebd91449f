package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/appgovd/appgovd/internal/app"
)

// logrotate moves the file away and sends SIGHUP; Reopen is what the daemon
// does with it, whatever it thinks of the configuration.
func TestReopenMakesTheFileOfASinkAnew(t *testing.T) {
	dir := t.TempDir()
	conf, alerts := filepath.Join(dir, "appgovd.hcl"), filepath.Join(dir, "alerts.jsonl")
	text := fmt.Sprintf("agent {\n  state_dir = %q\n}\nsink \"file\" \"alerts\" {\n  path = %q\n}\nsink \"stdout\" \"x\" {}\n", filepath.Join(dir, "state"), alerts)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, diags := app.Check(conf)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	a, err := app.New(context.Background(), p, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if err := os.Rename(alerts, alerts+".1"); err != nil {
		t.Fatal(err)
	}
	a.Reopen()
	if _, err := os.Stat(alerts); err != nil {
		t.Error(err)
	}
}
