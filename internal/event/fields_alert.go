package event

// FromAlert is the alert itself.
const FromAlert FieldFrom = "alert"

// AlertFields lists what the conditions of routes, silences and inhibitions see, in
// the order of the reference. A value that the alert does not have is unknown.
func AlertFields() []FieldInfo {
	var out []FieldInfo
	for _, f := range []struct {
		name string
		is   FieldType
		doc  string
	}{
		{"alert.rule_id", FieldString, "id of the rule"},
		{"alert.kind", FieldString, "detection, policy, summary, upstream, risk or health"},
		{"alert.severity", FieldString, "informational, low, medium, high or critical"},
		{"alert.state", FieldString, "new, updated or resolved"},
		{"alert.title", FieldString, "title"},
		{"alert.summary", FieldString, "summary, where the rule gives one"},
		{"alert.score", FieldInt, "score, 0 to 100"},
		{"alert.count", FieldInt, "matches so far"},
		{"alert.dedupe_key", FieldString, "what the rule tells its alerts apart by"},
		{"alert.techniques", FieldStrings, "ATT&CK techniques of the rule"},
		{"alert.opened", FieldTime, "when it was told first"},
		{"time", FieldTime, "when what caused this emission happened"},
		{"provider", FieldString, "entra; appgovd for alerts about itself"},
		{"tenant", FieldString, "tenant id"},
		{"action", FieldString, "canonical action of the event behind it"},
		{"backfill", FieldBool, "what caused it is older than the source's start, or was read in its first sync"},
		{"app.id", FieldString, "service principal object id"},
		{"app.object_id", FieldString, "application registration object id"},
		{"app.app_id", FieldString, "client id"},
		{"app.name", FieldString, "display name"},
		{"app.owner_tenant", FieldString, "tenant that owns the registration"},
		{"app.origin", FieldString, "own, external or first_party"},
		{"app.tier", FieldInt, "worst tier of its permissions, 1 to 4"},
		{"app.risk", FieldInt, "risk of the app, 0 to 100, the points of this alert included"},
		{"actor.type", FieldString, "user, app or service"},
		{"actor.id", FieldString, "object id of who did it"},
		{"actor.name", FieldString, "display name, else the user principal name"},
		{"actor.upn", FieldString, "user principal name, for users"},
		{"actor.app_id", FieldString, "client id, for apps"},
		{"target.type", FieldString, "user, service_principal, application, role, policy or other"},
		{"target.id", FieldString, "object id of what was changed, where it is not the app"},
		{"target.name", FieldString, "display name of the target"},
		{"target.upn", FieldString, "user principal name of the target"},
		{"resource.id", FieldString, "object id of the API that access was given to or used"},
		{"resource.app_id", FieldString, "client id of the API"},
		{"resource.name", FieldString, "display name of the API"},
		{"source.ip", FieldString, "address that the request came from"},
		{"source.asn", FieldInt, "autonomous system number"},
		{"source.as_org", FieldString, "organisation of the autonomous system"},
		{"source.country", FieldString, "ISO 3166-1 alpha-2 code"},
		{"source.city", FieldString, "city"},
		{"source.user_agent", FieldString, "user agent: whatever the client says"},
		{"upstream.id", FieldString, "id of the provider's alert"},
		{"upstream.severity", FieldString, "severity of the provider's alert"},
		{"upstream.detection_source", FieldString, "the provider's detection source"},
		{"upstream.service_source", FieldString, "the provider's service source"},
	} {
		out = append(out, FieldInfo{f.name, f.is, FromAlert, f.doc})
	}
	return out
}
