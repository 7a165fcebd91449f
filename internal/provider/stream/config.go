package stream

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
)

// KafkaConfig is the body of `source "kafka" "NAME" {}`. Durations are text such as
// "5m".
type KafkaConfig struct {
	TenantID string   `hcl:"tenant_id"` // GUID of the tenant whose records the topics carry
	Brokers  []string `hcl:"brokers"`   // host:port, any of the cluster; NAMESPACE.servicebus.windows.net:9093 for Event Hubs
	Topics   []string `hcl:"topics"`    // or Event Hubs

	Group           string   `hcl:"group,optional"`             // consumer group, of appgovd alone, "appgovd"
	Categories      []string `hcl:"categories,optional"`        // of diagnostic settings that are collected; empty = all that are known
	Keep            string   `hcl:"keep,optional"`              // of calls to APIs: "matched" (default) keeps those that a rule may select and sums up the others, "all", "rollup" sums up all
	Start           string   `hcl:"start,optional"`             // of a partition that was never read: "oldest" (default), "newest"
	Lateness        string   `hcl:"lateness,optional"`          // of records, after which the source counts as complete, "2h"
	MaxMessageBytes int      `hcl:"max_message_bytes,optional"` // a larger message goes to the quarantine; 16777216
	Timeout         string   `hcl:"timeout,optional"`           // of one request, "10s"
	Idle            string   `hcl:"idle,optional"`              // after which a read without anything new ends, "10s"
	ClientID        string   `hcl:"client_id,optional"`         // as the broker's logs and quotas see us, "appgovd"
	TLS             *TLS     `hcl:"tls,block"`                  // absent = no TLS
	SASL            *SASL    `hcl:"sasl,block"`                 // absent = no log-in
}

// TLS is the block `tls {}`; empty, it trusts the system's authorities.
type TLS struct {
	CAFile     string `hcl:"ca_file,optional"`     // PEM authorities instead of the system's
	CertFile   string `hcl:"cert_file,optional"`   // PEM client certificate, for mutual TLS
	KeyFile    string `hcl:"key_file,optional"`    // its key
	ServerName string `hcl:"server_name,optional"` // that the brokers' certificates carry, where it is not their host
}

// SASL is the block `sasl {}`.
type SASL struct {
	Mechanism string     `hcl:"mechanism"`         // "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"
	Username  string     `hcl:"username,optional"` // "$ConnectionString" for Event Hubs; not with OAUTHBEARER
	Password  secret.Ref `hcl:"password,optional"` // the connection string for Event Hubs; not with OAUTHBEARER

	// OAUTHBEARER: a token by client credentials.
	ClientID     string     `hcl:"client_id,optional"`
	ClientSecret secret.Ref `hcl:"client_secret,optional"`
	TokenURL     string     `hcl:"token_url,optional"` // https://login.microsoftonline.com/TENANT/oauth2/v2.0/token
	Scope        string     `hcl:"scope,optional"`     // https://HOST/.default of the first broker
	CAFile       string     `hcl:"ca_file,optional"`   // PEM authorities of token_url instead of the system's
}

// Mechanisms of SASL.
const (
	mechanismPlain  = kafkalogin.Plain
	mechanismSHA256 = kafkalogin.SHA256
	mechanismSHA512 = kafkalogin.SHA512
	mechanismBearer = "OAUTHBEARER"
)

// Starts.
const (
	startOldest = "oldest"
	startNewest = "newest"
)

const (
	defaultLateness   = 2 * time.Hour
	defaultMaxMessage = 16 << 20
	leastMaxMessage   = 1 << 10
	hubsSuffix        = ".servicebus."
)

func (c KafkaConfig) group() string {
	if c.Group == "" {
		return "appgovd"
	}
	return c.Group
}

// Late is the lateness of records.
func (c KafkaConfig) Late() time.Duration { return durationOr(c.Lateness, defaultLateness) }

