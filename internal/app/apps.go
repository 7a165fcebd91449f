package app

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/inventory"
	"github.com/appgovd/appgovd/internal/rule"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// AppLine is one app in a list.
type AppLine struct {
	Source      string    `json:"source"` // the source block whose tenant has it
	Key         string    `json:"key"`
	Name        string    `json:"name"`
	AppID       string    `json:"app_id,omitempty"`
	ID          string    `json:"service_principal_id,omitempty"`
	ObjectID    string    `json:"object_id,omitempty"`
	Kind        string    `json:"kind,omitempty"`
	Origin      string    `json:"origin,omitempty"`
	OwnerTenant string    `json:"owner_tenant,omitempty"`
	Publisher   string    `json:"publisher,omitempty"`
	Verified    bool      `json:"publisher_verified"`
	Enabled     bool      `json:"enabled"`
	Tier        int8      `json:"tier,omitempty"` // the worst of its permissions; 0 = unknown
	TenantWide  bool      `json:"tenant_wide"`
	Users       int       `json:"users"`
	Risk        int       `json:"risk"`
	Created     time.Time `json:"created,omitzero"`
	FirstSeen   time.Time `json:"first_seen,omitzero"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	UseKnown    bool      `json:"use_known"` // else no last use says nothing
	Calls       *int64    `json:"calls"`     // on the last whole day that is known; null = unknown
	Bytes       *int64    `json:"response_bytes"`
	Appgovd     bool      `json:"is_appgovd,omitempty"`
}

// AppList is the answer to a question for apps.
type AppList struct {
	Apps    []AppLine `json:"apps"`    // as many as were asked for
	Matched int       `json:"matched"` // that pass the filter
	Total   int       `json:"total"`
}

// AppQuery asks for apps.
type AppQuery struct {
	Where string // in the language of policies; "" = all
	Sort  string // one of AppOrders; "" = the first
	Limit int    // 0 = all
	Own   bool   // in an order by use, the apps by which appgovd itself reads tenants, too
}

// AppOrders are the orders of a list of apps: the highest, latest and most first,
// names from a to z, the worst tier first.
func AppOrders() []string {
	return []string{"risk", "name", "tier", "users", "last_used", "created", "first_seen", "calls", "response_bytes"}
}

// byUse reports whether an order is one of use.
func byUse(order string) bool { return order == "calls" || order == "response_bytes" }

// AppDetail is all that is known of one app.
type AppDetail struct {
	AppLine
	ReplyURLs   []string          `json:"reply_urls,omitempty"`
	Owners      []string          `json:"owners,omitempty"`
	OwnersKnown bool              `json:"owners_known"`
	Credentials []AppCredential   `json:"credentials,omitempty"`
	Grants      []AppGrant        `json:"grants,omitempty"`
	Traits      *AppTraits        `json:"more,omitempty"`
	Factors     []detect.Factor   `json:"risk_factors,omitempty"`
	Links       map[string]string `json:"links,omitempty"`
}

// AppTraits are what sources beside the directory tell; what is absent is unknown or
// nothing, Known names the sources that were read whole.
type AppTraits struct {
	Known           []string `json:"known"`
	Roles           []string `json:"directory_roles,omitempty"`
	EligibleRoles   []string `json:"eligible_roles,omitempty"`
	Issuers         []string `json:"federated_issuers,omitempty"`
	Requests        int      `json:"consent_requests,omitempty"`
	RiskLevel       string   `json:"provider_risk_level,omitempty"`
	RiskState       string   `json:"provider_risk_state,omitempty"`
	GovernanceScore int      `json:"governance_score,omitempty"`
	PrivilegeLevel  string   `json:"privilege_level,omitempty"`
	Unused          []string `json:"unused_permissions,omitempty"`
	Services        []string `json:"services,omitempty"`
}

func traitsOf(t *event.AppTraits) *AppTraits {
	if t == nil {
		return nil
	}
	out := &AppTraits{
		Roles: t.Roles, EligibleRoles: t.EligibleRoles, Issuers: t.FederatedIssuers, Requests: t.ConsentRequests, RiskLevel: t.RiskLevel, RiskState: t.RiskState,
		GovernanceScore: t.GovernanceScore, PrivilegeLevel: t.PrivilegeLevel, Unused: t.Unused, Services: t.Services,
	}
	for kind, known := range t.Known {
		if known {
			out.Known = append(out.Known, kind)
		}
	}
	slices.Sort(out.Known)
	return out
}

// AppCredential is one secret or key of an app; its value is never known.
type AppCredential struct {
	KeyID string    `json:"key_id"`
	Kind  string    `json:"kind"`
	Name  string    `json:"name,omitempty"`
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`

	Thumbprint string `json:"thumbprint,omitempty"` // of a certificate
	Issuer     string `json:"issuer,omitempty"`     // of a federated one: whose tokens are trusted
	Subject    string `json:"subject,omitempty"`    // and which of them
}

