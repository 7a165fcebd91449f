package format

import (
	"strconv"

	"github.com/appgovd/appgovd/internal/event"
)

// AppendCIM appends a as one flat JSON object with the fields of Splunk's CIM data model
// Alerts at the top, where what is required and not known is "unknown", and everything
// else below appgov. https://docs.splunk.com/Documentation/CIM/latest/User/Alerts
func AppendCIM(dst []byte, a *event.Alert) []byte { return appendCIM(dst, a, nil) }

func appendCIM(dst []byte, a *event.Alert, pages []Link) []byte {
	if a.Event != nil {
		return appendEventCIM(dst, a.Event)
	}
	w := &writer{b: append(dst, '{')}
	w.epochSeconds("time", a.Time)
	w.str("detection_source", event.DetectionSource)
	w.str("vendor_product", vendor+" "+event.DetectionSource)
	w.str("vendor_account", a.Tenant)
	w.str("id", a.ID.String())
	w.str("type", "alert")
	w.str("signature", known(a.Title))
	w.str("signature_id", known(a.RuleID))
	w.str("subject", a.Title)
	w.str("description", known(firstOf(a.Summary, a.Title)))
	w.str("severity", firstOf(a.Severity.String(), "informational"))
	w.str("severity_id", strconv.Itoa(severityOfTen(a.Severity)))
	w.str("app", known(firstOf(a.App.Name, a.App.Key())))
	w.str("user", known(firstOf(a.Actor.UPN, a.Actor.Name, a.Actor.AppID, a.Actor.ID)))
	w.str("user_name", a.Actor.Name)
	w.str("src", known(firstOf(validIP(a.Origin.IP), a.Actor.AppID)))
	if validIP(a.Origin.IP) == "" && a.Actor.AppID != "" {
		w.str("src_type", "application")
	}
	w.str("dest", known(firstOf(a.Resource.Name, a.Resource.ID, a.Target.Name, a.Target.ID, a.App.Name, a.App.Key())))
	w.str("dest_type", firstOf(a.Resource.Type, a.Target.Type))
	w.strs("mitre_technique_id", a.Techniques...)
	w.object("appgov", func() { appgov(w, a, pages) })
	return append(w.b, '}')
}

func known(s string) string { return firstOf(s, "unknown") }
