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
	widest       = 24 * time.Hour                 // a slice that was never halved
	oldest       = 89 * 24 * time.Hour            // Graph refuses dates that are 90 days back
	narrowest    = time.Second                    // the least that is skipped
	tick         = 100 * time.Nanosecond          // resolution of Graph's timestamps
	recovery     = 10                             // good pages of a smaller size before the next larger one
	topLevels    = 3                              // levels that divide $top by ten
	narrowLevels = 17                             // 24 h / 2^17 < 1 s
	timeForm     = "2006-01-02T15:04:05.9999999Z" // unquoted in $filter
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
	troubles map[bool]trouble
	trails   map[bool]trail // of the slice at hand, of poll and sweep
	feed     *feed          // of sources over contents
	usual    int            // events of the page before, for which room is made at once
}

func newWindowSource(c *caller, plan schedule, lookback time.Duration, decode func([]byte) (event.Event, error), jitter func(time.Duration) time.Duration) *windowSource {
	return &windowSource{caller: c, plan: plan, lookback: lookback, decode: decode, jitter: jitter, troubles: map[bool]trouble{}, trails: map[bool]trail{}, feed: &feed{read: map[contentKey]int64{}}}
}

// Read returns one page: of a poll where one is due, else of a sweep.
func (s *windowSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	page, err := s.read(ctx, cursor)
	if refusedTime(err) && s.skew.Abs() > doubtful && !s.distrust {
		// The service's Date led to times that it refuses: ours may be right.
		s.distrust, s.skew, s.date = true, 0, time.Time{}
		page, err = s.read(ctx, cursor)
	} else if refusedTime(err) {
		s.distrust = false
	}
	s.missed(cursor, err)
	if s.unopened(cursor, err) {
		if c, bad := s.decoded(nil); bad == nil {
			return event.Page{Cursor: encodeCursor(&c)}, err
		}
	}
	return s.startOver(page, err, func(now time.Time) (any, time.Time, time.Time) {
		// What was read in the last two days is known by its ids.
		start := floor(now.Add(-deepest))
		return &windowCursor{V: cursorVersion, Start: start, Live: start, Mark: start, Swept: now}, floor(now.Add(-s.spec.keeps)), start
	})
}

// doubtful is a difference of clocks that makes one ask which of them is right.
const doubtful = 24 * time.Hour

func (s *windowSource) read(ctx context.Context, cursor []byte) (event.Page, error) {
	c, err := s.open(ctx, cursor)
	if err != nil {
		return event.Page{}, err
	}
	now, first := s.time(), len(cursor) == 0 && s.date.IsZero()
	if s.spec.feed != "" {
		if page, done, err := s.subscribe(ctx, &c); done {
			return page, err
		}
	}
	if c.Mark.Before(now.Add(-s.spec.keeps - s.spec.grace())) {
		return s.absent(&c, now), nil
	}
	s.budget.need(s.key, c.Needs)
	sweep := s.choose(&c, now)
	j, from := s.job(&c, sweep, now)
	if page, gone := s.expire(&c, &j, sweep, now); gone {
		return page, nil
	}
	page, l, err := s.fetch(ctx, &c, &j, sweep)
	if first && s.skew != 0 { // begun by a clock that is wrong
		return s.read(ctx, nil)
	}
	if unsubscribed(err) {
		return s.resubscribe(&c, err), nil
	}
	if err != nil {
		page, err = s.failed(ctx, &c, &j, from, sweep, err)
		if err != nil {
			return event.Page{}, err
		}
	} else {
		delete(s.troubles, sweep)
		s.back(&c, c.Mark, &page)
		s.advance(&c, &j, l, sweep, &page)
	}
	page.Open = s.missing(&c)
	page.Cursor = encodeCursor(&c)
	page.Wait = s.wait(&c)
	return page, nil
}

