package normalise

import (
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

type hasFunc = func(name string, bit event.AppField) bool

func replyURLs(a *event.AppObject, o object, has hasFunc) {
	if has("replyUrls", event.HasReplyURLs) {
		a.ReplyURLs = sorted(o.strs("replyUrls"))
	}
	platform := func(name string, bit event.AppField, dst *[]string) {
		if has(name, bit) {
			*dst = sorted(o.object(name).strs("redirectUris"))
		}
	}
	platform("web", event.HasWebURLs, &a.WebURLs)
	platform("spa", event.HasSPAURLs, &a.SPAURLs)
	platform("publicClient", event.HasClientURLs, &a.ClientURLs)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// credentials keeps ids, names and validity: never a secret or its hint.
func credentials(a *event.AppObject, o object, has hasFunc) {
	add := func(name, kind string) {
		for _, c := range o.objects(name) {
			a.Credentials = append(a.Credentials, event.Credential{
				KeyID: c.str("keyId"), Kind: kind, Name: c.str("displayName"), Thumbprint: c.str("customKeyIdentifier"), Start: c.time("startDateTime"), End: c.time("endDateTime"),
			})
		}
	}
	if has("passwordCredentials", event.HasPasswords) {
		add("passwordCredentials", "password")
	}
	if has("keyCredentials", event.HasKeys) {
		add("keyCredentials", "certificate")
	}
}

func roles(a *event.AppObject, o object, has hasFunc) {
	add := func(list []object, kind string) {
		for _, r := range list {
			a.Roles = append(a.Roles, event.RoleDef{ID: r.str("id"), Value: r.str("value"), Kind: kind})
		}
	}
	if has("appRoles", event.HasAppRoles) {
		add(o.objects("appRoles"), "application")
	}
	if has("oauth2PermissionScopes", event.HasScopes) {
		add(o.objects("oauth2PermissionScopes"), "delegated")
	}
	if has("api", event.HasScopes) {
		add(o.object("api").objects("oauth2PermissionScopes"), "delegated")
	}
}

// DelegatedGrant decodes an oAuth2PermissionGrant; its scope may begin with a
// space. https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant
func (d *Decoder) DelegatedGrant(raw []byte) (event.Object, error) {
	return with(d, raw, (*work).delegatedGrant)
}

func (w *work) delegatedGrant(o object) (event.Object, error) {
	out, err := w.start(event.ObjectDelegatedGrant, o)
	if err != nil || out.Removed != "" {
		return out, err
	}
	scopes := strings.Fields(o.str("scope"))
	slices.Sort(scopes)
	out.Grant = &event.GrantObject{Client: o.str("clientId"), Resource: o.str("resourceId"), ConsentType: consentType(o.str("consentType")), Principal: o.str("principalId"), Scopes: slices.Compact(scopes)}
	return out, nil
}

func consentType(s string) string {
	switch s {
	case "AllPrincipals":
		return "all_principals"
	case "Principal":
		return "principal"
	}
	return ""
}

// AppRoleAssignment decodes an application permission that an app holds. The same
// list holds what users and groups were assigned: to the inventory of apps such an
// assignment is one that does not exist.
// https://learn.microsoft.com/graph/api/resources/approleassignment
func (d *Decoder) AppRoleAssignment(raw []byte) (event.Object, error) {
	return with(d, raw, (*work).appRoleAssignment)
}

func (w *work) appRoleAssignment(o object) (event.Object, error) {
	out, err := w.start(event.ObjectAppRoleAssignment, o)
	if err != nil || out.Removed != "" {
		return out, err
	}
	if t := o.str("principalType"); t != "" && t != "ServicePrincipal" {
		out.Removed = "deleted" // held by a user or a group: no grant to an app
		return out, nil
	}
	out.Grant = &event.GrantObject{Client: o.str("principalId"), Resource: o.str("resourceId"), RoleID: o.str("appRoleId"), ClientName: o.str("principalDisplayName"), Created: o.time("createdDateTime")}
	return out, nil
}
