package format

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Version of ECS that the documents follow.
const ecsVersion = "9.4.0"

// ecsSeverity is the scale of Elastic's own integrations.
func ecsSeverity(s event.Severity) int64 {
	switch s {
	case event.SeverityMedium:
		return 47
	case event.SeverityHigh:
		return 73
	case event.SeverityCritical:
		return 99
	default:
		return 21
	}
}

// AppendECS appends a as one ECS 9.4 document on one line, without a line end.
// event.kind is alert, so that Elastic's external-alerts promotion takes it;
// message is the title; what ECS has no name for is below appgov.
// https://www.elastic.co/docs/reference/ecs
func AppendECS(dst []byte, a *event.Alert) []byte {
	w := &writer{b: append(dst, '{')}
	w.time("@timestamp", a.Time)
	w.str("message", a.Title)
	w.object("ecs", func() { w.str("version", ecsVersion) })
	w.strs("tags", event.DetectionSource)
	w.object("data_stream", func() {
		w.str("type", "logs")
		w.str("dataset", "appgov.alerts")
		w.str("namespace", "default")
	})
	w.object("event", func() { ecsEvent(w, a) })
	w.object("rule", func() {
		w.str("id", a.RuleID)
		w.str("name", a.Title)
		w.str("version", a.RuleRevision)
		w.str("category", a.Kind)
		if len(a.References) > 0 {
			w.str("reference", a.References[0])
		}
	})
	w.object("threat", func() {
		if len(a.Techniques) > 0 {
			w.str("framework", "MITRE ATT&CK")
			w.object("technique", func() { w.strs("id", a.Techniques...) })
		}
	})
	w.object("cloud", func() { w.object("account", func() { w.str("id", a.Tenant) }) })
	w.object("user", func() {
		if a.Actor.Type != event.TypeApp {
			w.str("id", a.Actor.ID)
			w.str("name", firstOf(a.Actor.UPN, a.Actor.Name))
			w.str("full_name", a.Actor.Name)
		}
	})
	w.object("source", func() { ecsSource(w, a) })
	w.object("user_agent", func() { w.str("original", a.Origin.UserAgent) })
	w.object("related", func() {
		w.strs("user", a.Actor.UPN, a.Actor.ID)
		if ip := validIP(a.Origin.IP); ip != "" {
			w.strs("ip", ip)
		}
	})
	w.object("appgov", func() { appgov(w, a) })
	return append(w.b, '}')
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func ecsEvent(w *writer, a *event.Alert) {
	w.str("id", a.ID.String())
	w.str("kind", "alert")
	w.strs("category", "intrusion_detection", "iam")
	w.strs("type", "info")
	w.str("module", "appgov")
	w.str("dataset", "appgov.alerts")
	w.str("provider", event.DetectionSource)
	w.str("action", a.Action)
	w.str("reason", a.Summary)
	w.int("severity", ecsSeverity(a.Severity))
	w.int("risk_score", int64(a.Score))
	w.int("sequence", int64(a.Sequence))
	w.time("start", a.Opened)
	if a.Upstream != nil {
		w.str("url", a.Upstream.URL)
	}
}

func ecsSource(w *writer, a *event.Alert) {
	ip := validIP(a.Origin.IP)
	w.str("ip", ip)
	w.str("address", a.Origin.IP)
	w.object("as", func() {
		if a.Origin.ASN != 0 {
			w.int("number", int64(a.Origin.ASN))
		}
		w.object("organization", func() { w.str("name", a.Origin.ASOrg) })
	})
	w.object("geo", func() {
		w.str("country_iso_code", a.Origin.Country)
		w.str("city_name", a.Origin.City)
	})
}

// validIP is s where it is an address: an index maps the field as one.
func validIP(s string) string {
	ip, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return ""
	}
	return ip.WithZone("").String()
}

// appgov is the part that is the same in every format.
func appgov(w *writer, a *event.Alert) {
	w.str("detection_source", event.DetectionSource)
	w.str("alert_id", a.ID.String())
	w.str("delivery_id", a.DeliveryID.String())
	w.int("sequence", int64(a.Sequence))
	w.str("state", string(a.State))
	w.str("kind", a.Kind)
	w.str("severity", a.Severity.String())
	w.int("score", int64(a.Score))
	w.bool("backfill", a.Backfill)
	w.str("provider", a.Provider)
	w.str("summary", a.Summary)
	w.str("reason", a.Reason)
	w.int("count", int64(a.Count))
	w.object("app", func() {
		w.str("id", a.App.ID)
		w.str("app_id", a.App.AppID)
		w.str("object_id", a.App.ObjectID)
		w.str("name", a.App.Name)
		w.str("owner_tenant", a.App.OwnerTenant)
		w.str("origin", a.AppOrigin)
		if a.AppTier > 0 {
			w.int("tier", int64(a.AppTier))
		}
	})
	w.object("actor", func() {
		w.str("type", a.Actor.Type)
		w.str("id", a.Actor.ID)
		w.str("app_id", a.Actor.AppID)
		w.str("name", a.Actor.Name)
	})
	w.object("target", func() { entity(w, a.Target) })
	w.object("resource", func() { entity(w, a.Resource) })
	evidence(w, a)
	if u := a.Upstream; u != nil {
		w.object("upstream", func() {
			w.str("alert_id", u.AlertID)
			w.str("status", u.Status)
			w.str("detection_source", u.DetectionSource)
			w.str("service_source", u.ServiceSource)
			w.str("category", u.Category)
			w.str("description", u.Description)
			w.str("incident_url", u.IncidentURL)
		})
	}
}

func entity(w *writer, e event.Entity) {
	w.str("type", e.Type)
	w.str("id", e.ID)
	w.str("app_id", e.AppID)
	w.str("name", e.Name)
}

func evidence(w *writer, a *event.Alert) {
	if len(a.Evidence) == 0 {
		return
	}
	w.int("evidence_total", int64(a.EvidenceTotal))
	w.key("evidence")
	w.b = append(w.b, '[')
	for i, e := range a.Evidence {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(w.b, '{')
		w.comma = false
		w.str("event_id", e.EventID.String())
		w.str("upstream_id", e.UpstreamID)
		w.time("time", e.Time)
		w.str("action", e.Action)
		w.str("activity", e.Activity)
		w.str("summary", e.Summary)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
	w.comma = true
}

// AppendJSON appends a as one plain JSON object on one line: the fields of
// appgov at the top.
func AppendJSON(dst []byte, a *event.Alert) []byte {
	w := &writer{b: append(dst, '{')}
	w.time("time", a.Time)
	w.time("opened", a.Opened)
	w.str("title", a.Title)
	w.str("rule_id", a.RuleID)
	w.str("rule_revision", a.RuleRevision)
	w.str("tenant", a.Tenant)
	w.str("action", a.Action)
	w.strs("techniques", a.Techniques...)
	w.strs("references", a.References...)
	w.object("source", func() { ecsSource(w, a) })
	appgov(w, a)
	return append(w.b, '}')
}

// Named is the encoder that configuration calls name: "ecs" (also "") or
// "json".
func Named(name string) (func(dst []byte, a *event.Alert) []byte, error) {
	switch name {
	case "", "ecs":
		return AppendECS, nil
	case "json":
		return AppendJSON, nil
	default:
		return nil, fmt.Errorf("format is %q; it must be \"ecs\" or \"json\"", name)
	}
}
