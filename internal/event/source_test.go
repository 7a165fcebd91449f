package event

import "testing"

func TestCarries(t *testing.T) {
	for _, x := range []struct {
		source, name string
		want         bool
	}{
		{"entra/contoso/directory_audits", "directory_audits", true},
		{"entra/contoso/directory_audits", "audits", false},
		{"entra/contoso/hub:directory_audits+calls", "directory_audits", true},
		{"entra/contoso/hub:directory_audits+calls", "calls", true},
		{"entra/contoso/hub:calls", "directory_audits", false},
		{"entra/contoso/directory_audits:calls", "directory_audits", false},
		{"directory_audits", "directory_audits", true},
	} {
		if got := Carries(x.source, x.name); got != x.want {
			t.Errorf("%s carries %s: %t", x.source, x.name, got)
		}
	}
	if !CarriesAny("entra/contoso/hub:calls+signins_interactive", "signins_") || CarriesAny("entra/contoso/signins_hub:calls", "signins_") {
		t.Error("a prefix is not told by the names of a stream")
	}
}
