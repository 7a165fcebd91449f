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
)

// listed is one collection without delta that is read whole, again and again.
type listed struct {
	path   string // behind the version
	query  string // without $top
	top    int    // greatest $top; 0 = the collection takes none
	single bool   // one object, no collection
	every  string // between two reads
	follow followFunc
}

// followFunc names the further list that an element leads to; "" = none.
type followFunc func(c *listCursor, raw []byte) (path, of string)

// branch is a further list that an element led to.
type branch struct {
	Path string `json:"path"`
	Of   string `json:"of,omitempty"` // what the decoder must know of the element
}

// listCursor is where the reading of such a collection stands.
type listCursor struct {
	V        int       `json:"v"`
	Pass     uint64    `json:"pass"`
	Open     bool      `json:"open,omitempty"`  // a pass is going on
	Based    bool      `json:"based,omitempty"` // some pass came to its end
	Next     string    `json:"next,omitempty"`
	Rest     string    `json:"rest,omitempty"`     // nextLink of the collection, while branches of its page are read
	Branches []branch  `json:"branches,omitempty"` // to be read, the one at hand first; empty = the collection is at hand
	Begun    time.Time `json:"begun,omitzero"`
	Small    int       `json:"small,omitempty"`  // how much smaller than usual the pages are
	Resets   int       `json:"resets,omitempty"` // times that the pass at hand was begun again
	Broken   time.Time `json:"broken,omitzero"`  // since when the page at hand is reported as a gap
	Lossy    bool      `json:"lossy,omitempty"`  // elements of this pass were quarantined, or branches left out
	Pages    int       `json:"pages,omitempty"`
	Needs    load      `json:"needs,omitzero"`
	Home     home      `json:"home,omitzero"`
	Mark     time.Time `json:"mark,omitzero"` // newest change whose history was read in a pass that ended
	Newest   time.Time `json:"newest,omitzero"`
	Low      time.Time `json:"low,omitzero"`   // what is not newer was read before this pass
	Swept    time.Time `json:"swept,omitzero"` // when what may come late was last read again
}

// listSource reads one such collection, and what its elements lead to. Each pass
// is a generation: what it did not show is gone.
type listSource struct {
	*caller
	plan   schedule
	decode func(of string, raw []byte) ([]event.Object, []event.Event, error)
	jitter func(time.Duration) time.Duration

	trouble trouble
	trail   trail
}

func newListSource(c *caller, plan schedule, decode func(string, []byte) ([]event.Object, []event.Event, error), jitter func(time.Duration) time.Duration) *listSource {
	return &listSource{caller: c, plan: plan, decode: decode, jitter: jitter, trail: trail{}}
}

// Read returns one page of the collection, or of a list that an element led to.
func (s *listSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	page, err := s.read(ctx, cursor)
	return s.startOver(page, err, func(now time.Time) (any, time.Time, time.Time) {
		return &listCursor{V: cursorVersion, Pass: anew(now), Based: true, Mark: now.Add(-deepest)}, now, now
	})
}

