package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/event"
)

// event reads an inline event: attributes named like the fields, nested or
// dotted, and the lists and objects that make sets.
func (t *testReader) event(b block, n int) Step {
	at := t.at(b)
	e := &event.Event{
		ID: event.NewID("test", t.test0.Name, strconv.Itoa(n)), Provider: "entra", Tenant: TestTenant,
		UpstreamID: "test-" + strconv.Itoa(n), Time: at, Observed: at, Result: event.ResultSuccess,
	}
	e.Content = e.ID
	for _, x := range b.body.Blocks {
		t.c.fail(x.DefRange(), "unknown_block", "Block in an event", "Write objects with an equals sign, such as actor = { type = \"user\" }.")
	}
	w := eventWriter{t: t, e: e, texts: textTargets(e), times: timeTargets(e), sets: setTargets(e), bools: boolTargets(e)}
	for _, name := range keys(b.body.Attributes) {
		if name == "at" || name == "repeat" || name == "every" {
			continue
		}
		v, r, ok := b.value(name)
		if ok {
			w.set(member{name: name, rng: b.body.Attributes[name].NameRange, value: v, at: r})
		}
	}
	if e.Action == "" {
		b.missing("action", "a canonical action, such as \"app.consent.granted\"")
	}
	t.sameAlert(e)
	e.Class = classOf(e.Action)
	e.Source = "test/" + e.Class
	e.Derived = e.Class == event.ClassInventory
	return Step{At: at, Range: b.rng, Event: e}
}

const maxRepeat = 10_000

// repeated is how often more an event comes.
func (t *testReader) repeated(b block) int64 {
	n := b.number("repeat", 2, maxRepeat, 1)
	if _, ok := b.attr("repeat"); ok {
		b.need("every", "the time between two of them, such as \"1m\"")
	} else if a, ok := b.attr("every"); ok {
		t.c.fail(a.NameRange, "missing_attribute", "Missing repeat", "every belongs to repeat, which says how many events there are.")
	}
	return n - 1
}

// again is another event like one, later.
func (t *testReader) again(like Step, n int, after time.Duration) Step {
	e := *like.Event
	e.Permissions = slices.Clone(e.Permissions)
	if e.Call != nil {
		call := *e.Call
		e.Call = &call
	}
	e.ID, e.UpstreamID = event.NewID("test", t.test0.Name, strconv.Itoa(n)), "test-"+strconv.Itoa(n)
	e.Content, e.Time = e.ID, e.Time.Add(after)
	e.Observed = e.Time
	return Step{At: e.Time, Range: like.Range, Event: &e}
}

// sameAlert gives all events about one alert of the provider one identity, as
// its source does: a later one is a new version.
func (t *testReader) sameAlert(e *event.Event) {
	if e.Upstream == nil || e.Upstream.AlertID == "" {
		return
	}
	e.UpstreamID = e.Upstream.AlertID
	e.ID = event.NewID("test", t.test0.Name, e.UpstreamID)
	for _, s := range t.test0.Steps {
		if s.Event != nil && s.Event.ID == e.ID {
			e.Version++
		}
	}
}

func classOf(action string) string {
	switch {
	case strings.HasSuffix(action, ".signin"):
		return event.ClassSignIn
	case strings.HasPrefix(action, "inventory."):
		return event.ClassInventory
	case action == event.ActionUpstreamAlert:
		return event.ClassAlert
	case action == event.ActionAppCall:
		return event.ClassCall
	}
	return event.ClassAudit
}

// eventWriter writes constants into an event by the names of its fields.
type eventWriter struct {
	t     *testReader
	e     *event.Event
	texts map[string]*string
	times map[string]*time.Time
	sets  map[string]*[]string
	bools map[string]func(bool)
}

func (w *eventWriter) set(m member) {
	if w.special(m) {
		return
	}
	if o, ok := m.value.(object); ok {
		for _, x := range o {
			x.name = m.name + "." + x.name
			w.set(x)
		}
		return
	}
	ok, known := w.plain(m)
	switch {
	case !known:
		w.unknown(m)
	case !ok:
		w.t.c.fail(m.at, "wrong_type", "Wrong type", "%s does not take this value.", m.name)
	}
}

