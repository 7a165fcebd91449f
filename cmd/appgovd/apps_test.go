package main

import (
	"bytes"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/appgovd/appgovd/internal/app"
)

// A certificate is told by its thumbprint, a federated credential by whose tokens are
// trusted; their names are the texts of others.
func TestAnAppIsShownWithWhatTellsItsCredentials(t *testing.T) {
	var b bytes.Buffer
	tab := table{tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)}
	tab.lists(app.AppDetail{Credentials: []app.AppCredential{
		{KeyID: "k1", Kind: "certificate", Name: "old", Thumbprint: "U0lNS0VZ"},
		{KeyID: "k2", Kind: "federated", Name: "ci", Issuer: "https://token.example\n", Subject: "repo:a/b"},
		{KeyID: "k3", Kind: "password"},
	}})
	if err := tab.w.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`certificate k1 "old", - to -, thumbprint U0lNS0VZ` + "\n", `federated k2 "ci", - to -, issuer "https://token.example\n" subject "repo:a/b"` + "\n", `password k3 "", - to -` + "\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}
