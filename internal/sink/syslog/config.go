package syslog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "syslog" "NAME" {}`.
type Config struct {
	Address  string `hcl:"address"`           // host:port; the usual ports are 514 and, with TLS, 6514
	Protocol string `hcl:"protocol,optional"` // "tls" (default), "tcp", "udp"
	TLS      *TLS   `hcl:"tls,block"`

	Format           string            `hcl:"format,optional"`            // of MSG: "ecs" (default), "json", "ocsf", "cim", "cef" or "leef"
	Links            map[string]string `hcl:"links,optional"`             // pages by name, in documents of alerts; those of the agent
	Facility         string            `hcl:"facility,optional"`          // "local0"
	Hostname         string            `hcl:"hostname,optional"`          // of the header; this machine's name
	AppName          string            `hcl:"app_name,optional"`          // of the header; "appgovd"
	EnterpriseNumber int               `hcl:"enterprise_number,optional"` // of the structured data's id; 32473, the number for examples
	BOM              bool              `hcl:"bom,optional"`               // a byte order mark before MSG; false

	MaxMessageBytes int    `hcl:"max_message_bytes,optional"` // 8192; what is larger goes to the dead letter
	Timeout         string `hcl:"timeout,optional"`           // of connecting, and of one write until the peer's TCP has it, "10s"
	ResendWindow    *int   `hcl:"resend_window,optional"`     // alerts that go out again after a broken connection and after a restart, 5000; not for udp
}

// TLS is the block `tls {}`.
type TLS struct {
	CAFile     string `hcl:"ca_file,optional"`     // PEM authorities instead of the system's
	CertFile   string `hcl:"cert_file,optional"`   // PEM client certificate, for mutual TLS
	KeyFile    string `hcl:"key_file,optional"`    // its key
	ServerName string `hcl:"server_name,optional"` // that the receiver's certificate carries, where it is not the host of address
}

// Values of Config.Protocol.
const (
	protocolUDP = "udp"
	protocolTCP = "tcp"
	protocolTLS = "tls"
)

const (
	defaultTimeout      = 10 * time.Second
	defaultMaxBytes     = 8 << 10
	leastMaxBytes       = 480       // that every receiver takes: RFC 5424, section 6.1
	mostMaxBytes        = 1 << 20   // a window of messages is kept in memory
	mostUDPBytes        = 65000     // of one datagram, headers off
	defaultResendWindow = 5000      // alerts, some 6 MB: what a socket of Linux buffers at most, unless it is told otherwise
	mostResendWindow    = 30_000    // alerts
	mostWindowBytes     = 256 << 20 // kept in memory
	examplesEnterprise  = 32473     // RFC 5612
	mostEnterprise      = 1<<32 - 2 // RFC 9371
)

// Validate returns every mistake of c that can be found without a network.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.HostPort("address", c.Address, "the usual ports are 514 and, with TLS, 6514")
	p.OneOf("protocol", c.Protocol, protocolUDP, protocolTCP, protocolTLS)
	_, err := format.Named(c.Format, nil)
	p.Must(err == nil, "format", fmt.Sprintf("%q is no format", c.Format), "write one of "+strings.Join(format.Names(), ", "))
	post.CheckLinks(&p, c.Links)
	_, known := facility(c.Facility)
	p.Must(known, "facility", fmt.Sprintf("%q is no facility", c.Facility), "one of local0 to local7, audit, authpriv, daemon, user and the other names of syslog")
	p.Must(printable(c.Hostname, 255), "hostname", "is no host name", "at most 255 visible ASCII characters, no space")
	p.Must(printable(c.AppName, 48), "app_name", "is no application name", "at most 48 visible ASCII characters, no space")
	p.Must(c.EnterpriseNumber >= 0 && c.EnterpriseNumber <= mostEnterprise, "enterprise_number", "is no private enterprise number", "IANA lists them")
	most := mostMaxBytes
	if c.Protocol == protocolUDP {
		most = mostUDPBytes
	}
	p.Must(c.MaxMessageBytes == 0 || c.MaxMessageBytes >= leastMaxBytes && c.MaxMessageBytes <= most, "max_message_bytes", fmt.Sprintf("is not between %d and %d", leastMaxBytes, most), "")
	p.Duration("timeout", c.Timeout, time.Second)
	p.Must(c.ResendWindow == nil || *c.ResendWindow >= 0 && *c.ResendWindow <= mostResendWindow, "resend_window", fmt.Sprintf("is not between 0 and %d", mostResendWindow), "")
	p.Must(c.ResendWindow == nil || c.Protocol != protocolUDP, "resend_window", "has no meaning with udp: a datagram that is lost is lost", "delete it, or use tcp or tls")
	p.Must(c.Window()*uint64(max(c.MaxMessageBytes, defaultMaxBytes)) <= mostWindowBytes, "resend_window", "times max_message_bytes is more memory than 256 MiB", "lower one of them")
	if c.TLS != nil {
		p.Must(c.protocol() == protocolTLS, "tls", "is given, but the protocol is "+c.Protocol, `write protocol = "tls"`)
		p.Pair("tls.cert_file", c.TLS.CertFile != "", c.TLS.KeyFile != "", "mutual TLS needs cert_file and key_file")
	}
	return p
}

func (c Config) protocol() string {
	if c.Protocol == "" {
		return protocolTLS
	}
	return c.Protocol
}

// Window is how many alerts go out again after a restart.
func (c Config) Window() uint64 {
	switch {
	case c.Protocol == protocolUDP:
		return 0
	case c.ResendWindow == nil:
		return min(defaultResendWindow, mostWindowBytes/uint64(max(c.MaxMessageBytes, defaultMaxBytes)))
	default:
		return uint64(max(*c.ResendWindow, 0))
	}
}

// facility is the number of a name (RFC 5424, table 1; names as rsyslog has
// them).
func facility(name string) (int, bool) {
	if name == "" {
		name = "local0"
	}
	n := slices.Index([]string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}, name)
	return n, n >= 0
}

// printable tells whether s is empty or at most n visible ASCII characters.
func printable(s string, n int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= n
}
