package syslog

import (
	"os"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
)

// encoder writes alerts as RFC 5424 messages: header, one element of structured
// data with what a filter or a deduplication needs, and the document as MSG.
type encoder struct {
	facility int
	host     string
	app      string
	sdID     string
	bom      string
	payload  format.Encoder
	bare     format.Encoder // without links
}

const (
	nilValue = "-"
	// bom says that MSG is UTF-8 (RFC 5424, section 6.4). It is off by default:
	// RFC 8259, section 8.1 forbids it before JSON, receivers hand it on, and
	// what then parses the document chokes. Without it MSG is of the kind
	// MSG-ANY, which is as valid.
	bom = "\ufeff"
	// maxValue bounds one value of structured data, in bytes before escaping.
	maxValue = 256
)

func newEncoder(c Config) (*encoder, error) {
	payload, err := format.Named(c.Format, format.NewLinks(c.Links))
	if err != nil {
		return nil, err
	}
	bare, err := format.Named(c.Format, nil)
	if err != nil {
		return nil, err
	}
	e := &encoder{host: c.Hostname, app: c.AppName, payload: payload, bare: bare}
	e.facility, _ = facility(c.Facility)
	if e.host == "" {
		e.host = thisHost()
	}
	if e.app == "" {
		e.app = "appgovd"
	}
	number := c.EnterpriseNumber
	if number == 0 {
		number = examplesEnterprise
	}
	e.sdID = "appgov@" + strconv.Itoa(number)
	if c.BOM {
		e.bom = bom
	}
	return e, nil
}

func thisHost() string {
	name, err := os.Hostname()
	if err != nil || name == "" || !printable(name, 255) {
		return nilValue
	}
	return name
}

// severity is that of RFC 5424, table 2. Emergency and alert are left to those
// whose machines fail.
func severity(s event.Severity) int {
	switch s {
	case event.SeverityCritical:
		return 2
	case event.SeverityHigh:
		return 3
	case event.SeverityMedium:
		return 4
	case event.SeverityLow:
		return 5
	default:
		return 6
	}
}

// within writes a as append does, without links where it would be larger than most bytes.
func (e *encoder) within(b []byte, a *event.Alert, most int) []byte {
	start := len(b)
	if b = e.append(b, a, e.payload); len(b)-start > most {
		b = e.append(b[:start], a, e.bare)
	}
	return b
}

// append writes a without any framing.
// https://www.rfc-editor.org/rfc/rfc5424#section-6
func (e *encoder) append(b []byte, a *event.Alert, payload format.Encoder) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(e.facility*8+severity(a.Severity)), 10)
	b = append(b, ">1 "...)
	b = appendTime(b, a.Time)
	for _, field := range []string{e.host, e.app, nilValue, messageID(a.Kind)} {
		b = append(append(b, ' '), field...)
	}
	b = append(append(b, " ["...), e.sdID...)
	for _, p := range parameters(a) {
		if p.value != "" {
			b = append(append(append(b, ' '), p.name...), `="`...)
			b = append(appendValue(b, p.value), '"')
		}
	}
	b = append(append(b, "] "...), e.bom...)
	return payload(b, a)
}

type parameter struct{ name, value string }

// parameters are those of the structured data.
func parameters(a *event.Alert) [12]parameter {
	delivery, sequence := a.DeliveryID.String(), strconv.FormatUint(uint64(a.Sequence), 10)
	if e := a.Event; e != nil {
		return [...]parameter{
			{"detection_source", event.DetectionSource}, {"event_id", a.ID.String()}, {"delivery_id", delivery}, {"sequence", sequence},
			{"kind", a.Kind}, {"class", e.Class}, {"action", e.Action}, {"result", string(e.Result)}, {"provider", a.Provider}, {"tenant", a.Tenant}, {"app_id", a.App.Key()}, {},
		}
	}
	return [...]parameter{
		{"detection_source", event.DetectionSource}, {"alert_id", a.ID.String()}, {"delivery_id", delivery}, {"sequence", sequence},
		{"state", string(a.State)}, {"kind", a.Kind}, {"rule", a.RuleID}, {"severity", a.Severity.String()}, {"score", strconv.Itoa(a.Score)},
		{"provider", a.Provider}, {"tenant", a.Tenant}, {"app_id", a.App.Key()},
	}
}

// appendTime writes t in UTC with microseconds, which is all that RFC 5424,
// section 6.2.3 allows.
func appendTime(b []byte, t time.Time) []byte {
	if y := t.Year(); t.IsZero() || y < 0 || y > 9999 {
		return append(b, nilValue...)
	}
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// messageID is the kind of alert: one of few words of our own.
func messageID(kind string) string {
	if kind == "" || !printable(kind, 32) {
		return nilValue
	}
	return kind
}

// appendValue writes a PARAM-VALUE (RFC 5424, section 6.3.3): quote, backslash
// and bracket escaped, valid UTF-8, at most maxValue bytes of s. What is
// invisible becomes U+FFFD: a receiver that splits at line ends, or shows the
// value on a terminal, is not fooled.
func appendValue(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		end := plain(s, i, min(len(s), maxValue))
		if b, i = append(b, s[i:end]...), end; i == len(s) {
			break
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if i+n > maxValue {
			return append(b, "…"...)
		}
		switch {
		case r == '"', r == '\\', r == ']':
			b = append(b, '\\', byte(r))
		case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}

// plain is where the visible ASCII characters of s from i on end that need no escape, at
// the latest at limit.
func plain(s string, i, limit int) int {
	for i < limit && s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\' && s[i] != ']' {
		i++
	}
	return i
}
