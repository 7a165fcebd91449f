package enrich

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/appgovd/appgovd/internal/event"
)

// mmdb encodes a database of IPv4 prefixes, 24 bits a record: the search tree,
// 16 zero bytes, the values, the metadata (MaxMind DB file format 2.0).
func mmdb(values map[string]map[string]any) []byte {
	type node [2]int // 0 = nothing, > 0 = node, < 0 = value -n-1
	tree := []node{{}}
	var data []byte
	var offsets []int
	prefixes := make([]string, 0, len(values))
	for p := range values {
		prefixes = append(prefixes, p)
	}
	sort.Strings(prefixes)
	for _, p := range prefixes {
		prefix := netip.MustParsePrefix(p)
		ip := prefix.Addr().As4()
		at := 0
		for bit := range prefix.Bits() {
			side := int(ip[bit/8]>>(7-bit%8)) & 1
			if bit == prefix.Bits()-1 {
				offsets = append(offsets, len(data))
				tree[at][side] = -len(offsets)
				data = appendValue(data, values[p])
				break
			}
			if tree[at][side] == 0 {
				tree = append(tree, node{})
				tree[at][side] = len(tree) - 1
			}
			at = tree[at][side]
		}
	}
	var out []byte
	for _, n := range tree {
		for _, x := range n {
			v := x
			switch {
			case x == 0:
				v = len(tree)
			case x < 0:
				v = len(tree) + 16 + offsets[-x-1]
			}
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
		}
	}
	out = append(append(out, make([]byte, 16)...), data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return appendValue(out, map[string]any{
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1),
		"database_type": "Test", "description": map[string]any{"en": "test"}, "ip_version": uint16(4),
		"languages": []any{"en"}, "node_count": uint32(len(tree)), "record_size": uint16(24),
	})
}

func appendValue(b []byte, v any) []byte {
	head := func(kind, size int) {
		switch {
		case kind > 7:
			b = append(b, byte(size), byte(kind-7))
		case size >= 29:
			b = append(b, byte(kind<<5|29), byte(size-29))
		default:
			b = append(b, byte(kind<<5|size))
		}
	}
	switch v := v.(type) {
	case string:
		head(2, len(v))
		return append(b, v...)
	case uint16:
		head(5, 2)
		return binary.BigEndian.AppendUint16(b, v)
	case uint32:
		head(6, 4)
		return binary.BigEndian.AppendUint32(b, v)
	case uint64:
		head(9, 8)
		return binary.BigEndian.AppendUint64(b, v)
	case []any:
		head(11, len(v))
		for _, x := range v {
			b = appendValue(b, x)
		}
		return b
	case map[string]any:
		head(7, len(v))
		names := make([]string, 0, len(v))
		for k := range v {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			b = appendValue(appendValue(b, k), v[k])
		}
		return b
	}
	return b
}

func network(asn uint32, org string) map[string]any {
	return map[string]any{"autonomous_system_number": asn, "autonomous_system_organization": org}
}

func country(code, city string) map[string]any {
	return map[string]any{"country": map[string]any{"iso_code": code}, "city": map[string]any{"names": map[string]any{"en": city}}}
}

