package splunkhec

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
)

func FuzzEvent(f *testing.F)         { sinktest.FuzzAlerts(f, check(f)) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check(t)) }
func TestHostileEvents(t *testing.T) { sinktest.StormOfEvents(t, check(t)) }

// check: one alert is one event, whatever it holds: one document whose fields are those
// that we meant.
func check(t testing.TB) sinktest.Check {
	s, d, b := &Sink{encode: encoder(t)}, sinktest.Document{}, []byte(nil)
	if err := s.envelope(Config{Host: "h", Fields: map[string]string{"site": "hq"}}); err != nil {
		t.Fatal(err)
	}
	return func(a *event.Alert) error {
		b = s.event(b[:0], a)
		if err := d.Read(b); err != nil || d.Invisible {
			return fmt.Errorf("invisible characters %t: %w", d.Invisible, err)
		}
		text := func(path ...string) string { v, _ := d.Text(path...); return v }
		if d.Len() != 6 || text("host") != "h" || text("source") != defaultSource || !strings.HasPrefix(text("sourcetype"), "appgov:") || (text("sourcetype") == "appgov:alert") != (a.Event == nil) || text("fields", "site") != "hq" || text("fields", "delivery_id") != a.DeliveryID.String() || text("fields", "detection_source") != "App Governance" {
			return fmt.Errorf("%d members: %.400s", d.Len(), b)
		}
		if e := a.Event; e != nil {
			return errors.Join(sinktest.Same(text("event", "appgov", "app", "name"), e.App.Name, 8<<10, nil), sinktest.Same(text("fields", "event_id"), a.ID.String(), 32, nil), sinktest.Shown(text("fields", "action"), e.Action, maxField))
		}
		if d.Len("fields") != 7 {
			return fmt.Errorf("%d fields", d.Len("fields"))
		}
		return errors.Join(sinktest.Same(text("event", "appgov", "app", "name"), a.App.Name, 8<<10, nil), sinktest.Same(text("fields", "alert_id"), a.ID.String(), 32, nil), sinktest.Shown(text("fields", "rule_id"), a.RuleID, maxField), sinktest.Same(text("fields", "state"), string(a.State), 16, nil))
	}
}

func encoder(t testing.TB) format.Encoder {
	t.Helper()
	encode, err := format.Named("cim", nil)
	if err != nil {
		t.Fatal(err)
	}
	return encode
}
