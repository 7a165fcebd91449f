package sim

import (
	"strconv"
	"strings"
)

// login is what one sign-in tells.
type login struct {
	kind     kind
	app      *app
	user     *user // nil for apps
	from     network
	host     int
	resource *app
	code     int
	reason   string
	keyID    string // credential of a service principal
	policy   string // status of conditional access
	risk     string
	browser  browser
}

func (c *Cloud) backgroundSignIn(n uint32, rec record, enriched, beta bool) object {
	l := c.login(n, rec)
	if enriched {
		l.risk = "low" // reported: risk is filled in later under the same id
	}
	return c.signIn(n, rec, l, beta)
}

// login is what sign-in n of the background tells.
func (c *Cloud) login(n uint32, rec record) login {
	r := c.random(domRecord, uint64(n)<<1|1<<63)
	l := login{kind: rec.kind, host: r.intn(250), resource: c.base[resGraph], policy: "notApplied", risk: "none"}
	switch rec.kind {
	case kindServicePrincipal:
		l.app = c.anyApp(r, func(a *app) bool { return a.kind == "Application" })
		l.from = l.app.home // always: a new network is news
		if len(l.app.passwords) > 0 {
			l.keyID = l.app.passwords[0].id
		}
	case kindManagedIdentity:
		l.app = c.anyApp(r, func(a *app) bool { return a.kind == "ManagedIdentity" })
	case kindMicrosoft: // reported: none of them is in the log of the tenant's own apps
		l.app = c.base[resSharePoint+r.intn(len(c.cat.resources)-resSharePoint)]
		l.from = l.app.home
	default:
		u := c.anyUser(r)
		l.user, l.app = &u, c.anyApp(r, func(a *app) bool { return a.kind == "Application" })
		l.from, l.browser = c.network(int(u.id[0])%(networks-attackNetworks)), pick(r, c.cat.browsers)
		c.trouble(&l, r)
	}
	return l
}

// trouble makes a few sign-ins of users fail. Reported: a report-only policy
// leaves error 50097 and a failed status on a sign-in that nothing stopped.
func (c *Cloud) trouble(l *login, r *rng) {
	switch n := r.intn(100); {
	case n < 2:
		f := pick(r, c.cat.failures)
		l.code, l.reason = f.code, f.reason
	case n < 3:
		l.code, l.reason, l.policy = 50097, "Device Authentication Required - DeviceId -DeviceAltSecId claims are null.", "failure"
	}
}

// signIn renders a sign-in. Documented: names and types of v1.0 (CSDL), those
// of beta by the page of its signIn resource. Reported: `Other.` as the reason
// of successes; empty strings for the user of apps, an empty address for
// managed identities.
func (c *Cloud) signIn(n uint32, rec record, l login, beta bool) object {
	u := user{}
	if l.user != nil {
		u = *l.user
	}
	reason := l.reason
	if l.code == 0 {
		reason = "Other."
	}
	o := object{
		{"id", c.id(n)}, {"createdDateTime", c.signInTime(rec)}, {"userDisplayName", u.name}, {"userPrincipalName", u.upn},
		{"userId", u.id}, {"appId", l.app.appID}, {"appDisplayName", l.app.name}, {"ipAddress", l.address()},
		{"clientAppUsed", l.client()}, {"correlationId", c.correlation(n)}, {"conditionalAccessStatus", l.policy},
		{"isInteractive", l.kind == kindInteractive}, {"riskDetail", "none"}, {"riskLevelAggregated", l.risk},
		{"riskLevelDuringSignIn", "none"}, {"riskState", l.riskState()}, {"riskEventTypes", list{}}, {"riskEventTypes_v2", []string{}},
		{"resourceDisplayName", l.resource.name}, {"resourceId", l.resource.appID}, {"resourceTenantId", c.o.TenantID},
		{"homeTenantId", c.o.TenantID}, {"servicePrincipalId", l.principal()}, {"servicePrincipalName", l.principalName()},
		{"userAgent", l.agent(c.o.Padding)},
		{"status", object{{"errorCode", l.code}, {"failureReason", reason}, {"additionalDetails", nil}}},
		{"deviceDetail", l.device()}, {"location", l.location()}, {"appliedConditionalAccessPolicies", l.policies()},
	}
	if !beta {
		return o
	}
	return append(o, c.betaOnly(n, l)...)
}

// signInTime: whole seconds in v1.0's interactive ones (reported), seven
// digits in the others (assumed: so they look in the export stream).
func (c *Cloud) signInTime(rec record) string {
	if rec.kind == kindInteractive {
		return seconds(rec.at())
	}
	return ticks(rec.at())
}

