package format

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
)

// Names of the product in formats that ask for them. layout is the version of what the
// encoders write: a receiver's mapping depends on it, not on the release.
const (
	vendor = "appgovd"
	layout = "1.0"
)

// Bounds of CEF's own dictionary, in bytes.
const (
	cefName = 512
	cefText = 1023
	cefLong = 4000
)

// cef writes one line of CEF or LEEF.
type cef struct {
	b     []byte
	leef  bool
	first bool
}

// AppendCEF appends a as one CEF:0 event, without a line end. The name is the title, the
// signature the rule. Text of others is escaped as the format asks and cut at the lengths
// of its dictionary. https://www.microfocus.com/documentation/arcsight/arcsight-smartconnectors-8.4/cef-implementation-standard/
func AppendCEF(dst []byte, a *event.Alert) []byte { return appendCEF(dst, a, nil) }

func appendCEF(dst []byte, a *event.Alert, pages []Link) []byte {
	if a.Event != nil {
		return appendEventCEF(dst, a)
	}
	w := newCEF(dst, firstOf(a.RuleID, "none"), firstOf(a.Title, "none"), strconv.Itoa(severityOfTen(a.Severity)))
	w.millis("rt", a.Time)
	w.millis("start", a.Opened)
	w.text("externalId", a.ID.String(), cefText)
	w.text("cat", a.Kind, cefText)
	w.text("act", a.Action, cefText)
	w.text("deviceExternalId", a.Tenant, cefText)
	w.text("msg", a.Summary, cefText)
	w.text("reason", a.Reason, cefText)
	w.parties(a)
	page, _ := mainPage(a, pages)
	if len(page) <= cefText { // half a page is none
		w.text("request", page, cefText)
	}
	w.number("cnt", int64(a.Count))
	w.labelled("cs1", "detectionSource", event.DetectionSource)
	w.labelled("cs2", "appId", firstOf(a.App.AppID, a.App.ID))
	w.labelled("cs3", "deliveryId", a.DeliveryID.String())
	w.labelled("cs4", "state", string(a.State))
	w.labelled("cs5", "techniques", strings.Join(a.Techniques, ","))
	w.labelled("cs6", "appOrigin", a.AppOrigin)
	w.labelled("cn1", "score", strconv.Itoa(a.Score))
	w.labelled("cn2", "appRisk", strconv.Itoa(a.AppRisk))
	w.labelled("cn3", "sequence", strconv.FormatUint(uint64(a.Sequence), 10))
	if a.Group != nil {
		w.labelled("flexString1", "group", bounded(a.Group.String(), cefText))
		w.labelled("flexNumber1", "groupOpen", strconv.FormatUint(a.Group.Open, 10))
		w.labelled("flexNumber2", "groupTotal", strconv.FormatUint(a.Group.Total, 10))
	}
	return w.b
}

// AppendLEEF appends a as one LEEF 2.0 event with tabs between its attributes, without a
// line end. LEEF knows no escapes: tabs and line ends of others become spaces.
// https://www.ibm.com/docs/en/dsm?topic=overview-leef-event-components
func AppendLEEF(dst []byte, a *event.Alert) []byte { return appendLEEF(dst, a, nil) }

func appendLEEF(dst []byte, a *event.Alert, pages []Link) []byte {
	if a.Event != nil {
		return appendEventLEEF(dst, a.Event)
	}
	w := newLEEF(dst, a.RuleID)
	w.leefTime(a.Time)
	w.text("cat", a.Kind, cefText)
	w.number("sev", int64(max(1, severityOfTen(a.Severity))))
	w.text("usrName", firstOf(a.Actor.UPN, a.Actor.Name, a.Actor.AppID), cefText)
	w.text("src", validIP(a.Origin.IP), cefText)
	page, _ := mainPage(a, pages)
	w.text("url", page, cefLong)
	for _, p := range [][2]string{
		{"detectionSource", event.DetectionSource}, {"alertId", a.ID.String()}, {"deliveryId", a.DeliveryID.String()}, {"state", string(a.State)},
		{"title", a.Title}, {"summary", a.Summary}, {"stateReason", a.Reason}, {"eventAction", a.Action}, {"tenant", a.Tenant},
		{"appId", firstOf(a.App.AppID, a.App.ID)}, {"appName", a.App.Name}, {"appOrigin", a.AppOrigin}, {"actorId", a.Actor.ID},
		{"targetName", firstOf(a.Target.UPN, a.Target.Name)}, {"targetId", a.Target.ID}, {"apiName", a.Resource.Name},
		{"country", a.Origin.Country}, {"userAgent", a.Origin.UserAgent}, {"techniques", strings.Join(a.Techniques, ",")},
		{"score", strconv.Itoa(a.Score)}, {"appRisk", strconv.Itoa(a.AppRisk)}, {"matches", strconv.Itoa(a.Count)}, {"updateNumber", strconv.FormatUint(uint64(a.Sequence), 10)},
	} {
		w.text(p[0], p[1], cefLong)
	}
	if a.Group != nil {
		w.text("group", a.Group.String(), cefLong)
		w.number("groupOpen", int64(a.Group.Open))
		w.number("groupTotal", int64(a.Group.Total))
	}
	return w.b
}

