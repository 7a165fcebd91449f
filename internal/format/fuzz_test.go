package format

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

func FuzzCEF(f *testing.F)  { sinktest.FuzzAlerts(f, checkCEF(AppendCEF)) }
func FuzzLEEF(f *testing.F) { sinktest.FuzzAlerts(f, checkLEEF(AppendLEEF)) }
func FuzzECS(f *testing.F)  { sinktest.FuzzAlerts(f, checkECSText(AppendECS)) }
func FuzzJSON(f *testing.F) { sinktest.FuzzAlerts(f, checkJSON(AppendJSON)) }
func FuzzOCSF(f *testing.F) { sinktest.FuzzAlerts(f, checkOCSF(AppendOCSF)) }
func FuzzCIM(f *testing.F)  { sinktest.FuzzAlerts(f, checkCIM(AppendCIM)) }

func FuzzEventCEF(f *testing.F)  { sinktest.FuzzEvents(f, checkEventCEF(AppendCEF)) }
func FuzzEventLEEF(f *testing.F) { sinktest.FuzzEvents(f, checkEventLEEF(AppendLEEF)) }
func FuzzEventECS(f *testing.F)  { sinktest.FuzzEvents(f, checkEventECS(AppendECS)) }
func FuzzEventJSON(f *testing.F) { sinktest.FuzzEvents(f, checkEventJSON(AppendJSON)) }
func FuzzEventOCSF(f *testing.F) { sinktest.FuzzEvents(f, checkEventOCSF(AppendOCSF)) }
func FuzzEventCIM(f *testing.F)  { sinktest.FuzzEvents(f, checkEventCIM(AppendCIM)) }

// One alert is one record, whatever it holds.
func TestHostileAlerts(t *testing.T) {
	linked := func(name string) Encoder {
		encode, err := Named(name, portals())
		if err != nil {
			t.Fatal(err)
		}
		return encode
	}
	for name, check := range map[string]sinktest.Check{
		"cef": checkCEF(linked("cef")), "leef": checkLEEF(linked("leef")), "ecs": checkECSText(linked("ecs")), "json": checkJSON(linked("json")), "json-within": checkWithin(), "ocsf": checkOCSF(linked("ocsf")), "cim": checkCIM(linked("cim")),
	} {
		t.Run(name, func(t *testing.T) { sinktest.Storm(t, check) })
	}
}

func TestHostileEvents(t *testing.T) {
	for name, check := range map[string]sinktest.Check{
		"cef": checkEventCEF(AppendCEF), "leef": checkEventLEEF(AppendLEEF), "ecs": checkEventECS(AppendECS), "json": checkEventJSON(AppendJSON), "ocsf": checkEventOCSF(AppendOCSF), "cim": checkEventCIM(AppendCIM),
	} {
		t.Run(name, func(t *testing.T) { sinktest.StormOfEvents(t, check) })
	}
}

// spot is a text of an alert, and where in a record it stands.
type spot struct {
	text string
	path []string
}

func at(text string, path ...string) spot { return spot{text, path} }

// compare says which of the spots do not hold what most bytes of their text have to look
// like.
func compare(get func(path ...string) string, most int, as func(rune) rune, spots ...spot) error {
	for _, x := range spots {
		if err := sinktest.Same(get(x.path...), x.text, most, as); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(x.path, "."), err)
		}
	}
	return nil
}

// visible is a character as CEF and LEEF show it.
func visible(r rune) rune {
	if sinktest.Hidden(r) {
		return ' '
	}
	return r
}

// broken is one as a value of CEF shows it, where a line may end.
func broken(r rune) rune {
	if r == '\n' || r == '\r' {
		return '\n'
	}
	return visible(r)
}

// slashed is one in the header of LEEF, which has no escapes.
func slashed(r rune) rune {
	if r == '|' {
		return '/'
	}
	return visible(r)
}

