package msgraph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

const (
	widest    = 24 * time.Hour                 // a slice at level 0
	oldest    = 89 * 24 * time.Hour            // Graph refuses dates that are 90 days back
	narrowest = time.Second                    // the least that is skipped
	tick      = 100 * time.Nanosecond          // resolution of Graph's timestamps
	patience  = 5                              // tries of a page before it is asked for in smaller pieces
	recovery  = 10                             // good pages of a smaller size before the next larger one
	topLevels = 3                              // levels that divide $top by ten
	maxLevel  = topLevels + 17                 // 24 h / 2^17 < 1 s
	timeForm  = "2006-01-02T15:04:05.9999999Z" // unquoted in $filter
)

// windowSource reads a log by time: short polls with an overlap, and slower
// sweeps over the whole time in which a record may still turn up. It is used by
// one goroutine.
type windowSource struct {
	*caller
	plan     schedule
	lookback time.Duration
	decode   func(raw []byte) (event.Event, error)
	jitter   func(time.Duration) time.Duration

	nextPoll time.Time // zero: at once
	troubles map[bool]*trouble
	trails   map[bool]trail // of the slice at hand, of poll and sweep
}

// trouble is what the source remembers of a page that fails: the cursor cannot
// move, so it is kept here. A restart begins counting anew.
type trouble struct {
	from  string // identity of the job in the cursor
	job   job    // what to ask for instead
	tries int
}

func newWindowSource(c *caller, plan schedule, lookback time.Duration, decode func([]byte) (event.Event, error), jitter func(time.Duration) time.Duration) *windowSource {
	return &windowSource{caller: c, plan: plan, lookback: lookback, decode: decode, jitter: jitter, troubles: map[bool]*trouble{}, trails: map[bool]trail{}}
}

