package syslog

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestRealRsyslog(t *testing.T) {
	receives(t, servicetest.Rsyslog(t, servicetest.SyslogOptions{}))
}

func TestRealSyslogNG(t *testing.T) {
	receives(t, servicetest.SyslogNG(t, servicetest.SyslogOptions{}))
}

// receives holds a daemon to what it is to make of alerts, field by field.
func receives(t *testing.T, r *servicetest.SyslogServer) {
	trusted := &TLS{CAFile: r.CAFile}
	arrived := 0
	t.Run("a probe connects and sends nothing", func(t *testing.T) {
		for want, c := range map[string]Config{
			"over UDP nobody answers: nothing was tried": {Address: r.UDP, Protocol: protocolUDP},
			"the receiver takes connections":             {Address: r.TLS, Protocol: protocolTLS, TLS: trusted},
		} {
			if found, err := sink(t, c, nil).Probe(t.Context()); err != nil || found != want {
				t.Errorf("%q, %v, want %q", found, err, want)
			}
		}
		if found, err := sink(t, Config{Address: r.TLS, Protocol: protocolTLS}, nil).Probe(t.Context()); err == nil || !strings.Contains(fault.Hint(err), "ca_file") {
			t.Errorf("of an unknown authority: %q, %v, hint %q", found, err, fault.Hint(err))
		}
	})
	for name, c := range map[string]Config{
		"udp": {Address: r.UDP, Protocol: protocolUDP},
		"tcp": {Address: r.TCP, Protocol: protocolTCP},
		"tls": {Address: r.TLS, Protocol: protocolTLS, TLS: trusted},
	} {
		t.Run("every field of an alert comes out as it was sent over "+name, func(t *testing.T) {
			c.Hostname, c.Facility = "soc-1", "audit"
			a := sinktest.Full()
			write(t, sink(t, c, nil), []event.Alert{a})
			arrived++
			got := r.Await(t, arrived)[arrived-1]
			if got.Input != name || got.Pri != "106" || got.Hostname != "soc-1" || got.App != "appgovd" || got.MsgID != "upstream" || !strings.HasPrefix(got.Time, "2026-11-20T10:00:00.000000") {
				t.Errorf("message %+v", got)
			}
			if id := deliveryID(t, got); id != a.DeliveryID.String() {
				t.Errorf("delivery id %s", id)
			}
			if diff := cmp.Diff(string(newEncoderOf(t, c).payload(nil, &a)), got.Msg); diff != "" {
				t.Errorf("document (-sent +arrived):\n%s", diff)
			}
		})
	}
	t.Run("hostile text stays one record with its own ids", func(t *testing.T) {
		batch := sinktest.Batch(len(sinktest.Hostile()))
		for i, text := range sinktest.Hostile() {
			a := &batch[i]
			a.Title, a.Summary, a.App.Name, a.Actor.Name, a.RuleID, a.Tenant = text[:min(len(text), 200)], text, text, text, text, text
		}
		write(t, sink(t, Config{Address: r.TLS, Protocol: protocolTLS, TLS: trusted, MaxMessageBytes: 128 << 10}, nil), batch)
		arrived += len(batch)
		got := r.Await(t, arrived)[arrived-len(batch):]
		ids := make([]string, 0, len(got))
		for _, m := range got {
			ids = append(ids, deliveryID(t, m))
			if m.App != "appgovd" || !json.Valid([]byte(m.Msg)) {
				t.Errorf("forged or broken: %+v", m)
			}
		}
		if diff := cmp.Diff(sinktest.IDs(batch), ids); diff != "" {
			t.Errorf("ids (-sent +arrived):\n%s", diff)
		}
	})
	t.Run("an authority that is not trusted waits for a human", func(t *testing.T) {
		refused(t, Config{Address: r.TLS, Protocol: protocolTLS}, "ca_file")
	})
	t.Run("a certificate for another name waits for a human", func(t *testing.T) {
		refused(t, Config{Address: r.TLS, Protocol: protocolTLS, TLS: &TLS{CAFile: r.CAFile, ServerName: "siem.example.com"}}, "another name")
	})
	t.Run("killed and restarted in the middle, it gets every alert, and again only with equal ids", func(t *testing.T) {
		for _, c := range []Config{{Address: r.TCP, Protocol: protocolTCP}, {Address: r.TLS, Protocol: protocolTLS, TLS: trusted}} {
			before := len(r.Messages(t))
			survives(t, r, c, before)
		}
	})
}

func refused(t *testing.T, c Config, hint string) {
	t.Helper()
	err := sink(t, c, nil).Write(t.Context(), sinktest.Batch(1))
	if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), hint) {
		t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
	}
}

// survives kills the daemon three times while alerts are on their way.
func survives(t *testing.T, r *servicetest.SyslogServer, c Config, before int) {
	t.Helper()
	s := sink(t, c, nil)
	batch := sinktest.Batch(2000)
	for i := 0; i < len(batch); i += 100 {
		if i%600 == 500 {
			r.Kill(t) // at once behind a write: what lies in its memory is lost
			if err := s.Write(t.Context(), batch[i:i+100]); err == nil {
				t.Fatal("a dead receiver took alerts")
			}
			r.Restart(t)
		}
		write(t, s, batch[i:i+100])
	}
	want := sinktest.IDs(batch)
	slices.Sort(want)
	var got []string
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit) && !slices.Equal(want, got); {
		got = got[:0]
		for _, m := range r.Messages(t)[before:] {
			got = append(got, deliveryID(t, m))
		}
		t.Logf("%d messages over %s", len(got), c.Protocol)
		slices.Sort(got)
		got = slices.Compact(got)
		<-time.After(100 * time.Millisecond)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-sent +arrived):\n%s", diff)
	}
}

func TestARealDaemonWantsACertificate(t *testing.T) {
	for name, start := range map[string]func(testing.TB, servicetest.SyslogOptions) *servicetest.SyslogServer{"rsyslog": servicetest.Rsyslog, "syslog-ng": servicetest.SyslogNG} {
		t.Run(name, func(t *testing.T) {
			r := start(t, servicetest.SyslogOptions{ClientAuth: true})
			t.Run("a client without one is refused, and nothing counts as sent", func(t *testing.T) {
				s := sink(t, Config{Address: r.TLS, Protocol: protocolTLS, TLS: &TLS{CAFile: r.CAFile}}, func(out *stream) { out.grace = grace })
				err := s.Write(t.Context(), sinktest.Batch(1))
				if err == nil || !strings.Contains(fault.Hint(err), "client certificate") {
					t.Errorf("error %v, hint %q", err, fault.Hint(err))
				}
			})
			t.Run("a client with one gets every alert across, also over a kill", func(t *testing.T) {
				c := Config{Address: r.TLS, Protocol: protocolTLS, TLS: &TLS{CAFile: r.CAFile, CertFile: r.ClientCert, KeyFile: r.ClientKey}}
				survives(t, r, c, len(r.Messages(t)))
			})
		})
	}
}

func newEncoderOf(t *testing.T, c Config) *encoder {
	t.Helper()
	e, err := newEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func deliveryID(t *testing.T, m servicetest.SyslogMessage) string {
	t.Helper()
	found := regexp.MustCompile(`^\[appgov@32473 .* delivery_id="([0-9a-f]{32})" `).FindStringSubmatch(m.StructuredData)
	if found == nil {
		t.Fatalf("structured data %q of %+v", m.StructuredData, m)
	}
	return found[1]
}
