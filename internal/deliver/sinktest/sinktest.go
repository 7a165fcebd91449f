// Package sinktest owns the conformance suite of sinks: what every destination
// must do with a batch, whatever its peer does. A sink's test runs it with a
// peer that it can tell how to behave.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// Behaviour is what the peer does.
type Behaviour string

// Behaviours. Every sink's peer can Accept; the others depend on what the
// protocol can say.
const (
	Accept      Behaviour = "accepts"
	Down        Behaviour = "is down"
	Silent      Behaviour = "never answers"
	Cut         Behaviour = "hangs up before it answers"
	Throttle    Behaviour = "asks for patience"
	Refuse      Behaviour = "refuses the credentials"
	RefuseWhole Behaviour = "refuses the batch as a whole"
	RefuseSome  Behaviour = "refuses some alerts for good" // those titled Poison
	RetrySome   Behaviour = "refuses some alerts for now"  // those titled Later
	RefuseLarge Behaviour = "refuses more than three alerts in one request"
	RefuseTenth Behaviour = "refuses of 1,000 alerts 100 for good and 100 once" // Poison until Mend, Later once per delivery id
)

// Titles of the alerts that RefuseSome and RetrySome are about.
const (
	Poison = "refuse this one"
	Later  = "take this one later"
)

// Peer is a sink with its destination.
type Peer struct {
	Sink deliver.Sink
	// Got returns the delivery ids that the destination has taken, those of an app in the
	// order in which it has them, once there are n of them or it gives up waiting.
	Got func(n int) []string
	// Secrets must not be in any error.
	Secrets []string
	// Mend takes away why RefuseTenth refuses; Reason is part of what it says.
	Mend   func()
	Reason string
}

// Suite says what the sink can meet.
type Suite struct {
	// Start makes a destination that behaves so and a sink that talks to it.
	// The suite closes the sink, t.Cleanup everything else.
	Start func(t *testing.T, b Behaviour) Peer
	// Can are the behaviours beside Accept that the destination knows.
	Can []Behaviour
	// Unacknowledged is set where the destination never answers: a batch is
	// accepted when it has been sent, and the sink says when that was in vain.
	Unacknowledged bool
}

// Run runs every test that applies.
func Run(t *testing.T, s Suite) {
	t.Run("a peer that accepts gets every alert with its ids, those of an app in order", s.accept)
	t.Run("an empty batch is nothing to do", s.empty)
	t.Run("a context that has ended sends nothing", s.cancelled)
	t.Run("hostile text arrives and stays one record", s.hostile)
	t.Run("closing twice is harmless and a closed sink takes nothing", s.closed)
	if s.Unacknowledged {
		t.Run("a sink without acknowledgement tells when its connection is lost", s.tells)
	}
	for _, b := range s.Can {
		t.Run("a peer that "+string(b), func(t *testing.T) {
			switch b {
			case RefuseLarge:
				s.large(t)
			case RefuseTenth:
				s.tenth(t)
			default:
				s.misbehave(t, b)
			}
		})
	}
}

// Batch is n alerts of three apps with ids of their own: each new, and numbered as the
// daemon numbers what is new, from 0.
func Batch(n int) []event.Alert {
	batch := make([]event.Alert, n)
	for i := range batch {
		at := time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC)
		batch[i] = event.Alert{
			ID: event.NewID("sinktest", fmt.Sprint(i)), State: event.AlertNew, Kind: event.AlertDetection, Provider: "entra", Tenant: "contoso",
			RuleID: "entra.test", Title: "An app did something", Summary: "for a test", Severity: event.SeverityHigh, Score: 70, Time: at, Opened: at,
			App: event.App{AppID: fmt.Sprintf("app-%d", i%3), Name: "An app"}, Techniques: []string{"T1528"},
			Evidence: []event.Evidence{{EventID: event.NewID("e", fmt.Sprint(i)), Time: at}}, EvidenceTotal: 1,
		}
		batch[i].SetDelivery()
	}
	return batch
}

// IDs are the delivery ids of batch.
func IDs(batch []event.Alert) []string {
	ids := make([]string, len(batch))
	for i := range batch {
		ids[i] = batch[i].DeliveryID.String()
	}
	return ids
}

func (s Suite) start(t *testing.T, b Behaviour) Peer {
	t.Helper()
	p := s.Start(t, b)
	t.Cleanup(func() { _ = p.Sink.Close() })
	return p
}

func copyOf(t *testing.T, batch []event.Alert) []event.Alert {
	t.Helper()
	c := make([]event.Alert, len(batch))
	for i := range batch {
		a, err := event.DecodeAlert(event.AppendAlert(nil, &batch[i]))
		if err != nil {
			t.Fatal(err)
		}
		c[i] = *a
	}
	return c
}

func (s Suite) accept(t *testing.T) {
	p := s.start(t, Accept)
	var want []string
	for round := range 3 {
		batch := Batch(30)[10*round : 10*round+10]
		before := copyOf(t, batch)
		want = append(want, IDs(batch)...)
		if err := p.Sink.Write(t.Context(), batch); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if diff := cmp.Diff(before, batch); diff != "" {
			t.Errorf("the batch was changed:\n%s", diff)
		}
		clear(batch) // what the sink kept of it would be seen to change
	}
	if diff := cmp.Diff(byApp(want), byApp(p.Got(len(want)))); diff != "" {
		t.Errorf("delivery ids by app, in order (-sent +arrived):\n%s", diff)
	}
}

// byApp are the delivery ids of alerts of Batch by their app, each app's in the order of
// ids: what a sink promises. Ids of no such alert are by themselves.
func byApp(ids []string) map[string][]string {
	apps, of := map[string]string{}, map[string][]string{}
	for _, a := range Batch(len(ids)) {
		apps[a.DeliveryID.String()] = a.App.Key()
	}
	for _, id := range ids {
		of[apps[id]] = append(of[apps[id]], id)
	}
	return of
}

