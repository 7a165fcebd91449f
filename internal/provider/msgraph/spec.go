package msgraph

import (
	"context"
	"slices"
	"strings"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/applications"
	"github.com/microsoftgraph/msgraph-sdk-go/auditlogs"
	"github.com/microsoftgraph/msgraph-sdk-go/oauth2permissiongrants"
	"github.com/microsoftgraph/msgraph-sdk-go/serviceprincipals"

	"github.com/appgovd/appgovd/internal/event"
)

// API versions: the path behind the origin.
const (
	stable = "/v1.0"
	beta   = "/beta"
)

// Names of the sources.
const (
	nameApplications = "applications"
	namePrincipals   = "service_principals"
	nameGrants       = "delegated_grants"
	nameAssignments  = "app_role_assignments"
	nameAudits       = "directory_audits"
	nameInteractive  = "signins_interactive"
	nameNonInteract  = "signins_non_interactive"
	nameSPSignIns    = "signins_service_principal"
	nameMISignIns    = "signins_managed_identity"
	nameAlerts       = "alerts"

	nameAppOwners        = "application_owners"
	namePrincipalOwners  = "service_principal_owners"
	nameFederated        = "federated_credentials"
	nameRoleDefinitions  = "role_definitions"
	nameRoles            = "directory_roles"
	nameEligibleRoles    = "eligible_roles"
	nameGrantPolicies    = "permission_grant_policies"
	nameAuthPolicy       = "authorization_policy"
	nameRequestPolicy    = "admin_consent_policy"
	nameAppPolicies      = "app_management_policies"
	nameDefaultAppPolicy = "default_app_management_policy"
	nameConsentRequests  = "consent_requests"
	nameAppActivity      = "app_signin_activities"
	nameCredentialUse    = "credential_signin_activities"
	nameRiskyPrincipals  = "risky_service_principals"
	nameRiskDetections   = "risk_detections"
	nameOAuthApps        = "oauth_app_info"
	nameGraphActivity    = "graph_activity"
	nameCloudAppEvents   = "cloud_app_events"
	nameSpnSignIns       = "spn_signin_events"
	nameOfficeDirectory  = "office_directory"
	nameOfficeExchange   = "office_exchange"
	nameOfficeSharePoint = "office_sharepoint"
	nameOfficeGeneral    = "office_general"
	nameOfficeDLP        = "office_dlp"
)

// query is what a request asks beside its path.
type query struct {
	selects []string
	filter  string
	orderBy string
	top     int
}

// ask builds the request for the first page of a collection. version is stable
// or beta.
type ask func(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error)

// spec is what is fixed about one source.
type spec struct {
	name       string
	class      string
	permission string   // least application permission that opens it
	also       []string // further ones, for parts of it
	family     string
	cost       int // units of the family's budget per page
	version    string
	inventory  bool

	// Logs and alerts.
	keeps     time.Duration // how long Graph keeps a record, at most
	timeField string
	filter    string // further condition
	ordered   bool   // $orderby ascending is documented
	kind      string // of sign-ins, as the normaliser names it
	prefer    string

	// Delta collections.
	objects string
	selects []string

	// The Management Activity API: the content type.
	feed string

	// Collections that are read whole.
	list  *listed
	hunt  *hunted
	named bool // read only where collect names it

	top int // greatest $top, 0 = maxPageSize
	ask ask
}

// specs lists the sources in the order in which they start: the inventory
// first, so that events find their apps.
func specs() []spec {
	signIn := func(name, kind, eventType, version string) spec {
		s := spec{name: name, class: event.ClassSignIn, permission: "AuditLog.Read.All", also: []string{"Directory.Read.All"}, family: familyReports, cost: 1, version: version, keeps: 30 * widest, timeField: "createdDateTime", ordered: true, kind: kind, ask: askSignIns}
		if version == beta {
			s.filter = "signInEventTypes/any(t: t eq '" + eventType + "')"
		}
		return s
	}
	delta := func(name, object, permission string, selects []string, a ask) spec {
		return spec{name: name, class: event.ClassInventory, permission: permission, family: familyDirectory, cost: 2, version: stable, inventory: true, objects: object, selects: selects, ask: a}
	}
	return slices.Concat([]spec{
		delta(nameApplications, event.ObjectApplication, "Application.Read.All", selectApplication(), askApplications),
		delta(namePrincipals, event.ObjectServicePrincipal, "Application.Read.All", selectPrincipal(), askPrincipals),
		delta(nameGrants, event.ObjectDelegatedGrant, "Directory.Read.All", nil, askGrants),
		{name: nameAssignments, class: event.ClassInventory, permission: "Application.Read.All", family: familyDirectory, cost: 2, version: stable, inventory: true, objects: event.ObjectAppRoleAssignment, ask: askPrincipalList},
		{name: nameAudits, class: event.ClassAudit, permission: "AuditLog.Read.All", family: familyReports, cost: 1, version: stable, keeps: 30 * widest, timeField: "activityDateTime", ordered: true, ask: askAudits},
		signIn(nameInteractive, "interactive", "", stable),
		signIn(nameNonInteract, "non_interactive", "nonInteractiveUser", beta),
		signIn(nameSPSignIns, "service_principal", "servicePrincipal", beta),
		signIn(nameMISignIns, "managed_identity", "managedIdentity", beta),
		{name: nameAlerts, class: event.ClassAlert, permission: "SecurityAlert.Read.All", family: familySecurity, cost: 1, version: stable, keeps: oldest, timeField: "lastUpdateDateTime", filter: "serviceSource eq 'microsoftAppGovernance'", prefer: "include-unknown-enum-members", ask: askAlerts},
		{name: nameRiskDetections, class: event.ClassRisk, permission: "IdentityRiskEvent.Read.All", family: familyProtection, cost: 1, version: stable, keeps: oldest, timeField: "detectedDateTime", top: 500, ask: askRiskDetections},
	}, listSpecs(), huntSpecs(), feedSpecs())
}

