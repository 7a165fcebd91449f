package format

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
)

// pair is one attribute of a line of CEF or LEEF.
type pair struct{ key, value string }

// line is a record of CEF or LEEF, read by the rules of the format alone.
type line struct {
	head  []string
	pairs []pair
}

// get is the value of key, "" where there is none.
func (l *line) get(key string) string {
	for _, p := range l.pairs {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

// plain says why s is not one line of UTF-8 of a bounded size; a tab is the caller's.
func plain(s string) error {
	if len(s) > 256<<10 { // broken UTF-8 takes three times its room
		return fmt.Errorf("%d bytes", len(s))
	}
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\t' || c == 0x7f {
				return fmt.Errorf("%#x at byte %d", c, i)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || sinktest.Hidden(r) {
			return fmt.Errorf("%q at byte %d", s[i:i+n], i)
		}
		i += n
	}
	return nil
}

// bare is s without its escapes: a backslash stands before one of these characters only,
// and they stand nowhere without one.
func bare(s, special string) (string, error) {
	if !strings.ContainsAny(s, special) {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] == 'n' && special == `\=`:
			out, i = append(out, '\n'), i+1
		case c == '\\' && i+1 < len(s) && strings.IndexByte(special, s[i+1]) >= 0:
			out, i = append(out, s[i+1]), i+1
		case strings.IndexByte(special, c) >= 0:
			return "", fmt.Errorf("a bare %q in %.80q", c, s)
		default:
			out = append(out, c)
		}
	}
	return string(out), nil
}

// unescapedByte is where c stands in s without a backslash before it, -1 for nowhere.
func unescapedByte(s string, c byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case c:
			return i
		}
	}
	return -1
}

func word(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}

// add notes a pair; a key comes once.
func (l *line) add(key, value string) error {
	if !word(key) {
		return fmt.Errorf("%.80q is no key", key)
	}
	for _, p := range l.pairs {
		if p.key == key {
			return fmt.Errorf("%s comes twice", key)
		}
	}
	l.pairs = append(l.pairs, pair{key, value})
	return nil
}

// readCEF reads s into l. Six bars without a backslash end the header; behind it, every
// equals sign without one ends a key, which begins behind the last space.
func (l *line) readCEF(s string) error {
	rest, ok := strings.CutPrefix(s, "CEF:0|")
	if err := plain(s); err != nil || !ok || strings.Contains(s, "\t") {
		return errors.Join(errors.New("no line of CEF"), err)
	}
	l.head, l.pairs = l.head[:0], l.pairs[:0]
	for range 6 {
		bar := unescapedByte(rest, '|')
		if bar < 0 {
			return errors.New("the header has no end")
		}
		field, err := bare(rest[:bar], `\|`)
		if err != nil {
			return err
		}
		l.head, rest = append(l.head, field), rest[bar+1:]
	}
	end := unescapedByte(rest, '=')
	if end < 0 {
		return errors.New("no key")
	}
	for key := rest[:end]; ; {
		rest = rest[end+1:]
		value, next := rest, ""
		if end = unescapedByte(rest, '='); end >= 0 {
			space := strings.LastIndexByte(rest[:end], ' ')
			if space < 0 {
				return fmt.Errorf("a bare = in %s", key)
			}
			value, next = rest[:space], rest[space+1:end]
		}
		value, err := bare(value, `\=`)
		if err == nil {
			err = l.add(key, value)
		}
		if err != nil || end < 0 {
			return err
		}
		key = next
	}
}

// readLEEF reads s into l. Six bars end the header, tabs part the attributes.
func (l *line) readLEEF(s string) error {
	rest, ok := strings.CutPrefix(s, "LEEF:2.0|")
	if err := plain(s); err != nil || !ok {
		return errors.Join(errors.New("no line of LEEF"), err)
	}
	l.head, l.pairs = l.head[:0], l.pairs[:0]
	for range 5 {
		field, after, ok := strings.Cut(rest, "|")
		if !ok || strings.Contains(field, "\t") {
			return errors.New("the header has no end")
		}
		l.head, rest = append(l.head, field), after
	}
	for more := true; more; {
		var attribute string
		attribute, rest, more = strings.Cut(rest, "\t")
		key, value, ok := strings.Cut(attribute, "=")
		if !ok {
			return fmt.Errorf("no key in %.80q", attribute)
		}
		if err := l.add(key, value); err != nil {
			return err
		}
	}
	return nil
}

// cefOf reads a line of CEF.
func cefOf(t *testing.T, s string) (head []string, pairs map[string]string) {
	t.Helper()
	var l line
	if err := l.readCEF(s); err != nil {
		t.Fatalf("%v: %q", err, s)
	}
	pairs = map[string]string{}
	for _, p := range l.pairs {
		pairs[p.key] = p.value
	}
	return l.head, pairs
}
