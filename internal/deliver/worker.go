package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// Options of a Worker. Match, Log, Metrics, Now and OnState may be nil.
type Options struct {
	Name        string
	Sink        Sink
	Reader      Reader
	DeadLetters DeadLetters
	Match       func(*event.Alert) bool // routed to this sink; nil = all; not asked where there is a Board
	Board       Board                   // of a sink that tells people; nil = every alert is handed on by itself
	Batch       Batch
	Log         *zap.Logger
	Metrics     *Metrics
	Now         func() time.Time
	OnState     func(Status) // called at every failure and whenever the sink took a batch; must not block
}

// State of a sink.
type State string

// States of a sink.
const (
	StateHealthy  State = "healthy"
	StateRetrying State = "retrying"
	StatePaused   State = "paused" // a human must act; tried again slowly
)

// Status is what an operator sees of a sink.
type Status struct {
	Sink     string    `json:"sink"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"`
	Attempts int       `json:"attempts,omitempty"`
	Error    string    `json:"error,omitempty"`
	Hint     string    `json:"hint,omitempty"`
	Oldest   time.Time `json:"waiting_since,omitzero"` // when the batch in flight was taken from the ledger
	Notices  Notices   `json:"notices,omitzero"`
}

// Notices is what became of notices about groups since the start.
type Notices struct {
	Delivered  uint64 `json:"delivered"`
	DeadLetter uint64 `json:"dead_letter"`
}

// Worker takes alerts from the ledger to one sink, one batch in flight.
type Worker struct {
	o      Options
	flight chan struct{} // held by who writes to the sink
	hurry  chan struct{} // closed by rush: nothing waits for a batch to be filled any more
	rush   func()

	owed owed   // of the goroutine of Run
	room []byte // of it, for what is measured

	mu      sync.Mutex
	status  Status
	notices Notices
}

// owed is what is settled and not acknowledged yet.
type owed struct {
	pos   event.Position
	n     event.Settled
	since time.Time // when the first of it was settled; zero = nothing is owed
}

// ackEvery is how long what is settled may wait for its acknowledgement while there is
// more to do: each costs a sync of the disk. Whatever is owed when the process dies goes
// out again, with equal ids.
const ackEvery = 200 * time.Millisecond

// New starts nothing.
func New(o Options) *Worker {
	if o.Match == nil {
		o.Match = func(*event.Alert) bool { return true }
	}
	if o.Batch.Events == 0 {
		o.Batch.Events = 500
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnState == nil {
		o.OnState = func(Status) {}
	}
	o.Metrics.state(o.Name, StateHealthy)
	hurry := make(chan struct{})
	return &Worker{o: o, flight: make(chan struct{}, 1), hurry: hurry, rush: sync.OnceFunc(func() { close(hurry) }), status: Status{Sink: o.Name, State: StateHealthy, Since: o.Now()}}
}

// Status returns a copy.
func (w *Worker) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.status
	s.Notices = w.notices
	return s
}

// Run delivers until ctx ends (nil) or the ledger fails. It never gives up on a
// batch by time alone.
func (w *Worker) Run(ctx context.Context) error {
	for {
		batch, pos, err := w.next(ctx)
		if err == nil {
			batch, pos, err = w.fill(ctx, batch, pos)
		}
		if err != nil {
			err = fmt.Errorf("read alerts for %s: %w", w.o.Name, err)
		} else {
			err = w.deliver(ctx, batch, pos)
		}
		switch {
		case ctx.Err() != nil:
			return w.last()
		case err != nil:
			return err
		}
	}
}

// last acknowledges what is owed when the worker ends. Where the disk has no room for
// it, it goes out again after the next start.
func (w *Worker) last() error {
	if w.owed.since.IsZero() {
		return nil
	}
	if err := w.o.Reader.Ack(w.owed.pos, w.owed.n); !full(err) {
		return err
	}
	return nil
}

// owe notes that a batch is settled.
func (w *Worker) owe(pos event.Position, n event.Settled) {
	o := &w.owed
	if o.since.IsZero() {
		o.since = time.Now()
	}
	o.pos = pos
	o.n.Accepted, o.n.DeadLetter, o.n.Skipped, o.n.Grouped = o.n.Accepted+n.Accepted, o.n.DeadLetter+n.DeadLetter, o.n.Skipped+n.Skipped, o.n.Grouped+n.Grouped
	o.n.Notify = max(o.n.Notify, n.Notify)
}

// pay acknowledges what is owed.
func (w *Worker) pay(ctx context.Context) error {
	if w.owed.since.IsZero() {
		return nil
	}
	err := w.insist(ctx, func() error { return w.o.Reader.Ack(w.owed.pos, w.owed.n) })
	if err == nil {
		w.owed = owed{}
	}
	return err
}

