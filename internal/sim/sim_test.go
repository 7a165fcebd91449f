package sim

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drained reads every stream whole and returns the ids in each, with how often
// they came.
func drained(cl *client, from, to time.Time) map[string]map[string]int {
	out := map[string]map[string]int{}
	for _, k := range logKinds() {
		seen := map[string]int{}
		items, _ := cl.all(logPath(k, from, to))
		for _, it := range items {
			seen[it["id"].(string)]++
		}
		out[k.String()] = seen
	}
	return out
}

func TestARecordThatWasIssuedCanBeReadOnceItIsVisible(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 3000, Late: 0.1, Duplicates: 0.1, Scenario: "all"})
	cl.clock.now = cl.cloud.Complete()
	got := drained(cl, epoch().Add(-24*time.Hour), cl.clock.now)
	n := 0
	for _, is := range cl.cloud.Issued() {
		if is.Kind == "alert" {
			continue
		}
		n++
		if c := got[is.Kind][is.ID]; c != is.Copies {
			t.Errorf("%s %s came %d times, want %d", is.Kind, is.ID, c, is.Copies)
		}
		delete(got[is.Kind], is.ID)
	}
	for kind, left := range got {
		if len(left) > 0 {
			t.Errorf("%s: %d records were never issued", kind, len(left))
		}
	}
	if n < 3000 {
		t.Errorf("%d records were issued, want at least 3000", n)
	}
}

func TestALateRecordIsInvisibleUntilItsTimePlusItsLateness(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 2000, Late: 0.3, LateBy: 2 * time.Hour})
	before := len(cl.cloud.Issued())
	if before == 0 || before >= 2000 {
		t.Fatalf("%d of 2000 records are visible at the start, want some to be missing", before)
	}
	visible := drained(cl, epoch().Add(-24*time.Hour), epoch())
	cl.clock.now = epoch().Add(2 * time.Hour)
	late := 0
	for _, is := range cl.cloud.Issued() {
		hidden := is.Published.After(epoch())
		if hidden != (visible[is.Kind][is.ID] == 0) {
			t.Errorf("record %d, published %s, was listed at the start: %v", is.Number, is.Published, !hidden)
		}
		if hidden {
			late++
		}
		if d := is.Published.Sub(is.Time); d < 0 || d > 2*time.Hour {
			t.Errorf("record %d is %s late", is.Number, d)
		}
	}
	if before+late != 2000 {
		t.Errorf("%d at once and %d late, want 2000 together", before, late)
	}
}

func TestAPacePublishesRecordsInTurnAndBackdatesTheLateOnes(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 1000, EventsPerSecond: 100, Late: 0.05})
	cl.clock.now = epoch().Add(5 * time.Second)
	half := cl.cloud.Issued()
	if n := len(half); n < 490 || n > 515 {
		t.Errorf("%d records after half of the time, want about 500", n)
	}
	cl.clock.now = cl.cloud.Complete()
	backdated := 0
	for _, is := range cl.cloud.Issued() {
		if is.Published.Sub(is.Time) > time.Minute {
			backdated++
		}
	}
	if backdated < 20 || backdated > 100 {
		t.Errorf("%d records are late, want about 50", backdated)
	}
}

func TestTheSameSeedAndClockGiveTheSameBytes(t *testing.T) {
	read := func(seed int64) []byte {
		cl := newClient(t, Options{Seed: seed, Apps: 30, Events: 500, Alerts: 3, Duplicates: 0.1, Late: 0.1, Scenario: "all", Changes: 20})
		cl.clock.now = epoch().Add(time.Minute)
		var all bytes.Buffer
		for _, k := range logKinds() {
			all.Write(cl.page(logPath(k, epoch().Add(-24*time.Hour), cl.clock.now)).raw)
		}
		for _, p := range []string{"/applications/delta", "/servicePrincipals/delta", "/oauth2PermissionGrants/delta", "/security/alerts_v2"} {
			all.Write(cl.page("/v1.0" + p).raw)
		}
		return all.Bytes()
	}
	if diff := cmp.Diff(string(read(1)), string(read(1))); diff != "" {
		t.Error(diff)
	}
	if bytes.Equal(read(1), read(2)) {
		t.Error("another seed gave the same tenant")
	}
}

