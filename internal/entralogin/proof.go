package entralogin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// proof is one way to show who we are. What it is made of is read again at each
// use, so that a renewed secret or certificate needs no restart.
type proof struct {
	field string // of the configuration
	read  func() (string, error)
	build func(content string) (identity, error)

	current *identity // nil = to be built
	made    string    // what current was made of
	refused time.Time // when the service last did not want it; zero = never
}

// identity is a built proof. Of several certificates the newest comes first; the
// thumbprint orders those of one time.
type identity struct {
	azcore.TokenCredential
	from       time.Time
	thumbprint string // SHA-256, hexadecimal; "" for what is no certificate
}

// again is when a proof that was refused is tried again: a certificate may reach the
// app registration after this machine.
const again = 10 * time.Minute

// ready builds the proof anew where what it is made of has changed.
func (p *proof) ready() error {
	content, err := p.read()
	if err != nil {
		return fmt.Errorf("read %s: %w", p.field, err)
	}
	if p.current != nil && content == p.made {
		return nil
	}
	id, err := p.build(content)
	if err != nil {
		return err
	}
	if content != p.made {
		p.refused = time.Time{}
	}
	p.current, p.made = &id, content
	return nil
}

// order sorts proofs that are ready: those that were refused of late come last.
func order(all []*proof, now time.Time) {
	slices.SortStableFunc(all, func(a, b *proof) int {
		late := func(p *proof) int {
			if !p.refused.IsZero() && now.Sub(p.refused).Abs() < again {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(late(a), late(b)), b.current.from.Compare(a.current.from), strings.Compare(a.current.thumbprint, b.current.thumbprint))
	})
}

// proofs makes those of a configuration.
func proofs(cfg Config, o Options, c *http.Client) ([]*proof, error) {
	via := azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: cfg.LoginURL, Services: map[azcloud.ServiceName]azcloud.ServiceConfiguration{}},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: (*transport)(c),
	}
	switch {
	case cfg.ManagedIdentity != nil:
		return []*proof{managed(cfg, via, o.Now)}, nil
	case cfg.WorkloadIdentity != nil:
		return []*proof{federated(cfg, via)}, nil
	case len(cfg.ClientCertificates) > 0:
		return certificates(cfg, via, o.Secret)
	}
	read, err := o.Secret(cfg.ClientSecret)
	if err != nil {
		return nil, fmt.Errorf("read client_secret: %w", err)
	}
	// The login origin is pinned by ourselves; the discovery of instances would
	// ask another host.
	return []*proof{{field: "client_secret", read: read, build: func(content string) (identity, error) {
		c, err := azidentity.NewClientSecretCredential(cfg.TenantID, cfg.ClientID, content, &azidentity.ClientSecretCredentialOptions{ClientOptions: via, DisableInstanceDiscovery: true})
		if err != nil {
			return identity{}, fmt.Errorf("use client_secret: %w", err)
		}
		return identity{TokenCredential: c}, nil
	}}}, nil
}

func certificates(cfg Config, o azcore.ClientOptions, open func(secret.Ref) (func() (string, error), error)) ([]*proof, error) {
	var all []*proof
	for _, c := range cfg.ClientCertificates {
		password := func() (string, error) { return "", nil }
		if !c.Password.IsZero() {
			var err error
			if password, err = open(c.Password); err != nil {
				return nil, fmt.Errorf("read client_certificate.password: %w", err)
			}
		}
		all = append(all, &proof{field: "client_certificate " + c.File, read: contentOf(c.File), build: func(content string) (identity, error) {
			word, err := password()
			if err != nil {
				return identity{}, fmt.Errorf("read client_certificate.password: %w", err)
			}
			return certificate(cfg, o, c.File, content, word)
		}})
	}
	return all, nil
}

func certificate(cfg Config, o azcore.ClientOptions, file, content, password string) (identity, error) {
	var word []byte
	if password != "" {
		word = []byte(password)
	}
	certs, key, err := azidentity.ParseCertificates([]byte(content), word)
	if err != nil {
		return identity{}, fmt.Errorf("parse client_certificate %s: %w", file, err)
	}
	c, err := azidentity.NewClientCertificateCredential(cfg.TenantID, cfg.ClientID, certs, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true, SendCertificateChain: true})
	if err != nil {
		return identity{}, fmt.Errorf("use client_certificate %s: %w", file, err)
	}
	sum := sha256.Sum256(certs[0].Raw)
	return identity{c, certs[0].NotBefore, hex.EncodeToString(sum[:])}, nil
}

// federated proves who we are by a token that another issuer, which the app
// registration trusts, writes into a file, as Kubernetes does.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation
func federated(cfg Config, o azcore.ClientOptions) *proof {
	file := cfg.WorkloadIdentity.file()
	token := func(context.Context) (string, error) {
		content, err := contentOf(file)()
		if err != nil {
			return "", err
		}
		if content = strings.TrimSpace(content); content == "" {
			return "", fmt.Errorf("%s is empty", file)
		}
		return content, nil
	}
	return &proof{field: "workload_identity.token_file", read: func() (string, error) {
		_, err := token(context.Background())
		return "", err // the token itself is read when it is sent: it changes every hour
	}, build: func(string) (identity, error) {
		c, err := azidentity.NewClientAssertionCredential(cfg.TenantID, cfg.ClientID, token, &azidentity.ClientAssertionCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
		if err != nil {
			return identity{}, fmt.Errorf("use workload_identity: %w", err)
		}
		return identity{TokenCredential: c}, nil
	}}
}

// managed has the tokens given by the machine that Azure runs us on.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
func managed(cfg Config, o azcore.ClientOptions, now func() time.Time) *proof {
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
	if !cfg.ManagedIdentity.SystemAssigned {
		options.ID = azidentity.ClientID(cfg.ClientID)
	}
	return &proof{field: "managed_identity", read: func() (string, error) { return "", nil }, build: func(string) (identity, error) {
		c, err := azidentity.NewManagedIdentityCredential(options)
		if err != nil {
			return identity{}, fmt.Errorf("use managed_identity: %w", err)
		}
		return identity{TokenCredential: newMachineTokens(c, now)}, nil
	}}
}

// machineClient asks the machine, past every proxy.
func machineClient(dial outbound.Dial) (*http.Client, error) {
	c, err := outbound.Client(outbound.Options{Origins: machineOrigins(), Proxy: "none", Dial: dial, MaxBody: maxAnswer, Timeout: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("build client of managed_identity: %w", err)
	}
	return c, nil
}

// machineOrigins is where a machine of Azure gives tokens: at the fixed address, at that of
// Azure Arc, or where the environment of a service such as App Service says.
func machineOrigins() []string {
	out := []string{"http://169.254.169.254", "http://127.0.0.1:40342"}
	for _, name := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		if u, err := url.Parse(os.Getenv(name)); err == nil && u.Host != "" {
			out = append(out, u.Scheme+"://"+u.Host)
		}
	}
	return out
}

const maxProof = 1 << 20 // bytes of a certificate or token file

func contentOf(file string) func() (string, error) {
	return func() (string, error) {
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		if info.Size() > maxProof {
			return "", errors.New(file + " is too large for what it should be")
		}
		b, err := os.ReadFile(file)
		return string(b), err
	}
}