// AppGrant is one grant that an app holds.
type AppGrant struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"` // "delegated" or "application"
	For         string          `json:"for,omitempty"`
	Principal   string          `json:"principal,omitempty"`
	Resource    string          `json:"resource"`
	API         string          `json:"api,omitempty"`
	Permissions []AppPermission `json:"permissions"`
}

// AppPermission is one permission with its grade; 0 = none is known.
type AppPermission struct {
	Name string `json:"name"`
	Tier int8   `json:"tier,omitempty"`
}

// badQuestion is a mistake of who asks; text is for him, and has several lines.
type badQuestion struct{ text string }

func (e *badQuestion) Error() string { return e.text }

var errNoApp = errors.New("no app has that client id, object id or name")

// Apps lists the apps of all tenants that pass a filter.
func (a *Agent) Apps(q AppQuery) (AppList, error) {
	if q.Sort = cmp.Or(q.Sort, AppOrders()[0]); !slices.Contains(AppOrders(), q.Sort) {
		return AppList{}, &badQuestion{fmt.Sprintf("there is no order %q; it is one of %s", q.Sort, strings.Join(AppOrders(), ", "))}
	}
	out := AppList{Apps: []AppLine{}}
	var found []foundApp
	for _, t := range a.tenants {
		n, list, err := a.search(t, q)
		if err != nil {
			return AppList{}, err
		}
		out.Total, out.Matched, found = out.Total+n, out.Matched+list.matched, append(found, list.kept...)
	}
	found = firstOnes(found, q.Limit)
	for _, x := range found {
		_ = x.t.lane.Hold(func(uint64) error {
			if v := x.t.machine.Inventory().Look(x.key); v != nil {
				out.Apps = append(out.Apps, a.line(x.t, v))
			}
			return nil
		})
	}
	return out, nil
}

// foundApp is an app that passes, with what its place in the list is made of.
type foundApp struct {
	t         *tenant
	key, name string
	rank      int64 // the highest first
}

// atOnce is how many apps are looked at while the tenant is held: ingestion waits for no
// more than a millisecond or two.
const atOnce = 1000

// foundApps are those that pass: as many as are asked for, the first ones, and some more.
type foundApps struct {
	limit   int // 0 = all
	matched int
	kept    []foundApp
	full    bool  // there were more than are asked for
	floor   int64 // then: the rank below which none is one of the first
}

func (f *foundApps) add(t *tenant, key, name string, rank int64) {
	f.matched++
	if f.full && rank < f.floor {
		return
	}
	f.kept = append(f.kept, foundApp{t, key, strings.ToLower(name), rank})
	if f.limit > 0 && len(f.kept) >= 2*f.limit+100 {
		f.kept = firstOnes(f.kept, f.limit)
		f.full, f.floor = true, f.kept[f.limit-1].rank
	}
}

// firstOnes are the first of a list, in order.
func firstOnes(list []foundApp, limit int) []foundApp {
	slices.SortFunc(list, func(x, y foundApp) int {
		return cmp.Or(cmp.Compare(y.rank, x.rank), strings.Compare(x.name, y.name), strings.Compare(x.key, y.key))
	})
	if limit > 0 {
		list = list[:min(limit, len(list))]
	}
	return list
}

// workAhead works out, once a day, what past days come to for every app: the first
// question about the usage of all of them would wait for it, a third of a second for
// 100,000 apps. Ingestion waits no longer than for a question.
func (a *Agent) workAhead(t *tenant) {
	if today := a.o.Now().UTC().Truncate(24 * time.Hour); !t.ahead.Equal(today) {
		t.ahead = today
		_, _, _ = a.search(t, AppQuery{Sort: "calls", Limit: 1}) // an order that there is: it cannot fail
	}
}

