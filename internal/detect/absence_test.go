package detect

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

const daily = 24 * 60

func TestASilenceIsTold(t *testing.T) {
	const body = `
absence {
  by    = [app.app_id]
  for   = "2d"
  after = 2
}
alert {
  summary = "${app.name} silent for ${absence.duration}"
}`
	for _, c := range []struct {
		sentence string
		minutes  []int
		complete time.Duration
		want     int
	}{
		{"when the time is over and all is read", []int{0, 1}, 52*time.Hour + time.Minute, 1},
		{"not before", []int{0, 1}, 52 * time.Hour, 0},
		{"counted from the last match, whatever was read last", []int{0, daily, 1}, 53 * time.Hour, 0},
		{"not of what was never often enough", []int{0}, 60 * time.Hour, 0},
		{"a match of the future silences nobody", []int{0, 1, 365 * daily}, 53 * time.Hour, 1},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, body)
			for _, m := range c.minutes {
				w.signIn(m, func(e *event.Event) { e.Observed = start().Add(daily * time.Minute) })
			}
			got := w.tick(c.complete)
			if len(got) != c.want || len(got) == 1 && (got[0].Summary != "One silent for 2 days" || got[0].App.Name != "One") {
				t.Errorf("alerts %+v, want %d", got, c.want)
			}
		})
	}
	t.Run("once, and again after another activity", func(t *testing.T) {
		w := ruled(t, body)
		w.signIn(0, nil)
		w.signIn(0, nil)
		if got := len(w.tick(60*time.Hour)) + len(w.tick(60*time.Hour)); got != 1 {
			t.Errorf("%d alerts, want 1", got)
		}
		w.signIn(6*daily, nil)
		w.signIn(6*daily, nil)
		expectTold(t, w.tick(72*time.Hour))
		expectTold(t, w.tick(60*time.Hour), "t.r detection new One n=1")
	})
	t.Run("is no silence where the source was not read", func(t *testing.T) {
		w := ruled(t, body)
		w.signIn(0, nil)
		w.signIn(0, nil)
		to := start().Add(24 * time.Hour)
		w.apply(&event.Frame{Kind: event.FramePage, Source: "entra/t/signins_service_principal", Gaps: []event.Gap{{Source: "entra/t/signins_service_principal", From: start(), To: to}}})
		expectTold(t, w.tick(60*time.Hour))
		expectTold(t, w.tick(16*time.Hour), "t.r detection new One n=1")
	})
	t.Run("and waits for the slowest source", func(t *testing.T) {
		w := ruled(t, body)
		w.signIn(0, nil)
		w.signIn(0, nil)
		w.now = w.now.Add(100 * time.Hour)
		expectTold(t, w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{
			{Source: "entra/t/signins_service_principal", Time: w.now}, {Source: "entra/t/signins_managed_identity", Time: start()}}}))
		expectTold(t, w.apply(&event.Frame{Kind: event.FrameTick, CompleteThrough: []event.SourceTime{{Source: "entra/t/directory_audits", Time: w.now}}}))
	})
}

const returns = `
absence {
  by    = [app.app_id]
  for   = "30d"
  after = 2
  tell  = "return"
}
alert {
  summary = "back after ${absence.duration}"
}`

func TestAReturnIsTold(t *testing.T) {
	for _, c := range []struct {
		sentence string
		days     []int
		want     int
	}{
		{"after as long a silence as the rule asks", []int{0, 1, 31}, 1},
		{"not after a shorter one", []int{0, 1, 30}, 0},
		{"not of what was never often enough", []int{0, 31}, 0},
		{"once", []int{0, 1, 31, 32}, 1},
		{"whatever comes late", []int{0, 1, 31, 20, 32}, 1},
		{"again after another silence", []int{0, 1, 31, 70}, 2},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			w := ruled(t, returns)
			for _, d := range c.days {
				w.signIn(d*daily, nil)
			}
			if len(w.alerts) != c.want || c.want > 0 && (w.alerts[0].Summary != "back after 30 days" || len(w.alerts[0].Evidence) != 2) {
				t.Errorf("alerts %+v, want %d", w.alerts, c.want)
			}
		})
	}
	t.Run("and is none where the silence was not read", func(t *testing.T) {
		w := ruled(t, returns)
		w.signIn(0, nil)
		w.signIn(1, nil)
		to := start().AddDate(0, 0, 10)
		w.apply(&event.Frame{Kind: event.FramePage, Source: "entra/t/signins_service_principal", Gaps: []event.Gap{{Source: "entra/t/signins_service_principal", From: start(), To: to}}})
		expectTold(t, w.signIn(31*daily, nil))
	})
}

func TestASilenceIsForgottenAfterItsHistory(t *testing.T) {
	for _, c := range []struct {
		history string
		days    int
		want    int // keys left, and alerts of the return
	}{{"", 394, 1}, {"", 400, 0}, {`history = "60d"`, 50, 1}, {`history = "60d"`, 70, 0}} {
		w := ruled(t, strings.Replace(returns, `tell  = "return"`, `tell  = "return"
  `+c.history, 1))
		w.signIn(0, nil)
		w.signIn(0, nil)
		w.tick(time.Duration(c.days) * 24 * time.Hour)
		if n := stat(w, "t.r").Keys; n != c.want {
			t.Errorf("history %q: %d keys are left after %d days, want %d", c.history, n, c.days, c.want)
		}
		if got := w.signIn(c.days*daily, nil); len(got) != c.want {
			t.Errorf("history %q: a return after %d days tells %v", c.history, c.days, told(got))
		}
	}
}

func TestAnAbsenceIsInSnapshots(t *testing.T) {
	w := ruled(t, returns)
	w.signIn(0, nil)
	w.signIn(0, nil)
	var snap bytes.Buffer
	if err := w.m.Snapshot(&snap); err != nil {
		t.Fatal(err)
	}
	hash := w.m.StateHash()
	w.m = New(nil, options())
	if err := w.m.Restore(&snap); err != nil || w.m.StateHash() != hash {
		t.Fatalf("restored with %v", err)
	}
	expectTold(t, w.signIn(31*daily, nil), "t.r detection new One n=1")
}
