package rule

import (
	"math/rand/v2"
	"strings"
	"testing"
)

var heading = []struct {
	pattern string
	heads   string
}{
	{"mail", "mail"},
	{"mail.*[0-9]$", "mail"},
	{"(mail|K)[^a-z]", "mail k"},
	{"(ab)+c", "ab"},
	{"(ab){2,3}", "ab"},
	{"s\\b", "s"},
	{"sk\\B.", "sk"},
	{"(?-i)Kk", "kk"},
	{"ab$|ba", "ab ba"},
	{"^mail", ""},
	{"\\bmail", ""},
	{"(ab)*c", ""},
	{"(ab)?c", ""},
	{"[ab]c", ""},
	{"mail|.", ""},
	{"", ""},
}

func TestAMatchBeginsWithAHead(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, h := range heading {
		heads := heads(h.pattern)
		if got := strings.Join(heads, " "); got != h.heads {
			t.Errorf("%s begins with %q, not %q", h.pattern, got, h.heads)
			continue
		}
		re, _, err := compileRegex(h.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			s := letters(r)
			if heads != nil && from(heads, re.MatchString)(s) != re.MatchString(s) {
				t.Fatalf("%s in %q from its heads: %t", h.pattern, s, !re.MatchString(s))
			}
		}
	}
}

// letters makes a text of which patterns match many, with runes that fold to ASCII.
func letters(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(24) {
		b.WriteString([]string{"a", "b", "A", "B", "c", "k", "K", "s", "\u212a", "\u017f", "mail", "Mail", "3", " ", "\n", "\xff", "é"}[r.IntN(17)])
	}
	return b.String()
}

func TestATextIsFoundWhereItFirstStands(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	found := 0
	for range 200000 {
		s, p := letters(r)+letters(r), letters(r)
		if len(p) > 4 {
			p = strings.ToValidUTF8(p[:4], "")
		}
		want := -1
		for i := range s {
			if prefixFold(s[i:], p) >= 0 {
				want = i
				break
			}
		}
		if p == "" {
			want = 0
		}
		if want > 0 {
			found++
		}
		if got := indexFold(s, p); got != want {
			t.Fatalf("%q in %q at %d, not %d", p, s, got, want)
		}
	}
	if found < 10000 {
		t.Errorf("%d found: the test says little", found)
	}
}
