package rule

import "github.com/hashicorp/hcl/v2"

// Shadow is a rule that runs beside another to show how its verdicts differ.
type Shadow struct{ Rule, Live *Rule }

// shadowOf reads which rule or policy this one is the shadow of, and makes mode that
// of one that watches only.
func (b block) shadowOf(id string, mode *Mode) string {
	of, at := b.text("shadow_of")
	if of == "" {
		return ""
	}
	if _, given := b.attr("mode"); given && *mode != ModeAudit {
		b.c.fail(at, "bad_shadow", "A shadow only watches", "A %s with shadow_of is in mode \"audit\": delete mode, or delete shadow_of to let it alert.", b.kind)
	}
	*mode = ModeAudit
	b.c.shadows = append(b.c.shadows, shadowAt{b.kind, id, of, at})
	return of
}

// shadowAt is a shadow and what it names.
type shadowAt struct {
	kind, id, of string
	at           hcl.Range
}

// readShadows joins shadows with what they name, once everything is known. Those of
// policies are told by what both found, and need no list.
func (p *pack) readShadows(set *Set) {
	live := map[string]map[string]*Rule{"rule": {}, "policy": {}}
	own := map[string]*Rule{}
	for _, r := range set.Rules {
		own[r.ID] = r
		if r.ShadowOf == "" {
			live["rule"][r.ID] = r
		}
	}
	for _, q := range set.Policies {
		if q.ShadowOf == "" {
			live["policy"][q.ID] = nil
		}
	}
	for _, s := range p.c.shadows {
		switch r, ok := live[s.kind][s.of]; {
		case !ok:
			p.c.fail(s.at, "unknown_rule", "Unknown "+s.kind, "There is no %s %q that alerts itself.%s", s.kind, s.of, suggest(s.of, keys(live[s.kind])))
		case r != nil && own[s.id] != nil:
			set.Shadows = append(set.Shadows, Shadow{own[s.id], r})
		}
	}
}
