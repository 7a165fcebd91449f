package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bytedance/sonic"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
)

const (
	tenant  = "11111111-1111-4111-8111-111111111111"
	perPage = 500
)

// path is the way of records from JSON to alerts, as the product takes it, in one
// goroutine.
type path struct {
	decoder *normalise.Decoder
	machine *detect.Machine
	alerts  int
}

// newPath makes a machine with rules and an inventory of all apps that records name.
func newPath(rules []benchRule) (*path, error) {
	p := &path{decoder: normalise.NewHashing(tenant, event.NewHasher([16]byte{1})), machine: detect.New(nil, detect.Options{Tenant: tenant, Settle: -1})}
	p.machine.Apply(&event.Frame{Kind: event.FrameRules, Rules: blob(rules), Time: began})
	if n := p.machine.Stats().RefusedRules; n > 0 {
		return nil, fmt.Errorf("the rules are refused")
	}
	for _, kind := range []string{event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment} {
		f := &event.Frame{Kind: event.FramePage, Source: "entra/" + tenant + "/" + kind, Time: began, Sync: &event.Sync{Scope: kind, Kind: kind, Generation: 1, Complete: true, Baseline: true}}
		for _, id := range apps {
			if kind == event.ObjectServicePrincipal {
				f.Objects = append(f.Objects, event.Object{Kind: kind, ID: "sp-" + id, App: &event.AppObject{
					Has: event.HasAppID | event.HasName | event.HasOwnerTenant, AppID: id, Name: "App " + id, OwnerTenant: tenant}})
			}
		}
		p.machine.Apply(f)
	}
	return p, nil
}

// page takes one page of records the whole way.
func (p *path) page(page []record) error {
	f := &event.Frame{Kind: event.FramePage, Source: "entra/" + tenant + "/directory_audits", Time: began, Events: make([]event.Event, 0, len(page))}
	for _, r := range page {
		var e event.Event
		var err error
		if r.signIn {
			e, err = p.decoder.SignIn("", r.text)
		} else {
			e, err = p.decoder.Audit(r.text)
		}
		if err != nil {
			return err
		}
		f.Events = append(f.Events, e)
	}
	p.machine.Apply(f)
	p.alerts += len(f.Alerts)
	return nil
}

var began = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// record is one record of Graph.
type record struct {
	text   []byte
	signIn bool
}

func (r record) decode(d *normalise.Decoder) (event.Event, error) {
	if r.signIn {
		return d.SignIn("", r.text)
	}
	return d.Audit(r.text)
}

// records makes n sign-ins and audits as Graph writes them, seven in ten of them
// sign-ins, of 2.7 KB each.
func records(n int) []record {
	r := rand.New(rand.NewPCG(5, 6))
	out := make([]record, 0, n)
	for i := range n {
		at := began.Add(time.Duration(i) * 10 * time.Millisecond).Format("2006-01-02T15:04:05.0000000Z")
		if r.IntN(10) < 7 {
			out = append(out, record{signIn(r, guid(r), at), true})
		} else {
			out = append(out, record{audit(r, "Directory_"+guid(r)+"_"+strconv.Itoa(i), at), false})
		}
	}
	return out
}

func guid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", uint32(a), uint16(a>>32), uint16(a>>48), uint16(b), b>>16)
}

func client(r *rand.Rand) (asn int, ip string) {
	return number(r), fmt.Sprintf("%d.%d.%d.%d", 1+r.IntN(220), r.IntN(256), r.IntN(256), r.IntN(256))
}

