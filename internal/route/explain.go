package route

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Step is what one route made of an alert, in the order in which they are tried.
type Step struct {
	Route     string   `json:"route"`
	Depth     int      `json:"depth"` // 0 = not within another route
	Matched   bool     `json:"matched"`
	Failed    string   `json:"failed,omitempty"` // the condition that it does not meet, with the value of the alert
	Took      bool     `json:"took"`             // its own sinks are told, not those of a route within it
	Direct    bool     `json:"direct,omitempty"` // it hands alerts on at once
	Sinks     []string `json:"sinks,omitempty"`
	Escalates []string `json:"escalates,omitempty"` // sinks that it tells after a time
}

// Verdict is what becomes of an alert at one sink, and why.
type Verdict struct {
	Sink    string
	Outcome Outcome
	Why     string         // in a sentence
	Policy  *Policy        // of a group
	Labels  []event.Detail // of a group
	Muted   time.Time      // now, until then; zero = not
	Silence *Silence       // that holds for it now; nil = none
}

// Explain tells what every route and every sink, sorted by name, makes of a at now. It
// knows nothing of groups that are open: whether the alert would be inhibited depends
// on them.
func (t *Tree) Explain(a *event.Alert, s *Silences, now time.Time) ([]Step, []Verdict) {
	return nil, nil
}
