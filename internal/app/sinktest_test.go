package app

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

func TestTheAnswerToATestIsClassified(t *testing.T) {
	said := errors.New("said")
	for _, tt := range []struct {
		err  error
		want SinkTest
	}{
		{nil, SinkTest{Outcome: Accepted}},
		{&deliver.Rejected{Items: []deliver.Rejection{{Reason: "mapping"}}}, SinkTest{Outcome: Refused, Error: "mapping"}},
		{fault.WithHint(fault.NewPermanent(said), "do"), SinkTest{Outcome: Refused, Error: "said", Hint: "do"}},
		{said, SinkTest{Outcome: Failed, Class: "transient", Error: "said"}},
		{&deliver.Rejected{Retry: []int{0}, After: fault.NewThrottled(time.Minute, said)}, SinkTest{Outcome: Failed, Class: "throttled", Error: "write batch: 1 items to be sent again: said"}},
		{fmt.Errorf("x: %w", fault.WithHint(fault.NewAuth(said), "do")), SinkTest{Outcome: Failed, Class: "auth", Error: "x: said", Hint: "do"}},
		{fault.NewUntrusted(said), SinkTest{Outcome: Failed, Class: "untrusted", Error: "said"}},
	} {
		if diff := cmp.Diff(tt.want, outcomeOf("", event.Alert{}, tt.err), cmpopts.IgnoreFields(SinkTest{}, "Alert", "Delivery")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.err, diff)
		}
	}
}

func TestATestIsResolvedOnlyWhereItArrived(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		err  error
		want []event.AlertState
	}{
		{nil, []event.AlertState{event.AlertNew, event.AlertResolved}},
		{errors.New("down"), []event.AlertState{event.AlertNew}},
	} {
		var got []event.AlertState
		ids := map[event.ID]bool{}
		_, err := testWith(now, "s", SinkTestOptions{Resolve: true, Severity: "low"}, func(a event.Alert) error {
			if a.Severity != event.SeverityLow || a.RuleID != event.TestRule {
				t.Errorf("alert %+v", a)
			}
			got, ids[a.ID] = append(got, a.State), true
			return tt.err
		})
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil || len(ids) != 1 {
			t.Errorf("%v: %s, %v, %d alerts", tt.err, diff, err, len(ids))
		}
	}
}
