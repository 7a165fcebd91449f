package detect

import (
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// expire drops, once per PolicyEvery, what no record can meet any more: a
// suppression that is over, windows and seen keys that are too old.
func (m *Machine) expire(f *event.Frame) {
	s := &m.state
	since := nanos(f.Time) - s.Expired
	if m.set == nil || s.Expired != 0 && since >= 0 && since < int64(m.opt.PolicyEvery) {
		return
	}
	s.Expired = nanos(f.Time)
	for _, r := range m.set.Rules {
		if st := s.Rules[r.ID]; st != nil {
			if read := readThrough(f, r); !read.IsZero() {
				st.expire(r, nanos(read.Add(-m.opt.Lateness)))
			}
		}
	}
}

// readThrough is the time up to which the slowest source of r is read: while old
// records are read, old state still counts. Zero = not known. Records of the
// inventory bear the time of their frame.
func readThrough(f *event.Frame, r *rule.Rule) time.Time {
	var slowest time.Time
	for _, c := range f.CompleteThrough {
		if feeds(c.Source, r) && (slowest.IsZero() || c.Time.Before(slowest)) {
			slowest = c.Time
		}
	}
	if slowest.IsZero() && !slices.ContainsFunc(r.On, func(action string) bool { return classOf(action) != event.ClassInventory }) {
		return f.Time
	}
	return slowest
}

// expire drops what no record of oldest or later can meet.
func (r *ruleState) expire(of *rule.Rule, oldest int64) {
	for key, q := range r.Quiet {
		if q.Opened+q.For < oldest {
			delete(r.Quiet, key)
		}
	}
	for i, t := range of.Thresholds {
		r.windows[i].dropIf(func(hits []hit) bool { return newest(hits)+int64(t.Within) < oldest })
	}
	if of.FirstSeen != nil {
		r.Seen.keys.dropIf(func(times []int64) bool { return latest(times)+int64(of.FirstSeen.History) < oldest })
	}
	if of.Compare != nil {
		r.baseline.expire(of.Compare, oldest)
	}
	if of.Absence != nil && of.Absence.Returns {
		r.absence.last.dropIf(func(b []byte) bool { return newestMark(b)+int64(of.Absence.History) < oldest })
	}
	if of.Sequence != nil {
		r.sequence.expire(of.Sequence, oldest)
	}
}
