// Package config finds and parses configuration: a file or a directory of
// files in HCL. It knows agent, routes and the shape of blocks; the body of
// every source and sink stays an hcl.Body that its adapter's struct decodes.
// It opens no socket and reads nothing but the files.
package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/hclsafe"
	"github.com/appgovd/appgovd/internal/secret"
)

// Config is everything that the files say.
type Config struct {
	Agent    Agent
	Sources  []Block
	Sinks    []Block
	Routes   []Route
	Mutes    []Mute
	Silences []Silence
	Inhibits []Inhibit
	Rules    []string // files or directories, made absolute against the file that names them
	GeoIP    *GeoIP
	Files    map[string][]byte // sources by name, for diagnostics
}

// Agent is the agent block, with defaults filled in.
type Agent struct {
	StateDir        string
	InitialLookback time.Duration
	MaxBytes        int64
	History         time.Duration
	DeadLetters     time.Duration // how long a dead letter waits for a human
	AdminSocket     string        // "" = <state_dir>/admin.sock
	Compression     string        // of the ledger: "zstd", "none"
	MetricsListen   string        // "" = only on the admin socket
	LogLevel        string
	LogFormat       string
	TimeZone        string
	TimeZones       map[string]string // of tenants, by the name of a source block: of mutes that have none
	Tick            time.Duration
	Snapshot        time.Duration
	ShutdownTimeout time.Duration
	ReaderGrace     time.Duration // how long the cursor of a sink that left is kept
	OverflowDir     string        // "" = none
	OverflowBytes   int64
	Links           map[string]string // pages about an app, by name; nil = Microsoft's. Checked by whoever knows the templates
	Body            hcl.Body
	Range           hcl.Range
}

// Block is one source or sink: kind and name are its labels.
type Block struct {
	Kind, Name string
	WhenFull   string // of a sink: "block", "drop_oldest", "overflow"
	// MinSeverity of what a sink gets, whatever the routes say; "informational"
	// is everything.
	MinSeverity string
	Forward     string     // what a sink gets: ForwardAlerts or ForwardEvents
	Where       *Condition // of a sink of events: which ones; nil = all
	Batch       *Batch     // of a sink; nil = as its kind has it
	Body        hcl.Body
	Range       hcl.Range // of the header
}

// Batch bounds what goes to a sink together.
type Batch struct {
	Events int           // at most; 0 = as its kind has it
	Bytes  int64         // at most; 0 = no bound
	Wait   time.Duration // for a batch to be filled
	Body   hcl.Body
	Range  hcl.Range
}

// What a sink gets.
const (
	ForwardAlerts = "alerts"
	ForwardEvents = "events" // enriched events, as they lie in the ledger
)

// Key is kind/name.
func (b Block) Key() string { return b.Kind + "/" + b.Name }

// GeoIP names MaxMind databases for ASN and country; paths are made absolute
// against the file that names them.
type GeoIP struct {
	ASNDatabase     string    `hcl:"asn_database,optional"`
	CountryDatabase string    `hcl:"country_database,optional"`
	Body            hcl.Body  `hcl:",body"`
	Range           hcl.Range `hcl:",def_range"`
}

type fileBody struct {
	Agent    []agentBody    `hcl:"agent,block"`
	Sources  []labelled     `hcl:"source,block"`
	Sinks    []sinkBody     `hcl:"sink,block"`
	Routes   []routeBody    `hcl:"route,block"`
	Mutes    []muteBody     `hcl:"mute,block"`
	Silences []silenceBody  `hcl:"silence,block"`
	Inhibits []inhibitBody  `hcl:"inhibit,block"`
	GeoIP    []GeoIP        `hcl:"geoip,block"`
	Rules    *hcl.Attribute `hcl:"rules,optional"`
}

type labelled struct {
	Kind  string    `hcl:"kind,label"`
	Name  string    `hcl:"name,label"`
	Body  hcl.Body  `hcl:",remain"`
	Range hcl.Range `hcl:",def_range"`
}

