package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	const passes = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":1.5}` + "\n"
	for name, c := range map[string]struct {
		input string
		want  []string
		ok    bool
	}{
		"a run that passes is counted": {passes, []string{"ok   p 1.5s", "1 passed, 0 failed, 0 skipped, in 1 packages"}, true},
		"a skipped test gives its reason": {
			passes + `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: SKIPPED: no server\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n",
			[]string{"SKIP p TestB: b_test.go:1: SKIPPED: no server", "1 passed, 0 failed, 1 skipped"}, true,
		},
		"a failed test shows its output": {
			passes + `{"Action":"output","Package":"p","Test":"TestB","Output":"want 1, got 2\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n",
			[]string{"want 1, got 2", "FAILED p TestB", "1 passed, 1 failed"}, false,
		},
		"a package that does not compile fails the run": {
			passes + `{"Action":"build-output","ImportPath":"q","Output":"q.go:1: undefined: x\n"}` + "\n" + `{"Action":"build-fail","ImportPath":"q"}` + "\n",
			[]string{"undefined: x", "FAILED q"}, false,
		},
		"a run without tests is no success": {"", []string{"0 passed"}, false},
		"other text is passed on":           {"go: cannot find module\n", []string{"go: cannot find module"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := &summary{out: &out, output: map[string][]string{}}
			if err := s.read(strings.NewReader(c.input)); err != nil {
				t.Fatal(err)
			}
			if ok := s.report(); ok != c.ok {
				t.Errorf("report says %v, want %v", ok, c.ok)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}
