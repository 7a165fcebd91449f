package normalise

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

func TestAnAnswerKnowsOnlyTheListsThatItNames(t *testing.T) {
	d := New(testTenant)
	for name, c := range map[string]struct {
		raw  string
		want event.AppObject
	}{
		"web reply URLs are not those of other platforms": {`{"id":"x","web":{"redirectUris":["https://b","https://a"]}}`,
			event.AppObject{Has: event.HasWebURLs, WebURLs: []string{"https://a", "https://b"}}},
		"nor are those of single-page and public clients": {`{"id":"x","spa":{"redirectUris":["https://s"]},"publicClient":{"redirectUris":["app://c"]}}`,
			event.AppObject{Has: event.HasSPAURLs | event.HasClientURLs, SPAURLs: []string{"https://s"}, ClientURLs: []string{"app://c"}}},
		"application permissions say nothing of delegated ones": {`{"id":"x","appRoles":[{"id":"r","value":"Mail.Read"}]}`,
			event.AppObject{Has: event.HasAppRoles, Roles: []event.RoleDef{{ID: "r", Value: "Mail.Read", Kind: "application"}}}},
		"delegated ones of a registration are below api": {`{"id":"x","api":{"oauth2PermissionScopes":[{"id":"s","value":"User.Read"}]}}`,
			event.AppObject{Has: event.HasScopes, Roles: []event.RoleDef{{ID: "s", Value: "User.Read", Kind: "delegated"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := d.ServicePrincipal([]byte(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, o.App); diff != "" {
				t.Error(diff)
			}
		})
	}
}
