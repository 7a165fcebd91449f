package detect

import "slices"

// ShadowHealth is how the verdicts of a shadow differ from those of its rule, in
// events that either would have alerted on, suppression left out.
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
