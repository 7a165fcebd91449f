// Package normalise owns what a record of Microsoft Entra ID means: pure
// functions from JSON to canonical events and objects, one per record class,
// and the recognition of exported records in their three shapes. Identity and
// event time are bound per class; a record without a time or an id is an error
// with a reason, never stamped with its arrival. Secrets and hints of them are
// dropped, from the raw record too.
package normalise

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/appgovd/appgovd/internal/event"
)

const provider = "entra"

// Decoder decodes the records of one tenant. It is safe for concurrent use. Nothing
// of what it makes lies in the bytes that it is given.
type Decoder struct {
	tenant string
	hasher *event.Hasher // nil hashes with event.HashContent
	words  func() map[string]word
	idle   sync.Pool // of *work
}

// New returns a decoder; tenant is part of every identity.
func New(tenant string) *Decoder { return NewHashing(tenant, nil) }

// NewHashing returns a decoder that hashes the content of audits and sign-ins, by
// which versions of one record are told apart, by h.
func NewHashing(tenant string, h *event.Hasher) *Decoder {
	return &Decoder{tenant: tenant, hasher: h, words: sync.OnceValue(readWords)}
}

// work is the decoding of one record; its memory serves the next one.
type work struct {
	tenant string
	hasher *event.Hasher
	id     event.ID
	named  []naming
	tape   tape
	inner  tapes
	canon  canon
	known  layouts

	words func() map[string]word
	texts texts
	shape []byte
	brief bool // the event is only summed up: without identity and record
}

// naming makes the ids of one class of a tenant.
type naming struct {
	tenant, class string
	event.Naming
}

// maxNamed bounds the namings that are kept: records come from few logs.
const maxNamed = 8

// maxIdle bounds what is kept for the next record.
const maxIdle = 1 << 20

// with decodes one record by f, which must not keep what it is given.
func with[T any](d *Decoder, raw []byte, f func(*work, object) (T, error)) (out T, err error) {
	w, o, err := d.begin(raw)
	if err == nil {
		out, err = f(w, o)
	}
	d.rest(w, len(raw))
	return out, err
}

// eventBy is with for an event that f fills in. Of the classes that come by the million
// each calls begin and rest itself: what a function that is not known here is given lies
// on the heap.
func eventBy(d *Decoder, raw []byte, f func(*work, *event.Event, object) error) (event.Event, error) {
	return with(d, raw, func(w *work, o object) (e event.Event, err error) {
		err = f(w, &e, o)
		return e, err
	})
}

// begin reads raw; the work is to be given to rest, also with an error.
func (d *Decoder) begin(raw []byte) (*work, object, error) {
	w := d.work()
	if !w.tape.scan(raw) {
		return w, object{}, refuse("not_json", "%s", wrong(raw))
	}
	if w.tape.nodes[0].kind != '{' {
		return w, object{}, refuse("not_an_object", "the record is no object")
	}
	w.tape.makeQuick()
	return w, object{value{&w.tape, 0}}, nil
}

func (d *Decoder) work() *work {
	w, ok := d.idle.Get().(*work)
	if !ok {
		w = &work{words: d.words, texts: texts{}}
		w.tape.room, w.tape.known = &w.inner, &w.known
	}
	w.tenant, w.hasher = d.tenant, d.hasher
	return w
}

// rest keeps the memory of w for the next record, unless this one was large.
func (d *Decoder) rest(w *work, size int) {
	w.tape.text, w.tape.kept = nil, ""
	w.inner.free()
	if size <= maxIdle {
		d.idle.Put(w)
	}
}

// wrong says why raw is no JSON.
func wrong(raw []byte) string {
	var v jsontext.Value
	if err := json.Unmarshal(raw, &v, jsontext.AllowDuplicateNames(true)); err != nil {
		return err.Error()
	}
	return "it is nested too deeply"
}

