package sinktest

import (
	"reflect"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Full is an alert with every field set, found by reflection, so that a field
// that is new has a value here, too.
func Full() event.Alert {
	a := Batch(1)[0]
	fill(reflect.ValueOf(&a).Elem())
	a.State, a.Kind, a.Severity, a.Actor.Type = event.AlertResolved, event.AlertUpstream, event.SeverityCritical, event.TypeUser
	a.Origin.IP, a.Actor.UPN, a.Techniques, a.AppTier = "2001:db8::1", "bob@example.com", []string{"T1098.003", "T1528"}, 3
	a.ID, a.Event = event.NewID("sinktest", "full"), nil
	a.SetDelivery()
	return a
}

// FullEvent is an event with every field set, on its way to a sink.
func FullEvent() event.Alert {
	e := &event.Event{}
	fill(reflect.ValueOf(e).Elem())
	e.ID, e.Provider, e.Class, e.Action, e.Result, e.Actor.Type = event.NewID("sinktest", "event"), "entra", event.ClassAudit, event.ActionConsentGranted, event.ResultSuccess, event.TypeUser
	e.Origin.IP, e.Actor.UPN, e.Raw = "2001:db8::1", "bob@example.com", []byte(`{"id":"text"}`)
	return event.Forwarded(e)
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	default:
		if v.CanInt() {
			v.SetInt(3)
		} else if v.CanUint() {
			v.SetUint(3)
		}
	}
}

// NoticeLine is what Notice says of its group in one line.
const NoticeLine = "oncall rule_id=r: 4 of 5 alerts open (1 high, 2 low); 1 silenced, 0 inhibited"

// Notice is an alert that stands for a group of alerts.
func Notice() event.Alert {
	a := Batch(1)[0]
	a.Title, a.Count = "3 alerts: "+a.Title, 5
	a.Group = &event.Group{
		Route: "oncall", Labels: []event.Detail{{Name: "rule_id", Value: "r"}}, Total: 5, Open: 4, Silenced: 1,
		Severities: []event.SeverityCount{{Severity: event.SeverityHigh, Alerts: 1}, {Severity: event.SeverityLow, Alerts: 2}}, Rules: []event.RuleCount{{RuleID: "r", Alerts: 3}},
		First: a.Opened, Last: a.Time, Members: []event.Member{{ID: event.NewID("one"), RuleID: "r", Severity: event.SeverityHigh, Title: "one"}, {ID: event.NewID("two"), RuleID: "r", Severity: event.SeverityLow, Title: "two"}},
	}
	return a
}
