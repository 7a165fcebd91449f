package slack

import (
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// A message keeps Slack's limits and has markup only where nothing of an alert is.
func FuzzMessage(f *testing.F) {
	for _, s := range sinktest.Hostile() {
		f.Add(s, s, s)
	}
	s := &Sink{links: post.NewLinks(nil)}
	f.Fuzz(func(t *testing.T, title, name, id string) {
		a := sinktest.Full()
		a.Title, a.Summary, a.App.Name, a.App.AppID, a.App.ID, a.Upstream.URL, a.Reason = title, name, name, id, id, id, title
		if err := valid(s.message(&a)); err != nil {
			t.Fatal(err)
		}
	})
}
