package servicetest

import (
	"os"
	"path/filepath"
	"testing"
)

// Corpus is the content of a file of the published and real records that lie in ../shared/corpus beside the repository
// and are no part of it. Where that folder is absent the test is skipped with the reason, also with CI=true: a clone of
// the repository alone has to pass. Where it is there, a file that is not fails the test.
func Corpus(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(CorpusDir(t), name))
	if err != nil {
		t.Fatalf("read the corpus: %v", err)
	}
	return b
}

// CorpusDir is the folder of the corpus; the test is skipped where it is absent.
func CorpusDir(t testing.TB) string {
	t.Helper()
	root, err := os.Getwd()
	for ; err == nil; root = filepath.Dir(root) {
		if _, missing := os.Stat(filepath.Join(root, "go.mod")); missing == nil {
			break
		}
		if root == filepath.Dir(root) {
			err = os.ErrNotExist
		}
	}
	if err != nil {
		t.Fatalf("find the root of the repository: %v", err)
	}
	return corpusOf(t, root)
}

func corpusOf(t testing.TB, root string) string {
	t.Helper()
	dir := filepath.Join(root, "..", "shared", "corpus")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the corpus of published records is not beside the repository: %v", err)
	}
	return dir
}
