package teams

import (
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// A card fits, and has no element that knows markup.
func FuzzCard(f *testing.F) {
	for _, s := range sinktest.Hostile() {
		f.Add(s, s, s)
	}
	s := &Sink{links: post.NewLinks(nil)}
	f.Fuzz(func(t *testing.T, title, name, id string) {
		a := sinktest.Full()
		a.Title, a.Summary, a.App.Name, a.App.AppID, a.App.ID, a.Upstream.URL, a.Reason = title, name, name, id, id, id, title
		b, err := s.body(&a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(b); err != nil {
			t.Fatal(err)
		}
	})
}
