package app

import (
	"net/http"
	"strconv"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/inventory"
)

// AppUsage is what an app called, by day (UTC), the newest first. What is null is not
// known, which is not zero.
type AppUsage struct {
	Source   string            `json:"source"`
	Key      string            `json:"key"`
	Name     string            `json:"name"`
	Appgovd  bool              `json:"is_appgovd"`
	LastDay  UseFigures        `json:"last_whole_day"`
	Today    UseFigures        `json:"today"`
	Mean     UseFigures        `json:"mean"` // of the whole days before today
	Days     []CallDay         `json:"days"`
	Sources  []CallSource      `json:"sources"` // that tell of single calls
	Links    map[string]string `json:"links,omitempty"`
	Keeps    int               `json:"days_kept"`
	Measured time.Time         `json:"time"`
}

// UseFigures are those that rules see.
type UseFigures struct {
	Calls    *int64 `json:"calls"`
	Errors   *int64 `json:"call_errors"`
	Users    *int64 `json:"call_users"`
	Bytes    *int64 `json:"response_bytes"`
	SignIns  *int64 `json:"signins"`
	Failures *int64 `json:"signin_failures"`
}

// CallDay is the calls of one day.
type CallDay struct {
	Day       string         `json:"day"`
	Known     string         `json:"known"` // "whole", "part" or "nothing"
	By        string         `json:"by"`    // "calls" one by one, "report" of the provider, "" = nothing is known
	Calls     *int64         `json:"calls"`
	Errors    *int64         `json:"errors"`
	Users     *int64         `json:"users"`
	Estimated bool           `json:"users_estimated,omitempty"`
	Bytes     *int64         `json:"response_bytes"`
	Sized     *int64         `json:"calls_of_known_size"`
	Endpoints []EndpointLine `json:"endpoints"` // null where a report tells of the sum alone
	Services  []string       `json:"services,omitempty"`
}

// EndpointLine is the calls to one endpoint, or to the rest of its workload where
// Endpoint is null.
type EndpointLine struct {
	Workload string  `json:"workload"`
	Endpoint *string `json:"endpoint"`
	Calls    int64   `json:"calls"`
	Errors   int64   `json:"errors"`
	Bytes    *int64  `json:"response_bytes"`
	Sized    int64   `json:"calls_of_known_size"`
}

// CallSource is how far a source of calls, or of sign-ins, reaches.
type CallSource struct {
	Source  string     `json:"source"`
	From    time.Time  `json:"from,omitzero"`
	Through time.Time  `json:"complete_through,omitzero"`
	Gaps    []TimeSpan `json:"gaps,omitempty"`
}

// TimeSpan is a part of time.
type TimeSpan struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// AppSignIns is how an app, or users to it, signed in, by day (UTC), the newest first.
type AppSignIns struct {
	Source  string       `json:"source"`
	Key     string       `json:"key"`
	Name    string       `json:"name"`
	Appgovd bool         `json:"is_appgovd"`
	Days    []SignInDay  `json:"days"`
	Sources []CallSource `json:"sources"` // the sign-in logs that tell of this kind of app; one that is not read has no time
}

// SignInDay is the sign-ins of one day.
type SignInDay struct {
	Day       string       `json:"day"`
	Known     string       `json:"known"` // "whole", "part" or "nothing"
	Count     *int64       `json:"signins"`
	Failures  *int64       `json:"failures"`
	Kinds     []SignInKind `json:"kinds"`
	Resources []Place      `json:"resources"`
	Countries []Place      `json:"countries"`
}

// SignInKind counts sign-ins of a kind with a result; "" is not known.
type SignInKind struct {
	Kind   string `json:"kind"`
	Result string `json:"result"`
	Count  int64  `json:"signins"`
}

// Place counts sign-ins to a resource, or from a country; null is those that are not
// told apart, "" those of which the record does not say.
type Place struct {
	Name     *string `json:"name"`
	Count    int64   `json:"signins"`
	Failures int64   `json:"failures"`
}

// Usage tells what the app that name names did on so many days. That of appgovd itself
// is told where own asks for it.
func (a *Agent) Usage(name string, days int, own bool) (out AppUsage, err error) {
	err = a.used(name, days, own, func(t *tenant, v *event.AppView, u inventory.Usage) {
		now := a.o.Now()
		rules := t.machine.Inventory().UsageOf(v, now, event.UseToday|event.UsePast)
		out = AppUsage{
			Source: t.key, Key: keyOf(v), Name: v.Name, Appgovd: u.Self, LastDay: useFigures(rules.Day), Today: useFigures(rules.Today), Mean: useFigures(rules.Mean),
			Days: []CallDay{}, Sources: []CallSource{}, Links: a.linksOf(t, v), Keeps: inventory.UsageDays, Measured: now.UTC(),
		}
		for i := range u.Calls {
			out.Days = append(out.Days, callDay(&u.Calls[i]))
		}
		out.Sources = append(out.Sources, callSources(u.Sources)...)
	})
	return out, err
}

