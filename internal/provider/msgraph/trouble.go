package msgraph

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

const (
	patience   = 5                // tries of a page before it is asked for in smaller pieces, or given up
	impatience = 2                // the same where each try costs minutes of silence
	smallLimit = 30 * time.Second // for the whole answer to a request that asks for little
	slowly     = 30 * time.Minute // between tries of what was reported as a gap
)

// elsewhere is where somebody finds what a source could not read.
func (s spec) elsewhere() string {
	switch {
	case s.feed != "":
		return "search that time in the audit log of the Microsoft Purview portal, which keeps 180 days"
	case s.hunt != nil:
		return "query that time by advanced hunting in the Microsoft Defender portal, which keeps 30 days"
	case s.class == event.ClassAlert:
		return "look at that time in the Microsoft Defender portal"
	case s.inventory:
		return "the next read shows how things are by then; what changed meanwhile is in the directory's audit log"
	}
	return "look at that time in the Microsoft Entra admin center"
}

// trouble is what a source remembers of a page that fails. What follows from it
// goes to the cursor; a restart only begins counting anew.
type trouble struct {
	at    string // what the cursor asks for
	tries int
}

// again counts one more failure at a place.
func (t trouble) again(at string) trouble {
	if t.at != at {
		return trouble{at, 1}
	}
	return trouble{at, t.tries + 1}
}

// exhausted reports whether err came so often that the page is to blame, if the
// service answers at all.
func (t trouble) exhausted(err error) bool {
	if silent(err) {
		return t.tries >= impatience
	}
	return t.tries >= patience
}

// failed decides what follows a failed page: an error, so that the loop tries
// again later; or, once the service is known to answer, a page without records
// whose cursor asks for less, steps over a gap, or leaves for later what failed
// before. Requests that follow are paced by the budget.
func (s *windowSource) failed(ctx context.Context, c *windowCursor, j *job, from string, sweep bool, err error) (event.Page, error) {
	if j.Next != "" && stale(err) {
		if k := s.restarted(*j); k.Low.After(j.Low) {
			return s.instead(c, k, sweep), nil
		}
	} else if !pageFault(err) && !unavailable(err) {
		return event.Page{}, err
	}
	var page event.Page
	if j.Retry {
		s.pass(c, j, *j, j.High.Add(tick), sweep, &page)
		return page, nil
	}
	t := s.troubles[sweep].again(from)
	s.troubles[sweep] = t
	smaller, ok := s.smaller(*j)
	switch hunting := ok && j.Level > 0 && !j.Behind; {
	case hunting, ok && tooLarge(err), ok && stale(err):
		return s.instead(c, smaller, sweep), nil
	case !t.exhausted(err) || !s.alive(ctx):
		return event.Page{}, err
	case ok && !j.Behind:
		s.log.Warn("a page fails though the service answers; it is asked for in smaller pieces", zap.String("source", s.key), zap.Error(err))
		return s.instead(c, smaller, sweep), nil
	}
	delete(s.troubles, sweep)
	s.giveUp(c, j, sweep, err, &page)
	return page, nil
}

// instead stores the job that is asked for next.
func (s *windowSource) instead(c *windowCursor, j job, sweep bool) event.Page {
	delete(s.trails, sweep)
	delete(s.troubles, sweep)
	s.store(c, &j, sweep)
	return event.Page{}
}

// giveUp reports the rest of the slice as a gap. The slice behind it is twice as
// wide and may be given up as it is, so that a bad stretch of time is crossed in
// few steps; sweeps find out later what of it can be read after all.
func (s *windowSource) giveUp(c *windowCursor, j *job, sweep bool, err error, page *event.Page) {
	lost := s.restarted(*j)
	page.Gaps = []event.Gap{{Source: s.key, From: lost.Low, To: lost.High, Reason: "skip window, it fails at every size: " + err.Error(), Advice: s.spec.elsewhere()}}
	c.Skips = with(c.Skips, span{lost.Low, lost.High})
	k := *j
	k.Behind, k.Narrow = true, max(j.Narrow-1, 0)
	s.pass(c, j, k, j.High.Add(tick), sweep, page)
}

// missing lists what is given up at the moment.
func (s *windowSource) missing(c *windowCursor) []event.Gap {
	var open []event.Gap
	for _, k := range c.Skips {
		open = append(open, event.Gap{Source: s.key, From: k.From, To: k.To})
	}
	return open
}

// restarted is j from the last record that was read on, without its link: a
// link cannot be resumed with another size. What shares the last record's time
// is read again.
func (s *windowSource) restarted(j job) job {
	if s.spec.ordered && j.Last.After(j.Low) && !j.Last.After(j.High) {
		j.Low = j.Last
	}
	j.Next, j.Done, j.Last, j.Run = "", nil, time.Time{}, 0
	return j
}

// smaller is j with fewer records per page or, where a page has only one, with a
// shorter slice; ok is false when it cannot shrink any more.
func (s *windowSource) smaller(j job) (job, bool) {
	k := s.restarted(j)
	for k.Level++; k.Level <= topLevels; k.Level++ {
		if s.topAt(k.Level) < s.topAt(j.Level) {
			return k, true
		}
	}
	k.Level = topLevels
	return s.shorter(k)
}

// shorter is j with a shorter slice.
func (s *windowSource) shorter(j job) (job, bool) {
	for j.Narrow < narrowLevels {
		j.Narrow++
		if high := j.Low.Add(width(j.Narrow)); high.Before(j.High) {
			j.High = high
			return j, true
		}
	}
	return j, false
}

// alive asks the same collection for almost nothing: when that fails as well,
// the service is down and no page is to blame.
func (s *windowSource) alive(ctx context.Context) bool { return s.probe(ctx) == nil }

// probe asks for almost nothing.
func (s *windowSource) probe(ctx context.Context) error {
	now := floor(s.time())
	j := job{Low: now.Add(-time.Second), High: now, Level: topLevels}
	if s.spec.feed != "" {
		_, _, err := s.listing(ctx, j, j.manner(false))
		return err
	}
	_, err := s.ask(ctx, j, false, func([]byte) {})
	return err
}
