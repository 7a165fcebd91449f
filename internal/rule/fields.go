package rule

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// field is how one field of the schema is read.
type field struct {
	info  event.FieldInfo
	kind  kind
	truth truthFunc
	num   numFunc
	str   strFunc
	set   setFunc
}

// schema joins the documented fields with their accessors.
func schema() map[string]field {
	read := map[string]field{}
	for _, part := range []map[string]field{recordAccess(), partyAccess(), grantAccess(), signInAccess(), callAccess(), appAccess(), usageAccess(), figureAccess(), traitAccess()} {
		for name, f := range part {
			read[name] = f
		}
	}
	out := make(map[string]field, len(read))
	for _, info := range event.Fields() {
		f := read[info.Name]
		f.info = info
		f.kind = kindOf(info.Type)
		out[info.Name] = f
	}
	return out
}

func kindOf(t event.FieldType) kind {
	switch t {
	case event.FieldInt:
		return kindInt
	case event.FieldBool:
		return kindBool
	case event.FieldTime:
		return kindTime
	case event.FieldDuration:
		return kindDuration
	case event.FieldStrings:
		return kindSet
	case event.FieldPermissions:
		return kindPermissions
	default:
		return kindString
	}
}

// The helpers below turn a plain getter into an accessor for which absence of
// the part of the environment, or of the value, is unknown.

func ofEvent(get func(*event.Event) string) field {
	return field{str: func(env *Env) (string, bool) {
		if env.Event == nil {
			return "", false
		}
		s := get(env.Event)
		return s, s != ""
	}}
}

func ofApp(get func(*event.AppView) string) field {
	return field{str: func(env *Env) (string, bool) {
		if env.App == nil {
			return "", false
		}
		s := get(env.App)
		return s, s != ""
	}}
}

func ofActor(get func(*event.AppView) string) field {
	return field{str: func(env *Env) (string, bool) {
		if env.Actor == nil {
			return "", false
		}
		s := get(env.Actor)
		return s, s != ""
	}}
}

func ofBoth(fromEvent func(*event.Event) string, fromApp func(*event.AppView) string) field {
	return field{str: func(env *Env) (string, bool) {
		if env.Event != nil {
			if s := fromEvent(env.Event); s != "" {
				return s, true
			}
		}
		if env.App == nil {
			return "", false
		}
		s := fromApp(env.App)
		return s, s != ""
	}}
}

func ofUpstream(get func(*event.Upstream) string) field {
	return ofEvent(func(e *event.Event) string {
		if e.Upstream == nil {
			return ""
		}
		return get(e.Upstream)
	})
}

func eventTruth(get func(*event.Event) Truth) field {
	return field{truth: func(env *Env) Truth {
		if env.Event == nil {
			return Unknown
		}
		return get(env.Event)
	}}
}

func appTruth(get func(*event.AppView) Truth) field {
	return field{truth: func(env *Env) Truth {
		if env.App == nil {
			return Unknown
		}
		return get(env.App)
	}}
}

func eventTime(get func(*event.Event) time.Time) field {
	return field{num: func(env *Env) (int64, bool) {
		if env.Event == nil {
			return 0, false
		}
		return nanos(get(env.Event))
	}}
}

func appTime(get func(*event.AppView) time.Time) field {
	return field{num: func(env *Env) (int64, bool) {
		if env.App == nil {
			return 0, false
		}
		return nanos(get(env.App))
	}}
}

func appInt(get func(*event.AppView) (int64, bool)) field {
	return field{num: func(env *Env) (int64, bool) {
		if env.App == nil {
			return 0, false
		}
		return get(env.App)
	}}
}

func eventSet(get func(*event.Event) set) field {
	return field{set: func(env *Env) (set, bool) {
		if env.Event == nil {
			return set{}, false
		}
		return get(env.Event), true
	}}
}

func appSet(get func(*event.AppView) set) field {
	return field{set: func(env *Env) (set, bool) {
		if env.App == nil {
			return set{}, false
		}
		return get(env.App), true
	}}
}