// refusal is a record that cannot be decoded.
type refusal struct {
	reason, text string
	noApp        bool // the record is well, and tells of no app
}

func (r *refusal) Error() string { return "decode record: " + r.text }

func refuse(reason, format string, args ...any) error {
	return &refusal{reason: reason, text: fmt.Sprintf(format, args...)}
}

// Refuse is a record that its reader does not take, with a reason of the closed
// vocabulary of event.Quarantine.
func Refuse(reason, text string) error { return &refusal{reason: reason, text: text} }

// ReasonOf is the quarantine reason of an error of this package, one of the
// closed vocabulary of event.Quarantine.
func ReasonOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return "wrong_type"
}

// base fills in what every class begins with. idFields and timeFields are the names
// that its id and its time may have, those of Graph first.
func (w *work) base(e *event.Event, o object, class string, idFields []string, timeFields ...string) error {
	if !w.brief {
		e.Raw = bytes.Clone(w.canonical(o))
		w.keep(e.Raw) // first of all: what is read behind it lies in it
	}
	id := o.str(idFields...)
	if id == "" {
		return refuse("no_id", "the record has no id")
	}
	at := o.time(timeFields...)
	if at.IsZero() && class == event.ClassAudit {
		at = o.time("TimeGenerated") // the same instant for audits; of sign-ins it is the arrival
	}
	if at.IsZero() {
		return refuse("no_time", "%s is %q: no time that can be read", timeFields[0], o.str(timeFields...))
	}
	e.Provider, e.Tenant, e.Class, e.UpstreamID, e.Time = provider, w.tenant, class, id, at
	if !w.brief {
		e.ID, e.Content, e.CorrelationID = w.idOf(class, id), w.content(class, e.Raw), o.str("correlationId", "CorrelationId")
	}
	return nil
}

// idOf is the identity of a record.
func (w *work) idOf(class, id string) event.ID {
	for i := range w.named {
		if n := &w.named[i]; n.class == class && n.tenant == w.tenant {
			return n.ID(id)
		}
	}
	if len(w.named) == maxNamed {
		w.named = w.named[:0]
	}
	n := naming{strings.Clone(w.tenant), class, event.NewNaming(provider, w.tenant, class)}
	w.named = append(w.named, n)
	return n.ID(id)
}

// content is the hash of a record. That of an alert is part of the ids of what is
// emitted for it, which are the same everywhere.
func (w *work) content(class string, raw []byte) event.ID {
	if w.hasher == nil || class == event.ClassAlert {
		return event.HashContent(raw)
	}
	w.hasher.Content(&w.id, raw)
	return w.id
}

// canonical is the record without secrets, the same without regard to the order of
// members, for as long as the work lasts.
func (w *work) canonical(o object) []byte {
	w.canon.out = w.canon.out[:0]
	w.canon.value(o.t, o.at)
	return w.canon.out
}

// keep lets the strings of the record lie in its canonical form, which lives as long
// as they do and never changes.
func (w *work) keep(raw []byte) {
	text := unsafe.String(unsafe.SliceData(raw), len(raw)) //nolint:gosec // raw is never changed
	w.tape.kept = text
	for _, t := range w.inner.all[:w.inner.used] {
		t.kept = text
	}
}

// SignIn decodes a record of auditLogs/signIns. kind is the stream that it was
// read from; "" takes it from the record.
// https://learn.microsoft.com/graph/api/resources/signin
func (d *Decoder) SignIn(kind string, raw []byte) (e event.Event, err error) {
	w, o, err := d.begin(raw)
	if err == nil {
		err = w.signIn(&e, kind, o)
	}
	d.rest(w, len(raw))
	return e, err
}

