package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// microsoftTenant owns the first-party services. Documented.
const microsoftTenant = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

// app is one app of the tenant: a service principal and, where the tenant
// itself registered it, the application. A change replaces the value, so that
// whoever holds an old one keeps what it said.
type app struct {
	index     int
	spID      string
	appID     string // empty for an agent identity: reported
	regID     string // object id of the application; empty for others' apps
	name      string
	kind      string
	owner     string
	domain    string
	verified  string // display name of the verified publisher
	audience  string
	enabled   bool
	created   time.Time
	reply     []string
	passwords []credential
	keys      []credential
	roles     []permission
	scopes    []permission
	home      network // the one network from which it signs in
	removed   bool
}

type credential struct {
	id, name   string
	start, end time.Time
}

type grant struct {
	id       string
	client   int // index of the app
	resource int
	user     int // index of the user; -1 for all principals
	scope    string
	removed  bool
}

type assignment struct {
	id               string
	client, resource int
	role             permission
	created          time.Time
}

// directory is the state of the tenant with a log of its changes.
type directory struct {
	apps        []*app
	grants      []grant
	assignments []assignment
	changes     []change
}

// change is one entry of the log behind delta queries. Its sequence number is
// its position plus one.
type change struct {
	in    collection
	index int
	props []string // changed properties; nil = created or removed
}

type collection string

const (
	colApplications collection = "applications"
	colPrincipals   collection = "servicePrincipals"
	colGrants       collection = "oauth2PermissionGrants"
)

func (c *Cloud) makeDirectory() {
	for i, res := range c.cat.resources {
		c.dir.apps = append(c.dir.apps, c.resourceApp(i, res))
	}
	for range c.o.Apps {
		c.dir.apps = append(c.dir.apps, c.backgroundApp(len(c.dir.apps)))
	}
	c.base = slices.Clone(c.dir.apps)
	for k := range c.o.Grants {
		c.dir.grants = append(c.dir.grants, c.backgroundGrant(k))
	}
	for i, a := range c.dir.apps[len(c.cat.resources):] {
		if i%4 == 0 {
			r := c.random(domAssignment, uint64(i))
			c.assign(a.index, resGraph, c.cat.resources[resGraph].roles[r.intn(2)], a.created.Add(time.Hour), r)
		}
	}
}

func (c *Cloud) resourceApp(i int, res resource) *app {
	r := c.random(domApp, uint64(i))
	return &app{
		index: i, spID: r.guid(), appID: res.appID, name: res.name, kind: "Application", owner: microsoftTenant,
		audience: "AzureADMultipleOrgs", enabled: true, created: c.o.Start.AddDate(-4, 0, 0),
		roles: res.roles, scopes: res.scopes, home: c.network(i),
	}
}

// backgroundApp makes an unremarkable app: of each hundred, 40 own, 55 of
// other tenants, 4 managed identities, 1 agent identity.
func (c *Cloud) backgroundApp(i int) *app {
	r := c.random(domApp, uint64(i))
	a := &app{
		index: i, spID: r.guid(), appID: r.guid(), kind: "Application", enabled: true,
		name:    fmt.Sprintf("%s %s %04d", pick(r, c.cat.products), pick(r, c.cat.purposes), i),
		created: c.o.Start.AddDate(0, 0, -100-r.intn(800)).Add(-time.Duration(r.intn(86400)) * time.Second),
		home:    c.network(r.intn(networks - attackNetworks)),
	}
	switch share := i % 100; {
	case share == 99:
		a.kind, a.owner, a.appID = "ServiceIdentity", c.o.TenantID, ""
	case share >= 95:
		a.kind, a.owner = "ManagedIdentity", c.o.TenantID
	case share >= 40:
		c.external(a, r)
	default:
		c.own(a, r)
	}
	return a
}

func (c *Cloud) own(a *app, r *rng) {
	a.owner, a.regID, a.domain, a.audience = c.o.TenantID, r.guid(), "contoso.example", "AzureADMyOrg"
	a.name = "Contoso " + a.name
	a.reply = []string{fmt.Sprintf("https://app%04d.contoso.example/signin-oidc", a.index)}
	if r.chance(0.5) {
		a.passwords = []credential{c.credential(r, "deploy")}
	}
	if r.chance(0.2) {
		a.keys = []credential{c.credential(r, "CN=app.contoso.example")}
	}
}

