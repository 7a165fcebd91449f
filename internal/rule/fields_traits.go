package rule

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// traitAccess are the fields of what sources beside the directory tell of an app.
// Each is unknown until its source was read whole.
func traitAccess() map[string]field {
	return map[string]field{
		"app.federated_issuers":   traitSet(event.ObjectFederated, func(t *event.AppTraits) []string { return t.FederatedIssuers }),
		"app.directory_roles":     traitSet(event.ObjectRole, func(t *event.AppTraits) []string { return t.Roles }),
		"app.eligible_roles":      traitSet(event.ObjectEligibleRole, func(t *event.AppTraits) []string { return t.EligibleRoles }),
		"app.unused_permissions":  traitSet(event.ObjectGovernance, func(t *event.AppTraits) []string { return t.Unused }),
		"app.services":            traitSet(event.ObjectAppCalls, func(t *event.AppTraits) []string { return t.Services }),
		"app.consent_requests":    traitInt(event.ObjectConsentRequest, func(t *event.AppTraits) int64 { return int64(t.ConsentRequests) }),
		"app.credential_idle":     {num: credentialIdle},
		"app.provider_risk_level": traitText(func(t *event.AppTraits) string { return t.RiskLevel }),
		"app.provider_risk_state": traitText(func(t *event.AppTraits) string { return t.RiskState }),
		"app.privilege_level":     traitText(func(t *event.AppTraits) string { return t.PrivilegeLevel }),
		"app.governance_score": {num: func(env *Env) (int64, bool) {
			t := traitsOf(env)
			return int64(t.GovernanceScore), t.GovernanceScore > 0
		}},
	}
}

func traitsOf(env *Env) *event.AppTraits {
	if env.App == nil || env.App.Traits == nil {
		return &event.AppTraits{}
	}
	return env.App.Traits
}

func traitText(get func(*event.AppTraits) string) field {
	return field{str: func(env *Env) (string, bool) {
		s := get(traitsOf(env))
		return s, s != ""
	}}
}

func traitSet(kind string, get func(*event.AppTraits) []string) field {
	return field{set: func(env *Env) (set, bool) {
		t := traitsOf(env)
		return set{strs: get(t)}, t.Known[kind]
	}}
}

func traitInt(kind string, get func(*event.AppTraits) int64) field {
	return field{num: func(env *Env) (int64, bool) {
		t := traitsOf(env)
		return get(t), t.Known[kind]
	}}
}

// credentialIdle looks at the credentials that are valid now.
func credentialIdle(env *Env) (int64, bool) {
	t := traitsOf(env)
	if !t.Known[event.ObjectCredentialUse] {
		return 0, false
	}
	longest, known := time.Duration(0), false
	for _, c := range env.App.Credentials {
		since := t.CredentialUse[c.KeyID]
		if since.IsZero() {
			since = c.Start
		}
		if since.IsZero() || c.Start.After(env.Now) || !c.End.IsZero() && !c.End.After(env.Now) {
			continue
		}
		longest, known = max(longest, env.Now.Sub(since)), true
	}
	return int64(longest), known
}
