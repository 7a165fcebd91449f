package event

// Canonical actions. A rule's `on` names these; an unknown one is an error
// with a suggestion. The names are the same for every provider.
const (
	ActionAppRegistered       = "app.registered"
	ActionAppAdded            = "app.added"
	ActionAppUpdated          = "app.updated"
	ActionAppDeleted          = "app.deleted"
	ActionAppRemoved          = "app.removed"
	ActionAppRestored         = "app.restored"
	ActionAppDisabled         = "app.disabled"
	ActionAppEnabled          = "app.enabled"
	ActionCredentialAdded     = "app.credential.added"
	ActionCredentialRemoved   = "app.credential.removed"
	ActionCredentialUpdated   = "app.credential.updated"
	ActionConsentGranted      = "app.consent.granted"
	ActionConsentRevoked      = "app.consent.revoked"
	ActionPermissionGranted   = "app.permission.granted"
	ActionPermissionRevoked   = "app.permission.revoked"
	ActionOwnerAdded          = "app.owner.added"
	ActionOwnerRemoved        = "app.owner.removed"
	ActionRoleAssigned        = "app.role.assigned"
	ActionRoleUnassigned      = "app.role.unassigned"
	ActionPublisherChanged    = "app.publisher.changed"
	ActionPolicyChanged       = "policy.changed"
	ActionAppSignIn           = "app.signin"
	ActionUserSignIn          = "user.signin"
	ActionUpstreamAlert       = "alert.upstream"
	ActionOther               = "directory.other"
	ActionInvAppAdded         = "inventory.app.added"
	ActionInvAppRemoved       = "inventory.app.removed"
	ActionInvAppChanged       = "inventory.app.changed"
	ActionInvGrantAdded       = "inventory.grant.added"
	ActionInvGrantRemoved     = "inventory.grant.removed"
	ActionInvGrantChanged     = "inventory.grant.changed"
	ActionInvGrantUnexplained = "inventory.grant.unexplained"
	ActionInvCredentialAdded  = "inventory.credential.added"
	ActionInvCredentialGone   = "inventory.credential.removed"
	ActionInvRoleAdded        = "inventory.role.added"
	ActionInvRoleRemoved      = "inventory.role.removed"
	ActionInvPolicyChanged    = "inventory.policy.changed"
	ActionInvConsentRequested = "inventory.consent.requested"
	ActionInvRiskChanged      = "inventory.risk.changed"
	ActionRiskDetected        = "app.risk.detected"
	ActionRiskChanged         = "app.risk.changed"
	ActionAppActivity         = "app.activity"
	ActionAppCall             = "app.call"
)

// ActionInfo documents one canonical action.
type ActionInfo struct{ Name, Doc string }

// Actions lists every canonical action in the order of the reference.
func Actions() []ActionInfo {
	return []ActionInfo{
		{ActionAppRegistered, "an app registration was created in the tenant"},
		{ActionAppAdded, "an app (service principal) appeared in the tenant"},
		{ActionAppUpdated, "a property of an app or its registration changed"},
		{ActionAppDeleted, "an app registration was deleted"},
		{ActionAppRemoved, "an app (service principal) was removed from the tenant"},
		{ActionAppRestored, "a deleted app or registration was restored"},
		{ActionAppDisabled, "an app was disabled"},
		{ActionAppEnabled, "an app was enabled again"},
		{ActionCredentialAdded, "a secret, certificate or federated credential was added"},
		{ActionCredentialRemoved, "a secret, certificate or federated credential was removed"},
		{ActionCredentialUpdated, "the credentials of an app changed in a way that names neither side"},
		{ActionConsentGranted, "a user or an administrator consented to an app"},
		{ActionConsentRevoked, "consent to an app was withdrawn"},
		{ActionPermissionGranted, "a delegated scope or an application permission was granted to an app"},
		{ActionPermissionRevoked, "a delegated scope or an application permission was taken from an app"},
		{ActionOwnerAdded, "an owner was added to an app or its registration"},
		{ActionOwnerRemoved, "an owner was removed from an app or its registration"},
		{ActionRoleAssigned, "a directory role was given to an app"},
		{ActionRoleUnassigned, "a directory role was taken from an app"},
		{ActionPublisherChanged, "the verified publisher of an app was set or unset"},
		{ActionPolicyChanged, "a directory policy that governs apps or consent changed"},
		{ActionAppSignIn, "an app signed in as itself (service principal or managed identity)"},
		{ActionUserSignIn, "a user signed in to an app"},
		{ActionUpstreamAlert, "the provider's own app-governance alert, or an update of it"},
		{ActionOther, "another record of the directory audit"},
		{ActionInvAppAdded, "the inventory saw an app for the first time after the first sync"},
		{ActionInvAppRemoved, "an app left the inventory"},
		{ActionInvAppChanged, "a property of an app differs from what the inventory knew"},
		{ActionInvGrantAdded, "the inventory saw a grant for the first time after the first sync"},
		{ActionInvGrantRemoved, "a grant left the inventory"},
		{ActionInvGrantChanged, "the scopes of a grant differ from what the inventory knew"},
		{ActionInvGrantUnexplained, "a grant appeared with no audit event behind it, and the audit log is complete past that time"},
		{ActionInvCredentialAdded, "the inventory saw a credential for the first time after the first sync"},
		{ActionInvCredentialGone, "a credential left the inventory"},
		{ActionInvRoleAdded, "the inventory saw a directory role of an app for the first time after the first sync"},
		{ActionInvRoleRemoved, "a directory role of an app left the inventory"},
		{ActionInvPolicyChanged, "a policy on consent or on credentials of apps appeared, changed or went"},
		{ActionInvConsentRequested, "users ask an administrator to consent to an app, more of them than before or for other scopes"},
		{ActionInvRiskChanged, "the provider's verdict on an app differs from what the inventory knew"},
		{ActionRiskDetected, "the provider detected a risk of a workload identity"},
		{ActionRiskChanged, "an entry of the history of the provider's verdict on a workload identity"},
		{ActionAppActivity, "what an app did in the provider's services, as Defender records it"},
		{ActionAppCall, "an app called the provider's API, itself or on behalf of a user"},
	}
}
