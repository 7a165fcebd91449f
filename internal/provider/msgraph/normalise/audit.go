package normalise

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
)

// actionOf maps an activity, as fold writes it, to its canonical action.
// https://learn.microsoft.com/entra/identity/monitoring-health/reference-audit-activities
func actionOf(activity string) string {
	switch fold(activity) {
	case "add application":
		return event.ActionAppRegistered
	case "add service principal":
		return event.ActionAppAdded
	case "update application", "update service principal", "update application with safe rollout":
		return event.ActionAppUpdated
	case "delete application", "hard delete application":
		return event.ActionAppDeleted
	case "remove service principal", "hard delete service principal":
		return event.ActionAppRemoved
	case "restore application", "restore service principal":
		return event.ActionAppRestored
	case "disable account":
		return event.ActionAppDisabled
	case "add service principal credentials":
		return event.ActionCredentialAdded
	case "remove service principal credentials":
		return event.ActionCredentialRemoved
	case "update application - certificates and secrets management", "update external secrets":
		return event.ActionCredentialUpdated
	case "consent to application", "restore consent":
		return event.ActionConsentGranted
	case "remove consent":
		return event.ActionConsentRevoked
	case "add delegated permission grant", "add app role assignment to service principal", "add oauth2permissiongrant":
		return event.ActionPermissionGranted
	case "remove delegated permission grant", "remove app role assignment from service principal", "remove oauth2permissiongrant":
		return event.ActionPermissionRevoked
	case "add owner to application", "add owner to service principal":
		return event.ActionOwnerAdded
	case "remove owner from application", "remove owner from service principal":
		return event.ActionOwnerRemoved
	case "set verified publisher", "unset verified publisher":
		return event.ActionPublisherChanged
	case "create company settings", "update company settings", "delete company settings": // directory settings, those on consent among them
		return event.ActionPolicyChanged
	case "add permission grant policy", "update permission grant policy", "delete permission grant policy":
		return event.ActionPolicyChanged
	case "update authorization policy", "add policy to application", "add policy to service principal", "remove policy from application", "remove policy from service principal":
		return event.ActionPolicyChanged
	}
	return event.ActionOther
}

// fold makes the names of one activity equal: dashes of every kind, the trailing
// space of the certificates activity, the full stop of Office 365.
func fold(s string) string {
	s = strings.ToLower(s)
	if !isASCII(s) {
		for _, dash := range []string{"–", "—", "‑", "−"} {
			s = strings.ReplaceAll(s, dash, "-")
		}
	}
	if strings.Contains(s, "  ") || strings.ContainsAny(s, "\t\n\v\f\r") || !isASCII(s) {
		s = strings.Join(strings.Fields(s), " ")
	}
	return strings.TrimSuffix(strings.Trim(s, " "), ".")
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Audit decodes a record of auditLogs/directoryAudits.
// https://learn.microsoft.com/graph/api/resources/directoryaudit
func (d *Decoder) Audit(raw []byte) (e event.Event, err error) {
	w, o, err := d.begin(raw)
	if err == nil {
		err = w.audit(&e, o)
	}
	d.rest(w, len(raw))
	return e, err
}

func (w *work) audit(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassAudit, []string{"id", "Id"}, "activityDateTime", "ActivityDateTime"); err != nil {
		return err
	}
	e.Activity = o.str("activityDisplayName", "ActivityDisplayName", "OperationName")
	e.Category, e.Service = o.str("category", "Category"), o.str("loggedByService", "LoggedByService")
	e.Action = actionOf(e.Activity)
	switch strings.ToLower(o.str("result", "Result")) {
	case "success":
		e.Result = event.ResultSuccess
	case "failure", "timeout":
		e.Result = event.ResultFailure
	}
	e.ResultReason = o.str("resultReason", "ResultReason", "ResultDescription")
	initiator(e, o.object("initiatedBy", "InitiatedBy"))
	details := o.objects("additionalDetails", "AdditionalDetails")
	e.Details = slices.Grow(e.Details, len(details))
	for _, x := range details {
		e.Details = append(e.Details, event.Detail{Name: x.str("key"), Value: x.str("value")})
		if strings.EqualFold(x.str("key"), "User-Agent") {
			e.Origin.UserAgent = x.str("value")
		}
	}
	targets := o.objects("targetResources", "TargetResources")
	changes(e, targets)
	subject(e, targets)
	refine(e)
	return nil
}

