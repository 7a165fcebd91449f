package event

import "strings"

// FieldType is the type that a rule sees.
type FieldType string

// Types of fields.
const (
	FieldString      FieldType = "string"
	FieldInt         FieldType = "int"
	FieldBool        FieldType = "bool"
	FieldTime        FieldType = "time"
	FieldDuration    FieldType = "duration"
	FieldStrings     FieldType = "string set"
	FieldPermissions FieldType = "permission set"
)

// FieldFrom says which part of a rule's environment holds a field.
type FieldFrom string

// Where a field is read from.
const (
	FromEvent FieldFrom = "event"     // the record itself: unknown to a policy
	FromApp   FieldFrom = "inventory" // the app in the inventory: unknown for an app that is not there
	FromBoth  FieldFrom = "both"      // the record's word, else the inventory's
	FromActor FieldFrom = "actor"     // the acting app in the inventory
)

// FieldInfo documents one field of the canonical schema.
type FieldInfo struct {
	Name string
	Type FieldType
	From FieldFrom
	Doc  string
}

// Fields lists the canonical schema that rules see, in the order of the
// reference. A value that the provider did not say is unknown.
func Fields() []FieldInfo {
	var all []FieldInfo
	for _, group := range [][]FieldInfo{
		recordFields(), actorFields(), appFields(), inventoryFields(), usageFields(), entityFields(),
		accessFields(), signInFields(), callFields(), upstreamFields(),
	} {
		all = append(all, group...)
	}
	return all
}

func recordFields() []FieldInfo {
	return []FieldInfo{
		{"action", FieldString, FromEvent, "canonical action; see the actions"},
		{"activity", FieldString, FromEvent, "the provider's own name of the activity, as written"},
		{"category", FieldString, FromEvent, "the provider's category"},
		{"service", FieldString, FromEvent, "the provider's logging service"},
		{"class", FieldString, FromEvent, "audit, signin, inventory, alert, risk, activity or call"},
		{"provider", FieldString, FromEvent, "entra"},
		{"tenant", FieldString, FromEvent, "tenant id"},
		{"time", FieldTime, FromEvent, "when it happened"},
		{"result", FieldString, FromEvent, "success or failure"},
		{"result_code", FieldString, FromEvent, "the provider's result code"},
		{"result_reason", FieldString, FromEvent, "the provider's reason"},
		{"correlation_id", FieldString, FromEvent, "the provider's correlation id"},
		{"backfill", FieldBool, FromEvent, "older than the source's start, or read in its first sync"},
		{"derived", FieldBool, FromEvent, "made by the inventory from a difference, not read from a record"},
	}
}

func actorFields() []FieldInfo {
	return []FieldInfo{
		{"actor.type", FieldString, FromEvent, "user, app or service"},
		{"actor.id", FieldString, FromEvent, "object id of who did it"},
		{"actor.name", FieldString, FromEvent, "display name, else the user principal name"},
		{"actor.upn", FieldString, FromEvent, "user principal name, for users"},
		{"actor.app_id", FieldString, FromEvent, "client id, for apps"},
		{"actor.origin", FieldString, FromActor, "own, external or first_party"},
		{"actor.tier", FieldInt, FromActor, "worst tier of the acting app's permissions, 1 to 4"},
		{"actor.first_seen", FieldTime, FromActor, "when the inventory first saw the acting app"},
		{"actor.publisher_verified", FieldBool, FromActor, "whether the acting app has a verified publisher"},
	}
}

func appFields() []FieldInfo {
	return []FieldInfo{
		{"app.id", FieldString, FromBoth, "service principal object id"},
		{"app.object_id", FieldString, FromBoth, "application registration object id"},
		{"app.app_id", FieldString, FromBoth, "client id"},
		{"app.name", FieldString, FromBoth, "display name"},
		{"app.owner_tenant", FieldString, FromBoth, "tenant that owns the registration"},
	}
}

