package normalise

import (
	"strconv"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Kinds of rows of advanced hunting that are events.
const (
	HuntActivity = "cloud_app_events"
	HuntSignIn   = "spn_signin_events"
)

// Rows of advanced hunting come with quirks of their own: a null is an empty object,
// a boolean 0 or 1 or a text, lists hold objects as JSON text.

// huntedKind tells a row of a table of advanced hunting: by the table, where a workspace
// names it, else by columns that only it has; "" = none.
func huntedKind(o object) string {
	has := func(names ...string) bool {
		for _, n := range names {
			if !o.has(n) {
				return false
			}
		}
		return true
	}
	switch table := o.str("Type"); {
	case table == "OAuthAppInfo", has("OAuthAppId", "ServicePrincipalId"):
		return event.ObjectGovernance
	case table == "CloudAppEvents", has("ActionType", "Timestamp"):
		return HuntActivity
	case table == "EntraIdSpnSignInEvents", table == "AADSpnSignInEventsBeta", has("Timestamp", "ApplicationId", "ServicePrincipalId") && !has("RequestUri"):
		return HuntSignIn
	}
	return ""
}

// hunted decodes a row of an exported table.
func (w *work) hunted(kind string, o object) (Record, error) {
	r := Record{Shape: "hunting", Kind: kind, Tenant: w.tenant}
	if o.has("TimeGenerated") {
		r.Shape = "log_analytics"
	}
	var err error
	e := &event.Event{}
	switch kind {
	case event.ObjectGovernance:
		r.Object, err = w.appInfo(o)
		r.At = o.time("Timestamp", "TimeGenerated")
		return r, err
	case HuntSignIn:
		r.Kind = "signin"
		err = w.huntedSignIn(e, o)
	default:
		r.Kind = "activity"
		o = w.scrubbed(o)
		if inner := o.object("RawEventData"); isOffice(inner) {
			of, err := w.office(inner)
			if err == nil {
				of.Shape, of.Tenant = r.Shape, w.tenant
				return of, nil
			}
		}
		if o.str("OAuthAppId") == "" {
			return r, refuse("unknown_shape", "the row of advanced hunting names no app: action %q of %q", o.str("ActionType"), o.str("Application"))
		}
		err = w.activity(e, o)
	}
	if err == nil {
		r.Event = e
	}
	return r, err
}

// appInfo is a row of OAuthAppInfo as an object; an app that is gone is a removed one.
func (w *work) appInfo(o object) (*event.Object, error) {
	list, err := w.governance(o)
	switch {
	case err != nil:
		return nil, err
	case len(list) > 0:
		return &list[0], nil
	}
	id := or(o.str("ServicePrincipalId"), o.str("OAuthAppId"))
	return &event.Object{Kind: event.ObjectGovernance, ID: id, Removed: "deleted", Content: event.HashContent(w.canonical(o))}, nil
}

// elements are the objects of a list, some of which may be JSON text.
func (o object) elements(name string) []object {
	var out []object
	o.get(name).unwrap().each(func(x value) {
		if v := x.unwrap(); v.kind() == '{' {
			out = append(out, object{v})
		}
	})
	return out
}

// governance decodes a row of OAuthAppInfo. Both spellings of its permissions' keys
// are known: that of the documentation and that of real rows.
// https://learn.microsoft.com/defender-xdr/advanced-hunting-oauthappinfo-table
func (w *work) governance(o object) ([]event.Object, error) {
	about := or(o.str("ServicePrincipalId"), o.str("OAuthAppId"))
	out, t, err := w.trait(event.ObjectGovernance, about, about, o)
	if err != nil || strings.EqualFold(o.str("AppStatus"), "Deleted") {
		return nil, err
	}
	t.Set("status", o.str("AppStatus"))
	t.Set("privilege_level", strings.ToLower(o.str("PrivilegeLevel")))
	t.Set("risk_score", o.str("RiskScore"))
	t.Set("consented_users", o.str("ConsentedUsersCount"))
	t.Set("admin_consented", truth(o.str("IsAdminConsented")))
	t.Set("last_used", stamp(o.time("LastUsedTime")))
	var unused []string
	for _, p := range o.elements("Permissions") {
		if unusedPermission(p.str("InUse", "UsageStatus")) {
			unused = append(unused, p.str("PermissionValue", "PermissionName"))
		}
	}
	t.Set("unused_permissions", unused...)
	return single(out, nil)
}

// truth makes "true" and "false" of the ways in which a boolean is told.
func truth(s string) string {
	switch strings.ToLower(s) {
	case "1", "true":
		return "true"
	case "0", "false":
		return "false"
	}
	return ""
}

// unusedPermission: "Not supported" and nothing at all are unknown.
func unusedPermission(s string) bool {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	return truth(s) == "false" || s == "notinuse" || s == "unused"
}

// calls decodes the calls of an app on one day, which of names.
// https://learn.microsoft.com/defender-xdr/advanced-hunting-graphapiauditevents-table
func (w *work) calls(of string, o object) ([]event.Object, error) {
	id := o.str("ApplicationId")
	out, t, err := w.trait(event.ObjectAppCalls, id, id, o)
	if err != nil {
		return nil, err
	}
	t.Set("from", of)
	t.Set("calls", o.str("Calls"))
	t.Set("errors", o.str("Errors"))
	t.Set("response_bytes", o.str("ResponseBytes"))
	t.Set("users", o.str("Users"))
	t.Set("services", o.strs("Services")...)
	return single(out, nil)
}

// activity decodes a row of CloudAppEvents that names an OAuth app.
// https://learn.microsoft.com/defender-xdr/advanced-hunting-cloudappevents-table
func (w *work) activity(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassActivity, []string{"ReportId"}, "Timestamp"); err != nil {
		return err
	}
	e.Action, e.Activity, e.Category, e.Service = event.ActionAppActivity, o.str("ActionType"), o.str("ActivityType"), o.str("Application")
	e.App = event.App{AppID: o.str("OAuthAppId")}
	e.Actor = event.Actor{Type: event.TypeUser, ID: o.str("AccountObjectId"), Name: o.str("AccountDisplayName")}
	if strings.EqualFold(o.str("AccountType"), "Application") || e.Actor.ID == "" {
		e.Actor = event.Actor{Type: event.TypeApp, ID: o.str("AccountObjectId"), Name: o.str("AccountDisplayName"), AppID: e.App.AppID}
	}
	e.Target = event.Entity{Type: event.TypeOther, ID: o.str("ObjectId"), Name: o.str("ObjectName")}
	if e.Target.ID == "" && e.Target.Name == "" {
		e.Target = event.Entity{}
	}
	e.Origin = event.Origin{IP: o.str("IPAddress"), Country: o.str("CountryCode"), City: o.str("City"), ASOrg: o.str("ISP", "Isp"), UserAgent: o.str("UserAgent")}
	return nil
}

