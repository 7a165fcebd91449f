package normalise

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Office 365 writes one record in many wrappings: as the Management Activity API
// gives it, within AuditData of a search (text in CSV and in PowerShell, an object
// in Graph), as a row of OfficeActivity.

// unpacked is the record within AuditData, or o where there is none.
func unpacked(o object) object {
	if inner := o.object("AuditData", "auditData"); inner.found() {
		return inner
	}
	return o
}

// isOffice tells a record of the unified audit log by the members that all have.
func isOffice(o object) bool {
	return o.has("Operation") && o.has("RecordType") && (o.has("Workload") || o.has("OfficeWorkload"))
}

// Office decodes a record of the unified audit log as the Management Activity API gives
// it. tells is false where the record tells of no app.
func (d *Decoder) Office(raw []byte) (e event.Event, tells bool, err error) {
	r, err := with(d, raw, func(w *work, o object) (Record, error) {
		if !isOffice(o) {
			return Record{}, refuse("unknown_shape", "it is no record of the unified audit log: Operation, RecordType and Workload are not all there")
		}
		return w.office(o)
	})
	var no *refusal
	switch {
	case errors.As(err, &no) && no.noApp:
		return event.Event{}, false, nil
	case err != nil:
		return event.Event{}, false, err
	}
	return *r.Event, true, nil
}

// office decodes a record of the unified audit log.
// https://learn.microsoft.com/office/office-365-management-api/office-365-management-activity-api-schema
func (w *work) office(o object) (Record, error) {
	r := Record{Shape: "office365", Tenant: w.tenant}
	o = w.scrubbed(o)
	var err error
	e := &event.Event{}
	operation, workload := o.str("Operation"), o.str("Workload", "OfficeWorkload")
	switch login := strings.HasPrefix(operation, "UserLog"); {
	case login && workload == "AzureActiveDirectory" && operation != "UserLoggedOff":
		r.Kind = "signin"
		err = w.officeSignIn(e, o)
	case workload == "AzureActiveDirectory":
		r.Kind = "audit"
		err = w.officeAudit(e, o)
	default:
		r.Kind = "activity"
		err = w.officeActivity(e, o)
	}
	if err == nil {
		r.Event = e
	}
	return r, err
}

// officeBase is what all records of the log have. Their times have no zone: UTC.
func (w *work) officeBase(e *event.Event, class string, o object) error {
	if err := w.base(e, o, class, []string{"Id", "OfficeId"}, "CreationTime", "TimeGenerated"); err != nil {
		return err
	}
	e.Activity, e.Category, e.Service = o.str("Operation"), o.str("RecordType"), o.str("Workload", "OfficeWorkload")
	e.CorrelationID = or(e.CorrelationID, o.str("InterSystemsId"))
	e.Origin.IP, e.Origin.UserAgent = addressOf(o.str("ActorIpAddress", "ClientIP", "Client_IPAddress", "ClientIPAddress")), o.str("UserAgent", "ClientInfoString")
	switch result := strings.ToLower(o.str("ResultStatus")); {
	case strings.HasPrefix(result, "succe"), result == "true":
		e.Result = event.ResultSuccess
	case strings.HasPrefix(result, "fail"), result == "false":
		e.Result = event.ResultFailure
	}
	return nil
}

// addressOf strips what stands around an address: a port, brackets.
func addressOf(s string) string {
	if s == "<null>" {
		return ""
	}
	if rest, found := strings.CutPrefix(s, "["); found {
		s, _, _ = strings.Cut(rest, "]")
		return s
	}
	if strings.Count(s, ":") == 1 {
		s, _, _ = strings.Cut(s, ":")
	}
	return s
}

// party is who or what a list of identities names: the same one by its id, its
// name, its type and more, each an element.
type party struct {
	event.Entity
	typ   string // as the record writes it
	appID string
}

func partyOf(list []object) party {
	var p party
	var ids []string
	for _, x := range list {
		id := x.str("ID")
		typ, guid, typed := strings.Cut(id, "_")
		switch kind := x.str("Type"); {
		case typed && isGUID(guid):
			p.typ, p.ID = typ, guid
		case isGUID(id):
			ids = append(ids, id)
		case kind == "1":
			p.Name = id
		case kind == "5":
			p.UPN = id
		}
	}
	for _, id := range ids {
		if p.ID == "" {
			p.ID = id
		} else if id != p.ID && p.appID == "" {
			p.appID = id
		}
	}
	p.Type = targetType(p.typ)
	return p
}

func isGUID(s string) bool {
	return len(s) == len(nilGUID) && strings.Count(s, "-") == 4 && s != nilGUID
}

