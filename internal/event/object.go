package event

import (
	"slices"
	"strings"
	"time"
)

// Object kinds.
const (
	ObjectApplication       = "application"         // app registration (own tenant)
	ObjectServicePrincipal  = "service_principal"   // app as present in the tenant
	ObjectDelegatedGrant    = "delegated_grant"     // oauth2PermissionGrant
	ObjectAppRoleAssignment = "app_role_assignment" // application permission held by an app
)

// Kinds of traits: objects that tell more of an app, or of the tenant.
const (
	ObjectOwners         = "owners"               // of an application or a service principal
	ObjectFederated      = "federated_credential" // trust in tokens of another issuer
	ObjectRole           = "directory_role"       // role held by an app, itself or by a group
	ObjectRoleDefinition = "role_definition"      // name of a role
	ObjectPolicy         = "policy"               // of the tenant: on consent, on credentials
	ObjectConsentRequest = "consent_request"      // users ask an administrator for an app
	ObjectAppUse         = "app_use"              // when an app was last used, as the provider counts
	ObjectCredentialUse  = "credential_use"       // when a credential was last used
	ObjectAppRisk        = "app_risk"             // the provider's own verdict on a workload identity
	ObjectGovernance     = "app_governance"       // what the provider's app governance says of an app
	ObjectAppCalls       = "app_calls"            // calls of an app to the provider's API
	ObjectEligibleRole   = "eligible_role"        // role that a group may activate to which an app belongs
)

// Object is one inventory observation: a directory object as read, or its
// removal. Exactly one of App, Grant and Trait is set unless it is a bare removal.
type Object struct {
	Kind    string
	ID      string // upstream object id
	Removed string // "" present, "changed" (soft-deleted, may come back), "deleted"
	App     *AppObject
	Grant   *GrantObject
	Content ID
	Trait   *Trait
}

// Trait is what a source tells of an app beside its registration, its service
// principal and its grants; of the tenant where About is empty.
type Trait struct {
	About      string     // object id or client id of the app
	Properties []Property // sorted by name, none twice
}

// Property is one named set of values; times are RFC 3339 in UTC.
type Property struct {
	Name   string
	Values []string // sorted
}

// Set is t with a property more; values are sorted, empty ones left out, and a
// property without values is none.
func (t *Trait) Set(name string, values ...string) {
	values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })
	if len(values) == 0 {
		return
	}
	slices.Sort(values)
	p := Property{Name: name, Values: slices.Compact(values)}
	i, _ := slices.BinarySearchFunc(t.Properties, name, func(p Property, name string) int { return strings.Compare(p.Name, name) })
	t.Properties = slices.Insert(t.Properties, i, p)
}

// Values are those of a property, nil where there is none.
func (t *Trait) Values(name string) []string {
	i, ok := slices.BinarySearchFunc(t.Properties, name, func(p Property, name string) int { return strings.Compare(p.Name, name) })
	if !ok {
		return nil
	}
	return t.Properties[i].Values
}