func TestTheNumberOfARecordIsInIt(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 400, Scenario: "all"})
	cl.clock.now = cl.cloud.Complete()
	numbers := map[string]uint64{}
	for _, is := range cl.cloud.Issued() {
		numbers[is.ID] = is.Number
	}
	for _, k := range logKinds() {
		items, _ := cl.all(logPath(k, epoch().Add(-24*time.Hour), cl.clock.now))
		for _, it := range items {
			n, ok := NumberOf(it["correlationId"].(string))
			if !ok || n != numbers[it["id"].(string)] {
				t.Errorf("%s: correlationId says %d, issued as %d", it["id"], n, numbers[it["id"].(string)])
			}
		}
	}
}

func TestACopyIsIdenticalAndAnEnrichmentIsNot(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 2000, Duplicates: 0.2})
	first := contents(cl)
	cl.clock.now = epoch().Add(time.Minute)
	second := contents(cl)
	copies, enriched := 0, 0
	for _, is := range cl.cloud.Issued() {
		if is.Copies > 1 {
			copies++
			if len(second[is.ID]) != 1 {
				t.Errorf("copies of %s differ", is.ID)
			}
		}
		changed := cmp.Diff(first[is.ID], second[is.ID]) != ""
		late := is.Published.Add(enrichAfter).After(epoch())
		if is.Enriched && late != changed {
			t.Errorf("record %s was enriched: %v, its content changed: %v", is.ID, late, changed)
		}
		if is.Enriched {
			enriched++
		}
	}
	if copies == 0 || enriched == 0 {
		t.Errorf("%d copied and %d enriched records, want some of each", copies, enriched)
	}
}

// contents are the distinct contents of each id.
func contents(cl *client) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, k := range logKinds() {
		items, _ := cl.all(logPath(k, epoch().Add(-24*time.Hour), cl.clock.now))
		for _, it := range items {
			b, err := json.Marshal(it)
			if err != nil {
				cl.t.Fatal(err)
			}
			id := it["id"].(string)
			if out[id] == nil {
				out[id] = map[string]bool{}
			}
			out[id][string(b)] = true
		}
	}
	return out
}

func TestTheIssueLogTellsEachRecordOnceWhenItBecomesVisible(t *testing.T) {
	var log bytes.Buffer
	cl := newClient(t, Options{Apps: 40, Events: 300, EventsPerSecond: 100, Log: &log, Duplicates: 0.2})
	cl.clock.now = epoch().Add(time.Second)
	cl.cloud.Advance()
	first := strings.Count(log.String(), "\n")
	cl.clock.now = cl.cloud.Complete()
	cl.cloud.Advance()
	cl.cloud.Advance()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if first < 90 || first > 115 || len(lines) != 300 {
		t.Errorf("%d lines after a second and %d at the end, want about 100 and 300", first, len(lines))
	}
	seen := map[uint64]bool{}
	for _, line := range lines {
		var is Issued
		if err := json.Unmarshal([]byte(line), &is); err != nil {
			t.Fatal(err)
		}
		if seen[is.Number] {
			t.Errorf("record %d is in the log twice", is.Number)
		}
		seen[is.Number] = true
	}
}

func TestOptionsThatContradictEachOtherAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"a share beyond one", Options{Late: 1.5}, "share of late is 1.5"},
		{"more grants than there is room for", Options{Apps: 2, Users: 1, Grants: 9}, "9 grants do not fit"},
		{"a page beyond the documented size", Options{DirectoryPage: 5000}, "page sizes"},
		{"records without apps", Options{Apps: -1, Events: 5}, "need at least one app"},
		{"a scenario that nobody wrote", Options{Scenario: "ransom"}, `unknown scenario "ransom"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err := tc.o.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate: got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAnEmptyTenantHasOnlyTheResourceApps(t *testing.T) {
	cl := newClient(t, Options{Apps: -1})
	inv := cl.cloud.Inventory()
	if len(inv.Applications) != 0 || len(inv.Grants) != 0 || len(inv.ServicePrincipals) != len(resources()) {
		t.Errorf("got %d applications, %d grants, %d service principals", len(inv.Applications), len(inv.Grants), len(inv.ServicePrincipals))
	}
}