// betaOnly are the members that v1.0 does not have.
func (c *Cloud) betaOnly(n uint32, l login) object {
	return object{
		{"signInEventTypes", []string{l.kind.eventType()}}, {"appOwnerTenantId", l.app.owner}, {"resourceOwnerTenantId", microsoftTenant},
		{"resourceServicePrincipalId", l.resource.spID}, {"servicePrincipalCredentialKeyId", l.keyID},
		{"servicePrincipalCredentialThumbprint", ""}, {"clientCredentialType", l.credentialType()},
		{"federatedCredentialId", ""}, {"autonomousSystemNumber", l.asn()}, {"authenticationProtocol", "none"},
		{"incomingTokenType", "none"}, {"crossTenantAccessType", "none"}, {"uniqueTokenIdentifier", c.token(n)},
		{"originalRequestId", ""}, {"tokenIssuerType", "AzureAD"}, {"isTenantRestricted", false},
		{"authenticationRequirement", "singleFactorAuthentication"}, {"flaggedForReview", false},
		{"agent", object{{"agentType", "notAgentic"}, {"agentSubjectType", "notAgentic"}}},
	}
}

// token names the access token that sign-in n led to.
func (c *Cloud) token(n uint32) string { return packed(c.random(domSecret, uint64(n)).guid()) }

// isV1 says whether v1.0 has a member. Documented: v1.0's type has none of
// these, signInEventTypes included.
func isV1(name string) bool {
	switch name {
	case "signInEventTypes", "appOwnerTenantId", "resourceOwnerTenantId", "resourceServicePrincipalId",
		"servicePrincipalCredentialKeyId", "servicePrincipalCredentialThumbprint", "clientCredentialType",
		"federatedCredentialId", "autonomousSystemNumber", "authenticationProtocol", "incomingTokenType",
		"crossTenantAccessType", "uniqueTokenIdentifier", "originalRequestId", "tokenIssuerType",
		"isTenantRestricted", "authenticationRequirement", "flaggedForReview", "agent":
		return false
	}
	return true
}

// eventType is the member of signInEventTypes. Documented.
func (k kind) eventType() string {
	switch k {
	case kindInteractive:
		return "interactiveUser"
	case kindNonInteractive:
		return "nonInteractiveUser"
	case kindServicePrincipal, kindMicrosoft:
		return "servicePrincipal"
	}
	return "managedIdentity"
}

func (l login) address() string {
	if l.kind == kindManagedIdentity {
		return ""
	}
	return l.from.ip(l.host)
}

func (l login) asn() any {
	if l.kind == kindManagedIdentity {
		return nil
	}
	return l.from.asn()
}

func (l login) client() string {
	switch l.kind {
	case kindInteractive:
		return "Browser"
	case kindNonInteractive:
		return "Mobile Apps and Desktop clients"
	}
	return "Unknown"
}

func (l login) riskState() string {
	if l.risk == "none" {
		return "none"
	}
	return "atRisk"
}

// principal: the object id on sign-ins of apps; on those of users empty, or
// the nil GUID where the app has none in the tenant. Reported.
func (l login) principal() string {
	switch {
	case l.user == nil:
		return l.app.spID
	case l.app.index%7 == 0:
		return nilGUID
	}
	return ""
}

func (l login) principalName() any {
	if l.user == nil {
		return l.app.name
	}
	return nil
}

func (l login) agent(padding int) string { return l.browser.agent + strings.Repeat("x", padding) }

func (l login) credentialType() string {
	switch l.kind {
	case kindServicePrincipal:
		return "clientSecret"
	case kindMicrosoft:
		return "certificate"
	case kindManagedIdentity:
		return "managedIdentity"
	}
	return "none"
}

func (l login) device() object {
	system := l.browser.system
	if l.user == nil {
		system = "Linux"
	}
	return object{
		{"deviceId", ""}, {"displayName", nil}, {"operatingSystem", system}, {"browser", l.browser.name},
		{"isCompliant", nil}, {"isManaged", nil}, {"trustType", nil},
	}
}

func (l login) location() object {
	p := l.from.place
	if l.kind == kindManagedIdentity {
		return object{{"city", nil}, {"state", nil}, {"countryOrRegion", nil}, {"geoCoordinates", nil}}
	}
	return object{{"city", p.city}, {"state", p.state}, {"countryOrRegion", p.country}, {"geoCoordinates", object{
		{"altitude", nil}, {"latitude", p.lat}, {"longitude", p.lon},
	}}}
}

// policies: a report-only policy never stops anything. Documented results.
func (l login) policies() list {
	result := "notEnabled"
	if l.policy == "failure" {
		result = "reportOnlyInterrupted"
	}
	if l.user == nil {
		return list{}
	}
	return list{object{
		{"id", "6e8d6c0e-6f0b-4f5e-9d0a-0c8f2f7d1a11"}, {"displayName", "Compliant devices (pilot)"},
		{"enforcedGrantControls", []string{"RequireCompliantDevice"}}, {"enforcedSessionControls", []string{}}, {"result", result},
	}}
}

func fmtInt(n int) string { return strconv.Itoa(n) }
