package rule

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"path"
	"slices"
	"sort"
	"strings"
	"time"
	_ "time/tzdata" // zones must mean the same on every machine

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/hclsafe"
)

const (
	testSuffix     = ".test.hcl"
	maxRules       = 20_000
	defaultMaxKeys = 100_000
)

// Compile turns the texts of a blob into the rules and policies in force. Files
// ending in ".hcl" hold rules, policies and lists (tests in them, and files
// ending in ".test.hcl", are left to Tests); "permission_tiers.csv" and "permission_tiers.own.csv" grade
// permissions; other files are ignored. All mistakes are reported at once; the
// set is nil when one of them is an error.
func Compile(blob *event.RulesBlob) (*Set, hcl.Diagnostics) { return compile(blob, false) }

func compile(blob *event.RulesBlob, probed bool) (*Set, hcl.Diagnostics) {
	zone, diags := loadZone(blob.Zone)
	c := newChecker(zone)
	c.diags = diags
	return compileBy(c, blob, probed), c.diags
}

// compileBy leaves its mistakes in c.
func compileBy(c *checker, blob *event.RulesBlob, probed bool) *Set {
	p := pack{c: c, seen: map[string]hcl.Range{}, probed: probed}
	c.files = map[string][]byte{}
	for _, f := range blob.Files {
		c.files[f.Path] = f.Text
		if !strings.HasSuffix(f.Path, testSuffix) {
			p.file(f)
		}
	}
	p.readLists()
	set := &Set{Revision: revision(blob), byAction: map[string]*index{}, tiers: c.tiers, probes: map[string][]Probe{}, sources: map[string]Source{}, lists: c.lists, zone: c.zone, own: blob.Own}
	for _, b := range p.blocks {
		p.add(set, b)
	}
	p.readExceptions(set)
	p.readRisks(set)
	p.readShadows(set)
	if c.diags.HasErrors() {
		return nil
	}
	set.index()
	return set
}

func loadZone(name string) (*time.Location, hcl.Diagnostics) {
	zone, err := time.LoadLocation(name)
	if err == nil && name != "Local" {
		return zone, nil
	}
	return time.UTC, hcl.Diagnostics{{
		Severity: hcl.DiagError, Summary: "Unknown time zone",
		Detail: "There is no time zone \"" + name + "\"; write one of the IANA database, such as \"Europe/Berlin\".",
	}}
}

