package normalise

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/appgovd/appgovd/internal/event"
)

// Listed decodes one element of a collection that tells of apps, or of the tenant,
// beside the directory itself: traits of a kind, and events where it is a history.
// of is what led to a further list (see Follow), "" for the collection itself. An
// element may tell nothing: an app without owners.
func (d *Decoder) Listed(kind, of string, raw []byte) ([]event.Object, []event.Event, error) {
	type found struct {
		objects []event.Object
		events  []event.Event
	}
	f, err := with(d, raw, func(w *work, o object) (found, error) {
		if e, ok, err := w.listedEvent(kind, of, o); ok {
			return found{events: []event.Event{e}}, err
		}
		objects, err := w.listed(kind, of, o)
		return found{objects: objects}, err
	})
	return f.objects, f.events, err
}

// listedEvent decodes the elements that are events; ok is false for others.
func (w *work) listedEvent(kind, of string, o object) (e event.Event, ok bool, err error) {
	switch {
	case kind == event.ObjectAppRisk && of != "":
		err = w.riskHistory(&e, of, o)
	case kind == HuntActivity:
		err = w.activity(&e, o)
	case kind == HuntSignIn:
		err = w.huntedSignIn(&e, o)
	default:
		return e, false, nil
	}
	return e, true, err
}

func (w *work) listed(kind, of string, o object) ([]event.Object, error) {
	switch kind {
	case event.ObjectOwners:
		return w.owners(of, o)
	case event.ObjectFederated:
		return w.federated(o)
	case event.ObjectRole, event.ObjectEligibleRole:
		return w.heldRole(kind, of, o)
	case event.ObjectRoleDefinition:
		return w.roleDefinition(o)
	case event.ObjectPolicy:
		return w.policy(of, o)
	case event.ObjectConsentRequest:
		return w.consentRequest(of, o)
	case event.ObjectAppUse:
		return w.appUse(o)
	case event.ObjectCredentialUse:
		return w.credentialUse(o)
	case event.ObjectAppRisk:
		return w.appRisk(o)
	case event.ObjectGovernance:
		return w.governance(o)
	case event.ObjectAppCalls:
		return w.calls(of, o)
	}
	return nil, refuse("unknown_shape", "no element of %s is known", kind)
}

// trait is one trait; a later Set fills it.
func (w *work) trait(kind, id, about string, o object) (event.Object, *event.Trait, error) {
	if id == "" {
		return event.Object{}, nil, refuse("no_id", "the object has no id")
	}
	t := &event.Trait{About: about}
	return event.Object{Kind: kind, ID: id, Trait: t, Content: event.HashContent(w.canonical(o))}, t, nil
}

// single is a list of one.
func single(o event.Object, err error) ([]event.Object, error) {
	if err != nil {
		return nil, err
	}
	return []event.Object{o}, nil
}

// manyOwners is how many related objects an expanded list shows at most.
const manyOwners = 20

// owners decodes an application or a service principal with its owners, and, where
// of names the object, one owner of it: that has more than an expanded list shows.
// https://learn.microsoft.com/graph/api/application-list-owners
func (w *work) owners(of string, o object) ([]event.Object, error) {
	if of != "" {
		out, t, err := w.trait(event.ObjectOwners, of+"/"+o.str("id"), of, o)
		if err == nil {
			t.Set("owners", o.str("id"))
		}
		return single(out, err)
	}
	list := o.objects("owners")
	out, t, err := w.trait(event.ObjectOwners, o.str("id"), o.str("id"), o)
	if err != nil || len(list) == 0 || len(list) >= manyOwners { // of many, each is read on its own
		return nil, err
	}
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = x.str("id")
	}
	t.Set("owners", ids...)
	return single(out, nil)
}

// federated decodes the federated identity credentials of an application.
// https://learn.microsoft.com/graph/api/resources/federatedidentitycredential
func (w *work) federated(o object) ([]event.Object, error) {
	if o.str("id") == "" {
		return nil, refuse("no_id", "the object has no id")
	}
	var all []event.Object
	for _, c := range o.objects("federatedIdentityCredentials") {
		out, t, err := w.trait(event.ObjectFederated, c.str("id"), o.str("id"), c)
		if err != nil {
			return nil, err
		}
		t.Set("name", c.str("name"))
		t.Set("issuer", c.str("issuer"))
		t.Set("subject", c.str("subject"))
		t.Set("audiences", c.strs("audiences")...)
		all = append(all, out)
	}
	return all, nil
}

