package elastic

import (
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "elasticsearch" "NAME" {}`.
type Config struct {
	Addresses    []string `hcl:"addresses"`             // https://host:port, any nodes of one cluster
	Distribution string   `hcl:"distribution,optional"` // "elasticsearch" (default) or "opensearch"
	Namespace    string   `hcl:"namespace,optional"`    // the last part of logs-appgov.alerts-NAMESPACE, of events logs-appgov.events-NAMESPACE; "default"

	Links map[string]string `hcl:"links,optional"` // pages by name, in documents of alerts; those of the agent

	// At most one of the three proves who we are.
	APIKey       secret.Ref `hcl:"api_key,optional"`       // as Elasticsearch shows it: base64 of id:key
	ServiceToken secret.Ref `hcl:"service_token,optional"` // bearer token; of OpenSearch a JSON web token
	Username     string     `hcl:"username,optional"`
	Password     secret.Ref `hcl:"password,optional"`

	Timeout   string `hcl:"timeout,optional"`   // of one bulk request, "30s"
	Gzip      *bool  `hcl:"gzip,optional"`      // compress requests; true
	Retention string `hcl:"retention,optional"` // of the data stream, set by setup; "90d"
	Proxy     string `hcl:"proxy,optional"`     // URL; "" = of the environment, "none" = no proxy
	TLS       *TLS   `hcl:"tls,block"`
}

// TLS is the block `tls {}`.
type TLS struct {
	CAFile     string `hcl:"ca_file,optional"`     // PEM authorities instead of the system's
	CertFile   string `hcl:"cert_file,optional"`   // PEM client certificate, for mutual TLS
	KeyFile    string `hcl:"key_file,optional"`    // its key
	ServerName string `hcl:"server_name,optional"` // that the nodes' certificates carry, where it is not their host
}

const (
	elasticsearch = "elasticsearch"
	openSearch    = "opensearch"

	defaultTimeout   = 30 * time.Second
	defaultRetention = "90d"
)

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.Must(len(c.Addresses) > 0, "addresses", "names no node", `addresses = ["https://es.example.com:9200"]`)
	for _, a := range c.Addresses {
		u, err := url.Parse(a)
		ok := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
		p.Must(ok, "addresses", "holds what is not a URL of a node", `write "https://host:9200"`)
		p.Must(!ok || u.User == nil, "addresses", "holds a user name or a password", "use username and password, or api_key")
		p.Must(!ok || u.Scheme == "https" || !c.loggingIn(), "addresses", "sends credentials without TLS", "write https://")
	}
	p.OneOf("distribution", c.Distribution, elasticsearch, openSearch)
	p.Must(c.Distribution != openSearch || c.APIKey.IsZero(), "api_key", "is of Elasticsearch, and distribution is opensearch", "use username and password, service_token or a client certificate")
	p.Must(c.Namespace == "" || regexp.MustCompile(`^[a-z0-9_.]{1,100}$`).MatchString(c.Namespace), "namespace", fmt.Sprintf("%q is no namespace", c.Namespace), "lower-case letters, digits, '_' and '.'")
	p.Must(c.Retention == "" || regexp.MustCompile(`^[1-9][0-9]{0,5}[dhm]$`).MatchString(c.Retention), "retention", fmt.Sprintf("%q is no retention", c.Retention), `write "90d"`)
	post.CheckLinks(&p, c.Links)
	p.Duration("timeout", c.Timeout, time.Second)
	ways := 0
	for _, given := range []bool{!c.APIKey.IsZero(), !c.ServiceToken.IsZero(), c.Username != ""} {
		if given {
			ways++
		}
	}
	p.Must(ways < 2, "api_key", "more than one of api_key, service_token and username is given", "keep one")
	p.Pair("password", c.Username != "", !c.Password.IsZero(), "username and password belong together")
	if c.TLS != nil {
		p.Pair("tls.cert_file", c.TLS.CertFile != "", c.TLS.KeyFile != "", "mutual TLS needs cert_file and key_file")
	}
	return p
}

func (c Config) loggingIn() bool { return len(c.Secrets()) > 0 }

// Secrets are the references that c holds.
func (c Config) Secrets() (refs []secret.Ref) {
	for _, r := range []secret.Ref{c.APIKey, c.ServiceToken, c.Password} {
		if !r.IsZero() {
			refs = append(refs, r)
		}
	}
	return refs
}
