package rule

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// callCondition is an expression over what a record of a call says, and over what is
// added to its event later.
func callCondition(r *rand.Rand, depth int) string {
	if depth > 0 {
		return "(" + callCondition(r, depth-1) + []string{" && ", " && ", " || "}[r.IntN(3)] + callCondition(r, depth-1) + ")"
	}
	if r.IntN(4) == 0 {
		return condition(r, 0)
	}
	text := []string{"call.workload", "call.endpoint", "call.method", "source.user_agent", "app.app_id", "result"}[r.IntN(6)]
	switch r.IntN(4) {
	case 0:
		return fmt.Sprintf("%s == %s", text, quoted(r))
	case 1:
		return fmt.Sprintf("call.status >= %d", 300+r.IntN(200))
	case 2:
		return fmt.Sprintf("call.response_bytes < %d", r.IntN(100))
	default:
		return fmt.Sprintf("contains(call.permissions, %s)", quoted(r))
	}
}

// generatedCall is the event of a call as its record says it.
func generatedCall(r *rand.Rand) *event.Event {
	e := &event.Event{Action: event.ActionAppCall, Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Class: event.ClassCall, App: event.App{AppID: word(r)}, Origin: event.Origin{UserAgent: word(r), IP: "10.0.0.1"}, Result: event.Result(word(r))}
	e.Call = &event.Call{Workload: word(r), Endpoint: word(r), Method: word(r), Status: 200 + r.IntN(400), Bytes: int64(r.IntN(200)), BytesKnown: r.IntN(3) > 0, Permissions: wordList(r)}
	return e
}

// TestTheSelectorTurnsNoEventAwayThatARuleHoldsFor: whatever enrichment and inventory
// add to the event of a record.
func TestTheSelectorTurnsNoEventAwayThatARuleHoldsFor(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	held, selected, all := 0, 0, 0
	for range 60 {
		var b strings.Builder
		b.WriteString("list \"short\" {\n entries = [\"Mail\", \"KELVIN\", \"x\"]\n}\nlist \"expired\" {\n entry \"send\" {\n  until = \"2026-01-01\"\n }\n}\n")
		for i := range 1 + r.IntN(6) {
			fmt.Fprintf(&b, "rule \"r%03d\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.call\"]\n where = %s\n}\n", i, strings.ReplaceAll(callCondition(r, 1+r.IntN(2)), "\\u", "\\\\u"))
		}
		set := mustCompile(t, b.String())
		s := set.Selector()
		for range 500 {
			e := generatedCall(r)
			selects := s.Selects(e)
			env := generatedEnv(r)
			full := *e
			full.App.Name, full.Actor.ID, full.Origin.ASN, full.Permissions, full.Changes, full.Details = env.Event.App.Name, env.Event.Actor.ID, env.Event.Origin.ASN, env.Event.Permissions, env.Event.Changes, env.Event.Details
			if full.App.AppID == "" {
				full.App.AppID = word(r)
			}
			env.Event = &full
			holds := len(holding(set.Candidates(e.Action), env)) > 0
			if holds && !selects {
				t.Fatalf("turned away: %+v %+v of\n%s", full, full.Call, b.String())
			}
			all++
			if holds {
				held++
			}
			if selects {
				selected++
			}
		}
	}
	t.Logf("%d of %d selected, %d held", selected, all, held)
	if held == 0 || selected*10 > all*9 {
		t.Errorf("%d of %d selected, %d held: the test says little", selected, all, held)
	}
}

func TestTheSelectorOfRulesWithoutCalls(t *testing.T) {
	s := mustCompile(t, "rule \"r\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.consent.granted\"]\n}\n").Selector()
	if s.Selects(&event.Event{Action: event.ActionAppCall, Call: &event.Call{}}) {
		t.Error("a call is selected that no rule looks at")
	}
	if !s.Selects(&event.Event{Action: "app.consent.granted", App: event.App{AppID: "a"}}) {
		t.Error("a rule without a condition selects all")
	}
}
