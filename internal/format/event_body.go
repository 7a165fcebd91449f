package format

import (
	"strconv"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// appgovEvent is the part of an event that is the same in every format.
func appgovEvent(w *writer, e *event.Event) {
	w.str("event_id", e.ID.String())
	w.int("version", int64(e.Version))
	w.str("provider", e.Provider)
	w.str("tenant", e.Tenant)
	w.str("source", e.Source)
	w.str("class", e.Class)
	w.str("upstream_id", e.UpstreamID)
	w.str("action", e.Action)
	w.str("activity", e.Activity)
	w.str("category", e.Category)
	w.str("service", e.Service)
	w.str("result", string(e.Result))
	w.str("result_code", e.ResultCode)
	w.str("result_reason", e.ResultReason)
	w.str("correlation_id", e.CorrelationID)
	w.time("observed", e.Observed)
	w.bool("backfill", e.Backfill)
	w.bool("derived", e.Derived)
	w.object("app", func() { names(w, e.App) })
	w.object("actor", func() { actor(w, e.Actor) })
	w.object("target", func() { entity(w, e.Target) })
	w.object("resource", func() { entity(w, e.Resource) })
	w.object("credential", func() { credential(w, &e.Credential) })
	w.object("consent", func() { consent(w, &e.Consent) })
	w.object("signin", func() { signIn(w, &e.SignIn) })
	w.list("permissions", len(e.Permissions), func(i int) { permission(w, &e.Permissions[i]) })
	w.list("changes", len(e.Changes), func(i int) {
		w.str("name", e.Changes[i].Name)
		w.strs("old", e.Changes[i].Old...)
		w.strs("new", e.Changes[i].New...)
	})
	w.list("details", len(e.Details), func(i int) {
		w.str("name", e.Details[i].Name)
		w.str("value", e.Details[i].Value)
	})
	if c := e.Call; c != nil {
		w.object("call", func() { call(w, c) })
	}
	if u := e.Upstream; u != nil {
		w.object("upstream", func() { w.str("title", u.Title); upstream(w, u) })
	}
	w.strs("notes", e.Notes...)
}

func credential(w *writer, c *event.Credential) {
	w.str("key_id", c.KeyID)
	w.str("kind", c.Kind)
	w.str("name", c.Name)
	w.str("thumbprint", c.Thumbprint)
	w.time("start", c.Start)
	w.time("end", c.End)
	w.str("issuer", c.Issuer)
	w.str("subject", c.Subject)
}

func consent(w *writer, c *event.Consent) {
	w.str("type", c.Type)
	if c.AdminSet {
		w.bool("admin", c.Admin)
	}
	if c.AppOnly {
		w.bool("app_only", true)
	}
	w.str("on_behalf", c.OnBehalf)
	w.strs("scopes", c.Scopes...)
}

func signIn(w *writer, s *event.SignIn) {
	w.str("kind", s.Kind)
	w.str("credential_type", s.CredentialType)
	w.str("credential_key_id", s.CredentialKeyID)
	w.str("thumbprint", s.Thumbprint)
	w.str("protocol", s.Protocol)
	w.str("client_app", s.ClientApp)
	w.str("user_type", s.UserType)
	w.str("risk_level", s.RiskLevel)
	w.str("conditional_access", s.ConditionalAccess)
	w.str("unique_token", s.UniqueToken)
	w.str("session_id", s.SessionID)
	w.str("resource_owner_tenant", s.ResourceOwnerTenant)
}

func permission(w *writer, p *event.Permission) {
	w.str("kind", p.Kind)
	w.str("name", p.Name)
	w.str("id", p.ID)
	w.str("resource", p.Resource)
	w.str("api", p.API)
	w.bool("removed", p.Removed)
	if p.Tier > 0 {
		w.int("tier", int64(p.Tier))
	}
}

func call(w *writer, c *event.Call) {
	w.str("method", c.Method)
	w.str("uri", c.URI)
	w.str("endpoint", c.Endpoint)
	w.str("workload", c.Workload)
	w.str("api_version", c.APIVersion)
	if c.Status > 0 {
		w.int("status", int64(c.Status))
	}
	if c.BytesKnown {
		w.int("response_bytes", c.Bytes)
	}
	if c.Duration > 0 {
		w.int("duration_ms", c.Duration.Milliseconds())
	}
	w.strs("permissions", c.Permissions...)
}

// original is the record as it was read; one that would be cut stays in the ledger alone.
func original(w *writer, e *event.Event) {
	if len(e.Raw) <= maxText {
		w.str("original", string(e.Raw))
	}
}

// outcome is the result of an event as ECS and CIM call it.
func outcome(r event.Result) string {
	if r == event.ResultUnknown {
		return "unknown"
	}
	return string(r)
}

// appendEventJSON is AppendJSON of an event that is handed on: the fields of appgov at
// the top, and the record as it was read.
func appendEventJSON(dst []byte, e *event.Event) []byte {
	w := &writer{b: append(dst, '{')}
	w.time("time", e.Time)
	w.str("kind", event.KindEvent)
	appgovEvent(w, e)
	w.object("origin", func() { ecsSource(w, e.Origin); w.str("user_agent", e.Origin.UserAgent) })
	original(w, e)
	return append(w.b, '}')
}

// appendEventECS is AppendECS of an event that is handed on.
func appendEventECS(dst []byte, a *event.Alert, namespace string, ingested time.Time) []byte {
	w, e := &writer{b: append(dst, '{')}, a.Event
	w.time("@timestamp", e.Time)
	w.str("message", firstOf(e.Activity, e.Action))
	w.object("ecs", func() { w.str("version", ecsVersion) })
	w.object("data_stream", func() {
		w.str("type", "logs")
		w.str("dataset", "appgov.events")
		w.str("namespace", namespace)
	})
	w.object("event", func() {
		category, kind := ecsCategory(e)
		w.str("id", e.ID.String())
		w.str("kind", "event")
		w.strs("category", category)
		w.strs("type", kind)
		w.str("module", "appgov")
		w.str("dataset", "appgov.events")
		w.str("provider", event.DetectionSource)
		w.str("action", e.Action)
		w.str("outcome", outcome(e.Result))
		w.str("code", e.ResultCode)
		w.str("reason", e.ResultReason)
		w.time("created", e.Observed)
		w.time("ingested", ingested)
		original(w, e)
	})
	ecsParties(w, a)
	if c := e.Call; c != nil {
		w.object("http", func() { ecsHTTP(w, c) })
		w.object("url", func() { w.str("original", c.URI) })
	}
	w.object("related", func() { ecsRelated(w, a) })
	w.object("appgov", func() { appgovEvent(w, e) })
	return append(w.b, '}')
}

func ecsHTTP(w *writer, c *event.Call) {
	w.object("request", func() { w.str("method", c.Method) })
	w.object("response", func() {
		if c.Status > 0 {
			w.int("status_code", int64(c.Status))
		}
		if c.BytesKnown {
			w.object("body", func() { w.int("bytes", c.Bytes) })
		}
	})
}

// ecsCategory is the category of an event, and a type that ECS expects of it.
func ecsCategory(e *event.Event) (category, kind string) {
	switch e.Class {
	case event.ClassSignIn:
		return "authentication", "start"
	case event.ClassCall, event.ClassActivity:
		return "api", "access"
	case event.ClassAlert, event.ClassRisk: // not threat, which is for indicators alone
		return "intrusion_detection", "info"
	}
	switch changeOf(e.Action) {
	case changeMade:
		return "iam", "creation"
	case changeGone:
		return "iam", "deletion"
	case changeNone, changeOther:
		return "iam", "info"
	}
	return "iam", "change"
}

// change is what an action does to an object of the directory.
type change int

const (
	changeMade change = 1 + iota
	changeAltered
	changeGone
	changeEnabled
	changeDisabled
	changeOther
	changeNone // it leaves the directory as it was
)

func changeOf(action string) change {
	switch action {
	case event.ActionAppRegistered, event.ActionAppAdded, event.ActionAppRestored, event.ActionInvAppAdded:
		return changeMade
	case event.ActionAppDeleted, event.ActionAppRemoved, event.ActionInvAppRemoved:
		return changeGone
	case event.ActionAppEnabled:
		return changeEnabled
	case event.ActionAppDisabled:
		return changeDisabled
	case event.ActionOther, event.ActionInvConsentRequested, event.ActionInvRiskChanged, event.ActionRiskChanged, event.ActionRiskDetected, event.ActionUpstreamAlert:
		return changeOther
	case event.ActionAppSignIn, event.ActionUserSignIn, event.ActionAppActivity, event.ActionAppCall:
		return changeNone
	}
	return changeAltered
}

// appendEventCIM is AppendCIM of an event that is handed on: with the fields of the data
// models Authentication, Web or Change.
func appendEventCIM(dst []byte, e *event.Event) []byte {
	w := &writer{b: append(dst, '{')}
	w.epochSeconds("time", e.Time)
	w.str("vendor_product", vendor+" "+event.DetectionSource)
	w.str("vendor_account", e.Tenant)
	w.str("id", e.ID.String())
	w.str("type", "event")
	w.str("signature", known(firstOf(e.Activity, e.Action)))
	w.str("signature_id", known(firstOf(e.ResultCode, e.Action)))
	w.str("action", cimAction(e))
	w.str("status", outcome(e.Result))
	w.str("result", e.ResultReason)
	w.str("app", known(firstOf(e.App.Name, e.App.Key())))
	w.str("user", known(firstOf(e.Actor.UPN, e.Actor.Name, e.Actor.AppID, e.Actor.ID)))
	w.str("user_name", e.Actor.Name)
	w.str("user_agent", e.Origin.UserAgent)
	w.str("src", known(firstOf(validIP(e.Origin.IP), e.Actor.AppID)))
	w.str("dest", known(firstOf(e.Resource.Name, e.Resource.ID, e.Target.Name, e.Target.ID, e.App.Name, e.App.Key())))
	w.str("object", firstOf(e.Target.Name, e.Target.ID, e.App.Name, e.App.Key()))
	w.str("object_category", e.Category)
	if c := e.Call; c != nil {
		w.str("http_method", c.Method)
		w.str("url", c.URI)
		if c.BytesKnown { // of the response: Web describes the data of a server, and that is outbound. https://help.splunk.com/data-management/common-information-model/6.0/data-models/web
			w.int("bytes_out", c.Bytes)
		}
	}
	w.object("appgov", func() { appgovEvent(w, e) })
	return append(w.b, '}')
}

// cimAction is the action as the data models Change and Authentication name it; of what
// changed nothing it is how that went.
func cimAction(e *event.Event) string {
	if e.Class == event.ClassSignIn || e.Class == event.ClassCall || e.Class == event.ClassActivity {
		return outcome(e.Result)
	}
	switch changeOf(e.Action) {
	case changeNone:
		return outcome(e.Result)
	case changeMade:
		return "created"
	case changeGone:
		return "deleted"
	case changeEnabled:
		return "enabled"
	case changeDisabled:
		return "disabled"
	case changeOther:
		return "unknown"
	}
	return "modified"
}

// appendEventCEF is AppendCEF of an event that is handed on: the signature is its action.
func appendEventCEF(dst []byte, a *event.Alert) []byte {
	e := a.Event
	w := newCEF(dst, firstOf(e.Action, "none"), firstOf(e.Activity, e.Action, "none"), "1")
	w.millis("rt", e.Time)
	w.text("externalId", e.ID.String(), cefText)
	w.text("cat", event.KindEvent, cefText)
	w.text("act", e.Action, cefText)
	w.text("outcome", outcome(e.Result), cefText)
	w.text("deviceExternalId", e.Tenant, cefText)
	w.text("reason", firstOf(e.ResultReason, e.ResultCode), cefText)
	w.parties(a)
	if c := e.Call; c != nil {
		w.text("requestMethod", c.Method, cefText)
		w.text("request", c.URI, cefText)
		if c.BytesKnown { // of the response: in is what flows from the source to the destination, out the way back
			w.number("out", c.Bytes)
		}
	}
	w.labelled("cs1", "class", e.Class)
	w.labelled("cs2", "appId", firstOf(e.App.AppID, e.App.ID))
	w.labelled("cs3", "source", e.Source)
	w.labelled("cs4", "correlationId", e.CorrelationID)
	w.labelled("cs5", "permissions", bounded(permissionNames(e), cefText))
	w.labelled("cs6", "resultCode", e.ResultCode)
	w.labelled("cn1", "version", strconv.FormatUint(uint64(e.Version), 10))
	return w.b
}

// appendEventLEEF is AppendLEEF of an event that is handed on.
func appendEventLEEF(dst []byte, e *event.Event) []byte {
	w := newLEEF(dst, e.Action)
	w.leefTime(e.Time)
	w.text("cat", event.KindEvent, cefText)
	w.number("sev", 1)
	w.text("usrName", firstOf(e.Actor.UPN, e.Actor.Name, e.Actor.AppID), cefText)
	w.text("src", validIP(e.Origin.IP), cefText)
	pairs := [][2]string{
		{"eventId", e.ID.String()}, {"class", e.Class}, {"eventAction", e.Action}, {"activity", e.Activity}, {"outcome", outcome(e.Result)}, {"resultCode", e.ResultCode}, {"resultReason", e.ResultReason},
		{"tenant", e.Tenant}, {"logSource", e.Source}, {"appId", firstOf(e.App.AppID, e.App.ID)}, {"appName", e.App.Name}, {"actorId", e.Actor.ID},
		{"targetName", firstOf(e.Target.UPN, e.Target.Name)}, {"targetId", e.Target.ID}, {"apiName", e.Resource.Name}, {"permissions", permissionNames(e)},
		{"country", e.Origin.Country}, {"userAgent", e.Origin.UserAgent}, {"correlationId", e.CorrelationID}, {"version", strconv.FormatUint(uint64(e.Version), 10)},
	}
	if c := e.Call; c != nil {
		pairs = append(pairs, [2]string{"method", c.Method}, [2]string{"url", c.URI})
	}
	for _, p := range pairs {
		w.text(p[0], p[1], cefLong)
	}
	return w.b
}