func newCEF(dst []byte, signature, name, severity string) *cef {
	return (&cef{b: append(dst, "CEF:0"...)}).heads(signature, name, severity)
}

func newLEEF(dst []byte, id string) *cef {
	return (&cef{b: append(dst, "LEEF:2.0"...), leef: true}).heads(firstOf(id, "none"), "x09")
}

// heads writes the header: who we are, and what is of the event.
func (w *cef) heads(of ...string) *cef {
	for _, s := range append([]string{vendor, event.DetectionSource, layout}, of...) {
		w.head(s)
	}
	w.b, w.first = append(w.b, '|'), true
	return w
}

// parties is who did it to whom and from where, in CEF.
func (w *cef) parties(a *event.Alert) {
	w.address(a.Origin.IP)
	w.text("suser", firstOf(a.Actor.UPN, a.Actor.Name, a.Actor.AppID), cefText)
	w.text("suid", a.Actor.ID, cefText)
	w.text("duser", firstOf(a.Target.UPN, a.Target.Name), cefText)
	w.text("duid", a.Target.ID, cefText)
	w.text("sourceServiceName", a.App.Name, cefText)
	w.text("destinationServiceName", a.Resource.Name, cefText)
	w.text("requestClientApplication", a.Origin.UserAgent, cefText)
}

func (w *cef) leefTime(t time.Time) {
	if !t.IsZero() {
		w.text("devTime", t.UTC().Format("2006-01-02T15:04:05.000Z07:00"), cefText)
		w.text("devTimeFormat", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", cefText)
	}
}

// severityOfTen is the severity from 0 to 10.
func severityOfTen(s event.Severity) int {
	switch s {
	case event.SeverityLow:
		return 3
	case event.SeverityMedium:
		return 5
	case event.SeverityHigh:
		return 8
	case event.SeverityCritical:
		return 10
	}
	return 1
}

// head writes one field of the header.
func (w *cef) head(s string) {
	w.b = append(w.b, '|')
	for _, r := range bounded(s, cefName) {
		switch {
		case r == '|' && w.leef:
			r = '/'
		case r == '|' || r == '\\' && !w.leef:
			w.b = append(w.b, '\\')
		case invisible(r):
			r = ' '
		}
		w.b = utf8.AppendRune(w.b, r)
	}
}

// text writes one pair; an empty value is left out. In CEF a line end is \n, and
// whatever else cannot be seen is a space.
func (w *cef) text(key, s string, most int) {
	if s == "" {
		return
	}
	w.key(key)
	for _, r := range bounded(s, most) {
		switch {
		case !w.leef && (r == '\\' || r == '='):
			w.b = append(w.b, '\\')
		case !w.leef && (r == '\n' || r == '\r'):
			w.b = append(w.b, `\n`...)
			continue
		case invisible(r):
			r = ' '
		}
		w.b = utf8.AppendRune(w.b, r)
	}
}

func (w *cef) key(key string) {
	switch {
	case w.first:
		w.first = false
	case w.leef:
		w.b = append(w.b, '\t')
	default:
		w.b = append(w.b, ' ')
	}
	w.b = append(append(w.b, key...), '=')
}

// bounded is the beginning of s, at most n bytes. Ranging over it gives U+FFFD for what
// is not UTF-8.
func bounded(s string, n int) string {
	if len(s) > n {
		return Cut(s, n)
	}
	return s
}

func (w *cef) number(key string, n int64) {
	w.key(key)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *cef) millis(key string, t time.Time) {
	if !t.IsZero() {
		w.number(key, t.UnixMilli())
	}
}

// labelled is a custom field with its label.
func (w *cef) labelled(key, label, s string) {
	if s != "" {
		w.text(key+"Label", label, cefText)
		w.text(key, s, cefLong)
	}
}

// address is the source; CEF has one field for addresses of IPv4 and another one for
// those of IPv6.
func (w *cef) address(s string) {
	switch ip := validIP(s); {
	case strings.Contains(ip, ":"):
		w.text("c6a2Label", "Source IPv6 Address", cefText)
		w.text("c6a2", ip, cefText)
	default:
		w.text("src", ip, cefText)
	}
}
