package kafkalogin

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/outbound"
)

// Mistake is one mistake in the blocks or in the brokers. Field is the attribute as
// written in HCL, with the block before it: "sasl.mechanism".
type Mistake struct{ Field, Text, Advice string }

// Check returns every mistake that can be found without a network. Blocks that are not
// there are nil.
func Check(target Target, t *TLS, s *SASL) []Mistake {
	c := checker{target: target, tls: t != nil}
	if t != nil {
		c.must((t.CertFile == "") == (t.KeyFile == ""), "tls.cert_file", "mutual TLS needs cert_file and key_file", "")
	}
	if target.IsHubs() {
		c.hubs(s != nil)
	}
	if s != nil {
		c.login(*s)
	}
	return c.found
}

type checker struct {
	target Target
	tls    bool
	found  []Mistake
}

func (c *checker) must(ok bool, field, text, advice string) {
	if !ok {
		c.found = append(c.found, Mistake{field, text, advice})
	}
}

// hubs finds what Event Hubs would refuse.
func (c *checker) hubs(login bool) {
	c.must(c.tls, "tls", "Event Hubs want TLS", "add an empty block: tls {}")
	c.must(login, "sasl", "Event Hubs want a log-in", `for example sasl { mechanism = "PLAIN", username = "$ConnectionString", password = env("EVENTHUBS") }, each on a line of its own`)
	for _, b := range c.target.Brokers {
		_, port, _ := net.SplitHostPort(b)
		c.must(port == "9093" || port == "", "brokers", fmt.Sprintf("%q: Event Hubs' Kafka endpoint is port 9093", b), "")
	}
}

func (c *checker) login(s SASL) {
	c.must(slices.Contains([]string{Plain, SHA256, SHA512, Bearer}, s.Mechanism), "sasl.mechanism",
		fmt.Sprintf("%q is no mechanism that is known", s.Mechanism), "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER")
	c.must(c.tls || s.Mechanism != Plain && s.Mechanism != Bearer, "sasl.mechanism", s.Mechanism+" without TLS shows the secret to the network", "add a tls block")
	if s.Mechanism == Bearer {
		c.bearer(s)
		return
	}
	c.must(s.Username != "" && !s.Password.IsZero(), "sasl", "username and password are needed", `for Event Hubs the username is "$ConnectionString" as it stands, the password the connection string`)
	others := append(s.proofs().Given(), given(map[string]string{"client_id": s.ClientID, "tenant_id": s.TenantID, "token_url": s.TokenURL, "login_url": s.LoginURL, "scope": s.Scope, "ca_file": s.CAFile})...)
	c.must(len(others) == 0, "sasl", "for OAUTHBEARER alone: "+strings.Join(others, ", "), "")
	c.must(!c.target.IsHubs() || s.Mechanism != Plain || s.Username == connectionUser, "sasl.username", "Event Hubs want the username $ConnectionString", `write username = "$ConnectionString" and the connection string as password`)
}

func (c *checker) bearer(s SASL) {
	c.must(s.Username == "" && s.Password.IsZero(), "sasl", "username and password are not for OAUTHBEARER", "")
	other := s.proofs()
	other.ClientSecret = ""
	entras := append(other.Given(), given(map[string]string{"tenant_id": s.TenantID, "login_url": s.LoginURL})...)
	switch {
	case s.TokenURL != "" && len(entras) > 0:
		c.must(false, "sasl.token_url", "token_url cannot stand beside "+strings.Join(entras, ", "), "token_url takes client_id and client_secret to any server; for tokens of Microsoft Entra ID leave it out")
	case s.TokenURL != "":
		c.server(s)
	case s.ManagedIdentity != nil:
		c.machine(s)
	case len(entras) > 0:
		c.entra(s)
	default:
		c.must(false, "sasl", "neither tenant_id nor managed_identity nor token_url is given", "for Event Hubs managed_identity {}, or tenant_id with client_id and client_secret, client_certificate or workload_identity; token_url for tokens of another server; "+c.role())
	}
}

// given names what is not empty.
func given(texts map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if texts[name] != "" {
			names = append(names, name)
		}
	}
	return names
}

func (c *checker) role() string {
	return "the app may log in to the brokers; for Event Hubs it has the role " + c.target.role() + " on the namespace or the hub"
}

// server checks the log-in at any token endpoint.
func (c *checker) server(s SASL) {
	c.must(s.ClientID != "" && !s.ClientSecret.IsZero(), "sasl", "client_id and client_secret are needed", c.role())
	u, err := url.Parse(s.TokenURL)
	c.must(err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && outbound.IsLoopback(u.Hostname())), "sasl.token_url", "is not an https URL", "https://login.example.com/oauth2/token")
}

// machine checks the log-in as the identity of a machine of Azure.
func (c *checker) machine(s SASL) {
	c.add(s.proofs().Check())
	others := given(map[string]string{"tenant_id": s.TenantID, "login_url": s.LoginURL, "ca_file": s.CAFile})
	c.must(len(others) == 0, "sasl.managed_identity", "the machine gives the tokens: "+strings.Join(others, ", ")+" cannot be heeded", "leave out what names another place")
	if s.ManagedIdentity.SystemAssigned {
		c.must(s.ClientID == "", "sasl.client_id", "is not for the machine's own identity", "leave out client_id, or system_assigned for an identity that was assigned to the machine")
		return
	}
	c.must(entralogin.IsGUID(s.ClientID), "sasl.client_id", "is not a GUID", "it is the client id of the managed identity; system_assigned = true means the machine's own, which needs none")
}

// entra checks the log-in as an app registration of Microsoft Entra ID.
func (c *checker) entra(s SASL) {
	c.must(entralogin.IsGUID(s.TenantID), "sasl.tenant_id", "is not a GUID", `copy "Directory (tenant) ID" from the overview of the app registration`)
	c.must(entralogin.IsGUID(s.ClientID), "sasl.client_id", "is not a GUID", `copy "Application (client) ID" from the overview of the app registration; `+c.role())
	c.add(s.proofs().Check())
	c.add(entralogin.CheckOrigin("login_url", s.LoginURL))
}

func (c *checker) add(found []entralogin.Mistake) {
	for _, m := range found {
		c.must(false, "sasl."+m.Field, m.Text, m.Advice)
	}
}
