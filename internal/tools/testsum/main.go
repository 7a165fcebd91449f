// Command testsum reads the output of go test -json, prints what failed and what was skipped and why, one line for
// each package, and the counts at the end. It exits 1 when anything failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// record is one line of go test -json (go doc test2json).
type record struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// summary is what has been seen so far; output holds the lines of tests that are still running.
type summary struct {
	out      io.Writer
	output   map[string][]string
	packages int
	passed   int
	failed   []string
	skipped  []string
}

func main() {
	s := &summary{out: os.Stdout, output: map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.report() {
		os.Exit(1)
	}
}

// read takes records until the end; a line that is none, such as a compiler's message, is passed on.
func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			s.take(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test output: %w", err)
		}
	}
}

func (s *summary) take(line []byte) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		_, _ = s.out.Write(line)
		return
	}
	name := r.Package + r.ImportPath
	if r.Test != "" {
		name += " " + r.Test
	}
	switch r.Action {
	case "output", "build-output":
		s.output[name] = append(s.output[name], r.Output)
	case "pass", "fail", "skip", "build-fail":
		s.end(name, r)
		delete(s.output, name)
	}
}

// end counts a test, or prints a package's line.
func (s *summary) end(name string, r record) {
	text := strings.Join(s.output[name], "")
	if r.Action == "fail" || r.Action == "build-fail" {
		s.failed = append(s.failed, name)
		_, _ = fmt.Fprintf(s.out, "FAIL %s\n%s", name, text)
	}
	switch {
	case r.Test == "" && r.Action == "pass":
		s.packages++
		_, _ = fmt.Fprintf(s.out, "ok   %s %.1fs\n", name, r.Elapsed)
	case r.Test != "" && r.Action == "pass":
		s.passed++
	case r.Test != "" && r.Action == "skip":
		s.skipped = append(s.skipped, name+": "+reason(text))
	}
}

// reason is the message of a skipped test, without go test's own lines.
func reason(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// report prints the counts and tells whether all is well.
func (s *summary) report() bool {
	for _, k := range s.skipped {
		_, _ = fmt.Fprintln(s.out, "SKIP", k)
	}
	for _, f := range s.failed {
		_, _ = fmt.Fprintln(s.out, "FAILED", f)
	}
	_, _ = fmt.Fprintf(s.out, "tests: %d passed, %d failed, %d skipped, in %d packages\n", s.passed, len(s.failed), len(s.skipped), s.packages)
	return len(s.failed) == 0 && s.passed > 0
}
