package sim

import (
	"strconv"
	"strings"
)

// activity is one kind of background audit record.
type activity struct {
	weight int    // of a hundred
	prefix string // of the record's id; reported: by the service that logs
	make   func(c *Cloud, r *rng) entry
}

// entry is what one directory audit tells.
type entry struct {
	name, category, operation string
	service                   string // default Core Directory
	failed                    string // reason; empty = success
	by                        *user  // who did it; with neither, both initiators are null
	byApp                     *app
	ip                        string
	targets                   []object
	details                   []object
}

// The name of this activity carries an en dash and a trailing space. Reported.
const secretsActivity = "Update application – Certificates and secrets management "

// backgroundActivities is a tenant's ordinary day: nothing here should make a
// sane rule speak.
func backgroundActivities() []activity {
	return []activity{
		{25, "Directory_", (*Cloud).userUpdated},
		{15, "Directory_", (*Cloud).memberAdded},
		{10, "SSGM_", (*Cloud).groupPolicyRead},
		{12, "Directory_", (*Cloud).appUpdated},
		{10, "Directory_", (*Cloud).principalUpdatedByApp},
		{8, "Directory_", (*Cloud).ownSecretRotated},
		{8, "Directory_", (*Cloud).lowConsent},
		{6, "Directory_", (*Cloud).userAssigned},
		{4, "Sync_", (*Cloud).synchronized},
		{2, "Directory_", (*Cloud).deniedConsent},
	}
}

func (c *Cloud) backgroundAudit(n uint32, rec record, enriched bool) object {
	a, r := c.activity(n)
	e := a.make(c, r)
	if enriched {
		e.details = append(e.details, detail("ReviewStatus", "completed"))
	}
	return c.audit(n, rec, e)
}

// activity is what record n of the background tells, with the generator of its
// content.
func (c *Cloud) activity(n uint32) (activity, *rng) {
	r := c.random(domRecord, uint64(n)<<1|1<<63)
	turn := r.intn(100)
	for _, a := range c.cat.directory {
		if turn -= a.weight; turn < 0 {
			return a, r
		}
	}
	return c.cat.directory[0], r
}

// audit renders a directory audit. Documented: names and types (CSDL).
// Reported: ids are Directory_… or Sync_…, initiators and their members may be
// null, appId is null on what apps did.
func (c *Cloud) audit(n uint32, rec record, e entry) object {
	result, reason := "success", any("")
	if e.failed != "" {
		result, reason = "failure", e.failed
	}
	service := e.service
	if service == "" {
		service = "Core Directory"
	}
	details := append(e.details, detail("SimNumber", strconv.FormatUint(uint64(n), 10)))
	if c.o.Padding > 0 {
		details = append(details, detail("SimPadding", strings.Repeat("x", c.o.Padding)))
	}
	return object{
		{"id", c.id(n)}, {"category", e.category}, {"correlationId", c.correlation(n)}, {"result", result}, {"resultReason", reason},
		{"activityDisplayName", e.name}, {"activityDateTime", ticks(rec.at())}, {"loggedByService", service},
		{"operationType", e.operation}, {"initiatedBy", initiators(e)}, {"targetResources", e.targets},
		{"additionalDetails", details},
	}
}

func initiators(e entry) object {
	var byUser, byApp any
	if e.by != nil {
		byUser = object{{"id", e.by.id}, {"displayName", nil}, {"userPrincipalName", e.by.upn}, {"ipAddress", optional(e.ip)}}
	}
	if e.byApp != nil {
		byApp = object{{"appId", nil}, {"displayName", e.byApp.name}, {"servicePrincipalId", e.byApp.spID}, {"servicePrincipalName", nil}}
	}
	return object{{"user", byUser}, {"app", byApp}}
}

func detail(key, value string) object { return object{{"key", key}, {"value", value}} }

// target renders one targetResource.
func target(id, typ string, name any, props ...object) object {
	return object{
		{"id", id}, {"displayName", name}, {"type", typ}, {"userPrincipalName", nil}, {"groupType", nil},
		{"modifiedProperties", nonNilObjects(props)},
	}
}

func userTarget(u user, props ...object) object {
	return object{
		{"id", u.id}, {"displayName", nil}, {"type", "User"}, {"userPrincipalName", u.upn}, {"groupType", nil},
		{"modifiedProperties", nonNilObjects(props)},
	}
}

func nonNilObjects(o []object) []object {
	if o == nil {
		return []object{}
	}
	return o
}

// modified renders a modified property; its values are JSON inside a string.
// Reported.
func modified(name string, old, now any) object {
	return object{{"displayName", name}, {"oldValue", old}, {"newValue", now}}
}

func included(names string) object {
	return modified("Included Updated Properties", nil, quoted(names))
}

func (c *Cloud) userUpdated(r *rng) entry {
	admin, u := c.user(0), c.anyUser(r)
	return entry{
		name: "Update user", category: "UserManagement", operation: "Update", by: &admin, ip: c.network(3).ip(7),
		targets: []object{userTarget(u,
			modified("JobTitle", quotedList("Analyst"), quotedList("Senior Analyst")), included("JobTitle"))},
	}
}

