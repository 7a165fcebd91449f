package rule

import (
	"path"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/event"
)

// TestTenant is the tenant that tests happen in: apps of origin "own" belong to
// it.
const TestTenant = "00000000-0000-4000-8000-000000000001"

// Test is one test block: a timeline on a fresh tenant, and the alerts that the
// rules under test must raise on it, no more and no fewer. Without an Expect it
// is a near miss: the rules must be silent.
type Test struct {
	Name    string
	Range   hcl.Range // of the block's header; Filename is the file
	Rules   []string  // ids under test: alerts of others do not count
	Clock   time.Time // what `at` counts from
	Since   time.Time // the first sync of the inventory, and the begin of all collection
	Objects []event.Object
	Steps   []Step   // in order of time
	Own     []string // client ids of apps by which appgovd itself reads the tenant
	Expect  []Expect
	Spared  []Spared
}

// Spared says how often an exception must have taken something out.
type Spared struct {
	Range     hcl.Range
	Exception string
	Hits      int // -1 = at least once
}

// Step is one thing that happens: exactly one of Event, Objects, Raw and Tick
// is set.
type Step struct {
	At      time.Time
	Range   hcl.Range
	Event   *event.Event   // inline; its Time is At
	Objects []event.Object // an incremental page of the inventory
	Fixture string         // path of a file with raw records of the provider
	Raw     []byte         // that file; the records keep their own times, At is ignored
	Tick    bool           // time passes; every source is complete up to At
	Risk    *RiskAt        // what the risk of an app must be
}

// RiskAt is the risk that an app must have at the time of a step.
type RiskAt struct {
	App  event.App
	Risk int
}

// Expect is a group of equal alerts. Zero values (and a Score below 0) mean
// "any".
type Expect struct {
	Range    hcl.Range
	Rule     string
	Kind     string // event.AlertDetection and its neighbours; "" = any but a summary
	State    event.AlertState
	Severity event.Severity
	Score    int
	App      string // name, client id or object id
	Summary  string // part of the summary
	Alerts   int    // how many alerts; 1 unless written
	Count    int    // Alert.Count of the last one
}

// Tests reads the test blocks of a blob, in its order of files. Fixtures are
// files of the blob, named relative to the test file.
func Tests(blob *event.RulesBlob) ([]Test, hcl.Diagnostics) {
	zone, diags := loadZone(blob.Zone)
	c := newChecker(zone)
	c.diags = diags
	return testsBy(c, blob), c.diags
}

// testsBy leaves its mistakes in c.
func testsBy(c *checker, blob *event.RulesBlob) []Test {
	t := testReader{c: c, files: map[string][]byte{}, ids: map[string]bool{}, spare: map[string]bool{}}
	for _, f := range blob.Files {
		t.files[f.Path] = f.Text
	}
	p := pack{c: c, seen: map[string]hcl.Range{}, onTest: func(s source) { t.blocks = append(t.blocks, s) }}
	for _, f := range blob.Files {
		if strings.HasSuffix(f.Path, ".hcl") {
			p.parse(f)
		}
	}
	for _, b := range p.blocks {
		if len(b.Labels) == 1 {
			t.ids[b.Labels[0]] = true
		}
	}
	for _, b := range p.risks {
		if len(b.Labels) == 1 {
			t.ids["risk."+b.Labels[0]] = true
		}
	}
	for _, b := range p.exceptions {
		if len(b.Labels) == 1 {
			t.spare[b.Labels[0]] = true
		}
	}
	var out []Test
	for _, b := range t.blocks {
		out = append(out, t.test(b))
	}
	return out
}

type testReader struct {
	c      *checker
	files  map[string][]byte
	ids    map[string]bool // of rules and policies
	spare  map[string]bool // ids of exceptions
	blocks []source

	test0 *Test
	apps  map[string]event.App // by label
	roles map[string]bool      // application permissions that some app holds
	held  map[string][]string  // those of each app, by its id, as its last block lists them
}

func (t *testReader) test(src source) Test {
	b := t.c.block(src.Block)
	b.allow("rules clock since description", "app event fixture tick risk expect spared")
	out := Test{Range: b.rng}
	if len(src.Labels) == 1 {
		out.Name = src.Labels[0]
	} else {
		t.c.fail(b.rng, "bad_label", "One sentence expected", "Write test \"what happens and what must follow\" { ... }.")
	}
	t.test0, t.apps, t.roles, t.held = &out, map[string]event.App{}, map[string]bool{}, map[string][]string{}
	b.text("description")
	t.head(b, &out)
	t.inventory(src, &out)
	t.steps(src, &out)
	for _, x := range src.Body.Blocks {
		switch x.Type {
		case "expect":
			out.Expect = append(out.Expect, t.expect(t.c.block(x)))
		case "spared":
			out.Spared = append(out.Spared, t.spared(t.c.block(x)))
		}
	}
	return out
}

func (t *testReader) head(b block, out *Test) {
	ids, at := b.textsAt("rules")
	b.need("rules", "the ids under test")
	for i, id := range ids {
		t.known(id, at[i])
	}
	out.Rules = ids
	out.Clock = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
	if s, r := b.text("clock"); s != "" {
		out.Clock = t.moment(s, r)
	}
	out.Since = out.Clock.Add(-90 * 24 * time.Hour)
	if d := b.duration("since"); d != 0 {
		out.Since = out.Clock.Add(-d)
	}
}

