package detect

import (
	"fmt"
	"time"

	"github.com/appgovd/appgovd/internal/rule"
)

// Watch sees how rules are evaluated, for the coverage of tests and for
// explanations. Its functions change nothing and must not keep what they are
// given; nil ones are not called.
type Watch struct {
	// Look is called for each rule and policy about to be evaluated.
	Look func(id string, env *rule.Env)
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

// since says what silences a match.
func (q *quiet) since() string {
	return fmt.Sprintf("alert %s of %s counts it as match %d; new ones are held back until %s", q.ID, stamp(moment(q.Opened)), q.Count, stamp(moment(q.Opened).Add(time.Duration(q.For))))
}