type sinkBody struct {
	Kind        string         `hcl:"kind,label"`
	Name        string         `hcl:"name,label"`
	WhenFull    string         `hcl:"when_full,optional"`
	MinSeverity string         `hcl:"min_severity,optional"`
	Forward     string         `hcl:"forward,optional"`
	Where       *hcl.Attribute `hcl:"where,optional"`
	Batch       []batchBody    `hcl:"batch,block"`
	Body        hcl.Body       `hcl:",remain"`
	All         hcl.Body       `hcl:",body"`
	Range       hcl.Range      `hcl:",def_range"`
}

type batchBody struct {
	MaxEvents *int      `hcl:"max_events,optional"`
	MaxBytes  string    `hcl:"max_bytes,optional"`
	MaxWait   string    `hcl:"max_wait,optional"`
	Body      hcl.Body  `hcl:",body"`
	Range     hcl.Range `hcl:",def_range"`
}

type agentBody struct {
	StateDir        string            `hcl:"state_dir,optional"`
	InitialLookback string            `hcl:"initial_lookback,optional"`
	MaxBytes        string            `hcl:"max_bytes,optional"`
	History         string            `hcl:"history,optional"`
	AdminSocket     string            `hcl:"admin_socket,optional"`
	Compression     string            `hcl:"compression,optional"`
	MetricsListen   string            `hcl:"metrics_listen,optional"`
	LogLevel        string            `hcl:"log_level,optional"`
	LogFormat       string            `hcl:"log_format,optional"`
	TimeZone        string            `hcl:"time_zone,optional"`
	TimeZones       map[string]string `hcl:"time_zones,optional"`
	Tick            string            `hcl:"tick,optional"`
	Snapshot        string            `hcl:"snapshot,optional"`
	ShutdownTimeout string            `hcl:"shutdown_timeout,optional"`
	DeadLetters     string            `hcl:"dead_letter_history,optional"`
	ReaderGrace     string            `hcl:"reader_grace,optional"`
	OverflowDir     string            `hcl:"overflow_dir,optional"`
	OverflowBytes   string            `hcl:"overflow_bytes,optional"`
	Links           map[string]string `hcl:"links,optional"`
	Body            hcl.Body          `hcl:",body"`
	Range           hcl.Range         `hcl:",def_range"`
}

// Load reads path, a file or a directory whose *.hcl files together are the
// configuration. It returns every mistake at once; Config is usable for
// further checks even when there are some, and nil only if nothing was read.
func Load(path string) (*Config, hcl.Diagnostics) {
	files, diags := find(path)
	if diags.HasErrors() {
		return nil, diags
	}
	c := &Config{Files: map[string][]byte{}}
	var agents []agentBody
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			diags = append(diags, errorf(nil, "unreadable_file", "Cannot read file", "%v", err))
			continue
		}
		c.Files[name] = src
		a, d := c.add(name, src)
		agents = append(agents, a...)
		diags = append(diags, d...)
	}
	diags = append(diags, c.setAgent(agents)...)
	return c, append(diags, c.crossCheck()...)
}

func find(path string) ([]string, hcl.Diagnostics) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, hcl.Diagnostics{errorf(nil, "unreadable_file", "Cannot read configuration", "%v", err)}
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.hcl"))
	if err != nil || len(files) == 0 {
		return nil, hcl.Diagnostics{errorf(nil, "no_files", "No configuration found", "The directory %s has no *.hcl file.", path)}
	}
	sort.Strings(files)
	return files, nil
}

