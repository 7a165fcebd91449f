package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/route"
)

// Every sign-in is an alert, whose severity its user says.
const duty = `
rule "w.low" {
  title    = "Low"
  severity = "low"
  on       = ["app.signin"]
  where    = starts_with(actor.id, "low")
}
rule "w.critical" {
  title    = "Critical"
  severity = "critical"
  on       = ["app.signin"]
  where    = starts_with(actor.id, "critical")
}
`

// desk is a world with somebody on call: the bad sink, of which it keeps what it was
// told. Direct alerts of everything go to the file.
type desk struct {
	*world
	queue   []event.Event
	given   int
	page    int // events of one read; 0 = all
	notices []event.Alert
	refuse  func(batch []event.Alert) error
}

const everything = "sink \"file\" \"all\" {\n  path = %q\n  format = \"json\"\n}\nroute {\n  name = \"everything\"\n  sinks = [\"file/all\"]\n  continue = true\n}\n"

// onCall is a configuration with a route for people.
func (d *desk) onCall(more string) {
	d.more = fmt.Sprintf(everything, filepath.Join(d.dir, "all.jsonl")) + more
}

func atDesk(t *testing.T, name string, test func(t *testing.T, d *desk)) {
	live(t, name, func(t *testing.T, w *world) {
		d := &desk{world: w}
		d.step = 20 * time.Second
		d.useRules(t, duty)
		d.attach()
		test(t, d)
	})
}

// attach makes the world's source and bad sink those of the desk.
func (d *desk) attach() {
	d.read = func() (event.Page, error) {
		n := len(d.queue)
		if d.page > 0 {
			n = min(n, d.page)
		}
		p := event.Page{Events: d.queue[:n:n], Fetched: n, CompleteThrough: time.Now()}
		d.queue = d.queue[n:]
		return p, nil
	}
	d.write = func(batch []event.Alert) error {
		if d.refuse != nil {
			if err := d.refuse(batch); err != nil {
				return err
			}
		}
		d.notices = append(d.notices, batch...)
		return nil
	}
}

// signs lets n users of a kind sign in to an app.
func (d *desk) signs(n int, who, app string) {
	d.set(func() {
		for range n {
			d.given++
			id := fmt.Sprint(d.dir, d.given)
			d.queue = append(d.queue, event.Event{
				ID: event.NewID("n", id), Content: event.NewID("n", id), UpstreamID: id, Provider: "entra", Tenant: "t", Class: event.ClassSignIn,
				Action: event.ActionAppSignIn, Time: time.Now(), App: event.App{ID: app, AppID: app, Name: app}, Actor: event.Actor{Type: event.TypeUser, ID: fmt.Sprint(who, d.given)}})
		}
	})
}

// told are the notices so far, in short: state, title, and why where it says so.
func (d *desk) said() (list []string) {
	d.set(func() {
		for _, a := range d.notices {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %.30s", a.State, a.Title, a.Reason)))
		}
	})
	return list
}

func (d *desk) wantSaid(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	got := d.said()
	if len(got) != len(want) {
		t.Fatalf("on call was told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("notice %d is %q, want %q", i, got[i], want[i])
		}
	}
}

// balanced checks both accounts of the sink that people are told by.
func (d *desk) balanced(t *testing.T, a *Agent, grouped uint64) {
	t.Helper()
	r, b := a.ledger.Stats().Readers[theSink], a.routing.boards[theSink].Status(time.Now()).Account
	if r.Balance != "" || r.Waiting != 0 || r.Grouped != grouped || !b.Balanced() || b.Grouped != grouped {
		t.Errorf("reader %+v, board %+v, want %d grouped", r, b, grouped)
	}
}

