package elastic

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzBody(f *testing.F)          { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }
func TestHostileEvents(t *testing.T) { sinktest.StormOfEvents(t, check()) }

// check: one alert is two lines of a bulk request, create with its delivery id and the
// document.
func check() sinktest.Check {
	s, d, b := &Sink{encode: format.ECS("default", time.Now, format.NewLinks(post.DefaultLinks()))}, sinktest.Document{}, make([]byte, 0, 64<<10)
	return func(a *event.Alert) error {
		b = s.body(b[:0], []event.Alert{*a})
		action, document, _ := bytes.Cut(b, []byte("\n"))
		document, ok := bytes.CutSuffix(document, []byte("\n"))
		if want := `{"create":{"_id":"` + a.DeliveryID.String() + `"}}`; string(action) != want || !ok {
			return fmt.Errorf("%.200q", b)
		}
		if err := d.Read(document); err != nil || d.Invisible {
			return fmt.Errorf("invisible characters %t: %w", d.Invisible, err)
		}
		name, _ := d.Text("appgov", "app", "name")
		id, _ := d.Text("event", "id")
		return errors.Join(sinktest.Same(name, a.App.Name, 8<<10, nil), sinktest.Same(id, a.ID.String(), 32, nil))
	}
}