// revision is the hash of everything that decides what a blob means.
func revision(blob *event.RulesBlob) string {
	h := sha256.New()
	part := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	part([]byte(blob.Engine))
	part([]byte(blob.Zone))
	for _, id := range blob.Own {
		part([]byte("own " + id))
	}
	for _, f := range blob.Files {
		part([]byte(f.Path))
		part(f.Text)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (s *Set) index() {
	sort.Slice(s.Rules, func(i, j int) bool { return s.Rules[i].ID < s.Rules[j].ID })
	sort.Slice(s.Policies, func(i, j int) bool { return s.Policies[i].ID < s.Policies[j].ID })
	on := map[string][]*Rule{}
	for _, r := range s.Rules {
		if r.Mode == ModeOff {
			continue
		}
		for _, a := range r.On {
			on[a] = append(on[a], r)
		}
	}
	for _, action := range keys(on) {
		s.byAction[action] = newIndex(on[action], &s.memos, late)
	}
}

// source is a top-level block with the text that it came from.
type source struct {
	*hclsyntax.Block
	text []byte
}

// pack collects the blocks of all files before any is compiled, since rules may
// stand before the lists that they name.
type pack struct {
	c          *checker
	blocks     []source
	lists      []source
	exceptions []source
	risks      []source
	seen       map[string]hcl.Range // ids of rules and policies
	tiers      bool
	onTest     func(source) // nil = tests are left alone
	probed     bool
}

func (p *pack) file(f event.RulesFile) {
	switch {
	case len(f.Text) > limitOf(f.Path):
		p.c.torn[f.Path] = true
		p.c.fail(startOf(f.Path), "file_too_large", "File too large", "A file has at most %d bytes: split it.", limitOf(f.Path))
	case path.Base(f.Path) == TiersFile:
		if p.tiers {
			p.c.fail(startOf(f.Path), "duplicate_file", "Permission tiers given twice", "Only one file may be named %s; write rows that are to win over it to %s.", TiersFile, OwnTiersFile)
			return
		}
		p.tiers = true
		p.c.diags = append(p.c.diags, p.c.tiers.read(f.Path, f.Text)...)
	case path.Base(f.Path) == OwnTiersFile:
		if p.c.tiers.own != nil {
			p.c.fail(startOf(f.Path), "duplicate_file", "Permission tiers given twice", "Only one file may be named %s.", OwnTiersFile)
			return
		}
		p.c.tiers.own = newTierTable()
		p.c.diags = append(p.c.diags, p.c.tiers.own.read(f.Path, f.Text)...)
	case strings.HasSuffix(f.Path, ".hcl"):
		p.parse(f)
	}
}

func startOf(name string) hcl.Range {
	return hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
}

func (p *pack) parse(f event.RulesFile) {
	file, diags := hclsafe.Parse(f.Path, f.Text)
	p.c.diags = append(p.c.diags, diags...)
	p.c.torn[f.Path] = diags.HasErrors()
	if file == nil {
		return
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return
	}
	for _, name := range keys(body.Attributes) {
		p.c.fail(body.Attributes[name].NameRange, "unknown_attribute", "Attribute outside a block", "A rules file holds rule, policy, list, exception, risk and test blocks.")
	}
	for _, b := range body.Blocks {
		p.sort(source{b, f.Text})
	}
}

func (p *pack) sort(b source) {
	switch b.Type {
	case "rule", "policy":
		p.blocks = append(p.blocks, b)
	case "list":
		p.lists = append(p.lists, b)
	case "risk":
		p.risks = append(p.risks, b)
	case "exception":
		p.exceptions = append(p.exceptions, b)
	case "test":
		if p.onTest != nil {
			p.onTest(b)
		}
	default:
		p.c.fail(b.DefRange(), "unknown_block", "Unknown block", "A rules file has no block %q.%s", b.Type, suggest(b.Type, []string{"rule", "policy", "list", "exception", "risk", "test"}))
	}
}

// label is the one label of a block.
func (p *pack) label(b source) (string, bool) {
	if len(b.Labels) != 1 {
		p.c.fail(b.DefRange(), "bad_label", "One name expected", "Write %s \"name\" { ... }.", b.Type)
		return "", false
	}
	return b.Labels[0], true
}

func (p *pack) readLists() {
	for _, b := range p.lists {
		name, ok := p.label(b)
		if !ok {
			continue
		}
		if old, twice := p.c.lists[name]; twice {
			p.c.fail(b.DefRange(), "duplicate_list", "List defined twice", "List %q already stands at %s.", name, old.rng)
			continue
		}
		p.c.lists[name] = p.c.list(name, p.c.block(b.Block))
	}
}

func (c *checker) list(name string, b block) *list {
	b.allow("description entries file", "entry")
	b.text("description")
	l := newList(name, b.rng)
	for _, s := range b.texts("entries") {
		l.add(s, forever)
	}
	c.listFile(l, b)
	for _, e := range b.body.Blocks {
		if e.Type == "entry" {
			c.entry(l, e)
		}
	}
	return l
}

func (c *checker) entry(l *list, e *hclsyntax.Block) {
	b := c.block(e)
	b.allow("comment until attributes", "")
	b.text("comment")
	if len(e.Labels) != 1 {
		c.fail(e.DefRange(), "bad_label", "One value expected", "Write entry \"value\" { ... }.")
		return
	}
	until := int64(forever)
	if s, r := b.text("until"); s != "" {
		t, err := parseTime(s, c.zone)
		if err != nil {
			c.fail(r, "bad_time", "Bad time", "%s.", err)
		}
		until, _ = nanos(t)
	}
	l.add(e.Labels[0], until)
	c.entryAttributes(l, e.Labels[0], b)
}

func (p *pack) add(set *Set, b source) {
	id, ok := p.label(b)
	if !ok {
		return
	}
	if !p.c.idForm.MatchString(id) {
		p.c.fail(b.LabelRanges[0], "bad_id", "Bad id", "The id %q is not made of lower-case words with dots, such as \"entra.consent.tenant_wide\".", id)
	}
	if old, twice := p.seen[id]; twice {
		p.c.fail(b.LabelRanges[0], "duplicate_rule", "Rule defined twice", "%q already stands at %s.", id, old)
	}
	p.seen[id] = b.LabelRanges[0]
	if len(p.seen) == maxRules+1 {
		p.c.fail(b.DefRange(), "limit_exceeded", "Too many rules", "At most %d rules are read.", maxRules)
	}
	p.c.policy = b.Type == "policy"
	if p.probed {
		set.sources[id] = b.source()
	}
	defer p.record(set, id, b)()
	if p.c.policy {
		set.Policies = append(set.Policies, p.c.policyBlock(id, b))
		return
	}
	set.Rules = append(set.Rules, p.c.ruleBlock(id, b))
}

// record keeps the probes of a block, if they are asked for, until what it returns is
// called.
func (p *pack) record(set *Set, key string, b source) (end func()) {
	if !p.probed {
		return func() {}
	}
	p.c.recorder = &recorder{text: b.text}
	return func() {
		named(p.c.recorder.list, b.Body, "")
		set.probes[key], p.c.recorder = p.c.recorder.list, nil
	}
}

// head is what rules and policies have in common.
type head struct {
	title      string
	severity   event.Severity
	techniques []string
	references []string
	mode       Mode
	revision   string
}

const headAttributes = "title description severity mode techniques references false_positives where score "

func (b block) head(src source) head {
	h := head{revision: textRevision(src)}
	h.title = b.title()
	b.text("description")
	b.texts("false_positives")
	h.severity = b.severity()
	h.mode = b.mode()
	h.references = b.texts("references")
	h.techniques = b.techniques()
	return h
}

// given reports whether an attribute stands there; one that is wrong has been
// reported, an empty text counts as missing.
func (b block) given(name, text string) bool {
	b.c.grammar.require(b.path, name)
	a, ok := b.attr(name)
	if !ok || text != "" {
		return ok
	}
	v, _ := constant(a.Expr)
	return v != ""
}

func severities() []string { return []string{"informational", "low", "medium", "high", "critical"} }

func (b block) badSeverity(s string, at hcl.Range) {
	names := severities()
	if !b.given("severity", s) {
		b.missing("severity", strings.Join(names, ", "))
		return
	}
	if s == "" {
		return
	}
	b.c.fail(at, "bad_severity", "Bad severity", "%q is none of %s.%s", s, strings.Join(names, ", "), suggest(s, names))
}

func (b block) mode() Mode {
	modes := []string{"active", "audit", "score", "off"}
	s, at := b.text("mode")
	b.c.grammar.note(b.path, "mode", attribute{"enum": modes})
	switch s {
	case "", "active":
		return ModeActive
	case "audit":
		return ModeAudit
	case "score":
		return ModeScore
	case "off":
		return ModeOff
	}
	b.c.fail(at, "bad_mode", "Bad mode", "%q is none of %s.%s", s, strings.Join(modes, ", "), suggest(s, modes))
	return ModeOff
}

func (b block) techniques() []string {
	names, at := b.textsAt("techniques")
	for i, t := range names {
		if !b.c.techniqueForm.MatchString(t) {
			b.c.fail(at[i], "bad_technique", "Bad technique", "%q is not an ATT&CK id such as \"T1098.001\".", t)
		}
	}
	return names
}

// textRevision hashes the text of a block, header and braces included.
func textRevision(b source) string {
	sum := sha256.Sum256(b.whole())
	return hex.EncodeToString(sum[:8])
}

func (b source) whole() []byte {
	r := b.Range()
	start, end := b.TypeRange.Start.Byte, b.CloseBraceRange.End.Byte
	if start < 0 || end > len(b.text) || start > end {
		start, end = max(0, r.Start.Byte), min(len(b.text), r.End.Byte)
	}
	return b.text[start:end]
}

func (b source) source() Source {
	s := Source{Range: b.DefRange(), Text: string(b.whole()), attributes: map[string]bool{}}
	for name := range b.Body.Attributes {
		s.attributes[name] = true
	}
	return s
}

// stateRevision hashes the parts of a rule that decide what it remembers, each by
// its text: other words for an alert, or another severity, forget nothing.
func stateRevision(b source) string {
	h := sha256.New()
	part := func(name string, r hcl.Range) {
		h.Write([]byte(name + "\x00"))
		h.Write(r.SliceBytes(b.text))
		h.Write([]byte{0})
	}
	for _, name := range [...]string{"on", "where"} {
		if a := b.Body.Attributes[name]; a != nil {
			part(name, a.Expr.Range())
		}
	}
	for _, child := range b.Body.Blocks {
		switch child.Type {
		case "threshold", "first_seen", "suppress", "compare", "sequence", "absence":
			part(child.Type, child.Body.Range())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (c *checker) policyBlock(id string, src source) *Policy {
	b := c.block(src.Block)
	b.allow(headAttributes+"shadow_of", "scope risk alert")
	h := b.head(src)
	p := &Policy{
		ID: id, Revision: h.revision, Title: h.title, Severity: h.severity, Techniques: h.techniques,
		References: h.references, Mode: h.mode,
	}
	if _, ok := b.attr("where"); !ok {
		b.missing("where", "the condition on an app, such as app.idle > duration(\"90d\")")
	}
	p.where = predicate(b.scoped(b.where("where")).truth)
	p.Points = b.points()
	p.graded, p.titled = b.graded(), b.titled()
	p.score = b.score(p.SeverityOf)
	p.summary = fixed(h.title)
	if p.titled != nil {
		p.summary = p.titled
	}
	if a, ok := b.child("alert"); ok {
		a.allow("summary", "")
		p.summary = a.summary(p.summary)
	}
	p.ShadowOf = b.shadowOf(id, &p.Mode)
	return p
}

// scoped narrows a policy to apps on the lists of only, and spares those on the
// lists of except. An app is named by client id, object id or name.
func (b block) scoped(where node) node {
	s, ok := b.child("scope")
	if !ok {
		return where
	}
	s.allow("only except", "")
	terms := []node{where}
	if only := s.onLists("only"); len(only) > 0 {
		terms = append(terms, join(only, false))
	}
	if except := s.onLists("except"); len(except) > 0 {
		f := join(except, false).truth
		terms = append(terms, boolNode(5, func(env *Env) Truth { return truthOf(f(env) != True) }))
	}
	if where.kind == kindBad {
		return where
	}
	return join(terms, true)
}

func (b block) onLists(name string) []node {
	names, at := b.textsAt(name)
	var out []node
	for i, n := range names {
		arg := constString(n)
		arg.rng = at[i]
		if l, ok := b.c.named(arg); ok {
			out = append(out, boolNode(3, l.hasApp))
		}
	}
	return out
}

func (l *list) hasApp(env *Env) Truth {
	if env.App == nil {
		return Unknown
	}
	now, _ := nanos(env.Now)
	return truthOf(l.has(env.App.AppID, now) || l.has(env.App.ID, now) || l.has(env.App.Name, now))
}

func (b block) actions() []string {
	before := len(b.c.diags)
	names, at := b.textsAt("on")
	if len(names) == 0 && len(b.c.diags) == before {
		b.missing("on", "the canonical actions that it looks at, such as [\"app.consent.granted\"]")
	}
	for i, n := range names {
		if !has(b.c.actions, n) {
			b.c.fail(at[i], "unknown_action", "Unknown action", "There is no action %q.%s", n, suggest(n, b.c.actions))
		}
		if slices.Index(names, n) != i {
			b.c.fail(at[i], "duplicate_action", "Action named twice", "%q already stands in this list.", n)
		}
	}
	return names
}

func (b block) need(name, advice string) {
	b.c.grammar.require(b.path, name)
	if _, ok := b.attr(name); !ok {
		b.missing(name, advice)
	}
}