// deliver settles one batch, and acknowledges it with those before unless there is more
// to do at once.
func (w *Worker) deliver(ctx context.Context, batch []event.Alert, pos event.Position) error {
	w.waitsSince(w.o.Now())
	defer w.waitsSince(time.Time{})
	items, skipped, join := w.route(batch, pos)
	n, err := w.settleParts(ctx, items, pos)
	if err != nil {
		return err
	}
	n.Skipped = skipped
	if join != nil {
		of := n
		if err := w.insist(ctx, func() (err error) { n, err = join(of); return err }); err != nil {
			return fmt.Errorf("group alerts for %s: %w", w.o.Name, err)
		}
	}
	w.o.Metrics.count(w.o.Name, n)
	w.owe(pos, n)
	if w.o.Board == nil && time.Since(w.owed.since) < ackEvery && w.o.Reader.More() {
		return nil
	}
	return w.pay(ctx)
}

// notify settles the notices that are due. It reports whether there was anything to do.
func (w *Worker) notify(ctx context.Context) (bool, error) {
	notices, sent := w.o.Board.Due()
	if sent == nil {
		return false, nil
	}
	w.waitsSince(w.o.Now())
	defer w.waitsSince(time.Time{})
	n, err := w.settle(ctx, notices, event.Position{})
	if err != nil {
		return true, err
	}
	w.o.Metrics.told(w.o.Name, n)
	w.mu.Lock()
	w.notices.Delivered, w.notices.DeadLetter = w.notices.Delivered+n.Accepted, w.notices.DeadLetter+n.DeadLetter
	w.mu.Unlock()
	if err := w.insist(ctx, sent); err != nil {
		return true, fmt.Errorf("note notices of %s: %w", w.o.Name, err)
	}
	return true, nil
}

func (w *Worker) waitsSince(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Oldest = t
}

// next waits for alerts, and does meanwhile what is due: notices, and a connection that
// broke, which is mended at once where alerts may have been lost with it, since the next
// one may be hours away.
func (w *Worker) next(ctx context.Context) ([]event.Alert, event.Position, error) {
	idle := false // nothing was due the last time, though it seemed so
	for {
		waiting, stop := w.waiting(ctx, idle)
		batch, pos, err := w.o.Reader.Next(waiting, w.o.Batch.Events)
		why := context.Cause(waiting)
		stop()
		switch {
		case err == nil:
			return batch, pos, nil
		case errors.Is(why, errLost):
			err = w.resend(ctx)
		case errors.Is(why, errDue):
			var busy bool
			busy, err = w.notify(ctx)
			idle = !busy
		case errors.Is(why, errOwed):
			err = w.pay(ctx)
		case errors.Is(why, errChanged):
			err = nil
		}
		if err != nil {
			return nil, event.Position{}, err
		}
	}
}

// waiting ends when there is something to do but alerts.
func (w *Worker) waiting(ctx context.Context, idle bool) (context.Context, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	done := func() { stop(nil) }
	if sink, ok := w.o.Sink.(Unacknowledged); ok && sink.Lost() != nil {
		endBy(ctx, stop, sink.Lost(), errLost)
	}
	if !w.owed.since.IsZero() { // what seemed to be at hand is not
		ctx, free := context.WithTimeoutCause(ctx, ackEvery, errOwed)
		return ctx, func() { stop(nil); free() }
	}
	if w.o.Board == nil {
		return ctx, done
	}
	at, changed := w.o.Board.Wake()
	endBy(ctx, stop, changed, errChanged)
	if at.IsZero() {
		return ctx, done
	}
	wait := at.Sub(w.o.Now())
	if idle {
		wait = max(wait, time.Second)
	}
	ctx, free := context.WithTimeoutCause(ctx, wait, errDue)
	return ctx, func() { stop(nil); free() }
}

// endBy ends ctx with why when signal comes.
func endBy(ctx context.Context, stop context.CancelCauseFunc, signal <-chan struct{}, why error) {
	if signal == nil {
		return
	}
	go func() {
		select {
		case <-signal:
			stop(why)
		case <-ctx.Done():
		}
	}()
}

var (
	errLost    = errors.New("the connection is lost")
	errOwed    = errors.New("what is settled is to be acknowledged")
	errDue     = errors.New("notices are due")
	errChanged = errors.New("what is due has changed")
)

// resend lets the sink send again what may be lost, until that is done.
func (w *Worker) resend(ctx context.Context) error {
	bo := newBackOff()
	for attempt := 1; ; attempt++ {
		err := w.write(ctx, nil)
		if err == nil {
			w.healthy()
			return nil
		}
		if err := w.wait(ctx, bo, attempt, err); err != nil {
			return err
		}
	}
}

