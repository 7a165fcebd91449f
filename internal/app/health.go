package app

import (
	"io"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// health is what the daemon says about itself: each alarm is a log line, a
// metric and an alert of kind health that is routed like any other and resolves.
// Raise and Resolve never block: frames are appended by flush, outside every
// lock of a caller.
type health struct {
	now  func() time.Time
	log  *zap.Logger
	size *prometheus.GaugeVec // open alarms by kind

	mu      sync.Mutex
	open    map[string]event.Alert // by key, as told last
	stored  map[string]event.Alert // the same as of the last frame that was appended: what a snapshot holds
	held    map[string]event.Alert // what is to be told of open ones when it is time
	pending []event.Alert
	signal  chan struct{}
}

// How often an open alarm may say something else: that its text differs by more
// than numbers and ids, and that it does not.
const (
	otherText    = 5 * time.Minute
	otherNumbers = time.Hour
)

// newHealth registers its metric at reg, which may be nil like log.
func newHealth(now func() time.Time, log *zap.Logger, reg prometheus.Registerer) *health {
	if log == nil {
		log = zap.NewNop()
	}
	h := &health{now: now, log: log, open: map[string]event.Alert{}, stored: map[string]event.Alert{}, held: map[string]event.Alert{}, signal: make(chan struct{}, 1)}
	h.size = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "appgovd_app_alarms_open", Help: "Open alarms by kind, the first word of their key."}, []string{"alarm"})
	for _, kind := range alarmKinds() {
		h.size.WithLabelValues(kind).Set(0)
	}
	if reg != nil {
		reg.MustRegister(h.size)
	}
	return h
}

// Raise opens the alarm called key. One that is open says the new text at once
// when it is graver, else when otherText or otherNumbers are over.
func (h *health) Raise(key string, severity event.Severity, title, summary string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now().UTC()
	a, known := h.open[key]
	delete(h.held, key)
	if known && a.Summary == summary && a.Severity == severity {
		return
	}
	next := a
	if !known {
		next = event.Alert{
			ID: event.NewID("alert", "health", key, now.Format(time.RFC3339Nano)), State: event.AlertNew,
			Kind: event.AlertHealth, RuleID: "health." + ruleOf(key), DedupeKey: key, Opened: now, Provider: "appgovd",
		}
	}
	next.Title, next.Summary, next.Severity = title, summary, severity
	if known && severity <= a.Severity && now.Sub(a.Time) < patience(a.Summary, summary) {
		h.held[key] = next
		return
	}
	h.tell(key, next, now)
}

// tell makes a the alarm called key and counts it; under the lock.
func (h *health) tell(key string, a event.Alert, now time.Time) {
	if a.Count > 0 {
		a.Sequence++
		a.State = event.AlertUpdated
	}
	a.Time, a.Count = now, a.Count+1
	h.log.Warn("alarm", zap.String("alarm", key), zap.Stringer("severity", a.Severity), zap.String("title", a.Title), zap.String("text", a.Summary))
	h.put(key, a)
}

// Settle tells what was held back and is due.
func (h *health) Settle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now().UTC()
	for _, key := range keys(h.held) {
		if a := h.held[key]; now.Sub(h.open[key].Time) >= patience(h.open[key].Summary, a.Summary) {
			delete(h.held, key)
			h.tell(key, a, now)
		}
	}
}

// patience is how long an alarm that said old keeps to it before it says text.
func patience(old, text string) time.Duration {
	if shape(old) == shape(text) {
		return otherNumbers
	}
	return otherText
}

// shape is a text without what changes from one failure to the next: every word
// with a digit in it, as numbers, times, ports and ids have.
func shape(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' })
	kept := words[:0]
	for _, w := range words {
		if !strings.ContainsFunc(w, unicode.IsDigit) {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
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
	h.log.Info("alarm is over", zap.String("alarm", key), zap.String("reason", reason))
	h.put(key, a)
	delete(h.open, key)
	delete(h.held, key)
	h.count()
}

// since is when the open alarm called key was told last; ok is false when it is
// not open.
func (h *health) since(key string) (at time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.open[key]
	return a.Time, ok
}

// count sets the metric, under the lock.
func (h *health) count() {
	n := map[string]int{}
	for _, kind := range alarmKinds() {
		n[kind] = 0
	}
	for key := range h.open {
		n[ruleOf(key)]++
	}
	for kind, n := range n {
		h.size.WithLabelValues(kind).Set(float64(n))
	}
}

func (h *health) put(key string, a event.Alert) {
	a.SetDelivery()
	h.open[key] = a
	h.pending = append(h.pending, a)
	h.count()
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
	h.appended(f)
	h.mu.Lock()
	defer h.mu.Unlock()
	follow(h.open, f)
	h.count()
}

// appended notes that f is in the ledger, before a snapshot can be taken: an
// alarm that a snapshot calls open must have been told.
func (h *health) appended(f *event.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	follow(h.stored, f)
}

func follow(alarms map[string]event.Alert, f *event.Frame) {
	for _, a := range f.Alerts {
		if a.State == event.AlertResolved {
			delete(alarms, a.DedupeKey)
		} else {
			alarms[a.DedupeKey] = a
		}
	}
}

func (h *health) snapshot(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := event.Frame{}
	for _, k := range keys(h.stored) {
		f.Alerts = append(f.Alerts, h.stored[k])
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
