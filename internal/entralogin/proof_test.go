package entralogin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestCertificatesAreRotatedWithoutAGap(t *testing.T) {
	s, c, dir := servicetest.Tokens(t), &clock{}, t.TempDir()
	files := []string{filepath.Join(dir, "old.pem"), filepath.Join(dir, "new.pem")}
	old, fresh := servicetest.SelfSignedFrom(t, files[0], epoch()), servicetest.SelfSignedFrom(t, files[1], epoch().AddDate(0, 6, 0))
	of := map[string]string{servicetest.Thumbprint(t, old): "old", servicetest.Thumbprint(t, fresh): "new"}
	l := newLogin(t, s, Proofs{ClientCertificates: []Certificate{{File: files[0]}, {File: files[1]}}}, c)
	step := func(story string, trust [][]byte, fails bool, want ...string) {
		t.Helper()
		s.Trust(t, trust...)
		l.Forget()
		_, err := token(t.Context(), l)
		if (err != nil) != fails {
			t.Errorf("%s: %v", story, err)
		}
		if fails && (!strings.Contains(err.Error(), "new.pem") || fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "upload its public part")) {
			t.Errorf("%s: %v, hint %q", story, err, fault.Hint(err))
		}
		var shown []string
		for _, print := range s.Shown() {
			shown = append(shown, of[print])
		}
		if !slices.Equal(shown, want) {
			t.Errorf("%s: shown %q, want %q", story, shown, want)
		}
	}
	step("none is registered: the newest is shown first", nil, true, "new", "old")
	c.add(again)
	step("the old one is registered", [][]byte{old}, false, "new", "old")
	step("one that was refused a moment ago comes last", [][]byte{old}, false, "old")
	c.add(again)
	step("both are registered", [][]byte{old, fresh}, false, "new")
	if err := os.WriteFile(files[1], []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	step("one broken file of two", [][]byte{old, fresh}, false, "old")
}

// TestACertificateThatIsNoneIsToldAtOnce: before anything is asked for.
func TestACertificateThatIsNoneIsToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{TenantID: testClient, ClientID: testClient, Proofs: Proofs{ClientCertificates: []Certificate{{File: file}}}}, Options{})
	if err == nil || !strings.Contains(err.Error(), "client_certificate") {
		t.Errorf("error %v", err)
	}
}

func TestCertificatesOfOneTimeAreOrderedByThumbprint(t *testing.T) {
	mk := func(print string, days int) *proof {
		return &proof{field: print, current: &identity{thumbprint: print, from: epoch().AddDate(0, 0, days)}}
	}
	b, a, newest, refused := mk("bb", 0), mk("aa", 0), mk("cc", 1), mk("00", 9)
	refused.refused = epoch()
	all := []*proof{refused, b, a, newest}
	order(all, epoch().Add(time.Minute))
	for i, want := range []string{"cc", "aa", "bb", "00"} {
		if all[i].field != want {
			t.Errorf("place %d has %s, want %s", i, all[i].field, want)
		}
	}
}

func TestAWorkloadIdentityShowsTheTokenOfItsFile(t *testing.T) {
	s, file := servicetest.Tokens(t), filepath.Join(t.TempDir(), "token")
	l := newLogin(t, s, Proofs{WorkloadIdentity: &WorkloadIdentity{TokenFile: file}}, &clock{})
	ask := func() error {
		l.Forget()
		_, err := token(t.Context(), l)
		return err
	}
	if err := ask(); fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), "workload_identity.token_file") {
		t.Fatalf("without a file: %v", err)
	}
	for _, token := range []string{"first.token.of-the-issuer", "second.token.of-the-issuer"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.TrustToken(token)
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		if got := s.Shown(); len(got) != 1 || got[0] != token {
			t.Errorf("shown %q, want %q", got, token)
		}
	}
	s.TrustToken("another one")
	if err := ask(); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "issuer, subject and audience") {
		t.Errorf("one that the registration does not trust: %v, hint %q", err, fault.Hint(err))
	}
}

func TestProofsThatCannotBe(t *testing.T) {
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	for want, p := range map[string]Proofs{
		"": {ManagedIdentity: &ManagedIdentity{}},
		"client_secret: neither client_secret nor client_certificate, workload_identity or managed_identity is given": {},
		"client_secret: client_secret and client_certificate are both given":                                          {ClientSecret: "x", ClientCertificates: []Certificate{{File: "x"}}},
		"workload_identity: workload_identity and managed_identity are both given":                                    {WorkloadIdentity: &WorkloadIdentity{TokenFile: "x"}, ManagedIdentity: &ManagedIdentity{}},
		"client_certificate.file: is empty":                                                                           {ClientCertificates: []Certificate{{}}},
		`client_certificate.file: "x" stands there twice`:                                                             {ClientCertificates: []Certificate{{File: "x"}, {File: "x"}}},
		"workload_identity.token_file: is empty, and so is AZURE_FEDERATED_TOKEN_FILE in the environment":             {WorkloadIdentity: &WorkloadIdentity{}},
	} {
		got := ""
		for _, m := range p.Check() {
			got += m.Field + ": " + m.Text
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
