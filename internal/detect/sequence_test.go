package detect

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

const usedElsewhere = `
sequence {
  by     = [app.app_id]
  within = "24h"
  step "added" {
    on    = ["app.credential.added"]
    where = result == "success"
  }
  step "used" {
    on    = ["app.signin"]
    where = result == "success" && source.asn != added.source.asn && starts_with(app.name, "O")
  }
}
alert {
  summary = "added by ${added.actor.name} from ${added.source.asn}, used from ${used.source.asn}"
}`

// act is one event of a timeline: at a minute after the start, from a network.
type act struct {
	action string
	minute int
	asn    uint32
	app    string
}

func (w *world) acts(list ...act) []event.Alert {
	before := len(w.alerts)
	for _, a := range list {
		w.event(a.action, start().Add(time.Duration(a.minute)*time.Minute), func(e *event.Event) {
			e.Origin.ASN = a.asn
			if a.app != "" {
				e.App.AppID = a.app
			}
		})
	}
	return w.alerts[before:]
}

func TestASequenceOfTwoSteps(t *testing.T) {
	added, used := event.ActionCredentialAdded, event.ActionAppSignIn
	day := 24 * 60
	for _, c := range []struct {
		sentence string
		acts     []act
		want     int
	}{
		{"a use from another network behind the addition is an alert", []act{{added, 0, 1, ""}, {used, 5, 2, ""}}, 1},
		{"a use from the same network is none", []act{{added, 0, 1, ""}, {used, 5, 1, ""}}, 0},
		{"a use before is none", []act{{added, 5, 1, ""}, {used, 0, 2, ""}}, 0},
		{"a use of another app is none", []act{{added, 0, 1, ""}, {used, 5, 2, "a2"}}, 0},
		{"the addition may be read behind the use", []act{{used, 5, 2, ""}, {added, 0, 1, ""}}, 1},
		{"the end of the time belongs to it", []act{{added, 0, 1, ""}, {used, day, 2, ""}}, 1},
		{"behind it there is none", []act{{added, 0, 1, ""}, {used, day + 1, 2, ""}}, 0},
		{"of several additions one suffices", []act{{added, 0, 1, ""}, {added, 1, 2, ""}, {used, 2, 2, ""}}, 1},
		{"further uses within the time are the same alert", []act{{added, 0, 1, ""}, {used, 5, 2, ""}, {used, 6, 3, ""}}, 1},
		{"an unknown network is no other one", []act{{added, 0, 1, ""}, {used, 5, 0, ""}}, 0},
		{"what is of one time is in order", []act{{added, 5, 1, ""}, {used, 5, 2, ""}}, 1},
		{"a wrong clock in between takes nothing away", []act{{added, 0, 1, ""}, {added, 365 * day, 1, ""}, {used, 5, 2, ""}}, 1},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, usedElsewhere)
			if got := w.acts(c.acts...); len(got) != c.want {
				t.Errorf("alerts %v, want %d", told(got), c.want)
			}
		})
	}
	t.Run("the alert names fields of each step and all events", func(t *testing.T) {
		w := ruled(t, usedElsewhere)
		got := w.acts(act{used, 5, 2, ""}, act{added, 0, 1, ""})
		if len(got) != 1 || got[0].Summary != "added by Ada from 1, used from 2" || got[0].Count != 2 || len(got[0].Evidence) != 2 {
			t.Errorf("alert %+v", got)
		}
	})
}

func TestKeysOfStepsAreMapped(t *testing.T) {
	w := ruled(t, `
sequence {
  by     = [app.app_id]
  within = "1h"
  step "one" {
    on = ["app.credential.added"]
  }
  step "two" {
    on = ["app.consent.granted"]
    by = [actor.id]
  }
}`)
	w.event(event.ActionCredentialAdded, start(), nil)
	expectTold(t, w.event(event.ActionConsentGranted, start().Add(time.Minute), nil))
	got := w.event(event.ActionConsentGranted, start().Add(time.Minute), func(e *event.Event) { e.Actor.ID = "A1" })
	expectTold(t, got, "t.r detection new One n=2")
}