func (c *Config) add(name string, src []byte) ([]agentBody, hcl.Diagnostics) {
	file, diags := hclsafe.Parse(name, src)
	if file == nil || diags.HasErrors() {
		return nil, diags
	}
	var b fileBody
	diags = append(diags, gohcl.DecodeBody(file.Body, Context(), &b)...)
	c.Sources = append(c.Sources, blocks(b.Sources)...)
	for _, sink := range b.Sinks {
		s, d := sink.block(src)
		c.Sinks, diags = append(c.Sinks, s), append(diags, d...)
	}
	diags = append(diags, c.addRouting(&b, src)...)
	for _, g := range b.GeoIP {
		diags = append(diags, c.addGeoIP(name, g)...)
	}
	return b.Agent, append(diags, c.addRules(name, b.Rules)...)
}

func (b sinkBody) block(src []byte) (Block, hcl.Diagnostics) {
	p := parser{body: b.All, at: b.Range}
	s := Block{
		Kind: b.Kind, Name: b.Name, WhenFull: p.choice("when_full", or(b.WhenFull, "block"), "block", "drop_oldest", "overflow"),
		MinSeverity: p.severity("min_severity", or(b.MinSeverity, "informational")),
		Forward:     p.choice("forward", or(b.Forward, ForwardAlerts), ForwardAlerts, ForwardEvents), Where: condition(b.Where, src), Batch: p.batch(b.Batch), Body: b.Body, Range: b.Range,
	}
	events := s.Forward == ForwardEvents
	for _, x := range []struct {
		attr, advice string
		wrong        bool
	}{
		{"where", "It chooses among events: write forward = \"events\" beside it, or choose alerts by the where of a route.", b.Where != nil && !events},
		{"min_severity", "Events have no severity. Choose them by where.", b.MinSeverity != "" && events},
		{"when_full", "What a sink of events has not read is given up when half of the ledger is full, and told by an alarm; nothing else is possible.", b.WhenFull != "" && events},
	} {
		if x.wrong {
			rng := AttributeRange(b.All, x.attr, b.Range)
			p.diags = append(p.diags, errorf(&rng, "invalid_value", x.attr+" has no place here", "The sink forwards %s. %s", s.Forward, x.advice))
		}
	}
	return s, p.diags
}

// The bounds of a batch: memory, and how long the first of one may wait.
const (
	mostEvents = 5000
	leastBytes = 4 << 10
	mostBytes  = 64 << 20
	mostWait   = time.Minute
)

func (p *parser) batch(blocks []batchBody) *Batch {
	if len(blocks) == 0 {
		return nil
	}
	b := blocks[0]
	if len(blocks) > 1 {
		p.fail("batch", "Duplicate block", "A sink has one batch block; this one has %d.", len(blocks))
	}
	in := parser{body: b.Body, at: b.Range}
	out := Batch{Bytes: in.size("max_bytes", b.MaxBytes, 0, leastBytes), Wait: in.duration("max_wait", b.MaxWait, 0, 0, mostWait), Body: b.Body, Range: b.Range}
	if out.Bytes > mostBytes {
		in.fail("max_bytes", "Size out of range", "max_bytes must be at most %d bytes: a batch is held in memory.", mostBytes)
	}
	if b.MaxEvents != nil {
		if out.Events = *b.MaxEvents; out.Events < 1 || out.Events > mostEvents {
			in.fail("max_events", "Number out of range", "max_events is %d; it must lie between 1 and %d.", out.Events, mostEvents)
		}
	}
	p.diags = append(p.diags, in.diags...)
	return &out
}

func (c *Config) addGeoIP(name string, g GeoIP) hcl.Diagnostics {
	if c.GeoIP != nil {
		return hcl.Diagnostics{errorf(&g.Range, "duplicate_geoip", "Duplicate geoip block", "There is one geoip block; the other is at %s.", c.GeoIP.Range)}
	}
	for _, p := range []*string{&g.ASNDatabase, &g.CountryDatabase} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(name), *p)
		}
	}
	c.GeoIP = &g
	return nil
}

