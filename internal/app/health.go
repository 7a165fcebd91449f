package app

import (
	"io"
	"sort"
	"sync"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// health is what the daemon says about itself: each alarm is a log line and a
// metric where it arises, and here an alert of kind health that is routed like
// any other and resolves. Raise and Resolve never block: frames are appended by
// flush, outside every lock of a caller.
type health struct {
	now func() time.Time

	mu      sync.Mutex
	open    map[string]event.Alert // by key
	pending []event.Alert
	signal  chan struct{}
}

func newHealth(now func() time.Time) *health {
	return &health{now: now, open: map[string]event.Alert{}, signal: make(chan struct{}, 1)}
}

// Raise opens the alarm called key; an open one with the same text stays as it is.
func (h *health) Raise(key string, severity event.Severity, title, summary string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now().UTC()
	a, known := h.open[key]
	if known && a.Summary == summary {
		return
	}
	if known {
		a.Sequence++
		a.State = event.AlertUpdated
	} else {
		a = event.Alert{
			ID: event.NewID("alert", "health", key, now.Format(time.RFC3339Nano)), State: event.AlertNew,
			Kind: event.AlertHealth, RuleID: "health." + ruleOf(key), DedupeKey: key, Opened: now, Provider: "appgovd",
		}
	}
	a.Time, a.Title, a.Summary, a.Severity, a.Count = now, title, summary, severity, a.Count+1
	h.put(key, a)
}

// Resolve closes the alarm called key, if it is open.
func (h *health) Resolve(key, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.open[key]
	if !ok {
		return
	}
	a.Sequence++
	a.State, a.Time, a.Reason = event.AlertResolved, h.now().UTC(), reason
	h.put(key, a)
	delete(h.open, key)
}

func (h *health) put(key string, a event.Alert) {
	a.SetDelivery()
	h.open[key] = a
	h.pending = append(h.pending, a)
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

// ruleOf is the part of a key before the first slash: the kind of alarm.
func ruleOf(key string) string {
	for i := range key {
		if key[i] == '/' {
			return key[:i]
		}
	}
	return key
}

// flush appends what is pending as one frame, outside the lock: the ledger may
// raise an alarm while it appends. One caller at a time.
func (h *health) flush(append func(*event.Frame) error) error {
	h.mu.Lock()
	f := &event.Frame{Kind: event.FrameHealth, Time: h.now().UTC(), Alerts: h.pending}
	h.pending = nil
	h.mu.Unlock()
	if len(f.Alerts) == 0 {
		return nil
	}
	return append(f)
}

// replay takes over a stored frame.
func (h *health) replay(f *event.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range f.Alerts {
		if a.State == event.AlertResolved {
			delete(h.open, a.DedupeKey)
		} else {
			h.open[a.DedupeKey] = a
		}
	}
}

func (h *health) snapshot(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := make([]string, 0, len(h.open))
	for k := range h.open {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	f := event.Frame{}
	for _, k := range keys {
		f.Alerts = append(f.Alerts, h.open[k])
	}
	return writeText(w, event.AppendFrame(nil, &f))
}

func (h *health) restore(r io.Reader) error {
	b, err := readText(r)
	if err != nil {
		return err
	}
	f, err := event.DecodeFrame(b)
	if err != nil {
		return err
	}
	h.replay(f)
	return nil
}

// Open lists the open alarms by key.
func (h *health) Open() []event.Alert {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]event.Alert, 0, len(h.open))
	for _, a := range h.open {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].DedupeKey < out[j].DedupeKey })
	return out
}