func (t *testReader) known(id string, at hcl.Range) {
	if !t.ids[id] {
		t.c.fail(at, "unknown_rule", "Unknown rule", "There is no rule or policy %q.%s", id, suggest(id, keys(t.ids)))
	}
}

func (t *testReader) moment(s string, at hcl.Range) time.Time {
	m, err := parseTime(s, t.c.zone)
	if err != nil {
		t.c.fail(at, "bad_time", "Bad time", "%s.", err)
	}
	return m.UTC()
}

// at reads the moment of a step: a duration after the clock, before it with a
// minus sign.
func (t *testReader) at(b block) time.Time {
	s, r := b.text("at")
	if s == "" {
		return t.test0.Clock
	}
	d, err := parseDuration(strings.TrimPrefix(s, "-"))
	if err != nil {
		t.c.fail(r, "bad_duration", "Bad duration", "%s.", err)
	}
	if strings.HasPrefix(s, "-") {
		d = -d
	}
	return t.test0.Clock.Add(d)
}

func (t *testReader) steps(src source, out *Test) {
	n := 0
	for _, x := range src.Body.Blocks {
		b := t.c.block(x)
		switch x.Type {
		case "event":
			n++
			first := t.event(b, n)
			out.Steps = append(out.Steps, first)
			for i := range t.repeated(b) {
				n++
				out.Steps = append(out.Steps, t.again(first, n, time.Duration(i+1)*b.duration("every")))
			}
		case "fixture":
			out.Steps = append(out.Steps, t.fixture(b, x.Labels, src.TypeRange.Filename))
		case "risk":
			out.Steps = append(out.Steps, t.risk(b))
		case "tick":
			b.allow("at", "")
			out.Steps = append(out.Steps, Step{At: t.at(b), Range: b.rng, Tick: true})
		}
	}
	sort.SliceStable(out.Steps, func(i, j int) bool { return out.Steps[i].At.Before(out.Steps[j].At) })
}

// risk reads what the risk of an app must be.
func (t *testReader) risk(b block) Step {
	b.allow("at app score", "")
	s := Step{At: t.at(b), Range: b.rng, Risk: &RiskAt{Risk: int(b.number("score", 0, MaxRisk, 0))}}
	b.need("app", "the label of an app block")
	b.need("score", "0 to 100")
	if label, at := b.text("app"); label != "" {
		a, ok := t.apps[label]
		if !ok {
			t.c.fail(at, "unknown_app", "Unknown app", "There is no app block %q in this test.%s", label, suggest(label, keys(t.apps)))
		}
		s.Risk.App = a
	}
	return s
}

func (t *testReader) fixture(b block, labels []string, file string) Step {
	b.allow("at", "")
	if len(labels) != 1 {
		t.c.fail(b.rng, "bad_label", "One file expected", "Write fixture \"testdata/x.json\" {}.")
		return Step{}
	}
	name := path.Join(path.Dir(file), labels[0])
	raw, ok := t.files[name]
	if !ok {
		t.c.fail(b.rng, "unknown_file", "Fixture not found", "There is no file %q beside the rules.", name)
	}
	return Step{At: t.at(b), Range: b.rng, Fixture: name, Raw: raw}
}

func (t *testReader) expect(b block) Expect {
	b.allow("rule kind state severity score app summary alerts count", "")
	e := Expect{Range: b.rng, Score: int(b.number("score", 0, 100, -1))}
	var at hcl.Range
	if e.Rule, at = b.text("rule"); e.Rule != "" {
		t.known(e.Rule, at)
	} else if len(t.test0.Rules) == 1 {
		e.Rule = t.test0.Rules[0]
	} else {
		b.missing("rule", "the id that alerts")
	}
	if s, r := b.text("severity"); s != "" {
		var ok bool
		if e.Severity, ok = event.ParseSeverity(s); !ok {
			b.badSeverity(s, r)
		}
	}
	e.Kind = t.oneOf(b, "kind", event.AlertDetection, event.AlertPolicy, event.AlertSummary, event.AlertUpstream, event.AlertRisk)
	e.State = event.AlertState(t.oneOf(b, "state", string(event.AlertNew), string(event.AlertUpdated), string(event.AlertResolved)))
	e.App, _ = b.text("app")
	e.Summary, _ = b.text("summary")
	e.Alerts = int(b.number("alerts", 1, 10_000, 1))
	e.Count = int(b.number("count", 1, 1_000_000, 0))
	return e
}

func (t *testReader) spared(b block) Spared {
	b.allow("exception hits", "")
	b.need("exception", "the id of an exception")
	s := Spared{Range: b.rng, Hits: int(b.number("hits", 0, 1_000_000, -1))}
	var at hcl.Range
	if s.Exception, at = b.text("exception"); s.Exception != "" && !t.spare[s.Exception] {
		t.c.fail(at, "unknown_exception", "Unknown exception", "There is no exception %q.%s", s.Exception, suggest(s.Exception, keys(t.spare)))
	}
	return s
}

func (t *testReader) oneOf(b block, name string, values ...string) string {
	s, r := b.text(name)
	b.c.grammar.note(b.path, name, attribute{"enum": values})
	if s != "" && !has(values, s) {
		t.c.fail(r, "bad_value", "Bad value", "%s is one of %s.%s", name, strings.Join(values, ", "), suggest(s, values))
	}
	return s
}
