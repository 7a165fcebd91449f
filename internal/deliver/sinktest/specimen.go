package sinktest

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
)

// Check says what is wrong with the record of one alert, or of one event.
type Check func(a *event.Alert) error

// FuzzAlerts holds alerts of hostile text to check, under the guidance of Go's fuzzer.
func FuzzAlerts(f *testing.F, check Check) {
	addresses := []string{"203.0.113.7", "2001:db8::1", "fe80::1%eth0\n", "", "1.2.3.4|x=y"}
	for i, text := range append(Hostile(), "x cs1=Owned act=none \\", `a|b\c=d`, "\tcat=fine\t", `"},"admin":true,{"`) {
		text = text[:min(len(text), 128)] // specimen makes long ones
		f.Add(text, text, addresses[i%len(addresses)], uint8(i*37))
		f.Add("a name", text, addresses[i%len(addresses)], uint8(i*11))
	}
	s := newSpecimen()
	f.Fuzz(func(t *testing.T, name, text, ip string, how uint8) {
		if err := check(s.of(name, text, ip, how)); err != nil {
			t.Error(err)
		}
	})
}

// FuzzEvents is FuzzAlerts for events.
func FuzzEvents(f *testing.F, check Check) {
	for i, text := range Hostile() {
		text = text[:min(len(text), 128)]
		f.Add(text, text, "2001:db8::1", []byte(text), uint8(i*7))
	}
	f.Add("name", "text", "1.2.3.4", []byte(`{"a":1}`), uint8(0))
	s := newSpecimen()
	f.Fuzz(func(t *testing.T, name, text, ip string, raw []byte, how uint8) {
		if err := check(s.ofEvent(name, text, ip, raw, how)); err != nil {
			t.Error(err)
		}
	})
}

// executions is how many alerts a storm has: few in everyday tests, as many as the variable
// of the environment says where they are to be counted.
func executions(t *testing.T) int {
	s := os.Getenv("APPGOVD_HOSTILE")
	if s == "" {
		return 2000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("APPGOVD_HOSTILE is %q: write how many alerts there shall be for each encoder", s)
	}
	return n
}

// Storm holds many alerts, made of hostile pieces by a fixed seed, to check: without the
// cost of Go's fuzzer, which is ten times as much, and without its guidance.
func Storm(t *testing.T, check Check) {
	storm(t, func(s *specimen, d *dice) *event.Alert {
		return s.of(d.text(), d.text(), d.address(), uint8(d.IntN(256)))
	}, check)
}

// StormOfEvents is Storm for events.
func StormOfEvents(t *testing.T, check Check) {
	storm(t, func(s *specimen, d *dice) *event.Alert {
		return s.ofEvent(d.text(), d.text(), d.address(), []byte(d.text()), uint8(d.IntN(256)))
	}, check)
}

// Finds tells whether check, of an encoder that is spoiled on purpose, finds it within the
// first alerts of a storm.
func Finds(check Check) bool {
	s, d := newSpecimen(), newDice()
	for range 2000 {
		if check(s.of(d.text(), d.text(), d.address(), uint8(d.IntN(256)))) != nil {
			return true
		}
	}
	return false
}

func storm(t *testing.T, draw func(*specimen, *dice) *event.Alert, check Check) {
	t.Helper()
	s, d, n := newSpecimen(), newDice(), executions(t)
	for i := range n {
		a := draw(s, d)
		if err := check(a); err != nil {
			t.Fatalf("alert %d of the seed: %v: app %.200q, action %.200q, address %q", i, err, a.App.Name, a.Action, a.Origin.IP)
		}
	}
	t.Logf("%d executions", n)
}

// dice throws texts.
type dice struct {
	*rand.Rand
	pieces []string
	caps   []int
}

// newDice are the same ones every time.
func newDice() *dice { return &dice{rand.New(rand.NewPCG(1, 2)), pieces(), caps()} } //nolint:gosec // the same texts every time