// heldRole decodes an assignment of a directory role to a service principal; where
// of is an assignment to a group, a service principal of that group.
// https://learn.microsoft.com/graph/api/resources/unifiedroleassignment
func (w *work) heldRole(kind, of string, o object) ([]event.Object, error) {
	id, about, via := o.str("id"), o.str("principalId"), ""
	if of != "" {
		about = o.str("id")
		if o = w.inner.objectIn(of); about == "" || o.str("id") == "" {
			return nil, refuse("no_id", "the assignment to a group, or its member, has no id")
		}
		id, via = o.str("id")+"/"+about, o.str("principalId")
	} else if kind == event.ObjectEligibleRole || !strings.HasSuffix(o.object("principal").str("@odata.type"), "servicePrincipal") {
		return nil, nil // of a user, or of a group, whose members are read on their own
	}
	out, t, err := w.trait(kind, id, about, o)
	if err != nil {
		return nil, err
	}
	t.Set("role", o.str("roleDefinitionId"))
	t.Set("scope", o.str("directoryScopeId"))
	t.Set("via", via)
	return single(out, nil)
}

// roleDefinition decodes the name of a directory role.
// https://learn.microsoft.com/graph/api/resources/unifiedroledefinition
func (w *work) roleDefinition(o object) ([]event.Object, error) {
	out, t, err := w.trait(event.ObjectRoleDefinition, o.str("id"), "", o)
	if err != nil {
		return nil, err
	}
	t.Set("name", o.str("displayName"))
	return single(out, nil)
}

// policy decodes a policy on consent or on credentials: every member, by its path.
// One of which there is only one may have no id: of names it.
// https://learn.microsoft.com/graph/api/resources/policy-overview
func (w *work) policy(of string, o object) ([]event.Object, error) {
	out, t, err := w.trait(event.ObjectPolicy, or(o.str("id"), of), "", o)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(w.canonical(o), &members, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, refuse("not_json", "%s", err)
	}
	flatten(t, "", members)
	t.Set("name", or(o.str("displayName"), out.ID))
	return single(out, nil)
}

// flatten notes what stands in a policy; an object in a list is one value.
func flatten(t *event.Trait, at string, members map[string]any) {
	for name, v := range members {
		path := at + name
		switch x := v.(type) {
		case nil:
		case map[string]any:
			flatten(t, path+".", x)
		case []any:
			var all []string
			for _, e := range x {
				all = append(all, plainValue(e))
			}
			t.Set(path, all...)
		default:
			if !strings.Contains(name, "@odata.") && path != "id" && path != "displayName" && path != "deletedDateTime" {
				t.Set(path, plainValue(x))
			}
		}
	}
}

func plainValue(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return ""
	}
	return string(b)
}

// consentRequest decodes a user's request for consent; of is the app's.
// https://learn.microsoft.com/graph/api/resources/userconsentrequest
func (w *work) consentRequest(of string, o object) ([]event.Object, error) {
	if of == "" {
		return nil, nil // the requests of its users are read on their own
	}
	app := w.inner.objectIn(of)
	out, t, err := w.trait(event.ObjectConsentRequest, o.str("id"), app.str("appId"), o)
	if err != nil {
		return nil, err
	}
	t.Set("requests", o.str("id"))
	t.Set("status", o.str("status"))
	t.Set("user", o.object("createdBy").object("user").str("id"))
	var scopes []string
	for _, s := range app.objects("pendingScopes") {
		scopes = append(scopes, s.str("displayName"))
	}
	t.Set("scopes", scopes...)
	return single(out, nil)
}

// appUse decodes when an app was last used, by any flow. Unused flows are objects
// whose members are null.
// https://learn.microsoft.com/graph/api/resources/serviceprincipalsigninactivity
func (w *work) appUse(o object) ([]event.Object, error) {
	out, t, err := w.trait(event.ObjectAppUse, o.str("appId"), o.str("appId"), o)
	if err != nil {
		return nil, err
	}
	var last time.Time
	for _, x := range []object{o.object("lastSignInActivity"), o.object("delegatedClientSignInActivity"), o.object("delegatedResourceSignInActivity"),
		o.object("applicationAuthenticationClientSignInActivity"), o.object("applicationAuthenticationResourceSignInActivity")} {
		if at := x.time("lastSignInDateTime"); at.After(last) {
			last = at
		}
	}
	t.Set("last_used", stamp(last))
	return single(out, nil)
}