// initiator tells user from app; either may be an explicit null, and an app's
// client id is missing on real records: the inventory joins by object id.
func initiator(e *event.Event, by object) {
	if u := by.object("user"); u.found() && (u.str("id") != "" || u.str("userPrincipalName") != "") {
		e.Actor = event.Actor{Type: event.TypeUser, ID: u.str("id"), Name: u.str("displayName"), UPN: u.str("userPrincipalName")}
		e.Origin.IP = u.str("ipAddress")
		return
	}
	if a := by.object("app"); a.found() {
		e.Actor = event.Actor{Type: event.TypeApp, ID: a.str("servicePrincipalId"), Name: a.str("displayName"), AppID: a.str("appId")}
		if e.Actor.ID == "" && e.Actor.AppID == "" {
			e.Actor.Type = event.TypeService
		}
	}
}

// changes collects the modified properties of all targets, by name.
func changes(e *event.Event, targets []object) {
	for _, t := range targets {
		properties := t.objects("modifiedProperties")
		e.Changes = slices.Grow(e.Changes, len(properties))
		t.t.room.makeLists(2 * len(properties))
		for _, p := range properties {
			c := event.Change{Name: p.str("displayName"), Old: p.set("oldValue"), New: p.set("newValue")}
			switch {
			case strings.EqualFold(c.Name, "Credential"):
				c.Old, c.New = nil, nil // names only, never values
			case strings.EqualFold(c.Name, "RequiredResourceAccess"):
				c.Old, c.New = t.t.room.requested(c.Old), t.t.room.requested(c.New)
			}
			if c.Name != "" {
				e.Changes = append(e.Changes, c)
			}
		}
	}
}

// requested is what a registration asks for, one element per permission: the API
// and the permission's id, so that old and new differ by what was added.
func (r *tapes) requested(list []string) []string {
	var out []string
	for _, s := range list {
		api := r.objectIn(s)
		for _, p := range api.objects("RequiredAppPermissions") {
			out = append(out, api.str("ResourceAppId")+"/"+p.str("EntitlementId"))
		}
	}
	if len(out) == 0 {
		return list
	}
	return out
}

// finder looks modified properties up by name, never by position.
type finder []event.Change