// Value is the first value of a property, "" where there is none.
func (t *Trait) Value(name string) string {
	if v := t.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Time is a property that is a time, zero where there is none.
func (t *Trait) Time(name string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, t.Value(name))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// AppObject is an application registration or a service principal. Delta
// answers may carry only some properties: Has says which are meaningful; the
// inventory merges by it.
type AppObject struct {
	Has                 AppField
	AppID               string
	Name                string
	Kind                string // servicePrincipalType: "Application", "ManagedIdentity", "Legacy", "ServiceIdentity"
	OwnerTenant         string // appOwnerOrganizationId; for applications the tenant itself
	PublisherName       string
	PublisherDomain     string
	VerifiedPublisher   string // display name; empty = not verified
	VerifiedPublisherID string
	SignInAudience      string
	Enabled             bool
	DisabledByMicrosoft string
	Homepage            string
	ReplyURLs           []string // of a service principal
	IdentifierURIs      []string
	Tags                []string
	Created             time.Time
	Credentials         []Credential
	Roles               []RoleDef // permissions that this app offers (resource apps)
	Owners              []string
	WebURLs             []string // reply URLs of a registration, by platform
	SPAURLs             []string
	ClientURLs          []string // of public clients
}

// AppField is a set of properties of AppObject.
type AppField uint64

// Properties of AppObject.
const (
	HasAppID AppField = 1 << iota
	HasName
	HasKind
	HasOwnerTenant
	HasPublisherName
	HasPublisherDomain
	HasVerifiedPublisher
	HasSignInAudience
	HasEnabled
	HasDisabledByMicrosoft
	HasHomepage
	HasReplyURLs
	HasIdentifierURIs
	HasTags
	HasCreated
	HasPasswords // Credentials holds all password credentials
	HasKeys      // Credentials holds all key credentials
	HasAppRoles  // Roles holds all application permissions
	HasOwners
	HasScopes // Roles holds all delegated permissions
	HasWebURLs
	HasSPAURLs
	HasClientURLs
)

// RoleDef is one permission that a resource app offers.
type RoleDef struct {
	ID    string
	Value string // "Mail.Read"
	Kind  string // "delegated" or "application"
}

// GrantObject is a delegated grant or an application permission. Client and
// Resource are service principal object ids.
type GrantObject struct {
	Client      string
	Resource    string
	ConsentType string   // "all_principals", "principal"; empty for application permissions
	Principal   string   // consenting user, for "principal"
	Scopes      []string // delegated: scope names, sorted
	RoleID      string   // application: app role id
	ClientName  string
	Created     time.Time // zero where the API has no timestamp (delegated, v1.0)
}

// Sync tells the inventory which full read a page belongs to. Objects of
// Kinds (within Scope) that a complete generation did not show are removed when the page
// with Complete arrives, and only then: a 410 never causes a false "removed".
type Sync struct {
	Scope      string // e.g. "applications" or "app_role_assignments/<resource id>"
	Kind       string // object kind
	Parent     string // for scopes below one resource: the resource's object id, else ""
	Generation uint64 // 0 = incremental delta page: no sweep
	Complete   bool   // last page of the generation, or of a round of changes
	Baseline   bool   // first generation ever of this scope: nothing is "added"
}

// AppView is what the inventory knows of one app at one moment: the part of a
// rule's environment below `app.` that events themselves do not carry. It is a
// value made for one evaluation; nobody keeps it.
type AppView struct {
	ID, ObjectID, AppID string
	Name                string
	Kind                string
	OwnerTenant         string
	Origin              string // "own", "external", "first_party", ""
	PublisherName       string
	PublisherDomain     string
	PublisherVerified   bool
	VerifiedPublisher   string
	Enabled             bool
	FirstSeen, LastSeen time.Time // as the inventory saw it
	Created             time.Time
	LastUsed            time.Time // newest sign-in seen; zero = none seen
	UsedKnown           bool      // whether sign-ins are collected, so that a zero LastUsed means unused
	UsedSince           time.Time // sign-ins are known from here on
	UsedThrough         time.Time // and up to here
	Tier                int8      // lowest (worst) tier over all permissions; 0 unknown
	Delegated           []Permission
	Application         []Permission
	TenantWide          bool // has an all-principals grant
	Users               int  // distinct consenting users
	Credentials         []Credential
	ReplyURLs           []string
	Owners              []string
	OwnersKnown         bool       // whether owners are collected, so that none means none
	Traits              *AppTraits // nil: no source tells of any
}

// AppTraits is what further sources tell of an app. What Known does not name was
// not read, so that an empty value means nothing. It is read only.
type AppTraits struct {
	Known            map[string]bool      // by kind of trait: read whole at least once
	Roles            []string             // directory roles that it holds, by name where known, sorted
	EligibleRoles    []string             // roles that a group may activate to which it belongs
	FederatedIssuers []string             // whose tokens it trusts
	ConsentRequests  int                  // users who wait for an administrator's consent
	CredentialUse    map[string]time.Time // by key id: last use
	RiskLevel        string               // the provider's: "low", "medium", "high", "none", "hidden"
	RiskState        string               // "atRisk", "confirmedCompromised", "remediated", "dismissed", "none"
	GovernanceScore  int                  // 1 to 100 of the provider's app governance; 0 = unknown
	PrivilegeLevel   string               // "low", "medium", "high"
	Unused           []string             // permissions that were granted and never used
	Services         []string             // workloads that it called
}
