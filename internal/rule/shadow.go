package rule

import "github.com/hashicorp/hcl/v2"

// Shadow is a rule that runs beside another to show how its verdicts differ.
type Shadow struct{ Rule, Live *Rule }

// shadowOf reads which rule this one is the shadow of. A shadow watches only.
func (b block) shadowOf(r *Rule) {
	var at hcl.Range
	if r.ShadowOf, at = b.text("shadow_of"); r.ShadowOf == "" {
		return
	}
	if _, given := b.attr("mode"); given && r.Mode != ModeAudit {
		b.c.fail(at, "bad_shadow", "A shadow only watches", "A rule with shadow_of is in mode \"audit\": delete mode, or delete shadow_of to let it alert.")
	}
	r.Mode = ModeAudit
	b.c.shadows = append(b.c.shadows, shadowAt{r, at})
}

// shadowAt is a shadow and where it names its rule.
type shadowAt struct {
	rule *Rule
	at   hcl.Range
}

// readShadows joins shadows with their rules, once all rules are known.
func (p *pack) readShadows(set *Set) {
	live := map[string]*Rule{}
	for _, r := range set.Rules {
		if r.ShadowOf == "" {
			live[r.ID] = r
		}
	}
	for _, s := range p.c.shadows {
		if r := live[s.rule.ShadowOf]; r != nil {
			set.Shadows = append(set.Shadows, Shadow{s.rule, r})
		} else {
			p.c.fail(s.at, "unknown_rule", "Unknown rule", "There is no rule %q that alerts itself.%s", s.rule.ShadowOf, suggest(s.rule.ShadowOf, keys(live)))
		}
	}
}
