package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
)

// A template is a JSON document whose strings may hold placeholders: {title}.
// The values of an alert are put into the strings after the document was parsed,
// and the document is encoded again: whatever an alert holds, it never leaves its
// string. There are no conditions, no functions, and no placeholders in names.

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// values by placeholder. A string that is one placeholder and nothing else takes
// the value as it is, a number or a document; within other text it is written out.
func values() map[string]func(*event.Alert) any {
	text := func(get func(*event.Alert) string) func(*event.Alert) any {
		return func(a *event.Alert) any { return get(a) }
	}
	stamp := func(t time.Time) any {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return map[string]func(*event.Alert) any{
		"{title}":                text(func(a *event.Alert) string { return a.Title }),
		"{summary}":              text(func(a *event.Alert) string { return a.Summary }),
		"{severity}":             text(func(a *event.Alert) string { return a.Severity.String() }),
		"{state}":                text(func(a *event.Alert) string { return string(a.State) }),
		"{kind}":                 text(func(a *event.Alert) string { return a.Kind }),
		"{rule_id}":              text(func(a *event.Alert) string { return a.RuleID }),
		"{provider}":             text(func(a *event.Alert) string { return a.Provider }),
		"{tenant}":               text(func(a *event.Alert) string { return a.Tenant }),
		"{app_name}":             text(func(a *event.Alert) string { return a.App.Name }),
		"{app_id}":               text(func(a *event.Alert) string { return a.App.AppID }),
		"{service_principal_id}": text(func(a *event.Alert) string { return a.App.ID }),
		"{object_id}":            text(func(a *event.Alert) string { return a.App.ObjectID }),
		"{actor_name}":           text(func(a *event.Alert) string { return a.Actor.Name }),
		"{actor_upn}":            text(func(a *event.Alert) string { return a.Actor.UPN }),
		"{actor_id}":             text(func(a *event.Alert) string { return a.Actor.ID }),
		"{ip}":                   text(func(a *event.Alert) string { return a.Origin.IP }),
		"{action}":               text(func(a *event.Alert) string { return a.Action }),
		"{reason}":               text(func(a *event.Alert) string { return a.Reason }),
		"{detection_source}":     text(func(*event.Alert) string { return event.DetectionSource }),
		"{alert_id}":             text(func(a *event.Alert) string { return a.ID.String() }),
		"{delivery_id}":          text(func(a *event.Alert) string { return a.DeliveryID.String() }),
		"{score}":                func(a *event.Alert) any { return a.Score },
		"{sequence}":             func(a *event.Alert) any { return a.Sequence },
		"{count}":                func(a *event.Alert) any { return a.Count },
		"{techniques}":           func(a *event.Alert) any { return slices.Clone(a.Techniques) },
		"{time}":                 func(a *event.Alert) any { return stamp(a.Time) },
		"{opened}":               func(a *event.Alert) any { return stamp(a.Opened) },
		"{alert}":                func(a *event.Alert) any { return json.RawMessage(format.AppendJSON(nil, a)) },
		"{group}":                func(a *event.Alert) any { return group{a.Group} },
	}
}

// group is what a notice says of its group: a document by itself, null of any other alert,
// and a line within text.
type group struct{ *event.Group }

// MarshalJSON returns the document.
func (g group) MarshalJSON() ([]byte, error) {
	if g.Group == nil {
		return []byte("null"), nil
	}
	return format.AppendGroup(nil, g.Group), nil
}

func (g group) line() string {
	if g.Group == nil {
		return ""
	}
	return capped(g.Group.String()).(string)
}

// maxValue bounds one value in a string, in bytes.
const maxValue = 8 << 10

// template is a parsed one.
type template struct {
	document any
	values   map[string]func(*event.Alert) any
}

// parse reads a template and refuses placeholders that there are not.
func parse(text string) (*template, error) {
	t := &template{values: values()}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&t.document); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if d.More() {
		return nil, fmt.Errorf("there is more behind the JSON document")
	}
	return t, t.check(t.document, false)
}

func (t *template) check(v any, name bool) error {
	switch v := v.(type) {
	case string:
		for _, p := range placeholder.FindAllString(v, -1) {
			if name {
				return fmt.Errorf("the name %q holds a placeholder", v)
			}
			if t.values[p] == nil {
				return fmt.Errorf("there is no placeholder %s", p)
			}
		}
	case []any:
		for _, x := range v {
			if err := t.check(x, false); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, x := range v {
			if err := t.check(k, true); err != nil {
				return err
			}
			if err := t.check(x, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// append appends the document for a.
func (t *template) append(dst []byte, a *event.Alert) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(t.fill(t.document, a)); err != nil {
		return dst, fmt.Errorf("fill template: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func (t *template) fill(v any, a *event.Alert) any {
	switch v := v.(type) {
	case string:
		if get := t.values[v]; get != nil {
			return capped(get(a))
		}
		return placeholder.ReplaceAllStringFunc(v, func(p string) string {
			switch x := capped(t.values[p](a)).(type) {
			case string:
				return x
			case json.RawMessage:
				return string(x)
			case group:
				return x.line()
			case []string:
				return strings.Join(x, ", ")
			default:
				return fmt.Sprint(x)
			}
		})
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = t.fill(v[i], a)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = t.fill(x, a)
		}
		return out
	}
	return v
}

func capped(v any) any {
	if s, ok := v.(string); ok && len(s) > maxValue {
		return format.Cut(s, maxValue)
	}
	return v
}
