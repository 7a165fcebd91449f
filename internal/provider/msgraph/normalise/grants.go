package normalise

import (
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// consented is one scope of one entry of ConsentAction.Permissions.
type consented struct{ resource, kind, principal, scope string }

// consent diffs the grants that the record tells as text, entry by entry:
// "[[Id: …, ResourceId: …, ConsentType: …, Scope: …]] => [[…], […]]". The same
// scope given to a second user, or to all users instead of one, is new.
func consent(e *event.Event, f finder) {
	if c, ok := f.get("ConsentContext.IsAdminConsent"); ok {
		e.Consent.AdminSet, e.Consent.Admin = true, strings.EqualFold(one(c.New), "true")
	}
	e.Consent.AppOnly = strings.EqualFold(f.value("ConsentContext.IsAppOnly"), "true")
	c, _ := f.get("ConsentAction.Permissions")
	before, after, arrow := strings.Cut(strings.Join(c.New, " "), "=>")
	if !arrow {
		before, after = strings.Join(c.Old, " "), before
	}
	was, now := consentedIn(before), consentedIn(after)
	added, taken := without(now, was), without(was, now)
	consentKind(e, first(added, first(now, taken)))
	if e.Consent.Type == "" && strings.EqualFold(f.value("ConsentContext.OnBehalfOfAll"), "true") {
		e.Consent.Type = "all_principals"
	}
	e.Consent.Scopes, e.Permissions = slices.Grow(e.Consent.Scopes, len(added)), slices.Grow(e.Permissions, len(added))
	for _, x := range added {
		if x.scope != "" && !slices.Contains(e.Consent.Scopes, x.scope) {
			e.Consent.Scopes = append(e.Consent.Scopes, x.scope)
		}
		addDelegated(e, x, false)
	}
	if api := onlyResource(added); api != "" {
		e.Resource = event.Entity{Type: event.TypeServicePrincipal, ID: api}
	}
	for _, x := range taken {
		held := func(y consented) bool { return y.resource == x.resource && y.scope == x.scope }
		if !slices.ContainsFunc(now, held) || e.Action == event.ActionConsentRevoked {
			addDelegated(e, x, true)
		}
	}
}

// consentKind says for whom the entries hold: for all where one of them does.
func consentKind(e *event.Event, entries []consented) {
	for _, x := range entries {
		if kind := consentType(x.kind); e.Consent.Type == "" || kind == "all_principals" {
			e.Consent.Type, e.Consent.OnBehalf = kind, x.principal
		}
	}
}

// onlyResource is the API of all entries, "" where there are several.
func onlyResource(entries []consented) string {
	api := ""
	for i, x := range entries {
		if i > 0 && x.resource != api {
			return ""
		}
		api = x.resource
	}
	return api
}

func first(a, b []consented) []consented {
	if len(a) > 0 {
		return a
	}
	return b
}

// consentedIn reads the entries of one side; an entry without a scope is one
// with the empty scope, so that its kind is not lost.
func consentedIn(s string) []consented {
	var out []consented
	for entry := range strings.SplitSeq(s, "[") {
		entry, _, _ = strings.Cut(entry, "]")
		if !strings.Contains(entry, ":") {
			continue
		}
		scopes := strings.Fields(labelled(entry, "Scope:"))
		if len(scopes) == 0 {
			scopes = []string{""}
		}
		x := consented{labelled(entry, "ResourceId:"), labelled(entry, "ConsentType:"), labelled(entry, "PrincipalId:"), ""}
		out = slices.Grow(out, len(scopes))
		for _, x.scope = range scopes {
			out = append(out, x)
		}
	}
	return out
}

// labelled is the text behind a label, up to the next comma or bracket.
func labelled(s, label string) string {
	_, rest, ok := strings.Cut(s, label)
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, ",]"); i >= 0 {
		rest = rest[:i]
	}
	if rest = strings.TrimSpace(rest); rest == nilGUID {
		return ""
	}
	return rest
}