// listSpecs are the sources of what is told of apps beside the directory's deltas.
func listSpecs() []spec {
	list := func(name, object, permission, family string, l listed) spec {
		cost := 1
		if family == familyDirectory {
			cost = 2 // resource units; one request elsewhere
		}
		return spec{name: name, class: event.ClassInventory, permission: permission, family: family, cost: cost, version: stable, inventory: true, objects: object, list: &l}
	}
	single := func(name, path string) spec {
		return list(name, event.ObjectPolicy, "Policy.Read.All", familyDirectory, listed{path: path, single: true, every: "1h"})
	}
	withGroups := func(s spec) spec {
		s.also = []string{"Directory.Read.All"} // for members of groups
		return s
	}
	inBeta := func(s spec) spec {
		s.version = beta
		return s
	}
	const roles = "/roleManagement/directory/"
	return []spec{
		list(nameAppOwners, event.ObjectOwners, "Application.Read.All", familyDirectory, listed{path: "/applications", query: "$select=id&$expand=owners($select=id)", top: deltaPage, every: "1h", follow: followOwners("/applications")}),
		list(namePrincipalOwners, event.ObjectOwners, "Application.Read.All", familyDirectory, listed{path: "/servicePrincipals", query: "$select=id&$expand=owners($select=id)", top: deltaPage, every: "1h", follow: followOwners("/servicePrincipals")}),
		inBeta(list(nameFederated, event.ObjectFederated, "Application.Read.All", familyDirectory, listed{path: "/applications", query: "$select=id&$expand=federatedIdentityCredentials", top: deltaPage, every: "1h"})),
		list(nameRoleDefinitions, event.ObjectRoleDefinition, "RoleManagement.Read.Directory", familyDirectory, listed{path: roles + "roleDefinitions", query: "$select=id,displayName", every: "24h"}),
		withGroups(list(nameRoles, event.ObjectRole, "RoleManagement.Read.Directory", familyDirectory, listed{path: roles + "roleAssignments", query: "$expand=principal", every: "30m", follow: followGroup})),
		withGroups(list(nameEligibleRoles, event.ObjectEligibleRole, "RoleEligibilitySchedule.Read.Directory", familyDirectory, listed{path: roles + "roleEligibilityScheduleInstances", query: "$expand=principal", every: "1h", follow: followGroup})),
		list(nameGrantPolicies, event.ObjectPolicy, "Policy.Read.PermissionGrant", familyDirectory, listed{path: "/policies/permissionGrantPolicies", every: "1h"}),
		single(nameAuthPolicy, "/policies/authorizationPolicy"),
		single(nameRequestPolicy, "/policies/adminConsentRequestPolicy"),
		list(nameAppPolicies, event.ObjectPolicy, "Policy.Read.All", familyDirectory, listed{path: "/policies/appManagementPolicies", every: "1h"}),
		single(nameDefaultAppPolicy, "/policies/defaultAppManagementPolicy"),
		list(nameConsentRequests, event.ObjectConsentRequest, "ConsentRequest.Read.All", familyDirectory, listed{path: "/identityGovernance/appConsent/appConsentRequests", query: "$filter=userConsentRequests/any(u:u/status eq 'InProgress')", every: "15m", follow: followRequests}),
		inBeta(list(nameAppActivity, event.ObjectAppUse, "AuditLog.Read.All", familyReports, listed{path: "/reports/servicePrincipalSignInActivities", top: deltaPage, every: "6h"})),
		inBeta(list(nameCredentialUse, event.ObjectCredentialUse, "AuditLog.Read.All", familyReports, listed{path: "/reports/appCredentialSignInActivities", top: deltaPage, every: "6h"})),
		list(nameRiskyPrincipals, event.ObjectAppRisk, "IdentityRiskyServicePrincipal.Read.All", familyProtection, listed{path: "/identityProtection/riskyServicePrincipals", top: 500, every: "15m", follow: followHistory}),
	}
}

