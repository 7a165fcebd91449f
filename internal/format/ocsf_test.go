package format

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// ocsf is the part of the compiled schema that the checker reads.
type ocsf struct {
	Classes, Objects map[string]ocsfType
	Dictionary       struct {
		Types struct {
			Attributes map[string]struct {
				Type   string
				Regex  string
				MaxLen int `json:"max_len"`
			}
		}
	}
	problems []string
	profiles []string
}

type ocsfType struct {
	UID         int
	Deprecated  any `json:"@deprecated"`
	Constraints map[string][]string
	Attributes  map[string]struct {
		Type        string
		ObjectType  string `json:"object_type"`
		Requirement string
		IsArray     bool `json:"is_array"`
		Profiles    []string
		Enum        map[string]any
		Deprecated  any `json:"@deprecated"`
	}
}

func (s *ocsf) fail(path, format string, args ...any) {
	s.problems = append(s.problems, path+": "+fmt.Sprintf(format, args...))
}

// object checks o against t.
func (s *ocsf) object(path string, t ocsfType, o map[string]any) {
	for name, a := range t.Attributes {
		gated := len(a.Profiles) > 0 && !slices.ContainsFunc(a.Profiles, func(p string) bool { return slices.Contains(s.profiles, p) })
		v, there := o[name]
		switch {
		case gated && there:
			s.fail(path+"."+name, "its profiles %v are not declared", a.Profiles)
		case !there && a.Requirement == "required" && !gated:
			s.fail(path+"."+name, "is required")
		case there && a.Deprecated != nil:
			s.fail(path+"."+name, "is deprecated")
		case there:
			s.value(path+"."+name, a.Type, a.ObjectType, a.IsArray, a.Enum, v)
		}
	}
	for name := range o {
		if _, ok := t.Attributes[name]; !ok {
			s.fail(path+"."+name, "is no attribute")
		}
	}
	has := func(names []string) (n int) {
		for _, name := range names {
			if _, ok := o[name]; ok {
				n++
			}
		}
		return n
	}
	if names := t.Constraints["at_least_one"]; names != nil && has(names) == 0 {
		s.fail(path, "needs one of %v", names)
	}
	if names := t.Constraints["just_one"]; names != nil && has(names) != 1 {
		s.fail(path, "needs just one of %v", names)
	}
}

func (s *ocsf) value(path, kind, object string, array bool, enum map[string]any, v any) {
	list, ok := v.([]any)
	if ok != array {
		s.fail(path, "array %v", ok)
		return
	}
	if array {
		for i, x := range list {
			s.value(path+"["+strconv.Itoa(i)+"]", kind, object, false, enum, x)
		}
		return
	}
	if object == "object" { // free
		return
	}
	if object != "" {
		o, ok := v.(map[string]any)
		if !ok {
			s.fail(path, "is no object")
			return
		}
		s.object(path, s.Objects[object], o)
		return
	}
	s.scalar(path, kind, enum, v)
}

func (s *ocsf) scalar(path, kind string, enum map[string]any, v any) {
	if n, ok := v.(json.Number); ok && enum != nil && enum[n.String()] == nil {
		s.fail(path, "%s is not in the enumeration", n)
	}
	t := s.Dictionary.Types.Attributes[kind]
	base := kind
	if t.Type != "" {
		base = t.Type
	}
	switch x := v.(type) {
	case string:
		if base != "string_t" {
			s.fail(path, "%q is no %s", x, kind)
		}
		if t.MaxLen > 0 && len(x) > t.MaxLen || t.Regex != "" && !regexp.MustCompile(t.Regex).MatchString(x) {
			s.fail(path, "%q is no %s", x, kind)
		}
	case json.Number:
		if _, err := x.Int64(); err != nil || base != "integer_t" && base != "long_t" {
			s.fail(path, "%s is no %s", x, kind)
		}
	case bool:
		if base != "boolean_t" {
			s.fail(path, "a boolean is no %s", kind)
		}
	default:
		s.fail(path, "is %T, not %s", v, kind)
	}
}

