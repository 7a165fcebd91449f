package app

import (
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
)

// Condition is how a source fares, as an operator asks for it.
type Condition string

// Conditions of a source.
const (
	ConditionDisabled    Condition = "disabled"
	ConditionNotLicensed Condition = "not licensed"
	ConditionNotInCloud  Condition = "not in this cloud"
	ConditionStarting    Condition = "starting"
	ConditionHealthy     Condition = "healthy"
	ConditionEmpty       Condition = "healthy but empty"
	ConditionStalled     Condition = "stalled"
	ConditionFailed      Condition = "failed"
)

// SourceStatus is what the loop says of a source, and what follows from it.
type SourceStatus struct {
	ingest.Status
	Condition Condition `json:"condition"`
	Reason    string    `json:"reason"`           // why the condition is what it is
	Behind    string    `json:"behind,omitempty"` // how far complete_through lies behind now
}

// sourceStatus says how a source fares; lags is whether complete_through lies further
// behind than the schedule explains.
func sourceStatus(s ingest.Status, lags bool, now time.Time) SourceStatus {
	out := SourceStatus{Status: s}
	out.Condition, out.Reason = condition(s, lags)
	if !s.CompleteThrough.IsZero() {
		out.Behind = now.Sub(s.CompleteThrough).Round(time.Second).String()
	}
	return out
}

func condition(s ingest.Status, lags bool) (Condition, string) {
	why := joinAdvice(s.Error, s.Hint)
	switch {
	case s.Why == fault.NotLicensed:
		return ConditionNotLicensed, why
	case s.Why == fault.NotInCloud:
		return ConditionNotInCloud, why
	}
	switch s.State {
	case ingest.StateFailed, ingest.StateStopped:
		return ConditionFailed, why
	case ingest.StateThrottled:
		return ConditionStalled, "throttled: " + why
	case ingest.StateRetrying:
		return ConditionStalled, "tried again: " + why
	case ingest.StateStarting:
		return ConditionStarting, "it was not read yet"
	case ingest.StateHealthy:
	}
	switch {
	case lags:
		return ConditionStalled, "complete through a time further back than its schedule explains"
	case s.Account.Fetched == 0:
		return ConditionEmpty, "it is read, and nothing was ever there"
	}
	return ConditionHealthy, "it is read, and records came"
}

// disabled are the sources that a source block of Entra ID could read and does not, and
// no stream of its tenant does.
func (p *Plan) disabled() (out []SourceStatus) {
	for _, s := range p.sources {
		if s.kind.provider != "entra" || s.kind.stream {
			continue
		}
		read := func(name string) bool {
			return slices.ContainsFunc(p.sources, func(o planned[checkedSource]) bool {
				return strings.EqualFold(o.kind.tenant, s.kind.tenant) && slices.Contains(o.kind.classes, name)
			})
		}
		for _, name := range msgraph.SourceNames() {
			if !read(name) {
				out = append(out, SourceStatus{
					Status: ingest.Status{Key: strings.Join([]string{s.block.Kind, s.block.Name, name}, "/")}, Condition: ConditionDisabled, Reason: "collect does not name it",
				})
			}
		}
	}
	return out
}