// feedSpecs are the content types of the Management Activity API. They tell very much,
// or what another source tells.
func feedSpecs() []spec {
	feed := func(name, class, kind, permission string) spec {
		return spec{name: name, class: class, permission: permission, family: familyOffice, cost: 1, keeps: feedReach, top: 1, named: true, feed: kind}
	}
	return []spec{
		feed(nameOfficeDirectory, event.ClassAudit, "Audit.AzureActiveDirectory", permissionFeed),
		feed(nameOfficeExchange, event.ClassActivity, "Audit.Exchange", permissionFeed),
		feed(nameOfficeSharePoint, event.ClassActivity, "Audit.SharePoint", permissionFeed),
		feed(nameOfficeGeneral, event.ClassActivity, "Audit.General", permissionFeed),
		feed(nameOfficeDLP, event.ClassActivity, "DLP.All", permissionFeedDLP),
	}
}

// api names the API that a source reads, and the option with its address.
func (s spec) api() (name, option string) {
	if s.feed != "" {
		return officeName, "office_url"
	}
	return graphName, "graph_url"
}

// grace is how much longer than keeps a record is asked for: Graph keeps more than it
// says, and of feeds keeps is less than the service lists.
func (s spec) grace() time.Duration {
	if s.feed != "" {
		return feedGrace
	}
	return widest / 2
}

// first is how far back a source reads at first.
func (s spec) first(lookback time.Duration) time.Duration {
	if s.feed != "" {
		return min(lookback, s.keeps)
	}
	return min(lookback, oldest)
}

// core are the kinds of objects without which the inventory is none.
func core(kind string) bool {
	return kind == event.ObjectApplication || kind == event.ObjectServicePrincipal || kind == event.ObjectDelegatedGrant || kind == event.ObjectAppRoleAssignment
}

// SourceNames lists the names that `collect` accepts.
func SourceNames() []string {
	var names []string
	for _, s := range specs() {
		names = append(names, s.name)
	}
	return names
}

// DefaultSources lists the names of the sources that are read without `collect`:
// those that tell what another one does, or very much, are not among them.
func DefaultSources() []string {
	var names []string
	for _, s := range specs() {
		if !s.named {
			names = append(names, s.name)
		}
	}
	return names
}

// ObjectKinds lists the kinds of inventory objects (event.Object*) that the
// sources of those names read and without which the inventory is none; empty, not
// nil, where they read none.
func ObjectKinds(names []string) []string {
	kinds := []string{}
	for _, s := range specs() {
		if core(s.objects) && slices.Contains(names, s.name) {
			kinds = append(kinds, s.objects)
		}
	}
	return kinds
}

func selectApplication() []string {
	return []string{"id", "appId", "displayName", "createdDateTime", "signInAudience", "publisherDomain", "verifiedPublisher",
		"identifierUris", "web", "spa", "publicClient", "tags", "disabledByMicrosoftStatus", "appRoles", "api", "keyCredentials", "passwordCredentials"}
}

func selectPrincipal() []string {
	return []string{"id", "appId", "displayName", "servicePrincipalType", "appOwnerOrganizationId", "accountEnabled", "verifiedPublisher",
		"signInAudience", "disabledByMicrosoftStatus", "homepage", "replyUrls", "tags",
		"appRoles", "oauth2PermissionScopes", "keyCredentials", "passwordCredentials"}
}

// resourceApps are the APIs whose app roles matter most; see
// https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in.
func resourceApps() []string {
	return []string{
		"00000003-0000-0000-c000-000000000000", // Microsoft Graph
		"00000002-0000-0000-c000-000000000000", // Azure AD Graph
		"00000002-0000-0ff1-ce00-000000000000", // Exchange Online
		"00000003-0000-0ff1-ce00-000000000000", // SharePoint Online
		"c5393580-f805-4401-95e8-94b7a6ef2fc2", // Office 365 Management APIs
		"fc780465-2017-40d4-a0c5-307022471b92", // Microsoft Defender for Endpoint
		"05a65629-4c1b-48c1-a78b-804c4abdd4af", // Microsoft Defender for Cloud Apps
		"8ee8fdad-f234-4243-8f3b-15c294843740", // Microsoft Threat Protection
		"00000004-0000-0ff1-ce00-000000000000", // Skype for Business Online
		"00000009-0000-0000-c000-000000000000", // Power BI Service
	}
}

