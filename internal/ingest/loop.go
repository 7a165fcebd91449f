package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// Loop reads one source for ever: read, dedupe, enrich, detect, append, fsync,
// advance.
type Loop struct {
	o      Options
	cursor []byte

	mu     sync.Mutex
	status Status
	said   time.Time // last log line of a failure
}

// Options of a Loop. Log, Now, OnState and OnImbalance may be nil.
type Options struct {
	Key      string // "entra/contoso/directory_audits"
	Class    string
	Source   Source
	Enricher Enricher // nil = none
	Lane     *Lane
	Seen     *Seen
	Cursor   []byte        // the mark that the ledger kept; nil = never read
	Account  event.Account // what was counted before this start
	Metrics  *Metrics
	Log      *zap.Logger
	Now      func() time.Time
	OnState  func(Status) // called at every failure, and when State or text changes
	// OnImbalance is called once when fetched is not new + seen + quarantined + gap.
	OnImbalance func(key string, a event.Account)
}

// State of a source.
type State string

// States of a source.
const (
	StateStarting  State = "starting"
	StateHealthy   State = "healthy"
	StateThrottled State = "throttled"
	StateRetrying  State = "retrying" // transient failures
	StateFailed    State = "failed"   // a human must act; tried again slowly
	StateStopped   State = "stopped"  // the source pointed to a foreign origin: not tried again before a reload
)

// Status is what an operator sees of a source.
type Status struct {
	Key             string        `json:"source"`
	State           State         `json:"state"`
	Since           time.Time     `json:"since"`
	LastRead        time.Time     `json:"last_read,omitzero"`
	CompleteThrough time.Time     `json:"complete_through,omitzero"`
	Error           string        `json:"error,omitempty"`
	Hint            string        `json:"hint,omitempty"`
	Why             fault.Reason  `json:"why,omitempty"` // of the error, where a licence or another cloud is
	Attempts        int           `json:"attempts,omitempty"`
	Account         event.Account `json:"account"`

	Gaps      []event.Gap `json:"gaps,omitempty"`       // given up at the moment; the source asks for them again
	GapReason string      `json:"gap_reason,omitempty"` // of the last gap since the start
	Lost      event.Gap   `json:"lost,omitzero"`        // the last gap since the start that it does not ask for again
	LostAt    time.Time   `json:"lost_at,omitzero"`
}

// given takes over what a page says of gaps.
func (s *Status) given(page *event.Page, now time.Time) {
	s.Gaps = page.Open
	if n := len(page.Gaps); n > 0 {
		s.GapReason = page.Gaps[n-1].Reason
		if len(page.Open) == 0 {
			s.Lost, s.LostAt = page.Gaps[n-1], now
		}
	}
}

// NewLoop checks nothing and starts nothing.
func NewLoop(o Options) *Loop {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	l := &Loop{o: o, cursor: o.Cursor}
	o.Metrics.state(o.Key, StateStarting)
	l.status = Status{Key: o.Key, State: StateStarting, Since: o.Now(), Account: o.Account}
	return l
}

// Status returns a copy.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Retry intervals of failures that only a human can mend.
const slowRetry = 5 * time.Minute

// Run reads until ctx ends (nil), the log fails (its error), or the source
// points to a foreign origin (nil: the state says so).
func (l *Loop) Run(ctx context.Context) error {
	bo := backoff.NewExponentialBackOff()
	bo.InitialInterval, bo.MaxInterval = time.Second, 5*time.Minute
	for ctx.Err() == nil {
		wait, stop, err := l.step(ctx, bo)
		if ctx.Err() != nil || stop {
			return nil
		}
		if err != nil {
			return err
		}
		sleep(ctx, wait)
	}
	return nil
}

