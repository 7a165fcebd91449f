// Package app is the roof: it knows every kind of source and sink, builds an
// agent of a checked configuration, starts it, drains it and answers questions
// about it. Nothing here is worth testing below the whole.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/rule"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Options of an Agent.
type Options struct {
	Log     *zap.Logger
	Version string
	Stdout  io.Writer // of the stdout sink; nil = os.Stdout
	Now     func() time.Time
	Dial    outbound.Dial // of sources; nil = over the network
}

type deps struct {
	tenant   string    // key of the tenant: "entra/contoso"
	rules    *rule.Set // that will be in force
	log      *zap.Logger
	metrics  prometheus.Registerer
	secrets  secret.Resolver
	now      func() time.Time
	lookback time.Duration
	version  string
	stdout   io.Writer
	hasher   *event.Hasher
	events   bool              // the sink gets events, not alerts
	links    map[string]string // of the agent: templates of pages, nil = Microsoft's
	dial     outbound.Dial
}

// linksOr are a sink's own templates of pages, or where it says nothing those of the agent.
func (d deps) linksOr(own map[string]string) map[string]string {
	switch {
	case own != nil:
		return own
	case d.links != nil:
		return d.links
	}
	return post.DefaultLinks()
}

// Agent is one running configuration. Build it with New, Run it once.
type Agent struct {
	plan    *Plan
	o       Options
	log     *zap.Logger
	reg     *prometheus.Registry
	ledger  *ledger.Ledger
	health  *health
	tenants []*tenant
	workers []*deliver.Worker
	sinks   []deliver.Sink
	routing *routing
	geoip   geoip
	watched *watched
	started time.Time
	life    context.Context // until Close
	end     context.CancelFunc

	progress progress
	healthMu sync.Mutex   // order of health frames and snapshots
	inputMu  sync.Mutex   // who settles records that could not be decoded
	paused   atomic.Int64 // nanoseconds for which detection waited for the last snapshot
}