func (w *work) signIn(e *event.Event, kind string, o object) error {
	if err := w.base(e, o, event.ClassSignIn, []string{"id", "Id"}, "createdDateTime", "CreatedDateTime"); err != nil {
		return err
	}
	if kind == "" {
		kind = signInKind(o)
	}
	e.Category, e.Activity = "SignIn", "Sign-in activity"
	e.SignIn = event.SignIn{
		Kind: kind, CredentialType: o.str("clientCredentialType", "ClientCredentialType"), CredentialKeyID: o.str("servicePrincipalCredentialKeyId", "ServicePrincipalCredentialKeyId"),
		Thumbprint: o.str("servicePrincipalCredentialThumbprint", "ServicePrincipalCredentialThumbprint"), Protocol: o.str("authenticationProtocol", "AuthenticationProtocol"),
		ClientApp: o.str("clientAppUsed", "ClientAppUsed"), UserType: o.str("userType", "UserType"), RiskLevel: o.str("riskLevelDuringSignIn", "RiskLevelDuringSignIn"),
		UniqueToken: o.str("uniqueTokenIdentifier", "UniqueTokenIdentifier"), SessionID: o.str("sessionId", "SessionId"), ResourceOwnerTenant: o.str("resourceOwnerTenantId", "ResourceOwnerTenantId"),
	}
	e.App = event.App{ID: o.str("servicePrincipalId", "ServicePrincipalId"), AppID: o.str("appId", "AppId"), Name: o.str("appDisplayName", "AppDisplayName", "servicePrincipalName", "ServicePrincipalName"), OwnerTenant: o.str("appOwnerTenantId", "AppOwnerTenantId")}
	e.Resource = event.Entity{Type: event.TypeServicePrincipal, ID: o.str("resourceServicePrincipalId", "ResourceServicePrincipalId"), AppID: o.str("resourceId", "ResourceIdentity"), Name: o.str("resourceDisplayName", "ResourceDisplayName")}
	e.Origin = origin(o)
	e.Action = event.ActionUserSignIn
	e.Actor = event.Actor{Type: event.TypeUser, ID: o.str("userId", "UserId"), Name: o.str("userDisplayName", "UserDisplayName"), UPN: o.str("userPrincipalName", "UserPrincipalName")}
	if kind == "service_principal" || kind == "managed_identity" {
		e.Action = event.ActionAppSignIn
		e.Actor = event.Actor{Type: event.TypeApp, ID: e.App.ID, Name: e.App.Name, AppID: e.App.AppID}
	}
	signInResult(e, o)
	return nil
}

func signInKind(o object) string {
	var room [4]string
	return signInStream(o.addStrs("signInEventTypes", append(room[:0], o.str("Type", "category")))...)
}

// signInStream is the kind that the names of a stream, table or category tell.
func signInStream(names ...string) string {
	tell := func(part string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, part) })
	}
	switch {
	case tell("anagedIdentity"):
		return "managed_identity"
	case tell("ervicePrincipal"):
		return "service_principal"
	case tell("onInteractive"):
		return "non_interactive"
	}
	return "interactive"
}

func origin(o object) event.Origin {
	loc := o.object("location", "LocationDetails")
	asn, _ := strconv.ParseUint(o.str("autonomousSystemNumber", "AutonomousSystemNumber"), 10, 32)
	return event.Origin{IP: o.str("ipAddress", "IPAddress"), ASN: uint32(asn), Country: loc.str("countryOrRegion"), City: loc.str("city"), UserAgent: o.str("userAgent", "UserAgent")}
}

// deviceRequired is the error code that a policy stamps on a sign-in without a
// known device, also one that only reports and blocks nothing.
const deviceRequired = "50097"

