package msgraph

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// assignSource reads which app holds which application permission: for each of
// the APIs that matter, who is assigned to its app roles. There is no delta; each
// API is a scope, each pass a generation of it.
type assignSource struct {
	*caller
	plan   schedule
	apps   []string // application ids of the APIs
	decode func(raw []byte) (event.Object, error)
	jitter func(time.Duration) time.Duration

	trouble trouble
	trail   trail
}

func newAssignSource(c *caller, plan schedule, more []string, decode func([]byte) (event.Object, error), jitter func(time.Duration) time.Duration) *assignSource {
	return &assignSource{caller: c, plan: plan, apps: append(resourceApps(), more...), decode: decode, jitter: jitter, trail: trail{}}
}

// Read returns the list of APIs, without records, or one page of one of them.
func (s *assignSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	page, err := s.read(ctx, cursor)
	return s.startOver(page, err, func(now time.Time) (any, time.Time, time.Time) {
		return &assignCursor{V: cursorVersion, Pass: anew(now), Based: true, Asked: slices.Clone(s.apps)}, now, now
	})
}

func (s *assignSource) read(ctx context.Context, cursor []byte) (event.Page, error) {
	now := s.time()
	c := assignCursor{V: cursorVersion}
	if err := decodeCursor(cursor, &c, func(c *assignCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	if err := c.valid(); err != nil {
		return event.Page{}, err
	}
	moved, err := s.moved(&c.Home, c.Next)
	if err != nil {
		return event.Page{}, err
	}
	if moved { // links of another origin or tenant: the pass begins again
		c.Resources, c.Index, c.Next = nil, 0, ""
	}
	s.budget.need(s.key, c.Needs)
	if len(c.Resources) == 0 {
		return s.begin(ctx, &c, now)
	}
	page, l, err := s.fetch(ctx, &c)
	switch {
	case err != nil && missing(err) && c.Next == "":
		page, l = event.Page{}, links{} // removed since the list was read
	case err != nil:
		if page, err = s.failed(ctx, &c, now, err); err != nil {
			return event.Page{}, fmt.Errorf("read %s: %w", s.spec.name, err)
		}
		return s.done(&c, page), nil
	default:
		c.Lossy = c.Lossy || len(page.Quarantined) > 0
		page.Sync = s.sync(&c, l.next == "")
	}
	s.trouble = trouble{}
	s.advance(&c, l, &page)
	return s.done(&c, page), nil
}

// done finishes a page. An API that was given up is a gap until it is read.
func (s *assignSource) done(c *assignCursor, page event.Page) event.Page {
	for _, b := range c.Broken {
		page.Open = append(page.Open, event.Gap{Source: s.key, From: b.Since, To: s.time()})
	}
	page.Cursor = encodeCursor(c)
	return page
}

// missing reports whether the resource itself is not there.
func missing(err error) bool { return fault.Of(err) == fault.Permanent && isNotFound(err) }

func (s *assignSource) sync(c *assignCursor, complete bool) *event.Sync {
	r := c.Resources[c.Index]
	first := c.Known[r.ID] == 0 && !c.Based
	return &event.Sync{Scope: s.spec.name + "/" + r.ID, Kind: s.spec.objects, Parent: r.ID,
		Generation: c.Pass, Complete: complete && (!c.Lossy || first), Baseline: first}
}

// begin finds the service principals of the APIs and starts a pass over them.
func (s *assignSource) begin(ctx context.Context, c *assignCursor, now time.Time) (event.Page, error) {
	var found []resource
	for apps := range slices.Chunk(s.apps, maxClauses) {
		some, err := s.find(ctx, apps)
		if err != nil {
			return event.Page{}, err
		}
		found = append(found, some...)
	}
	// What was looked for in vain before is new now: it is no silent baseline.
	for _, r := range found {
		if c.Known[r.ID] == 0 && slices.Contains(c.Asked, r.AppID) {
			c.know(r.ID)
		}
	}
	c.Asked = slices.Clone(s.apps)
	c.Pass++
	c.Resources, c.Index, c.Next, c.Begun = found, 0, "", now
	c.Small, c.Resets, c.Lossy, c.Pages = 0, 0, false, (len(s.apps)+maxClauses-1)/maxClauses
	s.trouble, s.trail = trouble{}, trail{}
	page := event.Page{Cursor: encodeCursor(c)}
	if len(found) == 0 {
		page.Wait = s.jitter(s.plan.poll)
	}
	return page, nil
}

// maxClauses is how many conditions Graph takes in one filter.
const maxClauses = 15

func (s *assignSource) find(ctx context.Context, apps []string) ([]resource, error) {
	clauses := make([]string, len(apps))
	for i, id := range apps {
		clauses[i] = "appId eq '" + id + "'"
	}
	info, err := s.spec.ask(ctx, s.client, s.spec.version, query{selects: []string{"id", "appId"}, filter: strings.Join(clauses, " or ")})
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	var found []resource
	l, err := s.page(ctx, info, manner{}, func(raw []byte) {
		var r struct{ ID, AppID string }
		if json.Unmarshal(raw, &r) == nil && entralogin.IsGUID(r.ID) {
			found = append(found, resource{ID: r.ID, AppID: r.AppID})
		}
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("find APIs: %w", err)
	case l.next != "":
		return nil, &broken{err: fmt.Errorf("the list of %d APIs has a second page", len(apps))}
	}
	return found, nil
}

func (s *assignSource) fetch(ctx context.Context, c *assignCursor) (event.Page, links, error) {
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
		err = s.trail.follow(c.Next, l.next)
	}
	return page, l, err
}

func (s *assignSource) request(ctx context.Context, c *assignCursor) (*abs.RequestInformation, error) {
	if c.Next != "" {
		return s.link(c.Next)
	}
	return askAssignedTo(ctx, s.client, s.spec.version, c.Resources[c.Index].ID, query{top: shrunk(min(s.plan.pageSize, deltaPage), c.Small)})
}

func (s *assignSource) advance(c *assignCursor, l links, page *event.Page) {
	c.Pages++
	s.measure(c, false)
	if c.Next = l.next; l.next != "" {
		return
	}
	id := c.Resources[c.Index].ID
	if page.Sync != nil {
		c.know(id)
	}
	c.Broken = slices.DeleteFunc(c.Broken, func(b lostAPI) bool { return b.ID == id })
	s.nextAPI(c, page)
}

func (s *assignSource) measure(c *assignCursor, done bool) {
	if units := float64(c.Pages*s.spec.cost) / s.plan.poll.Seconds(); done || units > c.Needs.Poll {
		c.Needs.Poll = units
		s.budget.need(s.key, c.Needs)
	}
}

// know notes that what is found at an API from now on is new.
func (c *assignCursor) know(id string) {
	if c.Known == nil {
		c.Known = map[string]int{}
	}
	c.Known[id] = 1
}

// nextAPI leaves the API at hand, read or given up; behind the last one the pass
// ends.
func (s *assignSource) nextAPI(c *assignCursor, page *event.Page) {
	s.trouble, s.trail = trouble{}, trail{}
	c.Next, c.Small, c.Resets, c.Lossy = "", 0, 0, false
	if c.Index++; c.Index < len(c.Resources) {
		return
	}
	c.Resources, c.Index = nil, 0
	s.measure(c, true)
	if len(c.Broken) == 0 {
		page.CompleteThrough = s.upstream(c.Begun).Add(-s.plan.lateness)
	}
	page.Wait = s.jitter(s.plan.poll)
}

// failed decides what follows a page that was not read: the API is begun again,
// in smaller pages where they fail for ever, and at last given up for this pass:
// its generation does not end, so that it removes nothing, and the others go on.
func (s *assignSource) failed(ctx context.Context, c *assignCursor, now time.Time, err error) (event.Page, error) {
	refused := fault.Of(err) == fault.Permanent
	if !pageFault(err) && !unavailable(err) && !refused {
		return event.Page{}, err
	}
	id := c.Resources[c.Index].ID
	known := slices.ContainsFunc(c.Broken, func(b lostAPI) bool { return b.ID == id })
	s.trouble = s.trouble.again(id + " " + c.Next)
	switch {
	case refused && c.Next != "" && c.Resets < maxResets:
		c.Resets++
		return s.restart(c, c.Small), nil
	case !known && (!refused && !tooLarge(err) && !s.trouble.exhausted(err) || !s.alive(ctx)):
		return event.Page{}, err
	case !known && !refused && c.Small < topLevels:
		return s.restart(c, c.Small+1), nil
	}
	var page event.Page
	if !known {
		page.Gaps = []event.Gap{{Source: s.key, From: c.Begun, To: now, Reason: "the assignments of API " + c.Resources[c.Index].AppID + " cannot be read: " + err.Error(), Advice: s.spec.elsewhere()}}
		c.Broken = append(c.Broken, lostAPI{id, now})
	}
	s.nextAPI(c, &page)
	return page, nil
}

// restart reads the API at hand from its beginning.
func (s *assignSource) restart(c *assignCursor, small int) event.Page {
	s.trouble, s.trail = trouble{}, trail{}
	c.Next, c.Small = "", small
	return event.Page{}
}
