package app

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/provider/msgraph"
	"github.com/appgovd/appgovd/internal/sim"
)

// harm is one fault that is done to every source.
type harm struct {
	name   string
	lasts  time.Duration                           // of a trial
	rare   bool                                    // it is polled less often, since it lasts long
	cloud  func(*sim.Options)                      // how the cloud is made
	answer func(*gate, *asking) bool               // answers in place of the cloud
	show   func(*gate, *asking, []record) []record // what is shown of a good answer
	except func(source string) string              // why it cannot happen to a source; "" = it is tried
}

// peace is the end of a trial, in which all is answered.
const peace = 2 * time.Hour

// asking is one request.
type asking struct {
	source string // "" = none, or one of several
	nth    int
	w      http.ResponseWriter
	r      *http.Request
}

// gate stands before a cloud: it does the harm, and counts by source where it did.
type gate struct {
	cloud   *sim.Cloud
	next    http.Handler
	harm    harm
	url     string
	login   string
	began   time.Time
	collect []string

	mu    sync.Mutex
	asked map[string]int
	hits  map[string]int
	first map[string]string // key of the first element of each source
}

// picks reports whether an element is the first one of its source, or one in some.
func (g *gate) picks(k *asking, r record, in time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first[k.source] == "" {
		g.first[k.source] = r.key()
	}
	return r.key() != "" && (r.key() == g.first[k.source] || hashOf(r.key())%in == 0)
}

// ServeHTTP answers a request.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k := &asking{source: askerOf(r), w: w, r: r}
	g.mu.Lock()
	g.asked[k.source]++
	k.nth = g.asked[k.source]
	g.mu.Unlock()
	if g.harm.answer != nil && time.Since(g.began) < g.harm.lasts-peace && g.harm.answer(g, k) {
		return
	}
	rec := g.ask(k)
	body := rec.Body.Bytes()
	if g.harm.show != nil && rec.Code == http.StatusOK && k.source != "" {
		body = g.edit(k, body)
	}
	give(rec, w, body)
}

// ask asks the cloud.
func (g *gate) ask(k *asking) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	g.next.ServeHTTP(rec, k.r)
	return rec
}