func (f finder) get(name string) (event.Change, bool) {
	for _, c := range f {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return event.Change{}, false
}

func (f finder) value(name string) string {
	c, _ := f.get(name)
	if v := one(c.New); v != "" {
		return v
	}
	return one(c.Old)
}

// became is the new value of a property that had another one.
func (f finder) became(name string) string {
	c, _ := f.get(name)
	if v := one(c.New); !strings.EqualFold(v, one(c.Old)) {
		return v
	}
	return ""
}

// subject finds the app, the target and the resource among the targets.
func subject(e *event.Event, targets []object) {
	if e.Action == event.ActionPermissionGranted || e.Action == event.ActionPermissionRevoked {
		grantSubject(e, targets)
		return
	}
	f := finder(e.Changes)
	for _, t := range targets {
		entity := entityOf(t)
		switch {
		case entity.Type == event.TypeServicePrincipal && e.App.ID == "":
			e.App.ID, e.App.Name = entity.ID, entity.Name
		case entity.Type == event.TypeApplication && e.App.ObjectID == "":
			e.App.ObjectID, e.App.Name = entity.ID, entity.Name
		case e.Target.ID == "" && e.Target.Name == "":
			e.Target = entity
		}
	}
	e.App.AppID = or(f.value("AppId"), appIDOf(f.value("TargetId.ServicePrincipalNames")))
	for _, x := range e.Details {
		if strings.EqualFold(x.Name, "AppId") && e.App.AppID == "" {
			e.App.AppID = x.Value
		}
	}
}

func entityOf(t object) event.Entity {
	return event.Entity{Type: targetType(t.str("type")), ID: t.str("id"), Name: t.str("displayName"), UPN: t.str("userPrincipalName")}
}

// grantSubject tells the client of a grant from its resource. The client stands
// in properties named ServicePrincipal.*, often as a further target; the
// resource is the other service principal, first of all the one whose modified
// properties describe the grant. Neither has a place of its own.
func grantSubject(e *event.Event, targets []object) {
	f := finder(e.Changes)
	e.App = event.App{ID: f.value("ServicePrincipal.ObjectID"), AppID: f.value("ServicePrincipal.AppId"), Name: f.value("ServicePrincipal.DisplayName")}
	var resource object
	for _, t := range targets {
		entity := entityOf(t)
		switch {
		case entity.Type != event.TypeServicePrincipal:
			if e.Target.ID == "" && e.Target.Name == "" {
				e.Target = entity
			}
		case entity.ID != "" && entity.ID == e.App.ID:
			e.App.Name = or(e.App.Name, entity.Name)
		case !resource.found() || describesGrant(t) && !describesGrant(resource):
			resource = t
		}
	}
	if !resource.found() {
		return
	}
	e.Resource = entityOf(resource)
	var own event.Event
	changes(&own, []object{resource})
	e.Resource.AppID = appIDOf(finder(own.Changes).value("TargetId.ServicePrincipalNames"))
	for _, t := range targets { // a client that no property names is the other principal
		if entity := entityOf(t); e.App.Key() == "" && entity.Type == event.TypeServicePrincipal && entity.ID != e.Resource.ID {
			e.App.ID, e.App.Name = entity.ID, entity.Name
		}
	}
}

func describesGrant(t object) bool {
	for _, p := range t.objects("modifiedProperties") {
		name := p.str("displayName")
		if strings.HasPrefix(name, "DelegatedPermissionGrant.") || strings.HasPrefix(name, "AppRole.") {
			return true
		}
	}
	return false
}

// appIDOf is the client id among the names of a service principal: one GUID
// among URLs, some with a path behind it; else the first name.
func appIDOf(names string) string {
	for s := range strings.SplitSeq(names, ";") {
		if s, _, _ = strings.Cut(s, "/"); isGUID(s) {
			return s
		}
	}
	name, _, _ := strings.Cut(names, ";")
	return name
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func targetType(s string) string {
	switch {
	case strings.EqualFold(s, "serviceprincipal"):
		return event.TypeServicePrincipal
	case strings.EqualFold(s, "application"):
		return event.TypeApplication
	case strings.EqualFold(s, "user"):
		return event.TypeUser
	case strings.EqualFold(s, "role"):
		return event.TypeRole
	case strings.EqualFold(s, "policy"):
		return event.TypePolicy
	}
	return event.TypeOther
}

// refine reads what the activity says beside its targets.
func refine(e *event.Event) {
	f := finder(e.Changes)
	switch e.Action {
	case event.ActionConsentGranted, event.ActionConsentRevoked:
		consent(e, f)
	case event.ActionPermissionGranted, event.ActionPermissionRevoked:
		permission(e, f)
	case event.ActionCredentialUpdated, event.ActionCredentialAdded, event.ActionCredentialRemoved:
		credential(e, f)
	case event.ActionAppUpdated:
		enabled(e, f)
		credential(e, f)
	case event.ActionAppDisabled: // "Disable account" is told of users too
		if e.App.Key() == "" {
			e.Action = event.ActionOther
		}
	case event.ActionOther:
		role(e, f)
	}
}

// enabled tells a deactivation from other updates.
func enabled(e *event.Event, f finder) {
	off, on := f.became("isDisabled"), f.became("AccountEnabled")
	switch {
	case strings.EqualFold(off, "true"), strings.EqualFold(on, "false"):
		e.Action = event.ActionAppDisabled
	case strings.EqualFold(off, "false"), strings.EqualFold(on, "true"):
		e.Action = event.ActionAppEnabled
	}
}

// role recognises directory roles given to an app.
func role(e *event.Event, f finder) {
	name := fold(e.Activity)
	given, taken := strings.HasPrefix(name, "add") && strings.Contains(name, "member to role"), strings.HasPrefix(name, "remove") && strings.Contains(name, "member from role")
	if e.App.ID == "" || !given && !taken {
		return
	}
	e.Action = event.ActionRoleAssigned
	if taken {
		e.Action = event.ActionRoleUnassigned
	}
	e.Target = event.Entity{Type: event.TypeRole, ID: or(f.value("Role.TemplateId"), f.value("Role.ObjectID")), Name: f.value("Role.DisplayName")}
}
