package stream

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/entralogin"
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

	TLS  *kafkalogin.TLS  `hcl:"tls,block"`  // absent = no TLS
	SASL *kafkalogin.SASL `hcl:"sasl,block"` // absent = no log-in
}

// Starts.
const (
	startOldest = "oldest"
	startNewest = "newest"
)

const (
	defaultLateness   = 2 * time.Hour
	defaultMaxMessage = 16 << 20
	leastMaxMessage   = 1 << 10
)

func (c KafkaConfig) group() string {
	if c.Group == "" {
		return "appgovd"
	}
	return c.Group
}

// Late is the lateness of records.
func (c KafkaConfig) Late() time.Duration { return durationOr(c.Lateness, defaultLateness) }

// target is where the log-in leads.
func (c KafkaConfig) target() kafkalogin.Target {
	return kafkalogin.Target{Brokers: c.Brokers, Topics: c.Topics}
}

// isHubs reports whether the brokers are Event Hubs.
func (c KafkaConfig) isHubs() bool { return c.target().IsHubs() }

// Secrets are the references that c holds.
func (c KafkaConfig) Secrets() []secret.Ref { return c.SASL.Secrets() }

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
	v.must(entralogin.IsGUID(id), "tenant_id", "is not a GUID", `records carry the tenant's id, so a domain name is not enough: copy "Directory (tenant) ID" from the Entra admin centre`)
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
	for _, m := range kafkalogin.Check(c.target(), c.TLS, c.SASL) {
		v.found = append(v.found, Problem(m))
	}
	return v.found
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && n > 0 && host != "" && !strings.ContainsAny(host, "/ ")
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
