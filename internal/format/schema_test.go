package format

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// schema is what the published schema uses of JSON Schema.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Const      any                `json:"const"`
	Enum       []any              `json:"enum"`
	Pattern    string             `json:"pattern"`
	Format     string             `json:"format"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	MaxItems   *int               `json:"maxItems"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Defs       map[string]*schema `json:"$defs"`

	used bool
}

// check returns what is wrong with v at path; a property that the schema does not name is.
func (s *schema) check(root *schema, path string, v any) (wrong []string) {
	s.used = true
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return root.Defs[name].check(root, path, v)
	}
	bad := func(format string, args ...any) { wrong = append(wrong, path+": "+fmt.Sprintf(format, args...)) }
	if s.Const != nil && s.Const != v || s.Enum != nil && !slices.Contains(s.Enum, v) {
		bad("%v is not among the values", v)
	}
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			bad("an object, not %q", s.Type)
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				bad("%s is missing", name)
			}
		}
		for name, x := range v {
			if p := s.Properties[name]; p != nil {
				wrong = append(wrong, p.check(root, path+"."+name, x)...)
			} else {
				bad("%s is not in the schema", name)
			}
		}
	case []any:
		if s.Type != "array" || s.MaxItems != nil && len(v) > *s.MaxItems {
			bad("a list of %d, not %q", len(v), s.Type)
		}
		for i, x := range v {
			wrong = append(wrong, s.Items.check(root, fmt.Sprintf("%s[%d]", path, i), x)...)
		}
	case string:
		_, err := time.Parse(time.RFC3339, v)
		if s.Type != "string" && s.Const == nil && s.Enum == nil || s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) || s.Format == "date-time" && err != nil {
			bad("%q is no %s %s%s", v, s.Type, s.Format, s.Pattern)
		}
	case float64:
		if s.Type != "integer" || v != float64(int64(v)) || s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			bad("%v is no %s", v, s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			bad("a truth, not %q", s.Type)
		}
	}
	return wrong
}

// unused are the properties that no document had.
func (s *schema) unused(path string) (list []string) {
	if !s.used {
		return []string{path}
	}
	for name, p := range s.Properties {
		list = append(list, p.unused(path+"."+name)...)
	}
	if s.Items != nil {
		list = append(list, s.Items.unused(path+"[]")...)
	}
	return list
}

func TestThePublishedSchemaIsThatOfTheDocuments(t *testing.T) {
	s := documented(t, "alert", map[string]*event.Alert{"sample": sample(), "full": full(), "notice": notice(), "hostile": hostile()})
	for name, x := range map[string]any{"unknown": 1.0, "sequence": "1", "state": "gone", "alert_id": "1", "score": 101.0, "techniques": "T1528"} {
		var v map[string]any
		if err := json.Unmarshal(AppendJSON(nil, sample()), &v); err != nil {
			t.Fatal(err)
		}
		if v[name] = x; len(s.check(s, "", v)) != 1 {
			t.Errorf("%s may be %v", name, x)
		}
	}
}

func TestThePublishedSchemaOfEventsIsThatOfTheDocuments(t *testing.T) {
	s := documented(t, "event", events())
	for name, x := range map[string]any{"unknown": 1.0, "kind": "alert", "class": "none", "event_id": "1", "observed": "today"} {
		var v map[string]any
		if err := json.Unmarshal(AppendJSON(nil, fullEvent()), &v); err != nil {
			t.Fatal(err)
		}
		if v[name] = x; len(s.check(s, "", v)) != 1 {
			t.Errorf("%s may be %v", name, x)
		}
	}
}

// documented holds documents to the published schema of that name, and that to them.
func documented(t *testing.T, name string, documents map[string]*event.Alert) *schema {
	t.Helper()
	b, err := os.ReadFile("../../docs/reference/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	encode, err := Named("json", portals())
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range documents {
		var v any
		if err := json.Unmarshal(encode(nil, a), &v); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range s.check(&s, name, v) {
			t.Error(wrong)
		}
	}
	if list := s.unused(""); len(list) > 0 {
		slices.Sort(list)
		t.Errorf("no document has %v", list)
	}
	return &s
}