// pieces are what hostile texts are made of: what means something in one format or another,
// what nobody sees, halves of characters, and what is harmless.
func pieces() []string {
	return []string{
		"\n", "\r", "\r\n", "\t", "\x00", "\x1b[31m", "\x7f", "\u0085", "\u202e", "\u2066", "\u200b", "\u2028", "\u2029", "\ufeff", "\ufffd", "\U000e0001", "\u00ad", "\u00a0", "\u3000",
		"\xff", "\xfe", "\xc3", "\xe2\x80", "\xf0\x9f\x98", "\xed\xa0\x80", "\x80", "é", "ü", "世界", "\U0001f600",
		"|", `\`, `\\`, `\n`, "=", `\=`, `\|`, `"`, "'", "]", "[", "{", "}", ",", ":", "&", "<", ">", "%", "/", "`", "*", "_", "#", "@", ";", "...", ".", " ", "  ",
		"CEF:0|", "LEEF:2.0|", " cs1=", " externalId=x", "\tstate=", "<13>1 ", `"},"a":{"`, `"]`, `x="y"`, "<!channel>", "&lt;", "**b**", "](https://evil.example)", "<at>all</at>", "{title}", "{alert}", "{{.}}", "${x}", "%0a", `{"create":{}}`,
		"a", "b", "0", "name", "App Governance", "https://evil.example/",
	}
}

// caps are lengths at which texts are cut somewhere.
func caps() []int {
	return []int{48, 64, 100, 128, 130, 150, 255, 256, 512, 1000, 1023, 1024, 2000, 3000, 4000, 4096, 8192, 15000}
}

// text is mostly a few pieces, at times about as long as a text may be somewhere.
func (d *dice) text() string {

	var b []byte
	if d.IntN(32) == 0 {
		filler := [...]string{"a", "é", "\x00", `"`, "|", "\xff"}[d.IntN(6)]
		most := d.caps[d.IntN(len(d.caps))] - d.IntN(6)
		for len(b) < most {
			b = append(b, filler...)
		}
	}
	for range d.IntN(8) {
		if d.IntN(16) == 0 {
			b = append(b, byte(d.Uint32()))
			continue
		}
		b = append(b, d.pieces[d.IntN(len(d.pieces))]...)
	}
	return string(b)
}

func (d *dice) address() string {
	switch d.IntN(4) {
	case 0:
		return "203.0.113.7"
	case 1:
		return "2001:db8::1"
	case 2:
		return ""
	}
	return d.text()
}

// specimen makes alerts and events of hostile text, cheaply. What it made last is
// overwritten by the next.
type specimen struct {
	deliveries   [4]event.ID
	full, notice event.Alert
	event        event.Event
	alert        event.Alert
	actions      []event.ActionInfo
}

func newSpecimen() *specimen {
	s := &specimen{full: Full(), notice: Notice(), event: *FullEvent().Event, actions: event.Actions()}
	s.notice.Labels, s.notice.References = s.full.Labels, s.full.References
	for i := range s.deliveries {
		a := s.full
		a.Sequence = uint32(i)
		a.SetDelivery()
		s.deliveries[i] = a.DeliveryID
	}
	return s
}

// long is how many bytes the longest names have.
const long = 64 << 10

// stretched repeats name and text until they have 64 KiB, once in 1024 times: long names
// cost time, and a few show what there is to be seen. All that a fuzzer changes throws the
// dice anew.
func stretched(name, text, ip string, how uint8) (string, string) {
	dice := crc32.ChecksumIEEE([]byte(name)) ^ crc32.ChecksumIEEE([]byte(text))<<1 ^ crc32.ChecksumIEEE([]byte(ip))<<2 ^ uint32(how)*0x9e3779b1>>8
	if dice%1024 != 0 || len(name) > long || len(text) > long {
		return name, text
	}
	return strings.Repeat(name, long/max(1, len(name))+1), strings.Repeat(text, long/max(1, len(text))+1)
}

// of has name as the title of an alert and the name of app, people and API, and text wherever else
// others choose what an alert says. how chooses among new, updated and resolved,
// severities, people and apps, alerts and notices. One name and text of 1024 are repeated
// until they have 64 KiB.
func (s *specimen) of(name, text, ip string, how uint8) *event.Alert {
	name, text = stretched(name, text, ip, how)
	a := &s.alert
	if how&0x20 == 0 {
		*a = s.full
		a.Evidence[0].Summary, a.Evidence[0].Activity, a.Evidence[0].UpstreamID = text, name, text
	} else {
		*a = s.notice
		a.Group.Labels[0].Value, a.Group.Members[0].Title = text, name
	}
	a.Labels[0].Value, a.References[0] = name, text
	a.State = [...]event.AlertState{event.AlertNew, event.AlertUpdated, event.AlertResolved, event.AlertNew}[how&3]
	a.Severity = event.SeverityInformational + event.Severity(how>>2%5)
	a.Sequence, a.DeliveryID = uint32(how>>6), s.deliveries[how>>6]
	a.Actor.Type = event.TypeUser
	if how&0x10 != 0 {
		a.Actor.Type = event.TypeApp
	}
	a.Title, a.App.Name, a.Actor.UPN, a.Target.Name, a.Resource.Name = name, name, name, name, name
	a.Summary, a.Reason, a.RuleID, a.Action, a.Tenant, a.DedupeKey = text, text, text, text, text, text
	a.App.AppID, a.App.ID, a.Actor.ID, a.Actor.Name, a.Origin.UserAgent, a.Origin.IP = text, text, text, text, text, ip
	if a.Upstream != nil {
		a.Upstream.URL, a.Upstream.Description = text, name
	}
	return a
}