// huntedSignIn decodes a row of EntraIdSpnSignInEvents, formerly
// AADSpnSignInEventsBeta. It tells no network number.
// https://learn.microsoft.com/defender-xdr/advanced-hunting-aadspnsignineventsbeta-table
func (w *work) huntedSignIn(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassSignIn, []string{"RequestId", "ReportId"}, "Timestamp"); err != nil {
		return err
	}
	e.Category, e.Activity, e.Action, e.CorrelationID = "SignIn", "Sign-in activity", event.ActionAppSignIn, o.str("CorrelationId")
	e.SignIn.Kind, e.SignIn.ResourceOwnerTenant = "service_principal", o.str("ResourceTenantId")
	if truth(o.str("IsManagedIdentity")) == "true" {
		e.SignIn.Kind = "managed_identity"
	}
	e.App = event.App{ID: o.str("ServicePrincipalId"), AppID: o.str("ApplicationId"), Name: or(o.str("ServicePrincipalName"), o.str("Application"))}
	e.Actor = event.Actor{Type: event.TypeApp, ID: e.App.ID, Name: e.App.Name, AppID: e.App.AppID}
	e.Resource = event.Entity{Type: event.TypeServicePrincipal, AppID: o.str("ResourceId"), Name: o.str("ResourceDisplayName")}
	e.Origin = event.Origin{IP: o.str("IPAddress"), Country: o.str("Country"), City: o.str("City")}
	e.ResultCode = o.str("ErrorCode")
	switch n, err := strconv.Atoi(e.ResultCode); {
	case err != nil:
	case n == 0:
		e.Result = event.ResultSuccess
	default:
		e.Result = event.ResultFailure
	}
	return nil
}
