// Package kafkalogin owns how we come to the brokers of Kafka and to Event Hubs, for the
// source and the sink: the blocks tls and sasl, what is wrong with them, the mechanisms of
// SASL and their secrets, and that no error repeats one.
package kafkalogin

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Mechanisms of SASL, as Kafka calls them.
const (
	Plain  = "PLAIN"
	SHA256 = "SCRAM-SHA-256"
	SHA512 = "SCRAM-SHA-512"
	Bearer = "OAUTHBEARER"
)

// connectionUser is whom a connection string of Event Hubs logs in.
const connectionUser = "$ConnectionString"

// TLS is the block `tls {}`; empty, it trusts the system's authorities.
type TLS struct {
	CAFile     string `hcl:"ca_file,optional"`     // PEM authorities instead of the system's
	CertFile   string `hcl:"cert_file,optional"`   // PEM client certificate, for mutual TLS
	KeyFile    string `hcl:"key_file,optional"`    // its key
	ServerName string `hcl:"server_name,optional"` // that the brokers' certificates carry, where it is not their host
}

// Config is what the block asks for; nil without one. A client certificate is read again
// for each connection.
func (t *TLS) Config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	return outbound.TLS(outbound.Options{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, ServerName: t.ServerName})
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

// Secrets are the references that the block holds; none without one.
func (s *SASL) Secrets() []secret.Ref {
	if s == nil {
		return nil
	}
	return []secret.Ref{s.Password, s.ClientSecret}
}

// Target is where we log in, and what for.
type Target struct {
	Brokers []string // host:port
	Topics  []string
	Write   bool // to write records; else to read them
}

// IsHubs reports whether the brokers are Event Hubs.
func (t Target) IsHubs() bool {
	return slices.ContainsFunc(t.Brokers, func(b string) bool { return strings.Contains(strings.ToLower(b), ".servicebus.") })
}

// role is the role of Azure that Event Hubs ask for.
func (t Target) role() string {
	if t.Write {
		return "Azure Event Hubs Data Sender"
	}
	return "Azure Event Hubs Data Receiver"
}

// claim is the claim that a shared access policy of Event Hubs needs.
func (t Target) claim() string {
	if t.Write {
		return "Send"
	}
	return "Listen"
}

// WhenRefused is what helps where the brokers refuse the log-in.
func (t Target) WhenRefused() string {
	if t.IsHubs() {
		return "Event Hubs refuse the log-in: the connection string is of another namespace, its key was renewed, or its policy has no claim " + t.claim() + "; a local log-in may be switched off (then use OAUTHBEARER)"
	}
	return "check user, password and mechanism of the sasl block"
}

// WithoutRights is what helps where the topic may not be used.
func (t Target) WithoutRights() string {
	right := "Read"
	if t.Write {
		right = "Write"
	}
	advice := "grant the user " + right + " and Describe on the topic"
	if t.IsHubs() {
		advice += ": the claim " + t.claim() + " of the shared access policy, or the role " + t.role() + "; a connection string with an EntityPath is for that hub alone"
	}
	return advice
}

// Options of New.
type Options struct {
	Secret func(secret.Ref) (func() (string, error), error) // opens references
	Now    func() time.Time                                 // nil = the machine's clock
}

// Login is how a connection logs in, with the secret of the moment: one that was rotated
// needs no restart. It is safe for concurrent use. Its errors have a class and a hint.
type Login struct {
	sasl.Mechanism
	bearer *bearer // nil with a password
}

// New opens the secrets of a block; it connects to nothing.
func New(s SASL, t Target, o Options) (*Login, error) {
	if o.Secret == nil {
		return nil, errors.New("no way to open secrets")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if s.Mechanism == Bearer {
		b, err := newBearer(s, t, o)
		return &Login{b, b}, err
	}
	open, err := o.Secret(s.Password)
	if err != nil {
		return nil, err
	}
	return &Login{Mechanism: &password{mechanism: s.Mechanism, username: s.Username, password: open, target: t}}, nil
}

// Due reports whether connections that were made until now should make room for new ones,
// since their token is about to expire: the broker would close them. A login by password
// is never due.
func (l *Login) Due() bool { return l != nil && l.bearer != nil && l.bearer.due() }

// newMechanism is the one of that name for one log-in; any other name is Plain. An error
// is of class auth.
func newMechanism(name, username, password string) (sasl.Mechanism, error) {
	switch name {
	case SHA256:
		return newScram(scram.SHA256, username, password)
	case SHA512:
		return newScram(scram.SHA512, username, password)
	default:
		return plain.Mechanism{Username: username, Password: password}, nil
	}
}

// newScram drops the library's error: it repeats the password.
func newScram(a scram.Algorithm, username, password string) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(a, username, password)
	if err != nil {
		return nil, fault.NewAuth(errors.New("the user or password has characters that SCRAM does not allow"))
	}
	return m, nil
}