// isHubs reports whether the brokers are Event Hubs.
func (c KafkaConfig) isHubs() bool {
	return slices.ContainsFunc(c.Brokers, func(b string) bool { return strings.Contains(strings.ToLower(b), hubsSuffix) })
}

// Secrets are the references that c holds.
func (c KafkaConfig) Secrets() []secret.Ref {
	if c.SASL == nil {
		return nil
	}
	return []secret.Ref{c.SASL.Password, c.SASL.ClientSecret}
}

// checker gathers problems.
type checker struct{ found []Problem }

func (v *checker) must(ok bool, field, text, advice string) {
	if !ok {
		v.found = append(v.found, Problem{field, text, advice})
	}
}

func (v *checker) duration(field, text string, least time.Duration) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	v.must(err == nil && d >= least, field, fmt.Sprintf("%q is no duration of at least %s", text, least), `write "30s" or "2h"`)
}

func (v *checker) tenant(id string) {
	v.must(isGUID(id), "tenant_id", "is not a GUID", `records carry the tenant's id, so a domain name is not enough: copy "Directory (tenant) ID" from the Entra admin centre`)
}

// What is kept of calls to APIs.
const (
	KeepAll     = "all"
	KeepMatched = "matched"
	KeepRollup  = "rollup"
)

func (v *checker) keep(s string) {
	v.must(slices.Contains([]string{"", KeepAll, KeepMatched, KeepRollup}, s), "keep", fmt.Sprintf("%q is none of all, matched, rollup", s), "")
}

// Validate returns every mistake of c that can be found without a network.
func (c KafkaConfig) Validate() []Problem {
	var v checker
	v.tenant(c.TenantID)
	v.must(len(c.Brokers) > 0, "brokers", "names no broker", `brokers = ["contoso.servicebus.windows.net:9093"]`)
	for _, b := range c.Brokers {
		v.must(isHostPort(b), "brokers", fmt.Sprintf("%q is not host:port", b), "Kafka's usual ports are 9092 and, with TLS, 9093; Event Hubs' is 9093")
	}
	v.must(len(c.Topics) > 0, "topics", "names no topic", `topics = ["insights-logs-microsoftgraphactivitylogs"]; the topic of an Event Hub is its name`)
	for i, t := range c.Topics {
		v.must(topicName().MatchString(t) && t != "." && t != "..", "topics", fmt.Sprintf("%q is no topic", t), "a topic has at most 249 letters, digits, '.', '_' and '-'")
		v.must(!slices.Contains(c.Topics[:i], t), "topics", fmt.Sprintf("%q is named twice", t), "")
	}
	v.keep(c.Keep)
	v.must(slices.Contains([]string{"", startOldest, startNewest}, c.Start), "start", fmt.Sprintf("%q is neither oldest nor newest", c.Start), "")
	v.must(c.MaxMessageBytes == 0 || c.MaxMessageBytes >= leastMaxMessage, "max_message_bytes", fmt.Sprintf("is below %d", leastMaxMessage), "")
	v.duration("lateness", c.Lateness, 0)
	v.duration("timeout", c.Timeout, time.Second)
	v.duration("idle", c.Idle, 100*time.Millisecond)
	if c.TLS != nil {
		v.must((c.TLS.CertFile == "") == (c.TLS.KeyFile == ""), "tls.cert_file", "mutual TLS needs cert_file and key_file", "")
	}
	v.hubs(c)
	if c.SASL != nil {
		v.login(c, *c.SASL)
	}
	return v.found
}

// hubs finds what Event Hubs would refuse.
func (v *checker) hubs(c KafkaConfig) {
	if !c.isHubs() {
		return
	}
	v.must(c.TLS != nil, "tls", "Event Hubs want TLS", "add an empty block: tls {}")
	v.must(c.SASL != nil, "sasl", "Event Hubs want a log-in", `for example sasl { mechanism = "PLAIN", username = "$ConnectionString", password = env("EVENTHUBS") }, each on a line of its own`)
	for _, b := range c.Brokers {
		_, port, _ := net.SplitHostPort(b)
		v.must(port == "9093" || port == "", "brokers", fmt.Sprintf("%q: Event Hubs' Kafka endpoint is port 9093", b), "")
	}
}

