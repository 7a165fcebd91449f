// Package sim owns the simulated cloud: a Microsoft Graph tenant with its
// token endpoint, apps, grants, logs and alerts, made from a seed. It is the
// witness against which the daemon is measured, so it shares no code with it.
//
// Every behaviour is marked beside its code as documented (Microsoft's
// documentation or metadata says so), reported (seen by others on the real
// service) or assumed (our choice where nobody has said). The list of them is
// in docs/simulator.md.
package sim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options says what the simulated tenant holds and how badly it behaves. The
// zero value of every field has a usable meaning; a negative number of apps or
// grants means none.
type Options struct {
	Seed         int64  // everything below is made from it: the same seed and clock give the same answers
	TenantID     string // a GUID; default made from the seed
	ClientID     string // the one client that gets tokens; default made from the seed
	ClientSecret string // its secret; default "sim-secret"
	ClientCert   []byte // optional DER certificate: a client assertion must be signed with its key

	Apps   int // service principals besides the resource apps; default 100
	Grants int // delegated grants; default 10 per app
	Users  int // default 50
	Events int // audit and sign-in records of the background
	Calls  int // records that only the stream of diagnostic settings tells: calls of apps to Graph, sign-ins of Microsoft's own apps
	Alerts int // resolved app-governance alerts of the background, about 5.7 kB each

	Office       int     // records of the unified audit log, as the Management Activity API gives them
	OfficePage   int     // contents of one list; default 50
	LostContents float64 // share of contents that are listed and gone

	EventsPerSecond float64       // pace of publication after Start; 0 = all records exist at Start
	History         time.Duration // with a pace of 0: the time before Start over which records lie; default 6h
	Late            float64       // share of records that become visible LateBy (at most) after their time
	LateBy          time.Duration // default 2h
	Duplicates      float64       // share of records that are delivered again, up to four times, or enriched in place
	Grain           time.Duration // times of records are cut to it, so that many share one; 0 = as precise as the service's
	Changes         int           // inventory changes after Start (renames, removals, grants), one per ChangeEvery
	ChangeEvery     time.Duration // default 1s
	Padding         int           // bytes of filler in each log record, for huge pages

	Throttle     float64       // share of requests answered 429 with Retry-After
	ServerErrors float64       // share answered 500, 502, 503 or 504
	Truncate     float64       // share of bodies that end early
	RetryAfter   time.Duration // rounded up to whole seconds; default 1s
	HuntTooLarge int           // hunting queries with more rows are refused; 0 = none
	Unlicensed   []string      // licences that the tenant lacks, see Faults
	Gone         int           // so many requests with a delta token are answered 410, each collection once per turn
	Limits       bool          // enforce the documented throttling limits as well

	TokenLifetime time.Duration // default 1h
	Roles         []string      // application permissions in the token; default all that the paths need

	Scenario     string        // see Scenarios; default "quiet"
	ScenarioAt   time.Duration // when its first step happens, after Start; default 5s
	ScenarioPace time.Duration // between its steps; default 2s

	DirectoryPage int // default page size of directory collections; default 100, at most 999
	LogPage       int // default page size of logs; default and at most 1000

	ControlToken string           // bearer token that opens /sim/*; empty closes it
	Now          func() time.Time // default time.Now
	Start        time.Time        // default Now() in whole seconds
	Log          io.Writer        // one JSON line per record at the moment it becomes visible
	RequestLog   io.Writer        // one JSON line per request
}

// Issued is one numbered record. The number is in the record too: as the last
// twelve digits of its correlationId, and for audits in the additional detail
// SimNumber.
type Issued struct {
	Number    uint64    `json:"number"`
	ID        string    `json:"id"`             // the upstream id, unique
	Kind      string    `json:"kind"`           // "audit", "signin_interactive", ..., "alert", "call"
	Time      time.Time `json:"time"`           // when it happened, as the record says
	Published time.Time `json:"published"`      // when it became visible
	Copies    int       `json:"copies"`         // how often it is listed
	Enriched  bool      `json:"enriched"`       // whether its content changes once after publication
	Step      string    `json:"step,omitempty"` // what it tells, for records of a scenario
}

// Cloud is one simulated tenant. It is safe for concurrent use.
type Cloud struct {
	o    Options
	cat  catalog
	base []*app          // apps as they were made: what log records speak of
	recs []record        // record n is recs[n-1]
	log  map[kind][]row  // rows of each stream in order of time
	due  []uint32        // numbers in order of publication
	tell map[uint32]tale // content of scenario records

	office office // its subscriptions are guarded by mu

	tokens tokenizer
	limits *limits

	mu     sync.Mutex // guards what follows
	dir    directory
	alerts []alert
	steps  []step // inventory changes to come, in order of time
	logged int    // how many of due are in the issue log
	faults Faults

	riskyConsent bool // the authorization policy
	requests     uint64
}

// New makes the tenant. It fails when the options contradict each other.
func New(o Options) (*Cloud, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("make simulated cloud: %w", err)
	}
	c := &Cloud{o: o, cat: newCatalog(), tell: map[uint32]tale{}, faults: o.faults()}
	c.tokens = newTokenizer(o)
	c.limits = newLimits(o.Limits)
	c.makeDirectory()
	c.makeRecords()
	c.makeOffice()
	c.makeAlerts()
	c.planChanges()
	if err := c.planScenario(); err != nil {
		return nil, fmt.Errorf("make simulated cloud: %w", err)
	}
	c.indexRecords()
	slices.SortStableFunc(c.steps, func(a, b step) int { return a.at.Compare(b.at) })
	c.Advance()
	return c, nil
}