func recordAccess() map[string]field {
	return map[string]field{
		"action":         ofEvent(func(e *event.Event) string { return e.Action }),
		"activity":       ofEvent(func(e *event.Event) string { return e.Activity }),
		"category":       ofEvent(func(e *event.Event) string { return e.Category }),
		"service":        ofEvent(func(e *event.Event) string { return e.Service }),
		"class":          ofEvent(func(e *event.Event) string { return e.Class }),
		"provider":       ofEvent(func(e *event.Event) string { return e.Provider }),
		"tenant":         ofEvent(func(e *event.Event) string { return e.Tenant }),
		"time":           eventTime(func(e *event.Event) time.Time { return e.Time }),
		"result":         ofEvent(func(e *event.Event) string { return string(e.Result) }),
		"result_code":    ofEvent(func(e *event.Event) string { return e.ResultCode }),
		"result_reason":  ofEvent(func(e *event.Event) string { return e.ResultReason }),
		"correlation_id": ofEvent(func(e *event.Event) string { return e.CorrelationID }),
		"backfill":       eventTruth(func(e *event.Event) Truth { return truthOf(e.Backfill) }),
		"derived":        eventTruth(func(e *event.Event) Truth { return truthOf(e.Derived) }),
		"changes":        {set: changedNames},

		"upstream.id":               ofUpstream(func(u *event.Upstream) string { return u.AlertID }),
		"upstream.status":           ofUpstream(func(u *event.Upstream) string { return u.Status }),
		"upstream.severity":         ofUpstream(func(u *event.Upstream) string { return u.Severity.String() }),
		"upstream.title":            ofUpstream(func(u *event.Upstream) string { return u.Title }),
		"upstream.category":         ofUpstream(func(u *event.Upstream) string { return u.Category }),
		"upstream.detection_source": ofUpstream(func(u *event.Upstream) string { return u.DetectionSource }),
		"upstream.service_source":   ofUpstream(func(u *event.Upstream) string { return u.ServiceSource }),
		"upstream.policy_id":        ofUpstream(func(u *event.Upstream) string { return u.PolicyID }),
		"upstream.classification":   ofUpstream(func(u *event.Upstream) string { return u.Classification }),
		"upstream.techniques":       {set: upstreamTechniques},
	}
}

func changedNames(env *Env) (set, bool) {
	if env.Event == nil {
		return set{}, false
	}
	return set{changes: env.Event.Changes}, true
}

func upstreamTechniques(env *Env) (set, bool) {
	if env.Event == nil || env.Event.Upstream == nil {
		return set{}, false
	}
	return set{strs: env.Event.Upstream.Techniques}, true
}

func partyAccess() map[string]field {
	return map[string]field{
		"actor.type":   ofEvent(func(e *event.Event) string { return e.Actor.Type }),
		"actor.id":     ofEvent(func(e *event.Event) string { return e.Actor.ID }),
		"actor.name":   ofEvent(actorName),
		"actor.upn":    ofEvent(func(e *event.Event) string { return e.Actor.UPN }),
		"actor.app_id": {str: actorAppID},
		"actor.origin": ofActor(func(v *event.AppView) string { return v.Origin }),
		"actor.tier": {num: func(env *Env) (int64, bool) {
			if env.Actor == nil {
				return 0, false
			}
			return int64(env.Actor.Tier), env.Actor.Tier != 0
		}},
		"actor.first_seen": {num: func(env *Env) (int64, bool) {
			if env.Actor == nil {
				return 0, false
			}
			return nanos(env.Actor.FirstSeen)
		}},
		"actor.publisher_verified": {truth: func(env *Env) Truth {
			if env.Actor == nil {
				return Unknown
			}
			return truthOf(env.Actor.PublisherVerified)
		}},

		"target.type":     ofEvent(func(e *event.Event) string { return e.Target.Type }),
		"target.id":       ofEvent(func(e *event.Event) string { return e.Target.ID }),
		"target.app_id":   ofEvent(func(e *event.Event) string { return e.Target.AppID }),
		"target.name":     ofEvent(func(e *event.Event) string { return e.Target.Name }),
		"target.upn":      ofEvent(func(e *event.Event) string { return e.Target.UPN }),
		"resource.id":     ofEvent(func(e *event.Event) string { return e.Resource.ID }),
		"resource.app_id": ofEvent(func(e *event.Event) string { return e.Resource.AppID }),
		"resource.name":   ofEvent(func(e *event.Event) string { return e.Resource.Name }),

		"source.ip":         ofEvent(func(e *event.Event) string { return e.Origin.IP }),
		"source.as_org":     ofEvent(func(e *event.Event) string { return e.Origin.ASOrg }),
		"source.country":    ofEvent(func(e *event.Event) string { return e.Origin.Country }),
		"source.city":       ofEvent(func(e *event.Event) string { return e.Origin.City }),
		"source.user_agent": ofEvent(func(e *event.Event) string { return e.Origin.UserAgent }),
		"source.asn": {num: func(env *Env) (int64, bool) {
			if env.Event == nil {
				return 0, false
			}
			return int64(env.Event.Origin.ASN), env.Event.Origin.ASN != 0
		}},
	}
}

