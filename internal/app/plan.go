package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/route"
	"github.com/appgovd/appgovd/internal/rule"
	"github.com/appgovd/appgovd/internal/sink/post"
	"github.com/appgovd/appgovd/rules"
)

// Plan is a configuration that was checked whole: nothing was opened but files.
type Plan struct {
	Config  *config.Config
	Files   map[string][]byte // for diagnostics: configuration and rules
	sources []planned[checkedSource]
	sinks   []planned[checkedSink]
	blob    *event.RulesBlob
	set     *rule.Set

	forwards map[string]*rule.Filter // of sinks of events: which ones; nil = all
	tree     *route.Tree
	silences []route.Silence // of files
}

type planned[T any] struct {
	block config.Block
	kind  T
}

// Check reads and checks a configuration, needing no network. Every mistake is
// returned at once; the plan can be built when there is no error among them.
func Check(path string) (*Plan, hcl.Diagnostics) {
	c, diags := config.Load(path)
	if c == nil {
		return &Plan{Files: map[string][]byte{}}, diags
	}
	p := &Plan{Config: c, Files: c.Files}
	diags = append(diags, p.checkLinks()...)
	diags = append(diags, p.checkSources()...)
	diags = append(diags, p.checkSinks()...)
	diags = append(diags, p.checkGeoIP()...)
	diags = append(diags, p.checkRules()...)
	diags = append(diags, p.checkForwards()...)
	return p, append(diags, p.checkRouting()...)
}

// checkLinks checks the templates of pages that answers about apps name.
func (p *Plan) checkLinks() hcl.Diagnostics {
	var mistakes deliver.Problems
	agent := p.Config.Agent
	post.CheckLinks(&mistakes, agent.Links)
	var diags hcl.Diagnostics
	for _, m := range mistakes {
		diags = append(diags, invalid(config.Block{Body: agent.Body, Range: agent.Range}, m.Field, m.Error(), m.Advice))
	}
	return diags
}

func (p *Plan) checkSources() hcl.Diagnostics {
	kinds := sourceKinds()
	var diags hcl.Diagnostics
	first := map[string]config.Block{}
	for _, b := range p.Config.Sources {
		k, ok := kinds[b.Kind]
		if !ok {
			diags = append(diags, unknownKind("source", b, keys(kinds)))
			continue
		}
		s, d := k.check(b)
		diags = append(diags, append(d, literals(b)...)...)
		if d.HasErrors() {
			continue
		}
		for _, class := range s.classes {
			key := s.provider + "\x00" + strings.ToLower(s.tenant) + "\x00" + class
			if old, dup := first[key]; dup {
				rng := b.Range
				diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Two sources for one record class", Subject: &rng, Extra: diag.Code("duplicate_class"),
					Detail: fmt.Sprintf("%s of tenant %s is already collected by source %q at %s. Name different lists in `collect` (of a stream: `categories`), or delete one.", class, s.tenant, old.Name, old.Range)})
				break
			}
			first[key] = b
		}
		diags = append(diags, p.sameName(b, s)...)
		p.sources = append(p.sources, planned[checkedSource]{b, s})
	}
	return diags
}

// sameName finds a source of another tenant with the name of b: a stream without
// another source of its tenant is known by its name alone.
func (p *Plan) sameName(b config.Block, s checkedSource) hcl.Diagnostics {
	for _, o := range p.sources {
		if o.block.Name == b.Name && (s.stream || o.kind.stream) && !strings.EqualFold(o.kind.tenant, s.tenant) {
			rng := b.Range
			return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Two tenants of one name", Subject: &rng, Extra: diag.Code("duplicate_name"),
				Detail: fmt.Sprintf("The source at %s is of another tenant and has the same name, %q. What is kept of a tenant is kept under that name: name one of them differently.", o.block.Range, b.Name)}}
		}
	}
	return nil
}

func (p *Plan) checkSinks() hcl.Diagnostics {
	kinds := sinkKinds()
	var diags hcl.Diagnostics
	for _, b := range p.Config.Sinks {
		check, ok := kinds[b.Kind]
		if !ok {
			diags = append(diags, unknownKind("sink", b, keys(kinds)))
			continue
		}
		s, d := check(b)
		diags = append(diags, append(append(d, literals(b)...), checkBatch(b)...)...)
		p.sinks = append(p.sinks, planned[checkedSink]{b, s})
	}
	return diags
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func unknownKind(what string, b config.Block, known []string) *hcl.Diagnostic {
	rng := b.Range
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unknown kind of " + what, Subject: &rng, Extra: diag.Code("unknown_kind"),
		Detail: fmt.Sprintf("There is no %s %q; known are %s.%s", what, b.Kind, strings.Join(known, ", "), config.Suggest(b.Kind, known))}
}

