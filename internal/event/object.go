package event

import "time"

// Object kinds.
const (
	ObjectApplication       = "application"         // app registration (own tenant)
	ObjectServicePrincipal  = "service_principal"   // app as present in the tenant
	ObjectDelegatedGrant    = "delegated_grant"     // oauth2PermissionGrant
	ObjectAppRoleAssignment = "app_role_assignment" // application permission held by an app
)

// Object is one inventory observation: a directory object as read, or its
// removal. Exactly one of App and Grant is set unless it is a bare removal.
type Object struct {
	Kind    string
	ID      string // upstream object id
	Removed string // "" present, "changed" (soft-deleted, may come back), "deleted"
	App     *AppObject
	Grant   *GrantObject
	Content ID
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
	OwnersKnown         bool // whether owners are collected, so that none means none
}
