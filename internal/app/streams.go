package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/provider/stream"
	"github.com/appgovd/appgovd/internal/rule"
)

// category is one of the categories of Entra ID's diagnostic settings that are
// collected: the name of the source that reads the same records by Microsoft Graph,
// which may not be read twice, and their class. One that is named is collected only where
// categories names it: Graph tells more of it.
type category struct {
	name, class string
	named       bool
}

func categories() map[string]category {
	return map[string]category{
		"AuditLogs":                           {name: "directory_audits", class: event.ClassAudit},
		"SignInLogs":                          {name: "signins_interactive", class: event.ClassSignIn},
		"NonInteractiveUserSignInLogs":        {name: "signins_non_interactive", class: event.ClassSignIn},
		"ServicePrincipalSignInLogs":          {name: "signins_service_principal", class: event.ClassSignIn},
		"ManagedIdentitySignInLogs":           {name: "signins_managed_identity", class: event.ClassSignIn},
		"MicrosoftServicePrincipalSignInLogs": {name: "signins_microsoft", class: event.ClassSignIn},
		"ServicePrincipalRiskEvents":          {name: "risk_detections", class: event.ClassRisk},
		"MicrosoftGraphActivityLogs":          {name: "calls", class: event.ClassCall},
		"AzureADGraphActivityLogs":            {name: "calls", class: event.ClassCall},
		"RiskyServicePrincipals":              {name: "risky_service_principals", class: event.ClassRisk, named: true},
	}
}

// passedOver are the other categories of Entra ID's diagnostic settings. Those of risk
// are of people, and name no app.
// https://learn.microsoft.com/entra/identity/monitoring-health/concept-diagnostic-settings-logs-options
func passedOver() []string {
	return []string{"RiskyUsers", "UserRiskEvents", "ProvisioningLogs", "ADFSSignInLogs", "EnrichedOffice365AuditLogs", "NetworkAccessTrafficLogs", "CustomSecurityAttributeAuditLogs"}
}

// streamed is what a block of a stream has beside its carrier.
type streamed struct {
	tenant   string
	collect  []string // categories; empty = all
	keep     string
	lateness time.Duration
	problems []stream.Problem
	open     func(stream.Options) (streamSource, error)
}

// streamSource is a source of package stream.
type streamSource interface {
	ingest.Source
	Check(context.Context) []stream.Finding
	Shared() bool // others read a part of it
	Close()
}

func checkKafka(b config.Block) (checkedSource, hcl.Diagnostics) {
	var c stream.KafkaConfig
	if diags := config.Decode(b, &c); diags.HasErrors() {
		return checkedSource{}, diags
	}
	return checkStream(b, streamed{
		tenant: c.TenantID, collect: c.Categories, keep: c.Keep, lateness: c.Late(), problems: c.Validate(),
		open: func(o stream.Options) (streamSource, error) { return stream.NewKafka(c, o) },
	})
}

func checkFiles(b config.Block) (checkedSource, hcl.Diagnostics) {
	var c stream.FileConfig
	if diags := config.Decode(b, &c); diags.HasErrors() {
		return checkedSource{}, diags
	}
	return checkStream(b, streamed{
		tenant: c.TenantID, collect: c.Categories, keep: c.Keep, lateness: c.Late(), problems: c.Validate(),
		open: func(o stream.Options) (streamSource, error) { return stream.NewFiles(c, o) },
	})
}

