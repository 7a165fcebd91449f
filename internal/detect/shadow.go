package detect

import (
	"slices"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// ShadowHealth is how the verdicts of a shadow differ from those of its rule, in
// events that either would have alerted on, suppression left out; of a policy, in
// apps for which either holds now.
type ShadowHealth struct {
	Of         string `json:"of"`
	Both       uint64 `json:"both"`
	OnlyLive   uint64 `json:"only_live"`
	OnlyShadow uint64 `json:"only_shadow"`
}

// compareShadows counts, behind an event, which of a shadow and its rule fired on it.
func (m *Machine) compareShadows() {
	if len(m.fired) == 0 {
		return
	}
	for _, s := range m.set.Shadows {
		h := &m.state.Health.Rules[s.Rule.ID].Shadow
		switch live, shadow := slices.Contains(m.fired, s.Live.ID), slices.Contains(m.fired, s.Rule.ID); {
		case live && shadow:
			h.Both++
		case live:
			h.OnlyLive++
		case shadow:
			h.OnlyShadow++
		}
	}
}

// comparePolicies counts the apps that a shadow and its policy have found.
func (m *Machine) comparePolicies(p *rule.Policy) *ShadowHealth {
	h := ShadowHealth{Of: p.ShadowOf}
	live, shadow := m.state.Policies[p.ShadowOf].found(), m.state.Policies[p.ID].found()
	for key := range shadow {
		if _, both := live[key]; both {
			h.Both++
		} else {
			h.OnlyShadow++
		}
	}
	h.OnlyLive = uint64(len(live)) - h.Both
	return &h
}

// found is the apps for which a policy holds, by key.
func (p *policyState) found() map[string]event.App {
	out := map[string]event.App{}
	if p == nil {
		return out
	}
	for key, f := range p.Open {
		out[key] = f.App
	}
	for key, a := range p.Covered {
		out[key] = a
	}
	return out
}
