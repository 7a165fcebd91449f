package rule

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// The table of a regular expression says what Go's own package says.
func TestTheTableOfARegularExpressionFindsWhatItMatches(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, tt := range []struct {
		pattern string
		table   bool
	}{
		{"mail", true},
		{"", true},
		{"^", true},
		{"$", true},
		{"$^", true},
		{"^a?$", true},
		{"a^b", true},
		{"^(a|bc)+$|k", true},
		{"a.*[0-9]$", true},
		{"(mail|abx)[^a-z]", true},
		{"mail[ /.]+[a-z0-9]+", true},
		{"[[:upper:]]s", true},
		{"(?-i:B)c", true},
		{"(?s:a.b)|b.c", true},
		{"a{2,3}b??c", true},
		{`\x{212a}a|\pLb`, true},
		{`a\z`, true},
		{`\bmail\b`, false},
		{"(?m:^a)", false},
		{"(a|b)*a(a|b){9}", false}, // 1,024 states
		{"x[a-c]{150}", false},
	} {
		re, _, err := compileRegex(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if (re.table != nil) != tt.table {
			t.Errorf("%s has a table: %t", tt.pattern, !tt.table)
		}
		want, known := regexp.MustCompile("(?i:"+tt.pattern+")"), 0
		for range 3000 {
			s := letters(r)
			if r.IntN(2) == 0 {
				s = strings.Map(func(r rune) rune { return r & 0x7f }, s)
			}
			if re.MatchString(s) != want.MatchString(s) {
				t.Fatalf("%s in %q: %t", tt.pattern, s, re.MatchString(s))
			}
			if re.table != nil {
				if _, ok := re.table.match(s); ok {
					known++
				}
			}
		}
		if tt.table && known < 1000 {
			t.Errorf("%s: %d texts went through the table", tt.pattern, known)
		}
	}
}

func FuzzTheTableOfARegularExpression(f *testing.F) {
	for _, p := range []string{"mail.*[0-9]$", "^(a|b)+$", "$^", "(?-i:A)[^a-z]", "(?s).", `a{2,3}|\x00`} {
		f.Add(p, "mail 7")
		f.Add(p, "aab")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 100 {
			return
		}
		re, _, err := compileRegex(pattern)
		if err != nil || re == nil || re.table == nil {
			return
		}
		if yes, known := re.table.match(s); known && yes != re.Regexp.MatchString(s) {
			t.Errorf("%q in %q: the table says %t", pattern, s, yes)
		}
	})
}
