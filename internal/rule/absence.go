package rule

import "time"

// Absence fires when nothing of a key came for a while after something did: when
// that time is over, or with the event that ends the silence.
type Absence struct {
	By      Key
	For     time.Duration
	After   int  // matches that a key must have had
	Returns bool // tell the event that ends a silence, not the silence
	MaxKeys int
	History time.Duration // of returns: a longer silence is forgotten
}

// usualSilence is how much longer than For a silence is remembered.
const usualSilence = 365 * 24 * time.Hour

// absenceFields are the fields that the alert of a rule with absence may name.
func absenceFields() map[string]field {
	return map[string]field{
		"absence.duration": {kind: kindDuration, num: func(env *Env) (int64, bool) { return int64(env.Silence), env.Silence != 0 }},
	}
}

func (b block) absence() *Absence {
	x, ok := b.child("absence")
	if !ok {
		return nil
	}
	x.allow("by for after tell history max_keys", "")
	out := &Absence{
		By: x.key("by"), For: x.duration("for"), After: int(x.number("after", 1, 1_000_000, 1)),
		MaxKeys: int(x.number("max_keys", 1, 10_000_000, defaultMaxKeys)),
	}
	out.History = out.For + usualSilence
	history, given := x.attr("history")
	if d := x.duration("history"); d != 0 {
		out.History = d
	}
	x.need("by", "what falls silent, such as [app.app_id]")
	x.need("for", "how long nothing must come, such as \"30d\"")
	switch tell, at := x.text("tell"); tell {
	case "", "silence":
	case "return":
		out.Returns = true
	default:
		b.c.fail(at, "bad_absence", "Bad absence", "tell is \"silence\" (the time is over) or \"return\" (something came after it).%s", suggest(tell, []string{"silence", "return"}))
	}
	switch {
	case given && !out.Returns:
		b.c.fail(history.Expr.Range(), "bad_absence", "Bad absence", "history belongs to tell = \"return\": a silence that is told is forgotten with it.")
	case given && out.History <= out.For:
		b.c.fail(history.Expr.Range(), "bad_absence", "Bad absence", "history must be longer than for: no return could be told.")
	}
	for _, other := range []string{"threshold", "first_seen", "compare"} {
		for _, o := range b.children(other) {
			b.c.fail(o.rng, "conflicting_blocks", "Nothing beside an absence", "A rule with an absence has no %s block.", other)
		}
	}
	return out
}