func inventoryFields() []FieldInfo {
	return []FieldInfo{
		{"app.kind", FieldString, FromApp, "Application, ManagedIdentity, Legacy or ServiceIdentity"},
		{"app.origin", FieldString, FromApp, "own, external or first_party, by the tenant that owns it; where the inventory does not know the app, as the record says"},
		{"app.first_party", FieldBool, FromApp, "owned by a tenant of the provider's own services; not by its corporate tenant, where an app may be any employee's"},
		{"app.enabled", FieldBool, FromApp, "whether sign-in is allowed"},
		{"app.publisher.name", FieldString, FromApp, "publisher's name: a claim"},
		{"app.publisher.domain", FieldString, FromApp, "publisher's domain"},
		{"app.publisher.verified", FieldBool, FromApp, "whether the publisher is verified"},
		{"app.publisher.verified_name", FieldString, FromApp, "name of the verified publisher"},
		{"app.created", FieldTime, FromApp, "creation time as the provider says"},
		{"app.first_seen", FieldTime, FromApp, "when the inventory first saw it"},
		{"app.last_seen", FieldTime, FromApp, "when the inventory last saw it"},
		{"app.last_used", FieldTime, FromApp, "newest sign-in seen, or later use that the provider reports; unknown when there is none"},
		{"app.idle", FieldDuration, FromApp, "time without a sign-in, counted from the last one, else from the later of its creation (where nobody tells it, from when it was first seen) and the start of collection, up to where all sign-ins of its kind are read: those of managed identities for one, else interactive, non-interactive and service principal ones; where one of them is not collected, by the provider's report on the use of apps, and unknown without it"},
		{"app.tier", FieldInt, FromApp, "worst tier over all permissions: 1 control plane, 2 data of the organisation, 3 data of one user, 4 harmless"},
		{"app.permissions", FieldPermissions, FromApp, "all permissions held"},
		{"app.delegated", FieldPermissions, FromApp, "delegated permissions held"},
		{"app.application", FieldPermissions, FromApp, "application permissions held"},
		{"app.tenant_wide", FieldBool, FromApp, "has a delegated grant for all users"},
		{"app.users", FieldInt, FromApp, "users who consented"},
		{"app.credentials", FieldInt, FromApp, "number of credentials"},
		{"app.credential_kinds", FieldStrings, FromApp, "kinds of its credentials"},
		{"app.next_expiry", FieldTime, FromApp, "end of the credential that expires next, those already expired left out"},
		{"app.last_expiry", FieldTime, FromApp, "latest end over all credentials"},
		{"app.longest_credential", FieldDuration, FromApp, "longest lifetime over all credentials"},
		{"app.reply_urls", FieldStrings, FromApp, "reply URLs"},
		{"app.owners", FieldStrings, FromApp, "object ids of owners of the registration and the service principal; unknown where owners are not collected"},
		{"app.federated_issuers", FieldStrings, FromApp, "issuers whose tokens the app trusts in place of a secret; unknown where federated credentials are not collected"},
		{"app.directory_roles", FieldStrings, FromApp, "directory roles that the app holds, itself or by a group: names, else ids; unknown where roles are not collected"},
		{"app.eligible_roles", FieldStrings, FromApp, "directory roles for which a group of the app is eligible; unknown where that is not collected"},
		{"app.consent_requests", FieldInt, FromApp, "users who wait for an administrator's consent; unknown where requests are not collected"},
		{"app.credential_idle", FieldDuration, FromApp, "time since the last use of the valid credential that was not used for longest, one never used counting from its start; unknown where the use of credentials is not collected"},
		{"app.provider_risk_level", FieldString, FromApp, "the provider's verdict on the workload identity: low, medium, high, hidden or none; unknown where it is not collected or there is none"},
		{"app.provider_risk_state", FieldString, FromApp, "state of that verdict: atRisk, confirmedCompromised, remediated, dismissed, confirmedSafe or none"},
		{"app.governance_score", FieldInt, FromApp, "risk score of the provider's app governance, 1 to 100; unknown where it is not collected"},
		{"app.privilege_level", FieldString, FromApp, "low, medium or high, as the provider's app governance says"},
		{"app.unused_permissions", FieldStrings, FromApp, "permissions that were granted and not used, as the provider's app governance says; unknown where that is not collected"},
		{"app.services", FieldStrings, FromApp, "workloads that the app called lately; unknown where calls are not collected"},
		{"app.risk", FieldInt, FromApp, "risk of the app, 0 to 100: points of the rules that alerted on it, as decayed by then, without those of the event at hand"},
	}
}

