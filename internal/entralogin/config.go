package entralogin

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Proofs are those of a configuration; exactly one of the four fields is used. Of several
// certificates the newest that the service takes counts, so that one can be rotated
// without a gap.
type Proofs struct {
	ClientSecret       secret.Ref
	ClientCertificates []Certificate
	WorkloadIdentity   *WorkloadIdentity
	ManagedIdentity    *ManagedIdentity
}

// Certificate is the block `client_certificate {}`.
type Certificate struct {
	File     string     `hcl:"file"` // PEM or PKCS #12 with certificate and private key; read again when it changes
	Password secret.Ref `hcl:"password,optional"`
}

// WorkloadIdentity is the block `workload_identity {}`: a token of another issuer,
// which the app registration trusts, stands for a secret.
type WorkloadIdentity struct {
	TokenFile string `hcl:"token_file,optional"` // that the issuer keeps fresh; "" = AZURE_FEDERATED_TOKEN_FILE of the environment
}

func (w WorkloadIdentity) file() string {
	if w.TokenFile != "" {
		return w.TokenFile
	}
	return os.Getenv("AZURE_FEDERATED_TOKEN_FILE")
}

// ManagedIdentity is the block `managed_identity {}`: the machine of Azure that we run
// on gives the tokens. client_id is the identity's own.
type ManagedIdentity struct {
	SystemAssigned bool `hcl:"system_assigned,optional"` // the machine's own identity, not one that was assigned to it
}

// Mistake is one mistake in a configuration. Field is the attribute as written in HCL,
// with the block before it: "client_certificate.file".
type Mistake struct{ Field, Text, Advice string }

// Secrets are the references that p holds.
func (p Proofs) Secrets() []secret.Ref {
	all := []secret.Ref{p.ClientSecret}
	for _, c := range p.ClientCertificates {
		all = append(all, c.Password)
	}
	return all
}

// Given names the attributes and blocks that are there.
func (p Proofs) Given() (names []string) {
	for _, x := range []struct {
		name string
		ok   bool
	}{
		{"client_secret", !p.ClientSecret.IsZero()}, {"client_certificate", len(p.ClientCertificates) > 0},
		{"workload_identity", p.WorkloadIdentity != nil}, {"managed_identity", p.ManagedIdentity != nil},
	} {
		if x.ok {
			names = append(names, x.name)
		}
	}
	return names
}

// Check returns every mistake of p that can be found without a network.
func (p Proofs) Check() (found []Mistake) {
	must := func(ok bool, field, text, advice string) {
		if !ok {
			found = append(found, Mistake{field, text, advice})
		}
	}
	switch given := p.Given(); {
	case len(given) == 0:
		must(false, "client_secret", "neither client_secret nor client_certificate, workload_identity or managed_identity is given", `for example client_secret = file("/etc/appgovd/entra.secret")`)
	case len(given) > 1:
		must(false, given[0], strings.Join(given, " and ")+" are both given", "keep one of them")
	}
	for i, x := range p.ClientCertificates {
		must(x.File != "", "client_certificate.file", "is empty", "name a PEM or PKCS #12 file")
		same := func(other Certificate) bool { return other.File == x.File }
		must(x.File == "" || !slices.ContainsFunc(p.ClientCertificates[:i], same), "client_certificate.file", fmt.Sprintf("%q stands there twice", x.File), "")
	}
	if w := p.WorkloadIdentity; w != nil {
		must(w.file() != "", "workload_identity.token_file", "is empty, and so is AZURE_FEDERATED_TOKEN_FILE in the environment", "name the file that the issuer keeps a token in")
	}
	return found
}

// CheckOrigin returns what is wrong with the address of what gives tokens, or takes them;
// nothing where it is empty.
func CheckOrigin(field, s string) []Mistake {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return []Mistake{{field, "is not of the form https://host[:port]", "leave out path and query"}}
	}
	if u.Scheme == "https" || u.Scheme == "http" && outbound.IsLoopback(u.Hostname()) {
		return nil
	}
	return []Mistake{{field, "is not an https URL", "a token must never travel in clear text"}}
}

// IsGUID reports whether s is one, as the ids of tenants and apps are.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return false
		}
	}
	return true
}
