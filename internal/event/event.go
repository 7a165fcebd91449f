// Package event owns the vocabulary that every part of appgovd shares: the
// canonical event, the inventory objects, the alert, the page that a source
// reads and the frame that the ledger stores. It knows no vendor, no HCL, no
// logger and no file.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// ID identifies a record, an alert or a delivery for ever. It is the first 16
// bytes of a SHA-256 over length-prefixed parts (see NewID).
type ID [16]byte

// NewID hashes parts, each prefixed by its length, so that ("ab","c") and
// ("a","bc") differ.
func NewID(parts ...string) ID {
	var room [256]byte
	b := room[:0]
	for _, p := range parts {
		b = appendPart(b, p)
	}
	return HashContent(b)
}

// Naming makes the ids of records whose first parts are the same: those of one class
// of a tenant.
type Naming struct{ prefix []byte }

// NewNaming returns the naming of first parts.
func NewNaming(parts ...string) Naming {
	var n Naming
	for _, p := range parts {
		n.prefix = appendPart(n.prefix, p)
	}
	return n
}

// ID is NewID of the first parts and last.
func (n Naming) ID(last string) ID {
	var room [256]byte
	return HashContent(appendPart(append(room[:0], n.prefix...), last))
}

func appendPart(b []byte, part string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
}

// HashContent is the content hash of a record: of the record itself, never of
// its transport envelope.
func HashContent(record []byte) ID {
	sum := sha256.Sum256(record)
	var id ID
	copy(id[:], sum[:])
	return id
}