// SignIns tells how the app that name names signed in on so many days.
func (a *Agent) SignIns(name string, days int, own bool) (out AppSignIns, err error) {
	err = a.used(name, days, own, func(t *tenant, v *event.AppView, u inventory.Usage) {
		out = AppSignIns{Source: t.key, Key: keyOf(v), Name: v.Name, Appgovd: u.Self, Days: []SignInDay{}}
		for i := range u.SignIns {
			out.Days = append(out.Days, signInDay(&u.SignIns[i]))
		}
		out.Sources = callSources(u.Logs)
	})
	return out, err
}

func callSources(list []inventory.UsageSource) (out []CallSource) {
	for _, s := range list {
		x := CallSource{Source: s.Name, From: s.From, Through: s.Through}
		for _, g := range s.Gaps {
			x.Gaps = append(x.Gaps, TimeSpan{g.From, g.To})
		}
		out = append(out, x)
	}
	return out
}

// used finds the app and its usage, and calls f while its tenant is held.
func (a *Agent) used(name string, days int, own bool, f func(*tenant, *event.AppView, inventory.Usage)) error {
	if days < 1 || days > inventory.UsageDays+1 {
		return &badQuestion{"days is a number from 1 to " + strconv.Itoa(inventory.UsageDays+1)}
	}
	t, key, err := a.locate(name)
	if err != nil {
		return err
	}
	return t.lane.Hold(func(uint64) error {
		v := t.machine.Inventory().Look(key)
		if v == nil {
			return errNoApp
		}
		u := t.machine.Inventory().Usage(v, a.o.Now(), days)
		if u.Self && !own {
			return &badQuestion{"this is the app by which appgovd itself reads the tenant; --own asks for it"}
		}
		f(t, v, u)
		return nil
	})
}

// known is n, nil where that is not known.
func known(n int64, ok bool) *int64 {
	if !ok {
		return nil
	}
	return &n
}

func useFigures(f event.UseFigures) UseFigures {
	return UseFigures{known(f.Calls, f.CallsKnown), known(f.Errors, f.CallsKnown), known(f.Users, f.UsersKnown), known(f.Bytes, f.BytesKnown), known(f.SignIns, f.SignInsKnown), known(f.Failures, f.SignInsKnown)}
}

func howMuch(any, whole bool) string {
	switch {
	case whole:
		return "whole"
	case any:
		return "part"
	}
	return "nothing"
}

func callDay(d *inventory.CallDay) CallDay {
	out := CallDay{
		Day: d.Day.Format(time.DateOnly), Known: howMuch(d.Known, d.Whole), Calls: known(d.Calls, d.Known), Errors: known(d.Errors, d.Known),
		Users: known(d.Users, d.Known && d.UsersKnown), Estimated: d.Known && d.UsersKnown && !d.Exact, Bytes: known(d.Bytes, d.Known && d.BytesKnown), Sized: known(d.Sized, d.Known), Services: d.Services,
	}
	switch {
	case d.Known && d.Report:
		out.By = "report"
	case d.Known:
		out.By, out.Endpoints = "calls", []EndpointLine{}
	}
	for _, e := range d.Endpoints {
		x := EndpointLine{Workload: e.Workload, Calls: e.Calls, Errors: e.Errors, Bytes: known(e.Bytes, e.Sized > 0), Sized: e.Sized}
		if !e.Rest {
			x.Endpoint = &e.Name
		}
		out.Endpoints = append(out.Endpoints, x)
	}
	return out
}

func signInDay(d *inventory.SignInDay) SignInDay {
	out := SignInDay{Day: d.Day.Format(time.DateOnly), Known: howMuch(d.Known, d.Whole), Count: known(d.Count, d.Known), Failures: known(d.Failures, d.Known)}
	if !d.Known {
		return out
	}
	out.Kinds, out.Resources, out.Countries = []SignInKind{}, places(d.Resources), places(d.Countries)
	for _, k := range d.Kinds {
		out.Kinds = append(out.Kinds, SignInKind{k.Kind, string(k.Result), k.Count})
	}
	return out
}

func places(list []inventory.Place) []Place {
	out := []Place{}
	for _, p := range list {
		x := Place{Count: p.Count, Failures: p.Failures}
		if !p.Rest {
			x.Name = &p.Name
		}
		out = append(out, x)
	}
	return out
}

// defaultDays are told where nobody says how many.
const defaultDays = 7

// asked reads what both questions have in common: name, days and own.
func asked(r *http.Request) (name string, days int, own bool, err error) {
	days = defaultDays
	if s := r.FormValue("days"); s != "" {
		if days, err = strconv.Atoi(s); err != nil {
			return "", 0, false, &badQuestion{"days is no number of days"}
		}
	}
	return r.FormValue("name"), days, r.FormValue("own") == "true", nil
}

// serveUsage answers GET /app/usage?name=…&days=…&own=… .
func (a *Agent) serveUsage(w http.ResponseWriter, r *http.Request) {
	name, days, own, err := asked(r)
	var u AppUsage
	if err == nil {
		u, err = a.Usage(name, days, own)
	}
	answer(w, u, err)
}

// serveSignIns answers GET /app/signins?name=…&days=…&own=… .
func (a *Agent) serveSignIns(w http.ResponseWriter, r *http.Request) {
	name, days, own, err := asked(r)
	var s AppSignIns
	if err == nil {
		s, err = a.SignIns(name, days, own)
	}
	answer(w, s, err)
}