// officeAudit decodes what was done in the directory as an audit of Graph is: its
// properties and targets are the same under other names.
func (w *work) officeAudit(e *event.Event, o object) error {
	if err := w.officeBase(e, event.ClassAudit, o); err != nil {
		return err
	}
	e.Action = actionOf(e.Activity)
	e.Actor = officeActor(o)
	for _, x := range o.objects("ExtendedProperties") {
		w.detail(e, x)
	}
	target := partyOf(o.objects("Target"))
	if targets := w.inner.scanned(officeTargets(&target, o.objects("ModifiedProperties"))); targets.found() {
		var list []object
		targets.each(func(v value) { list = append(list, object{v}) })
		changes(e, list)
		subject(e, list)
	}
	if e.App.ID != "" && e.App.ID == target.ID {
		e.App.AppID = or(e.App.AppID, target.appID)
	}
	refine(e)
	return nil
}

// detail takes an extended property; "additionalDetails" holds several as JSON.
func (w *work) detail(e *event.Event, x object) {
	name, more := x.str("Name"), x.object("Value")
	if !more.found() {
		e.Details = append(e.Details, event.Detail{Name: name, Value: x.str("Value")})
		return
	}
	for i := more.at + 1; i < more.t.nodes[more.at].next; i = more.t.nodes[i].next {
		n := &more.t.nodes[i]
		key := string(more.t.name(n))
		d := event.Detail{Name: key, Value: more.str(key)}
		e.Details = append(e.Details, d)
		if strings.EqualFold(key, "User-Agent") {
			e.Origin.UserAgent = d.Value
		}
	}
}

// officeTargets writes the target, and the app that only properties name, as the
// targets of a Graph audit.
func officeTargets(p *party, properties []object) string {
	out := append(quoted([]byte(`[{"id":`), p.ID), `,"displayName":`...)
	out = append(quoted(out, p.Name), `,"userPrincipalName":`...)
	out = append(quoted(out, p.UPN), `,"type":`...)
	out = append(quoted(out, p.typ), `,"modifiedProperties":[`...)
	for i, x := range properties {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(quoted(append(out, `{"displayName":`...), x.str("Name")), `,"oldValue":`...)
		out = append(quoted(out, propertyText(x, "OldValue")), `,"newValue":`...)
		out = append(quoted(out, propertyText(x, "NewValue")), '}')
	}
	out = append(out, "]}"...)
	if p.Type == event.TypeUser || p.Type == event.TypeOther {
		for _, typ := range []string{"Application", "ServicePrincipal"} {
			if id := propertyOf(properties, typ+".ObjectID"); id != "" {
				out = append(quoted(append(out, `,{"type":"`+typ+`","id":`...), id), `,"displayName":`...)
				out = append(quoted(out, propertyOf(properties, typ+".DisplayName")), '}')
			}
		}
	}
	return string(append(out, ']'))
}

// propertyText is a value as text; the scrubbed record holds lists and objects as
// they are.
func propertyText(x object, name string) string {
	if v := x.get(name); v.kind() == '[' || v.kind() == '{' {
		return string(v.raw())
	}
	return x.str(name)
}

func propertyOf(properties []object, name string) string {
	for _, x := range properties {
		if strings.EqualFold(x.str("Name"), name) {
			return or(one(x.set("NewValue")), one(x.set("OldValue")))
		}
	}
	return ""
}

// officeActor is who did it: the directory names the actor by a list, the others by
// UserId and what type that is of.
func officeActor(o object) event.Actor {
	p := partyOf(o.objects("Actor"))
	if p.Type == event.TypeServicePrincipal {
		return event.Actor{Type: event.TypeApp, ID: p.ID, Name: p.Name, AppID: p.appID}
	}
	user := o.str("UserId")
	if id, found := strings.CutPrefix(user, "ServicePrincipal_"); found {
		return event.Actor{Type: event.TypeApp, ID: id}
	}
	a := event.Actor{Type: event.TypeUser, ID: p.ID, Name: p.Name, UPN: p.UPN}
	switch strings.ToLower(o.str("UserType")) {
	case "5", "6", "application", "serviceprincipal":
		a.Type = event.TypeApp
	case "4", "system":
		a.Type = event.TypeService
	}
	switch {
	case user == "Not Available" || user == "":
		if a.ID == "" && a.UPN == "" && a.Name == "" && a.Type == event.TypeUser {
			return event.Actor{}
		}
	case isGUID(user):
		a.ID = or(a.ID, user)
	case strings.Contains(user, "@") && a.Type == event.TypeUser:
		a.UPN = or(a.UPN, user)
	default:
		a.Name = or(a.Name, user)
	}
	return a
}