func (c *Cloud) memberAdded(r *rng) entry {
	admin, u, group := c.user(1%c.o.Users), c.anyUser(r), r.guid()
	g := target(group, "Group", nil)
	g[4].value = "unknownFutureValue"
	return entry{
		name: "Add member to group", category: "GroupManagement", operation: "Assign", by: &admin, ip: c.network(3).ip(9),
		targets: []object{userTarget(u, modified("Group.ObjectID", nil, quoted(group)), modified("Group.DisplayName", nil, quoted("Staff"))), g},
	}
}

// groupPolicyRead is a record full of nothing: nil GUIDs and N/A. Documented
// by an example of the reference.
func (c *Cloud) groupPolicyRead(r *rng) entry {
	nobody := user{id: nilGUID}
	return entry{
		name: "GroupLifecyclePolicies_Get", category: "GroupManagement", operation: "Update",
		service: "Self-service Group Management", by: &nobody, ip: c.network(5).ip(r.intn(250)),
		targets: []object{target(nilGUID, "N/A", nil)},
	}
}

func (c *Cloud) appUpdated(r *rng) entry {
	a, admin := c.anyApp(r, func(a *app) bool { return a.regID != "" }), c.user(2%c.o.Users)
	return entry{
		name: "Update application", category: "ApplicationManagement", operation: "Update", by: &admin, ip: c.network(3).ip(11),
		targets: []object{target(a.regID, "Application", a.name,
			modified("InformationalUrls", quotedList(""), quotedList("https://contoso.example/help")), included("InformationalUrls"))},
		details: []object{userAgent("Mozilla/5.0 (Windows NT 10.0; Win64; x64)"), detail("AppId", a.appID)},
	}
}

// principalUpdatedByApp is done by an app: no user, no appId, only the object
// id of the service principal. Reported.
func (c *Cloud) principalUpdatedByApp(r *rng) entry {
	actor := c.anyApp(r, func(a *app) bool { return a.kind == "ManagedIdentity" || a.regID != "" })
	a := c.anyApp(r, func(a *app) bool { return a.kind == "Application" })
	return entry{
		name: "Update service principal", category: "ApplicationManagement", operation: "Update", byApp: actor,
		targets: []object{target(a.spID, "ServicePrincipal", a.name,
			modified("NotificationEmail", "[]", quotedList("ops@contoso.example")), included("NotificationEmail"),
			modified("TargetId.ServicePrincipalNames", nil, quoted(a.appID)))},
		details: []object{userAgent("Microsoft Azure Graph Client Library 1.0")},
	}
}

// ownSecretRotated: the owner of an ordinary app changes its secret. The new
// list names both, so that only a comparison as sets tells what changed.
func (c *Cloud) ownSecretRotated(r *rng) entry {
	a, owner := c.anyApp(r, func(a *app) bool { return a.regID != "" }), c.anyUser(r)
	old, now := keyText(r.guid(), "deploy-2025"), keyText(r.guid(), "deploy-2026")
	return c.secretEntry(a, owner, c.network(3).ip(r.intn(250)), quotedList(old), quotedList(old, now))
}

// secretEntry: each key is a text in brackets inside a list of strings.
// Reported.
func (c *Cloud) secretEntry(a *app, by user, ip, old, now string) entry {
	return entry{
		name: secretsActivity, category: "ApplicationManagement", operation: "Update", by: &by, ip: ip,
		targets: []object{target(a.regID, "Application", a.name, modified("KeyDescription", old, now), included("KeyDescription"))},
		details: []object{userAgent("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) PowerShell/7.5.0"), detail("AppId", a.appID)},
	}
}

func keyText(id, name string) string {
	return "[KeyIdentifier=" + id + ",KeyType=Password,KeyUsage=Verify,DisplayName=" + name + "]"
}

func userAgent(s string) object { return detail("User-Agent", s) }

// lowConsent tells of a grant that is in the directory: one user's consent to
// harmless scopes.
func (c *Cloud) lowConsent(r *rng) entry {
	if c.o.Grants <= c.o.Apps {
		return c.userUpdated(r)
	}
	g := c.backgroundGrant(c.o.Apps + r.intn(c.o.Grants-c.o.Apps))
	return c.consentEntry(c.base[g.client], c.user(g.user), g.consentType(), g.scope, c.network(3).ip(r.intn(250)), r)
}