// checkLine reads each record of encode by read, and compares header and attributes.
func checkLine(encode Encoder, read func(l *line, s string) error, head func(l *line, a *event.Alert) error, spots func(a *event.Alert) []spot, most int, as func(rune) rune) sinktest.Check {
	var l line
	var b []byte
	return func(a *event.Alert) error {
		b = encode(b[:0], a)
		if err := read(&l, string(b)); err != nil {
			return err
		}
		if l.head[0] != "appgovd" || l.head[1] != "App Governance" || l.head[2] != "1.0" {
			return fmt.Errorf("header %.80q", l.head)
		}
		return errors.Join(head(&l, a), compare(func(path ...string) string { return l.get(path[0]) }, most, as, spots(a)...))
	}
}

func checkCEF(encode Encoder) sinktest.Check {
	return checkLine(encode, (*line).readCEF, func(l *line, a *event.Alert) error {
		return errors.Join(sinktest.Same(l.head[3], firstOf(a.RuleID, "none"), 512, visible), sinktest.Same(l.head[4], firstOf(a.Title, "none"), 512, visible))
	}, func(a *event.Alert) []spot {
		return []spot{
			at(a.App.Name, "sourceServiceName"), at(firstOf(a.Actor.UPN, a.Actor.Name, a.Actor.AppID), "suser"), at(firstOf(a.Target.UPN, a.Target.Name), "duser"), at(a.Resource.Name, "destinationServiceName"),
			at(a.Summary, "msg"), at(a.Action, "act"), at(a.Origin.UserAgent, "requestClientApplication"), at("App Governance", "cs1"), at("detectionSource", "cs1Label"), at(a.ID.String(), "externalId"),
			at(a.DeliveryID.String(), "cs3"), at(string(a.State), "cs4"), at(strconv.Itoa(int(a.Sequence)), "cn3"),
		}
	}, 1023, broken)
}

func checkLEEF(encode Encoder) sinktest.Check {
	return checkLine(encode, (*line).readLEEF, func(l *line, a *event.Alert) error {
		return errors.Join(sinktest.Same(l.head[3], firstOf(a.RuleID, "none"), 512, slashed), sinktest.Same(l.head[4], "x09", 3, nil), sinktest.Same(l.get("usrName"), firstOf(a.Actor.UPN, a.Actor.Name, a.Actor.AppID), 1023, visible))
	}, func(a *event.Alert) []spot {
		return []spot{
			at(a.Title, "title"), at(a.App.Name, "appName"), at(a.Resource.Name, "apiName"), at(a.Summary, "summary"), at(a.Reason, "stateReason"), at(a.Origin.UserAgent, "userAgent"), at("App Governance", "detectionSource"),
			at(a.ID.String(), "alertId"), at(a.DeliveryID.String(), "deliveryId"), at(string(a.State), "state"), at(strconv.Itoa(int(a.Sequence)), "updateNumber"),
		}
	}, 4000, visible)
}

func checkEventCEF(encode Encoder) sinktest.Check {
	return checkLine(encode, (*line).readCEF, func(l *line, a *event.Alert) error {
		return errors.Join(sinktest.Same(l.head[3], a.Event.Action, 512, visible), sinktest.Same(l.head[4], firstOf(a.Event.Activity, a.Event.Action), 512, visible))
	}, func(a *event.Alert) []spot {
		e := a.Event
		return []spot{at(e.ID.String(), "externalId"), at(e.Action, "act"), at(e.App.Name, "sourceServiceName"), at(e.Call.URI, "request"), at(e.Origin.UserAgent, "requestClientApplication"), at("event", "cat"), at(e.Class, "cs1")}
	}, 1023, broken)
}

func checkEventLEEF(encode Encoder) sinktest.Check {
	return checkLine(encode, (*line).readLEEF, func(l *line, a *event.Alert) error {
		return errors.Join(sinktest.Same(l.head[3], a.Event.Action, 512, slashed), sinktest.Same(l.head[4], "x09", 3, nil))
	}, func(a *event.Alert) []spot {
		e := a.Event
		return []spot{at(e.ID.String(), "eventId"), at(e.Action, "eventAction"), at(e.App.Name, "appName"), at(e.Call.URI, "url"), at(e.ResultReason, "resultReason"), at("event", "cat"), at(e.Class, "class")}
	}, 4000, visible)
}