// open reads the cursor. Where this machine's clock says that much time went by,
// or none, the service is asked for its own first.
func (s *windowSource) open(ctx context.Context, cursor []byte) (windowCursor, error) {
	c, err := s.decoded(cursor)
	if err != nil {
		return c, err
	}
	now := s.time()
	fresh := now.Sub(s.heard.Add(s.skew))
	if strange := now.Before(c.Mark) || now.Sub(c.Mark) > widest; strange && len(cursor) > 0 && (s.heard.IsZero() || fresh < 0 || fresh > time.Minute) {
		before := s.heard
		if err := s.probe(ctx); err != nil && s.heard.Equal(before) { // a refusal tells the time too: Graph refuses dates that are far off
			return c, err
		}
		now = s.time()
	}
	start := floor(now.Add(-s.spec.first(s.lookback)))
	if c.Start.After(now) {
		c.Start = start
	}
	c.Mark, c.Live, c.Swept = earlier(c.Mark, now), earlier(c.Live, now), earlier(c.Swept, now)
	return c, nil
}

func (s *windowSource) decoded(cursor []byte) (windowCursor, error) {
	now := s.time()
	start := floor(later(s.since(now).Add(-s.spec.first(s.lookback)), now.Add(-s.spec.first(s.spec.keeps))))
	c := windowCursor{V: cursorVersion, Start: start, Live: now, Mark: start, Swept: now}
	if err := decodeCursor(cursor, &c, func(c *windowCursor) int { return c.V }); err != nil {
		return c, err
	}
	if err := c.valid(); err != nil {
		return c, err
	}
	return c, s.settle(&c)
}

// settle drops the links of another origin or tenant: what they were reading is
// read again.
func (s *windowSource) settle(c *windowCursor) error {
	var links []string
	for _, j := range []*job{c.Poll, c.Sweep} {
		if j != nil {
			links = append(links, j.Next)
		}
	}
	moved, err := s.moved(&c.Home, links...)
	if err != nil || !moved {
		return err
	}
	for _, j := range []*job{c.Poll, c.Sweep} {
		if j != nil {
			*j = s.restarted(*j)
		}
	}
	return nil
}

// absent gives up what lies further back than Graph keeps, after weeks in which
// nothing was read.
func (s *windowSource) absent(c *windowCursor, now time.Time) event.Page {
	gap := event.Gap{Source: s.key, From: c.Mark, To: floor(now.Add(-s.spec.keeps)),
		Reason: fmt.Sprintf("nothing was read for so long that Graph has dropped this time: it keeps %d days, the logs of a tenant without Microsoft Entra ID P1 or P2 7 days", (s.spec.keeps+widest/2)/widest),
		Advice: "only a copy of the log tells of it, where there is one: diagnostic settings may send it to a workspace, a storage account or an event hub"}
	if s.spec.feed != "" {
		gap.Advice = s.spec.elsewhere()
	}
	c.Mark, c.Start, c.Swept, c.Poll, c.Sweep = gap.To, later(c.Start, gap.To), now, nil, nil
	return event.Page{Gaps: []event.Gap{gap}, Cursor: encodeCursor(c)}
}

// choose says whether the next page is one of a sweep.
func (s *windowSource) choose(c *windowCursor, now time.Time) bool {
	if wait := s.nextPoll.Sub(s.now()); c.Poll != nil || wait <= 0 || wait > 2*s.plan.poll { // further off after a jump of the clock
		return false
	}
	return c.Sweep != nil || s.sweepDue(c, now) <= 0
}

func (s *windowSource) sweepDue(c *windowCursor, now time.Time) time.Duration {
	if !s.plan.sweeps() {
		return 365 * 24 * time.Hour
	}
	return c.Swept.Add(s.plan.sweepEvery).Sub(now)
}

// job returns what to ask for: the job in the cursor, or a new one; and the
// identity of what the cursor says.
func (s *windowSource) job(c *windowCursor, sweep bool, now time.Time) (job, string) {
	have, from := c.Poll, "new "+c.Mark.String()
	if sweep {
		have, from = c.Sweep, "new "+c.Swept.String()
	}
	if have != nil {
		return *have, fmt.Sprint(*have)
	}
	return s.begin(c, sweep, now), from
}

