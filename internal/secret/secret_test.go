package secret

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestALiteralIsNeverPrinted(t *testing.T) {
	r := Ref("hunter2")
	text, err := json.Marshal(map[string]any{"secret": r})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(r), fmt.Sprintf("%#v %+v %q %s", r, r, r, r), string(text)} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("printed the secret: %s", s)
		}
	}
	if !r.IsLiteral() || Env("X").IsLiteral() || Ref("").IsLiteral() {
		t.Error("literal, reference and nothing are not told apart")
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	r := Resolver{CredentialsDir: dir, LookupEnv: func(n string) (string, bool) { return "from-env", n == "SET" }}
	for _, c := range []struct {
		name string
		ref  Ref
		want string
		err  string
	}{
		{"an environment variable", Env("SET"), "from-env", ""},
		{"an unset environment variable", Env("UNSET"), "", "not set"},
		{"a file loses one line end", File(write("a", "s3cret\n", 0o600)), "s3cret", ""},
		{"a file that everybody reads is refused", File(write("b", "x", 0o644)), "", "chmod 0600"},
		{"an empty file", File(write("c", "\n", 0o600)), "", "is empty"},
		{"a missing file", File(filepath.Join(dir, "none")), "", "no such file"},
		{"a file that is far too large", File(write("d", strings.Repeat("x", maxBytes+1), 0o600)), "", "larger than"},
		{"a systemd credential", Credential("a"), "s3cret", ""},
		{"a credential's name with a path", Credential("../a"), "", "has no path"},
		{"a literal works", Ref("lit"), "lit", ""},
		{"no reference", Ref(""), "", "no reference"},
	} {
		t.Run(c.name, func(t *testing.T) {
			get, err := r.Open(c.ref)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := get(); err != nil || got != c.want {
				t.Errorf("value %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestARotatedFileIsReadAgainAndAGapKeepsTheLastValue(t *testing.T) {
	p := filepath.Join(t.TempDir(), "s")
	put := func(text string, at time.Time) {
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(get func() (string, error), want string) {
		t.Helper()
		if got, err := get(); err != nil || got != want {
			t.Errorf("value %q, %v, want %q", got, err, want)
		}
	}
	put("one", time.Unix(1000, 0))
	get, err := Resolver{}.Open(File(p))
	if err != nil {
		t.Fatal(err)
	}
	expect(get, "one")
	put("two", time.Unix(2000, 0))
	expect(get, "two")
	if err := os.Remove(p); err != nil {
		t.Fatal(err)
	}
	expect(get, "two")
}