// step reads and commits one page, and returns how long to wait before the
// next; the page is garbage by then. An error is the log's.
func (l *Loop) step(ctx context.Context, bo *backoff.ExponentialBackOff) (wait time.Duration, stop bool, err error) {
	page, err := l.o.Source.Read(ctx, l.cursor)
	if err != nil {
		if ctx.Err() != nil {
			return 0, true, nil
		}
		if len(page.Cursor) > 0 {
			if err := l.mark(ctx, page.Cursor); err != nil {
				return 0, false, err
			}
		}
		wait, stop = l.failed(err, bo)
		return wait, stop, nil
	}
	bo.Reset()
	if err := l.commit(ctx, &page); err != nil {
		return 0, false, fmt.Errorf("append page of %s: %w", l.o.Key, err)
	}
	return page.Wait, false, nil
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// failed records a failure and returns how long to wait before the next try.
func (l *Loop) failed(err error, bo *backoff.ExponentialBackOff) (wait time.Duration, stop bool) {
	class := fault.Of(err)
	l.o.Metrics.errors.WithLabelValues(l.o.Key, class.String()).Inc()
	state := StateRetrying
	switch class {
	case fault.Untrusted:
		state, stop = StateStopped, true
	case fault.Auth, fault.Permanent:
		state, wait = StateFailed, max(slowRetry, fault.After(err))
	case fault.Throttled:
		state, wait = StateThrottled, fault.After(err)
	case fault.Transient:
	}
	if wait <= 0 && !stop {
		wait = bo.NextBackOff()
	}
	l.set(func(s *Status) {
		s.State, s.Error, s.Hint, s.Why = state, err.Error(), fault.Hint(err), fault.ReasonOf(err)
		s.Attempts++
	}, err)
	return wait, stop
}

// mark keeps the cursor of a source that could not be read.
func (l *Loop) mark(ctx context.Context, cursor []byte) error {
	f := &event.Frame{Kind: event.FramePage, Time: l.o.Now().UTC(), Source: l.o.Key, Mark: cursor}
	if err := l.o.Lane.Commit(ctx, f, nil); err != nil {
		return fmt.Errorf("append mark of %s: %w", l.o.Key, err)
	}
	l.cursor = cursor
	return nil
}

// commit makes the page a frame and waits until it is durable.
func (l *Loop) commit(ctx context.Context, page *event.Page) error {
	if l.o.Enricher != nil && len(page.Events) > 0 {
		l.o.Enricher.Enrich(ctx, page.Events)
	}
	now := l.o.Now().UTC()
	f := &event.Frame{
		Kind: event.FramePage, Time: now, Source: l.o.Key, Mark: page.Cursor,
		Events: page.Events, Objects: page.Objects, Rollups: page.Rollups, Sync: page.Sync,
		Quarantined: page.Quarantined, Gaps: page.Gaps,
	}
	if !page.CompleteThrough.IsZero() {
		f.CompleteThrough = []event.SourceTime{{Source: l.o.Key, Time: page.CompleteThrough}}
	}
	var account event.Account
	err := l.o.Lane.Commit(ctx, f, func(f *event.Frame) {
		var seen, again int
		f.Events, seen = l.o.Seen.Filter(f.Events, through(f))
		f.Quarantined, again = l.o.Seen.FilterQuarantined(f.Quarantined, f.Time)
		account = count(page, f, seen+again)
		f.Account = account
		l.observe(f)
	})
	if err != nil {
		return err
	}
	l.cursor = page.Cursor
	l.succeeded(now, page, account)
	return nil
}

func count(page *event.Page, f *event.Frame, seen int) event.Account {
	a := event.Account{
		Fetched:     uint64(page.Fetched),
		New:         uint64(len(f.Events) + len(f.Objects)),
		Seen:        uint64(seen + page.Seen),
		Quarantined: uint64(len(f.Quarantined)),
	}
	for i := range page.Rollups {
		a.New += page.Rollups[i].Calls
	}
	for _, g := range page.Gaps {
		a.Gap += uint64(g.Records)
	}
	return a
}

// observe counts the frame before detect appends derived events to it.
func (l *Loop) observe(f *event.Frame) {
	m := l.o.Metrics
	for i := range f.Events {
		if ev := &f.Events[i]; !ev.Backfill && ev.Version == 0 {
			m.lateness.WithLabelValues(l.o.Key).Observe(readAt(ev, f).Sub(ev.Time).Seconds())
		}
	}
	for _, q := range f.Quarantined {
		m.quarantined.WithLabelValues(l.o.Key, q.Reason).Inc()
	}
	for _, g := range f.Gaps {
		m.gaps.WithLabelValues(l.o.Key).Inc()
		l.o.Log.Warn("gap in source", zap.String("source", l.o.Key), zap.Time("from", g.From), zap.Time("to", g.To), zap.String("reason", g.Reason))
	}
	m.account(l.o.Key, f.Account)
}

func (l *Loop) succeeded(now time.Time, page *event.Page, a event.Account) {
	imbalance := false
	l.set(func(s *Status) {
		was := s.Account.Balanced()
		s.State, s.Error, s.Hint, s.Why, s.Attempts = StateHealthy, "", "", "", 0
		s.LastRead = now
		s.given(page, now)
		s.Account = s.Account.Add(a)
		imbalance = was && !s.Account.Balanced()
		if !page.CompleteThrough.IsZero() {
			s.CompleteThrough = page.CompleteThrough
			l.o.Metrics.complete.WithLabelValues(l.o.Key).Set(float64(page.CompleteThrough.Unix()))
		}
	}, nil)
	if imbalance && l.o.OnImbalance != nil {
		l.o.OnImbalance(l.o.Key, l.Status().Account)
	}
}

// sayEvery is how often a failure that goes on is logged.
const sayEvery = time.Minute

// set changes the status and reports it: every failure, and else what an operator
// would see differ. err is the failure, nil = none.
func (l *Loop) set(change func(*Status), err error) {
	l.mu.Lock()
	old := l.status
	change(&l.status)
	if l.status.State != old.State {
		l.status.Since = l.o.Now()
	}
	now := l.status
	l.mu.Unlock()
	l.o.Metrics.state(l.o.Key, now.State)
	changed := now.State != old.State || now.Error != old.Error
	if err == nil && !changed {
		return
	}
	l.say(now, changed, err)
	if l.o.OnState != nil {
		l.o.OnState(now)
	}
}

// say logs a change at once and what goes on once a minute, with the count.
func (l *Loop) say(now Status, changed bool, err error) {
	if err == nil {
		l.o.Log.Info("source is healthy", zap.String("source", l.o.Key))
		return
	}
	at := time.Now()
	if !changed && at.Sub(l.said) < sayEvery {
		return
	}
	l.said = at
	fields := []zap.Field{zap.String("source", l.o.Key), zap.String("state", string(now.State)), zap.Error(errors.New(now.Error)), zap.String("hint", now.Hint), zap.Int("attempts", now.Attempts)}
	// The id that the service gave to the request differs at each try, so that it
	// is no part of the text.
	var named interface{ RequestID() string }
	if errors.As(err, &named) && named.RequestID() != "" {
		fields = append(fields, zap.String("request_id", named.RequestID()))
	}
	l.o.Log.Warn("source failed", fields...)
}

// readAt is when a record was read, by the clock of its service where the source
// knows it.
func readAt(ev *event.Event, f *event.Frame) time.Time {
	if ev.Observed.IsZero() {
		return f.Time
	}
	return ev.Observed
}