// signInResult decides by the error code alone: failureReason holds a filler on
// successes, and a report-only policy stamps a failure that blocked nothing.
func signInResult(e *event.Event, o object) {
	status := o.object("status", "Status")
	code := status.str("errorCode")
	if code == "" {
		code = o.str("ResultType", "resultType")
	}
	e.ResultCode = code
	ca := strings.ToLower(o.str("conditionalAccessStatus", "ConditionalAccessStatus"))
	switch ca {
	case "success", "failure":
		e.SignIn.ConditionalAccess = ca
	case "notapplied":
		e.SignIn.ConditionalAccess = "not_applied"
	}
	switch {
	case code == "0":
		e.Result = event.ResultSuccess
	case code == deviceRequired && ca == "failure" && !enforced(o):
		e.Result, e.SignIn.ConditionalAccess = event.ResultUnknown, "report_only"
	case code != "":
		e.Result = event.ResultFailure
		e.ResultReason = status.str("failureReason")
	}
}

// enforced reports whether a policy that is in force refused the sign-in. The
// list of policies is there only for those who may read policies.
func enforced(o object) bool {
	for _, p := range o.objects("appliedConditionalAccessPolicies", "ConditionalAccessPolicies") {
		if strings.EqualFold(p.str("result"), "failure") {
			return true
		}
	}
	return false
}

// Alert decodes an alerts_v2 entity. Its time is that of its last update: a
// version of an alert happens when the provider changes it, which may be months
// behind its creation.
// https://learn.microsoft.com/graph/api/resources/security-alert
func (d *Decoder) Alert(raw []byte) (event.Event, error) {
	return eventBy(d, raw, (*work).alert)
}

func (w *work) alert(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassAlert, []string{"id"}, "createdDateTime"); err != nil {
		return err
	}
	u := &event.Upstream{
		AlertID: o.str("id"), ProviderAlertID: o.str("providerAlertId"), Status: alertStatus(o.str("status")), Title: o.str("title"), Description: plain(o.str("description")),
		DetectionSource: o.str("detectionSource"), ServiceSource: o.str("serviceSource"), Category: o.str("category"), Techniques: o.strs("mitreTechniques"),
		PolicyID: o.str("alertPolicyId"), Classification: o.str("classification"), URL: o.str("alertWebUrl"), IncidentURL: o.str("incidentWebUrl"),
		Created: e.Time, Updated: o.time("lastUpdateDateTime"), Resolved: o.time("resolvedDateTime"),
	}
	if u.Updated.After(e.Time) {
		e.Time = u.Updated
	}
	u.Severity, _ = event.ParseSeverity(strings.ToLower(o.str("severity")))
	e.Upstream, e.Action, e.Activity, e.Category, e.Service = u, event.ActionUpstreamAlert, u.Title, u.Category, u.ServiceSource
	for _, ev := range o.objects("evidence") {
		switch kind := ev.str("@odata.type"); {
		case strings.HasSuffix(kind, "oauthApplicationEvidence") && e.App.Key() == "":
			e.App = event.App{AppID: ev.str("appId"), ID: ev.str("objectId"), Name: ev.str("displayName")}
		case strings.HasSuffix(kind, "servicePrincipalEvidence") && e.App.Key() == "":
			e.App = event.App{AppID: ev.str("appId"), ID: ev.str("servicePrincipalObjectId"), Name: ev.str("servicePrincipalName"), OwnerTenant: ev.str("appOwnerTenantId")}
		case strings.HasSuffix(kind, "ipEvidence") && e.Origin.IP == "":
			e.Origin.IP = ev.str("ipAddress")
		case strings.HasSuffix(kind, "userEvidence") && e.Actor.ID == "":
			a := ev.object("userAccount")
			e.Actor = event.Actor{Type: event.TypeUser, ID: a.str("azureAdUserId"), Name: a.str("displayName"), UPN: a.str("userPrincipalName")}
		}
	}
	return nil
}

func alertStatus(s string) string {
	switch s {
	case "new", "resolved":
		return s
	case "inProgress":
		return "in_progress"
	}
	return "unknown"
}

