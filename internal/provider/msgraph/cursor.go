package msgraph

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// cursorVersion is the version of every cursor's encoding.
const cursorVersion = 1

// home is whose links a cursor holds.
type home struct {
	Origin string `json:"origin,omitempty"`
	Tenant string `json:"tenant,omitempty"`
}

// moved compares a cursor's home with the configured one and sets it. Links of
// another home are dropped by the caller; but one that never led to its own home
// is refused as ever.
func (c *client) moved(h *home, links ...string) (bool, error) {
	was := *h
	*h = home{Origin: c.origin.String(), Tenant: c.cfg.TenantID}
	if was == *h || was == (home{}) {
		return false, nil
	}
	base, err := url.Parse(was.Origin)
	if err != nil {
		return false, badCursor(err)
	}
	for _, l := range links {
		if l == "" {
			continue
		}
		if err := outbound.CheckLink(base, l); err != nil {
			return false, err
		}
	}
	return true, nil
}

// windowCursor is where a source that reads by time stands. All times are those
// of the service, as far as its answers tell them.
type windowCursor struct {
	V       int       `json:"v"`
	Start   time.Time `json:"start"`            // nothing older is read
	Live    time.Time `json:"live"`             // first read; what is older is backfill
	Mark    time.Time `json:"mark"`             // everything up to here was read once
	Swept   time.Time `json:"swept"`            // end of the last sweep
	Covered time.Time `json:"covered,omitzero"` // begin of the last finished reading of the whole depth
	Through time.Time `json:"through,omitzero"` // complete through here, as told last
	Poll    *job      `json:"poll,omitempty"`   // in progress
	Sweep   *job      `json:"sweep,omitempty"`
	Needs   load      `json:"needs,omitzero"`
	Home    home      `json:"home,omitzero"`
	Skips   []span    `json:"skips,omitempty"` // given up with a gap, sorted: only sweeps ask for them again

	// Of feeds only.
	Subscribed bool   `json:"subscribed,omitempty"`
	Off        bool   `json:"off,omitempty"`      // the subscription was lost
	Contents   []byte `json:"contents,omitempty"` // contents that were read: 8 bytes of a hash of the id, 4 of the second of creation
}

// job is a window of time that is being read, slice by slice, page by page.
type job struct {
	From   time.Time `json:"from,omitzero"`  // of the whole window
	Begun  time.Time `json:"begun,omitzero"` // when its reading began
	Low    time.Time `json:"low"`            // the slice at hand, both ends included
	High   time.Time `json:"high"`
	Until  time.Time `json:"until"`            // end of the last slice
	Level  int       `json:"level,omitempty"`  // how often the page was made ten times smaller
	Narrow int       `json:"narrow,omitempty"` // how often the slice was halved
	Behind bool      `json:"behind,omitempty"` // the slice lies directly behind a gap
	Retry  bool      `json:"retry,omitempty"`  // the slice lies within a span that was given up
	Next   string    `json:"next,omitempty"`   // nextLink
	Done   *place    `json:"done,omitempty"`   // of a feed: up to where the list at hand was read
	Last   time.Time `json:"last,omitzero"`    // newest record of the slice so far
	Run    int       `json:"run,omitempty"`    // pages read at this level
	Pages  int       `json:"pages,omitempty"`
}

// place is where a content stands in a list of contents.
type place struct {
	Created time.Time `json:"created"`
	ID      string    `json:"id"`
}

// load is what polls and sweeps of a source need of the budget, in units per
// second, as measured last.
type load struct {
	Poll  float64 `json:"poll,omitempty"`
	Sweep float64 `json:"sweep,omitempty"`
}

type span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// deltaCursor is where a source that reads by delta stands.
type deltaCursor struct {
	V      int       `json:"v"`
	Gen    uint64    `json:"gen"`             // newest generation: number of full reads begun
	Full   bool      `json:"full,omitempty"`  // that full read is still going on
	Based  bool      `json:"based,omitempty"` // some full read came to its end
	Next   string    `json:"next,omitempty"`
	Delta  string    `json:"delta,omitempty"`
	FullAt time.Time `json:"full_at,omitzero"` // end of the last full read
	Begun  time.Time `json:"begun,omitzero"`   // of this round
	Small  int       `json:"small,omitempty"`  // how much smaller than usual the pages are
	Resets int       `json:"resets,omitempty"` // generations begun since one ended or a link was followed
	Broken time.Time `json:"broken,omitzero"`  // since when the page at hand is reported as a gap
	Lossy  bool      `json:"lossy,omitempty"`  // objects of this generation were quarantined
	Pages  int       `json:"pages,omitempty"`  // of this round
	Needs  load      `json:"needs,omitzero"`
	Home   home      `json:"home,omitzero"`
}

