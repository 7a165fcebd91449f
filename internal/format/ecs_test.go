package format

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// ecsField is what the schema says of one field.
type ecsField struct {
	kind   string              // its type in an index
	list   bool                // its value is an array
	values map[string][]string // it may have, each with the event types that are expected of it; nil = any
}

// ecsSchema reads the schema that Elastic publishes: YAML of one shape.
func ecsSchema(t *testing.T) map[string]*ecsField {
	t.Helper()
	fields, field := map[string]*ecsField{}, &ecsField{}
	section, types := "", []string(nil)
	for line := range strings.Lines(string(servicetest.Corpus(t, "schemas/ecs_flat.yml"))) {
		text := strings.TrimRight(line, "\n")
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(text, "  - ")), ": ")
		switch indent := len(text) - len(strings.TrimLeft(text, " ")); {
		case text == "":
		case indent == 0:
			field = &ecsField{}
			fields[strings.Trim(strings.TrimSuffix(text, ":"), "'")] = field
		case indent == 2 && text[2] != '-':
			if section = strings.TrimSuffix(name, ":"); section == "type" {
				field.kind = value
			}
			field.list = field.list || section == "normalize" && value == "array"
		case section == "normalize" && strings.TrimSpace(text) == "- array":
			field.list = true
		case section == "allowed_values" && strings.HasPrefix(text, "  - "):
			types = nil
		case section == "allowed_values" && strings.HasPrefix(text, "    - "):
			types = append(types, strings.TrimPrefix(text, "    - "))
		case section == "allowed_values" && indent == 4 && name == "name":
			if field.values == nil {
				field.values = map[string][]string{}
			}
			field.values[value] = types
		}
	}
	if c := fields["event.category"]; len(fields) < 2000 || c == nil || !c.list || !slices.Equal(c.values["authentication"], []string{"start", "end", "info"}) || fields["event.severity"].kind != "long" {
		t.Fatalf("the schema of %d fields is not as it was", len(fields))
	}
	return fields
}

// flatten gives the leaves of v by their whole names.
func flatten(prefix string, v any, out map[string]any) {
	m, ok := v.(map[string]any)
	if !ok {
		out[prefix] = v
		return
	}
	for k, x := range m {
		flatten(strings.TrimPrefix(prefix+"."+k, "."), x, out)
	}
}

// checkECS says what of document is not as the schema has it, and how many fields it has.
func checkECS(schema map[string]*ecsField, document []byte) (wrong []string, n int) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	d := json.NewDecoder(strings.NewReader(string(document)))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		bad("%v", err)
	}
	fields := map[string]any{}
	flatten("", doc, fields)
	for name, value := range fields {
		if strings.HasPrefix(name, "appgov.") {
			continue
		}
		field := schema[name]
		if field == nil {
			bad("%s is not in ECS", name)
			continue
		}
		list, ok := value.([]any)
		if ok != field.list {
			bad("%s: a list is %t, but ECS says otherwise", name, ok)
		}
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			if why := field.not(v); why != "" {
				bad("%s: %v is %s", name, v, why)
			}
		}
	}
	for _, name := range []string{"@timestamp", "ecs.version"} {
		if fields[name] == nil {
			bad("%s is missing", name)
		}
	}
	categories, _ := fields["event.category"].([]any)
	types, _ := fields["event.type"].([]any)
	for _, c := range categories {
		for _, kind := range types {
			if expected := schema["event.category"].values[fmt.Sprint(c)]; !slices.Contains(expected, fmt.Sprint(kind)) {
				bad("ECS expects no %s of %s", kind, c)
			}
		}
	}
	return wrong, len(fields)
}

