package sim

import (
	"testing"
	"time"
)

// BenchmarkLogPage renders pages of 1,000 records; records/s is what one core
// issues.
func BenchmarkLogPage(b *testing.B) {
	for _, k := range []kind{kindAudit, kindServicePrincipal} {
		b.Run(k.String(), func(b *testing.B) {
			cl := newClient(b, Options{Apps: 10000, Grants: 20000, Users: 1000, Events: 20000})
			path := logPath(k, epoch().Add(-24*time.Hour), epoch())
			b.ReportAllocs()
			for b.Loop() {
				if status, _, _ := cl.get(path); status != 200 {
					b.Fatal(status)
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkDeltaPage renders pages of 999 grants.
func BenchmarkDeltaPage(b *testing.B) {
	cl := newClient(b, Options{Apps: 10000, Grants: 20000, Users: 1000})
	b.ReportAllocs()
	for b.Loop() {
		if status, _, _ := cl.get("/v1.0/oauth2PermissionGrants/delta", "Prefer", "odata.maxpagesize=999"); status != 200 {
			b.Fatal(status)
		}
	}
	b.ReportMetric(float64(b.N)*999/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkNew makes the whole tenant of the end-to-end test.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(Options{Seed: 1, Apps: 10000, Grants: 100000, Users: 5000, Events: 200000, Late: 0.02, Duplicates: 0.01}); err != nil {
			b.Fatal(err)
		}
	}
}