// consentEntry is "Consent to application". Reported: the permissions are text
// in brackets; properties must be found by name.
func (c *Cloud) consentEntry(a *app, u user, consentType, scope, ip string, r *rng) entry {
	all := consentType == "AllPrincipals"
	graph, principal := c.base[resGraph], u.id
	if all {
		principal = ""
	}
	grantText := "[] => [[Id: " + packed(a.spID, graph.spID) + ", ClientId: " + a.spID + ", PrincipalId: " + principal +
		", ResourceId: " + graph.spID + ", ConsentType: " + consentType + ", Scope: " + scope + ", CreatedDateTime: , LastModifiedDateTime ]]; "
	return entry{
		name: "Consent to application", category: "ApplicationManagement", operation: "Assign", by: &u, ip: ip,
		targets: []object{target(a.spID, "ServicePrincipal", a.name,
			modified("ConsentContext.IsAdminConsent", nil, quoted(title(all))),
			modified("ConsentContext.IsAppOnly", nil, quoted("False")),
			modified("ConsentContext.OnBehalfOfAll", nil, quoted(title(all))),
			modified("ConsentContext.Tags", nil, quoted("WindowsAzureActiveDirectoryIntegratedApp")),
			modified("ConsentAction.Permissions", nil, quoted(grantText)),
			modified("TargetId.ServicePrincipalNames", nil, quoted(a.appID)))},
		details: []object{userAgent(pick(r, c.cat.browsers).agent), detail("AppId", a.appID)},
	}
}

func title(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// grantEntry is "Add delegated permission grant". Reported: the first target
// is the resource, the client is only in its modified properties.
func (c *Cloud) grantEntry(a *app, resource int, by user, consentType, old, scope, ip string) entry {
	res := c.base[resource]
	return entry{
		name: "Add delegated permission grant", category: "ApplicationManagement", operation: "Assign", by: &by, ip: ip,
		targets: []object{
			target(res.spID, "ServicePrincipal", res.name,
				modified("DelegatedPermissionGrant.Scope", quoted(old), quoted(scope)),
				modified("DelegatedPermissionGrant.ConsentType", quoted(consentType), quoted(consentType)),
				modified("ServicePrincipal.ObjectID", nil, quoted(a.spID)),
				modified("ServicePrincipal.DisplayName", nil, nil),
				modified("ServicePrincipal.AppId", nil, nil),
				modified("ServicePrincipal.Name", nil, nil),
				modified("TargetId.ServicePrincipalNames", nil, quoted(res.appID+";https://graph.microsoft.com"))),
			target(a.spID, "ServicePrincipal", nil),
		},
		details: []object{detail("AppId", res.appID)},
	}
}

// roleEntry is "Add app role assignment to service principal". Reported: one
// target, the resource; the app that gets the role is only in the properties.
func (c *Cloud) roleEntry(a *app, role permission, by user, ip string, created string) entry {
	res := c.base[resGraph]
	return entry{
		name: "Add app role assignment to service principal", category: "ApplicationManagement", operation: "Assign", by: &by, ip: ip,
		targets: []object{target(res.spID, "ServicePrincipal", res.name,
			modified("AppRole.Id", nil, quoted(role.id)), modified("AppRole.Value", nil, quoted(role.value)),
			modified("AppRole.DisplayName", nil, quoted(role.value)),
			modified("AppRoleAssignment.CreatedDateTime", nil, quoted(created)),
			modified("AppRoleAssignment.LastModifiedDateTime", nil, quoted(created)),
			modified("ServicePrincipal.DisplayName", nil, quoted(a.name)),
			modified("ServicePrincipal.AppId", nil, quoted(a.appID)),
			modified("TargetId.ServicePrincipalNames", nil, quoted(res.appID)))},
		details: []object{detail("AppId", res.appID)},
	}
}

func (c *Cloud) userAssigned(r *rng) entry {
	a, admin, u := c.anyApp(r, func(a *app) bool { return a.regID != "" }), c.user(1%c.o.Users), c.anyUser(r)
	return entry{
		name: "Add app role assignment grant to user", category: "UserManagement", operation: "Assign", by: &admin, ip: c.network(3).ip(9),
		targets: []object{
			target(a.spID, "ServicePrincipal", a.name, modified("AppRole.Id", nil, quoted(nilGUID)), modified("User.ObjectID", nil, quoted(u.id))),
			userTarget(u),
		},
	}
}

// synchronized has no initiator at all. Reported.
func (c *Cloud) synchronized(r *rng) entry {
	u := c.anyUser(r)
	return entry{
		name: "Synchronization rule action", category: "ProvisioningManagement", operation: "Update",
		service: "Account Provisioning", targets: []object{userTarget(u)},
	}
}

// deniedConsent is refused: nothing was granted.
func (c *Cloud) deniedConsent(r *rng) entry {
	a, u := c.anyApp(r, func(a *app) bool { return a.kind == "Application" && a.regID == "" }), c.anyUser(r)
	e := c.consentEntry(a, u, "Principal", " User.Read", c.network(3).ip(r.intn(250)), r)
	e.failed = "Microsoft.Online.Security.UserConsentBlockedForRiskyAppsException"
	return e
}

// anyApp picks an app of the background that fits, or whatever comes when few
// apps do.
func (c *Cloud) anyApp(r *rng, fits func(*app) bool) *app {
	first := len(c.cat.resources)
	i := r.intn(c.o.Apps)
	for k := range min(c.o.Apps, 100) {
		if a := c.base[first+(i+k)%c.o.Apps]; fits(a) {
			return a
		}
	}
	return c.base[first+i]
}
