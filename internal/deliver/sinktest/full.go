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
	a.ID = event.NewID("sinktest", "full")
	a.SetDelivery()
	return a
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