func give(rec *httptest.ResponseRecorder, w http.ResponseWriter, body []byte) {
	maps.Copy(w.Header(), rec.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

func (g *gate) hit(k *asking) {
	g.mu.Lock()
	g.hits[k.source]++
	g.mu.Unlock()
}

// edit lets the harm change which elements an answer shows.
func (g *gate) edit(k *asking, body []byte) []byte {
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil {
		return marshal(g.shown(k, list))
	}
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return body
	}
	for _, name := range []string{"value", "results"} {
		if json.Unmarshal(answer[name], &list) == nil && len(list) > 0 {
			answer[name] = marshal(g.shown(k, list))
			return marshal(answer)
		}
	}
	return body
}

func (g *gate) shown(k *asking, list []json.RawMessage) []json.RawMessage {
	var records []record
	for _, raw := range list {
		r := record{raw: raw}
		_ = json.Unmarshal(raw, &r)
		records = append(records, r)
	}
	out := []json.RawMessage{}
	for _, r := range g.harm.show(g, k, records) {
		out = append(out, r.raw)
	}
	return out
}

func marshal(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

func hashOf(s string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return time.Duration(h.Sum32() >> 4)
}

// askerOf names the source that asks; "" where it is none, or one of several.
func askerOf(r *http.Request) string {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/v1.0"), "/beta")
	query := r.URL.Query()
	if strings.Contains(path, "/activity/feed/") {
		for source, kind := range contentsOf() {
			if query.Get("contentType") == kind || strings.Contains(path, "$"+kind+"$") {
				return source
			}
		}
	}
	switch {
	case path == "/security/runHuntingQuery":
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		for source, table := range tablesOf() {
			if strings.Contains(string(body), `"`+table+" ") {
				return source
			}
		}
	case path == "/auditLogs/signIns":
		return signInAsker(query.Get("$filter"))
	case strings.HasPrefix(path, "/applications/delta"):
		return "applications"
	case strings.HasPrefix(path, "/servicePrincipals/delta"):
		return "service_principals"
	case strings.HasSuffix(path, "/appRoleAssignedTo"), strings.Contains(query.Get("$filter"), "appId eq"):
		return "app_role_assignments"
	case strings.HasPrefix(query.Get("$expand"), "federated"):
		return "federated_credentials"
	case strings.HasPrefix(path, "/applications") && (strings.HasSuffix(path, "/owners") || query.Get("$expand") != ""):
		return "application_owners"
	case strings.HasPrefix(path, "/servicePrincipals") && (strings.HasSuffix(path, "/owners") || query.Get("$expand") != ""):
		return "service_principal_owners"
	}
	for prefix, source := range pathsOf() {
		if strings.HasPrefix(path, prefix) {
			return source
		}
	}
	return ""
}

func signInAsker(filter string) string {
	for kind, source := range map[string]string{"'nonInteractiveUser'": "signins_non_interactive", "'servicePrincipal'": "signins_service_principal", "'managedIdentity'": "signins_managed_identity"} {
		if strings.Contains(filter, kind) {
			return source
		}
	}
	return "signins_interactive"
}

func pathsOf() map[string]string {
	const roles = "/roleManagement/directory/"
	return map[string]string{
		"/oauth2PermissionGrants": "delegated_grants", "/auditLogs/directoryAudits": "directory_audits", "/security/alerts_v2": "alerts",
		roles + "roleDefinitions": "role_definitions", roles + "roleAssignments": "directory_roles", roles + "roleEligibilityScheduleInstances": "eligible_roles",
		"/policies/permissionGrantPolicies": "permission_grant_policies", "/policies/authorizationPolicy": "authorization_policy", "/policies/adminConsentRequestPolicy": "admin_consent_policy",
		"/policies/appManagementPolicies": "app_management_policies", "/policies/defaultAppManagementPolicy": "default_app_management_policy", "/identityGovernance/appConsent": "consent_requests",
		"/reports/servicePrincipalSignInActivities": "app_signin_activities", "/reports/appCredentialSignInActivities": "credential_signin_activities",
		"/identityProtection/riskyServicePrincipals": "risky_service_principals", "/identityProtection/servicePrincipalRiskDetections": "risk_detections",
	}
}

// Why a fault cannot happen to a kind of source.
const (
	oneObject   = "it is one object, not a list"
	noTime      = "it is the state of objects, which are not read by a time"
	noLateDelta = "a delta has no times: it tells a change when the service knows of it"
)

func isSingle(source string) bool {
	return slices.Contains([]string{"authorization_policy", "admin_consent_policy", "default_app_management_policy"}, source)
}

// isState reports whether a source tells how objects are, not what happened.
func isState(source string) bool {
	_, log := kindsOf()[source]
	_, feed := contentsOf()[source]
	return !log && !feed && !slices.Contains([]string{"risk_detections", "risky_service_principals", "cloud_app_events", "spn_signin_events"}, source)
}

func single(source string) string {
	if isSingle(source) {
		return oneObject
	}
	return ""
}

func never(string) string { return "" }

// harms are the faults, each of which is tried on every source to which it can happen.
func harms() []harm {
	return []harm{
		{name: "late", lasts: 48 * time.Hour, rare: true, show: late, except: func(source string) string {
			if slices.Contains([]string{"applications", "service_principals", "delegated_grants"}, source) {
				return noLateDelta
			}
			return single(source)
		}},
		{name: "duplicate", lasts: 6 * time.Hour, cloud: func(o *sim.Options) { o.Duplicates = 0.3 }, show: doubled, except: single},
		{name: "same timestamp", lasts: 6 * time.Hour, cloud: func(o *sim.Options) { o.Grain = 20 * time.Minute }, show: shared, except: func(source string) string {
			if isSingle(source) {
				return oneObject
			} else if isState(source) {
				return noTime
			}
			return ""
		}},
		{name: "out of order", lasts: 6 * time.Hour, cloud: func(o *sim.Options) { o.Late, o.LateBy = 0.3, 10*time.Minute }, show: reversed, except: single},
		{name: "failing pages", lasts: 6 * time.Hour, answer: failing, except: never},
		{name: "throttling", lasts: 6 * time.Hour, answer: throttling, except: never},
		{name: "token expiry", lasts: 6 * time.Hour, cloud: func(o *sim.Options) { o.TokenLifetime = 10 * time.Minute }, answer: expiring, except: never},
		{name: "licence", lasts: 54 * time.Hour, answer: unlicensed(time.Hour), except: never},
		{name: "licence after a restart", lasts: 56 * time.Hour, answer: unlicensed(29 * time.Hour), except: never},
		{name: "permission after a restart", lasts: 56 * time.Hour, answer: unpermitted(29 * time.Hour), except: never},
	}
}

// late holds elements back for some hours. Of a feed it is contents: one does not grow.
func late(g *gate, k *asking, all []record) []record {
	if single := noLate(k.source); single {
		return all
	}
	return slices.DeleteFunc(all, func(r record) bool {
		if _, feed := contentsOf()[k.source]; feed && r.ContentID == "" {
			return false
		}
		at, err := time.Parse(time.RFC3339Nano, cmp.Or(r.ContentCreated, r.at()))
		if err != nil || isState(k.source) {
			at = g.began
		}
		by := time.Hour + hashOf(r.key())*time.Second%most(k.source)
		held := g.picks(k, r, 4) && time.Since(at) < by
		if held {
			g.hit(k)
		}
		return held
	})
}

// most is how late an element is at most: a report on a day is read again for a day.
func most(source string) time.Duration {
	if isState(source) {
		return 12 * time.Hour
	}
	return 20 * time.Hour
}

func noLate(source string) bool {
	return slices.Contains([]string{"applications", "service_principals", "delegated_grants"}, source)
}

// doubled shows every third element twice.
func doubled(g *gate, k *asking, all []record) (out []record) {
	for _, r := range all {
		if out = append(out, r); g.picks(k, r, 3) {
			out = append(out, r)
			g.hit(k)
		}
	}
	return out
}

// shared counts elements of one time.
func shared(g *gate, k *asking, all []record) []record {
	if isState(k.source) {
		return all
	}
	times := map[string]bool{}
	for _, r := range all {
		if r.at() != "" && times[r.at()] {
			g.hit(k)
		}
		times[r.at()] = true
	}
	return all
}

func reversed(g *gate, k *asking, all []record) []record {
	if len(all) > 1 && all[0].key() != "" {
		slices.Reverse(all)
		g.hit(k)
	}
	return all
}

// refuseIt answers as Graph does, or as the Management Activity API.
func refuseIt(k *asking, status int, code, message string) {
	k.w.Header().Set("Content-Type", "application/json")
	k.w.WriteHeader(status)
	_, _ = k.w.Write(marshal(map[string]any{"error": map[string]string{"code": code, "message": message}}))
}

// failing answers one of five requests by 503, ends the answer to another one early, and
// for an hour answers by 503 alone.
func failing(g *gate, k *asking) bool {
	out := time.Since(g.began).Truncate(time.Hour) == 2*time.Hour
	switch {
	case k.source == "" && !out:
		return false
	case out, k.nth%5 == 1:
		refuseIt(k, http.StatusServiceUnavailable, "UnknownError", "Service Unavailable")
	case k.nth%5 == 3:
		rec := g.ask(k)
		maps.Copy(k.w.Header(), rec.Header())
		_, _ = k.w.Write(rec.Body.Bytes()[:rec.Body.Len()*2/3])
		_ = http.NewResponseController(k.w).Flush()
		g.hit(k)
		panic(http.ErrAbortHandler) // net/http: closes the connection
	default:
		return false
	}
	g.hit(k)
	return true
}

func throttling(g *gate, k *asking) bool {
	if k.source == "" || k.nth%3 != 1 {
		return false
	}
	g.hit(k)
	if _, feed := contentsOf()[k.source]; feed {
		refuseIt(k, http.StatusForbidden, "AF429", "Too many requests. Method="+k.r.Method)
	} else {
		k.w.Header().Set("Retry-After", "7")
		refuseIt(k, http.StatusTooManyRequests, "TooManyRequests", "Too many requests, please try again later.")
	}
	return true
}

// expiring lets all tokens expire before the first request of a source and every seventh
// one behind it.
func expiring(g *gate, k *asking) bool {
	if k.source == "" {
		return false
	} else if k.nth%7 == 1 {
		f := g.cloud.Faults()
		f.ExpireTokens = true
		g.cloud.SetFaults(f)
	}
	rec := g.ask(k)
	if rec.Code == http.StatusUnauthorized {
		g.hit(k)
	}
	give(rec, k.w, rec.Body.Bytes())
	return true
}

// unlicensed refuses everything for want of a licence, for some time at first and for an
// hour on the second day.
func unlicensed(first time.Duration) func(*gate, *asking) bool {
	return func(g *gate, k *asking) bool {
		at := time.Since(g.began)
		if k.source == "" || at > first && (at < 26*time.Hour || at > 27*time.Hour) {
			return false
		}
		g.hit(k)
		return g.withoutLicence(k)
	}
}

func (g *gate) withoutLicence(k *asking) bool {
	_, table := tablesOf()[k.source]
	_, feed := contentsOf()[k.source]
	switch {
	case feed:
		refuseIt(k, http.StatusBadRequest, "AF20012", "Specified tenant ID ("+g.cloud.TenantID()+") is incorrectly configured in the system.")
	case table:
		refuseIt(k, http.StatusBadRequest, "BadRequest", "'where' operator: Failed to resolve table or column expression named 'it'")
	case strings.HasPrefix(k.source, "signins_"), strings.HasSuffix(k.source, "_activities"):
		refuseIt(k, http.StatusForbidden, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", "Neither tenant is B2C or tenant doesn't have premium license")
	case k.source == "eligible_roles":
		refuseIt(k, http.StatusBadRequest, "AadPremiumLicenseRequired", "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license.")
	default:
		refuseIt(k, http.StatusForbidden, "Forbidden", "Your tenant is not licensed for this feature.")
	}
	return true
}

// unpermitted refuses everything for want of a permission, for some time at first.
func unpermitted(first time.Duration) func(*gate, *asking) bool {
	return func(g *gate, k *asking) bool {
		if k.source == "" || time.Since(g.began) > first {
			return false
		}
		g.hit(k)
		if _, feed := contentsOf()[k.source]; feed {
			refuseIt(k, http.StatusForbidden, "AF10001", "The permission set () sent in the request did not include the expected permission ActivityFeed.Read.")
		} else {
			refuseIt(k, http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
		}
		return true
	}
}

// The document tells the same table as the test, and streams suffer what the others do.
func TestDocumentOfConservation(t *testing.T) {
	for i, h := range harms() {
		if got := streamHarms()[i].name; got != h.name {
			t.Fatalf("%s is not tried on streams, but %s", h.name, got)
		}
	}
	const file, begin, end = "../../docs/durability.md", "<!-- the table of internal/app/conserve_harms_test.go -->\n", "<!-- end of the table -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + "\n" + tableOfHarms() + "\n" + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s tells another table than the test: go test ./internal/app -run TestDocumentOfConservation -update", file)
	}
}

func tableOfHarms() string {
	var b, notes strings.Builder
	var whys []string
	b.WriteString("| kind of source |")
	line := "|---|"
	for _, h := range harms() {
		b.WriteString(" " + h.name + " |")
		line += "---|"
	}
	b.WriteString("\n" + line + "\n")
	for _, source := range append(msgraph.SourceNames(), streamKinds()...) {
		b.WriteString("| `" + source + "` |")
		for i, h := range harms() {
			why := streamHarms()[i].except[source]
			if !slices.Contains(streamKinds(), source) {
				why = h.except(source)
			}
			if why == "" {
				b.WriteString(" tried |")
				continue
			}
			if !slices.Contains(whys, why) {
				whys = append(whys, why)
				fmt.Fprintf(&notes, "%d. %s\n", len(whys), why)
			}
			fmt.Fprintf(&b, " (%d) |", slices.Index(whys, why)+1)
		}
		b.WriteString("\n")
	}
	return b.String() + "\n" + notes.String()
}
