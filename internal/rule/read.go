package rule

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/hclsafe"
)

// Limits of what ReadFS reads.
const (
	maxFiles   = 10_000
	maxFixture = 16 << 20
)

// ReadFS collects the files that a rules directory is made of, sorted by path:
// *.hcl, *.csv and *.json, and with tests also *.test.hcl and what lies below testdata.
// Names that begin with a dot are left out. Links and devices are not read, nor more of
// a file than any may have: that it is too large, the compiler says.
func ReadFS(fsys fs.FS, tests bool) ([]event.RulesFile, error) {
	var out []event.RulesFile
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("read rules: %w", err)
		case name != "." && strings.HasPrefix(d.Name(), "."):
			return skip(d)
		case !d.Type().IsRegular() || !wantedFile(name, tests):
			return nil
		case len(out) == maxFiles:
			return fmt.Errorf("read rules: more than %d files", maxFiles)
		}
		text, err := readFile(fsys, name)
		out = append(out, event.RulesFile{Path: name, Text: text})
		return err
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, err
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func wantedFile(name string, tests bool) bool {
	inTests := strings.HasSuffix(name, testSuffix) || strings.Contains("/"+name, "/testdata/")
	if inTests {
		return tests
	}
	return path.Ext(name) == ".hcl" || path.Ext(name) == ".csv" || path.Ext(name) == ".json"
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFixture+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return text, nil
}

// limitOf is how many bytes a file of that path may have.
func limitOf(name string) int {
	if strings.Contains("/"+name, "/testdata/") {
		return maxFixture
	}
	return hclsafe.MaxBytes
}
