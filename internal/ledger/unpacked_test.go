package ledger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

// Frames that are read packed are those that are read decoded, however many readers
// use the same room one after the other and at a time.
func TestPackedFramesAreTheFrames(t *testing.T) {
	l := open(t, t.TempDir(), Options{MaxFrame: 3000})
	for n := range 60 {
		f := frame(n, n%4)
		if n%20 == 7 { // in parts
			for i := range 30 {
				f.Events = append(f.Events, event.Event{Tenant: "t", Class: event.ClassSignIn, UpstreamID: fmt.Sprint(n, i), Raw: bytes.Repeat([]byte{byte(i)}, 300)})
			}
		}
		put(t, l, f)
	}
	var want [][]byte
	if err := l.Frames(1, func(f *event.Frame) error {
		want = append(want, fmt.Appendf(event.AppendFrame(nil, f), "%d %d", f.LSN, f.AlertBase))
		return nil
	}); err != nil || len(want) != 60 {
		t.Fatalf("%d frames, %v", len(want), err)
	}
	failed := make(chan error)
	for range 4 {
		go func() { failed <- samePacked(l, want) }()
	}
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func samePacked(l *Ledger, want [][]byte) error {
	n := 0
	err := l.Packed(1, func(p *event.Packed) error {
		f := p.Head
		var e event.Brief
		for i := range p.Events() {
			f.Events = append(f.Events, event.Event{})
			if err := p.Event(i, &f.Events[i]); err != nil {
				return err
			}
			if err := p.Brief(i, &e); err != nil || e.Tenant != f.Events[i].Tenant || e.Class != f.Events[i].Class {
				return fmt.Errorf("frame %d, event %d: %+v, %w", f.LSN, i, e, err)
			}
		}
		var err error
		f.Alerts, err = p.AlertsIn(0, p.Alerts())
		if got := fmt.Appendf(event.AppendFrame(nil, &f), "%d %d", f.LSN, f.AlertBase); err != nil || n >= len(want) || !bytes.Equal(got, want[n]) {
			return fmt.Errorf("frame %d differs: %w", f.LSN, err)
		}
		n++
		return nil
	})
	if err == nil && n != len(want) {
		err = fmt.Errorf("%d frames, want %d", n, len(want))
	}
	return err
}

// A payload whose checksum is right and whose alert does not decode is rotten: it is
// told and left out, wherever frames are decoded, and its neighbours are there.
func TestARecordThatDoesNotDecodeMakesItsFrameRotten(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	put(t, l, frame(1, 2), frame(2, 2), frame(3, 2))
	seed := l.codec.seed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(dir, "segments", segmentName(1)), seed, "2.1")

	l = open(t, dir, Options{})
	r, err := l.Reader("x", ReaderOptions{FromStart: true})
	if err != nil {
		t.Fatal(err)
	}
	got := append(take(t, r, 10), take(t, r, 10)...)
	if want := []string{"1.0", "1.1", "3.0", "3.1"}; !slices.Equal(got, want) {
		t.Errorf("alerts %v, want %v", got, want)
	}
	if ids, err := recovered(l); err != nil || !slices.Equal(ids, []string{"1", "3"}) {
		t.Errorf("frames %v, %v", ids, err)
	}
}

// spoil makes the alert of that title undecodable, under right checksums.
func spoil(t *testing.T, name string, seed uint32, title string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte(title))
	for off := 0; at >= 0; {
		h, err := parseHeader(b[off:], format{version, seed})
		if err != nil {
			t.Fatal(err)
		}
		if end := off + headerBytes + int(h.length); at < end {
			b[at-1] = 0x7f // the length of the title
			h.payload = castagnoli(b[off+headerBytes : end])
			copy(b[off:], h.append(nil, seed))
			break
		} else {
			off = end
		}
	}
	if err := os.WriteFile(name, b, 0o600); at < 0 || err != nil {
		t.Fatalf("%s is not there: %v", title, err)
	}
}