func without(a, b []consented) []consented {
	if len(b) == 0 {
		return a
	}
	var out []consented
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

func addDelegated(e *event.Event, x consented, removed bool) {
	p := event.Permission{Kind: "delegated", Name: x.scope, Resource: x.resource, Removed: removed}
	if x.scope != "" && !slices.Contains(e.Permissions, p) {
		e.Permissions = append(e.Permissions, p)
	}
}

// permission reads a delegated grant (scopes old against new) or an app role.
func permission(e *event.Event, f finder) {
	e.Consent.Type = consentType(f.value("DelegatedPermissionGrant.ConsentType"))
	if e.Consent.Type != "" {
		e.Consent.AdminSet, e.Consent.Admin = true, e.Consent.Type == "all_principals"
	}
	api := or(e.Resource.AppID, e.Resource.Name)
	if c, ok := f.get("DelegatedPermissionGrant.Scope"); ok {
		was, now := strings.Fields(strings.Join(c.Old, " ")), strings.Fields(strings.Join(c.New, " "))
		if e.Action == event.ActionPermissionRevoked && len(now) > 0 && len(was) == 0 {
			was, now = now, nil
		}
		e.Consent.Scopes = minus(now, was)
		for _, s := range e.Consent.Scopes {
			e.Permissions = append(e.Permissions, event.Permission{Kind: "delegated", Name: s, Resource: e.Resource.ID, API: api})
		}
		for _, s := range minus(was, now) {
			e.Permissions = append(e.Permissions, event.Permission{Kind: "delegated", Name: s, Resource: e.Resource.ID, API: api, Removed: true})
		}
	}
	if v, id := f.value("AppRole.Value"), f.value("AppRole.Id"); v != "" || id != "" {
		e.Permissions = append(e.Permissions, event.Permission{Kind: "application", Name: v, ID: id, Resource: e.Resource.ID, API: api,
			Removed: e.Action == event.ActionPermissionRevoked})
	}
}

// credential diffs KeyDescription, a list of "[KeyIdentifier=…,KeyType=…,
// KeyUsage=…,DisplayName=…]" before and after, by key: a new name makes no new
// credential. An update that touches no key stays what it was.
func credential(e *event.Event, f finder) {
	c, ok := f.get("KeyDescription")
	if !ok {
		return
	}
	was, now := keysIn(c.Old), keysIn(c.New)
	added, removed := lacking(now, was), lacking(was, now)
	text := ""
	switch {
	case len(added) > 0:
		e.Action, text = event.ActionCredentialAdded, added[0]
	case len(removed) > 0:
		e.Action, text = event.ActionCredentialRemoved, removed[0]
	case len(minus(c.New, c.Old)) > 0:
		e.Action, text = event.ActionCredentialUpdated, minus(c.New, c.Old)[0]
	default:
		return
	}
	e.Credential = event.Credential{KeyID: labelled(text, "KeyIdentifier="), Kind: credentialKind(labelled(text, "KeyType=")), Name: keyName(text)}
}

// key is one description of a credential and what identifies it.
type key struct{ id, text string }

func keysIn(list []string) []key {
	var out []key
	for _, s := range list {
		id := labelled(s, "KeyIdentifier=")
		out = append(out, key{strings.ToLower(or(id, s)), s})
	}
	return out
}

func lacking(a, b []key) []string {
	var out []string
	for _, k := range a {
		if !slices.ContainsFunc(b, func(x key) bool { return x.id == k.id }) {
			out = append(out, k.text)
		}
	}
	return out
}

// keyName is the last member of a description: a name may hold commas and
// brackets of its own.
func keyName(text string) string {
	_, name, _ := strings.Cut(text, "DisplayName=")
	return strings.TrimSpace(strings.TrimSuffix(name, "]"))
}

func credentialKind(s string) string {
	s = strings.ToLower(s)
	switch {
	case strings.Contains(s, "password"):
		return "password"
	case strings.Contains(s, "x509"), strings.Contains(s, "cert"):
		return "certificate"
	}
	return s
}
