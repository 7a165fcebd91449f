package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sim"
)

const (
	streamTopic = "insights-logs"
	partitions  = 4
)

// Categories of diagnostic settings that the topic carries, and those of the files.
// The topic has others too, which are passed over.
func ofTopic() []string {
	return []string{"AuditLogs", "SignInLogs", "NonInteractiveUserSignInLogs", "ServicePrincipalSignInLogs", "MicrosoftGraphActivityLogs", "AzureADGraphActivityLogs", "ServicePrincipalRiskEvents"}
}

func ofFiles() []string {
	return []string{"ManagedIdentitySignInLogs", "MicrosoftServicePrincipalSignInLogs"}
}

// topicBlock and filesBlock are sources of a tenant whose inventory comes by Graph.
func topicBlock(cloud *sim.Cloud, broker string) string {
	return fmt.Sprintf("\nsource \"kafka\" \"hub\" {\n  tenant_id  = %q\n  brokers    = [%q]\n  topics     = [%q]\n  categories = [%s]\n  keep       = \"all\"\n  idle       = \"1s\"\n  timeout    = \"5s\"\n}\n",
		cloud.TenantID(), broker, streamTopic, quotedAll(ofTopic()))
}

func filesBlock(cloud *sim.Cloud, path string) string {
	return fmt.Sprintf("\nsource \"file\" \"export\" {\n  tenant_id     = %q\n  paths         = [%q]\n  categories    = [%s]\n  keep          = \"all\"\n  poll_interval = \"500ms\"\n}\n",
		cloud.TenantID(), path, quotedAll(ofFiles()))
}

func quotedAll(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }

// member is a daemon in the topic's group, with what its sink has.
type member struct {
	*daemon
	file receiver
}

// newMember makes one; what it reads beside the topic is in sources, and with Graph it
// reads the inventory.
func newMember(t *testing.T, cloud *sim.Cloud, sources string) *member {
	t.Helper()
	d := newDaemon(t)
	m := &member{d, fileReceiver(d.path("alerts.jsonl"))}
	m.file.block += sources
	configure(t, d, cloud, size{budgetShare: 1000, sources: "  collect = [\"applications\", \"service_principals\", \"delegated_grants\", \"app_role_assignments\"]\n"}, []receiver{m.file}, nil)
	d.write(t, "rules/every.hcl", everyRule(event.ActionRiskDetected))
	return m
}

// hub is the state of the member's topic; nil while the daemon does not answer.
func (m *member) hub(t *testing.T) *app.SourceStatus {
	s, err := m.status(t.Context())
	if err != nil {
		return nil
	}
	for _, x := range s.Sources {
		if strings.Contains(x.Key, "/hub:") {
			return &x
		}
	}
	return nil
}

// reads waits until the member has read more of the topic than it had; what it may read
// is released from time to time.
func (m *member) reads(t *testing.T, h *held, what string) {
	t.Helper()
	var had *uint64 // what it had when it first answered
	why, next, wait := "", time.Time{}, time.Second
	began := time.Now()
	m.until(t, 2*time.Minute, what, &why, func() bool {
		if time.Now().After(next) {
			h.release(t, partitions)
			next, wait = time.Now().Add(wait), 2*wait
		}
		s := m.hub(t)
		if s == nil {
			why = "it does not answer"
			return false
		}
		if had == nil {
			had = &s.Account.New
		}
		why = fmt.Sprintf("%s: %+v", s.Error, s.Account)
		return s.Account.New > *had
	})
	t.Logf("%s: after %s", what, time.Since(began).Round(100*time.Millisecond))
}

// held holds messages back until they are released, so that there is always something
// new to read.
type held struct {
	k  *sim.Kafka
	mu sync.Mutex
	ms [][]byte
}

func (h *held) take(_ context.Context, messages [][]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ms = append(h.ms, messages...)
	return nil
}

// release sends the next n messages, or what there is of them.
func (h *held) release(t *testing.T, n int) {
	h.mu.Lock()
	n = min(n, len(h.ms))
	out := h.ms[:n]
	h.ms = h.ms[n:]
	h.mu.Unlock()
	if n == 0 {
		return
	}
	if err := h.k.Send(t.Context(), out); err != nil {
		t.Error(err)
	}
}

// part is a twentieth of what is held now.
func (h *held) part() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ms) / 20
}

// during releases messages while something happens, and comes back once the broker has
// acknowledged them.
func (h *held) during(t *testing.T, happens func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5 {
			h.release(t, h.part())
		}
	}()
	happens()
	<-done
}

// rotated appends messages to a file, one to a line and in two pieces, and renames it
// now and then.
type rotated struct {
	path  string
	lines int
	turns int
}