func TestOneEventIsOneStep(t *testing.T) {
	w := ruled(t, `
sequence {
  by     = [app.app_id]
  within = "1h"
  step "one" {
    on = ["app.signin"]
  }
  step "two" {
    on = ["app.signin"]
  }
  step "three" {
    on = ["app.signin"]
  }
}`)
	expectTold(t, w.signIn(0, nil))
	expectTold(t, w.signIn(1, nil))
	expectTold(t, w.signIn(2, nil), "t.r detection new One n=3")
}

func TestAStepMayHaveToBeNew(t *testing.T) {
	w := ruled(t, `
sequence {
  by     = [app.app_id]
  within = "1h"
  step "added" {
    on = ["app.credential.added"]
  }
  step "used" {
    on = ["app.signin"]
    first_seen {
      key         = [app.app_id, source.asn]
      history     = "30d"
      min_history = "1d"
    }
  }
}`)
	added, used := event.ActionCredentialAdded, event.ActionAppSignIn
	day := 24 * 60
	expectTold(t, w.acts(act{used, 0, 1, ""}, act{added, 1, 1, ""}, act{used, 2, 2, ""})) // still learning
	expectTold(t, w.acts(act{added, 2 * day, 1, ""}, act{used, 2*day + 1, 1, ""}, act{used, 2*day + 2, 2, ""}))
	expectTold(t, w.acts(act{used, 2*day + 3, 3, ""}), "t.r detection new One n=2")
}

const neverUsed = `
sequence {
  by     = [app.app_id]
  within = "24h"
  step "added" {
    on = ["app.credential.added"]
  }
  step "used" {
    on    = ["app.signin"]
    where = source.asn == added.source.asn
    not   = true
  }
}
alert {
  summary = "added from ${added.source.asn} by ${actor.name}"
}`

func TestAStepThatMustNotHappen(t *testing.T) {
	added, used := event.ActionCredentialAdded, event.ActionAppSignIn
	day := 24 * 60
	for _, c := range []struct {
		sentence string
		acts     []act
		complete time.Duration
		want     int
	}{
		{"speaks when the sources are complete", []act{{added, 0, 1, ""}}, 28 * time.Hour, 1},
		{"is silent as long as they are not", []act{{added, 0, 1, ""}}, 28*time.Hour - time.Minute, 0},
		{"is silent when the step happened", []act{{added, 0, 1, ""}, {used, day, 1, ""}}, 28 * time.Hour, 0},
		{"is silent when it was read before what it follows", []act{{used, 1, 1, ""}, {added, 0, 1, ""}}, 28 * time.Hour, 0},
		{"speaks when it happened elsewhere", []act{{added, 0, 1, ""}, {used, 1, 2, ""}}, 28 * time.Hour, 1},
		{"speaks when it happened later", []act{{added, 0, 1, ""}, {used, day + 1, 1, ""}}, 28 * time.Hour, 1},
		{"speaks when it happened before", []act{{used, 0, 1, ""}, {added, 1, 1, ""}}, 29 * time.Hour, 1},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, neverUsed)
			expectTold(t, w.acts(c.acts...))
			got := w.tick(c.complete)
			if len(got) != c.want || len(got) > 0 && (got[0].Summary != "added from 1 by Ada" || got[0].App.Name != "One") {
				t.Errorf("alerts %+v, want %d", got, c.want)
			}
			if later := w.tick(48 * time.Hour); c.sentence == "is silent as long as they are not" != (len(later) == 1) {
				t.Errorf("later %v", told(later))
			}
		})
	}
	t.Run("waits for its own source alone", func(t *testing.T) {
		w := ruled(t, neverUsed)
		w.acts(act{added, 0, 1, ""})
		w.now = w.now.Add(48 * time.Hour)
		only := func(source string) []event.Alert {
			return w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{{Source: source, Time: w.now}}})
		}
		expectTold(t, only("entra/t/directory_audits"))
		expectTold(t, only("entra/t/signins_service_principal"), "t.r detection new One n=1")
	})
	t.Run("may stand between two others", func(t *testing.T) {
		const between = `
sequence {
  by     = [app.app_id]
  within = "24h"
  step "added" {
    on = ["app.credential.added"]
  }
  step "told" {
    on  = ["app.owner.added"]
    not = true
  }
  step "used" {
    on = ["app.signin"]
  }
}`
		told := event.ActionOwnerAdded
		for _, c := range []struct {
			acts []act
			want int
		}{
			{[]act{{added, 0, 1, ""}, {used, 9, 1, ""}}, 1},
			{[]act{{added, 0, 1, ""}, {told, 5, 1, ""}, {used, 9, 1, ""}}, 0},
			{[]act{{added, 0, 1, ""}, {used, 9, 1, ""}, {told, 5, 1, ""}}, 0},
			{[]act{{added, 0, 1, ""}, {used, 9, 1, ""}, {told, 10, 1, ""}}, 1},
		} {
			w := ruled(t, between)
			expectTold(t, w.acts(c.acts...))
			if got := w.tick(5 * time.Hour); len(got) != c.want {
				t.Errorf("%v: %d alerts, want %d", c.acts, len(got), c.want)
			}
		}
	})
}

