// Package msgraph owns Microsoft Entra ID and Microsoft 365 as appgovd reads them
// through Microsoft Graph and the Office 365 Management Activity API: the clients
// (one tenant, one origin, one try each), the sources with their cursors, schedules and budgets, and the block of configuration. What a record
// means is the business of its package normalise.
package msgraph

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Options of New. Name and Decoder are required.
type Options struct {
	Name            string        // label of the source block: "contoso"
	InitialLookback time.Duration // how far back the logs are read at first; 0 = 24 h
	Now             func() time.Time
	Rand            rand.Source // of the jitter on schedules; nil = seeded by the system
	Log             *zap.Logger
	Metrics         prometheus.Registerer
	// Secret opens a reference; the function that it returns gives the current
	// value. nil = secret.Resolver.
	Secret  func(secret.Ref) (func() (string, error), error)
	Version string        // of appgovd, for User-Agent
	Dial    outbound.Dial // nil = over the network

	// Decoder makes canonical records of Graph's, ReasonOf names why it could not
	// (the closed vocabulary of event.Quarantine; nil = always "unknown_shape").
	Decoder  Decoder
	ReasonOf func(error) string
}

// Decoder is the normaliser: pure, safe for concurrent use. It owns raw.
type Decoder interface {
	Audit(raw []byte) (event.Event, error)
	SignIn(kind string, raw []byte) (event.Event, error)
	Alert(raw []byte) (event.Event, error)
	Application(raw []byte) (event.Object, error)
	ServicePrincipal(raw []byte) (event.Object, error)
	DelegatedGrant(raw []byte) (event.Object, error)
	AppRoleAssignment(raw []byte) (event.Object, error)
	RiskDetection(raw []byte) (event.Event, error)
	// Listed decodes an element of a collection of a kind of traits; of is what led to
	// a further list, "" for the collection itself.
	Listed(kind, of string, raw []byte) ([]event.Object, []event.Event, error)
	// Office decodes a record of the unified audit log; tells is false where it tells of
	// no app.
	Office(raw []byte) (e event.Event, tells bool, err error)
}

// Reader is a source as the ingest loop reads it.
type Reader interface {
	Read(ctx context.Context, cursor []byte) (event.Page, error)
}

// Named is one source with what the outside must know of it.
type Named struct {
	Key        string // "entra/contoso/directory_audits"
	Class      string // event.ClassAudit and so on
	Permission string // least application permission that it needs
	Source     Reader
	// Decode makes the events of one record, as the source would; a record of the
	// inventory gives none. It may be called at any time.
	Decode func(raw []byte) ([]event.Event, error)
}

// Provider is one tenant.
type Provider struct {
	client  *client // of Graph
	office  *client // of the Management Activity API; nil where no source reads it
	sources []Named
	asked   []string // names that collect has; the others are read by default
	budgets map[string]*budget
	metrics *metrics
}

// New checks cfg, reads the secrets and builds the sources that cfg names. It
// sends nothing. The caller closes the provider.
func New(_ context.Context, cfg Config, o Options) (*Provider, error) {
	if problems := cfg.Validate(); len(problems) > 0 {
		return nil, fmt.Errorf("check source %q: %w", o.Name, joined(problems))
	}
	if o.Decoder == nil {
		return nil, fmt.Errorf("build source %q: no decoder", o.Name)
	}
	asked := cfg.Collect
	cfg, o = cfg.withDefaults(), o.withDefaults()
	p := &Provider{asked: asked, budgets: newBudgets(cfg.BudgetShare)}
	var err error
	if p.metrics, err = newMetrics(o.Metrics, o.Name, p.budgets); err != nil {
		return nil, err
	}
	if err := p.connect(cfg, o); err != nil {
		p.metrics.close()
		return nil, fmt.Errorf("build source %q: %w", o.Name, err)
	}
	p.build(cfg, o)
	return p, nil
}

