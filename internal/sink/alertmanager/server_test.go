package alertmanager

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestAgainstARealAlertmanager(t *testing.T) {
	am := servicetest.Alertmanager(t)
	s := sinkAt(t, am.URL, "", nil)
	firing := func(t *testing.T) (ids []string) {
		t.Helper()
		for _, a := range am.Alerts(t) {
			ids = append(ids, a.Labels["alert_id"])
		}
		slices.Sort(ids)
		return ids
	}
	batch := sinktest.Batch(20)
	var ids []string
	for _, a := range batch {
		ids = append(ids, a.ID.String())
	}
	slices.Sort(ids)

	t.Run("every alert fires, once, also when it is sent twice", func(t *testing.T) {
		for range 2 {
			if err := s.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(ids, firing(t)); diff != "" {
			t.Errorf("alerts (-sent +firing):\n%s", diff)
		}
		n := am.AwaitNotified(t, "firing", "alert_id", batch[3].ID.String())
		want := s.alert(&batch[3])
		if diff := cmp.Diff(want.Labels, n.Labels) + cmp.Diff(want.Annotations, n.Annotations); diff != "" || !n.StartsAt.Equal(batch[3].Opened) {
			t.Errorf("from %v (-sent +notified):\n%s", n.StartsAt, diff)
		}
	})
	t.Run("what is resolved is notified as resolved and fires no more", func(t *testing.T) {
		done := batch[3]
		done.State, done.Sequence, done.Reason = event.AlertResolved, 1, "the app is gone"
		done.SetDelivery()
		if err := s.Write(t.Context(), []event.Alert{done}); err != nil {
			t.Fatal(err)
		}
		n := am.AwaitNotified(t, "resolved", "alert_id", done.ID.String())
		if n.Annotations["reason"] != "the app is gone" {
			t.Errorf("annotations %v", n.Annotations)
		}
		if slices.Contains(firing(t), done.ID.String()) {
			t.Error("it still fires")
		}
	})
	t.Run("opened and resolved in one batch it does not fire", func(t *testing.T) {
		life := []event.Alert{sinktest.Full(), sinktest.Full()}
		life[0].State, life[1].State = event.AlertNew, event.AlertResolved
		if err := s.Write(t.Context(), life); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(firing(t), life[0].ID.String()) {
			t.Error("it fires")
		}
	})
	t.Run("an alert whose severity changes fires once, and ends", func(t *testing.T) {
		a := sinktest.Batch(60)[59]
		for i, step := range []struct {
			severity event.Severity
			state    event.AlertState
			fires    []string
		}{{event.SeverityMedium, event.AlertNew, []string{"medium"}}, {event.SeverityCritical, event.AlertUpdated, []string{"critical"}}, {event.SeverityCritical, event.AlertResolved, nil}} {
			a.Severity, a.State, a.Sequence = step.severity, step.state, uint32(i)
			a.SetDelivery()
			if err := s.Write(t.Context(), []event.Alert{a}); err != nil {
				t.Fatal(err)
			}
			var fires []string
			for _, x := range am.Alerts(t) {
				if x.Labels["alert_id"] == a.ID.String() {
					fires = append(fires, x.Labels["severity"])
				}
			}
			if diff := cmp.Diff(step.fires, fires); diff != "" {
				t.Errorf("step %d (-want +firing):\n%s", i, diff)
			}
		}
		am.AwaitNotified(t, "resolved", "alert_id", a.ID.String())
	})
	t.Run("hostile text is taken", func(t *testing.T) {
		hostile := sinktest.Batch(40)[20:]
		for i, text := range sinktest.Hostile() {
			a := &hostile[i]
			a.RuleID, a.Tenant, a.App.AppID, a.App.Name, a.Title, a.Summary = text, text, text, text, text, text
		}
		if err := s.Write(t.Context(), hostile); err != nil {
			t.Fatal(err)
		}
		got := firing(t)
		for _, a := range hostile {
			if !slices.Contains(got, a.ID.String()) {
				t.Errorf("alert of app %.40q does not fire", a.App.Name)
			}
		}
	})
	t.Run("one that was killed is waited for", func(t *testing.T) {
		am.Kill(t)
		late := sinktest.Batch(41)[40:]
		if err := s.Write(t.Context(), late); err == nil || fault.Of(err) != fault.Transient {
			t.Fatalf("class %v of %v", fault.Of(err), err)
		}
		am.Restart(t)
		if err := s.Write(t.Context(), late); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(firing(t), late[0].ID.String()) {
			t.Error("it does not fire")
		}
	})
}
