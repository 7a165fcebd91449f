package rule

import (
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/event"
)

// sample is the environment of the examples in the reference: a user lets an
// app read mail, on a Tuesday at noon.
func sample() *Env {
	now := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
	return &Env{
		Now: now,
		Event: &event.Event{
			Action: "app.consent.granted", Time: now, Result: event.ResultSuccess, Provider: "entra",
			Actor:   event.Actor{Type: "user", ID: "u1", Name: "Example Admin"},
			App:     event.App{ID: "sp1", AppID: "a1", Name: "Contoso Mail Sync"},
			Origin:  event.Origin{IP: "203.0.113.9", ASN: 64500, Country: "NL"},
			Consent: event.Consent{Type: "principal", AdminSet: true, Scopes: []string{"Mail.Read", "offline_access", "User.Read"}},
			Permissions: []event.Permission{
				{Kind: "delegated", Name: "Mail.Read", Tier: 3}, {Kind: "delegated", Name: "offline_access", Tier: 4},
				{Kind: "delegated", Name: "Mail.Send", Tier: 1, Removed: true},
			},
			Changes: []event.Change{{Name: "AppAddress", Old: []string{"https://a.example", "https://old.example"}, New: []string{"https://new.example", "https://A.example"}}},
			Details: []event.Detail{{Name: "User-Agent", Value: "curl/8"}},
		},
		App: &event.AppView{
			ID: "sp1", AppID: "a1", Name: "Contoso Mail Sync", Origin: "external", Enabled: true,
			FirstSeen: now.Add(-30 * 24 * time.Hour), Created: now.AddDate(-1, 0, 0), Tier: 2,
			Application: []event.Permission{{Kind: "application", Name: "Files.Read.All"}},
			Delegated:   []event.Permission{{Kind: "delegated", Name: "Mail.Read"}},
			ReplyURLs:   []string{"https://contoso.example/cb", "http://LOCALHOST:8080/cb"},
		},
	}
}

// sampleChecker knows the lists and tiers of the examples.
func sampleChecker(t testing.TB) *checker {
	t.Helper()
	c := newChecker(time.UTC)
	brands := newList("brands", hcl.Range{})
	for _, b := range []string{"Microsoft", "Contoso", "Teams"} {
		brands.add(b, forever)
	}
	c.lists["brands"] = brands
	teams := newList("owners_of", hcl.Range{})
	teams.add("Contoso Mail Sync", forever)
	teams.say("contoso mail sync", "team", "messaging")
	c.lists["owners_of"] = teams
	c.lists["pipelines"] = newList("pipelines", hcl.Range{})
	diags := c.tiers.read("tiers.csv", []byte("graph,application,RoleManagement.ReadWrite.Directory,1\ngraph,delegated,User.Read,4\n"))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return c
}

// evaluate gives the value of an expression as the reference prints it.
func evaluate(t testing.TB, c *checker, text string, env *Env) (string, hcl.Diagnostics) {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(text), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return "", diags
	}
	c.diags = nil
	n := c.expression(e)
	if c.diags.HasErrors() {
		return "", c.diags
	}
	return valueText(c, n, env), nil
}

func valueText(c *checker, n node, env *Env) string {
	if known := n.known(); !known(env) {
		return "unknown"
	}
	if n.kind == kindTime {
		v, _ := n.num(env)
		return strconv.FormatInt(v, 10)
	}
	return c.show(n)(env)
}
