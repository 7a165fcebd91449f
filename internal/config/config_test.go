package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/diag"
)

func TestAValidFileIsReadWhole(t *testing.T) {
	c, diags := Load("testdata/valid/full.hcl")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if c.Agent.InitialLookback != 7*24*time.Hour || c.Agent.MaxBytes != 1<<30 || c.Agent.Tick != 30*time.Second {
		t.Errorf("agent %+v", c.Agent)
	}
	if c.Agent.ReaderGrace != 48*time.Hour || c.Agent.OverflowDir != "/srv/appgovd" || c.Sinks[0].WhenFull != "overflow" || c.Sinks[1].WhenFull != "block" ||
		c.Sinks[0].MinSeverity != "medium" || c.Sinks[1].MinSeverity != "informational" {
		t.Errorf("agent %+v, sinks %+v", c.Agent, c.Sinks)
	}
	if b := c.Sinks[0].Batch; b == nil || b.Events != 2000 || b.Bytes != 1e6 || b.Wait != 250*time.Millisecond || c.Sinks[1].Batch != nil {
		t.Errorf("batch %+v", b)
	}
	if len(c.Sources) != 1 || c.Sources[0].Key() != "entra/contoso" || len(c.Sinks) != 2 || len(c.Routes) != 1 || !c.Routes[0].Continue {
		t.Errorf("config %+v", c)
	}
}

func TestADirectoryIsOneConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.hcl": "agent {\n  log_level = \"warn\"\n}\n", "b.hcl": "sink \"stdout\" \"x\" {}\n", "c.txt": "not HCL"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, diags := Load(dir)
	if diags.HasErrors() || c.Agent.LogLevel != "warn" || len(c.Sinks) != 1 {
		t.Errorf("config %+v, %v", c, diags)
	}
	if _, diags := Load(t.TempDir()); !diags.HasErrors() {
		t.Error("an empty directory was accepted")
	}
}

var expectation = regexp.MustCompile(`# ERROR (.*)$`)

// Every file in testdata/invalid marks the lines with mistakes: all of them are
// reported at once, each on its line, and no other.
func TestEveryMistakeIsReportedOnItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, diags := Load(name)
			items := diag.Items(diags, c.Files)
			for i, line := range strings.Split(string(c.Files[name]), "\n") {
				m := expectation.FindStringSubmatch(line)
				rest := items[:0:0]
				found := false
				for _, it := range items {
					switch {
					case it.Line != i+1:
						rest = append(rest, it)
					case m != nil && strings.Contains(it.Summary+": "+it.Detail, m[1]):
						found = true
					default:
						t.Errorf("line %d: unexpected %q: %s", i+1, it.Summary, it.Detail)
					}
				}
				if m != nil && !found {
					t.Errorf("line %d: no mistake with %q", i+1, m[1])
				}
				items = rest
			}
			for _, it := range items {
				t.Errorf("without a line: %+v", it)
			}
		})
	}
}

func TestASecretInAMessageIsNotShown(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.hcl")
	if err := os.WriteFile(name, []byte("source \"entra\" \"x\" {\n  client_secret = \"hunter2\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _ := Load(name)
	if strings.Contains(fmt.Sprintf("%+v", c.Sources), "hunter2") {
		t.Error("the configuration prints a literal secret")
	}
}

func TestDurationsAndSizes(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "5m": 5 * time.Minute, "-5m": -1, "d": -1, "": -1, "1d1d": 48 * time.Hour, "99999999d": -1} {
		d, err := ParseDuration(text)
		if (err != nil) != (want < 0) || (err == nil && d != want) {
			t.Errorf("duration %q = %v, %v", text, d, err)
		}
	}
	for text, want := range map[string]int64{"512MiB": 512 << 20, "10GB": 1e10, "7": 7, "x": -1, "9999999999TiB": -1, "1XB": -1} {
		n, err := ParseSize(text)
		if (err != nil) != (want < 0) || (err == nil && n != want) {
			t.Errorf("size %q = %v, %v", text, n, err)
		}
	}
}

func FuzzLoadFile(f *testing.F) {
	f.Add([]byte("agent {\n state_dir = env(\"X\")\n}\nroute {\n sinks = [\"a/b\"]\n}\n"))
	f.Fuzz(func(_ *testing.T, src []byte) {
		c := &Config{Files: map[string][]byte{"x": src}}
		agents, diags := c.add("x", src)
		diags = append(diags, c.setAgent(agents)...)
		_ = diag.Text(&bytes.Buffer{}, append(diags, c.crossCheck()...), c.Files)
	})
}
