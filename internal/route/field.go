package route

import (
	"strconv"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
)

// Field reads one field of an alert as text, for group_by and for the equal of an
// inhibition. An alert that does not say it has "".
type Field struct {
	Name string
	Doc  string
	get  func(*event.Alert) string
}

// MaxLabel is how many bytes of a value are looked at: apps are named by anybody.
const MaxLabel = 200

// Value is the field of a, at most MaxLabel bytes of it, cut between characters.
func (f Field) Value(a *event.Alert) string { return capped(f.get(a), MaxLabel) }

// capped is the longest beginning of s of at most n bytes that splits no character.
func capped(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for back := 0; n > 0 && back < utf8.UTFMax && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n]
}

// FieldNamed is the field of that name.
func FieldNamed(name string) (Field, bool) {
	for _, f := range Fields() {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Fields lists what alerts can be grouped by, in the order of the reference.
func Fields() []Field {
	return []Field{
		{"rule_id", "id of the rule", func(a *event.Alert) string { return a.RuleID }},
		{"kind", "detection, policy, summary, upstream, risk or health", func(a *event.Alert) string { return a.Kind }},
		{"severity", "informational to critical", func(a *event.Alert) string { return a.Severity.String() }},
		{"title", "title", func(a *event.Alert) string { return a.Title }},
		{"dedupe_key", "what the rule tells its alerts apart by", func(a *event.Alert) string { return a.DedupeKey }},
		{"provider", "entra", func(a *event.Alert) string { return a.Provider }},
		{"tenant", "tenant id", func(a *event.Alert) string { return a.Tenant }},
		{"action", "canonical action of the event behind it", func(a *event.Alert) string { return a.Action }},
		{"app.id", "service principal object id", func(a *event.Alert) string { return a.App.ID }},
		{"app.object_id", "application registration object id", func(a *event.Alert) string { return a.App.ObjectID }},
		{"app.app_id", "client id", func(a *event.Alert) string { return a.App.AppID }},
		{"app.name", "display name", func(a *event.Alert) string { return a.App.Name }},
		{"app.owner_tenant", "tenant that owns the registration", func(a *event.Alert) string { return a.App.OwnerTenant }},
		{"app.origin", "own, external or first_party", func(a *event.Alert) string { return a.AppOrigin }},
		{"app.tier", "worst tier of its permissions, 1 to 4", func(a *event.Alert) string { return number(int64(a.AppTier)) }},
		{"actor.type", "user, app or service", func(a *event.Alert) string { return a.Actor.Type }},
		{"actor.id", "object id of who did it", func(a *event.Alert) string { return a.Actor.ID }},
		{"actor.name", "display name of who did it", func(a *event.Alert) string { return a.Actor.Name }},
		{"actor.upn", "user principal name, for users", func(a *event.Alert) string { return a.Actor.UPN }},
		{"actor.app_id", "client id, for apps", func(a *event.Alert) string { return a.Actor.AppID }},
		{"target.type", "what was changed, where it is not the app", func(a *event.Alert) string { return a.Target.Type }},
		{"target.id", "its object id", func(a *event.Alert) string { return a.Target.ID }},
		{"target.name", "its display name", func(a *event.Alert) string { return a.Target.Name }},
		{"resource.id", "object id of the API", func(a *event.Alert) string { return a.Resource.ID }},
		{"resource.app_id", "client id of the API", func(a *event.Alert) string { return a.Resource.AppID }},
		{"resource.name", "display name of the API", func(a *event.Alert) string { return a.Resource.Name }},
		{"source.ip", "address that the request came from", func(a *event.Alert) string { return a.Origin.IP }},
		{"source.asn", "autonomous system number", func(a *event.Alert) string { return number(int64(a.Origin.ASN)) }},
		{"source.country", "ISO 3166-1 alpha-2 code", func(a *event.Alert) string { return a.Origin.Country }},
	}
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
