package msgraph

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	abs "github.com/microsoft/kiota-abstractions-go"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// The Office 365 Management Activity API gives the unified audit log as contents:
// files of records that are listed by the time at which they became available, and
// kept for seven days. A feed is a windowSource over that time. See
// https://learn.microsoft.com/office/office-365-management-api/office-365-management-activity-api-reference.

const (
	feedReach    = 7*24*time.Hour - 10*time.Minute // how far back is read after a pause; the service lists seven days
	feedGrace    = 5 * time.Minute                 // what of that may pass until a window begins
	feedEdge     = 9 * time.Minute                 // and until it was read
	feedRecords  = 2000                            // of one page: no further content is begun behind them
	feedContents = 50                              // likewise
	feedStart    = 15 * time.Minute                // a subscription is started once in so long, at most
	feedIDs      = 2000                            // ids of contents that a cursor holds
	feedForm     = "2006-01-02T15:04:05"           // UTC without a zone

	feedLateness = "24h" // of records; most come within 90 minutes
	feedDepth    = "48h"
)

// content is an element of the list of contents.
type content struct {
	ID      string    `json:"contentId"`
	URI     string    `json:"contentUri"`
	Created time.Time `json:"contentCreated"`
}

// order is that of a list of contents.
func (x content) order(created time.Time, id string) int {
	return cmp.Or(x.Created.Compare(created), cmp.Compare(x.ID, id))
}

// behind reports whether x stands behind p in its list; all do behind none.
func (x content) behind(p *place) bool { return p == nil || x.order(p.Created, p.ID) > 0 }

// contentKey stands for the id of a content.
type contentKey [8]byte

func (x content) key() contentKey {
	h := event.HashContent([]byte(x.ID))
	return contentKey(h[:8])
}

// feed is what a source over contents knows beside the cursor.
type feed struct {
	read    map[contentKey]int64 // contents whose records are in the ledger, with the second of their creation
	started time.Time            // when the subscription was started last, by our clock
}

// feedPath is where everything of the API lies.
func (c *client) feedPath() string {
	return c.origin.String() + "/api/v1.0/" + c.cfg.TenantID + "/activity/feed"
}

// published adds to an address of the feed for whom its quota counts. The tenant's
// own id gives it a quota of its own.
func (c *client) published(link string) string {
	if strings.Contains(link, "PublisherIdentifier=") {
		return link
	}
	sep := "?"
	if strings.Contains(link, "?") {
		sep = "&"
	}
	return link + sep + "PublisherIdentifier=" + c.cfg.TenantID
}

// subscribe starts the subscription, without which nothing is listed. done says that
// the page ends the read.
func (s *windowSource) subscribe(ctx context.Context, c *windowCursor) (page event.Page, done bool, err error) {
	if c.Subscribed {
		return page, false, nil
	}
	if c.Off && !s.feed.started.IsZero() && s.now().Sub(s.feed.started) < feedStart {
		return page, true, errUnsubscribed(s.spec.feed)
	}
	info, err := s.link(s.published(s.feedPath() + "/subscriptions/start?contentType=" + url.QueryEscape(s.spec.feed)))
	if err != nil {
		return page, true, err
	}
	info.Method = abs.POST
	_, err = s.page(ctx, info, manner{form: formSingle}, func([]byte) {})
	var r *refusal
	if errors.As(err, &r) && r.code == "AF20024" { // it is there
		err = nil
	}
	if err != nil {
		return page, true, fmt.Errorf("start subscription to %s: %w", s.spec.feed, err)
	}
	s.feed.started, c.Subscribed = s.now(), true
	page.Open, page.Cursor = s.missing(c), encodeCursor(c)
	return page, true, nil
}

func errUnsubscribed(kind string) error {
	return fault.WithHint(fault.NewAuth(fmt.Errorf("the subscription to %s was started, and the service still says that there is none", kind)),
		"a tenant or service administrator may have disabled it, or auditing is off in the tenant: turn on the audit log in the Microsoft Purview portal; it is started again in 15 minutes")
}

// unsubscribed reports whether there is no subscription, or a disabled one.
func unsubscribed(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.code == "AF20022" || r.code == "AF20023")
}

// resubscribe makes the next read start the subscription again.
func (s *windowSource) resubscribe(c *windowCursor, err error) event.Page {
	s.log.Warn("the subscription is off; it is started again", zap.String("source", s.key), zap.Error(err))
	c.Subscribed, c.Off = false, true
	return event.Page{Open: s.missing(c), Cursor: encodeCursor(c)}
}

