package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What is told of apps beside the directory's deltas: owners, federated
// credentials, roles, policies, requests for consent, use, risk. All of it follows
// from the app's place in the directory, so that nothing need be kept.

// expanded is how many related objects $expand shows. Documented for directory
// objects.
const expanded = 20

// maxProtectionPage is the greatest $top of Identity Protection. Reported.
const maxProtectionPage = 500

func (c *Cloud) traitPaths() map[string]handler {
	const roles = "/roleManagement/directory/"
	return map[string]handler{
		"/applications/{id}/owners":      ownersOf(colApplications),
		"/servicePrincipals/{id}/owners": ownersOf(colPrincipals),
		roles + "roleDefinitions":        items("roleManagement/directory/roleDefinitions", (*Cloud).roleDefinitions),
		roles + "roleAssignments":        items("roleManagement/directory/roleAssignments", func(c *Cloud) []object { return c.roleAssignments(false) }),
		roles + "roleEligibilityScheduleInstances": items("roleManagement/directory/roleEligibilityScheduleInstances", func(c *Cloud) []object {
			return c.roleAssignments(true)
		}),
		"/groups/{id}/transitiveMembers/microsoft.graph.servicePrincipal":            groupMembers,
		"/policies/permissionGrantPolicies":                                          items("policies/permissionGrantPolicies", (*Cloud).grantPolicies),
		"/policies/appManagementPolicies":                                            items("policies/appManagementPolicies", (*Cloud).appPolicies),
		"/policies/authorizationPolicy":                                              one("policies/authorizationPolicy/$entity", (*Cloud).authorizationPolicy),
		"/policies/adminConsentRequestPolicy":                                        one("policies/adminConsentRequestPolicy/$entity", (*Cloud).requestPolicy),
		"/policies/defaultAppManagementPolicy":                                       one("policies/defaultAppManagementPolicy/$entity", (*Cloud).defaultAppPolicy),
		"/identityGovernance/appConsent/appConsentRequests":                          items("identityGovernance/appConsent/appConsentRequests", (*Cloud).consentRequests),
		"/identityGovernance/appConsent/appConsentRequests/{id}/userConsentRequests": userRequests,
		"/reports/servicePrincipalSignInActivities":                                  inBeta(items("reports/servicePrincipalSignInActivities", (*Cloud).appActivities)),
		"/reports/appCredentialSignInActivities":                                     inBeta(items("reports/appCredentialSignInActivities", (*Cloud).credentialActivities)),
		"/identityProtection/riskyServicePrincipals":                                 protection(items("identityProtection/riskyServicePrincipals", (*Cloud).riskyPrincipals)),
		"/identityProtection/riskyServicePrincipals/{id}/history":                    riskHistory,
		"/identityProtection/servicePrincipalRiskDetections":                         protection(riskDetections),
	}
}

// items answers a collection of which all elements are made at once.
func items(set string, list func(*Cloud) []object) handler {
	return func(k *call) reply {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		all := list(k.c)
		return k.listPage(set, len(all), func(i int) (object, error) { return all[i], nil })
	}
}

// one answers a resource of which there is only one.
func one(set string, get func(*Cloud) object) handler {
	return func(k *call) reply {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		return reply{body: append(object{k.context(set)}, get(k.c)...)}
	}
}

// inBeta refuses what v1.0 does not have.
func inBeta(h handler) handler {
	return func(k *call) reply {
		if !k.beta {
			return noSegment(k)
		}
		return h(k)
	}
}

// protection bounds the page. Reported: beyond 500 it is 400.
func protection(h handler) handler {
	return func(k *call) reply {
		if n, err := strconv.Atoi(k.q.Get("$top")); err == nil && n > maxProtectionPage {
			return refuse(http.StatusBadRequest, "BadRequest", "Invalid page size specified: '%d'. Must be between 1 and 500 inclusive.", n)
		}
		return h(k)
	}
}