// base is the path parameter from which the SDK's templates build a URL.
func (c *client) base(version string) map[string]string {
	return map[string]string{"baseurl": c.origin.String() + version}
}

func ptr[T any](v T) *T { return &v }

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func top(n int) *int32 {
	if n == 0 {
		return nil
	}
	return ptr(int32(n))
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// plain calls a function by its documented name: the SDK's template writes
// parentheses behind it.
func plain(info *abs.RequestInformation, err error) (*abs.RequestInformation, error) {
	if err == nil {
		info.UrlTemplate = strings.Replace(info.UrlTemplate, "delta()", "delta", 1)
	}
	return info, err
}

func askApplications(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return plain(applications.NewDeltaRequestBuilderInternal(c.base(version), c.adapter).ToGetRequestInformation(ctx,
		&applications.DeltaRequestBuilderGetRequestConfiguration{QueryParameters: &applications.DeltaRequestBuilderGetQueryParameters{Select: q.selects}}))
}

func askPrincipals(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return plain(serviceprincipals.NewDeltaRequestBuilderInternal(c.base(version), c.adapter).ToGetRequestInformation(ctx,
		&serviceprincipals.DeltaRequestBuilderGetRequestConfiguration{QueryParameters: &serviceprincipals.DeltaRequestBuilderGetQueryParameters{Select: q.selects}}))
}

func askGrants(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return plain(oauth2permissiongrants.NewDeltaRequestBuilderInternal(c.base(version), c.adapter).ToGetRequestInformation(ctx,
		&oauth2permissiongrants.DeltaRequestBuilderGetRequestConfiguration{QueryParameters: &oauth2permissiongrants.DeltaRequestBuilderGetQueryParameters{Select: q.selects}}))
}

func askPrincipalList(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return serviceprincipals.NewServicePrincipalsRequestBuilderInternal(c.base(version), c.adapter).ToGetRequestInformation(ctx,
		&serviceprincipals.ServicePrincipalsRequestBuilderGetRequestConfiguration{QueryParameters: &serviceprincipals.ServicePrincipalsRequestBuilderGetQueryParameters{
			Select: q.selects, Filter: text(q.filter), Top: top(q.top)}})
}

func askAssignedTo(ctx context.Context, c *client, version, principal string, q query) (*abs.RequestInformation, error) {
	base := c.base(version)
	base["servicePrincipal%2Did"] = principal
	return serviceprincipals.NewItemAppRoleAssignedToRequestBuilderInternal(base, c.adapter).ToGetRequestInformation(ctx,
		&serviceprincipals.ItemAppRoleAssignedToRequestBuilderGetRequestConfiguration{QueryParameters: &serviceprincipals.ItemAppRoleAssignedToRequestBuilderGetQueryParameters{Top: top(q.top)}})
}

func askAudits(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return auditlogs.NewDirectoryAuditsRequestBuilderInternal(c.base(version), c.adapter).ToGetRequestInformation(ctx,
		&auditlogs.DirectoryAuditsRequestBuilderGetRequestConfiguration{QueryParameters: &auditlogs.DirectoryAuditsRequestBuilderGetQueryParameters{
			Filter: text(q.filter), Orderby: list(q.orderBy), Top: top(q.top)}})
}

func askSignIns(ctx context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return auditlogs.NewSignInsRequestBuilderInternal(c.base(version), c.adapter).ToGetRequestInformation(ctx,
		&auditlogs.SignInsRequestBuilderGetRequestConfiguration{QueryParameters: &auditlogs.SignInsRequestBuilderGetQueryParameters{
			Filter: text(q.filter), Orderby: list(q.orderBy), Top: top(q.top)}})
}

// askAlerts has no builder of the SDK behind it: its package security alone
// costs as much to compile as all others together.
func askAlerts(_ context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return askPlainly(c, version, "/security/alerts_v2", q)
}

// askRiskDetections: likewise.
func askRiskDetections(_ context.Context, c *client, version string, q query) (*abs.RequestInformation, error) {
	return askPlainly(c, version, "/identityProtection/servicePrincipalRiskDetections", q)
}

func askPlainly(c *client, version, path string, q query) (*abs.RequestInformation, error) {
	info := abs.NewRequestInformationWithMethodAndUrlTemplateAndPathParameters(abs.GET, "{+baseurl}"+path+"{?%24filter,%24top}", c.base(version))
	info.QueryParametersAny["%24filter"] = q.filter
	if q.top > 0 {
		info.QueryParametersAny["%24top"] = q.top
	}
	info.Headers.TryAdd("Accept", "application/json")
	return info, nil
}