func usageFields() []FieldInfo {
	out := []FieldInfo{{"app.is_appgovd", FieldBool, FromBoth, "one of the apps by which appgovd itself reads the tenant: the client_id of a source"}}
	for _, f := range [][3]string{
		{"calls", "calls to Microsoft Graph", "unknown where they are not collected"},
		{"call_errors", "calls to Microsoft Graph that failed", "unknown where calls are not collected"},
		{"call_users", "users on whose behalf it called", "exact up to 16, else within some 7 %"},
		{"response_bytes", "bytes that calls of known size returned", "what was sent is known to no source"},
		{"signins", "sign-ins to the app and of it", "unknown where one of their kinds is not collected"},
		{"signin_failures", "sign-ins to the app and of it that failed", "unknown where one of their kinds is not collected"},
	} {
		for _, of := range [][2]string{{"", " on the last whole day (UTC) that is known"}, {"_today", " on the day (UTC) so far"}, {"_mean", " on a whole day (UTC) before, the mean of up to 30; unknown until there are 7"}} {
			out = append(out, FieldInfo{"app." + f[0] + of[0], FieldInt, FromBoth, f[1] + of[1] + "; " + f[2]})
		}
	}
	return out
}

func entityFields() []FieldInfo {
	return []FieldInfo{
		{"target.type", FieldString, FromEvent, "user, service_principal, application, role, policy or other"},
		{"target.id", FieldString, FromEvent, "object id of what was changed, where it is not the app"},
		{"target.app_id", FieldString, FromEvent, "client id of the target"},
		{"target.name", FieldString, FromEvent, "display name of the target"},
		{"target.upn", FieldString, FromEvent, "user principal name of the target"},
		{"resource.id", FieldString, FromEvent, "object id of the API that access was given to or used"},
		{"resource.app_id", FieldString, FromEvent, "client id of the API"},
		{"resource.name", FieldString, FromEvent, "display name of the API"},
		{"source.ip", FieldString, FromEvent, "address that the request came from"},
		{"source.asn", FieldInt, FromEvent, "autonomous system number"},
		{"source.as_org", FieldString, FromEvent, "organisation of the autonomous system"},
		{"source.country", FieldString, FromEvent, "ISO 3166-1 alpha-2 code"},
		{"source.city", FieldString, FromEvent, "city"},
		{"source.user_agent", FieldString, FromEvent, "user agent: whatever the client says"},
	}
}