func (c *Config) addRules(name string, attr *hcl.Attribute) hcl.Diagnostics {
	if attr == nil {
		return nil
	}
	var paths []string
	diags := gohcl.DecodeExpression(attr.Expr, Context(), &paths)
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(name), p)
		}
		if _, err := os.Stat(p); err != nil {
			r := attr.Expr.Range()
			diags = append(diags, errorf(&r, "no_rules", "Rules not found", "%v. Paths are relative to the file that names them.", err))
		}
		c.Rules = append(c.Rules, p)
	}
	return diags
}

func blocks(in []labelled) []Block {
	out := make([]Block, 0, len(in))
	for _, b := range in {
		out = append(out, Block{Kind: b.Kind, Name: b.Name, Body: b.Body, Range: b.Range})
	}
	return out
}

// crossCheck finds what no single block can know.
func (c *Config) crossCheck() hcl.Diagnostics {
	diags := duplicates("source", c.Sources)
	diags = append(diags, duplicates("sink", c.Sinks)...)
	var sinks []string
	for _, s := range c.Sinks {
		if s.Forward != ForwardEvents { // which no route leads to
			sinks = append(sinks, s.Key())
		}
	}
	for _, s := range c.Sinks {
		if s.WhenFull == "overflow" && c.Agent.OverflowDir == "" {
			diags = append(diags, errorf(&s.Range, "no_overflow_dir", "No directory to overflow to", "The sink says when_full = \"overflow\"; name the directory in overflow_dir of the agent."))
		}
	}
	return append(append(diags, c.crossCheckZones()...), c.crossCheckRouting(sinks)...)
}

// crossCheckZones checks that zones are of tenants that there are.
func (c *Config) crossCheckZones() hcl.Diagnostics {
	p := parser{body: c.Agent.Body, at: c.Agent.Range}
	var names []string
	for _, s := range c.Sources {
		names = append(names, s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Agent.TimeZones)) {
		zone := c.Agent.TimeZones[name]
		if !contains(names, name) {
			p.fail("time_zones."+name, "Unknown source", "There is no source block named %q: a tenant has the name of a block that reads it.%s", name, Suggest(name, names))
		}
		if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
			p.fail("time_zones."+name, "Unknown time zone", "There is no time zone %q. Use a name of the time zone database, such as \"Europe/Berlin\".", zone)
		}
	}
	return p.diags
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func duplicates(what string, blocks []Block) hcl.Diagnostics {
	first := map[string]hcl.Range{}
	var diags hcl.Diagnostics
	for _, b := range blocks {
		if old, ok := first[b.Key()]; ok {
			rng := b.Range
			diags = append(diags, errorf(&rng, "duplicate_name", "Duplicate "+what, "A %s %q %q is already defined at %s. Names must differ: cursors are kept under them.", what, b.Kind, b.Name, old))
			continue
		}
		first[b.Key()] = b.Range
		if !validName(b.Name) {
			rng := b.Range
			diags = append(diags, errorf(&rng, "bad_name", "Bad name", "The name %q must be 1 to 64 letters, digits, '-' or '_': it becomes part of file names and metrics.", b.Name))
		}
	}
	return diags
}

func validName(s string) bool {
	ok := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
	return ok && s != "" && len(s) <= 64
}

// Suggest returns " Did you mean \"x\"?" for the candidate nearest to name,
// or "" when none is near.
func Suggest(name string, candidates []string) string {
	best, at := "", 1+len(name)/3
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(c)); d <= at {
			best, at = c, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

func errorf(at *hcl.Range, code diag.Code, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at, Extra: code}
}

// Context is what expressions in configuration may use: the three functions
// that reference a secret.
func Context() *hcl.EvalContext {
	ref := func(make func(string) secret.Ref) function.Function {
		return function.New(&function.Spec{
			Params: []function.Parameter{{Name: "name", Type: cty.String}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cty.StringVal(string(make(args[0].AsString()))), nil
			},
		})
	}
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env": ref(secret.Env), "file": ref(secret.File), "credential": ref(secret.Credential),
	}}
}
