package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sim"
)

// weather is everything that goes wrong in a soak, drawn from one seed.
type weather struct {
	random  *rand.Rand
	server  *toxiproxy.ApiServer
	proxies []*toxiproxy.Proxy
	d       *daemon
	cloud   *sim.Cloud
	disk    string // that the state is on; empty = none to be filled
	counts  map[string]int
}

// proxy puts a proxy in front of upstream.
func (w *weather) proxy(t *testing.T) via {
	return func(upstream, listen string) string {
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		p := toxiproxy.NewProxy(w.server, upstream, listen, upstream)
		if err := w.server.Collection.Add(p, true); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Stop)
		w.proxies = append(w.proxies, p)
		return p.Listen
	}
}

// spell is one fault: it begins, and what begin returns ends it.
type spell struct {
	name  string
	begin func(t *testing.T) (end func())
}

func (w *weather) spells() []spell {
	all := []spell{
		{"kill", func(t *testing.T) func() { w.d.kill(); w.d.start(t); return func() {} }},
		{"down", func(t *testing.T) func() { p := w.any(); p.Stop(); return func() { w.up(t, p) } }},
		{"throttle", w.cloudFault(func(f *sim.Faults) { f.Throttle = 0.7 })},
		{"server errors", w.cloudFault(func(f *sim.Faults) { f.ServerErrors = 0.5 })},
		{"truncated answers", w.cloudFault(func(f *sim.Faults) { f.Truncate = 0.4 })},
		{"tokens expire", w.cloudFault(func(f *sim.Faults) { f.ExpireTokens = true })},
		{"delta token gone", w.cloudFault(func(f *sim.Faults) { f.Gone = 1 })},
		{"wrong date", w.cloudFault(func(f *sim.Faults) { f.DateSkew = time.Duration(w.random.Int64N(int64(2*time.Hour))) - time.Hour })},
		w.toxic("latency", func() string { return fmt.Sprintf(`"latency": %d, "jitter": 200`, 100+w.random.IntN(1500)) }),
		w.toxic("reset_peer", func() string { return fmt.Sprintf(`"timeout": %d`, w.random.IntN(500)) }),
		w.toxic("slow_close", func() string { return `"delay": 1500` }),
		w.toxic("bandwidth", func() string { return fmt.Sprintf(`"rate": %d`, 2+w.random.IntN(40)) }),
		w.toxic("timeout", func() string { return `"timeout": 0` }),
		w.toxic("limit_data", func() string { return fmt.Sprintf(`"bytes": %d`, 1+w.random.IntN(20_000)) }),
	}
	if w.disk != "" {
		all = append(all, spell{"full disk", func(t *testing.T) func() {
			ballast := filepath.Join(w.disk, "ballast")
			fill(t, ballast)
			return func() { _ = os.Remove(ballast) }
		}})
	}
	return all
}

func (w *weather) any() *toxiproxy.Proxy { return w.proxies[w.random.IntN(len(w.proxies))] }

func (w *weather) up(t *testing.T, p *toxiproxy.Proxy) {
	if err := p.Start(); err != nil {
		t.Errorf("start proxy of %s: %v", p.Upstream, err)
	}
}

func (w *weather) cloudFault(change func(*sim.Faults)) func(*testing.T) func() {
	return func(*testing.T) func() {
		f := w.cloud.Faults()
		change(&f)
		w.cloud.SetFaults(f)
		return func() { w.cloud.SetFaults(sim.Faults{}) }
	}
}

// toxic is a fault of one proxy in one direction.
func (w *weather) toxic(kind string, attributes func() string) spell {
	return spell{kind, func(t *testing.T) func() {
		p, stream := w.any(), []string{"upstream", "downstream"}[w.random.IntN(2)]
		text := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, kind, kind, stream, attributes())
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return func() {
			ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
			defer stop()
			if err := p.Toxics.RemoveToxic(ctx, kind); err != nil {
				t.Errorf("remove %s: %v", kind, err)
			}
		}
	}}
}

// blow lets one fault after the other happen until the end, up to three at once.
func (w *weather) blow(t *testing.T, until time.Time) {
	t.Helper()
	all, open := w.spells(), map[string]func(){}
	for time.Now().Before(until) {
		w.d.alive(t)
		s := all[w.random.IntN(len(all))]
		if end := open[s.name]; end != nil || len(open) >= 3 {
			for _, name := range slices.Sorted(maps.Keys(open))[:1] {
				open[name]()
				delete(open, name)
			}
			continue
		}
		w.counts[s.name]++
		open[s.name] = s.begin(t)
		pause(t.Context(), time.Duration(w.random.Int64N(int64(3*time.Second))))
	}
	for _, end := range open {
		end()
	}
}

// Every numbered record reaches every sink whatever happens on the way: proxies
// between the daemon and the cloud and every sink, faults drawn from a seed, then
// a quiet phase in which everything must arrive. Missing, invented, changed: none.
func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d (-e2e.seed), %s of faults", *seed, *soak)
	w := &weather{random: rand.New(rand.NewPCG(*seed, 0)), server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), d: newDaemon(t), counts: map[string]int{}}
	if os.Getuid() == 0 {
		w.disk = servicetest.NewTmpfs(t, "256m")
		w.d.state = filepath.Join(w.disk, "state")
	}
	v := w.proxy(t)
	receivers := []receiver{kafkaReceiver(t, v), syslogReceiver(t, v), elasticReceiver(t, v), fileReceiver(w.d.path("alerts.jsonl"))}
	const rate = 20
	var err error
	if w.cloud, err = sim.New(sim.Options{
		Seed: int64(*seed >> 1), Apps: 60, Grants: 300, Users: 40, Events: int(rate * soak.Seconds()), EventsPerSecond: rate, Late: 0.02, LateBy: 2 * time.Hour,
		Duplicates: 0.01, Scenario: "quiet", Changes: int(soak.Seconds()), ChangeEvery: time.Second, DirectoryPage: 50,
	}); err != nil {
		t.Fatal(err)
	}
	configure(t, w.d, w.cloud, size{budgetShare: 1000}, receivers, v)
	w.d.start(t)
	w.blow(t, w.cloud.Complete())
	began := time.Now()
	compare(t, w.d, 5*time.Minute, w.cloud, receivers)
	same(t, receivers[0], receivers[1], receivers[3])
	t.Logf("seed %d: %d records, all was there %s after the last fault; faults: %v", *seed, len(w.cloud.Issued()), time.Since(began).Round(time.Second), w.counts)
	w.d.stop()
}

// same checks that receivers of the same format have the same bytes for the same
// delivery, however often it came.
func same(t *testing.T, receivers ...receiver) {
	t.Helper()
	documents, corrupted := map[string][]byte{}, 0
	for _, r := range receivers {
		for _, d := range r.got(t) {
			if was, known := documents[d.DeliveryID]; known && !bytes.Equal(was, d.document) {
				if corrupted++; corrupted < 5 {
					t.Errorf("%s has another text of delivery %s:\n%s\n%s", r.name, d.DeliveryID, d.document, was)
				}
			}
			documents[d.DeliveryID] = d.document
		}
	}
	t.Logf("%d deliveries, corrupted %d", len(documents), corrupted)
}