func checkStream(b config.Block, s streamed) (checkedSource, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	known := categories()
	if len(s.collect) == 0 {
		for _, c := range slices.Sorted(maps.Keys(known)) {
			if !known[c].named {
				s.collect = append(s.collect, c)
			}
		}
	}
	for _, p := range s.problems {
		diags = append(diags, invalid(b, p.Field, p.Error(), p.Advice))
	}
	var names []string
	for _, c := range s.collect {
		k, ok := known[c]
		if !ok {
			diags = append(diags, invalid(b, "categories", fmt.Sprintf("categories: %q is not collected", c), "known are "+strings.Join(slices.Sorted(maps.Keys(known)), ", ")+"."+config.Suggest(c, slices.Sorted(maps.Keys(known)))))
			continue
		}
		names = append(names, k.name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	out := checkedSource{tenant: s.tenant, provider: "entra", classes: names, stream: true}
	out.build = func(_ context.Context, d deps) (*sources, error) { return s.build(b, names, d) }
	return out, diags
}

func (s streamed) build(b config.Block, names []string, d deps) (*sources, error) {
	key := d.tenant + "/" + b.Name + ":" + strings.Join(names, "+")
	r := streamReader{dec: normalise.NewHashing(s.tenant, d.hasher), categories: categories(), names: names, collect: s.collect, keep: keeper(s.keep, d.rules)}
	forget, err := r.measure(key, d.metrics)
	if err != nil {
		return nil, err
	}
	src, err := s.open(stream.Options{Key: key, Now: d.now, Log: d.log.Named("stream"), Secret: d.secrets.Open, Dial: d.dial, Decode: r.read})
	if err != nil {
		forget()
		return nil, err
	}
	named := msgraph.Named{Key: key, Class: r.class(), Source: src, Decode: func(raw []byte) ([]event.Event, error) { return r.one(key, raw) }}
	return &sources{
		list: []msgraph.Named{named}, close: func() { src.Close(); forget() },
		delay: func(string) time.Duration {
			if src.Shared() { // nobody here knows how far the others are
				return 0
			}
			return s.lateness + 10*time.Minute
		},
		check: func(ctx context.Context) []msgraph.Finding {
			var out []msgraph.Finding
			for _, f := range src.Check(ctx) {
				out = append(out, msgraph.Finding(f))
			}
			return out
		},
	}, nil
}

// keeper says which calls are kept by themselves; nil = all.
func keeper(keep string, rules *rule.Set) func(*event.Event) bool {
	switch {
	case keep == stream.KeepAll:
		return nil
	case keep == stream.KeepRollup || rules == nil:
		return func(*event.Event) bool { return false }
	}
	return rules.Selector().Selects
}

// streamReader decodes the records of a stream.
type streamReader struct {
	dec        *normalise.Decoder
	categories map[string]category
	names      []string // of what is collected
	collect    []string // categories
	keep       func(*event.Event) bool
	passed     map[string]prometheus.Counter // by category in lower case, "" = any other
}

// measure counts what is passed over, until forget is called.
func (r *streamReader) measure(key string, reg prometheus.Registerer) (forget func(), err error) {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "appgovd_stream_passed_over_total", ConstLabels: prometheus.Labels{"source": key},
		Help: "Records of a topic or a file by source and category of diagnostic settings that are not collected; they are not kept, and not counted as fetched."}, []string{"category"})
	r.passed = map[string]prometheus.Counter{"": v.WithLabelValues("other")}
	for _, c := range append(slices.Sorted(maps.Keys(r.categories)), passedOver()...) {
		if !slices.Contains(r.collect, c) {
			r.passed[strings.ToLower(c)] = v.WithLabelValues(c)
		}
	}
	if reg == nil {
		return func() {}, nil
	}
	if err := reg.Register(v); err != nil {
		return nil, fmt.Errorf("register metrics of %s: %w", key, err)
	}
	return func() { reg.Unregister(v) }, nil
}

// pass counts a record that is not collected.
func (r *streamReader) pass(category string) {
	c := r.passed[strings.ToLower(category)]
	if c == nil {
		c = r.passed[""]
	}
	c.Inc()
}

// class is that of all records, "" where they have several.
func (r *streamReader) class() string {
	class := ""
	for i, c := range r.collect {
		if k := r.categories[c].class; i == 0 {
			class = k
		} else if k != class {
			return ""
		}
	}
	return class
}

func (r *streamReader) wants(category string) bool {
	return category == "" || slices.ContainsFunc(r.collect, func(c string) bool { return strings.EqualFold(c, category) })
}

// read tells out what the records of a message are.
func (r *streamReader) read(message []byte, out *stream.Batch) {
	refuse := func(raw []byte, bad error) { out.Refuse(raw, normalise.ReasonOf(bad), bad.Error()) }
	wants := func(category string) bool {
		wanted := r.wants(category)
		if !wanted {
			r.pass(category)
		}
		return wanted
	}
	r.dec.Message(message, normalise.Stream{
		Collect: wants, Keep: r.keep, Sum: out.Sum, Refuse: refuse,
		Take: func(rec normalise.Record, raw []byte) {
			if e, err := r.event(rec); err != nil {
				refuse(raw, err)
			} else if e != nil {
				out.Keep(*e)
			} else {
				r.pass("")
			}
		},
	})
}

// one decodes a single record.
func (r *streamReader) one(key string, raw []byte) (events []event.Event, err error) {
	r.dec.Message(raw, normalise.Stream{
		Collect: r.wants, Refuse: func(_ []byte, bad error) { err = bad },
		Take: func(rec normalise.Record, _ []byte) {
			e, bad := r.event(rec)
			if bad != nil { // an earlier refusal stays
				err = bad
			}
			if e != nil {
				e.Source = key
				events = append(events, *e)
			}
		},
	})
	return events, err
}

// event is that of a record; nil where it is not collected.
func (r *streamReader) event(rec normalise.Record) (*event.Event, error) {
	switch {
	case rec.Object != nil:
		return nil, normalise.Refuse("unknown_shape", "it is an object of the inventory, which is read by Microsoft Graph")
	case rec.Shape != "diagnostic" && !slices.ContainsFunc(namesOf(rec.Event), func(n string) bool { return slices.Contains(r.names, n) }):
		return nil, nil
	}
	return rec.Event, nil
}

// namesOf are the sources that read such records by Microsoft Graph: several where the
// record does not tell which.
func namesOf(e *event.Event) []string {
	switch e.Class {
	case event.ClassAudit:
		return []string{"directory_audits"}
	case event.ClassSignIn:
		if e.SignIn.Kind == "" { // of a user, in a sheet of the admin center
			return []string{"signins_interactive", "signins_non_interactive"}
		}
		return []string{"signins_" + e.SignIn.Kind}
	case event.ClassCall:
		return []string{"calls"}
	case event.ClassRisk:
		if e.Action == event.ActionRiskChanged {
			return []string{"risky_service_principals"}
		}
		return []string{"risk_detections"}
	}
	return []string{e.Class}
}