// New opens the state directory, recovers the state and builds sources and
// sinks; it sends nothing yet. The agent must be Run or Closed.
func New(ctx context.Context, p *Plan, o Options) (*Agent, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	a := &Agent{plan: p, o: o, log: o.Log, reg: prometheus.NewRegistry(), started: o.Now()}
	a.life, a.end = context.WithCancel(context.WithoutCancel(ctx))
	a.watched = newWatched(o.Now())
	a.health = newHealth(o.Now, o.Log.Named("health"), a.reg)
	a.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := a.build(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Agent) build(ctx context.Context) error {
	c := a.plan.Config.Agent
	var err error
	a.ledger, err = ledger.Open(c.StateDir, ledger.Options{
		Uncompressed: c.Compression == "none", MaxBytes: c.MaxBytes, History: c.History, ReaderGrace: c.ReaderGrace, OverflowDir: c.OverflowDir, OverflowBytes: c.OverflowBytes, Log: a.log.Named("ledger"), Metrics: a.reg, Now: a.o.Now, OnAlarm: a.ledgerAlarm,
	})
	if err != nil {
		return err
	}
	d := deps{rules: a.plan.set, log: a.log, metrics: a.reg, now: a.o.Now, lookback: c.InitialLookback, version: a.o.Version, dial: a.o.Dial, stdout: a.o.Stdout, links: c.Links, hasher: event.NewHasher(a.ledger.Secret())}
	if a.geoip, err = newGeoIP(a.plan.Config.GeoIP, d); err != nil {
		return err
	}
	if a.routing, err = newRouting(a.plan, a.o.Now, a.log.Named("route")); err != nil {
		return err
	}
	a.routing.ledger = a.ledger
	a.reg.MustRegister(newBoardMetrics(a.routing))
	metrics := ingest.NewMetrics(a.reg)
	if err := a.buildTenants(ctx, d); err != nil {
		return err
	}
	if err := a.ledger.Recover(a.restore, a.replay); err != nil {
		return fmt.Errorf("recover state: %w", err)
	}
	a.raiseEarly()
	for _, t := range a.tenants {
		a.buildLoops(t, metrics)
	}
	if err := a.buildSinks(d); err != nil {
		return err
	}
	return a.startWatch()
}

// buildTenants builds the streams last: they belong to the tenant of another block,
// where there is one.
func (a *Agent) buildTenants(ctx context.Context, d deps) error {
	for _, streams := range []bool{false, true} {
		for _, s := range a.plan.sources {
			if s.kind.stream != streams {
				continue
			}
			if err := a.buildTenant(ctx, s, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Agent) buildTenant(ctx context.Context, s planned[checkedSource], d deps) error {
	i := -1
	if s.kind.stream {
		i = slices.IndexFunc(a.tenants, func(t *tenant) bool { return strings.EqualFold(t.id, s.kind.tenant) })
	}
	if d.tenant = s.kind.provider + "/" + s.block.Name; i >= 0 {
		d.tenant = a.tenants[i].key
	}
	src, err := s.kind.build(ctx, d)
	if err != nil {
		return err
	}
	if i < 0 {
		a.tenants = append(a.tenants, a.newTenant(d.tenant, s.kind))
		i = len(a.tenants) - 1
	}
	a.tenants[i].add(src)
	return nil
}

func (a *Agent) newTenant(key string, s checkedSource) *tenant {
	t := &tenant{key: key, id: s.tenant, seen: map[string]*ingest.Seen{}, known: map[string]bool{}}
	t.machine = detect.New(nil, detect.Options{Provider: s.provider, Tenant: s.tenant, Kinds: s.kinds, Log: a.log.Named("detect"), Elapsed: elapsed()})
	t.lane = ingest.NewLane(t.machine, watchedLog{a.ledger, a.watched.quarantine.frame})
	return t
}

// elapsed is a monotonic time.
func elapsed() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// seenFor is how long an id is remembered: longer than any sweep is deep.
const seenFor = 72 * time.Hour

func (a *Agent) buildLoops(t *tenant, metrics *ingest.Metrics) {
	accounts := a.ledger.Accounts()
	for _, n := range t.sources {
		cursor := a.ledger.Mark(n.Key)
		if cursor != nil && !t.known[n.Key] {
			a.log.Warn("a source comes back whose state is gone; it is read anew", zap.String("source", n.Key))
			cursor = nil
		}
		t.loops = append(t.loops, ingest.NewLoop(ingest.Options{
			Key: n.Key, Class: n.Class, Source: n.Source, Enricher: a.geoip.enricher(), Lane: t.lane, Seen: t.seen[n.Key], Cursor: cursor, Account: accounts[n.Key],
			Metrics: metrics, Log: a.log.Named("ingest"), Now: a.o.Now, OnState: a.sourceState, OnImbalance: a.watchAccount,
		}))
	}
}

func (a *Agent) buildSinks(d deps) error {
	metrics := deliver.NewMetrics(a.reg)
	for _, s := range a.plan.sinks {
		name := s.block.Key()
		d.events = s.block.Forward == config.ForwardEvents
		sink, err := s.kind.build(d)
		if err != nil {
			return fmt.Errorf("build sink %s: %w", name, err)
		}
		a.sinks = append(a.sinks, sink)
		o := deliver.Options{
			Name: name, Sink: sink, DeadLetters: watchedDeadLetters{a.ledger, &a.watched.dead}, Log: a.log.Named("deliver"), Metrics: metrics, Now: a.o.Now, OnState: a.sinkState,
		}
		o.Batch = batchOf(s.block)
		if err := a.connect(s, &o); err != nil {
			return err
		}
		a.workers = append(a.workers, deliver.New(o))
	}
	released, err := a.ledger.ReleaseUnused()
	for _, name := range released {
		a.log.Warn("a sink left the configuration; its cursor holds nothing any more", zap.String("cursor", name))
	}
	return err
}

// connect gives a worker its way through the ledger.
func (a *Agent) connect(s planned[checkedSink], o *deliver.Options) error {
	if s.block.Forward == config.ForwardEvents {
		r, err := a.ledger.EventReader(o.Name)
		o.Reader, o.Match = eventReader{r}, forwarded(a.plan.forwards[o.Name])
		a.watched.missing[o.Name] = missing{a.ledger.Stats().Readers[o.Name].Missing, a.o.Now()}
		return err
	}
	r, err := a.ledger.Reader(o.Name, ledger.ReaderOptions{ResendWindow: s.kind.resend, WhenFull: whenFull(s.block.WhenFull), Grouped: a.routing.grouped(o.Name)})
	o.Reader, o.Match, o.Board = r, a.routing.match(o.Name), a.routing.of(o.Name)
	return err
}

func whenFull(s string) ledger.WhenFull {
	return map[string]ledger.WhenFull{"drop_oldest": ledger.DropOldest, "overflow": ledger.Overflow}[s]
}

func (a *Agent) restore(r io.Reader) error {
	if err := a.health.restore(r); err != nil {
		return err
	}
	names, err := readText(r)
	if err != nil {
		return err
	}
	for _, key := range strings.Split(string(names), "\n") {
		if key == "" {
			continue
		}
		if err := readSection(r, func(r io.Reader) error { return a.restoreTenant(key, r) }); err != nil {
			return err
		}
	}
	return a.routing.restore(r)
}

// restoreTenant reads nothing of a tenant that left the configuration.
func (a *Agent) restoreTenant(key string, r io.Reader) error {
	for _, t := range a.tenants {
		if t.key == key {
			return t.restore(r)
		}
	}
	return nil
}

func (a *Agent) replay(f *event.Frame) error {
	if f.Kind == event.FrameHealth {
		a.health.replay(f)
		return nil
	}
	if f.Kind == event.FrameNotify {
		a.routing.replay(f)
		return nil
	}
	for _, t := range a.tenants {
		if t.owns(f) {
			t.replay(f)
		}
	}
	return nil
}

// Close releases everything; Run does it itself.
func (a *Agent) Close() error {
	a.end()
	var errs []error
	for _, t := range a.tenants {
		t.close()
	}
	for _, s := range a.sinks {
		errs = append(errs, s.Close())
	}
	if a.ledger != nil {
		errs = append(errs, a.ledger.Close())
	}
	return errors.Join(errs...)
}