// checkDocument holds the records of encode to being one document each, on one line, of a
// bounded size, with every text whole in its place and nothing unescaped that nobody sees.
func checkDocument(encode Encoder, spots func(a *event.Alert) []spot, numbers ...func(a *event.Alert) []spot) sinktest.Check {
	var d sinktest.Document
	var b []byte
	get := func(path ...string) string { s, _ := d.Text(path...); return s }
	return func(a *event.Alert) error {
		b = encode(b[:0], a)
		if err := d.Read(b); err != nil {
			return err
		}
		if d.Invisible || len(b) > 2<<20 {
			return fmt.Errorf("invisible characters %t, %d bytes", d.Invisible, len(b))
		}
		err := compare(get, maxText, nil, spots(a)...)
		for _, of := range numbers {
			err = errors.Join(err, compare(d.Number, 20, nil, of(a)...))
		}
		return err
	}
}

// moment is a time as documents have it.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// below are the spots of an alert that all documents have, below some path.
func below(a *event.Alert, path ...string) []spot {
	in := func(names ...string) []string { return append(path[:len(path):len(path)], names...) }
	return []spot{
		{a.App.Name, in("app", "name")}, {a.Actor.UPN, in("actor", "upn")}, {a.Summary, in("summary")}, {a.Labels[0].Value, in("labels", "0", "value")}, {a.ID.String(), in("alert_id")}, {a.DeliveryID.String(), in("delivery_id")},
		{"App Governance", in("detection_source")}, {string(a.State), in("state")},
	}
}

func checkECSText(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		return append(below(a, "appgov"), at(a.Title, "message"), at(a.RuleID, "rule", "id"), at("alert", "event", "kind"), at(a.ID.String(), "event", "id"), at(a.Origin.UserAgent, "user_agent", "original"), at(moment(a.Time), "@timestamp"), at(moment(a.Opened), "event", "start"))
	}, func(a *event.Alert) []spot {
		return []spot{at(strconv.FormatInt(ecsSeverity(a.Severity), 10), "event", "severity"), at(strconv.Itoa(int(a.Sequence)), "event", "sequence")}
	})
}

func checkJSON(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		return append(below(a), at(a.Title, "title"), at(a.RuleID, "rule_id"), at(a.Tenant, "tenant"), at(a.Origin.IP, "source", "address"))
	})
}

// checkWithin: a document that has to be short is one all the same, of the same alert.
func checkWithin() sinktest.Check {
	var d sinktest.Document
	var b []byte
	return func(a *event.Alert) error {
		most := 32<<10 + 2<<10*int(a.Sequence)
		b = AppendJSONWithin(b[:0], a, most)
		if err := d.Read(b); err != nil || len(b) > most {
			return fmt.Errorf("%d bytes: %w", len(b), err)
		}
		id, _ := d.Text("delivery_id")
		name, named := d.Text("app", "name")
		if id != a.DeliveryID.String() || named != (a.App.Name != "") || !strings.HasPrefix(string([]rune(a.App.Name)), name) {
			return fmt.Errorf("delivery %s, app %.80q of %.80q", id, name, a.App.Name)
		}
		return nil
	}
}

func checkOCSF(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		return append(below(a, "unmapped", "appgov"), at(a.Title, "message"), at(a.Title, "finding_info", "title"), at(a.ID.String(), "finding_info", "uid"), at(a.DeliveryID.String(), "metadata", "uid"), at("Detection Finding", "class_name"), at(a.Tenant, "metadata", "tenant_uid"))
	})
}

func checkCIM(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		return append(below(a, "appgov"), at(firstOf(a.Title, "unknown"), "signature"), at(firstOf(a.RuleID, "unknown"), "signature_id"), at(firstOf(a.App.Name, a.App.Key(), "unknown"), "app"), at(a.ID.String(), "id"), at("alert", "type"), at("App Governance", "detection_source"))
	})
}

// short is what of a record goes into a document.
func short(raw []byte) string {
	if len(raw) > maxText {
		return ""
	}
	return string(raw)
}

