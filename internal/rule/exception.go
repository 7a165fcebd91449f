package rule

import (
	"path"
	"slices"
	"strings"
	"time"
)

// Exception spares what it matches from the rules and policies that it names. It
// stands outside of them, so that another's rule need not be edited, and says
// why and who answers for it. It is immutable.
type Exception struct {
	ID       string
	Revision string
	Rules    []string // ids of the rules and policies covered, sorted
	Reason   string
	Owner    string
	Until    time.Time // from then on it spares nothing; zero = it has no end

	where predicate
}

// Covers reports whether e spares what env shows: where its condition is true,
// and by env's own time it has not ended.
func (e *Exception) Covers(env *Env) bool {
	return !e.Expired(env.Now) && e.where(env) == True
}

// Expired reports whether e has ended at a time.
func (e *Exception) Expired(at time.Time) bool { return !e.Until.IsZero() && !at.Before(e.Until) }

// exceptions reads the exception blocks, once all rules and policies are known.
func (p *pack) readExceptions(set *Set) {
	seen := map[string]bool{}
	covered := map[string][]*Exception{}
	for _, b := range p.exceptions {
		id, ok := p.label(b)
		if !ok {
			continue
		}
		if !p.c.idForm.MatchString(id) {
			p.c.fail(b.LabelRanges[0], "bad_id", "Bad id", "The id %q is not made of lower-case words with dots, such as \"partner.migration\".", id)
		}
		if seen[id] {
			p.c.fail(b.LabelRanges[0], "duplicate_exception", "Exception defined twice", "There is another exception %q.", id)
		}
		seen[id] = true
		end := p.record(set, exceptionProbes+id, b)
		e := p.exception(id, b)
		end()
		set.Exceptions = append(set.Exceptions, e)
		for _, name := range e.Rules {
			covered[name] = append(covered[name], e)
		}
	}
	byID := func(a, b *Exception) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(set.Exceptions, byID)
	for _, list := range covered {
		slices.SortFunc(list, byID)
	}
	for _, r := range set.Rules {
		r.Exceptions = covered[r.ID]
	}
	for _, q := range set.Policies {
		q.Exceptions = covered[q.ID]
	}
}

func (p *pack) exception(id string, src source) *Exception {
	b := p.c.block(src.Block)
	b.allow("rules where reason owner until", "")
	e := &Exception{ID: id, Revision: textRevision(src), Rules: p.names(b)}
	if e.Reason, _ = b.text("reason"); !b.given("reason", e.Reason) {
		b.missing("reason", "why this is no finding, for whoever reads it in a year")
	}
	if e.Owner, _ = b.text("owner"); !b.given("owner", e.Owner) {
		b.missing("owner", "who answers for it")
	}
	if s, r := b.text("until"); s != "" {
		t, err := parseTime(s, p.c.zone)
		if err != nil {
			p.c.fail(r, "bad_time", "Bad time", "%s.", err)
		}
		e.Until = t.UTC()
		p.c.hints.ends(e, r)
	}
	b.need("where", "what is spared, such as app.app_id == \"...\"; true spares everything")
	p.c.policy = p.onlyPolicies(e.Rules)
	e.where = predicate(b.where("where").truth)
	return e
}

// onlyPolicies reports whether an exception looks at the inventory alone.
func (p *pack) onlyPolicies(ids []string) bool {
	for _, b := range p.blocks {
		if b.Type == "rule" && len(b.Labels) == 1 && slices.Contains(ids, b.Labels[0]) {
			return false
		}
	}
	return len(ids) > 0
}

// names reads which rules and policies an exception covers: ids, or globs over
// them.
func (p *pack) names(b block) []string {
	patterns, at := b.textsAt("rules")
	b.need("rules", "the ids that it spares from, such as [\"entra.consent.*\"]")
	known := keys(p.seen)
	var out []string
	for i, pattern := range patterns {
		before := len(out)
		for _, id := range known {
			if ok, err := path.Match(pattern, id); ok && err == nil {
				out = append(out, id)
			}
		}
		switch {
		case len(out) > before:
		case strings.ContainsAny(pattern, `*?[\`):
			p.c.fail(at[i], "unknown_rule", "No such rule", "No rule or policy matches %q.", pattern)
		default:
			p.c.fail(at[i], "unknown_rule", "Unknown rule", "There is no rule or policy %q.%s", pattern, suggest(pattern, known))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
