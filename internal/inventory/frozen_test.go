package inventory

import (
	"bytes"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// What is frozen stays as it was while every part of the model changes.
func TestFrozenStaysAsItWas(t *testing.T) {
	m := load(60, 3*grantPage)
	at := start().Add(time.Hour)
	state := func() []byte {
		var b bytes.Buffer
		if err := m.Snapshot(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	change := func(turn int) {
		sync := &event.Sync{Scope: event.ObjectDelegatedGrant, Kind: event.ObjectDelegatedGrant}
		o := principal(guid(1, turn), guid(2, turn), "Another name")
		o.App.Has |= event.HasReplyURLs | event.HasKeys
		o.App.ReplyURLs = []string{"https://elsewhere.example.com"}
		removed := event.Object{Kind: event.ObjectDelegatedGrant, ID: idOf(turn), Removed: "deleted"}
		changed := consent(idOf(2*grantPage+turn), guid(1, (2*grantPage+turn)%60), guid(4, 1), "Mail.Send")
		made := consent("new"+idOf(turn), guid(1, turn), guid(4, turn), "Directory.Read.All")
		m.Apply([]event.Object{o, removed, changed, made}, sync, at.Add(time.Duration(turn)*time.Minute))
		m.Observe(&event.Event{Class: event.ClassSignIn, Time: at.Add(time.Duration(turn) * time.Minute), App: event.App{AppID: guid(2, turn)}})
		m.AuditGap(at.Add(time.Duration(turn) * time.Second))
		m.CollectedThrough("signins_interactive", at.Add(time.Duration(turn)*time.Minute))
	}
	for turn := 1; turn < 6; turn++ {
		want, frozen := state(), m.Freeze()
		change(turn)
		if bytes.Equal(want, state()) {
			t.Fatal("nothing has changed")
		}
		var got bytes.Buffer
		if err := frozen.Write(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("turn %d: what was frozen has changed: %v", turn, err)
		}
	}
}
