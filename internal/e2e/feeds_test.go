package e2e

import (
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/sim"
)

// feeds is the rest of a source block that reads the unified audit log.
const feeds = `  collect = ["applications", "service_principals", "delegated_grants", "app_role_assignments",
             "office_directory", "office_exchange", "office_sharepoint", "office_general", "office_dlp"]
`

// Every record of the unified audit log that tells of an app raises one alert: none is
// missing, none is invented, and the account of every feed adds up. On the way: a
// tenant in which nobody has a licence at first, records that are up to 30 hours late,
// lists that show a content an hour late, records in two contents, in no order, of one
// time, 2 % of the requests throttled, failing or ending early, one expiry of all
// tokens, SIGKILLs.
func TestE2EConservationOfFeeds(t *testing.T) {
	t.Parallel()
	records, rate := 1500, 60.0
	if *full {
		records, rate = 3000, 100
	}
	cloud, err := sim.New(sim.Options{
		Seed: 13, Apps: 60, Grants: 300, Users: 40, Office: records, OfficePage: 25, EventsPerSecond: rate, Late: 0.05, Duplicates: 0.05,
		Throttle: 0.02, ServerErrors: 0.02, Truncate: 0.02, DirectoryPage: 999, Scenario: "quiet",
	})
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t)
	file := fileReceiver(d.path("alerts.jsonl"))
	configure(t, d, cloud, size{budgetShare: 1000, sources: feeds}, []receiver{file}, nil)
	began := time.Now()
	license(t, d, cloud, "m365")
	d.start(t)
	expired := false
	killed := torment(t, d, 4, cloud.Complete(), func() {
		if !expired {
			expired = true
			f := cloud.Faults()
			f.ExpireTokens = true
			cloud.SetFaults(f)
		}
	})
	compare(t, d, 3*time.Minute, cloud, []receiver{file})
	accounts(t, d)
	t.Logf("%d kills, %d requests, %s", killed, cloud.Requests(), time.Since(began).Round(time.Second))
	d.stop()
}

// accounts logs what the daemon counts.
func accounts(t *testing.T, d *daemon) {
	t.Helper()
	s, err := d.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range s.Sources {
		t.Logf("%s: %+v", x.Key, x.Account)
	}
}
