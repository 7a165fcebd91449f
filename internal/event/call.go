package event

import (
	"cmp"
	"time"
)

// Call is one request of an app to an API of the provider, for events of ClassCall.
// What the app sent is known to no source: there is no size of the request.
type Call struct {
	Method      string // upper case
	Workload    string // whose data it is about, see Workloads; never empty
	Endpoint    string // the path's shape without ids: "users/{id}/messages"; never empty
	URI         string // as logged: ids, names and the query in it
	APIVersion  string // "v1.0", "beta"
	Status      int    // of HTTP; 0 = unknown
	Bytes       int64  // of the response, where BytesKnown
	BytesKnown  bool
	Duration    time.Duration // 0 = unknown
	Permissions []string      // scopes and roles of the token that was used
}

// StatusClass is the first digit of the status, 0 where it is unknown.
func (c *Call) StatusClass() int8 {
	if c.Status < 100 || c.Status > 599 {
		return 0
	}
	return int8(c.Status / 100)
}

// Workloads are the values of Call.Workload.
func Workloads() []string {
	return []string{
		"directory", "exchange", "sharepoint", "teams", "intune", "security", "audit", "reports", "governance", "planner", "onenote", "todo",
		"search", "subscriptions", "other",
	}
}

// Rollup sums up calls of one app in one minute that were not kept one by one.
type Rollup struct {
	Minute   time.Time // when it begins, UTC
	App      string    // App.Key of the events
	Workload string
	Endpoint string
	Status   int8   // Call.StatusClass
	Calls    uint64 // at least one
	Bytes    int64  // of the responses whose size is known
	Sized    uint64 // how many of the calls these are
	Users    Distinct
}

// Errors is how many of the calls failed.
func (r *Rollup) Errors() uint64 {
	if r.Status >= 4 {
		return r.Calls
	}
	return 0
}

// RollupKey is what the calls of one roll-up have in common.
type RollupKey struct {
	Minute                  int64 // unix minutes
	App, Workload, Endpoint string
	Status                  int8
}

// RollupKey is that of the roll-up which takes the event in. Its texts are those of e,
// which may lie in its record.
func (e *Event) RollupKey() RollupKey {
	return RollupKey{Minute: e.Time.Unix() / 60, App: e.App.Key(), Workload: e.Call.Workload, Endpoint: e.Call.Endpoint, Status: e.Call.StatusClass()}
}

// Add takes in an event that has a Call and the key of r.
func (r *Rollup) Add(e *Event) {
	r.Calls++
	if e.Call.BytesKnown {
		r.Bytes += e.Call.Bytes
		r.Sized++
	}
	if e.Actor.Type == TypeUser {
		r.Users.Add(e.Actor.ID)
	}
}

// Merge takes in the calls of another roll-up of the same key.
func (r *Rollup) Merge(o *Rollup) {
	r.Calls += o.Calls
	r.Bytes += o.Bytes
	r.Sized += o.Sized
	r.Users.Merge(&o.Users)
}

// Compare orders roll-ups by their keys.
func (k RollupKey) Compare(l RollupKey) int {
	return cmp.Or(cmp.Compare(k.Minute, l.Minute), cmp.Compare(k.App, l.App), cmp.Compare(k.Workload, l.Workload),
		cmp.Compare(k.Endpoint, l.Endpoint), cmp.Compare(k.Status, l.Status))
}
