// Package diag renders mistakes in configuration and rules: file:line:col, the
// source line with a caret, and advice; as text for people and as JSON for
// editors and CI. It does not decide what is wrong.
package diag

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Code is a stable code for one kind of mistake; put it into
// hcl.Diagnostic.Extra. A diagnostic without one gets a code from its summary.
type Code string

// LiteralSecret marks a line that holds a secret: it is never shown.
const LiteralSecret Code = "literal_secret"

// Item is one mistake as JSON shows it. Line and Column count from 1; Column
// counts bytes as HCL does.
type Item struct {
	Severity string `json:"severity"` // "error" or "warning"
	Code     string `json:"code"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	Source   string `json:"source,omitempty"`

	end int
}

// Items converts diags, sorted by place, errors before warnings at one place.
// files holds the sources by name, for the line; a missing one is no error.
func Items(diags hcl.Diagnostics, files map[string][]byte) []Item {
	items, lines := make([]Item, 0, len(diags)), lines{files: files, of: map[string][]string{}}
	for _, d := range diags {
		items = append(items, item(d, lines))
	}
	sort.SliceStable(items, func(i, j int) bool { return less(items[i], items[j]) })
	return items
}

func less(a, b Item) bool {
	if a.File != b.File {
		return a.File < b.File
	}
	if a.Line != b.Line {
		return a.Line < b.Line
	}
	if a.Column != b.Column {
		return a.Column < b.Column
	}
	return a.Severity < b.Severity
}

func item(d *hcl.Diagnostic, src lines) Item {
	it := Item{Severity: "error", Code: code(d), Summary: clean(d.Summary), Detail: clean(d.Detail)}
	if d.Severity == hcl.DiagWarning {
		it.Severity = "warning"
	}
	r := d.Subject
	if r == nil {
		r = d.Context
	}
	if r == nil {
		return it
	}
	it.File, it.Line, it.Column = r.Filename, r.Start.Line, r.Start.Column
	if d.Extra != LiteralSecret {
		it.Source = src.line(r.Filename, r.Start.Line)
	}
	it.end = it.Column + 1
	if r.End.Line == r.Start.Line && r.End.Column > r.Start.Column {
		it.end = r.End.Column
	}
	return it
}

// code is the explicit code of d, else its summary as a slug.
func code(d *hcl.Diagnostic) string {
	if c, ok := d.Extra.(Code); ok {
		return string(c)
	}
	var b strings.Builder
	for _, r := range strings.ToLower(d.Summary) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	return strings.Trim(b.String(), "_")
}

const maxLine = 200

// lines finds lines of sources; a source with many mistakes is split once.
type lines struct {
	files map[string][]byte
	of    map[string][]string
}

func (l lines) line(file string, n int) string {
	all, ok := l.of[file]
	if !ok {
		all = strings.Split(string(l.files[file]), "\n")
		l.of[file] = all
	}
	if n < 1 || n > len(all) {
		return ""
	}
	return clean(strings.TrimSuffix(all[n-1], "\r"))
}

// clean makes attacker-controlled text harmless on a terminal: control and
// format characters (bidirectional overrides among them) are escaped, tabs
// become one space each so that columns stay.
func clean(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteByte('\n')
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// shown is how many mistakes people are shown: one often brings the others.
const shown = 100

// Text writes the first hundred of diags for people, and how many more there are.
func Text(w io.Writer, diags hcl.Diagnostics, files map[string][]byte) error {
	items := Items(diags, files)
	for _, it := range items[:min(shown, len(items))] {
		if err := it.text(w); err != nil {
			return err
		}
	}
	if more := len(items) - shown; more > 0 {
		_, err := fmt.Fprintf(w, "and %d more\n", more)
		return err
	}
	return nil
}

func (it Item) text(w io.Writer) error {
	var b strings.Builder
	if it.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", it.File, it.Line, it.Column)
	}
	fmt.Fprintf(&b, "%s: %s [%s]\n", it.Severity, it.Summary, it.Code)
	if it.Source != "" && len(it.Source) <= maxLine {
		number := fmt.Sprintf("%5d", it.Line)
		fmt.Fprintf(&b, "%s | %s\n", number, it.Source)
		fmt.Fprintf(&b, "%s | %s%s\n", strings.Repeat(" ", len(number)), strings.Repeat(" ", it.Column-1), strings.Repeat("^", max(1, min(it.end, len(it.Source)+1)-it.Column)))
	}
	if it.Detail != "" {
		fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(it.Detail, "\n", "\n      "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// JSON writes diags as {"valid":…, "errors":n, "warnings":n, "diagnostics":[…]}.
func JSON(w io.Writer, diags hcl.Diagnostics, files map[string][]byte) error {
	items := Items(diags, files)
	out := struct {
		Valid       bool   `json:"valid"`
		Errors      int    `json:"errors"`
		Warnings    int    `json:"warnings"`
		Diagnostics []Item `json:"diagnostics"`
	}{Valid: !diags.HasErrors(), Diagnostics: items}
	for _, it := range items {
		if it.Severity == "error" {
			out.Errors++
		} else {
			out.Warnings++
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
