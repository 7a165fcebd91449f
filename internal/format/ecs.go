package format

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Version of ECS that the documents follow.
const ecsVersion = "9.4.0"

// ecsSeverity is the scale of Elastic's own integrations, which do not tell
// informational from low; appgov.severity does.
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
	return appendECS(dst, a, nil, "default", time.Time{})
}

// ECS is AppendECS for a data stream of another namespace: the document's own
// data_stream fields must name the stream that it goes to. now gives each document its
// event.ingested, by which Kibana's rules ask for what is new; links are as for Named.
func ECS(namespace string, now func() time.Time, links Links) Encoder {
	return linked(links, func(dst []byte, a *event.Alert, pages []Link) []byte {
		return appendECS(dst, a, pages, namespace, now())
	})
}

func appendECS(dst []byte, a *event.Alert, pages []Link, namespace string, ingested time.Time) []byte {
	if a.Event != nil {
		return appendEventECS(dst, a, namespace, ingested)
	}
	page, more := mainPage(a, pages)
	w := &writer{b: append(dst, '{')}
	w.time("@timestamp", a.Time)
	w.str("message", a.Title)
	w.object("ecs", func() { w.str("version", ecsVersion) })
	w.strs("tags", event.DetectionSource)
	w.object("data_stream", func() {
		w.str("type", "logs")
		w.str("dataset", "appgov.alerts")
		w.str("namespace", namespace)
	})
	w.object("event", func() { ecsEvent(w, a, page); w.time("ingested", ingested) })
	w.object("rule", func() {
		w.str("id", a.RuleID)
		w.str("name", a.Title)
		w.str("version", a.RuleRevision)
		w.str("category", a.Kind)
		w.str("reference", firstOf(a.References...))
	})
	w.object("threat", func() { ecsThreat(w, a.Techniques) })
	ecsParties(w, a)
	w.object("related", func() { ecsRelated(w, a) })
	w.object("appgov", func() { appgov(w, a, more) })
	return append(w.b, '}')
}

// ecsParties is whose tenant it is, who did it and from where.
func ecsParties(w *writer, a *event.Alert) {
	w.object("cloud", func() {
		w.str("provider", cloudProvider(a.Provider))
		w.object("account", func() { w.str("id", a.Tenant) })
	})
	w.object("organization", func() { w.str("id", a.Tenant) })
	w.object("user", func() { ecsUser(w, a.Actor) })
	w.object("source", func() { ecsSource(w, a.Origin) })
	w.object("user_agent", func() { w.str("original", a.Origin.UserAgent) })
}

func ecsRelated(w *writer, a *event.Alert) {
	w.strs("user", distinct(a.Actor.UPN, a.Actor.ID, a.Target.UPN)...)
	if ip := validIP(a.Origin.IP); ip != "" {
		w.strs("ip", ip)
	}
}

// cloudProvider is ECS' name of the cloud behind a provider.
func cloudProvider(provider string) string {
	if provider == "entra" {
		return "azure"
	}
	return ""
}

// ecsThreat writes techniques; T1098.003 is a technique's subtechnique.
func ecsThreat(w *writer, techniques []string) {
	if len(techniques) == 0 {
		return
	}
	var top, sub []string
	for _, t := range techniques {
		head, _, isSub := strings.Cut(t, ".")
		top = append(top, head)
		if isSub {
			sub = append(sub, t)
		}
	}
	w.str("framework", "MITRE ATT&CK")
	w.object("technique", func() {
		w.strs("id", distinct(top...)...)
		w.object("subtechnique", func() { w.strs("id", distinct(sub...)...) })
	})
}

func ecsUser(w *writer, a event.Actor) {
	if ofApp(a) {
		return
	}
	w.str("id", a.ID)
	w.str("name", firstOf(a.UPN, a.Name))
	w.str("full_name", a.Name)
	if strings.Contains(a.UPN, "@") {
		w.str("email", a.UPN)
	}
}

