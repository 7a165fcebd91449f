package entralogin

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

const maxAnswer = 1 << 20 // bytes, of the token endpoint

// refusedProof marks the refusal of a secret, certificate or assertion.
type refusedProof struct{ error }

func (e *refusedProof) Unwrap() error { return e.error }

// answer is the last thing that the token endpoint did during one call of
// GetToken: azidentity's own error repeats whole answers and loses causes.
type answer struct {
	err    error
	status int
	header http.Header
	body   []byte
}

type answerKey struct{}

// transport sends azidentity's requests and notes what failed.
type transport http.Client

// Do implements policy.Transporter.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	a, _ := r.Context().Value(answerKey{}).(*answer)
	if a == nil {
		a = &answer{}
	}
	resp, err := outbound.Do((*http.Client)(t), r)
	if err != nil {
		a.err = err
		return nil, err
	}
	body, err := io.ReadAll(outbound.LimitBody(resp.Body, maxAnswer))
	_ = resp.Body.Close()
	if err != nil {
		a.err = fmt.Errorf("read token answer: %w", err)
		return nil, a.err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	*a = answer{}
	if resp.StatusCode != http.StatusOK {
		*a = answer{status: resp.StatusCode, header: resp.Header, body: body}
	}
	return resp, nil
}

// explain turns a failed call into one sentence with a class and a hint.
func (l *Login) explain(a *answer, resource string, err error) error {
	switch {
	case a.err != nil:
		return fmt.Errorf("get token: %w", a.err)
	case a.status == 0 && l.cfg.ManagedIdentity != nil && strings.Contains(err.Error(), "did not confirm"):
		cause := errors.New("get token: the agent of Azure Arc on this machine did not say that its token is the identity's")
		return fault.WithHint(fault.NewAuth(cause), "the agent is too old for identities that are assigned to a machine, and gives the machine's own: update it, or set system_assigned")
	case a.status == 0:
		return fmt.Errorf("get token: %s", outbound.Clean(err.Error(), 300))
	}
	var e struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Codes       []int  `json:"error_codes"`
		Message     string `json:"message"` // of App Service
	}
	_ = json.Unmarshal(a.body, &e)
	// The description goes on with trace ids and a timestamp in lines of their own.
	first, _, _ := strings.Cut(e.Description, "\r\n")
	first, _, _ = strings.Cut(first, " Trace ID:")
	said := outbound.Clean(e.Error+": "+first, 400)
	if e.Error == "" {
		said = cmp.Or(outbound.Clean(e.Message, 400), http.StatusText(a.status))
	}
	if l.cfg.ManagedIdentity != nil {
		return a.ofMachine(said, l.now(), err)
	}
	cause := fmt.Errorf("get token: %s answered %d: %s", l.cfg.LoginURL, a.status, said)
	if a.status == http.StatusTooManyRequests || a.status >= 500 {
		return outbound.Classify(a.status, a.header, l.now(), cause)
	}
	if e.Error == "invalid_client" && !slices.Contains(e.Codes, noPrincipal) {
		cause = &refusedProof{cause}
	}
	return fault.WithHint(fault.NewAuth(cause), l.hint(e.Codes, e.Error, said, resource))
}

// ofMachine explains what the token service of a machine of Azure answered. Documented:
// it has no token for a while when it answers 404, 410 (it is updated, for at most 70
// seconds), 429 or 5xx.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#retry-guidance
func (a *answer) ofMachine(said string, now time.Time, err error) error {
	if a.status == http.StatusUnauthorized && strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
		// Azure Arc asks for a key so; that is no refusal.
		cause := fmt.Errorf("get token: the agent of Azure Arc on this machine wants a key that cannot be read: %s", outbound.Clean(err.Error(), 300))
		return fault.WithHint(fault.NewAuth(cause), "let the user that appgovd runs as read "+filepath.Dir(outbound.Clean(strings.TrimPrefix(a.header.Get("WWW-Authenticate"), "Basic realm="), 300))+": add it to the group himds, and start appgovd again")
	}
	cause := fmt.Errorf("get token: this machine's token service answered %d: %s", a.status, said)
	switch {
	case a.status == http.StatusTooManyRequests || a.status >= 500:
		return outbound.Classify(a.status, a.header, now, cause)
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		return fault.WithHint(cause, "the service that gives this machine its tokens is being updated, or the machine has none: it is tried again")
	}
	return fault.WithHint(fault.NewAuth(cause), "this machine gives no token for the identity: assign the managed identity to it, and check that client_id is the identity's own, or set system_assigned")
}

// noPrincipal is the code for an app registration without a service principal in the
// tenant, whose secret or certificate is not at fault.
const noPrincipal = 7000229

// hint is what helps; see
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
func (l *Login) hint(codes []int, code, said, resource string) string {
	for _, n := range codes {
		switch n {
		case noPrincipal:
			return "the app registration has no service principal in the tenant: give admin consent, or run az ad sp create --id " + l.cfg.ClientID
		case 7000215:
			return "the client secret is wrong: client_secret must be the secret's value, not its id; a new value is read without a restart"
		case 7000222:
			return "the client secret has expired: create a new one for the app registration; a new value is read without a restart"
		case 700016, 700038:
			return "the app registration " + l.cfg.ClientID + " is not in tenant " + l.cfg.TenantID + ": check client_id and tenant_id"
		case 90002, 900023, 900021, 50059:
			return "there is no tenant " + l.cfg.TenantID + " at " + l.cfg.LoginURL + ": check tenant_id, and login_url for a national cloud"
		case 700024:
			return "the client assertion is not valid by the service's clock: set this machine's clock, as by NTP"
		case 500011, 500014, 650057, 900382, 900384:
			if l.unknown != nil {
				return l.unknown(resource)
			}
			return "the tenant's cloud does not know " + resource + ": it must belong to the cloud of login_url, the one that holds the tenant"
		case 700027, 7000273:
			if strings.Contains(strings.ToLower(said), "expired") {
				return "the client certificate has expired: upload the public part of a new one to the app registration, and put the new file in its place; it is read without a restart"
			}
			return "the client certificate was refused: upload its public part to the app registration, and check its dates and this machine's clock"
		case 700023:
			return "the client certificate was refused: upload its public part to the app registration, and check its dates and this machine's clock"
		case 53003, 530003:
			return "a Conditional Access policy for workload identities blocks this sign-in: exempt this machine's address or the app"
		case 700211, 700212, 700213, 7002131, 700214, 70021:
			return "the app registration does not trust the token of workload_identity: its federated credential must have the token's issuer, subject and audience, letter by letter"
		case 7000112:
			return "the app is disabled in the tenant: enable the service principal again"
		}
	}
	if code == "invalid_client" {
		return "the client secret or certificate was refused: check client_secret, its expiry, and client_id"
	}
	return "check tenant_id, client_id and the credential of the app registration"
}