// actorName is what a person reads: audits of Entra ID give users no display name.
func actorName(e *event.Event) string {
	if e.Actor.Name != "" {
		return e.Actor.Name
	}
	return e.Actor.UPN
}

func actorAppID(env *Env) (string, bool) {
	if env.Event != nil && env.Event.Actor.AppID != "" {
		return env.Event.Actor.AppID, true
	}
	if env.Actor == nil {
		return "", false
	}
	return env.Actor.AppID, env.Actor.AppID != ""
}

func grantAccess() map[string]field {
	return map[string]field{
		"credential.key_id":     ofEvent(func(e *event.Event) string { return e.Credential.KeyID }),
		"credential.kind":       ofEvent(func(e *event.Event) string { return e.Credential.Kind }),
		"credential.name":       ofEvent(func(e *event.Event) string { return e.Credential.Name }),
		"credential.thumbprint": ofEvent(func(e *event.Event) string { return e.Credential.Thumbprint }),
		"credential.issuer":     ofEvent(func(e *event.Event) string { return e.Credential.Issuer }),
		"credential.subject":    ofEvent(func(e *event.Event) string { return e.Credential.Subject }),
		"credential.start":      eventTime(func(e *event.Event) time.Time { return e.Credential.Start }),
		"credential.end":        eventTime(func(e *event.Event) time.Time { return e.Credential.End }),

		"consent.type":      ofEvent(func(e *event.Event) string { return e.Consent.Type }),
		"consent.on_behalf": ofEvent(func(e *event.Event) string { return e.Consent.OnBehalf }),
		"consent.scopes":    eventSet(func(e *event.Event) set { return set{strs: e.Consent.Scopes} }),
		"consent.admin":     eventTruth(consentAdmin),
		"consent.app_only":  eventTruth(consentAppOnly),

		"permissions":             eventSet(func(e *event.Event) set { return set{perms: e.Permissions} }),
		"permissions.delegated":   eventSet(func(e *event.Event) set { return set{perms: e.Permissions, only: "delegated"} }),
		"permissions.application": eventSet(func(e *event.Event) set { return set{perms: e.Permissions, only: "application"} }),
		"permissions.revoked":     eventSet(func(e *event.Event) set { return set{perms: e.Permissions, gone: true} }),
	}
}

func consentAdmin(e *event.Event) Truth {
	if !e.Consent.AdminSet {
		return Unknown
	}
	return truthOf(e.Consent.Admin)
}

func consentAppOnly(e *event.Event) Truth {
	if !e.Consent.AppOnly && !e.Consent.AdminSet {
		return Unknown
	}
	return truthOf(e.Consent.AppOnly)
}

func signInAccess() map[string]field {
	return map[string]field{
		"signin.kind":                  ofEvent(func(e *event.Event) string { return e.SignIn.Kind }),
		"signin.credential_type":       ofEvent(func(e *event.Event) string { return e.SignIn.CredentialType }),
		"signin.credential_key_id":     ofEvent(func(e *event.Event) string { return e.SignIn.CredentialKeyID }),
		"signin.thumbprint":            ofEvent(func(e *event.Event) string { return e.SignIn.Thumbprint }),
		"signin.protocol":              ofEvent(func(e *event.Event) string { return e.SignIn.Protocol }),
		"signin.client_app":            ofEvent(func(e *event.Event) string { return e.SignIn.ClientApp }),
		"signin.user_type":             ofEvent(func(e *event.Event) string { return e.SignIn.UserType }),
		"signin.risk_level":            ofEvent(func(e *event.Event) string { return e.SignIn.RiskLevel }),
		"signin.conditional_access":    ofEvent(func(e *event.Event) string { return e.SignIn.ConditionalAccess }),
		"signin.session_id":            ofEvent(func(e *event.Event) string { return e.SignIn.SessionID }),
		"signin.unique_token":          ofEvent(func(e *event.Event) string { return e.SignIn.UniqueToken }),
		"signin.resource_owner_tenant": ofEvent(func(e *event.Event) string { return e.SignIn.ResourceOwnerTenant }),
	}
}
