package kafkalogin

import (
	"fmt"
	"net"
	"net/url"
	"slices"
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
	c.must(s.ClientID == "" && s.ClientSecret.IsZero() && s.TokenURL == "" && s.Scope == "" && s.CAFile == "", "sasl", "client_id, client_secret, token_url, scope and ca_file are for OAUTHBEARER", "")
	c.must(!c.target.IsHubs() || s.Mechanism != Plain || s.Username == connectionUser, "sasl.username", "Event Hubs want the username $ConnectionString", `write username = "$ConnectionString" and the connection string as password`)
}

func (c *checker) bearer(s SASL) {
	c.must(s.Username == "" && s.Password.IsZero(), "sasl", "username and password are not for OAUTHBEARER", "")
	c.must(s.ClientID != "" && !s.ClientSecret.IsZero(), "sasl", "client_id and client_secret are needed", "of an app that may log in to the brokers; for Event Hubs it has the role "+c.target.role()+" on the namespace or the hub")
	u, err := url.Parse(s.TokenURL)
	c.must(s.TokenURL != "" && err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())), "sasl.token_url", "is not an https URL", "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
