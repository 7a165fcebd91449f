package detect

import (
	"fmt"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/rule"
)

// Watch sees how rules are evaluated, for the coverage of tests and for
// explanations. Its functions change nothing and must not keep what they are
// given; nil ones are not called.
type Watch struct {
	// Look is called for each rule and policy about to be evaluated.
	Look func(id string, env *rule.Env)
	// State is called for each block of a rule that remembers and was asked on an event:
	// "first_seen", "compare" or "threshold". state is for people: what the block knew of the
	// event's key, the event included, and what it asks.
	State func(id, block, state string)
	// Stop is called where the evaluation of a rule on an event ended: at its
	// "where", "exception", "first_seen", "compare", "sequence", "absence", "threshold" or "suppress", or
	// with an "alert". why is for people and may be empty.
	Stop func(id, stage, why string)
}

func (m *Machine) looks(id string) {
	if m.opt.Watch.Look != nil {
		m.opt.Watch.Look(id, &m.env)
	}
}

// stopped says where the evaluation of a rule ended; why is called only when
// somebody watches.
func (m *Machine) stopped(r *rule.Rule, stage string, why func() string) {
	if m.opt.Watch.Stop == nil {
		return
	}
	text := ""
	if why != nil {
		text = why()
	}
	m.opt.Watch.Stop(r.ID, stage, text)
}

// unknownKey is the state of a block whose key has an unknown part.
const unknownKey = "a part of its key is unknown: the event is left out"

func (m *Machine) tells(r *rule.Rule, block string, state func() string) {
	if m.opt.Watch.State != nil {
		m.opt.Watch.State(r.ID, block, state())
	}
}

// lasting is a duration as rules write it: 30d, 1h30m.
func lasting(d time.Duration) string {
	d = d.Round(time.Second)
	if d < time.Second {
		return "0s"
	}
	var b strings.Builder
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / u.of; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.of
		}
	}
	return b.String()
}

// describe says how often a key was seen before t, and what it takes to be new. It is
// asked before t is added.
func (s *seen) describe(key hash, t int64, f *rule.FirstSeen) string {
	before, last := 0, int64(0)
	for _, x := range s.keys.get(key) {
		if t-x <= int64(f.History) {
			before, last = before+1, x
		}
	}
	text := fmt.Sprintf("the key was not seen in the %s before", lasting(f.History))
	if before > 0 {
		text = fmt.Sprintf("the key was seen %d times or more in the %s before, last at %s; %d at most are new", before, lasting(f.History), stamp(moment(last)), f.AtMost)
	}
	if learned := time.Duration(t - s.Began); learned < f.MinHistory {
		text += fmt.Sprintf("; the rule has looked for %s, of min_history %s", lasting(learned), lasting(f.MinHistory))
	}
	return text
}

// describe says what a window amounts to, and what the threshold asks of it.
func describe(t *rule.Threshold, n int64, counted bool) string {
	what, asked := "matches", fmt.Sprintf("of count %d", t.Count)
	switch {
	case t.Distinct != nil:
		what = "different values"
	case t.Sums:
		what = "in sum"
	}
	if t.AtMost >= 0 {
		asked = fmt.Sprintf("at_most %d", t.AtMost)
	}
	text := fmt.Sprintf("%d %s within %s, %s", n, what, lasting(t.Within), asked)
	if !counted {
		text += "; the event itself is none that it counts"
	}
	return text
}

// describe says what the window at hand is held against.
func (s base) describe(c *rule.Compare, x bucket) string {
	text := fmt.Sprintf("the window amounts to %d, of at_least %d", x.V, c.AtLeast)
	if c.Measure == rule.MeasureShare {
		text = fmt.Sprintf("the window has %d matches, of at_least %d; the share is %d %%", x.N, c.AtLeast, 100*x.V/int64(x.N))
	}
	asked := fmt.Sprintf("%g %%", c.Percent)
	if c.Sigma > 0 {
		asked = fmt.Sprintf("%g sigma", c.Sigma)
	}
	if c.Baseline == rule.BaselineNone {
		return text + ", asked is above " + asked
	}
	return text + fmt.Sprintf("; the baseline is %d, of %d windows (min_samples %d), asked is above %s", s.compared(c, x).Baseline, s.n, c.MinSamples, asked)
}

// since says what silences a match.
func (q *quiet) since() string {
	return fmt.Sprintf("alert %s of %s counts it as match %d; new ones are held back until %s", q.ID, stamp(moment(q.Opened)), q.Count, stamp(moment(q.Opened).Add(time.Duration(q.For))))
}