func newBackOff() *backoff.ExponentialBackOff {
	bo := backoff.NewExponentialBackOff()
	bo.InitialInterval, bo.MaxInterval = 500*time.Millisecond, 2*time.Minute
	return bo
}

// route splits a batch. What goes out again has joined its groups before.
func (w *Worker) route(batch []event.Alert, pos event.Position) (items []event.Alert, skipped uint64, join Join) {
	if w.o.Board != nil {
		items, skipped, join = w.o.Board.Take(batch, pos)
		if w.o.Reader.Again() {
			join = nil
		}
		return items, skipped, join
	}
	for i := range batch {
		switch {
		case !w.o.Match(&batch[i]):
			skipped++
		case skipped == 0: // an alert is large: none is moved while all match
			items = batch[: i+1 : i+1]
		default:
			items = append(items, batch[i])
		}
	}
	return items, skipped, nil
}

// write is the one way to the sink: its writes never overlap.
func (w *Worker) write(ctx context.Context, items []event.Alert) error {
	select {
	case w.flight <- struct{}{}:
		defer func() { <-w.flight }()
		return w.o.Sink.Write(ctx, items)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Again writes an alert that was refused before, once, between the batches of Run.
// reason is the destination's where it refuses again; an error means that it is not
// known to have the alert.
func (w *Worker) Again(ctx context.Context, a event.Alert) (reason string, err error) {
	err = w.write(ctx, []event.Alert{a})
	var rejected *Rejected
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &rejected) && len(rejected.Items) > 0:
		return capped(rejected.Items[0].Reason), nil
	case errors.As(err, &rejected):
		return "", errors.Join(errors.New("the destination wants it sent again"), rejected.After)
	case fault.Of(err) == fault.Permanent:
		return capped(err.Error()), nil
	}
	return "", err
}

func capped(reason string) string { return reason[:min(len(reason), maxReason)] }

// settle writes items until each is accepted or in the dead letter.
func (w *Worker) settle(ctx context.Context, items []event.Alert, pos event.Position) (n event.Settled, err error) {
	bo := newBackOff()
	for attempt := 1; len(items) > 0; attempt++ {
		sent, err := len(items), w.write(ctx, items)
		if ctx.Err() != nil && err != nil {
			return n, ctx.Err()
		}
		var rejected *Rejected
		switch {
		case err == nil:
			n.Accepted += uint64(len(items))
			items = nil
		case errors.As(err, &rejected):
			items, err = w.reject(ctx, items, rejected, attempt, pos, &n)
			if err != nil {
				return n, err
			}
			if len(items) < sent {
				bo.Reset() // it works, if slowly
			}
		default:
			rejected = &Rejected{After: err}
		}
		switch refused := fault.Of(rejected.cause()) == fault.Permanent; {
		case len(items) == 0:
		case refused && len(items) == 1 && sent > 1: // what of it is true when it comes alone
		case refused:
			m, err := w.bisect(ctx, items, attempt, pos, rejected.After)
			n.Accepted, n.DeadLetter = n.Accepted+m.Accepted, n.DeadLetter+m.DeadLetter
			if err == nil {
				w.healthy()
			}
			return n, err
		default:
			err := w.pay(ctx)
			if err == nil {
				err = w.wait(ctx, bo, attempt, errors.Join(rejected.After))
			}
			if err != nil {
				return n, err
			}
		}
	}
	w.healthy()
	return n, nil
}

// insist does what needs room on the disk until there is some. Any other error
// is the ledger's, and ends the worker.
func (w *Worker) insist(ctx context.Context, do func() error) error {
	bo := newBackOff()
	for attempt := 1; ; attempt++ {
		err := do()
		if !full(err) {
			if err == nil && attempt > 1 {
				w.healthy()
			}
			return err
		}
		if err := w.wait(ctx, bo, attempt, err); err != nil {
			return err
		}
	}
}

func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// reject puts what is refused for good into the dead letter and returns what
// must be sent again, in order.
func (w *Worker) reject(ctx context.Context, items []event.Alert, r *Rejected, attempt int, pos event.Position, n *event.Settled) ([]event.Alert, error) {
	for _, x := range r.Items {
		if err := w.bury(ctx, items[x.Index], x.Reason, attempt, pos); err != nil {
			return nil, err
		}
	}
	again := make([]event.Alert, 0, len(r.Retry))
	for _, i := range r.Retry {
		again = append(again, items[i])
	}
	n.DeadLetter += uint64(len(r.Items))
	n.Accepted += uint64(len(items) - len(r.Items) - len(r.Retry))
	return again, nil
}