func (c *Cloud) external(a *app, r *rng) {
	company := pick(r, c.cat.companies)
	a.name = company + " " + a.name
	a.owner = (&rng{s: uint64(len(company)) + uint64(company[0])<<8}).guid()
	a.domain, a.audience = strings.ToLower(company)+".example", "AzureADMultipleOrgs"
	a.reply = []string{"https://" + a.domain + "/auth/callback"}
	if r.chance(0.8) {
		a.verified = company + " Inc."
	}
}

// credential is young enough not to be stale and lives long enough not to
// be about to expire.
func (c *Cloud) credential(r *rng, name string) credential {
	start := c.o.Start.AddDate(0, 0, -10-r.intn(80))
	return credential{id: r.guid(), name: name, start: start, end: start.AddDate(0, 0, 180+r.intn(180))}
}

// backgroundGrant is grant k: the first of each app is tenant-wide, the others
// are of one user each, all with harmless scopes.
func (c *Cloud) backgroundGrant(k int) grant {
	res := len(c.cat.resources)
	client, turn := res+k%c.o.Apps, k/c.o.Apps
	r := c.random(domGrant, uint64(k))
	if turn == 0 {
		return c.newGrant(c.base[client], resGraph, -1, pick(r, c.cat.resources[resGraph].low))
	}
	resource := (turn - 1) / c.o.Users
	return c.newGrant(c.base[client], resource, (client+turn)%c.o.Users, pick(r, c.cat.resources[resource].low))
}

func (c *Cloud) newGrant(client *app, resource, user int, scope string) grant {
	ids := []string{client.spID, c.base[resource].spID}
	if user >= 0 {
		ids = append(ids, c.user(user).id)
	}
	return grant{id: packed(ids...), client: client.index, resource: resource, user: user, scope: scope}
}

// assign gives an app an application permission. Reported: its id is the
// principal and a random GUID, so that assigning again makes a new one.
func (c *Cloud) assign(client, resource int, role permission, created time.Time, r *rng) {
	c.dir.assignments = append(c.dir.assignments, assignment{
		id: packed(c.dir.apps[client].spID, r.guid()), client: client, resource: resource, role: role, created: created,
	})
}

// note logs a change of item index; without props it was made or removed.
func (d *directory) note(in collection, index int, props ...string) {
	d.changes = append(d.changes, change{in: in, index: index, props: props})
}

// alter replaces app i by a changed copy and logs the named properties of its
// service principal and, where it has one, of its application.
func (d *directory) alter(i int, edit func(*app), principal, application []string) {
	changed := *d.apps[i]
	edit(&changed)
	d.apps[i] = &changed
	d.note(colPrincipals, i, principal...)
	if changed.regID != "" && application != nil {
		d.note(colApplications, i, application...)
	}
}

// addApp adds a copy of a and returns its index.
func (d *directory) addApp(a app) int {
	a.index = len(d.apps)
	d.apps = append(d.apps, &a)
	d.note(colPrincipals, a.index)
	if a.regID != "" {
		d.note(colApplications, a.index)
	}
	return a.index
}

// removeApp takes an app and its registration away, with its grants and
// assignments. Assumed: they go at the same moment.
func (d *directory) removeApp(i int) {
	d.alter(i, func(a *app) { a.removed = true }, nil, []string{})
	for k := range d.grants {
		if g := &d.grants[k]; !g.removed && (g.client == i || g.resource == i) {
			d.removeGrant(k)
		}
	}
	d.assignments = slices.DeleteFunc(d.assignments, func(a assignment) bool { return a.client == i || a.resource == i })
}

// setGrant adds a grant, or gives the one with its id new scopes.
func (d *directory) setGrant(g grant) {
	k := slices.IndexFunc(d.grants, func(have grant) bool { return have.id == g.id })
	if k < 0 {
		d.grants = append(d.grants, g)
		d.note(colGrants, len(d.grants)-1)
		return
	}
	revived := d.grants[k].removed
	d.grants[k] = g
	if revived {
		d.note(colGrants, k)
		return
	}
	d.note(colGrants, k, "scope")
}

func (d *directory) removeGrant(k int) {
	d.grants[k].removed = true
	d.note(colGrants, k)
}
