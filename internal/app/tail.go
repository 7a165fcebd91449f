package app

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/rule"
)

// TailQuery asks for alerts as they come.
type TailQuery struct {
	Where string         // a condition on an alert, in the language of rules; "" = all
	After event.Position // of the last alert that is known; zero = those from now on
	Since time.Duration  // with no After: those of the history so far back come first
}

// TailLine is one alert and where it lies in the ledger. The first line may have none: it
// says behind what those from now on come, for who is cut off before the first of them.
type TailLine struct {
	LSN   uint64          `json:"frame"`
	Index uint32          `json:"index"`           // within the frame
	Alert json.RawMessage `json:"alert,omitempty"` // as the format "json" writes it
}

// tailEvery is how often the ledger is looked at for new alerts.
const tailEvery = 200 * time.Millisecond

// Tail gives put every durable alert that passes the filter, in the ledger's order,
// until ctx ends (nil), the agent closes (nil) or put fails. It holds up nothing: a slow
// put falls behind, and alerts that left the ledger meanwhile are passed over. idle is
// called whenever there is nothing more for now.
func (a *Agent) Tail(ctx context.Context, q TailQuery, put func(TailLine) error, idle func() error) error {
	match, err := a.alertFilterOf(q.Where)
	if err != nil {
		return err
	}
	t := tail{put: put, match: match, next: q.After}
	switch {
	case q.After != (event.Position{}):
		if t.next.Index++; t.next.LSN > a.ledger.Head() {
			return &badQuestion{fmt.Sprintf("there is no frame %d yet: that position is of another ledger", t.next.LSN)}
		}
	case q.Since > 0:
		t.since = a.o.Now().Add(-q.Since)
	default:
		head := a.ledger.Head()
		t.next.LSN = head + 1
		if err := put(TailLine{LSN: head, Index: math.MaxUint32 - 1}); err != nil {
			return err
		}
	}
	look := time.NewTicker(tailEvery)
	defer look.Stop()
	for {
		if a.ledger.Head() >= t.next.LSN {
			if err := a.ledger.Packed(t.next.LSN, func(p *event.Packed) error { return t.frame(ctx, p) }); err != nil {
				if ctx.Err() != nil || a.life.Err() != nil { // the end was asked for
					return nil
				}
				return err
			}
		}
		if err := idle(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.life.Done():
			return nil
		case <-look.C:
		}
	}
}

// tail is how far one reader of alerts got.
type tail struct {
	put   func(TailLine) error
	match func(*event.Alert) bool
	since time.Time
	next  event.Position
}

func (t *tail) frame(ctx context.Context, p *event.Packed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from := 0
	if p.Head.LSN == t.next.LSN {
		from = min(int(t.next.Index), p.Alerts())
	}
	t.next = event.Position{LSN: p.Head.LSN + 1}
	if p.Alerts() == from || p.Head.Time.Before(t.since) {
		return nil
	}
	alerts, err := p.AlertsIn(from, p.Alerts())
	if err != nil {
		return err
	}
	for i := range alerts {
		if t.match(&alerts[i]) {
			if err := t.put(TailLine{p.Head.LSN, uint32(from + i), format.AppendJSON(nil, &alerts[i])}); err != nil {
				return err
			}
		}
	}
	return nil
}

// alertFilterOf compiles a condition on alerts; its mistakes are shown as those of rules are.
func (a *Agent) alertFilterOf(text string) (func(*event.Alert) bool, error) {
	if text == "" {
		return func(*event.Alert) bool { return true }, nil
	}
	f, err := compiled(a.plan.set, (*rule.Set).AlertFilter, text)
	if err != nil {
		return nil, err
	}
	return f.Match, nil
}

// serveTail answers GET /tail?where=…&since=…&after=FRAME.INDEX with lines of JSON, until
// the client goes or the agent ends.
func (a *Agent) serveTail(w http.ResponseWriter, r *http.Request) {
	q, err := tailQuery(r)
	if err != nil {
		answer(w, nil, err)
		return
	}
	out, enc := http.NewResponseController(w), json.NewEncoder(w)
	begun, unsent := false, false
	begin := func() { // not before the question is known to be good
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.WriteHeader(http.StatusOK)
			begun, unsent = true, true
		}
	}
	put := func(l TailLine) error { begin(); unsent = true; return enc.Encode(l) }
	idle := func() error {
		if begin(); !unsent {
			return nil
		}
		unsent = false
		return out.Flush()
	}
	if err := a.Tail(r.Context(), q, put, idle); err != nil && !begun {
		answer(w, nil, err)
	}
}

func tailQuery(r *http.Request) (q TailQuery, err error) {
	q.Where = r.FormValue("where")
	if s := r.FormValue("since"); s != "" {
		if q.Since, err = time.ParseDuration(s); err != nil || q.Since < 0 {
			return q, &badQuestion{fmt.Sprintf("since is no duration: %q", s)}
		}
	}
	if s := r.FormValue("after"); s != "" {
		if _, err := fmt.Sscanf(s, "%d.%d", &q.After.LSN, &q.After.Index); err != nil {
			return q, &badQuestion{"after is no position FRAME.INDEX: " + strconv.Quote(s)}
		}
	}
	return q, nil
}
