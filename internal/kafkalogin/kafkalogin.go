// Package kafkalogin owns how we come to the brokers of Kafka and to Event Hubs, for the
// source and the sink: the blocks tls and sasl, what is wrong with them, the mechanisms of
// SASL and their secrets, and that no error repeats one.
package kafkalogin

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/appgovd/appgovd/internal/entralogin"
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

	// OAUTHBEARER: a token of Microsoft Entra ID for tenant_id and client_id, by exactly one
	// of four proofs; managed_identity needs no tenant_id, the machine's own identity no
	// client_id either. Or, with token_url, of any server by client_id and client_secret.
	TenantID           string                       `hcl:"tenant_id,optional"` // GUID
	ClientID           string                       `hcl:"client_id,optional"`
	ClientSecret       secret.Ref                   `hcl:"client_secret,optional"`
	ClientCertificates []entralogin.Certificate     `hcl:"client_certificate,block"`
	WorkloadIdentity   *entralogin.WorkloadIdentity `hcl:"workload_identity,block"`
	ManagedIdentity    *entralogin.ManagedIdentity  `hcl:"managed_identity,block"`
	LoginURL           string                       `hcl:"login_url,optional"` // of what gives Entra's tokens; of the cloud that the brokers' names are of
	TokenURL           string                       `hcl:"token_url,optional"` // of another server: https://login.example.com/oauth2/token
	Scope              string                       `hcl:"scope,optional"`     // https://HOST/.default of the first broker
	CAFile             string                       `hcl:"ca_file,optional"`   // PEM authorities of login_url or token_url instead of the system's
}

// proofs are those of s.
func (s SASL) proofs() entralogin.Proofs {
	return entralogin.Proofs{ClientSecret: s.ClientSecret, ClientCertificates: s.ClientCertificates, WorkloadIdentity: s.WorkloadIdentity, ManagedIdentity: s.ManagedIdentity}
}

// Secrets are the references that the block holds; none without one.
func (s *SASL) Secrets() []secret.Ref {
	if s == nil {
		return nil
	}
	return append(s.proofs().Secrets(), s.Password)
}

// As is the block for another user or app with a password or secret.
func (s SASL) As(user string, password secret.Ref) SASL {
	if s.Mechanism != Bearer {
		s.Username, s.Password = user, password
		return s
	}
	s.ClientID, s.ClientSecret = user, password
	s.ClientCertificates, s.WorkloadIdentity, s.ManagedIdentity = nil, nil, nil
	return s
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

// loginURL is of the cloud that the brokers' names are of; "" = the worldwide one.
func (t Target) loginURL() string {
	in := func(domain string) bool {
		return slices.ContainsFunc(t.Brokers, func(b string) bool { return strings.Contains(strings.ToLower(b), domain) })
	}
	switch {
	case in(".servicebus.usgovcloudapi.net"):
		return entralogin.USGovernment
	case in(".servicebus.chinacloudapi.cn"):
		return entralogin.China
	}
	return ""
}

// unknownAPI is what helps where Entra does not know what a token is to be for.
func (t Target) unknownAPI(resource string) string {
	if t.IsHubs() {
		return "the tenant does not know " + resource + ": scope is https://NAMESPACE.servicebus.windows.net/.default, and tenant_id and login_url must be of the cloud that has the namespace"
	}
	return "the tenant does not know " + resource + ": write as scope the application ID URI of the brokers' app registration, with /.default behind it"
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
	Dial   outbound.Dial                                    // of what gives tokens; nil = over the network
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
		if err != nil {
			return nil, err
		}
		return &Login{b, b}, nil
	}
	open, err := o.Secret(s.Password)
	if err != nil {
		return nil, err
	}
	return &Login{Mechanism: &password{mechanism: s.Mechanism, username: s.Username, password: open, target: t}}, nil
}

// Renewals is how often the token was replaced. Where the one of now is about to expire, it
// is asked for another one first. Connections that were made at a smaller number should make
// room for new ones: the broker closes them when their token expires. With a password, and
// without a login, it is always 0.
func (l *Login) Renewals(ctx context.Context) int {
	if l == nil || l.bearer == nil {
		return 0
	}
	return l.bearer.tokens.Renewals(ctx, l.bearer.scope)
}

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