// connect builds the clients.
func (p *Provider) connect(cfg Config, o Options) error {
	creds, err := newLogin(cfg, o)
	if err != nil {
		return err
	}
	if p.client, err = newClient(cfg, cfg.GraphURL, creds, o, p.metrics); err != nil {
		return err
	}
	if slices.ContainsFunc(feedSpecs(), func(s spec) bool { return slices.Contains(cfg.Collect, s.name) }) {
		p.office, err = newClient(cfg, cfg.OfficeURL, creds, o, p.metrics)
	}
	return err
}

func (o Options) withDefaults() Options {
	if o.InitialLookback == 0 {
		o.InitialLookback = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.NewPCG(rand.Uint64(), rand.Uint64()) //nolint:gosec // spreads load, guards nothing
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Secret == nil {
		o.Secret = secret.Resolver{}.Open
	}
	if o.ReasonOf == nil {
		o.ReasonOf = func(error) string { return "unknown_shape" }
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	return o
}

func (p *Provider) build(cfg Config, o Options) {
	for _, s := range specs() {
		if !slices.Contains(cfg.Collect, s.name) {
			continue
		}
		api := p.client
		if s.feed != "" {
			api = p.office
			p.metrics.passed.WithLabelValues("entra/" + o.Name + "/" + s.name)
		}
		if name, at := cfg.where(); at.lacks(s) {
			o.Log.Warn("not available in this cloud", zap.String("source", "entra/"+o.Name+"/"+s.name), zap.String("cloud", name))
			p.sources = append(p.sources, Named{Key: "entra/" + o.Name + "/" + s.name, Class: s.class, Permission: s.permission, Source: absent{name}, Decode: decoder(s, o.Decoder)})
			continue
		}
		c := &caller{client: api, spec: s, key: "entra/" + o.Name + "/" + s.name, budget: p.budgets[s.family], reason: o.ReasonOf, log: o.Log}
		src := reader(c, cfg, o.InitialLookback, o.Decoder, jitter(rand.New(rand.NewPCG(o.Rand.Uint64(), o.Rand.Uint64())))) //nolint:gosec // spreads load, guards nothing
		p.sources = append(p.sources, Named{Key: c.key, Class: s.class, Permission: s.permission, Source: src, Decode: decoder(s, o.Decoder)})
	}
}

// reader builds the source that c's spec describes.
func reader(c *caller, cfg Config, lookback time.Duration, d Decoder, j func(time.Duration) time.Duration) Reader {
	plan := cfg.schedule(c.spec)
	if c.spec.list != nil {
		kind := c.spec.objects
		return newListSource(c, plan, func(of string, raw []byte) ([]event.Object, []event.Event, error) { return d.Listed(kind, of, raw) }, j)
	}
	switch c.spec.objects {
	case event.ObjectApplication:
		return newDeltaSource(c, plan, whole(d.Application), j)
	case event.ObjectServicePrincipal:
		return newDeltaSource(c, plan, whole(d.ServicePrincipal), j)
	case event.ObjectDelegatedGrant:
		return newDeltaSource(c, plan, whole(d.DelegatedGrant), j)
	case event.ObjectAppRoleAssignment:
		return newAssignSource(c, plan, cfg.ResourceAppIDs, whole(d.AppRoleAssignment), j)
	}
	if c.spec.hunt != nil {
		kind := named(c.spec)
		return &huntSource{caller: c, plan: plan, lookback: lookback, jitter: j, most: huntRows, decode: func(of string, raw []byte) ([]event.Object, []event.Event, error) { return d.Listed(kind, of, raw) }}
	}
	return newWindowSource(c, plan, lookback, whole(logged(c.spec, d)), j)
}

// logged is the decoder of a log's records.
func logged(s spec, d Decoder) func([]byte) (event.Event, error) {
	switch {
	case s.feed != "":
		return aboutApps(d.Office)
	case s.class == event.ClassSignIn:
		return func(raw []byte) (event.Event, error) { return d.SignIn(s.kind, raw) }
	case s.class == event.ClassAlert:
		return d.Alert
	case s.class == event.ClassRisk:
		return d.RiskDetection
	}
	return d.Audit
}

// named is what the normaliser knows the elements of a list or a query by.
func named(s spec) string {
	if s.objects == "" {
		return s.name
	}
	return s.objects
}

// decoder is Named.Decode of the source that s describes.
func decoder(s spec, d Decoder) func(raw []byte) ([]event.Event, error) {
	object := func(decode func([]byte) (event.Object, error)) func([]byte) ([]event.Event, error) {
		return whole(func(raw []byte) ([]event.Event, error) {
			_, err := decode(raw)
			return nil, err
		})
	}
	switch {
	case s.list != nil || s.hunt != nil:
		return whole(func(raw []byte) ([]event.Event, error) {
			_, events, err := d.Listed(named(s), "", raw)
			return events, err
		})
	case s.objects == event.ObjectApplication:
		return object(d.Application)
	case s.objects == event.ObjectServicePrincipal:
		return object(d.ServicePrincipal)
	case s.objects == event.ObjectDelegatedGrant:
		return object(d.DelegatedGrant)
	case s.objects == event.ObjectAppRoleAssignment:
		return object(d.AppRoleAssignment)
	}
	return whole(func(raw []byte) ([]event.Event, error) {
		e, err := logged(s, d)(raw)
		if errors.Is(err, errNoApp) {
			return nil, nil
		}
		return []event.Event{e}, err
	})
}

// aboutApps makes an error of a record that tells of no app.
func aboutApps(decode func([]byte) (event.Event, bool, error)) func([]byte) (event.Event, error) {
	return func(raw []byte) (event.Event, error) {
		e, tells, err := decode(raw)
		if err == nil && !tells {
			err = errNoApp
		}
		return e, err
	}
}

var errNoApp = errors.New("the record tells of no app")

// jitter spreads intervals by a tenth, so that sources drift apart.
func jitter(r *rand.Rand) func(time.Duration) time.Duration {
	return func(d time.Duration) time.Duration {
		return d - d/20 + time.Duration(r.Int64N(int64(d/10)+1))
	}
}

// whole guards a decoder: an element that is not an object never reaches it.
func whole[T any](decode func([]byte) (T, error)) func([]byte) (T, error) {
	return func(raw []byte) (T, error) {
		if len(raw) == 0 || raw[0] != '{' {
			var zero T
			return zero, errNotAnObject
		}
		return decode(raw)
	}
}

var errNotAnObject = errors.New("the element is not an object")

// maxQuarantined bounds what is kept of a record that cannot be decoded.
const maxQuarantined = 64 << 10

func (c *caller) quarantine(raw []byte, err error) event.Quarantine {
	reason := "not_an_object"
	if !errors.Is(err, errNotAnObject) {
		reason = c.reason(err)
	}
	return event.Quarantine{Source: c.key, Reason: reason, Detail: err.Error(), Raw: bytes.Clone(raw[:min(len(raw), maxQuarantined)])}
}

// Sources returns the sources, the inventory first. Each is for one goroutine.
func (p *Provider) Sources() []Named { return slices.Clone(p.sources) }

// Budgets says for each family of Microsoft's limits how much of it polls and
// sweeps need, sorted by family.
func (p *Provider) Budgets() []Budget {
	var bs []Budget
	for _, b := range p.budgets {
		bs = append(bs, b.state())
	}
	slices.SortFunc(bs, func(a, b Budget) int { return cmp.Compare(a.Family, b.Family) })
	return bs
}

// Close releases connections and metrics; no source may be read after it.
func (p *Provider) Close() {
	p.client.close()
	if p.office != nil {
		p.office.close()
	}
	p.metrics.close()
}