func (s *listSource) read(ctx context.Context, cursor []byte) (event.Page, error) {
	now := s.time()
	c := listCursor{V: cursorVersion}
	if err := decodeCursor(cursor, &c, func(c *listCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	moved, err := s.moved(&c.Home, c.Next, c.Rest)
	if err != nil {
		return event.Page{}, err
	}
	if moved {
		c.Open = false
	}
	s.budget.need(s.key, c.Needs)
	if !c.Open {
		s.begin(&c, now)
	}
	page, l, err := s.fetch(ctx, &c)
	switch {
	case err != nil && c.branching() && missing(err): // what the element stood for is gone
		page, l = event.Page{}, c.turn(links{}, nil)
	case err != nil:
		return s.failed(ctx, &c, now, err)
	}
	s.trouble = trouble{}
	c.Broken = time.Time{}
	c.Lossy = c.Lossy || len(page.Quarantined) > 0
	s.advance(&c, l, now, &page)
	return s.done(&c, page), nil
}

// begin starts a pass.
func (s *listSource) begin(c *listCursor, now time.Time) {
	c.Pass++
	c.Open, c.Next, c.Rest, c.Branches, c.Begun, c.Lossy, c.Pages = true, "", "", nil, now, false, 0
	c.Newest, c.Low = c.Mark, c.Mark
	if s.plan.sweeps() && now.Sub(c.Swept) >= s.plan.sweepEvery {
		c.Low, c.Swept = earlier(c.Mark, now.Add(-s.plan.sweepDepth)), now
	}
	s.trail = trail{}
}

// branching reports whether a further list is at hand.
func (c *listCursor) branching() bool { return len(c.Branches) > 0 }

func (s *listSource) done(c *listCursor, page event.Page) event.Page {
	if !c.Broken.IsZero() {
		page.Open = []event.Gap{{Source: s.key, From: c.Broken, To: s.time()}}
	}
	page.Cursor = encodeCursor(c)
	return page
}

func (s *listSource) request(c *listCursor) (*abs.RequestInformation, error) {
	if c.Next != "" {
		return s.link(c.Next)
	}
	at, of := s.spec.list.path, s.spec.list.query
	if c.branching() {
		at, of, _ = strings.Cut(c.Branches[0].Path, "?")
		of = strings.TrimPrefix(of, "?")
	} else if s.spec.list.top > 0 {
		of = joinQuery(of, fmt.Sprintf("$top=%d", shrunk(min(s.plan.pageSize, s.spec.list.top), c.Small)))
	}
	return askAt(s.client, s.spec.version, at, of)
}

func joinQuery(a, b string) string {
	if a == "" {
		return b
	}
	return a + "&" + b
}

// askAt builds a GET of a path with a query in plain text.
func askAt(c *client, version, path, query string) (*abs.RequestInformation, error) {
	u := *c.origin
	u.Path = version + path
	q := u.Query()
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return c.link(u.String())
}

func (s *listSource) fetch(ctx context.Context, c *listCursor) (event.Page, links, error) {
	var page event.Page
	info, err := s.request(c)
	if err != nil {
		return page, links{}, fmt.Errorf("build request: %w", err)
	}
	of, from := "", c.Next
	if c.branching() {
		of, from = c.Branches[0].Of, c.Branches[0].Path+" "+c.Next
	} else if s.spec.list.single {
		of = s.spec.name
	}
	shape := formPage
	if s.spec.list.single && !c.branching() {
		shape = formSingle
	}
	var more []branch
	l, err := s.page(ctx, info, manner{form: shape}, func(raw []byte) {
		s.element(c, &page, of, raw)
		if follow := s.spec.list.follow; follow != nil && !c.branching() && len(raw) > 0 && raw[0] == '{' {
			if path, of := follow(c, raw); path != "" {
				more = append(more, branch{path, of})
			}
		}
	})
	if err == nil {
		if err = s.trail.follow(from, l.next); err == nil {
			l = c.turn(l, more)
		}
	}
	return page, l, err
}

// turn goes on behind a page: to its own next one, to the lists that its elements led
// to, or back from the last of those to the collection.
func (c *listCursor) turn(l links, more []branch) links {
	switch {
	case c.branching() && l.next != "":
	case c.branching():
		if c.Branches = c.Branches[1:]; !c.branching() {
			l.next, c.Rest = c.Rest, ""
		}
	case len(more) > 0:
		c.Branches, c.Rest, l.next = more, l.next, ""
	}
	return l
}

// element decodes one element; it may hold several records, or none.
func (s *listSource) element(c *listCursor, page *event.Page, of string, raw []byte) {
	var objects []event.Object
	var events []event.Event
	_, err := whole(func(raw []byte) (struct{}, error) {
		var err error
		objects, events, err = s.decode(of, raw)
		return struct{}{}, err
	})(raw)
	if err != nil {
		page.Fetched++
		page.Quarantined = append(page.Quarantined, s.quarantine(raw, err))
		return
	}
	for _, e := range events {
		if !e.Time.After(c.Low) { // read in an earlier pass
			continue
		}
		e.Source, e.Observed, e.Backfill = s.key, s.time(), !c.Based
		page.Events = append(page.Events, e)
		page.Fetched++
	}
	page.Objects = append(page.Objects, objects...)
	page.Fetched += len(objects)
}

func (s *listSource) advance(c *listCursor, l links, now time.Time, page *event.Page) {
	slices.SortStableFunc(page.Events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	c.Pages++
	if units := float64(c.Pages*s.spec.cost) / s.plan.poll.Seconds(); units > c.Needs.Poll {
		c.Needs.Poll = units
		s.budget.need(s.key, c.Needs)
	}
	page.Sync = &event.Sync{Scope: s.spec.name, Kind: s.spec.objects, Generation: c.Pass, Baseline: !c.Based}
	if c.Next = l.next; l.next != "" || c.branching() {
		return
	}
	page.Sync.Complete = !c.Lossy || page.Sync.Baseline
	c.Open, c.Based, c.Small, c.Resets = false, true, 0, 0
	if !c.Lossy {
		c.Mark = later(c.Mark, c.Newest)
	}
	c.Needs.Poll = float64(c.Pages*s.spec.cost) / s.plan.poll.Seconds()
	s.budget.need(s.key, c.Needs)
	page.CompleteThrough = s.upstream(c.Begun).Add(-s.plan.lateness)
	page.Wait = s.jitter(s.plan.poll)
}

// failed decides what follows a page that was not read: a link that is no longer
// honoured, or a page that fails for ever, begins the pass again, at last in smaller
// pages; where the smallest fails as well, that is reported as a gap once and tried
// slowly.
func (s *listSource) failed(ctx context.Context, c *listCursor, now time.Time, err error) (event.Page, error) {
	if c.Next != "" && stale(err) && c.Resets < maxResets {
		c.Resets++
		return s.again(c, now, c.Small), nil
	}
	if !pageFault(err) && !unavailable(err) {
		return event.Page{}, fmt.Errorf("read %s: %w", s.spec.name, err)
	}
	s.trouble = s.trouble.again(fmt.Sprint(len(c.Branches), c.Next))
	switch {
	case !c.Broken.IsZero():
		return s.done(c, event.Page{Wait: s.jitter(slowly)}), nil
	case !tooLarge(err) && !s.trouble.exhausted(err) || !s.alive(ctx):
		return event.Page{}, fmt.Errorf("read %s: %w", s.spec.name, err)
	case s.spec.list.top > 0 && !c.branching() && c.Small < topLevels:
		return s.again(c, now, c.Small+1), nil
	case c.branching():
		return s.giveUp(c, now, err), nil
	}
	c.Broken = now
	reason := "a page of " + s.spec.name + " fails at every size, and what it tells is not seen until it can be read: " + err.Error()
	return s.done(c, event.Page{Wait: s.jitter(slowly), Gaps: []event.Gap{{Source: s.key, From: c.Begun, To: now, Reason: reason, Advice: s.spec.elsewhere()}}}), nil
}

// giveUp leaves a further list that fails for ever, for this pass: the others are read,
// and nothing is taken for gone.
func (s *listSource) giveUp(c *listCursor, now time.Time, err error) event.Page {
	s.trouble = trouble{}
	page := event.Page{Gaps: []event.Gap{{Source: s.key, From: c.Begun, To: now, Reason: "what " + c.Branches[0].Path + " tells cannot be read: " + err.Error(), Advice: s.spec.elsewhere()}}}
	c.Lossy = true
	s.advance(c, c.turn(links{}, nil), now, &page)
	return s.done(c, page)
}

// again begins the pass again; a link cannot be resumed with another size.
func (s *listSource) again(c *listCursor, now time.Time, small int) event.Page {
	s.trouble = trouble{}
	s.begin(c, now)
	c.Small = small
	return s.done(c, event.Page{})
}

// manyOwners is how many related objects an expanded list shows at most.
const manyOwners = 20

// followOwners reads the owners of an object on their own where the expanded list
// may be cut off.
func followOwners(collection string) followFunc {
	return func(_ *listCursor, raw []byte) (path, of string) {
		var o struct {
			ID     string            `json:"id"`
			Owners []json.RawMessage `json:"owners"`
		}
		if json.Unmarshal(raw, &o) != nil || len(o.Owners) < manyOwners || !entralogin.IsGUID(o.ID) {
			return "", ""
		}
		return collection + "/" + o.ID + "/owners?$select=id", o.ID
	}
}

// followGroup reads the service principals of a group that holds a role.
func followGroup(_ *listCursor, raw []byte) (path, of string) {
	var o struct {
		PrincipalID string `json:"principalId"`
		Principal   struct {
			Type string `json:"@odata.type"`
		} `json:"principal"`
	}
	if json.Unmarshal(raw, &o) != nil || !strings.HasSuffix(o.Principal.Type, ".group") || !entralogin.IsGUID(o.PrincipalID) {
		return "", ""
	}
	return "/groups/" + o.PrincipalID + "/transitiveMembers/microsoft.graph.servicePrincipal?$select=id", assignmentOf(raw)
}

// assignmentOf is what the decoder needs of an assignment.
func assignmentOf(raw []byte) string {
	var o struct {
		ID          string `json:"id"`
		PrincipalID string `json:"principalId"`
		Role        string `json:"roleDefinitionId"`
		Scope       string `json:"directoryScopeId,omitempty"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return ""
	}
	b, err := json.Marshal(o)
	if err != nil {
		return ""
	}
	return string(b)
}

// followRequests reads who asks for consent to an app.
func followRequests(_ *listCursor, raw []byte) (path, of string) {
	var o struct {
		ID     string          `json:"id"`
		AppID  string          `json:"appId"`
		Scopes json.RawMessage `json:"pendingScopes,omitempty"`
	}
	if json.Unmarshal(raw, &o) != nil || !safeID(o.ID) {
		return "", ""
	}
	b, err := json.Marshal(o)
	if err != nil {
		return "", ""
	}
	return "/identityGovernance/appConsent/appConsentRequests/" + o.ID + "/userConsentRequests?$filter=status eq 'InProgress'", string(b)
}

// followHistory reads how the verdict on an app came to be, where it changed since
// the last whole pass; now and then also where it did a little earlier, since a change
// may show late.
func followHistory(c *listCursor, raw []byte) (path, of string) {
	var o struct {
		ID      string    `json:"id"`
		Updated time.Time `json:"riskLastUpdatedDateTime"`
	}
	if json.Unmarshal(raw, &o) != nil || !entralogin.IsGUID(o.ID) || !o.Updated.After(c.Low) {
		return "", ""
	}
	c.Newest = later(c.Newest, o.Updated)
	return "/identityProtection/riskyServicePrincipals/" + o.ID + "/history", o.ID
}

// safeID reports whether an id of an answer may stand in a path.
func safeID(s string) bool {
	return s != "" && len(s) <= 100 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
