package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/appgovd/appgovd/internal/event"
)

// A frame above the limit is written as several, in one group: all but the last
// say that another part follows, and only the last holds the mark, so that a
// source is never ahead of its records. Parts without their last one count as
// torn.

// pack encodes f, whose number and alert base are set, in as many parts as it
// takes. Called with the lock held.
func (l *Ledger) pack(f *event.Frame) (group []*pendingFrame, err error) {
	b, h, err := l.codec.encode(f, 0, l.sum)
	if err == nil {
		return []*pendingFrame{newPending(b, h)}, nil
	}
	parts, err := l.split(f, err)
	if err != nil {
		return nil, err
	}
	lsn, alerts, sum := f.LSN, f.AlertBase, l.sum
	for i, part := range parts {
		var flags uint8
		if i > 0 {
			flags |= flagPart
		}
		if i+1 < len(parts) {
			flags |= flagMore
		}
		part.LSN, part.AlertBase = lsn, alerts
		if b, h, err = l.codec.encode(part, flags, sum); err != nil {
			return nil, err
		}
		group = append(group, newPending(b, h))
		lsn, alerts, sum = lsn+1, group[i].alerts, h.sum
	}
	return group, nil
}

func newPending(b []byte, h header) *pendingFrame {
	return &pendingFrame{lsn: h.lsn, sum: h.sum, bytes: b, alerts: h.alertBase + uint64(h.alerts), done: make(chan struct{})}
}

// split halves f until every part is within the limit; cause is why it must.
func (l *Ledger) split(f *event.Frame, cause error) ([]*event.Frame, error) {
	var large *tooLargeError
	if !errors.As(cause, &large) {
		return nil, cause
	}
	first, rest := halve(f)
	if first == nil {
		return nil, cause
	}
	var out []*event.Frame
	for _, half := range []*event.Frame{first, rest} {
		_, _, err := l.codec.encode(half, 0, 0)
		parts := []*event.Frame{half}
		if err != nil {
			if parts, err = l.split(half, err); err != nil {
				return nil, err
			}
		}
		out = append(out, parts...)
	}
	return out, nil
}

// halve gives the first half of the records, objects, alerts and roll-ups of f to a frame
// without a mark, and the rest to one with all else; nil when there is but one.
func halve(f *event.Frame) (first, rest *event.Frame) {
	n := len(f.Events) + len(f.Objects) + len(f.Alerts) + len(f.Rollups)
	if n < 2 {
		return nil, nil
	}
	left := n / 2
	first = &event.Frame{Kind: f.Kind, Time: f.Time, Source: f.Source}
	whole := *f
	rest = &whole
	first.Events, rest.Events, left = cutAt(f.Events, left)
	first.Objects, rest.Objects, left = cutAt(f.Objects, left)
	first.Alerts, rest.Alerts, left = cutAt(f.Alerts, left)
	first.Rollups, rest.Rollups, _ = cutAt(f.Rollups, left)
	return first, rest
}

// cutAt cuts list behind n elements; left is how many there were too few.
func cutAt[T any](list []T, n int) (first, rest []T, left int) {
	at := min(n, len(list))
	return list[:at:at], list[at:], n - at
}

const quarantineRaw = 64 << 10

// Fit moves records that alone are above the limit of a frame to the quarantine,
// with the reason "too_large" and their first 64 KiB at most. It is to be called before
// the frame is detected: what detection has seen must be kept.
func (l *Ledger) Fit(f *event.Frame) {
	room := l.o.MaxFrame / 4 // beside the record there is the frame, and what is derived from it
	large := func(e event.Event) bool {
		return len(e.Raw) > room/4 && len(event.AppendFrame(nil, &event.Frame{Events: []event.Event{e}})) > room
	}
	if !slices.ContainsFunc(f.Events, large) {
		return
	}
	kept := make([]event.Event, 0, len(f.Events))
	for _, e := range f.Events {
		if !large(e) {
			kept = append(kept, e)
			continue
		}
		f.Quarantined = append(f.Quarantined, event.Quarantine{
			Source: f.Source, Reason: "too_large",
			Detail: fmt.Sprintf("record %s has %d bytes, at most %d can be kept", e.UpstreamID, len(e.Raw), room),
			Raw:    e.Raw[:min(len(e.Raw), quarantineRaw, room)],
		})
	}
	f.Events = kept
}
