package sim

import "strings"

// callRecord renders a call of an app to Microsoft Graph, or to Azure AD Graph before
// it, as the properties of a diagnostic record. Reported: names, types, roles and
// scopes as texts with spaces between, clientAuthMethod as a text, requestId twice,
// the object id of the app where the user's is looked for. Documented:
// signInActivityId is the uniqueTokenIdentifier of the sign-in. Assumed: which calls
// are made, and that Azure AD Graph names things alike.
func (c *Cloud) callRecord(n uint32, rec record) object {
	r := c.random(domRecord, uint64(n)<<1|1<<63)
	l, token := c.callerOf(r)
	id, user, principal, scopes, roles, kind := c.id(n), "", l.app.spID, "", "Directory.Read.All Mail.Read", "app"
	if l.user != nil {
		user, principal, scopes, roles, kind = l.user.id, "", "User.Read Mail.Read openid", "", "user"
	}
	subject := user + principal // one of them is empty
	status := pick(r, []int{200, 200, 200, 200, 200, 200, 201, 204, 403, 404, 429})
	uri := "https://graph.microsoft.com/v1.0" + strings.ReplaceAll(pick(r, callPaths()), "{}", c.anyUser(r).id)
	version := "v1.0"
	if rec.kind == kindLegacyCall {
		uri, version = "https://graph.windows.net/"+c.o.TenantID+"/users/"+c.anyUser(r).id+"?api-version=1.6", "1.6"
	}
	return object{
		{"timeGenerated", ticks(rec.at())}, {"location", "West Europe"}, {"requestId", id}, {"operationId", id}, {"clientRequestId", c.correlation(n)},
		{"apiVersion", version}, {"requestMethod", pick(r, []string{"GET", "GET", "GET", "POST", "PATCH"})}, {"responseStatusCode", status}, {"tenantId", c.o.TenantID},
		{"durationMs", r.intn(900)}, {"responseSizeBytes", r.intn(200_000)}, {"signInActivityId", token}, {"roles", roles}, {"appId", l.app.appID},
		{"UserPrincipalObjectID", subject}, {"scopes", scopes}, {"identityProvider", "https://sts.windows.net/" + c.o.TenantID + "/"}, {"clientAuthMethod", "1"},
		{"wids", ""}, {"C_Idtyp", kind}, {"isReplay", false}, {"policyEvaluated", false}, {"userId", user}, {"servicePrincipalId", principal},
		{"ipAddress", l.from.ip(l.host)}, {"userAgent", l.agent(c.o.Padding)}, {"requestUri", uri}, {"tokenIssuedAt", ticks(rec.at().Add(-60e9))},
	}
}

// callerOf picks who called: whoever signed in by a record of the log, by the token
// that he got there, else an app of which no sign-in tells.
func (c *Cloud) callerOf(r *rng) (login, string) {
	for range 20 {
		if c.o.Events == 0 {
			break
		}
		n := uint32(1 + r.intn(c.o.Events))
		switch rec := c.recs[n-1]; rec.kind {
		case kindInteractive, kindNonInteractive, kindServicePrincipal:
			if l := c.login(n, rec); l.code == 0 {
				return l, c.token(n)
			}
		}
	}
	a := c.anyApp(r, func(a *app) bool { return a.kind == "Application" })
	return login{kind: kindServicePrincipal, app: a, from: a.home, host: r.intn(250)}, packed(r.guid())
}

func callPaths() []string {
	return []string{"/users/{}/messages?$top=50&$select=subject,from", "/users/{}", "/me/drive/root/children", "/groups/{}/members", "/sites/root/lists", "/applications/{}/owners", "/auditLogs/signIns?$top=10"}
}
