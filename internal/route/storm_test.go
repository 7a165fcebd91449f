package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestAStormIsFewNoticesThatSayHowMany(t *testing.T) {
	for _, by := range []string{"rule_id", "app.id"} {
		d := newDesk(t, notify(func(n *Notify) {
			n.GroupBy = []string{by}
			n.GroupInterval = dur(time.Minute)
			n.Rate = &Rate{3, 10 * time.Minute}
		}))
		var told []event.Alert
		for k := range 100 {
			batch := make([]event.Alert, 500)
			for i := range batch {
				batch[i] = d.an("r", fmt.Sprint(k, " ", i), high)
			}
			_, _, op := d.b.Take(batch, event.Position{LSN: uint64(k + 1)}, d.now)
			if err := d.b.Apply(op); err != nil {
				t.Fatal(err)
			}
			d.now = d.now.Add(600 * time.Millisecond)
			for w := d.b.Wake(d.now); !w.IsZero() && !w.After(d.now); w = d.b.Wake(d.now) {
				notices, op := d.b.Due(d.now)
				if told = append(told, notices...); op == nil {
					t.Fatal("it wakes for nothing")
				}
				if err := d.b.Apply(op); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(told) > 3 {
			t.Fatalf("%d notices", len(told))
		}
		if err := d.shade.Restore(d.b.AppendState(nil)); err != nil {
			t.Fatal(err)
		}
		for len(told) == 0 || told[len(told)-1].Group.Total < 49_000 {
			more := d.pass(5 * time.Minute)
			if told = append(told, more...); d.now.Sub(start()) > time.Hour {
				t.Fatalf("group by %s: %d notices, the last says %+v", by, len(told), told[len(told)-1].Group)
			}
		}
		if s := d.b.Status(d.now); s.Account.Grouped != 50_000 || s.Account.Notified != 50_000 || !s.Account.Balanced() {
			t.Fatalf("%+v", s)
		}
	}
}
