package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

func FuzzMessage(f *testing.F)       { sinktest.FuzzAlerts(f, check(f)) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check(t)) }
func TestHostileEvents(t *testing.T) { sinktest.StormOfEvents(t, check(t)) }

// check: one alert is one message of RFC 5424 on one line, its structured data and its
// document are whole. Every 64th is also read by a parser that is not ours.
func check(t testing.TB) sinktest.Check {
	e, err := newEncoder(Config{Hostname: "soc-1", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	m, d, n := message{}, sinktest.Document{}, 0
	var b []byte
	return func(a *event.Alert) error {
		b = e.append(b[:0], a, e.payload)
		if err := m.read(b); err != nil {
			return err
		}
		if err := d.Read(m.text); err != nil || d.Invisible {
			return fmt.Errorf("invisible characters %t in the document: %w", d.Invisible, err)
		}
		if n++; n%64 == 0 {
			got, err := parse(b)
			if err != nil || len(*got.StructuredData) != 1 || value(got, "delivery_id") != a.DeliveryID.String() || *got.Message != string(m.text) {
				return fmt.Errorf("%v by another parser: %w", got, err)
			}
		}
		name, _ := d.Text("app", "name")
		id := "alert_id"
		if a.Event != nil {
			id = "event_id"
		}
		err := errors.Join(sinktest.Same(name, a.App.Name, 8<<10, nil), m.holds(id, a.ID.String()), m.holds("delivery_id", a.DeliveryID.String()), m.holds("tenant", a.Tenant), m.holds("app_id", a.App.Key()), m.holds("detection_source", "App Governance"))
		if a.Event == nil {
			err = errors.Join(err, m.holds("rule", a.RuleID), m.holds("state", string(a.State)))
		}
		return err
	}
}

// message is one of RFC 5424 as we send it: one element of structured data.
type message struct {
	params [][2]string
	text   []byte
}

// holds compares a parameter with text.
func (m *message) holds(name, text string) error {
	for _, p := range m.params {
		if p[0] == name {
			got := p[1]
			if len(text) > maxValue {
				var ok bool
				if got, ok = strings.CutSuffix(got, "…"); !ok {
					return fmt.Errorf("%s is not cut: %.300q", name, got)
				}
			}
			if err := sinktest.Same(got, text, maxValue, marked); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}
	}
	if text != "" {
		return fmt.Errorf("no %s", name)
	}
	return nil
}

// marked is a character as a parameter shows it.
func marked(r rune) rune {
	if sinktest.Hidden(r) {
		return utf8.RuneError
	}
	return r
}

// read reads b, strictly by RFC 5424, section 6.
func (m *message) read(b []byte) error {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || sinktest.Hidden(r) {
			return fmt.Errorf("%q at byte %d", b[i:i+n], i)
		}
		i += n
	}
	head, rest, _ := bytes.Cut(b, []byte(" ["))
	fields := bytes.Split(head, []byte(" "))
	if len(fields) != 6 || !bytes.HasPrefix(fields[0], []byte("<")) || !bytes.HasSuffix(fields[0], []byte(">1")) || string(fields[2]) != "soc-1" || string(fields[3]) != "appgovd" || string(fields[4]) != "-" {
		return fmt.Errorf("header %.200q", head)
	}
	id, rest, _ := bytes.Cut(rest, []byte(" "))
	if string(id) != "appgov@32473" {
		return fmt.Errorf("element %.200q", id)
	}
	m.params = m.params[:0]
	for {
		name, after, ok := bytes.Cut(rest, []byte(`="`))
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " =]\"") {
			return fmt.Errorf("parameter %.80q", name)
		}
		value, after, err := unquoted(after)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range m.params {
			if p[0] == string(name) {
				return fmt.Errorf("%s comes twice", name)
			}
		}
		m.params = append(m.params, [2]string{string(name), value})
		if text, ok := bytes.CutPrefix(after, []byte("] ")); ok {
			m.text = text
			return nil
		}
		if rest, ok = bytes.CutPrefix(after, []byte(" ")); !ok {
			return fmt.Errorf("%.80q behind %s", after, name)
		}
	}
}

// unquoted is the value that b begins with, without its escapes, and what is behind its
// quote.
func unquoted(b []byte) (value string, after []byte, err error) {
	var out []byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return string(out), b[i+1:], nil
		case c == ']':
			return "", nil, errors.New("a bare ]")
		case c != '\\':
			out = append(out, c)
		case i+1 < len(b) && strings.IndexByte(`"\]`, b[i+1]) >= 0:
			i++
			out = append(out, b[i])
		default:
			return "", nil, errors.New("a bare backslash")
		}
	}
	return "", nil, errors.New("no end")
}
