package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
)

// groupRoutes tells people of groups that change every second.
const groupRoutes = onCall + `
route {
  name           = "on-call"
  kinds          = ["detection"]
  sinks          = ["webhook/on-call"]
  group_by       = ["rule_id"]
  group_wait     = "1s"
  group_interval = "1s"
}
`

// The daemon is killed at random moments of 5 to 500 ms while alerts join a group of which people are told every second:
// no notice counts more alerts than there are, and the last one counts each of them once.
func TestKillOfTheDaemonWithinGroups(t *testing.T) {
	t.Parallel()
	const each = 5 // records for a kill
	people := &pager{}
	srv := httptest.NewTLSServer(people)
	t.Cleanup(srv.Close)
	d := filesDaemon(t, 1, nil, fmt.Sprintf(groupRoutes, srv.URL, sinktest.Authority(t, srv)), nil)
	config, err := os.ReadFile(d.path("agent.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "agent.hcl", strings.Replace(string(config), "once      = true", "once      = false", 1))
	records, err := os.OpenFile(d.path("records.json"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = records.Close() }()

	n := 1
	for range *kills {
		d.start(t)
		for range each {
			s := signInRecord{ID: fmt.Sprintf("record-%05d", n), Created: time.Now().UTC(), AppID: fmt.Sprintf("app-%05d", n), App: "An app", UserID: "u-1", User: "Alice", IP: "192.0.2.7", Status: map[string]int{"errorCode": 0}}
			if err := json.NewEncoder(records).Encode(s); err != nil {
				t.Fatal(err)
			}
			n++
		}
		pause(t.Context(), 5*time.Millisecond+rand.N(495*time.Millisecond))
		d.alive(t)
		d.kill()
	}
	before := people.told()
	d.start(t)
	why := ""
	d.until(t, 3*time.Minute, "people are told of all", &why, func() bool {
		all := people.told()
		why = fmt.Sprintf("%+v", all)
		return len(all) > 0 && all[len(all)-1].Group.Total >= n
	})
	d.settled(t, n)
	d.stop()
	all := people.told()
	for _, x := range all {
		if x.Group.Total > n || x.Count > x.Group.Total {
			t.Errorf("a notice counts %+v; there are %d alerts", x, n)
		}
	}
	if last := all[len(all)-1]; last.Group.Total != n {
		t.Errorf("the last notice counts %d alerts of %d", last.Group.Total, n)
	}
	t.Logf("%d kills, %d alerts, %d notices, %d of them between the kills", *kills, n, len(all), len(before))
}