// signIn has every member that Graph gives for a sign-in.
// https://learn.microsoft.com/graph/api/resources/signin?view=graph-rest-beta
func signIn(r *rand.Rand, id, at string) []byte {
	user, app := pick(r, users), pick(r, apps)
	asn, ip := client(r)
	kind, principal := "interactiveUser", ""
	if r.IntN(5) == 0 {
		kind, principal = "servicePrincipal", "sp-"+app
	}
	code := []int{0, 0, 0, 50126}[r.IntN(4)]
	return fmt.Appendf(nil, `{"id":%q,"createdDateTime":%q,"userDisplayName":"Person %[3]s","userPrincipalName":"%[3]s@contoso.example","userId":%[3]q,"appId":%[4]q,"appDisplayName":%[5]q,"ipAddress":%[6]q,`+
		`"ipAddressFromResourceProvider":null,"clientAppUsed":"Browser","userAgent":%[7]q,"correlationId":%[8]q,"conditionalAccessStatus":"success","originalRequestId":"","isInteractive":true,"tokenIssuerName":"",`+
		`"tokenIssuerType":"AzureAD","clientCredentialType":"none","processingTimeInMilliseconds":%[9]d,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none",`+
		`"riskEventTypes_v2":[],"resourceDisplayName":"Microsoft Graph","resourceId":"00000003-0000-0000-c000-000000000000","resourceTenantId":%[10]q,"homeTenantId":%[10]q,"homeTenantName":"",`+
		`"authenticationMethodsUsed":[],"authenticationRequirement":"singleFactorAuthentication","signInIdentifier":"%[3]s@contoso.example","signInIdentifierType":null,"servicePrincipalName":null,`+
		`"signInEventTypes":[%[11]q],"servicePrincipalId":%[12]q,"federatedCredentialId":"","userType":"member","flaggedForReview":false,"isTenantRestricted":false,"autonomousSystemNumber":%[13]d,`+
		`"crossTenantAccessType":"none","servicePrincipalCredentialKeyId":"","servicePrincipalCredentialThumbprint":"","uniqueTokenIdentifier":%[14]q,"incomingTokenType":"none","authenticationProtocol":"none",`+
		`"resourceServicePrincipalId":"a1a1a1a1-b2b2-4c3c-8d4d-e5e5e5e5e5e5","signInTokenProtectionStatus":"none","originalTransferMethod":"none","isThroughGlobalSecureAccess":false,`+
		`"globalSecureAccessIpAddress":null,"sessionId":%[15]q,"appOwnerTenantId":"99999999-9999-4999-8999-999999999999","resourceOwnerTenantId":"f8cdef31-a31e-4b4a-93e4-5f571e91255a","mfaDetail":null,`+
		`"authenticationAppDeviceDetails":null,"status":{"errorCode":%[16]d,"failureReason":"Other.","additionalDetails":null},"deviceDetail":{"deviceId":"","displayName":"","operatingSystem":"Windows10",`+
		`"browser":"Chrome 142.0.0","isCompliant":false,"isManaged":false,"trustType":""},"location":{"city":"Berlin","state":"Berlin","countryOrRegion":%[17]q,"geoCoordinates":{"altitude":null,`+
		`"latitude":52.52437,"longitude":13.41053}},"appliedConditionalAccessPolicies":[{"id":"de7e60eb-ed89-4d73-8205-2227def6b7c9","displayName":"MFA for admins","enforcedGrantControls":["Mfa"],`+
		`"enforcedSessionControls":[],"result":"notApplied"}],"authenticationDetails":[],"sessionLifetimePolicies":[]}`,
		id, at, user, app, appName(r), ip, userAgent(r), guid(r), r.IntN(900), tenant, kind, principal, asn, guid(r)[:22], guid(r), code, strings.ToUpper(pick(r, countries)))
}

// audit is a consent, another change of an app or something else, with the modified
// properties that such records have.
// https://learn.microsoft.com/graph/api/resources/directoryaudit
func audit(r *rand.Rand, id, at string) []byte {
	activity := []string{"Consent to application", "Add service principal", pick(r, activities)}[r.IntN(3)]
	user, app := pick(r, users), pick(r, apps)
	_, ip := client(r)
	property := func(name, old, value string) string {
		return fmt.Sprintf(`{"displayName":%q,"oldValue":%s,"newValue":%q}`, name, old, strconv.Quote(value))
	}
	consent := fmt.Sprintf("[] => [[Id: %s, ClientId: sp-%s, PrincipalId: %s, ResourceId: %s, ConsentType: Principal, Scope: openid profile Mail.Read Files.Read.All offline_access, CreatedDateTime: , LastModifiedDateTime ]]; ", guid(r), app, user, guid(r))
	properties := strings.Join([]string{
		property("ConsentContext.IsAdminConsent", "null", "False"), property("ConsentContext.IsAppOnly", "null", "False"), property("ConsentContext.OnBehalfOfAll", "null", "False"),
		property("ConsentContext.Tags", "null", "WindowsAzureActiveDirectoryIntegratedApp"), property("ConsentAction.Permissions", "null", consent),
		property("TargetId.ServicePrincipalNames", "null", app+";"+address(r)), property("ServicePrincipal.AppId", `"[]"`, app),
		property("AppAddress", "\"[{\\\"AddressType\\\":0,\\\"Address\\\":\\\"https://contoso.example/callback\\\",\\\"ReplyAddressClientType\\\":1}]\"", `[{"AddressType":0,"Address":"`+address(r)+`","ReplyAddressClientType":1}]`),
	}, ",")
	return fmt.Appendf(nil, `{"id":%q,"category":"ApplicationManagement","correlationId":%q,"result":"success","resultReason":"","activityDisplayName":%q,"activityDateTime":%q,"loggedByService":"Core Directory",`+
		`"operationType":"Assign","initiatedBy":{"app":null,"user":{"id":%[5]q,"displayName":null,"userPrincipalName":"%[5]s@contoso.example","ipAddress":%[6]q,"userType":null,"homeTenantId":null,"homeTenantName":null}},`+
		`"targetResources":[{"id":"sp-%[7]s","displayName":%[8]q,"type":"ServicePrincipal","userPrincipalName":null,"groupType":null,"modifiedProperties":[%[9]s]},`+
		`{"id":%[10]q,"displayName":null,"type":"User","userPrincipalName":"%[5]s@contoso.example","groupType":null,"modifiedProperties":[]}],`+
		`"additionalDetails":[{"key":"User-Agent","value":%[11]q},{"key":"AppId","value":%[7]q}]}`,
		id, guid(r), activity, at, user, ip, app, appName(r), properties, guid(r), userAgent(r))
}