func (r *rotated) send(_ context.Context, messages [][]byte) error {
	for _, m := range messages {
		f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		for _, part := range [][]byte{m[:len(m)/2], append(bytes.Clone(m[len(m)/2:]), '\n')} {
			if _, err := f.Write(part); err != nil {
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
		if r.lines++; r.lines%25 == 0 {
			r.turns++
			if err := os.Rename(r.path, fmt.Sprintf("%s.%d", r.path, r.turns)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Every record of the diagnostic settings raises one alert, from a topic of a real
// broker and from files: none is missing, none is invented, and the account of every
// source adds up. On the way: records that are up to 26 hours late, of one time, out of
// order, sent up to four times; a second daemon that joins the group, leaves it and
// comes back; the first one killed and started again; the broker killed and started
// again; files that are renamed while they are written.
func TestE2EConservationOfStreams(t *testing.T) {
	t.Parallel()
	events, calls, rate := 1000, 2000, 150.0
	if *full {
		events, calls, rate = 4000, 20_000, 500
	}
	cloud, err := sim.New(sim.Options{
		Seed: 17, Apps: 60, Grants: 300, Users: 40, Events: events, Calls: calls, EventsPerSecond: rate, Late: 0.05, LateBy: 26 * time.Hour, Duplicates: 0.05, DirectoryPage: 999, Scenario: "quiet",
	})
	if err != nil {
		t.Fatal(err)
	}
	broker := servicetest.Kafka(t)
	broker.CreateTopic(t, streamTopic, partitions)
	began := time.Now()
	a := newMember(t, cloud, topicBlock(cloud, broker.Plain))
	path := a.path("export/records.json")
	a.write(t, "export/.keep", "")
	a.append(t, filesBlock(cloud, path+"*"))
	b := newMember(t, cloud, topicBlock(cloud, broker.Plain))

	h := &held{k: sim.NewKafka([]string{broker.Plain}, streamTopic)}
	t.Cleanup(func() { _ = h.k.Close() })
	sent := sending(t, cloud, h.take, (&rotated{path: path}).send)
	a.start(t)
	a.reads(t, h, "the first member reads")
	h.during(t, func() { b.start(t) })
	b.reads(t, h, "the second member reads")
	h.during(t, func() { a.kill(); a.start(t) })
	a.reads(t, h, "the first member reads again, after a kill")
	h.during(t, b.stop)
	a.reads(t, h, "the first member reads on, after the second left")
	h.during(t, func() {
		broker.Kill(t)
		pause(t.Context(), 2*time.Second) // so that something is tried in vain
		broker.Restart(t)
	})
	a.reads(t, h, "the first member reads on, after the death of the broker")
	h.during(t, func() { b.start(t) })
	b.reads(t, h, "the second member reads again")
	for range 2 {
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	h.release(t, len(h.ms))
	want := issued(cloud)
	for _, id := range cloud.Traits()["servicePrincipalRiskDetections"] {
		want[id] = true
	}
	settled(t, want, a, b)
	t.Logf("%d records, %s", len(want), time.Since(began).Round(time.Second))
	union := receiver{name: "both members", got: func(t *testing.T) []delivery { return append(a.file.got(t), b.file.got(t)...) }}
	tally(t, union, want)
	for _, m := range []*member{a, b} {
		account(t, m.daemon)
		accounts(t, m.daemon)
		m.stop()
	}
}

// append adds to the configuration.
func (d *daemon) append(t *testing.T, block string) {
	t.Helper()
	text, err := os.ReadFile(d.path("agent.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "agent.hcl", string(text)+block)
}

// sending sends the stream to the topic and to the files until all was sent.
func sending(t *testing.T, cloud *sim.Cloud, topic, files func(context.Context, [][]byte) error) <-chan error {
	ended := make(chan error, 2)
	others := []string{"RiskyServicePrincipals", "UserRiskEvents", "RiskyUsers"} // which nobody collects
	go func() { ended <- cloud.Stream(t.Context(), append(ofTopic(), others...), topic) }()
	go func() { ended <- cloud.Stream(t.Context(), ofFiles(), files) }()
	return ended
}

// settled waits until the members have everything, and have read the topic to its end.
func settled(t *testing.T, want map[string]bool, members ...*member) {
	t.Helper()
	why, last := "", time.Now()
	members[0].until(t, 3*time.Minute, "everything is read", &why, func() bool {
		told := map[string]bool{}
		for _, m := range members {
			s, err := m.status(t.Context())
			if why = fmt.Sprint(err); err != nil {
				return false
			}
			for _, x := range s.Sources {
				if x.LastRead.Before(last) {
					why = fmt.Sprintf("%s was last read at %s: %s", x.Key, x.LastRead, x.Error)
					return false
				}
			}
			for name, r := range s.Ledger.Readers {
				if r.Waiting > 0 {
					why = fmt.Sprintf("%d alerts wait for %s", r.Waiting, name)
					return false
				}
			}
			for _, g := range m.file.got(t) {
				if g.RuleID == ruleID {
					told[g.Evidence[0].UpstreamID] = true
				}
			}
		}
		why = fmt.Sprintf("%d of %d records", len(told), len(want))
		return len(told) >= len(want)
	})
}