// verified checks the whole ledger, accounts of cursors included.
func (d *desk) verified(t *testing.T) {
	t.Helper()
	v, err := ledger.OpenView(filepath.Join(d.dir, "state"), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Inspect(true)
	if err := errors.Join(err, v.Close()); err != nil || len(r.Problems) > 0 {
		t.Errorf("%v, %+v", err, r.Problems)
	}
}

// image is a desk on a copy of the state as it is at the moment: what a kill leaves.
func (d *desk) image(t *testing.T, old map[string][]byte) *desk {
	t.Helper()
	w := newWorld(t)
	w.step, w.rules, w.more = d.step, d.rules, d.more
	next := &desk{world: w, given: d.given}
	if err := os.CopyFS(filepath.Join(w.dir, "state"), os.DirFS(filepath.Join(d.dir, "state"))); err != nil {
		t.Fatal(err)
	}
	for name, b := range old {
		if err := os.WriteFile(filepath.Join(w.dir, "state", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next.attach()
	return next
}

const cursorFile = "cursors/stdout.bad.cur"

func (d *desk) cursor(t *testing.T) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "state", cursorFile))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{cursorFile: b}
}

func TestAStormIsToldByAFewNotices(t *testing.T) {
	const storm = 50_000
	atDesk(t, "50,000 alerts in less than a minute", func(t *testing.T, d *desk) {
		d.onCall("route {\n  name = \"on-call\"\n  kinds = [\"detection\"]\n  sinks = [\"stdout/bad\"]\n  group_by = [\"rule_id\"]\n  group_wait = \"30s\"\n  rate {\n    max = 3\n    per = \"1m\"\n  }\n}\n")
		d.page, d.step = 2500, 2*time.Second
		d.signs(storm, "low", "s1")
		d.run(t, func(a *Agent) {
			pass(10 * time.Minute)
			d.balanced(t, a, storm)
			if acc := a.Status().Sinks[1].Routing.Account; acc.Notified != storm || acc.Open != 0 {
				t.Errorf("account %+v", acc)
			}
		})
		if len(d.notices) == 0 || len(d.notices) > 3 {
			t.Fatalf("%d notices: %v", len(d.notices), d.said())
		}
		last := d.notices[len(d.notices)-1]
		if !strings.Contains(last.Title, "50000 alerts") || last.Count != storm || last.Group == nil || last.Group.Total != storm {
			t.Errorf("the last notice says %q, count %d, group %+v", last.Title, last.Count, last.Group)
		}
		all, err := os.ReadFile(filepath.Join(d.dir, "all.jsonl"))
		if n := bytes.Count(all, []byte(`"rule_id":"w.low"`)); err != nil || n != storm {
			t.Errorf("the file has %d alerts, %v", n, err)
		}
		d.verified(t)
	})
}

const byApp = "route {\n  name = \"on-call\"\n  kinds = [\"detection\"]\n  sinks = [\"stdout/bad\"]\n  group_by = [\"app.id\"]\n  group_wait = \"10m\"\n}\n"

func TestAGroupSurvivesAKill(t *testing.T) {
	atDesk(t, "behind the notify frame, before the acknowledgement", func(t *testing.T, d *desk) {
		d.onCall(byApp)
		var killed *desk
		d.run(t, func(*Agent) {
			pass(time.Minute)
			before := d.cursor(t)
			d.signs(3, "low", "s1")
			pass(time.Minute)
			killed = d.image(t, before)
		})
		killed.run(t, func(a *Agent) {
			pass(time.Minute)
			killed.balanced(t, a, 3)
			killed.signs(2, "low", "s1")
			pass(20 * time.Minute)
			killed.wantSaid(t, "new 5 alerts: Low")
			killed.balanced(t, a, 5)
		})
		killed.verified(t)
	})
	atDesk(t, "before the notify frame", func(t *testing.T, d *desk) {
		d.onCall("route {\n  name = \"red\"\n  min_severity = \"critical\"\n  sinks = [\"stdout/bad\"]\n}\n" + byApp)
		d.refuse = func([]event.Alert) error { return errors.New("refused") }
		var killed *desk
		d.signs(3, "low", "s1")
		d.signs(1, "critical", "s1")
		d.run(t, func(*Agent) {
			pass(time.Minute)
			if n := d.kinds(t)[event.FrameNotify]; n != 0 {
				t.Errorf("%d notify frames before the direct alert left", n)
			}
			killed = d.image(t, nil)
		})
		killed.run(t, func(a *Agent) {
			pass(20 * time.Minute)
			killed.wantSaid(t, "new Critical", "new 3 alerts: Low")
			killed.balanced(t, a, 3)
			if r := a.ledger.Stats().Readers[theSink]; r.Accepted != 1 {
				t.Errorf("reader %+v", r)
			}
		})
		killed.verified(t)
	})
	atDesk(t, "between a notice and its frame", func(t *testing.T, d *desk) {
		d.onCall(byApp)
		var killed *desk
		d.refuse = func([]event.Alert) error {
			if killed == nil { // it has arrived, and nobody here will know
				killed = d.image(t, nil)
			}
			return nil
		}
		d.signs(2, "low", "s1")
		d.run(t, func(*Agent) { pass(15 * time.Minute) })
		d.wantSaid(t, "new 2 alerts: Low")
		killed.run(t, func(a *Agent) {
			pass(15 * time.Minute)
			killed.wantSaid(t, "new 2 alerts: Low")
			killed.balanced(t, a, 2)
		})
		if d.notices[0].DeliveryID != killed.notices[0].DeliveryID || d.notices[0].ID != killed.notices[0].ID {
			t.Error("the notice that was sent twice has two delivery ids")
		}
		killed.verified(t)
	})
}

// What the ledger says of groups and cannot be replayed is an alarm, until a start that
// replays everything.
func TestANotifyFrameThatCannotBeReplayedIsAnAlarm(t *testing.T) {
	atDesk(t, "a frame that no build wrote", func(t *testing.T, d *desk) {
		d.onCall(byApp)
		var killed *desk
		d.run(t, func(a *Agent) {
			pass(time.Minute)
			d.calm(t, a, "routing")
			wait, err := a.ledger.Append(&event.Frame{Kind: event.FrameNotify, Time: time.Now(), Notify: []byte{255, 1}})
			if err != nil {
				t.Fatal(err)
			}
			if err := wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			killed = d.image(t, nil)
		})
		killed.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			killed.raised(t, a, "routing", "1 notify frames", "version")
		})
		killed.run(t, func(a *Agent) {
			pass(2 * time.Minute)
			killed.calm(t, a, "routing")
		})
	})
}

