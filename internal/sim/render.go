package sim

import "time"

// seconds and ticks are Graph's two usual texts of a time: whole seconds, and
// seven digits of a fraction.
func seconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func ticks(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

// optional is null where s is empty.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// application renders an app registration. Documented: names and types (CSDL).
func (c *Cloud) application(a *app) object {
	return object{
		{"id", a.regID}, {"deletedDateTime", nil}, {"appId", a.appID}, {"applicationTemplateId", nil},
		{"disabledByMicrosoftStatus", nil}, {"createdDateTime", seconds(a.created)}, {"createdByAppId", nil},
		{"displayName", a.name}, {"description", nil}, {"groupMembershipClaims", nil},
		{"identifierUris", []string{"api://" + a.appID}}, {"isDeviceOnlyAuthSupported", nil}, {"isDisabled", !a.enabled},
		{"isFallbackPublicClient", nil}, {"notes", nil}, {"publisherDomain", optional(a.domain)},
		{"serviceManagementReference", nil}, {"signInAudience", a.audience}, {"tags", []string{}},
		{"tokenEncryptionKeyId", nil}, {"uniqueName", nil}, {"samlMetadataUrl", nil}, {"defaultRedirectUri", nil},
		{"certification", nil}, {"requestSignatureVerification", nil}, {"verifiedPublisher", a.publisher()},
		{"addIns", list{}}, {"appRoles", list{}}, {"info", information()},
		{"keyCredentials", keys(a.keys)}, {"passwordCredentials", passwords(a.passwords)},
		{"requiredResourceAccess", c.required()},
		{"web", object{{"homePageUrl", nil}, {"logoutUrl", nil}, {"redirectUris", nonNil(a.reply)}}},
		{"spa", object{{"redirectUris", []string{}}}}, {"publicClient", object{{"redirectUris", []string{}}}},
	}
}

func (c *Cloud) required() list {
	graph := c.cat.resources[resGraph]
	return list{object{{"resourceAppId", graph.appID}, {"resourceAccess", list{
		object{{"id", graph.scopes[0].id}, {"type", "Scope"}},
	}}}}
}

// principal renders a service principal. Documented: names and types (CSDL);
// there is no createdDateTime. Reported: agent identities come with an
// @odata.type and without an appId.
func (c *Cloud) principal(a *app) object {
	o := object{
		{"id", a.spID}, {"deletedDateTime", nil}, {"accountEnabled", a.enabled}, {"alternativeNames", []string{}},
		{"appDescription", nil}, {"appDisplayName", a.name}, {"appId", optional(a.appID)}, {"applicationTemplateId", nil},
		{"appOwnerOrganizationId", a.owner}, {"appRoleAssignmentRequired", false}, {"createdByAppId", nil},
		{"description", nil}, {"disabledByMicrosoftStatus", nil}, {"displayName", a.name}, {"homepage", nil},
		{"isDisabled", nil}, {"loginUrl", nil}, {"logoutUrl", nil}, {"notes", nil}, {"notificationEmailAddresses", []string{}},
		{"preferredSingleSignOnMode", nil}, {"preferredTokenSigningKeyThumbprint", nil}, {"replyUrls", nonNil(a.reply)},
		{"servicePrincipalNames", []string{a.appID}}, {"servicePrincipalType", a.kind}, {"signInAudience", optional(a.audience)},
		{"tags", tagsOf(a)}, {"tokenEncryptionKeyId", nil}, {"samlSingleSignOnSettings", nil}, {"addIns", list{}},
		{"appRoles", appRoles(a.roles)}, {"info", information()}, {"keyCredentials", list{}},
		{"oauth2PermissionScopes", permissionScopes(a.scopes)}, {"passwordCredentials", list{}},
		{"resourceSpecificApplicationPermissions", list{}}, {"verifiedPublisher", a.publisher()},
	}
	if a.kind == "ServiceIdentity" {
		return append(object{{"@odata.type", "#microsoft.graph.agentIdentity"}}, o...)
	}
	return o
}

// grant renders a delegated grant. Documented: it has no timestamps in v1.0;
// principalId is null for all principals. Reported: scope may begin with a
// space.
func (c *Cloud) grant(g grant) object {
	var principal any
	if g.user >= 0 {
		principal = c.user(g.user).id
	}
	return object{
		{"clientId", c.dir.apps[g.client].spID}, {"consentType", g.consentType()}, {"id", g.id},
		{"principalId", principal}, {"resourceId", c.dir.apps[g.resource].spID}, {"scope", g.scope},
	}
}

func (c *Cloud) assignment(a assignment) object {
	client, resource := c.dir.apps[a.client], c.dir.apps[a.resource]
	return object{
		{"id", a.id}, {"deletedDateTime", nil}, {"appRoleId", a.role.id}, {"createdDateTime", ticks(a.created)},
		{"principalDisplayName", client.name}, {"principalId", client.spID}, {"principalType", "ServicePrincipal"},
		{"resourceDisplayName", resource.name}, {"resourceId", resource.spID},
	}
}

// publisher: reported to be an object of nulls where nobody is verified.
func (a *app) publisher() object {
	if a.verified == "" {
		return object{{"displayName", nil}, {"verifiedPublisherId", nil}, {"addedDateTime", nil}}
	}
	return object{{"displayName", a.verified}, {"verifiedPublisherId", "5206095"}, {"addedDateTime", seconds(a.created)}}
}

// passwords: reported that hint holds the first characters of the secret; a
// reader must never keep it.
func passwords(cs []credential) list {
	out := list{}
	for _, p := range cs {
		out = append(out, object{
			{"customKeyIdentifier", nil}, {"displayName", p.name}, {"endDateTime", seconds(p.end)}, {"hint", "S1m"},
			{"keyId", p.id}, {"secretText", nil}, {"startDateTime", seconds(p.start)},
		})
	}
	return out
}

func keys(cs []credential) list {
	out := list{}
	for _, k := range cs {
		out = append(out, object{
			{"customKeyIdentifier", "U0lNS0VZ"}, {"displayName", k.name}, {"endDateTime", seconds(k.end)}, {"key", nil},
			{"keyId", k.id}, {"startDateTime", seconds(k.start)}, {"type", "AsymmetricX509Cert"}, {"usage", "Verify"},
		})
	}
	return out
}

func appRoles(ps []permission) list {
	out := list{}
	for _, p := range ps {
		out = append(out, object{
			{"allowedMemberTypes", []string{"Application"}}, {"description", p.value}, {"displayName", p.value},
			{"id", p.id}, {"isEnabled", true}, {"origin", "Application"}, {"value", p.value},
		})
	}
	return out
}

func permissionScopes(ps []permission) list {
	out := list{}
	for _, p := range ps {
		out = append(out, object{
			{"adminConsentDescription", p.value}, {"adminConsentDisplayName", p.value}, {"id", p.id}, {"isEnabled", true},
			{"type", "User"}, {"userConsentDescription", nil}, {"userConsentDisplayName", nil}, {"value", p.value},
		})
	}
	return out
}

func information() object {
	return object{{"logoUrl", nil}, {"marketingUrl", nil}, {"privacyStatementUrl", nil}, {"supportUrl", nil}, {"termsOfServiceUrl", nil}}
}

func tagsOf(a *app) []string {
	if a.kind == "Application" && a.owner != microsoftTenant {
		return []string{"WindowsAzureActiveDirectoryIntegratedApp"}
	}
	return []string{}
}

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// organization renders the tenant.
func (c *Cloud) organization() object {
	return object{
		{"id", c.o.TenantID}, {"deletedDateTime", nil}, {"displayName", "Contoso (simulated)"}, {"countryLetterCode", "NO"},
		{"createdDateTime", seconds(c.o.Start.AddDate(-4, 0, 0))}, {"tenantType", "AAD"}, {"verifiedDomains", list{
			object{{"capabilities", "Email"}, {"isDefault", true}, {"isInitial", true}, {"name", "contoso.example"}, {"type", "Managed"}},
		}},
	}
}