// back says that contents are listed again, after a subscription that was off. What
// was to come meanwhile never does.
func (s *windowSource) back(c *windowCursor, since time.Time, page *event.Page) {
	if c.Off {
		c.Off = false
		page.Gaps = append(page.Gaps, event.Gap{Source: s.key, From: since, To: later(since, floor(s.time())), Reason: "the subscription to " + s.spec.feed + " was off, and was started again: what happened meanwhile cannot be had", Advice: s.spec.elsewhere()})
	}
}

// expire gives up what became too old to be listed while it waited.
func (s *windowSource) expire(c *windowCursor, j *job, sweep bool, now time.Time) (page event.Page, gone bool) {
	if s.spec.feed == "" || !j.Low.Before(now.Add(-s.spec.keeps-feedEdge)) {
		return page, false
	}
	edge := floor(now.Add(-s.spec.keeps - s.spec.grace()))
	page.Gaps = []event.Gap{{Source: s.key, From: j.Low, To: earlier(edge, j.High), Reason: "it could not be read before the service dropped it: contents are listed for seven days", Advice: s.spec.elsewhere()}}
	if edge.After(j.High) {
		s.pass(c, j, *j, j.High, sweep, &page)
	} else {
		k := s.restarted(*j)
		k.Low = edge
		s.store(c, &k, sweep)
	}
	page.Open, page.Cursor = s.missing(c), encodeCursor(c)
	return page, true
}

// listing asks for the contents of a slice, or of the rest of it.
func (s *windowSource) listing(ctx context.Context, j job, how manner) ([]content, links, error) {
	at := j.Next
	if at == "" {
		low, high := floor(j.Low), floor(j.High)
		if high.Before(j.High) || !high.After(low) { // the end is not part of what is asked for
			high = high.Add(time.Second)
		}
		high = earlier(high, low.Add(widest))
		at = s.feedPath() + "/subscriptions/content?contentType=" + url.QueryEscape(s.spec.feed) + "&startTime=" + low.Format(feedForm) + "&endTime=" + high.Format(feedForm)
	}
	info, err := s.link(s.published(at))
	if err != nil {
		return nil, links{}, err
	}
	var list []content
	var odd error
	how.form = formList
	l, err := s.page(ctx, info, how, func(raw []byte) {
		var x content
		if err := json.Unmarshal(raw, &x); err != nil || x.ID == "" || x.URI == "" {
			odd = errors.Join(errors.New("an element of the list is no content"), err)
		}
		list = append(list, x)
	})
	if err == nil && odd != nil {
		err = &broken{err: odd}
	}
	slices.SortFunc(list, func(a, b content) int { return a.order(b.Created, b.ID) })
	return list, l, err
}

// contents reads contents of the slice that were not read before. What does not fit
// into one page is left for the next one. What was read stands, even where one that
// follows fails: it is the first of the next page.
func (s *windowSource) contents(ctx context.Context, c *windowCursor, j *job, how manner, page *event.Page, each func([]byte)) (links, error) {
	list, l, err := s.listing(ctx, *j, how)
	if err != nil {
		return l, err
	}
	s.feed.learn(c)
	var read []content
	defer func() { s.remember(c, read) }()
	for _, x := range list {
		if _, known := s.feed.read[x.key()]; known || !x.behind(j.Done) {
			continue
		}
		if page.Fetched >= feedRecords || len(read) >= feedContents {
			return links{again: true}, nil
		}
		j.Pages++
		was := *page
		err := s.content(ctx, x, how, page, each)
		if err != nil {
			*page = was // the half of a content is none
		}
		if err != nil && len(read) > 0 && ctx.Err() == nil {
			return links{again: true}, nil
		}
		if err != nil {
			return links{}, err
		}
		read = append(read, x)
		j.Done = &place{x.Created, x.ID}
	}
	return l, nil
}

// content reads one content. One that is gone, or never fits, is a gap.
func (s *windowSource) content(ctx context.Context, x content, how manner, page *event.Page, each func([]byte)) error {
	info, err := s.link(s.published(x.URI))
	if err != nil {
		return err
	}
	how.form = formList
	was := *page
	_, err = s.page(ctx, info, how, each)
	reason := ""
	switch {
	case expired(err):
		reason = "a content of " + s.spec.feed + " was listed and is gone: " + err.Error()
	case tooLarge(err):
		reason = "a content of " + s.spec.feed + " is larger than any should be: " + err.Error()
	default:
		if err == nil {
			page.Gaps = append(page.Gaps, s.unrecorded(page.Events[len(was.Events):])...)
		}
		return err
	}
	*page = was
	page.Gaps = append(page.Gaps, event.Gap{Source: s.key, From: x.Created.UTC(), To: x.Created.UTC(), Reason: reason, Advice: s.spec.elsewhere()})
	return nil
}

