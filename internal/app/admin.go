package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/inventory"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/route"
)

// Status is what `appgovd status` shows.
type Status struct {
	Version  string                         `json:"version"`
	Started  time.Time                      `json:"started"`
	Time     time.Time                      `json:"time"`
	Sources  []SourceStatus                 `json:"sources"`  // those that are collected
	Disabled []SourceStatus                 `json:"disabled"` // those that could be
	Sinks    []SinkStatus                   `json:"sinks"`
	Budgets  []BudgetStatus                 `json:"budgets"`
	Apps     map[string]inventory.Counts    `json:"inventory"`
	Ledger   ledger.Stats                   `json:"ledger"`
	Health   []HealthItem                   `json:"health"`
	Rules    int                            `json:"rules"`
	Risks    map[string][]detect.EntityRisk `json:"risks"` // the apps and actors with the highest risk
}

// SinkStatus is what the worker says of a sink, and the ledger of its alerts.
type SinkStatus struct {
	deliver.Status
	ledger.ReaderStats
	Routing *route.Status `json:"routing,omitempty"` // of a sink that tells people
}

// BudgetStatus is how much of a provider's limit the polls and sweeps of a
// source block need: a load above 1 no longer fits.
type BudgetStatus struct {
	Source string  `json:"source"`
	Family string  `json:"family"`
	Load   float64 `json:"load"`
}

// HealthItem is one open alarm.
type HealthItem struct {
	Key      string    `json:"key"`
	Since    time.Time `json:"since"`
	Severity string    `json:"severity"`
	Text     string    `json:"text"`
}

// Status returns a picture of now.
func (a *Agent) Status() Status {
	s := Status{Version: a.o.Version, Started: a.started, Time: a.o.Now().UTC(), Ledger: a.ledger.Stats(), Apps: map[string]inventory.Counts{}, Risks: map[string][]detect.EntityRisk{}, Rules: len(a.plan.set.Rules) + len(a.plan.set.Policies)}
	for _, t := range a.tenants {
		for _, l := range t.loops {
			x := l.Status()
			_, lags := a.health.since("freshness/" + x.Key)
			s.Sources = append(s.Sources, sourceStatus(x, lags, s.Time))
		}
		s.Budgets = append(s.Budgets, t.load()...)
		s.Risks[t.key] = t.rules.get().Risks
		_ = t.lane.Hold(func(uint64) error { s.Apps[t.key] = t.machine.Inventory().Counts(); return nil })
	}
	s.Disabled = a.plan.disabled()
	for _, w := range a.workers {
		d := w.Status()
		s.Sinks = append(s.Sinks, SinkStatus{d, s.Ledger.Readers[d.Sink], a.routing.status(d.Sink)})
	}
	for _, h := range a.health.Open() {
		s.Health = append(s.Health, HealthItem{h.DedupeKey, h.Opened, h.Severity.String(), h.Summary})
	}
	return s
}

// AdminSocket is where the admin API listens.
func (p *Plan) AdminSocket() string {
	if s := p.Config.Agent.AdminSocket; s != "" {
		return s
	}
	return filepath.Join(p.Config.Agent.StateDir, "admin.sock")
}

