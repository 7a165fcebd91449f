package event

// Vocabulary are the fields that take few values only, each with all of them: a
// comparison with another value never holds.
func Vocabulary() map[string][]string {
	origins := []string{"own", "external", "first_party"}
	severities := []string{"informational", "low", "medium", "high", "critical"}
	return map[string][]string{
		"class":                     Classes(),
		"result":                    {string(ResultSuccess), string(ResultFailure)},
		"actor.type":                {TypeUser, TypeApp, "service"},
		"actor.origin":              origins,
		"app.origin":                origins,
		"target.type":               {"user", "service_principal", "application", "role", "policy", "other"},
		"consent.type":              {"all_principals", "principal"},
		"signin.kind":               {"interactive", "non_interactive", "service_principal", "managed_identity"},
		"signin.conditional_access": {"success", "failure", "not_applied", "report_only"},
		"call.workload":             Workloads(),
		"upstream.status":           {"new", "in_progress", "resolved", "unknown"},
		"upstream.severity":         severities,
	}
}

// Properties are names of modified properties that providers and the inventory are known to
// write; there are others.
func Properties() []string {
	return []string{
		"AccountEnabled", "AllowUserConsentForRiskyApps", "AppAddress", "AppIdentifierUri", "AppPrincipalId", "AppRole.DisplayName", "AppRole.Id", "AppRole.Value",
		"AvailableToOtherTenants", "ConditionalAccessPolicy", "ConsentAction.Permissions", "ConsentContext.IsAdminConsent", "ConsentContext.IsAppOnly",
		"ConsentContext.OnBehalfOfAll", "Credential", "DefaultUserRolePermissions", "DelegatedPermissionGrant.ConsentType", "DelegatedPermissionGrant.Scope",
		"DisplayName", "KeyDescription", "PermissionGrantPolicyIdsAssignedToDefaultUserRole", "RequiredResourceAccess", "Role.DisplayName", "Role.ObjectID",
		"Role.TemplateId", "ServicePrincipal.AppId", "ServicePrincipal.DisplayName", "ServicePrincipal.Name", "ServicePrincipal.ObjectID", "Tags",
		"TargetId.ServicePrincipalNames",
		"app_id", "consent_type", "disabled_by_microsoft", "enabled", "homepage", "identifier_uris", "kind", "name", "owner_tenant", "owners", "publisher_domain",
		"publisher_name", "privilege_level", "reply_urls", "risk_detail", "risk_level", "risk_state", "scopes", "sign_in_audience", "verified_publisher", "verified_publisher_id",
	}
}
