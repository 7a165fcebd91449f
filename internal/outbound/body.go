package outbound

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// ErrTooLarge is in the chain of the error that a body over its limit gives.
var ErrTooLarge = errors.New("the body is larger than the limit")

// LimitBody bounds rc to limit bytes. A longer body is an error at the byte
// behind the limit, never a truncated success. Close closes rc.
func LimitBody(rc io.ReadCloser, limit int64) io.ReadCloser {
	return &limited{rc: rc, left: limit, limit: limit}
}

type limited struct {
	rc          io.ReadCloser
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, fmt.Errorf("%w of %d bytes", ErrTooLarge, l.limit)
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.rc.Read(p)
	l.left -= int64(n)
	if l.left < 0 {
		return n - 1, fmt.Errorf("%w of %d bytes", ErrTooLarge, l.limit)
	}
	return n, err
}

func (l *limited) Close() error { return l.rc.Close() }

// Redact takes secrets out of what a peer said: some repeat the request in their
// errors. Secrets of less than 4 bytes are left: they are everywhere.
func Redact(answer []byte, secrets ...string) []byte {
	for _, s := range secrets {
		if len(s) >= 4 {
			answer = bytes.ReplaceAll(answer, []byte(s), []byte("(redacted)"))
		}
	}
	return answer
}

// Clean makes text of a peer fit for an error message or a log line: at most
// max bytes, control and formatting characters replaced by spaces.
func Clean(s string, max int) string {
	b, gap := make([]byte, 0, min(len(s), max+utf8.UTFMax)), false
	for _, r := range s {
		if !shown(r) {
			gap = len(b) > 0
			continue
		}
		if gap {
			b, gap = append(b, ' '), false
		}
		if b = utf8.AppendRune(b, r); len(b) > max {
			cut := max
			for cut > 0 && !utf8.RuneStart(b[cut]) {
				cut--
			}
			return string(b[:cut]) + "..."
		}
	}
	return string(b)
}

// shown tells a character that people see, and that is no space.
func shown(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7f
	}
	return r != utf8.RuneError && unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) && !unicode.IsSpace(r)
}