// Handler serves the admin API: it is put on a Unix socket only. Public serves
// the part that may be put on a TCP port.
func (a *Agent) Handler() http.Handler {
	mux := a.public()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Status(), nil) })
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Rules(), nil) })
	mux.HandleFunc("GET /apps", a.serveApps)
	mux.HandleFunc("GET /app", a.serveApp)
	mux.HandleFunc("GET /app/usage", a.serveUsage)
	mux.HandleFunc("GET /app/signins", a.serveSignIns)
	mux.HandleFunc("GET /app/changes", a.serveChanges)
	mux.HandleFunc("GET /inventory", spooled(a.exportInventory))
	mux.HandleFunc("GET /deadletters", spooled(func(w io.Writer) error {
		enc := json.NewEncoder(w)
		return a.ledger.DeadLetters(func(d event.DeadLetter) error { return enc.Encode(d) })
	}))
	mux.HandleFunc("POST /deadletters/{id}/retry", a.settling(a.retryDeadLetter))
	mux.HandleFunc("POST /deadletters/{id}/drop", a.settling(a.dropDeadLetter))
	mux.HandleFunc("GET /input", spooled(func(w io.Writer) error {
		enc := json.NewEncoder(w)
		return EachUndecoded(a.packed, func(u Undecoded) error { return enc.Encode(u) })
	}))
	mux.HandleFunc("POST /input/retry", a.settleInput(false))
	mux.HandleFunc("POST /input/drop", a.settleInput(true))
	mux.HandleFunc("POST /sinks/test", a.testSink)
	mux.HandleFunc("GET /tail", a.serveTail)
	mux.HandleFunc("GET /silences", a.listSilences)
	mux.HandleFunc("POST /silences", a.addSilence)
	mux.HandleFunc("POST /silences/{id}/expire", a.expireSilence)
	return mux
}

// Public serves /healthz, /readyz and /metrics.
func (a *Agent) Public() http.Handler { return a.public() }

func (a *Agent) public() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Alive(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		why, settled := a.notReady()
		if why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, strings.Join(append([]string{"ready"}, settled...), "\n"))
	})
	return mux
}

// Alive is the progress check behind the watchdog and /healthz: while the agent
// runs, the clock's frames become durable. A ledger that waits for room, which
// has an alarm of its own, is alive: a restart would bring none.
func (a *Agent) Alive() error {
	stats := a.ledger.Stats()
	if stats.Error != "" {
		return fmt.Errorf("ledger: %s", stats.Error)
	}
	since := a.progress.stalled()
	if limit := 3*a.plan.Config.Agent.Tick + 30*time.Second; since > limit && !waits(stats) {
		return fmt.Errorf("no tick became durable for %s", since.Round(time.Second))
	}
	return nil
}

func waits(s ledger.Stats) bool { return s.DiskFull || s.Bytes >= s.MaxBytes }

// progress is when the clock last did its work, while it is meant to; a jump of
// the wall clock is none.
type progress struct {
	mu   sync.Mutex
	last time.Time // zero: the clock does not run, before the start or while draining
}

func (p *progress) set(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = t
}

func (p *progress) stalled() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.IsZero() {
		return 0
	}
	return time.Since(p.last)
}

// notReady says why the agent is not ready; "" = it is, without the sources that are
// settled: no wait brings a licence, or what a cloud lacks.
func (a *Agent) notReady() (why string, settled []string) {
	if waits(a.ledger.Stats()) {
		return "the ledger waits for room", nil
	}
	for _, t := range a.tenants {
		for _, l := range t.loops {
			s := l.Status()
			if !s.LastRead.IsZero() {
				continue
			}
			switch c, reason := condition(s, false); c {
			case ConditionNotLicensed, ConditionNotInCloud:
				settled = append(settled, fmt.Sprintf("source %s is %s: %s", s.Key, c, reason))
			default:
				return fmt.Sprintf("source %s has not been read yet (%s)", s.Key, s.State), nil
			}
		}
	}
	return "", settled
}

func (a *Agent) exportInventory(w io.Writer) error {
	for _, t := range a.tenants {
		risk := func(key string) int { return t.machine.AppRisk(key, a.o.Now()) }
		if err := t.lane.Hold(func(uint64) error { return t.machine.Inventory().Export(w, risk) }); err != nil {
			return err
		}
	}
	return nil
}

// spooled answers with JSON lines that fill writes under a lock: into a file
// without a name first, so that a client that does not read holds up nobody.
func spooled(fill func(io.Writer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		f, err := os.CreateTemp("", "appgovd-answer-*")
		if err == nil {
			defer func() { _ = f.Close() }()
			err = errors.Join(os.Remove(f.Name()), fill(f))
		}
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.Copy(w, f)
	}
}
