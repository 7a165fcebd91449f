package diag

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
)

func sample() (hcl.Diagnostics, map[string][]byte) {
	files := map[string][]byte{"a.hcl": []byte("agent {\n\tstat_dir = \"x\"\n}\n")}
	at := func(line, from, to int) *hcl.Range {
		return &hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Line: line, Column: from}, End: hcl.Pos{Line: line, Column: to}}
	}
	return hcl.Diagnostics{
		{Severity: hcl.DiagWarning, Summary: "Later", Subject: at(3, 1, 2)},
		{Severity: hcl.DiagError, Summary: "Unsupported argument", Detail: "Did you mean \"state_dir\"?", Subject: at(2, 2, 10), Extra: Code("unknown_argument")},
	}, files
}

func TestTextShowsPlaceLineCaretAndAdvice(t *testing.T) {
	d, files := sample()
	var b bytes.Buffer
	if err := Text(&b, d, files); err != nil {
		t.Fatal(err)
	}
	want := `a.hcl:2:2: error: Unsupported argument [unknown_argument]
    2 |  stat_dir = "x"
      |  ^^^^^^^^
      Did you mean "state_dir"?
a.hcl:3:1: warning: Later [later]
    3 | }
      | ^
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONCountsAndSorts(t *testing.T) {
	d, files := sample()
	var b bytes.Buffer
	if err := JSON(&b, d, files); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Valid            bool
		Errors, Warnings int
		Diagnostics      []Item
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Valid || got.Errors != 1 || got.Warnings != 1 || got.Diagnostics[0].Line != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestTerminalEscapesInASourceLineAreHarmless(t *testing.T) {
	files := map[string][]byte{"a": []byte("x = \"\x1b[2J\u202e\"\n")}
	d := hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "S\x1b", Subject: &hcl.Range{Filename: "a", Start: hcl.Pos{Line: 1, Column: 1}, End: hcl.Pos{Line: 1, Column: 2}}}}
	var b bytes.Buffer
	if err := Text(&b, d, files); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Errorf("control characters reached the terminal: %q", b.String())
	}
}

// A file of thousands of mistakes is split once, and people are shown the first hundred.
func TestManyMistakesAreCounted(t *testing.T) {
	d, files := sample()
	for range 5000 {
		d = append(d, d[1])
	}
	var b bytes.Buffer
	if err := Text(&b, d, files); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "stat_dir = "); n != 100 || !strings.HasSuffix(b.String(), "\nand 4902 more\n") {
		t.Errorf("%d mistakes are shown, and then %q", n, b.String()[b.Len()-30:])
	}
}

// The time for a mistake must not grow with the size of its file.
func BenchmarkItems(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			files, d := map[string][]byte{"a.hcl": bytes.Repeat([]byte("rule {}\n"), n)}, make(hcl.Diagnostics, n)
			for i := range d {
				d[i] = &hcl.Diagnostic{Summary: "No name", Subject: &hcl.Range{Filename: "a.hcl", Start: hcl.Pos{Line: i + 1, Column: 1}}}
			}
			for b.Loop() {
				Items(d, files)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/mistake")
		})
	}
}
