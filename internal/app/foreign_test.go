package app_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/sim"
)

// strangers counts who connects to a host that is not configured.
func strangers(t *testing.T) (base string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, connections
}

func (w *watch) source(name string) ingest.Status {
	for _, s := range w.Status().Sources {
		if strings.HasSuffix(s.Key, "/"+name) {
			return s.Status
		}
	}
	return ingest.Status{}
}

// mustStop wants that a source stopped because of host, and that everybody who
// asks is told: the status, the gauge, an alarm that leaves by the sink.
func (w *watch) mustStop(t *testing.T, name, host string) {
	t.Helper()
	w.until(t, "the source has stopped", func() bool { return w.source(name).State == ingest.StateStopped })
	s := w.source(name)
	if !strings.Contains(s.Error, host) || strings.Contains(s.Error, "token") || s.Hint == "" {
		t.Errorf("error %q, hint %q, want the host %s and no query", s.Error, s.Hint, host)
	}
	metrics := httptest.NewRecorder()
	w.Public().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if gauge := `appgovd_ingest_source_state{source="` + s.Key + `",state="stopped"} 1`; !strings.Contains(metrics.Body.String(), gauge) {
		t.Errorf("no %s in the metrics", gauge)
	}
	w.until(t, "the alarm has left", func() bool {
		for _, a := range w.told(t)["health.source"] {
			if a.Key == "source/"+s.Key && a.State == "new" && strings.Contains(a.Summary, host) {
				return true
			}
		}
		return false
	})
}

// However an answer points to another host, nothing leaves for it, with a token
// or without, and the source that was pointed there stops.
func TestNothingLeavesForAForeignHost(t *testing.T) {
	full := sim.Options{Seed: 5, Apps: 150, Grants: -1, Users: 5, Events: 1500, DirectoryPage: 50}
	for _, c := range []struct {
		name, source, healthy string
		faults                func(base string) sim.Faults
	}{
		{"a nextLink of a log", "directory_audits", "", func(b string) sim.Faults { return sim.Faults{ForeignNext: b} }},
		{"a nextLink of the inventory", "service_principals", "", func(b string) sim.Faults { return sim.Faults{ForeignNext: b} }},
		{"a deltaLink", "service_principals", "directory_audits", func(b string) sim.Faults { return sim.Faults{ForeignDelta: b} }},
		{"a redirect", "directory_audits", "", func(b string) sim.Faults { return sim.Faults{Redirect: b} }},
	} {
		t.Run(c.name+" stops its source", func(t *testing.T) {
			base, connections := strangers(t)
			cloud := newTenant(t, full)
			cloud.SetFaults(c.faults(base))
			w := startWatch(t, cloud, t.TempDir(), "")
			w.mustStop(t, c.source, strings.TrimPrefix(base, "https://"))
			if c.healthy != "" {
				w.until(t, "another source goes on", func() bool { return w.source(c.healthy).State == ingest.StateHealthy })
			}
			w.stop()
			if n := connections.Load(); n != 0 {
				t.Errorf("%d connections to the foreign host", n)
			}
		})
	}
	t.Run("links in the state that lead to the former host are dropped when the configuration names another", func(t *testing.T) {
		dir, options := t.TempDir(), full
		former := newTenant(t, options)
		w := startWatch(t, former, dir, "")
		w.until(t, "the first sync is done", func() bool { return !w.source("service_principals").CompleteThrough.IsZero() })
		w.stop()
		before := former.Requests()
		w = startWatch(t, newTenant(t, options), dir, "") // the same tenant behind another address
		for _, name := range []string{"service_principals", "directory_audits"} {
			w.until(t, name+" goes on", func() bool { return w.source(name).State == ingest.StateHealthy })
		}
		w.stop()
		if n := former.Requests() - before; n != 0 {
			t.Errorf("%d requests to the former host", n)
		}
	})
}
