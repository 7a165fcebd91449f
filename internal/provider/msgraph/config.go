package msgraph

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Defaults of Config.
const (
	DefaultGraphURL = "https://graph.microsoft.com"
	DefaultLoginURL = entralogin.Worldwide

	defaultPageSize = 1000
	maxPageSize     = 1000 // documented for auditLogs
	defaultShare    = 0.8
	maxBody         = 64 << 20
)

// Config is the body of `source "entra" "NAME" {}`. Durations are text such as
// "5m". Everything that is optional has a default.
type Config struct {
	TenantID string `hcl:"tenant_id"` // GUID of the tenant; a domain name will not do
	ClientID string `hcl:"client_id"` // application id of the app registration

	// Exactly one of these proves who we are. Of several certificates the newest that
	// the service takes counts, so that one can be rotated without a gap.
	ClientSecret       secret.Ref                   `hcl:"client_secret,optional"`
	ClientCertificates []entralogin.Certificate     `hcl:"client_certificate,block"`
	WorkloadIdentity   *entralogin.WorkloadIdentity `hcl:"workload_identity,block"`
	ManagedIdentity    *entralogin.ManagedIdentity  `hcl:"managed_identity,block"`

	Cloud     string `hcl:"cloud,optional"`      // "worldwide", "gcc", "gcc_high", "dod" or "china": the three addresses below follow
	GraphURL  string `hcl:"graph_url,optional"`  // of Graph
	LoginURL  string `hcl:"login_url,optional"`  // of what gives tokens
	OfficeURL string `hcl:"office_url,optional"` // of the Management Activity API, for the sources office_*
	CAFile    string `hcl:"ca_file,optional"`    // PEM authorities instead of the system's
	Proxy     string `hcl:"proxy,optional"`      // URL; "" = of the environment, "none" = no proxy

	Collect          []string `hcl:"collect,optional"`          // names of sources; empty = DefaultSources
	PollInterval     string   `hcl:"poll_interval,optional"`    // of logs and alerts, "1m"
	SyncInterval     string   `hcl:"sync_interval,optional"`    // of the inventory, "5m"
	ResyncInterval   string   `hcl:"resync_interval,optional"`  // between full reads of the inventory, "168h"
	Overlap          string   `hcl:"overlap,optional"`          // that each poll reads again, "10m"
	SweepInterval    string   `hcl:"sweep_interval,optional"`   // between sweeps for late records, "1h"; "0s" = no sweep
	SweepDepth       string   `hcl:"sweep_depth,optional"`      // how far back a sweep reads, "24h"
	Lateness         string   `hcl:"lateness,optional"`         // after which a source counts as complete, "2h"
	PageSize         int      `hcl:"page_size,optional"`        // records per request, 1000
	BudgetShare      float64  `hcl:"budget_share,optional"`     // of Microsoft's limits that we use, 0.8; more than 1 only for a cloud on this machine
	ResourceAppIDs   []string `hcl:"resource_app_ids,optional"` // further APIs whose app role assignments are read
	CollectorTunings []Tuning `hcl:"collector,block"`           // other schedules for single sources
}

// proofs are those of c.
func (c Config) proofs() entralogin.Proofs {
	return entralogin.Proofs{ClientSecret: c.ClientSecret, ClientCertificates: c.ClientCertificates, WorkloadIdentity: c.WorkloadIdentity, ManagedIdentity: c.ManagedIdentity}
}

// Secrets are the references that c holds.
func (c Config) Secrets() []secret.Ref { return c.proofs().Secrets() }

// Tuning is the block `collector "NAME" {}`: the schedule of one source. What
// is empty comes from Config.
type Tuning struct {
	Name          string `hcl:"name,label"`
	PollInterval  string `hcl:"poll_interval,optional"` // of inventory sources too
	Overlap       string `hcl:"overlap,optional"`
	SweepInterval string `hcl:"sweep_interval,optional"`
	SweepDepth    string `hcl:"sweep_depth,optional"`
	Lateness      string `hcl:"lateness,optional"`
	PageSize      int    `hcl:"page_size,optional"`
}

// Problem is one mistake in a Config. Field is the attribute as written in HCL,
// with the block before it: "client_certificate.file", "collector.alerts.overlap".
type Problem struct {
	Field, Text, Advice string
}

// Error is "field: text".
func (p Problem) Error() string { return p.Field + ": " + p.Text }

// schedule is the timing of one source.
type schedule struct {
	poll, overlap, sweepEvery, sweepDepth, lateness, resync time.Duration
	pageSize                                                int
}

