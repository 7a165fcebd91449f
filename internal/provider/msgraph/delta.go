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

	tries int    // failures of the page at hand
	at    string // its link
	trail trail
	pages int // of this round
}

func newDeltaSource(c *caller, plan schedule, decode func([]byte) (event.Object, error), jitter func(time.Duration) time.Duration) *deltaSource {
	return &deltaSource{caller: c, plan: plan, decode: decode, jitter: jitter, trail: trail{}}
}

// Read returns one page of the generation or of the round of changes at hand.
func (s *deltaSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	now := s.now().UTC()
	c := deltaCursor{V: cursorVersion}
	if err := decodeCursor(cursor, &c, func(c *deltaCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	s.begin(&c, now)
	page, l, err := s.fetch(ctx, &c)
	switch {
	case err != nil && at(&c) != "" && gone(err):
		return s.again(&c, now, c.Small), nil
	case err != nil:
		return s.failed(&c, now, err)
	case l.next == "" && l.delta == "":
		return event.Page{}, &broken{err: errors.New("the last page has no deltaLink")}
	}
	s.tries = 0
	page.Sync = &event.Sync{Scope: s.spec.name, Kind: s.spec.objects, Baseline: c.Full && !c.Based}
	if c.Full {
		page.Sync.Generation = c.Gen
	}
	s.advance(&c, l, now, &page)
	page.Cursor = encodeCursor(&c)
	return page, nil
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
	old := c.Based && s.plan.resync > 0 && now.Sub(c.FullAt) >= s.plan.resync
	if c.Delta == "" && !c.Full || old && !c.Full {
		c.Gen++
		c.Full, c.Delta = true, ""
	}
	c.Begun = now
	s.trail, s.pages = trail{}, 0
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
	size := min(s.plan.pageSize, deltaPage)
	for range c.Small {
		size = max(size/10, 1)
	}
	info.Headers.TryAdd("Prefer", "odata.maxpagesize="+strconv.Itoa(size))
	if c.Full {
		info.Headers.TryAdd("x-ms-throttle-priority", "Low")
	}
	return info, nil
}

func (s *deltaSource) advance(c *deltaCursor, l links, now time.Time, page *event.Page) {
	s.pages++
	if c.Next = l.next; l.next != "" {
		return
	}
	c.Delta = l.delta
	if c.Full {
		page.Sync.Complete = true
		c.Full, c.Based, c.FullAt, c.Small = false, true, now, 0
	} else {
		s.budget.need(s.key, float64(s.pages*s.spec.cost), s.plan.poll)
	}
	page.CompleteThrough = c.Begun.Add(-s.plan.lateness)
	page.Wait = s.jitter(s.plan.poll)
}

// again begins the next generation. Nothing is removed before its end, and where
// no generation ever ended it is still the baseline.
func (s *deltaSource) again(c *deltaCursor, now time.Time, small int) event.Page {
	s.tries, s.trail, s.pages = 0, trail{}, 0
	c.Gen++
	c.Full, c.Next, c.Delta, c.Begun, c.Small = true, "", "", now, small
	return event.Page{Cursor: encodeCursor(c), Sync: &event.Sync{Scope: s.spec.name, Kind: s.spec.objects, Generation: c.Gen, Baseline: !c.Based}}
}

// failed counts failures of a page: one that fails for ever is read in a new
// generation of smaller pages.
func (s *deltaSource) failed(c *deltaCursor, now time.Time, err error) (event.Page, error) {
	if at(c) != "" && stale(err) && fault.Of(err) == fault.Permanent {
		return s.again(c, now, c.Small), nil
	}
	if !pageFault(err) {
		return event.Page{}, err
	}
	if link := at(c); s.at != link {
		s.at, s.tries = link, 0
	}
	if s.tries++; (s.tries >= 2*patience || tooLarge(err)) && c.Small < topLevels {
		return s.again(c, now, c.Small+1), nil
	}
	return event.Page{}, fmt.Errorf("read %s: %w", s.spec.name, err)
}
