package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// step is one change of the inventory at its time.
type step struct {
	at time.Time
	do func()
}

// Scenarios lists the names that Options.Scenario takes, with what they tell.
func Scenarios() [][2]string {
	return [][2]string{
		{"quiet", "an ordinary day: nothing that a sane rule fires on"},
		{"consent_campaign", "an external app with a look-alike name gets the consent of many users to Mail.Read and offline_access, then of the whole tenant"},
		{"stolen_credential", "a secret is added to a privileged app, which then signs in from a network and a country where it never was"},
		{"supply_chain", "an external app that is already there gets Mail.ReadWrite as an application permission and signs in from new networks"},
		{"hygiene", "an app whose secret expires in days"},
		{"all", "all of them, one after the other"},
	}
}

// plot lays the steps of a scenario out in time.
type plot struct {
	c    *Cloud
	at   time.Time
	pace time.Duration
	r    *rng
}

// next moves on and returns the time of the next step.
func (p *plot) next() time.Time {
	p.at = p.at.Add(p.pace)
	return p.at
}

// plots are the scenarios that Options.Scenario names, joined by commas.
func (o Options) plots() ([]func(*plot), error) {
	known := map[string][]func(*plot){
		"quiet": nil, "consent_campaign": {consentCampaign}, "stolen_credential": {stolenCredential}, "supply_chain": {supplyChain},
		"hygiene": {hygiene}, "all": {hygiene, consentCampaign, stolenCredential, supplyChain},
	}
	var out []func(*plot)
	for name := range strings.SplitSeq(o.Scenario, ",") {
		p, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("unknown scenario %q", name)
		}
		out = append(out, p...)
	}
	return out, nil
}

func (c *Cloud) planScenario() error {
	plots, err := c.o.plots()
	p := &plot{c: c, at: c.o.Start.Add(c.o.ScenarioAt - c.o.ScenarioPace), pace: c.o.ScenarioPace, r: c.random(domScenario, 0)}
	for _, tell := range plots {
		tell(p)
	}
	return err
}

// audit tells of something at a time, visible at once.
func (p *plot) audit(at time.Time, what string, e entry) {
	c := p.c
	c.add(kindAudit, at, at, tale{step: what, look: func(n uint32, rec record) object { return c.audit(n, rec, e) }})
}

func (p *plot) signIn(at time.Time, what string, l login) {
	c := p.c
	l.resource, l.policy, l.risk = c.base[resGraph], "notApplied", "none"
	c.add(l.kind, at, at, tale{step: what, look: func(n uint32, rec record) object { return c.signIn(n, rec, l, true) }})
}

// change does something to the directory at a time; at or before Start it is
// part of the tenant from the beginning.
func (p *plot) change(at time.Time, do func(*directory)) {
	c := p.c
	if !at.After(c.o.Start) {
		do(&c.dir)
		return
	}
	c.steps = append(c.steps, step{at: at, do: func() { do(&c.dir) }})
}

// alert puts Microsoft's own alert beside the attack; it is updated and
// resolved later.
func (p *plot) alert(what, title, severity, category string, tactics []string, a *app) {
	at := p.next()
	p.c.addAlert(what, alert{
		title: title, severity: severity, category: category, tactics: tactics, appID: a.appID, appName: a.name,
		service: appGovernance, source: "appGovernanceDetection",
		states: []alertState{
			{at, "new", nil}, {at.Add(3 * p.pace), "inProgress", "truePositive"}, {at.Add(6 * p.pace), "resolved", "truePositive"},
		},
	})
}

// newcomer makes an app that the background does not know.
func (p *plot) newcomer(name string, edit func(*app)) *app {
	a := &app{
		spID: p.r.guid(), appID: p.r.guid(), name: name, kind: "Application", enabled: true, created: p.c.o.Start.AddDate(0, 0, -200),
		owner: p.r.guid(), audience: "AzureADMultipleOrgs", domain: "login-helper.example", home: p.c.network(17),
	}
	edit(a)
	return a
}

// attacker is a network that nothing of the background uses.
func (p *plot) attacker(i int) network {
	return p.c.network(networks - attackNetworks + i%attackNetworks)
}

