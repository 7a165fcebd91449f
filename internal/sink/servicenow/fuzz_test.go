package servicenow

import (
	"errors"
	"fmt"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzRecord(f *testing.F)        { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }

// check: one alert is one record within the limits of its fields, and its additional_info
// one document.
func check() sinktest.Check {
	s, d, info := &Sink{links: post.NewLinks(nil)}, sinktest.Document{}, sinktest.Document{}
	return func(a *event.Alert) error {
		b, err := s.body([]event.Alert{*a})
		if err == nil {
			err = d.Read(b)
		}
		if err != nil || d.Len("records") != 1 {
			return fmt.Errorf("%d records: %w", d.Len("records"), err)
		}
		text := func(name string) string { v, _ := d.Text("records", "0", name); return v }
		additional := text("additional_info")
		if err := info.Read([]byte(additional)); err != nil {
			return fmt.Errorf("additional_info: %w", err)
		}
		if d.Invisible || info.Invisible || len(additional) > maxInfo || text("message_key") != a.ID.String() || text("node") == "" {
			return fmt.Errorf("invisible characters %t, %t, %d bytes of additional_info, message_key %q", d.Invisible, info.Invisible, len(additional), text("message_key"))
		}
		delivery, _ := info.Text("delivery_id")
		description := text("description")
		if len(description) > maxDescription || delivery != a.DeliveryID.String() {
			return fmt.Errorf("description of %d bytes, delivery %q", len(description), delivery)
		}
		return errors.Join(sinktest.Shown(text("resource"), a.App.Key(), maxField), sinktest.Shown(text("metric_name"), a.RuleID, maxField), sinktest.Shown(text("type"), a.Kind, maxField))
	}
}