// not says why v is no value of f, "" where it is one.
func (f *ecsField) not(v any) string {
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	ok := false
	switch f.kind {
	case "keyword", "wildcard", "constant_keyword", "match_only_text":
		ok = isText
	case "long", "integer":
		_, err := number.Int64()
		ok = isNumber && err == nil
	case "float", "double", "scaled_float":
		ok = isNumber
	case "boolean":
		_, ok = v.(bool)
	case "date":
		_, err := time.Parse(time.RFC3339, text)
		ok = isText && err == nil
	case "ip":
		_, err := netip.ParseAddr(text)
		ok = isText && err == nil
	}
	if !ok {
		return "no " + f.kind
	}
	if _, allowed := f.values[text]; f.values != nil && !allowed {
		return "not among the values"
	}
	return ""
}

// Every field outside our own namespace is one of ECS 9.4, with its type and its values,
// by the schema that Elastic publishes.
func TestEveryFieldIsOneOfECS(t *testing.T) {
	schema, most := ecsSchema(t), 0
	documents := alerts()
	documents["notice"], documents["hostile"] = notice(), hostile()
	for name, a := range events() {
		documents["event, "+name] = a
	}
	encode := ECS("default", func() time.Time { return time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC) }, portals())
	for name, a := range documents {
		wrong, n := checkECS(schema, encode(nil, a))
		if most = max(most, n); len(wrong) > 0 {
			t.Errorf("%s: %s", name, strings.Join(wrong, "\n\t"))
		}
	}
	if most < 90 {
		t.Errorf("the largest document has only %d fields", most)
	}
}

// The checker is worth something: it finds encoders that are spoiled in small ways.
func TestTheSchemaOfECSFindsASpoiledEncoder(t *testing.T) {
	schema := ecsSchema(t)
	alert, forwarded := string(AppendECS(nil, sample())), string(AppendECS(nil, fullEvent()))
	for name, tt := range map[string]struct{ document, old, new string }{
		"a severity that is a text":        {alert, `"severity":73`, `"severity":"73"`},
		"a severity with a fraction":       {alert, `"severity":73`, `"severity":7.3`},
		"a start that is no time":          {alert, `"start":"2026-11-20T09:00:00.123Z"`, `"start":"yesterday"`},
		"a start that is a number":         {alert, `"start":"2026-11-20T09:00:00.123Z"`, `"start":1`},
		"an address that is none":          {alert, `"ip":"203.0.113.7"`, `"ip":"there"`},
		"one of several addresses is none": {alert, `"ip":["203.0.113.7"]`, `"ip":["203.0.113.7","there"]`},
		"a number of an AS that is a text": {alert, `"number":64500`, `"number":"AS64500"`},
		"a score that is a truth":          {alert, `"risk_score":80`, `"risk_score":true`},
		"a name that is a number":          {alert, `"name":"alice@example.com"`, `"name":1`},
		"a text that is an object":         {alert, `"message":"Tenant-wide consent"`, `"message":{"text":"x"}`},
		"an unknown field":                 {alert, `"risk_score":`, `"risk":`},
		"a kind that Kibana keeps":         {alert, `"kind":"alert"`, `"kind":"signals"`},
		"a category that is no list":       {alert, `"category":["intrusion_detection","iam"]`, `"category":"iam"`},
		"a type that one category lacks":   {alert, `"type":["info"]`, `"type":["denied"]`},
		"a category without such a type":   {alert, `"category":["intrusion_detection","iam"]`, `"category":["threat"]`},
		"an outcome of its own":            {forwarded, `"outcome":"success"`, `"outcome":"good"`},
		"a status that is a text":          {forwarded, `"status_code":3`, `"status_code":"3"`},
		"no version of ECS":                {alert, `"ecs":{"version":"9.4.0"}`, `"labels":{}`},
		"no time":                          {alert, `"@timestamp"`, `"event.created"`},
	} {
		spoiled := strings.Replace(tt.document, tt.old, tt.new, 1)
		if wrong, _ := checkECS(schema, []byte(spoiled)); spoiled == tt.document || len(wrong) == 0 {
			t.Errorf("nothing is found of %s", name)
		}
	}
}
