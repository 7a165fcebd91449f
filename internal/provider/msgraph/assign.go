package msgraph

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"

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

	trail trail
	pages int
}

func newAssignSource(c *caller, plan schedule, more []string, decode func([]byte) (event.Object, error), jitter func(time.Duration) time.Duration) *assignSource {
	return &assignSource{caller: c, plan: plan, apps: append(resourceApps(), more...), decode: decode, jitter: jitter, trail: trail{}}
}

// Read returns the list of APIs, without records, or one page of one of them.
func (s *assignSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	now := s.now().UTC()
	c := assignCursor{V: cursorVersion}
	if err := decodeCursor(cursor, &c, func(c *assignCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	if err := c.valid(); err != nil {
		return event.Page{}, err
	}
	if len(c.Resources) == 0 {
		return s.begin(ctx, &c, now)
	}
	page, l, err := s.fetch(ctx, &c)
	switch {
	case err != nil && c.Next != "" && stale(err):
		return s.again(&c), nil
	case err != nil && missing(err):
		page, l = event.Page{}, links{} // removed since the list was read
	case err != nil:
		return event.Page{}, fmt.Errorf("read %s: %w", s.spec.name, err)
	default:
		page.Sync = s.sync(&c, l.next == "")
	}
	s.advance(&c, l, &page)
	page.Cursor = encodeCursor(&c)
	return page, nil
}

// missing reports whether the resource itself is not there.
func missing(err error) bool { return fault.Of(err) == fault.Permanent && isNotFound(err) }

func (s *assignSource) sync(c *assignCursor, complete bool) *event.Sync {
	r := c.Resources[c.Index]
	return &event.Sync{Scope: s.spec.name + "/" + r.ID, Kind: s.spec.objects, Parent: r.ID,
		Generation: c.Pass, Complete: complete, Baseline: c.Known[r.ID] == 0}
}

// begin finds the service principals of the APIs and starts a pass over them.
func (s *assignSource) begin(ctx context.Context, c *assignCursor, now time.Time) (event.Page, error) {
	var clauses []string
	for _, id := range s.apps {
		clauses = append(clauses, "appId eq '"+id+"'")
	}
	info, err := s.spec.ask(ctx, s.client, s.spec.version, query{selects: []string{"id", "appId"}, filter: strings.Join(clauses, " or ")})
	if err != nil {
		return event.Page{}, fmt.Errorf("build request: %w", err)
	}
	var found []resource
	l, err := s.page(ctx, info, manner{}, func(raw []byte) {
		var r struct{ ID, AppID string }
		if json.Unmarshal(raw, &r) == nil && isGUID(r.ID) {
			found = append(found, resource{ID: r.ID, AppID: r.AppID})
		}
	})
	switch {
	case err != nil:
		return event.Page{}, fmt.Errorf("find APIs: %w", err)
	case l.next != "":
		return event.Page{}, &broken{err: fmt.Errorf("the list of %d APIs has a second page", len(s.apps))}
	}
	c.Pass++
	c.Resources, c.Index, c.Next, c.Begun = found, 0, "", now
	s.trail, s.pages = trail{}, 1
	page := event.Page{Cursor: encodeCursor(c)}
	if len(found) == 0 {
		page.Wait = s.jitter(s.plan.poll)
	}
	return page, nil
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
	return askAssignedTo(ctx, s.client, s.spec.version, c.Resources[c.Index].ID, query{top: min(s.plan.pageSize, deltaPage)})
}

func (s *assignSource) advance(c *assignCursor, l links, page *event.Page) {
	s.pages++
	if c.Next = l.next; l.next != "" {
		return
	}
	s.trail = trail{}
	if page.Sync != nil {
		if c.Known == nil {
			c.Known = map[string]int{}
		}
		c.Known[c.Resources[c.Index].ID] = 1
	}
	if c.Index++; c.Index < len(c.Resources) {
		return
	}
	c.Resources, c.Index = nil, 0
	s.budget.need(s.key, float64(s.pages*s.spec.cost), s.plan.poll)
	page.CompleteThrough = c.Begun.Add(-s.plan.lateness)
	page.Wait = s.jitter(s.plan.poll)
}

// again reads the APIs anew as the next pass: the one at hand never ends, so it
// removes nothing.
func (s *assignSource) again(c *assignCursor) event.Page {
	s.trail = trail{}
	c.Resources, c.Index, c.Next = nil, 0, ""
	return event.Page{Cursor: encodeCursor(c)}
}