// living lists the apps of the background that are there and fit.
func (c *Cloud) living(fits func(*app) bool) []*app {
	var out []*app
	for _, a := range c.dir.apps[len(c.cat.resources):] {
		if !a.removed && fits(a) {
			out = append(out, a)
		}
	}
	return out
}

// owners of an object, by user: one of three registrations has one, one of thirty
// more than an expanded list shows.
func (c *Cloud) owners(in collection, i int) []object {
	n := 0
	switch {
	case in == colGrants || c.dir.apps[i].owner != c.o.TenantID:
	case i%30 == 0:
		n = expanded + 5
	case in == colApplications && i%3 == 0, in == colPrincipals && i%4 == 0:
		n = 1
	}
	var out []object
	for k := range min(n, c.o.Users) {
		u := c.user((i + k) % c.o.Users)
		out = append(out, object{{"@odata.type", "#microsoft.graph.user"}, {"id", u.id}})
	}
	return out
}

func ownersOf(in collection) handler {
	return func(k *call) reply {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		id := k.r.PathValue("id")
		for i := range k.c.dir.size(in) {
			if k.c.dir.present(in, i) && k.c.dir.id(in, i) == id {
				all := k.c.owners(in, i)
				return k.listPage("directoryObjects", len(all), func(n int) (object, error) { return all[n], nil })
			}
		}
		return notFound(id)
	}
}

// expand adds what $expand names to an object of the directory. Documented: 20
// related objects at most; reported: one property only.
func (k *call) expand(in collection, i int, o object) (object, error) {
	name, _, _ := strings.Cut(k.q.Get("$expand"), "(")
	switch {
	case name == "":
		return o, nil
	case strings.Contains(k.q.Get("$expand"), "),") || strings.Contains(name, ","):
		return nil, refusalf("Only one property can be expanded in a single query")
	case name == "owners" && in != colGrants:
		all := k.c.owners(in, i)
		return append(o, member{"owners", toList(all[:min(len(all), expanded)])}), nil
	case name == "federatedIdentityCredentials" && in == colApplications:
		return append(o, member{name, toList(k.c.federated(k.c.dir.apps[i]))}), nil
	}
	return nil, refusalf("Could not find a property named '%s'", name)
}

func toList(all []object) list {
	out := list{}
	for _, o := range all {
		out = append(out, o)
	}
	return out
}

// federated credentials of one of five registrations. Documented: names and types.
func (c *Cloud) federated(a *app) []object {
	if a.index%5 != 0 {
		return nil
	}
	r := c.random(domTrait, uint64(a.index))
	return []object{{
		{"id", r.guid()}, {"name", "deploy"}, {"issuer", "https://token.actions.githubusercontent.com"},
		{"subject", fmt.Sprintf("repo:contoso/app%04d:ref:refs/heads/main", a.index)}, {"description", nil}, {"audiences", []string{"api://AzureADTokenExchange"}},
	}}
}

