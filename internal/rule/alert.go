package rule

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/event"
)

// AlertFilter is a condition on an alert, in the language of rules. It is safe for
// concurrent use.
type AlertFilter struct {
	where predicate
	text  string
}

// AlertFilter compiles an expression of type bool over event.AlertFields. It sees the
// lists and tiers of the set. The text is a stranger's: it is bounded as rules are.
func (s *Set) AlertFilter(text string) (*AlertFilter, hcl.Diagnostics) {
	e, diags := parseFilter(text)
	if diags.HasErrors() {
		return nil, diags
	}
	return s.AlertCondition(e, text)
}

// AlertCondition is AlertFilter for an expression that stands in a file, of which text
// are the words: mistakes have their place there. Only the expressions of HCL's own
// syntax can be one.
func (s *Set) AlertCondition(e hcl.Expression, text string) (*AlertFilter, hcl.Diagnostics) {
	c := newChecker(s.zone)
	c.lists, c.tiers, c.fields = s.lists, s.tiers, alertSchema()
	for _, about := range []string{"added", "removed", "changed", "detail", "unknown_reason"} { // an event, which is not at hand
		delete(c.funcs, about)
	}
	where := c.condition(e, "The condition")
	if where == nil {
		return nil, c.diags
	}
	return &AlertFilter{where, text}, c.diags
}

// Match reports whether the condition is true; unknown is not true.
func (f *AlertFilter) Match(a *event.Alert) bool {
	return f.where(&Env{Alert: a, Now: a.Time}) == True
}

// String is the condition as it was written.
func (f *AlertFilter) String() string { return f.text }

// alertSchema joins the documented fields of alerts with their accessors.
func alertSchema() map[string]field {
	read := map[string]field{}
	for _, part := range []map[string]field{alertText(), alertParties(), alertNumbers()} {
		for name, f := range part {
			read[name] = f
		}
	}
	out := make(map[string]field, len(read))
	for _, info := range event.AlertFields() {
		f := read[info.Name]
		f.info, f.kind = info, kindOf(info.Type)
		out[info.Name] = f
	}
	return out
}

func ofAlert(get func(*event.Alert) string) field {
	return field{str: func(env *Env) (string, bool) {
		if env.Alert == nil {
			return "", false
		}
		s := get(env.Alert)
		return s, s != ""
	}}
}

// alertNumber has no value where zero is unknown, unless zero says something.
func alertNumber(zero bool, get func(*event.Alert) int64) field {
	return field{num: func(env *Env) (int64, bool) {
		if env.Alert == nil {
			return 0, false
		}
		n := get(env.Alert)
		return n, zero || n != 0
	}}
}

func alertText() map[string]field {
	upstream := func(get func(*event.Upstream) string) field {
		return ofAlert(func(a *event.Alert) string {
			if a.Upstream == nil {
				return ""
			}
			return get(a.Upstream)
		})
	}
	return map[string]field{
		"alert.rule_id":    ofAlert(func(a *event.Alert) string { return a.RuleID }),
		"alert.kind":       ofAlert(func(a *event.Alert) string { return a.Kind }),
		"alert.severity":   ofAlert(func(a *event.Alert) string { return a.Severity.String() }),
		"alert.state":      ofAlert(func(a *event.Alert) string { return string(a.State) }),
		"alert.title":      ofAlert(func(a *event.Alert) string { return a.Title }),
		"alert.summary":    ofAlert(func(a *event.Alert) string { return a.Summary }),
		"alert.dedupe_key": ofAlert(func(a *event.Alert) string { return a.DedupeKey }),
		"provider":         ofAlert(func(a *event.Alert) string { return a.Provider }),
		"tenant":           ofAlert(func(a *event.Alert) string { return a.Tenant }),
		"action":           ofAlert(func(a *event.Alert) string { return a.Action }),

		"upstream.id":               upstream(func(u *event.Upstream) string { return u.AlertID }),
		"upstream.severity":         upstream(func(u *event.Upstream) string { return u.Severity.String() }),
		"upstream.detection_source": upstream(func(u *event.Upstream) string { return u.DetectionSource }),
		"upstream.service_source":   upstream(func(u *event.Upstream) string { return u.ServiceSource }),
	}
}