// literals warns of secrets that are written into the configuration: an
// attribute whose name says secret, password or key and whose value is no
// reference.
func literals(b config.Block) hcl.Diagnostics { return literalsIn(b.Body) }

func literalsIn(body hcl.Body) hcl.Diagnostics {
	attrs, _ := body.JustAttributes()
	var diags hcl.Diagnostics
	if syntax, ok := body.(*hclsyntax.Body); ok {
		for _, nested := range syntax.Blocks {
			diags = append(diags, literalsIn(nested.Body)...)
		}
	}
	for _, name := range keys(attrs) {
		if !strings.Contains(name, "secret") && !strings.Contains(name, "password") && !strings.HasSuffix(name, "api_key") && !strings.HasSuffix(name, "routing_key") && !strings.HasSuffix(name, "token") {
			continue
		}
		v, d := attrs[name].Expr.Value(config.Context())
		if d.HasErrors() || v.Type().FriendlyName() != "string" || v.IsNull() || strings.HasPrefix(v.AsString(), "\x00") {
			continue
		}
		rng := attrs[name].Expr.Range()
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Literal secret", Subject: &rng, Extra: diag.LiteralSecret,
			Detail: fmt.Sprintf("%s is written into the configuration. Use env(\"NAME\"), file(\"/path\") or credential(\"name\").", name)})
	}
	return diags
}

// checkRules reads and compiles the rules that the configuration names.
func (p *Plan) checkRules() hcl.Diagnostics {
	blob, err := ReadRules(p.Config.Rules, false)
	if err != nil {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Cannot read rules", Detail: err.Error(), Extra: diag.Code("unreadable_file")}}
	}
	blob.Zone, blob.Own = p.Config.Agent.TimeZone, p.own()
	for _, f := range blob.Files {
		p.Files[f.Path] = f.Text
	}
	set, diags := rule.Compile(blob)
	p.blob, p.set = blob, set
	return diags
}

// own are the client ids of the sources.
func (p *Plan) own() []string {
	var ids []string
	for _, s := range p.sources {
		if s.kind.client != "" {
			ids = append(ids, strings.ToLower(s.kind.client))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// ShippedRules is the pack that comes with appgovd.
func ShippedRules() (*event.RulesBlob, error) {
	files, err := rule.ReadFS(rules.Files, false)
	if err != nil {
		return nil, fmt.Errorf("read shipped rules: %w", err)
	}
	return &event.RulesBlob{Engine: "1", Zone: "UTC", Files: files}, nil
}

// ReadRules reads files and directories of rules into one blob, with tests and
// their fixtures if asked; paths within it begin with the path as given. Where no file
// grades permissions, the shipped one does.
func ReadRules(paths []string, tests bool) (*event.RulesBlob, error) {
	blob := &event.RulesBlob{Engine: "1", Zone: "UTC"}
	for _, p := range paths {
		dir, only := p, ""
		if info, err := os.Stat(p); err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		} else if !info.IsDir() {
			dir, only = filepath.Split(p)
		}
		if dir == "" {
			dir = "."
		}
		files, err := rule.ReadFS(os.DirFS(dir), tests)
		if err != nil {
			return nil, fmt.Errorf("read rules below %s: %w", dir, err)
		}
		for _, f := range files {
			if only == "" || f.Path == only {
				f.Path = filepath.Join(dir, f.Path)
				blob.Files = append(blob.Files, f)
			}
		}
	}
	if !slices.ContainsFunc(blob.Files, func(f event.RulesFile) bool { return filepath.Base(f.Path) == rule.TiersFile }) {
		text, err := rules.Files.ReadFile("data/" + rule.TiersFile)
		if err != nil {
			return nil, fmt.Errorf("read shipped permission tiers: %w", err)
		}
		blob.Files = append(blob.Files, event.RulesFile{Path: "shipped/" + rule.TiersFile, Text: text})
	}
	sort.Slice(blob.Files, func(i, j int) bool { return blob.Files[i].Path < blob.Files[j].Path })
	return blob, nil
}