func write(t testing.TB, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, now func() time.Time) (*MaxMind, string) {
	t.Helper()
	dir := t.TempDir()
	asn, city := filepath.Join(dir, "asn.mmdb"), filepath.Join(dir, "city.mmdb")
	write(t, asn, mmdb(map[string]map[string]any{"8.8.8.0/24": network(15169, "Example Net"), "9.9.0.0/16": network(19281, "Nine")}))
	write(t, city, mmdb(map[string]map[string]any{"8.0.0.0/8": country("US", "Springfield")}))
	m, err := OpenMaxMind(MaxMindOptions{Files: []string{asn, city}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return m, asn
}

func TestMaxMindFillsWhatTheRecordDoesNotSay(t *testing.T) {
	m, _ := open(t, nil)
	cases := []struct {
		name       string
		have, want event.Origin
	}{
		{"a public address gets network, country and city", event.Origin{IP: "8.8.8.8"},
			event.Origin{IP: "8.8.8.8", ASN: 15169, ASOrg: "Example Net", Country: "US", City: "Springfield"}},
		{"an IPv4 address inside IPv6 is the same", event.Origin{IP: "::ffff:8.8.8.8"},
			event.Origin{IP: "::ffff:8.8.8.8", ASN: 15169, ASOrg: "Example Net", Country: "US", City: "Springfield"}},
		{"the record's own network and country stay", event.Origin{IP: "8.8.8.8", ASN: 64500, Country: "DE", City: "Bonn"},
			event.Origin{IP: "8.8.8.8", ASN: 64500, Country: "DE", City: "Bonn"}},
		{"a number without a name gets the name, if it is the same network", event.Origin{IP: "8.8.8.8", ASN: 15169, Country: "US"},
			event.Origin{IP: "8.8.8.8", ASN: 15169, ASOrg: "Example Net", Country: "US", City: "Springfield"}},
		{"what only one database knows is enough", event.Origin{IP: "9.9.9.9"}, event.Origin{IP: "9.9.9.9", ASN: 19281, ASOrg: "Nine"}},
		{"an unknown address stays as it is", event.Origin{IP: "1.1.1.1"}, event.Origin{IP: "1.1.1.1"}},
		{"a private address is not looked up", event.Origin{IP: "10.1.2.3"}, event.Origin{IP: "10.1.2.3"}},
		{"text that is no address stays as it is", event.Origin{IP: "8.8.8.8:443; DROP"}, event.Origin{IP: "8.8.8.8:443; DROP"}},
		{"no address is no error", event.Origin{}, event.Origin{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // the second answer comes from the cache
				e := event.Event{Origin: c.have}
				if err := m.Lookup(t.Context(), &e); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, e.Origin); diff != "" {
					t.Errorf("origin (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestMaxMindReadsAChangedFileAnew(t *testing.T) {
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	m, path := open(t, func() time.Time { return now })
	asn := func() uint32 {
		e := event.Event{Origin: event.Origin{IP: "8.8.8.8"}}
		if err := m.Lookup(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		return e.Origin.ASN
	}
	if got := asn(); got != 15169 {
		t.Fatalf("asn %d", got)
	}
	write(t, path, mmdb(map[string]map[string]any{"8.8.8.0/24": network(64501, "Another net")}))
	if got := asn(); got != 15169 {
		t.Errorf("asn %d before it is time to look", got)
	}
	now = now.Add(checkEvery)
	if got := asn(); got != 64501 {
		t.Errorf("asn %d after the change", got)
	}
	for _, damage := range []string{"", "not a database", string(mmdb(nil)[:20])} {
		write(t, path, []byte(damage))
		now = now.Add(checkEvery)
		if got := asn(); got != 64501 {
			t.Errorf("asn %d after the file was damaged (%q): the former must stay", got, damage)
		}
	}
}

func TestADatabaseThatCannotBeReadIsAnErrorAtStart(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.mmdb")
	write(t, junk, []byte("junk"))
	for _, path := range []string{junk, dir, filepath.Join(dir, "absent.mmdb")} {
		if _, err := OpenMaxMind(MaxMindOptions{Files: []string{path}}); err == nil {
			t.Errorf("%s is accepted", filepath.Base(path))
		}
	}
}

func TestReachOfSpecialAddresses(t *testing.T) {
	for addr, want := range map[string]Reach{
		"8.8.8.8": ReachPublic, "2606:4700::1": ReachPublic, "10.0.0.1": ReachPrivate, "172.31.0.1": ReachPrivate,
		"172.32.0.1": ReachPublic, "192.168.1.1": ReachPrivate, "100.64.0.1": ReachPrivate, "fd00::1": ReachPrivate,
		"127.0.0.1": ReachLocal, "::1": ReachLocal, "0.0.0.0": ReachLocal, "169.254.1.1": ReachLocal, "fe80::1%eth0": ReachLocal,
		"::ffff:192.168.0.1": ReachPrivate, "192.0.2.1": ReachDocumentation, "2001:db8::1": ReachDocumentation, "224.0.0.1": ReachMulticast,
	} {
		if got := ReachOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("ReachOf(%s) = %q, want %q", addr, got, want)
		}
	}
	if got := ReachOf(netip.Addr{}); got != "" {
		t.Errorf("an invalid address reaches %q", got)
	}
}

// lookup is a lookup made of a function.
type lookup func(context.Context, *event.Event) error

func (lookup) Name() string                                       { return "fake" }
func (f lookup) Lookup(ctx context.Context, e *event.Event) error { return f(ctx, e) }

func TestAFailedLookupIsNotedAndTheEventLives(t *testing.T) {
	reg := prometheus.NewRegistry()
	p := New(Options{Metrics: reg, Lookups: []Lookup{lookup(func(_ context.Context, e *event.Event) error {
		if e.UpstreamID == "bad" {
			return errors.New("no answer")
		}
		e.Origin.Country = "DE"
		return nil
	})}})
	events := []event.Event{{UpstreamID: "good"}, {UpstreamID: "bad"}, {UpstreamID: "good"}}
	p.Enrich(t.Context(), events)
	p.Enrich(t.Context(), events[1:2])
	want := []event.Event{
		{UpstreamID: "good", Origin: event.Origin{Country: "DE"}},
		{UpstreamID: "bad", Notes: []string{"enrich: fake failed"}},
		{UpstreamID: "good", Origin: event.Origin{Country: "DE"}},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got := testutil.ToFloat64(p.outcome.WithLabelValues("fake", "failed")); got != 2 {
		t.Errorf("%v failures counted, want 2", got)
	}
}

func TestTheBudgetOfAPageEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Options{Budget: 100 * time.Millisecond, Lookups: []Lookup{lookup(func(ctx context.Context, _ *event.Event) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(40 * time.Millisecond):
				return nil
			}
		})}})
		events := make([]event.Event, 5)
		began := time.Now()
		p.Enrich(t.Context(), events)
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("a page took %v, the budget is 100 ms", took)
		}
		var notes []string
		for _, e := range events {
			notes = append(notes, e.Notes...)
		}
		want := []string{"enrich: fake failed", "enrich: fake skipped", "enrich: fake skipped"}
		if diff := cmp.Diff(want, notes); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
	})
}

func FuzzParseDatabase(f *testing.F) {
	f.Add(mmdb(map[string]map[string]any{"8.8.8.0/24": network(15169, "Example Net")}))
	f.Add(mmdb(map[string]map[string]any{"8.0.0.0/8": country("US", "Springfield")}))
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parse(raw)
		if err != nil {
			return
		}
		var x record
		if err := r.Lookup(netip.MustParseAddr("8.8.8.8")).Decode(&x); err != nil {
			t.Skip("a damaged value is an error, not a panic")
		}
	})
}

func BenchmarkMaxMind(b *testing.B) {
	m, _ := open(b, nil)
	for name, fresh := range map[string]bool{"cached": false, "made": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if fresh {
					clear(m.places)
				}
				e := event.Event{Origin: event.Origin{IP: "8.8.8.8"}}
				if err := m.Lookup(b.Context(), &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