// officeSignIn decodes a sign-in of a user. The log has none of apps.
func (w *work) officeSignIn(e *event.Event, o object) error {
	if err := w.officeBase(e, event.ClassSignIn, o); err != nil {
		return err
	}
	e.Action, e.SignIn.Kind, e.Actor = event.ActionUserSignIn, "interactive", officeActor(o)
	e.App.AppID, e.ResultCode, e.ResultReason = o.str("ApplicationId"), o.str("ErrorNumber"), o.str("LogonError")
	for _, x := range o.objects("ExtendedProperties") {
		w.detail(e, x)
		if strings.EqualFold(x.str("Name"), "UserAgent") {
			e.Origin.UserAgent = x.str("Value")
		}
	}
	if api := partyOf(o.objects("Target")).ID; api != "" {
		e.Resource = event.Entity{Type: event.TypeServicePrincipal, AppID: api}
	}
	if e.ResultCode != "" && e.ResultCode != "0" || strings.Contains(e.Activity, "Failed") {
		e.Result = event.ResultFailure
	}
	return nil
}

// officeActivity decodes what an app did in a service. A record that names no app is
// refused: it tells nothing of apps.
func (w *work) officeActivity(e *event.Event, o object) error {
	if err := w.officeBase(e, event.ClassActivity, o); err != nil {
		return err
	}
	client := or(o.str("ClientAppId"), o.object("AppAccessContext").str("ClientAppId"))
	api := o.str("AppId", "ApplicationId", "AzureADAppId")
	if e.App.AppID = or(client, api); client != "" && api != "" && api != client {
		e.Resource = event.Entity{Type: event.TypeServicePrincipal, AppID: api}
	}
	if e.App.Name = o.str("ApplicationDisplayName", "ApplicationName", "AppName", "AddOnName"); e.App == (event.App{}) && e.Service != "AppGovernance" {
		return &refusal{"unknown_shape", fmt.Sprintf("operation %q of %s (record type %s) names no app", e.Activity, e.Service, e.Category), true}
	}
	e.Action, e.Actor = event.ActionAppActivity, officeActor(o)
	if e.Actor.Type == event.TypeApp {
		e.Actor.AppID = e.App.AppID
	}
	if owner := o.str("MailboxOwnerUPN"); owner != "" {
		e.Target = event.Entity{Type: event.TypeUser, Name: owner, UPN: owner}
	} else if id := o.str("ObjectId", "OfficeObjectId"); id != "" {
		e.Target = event.Entity{Type: event.TypeOther, ID: id}
	}
	for _, list := range []string{"OperationProperties", "ExtendedProperties"} {
		for _, x := range o.objects(list) {
			w.detail(e, x)
		}
	}
	if n := o.str("OperationCount"); n != "" {
		e.Details = append(e.Details, event.Detail{Name: "OperationCount", Value: n})
	}
	throttled(e)
	return nil
}

// throttled says that the log stops telling of a mailbox: behind 1,000 reads of
// messages in a day they are not recorded for 24 hours.
// https://learn.microsoft.com/purview/audit-log-investigate-accounts
func throttled(e *event.Event) {
	if slices.ContainsFunc(e.Details, func(d event.Detail) bool { return d.Name == "IsThrottled" && truth(d.Value) == "true" }) {
		e.Details = append(e.Details, event.Detail{Name: "EvidenceGap", Value: "24h"})
		e.Notes = append(e.Notes, "audit: reads of this mailbox are not recorded for 24 hours")
	}
}

// scrubbed is o without the values of credentials, which this log writes under names
// of its own. JSON in texts becomes what it is.
func (w *work) scrubbed(o object) object { return w.inner.objectIn(string(scrub(nil, o.value))) }

func scrub(out []byte, v value) []byte {
	if v.kind() == '"' {
		if inner := within(v.t, v.at); inner.kind() == '{' || inner.ofObjects() {
			v = inner
		}
	}
	from := len(out)
	switch v.kind() {
	case '[':
		out = append(out, '[')
		v.each(func(x value) { out = append(scrub(out, x), ',') })
		return closed(out, from, ']')
	case '{':
		out = append(out, '{')
		secret := strings.EqualFold(object{v}.str("Name"), "Credential")
		for i := v.at + 1; i < v.t.nodes[v.at].next; i = v.t.nodes[i].next {
			n := &v.t.nodes[i]
			if name := string(v.t.name(n)); !secret || !strings.EqualFold(name, "NewValue") && !strings.EqualFold(name, "OldValue") {
				out = append(quoted(out, name), ':')
				out = append(scrub(out, value{v.t, i}), ',')
			}
		}
		return closed(out, from, '}')
	}
	return append(out, v.raw()...)
}

// closed makes a bracket of the last comma.
func closed(out []byte, from int, end byte) []byte {
	if len(out) > from+1 {
		out = out[:len(out)-1]
	}
	return append(out, end)
}

// cutAuditData says why the record within AuditData cannot be read; nil where o has
// no such member, or an empty one.
func cutAuditData(o object) error {
	s := o.str("AuditData", "auditData")
	if s == "" {
		return nil
	}
	return refuse("not_json", "AuditData is no record of the audit log but %d bytes that begin %.40q: a spreadsheet that saves such a file cuts cells at 32,767 characters", len(s), s)
}
