package format

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

// portals are templates with every placeholder.
func portals() Links {
	return NewLinks(map[string]string{
		"B": "https://b.example.com/" + strings.Join(Placeholders(), "/"),
		"A": "https://a.example.com/{app_id}?tenant={tenant}",
		"C": "https://c.example.com/{object_id}/x",
	})
}

func TestAPageIsItsTemplateWithValues(t *testing.T) {
	a := &event.Alert{ID: event.NewID("a"), DeliveryID: event.NewID("d"), Tenant: "t/1", RuleID: "r.x", App: event.App{AppID: "a b", ID: "sp", ObjectID: "ü"}}
	links := NewLinks(map[string]string{
		"all": "https://x/" + strings.Join(Placeholders(), "|"), "none": "https://x/y#z", "end": "https://x/{app_id}/end", "open": "https://x/{app_id", "unknown": "https://x/{name}/",
	})
	want := []Link{
		{"all", "https://x/t%2F1|a%20b|sp|%C3%BC|" + a.ID.String() + "|" + a.DeliveryID.String() + "|r.x"},
		{"end", "https://x/a%20b/end"}, {"none", "https://x/y#z"}, {"open", "https://x/{app_id"},
	}
	if diff := cmp.Diff(want, links.Of(a)); diff != "" {
		t.Error(diff)
	}
	a.App.AppID = ""
	if got := links.Of(a); len(got) != 2 || got[0].Name != "none" {
		t.Errorf("pages of an app without an id: %v", got)
	}
	a.Tenant = strings.Repeat("ü", 1000)
	if got := NewLinks(map[string]string{"x": "https://x/{tenant}"}).Of(a); len(got[0].URL) != len("https://x/")+3*maxValue {
		t.Errorf("a page of %d bytes", len(got[0].URL))
	}
}

// Every format has the first page in its own field, the provider's own before all others,
// and documents of JSON the others by name; an event has none.
func TestDocumentsHaveThePagesOfTheirAlert(t *testing.T) {
	const own = "https://security.microsoft.com/alerts/ma1"
	links := NewLinks(map[string]string{"Portal": "https://portal.example.com/{app_id}", "Entra": "https://entra.example.com/{app_id}"})
	at := func(path ...string) func(*testing.T, []byte) string {
		return func(t *testing.T, b []byte) string {
			var v any
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			for _, name := range path {
				m, _ := v.(map[string]any)
				v = m[name]
			}
			s, _ := v.(string)
			return s
		}
	}
	const entra, portal = `{"name":"Entra","url":"https://entra.example.com/app"}`, `{"name":"Portal","url":"https://portal.example.com/app"}`
	for name, get := range map[string]func(*testing.T, []byte) string{
		"ecs": at("event", "url"), "ocsf": at("finding_info", "src_url"), "json": nil, "cim": nil,
		"cef": func(t *testing.T, b []byte) string { _, pairs := cefOf(t, string(b)); return pairs["request"] },
		"leef": func(t *testing.T, b []byte) string {
			var l line
			if err := l.readLEEF(string(b)); err != nil {
				t.Fatal(err)
			}
			return l.get("url")
		},
	} {
		encode, err := Named(name, links)
		if err != nil {
			t.Fatal(err)
		}
		upstream, ours := sample(), sample()
		ours.Upstream = nil
		if get != nil {
			if got := get(t, encode(nil, upstream)); got != own {
				t.Errorf("%s: %q for an alert of the provider", name, got)
			}
			if got := get(t, encode(nil, ours)); got != "https://entra.example.com/app" {
				t.Errorf("%s: %q for an alert of ours", name, got)
			}
		}
		whole, rest := `"links":[`+entra+","+portal+"]", `"links":[`+entra+","+portal+"]"
		if get != nil {
			rest = `"links":[` + portal + "]"
		}
		if all, more := strings.Contains(string(encode(nil, upstream)), whole), strings.Contains(string(encode(nil, ours)), rest); all != IsJSON(name) || more != IsJSON(name) {
			t.Errorf("%s: the pages are listed %t and %t: %s", name, all, more, encode(nil, ours))
		}
		if b := encode(nil, fullEvent()); strings.Contains(string(b), "example.com/") {
			t.Errorf("%s: an event with pages: %s", name, b)
		}
		ours.App.AppID = strings.Repeat("é", 128)
		far, err := Named(name, NewLinks(map[string]string{"Far": "https://portal.example.com/{app_id}/{app_id}"}))
		if err != nil {
			t.Fatal(err)
		}
		if page := "https://portal.example.com/" + strings.Repeat("%C3%A9", 128); strings.Contains(string(far(nil, ours)), page) == (name == "cef") {
			t.Errorf("%s: a page of 1,500 bytes is to be whole, or not there", name)
		}
		ours.App.AppID = "app"
		plain, err := Named(name, nil)
		if err != nil || strings.Contains(string(plain(nil, ours)), "entra.example.com") {
			t.Errorf("%s: pages without templates, %v", name, err)
		}
	}
}

func BenchmarkLinks(b *testing.B) {
	a, links := sample(), NewLinks(map[string]string{"Entra": "https://entra.microsoft.com/#view/x/objectId/{service_principal_id}/appId/{app_id}", "Defender": "https://security.microsoft.com/app?oauthAppId={app_id}"})
	b.ReportAllocs()
	for b.Loop() {
		links.Of(a)
	}
}