func accessFields() []FieldInfo {
	return []FieldInfo{
		{"credential.key_id", FieldString, FromEvent, "id of the credential"},
		{"credential.kind", FieldString, FromEvent, "password, certificate or federated"},
		{"credential.name", FieldString, FromEvent, "display name of the credential"},
		{"credential.thumbprint", FieldString, FromEvent, "thumbprint of the certificate"},
		{"credential.start", FieldTime, FromEvent, "valid from"},
		{"credential.end", FieldTime, FromEvent, "valid until"},
		{"credential.issuer", FieldString, FromEvent, "of a federated credential: whose tokens are trusted"},
		{"credential.subject", FieldString, FromEvent, "of a federated credential: which tokens of the issuer are trusted"},
		{"consent.type", FieldString, FromEvent, "all_principals (tenant-wide) or principal (one user)"},
		{"consent.admin", FieldBool, FromEvent, "given by an administrator"},
		{"consent.app_only", FieldBool, FromEvent, "for application permissions; unknown outside consents"},
		{"consent.on_behalf", FieldString, FromEvent, "the one user that a grant is for"},
		{"consent.scopes", FieldStrings, FromEvent, "scopes named by the consent"},
		{"permissions", FieldPermissions, FromEvent, "what this event granted: the difference, never the whole list"},
		{"permissions.delegated", FieldPermissions, FromEvent, "the delegated ones of these"},
		{"permissions.application", FieldPermissions, FromEvent, "the application permissions of these"},
		{"permissions.revoked", FieldPermissions, FromEvent, "what this event revoked"},
		{"changes", FieldStrings, FromEvent, "names of the modified properties"},
	}
}

func signInFields() []FieldInfo {
	return []FieldInfo{
		{"signin.kind", FieldString, FromEvent, "interactive, non_interactive, service_principal or managed_identity"},
		{"signin.credential_type", FieldString, FromEvent, "kind of credential used"},
		{"signin.credential_key_id", FieldString, FromEvent, "id of the credential used"},
		{"signin.thumbprint", FieldString, FromEvent, "thumbprint of the certificate used"},
		{"signin.protocol", FieldString, FromEvent, "authentication protocol"},
		{"signin.client_app", FieldString, FromEvent, "client application class"},
		{"signin.user_type", FieldString, FromEvent, "member or guest"},
		{"signin.risk_level", FieldString, FromEvent, "the provider's risk level"},
		{"signin.conditional_access", FieldString, FromEvent, "success, failure, not_applied or report_only"},
		{"signin.session_id", FieldString, FromEvent, "session id"},
		{"signin.unique_token", FieldString, FromEvent, "id of the token issued"},
		{"signin.resource_owner_tenant", FieldString, FromEvent, "tenant that owns the API"},
	}
}

func callFields() []FieldInfo {
	return []FieldInfo{
		{"call.method", FieldString, FromEvent, "of a call to the provider's API: GET, POST and so on"},
		{"call.workload", FieldString, FromEvent, "whose data the call is about: " + strings.Join(Workloads(), ", ")},
		{"call.endpoint", FieldString, FromEvent, "shape of the path, without ids: users/{id}/messages"},
		{"call.uri", FieldString, FromEvent, "the address that was called, as logged, with ids and query"},
		{"call.api_version", FieldString, FromEvent, "v1.0 or beta"},
		{"call.status", FieldInt, FromEvent, "status of HTTP"},
		{"call.response_bytes", FieldInt, FromEvent, "bytes that the call returned; unknown where the source does not say. What was sent is known to no source"},
		{"call.duration", FieldDuration, FromEvent, "how long the call took"},
		{"call.permissions", FieldStrings, FromEvent, "scopes and roles of the token that was used"},
	}
}

func upstreamFields() []FieldInfo {
	return []FieldInfo{
		{"upstream.id", FieldString, FromEvent, "id of the provider's alert"},
		{"upstream.status", FieldString, FromEvent, "new, in_progress, resolved or unknown"},
		{"upstream.severity", FieldString, FromEvent, "informational, low, medium, high or critical"},
		{"upstream.title", FieldString, FromEvent, "title of the provider's alert"},
		{"upstream.category", FieldString, FromEvent, "category of the provider's alert"},
		{"upstream.detection_source", FieldString, FromEvent, "the provider's detection source"},
		{"upstream.service_source", FieldString, FromEvent, "the provider's service source"},
		{"upstream.techniques", FieldStrings, FromEvent, "ATT&CK techniques named by the provider"},
		{"upstream.policy_id", FieldString, FromEvent, "the provider's policy behind the alert"},
		{"upstream.classification", FieldString, FromEvent, "verdict of an analyst"},
	}
}