// ofEvent is an event on its way to a sink, with name and text as of has them and raw as
// its record. how chooses its action.
func (s *specimen) ofEvent(name, text, ip string, raw []byte, how uint8) *event.Alert {
	name, text = stretched(name, text, ip, how)
	e := &s.event
	e.Action = s.actions[int(how)%len(s.actions)].Name
	e.Class = [...]string{event.ClassAudit, event.ClassSignIn, event.ClassCall, event.ClassActivity}[how&3]
	e.App.Name, e.Actor.UPN, e.Target.Name, e.Changes[0].Name = name, name, name, name
	e.Activity, e.Details[0].Value, e.Call.URI, e.Origin.UserAgent, e.ResultReason, e.Tenant = text, text, text, text, text, text
	e.Origin.IP, e.Raw = ip, raw
	s.alert = event.Forwarded(e)
	return &s.alert
}

// Same tells how got, of a record, differs from text, of an alert: each character is what
// as makes of it (nil: itself), broken UTF-8 is U+FFFD, and a text of more than most bytes
// is cut between two characters.
func Same(got, text string, most int, as func(rune) rune) error {
	rest := got
	for at, r := range text {
		g, n := utf8.DecodeRuneInString(rest)
		if n == 0 {
			if len(text) > most && at <= most && at >= most-utf8.UTFMax {
				return nil
			}
			return fmt.Errorf("%.80q ends at byte %d of %.80q", got, at, text)
		}
		if as != nil {
			r = as(r)
		}
		if g != r {
			return fmt.Errorf("%q in place of %q, byte %d of %.80q", g, r, at, text)
		}
		rest = rest[n:]
	}
	if rest != "" || len(text) > most {
		return fmt.Errorf("%.80q, %d bytes, of %.80q, %d bytes", got, len(got), text, len(text))
	}
	return nil
}

// Shown tells how got, shown to people, differs from text: at most most bytes on one line,
// every character of text that can be seen, in order, and where they are too many the
// first of them and "...".
func Shown(got, text string, most int) error {
	if len(got) > most {
		return fmt.Errorf("%d bytes, more than %d", len(got), most)
	}
	rest, isCut := got, false
	if len(got) > most-len("...")-utf8.UTFMax && strings.HasSuffix(got, "...") {
		rest, isCut = strings.TrimSuffix(got, "..."), true
	}
	for at, r := range text {
		if r == utf8.RuneError || Hidden(r) || unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			continue
		}
		rest = strings.TrimLeft(rest, " ")
		g, n := utf8.DecodeRuneInString(rest)
		switch {
		case g == r:
			rest = rest[n:]
		case n == 0 && isCut:
			return nil
		default:
			return fmt.Errorf("%q in place of %q, byte %d of %.80q in %.80q", g, r, at, text, got)
		}
	}
	if rest != "" || isCut {
		return fmt.Errorf("%.80q goes on behind %.80q", got, text)
	}
	return nil
}

// Headline is Shown for what people are told first: state and severity of a, and behind
// them its title, or its rule where nothing of the title can be seen.
func Headline(got string, a *event.Alert, most int) error {
	state := ""
	if a.State != event.AlertNew {
		state = string(a.State) + " "
	}
	head := "[" + strings.ToUpper(state+a.Severity.String()) + "]"
	rest, ok := strings.CutPrefix(got, head)
	if !ok || len(got) > most {
		return fmt.Errorf("%.80q, %d bytes, does not begin with %s", got, len(got), head)
	}
	text := a.Title
	if Shown("", text, 0) == nil {
		text = a.RuleID
	}
	return Shown(strings.TrimPrefix(rest, " "), text, most-len(head)-len(" "))
}