// roleNames are built-in directory roles with their template ids. Documented:
// https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference
func roleNames() [][2]string {
	return [][2]string{
		{"62e90394-69f5-4237-9190-012177145e10", "Global Administrator"}, {"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "Application Administrator"},
		{"88d8e3e3-8f55-4a1e-953a-9b9898b8876b", "Directory Readers"}, {"f2ef992c-3afb-46b9-b7cf-a126ee74c451", "Global Reader"},
		{"29232cdf-9323-42fd-ade2-1d097af3e4de", "Exchange Administrator"},
	}
}

func (c *Cloud) roleDefinitions() []object {
	var out []object
	for _, r := range roleNames() {
		out = append(out, object{{"id", r[0]}, {"description", r[1]}, {"displayName", r[1]}, {"isBuiltIn", true}, {"isEnabled", true}, {"templateId", r[0]}, {"version", "1"}})
	}
	return out
}

// roleGroup holds a role, and apps are members of it.
func (c *Cloud) roleGroup(eligible bool) string {
	n := uint64(1) << 40
	if eligible {
		n++
	}
	return c.random(domTrait, n).guid()
}

// roleAssignments of users, of service principals and of one group. Reported:
// service principals have active assignments only.
func (c *Cloud) roleAssignments(eligible bool) []object {
	roles := roleNames()
	give := func(kind, principal string, n int) object {
		return object{
			{"id", packed(principal, roles[n%len(roles)][0])}, {"principalId", principal}, {"directoryScopeId", "/"}, {"appScopeId", nil},
			{"roleDefinitionId", roles[n%len(roles)][0]}, {"principal", object{{"@odata.type", "#microsoft.graph." + kind}, {"id", principal}}},
		}
	}
	out := []object{give("user", c.user(0).id, 0), give("group", c.roleGroup(eligible), 3)}
	if eligible {
		for i := range out { // an instance tells more than an assignment
			out[i] = append(out[i], member{"memberType", "Direct"}, member{"startDateTime", seconds(c.o.Start.AddDate(0, -1, 0))}, member{"endDateTime", nil})
		}
		return out
	}
	for _, a := range c.living(func(a *app) bool { return a.index%10 == 0 }) {
		out = append(out, give("servicePrincipal", a.spID, a.index))
	}
	return out
}

func (c *Cloud) members(group string) []object {
	var out []object
	for _, eligible := range []bool{false, true} {
		if group == c.roleGroup(eligible) {
			for _, a := range c.living(func(a *app) bool { return a.index%15 == 1 }) {
				out = append(out, object{{"id", a.spID}})
			}
		}
	}
	return out
}

func groupMembers(k *call) reply {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	id := k.r.PathValue("id")
	if id != k.c.roleGroup(false) && id != k.c.roleGroup(true) {
		return notFound(id)
	}
	all := k.c.members(id)
	return k.listPage("directoryObjects", len(all), func(i int) (object, error) { return all[i], nil })
}

func (c *Cloud) grantPolicies() []object {
	conditions := func(id string) list {
		return list{object{
			{"id", id}, {"permissionClassification", "low"}, {"permissionType", "delegated"}, {"resourceApplication", "any"}, {"permissions", []string{"all"}},
			{"clientApplicationIds", []string{"all"}}, {"clientApplicationTenantIds", []string{"all"}}, {"clientApplicationPublisherIds", []string{"all"}},
			{"clientApplicationsFromVerifiedPublisherOnly", true},
		}}
	}
	var out []object
	for i, name := range []string{"microsoft-all-application-permissions", "microsoft-user-default-low", "microsoft-user-default-legacy", "contoso-consent", "contoso-consent-verified"} {
		out = append(out, object{{"id", name}, {"displayName", name}, {"description", "Consent of kind " + strconv.Itoa(i)}, {"deletedDateTime", nil},
			{"includes", conditions(c.random(domTrait, uint64(i)|1<<41).guid())}, {"excludes", list{}}})
	}
	return out
}

func (c *Cloud) authorizationPolicy() object {
	return object{
		{"id", "authorizationPolicy"}, {"displayName", "Authorization Policy"}, {"description", "Used to manage authorization related settings."}, {"deletedDateTime", nil},
		{"allowInvitesFrom", "adminsAndGuestInviters"}, {"allowedToSignUpEmailBasedSubscriptions", true}, {"allowedToUseSSPR", true},
		{"allowEmailVerifiedUsersToJoinOrganization", false}, {"allowUserConsentForRiskyApps", c.riskyConsent}, {"blockMsolPowerShell", false},
		{"guestUserRoleId", "10dae51f-b6af-4016-8d66-8c2a99b929b3"},
		{"defaultUserRolePermissions", object{{"allowedToCreateApps", true}, {"allowedToCreateSecurityGroups", true}, {"allowedToReadOtherUsers", true},
			{"permissionGrantPoliciesAssigned", []string{"ManagePermissionGrantsForSelf.microsoft-user-default-low"}}}},
	}
}

// requestPolicy has no id. Documented.
func (c *Cloud) requestPolicy() object {
	return object{{"isEnabled", true}, {"notifyReviewers", true}, {"remindersEnabled", true}, {"requestDurationInDays", 30}, {"version", 2}, {"reviewers", list{}}}
}

func restrictions(key string) object {
	return object{{key, object{
		{"passwordCredentials", list{object{{"restrictionType", "passwordAddition"}, {"state", "enabled"}, {"maxLifetime", nil}, {"restrictForAppsCreatedAfterDateTime", "2024-01-01T00:00:00Z"}}}},
		{"keyCredentials", list{object{{"restrictionType", "asymmetricKeyLifetime"}, {"state", "enabled"}, {"maxLifetime", "P90D"}, {"restrictForAppsCreatedAfterDateTime", "2024-01-01T00:00:00Z"}}}},
	}}}
}

func (c *Cloud) defaultAppPolicy() object {
	return append(object{{"id", nilGUID}, {"displayName", "Default app management tenant policy"}, {"description", "Default"}, {"deletedDateTime", nil}, {"isEnabled", true}},
		restrictions("applicationRestrictions")...)
}

func (c *Cloud) appPolicies() []object {
	var out []object
	for i := range 5 {
		id := c.random(domTrait, uint64(i)|1<<42).guid()
		out = append(out, append(object{{"id", id}, {"displayName", "Credentials " + strconv.Itoa(i)}, {"description", "Limits secrets"}, {"deletedDateTime", nil}, {"isEnabled", i%2 == 0}},
			restrictions("restrictions")...))
	}
	return out
}

// askedFor are the apps to which users ask for consent.
func (c *Cloud) askedFor() []*app {
	return c.living(func(a *app) bool { return a.index%8 == 3 && a.appID != "" })
}

func (c *Cloud) requestID(a *app) string { return c.random(domTrait, uint64(a.index)|1<<43).guid() }

func (c *Cloud) consentRequests() []object {
	var out []object
	for _, a := range c.askedFor() {
		out = append(out, object{{"id", c.requestID(a)}, {"appId", a.appID}, {"appDisplayName", a.name}, {"pendingScopes", list{object{{"displayName", "Mail.Read"}}}}})
	}
	return out
}

// usersAsking are the requests of an app, two each.
func (c *Cloud) usersAsking(a *app) []object {
	var out []object
	for n := range 2 {
		u := c.user((a.index + n) % c.o.Users)
		at := c.o.Start.Add(-time.Duration(n+1) * time.Hour)
		out = append(out, object{
			{"id", c.random(domTrait, uint64(a.index*2+n)|1<<44).guid()}, {"approvalId", nil}, {"completedDateTime", nil}, {"createdDateTime", seconds(at)}, {"customData", nil},
			{"status", "InProgress"}, {"reason", "I need this"}, {"createdBy", object{{"application", nil}, {"device", nil}, {"user", object{{"id", u.id}, {"displayName", u.name}}}}},
		})
	}
	return out
}

func userRequests(k *call) reply {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	for _, a := range k.c.askedFor() {
		if k.c.requestID(a) == k.r.PathValue("id") {
			all := k.c.usersAsking(a)
			return k.listPage("userConsentRequests", len(all), func(i int) (object, error) { return all[i], nil })
		}
	}
	return notFound(k.r.PathValue("id"))
}

// flow is when a flow was used; unused ones are objects of nulls. Reported.
func flow(at time.Time) object {
	if at.IsZero() {
		return object{{"lastSignInDateTime", nil}, {"lastSignInRequestId", nil}}
	}
	return object{{"lastSignInDateTime", seconds(at)}, {"lastSignInRequestId", "Aggregated"}}
}

// appActivities: reported to be a day behind; an app that was never used is not
// listed (assumed).
func (c *Cloud) appActivities() []object {
	var out []object
	for _, a := range c.living(func(a *app) bool { return a.appID != "" && a.index%2 == 0 }) {
		at := c.o.Start.Add(-24*time.Hour - time.Duration(a.index)*time.Hour)
		out = append(out, object{
			{"id", encodeID(a.appID)}, {"appId", a.appID}, {"lastSignInActivity", flow(at)}, {"delegatedClientSignInActivity", flow(time.Time{})},
			{"delegatedResourceSignInActivity", flow(time.Time{})}, {"applicationAuthenticationClientSignInActivity", flow(at)}, {"applicationAuthenticationResourceSignInActivity", flow(time.Time{})},
		})
	}
	return out
}

// credentialActivities: reported that servicePrincipalObjectId is null.
func (c *Cloud) credentialActivities() []object {
	var out []object
	for _, a := range c.living(func(a *app) bool { return a.regID != "" }) {
		for _, p := range a.passwords {
			out = append(out, object{
				{"id", encodeID(p.id)}, {"appId", a.appID}, {"appObjectId", a.regID}, {"servicePrincipalObjectId", nil}, {"keyId", p.id}, {"keyType", "password"},
				{"keyUsage", "verify"}, {"credentialOrigin", "application"}, {"createdDateTime", seconds(p.start)}, {"expirationDateTime", seconds(p.end)},
				{"resourceId", c.base[resGraph].appID}, {"signInActivity", flow(c.o.Start.Add(-30 * time.Hour))},
			})
		}
	}
	return out
}

func encodeID(s string) string { return packedText(s) }

// risky are the apps on which the provider has a verdict; it stays when the app goes.
// Documented: until it is remediated.
func (c *Cloud) risky() []*app {
	var out []*app
	for _, a := range c.base[len(c.cat.resources):] {
		if a.index%20 == 1 && a.kind == "Application" {
			out = append(out, a)
		}
	}
	return out
}

func (c *Cloud) riskOf(a *app, id, level, state, detail string, at time.Time) object {
	return object{{"id", id}, {"appId", a.appID}, {"displayName", a.name}, {"isEnabled", a.enabled}, {"isProcessing", false}, {"riskDetail", detail},
		{"riskLastUpdatedDateTime", ticks(at)}, {"riskLevel", level}, {"riskState", state}, {"servicePrincipalType", a.kind}}
}

func (c *Cloud) riskyPrincipals() []object {
	var out []object
	for _, a := range c.risky() {
		out = append(out, c.riskOf(a, a.spID, "high", "atRisk", "none", c.o.Start.Add(-time.Hour)))
	}
	return out
}

func (c *Cloud) historyOf(a *app) []object {
	var out []object
	for n := range 2 {
		o := c.riskOf(a, c.random(domTrait, uint64(a.index*2+n)|1<<45).guid(), "high", "atRisk", "none", c.o.Start.Add(-time.Duration(n+1)*time.Hour))
		out = append(out, append(o, member{"initiatedBy", nil}, member{"activity", object{{"detail", "none"}, {"riskEventTypes", []string{"suspiciousSignins"}}}}))
	}
	return out
}

func riskHistory(k *call) reply {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	id := k.r.PathValue("id")
	i := slices.IndexFunc(k.c.risky(), func(a *app) bool { return a.spID == id })
	if i < 0 {
		return notFound(id)
	}
	all := k.c.historyOf(k.c.risky()[i])
	return k.listPage("riskyServicePrincipals('"+id+"')/history", len(all), func(i int) (object, error) { return all[i], nil })
}

// detection: reported that additionalInfo is a text that holds a list.
func (c *Cloud) detection(a *app, n int) (object, time.Time) {
	at := c.o.cut(c.o.Start.Add(-time.Duration(n+1) * 7 * time.Minute))
	id := c.random(domTrait, uint64(a.index*16+n)|1<<46).guid()
	return object{
		{"id", id}, {"activity", "servicePrincipal"}, {"activityDateTime", ticks(at)}, {"additionalInfo", `[{"Key":"alertUrl","Value":null},{"Key":"mitreTechniques","Value":"T1078"}]`},
		{"appId", a.appID}, {"correlationId", nil}, {"detectedDateTime", ticks(at)}, {"detectionTimingType", "offline"}, {"ipAddress", nil}, {"keyIds", []string{}},
		{"lastUpdatedDateTime", ticks(at.Add(time.Minute))}, {"location", nil}, {"requestId", nil}, {"riskDetail", "none"}, {"riskEventType", "suspiciousSignins"},
		{"riskLevel", "high"}, {"riskState", "atRisk"}, {"servicePrincipalDisplayName", a.name}, {"servicePrincipalId", a.spID}, {"source", "IdentityProtection"}, {"tokenIssuerType", "AzureAD"},
	}, at
}

// detectionsEach is how many detections an app on which there is a verdict has.
const detectionsEach = 12

// riskDetections: ge and le on detectedDateTime, no order. Reported.
func riskDetections(k *call) reply {
	clauses, err := parseFilter(k.q.Get("$filter"))
	if err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", "%s", err)
	}
	from, to := int64(0), k.now.UnixNano()
	for _, cl := range clauses {
		if cl.field != "detectedDateTime" {
			err = unsupported(cl)
		} else {
			err = cl.narrow(&from, &to)
		}
		if err != nil {
			return refuse(http.StatusBadRequest, "BadRequest", "%s", err)
		}
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	var all []object
	for _, a := range k.c.risky() {
		for n := range detectionsEach {
			if o, at := k.c.detection(a, n); at.UnixNano() >= from && at.UnixNano() <= to {
				all = append(all, o)
			}
		}
	}
	return k.listPage("identityProtection/servicePrincipalRiskDetections", len(all), func(i int) (object, error) { return all[i], nil })
}

// ownerIDs is one id for an object with owners; where an expanded list does not show
// all of them, one for each.
func ownerIDs(id string, owners []object) []string {
	switch {
	case len(owners) == 0:
		return nil
	case len(owners) < expanded:
		return []string{id}
	}
	var out []string
	for _, o := range owners {
		out = append(out, fmt.Sprintf("%s/%s", id, o[1].value))
	}
	return out
}

// Traits lists the ids of what is told beside the directory, by the path that tells
// it: the end state of a reader.
func (c *Cloud) Traits() map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]string{}
	add := func(path string, all []object) {
		for _, o := range all {
			out[path] = append(out[path], fmt.Sprint(o[0].value))
		}
	}
	add("roleDefinitions", c.roleDefinitions())
	add("permissionGrantPolicies", c.grantPolicies())
	add("appManagementPolicies", c.appPolicies())
	add("servicePrincipalRiskDetections", nil)
	for _, a := range c.living(func(*app) bool { return true }) {
		if a.regID != "" {
			add("federatedIdentityCredentials", c.federated(a))
			out["applicationOwners"] = append(out["applicationOwners"], ownerIDs(a.regID, c.owners(colApplications, a.index))...)
		}
		out["servicePrincipalOwners"] = append(out["servicePrincipalOwners"], ownerIDs(a.spID, c.owners(colPrincipals, a.index))...)
		if a.index%10 == 0 {
			roles := roleNames()
			out["roleAssignments"] = append(out["roleAssignments"], packed(a.spID, roles[a.index%len(roles)][0]))
		}
	}
	for path, eligible := range map[string]bool{"roleAssignments": false, "roleEligibilityScheduleInstances": true} {
		group := c.roleGroup(eligible)
		for _, m := range c.members(group) {
			out[path] = append(out[path], packed(group, roleNames()[3][0])+"/"+fmt.Sprint(m[0].value))
		}
	}
	for _, a := range c.askedFor() {
		add("userConsentRequests", c.usersAsking(a))
	}
	for _, o := range c.appActivities() {
		out["servicePrincipalSignInActivities"] = append(out["servicePrincipalSignInActivities"], fmt.Sprint(o[1].value))
	}
	add("appCredentialSignInActivities", c.credentialActivities())
	add("riskyServicePrincipals", c.riskyPrincipals())
	for _, a := range c.risky() {
		add("riskyServicePrincipals", c.historyOf(a))
		for n := range detectionsEach {
			o, _ := c.detection(a, n)
			add("servicePrincipalRiskDetections", []object{o})
		}
	}
	return out
}