// distinct is list without empty and repeated values, in order.
func distinct(list ...string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func ecsEvent(w *writer, a *event.Alert, page string) {
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
	w.str("reference", firstOf(a.References...))
	w.str("url", page)
}

func ecsSource(w *writer, o event.Origin) {
	w.str("ip", validIP(o.IP))
	w.str("address", o.IP)
	w.object("as", func() {
		if o.ASN != 0 {
			w.int("number", int64(o.ASN))
		}
		w.object("organization", func() { w.str("name", o.ASOrg) })
	})
	w.object("geo", func() {
		w.str("country_iso_code", o.Country)
		w.str("city_name", o.City)
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
func appgov(w *writer, a *event.Alert, pages []Link) {
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
	w.str("dedupe_key", a.DedupeKey)
	labels(w, a.Labels)
	w.object("app", func() {
		names(w, a.App)
		w.str("origin", a.AppOrigin)
		if a.AppTier > 0 {
			w.int("tier", int64(a.AppTier))
		}
		if a.App.Key() != "" {
			w.int("risk", int64(a.AppRisk))
		}
	})
	w.object("actor", func() { actor(w, a.Actor) })
	w.object("target", func() { entity(w, a.Target) })
	w.object("resource", func() { entity(w, a.Resource) })
	w.list("links", len(pages), func(i int) {
		w.str("name", pages[i].Name)
		w.str("url", pages[i].URL)
	})
	evidence(w, a)
	w.object("group", func() { group(w, a.Group) })
	if u := a.Upstream; u != nil {
		w.object("upstream", func() { upstream(w, u) })
	}
}

func names(w *writer, a event.App) {
	w.str("id", a.ID)
	w.str("app_id", a.AppID)
	w.str("object_id", a.ObjectID)
	w.str("name", a.Name)
	w.str("owner_tenant", a.OwnerTenant)
}

func actor(w *writer, a event.Actor) {
	w.str("type", a.Type)
	w.str("id", a.ID)
	w.str("app_id", a.AppID)
	w.str("name", a.Name)
	w.str("upn", a.UPN)
}

func upstream(w *writer, u *event.Upstream) {
	w.str("alert_id", u.AlertID)
	w.str("status", u.Status)
	w.str("severity", u.Severity.String())
	w.str("detection_source", u.DetectionSource)
	w.str("service_source", u.ServiceSource)
	w.str("category", u.Category)
	w.str("description", u.Description)
	w.str("url", u.URL)
	w.str("incident_url", u.IncidentURL)
}

func entity(w *writer, e event.Entity) {
	w.str("type", e.Type)
	w.str("id", e.ID)
	w.str("app_id", e.AppID)
	w.str("name", e.Name)
	w.str("upn", e.UPN)
}

// labels are a list of pairs: their names come from the tenant's data, and as
// fields they would fill an index's mapping.
func labels(w *writer, list []event.Detail) {
	w.list("labels", len(list), func(i int) {
		w.str("name", list[i].Name)
		w.str("value", list[i].Value)
	})
}

// group is what a notice says of the alerts that it stands for.
func group(w *writer, g *event.Group) {
	if g == nil {
		return
	}
	w.str("route", g.Route)
	labels(w, g.Labels)
	if g.Groups > 0 {
		w.int("groups", int64(g.Groups))
	}
	w.int("total", int64(g.Total))
	w.int("open", int64(g.Open))
	w.int("silenced", int64(g.Silenced))
	w.int("inhibited", int64(g.Inhibited))
	w.int("counted", int64(g.Counted))
	w.time("first", g.First)
	w.time("last", g.Last)
	w.list("severities", len(g.Severities), func(i int) {
		w.str("severity", g.Severities[i].Severity.String())
		w.int("alerts", int64(g.Severities[i].Alerts))
	})
	w.list("rules", len(g.Rules), func(i int) {
		w.str("rule_id", g.Rules[i].RuleID)
		w.int("alerts", int64(g.Rules[i].Alerts))
	})
	w.list("members", len(g.Members), func(i int) {
		w.str("alert_id", g.Members[i].ID.String())
		w.str("rule_id", g.Members[i].RuleID)
		w.str("severity", g.Members[i].Severity.String())
		w.str("title", g.Members[i].Title)
	})
}

// AppendGroup appends g as one JSON object on one line, as group of AppendJSON.
func AppendGroup(dst []byte, g *event.Group) []byte {
	w := &writer{b: append(dst, '{')}
	group(w, g)
	return append(w.b, '}')
}

func evidence(w *writer, a *event.Alert) {
	if len(a.Evidence) == 0 {
		return
	}
	w.int("evidence_total", int64(a.EvidenceTotal))
	w.list("evidence", len(a.Evidence), func(i int) {
		e := &a.Evidence[i]
		w.str("event_id", e.EventID.String())
		w.str("upstream_id", e.UpstreamID)
		w.time("time", e.Time)
		w.str("action", e.Action)
		w.str("activity", e.Activity)
		w.str("summary", e.Summary)
	})
}

// AppendJSON appends a as one plain JSON object on one line: the fields of
// appgov at the top.
func AppendJSON(dst []byte, a *event.Alert) []byte { return appendJSON(dst, a, nil) }

func appendJSON(dst []byte, a *event.Alert, pages []Link) []byte {
	if a.Event != nil {
		return appendEventJSON(dst, a.Event)
	}
	w := &writer{b: append(dst, '{')}
	plainJSON(w, a, pages)
	return append(w.b, '}')
}

// AppendJSONWithin is AppendJSON of an alert in at most max bytes, of which there must be
// 32 KiB: where the document is larger, it is without evidence, labels, references and the
// provider's own alert, and its texts are as much shorter as they have to be.
func AppendJSONWithin(dst []byte, a *event.Alert, max int) []byte {
	from := len(dst)
	if dst = AppendJSON(dst, a); len(dst)-from <= max {
		return dst
	}
	short := *a
	short.Evidence, short.Labels, short.References, short.Upstream = nil, nil, nil, nil
	for most := maxText; most >= 64 && len(dst)-from > max; most /= 4 {
		w := &writer{b: append(dst[:from], '{'), most: most}
		plainJSON(w, &short, nil)
		dst = append(w.b, '}')
	}
	return dst
}

// plainJSON is the inside of AppendJSON.
func plainJSON(w *writer, a *event.Alert, pages []Link) {
	w.time("time", a.Time)
	w.time("opened", a.Opened)
	w.str("title", a.Title)
	w.str("rule_id", a.RuleID)
	w.str("rule_revision", a.RuleRevision)
	w.str("tenant", a.Tenant)
	w.str("action", a.Action)
	w.strs("techniques", a.Techniques...)
	w.strs("references", a.References...)
	w.object("source", func() { ecsSource(w, a.Origin) })
	appgov(w, a, pages)
}