// TestTheOrderOfReadingDoesNotMatter: whatever the order, a sequence is told when a
// search over all events finds one.
func TestTheOrderOfReadingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		actions := []string{event.ActionCredentialAdded, event.ActionAppSignIn}
		acts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
			return act{rapid.SampledFrom(actions).Draw(t, "action"), rapid.IntRange(0, 3000).Draw(t, "minute"), rapid.Uint32Range(1, 2).Draw(t, "asn"), ""}
		}), 1, 8).Draw(rt, "acts")
		want := false
		for _, a := range acts {
			for _, b := range acts {
				want = want || a.action == actions[0] && b.action == actions[1] && a.asn != b.asn && b.minute > a.minute && b.minute-a.minute <= 24*60
			}
		}
		minutes := map[int]bool{}
		for _, a := range acts {
			if minutes[a.minute] {
				rt.Skip("two of one time are in the order of reading")
			}
			minutes[a.minute] = true
		}
		w := ruled(t, usedElsewhere)
		if got := w.acts(acts...); (len(got) > 0) != want {
			rt.Fatalf("%v: alerts %v, want %v", acts, told(got), want)
		}
	})
}

func TestASequenceIsInSnapshots(t *testing.T) {
	for name, body := range map[string]string{"two steps": usedElsewhere, "one that waits": neverUsed} {
		t.Run(name, func(t *testing.T) {
			w := ruled(t, body)
			w.acts(act{event.ActionCredentialAdded, 0, 1, ""})
			var snap bytes.Buffer
			if err := w.m.Snapshot(&snap); err != nil {
				t.Fatal(err)
			}
			hash := w.m.StateHash()
			w.m = New(nil, options())
			if err := w.m.Restore(&snap); err != nil || w.m.StateHash() != hash {
				t.Fatalf("restored with %v", err)
			}
			got := slices.Concat(w.acts(act{event.ActionAppSignIn, 5, 2, ""}), w.tick(48*time.Hour))
			if len(got) != 1 {
				t.Errorf("alerts %v, want one", told(got))
			}
		})
	}
}

func TestSequencesAreBoundedAndExpire(t *testing.T) {
	w := ruled(t, usedElsewhere)
	w.tick(0)
	for i := range 100 {
		w.acts(act{event.ActionCredentialAdded, i % 60, 1, fmt.Sprint(i % 3)})
	}
	if n := stat(w, "t.r").Keys; n != 3 {
		t.Errorf("%d keys, want 3", n)
	}
	w.tick(52 * time.Hour)
	if n := stat(w, "t.r").Keys; n != 0 {
		t.Errorf("%d keys left", n)
	}
}