// plain strips markup and folds white space. A "<" that begins no tag is text.
func plain(s string) string {
	var b strings.Builder
	for {
		text, rest, found := strings.Cut(s, "<")
		b.WriteString(text)
		if !found {
			return strings.Join(strings.Fields(html.UnescapeString(b.String())), " ")
		}
		end := strings.IndexAny(rest, "<>")
		if isTag := end > 0 && rest[end] == '>' && strings.IndexByte("/!abcdefghijklmnopqrstuvwxyz", rest[0]|0x20) >= 0; isTag {
			b.WriteByte(' ')
			rest = rest[end+1:]
		} else {
			b.WriteByte('<')
		}
		s = rest
	}
}

// Application decodes an app registration.
// https://learn.microsoft.com/graph/api/resources/application
func (d *Decoder) Application(raw []byte) (event.Object, error) {
	return with(d, raw, (*work).application)
}

// ServicePrincipal decodes an app as it is present in the tenant.
// https://learn.microsoft.com/graph/api/resources/serviceprincipal
func (d *Decoder) ServicePrincipal(raw []byte) (event.Object, error) {
	return with(d, raw, (*work).servicePrincipal)
}

func (w *work) application(o object) (event.Object, error) {
	return w.app(event.ObjectApplication, o)
}

func (w *work) servicePrincipal(o object) (event.Object, error) {
	return w.app(event.ObjectServicePrincipal, o)
}

// start reads what all objects have: id and removal.
func (w *work) start(kind string, o object) (event.Object, error) {
	out := event.Object{Kind: kind, ID: o.str("id")}
	if out.ID == "" {
		return out, refuse("no_id", "the object has no id")
	}
	if r := o.object("@removed"); r.found() {
		out.Removed = or(r.str("reason"), "deleted")
	}
	out.Content = event.HashContent(w.canonical(o))
	return out, nil
}

func (w *work) app(kind string, o object) (event.Object, error) {
	out, err := w.start(kind, o)
	if err != nil || out.Removed != "" {
		return out, err
	}
	a := &event.AppObject{}
	has := func(name string, bit event.AppField) bool {
		ok := o.has(name)
		if ok {
			a.Has |= bit
		}
		return ok
	}
	text := func(name string, bit event.AppField, dst *string) {
		if has(name, bit) {
			*dst = o.str(name)
		}
	}
	text("appId", event.HasAppID, &a.AppID)
	text("displayName", event.HasName, &a.Name)
	text("servicePrincipalType", event.HasKind, &a.Kind)
	text("appOwnerOrganizationId", event.HasOwnerTenant, &a.OwnerTenant)
	text("publisherName", event.HasPublisherName, &a.PublisherName)
	text("publisherDomain", event.HasPublisherDomain, &a.PublisherDomain)
	text("signInAudience", event.HasSignInAudience, &a.SignInAudience)
	text("disabledByMicrosoftStatus", event.HasDisabledByMicrosoft, &a.DisabledByMicrosoft)
	if a.DisabledByMicrosoft == "NotDisabled" {
		a.DisabledByMicrosoft = ""
	}
	text("homepage", event.HasHomepage, &a.Homepage)
	if has("verifiedPublisher", event.HasVerifiedPublisher) {
		p := o.object("verifiedPublisher")
		a.VerifiedPublisher, a.VerifiedPublisherID = p.str("displayName"), p.str("verifiedPublisherId")
	}
	if has("accountEnabled", event.HasEnabled) {
		a.Enabled = o.bool("accountEnabled")
	}
	if has("createdDateTime", event.HasCreated) {
		a.Created = o.time("createdDateTime")
	}
	if has("tags", event.HasTags) {
		a.Tags = o.strs("tags")
	}
	if has("identifierUris", event.HasIdentifierURIs) {
		a.IdentifierURIs = o.strs("identifierUris")
	}
	if kind == event.ObjectApplication {
		a.OwnerTenant = w.tenant
		a.Has |= event.HasOwnerTenant
	}
	replyURLs(a, o, has)
	credentials(a, o, has)
	roles(a, o, has)
	out.App = a
	return out, nil
}
