// Package format turns alerts into bytes: pure functions, one alert in, one
// document out, valid whatever the alert holds. Text of the upstream is data:
// it is quoted, made valid UTF-8 and capped.
package format

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxText bounds one string of a document.
const maxText = 8 << 10

// writer appends one JSON document. Empty values are left out.
type writer struct {
	b     []byte
	comma bool
	most  int // bounds one string, in bytes; 0 = maxText
}

func (w *writer) key(name string) {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
	w.comma = true
}

// object writes name: {…}; an empty one is taken back.
func (w *writer) object(name string, fill func()) {
	start, comma := len(w.b), w.comma
	w.key(name)
	w.b = append(w.b, '{')
	w.comma = false
	inner := len(w.b)
	fill()
	if len(w.b) == inner {
		w.b, w.comma = w.b[:start], comma
		return
	}
	w.b = append(w.b, '}')
	w.comma = true
}

func (w *writer) str(name, s string) {
	if s != "" {
		w.key(name)
		w.quote(s)
	}
}

// quote writes s as a JSON string of bounded text. What is not
// UTF-8 becomes U+FFFD; what a terminal or a reader could be fooled by (control,
// direction, line and other invisible characters) is escaped.
func (w *writer) quote(s string) {
	most := w.most
	if most == 0 {
		most = maxText
	}
	if len(s) > most {
		s = Cut(s, most)
	}
	w.b = append(w.b, '"')
	from := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
				w.b = escape(append(w.b, s[from:i]...), rune(c))
				from = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || invisible(r) {
			w.b = escape(append(w.b, s[from:i]...), r)
			from = i + n
		}
		i += n
	}
	w.b = append(append(w.b, s[from:]...), '"')
}

// Cut is the longest beginning of s, which has more than n bytes, of at most n bytes that
// splits no character.
func Cut(s string, n int) string {
	for back := 1; back < utf8.UTFMax && back <= n; back++ {
		if !utf8.RuneStart(s[n-back]) {
			continue
		}
		if _, size := utf8.DecodeRuneInString(s[n-back:]); size > back {
			return s[:n-back]
		}
		break
	}
	return s[:n]
}

func invisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func escape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	case utf8.RuneError:
		return append(dst, "\uFFFD"...)
	}
	if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
		return unit(unit(dst, hi), lo)
	}
	return unit(dst, r)
}

func unit(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// list writes name: [{…}, …] of n objects; an empty one is left out.
func (w *writer) list(name string, n int, fill func(i int)) {
	if n == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(w.b, '{')
		w.comma = false
		fill(i)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
	w.comma = true
}

func (w *writer) strs(name string, list ...string) {
	n := 0
	for _, s := range list {
		if s == "" {
			continue
		}
		if n == 0 {
			w.key(name)
			w.b = append(w.b, '[')
		} else {
			w.b = append(w.b, ',')
		}
		w.quote(s)
		n++
	}
	if n > 0 {
		w.b = append(w.b, ']')
	}
}

func (w *writer) int(name string, n int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// epoch writes milliseconds since 1970.
func (w *writer) epoch(name string, t time.Time) {
	if !t.IsZero() {
		w.int(name, t.UnixMilli())
	}
}

// epochSeconds writes seconds since 1970 with milliseconds.
func (w *writer) epochSeconds(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.key(name)
	w.b = strconv.AppendFloat(w.b, float64(t.UnixMilli())/1000, 'f', 3, 64)
}

func (w *writer) bool(name string, v bool) {
	w.key(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	w.key(name)
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, "2006-01-02T15:04:05.000Z07:00")
	w.b = append(w.b, '"')
}