func checkEventECS(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		e := a.Event
		return []spot{at(firstOf(e.Activity, e.Action), "message"), at(e.ID.String(), "event", "id"), at(e.App.Name, "appgov", "app", "name"), at(e.Call.URI, "url", "original"), at(short(e.Raw), "event", "original")}
	})
}

func checkEventJSON(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		e := a.Event
		return []spot{at(e.Activity, "activity"), at(e.ID.String(), "event_id"), at(e.App.Name, "app", "name"), at(e.Details[0].Value, "details", "0", "value"), at(short(e.Raw), "original")}
	})
}

func checkEventOCSF(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		e := a.Event
		return []spot{at("1.8.0", "metadata", "version"), at(e.App.Name, "unmapped", "appgov", "app", "name"), at(e.ID.String(), "unmapped", "appgov", "event_id"), at(e.Changes[0].Name, "unmapped", "appgov", "changes", "0", "name")}
	})
}

func checkEventCIM(encode Encoder) sinktest.Check {
	return checkDocument(encode, func(a *event.Alert) []spot {
		e := a.Event
		return []spot{at(firstOf(e.Activity, e.Action), "signature"), at(e.ID.String(), "id"), at("event", "type"), at(e.App.Name, "appgov", "app", "name"), at(e.Call.URI, "url")}
	})
}

// The checks above are worth something: each finds encoders that are spoiled in small ways.
func TestAHostileAlertFindsASpoiledEncoder(t *testing.T) {
	replaced := func(encode Encoder, old, new string) Encoder {
		return func(dst []byte, a *event.Alert) []byte {
			return append(dst, strings.ReplaceAll(string(encode(nil, a)), old, new)...)
		}
	}
	cef, leef, doc := func(old, new string) sinktest.Check { return checkCEF(replaced(AppendCEF, old, new)) }, func(old, new string) sinktest.Check { return checkLEEF(replaced(AppendLEEF, old, new)) }, func(old, new string) sinktest.Check {
		return checkECSText(replaced(AppendECS, old, new))
	}
	pattern := func(old, new string) sinktest.Check {
		return checkECSText(func(dst []byte, a *event.Alert) []byte {
			return append(dst, regexp.MustCompile(old).ReplaceAll(AppendECS(nil, a), []byte(new))...)
		})
	}
	for name, check := range map[string]sinktest.Check{
		"cef, a bar without its escape": cef(`\|`, `|`), "cef, a line end without its escape": cef(`\n`, "\n"), "cef, an equals sign without its escape": cef(`\=`, `=`),
		"cef, a backslash without its escape": cef(`\\`, `\`), "cef, an escape too many": cef(`=`, `\=`), "cef, a lost character": cef("世", ""), "cef, a broken character": cef("\ufffd", "\xff"), "cef, two spaces for one": cef("  ", " "),
		"cef, another id": cef("externalId=", "externalId=0"), "cef, text in another field": cef("sourceServiceName=", "act="), "cef, a value taken over": cef("cs1=App Governance", "cs1=App Governance cs1=x"),
		"leef, a bar in the header": leef("/", "|"), "leef, a line end": leef("  ", "\n"), "leef, a lost character": leef("世", ""), "leef, something invisible": leef("ü", "\u202e"),
		"leef, a tab for a space": leef(" ", "\t"), "a quote without its escape": doc(`\"`, `"`), "a backslash without its escape": doc(`\\`, `\`), "a line end": doc(`\n`, "\n"), "a character of direction": doc(`\u202e`, "\u202e"),
		"broken UTF-8": doc("\ufffd", "\xff"), "a lost character": doc("世", ""), "a name twice": doc(`"name":`, `"id":`), "a trailing comma": doc(`"}}`, `",}}`), "two documents": doc(`"ecs":`, `"ecs":{}}{"x":`), "a NUL": doc(`\u0000`, "\x00"),
		"a severity that is a text": pattern(`"severity":(\d+)`, `"severity":"$1"`), "a start that is no time": pattern(`"start":"[^"]*"`, `"start":"yesterday"`),
	} {
		t.Run(name, func(t *testing.T) {
			if !sinktest.Finds(check) {
				t.Error("nothing is found")
			}
		})
	}
}
