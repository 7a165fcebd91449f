package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/appgovd/appgovd/internal/rule"
)

// A directory of rules without a table of permissions has the shipped one.
func TestRulesWithoutTiersHaveTheShippedOnes(t *testing.T) {
	for name, want := range map[string]int{"r.hcl": 2, rule.TiersFile: 1, rule.OwnTiersFile: 2} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		blob, err := ReadRules([]string{dir}, false)
		if err != nil {
			t.Fatal(err)
		}
		var tiers []string
		for _, f := range blob.Files {
			if filepath.Base(f.Path) == rule.TiersFile {
				tiers = append(tiers, string(f.Text))
			}
		}
		if len(blob.Files) != want || len(tiers) != 1 || (tiers[0] == "") != (name == rule.TiersFile) {
			t.Errorf("%s: %d files, %d tables", name, len(blob.Files), len(tiers))
		}
	}
}