func (v *checker) login(c KafkaConfig, s SASL) {
	v.must(slices.Contains([]string{mechanismPlain, mechanismSHA256, mechanismSHA512, mechanismBearer}, s.Mechanism), "sasl.mechanism",
		fmt.Sprintf("%q is no mechanism that is known", s.Mechanism), "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER")
	v.must(c.TLS != nil || s.Mechanism != mechanismPlain && s.Mechanism != mechanismBearer, "sasl.mechanism", s.Mechanism+" without TLS shows the secret to the network", "add a tls block")
	if s.Mechanism != mechanismBearer {
		v.must(s.Username != "" && !s.Password.IsZero(), "sasl", "username and password are needed", `for Event Hubs the username is "$ConnectionString" as it stands, the password the connection string`)
		v.must(s.ClientID == "" && s.ClientSecret.IsZero() && s.TokenURL == "" && s.Scope == "", "sasl", "client_id, client_secret, token_url and scope are for OAUTHBEARER", "")
		v.must(!c.isHubs() || s.Mechanism != mechanismPlain || s.Username == connectionUser, "sasl.username", "Event Hubs want the username $ConnectionString", `write username = "$ConnectionString" and the connection string as password`)
		return
	}
	v.must(s.Username == "" && s.Password.IsZero(), "sasl", "username and password are not for OAUTHBEARER", "")
	v.must(s.ClientID != "" && !s.ClientSecret.IsZero(), "sasl", "client_id and client_secret are needed", "of an app that has the role Azure Event Hubs Data Receiver on the namespace or the hub")
	u, err := url.Parse(s.TokenURL)
	v.must(s.TokenURL != "" && err == nil && u.Host != "" && (u.Scheme == "https" || isLoopback(u.Hostname())), "sasl.token_url", "is not an https URL", "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && n > 0 && host != "" && !strings.ContainsAny(host, "/ ")
}

func isGUID(s string) bool {
	return regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString(s)
}

func topicName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`) }

// durationOr is a duration that was checked, or def where none is given.
func durationOr(text string, def time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return def
}

// FileConfig is the body of `source "file" "NAME" {}`.
type FileConfig struct {
	TenantID     string   `hcl:"tenant_id"`              // GUID of the tenant whose records the files hold
	Paths        []string `hcl:"paths"`                  // files, or patterns with *, ? and [a-z]
	Categories   []string `hcl:"categories,optional"`    // of diagnostic settings that are collected; empty = all that are known
	Keep         string   `hcl:"keep,optional"`          // of calls to APIs: "matched" (default) keeps those that a rule may select and sums up the others, "all", "rollup" sums up all
	Once         bool     `hcl:"once,optional"`          // read the files as they are, and do not wait for more
	PollInterval string   `hcl:"poll_interval,optional"` // between two looks, "2s"
	Lateness     string   `hcl:"lateness,optional"`      // of records, after which the source counts as complete, "2h"
}

// Late is the lateness of records.
func (c FileConfig) Late() time.Duration { return durationOr(c.Lateness, defaultLateness) }

// Validate returns every mistake of c that can be found without looking for the files.
func (c FileConfig) Validate() []Problem {
	var v checker
	v.tenant(c.TenantID)
	v.must(len(c.Paths) > 0, "paths", "names no file", `paths = ["/var/log/entra/*.json"]`)
	for _, p := range c.Paths {
		_, err := filepath.Match(p, "")
		v.must(err == nil && p != "", "paths", fmt.Sprintf("%q is no path or pattern", p), "a [ begins a set of characters; write \\[ for itself")
		v.must(filepath.IsAbs(p), "paths", fmt.Sprintf("%q is not absolute", p), "the daemon's directory is not yours")
	}
	v.keep(c.Keep)
	v.duration("poll_interval", c.PollInterval, 100*time.Millisecond)
	v.duration("lateness", c.Lateness, 0)
	return v.found
}
