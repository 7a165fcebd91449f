package webhook

import (
	"errors"
	"fmt"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

func FuzzTemplate(f *testing.F)      { sinktest.FuzzAlerts(f, check(f)) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check(t)) }

// check: one alert is one document of the template's shape, every text in its string.
func check(t testing.TB) sinktest.Check {
	tmpl, err := parse(`{"a":"{title}","b":["{app_name} by {actor_upn}","{summary}"],"id":"{delivery_id}","n":"{score}","alert":"{alert}","x":"{{title}}","group":"{group}","line":"{group}!"}`)
	if err != nil {
		t.Fatal(err)
	}
	var d sinktest.Document
	var b []byte
	return func(a *event.Alert) error {
		var err error
		if b, err = tmpl.append(b[:0], a); err == nil {
			err = d.Read(b)
		}
		if err != nil || d.Len() != 8 || d.Len("b") != 2 {
			return fmt.Errorf("%d members: %w", d.Len(), err)
		}
		text := func(path ...string) string { v, _ := d.Text(path...); return v }
		errs := []error{
			sinktest.Same(text("a"), a.Title, maxValue, nil), sinktest.Same(text("b", "1"), a.Summary, maxValue, nil), sinktest.Same(text("id"), a.DeliveryID.String(), 32, nil), sinktest.Same(text("alert", "app", "name"), a.App.Name, maxValue, nil),
		}
		if g := a.Group; g != nil {
			errs = append(errs, sinktest.Same(text("group", "labels", "0", "value"), g.Labels[0].Value, maxValue, nil))
		}
		if len(a.Title) <= maxValue {
			errs = append(errs, sinktest.Same(text("x"), "{"+a.Title+"}", maxValue+2, nil), sinktest.Same(text("b", "0"), a.App.Name+" by "+a.Actor.UPN, 3*maxValue, nil))
		}
		return errors.Join(errs...)
	}
}