func consentCampaign(p *plot) {
	c := p.c
	// The name has a Cyrillic о in both words.
	a := p.newcomer("Micr\u043esoft \u041effice Mail Sync", func(a *app) {
		a.created, a.reply = c.o.Start, []string{"https://login-helper.example/access"}
	})
	victim, at := c.user(0), p.next()
	p.change(at, func(d *directory) { d.addApp(*a) })
	p.audit(at, "look-alike app appears", entry{
		name: "Add service principal", category: "ApplicationManagement", operation: "Add", by: &victim, ip: p.attacker(1).ip(4),
		targets: []object{target(a.spID, "ServicePrincipal", a.name,
			modified("AccountEnabled", "[]", "[true]"), modified("AppPrincipalId", "[]", quotedList(a.appID)),
			modified("DisplayName", "[]", quotedList(a.name)), included("AccountEnabled, AppPrincipalId, DisplayName"),
			modified("TargetId.ServicePrincipalNames", nil, quoted(a.appID)))},
	})
	for i := range min(8, c.o.Users) {
		p.consent(a, i, " Mail.Read offline_access User.Read openid profile", "user consents to mail")
	}
	p.consent(a, -1, " Mail.Read Mail.Send offline_access User.Read openid profile", "administrator consents for all")
	p.alert("Microsoft's alert on the campaign", "Encoded app name with suspicious consent scopes", "medium", "InitialAccess", []string{"T1566.002", "T1528"}, a)
}

// consent tells of one consent: two audits and one grant. User -1 is an
// administrator who consents for all.
func (p *plot) consent(a *app, who int, scope, what string) {
	c, at := p.c, p.next()
	u, kind := c.user(max(who, 0)), "Principal"
	if who < 0 {
		kind = "AllPrincipals"
	}
	ip := p.attacker(1).ip(max(who, 0))
	p.change(at, func(d *directory) { d.setGrant(c.newGrant(d.apps[d.indexOf(a)], resGraph, who, scope)) })
	p.audit(at, what, c.grantEntry(a, resGraph, u, kind, "", scope, ip))
	p.audit(at.Add(200*time.Millisecond), what, c.consentEntry(a, u, kind, scope, ip, p.r))
}

func stolenCredential(p *plot) {
	c := p.c
	a := p.newcomer("Contoso Payroll Sync", func(a *app) {
		a.owner, a.regID, a.domain, a.audience = c.o.TenantID, p.r.guid(), "contoso.example", "AzureADMyOrg"
		a.passwords = []credential{c.credential(p.r, "deploy")}
	})
	p.privileged(a, "Directory.ReadWrite.All")
	p.habit(a, 6)
	thief, at := c.user(1%c.o.Users), p.next()
	old, stolen := a.passwords[0], credential{id: p.r.guid(), name: "maintenance", start: at, end: at.AddDate(2, 0, 0)}
	p.change(at, func(d *directory) {
		d.alter(d.indexOf(a), func(a *app) { a.passwords = append(slices.Clip(a.passwords), stolen) }, []string{"passwordCredentials"}, []string{"passwordCredentials"})
	})
	p.audit(at, "secret added to a privileged app", c.secretEntry(a, thief, p.attacker(2).ip(9),
		quotedList(keyText(old.id, old.name)), quotedList(keyText(old.id, old.name), keyText(stolen.id, stolen.name))))
	for i := range 3 {
		p.signIn(p.next(), "the app signs in from a new network", login{kind: kindServicePrincipal, app: a, from: p.attacker(2), host: 30 + i, keyID: stolen.id})
	}
	p.alert("Microsoft's alert on the credential", "App accessed from unusual location post certificate update", "low", "Persistence", []string{"T1098"}, a)
}