// String is 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText encodes id as hexadecimal.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText decodes 32 hexadecimal digits.
func (id *ID) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(id) {
		return fmt.Errorf("parse id: %d characters, want %d", len(b), 2*len(id))
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// Record classes. One source per class and tenant; a second is a configuration
// error, because both would report the same records.
const (
	ClassAudit     = "audit"     // directory audits
	ClassSignIn    = "signin"    // user, service principal, managed identity sign-ins
	ClassInventory = "inventory" // derived from inventory differences
	ClassAlert     = "alert"     // alerts of the provider itself
	ClassRisk      = "risk"      // the provider's own risk detections of workload identities
	ClassActivity  = "activity"  // what apps did in the provider's services
	ClassCall      = "call"      // requests of apps to the provider's API
)

// Classes are all of them.
func Classes() []string {
	return []string{ClassAudit, ClassSignIn, ClassInventory, ClassAlert, ClassRisk, ClassActivity, ClassCall}
}

// Result of what an event tells. Unknown is the zero value.
type Result string

// Results.
const (
	ResultUnknown Result = ""
	ResultSuccess Result = "success"
	ResultFailure Result = "failure"
)

// Actor and entity types.
const (
	TypeUser             = "user"
	TypeApp              = "app" // a service principal or application acting by itself
	TypeService          = "service"
	TypeServicePrincipal = "service_principal"
	TypeApplication      = "application"
	TypeRole             = "role"
	TypePolicy           = "policy"
	TypeOther            = "other"
)

// Event is one canonical record. It is immutable once appended. Strings are
// empty where the provider did not say; times are UTC, zero where unknown.
type Event struct {
	ID         ID     // NewID(provider, tenant, upstream id)
	Content    ID     // HashContent over the record
	Version    uint32 // 0 at first; n for the n-th other content of a known ID (set by ingest)
	Provider   string // "entra"
	Tenant     string // tenant id (a GUID for Entra)
	Source     string // key of the source that read it: "entra/contoso/directory_audits"
	Class      string
	UpstreamID string

	Time     time.Time // when it happened
	Observed time.Time // when we read it

	Action        string // canonical action, see Actions
	Activity      string // the provider's own name for it, as written
	Category      string // the provider's category
	Service       string // the provider's logging service
	Result        Result
	ResultCode    string
	ResultReason  string
	CorrelationID string

	Backfill bool // older than the source's start, or read in its first sync
	Derived  bool // made by the inventory from a difference, not read from a record

	Actor      Actor
	App        App    // the app that the event is about
	Target     Entity // what was changed, where it is not App
	Resource   Entity // the API (resource app) that access was given to or used
	Origin     Origin // where it came from on the network
	Credential Credential
	Consent    Consent
	SignIn     SignIn

	Permissions []Permission // granted or revoked by this event (set difference, never the whole list)
	Changes     []Change     // modified properties by name, old and new as sets
	Details     []Detail     // additional details by name
	Upstream    *Upstream    // set for ClassAlert
	Call        *Call        // set for ClassCall

	Notes []string // lookups that failed, oddities of the record; closed vocabulary "room: what"
	Raw   []byte   // the record as read (JSON), without transport envelope; never changed, other fields may lie in it
}

// Actor is who did it.
type Actor struct {
	Type  string // TypeUser, TypeApp, TypeService or ""
	ID    string // object id
	Name  string
	UPN   string // user principal name, for users
	AppID string // client id, for apps, where the provider says it or the inventory knows it
}

// App is an app as the event names it. ID is the object id of the service
// principal in the tenant; ObjectID that of the application registration.
type App struct {
	ID          string // service principal object id
	ObjectID    string // application object id
	AppID       string // client id
	Name        string
	OwnerTenant string
}

// Clone is a with strings of its own: those of an event may lie in its record, which
// they keep in memory.
func (a App) Clone() App {
	return App{strings.Clone(a.ID), strings.Clone(a.ObjectID), strings.Clone(a.AppID), strings.Clone(a.Name), strings.Clone(a.OwnerTenant)}
}

// Clone is a with strings of its own.
func (a Actor) Clone() Actor {
	return Actor{strings.Clone(a.Type), strings.Clone(a.ID), strings.Clone(a.Name), strings.Clone(a.UPN), strings.Clone(a.AppID)}
}

// Key is the app's identity for ordering and grouping: AppID where known, else
// the service principal's or the registration's object id.
func (a App) Key() string {
	switch {
	case a.AppID != "":
		return a.AppID
	case a.ID != "":
		return a.ID
	default:
		return a.ObjectID
	}
}

// Entity is another object of the directory.
type Entity struct {
	Type  string
	ID    string
	AppID string // for resource apps
	Name  string
	UPN   string
}

// Origin is where a request came from. ASN 0 and empty strings mean unknown.
type Origin struct {
	IP        string
	ASN       uint32
	ASOrg     string
	Country   string // ISO 3166-1 alpha-2
	City      string
	UserAgent string
}

// Credential is the one credential that an event or an inventory object names.
// Secret values and hints are never kept.
type Credential struct {
	KeyID      string
	Kind       string // "password", "certificate", "federated", ""
	Name       string
	Thumbprint string
	Start, End time.Time
	Issuer     string // federated: whose tokens are trusted
	Subject    string // federated: which of them
}

// Consent is what a consent or a grant says of itself.
type Consent struct {
	Type     string // "all_principals" (tenant-wide), "principal" (one user), ""
	Admin    bool   // given by an administrator
	AdminSet bool   // whether Admin is known
	AppOnly  bool
	OnBehalf string // principal id, for Type "principal"
	Scopes   []string
}

// Permission is one permission on one resource.
type Permission struct {
	Kind     string // "delegated" or "application"
	Name     string // "Mail.Read"
	ID       string // role or scope id where known
	Resource string // resource service principal object id
	API      string // resource app id or name where known
	Removed  bool   // revoked by this event
	Tier     int8   // 0 = unknown (not enriched), 1 (control plane) .. 4 (harmless)
}

// Change is one modified property; absent old values are empty sets.
type Change struct {
	Name     string
	Old, New []string
}

// Detail is one additional name and value.
type Detail struct{ Name, Value string }

// SignIn is the sign-in part of an event.
type SignIn struct {
	Kind                string // "interactive", "non_interactive", "service_principal", "managed_identity"
	CredentialType      string
	CredentialKeyID     string
	Thumbprint          string
	Protocol            string
	ClientApp           string
	UserType            string
	RiskLevel           string
	ConditionalAccess   string // "success", "failure", "not_applied", "report_only", ""
	UniqueToken         string
	SessionID           string
	ResourceOwnerTenant string
}

// Upstream is what the provider's own alert says, for events of ClassAlert.
type Upstream struct {
	AlertID         string
	ProviderAlertID string
	Status          string // "new", "in_progress", "resolved", "unknown"
	Severity        Severity
	Title           string
	Description     string // markup stripped
	DetectionSource string // the provider's enumeration value
	ServiceSource   string
	Category        string
	Techniques      []string
	PolicyID        string
	Classification  string
	URL             string
	IncidentURL     string
	Created         time.Time
	Updated         time.Time
	Resolved        time.Time
}
