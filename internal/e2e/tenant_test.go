package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/sim"
)

var largest = flag.Bool("e2e.tenant", false, "the restart of a tenant of 100,000 apps and 1,000,000 grants, not of a hundredth of it")

// The real binary on the state directory of a large tenant: how long it is from
// the start to the first answer with 150,000 events behind the snapshot, how long
// detection waits for a snapshot, and what it holds. The cloud does not answer.
func TestLargeTenant(t *testing.T) {
	apps, events := 1000, 1500
	if *largest {
		apps, events = 100_000, 150_000
	}
	d := newDaemon(t)
	cloud, err := sim.New(sim.Options{Apps: -1, Grants: -1})
	if err != nil {
		t.Fatal(err)
	}
	base, ca, stop, err := cloud.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	d.env = append(d.env, "APPGOV_E2E_SECRET=none")
	d.write(t, "ca.pem", string(ca))
	d.write(t, "agent.hcl", fmt.Sprintf(agentConfig, d.state, testTenant, testTenant, base, base, base, d.path("ca.pem"), 50, "", shipped(t))+fileReceiver(d.path("alerts.jsonl")).block)
	began := time.Now()
	record(t, d.state, directory(apps, 10*apps))
	t.Logf("%d apps and %d grants written as frames in %s", apps, 10*apps, time.Since(began).Round(time.Millisecond))
	first := opened(t, d, apps)
	t.Logf("without a snapshot: ready after %s; resident %d MB, at most %d MB", first, d.memory("VmRSS")>>20, d.memory("VmHWM")>>20)
	d.stop() // stores a snapshot
	record(t, d.state, signIns(events, apps))
	took := opened(t, d, apps)
	ready, loaded := d.memory("VmRSS"), d.memory("VmHWM")
	var paused time.Duration
	why := ""
	d.until(t, 2*time.Minute, "a snapshot", &why, func() bool {
		paused, why = snapshotPause(t, d)
		return paused > 0
	})
	least, most := ready, 0
	for range 50 { // with snapshots on the way
		pause(t.Context(), 200*time.Millisecond)
		rss := d.memory("VmRSS")
		least, most = min(least, rss), max(most, rss)
	}
	t.Logf("with %d events behind the snapshot: ready after %s; resident %d MB then, at most %d MB until then, later %d MB, %d MB while a snapshot is stored, at most %d MB; detection waited %s for a snapshot",
		events, took, ready>>20, loaded>>20, least>>20, most>>20, d.memory("VmHWM")>>20, paused.Round(time.Microsecond))
	if d.memory("VmHWM") > 512<<20 {
		t.Error("more than 512 MB were resident")
	}
}

const testTenant = "11111111-1111-4111-8111-111111111111"

// opened starts the daemon and returns how long it took until it answers with all apps.
func opened(t *testing.T, d *daemon, apps int) time.Duration {
	t.Helper()
	began := time.Now()
	d.start(t)
	for deadline := began.Add(2 * time.Minute); ; {
		s, err := d.status(t.Context())
		if err == nil && len(s.Apps) == 1 {
			for _, c := range s.Apps {
				if c.Apps != apps || c.Grants != 10*apps {
					t.Fatalf("the inventory holds %+v", c)
				}
			}
			return time.Since(began).Round(time.Millisecond)
		}
		if d.alive(t); time.Now().After(deadline) {
			t.Fatalf("not ready: %v", err)
		}
		pause(t.Context(), 20*time.Millisecond)
	}
}

// snapshotPause is how long detection waited for the last snapshot, 0 = there was none.
func snapshotPause(t *testing.T, d *daemon) (paused time.Duration, why string) {
	t.Helper()
	b, err := d.ask(t.Context(), "/metrics")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "appgovd_app_snapshot_pause_seconds "); ok {
			s, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			return time.Duration(s * float64(time.Second)), fmt.Sprint(err)
		}
	}
	return 0, fmt.Sprint("no such metric: ", err)
}

// record writes frames to the ledger in dir.
func record(t *testing.T, dir string, frames func(func(*event.Frame))) {
	t.Helper()
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	frames(func(f *event.Frame) {
		if _, err := l.Append(f); err != nil {
			t.Fatal(err)
		}
	})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func guid(kind, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, n) }

