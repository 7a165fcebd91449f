package pagerduty

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzEvent(f *testing.F)         { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }
func shown(d *sinktest.Document, text string, most int, path ...string) error {
	got, _ := d.Text(path...)
	if err := sinktest.Shown(got, text, most); err != nil {
		return fmt.Errorf("%v: %w", path, err)
	}
	return nil
}

// begins holds name to being text, or as much of it as there was room for.
func begins(name, text string) error {
	err := sinktest.Same(name, text, 8<<10, nil)
	for most := 2 << 10; err != nil && most >= 64; most /= 4 {
		err = sinktest.Same(name, text, most, nil)
	}
	return err
}

// check: one alert is one event within the limits of the API, the incident is the alert's,
// and the key stands in its place alone.
func check() sinktest.Check {
	s, d := &Sink{links: post.NewLinks(nil)}, sinktest.Document{}
	return func(a *event.Alert) error {
		b, err := s.event(a, key)
		if err == nil {
			err = d.Read(b)
		}
		if err != nil {
			return err
		}
		action, _ := d.Text("event_action")
		dedup, _ := d.Text("dedup_key")
		routing, _ := d.Text("routing_key")
		if d.Invisible || len(b) > maxEvent || dedup != a.ID.String() || routing != key || bytes.Count(b, []byte(key)) != 1 || (action == "resolve") != (a.State == event.AlertResolved) {
			return fmt.Errorf("invisible characters %t, %d bytes, %s %s", d.Invisible, len(b), action, dedup)
		}
		if action == "resolve" {
			return nil
		}
		summary, _ := d.Text("payload", "summary")
		source, _ := d.Text("payload", "source")
		name, _ := d.Text("payload", "custom_details", "app", "name")
		delivery, _ := d.Text("payload", "custom_details", "delivery_id")
		if source == "" || delivery != a.DeliveryID.String() || d.Len("links") > 3 {
			return fmt.Errorf("source %q, delivery %s", source, delivery)
		}
		return errors.Join(sinktest.Headline(summary, a, maxSummary), begins(name, a.App.Name), shown(&d, a.App.Key(), maxField, "payload", "component"), shown(&d, a.Tenant, maxField, "payload", "group"), shown(&d, a.RuleID, maxField, "payload", "class"))
	}
}