// search looks at all apps of a tenant, part by part: each as it is at one moment, all
// of them as they are while it looks.
func (a *Agent) search(t *tenant, q AppQuery) (total int, out foundApps, err error) {
	out.limit = q.Limit
	var w *inventory.Walk
	match := func(*rule.Env) bool { return true }
	env := rule.Env{Now: a.o.Now(), RiskKnown: true, Usage: t.machine.Inventory()}
	err = t.lane.Hold(func(uint64) error {
		whole := q.Sort == "tier" || q.Sort == "users"
		if q.Where != "" {
			f, err := filterOf(t.machine.Set(), q.Where)
			if err != nil {
				return err
			}
			match, whole = func(env *rule.Env) bool { return f.Match(env) == rule.True }, whole || f.Whole()
		}
		w = t.machine.Inventory().Walk(whole)
		return nil
	})
	look := func(v *event.AppView) bool {
		total++
		key := keyOf(v)
		env.App, env.Risk = v, t.machine.AppRisk(key, env.Now)
		if !match(&env) {
			return true
		}
		place := rank(q.Sort, v, env.Risk)
		if byUse(q.Sort) {
			u := t.machine.Inventory().UsageOf(v, env.Now, event.UsePast)
			if u.Self && !q.Own {
				return true
			}
			place = used(q.Sort, &u.Day)
		}
		out.add(t, key, v.Name, place)
		return true
	}
	for more := err == nil; more && err == nil; {
		err = t.lane.Hold(func(uint64) error {
			more = w.Next(atOnce, look)
			return nil
		})
	}
	return total, out, err
}

func keyOf(v *event.AppView) string {
	return event.App{ID: v.ID, AppID: v.AppID, ObjectID: v.ObjectID}.Key()
}

func rank(order string, v *event.AppView, risk int) int64 {
	switch order {
	case "risk":
		return int64(risk)
	case "users":
		return int64(v.Users)
	case "tier":
		if v.Tier == 0 {
			return -1 << 8
		}
		return -int64(v.Tier)
	case "last_used":
		return v.LastUsed.Unix()
	case "created":
		return v.Created.Unix()
	case "first_seen":
		return v.FirstSeen.Unix()
	}
	return 0
}

// used is the rank of a day; what is unknown comes last.
func used(order string, day *event.UseFigures) int64 {
	switch {
	case order == "calls" && day.CallsKnown:
		return day.Calls
	case order == "response_bytes" && day.BytesKnown:
		return day.Bytes
	}
	return -1
}

// filterOf compiles a filter on apps; its mistakes are shown as those of rules are.
func filterOf(set *rule.Set, text string) (*rule.Filter, error) {
	return compiled(set, (*rule.Set).Filter, text)
}

// eventFilterOf compiles a filter on events.
func eventFilterOf(set *rule.Set, text string) (*rule.Filter, error) {
	return compiled(set, (*rule.Set).EventFilter, text)
}

func compiled[F any](set *rule.Set, compile func(*rule.Set, string) (*F, hcl.Diagnostics), text string) (*F, error) {
	if set == nil {
		return nil, &badQuestion{"the rules are not in force yet"}
	}
	f, diags := compile(set, text)
	if diags.HasErrors() {
		var b bytes.Buffer
		_ = diag.Text(&b, diags, map[string][]byte{rule.FilterName: []byte(text)})
		return nil, &badQuestion{b.String()}
	}
	return f, nil
}

func (a *Agent) line(t *tenant, v *event.AppView) AppLine {
	u := t.machine.Inventory().UsageOf(v, a.o.Now(), event.UsePast)
	return AppLine{
		Calls: known(u.Day.Calls, u.Day.CallsKnown), Bytes: known(u.Day.Bytes, u.Day.BytesKnown), Appgovd: u.Self,
		Source: t.key, Key: keyOf(v), Name: v.Name, AppID: v.AppID, ID: v.ID, ObjectID: v.ObjectID, Kind: v.Kind, Origin: v.Origin, OwnerTenant: v.OwnerTenant,
		Publisher: cmp.Or(v.VerifiedPublisher, v.PublisherName), Verified: v.PublisherVerified, Enabled: v.Enabled, Tier: v.Tier, TenantWide: v.TenantWide, Users: v.Users,
		Risk: t.machine.AppRisk(keyOf(v), a.o.Now()), Created: v.Created, FirstSeen: v.FirstSeen, LastUsed: v.LastUsed, UseKnown: v.UsedKnown,
	}
}