func (s Suite) tells(t *testing.T) {
	if _, ok := s.start(t, Accept).Sink.(deliver.Unacknowledged); !ok {
		t.Error("it is no deliver.Unacknowledged")
	}
}

func (s Suite) empty(t *testing.T) {
	if err := s.start(t, Accept).Sink.Write(t.Context(), nil); err != nil {
		t.Errorf("error %v", err)
	}
}

func (s Suite) cancelled(t *testing.T) {
	p := s.start(t, Accept)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Sink.Write(ctx, Batch(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	batch := Batch(4)[3:]
	if err := p.Sink.Write(t.Context(), batch); err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	if diff := cmp.Diff(IDs(batch), p.Got(1)); diff != "" {
		t.Errorf("delivery ids (-want +got):\n%s", diff)
	}
}

// Hostile is text that an attacker may choose as the name of an app.
func Hostile() []string {
	return []string{
		"line\nfeed\r\nand more", "nul \x00 bell \x07 escape \x1b[31m", `quotes " and \ and ] and | and =`, "\u202eoverride \u2066isolate \u200b",
		"broken \xff\xfe\xc3", "line \u2028 paragraph \u2029", `{"create":{"_id":"x"}}` + "\n{}", "<165>1 2003-10-11T22:14:15.003Z host evil - - - forged", strings.Repeat("ü", 4000),
		"<!channel> <@U012AB3CD> <https://evil.example|Entra> &lt; &amp;", "**bold** [Entra](https://evil.example) <at>everyone</at> `code` # head", "${secret} {{.Secret}} {app.name} %{x} %s%n", strings.Repeat("A", 64<<10),
	}
}

func (s Suite) hostile(t *testing.T) {
	p := s.start(t, Accept)
	names := Hostile()
	batch := Batch(len(names))
	for i, name := range names {
		a := &batch[i]
		a.Title, a.Summary, a.App.Name, a.Actor.Name, a.Origin.UserAgent, a.RuleID = name[:min(len(name), 200)], name, name, name, name, name
	}
	if err := p.Sink.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	want, got := IDs(batch), p.Got(len(batch))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("delivery ids (-sent +arrived):\n%s", diff)
	}
}

func (s Suite) closed(t *testing.T) {
	p := s.start(t, Accept)
	for range 2 {
		if err := p.Sink.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := p.Sink.Write(t.Context(), Batch(1)); err == nil {
		t.Error("a closed sink accepted an alert")
	}
}

// patience is how long a test lets a silent peer be silent.
const patience = 300 * time.Millisecond

func (s Suite) misbehave(t *testing.T, b Behaviour) {
	p := s.start(t, b)
	batch := Batch(6)
	batch[1].Title, batch[4].Title = Poison, Poison
	if b == RetrySome {
		batch[1].Title, batch[4].Title = Later, Later
	}
	ctx, cancel := t.Context(), context.CancelFunc(func() {})
	if b == Silent {
		ctx, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	before := copyOf(t, batch)
	err := p.Sink.Write(ctx, batch)
	if diff := cmp.Diff(before, batch); diff != "" {
		t.Errorf("the batch was changed:\n%s", diff)
	}
	if err == nil {
		t.Fatal("no error")
	}
	presentable(t, err, p.Secrets)
	s.verdict(t, b, err)
	if b == RefuseSome || b == RetrySome {
		want := []string{before[0].DeliveryID.String(), before[2].DeliveryID.String(), before[3].DeliveryID.String(), before[5].DeliveryID.String()}
		got := p.Got(len(want))
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("accepted neighbours (-want +got):\n%s", diff)
		}
	}
}

// presentable: an error is one bounded line without secrets, and so is its hint.
func presentable(t *testing.T, err error, secrets []string) {
	t.Helper()
	text := err.Error() + fault.Hint(err)
	var r *deliver.Rejected
	if errors.As(err, &r) {
		for _, x := range r.Items {
			text += x.Reason
		}
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("the error shows a secret: %s", text)
		}
	}
	if len(text) > 16<<10 || bytes.ContainsFunc([]byte(text), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
		t.Errorf("the error is %d bytes or holds control characters: %.200q", len(text), text)
	}
}

func (s Suite) verdict(t *testing.T, b Behaviour, err error) {
	t.Helper()
	class, hint := fault.Of(err), fault.Hint(err)
	var rejected *deliver.Rejected
	some := errors.As(err, &rejected)
	switch b {
	case RefuseSome:
		indexes := []int{}
		if some {
			for _, x := range rejected.Items {
				indexes = append(indexes, x.Index)
				if x.Reason == "" {
					t.Errorf("alert %d is refused without a reason", x.Index)
				}
			}
		}
		if diff := cmp.Diff([]int{1, 4}, indexes); diff != "" || len(rejected.Retry) != 0 {
			t.Errorf("error %v\nrefused (-want +got):\n%s", err, diff)
		}
		return
	case RetrySome:
		if !some || len(rejected.Items) != 0 || !slices.Equal(rejected.Retry, []int{1, 4}) {
			t.Errorf("error %#v, want Retry [1 4]", err)
		}
		return
	}
	if some {
		t.Fatalf("single alerts were judged: %v", err)
	}
	want := map[Behaviour]fault.Class{Throttle: fault.Throttled, Refuse: fault.Auth, RefuseWhole: fault.Permanent}[b]
	if class != want {
		t.Errorf("class %v of %v, want %v", class, err, want)
	}
	if b == Refuse && hint == "" {
		t.Errorf("no advice for %v", err)
	}
}
