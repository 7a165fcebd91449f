package teams

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/sink/post"
)

func FuzzCard(f *testing.F)          { sinktest.FuzzAlerts(f, check()) }
func TestHostileAlerts(t *testing.T) { sinktest.Storm(t, check()) }

// check: one alert is one card that fits, of elements that know no markup, and links to
// where they should go.
func check() sinktest.Check {
	s, d := &Sink{links: post.NewLinks(nil)}, sinktest.Document{}
	return func(a *event.Alert) error {
		b, err := s.body(a)
		if err == nil {
			err = d.Read(bytes.TrimSuffix(b, []byte("\n")))
		}
		if err != nil || d.Invisible || len(b) > 28_000 || d.Len("attachments") != 1 {
			return fmt.Errorf("invisible characters %t, %d bytes: %w", d.Invisible, len(b), err)
		}
		text := func(path ...string) string {
			v, _ := d.Text(append([]string{"attachments", "0", "content"}, path...)...)
			return v
		}
		delivered := false
		for i := range d.Len("attachments", "0", "content", "body") {
			at := strconv.Itoa(i)
			if text("body", at, "type") != "RichTextBlock" || text("body", at, "inlines", "0", "type") != "TextRun" || text("body", at, "inlines", "0", "text") == "" {
				return fmt.Errorf("block %d is a %s", i, text("body", at, "type"))
			}
			delivered = delivered || text("body", at, "inlines", "1", "text") == a.DeliveryID.String()
		}
		for i := range max(0, d.Len("attachments", "0", "content", "actions")) {
			if u := text("actions", strconv.Itoa(i), "url"); !bytes.HasPrefix([]byte(u), []byte("https://")) {
				return fmt.Errorf("a link to %.80q", u)
			}
		}
		if !delivered {
			err = errors.New("no delivery")
		}
		return errors.Join(err, sinktest.Headline(text("body", "0", "inlines", "0", "text"), a, 256))
	}
}