// App tells all of the app that name names: its client id, an object id of it, or
// its name where only one app has it. errNoApp where none does.
func (a *Agent) App(name string) (d AppDetail, err error) {
	t, key, err := a.locate(name)
	if err != nil {
		return d, err
	}
	err = t.lane.Hold(func(uint64) (err error) {
		d, err = a.detail(t, key)
		return err
	})
	return d, err
}

// locate finds the one app that a name names.
func (a *Agent) locate(name string) (*tenant, string, error) {
	type place struct {
		t   *tenant
		key string
	}
	var all []place
	for _, t := range a.tenants {
		_ = t.lane.Hold(func(uint64) error {
			for _, key := range keysOf(t.machine.Inventory(), name) {
				all = append(all, place{t, key})
			}
			return nil
		})
	}
	switch len(all) {
	case 0:
		return nil, "", errNoApp
	case 1:
		return all[0].t, all[0].key, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d apps are called %q; name one by its id:\n", len(all), name)
	for _, x := range all {
		fmt.Fprintf(&b, "  %s  %s\n", x.key, x.t.key)
	}
	return nil, "", &badQuestion{b.String()}
}

// maxNamesakes is how many apps of one name are told.
const maxNamesakes = 20

func keysOf(m *inventory.Model, name string) (keys []string) {
	if m.Look(name) != nil {
		return []string{name}
	}
	return m.Named(name, maxNamesakes)
}

// detail is called while the tenant is held.
func (a *Agent) detail(t *tenant, key string) (AppDetail, error) {
	v, known := t.machine.Inventory().View(key)
	if !known {
		return AppDetail{}, errNoApp
	}
	d := AppDetail{AppLine: a.line(t, &v), ReplyURLs: slices.Clone(v.ReplyURLs), Owners: slices.Clone(v.Owners), OwnersKnown: v.OwnersKnown, Traits: traitsOf(v.Traits), Links: a.linksOf(t, &v)}
	for _, c := range v.Credentials {
		d.Credentials = append(d.Credentials, AppCredential{c.KeyID, c.Kind, c.Name, c.Start, c.End, c.Thumbprint, c.Issuer, c.Subject})
	}
	t.machine.Inventory().Grants(key, func(g inventory.Grant) bool {
		d.Grants = append(d.Grants, appGrant(g))
		return true
	})
	d.Factors = t.machine.AppFactors(d.Key, a.o.Now())
	return d, nil
}

// linksOf are the pages about an app, by name.
func (a *Agent) linksOf(t *tenant, v *event.AppView) map[string]string {
	out := map[string]string{}
	about := &event.Alert{Tenant: t.id, App: event.App{ID: v.ID, AppID: v.AppID, ObjectID: v.ObjectID}}
	for _, l := range post.NewLinks(a.plan.Config.Agent.Links).Of(about) {
		out[l.Name] = l.URL
	}
	return out
}

func appGrant(g inventory.Grant) AppGrant {
	out := AppGrant{ID: g.ID, Kind: "application", Resource: cmp.Or(g.ResourceName, g.Resource), API: g.ResourceAppID, Permissions: []AppPermission{}}
	if g.Delegated {
		out.Kind, out.For, out.Principal = "delegated", g.ConsentType, g.Principal
	}
	for _, p := range g.Permissions {
		out.Permissions = append(out.Permissions, AppPermission{cmp.Or(p.Name, p.ID), p.Tier})
	}
	return out
}

// maxLimit is how many apps a question may limit its answer to.
const maxLimit = 1_000_000

// serveApps answers GET /apps?where=…&sort=…&limit=… .
func (a *Agent) serveApps(w http.ResponseWriter, r *http.Request) {
	q := AppQuery{Where: r.FormValue("where"), Sort: r.FormValue("sort"), Own: r.FormValue("own") == "true"}
	var err error
	if s := r.FormValue("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 0 || q.Limit > maxLimit {
			answer(w, nil, &badQuestion{fmt.Sprintf("limit is no number of apps: 0 (all) to %d", maxLimit)})
			return
		}
	}
	list, err := a.Apps(q)
	answer(w, list, err)
}

// serveApp answers GET /app?name=… .
func (a *Agent) serveApp(w http.ResponseWriter, r *http.Request) {
	d, err := a.App(r.FormValue("name"))
	answer(w, d, err)
}

func answer(w http.ResponseWriter, v any, err error) {
	var bad *badQuestion
	switch {
	case errors.As(err, &bad):
		http.Error(w, bad.text, http.StatusBadRequest)
	case errors.Is(err, errNoApp):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(v)
	}
}