// directory is the first read of a tenant, a thousand objects a page.
func directory(apps, grants int) func(func(*event.Frame)) {
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	sets := [][]string{{"User.Read", "openid", "profile"}, {"Mail.Read", "offline_access"}, {"Files.ReadWrite.All"}, {"Calendars.Read", "User.Read"}}
	principal := func(i int) event.Object {
		return event.Object{Kind: event.ObjectServicePrincipal, ID: guid(1, i), App: &event.AppObject{
			Has:   event.HasAppID | event.HasName | event.HasOwnerTenant | event.HasEnabled | event.HasPublisherName | event.HasKeys | event.HasReplyURLs,
			AppID: guid(2, i), Name: fmt.Sprintf("App number %d", i), OwnerTenant: guid(9, i%300), Enabled: true, PublisherName: fmt.Sprintf("Publisher %d", i%500),
			ReplyURLs:   []string{fmt.Sprintf("https://app-%d.example.com/auth/callback", i)},
			Credentials: []event.Credential{{KeyID: guid(3, i), Kind: "password", Start: at, End: at.AddDate(1, 0, 0)}},
		}}
	}
	grant := func(i int) event.Object {
		return event.Object{Kind: event.ObjectDelegatedGrant, ID: fmt.Sprintf("%043d", i), Grant: &event.GrantObject{
			Client: guid(1, i%apps), Resource: guid(1, i%7), ConsentType: "principal", Principal: guid(4, i%20_000), Scopes: sets[i%len(sets)],
		}}
	}
	return func(put func(*event.Frame)) {
		for _, c := range []struct {
			source, kind string
			n            int
			object       func(int) event.Object
		}{{"applications", event.ObjectApplication, 0, nil}, {"service_principals", event.ObjectServicePrincipal, apps, principal}, {"delegated_grants", event.ObjectDelegatedGrant, grants, grant}, {"app_role_assignments", event.ObjectAppRoleAssignment, 0, nil}} {
			for from := 0; ; from += 1000 {
				f := &event.Frame{Kind: event.FramePage, Source: "entra/e2e/" + c.source, Time: at, Sync: &event.Sync{Scope: c.source, Kind: c.kind, Generation: 1, Baseline: true}}
				for i := from; i < min(from+1000, c.n); i++ {
					f.Objects = append(f.Objects, c.object(i))
				}
				f.Sync.Complete = from+1000 >= c.n
				put(f)
				if f.Sync.Complete {
					break
				}
			}
		}
	}
}

// signIns are records as the cloud writes them, one every ten milliseconds, a thousand a page.
func signIns(n, apps int) func(func(*event.Frame)) {
	decoder := normalise.NewHashing(testTenant, event.NewHasher([16]byte{1}))
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	return func(put func(*event.Frame)) {
		var f *event.Frame
		for i := range n {
			if f == nil {
				f = &event.Frame{Kind: event.FramePage, Source: "entra/e2e/signins_interactive", Time: at}
			}
			e, err := decoder.SignIn("interactive", signIn(i, apps, at.Add(time.Duration(i)*10*time.Millisecond)))
			if err != nil {
				panic(err)
			}
			e.Source, e.Observed = f.Source, at
			if f.Events = append(f.Events, e); len(f.Events) == 1000 || i == n-1 {
				put(f)
				f = nil
			}
		}
	}
}

func signIn(i, apps int, at time.Time) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"id":%q,"createdDateTime":%q,"userDisplayName":"Person %d","userPrincipalName":"person.%[3]d@contoso.example","userId":%q,"appId":%q,"appDisplayName":"App number %d","ipAddress":"203.0.%d.%d",`+
		`"clientAppUsed":"Browser","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36","correlationId":%q,"conditionalAccessStatus":"success","isInteractive":true,`+
		`"tokenIssuerType":"AzureAD","processingTimeInMilliseconds":%d,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"Microsoft Graph",`+
		`"resourceId":"00000003-0000-0000-c000-000000000000","authenticationMethodsUsed":[],"authenticationRequirement":"singleFactorAuthentication","signInEventTypes":["interactiveUser"],"userType":"member",`,
		guid(6, i), at.Format("2006-01-02T15:04:05.0000000Z"), i%20_000, guid(4, i%20_000), guid(2, i*7%apps), i*7%apps, i/250%250, i%250, guid(7, i), i%900)
	fmt.Fprintf(&b, `"status":{"errorCode":0,"failureReason":"Other.","additionalDetails":null},"deviceDetail":{"deviceId":"","displayName":"","operatingSystem":"Windows10","browser":"Chrome 142.0.0","isCompliant":false,"isManaged":false,"trustType":""},`+
		`"location":{"city":"Berlin","state":"Berlin","countryOrRegion":"DE","geoCoordinates":{"altitude":null,"latitude":52.52437,"longitude":13.41053}},"appliedConditionalAccessPolicies":[{"id":%q,"displayName":"MFA for admins",`+
		`"enforcedGrantControls":["Mfa"],"enforcedSessionControls":[],"result":"notApplied"}],"authenticationDetails":[],"sessionLifetimePolicies":[]}`, guid(8, i%7))
	return b.Bytes()
}