// sweeps reports whether there is something that sweeps read and polls do not.
func (s schedule) sweeps() bool { return s.sweepEvery > 0 && s.sweepDepth > s.overlap }

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() []Problem {
	var v checker
	v.must(entralogin.IsGUID(c.TenantID), "tenant_id", "is not a GUID", `records carry the tenant's id, so a domain name is not enough: copy "Directory (tenant) ID" from the overview of the app registration`)
	v.must(entralogin.IsGUID(c.ClientID), "client_id", "is not a GUID", `copy "Application (client) ID" from the overview of the app registration`)
	v.add(c.proofs().Check())
	_, known := clouds()[c.Cloud]
	v.must(c.Cloud == "" || known, "cloud", fmt.Sprintf("%q is not a cloud", c.Cloud), "known are "+strings.Join(cloudNames(), ", "))
	v.add(entralogin.CheckOrigin("graph_url", c.GraphURL))
	v.add(entralogin.CheckOrigin("login_url", c.LoginURL))
	v.add(entralogin.CheckOrigin("office_url", c.OfficeURL))
	v.names("collect", c.Collect, collectDefault)
	v.doubles(c)
	v.size("page_size", c.PageSize)
	v.must(c.BudgetShare >= 0 && c.BudgetShare <= c.greatestShare(), "budget_share", "is not between 0 and 1", "the default 0.8 leaves a fifth of Microsoft's limit to other callers")
	for _, id := range c.ResourceAppIDs {
		v.must(entralogin.IsGUID(id), "resource_app_ids", fmt.Sprintf("%q is not a GUID", id), "")
	}
	v.durations("", []field{
		{"poll_interval", c.PollInterval, 10 * time.Second, 0}, {"sync_interval", c.SyncInterval, 30 * time.Second, 0}, {"resync_interval", c.ResyncInterval, time.Hour, 0},
		{"overlap", c.Overlap, 0, deepest}, {"sweep_interval", c.SweepInterval, 0, 0}, {"sweep_depth", c.SweepDepth, 0, deepest}, {"lateness", c.Lateness, 0, 0},
	})
	v.tunings(c.CollectorTunings)
	return v.found
}

// greatestShare is 1 where Microsoft sets the limit; a simulated cloud on this
// machine may be read as fast as it answers.
func (c Config) greatestShare() float64 {
	if u, err := url.Parse(c.GraphURL); err == nil && outbound.IsLoopback(u.Hostname()) {
		return 1e6
	}
	return 1
}

// twins are sources that tell the same records, by which one would count them twice.
func twins() []twin {
	return []twin{
		{nameSpnSignIns, []string{nameSPSignIns, nameMISignIns}, "the sign-in logs also tell the network number"},
		{nameOfficeDirectory, []string{nameAudits, nameInteractive}, "Graph tells more of them, and sooner"},
		{nameCloudAppEvents, []string{nameOfficeExchange, nameOfficeSharePoint, nameOfficeGeneral}, "the unified audit log tells more of them"},
	}
}

type twin struct {
	name   string
	others []string
	advice string
}

// doubles finds sources of the same records, and an API that the cloud lacks.
func (v *checker) doubles(c Config) {
	names := c.Sources()
	for _, t := range twins() {
		var both []string
		for _, n := range t.others {
			if slices.Contains(names, n) {
				both = append(both, n)
			}
		}
		v.must(!slices.Contains(names, t.name) || len(both) == 0, "collect", t.name+" tells the same records as "+strings.Join(both, " and "), "keep one of them: "+t.advice)
	}
	office := slices.ContainsFunc(feedSpecs(), func(s spec) bool { return slices.Contains(names, s.name) })
	_, at := c.where()
	v.must(!office || c.OfficeURL != "" || at.office != "", "office_url", "the sources office_* need it in this cloud", "no address of the Management Activity API is known here; 21Vianet in China documents none")
}

// Sources lists the names of the sources that are read: "default" among collect
// stands for those that are read without it.
func (c Config) Sources() []string {
	if len(c.Collect) == 0 {
		return DefaultSources()
	}
	var out []string
	for _, n := range c.Collect {
		if n == collectDefault {
			out = append(out, DefaultSources()...)
		} else {
			out = append(out, n)
		}
	}
	return out
}

// collectDefault is the name in collect for all sources that are read without it.
const collectDefault = "default"

type field struct {
	name, text string
	least      time.Duration
	most       time.Duration // 0 = any
}

// deepest bounds how far back polls and sweeps read again: ids are remembered
// only a little longer.
const deepest = 48 * time.Hour

type checker struct{ found []Problem }

func (v *checker) must(ok bool, field, text, advice string) {
	if !ok {
		v.found = append(v.found, Problem{field, text, advice})
	}
}