// check returns what is wrong with a document of that class.
func (s *ocsf) check(t *testing.T, named string, document []byte) []string {
	t.Helper()
	s.problems = nil
	dec := json.NewDecoder(strings.NewReader(string(document)))
	dec.UseNumber()
	var o map[string]any
	if err := dec.Decode(&o); err != nil {
		t.Fatal(err)
	}
	s.profiles = nil
	if m, ok := o["metadata"].(map[string]any); ok {
		profiles, _ := m["profiles"].([]any)
		for _, p := range profiles {
			s.profiles = append(s.profiles, p.(string))
		}
	}
	class := s.Classes[named]
	if class.Deprecated != nil {
		s.fail("class", "is deprecated")
	}
	s.object("finding", class, o)
	uid, activity, kind := number(o["class_uid"]), number(o["activity_id"]), number(o["type_uid"])
	if activities := class.Attributes["activity_id"].Enum; uid != int64(class.UID) || kind != uid*100+activity || activities[strconv.FormatInt(activity, 10)] == nil {
		s.fail("type_uid", "%d is not %d*100+%d", kind, uid, activity)
	}
	return s.problems
}

func number(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64()
	return i
}

// alerts are alerts of every kind and state, the emptiest among them.
func alerts() map[string]*event.Alert {
	created, closed := sample(), sample()
	created.State, created.Sequence = event.AlertNew, 0
	closed.State, closed.Reason = event.AlertResolved, "excepted"
	health := &event.Alert{ID: event.NewID("h"), Kind: event.AlertHealth, State: event.AlertNew, RuleID: "health.source", Title: "A source keeps failing", Severity: event.SeverityMedium, Time: time.Unix(1780000000, 0), Opened: time.Unix(1780000000, 0)}
	app := sample()
	app.Actor, app.Origin.IP, app.Techniques = event.Actor{Type: event.TypeApp, AppID: "b"}, "2001:db8::1", []string{"T1098.003"}
	nobody := sample()
	nobody.Actor, nobody.Origin, nobody.App, nobody.Upstream = event.Actor{AppID: "x"}, event.Origin{IP: "not an address"}, event.App{}, nil
	return map[string]*event.Alert{"updated": sample(), "full": full(), "created": created, "closed": closed, "health": health, "app": app, "nobody": nobody, "empty": {State: event.AlertNew, Title: "x", Time: time.Unix(1, 0)}}
}

func ocsfSchema(t *testing.T) *ocsf {
	t.Helper()
	s := &ocsf{}
	if err := json.Unmarshal(servicetest.Corpus(t, "schemas/ocsf-1.8.0-compiled.json"), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// The schema is the one that OCSF publishes, compiled; the checker walks it.
func TestADocumentIsADetectionFindingOfOCSF(t *testing.T) {
	s := ocsfSchema(t)
	encode, err := Named("ocsf", portals())
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range alerts() {
		if got := s.check(t, "detection_finding", encode(nil, a)); len(got) > 0 {
			t.Errorf("%s: %s", name, strings.Join(got, "\n\t"))
		}
	}
	for what, edit := range map[string]func(string) string{
		"an unknown attribute": func(d string) string { return strings.Replace(d, `"is_alert"`, `"is_alarm"`, 1) },
		"no number of a type":  func(d string) string { return strings.Replace(d, `"type_uid":200402`, `"type_uid":200401`, 1) },
		"no such status":       func(d string) string { return strings.Replace(d, `"status_id":2`, `"status_id":77`, 1) },
		"a missing profile": func(d string) string {
			return strings.Replace(d, `"cloud","security_control"`, `"security_control"`, 1)
		},
		"no address": func(d string) string { return strings.Replace(d, `"ip":"203.0.113.7"`, `"ip":"there"`, 1) },
		"an empty product": func(d string) string {
			return strings.Replace(d, `"product":{"name":"App Governance",`, `"product":{`, 1)
		},
	} {
		good := string(AppendOCSF(nil, sample()))
		if bad := edit(good); bad == good || len(s.check(t, "detection_finding", []byte(bad))) == 0 {
			t.Errorf("the checker takes %s", what)
		}
	}
}
