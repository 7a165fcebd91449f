package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// telling is a frame with events, numbered as n.0, n.1 and so on.
func telling(n, events int) *event.Frame {
	f := &event.Frame{Kind: event.FramePage, Source: "s", Mark: []byte("m")}
	for i := range events {
		f.Events = append(f.Events, event.Event{UpstreamID: fmt.Sprintf("%d.%d", n, i), Raw: noise(200)})
	}
	return f
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func eventsOf(t *testing.T, l *Ledger) *EventReader {
	t.Helper()
	r, err := l.EventReader("kafka/events")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hear takes a batch and settles it, if it is told to.
func hear(t *testing.T, r *EventReader, limit int, settle bool) (ids []string) {
	t.Helper()
	events, pos, err := r.Next(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		ids = append(ids, e.UpstreamID)
	}
	if settle {
		if err := r.Ack(pos, event.Settled{Accepted: uint64(len(ids))}); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func TestEventsAreReadOnceEachAndWhatWasNotSettledAgain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	put(t, l, telling(0, 2)) // before the reader began
	r := eventsOf(t, l)
	put(t, l, telling(1, 3), &event.Frame{Kind: event.FrameTick}, telling(2, 0), telling(3, 2))
	again := func() {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir, Options{})
		r = eventsOf(t, l)
	}
	for _, step := range []struct {
		want   []string
		settle bool
	}{{[]string{"1.0", "1.1"}, true}, {[]string{"1.2", "3.0"}, false}, {[]string{"1.2", "3.0"}, true}, {[]string{"3.1"}, false}, {[]string{"3.1"}, true}} {
		if got := hear(t, r, 2, step.settle); !slices.Equal(got, step.want) {
			t.Errorf("got %v, want %v", got, step.want)
		}
		again()
	}
	if s := l.Stats().Readers["kafka/events"]; s.Accepted != 5 || s.Missing != 0 || s.Frames != 0 {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Next(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing is left, got %v", err)
	}
}

func TestAFrameThatIsRottenIsMissingAndTheNextOnesAreRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	eventsOf(t, l)
	put(t, l, telling(1, 2), telling(2, 2), telling(3, 2))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/segments/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	l = open(t, dir, Options{})
	r := eventsOf(t, l)
	if got := hear(t, r, 2, true); !slices.Equal(got, []string{"1.0", "1.1"}) {
		t.Fatal(got)
	}
	var at int64
	for _, s := range l.segments {
		for off := int64(0); off < s.synced; {
			h, err := s.header(off)
			if err != nil {
				t.Fatal(err)
			}
			if h.magic == frameMagic && h.lsn == 2 {
				at = off + headerBytes
			}
			off += headerBytes + int64(h.length)
		}
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("rot"), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, r, 10, true); !slices.Equal(got, []string{"3.0", "3.1"}) {
		t.Errorf("got %v", got)
	}
	if s := l.Stats().Readers["kafka/events"]; s.Missing != 1 || s.Accepted != 4 {
		t.Errorf("%+v", s)
	}
}

func TestADamagedCursorOfEventsBeginsWithTheOldestFrame(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	put(t, l, telling(1, 1))
	r := eventsOf(t, l)
	put(t, l, telling(2, 1))
	if got := hear(t, r, 10, true); !slices.Equal(got, []string{"2.0"}) {
		t.Fatal(got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/forwards/kafka.events.cur", bytes.Repeat([]byte{7}, 2*slotBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	var alarms []string
	l = open(t, dir, Options{OnAlarm: func(a Alarm) { alarms = append(alarms, a.Key) }})
	r = eventsOf(t, l)
	if got := hear(t, r, 1, true); !slices.Equal(got, []string{"1.0"}) || !slices.Contains(alarms, "ledger_damage/cursor-kafka-events") {
		t.Errorf("got %v, alarms %v", got, alarms)
	}
}

// A sink of events that is away holds frames back until half of the room is used, and a
// tenant that tells nothing holds nothing.
func TestEventsHoldFramesBackWhileThereIsRoom(t *testing.T) {
	for _, c := range []struct {
		name        string
		most        int64
		events      int
		first, lost bool
	}{
		{"room", 1 << 30, 3, true, false},
		{"no room", 20_000, 3, false, true},
		{"no events", 1 << 30, 0, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := open(t, t.TempDir(), Options{SegmentBytes: 4096, MaxBytes: c.most, History: time.Nanosecond})
			r := eventsOf(t, l)
			if c.events == 0 {
				put(t, l, telling(0, 1))
				hear(t, r, 1, true)
			}
			for i := range 3 * maxPassed / (1 + 20*c.events) {
				if _, err := l.Append(telling(i, c.events)); err != nil {
					t.Fatal(err)
				}
				if i%20 == 0 {
					if err := l.Snapshot(l.Head(), func(w io.Writer) error { _, err := w.Write([]byte("state")); return err }); err != nil {
						t.Fatal(err)
					}
				}
				if c.events == 0 && i%100 == 99 { // a worker that waits
					ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
					_, _, err := r.Next(ctx, 1)
					cancel()
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatal(err)
					}
				}
			}
			if first := l.First() == 1; first != c.first {
				t.Errorf("the first frame is %d of %d", l.First(), l.Head())
			}
			if c.events == 0 {
				return
			}
			got := hear(t, r, 3, true)
			if whole := slices.Equal(got, []string{"0.0", "0.1", "0.2"}); whole == c.lost {
				t.Errorf("got %v", got)
			}
			if s := l.Stats().Readers["kafka/events"]; (s.Missing > 0) != c.lost {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestAReaderOfEventsIsSentBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{History: time.Hour})
	r := eventsOf(t, l)
	for n := range 4 {
		put(t, l, telling(n, 3))
	}
	for _, limit := range []int{3, 3, 2} {
		hear(t, r, limit, true)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := inspect(t, dir, true)
	if len(report.Problems) != 0 || len(report.Cursors) != 0 || len(report.Forwards) != 1 {
		t.Fatalf("report %+v", report)
	}
	if x := report.Forwards[0]; x.Name != "kafka/events" || x.Accepted != 8 || x.LSN != 3 || x.Frames != 2 {
		t.Errorf("reader %+v", x)
	}
	for _, apply := range []bool{false, true} {
		got, err := RewindEvents(dir, "kafka/events", Target{LSN: 2}, apply, Options{})
		if want := (Rewound{Reader: "kafka/events", From: 3, To: 2, Events: 5}); err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	}
	for _, tt := range []struct {
		name string
		to   Target
		want string
	}{
		{"kafka/events", Target{LSN: 3}, "frame 3 is ahead of frame 2, where it is: nothing is skipped"},
		{"kafka/events", Target{LSN: 99}, "no frame is that late; the last one is 4"},
		{"kafka/soc", Target{LSN: 1}, `"kafka/soc" has no cursor that can be read; there are: of alerts none, of events kafka/events`},
	} {
		if _, err := RewindEvents(dir, tt.name, tt.to, true, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %+v: %v, want %s", tt.name, tt.to, err, tt.want)
		}
	}
	l = open(t, dir, Options{History: time.Hour})
	r = eventsOf(t, l)
	if got := hear(t, r, 3, true); !slices.Equal(got, []string{"1.0", "1.1", "1.2"}) {
		t.Errorf("events %v after the rewind", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, eventCursors, "kafka.events.cur")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if p := inspect(t, dir, false).Problems; len(p) != 1 || p[0].Where != "forwards/kafka.events.cur" || p[0].What != "both slots are damaged" {
		t.Errorf("problems %+v", p)
	}
}

// What is handed out and held until a batch is full is not settled by frames without events
// that are passed over meanwhile.
func TestWhatIsHeldIsNotSettledByWhatIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	r := eventsOf(t, l)
	put(t, l, telling(1, 1))
	if got := hear(t, r, 10, false); !slices.Equal(got, []string{"1.0"}) {
		t.Fatal(got)
	}
	for i := range 2 * maxPassed {
		if _, err := l.Append(telling(2+i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, l, telling(0, 0))
	for range 3 { // a worker that waits for more
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, _, err := r.Next(ctx, 1)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events, _, err := eventsOf(t, open(t, dir, Options{})).Next(ctx, 10)
	if err != nil || len(events) != 1 || events[0].UpstreamID != "1.0" {
		t.Errorf("%v, %v", events, err)
	}
}
