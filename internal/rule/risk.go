package rule

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/event"
)

// Kinds of entities that have a risk.
const (
	RiskApp   = "app"
	RiskActor = "actor"
)

// MaxRisk is the highest risk of an entity, and of what one rule adds to it.
const MaxRisk = 100

const (
	usualHalfLife = 7 * 24 * time.Hour
	usualEntities = 100_000
)

// Risk says how the risk of one kind of entity is kept: the points of rules,
// halved every HalfLife, and an alert while their sum is high. It is immutable.
type Risk struct {
	Entity      string // RiskApp or RiskActor
	Revision    string
	Title       string
	Severity    event.Severity
	HalfLife    time.Duration
	AlertAt     int // sum that opens an alert; 0 = none does
	ResolveAt   int // sum below which it is over
	RuleCap     int // most points that one rule holds
	MaxEntities int
}

// Points is what a rule or policy adds to the risk of its entities when it alerts.
type Points struct {
	Entities []string // kinds; RiskApp and RiskActor unless written
	Cap      int      // most points it holds of one entity; 0 = as the entity says

	points intExpr // nil = the alert's score
}

// Of is how many points an alert with that score adds, 0-100.
func (p Points) Of(env *Env, score int) int {
	if p.points == nil {
		return score
	}
	return p.points(env)
}

// ID is the rule id that alerts on the risk of such entities carry.
func (r *Risk) ID() string { return "risk." + r.Entity }

// usualRisk is how the risk of apps is kept where no block says it.
func usualRisk() *Risk {
	return &Risk{Entity: RiskApp, Title: "Risk of an app", Severity: event.SeverityHigh, HalfLife: usualHalfLife, RuleCap: MaxRisk, MaxEntities: usualEntities}
}

// readRisks reads the risk blocks, one for each kind of entity.
func (p *pack) readRisks(set *Set) {
	places := map[string]hcl.Range{}
	for _, b := range p.risks {
		kind, ok := p.label(b)
		switch old, twice := places[kind]; {
		case !ok:
			continue
		case kind != RiskApp && kind != RiskActor:
			p.c.fail(b.LabelRanges[0], "bad_entity", "Unknown entity", "There is no risk of %q: write risk \"app\" or risk \"actor\".", kind)
			continue
		case twice:
			p.c.fail(b.LabelRanges[0], "duplicate_risk", "Risk defined twice", "The risk of %q already stands at %s.", kind, old)
			continue
		}
		places[kind] = b.LabelRanges[0]
		set.Risks = append(set.Risks, p.c.riskBlock(kind, b))
	}
	if _, written := places[RiskApp]; !written {
		set.Risks = append(set.Risks, usualRisk())
	}
	slices.SortFunc(set.Risks, func(a, b *Risk) int { return strings.Compare(a.Entity, b.Entity) })
}

func (c *checker) riskBlock(kind string, src source) *Risk {
	b := c.block(src.Block)
	b.allow("title description severity half_life alert_at resolve_at rule_cap max_entities", "")
	r := usualRisk()
	r.Entity, r.Revision = kind, textRevision(src)
	if r.Title, _ = b.text("title"); r.Title == "" {
		r.Title = "Risk of an " + kind
	}
	b.text("description")
	if _, ok := b.attr("severity"); ok {
		r.Severity = b.severity()
	}
	if d := b.duration("half_life"); d != 0 {
		r.HalfLife = d
	}
	r.AlertAt = int(b.number("alert_at", 1, MaxRisk, 0))
	r.ResolveAt = int(b.number("resolve_at", 1, MaxRisk, int64(max(1, r.AlertAt*3/4))))
	if a, ok := b.attr("resolve_at"); ok && r.ResolveAt > r.AlertAt {
		c.fail(a.Expr.Range(), "bad_number", "Bad number", "resolve_at must not be above alert_at: the alert would be over at once.")
	}
	r.RuleCap = int(b.number("rule_cap", 1, MaxRisk, MaxRisk))
	r.MaxEntities = int(b.number("max_entities", 10, 10_000_000, usualEntities))
	return r
}

// points reads the risk block of a rule or policy.
func (b block) points() Points {
	p := Points{Entities: []string{RiskApp, RiskActor}}
	if b.kind == "policy" {
		p.Entities = p.Entities[:1]
	}
	x, ok := b.child("risk")
	if !ok {
		return p
	}
	known := p.Entities
	x.allow("points cap entities", "")
	if _, ok := x.attr("points"); ok {
		p.points = x.pointsOf()
	}
	p.Cap = int(x.number("cap", 1, MaxRisk, 0))
	if names, at := x.textsAt("entities"); len(at) > 0 {
		p.Entities = names
		for i, n := range names {
			if !has(known, n) {
				b.c.fail(at[i], "bad_entity", "Unknown entity", "A %s adds to the risk of %s.%s", b.kind, strings.Join(known, " or "), suggest(n, known))
			}
		}
	}
	return p
}

// pointsOf reads an expression of type int, 0 to 100; unknown is none.
func (b block) pointsOf() intExpr {
	a, _ := b.attr("points")
	n := b.c.expression(a.Expr)
	if !b.c.want(n, "points", kindInt) || !b.percentage(n, "points") {
		return nil
	}
	return func(env *Env) int {
		v, ok := n.num(env)
		if !ok {
			return 0
		}
		return int(min(MaxRisk, max(0, v)))
	}
}

func appRisk(env *Env) (int64, bool) { return int64(env.Risk), env.RiskKnown }
