package sim

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func TestAzidentityGetsTokensThatOpenGraph(t *testing.T) {
	key, cert := clientCertificate(t, "one")
	otherKey, otherCert := clientCertificate(t, "two")
	c, err := New(Options{Seed: 5, Apps: 20, ClientCert: cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	base, hc := started(t, c)
	core := azcore.ClientOptions{
		Transport: hc, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: base},
		Retry: policy.RetryOptions{MaxRetries: -1},
	}
	secret := func(tenant, client, secret string) (azcore.TokenCredential, error) {
		return azidentity.NewClientSecretCredential(tenant, client, secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: core, DisableInstanceDiscovery: true})
	}
	certificate := func(c2 *x509.Certificate, k *rsa.PrivateKey) (azcore.TokenCredential, error) {
		return azidentity.NewClientCertificateCredential(c.TenantID(), c.ClientID(), []*x509.Certificate{c2}, k,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: core, DisableInstanceDiscovery: true})
	}
	for _, tc := range []struct {
		name string
		cred func() (azcore.TokenCredential, error)
		want string
	}{
		{"with the secret", func() (azcore.TokenCredential, error) { return secret(c.TenantID(), c.ClientID(), c.ClientSecret()) }, ""},
		{"with the certificate", func() (azcore.TokenCredential, error) { return certificate(cert, key) }, ""},
		{"not with a wrong secret", func() (azcore.TokenCredential, error) { return secret(c.TenantID(), c.ClientID(), "wrong") }, "AADSTS7000215"},
		{"not as an unknown client", func() (azcore.TokenCredential, error) { return secret(c.TenantID(), nilGUID, "x") }, "AADSTS700016"},
		{"not in another tenant", func() (azcore.TokenCredential, error) { return secret(nilGUID, c.ClientID(), "x") }, "AADSTS90002"},
		{"not with another certificate", func() (azcore.TokenCredential, error) { return certificate(otherCert, otherKey) }, "AADSTS700027"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cred, err := tc.cred()
			if err != nil {
				t.Fatal(err)
			}
			tok, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{base + "/.default"}})
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(tok.ExpiresOn); left < 59*time.Minute || left > time.Hour {
				t.Errorf("the token lives %s", left)
			}
			opens(t, hc, base+"/v1.0/organization", tok.Token)
		})
	}
}

func opens(t *testing.T, hc *http.Client, target, token string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := hc.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, res.Body); res.StatusCode != http.StatusOK {
		t.Errorf("Graph answers %d: %s", res.StatusCode, body)
	}
}

func clientCertificate(t *testing.T, name string) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func TestATokenNamesTenantClientAndRoles(t *testing.T) {
	cl := newClient(t, Options{Apps: 10})
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(cl.token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var got claims
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.Tenant != cl.cloud.TenantID() || got.AppID != cl.cloud.ClientID() || !slices.Equal(got.Roles, allRoles()) || got.Audience != "https://graph.example" {
		t.Errorf("got %+v", got)
	}
}

func TestTheTokenEndpointRefuses(t *testing.T) {
	cl := newClient(t, Options{Apps: 10})
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {cl.cloud.ClientID()}, "client_secret": {cl.cloud.ClientSecret()}, "scope": {"x/.default"}}
	for _, tc := range []struct {
		name, field, value, want string
	}{
		{"another grant type", "grant_type", "password", "unsupported_grant_type"},
		{"a scope that is no .default", "scope", "User.Read", "invalid_scope"},
		{"an assertion that is none", "client_assertion", "a.b", "invalid_client"},
		{"an assertion that cannot be decoded", "client_assertion", "a.b.c", "invalid_client"},
		{"an assertion of somebody else", "client_assertion", "e30.e30.e30", "invalid_client"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			form := url.Values{}
			for k, v := range good {
				form[k] = v
			}
			form.Set(tc.field, tc.value)
			status, _, body := cl.post("/"+cl.cloud.TenantID()+"/oauth2/v2.0/token", form)
			if status < 400 || !strings.Contains(string(body), tc.want) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

func TestInstanceDiscoveryNamesTheHostThatWasAsked(t *testing.T) {
	cl := newClient(t, Options{Apps: 10})
	_, _, body := cl.get("/common/discovery/instance")
	if !strings.Contains(string(body), `"preferred_network":"example.com"`) {
		t.Errorf("got %s", body)
	}
}