// A restart in order keeps groups by the snapshot and by the frames behind it.
func TestAGroupSurvivesARestartAndAReload(t *testing.T) {
	first := func(d *desk, t *testing.T) {
		d.onCall(byApp)
		d.signs(2, "low", "s1")
		d.run(t, func(*Agent) { pass(time.Minute) })
		d.wantSaid(t)
		d.attach()
	}
	atDesk(t, "a route that stays", func(t *testing.T, d *desk) {
		first(d, t)
		d.onCall(strings.Replace(byApp, "10m", "20m", 1))
		d.signs(1, "low", "s1")
		d.run(t, func(a *Agent) {
			pass(10 * time.Minute)
			d.wantSaid(t)
			pass(15 * time.Minute)
			d.wantSaid(t, "new 3 alerts: Low")
			d.balanced(t, a, 3)
		})
		d.verified(t)
	})
	atDesk(t, "a route that groups otherwise", func(t *testing.T, d *desk) {
		first(d, t)
		d.onCall(strings.Replace(byApp, "app.id", "rule_id", 1))
		d.signs(1, "low", "s1")
		d.run(t, func(a *Agent) {
			pass(time.Minute)
			d.wantSaid(t, "new 2 alerts: Low the route on-call")
			pass(15 * time.Minute)
			d.wantSaid(t, "new 2 alerts: Low the route on-call", "new Low")
			d.balanced(t, a, 3)
		})
		d.verified(t)
	})
	atDesk(t, "a route that goes", func(t *testing.T, d *desk) {
		first(d, t)
		d.onCall("")
		d.signs(1, "low", "s1")
		d.run(t, func(a *Agent) {
			pass(15 * time.Minute)
			d.wantSaid(t, "new 2 alerts: Low the route on-call")
			d.balanced(t, a, 2)
		})
		d.verified(t)
	})
}