func alertParties() map[string]field {
	return map[string]field{
		"app.id":            ofAlert(func(a *event.Alert) string { return a.App.ID }),
		"app.object_id":     ofAlert(func(a *event.Alert) string { return a.App.ObjectID }),
		"app.app_id":        ofAlert(func(a *event.Alert) string { return a.App.AppID }),
		"app.name":          ofAlert(func(a *event.Alert) string { return a.App.Name }),
		"app.owner_tenant":  ofAlert(func(a *event.Alert) string { return a.App.OwnerTenant }),
		"app.origin":        ofAlert(func(a *event.Alert) string { return a.AppOrigin }),
		"actor.type":        ofAlert(func(a *event.Alert) string { return a.Actor.Type }),
		"actor.id":          ofAlert(func(a *event.Alert) string { return a.Actor.ID }),
		"actor.name":        ofAlert(func(a *event.Alert) string { return actorName(&event.Event{Actor: a.Actor}) }),
		"actor.upn":         ofAlert(func(a *event.Alert) string { return a.Actor.UPN }),
		"actor.app_id":      ofAlert(func(a *event.Alert) string { return a.Actor.AppID }),
		"target.type":       ofAlert(func(a *event.Alert) string { return a.Target.Type }),
		"target.id":         ofAlert(func(a *event.Alert) string { return a.Target.ID }),
		"target.name":       ofAlert(func(a *event.Alert) string { return a.Target.Name }),
		"target.upn":        ofAlert(func(a *event.Alert) string { return a.Target.UPN }),
		"resource.id":       ofAlert(func(a *event.Alert) string { return a.Resource.ID }),
		"resource.app_id":   ofAlert(func(a *event.Alert) string { return a.Resource.AppID }),
		"resource.name":     ofAlert(func(a *event.Alert) string { return a.Resource.Name }),
		"source.ip":         ofAlert(func(a *event.Alert) string { return a.Origin.IP }),
		"source.as_org":     ofAlert(func(a *event.Alert) string { return a.Origin.ASOrg }),
		"source.country":    ofAlert(func(a *event.Alert) string { return a.Origin.Country }),
		"source.city":       ofAlert(func(a *event.Alert) string { return a.Origin.City }),
		"source.user_agent": ofAlert(func(a *event.Alert) string { return a.Origin.UserAgent }),
	}
}

func alertNumbers() map[string]field {
	alertTime := func(at func(*event.Alert) (int64, bool)) field {
		return field{num: func(env *Env) (int64, bool) {
			if env.Alert == nil {
				return 0, false
			}
			return at(env.Alert)
		}}
	}
	return map[string]field{
		"alert.score":  alertNumber(true, func(a *event.Alert) int64 { return int64(a.Score) }),
		"alert.count":  alertNumber(true, func(a *event.Alert) int64 { return int64(a.Count) }),
		"app.tier":     alertNumber(false, func(a *event.Alert) int64 { return int64(a.AppTier) }),
		"app.risk":     alertNumber(true, func(a *event.Alert) int64 { return int64(a.AppRisk) }),
		"source.asn":   alertNumber(false, func(a *event.Alert) int64 { return int64(a.Origin.ASN) }),
		"alert.opened": alertTime(func(a *event.Alert) (int64, bool) { return nanos(a.Opened) }),
		"time":         alertTime(func(a *event.Alert) (int64, bool) { return nanos(a.Time) }),
		"backfill": {truth: func(env *Env) Truth {
			if env.Alert == nil {
				return Unknown
			}
			return truthOf(env.Alert.Backfill)
		}},
		"alert.techniques": {set: func(env *Env) (set, bool) {
			if env.Alert == nil {
				return set{}, false
			}
			return set{strs: env.Alert.Techniques}, true
		}},
	}
}