// begin makes the window of a new poll or sweep and its first slice.
func (s *windowSource) begin(c *windowCursor, sweep bool, now time.Time) job {
	low := earlier(c.Mark, now).Add(-s.plan.overlap)
	until := floor(now)
	if sweep {
		low, until = now.Add(-s.plan.sweepDepth), low
	}
	low = later(floor(low), c.Start)
	if s.spec.feed != "" {
		low = later(low, floor(now.Add(-s.spec.keeps-s.spec.grace())))
	}
	j, ok := slice(job{From: low, Begun: now, Low: low, Until: later(until, low)}, c.Skips, sweep)
	if !ok { // all of it was given up
		j.High = j.Until
	}
	return j
}

func width(narrow int) time.Duration { return max(widest>>narrow, narrowest) }

func (s *windowSource) topAt(level int) int { return shrunk(s.plan.pageSize, level) }

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
	page := event.Page{Events: make([]event.Event, 0, s.usual)}
	last := j.Last
	each := func(raw []byte) {
		e, err := s.decode(raw)
		if errors.Is(err, errNoApp) {
			s.metrics.passed.WithLabelValues(s.key).Inc()
			return
		}
		page.Fetched++
		if err != nil {
			page.Quarantined = append(page.Quarantined, s.quarantine(raw, err))
			return
		}
		e.Source = s.key
		last = later(last, occurred(&e))
		page.Events = append(page.Events, e)
	}
	var l links
	var err error
	if s.spec.feed != "" {
		l, err = s.contents(ctx, c, j, j.manner(sweep), &page, each)
	} else {
		l, err = s.ask(ctx, *j, sweep, each)
	}
	if err == nil {
		err = s.trail(sweep).follow(j.Next, l.next)
	}
	if err != nil {
		return event.Page{}, links{}, err
	}
	seen := s.time()
	c.Live, j.Begun = s.upstream(c.Live), s.upstream(j.Begun)
	for i := range page.Events {
		e := &page.Events[i]
		e.Observed, e.Backfill = seen, occurred(e).Before(c.Live)
	}
	slices.SortStableFunc(page.Events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	j.Last, s.usual = last, len(page.Events)
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
	how := j.manner(sweep)
	if j.Next != "" {
		info, err := s.link(j.Next)
		if err != nil {
			return links{}, err
		}
		s.preferences(info.Headers)
		return s.page(ctx, info, how, each)
	}
	info, err := s.spec.ask(ctx, s.client, s.spec.version, s.query(j))
	if err != nil {
		return links{}, fmt.Errorf("build request: %w", err)
	}
	s.preferences(info.Headers)
	return s.page(ctx, info, how, each)
}

func (j *job) manner(sweep bool) manner {
	how := manner{sweep: sweep}
	if j.Level > 0 {
		how.limit = smallLimit
	}
	return how
}

func (s *windowSource) preferences(h interface{ TryAdd(string, string) bool }) {
	if s.spec.prefer != "" {
		h.TryAdd("Prefer", s.spec.prefer)
	}
}

// advance moves the cursor behind a page that was read.
func (s *windowSource) advance(c *windowCursor, j *job, l links, sweep bool, page *event.Page) {
	j.Pages++
	j.Run++
	s.measure(c, j, sweep, false)
	if l.again {
		s.store(c, j, sweep)
		return
	}
	if k, ok := s.oneAnswer(j, l); ok {
		delete(s.trails, sweep)
		s.store(c, &k, sweep)
		return
	}
	if l.next != "" {
		j.Next, j.Done = l.next, nil
		s.store(c, s.recovered(j, sweep), sweep)
		return
	}
	low := j.High
	if j.Retry {
		c.Skips = without(c.Skips, span{j.Low, j.High})
		low = j.High.Add(tick)
	}
	k := *j
	if k.Behind = false; k.Narrow > 0 {
		k.Narrow--
	} else {
		k.Level = max(k.Level-1, 0)
	}
	s.pass(c, j, k, low, sweep, page)
}

