package alertmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzAlert(f *testing.F)         { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }

// check: one alert is one, and once it is not new any more the ends of what it may have
// been; labels and annotations are bounded lines.
func check() sinktest.Check {
	s, d := &Sink{links: post.NewLinks(nil), fires: time.Hour, now: func() time.Time { return time.Unix(1_800_000_000, 0) }}, sinktest.Document{}
	return func(a *event.Alert) error {
		b, err := json.Marshal(s.life(a))
		if err == nil {
			err = d.Read(b)
		}
		n := 1
		if a.State != event.AlertNew {
			n = 5
		}
		if err != nil || d.Invisible || d.Len() != n {
			return fmt.Errorf("invisible characters %t, %d alerts: %w", d.Invisible, d.Len(), err)
		}
		for i := range n {
			at := strconv.Itoa(i)
			bounded := func(most int) func(name, value string) {
				return func(name, value string) {
					if len(value) > most || name == "" {
						err = fmt.Errorf("%s has %d bytes", name, len(value))
					}
				}
			}
			d.Each(bounded(maxLabel), at, "labels")
			d.Each(bounded(maxAnnotation), at, "annotations")
			id, _ := d.Text(at, "labels", "alert_id")
			name, _ := d.Text(at, "labels", "alertname")
			if err != nil || id != a.ID.String() || name == "" {
				return fmt.Errorf("alert_id %q, alertname %q: %w", id, name, err)
			}
		}
		last := strconv.Itoa(n - 1)
		summary, _ := d.Text(last, "annotations", "summary")
		description, _ := d.Text(last, "annotations", "description")
		err = errors.Join(sinktest.Headline(summary, a, maxAnnotation), sinktest.Shown(description, a.Summary, maxAnnotation))
		if a.Group == nil {
			tenant, _ := d.Text(last, "labels", "tenant")
			err = errors.Join(err, sinktest.Shown(tenant, a.Tenant, maxLabel))
		}
		return err
	}
}
