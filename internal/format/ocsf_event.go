package format

import (
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Classes of OCSF 1.8 for what is no alert.
const (
	ocsfFindingClass  = 2008 // IAM Analysis Finding
	ocsfLogOnClass    = 3002 // Authentication
	ocsfEntityClass   = 3004 // Entity Management
	ocsfAccessClass   = 3005 // User Access Management
	ocsfActivityClass = 6003 // API Activity
)

// ocsfKind is the class of an event, and what was done in it.
type ocsfKind struct {
	class    int64
	title    string
	category string
	activity int64
	name     string
}

// ocsfKindOf chooses a class whose required attributes the event has.
// https://schema.ocsf.io/1.8.0/classes
func ocsfKindOf(e *event.Event) ocsfKind {
	switch {
	case (e.Class == event.ClassCall || e.Class == event.ClassActivity) && ocsfNamed(e) && (validIP(e.Origin.IP) != "" || ocsfClient(e) != ""):
		activity, name := ocsfCalled(e)
		return ocsfKind{ocsfActivityClass, "API Activity", "Application Activity", activity, name}
	case e.Class == event.ClassSignIn && ocsfNamed(e) && firstOf(e.Resource.Name, e.Resource.AppID, e.Resource.ID) != "":
		return ocsfKind{ocsfLogOnClass, "Authentication", "Identity & Access Management", 1, "Logon"}
	case e.Action == event.ActionInvGrantUnexplained && len(e.Permissions) > 0:
		return ocsfKind{ocsfFindingClass, "IAM Analysis Finding", "Findings", 1, "Create"}
	case len(privileges(e)) > 0 && e.App.Key() != "":
		switch e.Action {
		case event.ActionConsentGranted, event.ActionPermissionGranted, event.ActionInvGrantAdded:
			return ocsfKind{ocsfAccessClass, "User Access Management", "Identity & Access Management", 1, "Assign Privileges"}
		case event.ActionConsentRevoked, event.ActionPermissionRevoked, event.ActionInvGrantRemoved:
			return ocsfKind{ocsfAccessClass, "User Access Management", "Identity & Access Management", 2, "Revoke Privileges"}
		case event.ActionInvGrantChanged:
			return ocsfKind{ocsfAccessClass, "User Access Management", "Identity & Access Management", 99, "Other"}
		}
	}
	activity, name := ocsfChanged(e)
	return ocsfKind{ocsfEntityClass, "Entity Management", "Identity & Access Management", activity, name}
}

// ocsfNamed reports whether the event says who it was.
func ocsfNamed(e *event.Event) bool {
	return firstOf(e.Actor.ID, e.Actor.UPN, e.Actor.Name) != "" || ofApp(e.Actor) && e.Actor.AppID != ""
}

// ocsfClient is the app at the other end: it is the source of a call whose address nobody
// recorded.
func ocsfClient(e *event.Event) string {
	if client := firstOf(e.App.Name, e.App.Key()); client != "" || !ofApp(e.Actor) {
		return client
	}
	return firstOf(e.Actor.Name, e.Actor.AppID, e.Actor.ID)
}

func ocsfCalled(e *event.Event) (int64, string) {
	method := ""
	if e.Call != nil {
		method = e.Call.Method
	}
	switch method {
	case "POST":
		return 1, "Create"
	case "GET", "HEAD":
		return 2, "Read"
	case "PUT", "PATCH":
		return 3, "Update"
	case "DELETE":
		return 4, "Delete"
	}
	return 99, "Other"
}

func ocsfChanged(e *event.Event) (int64, string) {
	switch changeOf(e.Action) {
	case changeMade:
		return 1, "Create"
	case changeGone:
		return 4, "Delete"
	case changeEnabled:
		return 8, "Enable"
	case changeDisabled:
		return 9, "Disable"
	case changeOther, changeNone:
		return 99, "Other"
	}
	return 3, "Update"
}

// appendEventOCSF is AppendOCSF of an event that is handed on.
func appendEventOCSF(dst []byte, e *event.Event) []byte {
	w, k := &writer{b: append(dst, '{')}, ocsfKindOf(e)
	w.int("activity_id", k.activity)
	w.str("activity_name", k.name)
	w.int("category_uid", k.class/1000)
	w.str("category_name", k.category)
	w.int("class_uid", k.class)
	w.str("class_name", k.title)
	w.int("type_uid", k.class*100+k.activity)
	w.str("type_name", k.title+": "+k.name)
	w.int("severity_id", 1)
	w.str("severity", "Informational")
	ocsfResult(w, e)
	w.epoch("time", e.Time)
	w.str("message", firstOf(e.Activity, e.Action))
	cloud := firstOf(cloudProvider(e.Provider), e.Provider)
	w.object("metadata", func() { ocsfEventMetadata(w, e, cloud != "") })
	ocsfCloud(w, cloud, e.Tenant)
	switch k.class {
	case ocsfActivityClass:
		ocsfAPI(w, e)
	case ocsfLogOnClass:
		ocsfLogOn(w, e)
	case ocsfFindingClass:
		ocsfUnexplained(w, e)
	case ocsfAccessClass:
		ocsfAccess(w, e)
	default:
		ocsfEntity(w, e)
	}
	w.object("unmapped", func() { w.object("appgov", func() { appgovEvent(w, e) }) })
	return append(w.b, '}')
}

func ocsfResult(w *writer, e *event.Event) {
	switch e.Result {
	case event.ResultSuccess:
		w.int("status_id", 1)
		w.str("status", "Success")
	case event.ResultFailure:
		w.int("status_id", 2)
		w.str("status", "Failure")
	}
	w.str("status_code", e.ResultCode)
	w.str("status_detail", e.ResultReason)
}

func ocsfEventMetadata(w *writer, e *event.Event, cloud bool) {
	ocsfProduct(w)
	if cloud {
		w.strs("profiles", "cloud")
	}
	w.str("uid", e.ID.String())
	w.str("correlation_uid", e.CorrelationID)
	w.str("original_event_uid", e.UpstreamID)
	w.str("tenant_uid", e.Tenant)
	w.str("event_code", e.Action)
	w.str("log_name", firstOf(e.Source, "appgov.events"))
	w.epoch("logged_time", e.Observed)
}

func ocsfAPI(w *writer, e *event.Event) {
	w.object("actor", func() { ocsfActor(w, e.Actor) })
	w.object("api", func() {
		operation := firstOf(e.Activity, e.Action)
		if c := e.Call; c != nil {
			operation = strings.TrimSpace(c.Method + " " + c.Endpoint)
			w.str("version", c.APIVersion)
		}
		w.str("operation", operation)
		if name := firstOf(e.Resource.Name, e.Service); name != "" {
			w.object("service", func() { w.str("name", name) })
		}
	})
	w.object("src_endpoint", func() {
		if validIP(e.Origin.IP) == "" {
			w.str("svc_name", ocsfClient(e))
		}
		ocsfEndpoint(w, e.Origin)
	})
	w.object("http_request", func() {
		if e.Call != nil {
			w.str("http_method", e.Call.Method)
		}
		w.str("user_agent", e.Origin.UserAgent)
	})
}

func ocsfLogOn(w *writer, e *event.Event) {
	w.object("user", func() { ocsfUser(w, e.Actor) })
	w.object("service", func() {
		w.str("name", e.Resource.Name)
		w.str("uid", firstOf(e.Resource.AppID, e.Resource.ID))
	})
	if validIP(e.Origin.IP) != "" {
		w.object("src_endpoint", func() { ocsfEndpoint(w, e.Origin) })
	}
	if e.Origin.UserAgent != "" {
		w.object("http_request", func() { w.str("user_agent", e.Origin.UserAgent) })
	}
	if id := e.SignIn.SessionID; id != "" {
		w.object("session", func() { w.str("uid", id) })
	}
}

// ocsfUnexplained is a grant that no audit record explains.
func ocsfUnexplained(w *writer, e *event.Event) {
	w.object("finding_info", func() {
		w.str("uid", e.ID.String())
		w.str("title", firstOf(e.Activity, e.Action))
		w.epoch("created_time", e.Time)
	})
	w.list("applications", 1, func(int) {
		w.str("uid", e.App.Key())
		w.str("name", firstOf(e.App.Name, e.App.Key()))
	})
	w.list("permission_analysis_results", 1, func(int) { w.strs("granted_privileges", privileges(e)...) })
}

func ocsfAccess(w *writer, e *event.Event) {
	if ocsfNamed(e) {
		w.object("actor", func() { ocsfActor(w, e.Actor) })
	}
	w.object("user", func() { // the app is who may do something now
		w.str("uid", e.App.Key())
		w.str("name", e.App.Name)
		w.int("type_id", 99)
		w.str("type", "OAuth Application")
	})
	w.strs("privileges", privileges(e)...)
	if name := firstOf(e.Resource.Name, e.Resource.AppID, e.Resource.ID); name != "" {
		w.list("resources", 1, func(int) {
			w.str("name", e.Resource.Name)
			w.str("uid", firstOf(e.Resource.AppID, e.Resource.ID))
		})
	}
}

func ocsfEntity(w *writer, e *event.Event) {
	if ocsfNamed(e) {
		w.object("actor", func() { ocsfActor(w, e.Actor) })
	}
	w.object("entity", func() {
		uid, name, kind := e.App.Key(), e.App.Name, "OAuth Application"
		if uid == "" && name == "" {
			uid, name, kind = firstOf(e.Target.ID, e.Target.AppID), firstOf(e.Target.Name, e.Target.UPN), firstOf(e.Target.Type, "unknown")
		}
		if uid == "" && name == "" {
			name, kind = "unknown", "unknown"
		}
		w.str("uid", uid)
		w.str("name", name)
		w.int("type_id", 99)
		w.str("type", kind)
	})
	if text := firstOf(e.Activity, e.Action); text != "" {
		w.str("comment", text)
	}
}

// privileges are the permissions that were given or taken.
func privileges(e *event.Event) []string {
	list := make([]string, 0, len(e.Permissions))
	for _, p := range e.Permissions {
		list = append(list, firstOf(p.Name, p.ID))
	}
	return distinct(append(list, e.Consent.Scopes...)...)
}

func permissionNames(e *event.Event) string { return strings.Join(privileges(e), ",") }