func supplyChain(p *plot) {
	c := p.c
	a := p.newcomer("Northwind CRM Connector", func(a *app) {
		a.verified, a.domain = "Northwind Traders", "northwind.example"
		a.reply = []string{"https://crm.northwind.example/oauth/callback"}
	})
	p.change(c.o.Start, func(d *directory) {
		d.setGrant(c.newGrant(d.apps[d.addApp(*a)], resGraph, -1, " User.Read openid profile"))
	})
	p.habit(a, 4)
	admin, at, role := c.user(0), p.next(), c.cat.role("Mail.ReadWrite")
	p.change(at, func(*directory) { c.assign(c.dir.indexOf(a), resGraph, role, at, c.random(domAssignment, 1<<32)) })
	p.audit(at, "external app gets Mail.ReadWrite for all mailboxes", c.roleEntry(a, role, admin, c.network(3).ip(7), ticks(at)))
	for i := range 4 {
		p.signIn(p.next(), "the app signs in from a new network", login{kind: kindServicePrincipal, app: a, from: p.attacker(5 + i), host: 80})
	}
	p.alert("Microsoft's alert on the app", "Unused app newly accessing APIs", "medium", "Collection", []string{"T1530"}, a)
}

func hygiene(p *plot) {
	c := p.c
	a := p.newcomer("Contoso Badge Printer", func(a *app) {
		a.owner, a.regID, a.domain, a.audience = c.o.TenantID, p.r.guid(), "contoso.example", "AzureADMyOrg"
		a.passwords = []credential{{id: p.r.guid(), name: "printer", start: c.o.Start.AddDate(0, -6, 0), end: c.o.Start.AddDate(0, 0, 5)}}
	})
	p.change(c.o.Start, func(d *directory) { d.addApp(*a) })
}

// privileged puts an app with a strong application permission into the tenant
// from the beginning.
func (p *plot) privileged(a *app, role string) {
	c := p.c
	p.change(c.o.Start, func(d *directory) {
		c.assign(d.addApp(*a), resGraph, c.cat.role(role), a.created.Add(time.Hour), c.random(domAssignment, 1<<33))
	})
}

// habit lets an app sign in from its own network for some hours before Start,
// so that another network is news.
func (p *plot) habit(a *app, times int) {
	for i := range times {
		at := p.c.o.Start.Add(-time.Duration(i+1) * 20 * time.Minute)
		l := login{kind: kindServicePrincipal, app: a, from: a.home, host: 20}
		if len(a.passwords) > 0 {
			l.keyID = a.passwords[0].id
		}
		p.signIn(at, "the app signs in from its own network", l)
	}
}

// indexOf finds an app by its object id.
func (d *directory) indexOf(a *app) int {
	return slices.IndexFunc(d.apps, func(have *app) bool { return have.spID == a.spID })
}

// planChanges spreads changes of the inventory over the time after Start:
// renames, removed grants, removed apps and new secrets of ordinary apps.
// Nothing is written into the audit log about them.
func (c *Cloud) planChanges() {
	for i := range c.o.Changes {
		at := c.o.Start.Add(time.Duration(i+1) * c.o.ChangeEvery)
		r := c.random(domChange, uint64(i))
		c.steps = append(c.steps, step{at: at, do: func() { c.changeSomething(r) }})
	}
}

func (c *Cloud) changeSomething(r *rng) {
	i := len(c.cat.resources) + r.intn(c.o.Apps)
	if c.dir.apps[i].removed {
		return
	}
	switch n := r.intn(10); {
	case n < 4:
		name := c.dir.apps[i].name + " (renamed)"
		c.dir.alter(i, func(a *app) { a.name = name }, []string{"displayName", "appDisplayName"}, []string{"displayName"})
	case n < 6 && c.o.Grants > 0:
		if k := r.intn(c.o.Grants); !c.dir.grants[k].removed {
			c.dir.removeGrant(k)
		}
	case n < 7:
		c.dir.removeApp(i)
	case n < 9 && c.o.Grants > c.o.Apps:
		g := c.dir.grants[c.o.Apps+r.intn(c.o.Grants-c.o.Apps)]
		if !c.dir.apps[g.client].removed {
			g.scope, g.removed = g.scope+" email", false
			c.dir.setGrant(g)
		}
	default:
		c.dir.alter(i, func(a *app) { a.enabled = !a.enabled }, []string{"accountEnabled"}, []string{"isDisabled"})
	}
}
