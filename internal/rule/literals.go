package rule

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// heads lists texts of which every text that a regular expression matches begins
// with one, ignoring case; none where there are no such texts.
func heads(pattern string) []string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	return begins(re.Simplify())
}

func begins(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{foldString(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus, syntax.OpConcat:
		return begins(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return begins(re.Sub[0])
		}
	case syntax.OpAlternate:
		return alternatives(re.Sub, begins)
	}
	return nil
}

// alternatives are the texts of all, none where one of them has none or where they
// are too many.
func alternatives(subs []*syntax.Regexp, of func(*syntax.Regexp) []string) []string {
	var all []string
	for _, sub := range subs {
		l := of(sub)
		if l == nil || len(all)+len(l) > maxLiterals {
			return nil
		}
		all = append(all, l...)
	}
	return all
}

// required lists texts of which every text that a regular expression matches holds
// one, ignoring case; none where there are no such texts.
func required(pattern string) []string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	return literals(re.Simplify())
}

// maxLiterals is how many alternatives are still worth looking for.
const maxLiterals = 64

func literals(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{foldString(string(re.Rune))}
	case syntax.OpCapture, syntax.OpPlus:
		return literals(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literals(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if l := literals(sub); rank(l) > rank(best) {
				best = l
			}
		}
		return best
	case syntax.OpAlternate:
		return alternatives(re.Sub, literals)
	}
	return nil
}

// rank is higher for what is rarer: the shortest text counts, then their number.
func rank(literals []string) int {
	if len(literals) == 0 {
		return 0
	}
	shortest := len(literals[0])
	for _, l := range literals {
		shortest = min(shortest, len(l))
	}
	return shortest*(maxLiterals+1) - len(literals)
}

// globLiteral is the longest piece of a glob without * and ?, and how it stands.
func globLiteral(pattern string) (string, termOp) {
	pieces := strings.FieldsFunc(pattern, func(r rune) bool { return r == '*' || r == '?' })
	if len(pieces) == 1 && pieces[0] == pattern || pattern == "" {
		return pattern, opEqual
	}
	best := ""
	for _, p := range pieces {
		if utf8.RuneCountInString(p) > utf8.RuneCountInString(best) {
			best = p
		}
	}
	switch {
	case best == "":
		return "", opPart
	case strings.HasPrefix(pattern, best):
		return best, opPrefix
	case strings.HasSuffix(pattern, best):
		return best, opSuffix
	}
	return best, opPart
}

// globs is the access of a text that matches one of several globs.
func (n node) globs(patterns []string) *access {
	out := never()
	for _, p := range patterns {
		text, op := globLiteral(p)
		t := n.terms(op, []string{text})
		if t != nil && op != opEqual {
			t.exact = false
			t.terms[0].test = func(s string) bool { return globFold(p, s) }
		}
		out = either(out, t)
	}
	return out
}

// regex is the access of a text that holds one of texts and passes test.
func (n node) regex(texts []string, test func(string) bool) *access {
	if len(texts) == 0 {
		return nil
	}
	out := n.terms(opPart, texts).inexact()
	if out != nil {
		for i := range out.terms {
			out.terms[i].test = test
		}
	}
	return out
}

// guard makes a test of a regular expression that first looks for the texts that
// a match must hold.
func guard(texts []string, test func(string) bool) func(string) bool {
	if len(texts) == 0 {
		return test
	}
	return func(s string) bool {
		for _, t := range texts {
			if hasFold(s, t) {
				return test(s)
			}
		}
		return false
	}
}

// from makes a test of a regular expression that looks at a text from where the
// first of the heads stands: no match begins before, and what a match begins with
// is consumed before an assertion could look back.
func from(heads []string, test func(string) bool) func(string) bool {
	return func(s string) bool {
		first := -1
		for _, h := range heads {
			if i := indexFold(s, h); i >= 0 && (first < 0 || i < first) {
				first = i
			}
		}
		return first >= 0 && test(s[first:])
	}
}