func (o Options) withDefaults() Options {
	seeded := rng{s: uint64(o.Seed)}
	setDefault(&o.TenantID, seeded.guid())
	setDefault(&o.ClientID, seeded.guid())
	setDefault(&o.ClientSecret, "sim-secret")
	setDefault(&o.Apps, 100)
	setDefault(&o.Users, 50)
	o.Apps = max(o.Apps, 0)
	setDefault(&o.Grants, min(10*o.Apps, o.room()))
	o.Grants = max(o.Grants, 0)
	setDefault(&o.History, 6*time.Hour)
	setDefault(&o.LateBy, 2*time.Hour)
	setDefault(&o.ChangeEvery, time.Second)
	setDefault(&o.RetryAfter, time.Second)
	setDefault(&o.TokenLifetime, time.Hour)
	setDefault(&o.Scenario, "quiet")
	setDefault(&o.ScenarioAt, 5*time.Second)
	setDefault(&o.ScenarioPace, 2*time.Second)
	setDefault(&o.DirectoryPage, 100)
	setDefault(&o.LogPage, maxLogPage)
	setDefault(&o.OfficePage, 50)
	if o.Roles == nil {
		o.Roles = allRoles()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Start.IsZero() {
		o.Start = o.Now().Truncate(time.Second)
	}
	o.Start = o.Start.UTC()
	return o
}

// room is how many different delegated grants there can be.
func (o Options) room() int { return o.Apps * (1 + o.Users*grantResources) }

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (o Options) check() error {
	var errs []error
	for name, p := range map[string]float64{
		"late": o.Late, "duplicates": o.Duplicates, "throttle": o.Throttle,
		"server errors": o.ServerErrors, "truncate": o.Truncate, "lost contents": o.LostContents,
	} {
		if p < 0 || p > 1 {
			errs = append(errs, fmt.Errorf("share of %s is %v, want 0 to 1", name, p))
		}
	}
	if o.Grants > o.room() {
		errs = append(errs, fmt.Errorf("%d grants do not fit: %d apps and %d users have room for %d", o.Grants, o.Apps, o.Users, o.room()))
	}
	if o.Users < 1 || min(o.Events, o.Alerts, o.Changes, o.Padding, o.Calls, o.Office, o.OfficePage) < 0 || o.EventsPerSecond < 0 || o.Grain < 0 {
		errs = append(errs, errors.New("sizes and rates cannot be negative"))
	}
	if o.Apps == 0 && max(o.Events, o.Calls, o.Alerts, o.Changes, o.Office) > 0 {
		errs = append(errs, errors.New("records, alerts and changes need at least one app"))
	}
	if o.DirectoryPage < 1 || o.DirectoryPage > maxDirectoryPage || o.LogPage < 1 || o.LogPage > maxLogPage {
		errs = append(errs, fmt.Errorf("page sizes are %d and %d, want at most %d and %d", o.DirectoryPage, o.LogPage, maxDirectoryPage, maxLogPage))
	}
	return errors.Join(errs...)
}

// Validate reports what New would refuse, without making anything.
func (o Options) Validate() error {
	o = o.withDefaults()
	_, err := o.plots()
	return errors.Join(o.check(), err)
}

// TenantID is the tenant that the cloud simulates.
func (c *Cloud) TenantID() string { return c.o.TenantID }

// ClientID is the client that gets tokens.
func (c *Cloud) ClientID() string { return c.o.ClientID }

// ClientSecret is the secret of that client.
func (c *Cloud) ClientSecret() string { return c.o.ClientSecret }

// Handler serves Graph, the Management Activity API, the token endpoint and, with a control token, /sim/*.
func (c *Cloud) Handler() http.Handler { return c.routes() }

// Advance brings the tenant up to its clock: inventory changes that are due
// happen, records that became visible are written to the issue log. Requests
// do it by themselves; a clock that nobody asks needs it.
func (c *Cloud) Advance() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(c.o.Now())
}

func (c *Cloud) advance(now time.Time) {
	for len(c.steps) > 0 && !c.steps[0].at.After(now) {
		c.steps[0].do()
		c.steps = c.steps[1:]
	}
	for c.logged < len(c.due) && !c.recs[c.due[c.logged]-1].visible().After(now) {
		if c.o.Log != nil {
			writeLine(c.o.Log, c.issued(c.due[c.logged]))
		}
		c.logged++
	}
}

// Issued lists every record that is visible by now, in order of number.
func (c *Cloud) Issued() []Issued {
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	out := make([]Issued, 0, c.logged)
	for i := range c.recs {
		if !c.recs[i].visible().After(now) {
			out = append(out, c.issued(uint32(i+1)))
		}
	}
	return out
}

// Complete tells when the last record becomes visible and the last change of
// the inventory and of an alert happens: after it nothing new will be told.
func (c *Cloud) Complete() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.OfficeComplete()
	for i := range c.recs {
		if v := c.recs[i].settled(); v.After(end) {
			end = v
		}
	}
	for _, s := range c.steps {
		if s.at.After(end) {
			end = s.at
		}
	}
	for i := range c.alerts {
		if t := c.alerts[i].states[len(c.alerts[i].states)-1].at; t.After(end) {
			end = t
		}
	}
	return end
}
