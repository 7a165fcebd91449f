package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// BenchmarkTake is a batch of 500 alerts of one rule: what a storm costs before the
// operation is written, per alert.
func BenchmarkTake(b *testing.B) {
	for _, by := range []string{"rule_id", "app.id"} {
		b.Run("group_by="+by, func(b *testing.B) {
			d := newDesk(b, notify(func(n *Notify) { n.GroupBy = []string{by} }))
			batch := make([]event.Alert, 500)
			for i := range batch {
				batch[i] = an("entra.consent.tenant_wide", fmt.Sprint(i), high)
			}
			b.ReportAllocs()
			var size int
			for b.Loop() {
				_, _, op := d.b.Take(batch, event.Position{LSN: 1}, d.now)
				size = len(op.Append(nil))
			}
			perAlert(b, len(batch))
			b.ReportMetric(float64(size)/float64(len(batch)), "B-op/alert")
		})
	}
}

// BenchmarkStorm is Take and Apply of 50,000 alerts of one rule in batches of 500, with
// what is due between them.
func BenchmarkStorm(b *testing.B) {
	batches := make([][]event.Alert, 100)
	for k := range batches {
		for i := range 500 {
			batches[k] = append(batches[k], an("entra.consent.tenant_wide", fmt.Sprint(k, " ", i), high))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		d := newDesk(b, notify(nil))
		now, told := d.now, 0
		for k, batch := range batches {
			_, _, op := d.b.Take(batch, event.Position{LSN: uint64(k + 1)}, now)
			if err := d.b.Apply(op); err != nil {
				b.Fatal(err)
			}
			now = now.Add(600 * time.Millisecond)
			if w := d.b.Wake(now); w.After(now) {
				continue
			}
			notices, op := d.b.Due(now)
			if told += len(notices); op != nil {
				if err := d.b.Apply(op); err != nil {
					b.Fatal(err)
				}
			}
		}
		if told != 1 {
			b.Fatalf("%d notices", told)
		}
	}
	perAlert(b, 50_000)
}

func perAlert(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/alert")
}

// BenchmarkSources is a storm of graver alerts, each of which inhibits those about its app,
// over 1,000 open groups of 20 alerts: each batch makes all groups be looked at again.
func BenchmarkSources(b *testing.B) {
	c := notify(func(n *Notify) { n.GroupBy = []string{"rule_id"} })
	c.Inhibits = []Inhibit{{Source: condition("severity=critical"), Target: condition("severity=high"), Equal: []string{"app.id"}}}
	d := newDesk(b, c)
	place := uint64(0)
	take := func(batch []event.Alert) {
		place++
		_, _, op := d.b.Take(batch, event.Position{LSN: place}, d.now)
		if err := d.b.Apply(op); err != nil {
			b.Fatal(err)
		}
	}
	for g := range 1000 {
		var batch []event.Alert
		for i := range 20 {
			batch = append(batch, an(fmt.Sprintf("entra.rule.%d", g), fmt.Sprint(g, " ", i), high))
		}
		take(batch)
	}
	batch := make([]event.Alert, 500)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range batch {
			n++
			batch[i] = an("entra.grave", fmt.Sprint("grave ", n), critical)
		}
		take(batch)
		d.b.Wake(d.now)
	}
	perAlert(b, len(batch))
}
