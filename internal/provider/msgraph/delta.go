package msgraph

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// deltaPage is the greatest page of a directory collection.
const deltaPage = 999

// deltaSource reads a directory collection by delta query: once whole (a
// generation), then what changed. A token that is no longer honoured begins the
// next generation; objects are removed only by a generation that came to its
// end, never by a refusal. See https://learn.microsoft.com/graph/delta-query-overview.
type deltaSource struct {
	*caller
	plan   schedule
	decode func(raw []byte) (event.Object, error)
	jitter func(time.Duration) time.Duration

	trouble trouble
	trail   trail
	told    bool // that generations begin and none ends
}

func newDeltaSource(c *caller, plan schedule, decode func([]byte) (event.Object, error), jitter func(time.Duration) time.Duration) *deltaSource {
	return &deltaSource{caller: c, plan: plan, decode: decode, jitter: jitter, trail: trail{}}
}

// Read returns one page of the generation or of the round of changes at hand.
func (s *deltaSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	page, err := s.read(ctx, cursor)
	return s.startOver(page, err, func(now time.Time) (any, time.Time, time.Time) {
		return &deltaCursor{V: cursorVersion, Gen: anew(now), Based: true}, now, now
	})
}

func (s *deltaSource) read(ctx context.Context, cursor []byte) (event.Page, error) {
	now := s.time()
	c := deltaCursor{V: cursorVersion}
	if err := decodeCursor(cursor, &c, func(c *deltaCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	moved, err := s.moved(&c.Home, c.Next, c.Delta)
	if err != nil {
		return event.Page{}, err
	}
	if moved { // links of another origin or tenant: the next generation
		c.Next, c.Delta, c.Full, c.Lossy = "", "", false, false
	}
	s.budget.need(s.key, c.Needs)
	s.begin(&c, now)
	page, l, err := s.fetch(ctx, &c)
	if err == nil && l.next == "" && l.delta == "" {
		err = &broken{err: errors.New("the last page has no deltaLink")}
	}
	if err != nil {
		return s.failed(ctx, &c, now, err)
	}
	s.trouble = trouble{}
	page.Sync = &event.Sync{Scope: s.spec.name, Kind: s.spec.objects, Baseline: c.Full && !c.Based}
	if c.Full {
		page.Sync.Generation = c.Gen
	}
	s.advance(&c, l, now, &page)
	return s.done(&c, page), nil
}

// done finishes a page. While a generation cannot come to its end, that is a gap.
func (s *deltaSource) done(c *deltaCursor, page event.Page) event.Page {
	if !c.Broken.IsZero() {
		page.Open = []event.Gap{{Source: s.key, From: c.Broken, To: s.time()}}
	}
	page.Cursor = encodeCursor(c)
	return page
}

// at is the link that is read next; "" = the beginning.
func at(c *deltaCursor) string {
	if c.Next != "" {
		return c.Next
	}
	return c.Delta
}

// begin starts a round, or a generation where none was read or the last is old.
func (s *deltaSource) begin(c *deltaCursor, now time.Time) {
	if c.Next != "" {
		return
	}
	old := c.Based && s.plan.resync > 0 && (now.Sub(c.FullAt) >= s.plan.resync && !s.date.IsZero())
	if c.Delta == "" && !c.Full || old && !c.Full {
		c.Gen++
		c.Full, c.Delta = true, ""
	}
	c.Begun, c.Pages = now, 0
	s.trail = trail{}
}

func (s *deltaSource) fetch(ctx context.Context, c *deltaCursor) (event.Page, links, error) {
	var page event.Page
	info, err := s.request(ctx, c)
	if err != nil {
		return page, links{}, err
	}
	l, err := s.page(ctx, info, manner{}, func(raw []byte) {
		page.Fetched++
		o, err := s.decode(raw)
		if err != nil {
			page.Quarantined = append(page.Quarantined, s.quarantine(raw, err))
			return
		}
		page.Objects = append(page.Objects, o)
	})
	if err == nil {
		err = s.trail.follow(at(c), l.next)
	}
	return page, l, err
}

func (s *deltaSource) request(ctx context.Context, c *deltaCursor) (info *abs.RequestInformation, err error) {
	if link := at(c); link != "" {
		info, err = s.link(link)
	} else {
		info, err = s.spec.ask(ctx, s.client, s.spec.version, query{selects: s.spec.selects})
	}
	if err != nil {
		return nil, err
	}
	size := shrunk(min(s.plan.pageSize, deltaPage), c.Small)
	info.Headers.TryAdd("Prefer", "odata.maxpagesize="+strconv.Itoa(size))
	if c.Full {
		info.Headers.TryAdd("x-ms-throttle-priority", "Low")
	}
	return info, nil
}

func (s *deltaSource) advance(c *deltaCursor, l links, now time.Time, page *event.Page) {
	c.Pages++
	if units := float64(c.Pages*s.spec.cost) / s.plan.poll.Seconds(); !c.Full && (l.next == "" || units > c.Needs.Poll) {
		c.Needs.Poll = units
		s.budget.need(s.key, c.Needs)
	}
	c.Lossy = c.Lossy || len(page.Quarantined) > 0
	if c.Next = l.next; l.next != "" {
		return
	}
	c.Delta = l.delta
	if c.Full {
		// What was quarantined is there, so that nothing may count as removed; the
		// baseline has nothing to remove.
		page.Sync.Complete = !c.Lossy || page.Sync.Baseline
		c.Full, c.Based, c.FullAt, c.Small = false, true, now, 0
	} else {
		page.Sync.Complete = !c.Lossy
	}
	c.Resets, c.Broken, c.Lossy = 0, time.Time{}, false
	page.CompleteThrough = s.upstream(c.Begun).Add(-s.plan.lateness)
	page.Wait = s.jitter(s.plan.poll)
}

// again begins the next generation. Nothing is removed before its end, and where
// no generation ever ended it is still the baseline. Where one follows the other
// and none ends, the second waits and the third is an error.
func (s *deltaSource) again(c *deltaCursor, now time.Time, small int, err error) (event.Page, error) {
	if c.Resets >= maxResets && !s.told {
		s.told = true
		return event.Page{}, fmt.Errorf("read %s again and again: %w", s.spec.name, err)
	}
	s.told = false
	var page event.Page
	if c.Resets++; c.Resets > 1 {
		page.Wait = s.jitter(s.plan.poll)
	}
	s.trouble, s.trail = trouble{}, trail{}
	c.Gen++
	c.Full, c.Next, c.Delta, c.Begun, c.Small, c.Lossy, c.Pages = true, "", "", now, small, false, 0
	page.Sync = &event.Sync{Scope: s.spec.name, Kind: s.spec.objects, Generation: c.Gen, Baseline: !c.Based}
	return s.done(c, page), nil
}

// failed decides what follows a page that was not read. A token that is no
// longer honoured begins the next generation. A page that fails for ever is read
// in a new generation of smaller pages; where the smallest fails as well, that is
// reported as a gap once, the generation stays open, and the page is tried slowly.
func (s *deltaSource) failed(ctx context.Context, c *deltaCursor, now time.Time, err error) (event.Page, error) {
	if at(c) != "" && (gone(err) || stale(err) && fault.Of(err) == fault.Permanent) {
		return s.again(c, now, c.Small, err)
	}
	if !pageFault(err) && !unavailable(err) {
		return event.Page{}, err
	}
	s.trouble = s.trouble.again(at(c))
	switch {
	case !c.Broken.IsZero():
		return s.done(c, event.Page{Wait: s.jitter(slowly)}), nil
	case !tooLarge(err) && !s.trouble.exhausted(err) || !s.alive(ctx):
		return event.Page{}, fmt.Errorf("read %s: %w", s.spec.name, err)
	case c.Small < topLevels:
		return s.shrink(c, now), nil
	}
	c.Broken = now
	reason := "a page of " + s.spec.name + " fails at every size, and changes behind it are not seen until it can be read: " + err.Error()
	return s.done(c, event.Page{Wait: s.jitter(slowly), Gaps: []event.Gap{{Source: s.key, From: earlier(later(c.FullAt, c.Begun), now), To: now, Reason: reason, Advice: s.spec.elsewhere()}}}), nil
}

// shrink begins a generation of smaller pages: a link cannot be resumed with
// another size.
func (s *deltaSource) shrink(c *deltaCursor, now time.Time) event.Page {
	resets := c.Resets
	c.Resets = 0
	page, _ := s.again(c, now, c.Small+1, nil) // the first of them is no error
	c.Resets = resets
	return s.done(c, page)
}

// maxResets is how many generations may begin without one that ends.
const maxResets = 2

// alive asks the directory for almost nothing, to tell an outage from a page
// that is to blame.
func (c *caller) alive(ctx context.Context) bool {
	info, err := askPrincipalList(ctx, c.client, stable, query{selects: []string{"id"}, top: 1})
	if err != nil {
		return false
	}
	_, err = c.page(ctx, info, manner{limit: smallLimit}, func([]byte) {})
	return err == nil
}

// shrunk is a page size after some divisions by ten.
func shrunk(size, times int) int {
	for range times {
		size /= 10
	}
	return max(size, 1)
}
