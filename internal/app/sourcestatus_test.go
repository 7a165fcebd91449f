package app

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
)

func TestEachConditionOfASourceHasItsReason(t *testing.T) {
	read := event.Account{Fetched: 3, New: 3}
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		s      ingest.Status
		lags   bool
		want   Condition
		reason string
	}{
		{ingest.Status{State: ingest.StateStarting}, false, ConditionStarting, "it was not read yet"},
		{ingest.Status{State: ingest.StateHealthy, Account: read}, false, ConditionHealthy, "it is read, and records came"},
		{ingest.Status{State: ingest.StateHealthy}, false, ConditionEmpty, "it is read, and nothing was ever there"},
		{ingest.Status{State: ingest.StateHealthy, Account: read}, true, ConditionStalled, "complete through a time further back than its schedule explains"},
		{ingest.Status{State: ingest.StateThrottled, Error: "429"}, false, ConditionStalled, "throttled: 429"},
		{ingest.Status{State: ingest.StateRetrying, Error: "reset", Hint: "look"}, true, ConditionStalled, "tried again: reset. look"},
		{ingest.Status{State: ingest.StateFailed, Error: "403", Hint: "grant it"}, true, ConditionFailed, "403. grant it"},
		{ingest.Status{State: ingest.StateStopped, Error: "foreign"}, false, ConditionFailed, "foreign"},
		{ingest.Status{State: ingest.StateFailed, Error: "403", Why: fault.NotLicensed, Hint: "buy P1"}, true, ConditionNotLicensed, "403. buy P1"},
		{ingest.Status{State: ingest.StateFailed, Error: "404", Why: fault.NotInCloud}, false, ConditionNotInCloud, "404"},
	} {
		c.s.CompleteThrough = at
		if got := sourceStatus(c.s, c.lags, at.Add(90*time.Second)); got.Condition != c.want || got.Reason != c.reason || got.Behind != "1m30s" {
			t.Errorf("%s, lags %t: %s, %q, behind %s; want %s, %q", c.s.State, c.lags, got.Condition, got.Reason, got.Behind, c.want, c.reason)
		}
	}
}

func TestSourcesThatCollectDoesNotNameAreDisabled(t *testing.T) {
	p := &Plan{sources: []planned[checkedSource]{{config.Block{Kind: "entra", Name: "x"}, checkedSource{provider: "entra", tenant: "T", classes: []string{"applications"}}}, {config.Block{Kind: "kafka", Name: "hub"}, checkedSource{provider: "entra", tenant: "t", stream: true, classes: []string{"alerts"}}}}}
	got := p.disabled()
	if len(got) != len(msgraph.SourceNames())-2 {
		t.Fatalf("%d of %d", len(got), len(msgraph.SourceNames()))
	}
	for _, s := range got {
		if s.Condition != ConditionDisabled || s.Reason == "" || s.Key == "entra/x/alerts" {
			t.Errorf("%+v", s)
		}
	}
}

// The reason survives whatever is wrapped around an error.
func TestTheReasonOfAFaultIsKept(t *testing.T) {
	err := fault.WithHint(fault.WithReason(fault.WithAfter(fault.NewAuth(errors.New("x")), time.Hour), fault.NotLicensed), "buy")
	err = fmt.Errorf("read: %w", err)
	if fault.ReasonOf(err) != fault.NotLicensed || fault.Of(err) != fault.Auth || fault.Hint(err) != "buy" || fault.ReasonOf(errors.New("y")) != "" {
		t.Errorf("%q, %v, %q", fault.ReasonOf(err), fault.Of(err), fault.Hint(err))
	}
	if fault.After(fault.WithReason(fault.WithAfter(errors.New("x"), time.Hour), fault.NotInCloud)) != time.Hour {
		t.Error("the time of the next try is gone")
	}
}
