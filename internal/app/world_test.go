package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
)

const (
	theTenant = "entra/x"
	theSource = "entra/x/signins_service_principal"
	theSink   = "stdout/bad"
)

// world is a whole agent whose one source and one of whose sinks do as they are
// told; the other sink is a real one that takes everything. Its clock is a
// bubble's.
type world struct {
	dir string
	out lockedBuffer // of the good sink, in ECS
	log *observer.ObservedLogs

	mu      sync.Mutex
	read    func() (event.Page, error)              // nil = an empty page, complete now
	write   func(batch []event.Alert) error         // of the bad sink; nil = accepted
	load    float64                                 // of the budget
	delay   func(source string) time.Duration       // nil = unknown
	decode  func(raw []byte) ([]event.Event, error) // of single records; nil = none
	more    string                                  // of the configuration
	rules   string                                  // directory; empty = none
	badSink bool
	cursors []string      // that the source was asked with
	edit    func(*Plan)   // of what no configuration may say; may be nil
	step    time.Duration // between ticks, and between reads
}

func newWorld(t *testing.T) *world {
	return &world{dir: t.TempDir(), badSink: true, step: time.Minute}
}

// set changes how the world behaves.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// Read is the source's.
func (w *world) Read(_ context.Context, cursor []byte) (event.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cursors = append(w.cursors, string(cursor))
	p, err := event.Page{CompleteThrough: time.Now()}, error(nil)
	if w.read != nil {
		p, err = w.read()
	}
	p.Cursor, p.Wait = []byte("mark"), w.step
	return p, err
}

// Write is the bad sink's.
func (w *world) Write(_ context.Context, batch []event.Alert) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.write == nil {
		return nil
	}
	return w.write(batch)
}

func (w *world) Close() error { return nil }

func (w *world) plan(t *testing.T) *Plan {
	t.Helper()
	conf := filepath.Join(w.dir, "agent.hcl")
	text := fmt.Sprintf("agent {\n  state_dir = %q\n  tick = \"%s\"\n  snapshot = \"1h\"\n  shutdown_timeout = \"1s\"\n}\nsink \"stdout\" \"good\" {\n  format = \"ecs\"\n}\n", filepath.Join(w.dir, "state"), w.step)
	if w.badSink {
		text += "sink \"stdout\" \"bad\" {}\n"
	}
	if w.rules != "" {
		text += fmt.Sprintf("rules = [%q]\n", w.rules)
	}
	if err := os.WriteFile(conf, []byte(text+w.more), 0o600); err != nil {
		t.Fatal(err)
	}
	p, diags := Check(conf)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p.sources = []planned[checkedSource]{{config.Block{Kind: "entra", Name: "x"}, checkedSource{tenant: "t", provider: "entra", build: w.sources}}}
	for i := range p.sinks {
		if p.sinks[i].block.Key() == theSink {
			p.sinks[i].kind.build = func(deps) (deliver.Sink, error) { return w, nil }
		}
	}
	if w.edit != nil {
		w.edit(p)
	}
	return p
}

func (w *world) sources(context.Context, deps) (*sources, error) {
	return &sources{
		list: []msgraph.Named{{Key: theSource, Class: event.ClassSignIn, Source: w, Decode: w.decode}}, close: func() {}, delay: w.delay,
		budgets: func() []msgraph.Budget {
			w.mu.Lock()
			defer w.mu.Unlock()
			return []msgraph.Budget{{Family: "reports", Rate: 1, Demand: w.load, Load: w.load}}
		},
	}, nil
}

// run runs an agent while script does things to the world.
func (w *world) run(t *testing.T, script func(*Agent)) {
	t.Helper()
	core, log := observer.New(zapcore.InfoLevel)
	w.log = log
	a, err := New(t.Context(), w.plan(t), Options{Stdout: &w.out, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	synctest.Wait()
	script(a)
	w.set(func() { w.write = nil })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// live runs test in a bubble, where hours take no time.
func live(t *testing.T, name string, test func(t *testing.T, w *world)) {
	t.Run(name, func(t *testing.T) {
		w := newWorld(t)
		synctest.Test(t, func(t *testing.T) { test(t, w) })
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// raised checks that the alarm is open, in the status, as a metric and as a log
// line, and that its text has every one of parts.
func (w *world) raised(t *testing.T, a *Agent, key string, parts ...string) {
	t.Helper()
	synctest.Wait()
	i := slices.IndexFunc(a.health.Open(), func(x event.Alert) bool { return x.DedupeKey == key })
	if i < 0 {
		t.Fatalf("no alarm %s; open are %v", key, a.Status().Health)
	}
	alarm := a.health.Open()[i]
	for _, p := range parts {
		if !strings.Contains(alarm.Severity.String()+": "+alarm.Title+": "+alarm.Summary, p) {
			t.Errorf("alarm %s has no %q: %s: %s: %s", key, p, alarm.Severity, alarm.Title, alarm.Summary)
		}
	}
	if testutil.ToFloat64(a.health.size.WithLabelValues(ruleOf(key))) < 1 {
		t.Errorf("the metric does not count %s", key)
	}
	if w.log.FilterMessage("alarm").FilterField(zap.String("alarm", key)).Len() == 0 {
		t.Errorf("no log line for %s", key)
	}
}

// calm checks that the alarm is not open.
func (w *world) calm(t *testing.T, a *Agent, key string) {
	t.Helper()
	synctest.Wait()
	for _, x := range a.health.Open() {
		if x.DedupeKey == key {
			t.Fatalf("alarm %s: %s: %s", key, x.Title, x.Summary)
		}
	}
}

// told are the states of the alarm's alerts as the good sink got them.
func (w *world) told(key string) (states []string) {
	for line := range strings.Lines(w.out.String()) {
		if strings.Contains(line, `"`+key+`"`) {
			for _, s := range []string{"new", "updated", "resolved"} {
				if strings.Contains(line, `"state":"`+s+`"`) {
					states = append(states, s)
				}
			}
		}
	}
	return states
}

func (w *world) wantTold(t *testing.T, key string, want ...string) {
	t.Helper()
	if got := w.told(key); !slices.Equal(got, want) {
		t.Errorf("the sink was told %v of %s, want %v\n%s", got, key, want, w.out.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
