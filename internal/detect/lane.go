package detect

import (
	"math"
	"time"

	"github.com/appgovd/appgovd/internal/rule"
)

// lane is what is kept per action, so that a rule which the index leaves out of an
// event costs nothing although it has seen the event.
type lane struct {
	events uint64
	seen   *lastSeen // the same over restarts
	last   time.Time // of the event at hand last
	turn   uint64    // when that was: lanes of one rule are put in order by it

	learners []*rule.Rule // rules that learn from all events of the action
	settled  int64        // no event at this time or later teaches them anything
}

// newLanes makes the lanes of the rules in force.
func newLanes(set *rule.Set) map[string]*lane {
	lanes := map[string]*lane{}
	for _, r := range set.Rules {
		if r.Mode == rule.ModeOff {
			continue
		}
		for _, action := range r.On {
			l := lanes[action]
			if l == nil {
				l = &lane{settled: math.MaxInt64}
				lanes[action] = l
			}
			if r.FirstSeen != nil {
				l.learners = append(l.learners, r)
			}
		}
	}
	return lanes
}

// learn lets the rules of first_seen learn from an event at t. Almost always there
// is nothing to learn, which the latest beginning of all tells.
func (l *lane) learn(m *Machine, t int64) {
	if len(l.learners) == 0 || t >= l.settled && !m.unindexed {
		return
	}
	began, settled := int64(math.MinInt64), true
	for _, r := range l.learners {
		s := m.state.Rules[r.ID].Seen
		settled = m.teach(r, s, t) && settled
		began = max(began, s.Began)
	}
	if settled {
		l.settled = began
	}
}

// teach lets a rule learn from an event at t. A rule that counts events far behind
// needs the next event of any of its actions.
func (m *Machine) teach(r *rule.Rule, s *seen, t int64) (settled bool) {
	s.learn(t, int64(r.FirstSeen.History))
	if s.Behind == 0 {
		return s.Began != 0
	}
	for _, l := range m.lanes {
		l.settled = math.MaxInt64
	}
	return false
}

// seenBy adds to a rule's counts what its lanes have seen.
func (m *Machine) seenBy(r *rule.Rule, count *RuleStats) {
	turn := uint64(0)
	for _, action := range r.On {
		l := m.lanes[action]
		if l == nil || l.events == 0 || r.Mode == rule.ModeOff {
			continue
		}
		count.Evaluations += l.events
		if l.turn > turn {
			turn, count.LastSeen = l.turn, l.last
		}
	}
}

// closeLanes settles the counts of the rules that were in force.
func (m *Machine) closeLanes() {
	if m.set == nil {
		return
	}
	for _, r := range m.set.Rules {
		if count := m.stats[r.ID]; count != nil {
			m.seenBy(r, count)
		}
	}
	m.lanes = nil
}
