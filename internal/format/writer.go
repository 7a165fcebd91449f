// Package format turns alerts into bytes: pure functions, one alert in, one
// document out, valid whatever the alert holds. Text of the upstream is data:
// it is quoted, made valid UTF-8 and capped.
package format

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxText bounds one string of a document.
const maxText = 8 << 10

// writer appends one JSON document. Empty values are left out.
type writer struct {
	b     []byte
	comma bool
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

func (w *writer) quote(s string) {
	if len(s) > maxText {
		s = s[:maxText]
		for !utf8.ValidString(s[len(s)-min(len(s), utf8.UTFMax):]) && len(s) > maxText-utf8.UTFMax {
			s = s[:len(s)-1]
		}
	}
	b, err := jsontext.AppendQuote(w.b, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil { // cannot happen for valid UTF-8
		b = append(w.b, `""`...)
	}
	w.b = b
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