// A sink that is sent back reads its alerts again: they join, are counted anew, and
// nothing stands in the way of the frames of the first time.
func TestASinkThatIsSentBackGroupsAgain(t *testing.T) {
	atDesk(t, "from the first frame on", func(t *testing.T, d *desk) {
		d.onCall(strings.Replace(byApp, "10m", "1m\"\n  resolve_after = \"5m", 1))
		d.signs(2, "low", "s1")
		d.run(t, func(*Agent) { pass(20 * time.Minute) })
		d.wantSaid(t, "new 2 alerts: Low", "resolved 2 alerts are over")
		if _, err := ledger.Rewind(filepath.Join(d.dir, "state"), theSink, ledger.Target{LSN: 1}, true, ledger.Options{}); err != nil {
			t.Fatal(err)
		}
		d.attach()
		d.run(t, func(a *Agent) {
			pass(20 * time.Minute)
			if r := a.ledger.Stats().Readers[theSink]; r.Grouped != 2 || r.Waiting != 0 || r.Balance != "" {
				t.Errorf("reader %+v", r)
			}
		})
		if said := d.said(); len(said) != 4 || !strings.HasPrefix(said[2], "new 2 alerts: Low") || d.notices[2].ID == d.notices[0].ID {
			t.Errorf("told %v", said)
		}
		d.verified(t)
	})
}

// ask sends a request to the admin API.
func ask(t *testing.T, a *Agent, method, path string, body, answer any) int {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(b)))
	if w.Code == http.StatusOK && answer != nil {
		if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code
}

func TestSilencesSurviveARestart(t *testing.T) {
	atDesk(t, "of the command line, until it is ended", func(t *testing.T, d *desk) {
		d.onCall(byApp)
		var added route.Silence
		d.run(t, func(a *Agent) {
			for _, bad := range []route.Silence{
				{Where: "app.nmae == \"x\"", Author: "ann", Reason: "r", Until: time.Now().Add(time.Hour)},
				{Where: "true", Author: "ann", Until: time.Now().Add(time.Hour)},
				{Where: "true", Author: "ann", Reason: "r", Until: time.Now().Add(-time.Hour)},
			} {
				if code := ask(t, a, "POST", "/silences", bad, nil); code != http.StatusBadRequest {
					t.Errorf("%+v: %d", bad, code)
				}
			}
			if code := ask(t, a, "POST", "/silences", route.Silence{Where: `app.id == "s1"`, Author: "ann", Reason: "migration", Until: time.Now().Add(48 * time.Hour)}, &added); code != http.StatusOK {
				t.Fatal(code)
			}
			d.signs(2, "low", "s1")
			pass(20 * time.Minute)
			d.wantSaid(t)
		})
		d.attach()
		d.run(t, func(a *Agent) {
			pass(20 * time.Minute)
			d.wantSaid(t)
			var list []route.Silence
			if ask(t, a, "GET", "/silences", nil, &list); len(list) != 1 || list[0].ID != added.ID || list[0].Author != "ann" {
				t.Errorf("silences %+v", list)
			}
			if s := a.Status().Sinks[1].Routing; s.Silenced != 2 {
				t.Errorf("status %+v", s)
			}
			if code := ask(t, a, "POST", "/silences/"+added.ID.String()[:8]+"/expire", nil, nil); code != http.StatusOK {
				t.Error(code)
			}
			pass(20 * time.Minute)
			d.wantSaid(t, "new 2 alerts: Low") // still open, so it is told when the silence ends
			if code := ask(t, a, "POST", "/silences/00000000/expire", nil, nil); code != http.StatusNotFound {
				t.Error(code)
			}
			d.balanced(t, a, 2)
		})
		d.verified(t)
	})
	atDesk(t, "of a file", func(t *testing.T, d *desk) {
		until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		d.onCall(byApp + fmt.Sprintf("silence \"move\" {\n  where = app.id == \"s1\"\n  author = \"ann\"\n  reason = \"r\"\n  until = %q\n}\n", until))
		d.signs(1, "low", "s1")
		d.signs(1, "critical", "s2")
		d.run(t, func(a *Agent) {
			pass(20 * time.Minute)
			d.wantSaid(t, "new Critical")
			var list []route.Silence
			if ask(t, a, "GET", "/silences", nil, &list); len(list) != 1 || list[0].Name != "move" {
				t.Errorf("silences %+v", list)
			}
			pass(time.Hour)
			d.wantSaid(t, "new Critical", "new Low")
			d.balanced(t, a, 2)
		})
	})
}

