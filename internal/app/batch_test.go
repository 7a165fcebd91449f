package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
)

// The bounds of a batch are those of the configuration, and else of the kind; a sink that
// tells people has a bound of its own and nothing waits there.
func TestBatches(t *testing.T) {
	const file, slack = "sink \"file\" \"x\" {\n  path = \"x.jsonl\"\n", "sink \"slack\" \"x\" {\n  url = env(\"X\")\n"
	for _, c := range []struct {
		sink, batch string
		want        deliver.Batch
		mistake     string
	}{
		{file, "", deliver.Batch{}, ""},
		{slack, "", deliver.Batch{Events: 20}, ""},
		{slack, "batch {}", deliver.Batch{Events: 20}, ""},
		{file, "batch {\n max_events = 2000\n max_bytes = \"1MB\"\n max_wait = \"5s\"\n}", deliver.Batch{Events: 2000, Bytes: 1e6, Wait: 5 * time.Second}, ""},
		{slack, "batch {\n max_events = 100\n max_bytes = \"64KiB\"\n}", deliver.Batch{Events: 100, Bytes: 64 << 10}, ""},
		{slack, "batch {\n max_events = 101\n}", deliver.Batch{}, "agent.hcl:7,15-18: Invalid max_events; A sink slack takes at most 100"},
		{slack, "batch {\n max_wait = \"1s\"\n}", deliver.Batch{}, "agent.hcl:7,13-17: Invalid max_wait; A sink slack tells people"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "agent.hcl")
		if err := os.WriteFile(path, []byte("agent {\n  state_dir = \""+dir+"\"\n}\n"+c.sink+c.batch+"\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, diags := Check(path)
		switch {
		case c.mistake != "":
			if !strings.Contains(diags.Error(), c.mistake) {
				t.Errorf("%s: %v, want %s", c.batch, diags, c.mistake)
			}
		case diags.HasErrors():
			t.Errorf("%s: %v", c.batch, diags)
		default:
			if got := batchOf(p.sinks[0].block); got != c.want {
				t.Errorf("%s: %+v, want %+v", c.batch, got, c.want)
			}
		}
	}
}
