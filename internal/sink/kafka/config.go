package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "kafka" "NAME" {}`.
type Config struct {
	Brokers         []string          `hcl:"brokers"`                    // host:port, any of the cluster; NAMESPACE.servicebus.windows.net:9093 for Event Hubs
	Topic           string            `hcl:"topic"`                      // made by `appgovd setup kafka` or its owner, never at run time
	Format          string            `hcl:"format,optional"`            // "ecs" (default), "json", "ocsf", "cim", "cef" or "leef"
	Links           map[string]string `hcl:"links,optional"`             // pages by name, in documents of alerts; those of the agent
	Compression     string            `hcl:"compression,optional"`       // "none" (default for Event Hubs), "gzip", "snappy", "lz4", "zstd" (default)
	MaxMessageBytes int               `hcl:"max_message_bytes,optional"` // of one record and of one request; 1048576, for Event Hubs 1000000; not above the broker's message.max.bytes
	Timeout         string            `hcl:"timeout,optional"`           // of one request, "10s"
	ClientID        string            `hcl:"client_id,optional"`         // as the broker's logs and quotas see us, "appgovd"

	// Topics are topics of their own by kind of alert ("health"), or by class of event where events are forwarded
	// ("signin"); what is not named goes to Topic.
	Topics map[string]string `hcl:"topics,optional"`

	Create *Create          `hcl:"create,block"` // how `appgovd setup kafka` makes the topics; absent = by the cluster's defaults
	TLS    *kafkalogin.TLS  `hcl:"tls,block"`    // absent = no TLS
	SASL   *kafkalogin.SASL `hcl:"sasl,block"`   // absent = no log-in
}

const (
	defaultMaxBytes = 1 << 20
	leastMaxBytes   = 16 << 10

	// Event Hubs close the connection on a request of more than mostHubsBytes.
	// https://learn.microsoft.com/azure/event-hubs/apache-kafka-configurations
	defaultHubsBytes = 1_000_000
	mostHubsBytes    = 1_046_528
)

// target is where the log-in leads.
func (c Config) target() kafkalogin.Target {
	return kafkalogin.Target{Brokers: c.Brokers, Topics: c.allTopics(), Write: true}
}

// allTopics are the topics, each once: the default, then the others in their order.
func (c Config) allTopics() []string {
	all := []string{c.Topic}
	for _, t := range slices.Sorted(maps.Values(c.Topics)) {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

func (c Config) maxBytes() int {
	def := defaultMaxBytes
	if c.target().IsHubs() {
		def = defaultHubsBytes
	}
	return cmp.Or(c.MaxMessageBytes, def)
}

// compression is the codec; false where there is none of that name.
func (c Config) compression() (kafka.Compression, bool) {
	name := c.Compression
	if name == "" && c.target().IsHubs() {
		name = "none"
	}
	codec, ok := map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd, "": kafka.Zstd,
	}[name]
	return codec, ok
}

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.Must(len(c.Brokers) > 0, "brokers", "names no broker", `brokers = ["kafka-1.example.com:9093"]`)
	for _, b := range c.Brokers {
		p.HostPort("brokers", b, "Kafka's usual ports are 9092 and, with TLS, 9093")
	}
	mustBeTopic(&p, "topic", c.Topic)
	for _, kind := range slices.Sorted(maps.Keys(c.Topics)) {
		mustBeTopic(&p, "topics."+kind, c.Topics[kind])
	}
	_, err := format.Named(c.Format, nil)
	p.Must(err == nil, "format", fmt.Sprintf("%q is no format", c.Format), "write one of "+strings.Join(format.Names(), ", "))
	post.CheckLinks(&p, c.Links)
	compression, known := c.compression()
	p.Must(known, "compression", fmt.Sprintf("%q is no compression", c.Compression), "one of none, gzip, snappy, lz4, zstd")
	p.Must(c.MaxMessageBytes == 0 || c.MaxMessageBytes >= leastMaxBytes, "max_message_bytes", fmt.Sprintf("is below %d", leastMaxBytes), "")
	if c.target().IsHubs() {
		p.Must(!known || compression == 0 || compression == kafka.Gzip, "compression", "Event Hubs take none and gzip", "gzip is for the tiers premium and dedicated")
		p.Must(c.MaxMessageBytes <= mostHubsBytes, "max_message_bytes", fmt.Sprintf("is above %d, where Event Hubs close the connection", mostHubsBytes), "")
	}
	p.Duration("timeout", c.Timeout, 0)
	c.validateCreate(&p)
	for _, m := range kafkalogin.Check(c.target(), c.TLS, c.SASL) {
		p.Must(false, m.Field, m.Text, m.Advice)
	}
	return p
}

// Secrets are the references that c holds.
func (c Config) Secrets() []secret.Ref { return c.SASL.Secrets() }

// ValidateKinds returns every key of topics that is no kind of alert, or no class of
// event where the sink gets events.
func (c Config) ValidateKinds(events bool) (p deliver.Problems) {
	what, known := "kind of alert", event.AlertKinds()
	if events {
		what, known = "class of event", event.Classes()
	}
	for _, kind := range slices.Sorted(maps.Keys(c.Topics)) {
		if !slices.Contains(known, kind) {
			p = append(p, deliver.Problem{Field: "topics." + kind, Text: fmt.Sprintf("%q is no %s", kind, what), Advice: "It is one of " + strings.Join(known, ", ") + ".", Wrote: kind, Known: known})
		}
	}
	return p
}

func mustBeTopic(p *deliver.Problems, field, name string) {
	p.Must(topicName().MatchString(name) && name != "." && name != "..", field, fmt.Sprintf("%q is no topic", name), "a topic has at most 249 letters, digits, '.', '_' and '-'")
}

func topicName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`) }
