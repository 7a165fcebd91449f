package splunkhec

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "splunk_hec" "NAME" {}`.
type Config struct {
	URL        string            `hcl:"url"` // https://host:8088, of an indexer, a heavy forwarder or a load balancer
	Token      secret.Ref        `hcl:"token"`
	Format     string            `hcl:"format,optional"` // of the event: "cim" (default), "ecs", "json", "ocsf"
	Links      map[string]string `hcl:"links,optional"`  // pages by name, in documents of alerts; those of the agent
	Host       string            `hcl:"host,optional"`   // this machine's name
	Source     string            `hcl:"source,optional"`
	SourceType string            `hcl:"sourcetype,optional"` // "" = by what is sent, appgov:alert and others
	Index      string            `hcl:"index,optional"`      // the token's default
	Fields     map[string]string `hcl:"fields,optional"`     // indexed with every event, beside our own

	Acknowledge bool   `hcl:"acknowledge,optional"` // an alert is delivered when it is indexed; Splunk Enterprise only
	AckTimeout  string `hcl:"ack_timeout,optional"` // "5m"

	Timeout string    `hcl:"timeout,optional"` // of one request, "30s"
	Gzip    *bool     `hcl:"gzip,optional"`    // compress requests; true
	Proxy   string    `hcl:"proxy,optional"`   // URL; "" = of the environment, "none" = no proxy
	TLS     *post.TLS `hcl:"tls,block"`
}

const (
	defaultSource     = "appgovd"
	defaultAckTimeout = 5 * time.Minute
)

// ours are the indexed fields that every event has.
func ours() []string {
	return []string{"alert_id", "delivery_id", "rule_id", "severity", "state", "detection_source"}
}

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	post.CheckURL(&p, "url", c.URL, `write "https://splunk.example.com:8088"`)
	p.Must(!c.Token.IsZero(), "token", "is empty", `write credential("splunk-token")`)
	p.Must(c.Format == "" || known(c.Format), "format", fmt.Sprintf("%q is no format of events", c.Format), "write one of cim, ecs, json, ocsf")
	p.Must(c.Index == "" || regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,255}$`).MatchString(c.Index), "index", fmt.Sprintf("%q is no index", c.Index), "lower-case letters, digits, '_' and '-'")
	for name := range c.Fields {
		p.Must(regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`).MatchString(name), "fields", fmt.Sprintf("%q is no name of a field", name), "letters, digits and '_'")
		for _, taken := range ours() {
			p.Must(name != taken, "fields", fmt.Sprintf("%q is a field of every event already", name), "give it another name")
		}
	}
	p.Must(c.AckTimeout == "" || c.Acknowledge, "ack_timeout", "has no effect without acknowledge", "write acknowledge = true")
	p.Duration("ack_timeout", c.AckTimeout, 10*time.Second)
	post.CheckLinks(&p, c.Links)
	post.Check(&p, c.Timeout, c.TLS)
	return p
}

func known(name string) bool {
	_, err := format.Named(name, nil)
	return err == nil && format.IsJSON(name)
}

// base is the URL without the path of an endpoint, which some write with it.
func (c Config) base() string {
	u := strings.TrimRight(c.URL, "/")
	return strings.TrimSuffix(strings.TrimSuffix(u, "/event"), "/services/collector")
}
