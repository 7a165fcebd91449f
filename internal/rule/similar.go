package rule

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

//go:embed confusables.txt
var confusablesText string

// confusables maps characters to the ASCII ones that they can be taken for. The
// method follows Unicode Technical Standard 39, section 4; the table is our own
// subset, and it treats i, l and 1 as one, since names are compared without
// case.
type confusables struct{ to map[rune]rune }

func newConfusables() *confusables {
	c := &confusables{to: map[rune]rune{}}
	for line := range strings.Lines(confusablesText) {
		line, _, _ = strings.Cut(line, "# ")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		target, _ := utf8.DecodeRuneInString(fields[0])
		for _, f := range fields[1:] {
			r, _ := utf8.DecodeRuneInString(f)
			c.to[r] = target
			c.to[foldRune(r)] = target
		}
	}
	return c
}

const (
	maxName  = 128 // characters of a name that are looked at
	maxWords = 24
)

// shape is a name cut into words, each as it is (folded) and as its skeleton.
type shape struct {
	plain, skel [maxName]rune
	np, ns      int
	words       [maxWords]span
	n           int
}

type span struct{ p0, p1, s0, s1 int }

// read fills s from a name, without allocating.
func (s *shape) read(c *confusables, name string) {
	inside := false
	for i := 0; i < len(name) && s.np < maxName; {
		r, size := utf8.DecodeRuneInString(name[i:])
		if !c.wordRune(r) {
			s.end(inside)
			inside = false
			i += size
			continue
		}
		if !inside {
			if s.n == maxWords {
				return
			}
			s.words[s.n] = span{p0: s.np, s0: s.ns}
			inside = true
		}
		s.plain[s.np] = foldRune(r)
		s.np++
		s.skeleton(c, r, name[i:])
		i += size
	}
	s.end(inside)
}

// end closes the word at hand; only then i and l become one, so that "ci" is
// not taken for "cl".
func (s *shape) end(inside bool) {
	if !inside {
		return
	}
	w := &s.words[s.n]
	w.p1, w.s1 = s.np, s.ns
	for i := w.s0; i < w.s1; i++ {
		if s.skel[i] == 'i' {
			s.skel[i] = 'l'
		}
	}
	s.n++
}

func (c *confusables) wordRune(r rune) bool {
	if r < utf8.RuneSelf {
		_, twin := c.to[r]
		return twin || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) || unicode.Is(unicode.Cf, r)
}

// skeleton appends what the character at the beginning of rest looks like.
func (s *shape) skeleton(c *confusables, r rune, rest string) {
	if r < utf8.RuneSelf {
		s.emit(c, r)
		return
	}
	d := norm.NFKD.PropertiesString(rest).Decomposition()
	if d == nil {
		s.emit(c, r)
		return
	}
	for len(d) > 0 {
		part, size := utf8.DecodeRune(d)
		s.emit(c, part)
		d = d[size:]
	}
}

func (s *shape) emit(c *confusables, r rune) {
	if r >= utf8.RuneSelf && (unicode.IsMark(r) || unicode.Is(unicode.Cf, r)) {
		return
	}
	if to, ok := c.to[r]; ok {
		r = to
	} else if r = foldRune(r); c.to[r] != 0 {
		r = c.to[r]
	}
	if s.ns > s.words[s.n].s0 {
		if pair := twin(s.skel[s.ns-1], r); pair != 0 {
			s.skel[s.ns-1] = pair
			return
		}
	}
	if s.ns < maxName {
		s.skel[s.ns] = r
		s.ns++
	}
}

// twin is the letter that two letters side by side can be taken for.
func twin(a, b rune) rune {
	switch {
	case a == 'r' && b == 'n':
		return 'm'
	case a == 'v' && b == 'v':
		return 'w'
	case a == 'c' && b == 'l':
		return 'd'
	}
	return 0
}

// brand is a protected name.
type brand struct {
	words       int
	plain, skel []rune
	slack       int // typing errors that still count; 0 = none
	until       int64
}

func newBrand(c *confusables, text string, until int64) brand {
	var s shape
	s.read(c, text)
	b := brand{words: s.n, plain: slices.Clone(s.plain[:s.np]), skel: slices.Clone(s.skel[:s.ns]), until: until}
	switch {
	case s.n != 1 || len(b.skel) < 6:
	case len(b.skel) < 12:
		b.slack = 1
	default:
		b.slack = 2
	}
	return b
}

// lookalike reports whether some words of name look like a brand and are not
// the brand itself.
func lookalike(c *confusables, brands []brand, name string, now int64) bool {
	var s shape
	s.read(c, name)
	for i := range brands {
		b := &brands[i]
		if now >= b.until || b.words == 0 {
			continue
		}
		for w := 0; w+b.words <= s.n; w++ {
			if b.resembles(&s, w) {
				return true
			}
		}
	}
	return false
}

func (b *brand) resembles(s *shape, w int) bool {
	first, last := s.words[w], s.words[w+b.words-1]
	if slices.Equal(s.plain[first.p0:last.p1], b.plain) {
		return false
	}
	skel := s.skel[first.s0:last.s1]
	if slices.Equal(skel, b.skel) {
		return true
	}
	return b.slack > 0 && !b.extended(s.plain[first.p0:last.p1]) && distance(skel, b.skel, b.slack+1) <= b.slack
}

// extended reports whether word is the brand with something before or after it:
// "dropbox2" is no typing error.
func (b *brand) extended(word []rune) bool {
	n := len(b.plain)
	return len(word) > n && (slices.Equal(word[:n], b.plain) || slices.Equal(word[len(word)-n:], b.plain))
}

// mixedScript reports whether a word mixes scripts whose letters can be taken
// for each other's: Latin, Cyrillic, Greek, Armenian and Cherokee (UTS 39,
// section 5.1, reduced to what deceives).
func mixedScript(name string) bool {
	var seen script
	for _, r := range name {
		if !unicode.IsLetter(r) {
			if !unicode.IsMark(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Cf, r) {
				seen = 0
			}
			continue
		}
		s := scriptOf(r)
		if seen != 0 && seen != s && (seen|s)&deceiving != 0 {
			return true
		}
		seen |= s
	}
	return false
}

type script uint8

const (
	latin script = 1 << iota
	cyrillic
	greek
	armenian
	cherokee
	other
	deceiving = cyrillic | greek | armenian | cherokee
)

func scriptOf(r rune) script {
	switch {
	case r < utf8.RuneSelf, unicode.Is(unicode.Latin, r):
		return latin
	case unicode.Is(unicode.Cyrillic, r):
		return cyrillic
	case unicode.Is(unicode.Greek, r):
		return greek
	case unicode.Is(unicode.Armenian, r):
		return armenian
	case unicode.Is(unicode.Cherokee, r):
		return cherokee
	}
	return other
}
