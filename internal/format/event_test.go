package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

// events are events of every class and action, with every field set and with next to
// none.
func events() map[string]*event.Alert {
	out := map[string]*event.Alert{}
	for _, class := range []string{event.ClassAudit, event.ClassSignIn, event.ClassInventory, event.ClassAlert, event.ClassRisk, event.ClassActivity, event.ClassCall} {
		for _, action := range event.Actions() {
			for _, actor := range []string{event.TypeUser, event.TypeApp, ""} {
				full := *sinktest.FullEvent().Event
				full.Class, full.Action, full.Actor.Type = class, action.Name, actor
				a := event.Forwarded(&full)
				bare := event.Forwarded(&event.Event{ID: full.ID, Class: class, Action: action.Name, Time: full.Time, Actor: event.Actor{Type: actor}})
				key := class + " " + action.Name + " " + actor
				out[key], out[key+" bare"] = &a, &bare
			}
		}
	}
	return out
}

func fullEvent() *event.Alert {
	a := sinktest.FullEvent()
	return &a
}

func TestGoldenEvents(t *testing.T) {
	for name, f := range map[string]Encoder{"ecs": AppendECS, "json": AppendJSON, "ocsf": AppendOCSF, "cim": AppendCIM, "cef": AppendCEF, "leef": AppendLEEF} {
		got, file := f(nil, fullEvent()), filepath.Join("testdata", "event-"+name+".golden.txt")
		if IsJSON(name) {
			var lines bytes.Buffer
			if err := json.Indent(&lines, got, "", "  "); err != nil {
				t.Fatal(err)
			}
			got, file = lines.Bytes(), filepath.Join("testdata", "event-"+name+".golden.json")
		}
		got = append(got, '\n')
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Each event is of a class whose required attributes it has.
func TestAnEventIsADocumentOfOCSF(t *testing.T) {
	s, seen := ocsfSchema(t), map[string]bool{}
	for name, a := range events() {
		b := AppendOCSF(nil, a)
		for class, title := range map[string]string{"api_activity": "API Activity", "authentication": "Authentication", "entity_management": "Entity Management", "user_access": "User Access Management", "iam_analysis_finding": "IAM Analysis Finding"} {
			if strings.Contains(string(b), `"class_name":"`+title+`"`) {
				seen[class] = true
				if got := s.check(t, class, b); len(got) > 0 {
					t.Errorf("%s: %s\n%s", name, strings.Join(got, "\n\t"), b)
				}
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("only the classes %v", seen)
	}
}

func TestLinesOfCEFAndLEEFOfEvents(t *testing.T) {
	for name, a := range events() {
		line := string(AppendCEF(nil, a))
		head, pairs := cefOf(t, line)
		if head[3] != a.Event.Action || pairs["externalId"] != a.Event.ID.String() {
			t.Errorf("%s: %s", name, line)
		}
		if line := string(AppendLEEF(nil, a)); strings.Count(line, "LEEF:2.0|") != 1 || !strings.Contains(line, "\teventId="+a.Event.ID.String()+"\t") {
			t.Errorf("%s: %s", name, line)
		}
	}
}

// What changed nothing is told as no change, in any format.
func TestAnEventThatChangedNothingIsNoUpdate(t *testing.T) {
	app := event.App{AppID: "app", Name: "App"}
	for name, tt := range map[string]struct {
		e                     event.Event
		class, activity       string
		action, category, typ string
	}{
		"a sign-in without a resource":   {event.Event{Class: event.ClassSignIn, Action: event.ActionAppSignIn, App: app, Result: event.ResultFailure}, "Entity Management", "Other", "failure", "authentication", "start"},
		"a call without an address":      {event.Event{Class: event.ClassCall, Action: event.ActionAppCall, App: app, Actor: event.Actor{Type: event.TypeApp, AppID: "app"}, Result: event.ResultSuccess, Call: &event.Call{Method: "GET", URI: "/v1.0/users"}}, "API Activity", "Read", "success", "api", "access"},
		"a call of a user by an app":     {event.Event{Class: event.ClassCall, Action: event.ActionAppCall, App: app, Actor: event.Actor{Type: event.TypeUser, ID: "u"}, Call: &event.Call{Method: "PATCH"}}, "API Activity", "Update", "unknown", "api", "access"},
		"a call of nobody":               {event.Event{Class: event.ClassCall, Action: event.ActionAppCall, Call: &event.Call{Method: "DELETE"}}, "Entity Management", "Other", "unknown", "api", "access"},
		"an activity without an address": {event.Event{Class: event.ClassActivity, Action: event.ActionAppActivity, Activity: "MailItemsAccessed", App: app, Actor: event.Actor{Type: event.TypeUser, UPN: "a@example.com"}, Result: event.ResultSuccess}, "API Activity", "Other", "success", "api", "access"},
		"a sign-in in an audit":          {event.Event{Class: event.ClassAudit, Action: event.ActionUserSignIn, App: app, Result: event.ResultSuccess}, "Entity Management", "Other", "success", "iam", "info"},
		"an alert of the provider":       {event.Event{Class: event.ClassAlert, Action: event.ActionUpstreamAlert, App: app}, "Entity Management", "Other", "unknown", "intrusion_detection", "info"},
		"a risk":                         {event.Event{Class: event.ClassRisk, Action: event.ActionRiskDetected, App: app}, "Entity Management", "Other", "unknown", "intrusion_detection", "info"},
		"a request for consent":          {event.Event{Class: event.ClassInventory, Action: event.ActionInvConsentRequested, App: app}, "Entity Management", "Other", "unknown", "iam", "info"},
		"an update":                      {event.Event{Class: event.ClassAudit, Action: event.ActionAppUpdated, App: app}, "Entity Management", "Update", "modified", "iam", "change"},
	} {
		a := event.Forwarded(&tt.e)
		var ocsf struct {
			Class    string `json:"class_name"`
			Activity string `json:"activity_name"`
		}
		var cim struct{ Action string }
		var ecs struct {
			Event struct{ Category, Type []string }
		}
		if err := errors.Join(json.Unmarshal(AppendOCSF(nil, &a), &ocsf), json.Unmarshal(AppendCIM(nil, &a), &cim), json.Unmarshal(AppendECS(nil, &a), &ecs)); err != nil {
			t.Fatal(err)
		}
		if ocsf.Class != tt.class || ocsf.Activity != tt.activity || cim.Action != tt.action || ecs.Event.Category[0] != tt.category || ecs.Event.Type[0] != tt.typ {
			t.Errorf("%s: %+v, %+v, %+v", name, ocsf, cim, ecs)
		}
	}
}

// The size that we know of a call is that of its response.
func TestTheBytesOfACallAreThoseOfItsResponse(t *testing.T) {
	a := event.Forwarded(&event.Event{Class: event.ClassCall, Action: event.ActionAppCall, Call: &event.Call{Method: "GET", Bytes: 4711, BytesKnown: true}})
	if _, pairs := cefOf(t, string(AppendCEF(nil, &a))); pairs["out"] != "4711" || pairs["in"] != "" {
		t.Errorf("CEF has in %q, out %q", pairs["in"], pairs["out"])
	}
	var cim map[string]any
	if err := json.Unmarshal(AppendCIM(nil, &a), &cim); err != nil || cim["bytes_out"] != 4711.0 || cim["bytes_in"] != nil {
		t.Errorf("CIM: %v %v", cim, err)
	}
}