// special handles the names that are no plain fields.
func (w *eventWriter) special(m member) bool {
	switch m.name {
	case "app":
		label, ok := m.value.(string)
		if ok {
			w.app(label, m.at)
		}
		return ok
	case "permissions":
		w.permissions(m, false)
	case "permissions.revoked", "revoked":
		w.permissions(m, true)
	case "changes":
		w.changes(m)
	case "details":
		w.details(m)
	case "source.asn":
		n, _ := m.value.(int64)
		w.e.Origin.ASN = uint32(min(max(0, n), 1<<32-1))
	case "call.status", "call.response_bytes":
		w.number(m)
	case "call.duration":
		w.part(m.name)
		text, _ := m.value.(string)
		var err error
		if w.e.Call.Duration, err = parseDuration(text); err != nil {
			w.t.c.fail(m.at, "bad_duration", "Bad duration", "%s.", err)
		}
	case "upstream.severity":
		w.part(m.name)
		name, _ := m.value.(string)
		var ok bool
		if w.e.Upstream.Severity, ok = event.ParseSeverity(name); !ok {
			w.t.c.fail(m.at, "bad_severity", "Bad severity", "%q is no severity.", name)
		}
	default:
		return false
	}
	return true
}

// plain writes a value to the field of that name.
func (w *eventWriter) plain(m member) (ok, known bool) {
	if w.part(m.name) {
		w.texts, w.sets = textTargets(w.e), setTargets(w.e)
	}
	if p, known := w.texts[m.name]; known {
		*p, ok = m.value.(string)
		return ok, w.checkAction(m)
	}
	if p, known := w.times[m.name]; known {
		s, ok := m.value.(string)
		*p = w.t.moment(s, m.at)
		return ok, true
	}
	if p, known := w.sets[m.name]; known {
		*p, ok = stringsOf(m.value)
		return ok, true
	}
	if f, known := w.bools[m.name]; known {
		v, ok := m.value.(bool)
		f(v)
		return ok, true
	}
	return false, false
}

func (w *eventWriter) checkAction(m member) bool {
	if a := w.e.Action; m.name == "action" && !has(w.t.c.actions, a) {
		w.t.c.fail(m.at, "unknown_action", "Unknown action", "There is no action %q.%s", a, suggest(a, w.t.c.actions))
	}
	return true
}

func (w *eventWriter) unknown(m member) {
	known := append(keys(w.texts), keys(w.times)...)
	known = append(append(known, keys(w.sets)...), keys(w.bools)...)
	known = append(known, "permissions", "changes", "details", "source.asn", "call.status", "call.response_bytes", "call.duration")
	w.t.c.fail(m.rng, "unknown_field", "Unknown field", "An event has no field %q that can be written.%s", m.name, suggest(m.name, known))
}

// part makes room for the provider's alert, or for a call, when a field of it is named
// for the first time.
func (w *eventWriter) part(name string) bool {
	switch {
	case w.e.Upstream == nil && strings.HasPrefix(name, "upstream."):
		w.e.Upstream = &event.Upstream{Created: w.e.Time, Updated: w.e.Time}
	case w.e.Call == nil && strings.HasPrefix(name, "call."):
		w.e.Call = &event.Call{Workload: "other", Endpoint: "/"}
	default:
		return false
	}
	return true
}

// number writes a number of a call.
func (w *eventWriter) number(m member) {
	w.part(m.name)
	n, ok := m.value.(int64)
	c := w.e.Call
	switch m.name {
	case "call.status":
		c.Status = int(min(max(0, n), 599))
	case "call.response_bytes":
		c.Bytes, c.BytesKnown = max(0, n), true
	}
	if !ok {
		w.t.c.fail(m.at, "wrong_type", "Wrong type", "%s is a whole number.", m.name)
	}
}

func (w *eventWriter) app(label string, at hcl.Range) {
	a, ok := w.t.apps[label]
	if !ok {
		w.t.c.fail(at, "unknown_app", "Unknown app", "The test has no app %q.%s", label, suggest(label, keys(w.t.apps)))
	}
	w.e.App = a
}

// permissions reads "Name" or "application:Name" (delegated unless written).
func (w *eventWriter) permissions(m member, removed bool) {
	names, ok := stringsOf(m.value)
	if !ok {
		w.t.c.fail(m.at, "wrong_type", "Wrong type", "permissions is a list such as [\"Mail.Read\", \"application:Files.Read.All\"].")
	}
	for _, n := range names {
		p := splitKind(n)
		if p.kind == "" {
			p.kind = "delegated"
		}
		w.e.Permissions = append(w.e.Permissions, event.Permission{Kind: p.kind, Name: p.glob, Removed: removed})
	}
}

func (w *eventWriter) changes(m member) {
	list, ok := m.value.(object)
	for _, x := range list {
		sides, isObject := x.value.(object)
		ok = ok && isObject
		ch := event.Change{Name: x.name}
		for _, side := range sides {
			values, isList := stringsOf(side.value)
			ok = ok && isList
			switch side.name {
			case "old":
				ch.Old = values
			case "new":
				ch.New = values
			default:
				ok = false
			}
		}
		w.e.Changes = append(w.e.Changes, ch)
	}
	if !ok {
		w.t.c.fail(m.at, "wrong_type", "Wrong type", "changes is an object such as { AppAddress = { old = [], new = [\"https://example.com\"] } }.")
	}
}

