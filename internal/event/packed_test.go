package event

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// apart compares the records of a frame, each decoded alone, with those of all of it.
func apart(t *testing.T, b []byte, f *Frame) {
	t.Helper()
	var p Packed
	if err := p.Unpack(b); err != nil {
		t.Fatal(err)
	}
	if p.Events() != len(f.Events) || p.Objects() != len(f.Objects) || p.Alerts() != len(f.Alerts) {
		t.Fatalf("%d events, %d objects and %d alerts, want %d, %d and %d", p.Events(), p.Objects(), p.Alerts(), len(f.Events), len(f.Objects), len(f.Alerts))
	}
	var e Event
	var brief Brief
	for i := range f.Events {
		want := &f.Events[i]
		if err := p.Event(i, &e); err != nil || !bytes.Equal(AppendEvent(nil, &e), AppendEvent(nil, want)) {
			t.Errorf("event %d alone differs: %v", i, err)
		}
		if err := p.Brief(i, &brief); err != nil || brief != (Brief{want.ID, want.Tenant, want.Source, want.Class, want.Action, want.Time}) {
			t.Errorf("event %d in brief is %+v, %v", i, brief, err)
		}
	}
	alerts, err := p.AlertsIn(0, len(f.Alerts))
	if err != nil || len(alerts) != len(f.Alerts) {
		t.Fatalf("%d of %d alerts are read alone: %v", len(alerts), len(f.Alerts), err)
	}
	for i := range alerts {
		if !bytes.Equal(AppendAlert(nil, &alerts[i]), AppendAlert(nil, &f.Alerts[i])) {
			t.Errorf("alert %d alone differs", i)
		}
	}
}

func TestRecordsOfAFrameAreReadApart(t *testing.T) {
	f := full[Frame]()
	apart(t, AppendFrame(nil, f), f)
}

// What is decoded of a frame as a whole, and its alerts, outlive its bytes.
func TestADecodedFrameKeepsNothingOfItsBytes(t *testing.T) {
	f := full[Frame]()
	f.LSN, f.AlertBase = 0, 0
	b := AppendFrame(nil, f)
	var p Packed
	if err := p.Unpack(b); err != nil {
		t.Fatal(err)
	}
	got, err := p.Frame()
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := p.AlertsIn(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if diff := cmp.Diff(f, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(f.Alerts, alerts); diff != "" {
		t.Error(diff)
	}
}

func TestPartsAreJoined(t *testing.T) {
	var p, next Packed
	first, rest := full[Frame](), full[Frame]()
	first.Mark, rest.Source = nil, "of the rest"
	for x, f := range map[*Packed]*Frame{&p: first, &next: rest} {
		if err := x.Unpack(AppendFrame(nil, f)); err != nil {
			t.Fatal(err)
		}
	}
	p.Head.LSN, p.Head.AlertBase, next.Head.LSN, next.Head.AlertBase = 4, 10, 5, 12
	p.Join(&next)
	want := *rest
	want.LSN, want.AlertBase = 5, 10
	want.Events = append(append([]Event(nil), first.Events...), rest.Events...)
	want.Objects = append(append([]Object(nil), first.Objects...), rest.Objects...)
	want.Alerts = append(append([]Alert(nil), first.Alerts...), rest.Alerts...)
	want.Rollups = append(append([]Rollup(nil), first.Rollups...), rest.Rollups...)
	got, err := p.Frame()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}

// The index does not look into records: what is wrong in one is told by its place
// when it is decoded, and the others are there.
func TestDamageWithinARecordNamesIt(t *testing.T) {
	f := &Frame{Events: []Event{{Tenant: "one"}, {Tenant: "two"}}, Alerts: []Alert{{Title: "one"}, {Title: "two"}}}
	b := AppendFrame(nil, f)
	bad := 0
	for _, text := range []string{"two"} {
		for i := 0; i+len(text) <= len(b); i++ {
			if string(b[i:i+len(text)]) == text {
				b[i-1] = 0x7f // its length
				bad++
			}
		}
	}
	if bad != 2 {
		t.Fatalf("%d lengths were changed", bad)
	}
	var p Packed
	if err := p.Unpack(b); err != nil {
		t.Fatal(err)
	}
	p.Head.LSN = 7
	var e Event
	var brief Brief
	if err := p.Event(0, &e); err != nil || e.Tenant != "one" {
		t.Errorf("the whole event: %q, %v", e.Tenant, err)
	}
	_, ofAlerts := p.AlertsIn(0, 2)
	_, ofFrame := p.Frame()
	for want, err := range map[string]error{
		"decode event 1 of frame 7": p.Event(1, &e), "decode event 1 of frame 7: ": p.Brief(1, &brief),
		"decode alert 1 of frame 7": ofAlerts, "decode event 1 of frame": ofFrame,
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if a, err := p.AlertsIn(0, 1); err != nil || a[0].Title != "one" {
		t.Errorf("the whole alert: %v, %v", a, err)
	}
}
