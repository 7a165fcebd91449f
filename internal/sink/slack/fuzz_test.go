package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzMessage(f *testing.F)       { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }

// check: one alert is one message that keeps Slack's limits and has markup only where
// nothing of an alert is.
func check() sinktest.Check {
	s, d := &Sink{links: post.NewLinks(nil)}, sinktest.Document{}
	return func(a *event.Alert) error {
		m := s.message(a)
		if err := valid(m); err != nil {
			return err
		}
		b, err := json.Marshal(m)
		if err == nil {
			err = d.Read(b)
		}
		if err != nil || d.Invisible {
			return fmt.Errorf("invisible characters %t: %w", d.Invisible, err)
		}
		header, _ := d.Text("blocks", "0", "text", "text")
		found := false
		for _, block := range m.Blocks {
			for _, f := range block.Fields {
				found = found || f.Text == "Delivery: "+a.DeliveryID.String()
			}
		}
		if !found {
			err = errors.New("no delivery")
		}
		return errors.Join(err, sinktest.Headline(header, a, maxHeader))
	}
}
