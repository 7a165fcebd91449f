package servicetest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/servicetest"
)

const wanted = "APPGOVD_SERVICETEST_CORPUS"

func TestCorpus(t *testing.T) {
	if name := os.Getenv(wanted); name != "" {
		t.Logf("the file holds %s", servicetest.Corpus(t, name))
		return
	}
	beside := t.TempDir()
	root := filepath.Join(beside, "repository")
	within := filepath.Join(root, "internal", "x")
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(root, "go.mod"), "module x\n")
	write(filepath.Join(within, "x.go"), "package x\n")
	read := func(name string) (string, error) {
		cmd := child(t, "TestCorpus", wanted+"="+name, "CI=true")
		cmd.Dir = within
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	t.Run("without a corpus a test is skipped with the reason, with CI=true too", func(t *testing.T) {
		if out, err := read("a.json"); err != nil || !strings.Contains(out, "SKIPPED: the corpus of published records is not beside the repository") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	write(filepath.Join(beside, "shared", "corpus", "a.json"), "records")
	t.Run("a file of the corpus is read from any folder of the repository", func(t *testing.T) {
		if out, err := read("a.json"); err != nil || !strings.Contains(out, "the file holds records") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("a file that the corpus lacks is a failure", func(t *testing.T) {
		if out, err := read("b.json"); err == nil || strings.Contains(out, "SKIPPED") || !strings.Contains(out, "read the corpus") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
