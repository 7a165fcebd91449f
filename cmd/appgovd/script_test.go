package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/text/encoding/unicode"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"appgovd": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
		"get":     func() { os.Exit(get(os.Args[1], os.Args[2])) },
	})
}

// Each script in testdata/script runs the real command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: prepare, Condition: condition, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"gzip": convert(packed), "utf16": convert(wide), "truncate": convert(truncated), "code": code,
		"sim": simulate, "faults": faults, "signal": send, "eventually": eventually, "listen": listen, "hook": hook, "untouched": untouched, "expand": expand, "freeport": freeport,
	}})
}

// convert is a command FROM TO that writes a file made of another.
func convert(make func(*testscript.TestScript, []byte) []byte) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) != 2 {
			ts.Fatalf("want FROM TO")
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), make(ts, []byte(ts.ReadFile(args[0]))), 0o600))
	}
}

func packed(ts *testscript.TestScript, b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(b)
	ts.Check(err)
	ts.Check(z.Close())
	return out.Bytes()
}

// wide is UTF-16 with a byte-order mark and CRLF.
func wide(ts *testscript.TestScript, b []byte) []byte {
	out, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")))
	ts.Check(err)
	return out
}

func truncated(_ *testscript.TestScript, b []byte) []byte { return b[:len(b)-len(b)/4] }

// code N COMMAND... wants that exit code.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Exec wraps nothing
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func condition(name string) (bool, error) {
	if name != "root" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return os.Getuid() == 0, nil
}
