package normalise

import (
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Record is one exported record and what it was. One of Event and Object is set.
type Record struct {
	Shape  string // "graph", "diagnostic", "log_analytics"
	Kind   string // "audit", "signin", "alert", an object kind
	Tenant string
	Event  *event.Event
	Object *event.Object
}

// Exported decodes one exported record as one of the tenant that it names;
// where it names none, of the tenant given.
func Exported(raw []byte, tenant string) (Record, error) {
	o, err := parse(raw)
	if err != nil {
		return Record{}, err
	}
	return New(or(tenantOf(o), tenant)).any(o, raw)
}

// tenantOf is the tenant whose log holds the record. TenantId of a flat row is
// that of the workspace, the tenants of a sign-in are those of its user and its
// resource.
func tenantOf(o object) string {
	if o["TimeGenerated"] != nil {
		return strings.ToLower(o.str("AADTenantId"))
	}
	return strings.ToLower(o.str("tenantId"))
}

// Any recognises and decodes one exported record: a Graph object, a
// diagnostic-settings envelope with Graph-shaped properties, or a flat row of
// Log Analytics.
func (d *Decoder) Any(raw []byte) (Record, error) {
	o, err := parse(raw)
	if err != nil {
		return Record{}, err
	}
	return d.any(o, raw)
}

func (d *Decoder) any(o object, raw []byte) (Record, error) {
	category := o.str("category", "Category")
	if p := o.object("properties"); p != nil && (category != "" || o["operationName"] != nil) {
		return d.decode("diagnostic", kindOf(category, p), signInKind(object{"category": o["category"]}), p, o["properties"])
	}
	shape := "graph"
	if o["TimeGenerated"] != nil || o["Type"] != nil && o["OperationName"] != nil {
		shape = "log_analytics"
	}
	return d.decode(shape, kindOf(o.str("Type"), o), "", o, raw)
}

// kindOf names the kind by category or table, by the type that the record gives
// itself, else by the members that only it has.
func kindOf(category string, o object) string {
	switch c := strings.ToLower(category); {
	case strings.Contains(c, "signin"):
		return "signin"
	case c == "auditlogs":
		return "audit"
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
	case o["activityDisplayName"] != nil || o["ActivityDisplayName"] != nil:
		return "audit"
	case o["createdDateTime"] != nil && o["status"] != nil && o["ipAddress"] != nil:
		return "signin"
	case o["CreatedDateTime"] != nil && o["ResultType"] != nil: // a row without its table
		return "signin"
	case o["providerAlertId"] != nil || o["serviceSource"] != nil:
		return "alert"
	}
	return ""
}

func objectKind(o object) string {
	switch {
	case o["consentType"] != nil && o["clientId"] != nil:
		return event.ObjectDelegatedGrant
	case o["appRoleId"] != nil && o["principalId"] != nil:
		return event.ObjectAppRoleAssignment
	case o["servicePrincipalType"] != nil || o["appOwnerOrganizationId"] != nil || o["servicePrincipalNames"] != nil || o["oauth2PermissionScopes"] != nil:
		return event.ObjectServicePrincipal
	case o["appId"] != nil && (o["signInAudience"] != nil || o["requiredResourceAccess"] != nil || o["identifierUris"] != nil || o["publisherDomain"] != nil):
		return event.ObjectApplication
	}
	return ""
}

// decode has the record parsed and as text; objects need the text.
func (d *Decoder) decode(shape, kind, signIn string, rec object, raw []byte) (Record, error) {
	r := Record{Shape: shape, Kind: kind, Tenant: d.tenant}
	var err error
	var e event.Event
	var o event.Object
	switch kind {
	case "audit":
		e, err = d.audit(rec)
		r.Event = &e
	case "signin":
		e, err = d.signIn(signIn, rec)
		r.Event = &e
	case "alert":
		e, err = d.Alert(unwrap(raw))
		r.Event = &e
	case event.ObjectApplication:
		o, err = d.Application(unwrap(raw))
		r.Object = &o
	case event.ObjectServicePrincipal:
		o, err = d.ServicePrincipal(unwrap(raw))
		r.Object = &o
	case event.ObjectDelegatedGrant:
		o, err = d.DelegatedGrant(unwrap(raw))
		r.Object = &o
	case event.ObjectAppRoleAssignment:
		o, err = d.AppRoleAssignment(unwrap(raw))
		r.Object = &o
	default:
		err = refuse("unknown_shape", "neither an audit, a sign-in, an alert nor an object that is known")
	}
	if err != nil {
		return Record{Shape: shape, Kind: kind, Tenant: d.tenant}, err
	}
	return r, nil
}