// bisect finds the poison in a batch that is refused as a whole, or in what is left of
// one.
func (w *Worker) bisect(ctx context.Context, items []event.Alert, attempt int, pos event.Position, cause error) (event.Settled, error) {
	if len(items) == 1 {
		return event.Settled{DeadLetter: 1}, w.bury(ctx, items[0], cause.Error(), attempt, pos)
	}
	a, err := w.settle(ctx, items[:len(items)/2], pos)
	if err != nil {
		return a, err
	}
	b, err := w.settle(ctx, items[len(items)/2:], pos)
	return event.Settled{Accepted: a.Accepted + b.Accepted, DeadLetter: a.DeadLetter + b.DeadLetter}, err
}

const maxReason = 4 << 10

func (w *Worker) bury(ctx context.Context, a event.Alert, reason string, attempts int, pos event.Position) error {
	d := event.DeadLetter{Sink: w.o.Name, Time: w.o.Now().UTC(), Reason: capped(reason), Attempts: attempts, Position: pos, Alert: a}
	w.o.Log.Warn("alert refused for good", zap.String("sink", w.o.Name), zap.Stringer("alert", a.ID), zap.String("reason", d.Reason))
	return w.insist(ctx, func() error { return w.o.DeadLetters.PutDeadLetter(d) })
}

const slowRetry = time.Minute

func (w *Worker) wait(ctx context.Context, bo *backoff.ExponentialBackOff, attempt int, err error) error {
	state, d := StateRetrying, max(bo.NextBackOff(), fault.After(err))
	if c := fault.Of(err); c == fault.Auth || c == fault.Untrusted {
		state, d = StatePaused, slowRetry
	}
	w.failed(state, attempt, err)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (w *Worker) failed(state State, attempt int, err error) {
	text := "items to be sent again"
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	changed := w.status.State != state || w.status.Error != text
	if w.status.State != state {
		w.status.Since = w.o.Now()
	}
	w.status.State, w.status.Error, w.status.Hint, w.status.Attempts = state, text, fault.Hint(err), attempt
	now := w.status
	w.mu.Unlock()
	w.o.Metrics.state(w.o.Name, state)
	w.o.OnState(now)
	if changed {
		w.o.Log.Warn("sink failed", zap.String("sink", w.o.Name), zap.String("state", string(state)), zap.String("error", text), zap.String("hint", fault.Hint(err)))
	}
}

func (w *Worker) healthy() {
	w.mu.Lock()
	was := w.status.State
	if was != StateHealthy {
		w.status = Status{Sink: w.o.Name, State: StateHealthy, Since: w.o.Now(), Oldest: w.status.Oldest}
	}
	now := w.status
	w.mu.Unlock()
	w.o.Metrics.state(w.o.Name, StateHealthy)
	w.o.OnState(now)
	if was != StateHealthy {
		w.o.Log.Info("sink is healthy", zap.String("sink", w.o.Name))
	}
}

// Metrics of all workers of one process.
type Metrics struct {
	alerts  *prometheus.CounterVec
	notices *prometheus.CounterVec
	states  *prometheus.GaugeVec
}

// NewMetrics registers on r; nil registers nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		alerts:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_deliver_alerts_total", Help: "Alerts by sink and outcome (accepted, dead_letter, skipped, grouped)."}, []string{"sink", "outcome"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_deliver_notices_total", Help: "Notices about groups of alerts by sink and outcome (accepted, dead_letter)."}, []string{"sink", "outcome"}),
		states:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "appgovd_deliver_sink_state", Help: "1 for the state that a sink is in."}, []string{"sink", "state"}),
	}
	if r != nil {
		r.MustRegister(m.alerts, m.notices, m.states)
	}
	return m
}

func (m *Metrics) count(sink string, n event.Settled) {
	m.alerts.WithLabelValues(sink, "accepted").Add(float64(n.Accepted))
	m.alerts.WithLabelValues(sink, "dead_letter").Add(float64(n.DeadLetter))
	m.alerts.WithLabelValues(sink, "skipped").Add(float64(n.Skipped))
	m.alerts.WithLabelValues(sink, "grouped").Add(float64(n.Grouped))
}

func (m *Metrics) told(sink string, n event.Settled) {
	m.notices.WithLabelValues(sink, "accepted").Add(float64(n.Accepted))
	m.notices.WithLabelValues(sink, "dead_letter").Add(float64(n.DeadLetter))
}

func (m *Metrics) state(sink string, now State) {
	for _, s := range []State{StateHealthy, StateRetrying, StatePaused} {
		v := 0.0
		if s == now {
			v = 1
		}
		m.states.WithLabelValues(sink, string(s)).Set(v)
	}
}