// windowed gives one rule in five a window or a history.
func windowed(rules []benchRule) []benchRule {
	for i := range rules {
		switch i % 10 {
		case 3:
			rules[i].block = "  threshold {\n    count = 5\n    by = [actor.id]\n    within = \"1h\"\n  }\n"
		case 8:
			rules[i].block = "  first_seen {\n    key = [app.app_id, source.country]\n    history = \"30d\"\n    min_history = \"7d\"\n  }\n"
		}
	}
	return rules
}

// whole measures the way from JSON beside its floor, and prints both.
func whole() error {
	pool := records(8000)
	size := 0
	for _, r := range pool {
		size += len(r.text)
	}
	fmt.Printf("\nfrom JSON, %d records of %d bytes, pages of %d, one rule in five with a window or a history\n", len(pool), size/len(pool), perPage)
	decoded, err := decodedOf(pool)
	if err != nil {
		return err
	}
	broken := 0
	validate := func() {
		for _, r := range pool {
			if !sonic.Valid(r.text) {
				broken++
			}
		}
	}
	d := normalise.NewHashing(tenant, event.NewHasher([16]byte{1}))
	decode := func() {
		for _, r := range pool {
			_, _ = r.decode(d)
		}
	}
	took, missed := map[int]time.Duration{}, error(nil)
	for _, n := range []int{1000, 10000} {
		index, err := newAppgovd(mixed(n, false), decoded)
		if err != nil {
			return err
		}
		var hits []int
		probe := func() {
			for i := range decoded {
				hits = index(i, hits[:0])
			}
		}
		p, err := newPath(windowed(mixed(n, false)))
		if err != nil {
			return err
		}
		pages := slices.Collect(slices.Chunk(pool, perPage))
		all := func() {
			for _, page := range pages {
				err = firstOf(err, p.page(page))
			}
		}
		least := leastInTurn(len(pool), all, validate, probe, decode)
		if err != nil {
			return err
		}
		if broken > 0 {
			return fmt.Errorf("%d records are no JSON", broken)
		}
		floor := least[1] + least[2]
		took[n] = least[0]
		fmt.Printf("%6d rules: sonic validates every byte %v, probe of the index %v, decoding %v, the whole path %v per record, %.0f records a second, %d alerts\n",
			n, least[1], least[2], least[3], took[n], 1e9/float64(took[n]), p.alerts)
		if n == 1000 {
			missed = ratio("the whole path / its floor", took[n], floor, bar{most: 6})
		}
	}
	return errors.Join(missed, ratio("the whole path, 10,000 rules / 1,000 rules", took[10000], took[1000], bar{most: 3}))
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func decodedOf(pool []record) ([]event.Event, error) {
	d := normalise.New(tenant)
	out := make([]event.Event, 0, len(pool))
	for _, r := range pool {
		e, err := r.decode(d)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// leastInTurn is the CPU time of each of what does all of n inputs, for one of them: the
// least of eight rounds in turn, behind one to warm up. A neighbour on the machine slows
// some rounds, and so all of what is compared alike. The others, which are the measure, run
// twice in each round, and the second time counts: what they read is at hand then.
func leastInTurn(n int, what func(), others ...func()) []time.Duration {
	least := make([]time.Duration, 1+len(others))
	for round := range 9 {
		for i, f := range append([]func(){what}, others...) {
			if i > 0 {
				f()
			}
			from := cpu()
			f()
			took := (cpu() - from) / time.Duration(n)
			if round == 1 || round > 1 && took < least[i] {
				least[i] = took
			}
		}
	}
	return least
}