// unrecorded are the gaps that records tell of: where an app read so much of a mailbox
// that Microsoft does not record it for a day. Where two records tell of one mailbox the
// alarm has it twice, and nothing else.
func (s *windowSource) unrecorded(events []event.Event) (gaps []event.Gap) {
	for _, e := range events {
		if !slices.ContainsFunc(e.Details, func(d event.Detail) bool { return d.Name == "EvidenceGap" }) {
			continue
		}
		gaps = append(gaps, event.Gap{Source: s.key, From: e.Time, To: e.Time.Add(widest),
			Reason: fmt.Sprintf("the audit log does not tell which messages of %s the app %s reads for 24 hours: IsThrottled, behind 1,000 of them in a day", cmp.Or(e.Target.UPN, "a mailbox"), cmp.Or(e.App.AppID, "without an id")),
			Advice: "Microsoft did not record it, so that nobody can look it up; count every message of the mailbox as read by the app in that time"})
	}
	return gaps
}

// expired reports whether a content is no longer there, or never was.
func expired(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	return r.status == http.StatusNotFound || r.status == http.StatusGone || r.code == "AF20050" || r.code == "AF20051" || r.code == "AF20052"
}

// remember notes the contents of a page in the cursor: the newest ones, since what is
// forgotten costs requests and no more, as records are told by ids of their own.
func (s *windowSource) remember(c *windowCursor, read []content) {
	old := s.time().Add(-max(s.plan.sweepDepth, s.plan.overlap) - time.Hour).Unix()
	for k, at := range s.feed.read {
		if at < old {
			delete(s.feed.read, k)
		}
	}
	const size = 8 + 4
	var all [][size]byte
	for b := c.Contents; len(b) >= size; b = b[size:] {
		if int64(binary.BigEndian.Uint32(b[8:])) >= old {
			all = append(all, [size]byte(b))
		}
	}
	for _, x := range read {
		k := x.key()
		all = append(all, [size]byte(binary.BigEndian.AppendUint32(k[:], uint32(max(x.Created.Unix(), 0)))))
	}
	slices.SortStableFunc(all, func(a, b [size]byte) int {
		return cmp.Compare(binary.BigEndian.Uint32(a[8:]), binary.BigEndian.Uint32(b[8:]))
	})
	var out []byte
	for _, e := range all[max(0, len(all)-feedIDs):] {
		out = append(out, e[:]...)
	}
	c.Contents = out
}

// learn takes over what the cursor holds: it is durable.
func (f *feed) learn(c *windowCursor) {
	for b := c.Contents; len(b) >= 12; b = b[12:] {
		f.read[contentKey(b[:8])] = int64(binary.BigEndian.Uint32(b[8:]))
	}
}

// auditOn is what helps where nothing is audited; auditRetry is how often it is tried.
const (
	auditOn    = "turn on the audit log in the Microsoft Purview portal; that takes some hours"
	auditRetry = time.Hour
)

// auditingOff tells the answer of a tenant whose audit log is off, and leaves of its
// text what is the same each time.
// https://learn.microsoft.com/office/office-365-management-api/troubleshooting-the-office-365-management-activity-api
func (r *refusal) auditingOff() bool {
	_, said, found := strings.Cut(r.message, "Audit.DataServiceException: Tenant ")
	if !found {
		return false
	}
	tenant, _, found := strings.Cut(said, " does not exist")
	if found {
		r.code, r.message = "DataServiceException", "Tenant "+tenant+" does not exist."
	}
	return found
}

// feedRefusal classifies what the Management Activity API refuses.
func (c *caller) feedRefusal(resp *http.Response, r *refusal) error {
	if r.auditingOff() {
		return fault.WithHint(fault.WithAfter(fault.NewAuth(r), auditRetry), "the audit log of the tenant is off: "+auditOn)
	}
	switch r.code {
	case "AF429": // comes as 403
		return c.throttled(resp, r)
	case "AF10001":
		c.creds.Forget()
		return fault.WithHint(fault.NewAuth(r), r.forbiddenHint(c.spec, c.cfg.ClientID))
	case "AF20010", "AF20013":
		return fault.WithHint(fault.NewAuth(r), "check tenant_id: it is "+c.cfg.TenantID)
	case "AF20011":
		return fault.WithHint(fault.NewAuth(r), "the service does not know tenant "+c.cfg.TenantID+", or has nothing to audit there: check tenant_id and office_url, and "+auditOn)
	case "AF20012": // documented at Defender for Cloud Apps, which reads the same API
		return fault.WithHint(unlicensed(r), "nobody in the tenant has a Microsoft 365 licence: assign one, or take this source out of collect")
	case "AF20020":
		return fault.WithHint(fault.NewPermanent(r), "this cloud does not offer "+c.spec.feed+": take "+c.spec.name+" out of collect")
	}
	return nil
}
