package rule

import (
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// foldRune maps a rune to the representative of its simple case-folding orbit,
// so that equal folds are what strings.EqualFold calls equal.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	low := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		low = min(low, f)
	}
	lower := unicode.ToLower(low)
	for f := unicode.SimpleFold(low); f != low; f = unicode.SimpleFold(f) {
		if f == lower {
			return lower
		}
	}
	return low
}

// appendFold appends the folded form of s.
func appendFold(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		if b := s[i]; b < utf8.RuneSelf {
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			dst = append(dst, b)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		dst = utf8.AppendRune(dst, foldRune(r))
		i += n
	}
	return dst
}

// foldString returns the folded form of s; s itself where nothing changes.
func foldString(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || 'A' <= s[i] && s[i] <= 'Z' {
			return string(appendFold(make([]byte, 0, len(s)), s))
		}
	}
	return s
}

// prefixFold returns how many bytes of s the prefix p covers, ignoring case,
// or -1.
func prefixFold(s, p string) int {
	i := 0
	for j := 0; j < len(p); {
		if i >= len(s) {
			return -1
		}
		if s[i] < utf8.RuneSelf && p[j] < utf8.RuneSelf {
			if foldRune(rune(s[i])) != foldRune(rune(p[j])) {
				return -1
			}
			i, j = i+1, j+1
			continue
		}
		a, n := utf8.DecodeRuneInString(s[i:])
		b, m := utf8.DecodeRuneInString(p[j:])
		if a != b && foldRune(a) != foldRune(b) {
			return -1
		}
		i, j = i+n, j+m
	}
	return i
}

// hasFold reports whether s holds p, ignoring case.
func hasFold(s, p string) bool { return indexFold(s, p) >= 0 }

// indexFold is where s first holds p, ignoring case, or -1.
func indexFold(s, p string) int {
	if p == "" {
		return 0
	}
	first := foldRune(rune(p[0]))
	for i := 0; i < len(s); {
		if first < utf8.RuneSelf {
			if i = candidateFold(s, i, byte(first)); i == len(s) {
				return -1
			}
		}
		if prefixFold(s[i:], p) >= 0 {
			return i
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
	}
	return -1
}

// candidateFold is where, from i on, s has the byte c, which is folded, ignoring
// case, or a byte that is not ASCII; the length of s where it has none.
func candidateFold(s string, i int, c byte) int {
	for ; i+8 <= len(s); i += 8 { // eight bytes at once
		w := eight(s, i)
		x := lower(w) ^ uint64(c)*ones
		if m := (w | (x-ones)&^x) & highs; m != 0 {
			if w&highs != 0 {
				break
			}
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(s); i++ {
		if b := s[i]; b >= utf8.RuneSelf || byte(foldRune(rune(b))) == c {
			break
		}
	}
	return i
}

// suffixFold reports whether s ends with p, ignoring case. Folding maps rune to
// rune, so the suffix has as many runes as p, though maybe other bytes.
func suffixFold(s, p string) bool {
	n := utf8.RuneCountInString(p)
	i := len(s)
	for range n {
		if i == 0 {
			return false
		}
		_, m := utf8.DecodeLastRuneInString(s[:i])
		i -= m
	}
	return prefixFold(s[i:], p) == len(s)-i
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// globFold matches s against a pattern of '*' (any run) and '?' (one
// character), ignoring case, in time proportional to the product of lengths.
func globFold(p, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if j < len(p) {
			q, m := utf8.DecodeRuneInString(p[j:])
			if q == '*' {
				star, mark = j, i
				j += m
				continue
			}
			if q == '?' || foldRune(q) == foldRune(r) {
				i, j = i+n, j+m
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n = utf8.DecodeRuneInString(s[mark:])
		mark += n
		i, j = mark, star+1
	}
	for j < len(p) && p[j] == '*' {
		j++
	}
	return j == len(p)
}