// Read returns one page: of a poll where one is due, else of a sweep.
func (s *windowSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	now := s.now().UTC()
	start := floor(now.Add(-min(s.lookback, oldest)))
	c := windowCursor{V: cursorVersion, Start: start, Live: now, Mark: start, Swept: now}
	if err := decodeCursor(cursor, &c, func(c *windowCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	if err := c.valid(); err != nil {
		return event.Page{}, err
	}
	if c.Mark.Before(now.Add(-oldest - widest/2)) {
		return s.absent(&c, now), nil
	}
	sweep := s.choose(&c, now)
	j, from := s.job(&c, sweep, now)
	page, l, err := s.fetch(ctx, &c, &j, sweep)
	if err != nil {
		var give bool
		if give, err = s.failed(ctx, &j, from, sweep, err); !give {
			return event.Page{}, err
		}
		page = event.Page{Gaps: []event.Gap{{Source: s.key, From: j.Low, To: j.High, Reason: err.Error()}}}
		c.Skips = append(c.Skips, span{j.Low, j.High})
		l = links{}
	}
	delete(s.troubles, sweep)
	s.advance(&c, &j, l, sweep, now, &page)
	page.Cursor = encodeCursor(&c)
	page.Wait = s.wait(&c, now)
	return page, nil
}

// absent gives up what lies further back than Graph answers, after months in
// which nothing was read.
func (s *windowSource) absent(c *windowCursor, now time.Time) event.Page {
	gap := event.Gap{Source: s.key, From: c.Mark, To: floor(now.Add(-oldest)), Reason: "nothing was read for so long that Graph no longer answers for this time"}
	c.Mark, c.Start, c.Swept, c.Poll, c.Sweep = gap.To, later(c.Start, gap.To), now, nil, nil
	return event.Page{Gaps: []event.Gap{gap}, Cursor: encodeCursor(c)}
}

// choose says whether the next page is one of a sweep.
func (s *windowSource) choose(c *windowCursor, now time.Time) bool {
	if c.Poll != nil || !now.Before(s.nextPoll) {
		return false
	}
	return c.Sweep != nil || s.sweepDue(c, now) <= 0
}

func (s *windowSource) sweepDue(c *windowCursor, now time.Time) time.Duration {
	if s.plan.sweepEvery <= 0 || s.plan.sweepDepth <= s.plan.overlap {
		return 365 * 24 * time.Hour
	}
	return c.Swept.Add(s.plan.sweepEvery).Sub(now)
}

// job returns what to ask for: the job in the cursor, or a new one, or what a
// failure has made of it; and the identity of what the cursor says.
func (s *windowSource) job(c *windowCursor, sweep bool, now time.Time) (job, string) {
	have, from := c.Poll, "new "+c.Mark.String()
	if sweep {
		have, from = c.Sweep, "new "+c.Swept.String()
	}
	var j job
	if have != nil {
		j, from = *have, fmt.Sprint(*have)
	}
	switch t := s.troubles[sweep]; {
	case t != nil && t.from == from:
		j = t.job
	case have == nil:
		j = s.begin(c, sweep, now)
	}
	return j, from
}

// begin makes the window of a new poll or sweep and its first slice.
func (s *windowSource) begin(c *windowCursor, sweep bool, now time.Time) job {
	low := earlier(c.Mark, now).Add(-s.plan.overlap)
	until := floor(now)
	if sweep {
		low, until = now.Add(-s.plan.sweepDepth), low
	}
	low = later(floor(low), c.Start)
	j, ok := slice(job{Low: low, Until: later(until, low)}, c.Skips)
	if !ok { // all of it was given up
		j.High = j.Until
	}
	return j
}

// slice sets the end of the slice that begins at j.Low, as long as its level
// allows, and leaves out what was given up. ok is false when nothing is left.
func slice(j job, skips []span) (job, bool) {
	for _, k := range skips {
		if !j.Low.Add(tick).Before(k.From) && !j.Low.After(k.To) {
			j.Low = k.To.Add(tick)
		}
	}
	if j.Low.After(j.Until) {
		j.Low = j.Until
		return j, false
	}
	j.High = earlier(j.Low.Add(width(j.Level)), j.Until)
	for _, k := range skips {
		if k.From.After(j.Low) && !k.From.After(j.High) {
			j.High = k.From.Add(-tick)
		}
	}
	return j, true
}

func width(level int) time.Duration {
	return max(widest>>max(level-topLevels, 0), narrowest)
}

func (s *windowSource) topAt(level int) int {
	n := s.plan.pageSize
	for range min(level, topLevels) {
		n /= 10
	}
	return max(n, 1)
}

func (s *windowSource) query(j job) query {
	q := query{top: s.topAt(j.Level)}
	if s.spec.filter != "" {
		q.filter = s.spec.filter + " and "
	}
	q.filter += s.spec.timeField + " ge " + j.Low.Format(timeForm) + " and " + s.spec.timeField + " le " + j.High.Format(timeForm)
	if s.spec.ordered {
		q.orderBy = s.spec.timeField + " asc"
	}
	return q
}

// fetch reads the next page of j and makes events of it, in order of time.
func (s *windowSource) fetch(ctx context.Context, c *windowCursor, j *job, sweep bool) (event.Page, links, error) {
	var page event.Page
	seen := s.now().UTC()
	last := j.Last
	l, err := s.ask(ctx, *j, sweep, func(raw []byte) {
		page.Fetched++
		e, err := s.decode(raw)
		if err != nil {
			page.Quarantined = append(page.Quarantined, s.quarantine(raw, err))
			return
		}
		e.Source, e.Observed = s.key, seen
		at := occurred(&e)
		e.Backfill = at.Before(c.Live)
		last = later(last, at)
		page.Events = append(page.Events, e)
	})
	if err == nil {
		err = s.trail(sweep).follow(j.Next, l.next)
	}
	if err != nil {
		return page, l, err
	}
	slices.SortStableFunc(page.Events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	j.Last = last
	return page, l, nil
}

// occurred is the time by which the source is read: of alerts the last update.
func occurred(e *event.Event) time.Time {
	if e.Upstream != nil && !e.Upstream.Updated.IsZero() {
		return e.Upstream.Updated
	}
	return e.Time
}

func (s *windowSource) ask(ctx context.Context, j job, sweep bool, each func([]byte)) (links, error) {
	if j.Next != "" {
		info, err := s.link(j.Next)
		if err != nil {
			return links{}, err
		}
		s.preferences(info.Headers)
		return s.page(ctx, info, sweep, each)
	}
	info, err := s.spec.ask(ctx, s.client, s.spec.version, s.query(j))
	if err != nil {
		return links{}, fmt.Errorf("build request: %w", err)
	}
	s.preferences(info.Headers)
	return s.page(ctx, info, sweep, each)
}

func (s *windowSource) preferences(h interface{ TryAdd(string, string) bool }) {
	if s.spec.prefer != "" {
		h.TryAdd("Prefer", s.spec.prefer)
	}
}

// advance moves the cursor behind the page.
func (s *windowSource) advance(c *windowCursor, j *job, l links, sweep bool, now time.Time, page *event.Page) {
	j.Pages++
	j.Run++
	if l.next != "" {
		j.Next = l.next
		s.store(c, s.recovered(j, sweep), sweep)
		return
	}
	delete(s.trails, sweep)
	if !sweep && j.High.After(c.Mark) {
		c.Mark = j.High
		page.CompleteThrough = c.Mark.Add(-s.plan.lateness)
	}
	level := max(j.Level-1, 0)
	if len(page.Gaps) > 0 { // what was to blame is behind us
		level = 0
	}
	next, more := slice(job{Low: j.High, Until: j.Until, Level: level, Pages: j.Pages}, c.Skips)
	if more && j.High.Before(j.Until) {
		s.store(c, &next, sweep)
		return
	}
	s.store(c, nil, sweep)
	s.finished(c, j, sweep, now)
}

// recovered lets a window that shrank grow again: so many small pages went well
// that the place that failed is behind them.
func (s *windowSource) recovered(j *job, sweep bool) *job {
	if j.Level == 0 || j.Run < recovery || !s.spec.ordered || !j.Last.After(j.Low) {
		return j
	}
	delete(s.trails, sweep)
	k := s.restarted(*j, min(j.Level, topLevels)-1)
	return &k
}

func (s *windowSource) store(c *windowCursor, j *job, sweep bool) {
	if sweep {
		c.Sweep = j
	} else {
		c.Poll = j
	}
}

// finished notes what a whole poll or sweep took and when the next one is due.
func (s *windowSource) finished(c *windowCursor, j *job, sweep bool, now time.Time) {
	if sweep {
		s.budget.need(s.key+" sweep", float64(j.Pages*s.spec.cost), s.plan.sweepEvery)
		c.Swept = now
	} else {
		s.budget.need(s.key, float64(j.Pages*s.spec.cost), s.plan.poll)
		s.nextPoll = now.Add(s.jitter(s.plan.poll))
	}
	old := now.Add(-s.plan.sweepDepth - widest)
	c.Skips = slices.DeleteFunc(c.Skips, func(k span) bool { return k.To.Before(old) })
}

// wait is the time until there is something to read.
func (s *windowSource) wait(c *windowCursor, now time.Time) time.Duration {
	if c.Poll != nil || c.Sweep != nil {
		return 0
	}
	return max(min(s.nextPoll.Sub(now), s.sweepDue(c, now)), 0)
}

// failed decides what follows a failed page. give means that the slice of j is
// given up for good, and err says why; else err is what Read returns, and the
// next Read asks for what s.troubles says.
func (s *windowSource) failed(ctx context.Context, j *job, from string, sweep bool, err error) (give bool, _ error) {
	if j.Next != "" && stale(err) {
		k := s.restarted(*j, j.Level)
		if smaller, ok := s.smaller(*j); ok && !k.Low.After(j.Low) { // nothing gained: not the same again
			k = smaller
		}
		s.remember(from, k, sweep, 0)
		var r *refusal
		errors.As(err, &r)
		return false, fmt.Errorf("continue window, which begins again: %w", r)
	}
	if !pageFault(err) {
		return false, err
	}
	tries := 1
	if t := s.troubles[sweep]; t != nil && t.from == from {
		tries = t.tries + 1
	}
	if tries < patience && j.Level == 0 && !tooLarge(err) {
		s.remember(from, *j, sweep, tries)
		return false, err
	}
	if smaller, ok := s.smaller(*j); ok {
		s.remember(from, smaller, sweep, 0)
		return false, err
	}
	if s.alive(ctx) {
		*j = s.restarted(*j, j.Level)
		return true, fmt.Errorf("skip window: it fails at every size: %w", err)
	}
	return false, err
}

func (s *windowSource) remember(from string, j job, sweep bool, tries int) {
	if j.Next == "" {
		delete(s.trails, sweep)
	}
	s.troubles[sweep] = &trouble{from: from, job: j, tries: tries}
}

// restarted is j from the last record that was read on, without its link: a
// link cannot be resumed with another size. What shares the last record's time
// is read again.
func (s *windowSource) restarted(j job, level int) job {
	if s.spec.ordered && j.Last.After(j.Low) && !j.Last.After(j.High) {
		j.Low = j.Last
	}
	j.Next, j.Last, j.Level, j.Run = "", time.Time{}, level, 0
	return j
}

// smaller is j with fewer records per page or a shorter slice; ok is false when
// it cannot shrink any more.
func (s *windowSource) smaller(j job) (job, bool) {
	for level := j.Level + 1; level <= maxLevel; level++ {
		k := s.restarted(j, level)
		k.High = earlier(k.Low.Add(width(level)), j.High)
		if s.topAt(level) < s.topAt(j.Level) || k.High.Before(j.High) {
			return k, true
		}
	}
	return j, false
}

// alive asks the same collection for almost nothing: when that fails as well,
// the service is down and no page is to blame.
func (s *windowSource) alive(ctx context.Context) bool {
	now := floor(s.now().UTC())
	_, err := s.ask(ctx, job{Low: now.Add(-time.Second), High: now, Level: topLevels}, false, func([]byte) {})
	return err == nil
}

// trail knows the links of one set of pages, each with the link that led there,
// so that a set that leads back into itself ends.
type trail map[event.ID]event.ID

func (s *windowSource) trail(sweep bool) trail {
	if s.trails[sweep] == nil {
		s.trails[sweep] = trail{}
	}
	return s.trails[sweep]
}

// follow notes that link led to next. A page may be read twice, after a failure;
// two pages that lead to the same third are an error.
func (t trail) follow(link, next string) error {
	if next == "" {
		return nil
	}
	from, to := event.HashContent([]byte(link)), event.HashContent([]byte(next))
	if was, ok := t[to]; from == to || ok && was != from {
		return &broken{err: errors.New("the answer's nextLink leads back to a page that was read")}
	}
	t[to] = from
	return nil
}

func floor(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
