package rule

import (
	"slices"
	"sync"

	"github.com/appgovd/appgovd/internal/event"
)

// Selector tells by what a record says alone, before it is enriched and before the
// inventory is asked, whether a rule of a set can select an event. It only
// over-approximates: what it turns away no rule holds for, whatever is added to the
// event later. It is safe for concurrent use.
type Selector struct {
	set  *Set
	idle sync.Pool // of *Matcher
}

// Selector makes one of the rules in force.
func (s *Set) Selector() *Selector {
	out := &Set{byAction: map[string]*index{}}
	for action, x := range s.byAction {
		out.byAction[action] = newIndex(x.rules, &out.memos, early)
	}
	return &Selector{set: out}
}

// Selects reports whether a rule may select e.
func (x *Selector) Selects(e *event.Event) bool {
	switch rules := x.set.byAction[e.Action]; {
	case rules == nil:
		return false
	case e.App.AppID == "": // the inventory may know it
		return true
	}
	m, ok := x.idle.Get().(*Matcher)
	if !ok {
		m = x.set.Matcher()
	}
	defer x.idle.Put(m)
	return len(m.Candidates(&Env{Event: e, Now: e.Time})) > 0
}

// early are the questions about r that nothing but the record answers.
func early(r *Rule) []*access {
	if r.found == nil {
		return nil
	}
	if len(r.found.terms) == 0 {
		return r.found.asked()
	}
	var out []*access
	for _, a := range r.found.each() {
		if !slices.ContainsFunc(a.terms, func(t term) bool { return !saidByRecord(t.on.id) }) {
			out = append(out, a)
		}
	}
	return out
}

// saidByRecord reports whether a field is what the record says, whatever is added to
// its event later.
func saidByRecord(id string) bool {
	return slices.Contains([]string{
		"action", "activity", "category", "service", "class", "provider", "tenant", "time", "result", "result_code", "correlation_id",
		"actor.type", "app.app_id", "source.ip", "source.user_agent", "signin.credential_type", "signin.session_id", "signin.unique_token",
		"call.method", "call.workload", "call.endpoint", "call.uri", "call.api_version", "call.status", "call.response_bytes", "call.duration", "call.permissions",
	}, id)
}

// late are the questions about r that are asked of a whole event.
func late(r *Rule) []*access {
	if r.found == nil {
		return nil
	}
	return r.found.asked()
}