func TestWhoIsToldAndWhen(t *testing.T) {
	atDesk(t, "a graver alert of the same app inhibits", func(t *testing.T, d *desk) {
		d.onCall(strings.Replace(byApp, "app.id", "rule_id\", \"app.id", 1) + "inhibit {\n  source = alert.severity == \"critical\"\n  target = alert.severity == \"low\"\n  equal = [\"app.id\"]\n}\n")
		d.signs(1, "critical", "s1")
		d.signs(2, "low", "s1")
		d.signs(1, "low", "s2")
		d.run(t, func(a *Agent) {
			pass(time.Hour)
			got := d.said()
			slices.Sort(got)
			if want := []string{"new Critical", "new Low"}; !slices.Equal(got, want) {
				t.Errorf("told %v", got)
			}
			if s := a.Status().Sinks[1].Routing; s.Inhibited != 2 {
				t.Errorf("status %+v", s)
			}
			d.balanced(t, a, 4)
		})
	})
	atDesk(t, "an old group goes to another sink", func(t *testing.T, d *desk) {
		d.onCall("sink \"file\" \"boss\" {\n  path = \"" + filepath.Join(d.dir, "boss.jsonl") + "\"\n  format = \"json\"\n}\n" + strings.Replace(byApp, "}\n", "  escalate {\n    after = \"1h\"\n    sinks = [\"file/boss\"]\n  }\n}\n", 1))
		d.signs(1, "low", "s1")
		boss := func() int {
			b, err := os.ReadFile(filepath.Join(d.dir, "boss.jsonl"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			return bytes.Count(b, []byte("\n"))
		}
		d.run(t, func(*Agent) {
			pass(50 * time.Minute)
			if d.wantSaid(t, "new Low"); boss() != 0 {
				t.Error("it was escalated early")
			}
			pass(20 * time.Minute)
			if boss() != 1 {
				t.Errorf("%d escalations", boss())
			}
		})
	})
	atDesk(t, "nobody at night, and then of what is open", func(t *testing.T, d *desk) {
		now := time.Now().UTC() // midnight in a bubble
		d.onCall(strings.Replace(byApp, "}\n", "  mute = [\"night\"]\n}\n", 1) + fmt.Sprintf("mute \"night\" {\n  from = \"22:00\"\n  to = %q\n}\n", now.Add(6*time.Hour).Format("15:04")))
		d.signs(2, "low", "s1")
		d.run(t, func(a *Agent) {
			pass(5 * time.Hour)
			d.wantSaid(t)
			if s := a.Status().Sinks[1].Routing; s.Muted != 1 {
				t.Errorf("status %+v", s)
			}
			pass(2 * time.Hour)
			d.wantSaid(t, "new 2 alerts: Low")
			d.balanced(t, a, 2)
		})
	})
}