// add adds what the log-in finds.
func (v *checker) add(found []entralogin.Mistake) {
	for _, m := range found {
		v.found = append(v.found, Problem(m))
	}
}

func (v *checker) names(field string, names []string, more ...string) {
	known := append(SourceNames(), more...)
	for i, n := range names {
		v.must(slices.Contains(known, n), field, fmt.Sprintf("%q is not a source", n), "known are "+strings.Join(known, ", "))
		v.must(!slices.Contains(names[:i], n), field, fmt.Sprintf("%q stands there twice", n), "")
	}
}

func (v *checker) size(field string, n int) {
	v.must(n >= 0 && n <= maxPageSize, field, fmt.Sprintf("is not between 1 and %d", maxPageSize), "")
}

func (v *checker) durations(prefix string, fields []field) {
	for _, f := range fields {
		if f.text == "" {
			continue
		}
		d, err := time.ParseDuration(f.text)
		v.must(err == nil, prefix+f.name, fmt.Sprintf("%q is not a duration", f.text), `write "30s", "5m" or "24h"`)
		v.must(err != nil || d >= f.least, prefix+f.name, fmt.Sprintf("%s is less than %s", f.text, f.least), "")
		v.must(err != nil || f.most == 0 || d <= f.most, prefix+f.name, fmt.Sprintf("%s is more than %s", f.text, f.most), "what is read again is told by ids that are remembered for three days")
	}
}

func (v *checker) tunings(ts []Tuning) {
	var seen []string
	for _, t := range ts {
		v.names("collector", []string{t.Name})
		v.must(!slices.Contains(seen, t.Name), "collector", fmt.Sprintf("%q stands there twice", t.Name), "")
		seen = append(seen, t.Name)
		prefix := "collector." + t.Name + "."
		v.size(prefix+"page_size", t.PageSize)
		v.durations(prefix, []field{
			{"poll_interval", t.PollInterval, 10 * time.Second, 0}, {"overlap", t.Overlap, 0, deepest}, {"sweep_interval", t.SweepInterval, 0, 0},
			{"sweep_depth", t.SweepDepth, 0, deepest}, {"lateness", t.Lateness, 0, 0},
		})
	}
}

func (c Config) withDefaults() Config {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	_, at := c.where()
	def(&c.GraphURL, at.graph)
	def(&c.LoginURL, at.login)
	c.GraphURL, c.LoginURL = strings.TrimRight(c.GraphURL, "/"), strings.TrimRight(c.LoginURL, "/")
	def(&c.PollInterval, "1m")
	def(&c.SyncInterval, "5m")
	def(&c.ResyncInterval, "168h")
	def(&c.Overlap, "10m")
	def(&c.SweepInterval, "1h")
	def(&c.SweepDepth, "24h")
	def(&c.Lateness, "2h")
	if c.PageSize == 0 {
		c.PageSize = defaultPageSize
	}
	if c.BudgetShare == 0 {
		c.BudgetShare = defaultShare
	}
	def(&c.OfficeURL, at.office)
	c.OfficeURL = strings.TrimRight(c.OfficeURL, "/")
	c.Collect = c.Sources()
	return c
}

// schedule of one source: its own block before the general values.
func (c Config) schedule(s spec) schedule {
	t := Tuning{}
	if i := slices.IndexFunc(c.CollectorTunings, func(t Tuning) bool { return t.Name == s.name }); i >= 0 {
		t = c.CollectorTunings[i]
	}
	poll := c.PollInterval
	if s.inventory {
		poll = c.SyncInterval
	}
	if s.list != nil {
		poll = s.list.every
	}
	if s.hunt != nil {
		poll = s.hunt.every
	}
	depth, lateness := c.SweepDepth, c.Lateness
	if s.feed != "" {
		depth, lateness = feedDepth, feedLateness
	}
	sc := schedule{
		poll: pick(t.PollInterval, poll), overlap: pick(t.Overlap, c.Overlap), sweepEvery: pick(t.SweepInterval, c.SweepInterval),
		sweepDepth: pick(t.SweepDepth, depth), lateness: pick(t.Lateness, lateness), resync: pick("", c.ResyncInterval), pageSize: t.PageSize,
	}
	if sc.pageSize == 0 {
		sc.pageSize = c.PageSize
	}
	if s.top > 0 {
		sc.pageSize = min(sc.pageSize, s.top)
	}
	return sc
}

// pick parses the first text that is not empty; Validate has parsed both.
func pick(own, general string) time.Duration {
	if own == "" {
		own = general
	}
	d, _ := time.ParseDuration(own)
	return d
}

func joined(ps []Problem) error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errors.Join(errs...)
}
