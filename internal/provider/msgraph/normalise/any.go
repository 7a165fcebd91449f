package normalise

import (
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Record is one exported record and what it was. One of Event and Object is set.
type Record struct {
	Shape  string // "graph", "diagnostic", "log_analytics", "office365", "hunting", "portal"
	Kind   string // "audit", "signin", "call", "alert", "activity", an object kind
	Tenant string
	Event  *event.Event
	Object *event.Object
	At     time.Time // of an object, where its row says when it was so
}

// Exported decodes one exported record as one of the tenant that it names;
// where it names none, of the decoder's.
func (d *Decoder) Exported(raw []byte) (Record, error) {
	return with(d, raw, func(w *work, o object) (Record, error) {
		w.tenant = or(tenantOf(unpacked(o)), w.tenant)
		return w.any(o)
	})
}

// tenantOf is the tenant whose log holds the record. TenantId of a flat row is
// that of the workspace, the tenants of a sign-in are those of its user and its
// resource.
func tenantOf(o object) string {
	if isOffice(o) {
		return strings.ToLower(o.str("OrganizationId"))
	}
	if o.has("TimeGenerated") {
		return strings.ToLower(o.str("AADTenantId", "AadTenantId"))
	}
	return strings.ToLower(o.str("tenantId"))
}

// Any recognises and decodes one exported record: a Graph object, a
// diagnostic-settings envelope with Graph-shaped properties, a flat row of Log
// Analytics, or a record of the unified audit log.
func (d *Decoder) Any(raw []byte) (Record, error) { return with(d, raw, (*work).any) }

func (w *work) any(o object) (Record, error) {
	if inner := unpacked(o); isOffice(inner) {
		return w.office(inner)
	}
	if bad := cutAuditData(o); bad != nil {
		return Record{Shape: "office365"}, bad
	}
	category := o.str("category", "Category")
	if p := o.object("properties"); p.found() && (category != "" || o.has("operationName")) {
		if strings.HasPrefix(category, "AdvancedHunting-") { // Defender's stream: the rows of hunting
			if kind := huntedKind(p); kind != "" {
				return w.hunted(kind, p)
			}
		}
		return w.decode("diagnostic", kindOf(category, p), signInStream(o.str("category")), p)
	}
	if kind := portalKind(o); kind != "" {
		r := Record{Shape: "portal", Kind: kind, Tenant: w.tenant}
		e := &event.Event{}
		err := w.portal(e, kind, o)
		if err == nil {
			r.Event = e
		}
		return r, err
	}
	if kind := huntedKind(o); kind != "" {
		return w.hunted(kind, o)
	}
	shape := "graph"
	if o.has("TimeGenerated") || o.has("Type") && o.has("OperationName") {
		shape = "log_analytics"
	}
	return w.decode(shape, kindOf(o.str("Type"), o), "", o)
}

// kindOf names the kind by category or table, by the type that the record gives
// itself, else by the members that only it has.
func kindOf(category string, o object) string {
	switch c := strings.ToLower(category); {
	case strings.Contains(c, "signin"):
		return "signin"
	case c == "auditlogs":
		return "audit"
	case c == "serviceprincipalriskevents", c == "aadserviceprincipalriskevents":
		return "risk"
	case c == "riskyserviceprincipals", c == "aadriskyserviceprincipals":
		return "verdict"
	case c == "microsoftgraphactivitylogs", c == "azureadgraphactivitylogs", c == "aadgraphactivitylogs":
		return event.ClassCall
	}
	switch o.str("@odata.type") {
	case "#microsoft.graph.application":
		return event.ObjectApplication
	case "#microsoft.graph.servicePrincipal":
		return event.ObjectServicePrincipal
	case "#microsoft.graph.oAuth2PermissionGrant":
		return event.ObjectDelegatedGrant
	case "#microsoft.graph.appRoleAssignment":
		return event.ObjectAppRoleAssignment
	case "#microsoft.graph.security.alert":
		return "alert"
	}
	if kind := loggedKind(o); kind != "" {
		return kind
	}
	return objectKind(o)
}

func loggedKind(o object) string {
	switch {
	case o.has("activityDisplayName") || o.has("ActivityDisplayName"):
		return "audit"
	case o.has("createdDateTime") && o.has("status") && o.has("ipAddress"):
		return "signin"
	case o.has("CreatedDateTime") && o.has("ResultType"): // a row without its table
		return "signin"
	case (o.has("requestUri") || o.has("RequestUri")) && (o.has("requestMethod") || o.has("RequestMethod")):
		return event.ClassCall
	case o.has("providerAlertId") || o.has("serviceSource"):
		return "alert"
	}
	return riskKind(o)
}

// riskKind tells what Identity Protection says of apps from what it says of people, and
// from service principals. An entry of a history is not decoded alone: it does not name
// its service principal.
func riskKind(o object) string {
	switch {
	case (o.has("detectedDateTime") || o.has("DetectedDateTime")) && (o.has("servicePrincipalId") || o.has("ServicePrincipalId")):
		return "risk"
	case (o.has("riskLastUpdatedDateTime") || o.has("RiskLastUpdatedDateTime")) && (o.has("appId") || o.has("AppId")) && o.has("initiatedBy"):
		return "history"
	case (o.has("riskLastUpdatedDateTime") || o.has("RiskLastUpdatedDateTime")) && (o.has("appId") || o.has("AppId")):
		return "verdict"
	}
	return ""
}

func objectKind(o object) string {
	switch {
	case o.has("consentType") && o.has("clientId"):
		return event.ObjectDelegatedGrant
	case o.has("appRoleId") && o.has("principalId"):
		return event.ObjectAppRoleAssignment
	case o.has("servicePrincipalType") || o.has("appOwnerOrganizationId") || o.has("servicePrincipalNames") || o.has("oauth2PermissionScopes"):
		return event.ObjectServicePrincipal
	case o.has("appId") && (o.has("signInAudience") || o.has("requiredResourceAccess") || o.has("identifierUris") || o.has("publisherDomain")):
		return event.ObjectApplication
	}
	return ""
}

func (w *work) decode(shape, kind, signIn string, o object) (Record, error) {
	r := Record{Shape: shape, Kind: kind, Tenant: w.tenant}
	e, made, err := w.record(kind, signIn, o)
	if err == nil {
		r.Event, r.Object = e, made
	}
	return r, err
}

func (w *work) record(kind, signIn string, o object) (*event.Event, *event.Object, error) {
	ofEvent := func(decode func(*work, *event.Event, object) error) (*event.Event, *event.Object, error) {
		e := &event.Event{}
		return e, nil, decode(w, e, o)
	}
	ofObject := func(o event.Object, err error) (*event.Event, *event.Object, error) { return nil, &o, err }
	switch kind {
	case "audit":
		return ofEvent((*work).audit)
	case "signin":
		return ofEvent(func(w *work, e *event.Event, o object) error { return w.signIn(e, signIn, o) })
	case "alert":
		return ofEvent((*work).alert)
	case event.ClassCall:
		return ofEvent((*work).call)
	case "risk":
		return ofEvent((*work).riskDetection)
	case "verdict":
		return ofEvent((*work).riskVerdict)
	case event.ObjectApplication:
		return ofObject(w.application(o))
	case event.ObjectServicePrincipal:
		return ofObject(w.servicePrincipal(o))
	case event.ObjectDelegatedGrant:
		return ofObject(w.delegatedGrant(o))
	case event.ObjectAppRoleAssignment:
		return ofObject(w.appRoleAssignment(o))
	}
	return nil, nil, refuse("unknown_shape", "neither an audit, a sign-in, a call, an alert nor an object that is known")
}
