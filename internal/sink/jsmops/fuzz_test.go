package jsmops

import (
	"errors"
	"fmt"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzAlert(f *testing.F)         { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }

// check: one alert is one document within the limits of the API.
func check() sinktest.Check {
	s, d := &Sink{links: post.NewLinks(nil), tags: []string{"hq"}}, sinktest.Document{}
	return func(a *event.Alert) error {
		b, err := s.body(a)
		if err == nil {
			err = d.Read(b)
		}
		if err != nil || d.Invisible {
			return fmt.Errorf("invisible characters %t: %w", d.Invisible, err)
		}
		text := func(path ...string) string { v, _ := d.Text(path...); return v }
		if a.State == event.AlertResolved {
			return errors.Join(sinktest.Same(text("source"), "appgovd", 7, nil), sinktest.Shown(text("note"), "resolved: "+a.Reason, maxNote))
		}
		details := 0
		d.Each(func(name, value string) { details += len(name) + len(value) }, "details")
		if details > maxDetails || text("details", "Alert") != a.ID.String() && details < maxDetails/2 || text("alias") != a.ID.String() || d.Len("tags") != 4 {
			return fmt.Errorf("%d bytes of details, alias %q", details, text("alias"))
		}
		app := a.App.Name
		if app == "" || a.App.Key() != "" && a.App.Key() != app {
			app += "(" + a.App.Key() + ")"
		}
		if a.App.Name == "" {
			app = a.App.Key()
		}
		return errors.Join(sinktest.Headline(text("message"), a, maxMessage), sinktest.Shown(text("description"), a.Summary, maxDescription), sinktest.Shown(text("entity"), a.App.Key(), maxField), sinktest.Shown(text("details", "App"), app, maxField/2))
	}
}
