package format

import (
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Numbers of OCSF 1.8: class and category of a finding of a detection, and what an
// observable is.
const (
	ocsfVersion    = "1.8.0"
	ocsfClass      = 2004
	ocsfCategory   = 2
	ocsfIP         = 2
	ocsfUserName   = 4
	ocsfResourceID = 10
)

// AppendOCSF appends a as one Detection Finding (2004) of OCSF 1.8 on one line, with
// the profiles cloud, where the alert names one, and security_control. One alert is one
// finding: finding_info.uid stays the same while it is updated and closed. What OCSF has
// no name for is below unmapped.appgov. https://schema.ocsf.io/1.8.0/classes/detection_finding
func AppendOCSF(dst []byte, a *event.Alert) []byte { return appendOCSF(dst, a, nil) }

func appendOCSF(dst []byte, a *event.Alert, pages []Link) []byte {
	if a.Event != nil {
		return appendEventOCSF(dst, a.Event)
	}
	page, more := mainPage(a, pages)
	w := &writer{b: append(dst, '{')}
	activity, name := ocsfActivity(a)
	w.int("activity_id", activity)
	w.str("activity_name", name)
	w.int("category_uid", ocsfCategory)
	w.str("category_name", "Findings")
	w.int("class_uid", ocsfClass)
	w.str("class_name", "Detection Finding")
	w.int("type_uid", ocsfClass*100+activity)
	w.str("type_name", "Detection Finding: "+name)
	severity, level := ocsfSeverity(a.Severity)
	w.int("severity_id", severity)
	w.str("severity", level)
	status, text := ocsfStatus(a.State)
	w.int("status_id", status)
	w.str("status", text)
	w.str("status_detail", a.Reason)
	w.epoch("time", a.Time)
	w.epoch("start_time", a.Opened)
	w.str("message", a.Title)
	w.bool("is_alert", true)
	w.int("risk_score", int64(a.Score))
	if a.Count > 0 {
		w.int("count", int64(a.Count))
	}
	cloud := firstOf(cloudProvider(a.Provider), a.Provider)
	w.object("metadata", func() { ocsfMetadata(w, a, cloud != "") })
	w.object("finding_info", func() { ocsfFinding(w, a, page) })
	w.list("attacks", len(a.Techniques), func(i int) { ocsfAttack(w, a.Techniques[i]) })
	ocsfCloud(w, cloud, a.Tenant)
	ocsfEvidence(w, a)
	ocsfResources(w, a)
	ocsfObservables(w, a)
	w.object("unmapped", func() { w.object("appgov", func() { appgov(w, a, more) }) })
	return append(w.b, '}')
}

func ocsfActivity(a *event.Alert) (int64, string) {
	switch a.State {
	case event.AlertUpdated:
		return 2, "Update"
	case event.AlertResolved:
		return 3, "Close"
	}
	return 1, "Create"
}

func ocsfStatus(s event.AlertState) (int64, string) {
	switch s {
	case event.AlertUpdated:
		return 2, "In Progress"
	case event.AlertResolved:
		return 4, "Resolved"
	}
	return 1, "New"
}

func ocsfSeverity(s event.Severity) (int64, string) {
	switch s {
	case event.SeverityLow:
		return 2, "Low"
	case event.SeverityMedium:
		return 3, "Medium"
	case event.SeverityHigh:
		return 4, "High"
	case event.SeverityCritical:
		return 5, "Critical"
	}
	return 1, "Informational"
}

func ocsfCloud(w *writer, provider, tenant string) {
	if provider == "" {
		return
	}
	w.object("cloud", func() {
		w.str("provider", provider)
		w.object("account", func() { w.str("uid", tenant) })
	})
}

// ocsfProduct is what all metadata begins with.
func ocsfProduct(w *writer) {
	w.str("version", ocsfVersion)
	w.object("product", func() {
		w.str("name", event.DetectionSource)
		w.str("vendor_name", vendor)
	})
}

func ocsfMetadata(w *writer, a *event.Alert, cloud bool) {
	ocsfProduct(w)
	if cloud {
		w.strs("profiles", "cloud", "security_control")
	} else {
		w.strs("profiles", "security_control")
	}
	w.str("uid", a.DeliveryID.String())
	w.str("correlation_uid", a.ID.String())
	w.str("tenant_uid", a.Tenant)
	w.str("event_code", a.RuleID)
	w.str("log_name", "appgov.alerts")
	w.int("sequence", int64(a.Sequence))
}

func ocsfFinding(w *writer, a *event.Alert, page string) {
	w.str("uid", a.ID.String())
	w.str("title", a.Title)
	w.str("desc", a.Summary)
	w.strs("types", a.Kind)
	w.epoch("created_time", a.Opened)
	w.epoch("first_seen_time", a.Opened)
	w.epoch("modified_time", a.Time)
	w.epoch("last_seen_time", a.Time)
	w.strs("data_sources", a.Provider)
	w.str("src_url", page)
	if a.RuleID != "" {
		w.object("analytic", func() {
			w.str("uid", a.RuleID)
			w.str("name", a.Title)
			w.int("type_id", 1)
			w.str("type", "Rule")
			w.str("version", a.RuleRevision)
		})
	}
}

func ocsfAttack(w *writer, technique string) {
	top, _, sub := strings.Cut(technique, ".")
	w.object("technique", func() { w.str("uid", top) })
	if sub {
		w.object("sub_technique", func() { w.str("uid", technique) })
	}
}

// ocsfEvidence is who did it and from where.
func ocsfEvidence(w *writer, a *event.Alert) {
	ip := validIP(a.Origin.IP)
	named := firstOf(a.Actor.ID, a.Actor.UPN, a.Actor.Name) != "" || ofApp(a.Actor) && a.Actor.AppID != ""
	if ip == "" && !named {
		return
	}
	w.list("evidences", 1, func(int) {
		w.object("actor", func() { ocsfActor(w, a.Actor) })
		if ip != "" {
			w.object("src_endpoint", func() { ocsfEndpoint(w, a.Origin) })
		}
		if a.Origin.UserAgent != "" {
			w.object("http_request", func() { w.str("user_agent", a.Origin.UserAgent) })
		}
	})
}

// ofApp tells an app from a user.
func ofApp(a event.Actor) bool { return a.Type == event.TypeApp || a.Type == event.TypeService }

func ocsfActor(w *writer, a event.Actor) {
	if ofApp(a) {
		w.str("app_name", firstOf(a.Name, a.AppID, a.ID))
		w.str("app_uid", firstOf(a.AppID, a.ID))
		return
	}
	w.object("user", func() { ocsfUser(w, a) })
}

func ocsfUser(w *writer, a event.Actor) {
	if ofApp(a) {
		w.str("uid", firstOf(a.AppID, a.ID))
		w.str("name", a.Name)
		w.int("type_id", 99)
		w.str("type", "OAuth Application")
		return
	}
	w.str("uid", a.ID)
	w.str("name", firstOf(a.UPN, a.Name))
	w.str("full_name", a.Name)
	if a.Type == event.TypeUser && (a.ID != "" || a.UPN != "" || a.Name != "") {
		w.int("type_id", 1)
	}
}

func ocsfEndpoint(w *writer, o event.Origin) {
	w.str("ip", validIP(o.IP))
	if o.ASN != 0 || o.ASOrg != "" {
		w.object("autonomous_system", func() {
			if o.ASN != 0 {
				w.int("number", int64(o.ASN))
			}
			w.str("name", o.ASOrg)
		})
	}
	w.object("location", func() {
		w.str("country", o.Country)
		w.str("city", o.City)
	})
}

// ocsfResources are the app, and the API or directory object that it is about.
func ocsfResources(w *writer, a *event.Alert) {
	type resource struct {
		uid, name, kind string
		role            int64
		text            string
	}
	var all []resource
	if uid := a.App.Key(); uid != "" || a.App.Name != "" {
		all = append(all, resource{uid, a.App.Name, "OAuth Application", 3, "Affected"})
	}
	for _, e := range []event.Entity{a.Resource, a.Target} {
		if uid := firstOf(e.AppID, e.ID); uid != "" || e.Name != "" {
			all = append(all, resource{uid, firstOf(e.Name, e.UPN), e.Type, 4, "Related"})
		}
	}
	w.list("resources", len(all), func(i int) {
		w.str("uid", all[i].uid)
		w.str("name", all[i].name)
		w.str("type", all[i].kind)
		w.int("role_id", all[i].role)
		w.str("role", all[i].text)
	})
}

func ocsfObservables(w *writer, a *event.Alert) {
	type observable struct {
		name, kind, value string
		id                int64
	}
	var all []observable
	if ip := validIP(a.Origin.IP); ip != "" {
		all = append(all, observable{"evidences[0].src_endpoint.ip", "IP Address", ip, ocsfIP})
	}
	if a.Actor.Type == event.TypeUser && a.Actor.UPN != "" {
		all = append(all, observable{"evidences[0].actor.user.name", "User Name", a.Actor.UPN, ocsfUserName})
	}
	if uid := a.App.Key(); uid != "" {
		all = append(all, observable{"resources[0].uid", "Resource UID", uid, ocsfResourceID})
	}
	w.list("observables", len(all), func(i int) {
		w.str("name", all[i].name)
		w.int("type_id", all[i].id)
		w.str("type", all[i].kind)
		w.str("value", all[i].value)
	})
}
