package format

import (
	"bytes"
	"encoding/json"
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

func TestEveryFieldOfAnEventIsOneOfECS(t *testing.T) {
	schema := ecsSchema(t)
	for name, a := range events() {
		checkECS(t, schema, name, AppendECS(nil, a))
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
