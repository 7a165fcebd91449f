package msgraph

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/appgovd/appgovd/internal/sim"
)

// bundles are the records of a feed of the simulated tenant, so many to a content as one
// of a large tenant holds.
func bundles(b *testing.B, name string, each int) (out [][]byte, records int) {
	b.Helper()
	tn := newTenant(b, sim.Options{Apps: 30, Grants: 10, Users: 10, Office: 10_000})
	var mu sync.Mutex
	var all []jsontext.Value
	real := tn.srv.graph
	tn.srv.set(func() {
		tn.srv.graph = func(w http.ResponseWriter, r *http.Request) {
			rec := httptest.NewRecorder()
			real(rec, r)
			if strings.Contains(r.URL.Path, "/audit/") {
				var list []jsontext.Value
				if err := json.Unmarshal(rec.Body.Bytes(), &list); err == nil {
					mu.Lock()
					all = append(all, list...)
					mu.Unlock()
				}
			}
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		}
	})
	tn.srv.clock.add(tn.OfficeComplete().Add(3 * time.Hour).Sub(tn.srv.clock.read()))
	s := tn.srv.provider(b, func(c *Config) { c.Collect = []string{name} }).named(b, name)
	var cursor []byte
	for wait := time.Duration(0); wait == 0; {
		p, err := s.Read(b.Context(), cursor)
		if err != nil {
			b.Fatal(err)
		}
		cursor, wait = p.Cursor, p.Wait
	}
	for len(all) > 0 {
		n := min(each, len(all))
		body, err := json.Marshal(all[:n])
		if err != nil {
			b.Fatal(err)
		}
		out, records, all = append(out, body), records+n, all[n:]
	}
	return out, records
}

// BenchmarkFeed reads the contents of a feed over TLS, as events; of-raw is how fast that is
// beside decoding the same bytes as JSON, and nothing else, in the same process.
func BenchmarkFeed(b *testing.B) {
	for _, name := range []string{nameOfficeExchange, nameOfficeDirectory} {
		b.Run(name, func(b *testing.B) {
			bodies, records := bundles(b, name, 200)
			size := 0
			for _, body := range bodies {
				size += len(body)
			}
			tn := newTenant(b, sim.Options{Apps: 1, Users: 1}) // for its decoder
			tn.srv.set(func() { tn.srv.graph = serveBundles(tn.srv, bodies) })
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s := tn.srv.provider(b, func(c *Config) { c.Collect = []string{name} }).named(b, name)
				n, bad := 0, 0
				var cursor []byte
				for wait := time.Duration(0); wait == 0; {
					p, err := s.Read(b.Context(), cursor)
					if err != nil {
						b.Fatal(err)
					}
					n, bad, cursor, wait = n+p.Fetched, bad+len(p.Quarantined), p.Cursor, p.Wait
				}
				if n == 0 || bad > 0 {
					b.Fatalf("%d records of %d, %d refused", n, records, bad)
				}
			}
			took := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(records)/took.Seconds(), "records/s")
			b.ReportMetric(float64(raw(b, bodies))/float64(took), "of-raw")
		})
	}
}

// serveBundles is a feed whose contents came in the last hour.
func serveBundles(c *cloud, bodies [][]byte) http.HandlerFunc {
	made := c.clock.read().Add(-time.Hour).UTC()
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/start"):
			_, _ = w.Write([]byte(`{}`))
		case strings.HasSuffix(r.URL.Path, "/content"):
			var list bytes.Buffer
			q := r.URL.Query()
			if at := made.Format(feedForm); q.Get("startTime") <= at && at < q.Get("endTime") {
				for i := range bodies {
					_, _ = fmt.Fprintf(&list, `,{"contentId":"c%04d","contentUri":"%s/audit/%d","contentCreated":"%sZ"}`, i, c.URL, i, at)
				}
			}
			_, _ = fmt.Fprintf(w, "[%s]", strings.TrimPrefix(list.String(), ","))
		default:
			var i int
			_, _ = fmt.Sscanf(r.URL.Path, "/audit/%d", &i)
			_, _ = w.Write(bodies[i])
		}
	}
}

// raw is how long it takes to decode bodies as JSON.
func raw(b *testing.B, bodies [][]byte) time.Duration {
	b.Helper()
	const times = 5
	began := time.Now()
	for range times {
		for _, body := range bodies {
			var v []any
			if err := json.Unmarshal(body, &v); err != nil {
				b.Fatal(err)
			}
		}
	}
	return time.Since(began) / times
}