// oneAnswer is j with a shorter slice where a list without an order of its own takes
// several pages: a record that changes meanwhile would move the others over the border
// between two of them. What was read of the slice is read again.
func (s *windowSource) oneAnswer(j *job, l links) (job, bool) {
	if s.spec.ordered || s.spec.feed != "" || l.next == "" || j.Next != "" || j.Level > 0 {
		return *j, false
	}
	return s.shorter(s.restarted(*j))
}

// pass ends the slice of j, read or given up; the next one begins at low and is
// as large as k says.
func (s *windowSource) pass(c *windowCursor, j *job, k job, low time.Time, sweep bool, page *event.Page) {
	delete(s.trails, sweep)
	if read := s.upstream(j.High); !sweep && read.After(c.Mark) {
		c.Mark = read
	}
	k.Low, k.Next, k.Done, k.Last, k.Run, k.Retry = low, "", nil, time.Time{}, 0, false
	next, more := slice(k, c.Skips, sweep)
	if more && j.High.Before(s.upstream(j.Until)) {
		s.store(c, &next, sweep)
	} else {
		s.store(c, nil, sweep)
		s.finished(c, j, sweep)
	}
	if t := s.complete(c); t.After(c.Through) {
		c.Through, page.CompleteThrough = t, t
	}
}

// recovered lets a window that shrank grow again: so many small pages went well
// that the place that failed is behind them.
func (s *windowSource) recovered(j *job, sweep bool) *job {
	if j.Level == 0 || j.Run < recovery || !s.spec.ordered || !j.Last.After(j.Low) {
		return j
	}
	delete(s.trails, sweep)
	k := s.restarted(*j)
	k.Level, k.Behind = j.Level-1, false
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
func (s *windowSource) finished(c *windowCursor, j *job, sweep bool) {
	now := s.time() // behind the wait for the budget, so that sweeps get their turn
	s.measure(c, j, sweep, true)
	if sweep {
		c.Swept, c.Covered = now, later(c.Covered, j.Begun)
	} else {
		s.nextPoll = s.now().Add(s.jitter(s.plan.poll))
	}
	if !sweep && !j.From.After(c.Start) { // the first poll reads all there is
		c.Covered = later(c.Covered, j.Begun)
	}
	old := now.Add(-max(s.plan.sweepDepth, s.plan.overlap))
	c.Skips = slices.DeleteFunc(c.Skips, func(k span) bool { return k.To.Before(old) })
}

// measure notes what a poll needs for the time that it is the first to read, and
// a sweep for its interval; while it goes on, what it needed so far. The first
// poll reads all that was there before, which never comes again.
func (s *windowSource) measure(c *windowCursor, j *job, sweep, done bool) {
	units, need := float64(j.Pages*s.spec.cost), &c.Needs.Poll
	every := max(s.plan.poll, j.Until.Sub(j.From)-s.plan.overlap)
	if sweep {
		every, need = s.plan.sweepEvery, &c.Needs.Sweep
	}
	if every <= 0 || !sweep && !j.From.After(c.Start) {
		return
	}
	if now := units / every.Seconds(); done || now > *need {
		*need = now
	}
	s.budget.need(s.key, c.Needs)
}

// complete is the time through which every record was read. What is later than
// the overlap only a sweep reads; where none is wanted, what polls read is all
// there will be. It never passes over a gap that sweeps still ask for.
func (s *windowSource) complete(c *windowCursor) time.Time {
	t := c.Mark
	if s.plan.overlap < s.plan.lateness && s.plan.sweeps() {
		t = earlier(t, c.Covered)
	}
	t = t.Add(-s.plan.lateness)
	if len(c.Skips) > 0 {
		t = earlier(t, c.Skips[0].From)
	}
	return t
}

// wait is the time until there is something to read.
func (s *windowSource) wait(c *windowCursor) time.Duration {
	if c.Poll != nil || c.Sweep != nil {
		return 0
	}
	return max(min(s.nextPoll.Sub(s.now()), s.sweepDue(c, s.time())), 0)
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
