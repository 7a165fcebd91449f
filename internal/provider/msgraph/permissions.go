package msgraph

import (
	"cmp"
	"slices"
	"strings"
)

// GraphAppID is the client id of Microsoft Graph in every tenant.
const GraphAppID = "00000003-0000-0000-c000-000000000000"

// OfficeAppID is the client id of the Office 365 Management APIs in every tenant.
const OfficeAppID = "c5393580-f805-4401-95e8-94b7a6ef2fc2"

const (
	graphName  = "Microsoft Graph"
	officeName = "Office 365 Management APIs"

	permissionFeed    = "ActivityFeed.Read"
	permissionFeedDLP = "ActivityFeed.ReadDlp"
)

// Permission is one application permission that sources need.
type Permission struct {
	API     string // client id of the API that it belongs to: GraphAppID or OfficeAppID
	APIName string
	Name    string
	ID      string   // of the app role
	Why     string   // what it is good for
	Sources []string // that need it
}

// roles are the app roles that sources name, with their ids; see
// https://learn.microsoft.com/graph/permissions-reference and
// https://learn.microsoft.com/office/office-365-management-api/get-started-with-office-365-management-apis.
func roles() []Permission {
	all := []Permission{
		{Name: "Application.Read.All", ID: "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", Why: "apps, their credentials, owners and application permissions"},
		{Name: "AuditLog.Read.All", ID: "b0afded3-3588-46d8-8b3d-9842eff778da", Why: "directory audits, sign-ins, the reports on the use of apps and credentials"},
		{Name: "ConsentRequest.Read.All", ID: "1260ad83-98fb-4785-abbb-d6cc1806fd41", Why: "users who wait for an administrator's consent"},
		{Name: "Directory.Read.All", ID: "7ab1d382-f21e-4acd-a863-ba3e13f7da61", Why: "delegated permissions, service principals of groups that hold roles; without it licensed tenants were seen to refuse sign-ins"},
		{Name: "IdentityRiskEvent.Read.All", ID: "6e472fd1-ad78-48da-a0f0-97ab2c6b769e", Why: "what made the provider suspect workload identities"},
		{Name: "IdentityRiskyServicePrincipal.Read.All", ID: "607c7344-0eed-41e5-823a-9695ebe1b7b0", Why: "the provider's verdicts on workload identities"},
		{Name: "Policy.Read.All", ID: "246dd0d5-5bd0-4def-940b-0421030a5b68", Why: "policies on consent and on credentials of apps"},
		{Name: "Policy.Read.PermissionGrant", ID: "9e640839-a198-48fb-8b9a-013fd6f6cbcd", Why: "which consent is allowed"},
		{Name: "RoleEligibilitySchedule.Read.Directory", ID: "ff278e11-4a33-4d0c-83d2-d01dc58929a5", Why: "directory roles for which groups of apps are eligible"},
		{Name: "RoleManagement.Read.Directory", ID: "483bed4a-2ad3-4361-a73b-c83ccdbdc53c", Why: "directory roles that apps hold"},
		{Name: "SecurityAlert.Read.All", ID: "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5", Why: "the provider's own app-governance alerts"},
		{Name: "ThreatHunting.Read.All", ID: "dd98c7f5-2d42-42d3-a0e4-633161547251", Why: "advanced hunting: what Microsoft's app governance says of apps, and what they called"},
	}
	for i := range all {
		all[i].API, all[i].APIName = GraphAppID, graphName
	}
	return append(all,
		Permission{API: OfficeAppID, APIName: officeName, Name: permissionFeed, ID: "594c1fb6-4f81-4475-ae41-0c394909246c", Why: "the unified audit log of Microsoft 365: what apps do in mailboxes and sites"},
		Permission{API: OfficeAppID, APIName: officeName, Name: permissionFeedDLP, ID: "4807a72c-ad38-4250-94c9-4eabfe26cd55", Why: "policies against data loss that apps touched, with the sensitive data that was found"},
	)
}

// needs lists the permissions of a source, the one without which it reads nothing
// first.
func (s spec) needs() []string { return append([]string{s.permission}, s.also...) }

// Permissions lists the application permissions that the sources of those names need
// together, and no more, sorted by API and name; nil names are DefaultSources.
func Permissions(names []string) []Permission {
	if len(names) == 0 {
		names = DefaultSources()
	}
	var out []Permission
	for _, p := range roles() {
		for _, s := range specs() {
			if slices.Contains(names, s.name) && slices.Contains(s.needs(), p.Name) {
				p.Sources = append(p.Sources, s.name)
			}
		}
		if len(p.Sources) > 0 {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Permission) int { return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Name, b.Name)) })
	return out
}

// Permissions lists those that the sources of c need together in its cloud.
func (c Config) Permissions() []Permission { return Permissions(c.offered()) }

// Registration is what is to be registered in Entra for a source block.
type Registration struct {
	Permissions []Permission
	Cloud       string // by its name in a configuration
	GraphURL    string // of the cloud
	Tools       Tools
	Machine     bool   // a managed identity, that Azure made, is given the permissions; else an app is registered
	ClientID    string // of a managed identity that is not the machine's own
}

// Registration is that of c.
func (c Config) Registration() Registration {
	cloud, at := c.where()
	r := Registration{Permissions: c.Permissions(), Cloud: cloud, GraphURL: at.graph, Tools: toolsOf(cloud), Machine: c.ManagedIdentity != nil}
	if r.Machine && !c.ManagedIdentity.SystemAssigned {
		r.ClientID = c.ClientID
	}
	return r
}

// offered are the names of the sources of c that its cloud has.
func (c Config) offered() []string {
	_, at := c.where()
	names := c.Sources()
	for _, s := range specs() {
		if at.lacks(s) {
			names = slices.DeleteFunc(names, func(n string) bool { return n == s.name })
		}
	}
	return names
}

// PlainName is a name of a source block fit for scripts and for Terraform.
func PlainName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, s)
}
