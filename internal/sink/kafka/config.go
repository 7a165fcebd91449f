package kafka

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
)

// Config is the body of `sink "kafka" "NAME" {}`.
type Config struct {
	Brokers         []string `hcl:"brokers"`                    // host:port, any of the cluster
	Topic           string   `hcl:"topic"`                      // made by its owner, never by us
	Format          string   `hcl:"format,optional"`            // "ecs" (default), "json", "ocsf", "cim", "cef" or "leef"
	Compression     string   `hcl:"compression,optional"`       // "none", "gzip", "snappy", "lz4", "zstd" (default)
	MaxMessageBytes int      `hcl:"max_message_bytes,optional"` // of one record and of one request; 1048576; not above the broker's message.max.bytes
	Timeout         string   `hcl:"timeout,optional"`           // of one request, "10s"
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
	Mechanism string     `hcl:"mechanism"` // "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"
	Username  string     `hcl:"username"`
	Password  secret.Ref `hcl:"password"`
}

// Mechanisms of SASL.
const (
	mechanismPlain  = kafkalogin.Plain
	mechanismSHA256 = kafkalogin.SHA256
	mechanismSHA512 = kafkalogin.SHA512
)

const (
	defaultMaxBytes = 1 << 20
	leastMaxBytes   = 16 << 10
)

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.Must(len(c.Brokers) > 0, "brokers", "names no broker", `brokers = ["kafka-1.example.com:9093"]`)
	for _, b := range c.Brokers {
		p.HostPort("brokers", b, "Kafka's usual ports are 9092 and, with TLS, 9093")
	}
	p.Must(topicName().MatchString(c.Topic) && c.Topic != "." && c.Topic != "..", "topic", fmt.Sprintf("%q is no topic", c.Topic), "a topic has at most 249 letters, digits, '.', '_' and '-'")
	_, err := format.Named(c.Format)
	p.Must(err == nil, "format", fmt.Sprintf("%q is no format", c.Format), "write one of "+strings.Join(format.Names(), ", "))
	_, known := codec(c.Compression)
	p.Must(known, "compression", fmt.Sprintf("%q is no compression", c.Compression), "one of none, gzip, snappy, lz4, zstd")
	p.Must(c.MaxMessageBytes == 0 || c.MaxMessageBytes >= leastMaxBytes, "max_message_bytes", fmt.Sprintf("is below %d", leastMaxBytes), "")
	p.Duration("timeout", c.Timeout, 0)
	if c.TLS != nil {
		p.Pair("tls.cert_file", c.TLS.CertFile != "", c.TLS.KeyFile != "", "mutual TLS needs cert_file and key_file")
	}
	if c.SASL != nil {
		p.OneOf("sasl.mechanism", c.SASL.Mechanism, mechanismPlain, mechanismSHA256, mechanismSHA512)
		p.Must(c.SASL.Mechanism != "" && c.SASL.Username != "" && !c.SASL.Password.IsZero(), "sasl", "mechanism, username and password are all needed", "")
		p.Must(c.SASL.Mechanism != mechanismPlain || c.TLS != nil, "sasl.mechanism", "PLAIN without TLS shows the password to the network", "add a tls block, or use SCRAM-SHA-512")
	}
	return p
}

// Secrets are the references that c holds.
func (c Config) Secrets() []secret.Ref {
	if c.SASL == nil {
		return nil
	}
	return []secret.Ref{c.SASL.Password}
}

func topicName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`) }

func codec(name string) (kafka.Compression, bool) {
	c, ok := map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd, "": kafka.Zstd,
	}[name]
	return c, ok
}