// assignCursor is where the reading of app role assignments stands.
type assignCursor struct {
	V         int            `json:"v"`
	Pass      uint64         `json:"pass"`
	Resources []resource     `json:"resources,omitempty"` // of this pass; empty = none in progress
	Index     int            `json:"index,omitempty"`
	Next      string         `json:"next,omitempty"`
	Known     map[string]int `json:"known,omitempty"` // resources with a complete generation
	Begun     time.Time      `json:"begun,omitzero"`
	Small     int            `json:"small,omitempty"`  // how much smaller than usual the pages are
	Resets    int            `json:"resets,omitempty"` // times that the API at hand was begun again
	Broken    []lostAPI      `json:"broken,omitempty"` // APIs that were given up, sorted
	Lossy     bool           `json:"lossy,omitempty"`  // assignments of this API were quarantined
	Pages     int            `json:"pages,omitempty"`  // of this pass
	Needs     load           `json:"needs,omitzero"`
	Home      home           `json:"home,omitzero"`
	Asked     []string       `json:"asked,omitempty"` // APIs that the last pass looked for
	Based     bool           `json:"based,omitempty"` // begun anew over an inventory that is there
}

// lostAPI is an API that cannot be read since some time.
type lostAPI struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// resource is one service principal that offers app roles.
type resource struct {
	ID    string `json:"id"`
	AppID string `json:"app"`
}

// decodeCursor reads b into c, which stays as it is when b is empty.
func decodeCursor[T any](b []byte, c *T, version func(*T) int) error {
	if len(b) == 0 {
		return nil
	}
	var got T
	if err := json.Unmarshal(b, &got); err != nil {
		return badCursor(err)
	}
	if v := version(&got); v != cursorVersion {
		return badCursor(fmt.Errorf("version %d, this program knows %d", v, cursorVersion))
	}
	*c = got
	return nil
}

// damaged is a cursor that this program cannot read.
type damaged struct{ err error }

func (e *damaged) Error() string { return "decode cursor: " + e.err.Error() }
func (e *damaged) Unwrap() error { return e.err }

func badCursor(err error) error {
	return fault.WithHint(fault.NewPermanent(&damaged{err}), "the ledger's mark was written by another version of appgovd, or is damaged")
}

// startOver begins a source anew whose cursor cannot be read: the fresh cursor, and a
// gap that says so, which raises an alarm. Other errors pass.
func (c *caller) startOver(page event.Page, err error, fresh func(now time.Time) (cursor any, from, to time.Time)) (event.Page, error) {
	var d *damaged
	if !errors.As(err, &d) {
		return page, err
	}
	cursor, from, to := fresh(c.time())
	reason := "the source begins anew, its mark was written by another version of appgovd or is damaged: " + d.Error()
	return event.Page{Cursor: encodeCursor(cursor), Gaps: []event.Gap{{Source: c.key, From: from, To: to, Reason: reason, Advice: c.spec.elsewhere()}}}, nil
}

// anew is the number of the first generation of a source that begins anew: larger than
// any before it, so that the inventory tells what is gone.
func anew(now time.Time) uint64 { return uint64(max(now.Unix(), 1)) }

func encodeCursor(c any) []byte {
	b, err := json.Marshal(c, json.Deterministic(true))
	if err != nil { // cursors hold nothing that JSON cannot
		return nil
	}
	return b
}

func (c *windowCursor) valid() error {
	for _, j := range []*job{c.Poll, c.Sweep} {
		if j != nil && j.Level > topLevels { // as written before levels and widths were told apart
			j.Level, j.Narrow = topLevels, j.Level-topLevels
		}
		if j != nil && (j.High.Before(j.Low) || j.Until.Before(j.High) || j.Level < 0 || j.Narrow < 0 || j.Narrow > narrowLevels) {
			return badCursor(errors.New("a window ends before it begins"))
		}
	}
	return nil
}

func (c *assignCursor) valid() error {
	if c.Index < 0 || len(c.Resources) > 0 && c.Index >= len(c.Resources) {
		return badCursor(errors.New("an index beyond its list"))
	}
	return nil
}