// credentialUse decodes when a credential of an app was last used.
// https://learn.microsoft.com/graph/api/resources/appcredentialsigninactivity
func (w *work) credentialUse(o object) ([]event.Object, error) {
	out, t, err := w.trait(event.ObjectCredentialUse, o.str("id"), o.str("appId"), o)
	if err != nil {
		return nil, err
	}
	t.Set("key_id", o.str("keyId"))
	t.Set("last_used", stamp(o.object("signInActivity").time("lastSignInDateTime")))
	return single(out, nil)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// appRisk decodes the verdict on a workload identity.
// https://learn.microsoft.com/graph/api/resources/riskyserviceprincipal
func (w *work) appRisk(o object) ([]event.Object, error) {
	out, t, err := w.trait(event.ObjectAppRisk, o.str("id"), o.str("id"), o)
	if err != nil {
		return nil, err
	}
	t.Set("risk_level", o.str("riskLevel"))
	t.Set("risk_state", o.str("riskState"))
	t.Set("risk_detail", o.str("riskDetail"))
	return single(out, nil)
}

// riskHistory decodes one entry of the history of that verdict; of is the service
// principal.
// https://learn.microsoft.com/graph/api/resources/riskyserviceprincipalhistoryitem
func (w *work) riskHistory(e *event.Event, of string, o object) error {
	if err := w.base(e, o, event.ClassRisk, []string{"id"}, "riskLastUpdatedDateTime"); err != nil {
		return err
	}
	activity := o.object("activity")
	e.Action, e.Activity, e.Category = event.ActionRiskChanged, or(activity.str("detail"), o.str("riskDetail")), "IdentityProtection"
	e.App = event.App{ID: of, AppID: o.str("appId"), Name: o.str("displayName")}
	e.Actor = event.Actor{Type: event.TypeUser, ID: o.str("initiatedBy")}
	if e.Actor.ID == "" {
		e.Actor.Type = event.TypeService
	}
	risk(e, o, activity.strs("riskEventTypes"))
	return nil
}

// riskVerdict decodes the verdict on a workload identity as a stream tells it when it
// changes: each time under the id of the service principal, so that the time makes the
// identity. Nobody has seen such a record; assumed is Graph's resource.
// https://learn.microsoft.com/graph/api/resources/riskyserviceprincipal
func (w *work) riskVerdict(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassRisk, []string{"id", "Id"}, "riskLastUpdatedDateTime", "RiskLastUpdatedDateTime"); err != nil {
		return err
	}
	e.ID = w.idOf(event.ClassRisk, e.UpstreamID+"/"+stamp(e.Time))
	e.Action, e.Activity, e.Category = event.ActionRiskChanged, o.str("riskDetail", "RiskDetail"), "IdentityProtection"
	e.App = event.App{ID: e.UpstreamID, AppID: o.str("appId", "AppId"), Name: o.str("displayName", "DisplayName")}
	e.Actor.Type = event.TypeService
	risk(e, o, nil)
	return nil
}

// risk reads what verdicts and detections share.
func risk(e *event.Event, o object, types []string) {
	e.SignIn.RiskLevel = o.str("riskLevel", "RiskLevel")
	for _, c := range []event.Detail{{Name: "risk_detail", Value: o.str("riskDetail", "RiskDetail")}, {Name: "risk_level", Value: e.SignIn.RiskLevel}, {Name: "risk_state", Value: o.str("riskState", "RiskState")}} {
		if c.Value != "" {
			e.Changes = append(e.Changes, event.Change{Name: c.Name, New: []string{c.Value}})
		}
	}
	if len(types) > 0 {
		e.Details = append(e.Details, event.Detail{Name: "riskEventTypes", Value: strings.Join(types, " ")})
	}
}

// RiskDetection decodes a risk that was detected of a workload identity. It is
// filled in later under the same id.
// https://learn.microsoft.com/graph/api/resources/serviceprincipalriskdetection
func (d *Decoder) RiskDetection(raw []byte) (event.Event, error) {
	return eventBy(d, raw, (*work).riskDetection)
}

func (w *work) riskDetection(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassRisk, []string{"id", "Id"}, "detectedDateTime", "DetectedDateTime"); err != nil {
		return err
	}
	e.Action, e.Activity, e.Category, e.Service = event.ActionRiskDetected, o.str("riskEventType", "RiskEventType"), "IdentityProtection", o.str("source", "Source")
	e.App = event.App{ID: o.str("servicePrincipalId", "ServicePrincipalId"), AppID: o.str("appId", "AppId"), Name: o.str("servicePrincipalDisplayName", "ServicePrincipalDisplayName")}
	e.Actor = event.Actor{Type: event.TypeApp, ID: e.App.ID, Name: e.App.Name, AppID: e.App.AppID}
	loc := o.object("location", "Location")
	e.Origin = event.Origin{IP: o.str("ipAddress", "IpAddress"), Country: loc.str("countryOrRegion"), City: loc.str("city")}
	if keys := o.addStrs("KeyIds", o.strs("keyIds")); len(keys) == 1 {
		e.Credential.KeyID = keys[0]
	}
	risk(e, o, nil)
	for _, x := range o.objects("additionalInfo", "AdditionalInfo") {
		e.Details = append(e.Details, event.Detail{Name: x.str("Key"), Value: x.str("Value")})
	}
	return nil
}
