package msgraph

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func TestObjectKindsAreThoseOfTheSourcesNamed(t *testing.T) {
	all := []string{event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment}
	if got := ObjectKinds(SourceNames()); !slices.Equal(got, all) {
		t.Errorf("all sources read %q, want %q", got, all)
	}
	if got := ObjectKinds([]string{namePrincipals, nameAudits}); !slices.Equal(got, []string{event.ObjectServicePrincipal}) {
		t.Errorf("service principals and audits read %q", got)
	}
	if got := ObjectKinds([]string{nameAudits}); got == nil || len(got) != 0 {
		t.Errorf("audits alone read %#v, want an empty list: nil would mean all kinds", got)
	}
}

func TestEverySourceIsInTheDocumentAndTheExample(t *testing.T) {
	for _, file := range []string{"../../../docs/entra.md", "../../../configs/appgovd.hcl"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range SourceNames() {
			if !strings.Contains(string(b), "`"+name+"`") && !strings.Contains(string(b), `"`+name+`"`) {
				t.Errorf("%s does not name %s", file, name)
			}
		}
	}
}
