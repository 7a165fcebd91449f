package rule

import "testing"

func TestEveryModeHasTheNameThatRulesGiveIt(t *testing.T) {
	for m, name := range map[Mode]string{ModeActive: "active", ModeAudit: "audit", ModeOff: "off", ModeScore: "score"} {
		if m.String() != name {
			t.Errorf("mode %d is called %q, want %q", m, m.String(), name)
		}
	}
}