func (w *eventWriter) details(m member) {
	list, ok := m.value.(object)
	for _, x := range list {
		s, isText := x.value.(string)
		ok = ok && isText
		w.e.Details = append(w.e.Details, event.Detail{Name: x.name, Value: s})
	}
	if !ok {
		w.t.c.fail(m.at, "wrong_type", "Wrong type", "details is an object such as { \"User-Agent\" = \"curl\" }.")
	}
}

// stringsOf converts a constant to strings; one string stands for a list of one.
func stringsOf(v any) ([]string, bool) {
	if s, ok := v.(string); ok {
		return []string{s}, true
	}
	list, ok := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, isText := x.(string)
		ok = ok && isText
		out = append(out, s)
	}
	return out, ok
}

func textTargets(e *event.Event) map[string]*string {
	out := map[string]*string{
		"action": &e.Action, "activity": &e.Activity, "category": &e.Category, "service": &e.Service,
		"result": (*string)(&e.Result), "result_code": &e.ResultCode, "result_reason": &e.ResultReason, "correlation_id": &e.CorrelationID,
		"actor.type": &e.Actor.Type, "actor.id": &e.Actor.ID, "actor.name": &e.Actor.Name, "actor.upn": &e.Actor.UPN, "actor.app_id": &e.Actor.AppID,
		"app.id": &e.App.ID, "app.object_id": &e.App.ObjectID, "app.app_id": &e.App.AppID, "app.name": &e.App.Name, "app.owner_tenant": &e.App.OwnerTenant,
		"target.type": &e.Target.Type, "target.id": &e.Target.ID, "target.app_id": &e.Target.AppID, "target.name": &e.Target.Name, "target.upn": &e.Target.UPN,
		"resource.id": &e.Resource.ID, "resource.app_id": &e.Resource.AppID, "resource.name": &e.Resource.Name,
		"source.ip": &e.Origin.IP, "source.as_org": &e.Origin.ASOrg, "source.country": &e.Origin.Country, "source.city": &e.Origin.City, "source.user_agent": &e.Origin.UserAgent,
		"credential.key_id": &e.Credential.KeyID, "credential.kind": &e.Credential.Kind, "credential.name": &e.Credential.Name, "credential.thumbprint": &e.Credential.Thumbprint,
		"credential.issuer": &e.Credential.Issuer, "credential.subject": &e.Credential.Subject,
		"consent.type": &e.Consent.Type, "consent.on_behalf": &e.Consent.OnBehalf,
		"signin.kind": &e.SignIn.Kind, "signin.credential_type": &e.SignIn.CredentialType, "signin.credential_key_id": &e.SignIn.CredentialKeyID,
		"signin.thumbprint": &e.SignIn.Thumbprint, "signin.protocol": &e.SignIn.Protocol, "signin.client_app": &e.SignIn.ClientApp,
		"signin.user_type": &e.SignIn.UserType, "signin.risk_level": &e.SignIn.RiskLevel, "signin.conditional_access": &e.SignIn.ConditionalAccess,
		"signin.session_id": &e.SignIn.SessionID, "signin.unique_token": &e.SignIn.UniqueToken, "signin.resource_owner_tenant": &e.SignIn.ResourceOwnerTenant,
	}
	if c := e.Call; c != nil {
		out["call.method"], out["call.workload"], out["call.endpoint"], out["call.uri"], out["call.api_version"] = &c.Method, &c.Workload, &c.Endpoint, &c.URI, &c.APIVersion
	}
	if u := e.Upstream; u != nil {
		out["upstream.id"], out["upstream.status"], out["upstream.title"] = &u.AlertID, &u.Status, &u.Title
		out["upstream.category"], out["upstream.detection_source"], out["upstream.service_source"] = &u.Category, &u.DetectionSource, &u.ServiceSource
		out["upstream.policy_id"], out["upstream.classification"] = &u.PolicyID, &u.Classification
	}
	return out
}

func timeTargets(e *event.Event) map[string]*time.Time {
	return map[string]*time.Time{"credential.start": &e.Credential.Start, "credential.end": &e.Credential.End}
}

func setTargets(e *event.Event) map[string]*[]string {
	out := map[string]*[]string{"consent.scopes": &e.Consent.Scopes}
	if e.Call != nil {
		out["call.permissions"] = &e.Call.Permissions
	}
	if e.Upstream != nil {
		out["upstream.techniques"] = &e.Upstream.Techniques
	}
	return out
}

func boolTargets(e *event.Event) map[string]func(bool) {
	return map[string]func(bool){
		"backfill":         func(v bool) { e.Backfill = v },
		"consent.admin":    func(v bool) { e.Consent.Admin, e.Consent.AdminSet = v, true },
		"consent.app_only": func(v bool) { e.Consent.AppOnly = v },
	}
}
