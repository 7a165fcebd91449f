package rule

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/appgovd/appgovd/internal/event"
)

// testAPI is the resource app whose permissions the apps of tests hold.
const testAPI = "sp-microsoft-graph"

// inventory reads the app blocks: those without `at` are there from the first
// sync on, the others appear or change at their time.
func (t *testReader) inventory(src source, out *Test) {
	var first []event.Object
	n := 0
	for _, x := range src.Body.Blocks {
		if x.Type != "app" {
			continue
		}
		n++
		b := t.c.block(x)
		objects := t.app(b, x, n)
		if _, later := b.attr("at"); later {
			out.Steps = append(out.Steps, Step{At: t.at(b), Range: b.rng, Objects: objects})
			continue
		}
		first = append(first, objects...)
	}
	out.Objects = append([]event.Object{t.api()}, first...)
}

// api is Microsoft Graph, offering each application permission that the test
// names.
func (t *testReader) api() event.Object {
	a := &event.AppObject{
		Has:   event.HasAppID | event.HasName | event.HasOwnerTenant | event.HasEnabled | event.HasAppRoles | event.HasScopes,
		AppID: "00000003-0000-0000-c000-000000000000", Name: "Microsoft Graph", OwnerTenant: ownerOf("first_party"), Enabled: true,
	}
	for _, name := range keys(t.roles) {
		a.Roles = append(a.Roles, event.RoleDef{ID: "role-" + name, Value: name, Kind: "application"})
	}
	return withContent(event.Object{Kind: event.ObjectServicePrincipal, ID: testAPI, App: a})
}

func ownerOf(origin string) string {
	switch origin {
	case "first_party":
		return "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
	case "external":
		return "00000000-0000-4000-8000-0000000000ee"
	}
	return TestTenant
}

func (t *testReader) app(b block, x *hclsyntax.Block, n int) []event.Object {
	b.allow("at id app_id origin kind publisher publisher_domain verified_publisher enabled disabled_by created reply_urls owners permissions removed is_appgovd", "grant credential")
	if len(x.Labels) != 1 {
		t.c.fail(b.rng, "bad_label", "One name expected", "Write app \"Name\" { ... }.")
		return nil
	}
	ref := t.ref(b, x.Labels[0])
	if v, r, ok := b.value("is_appgovd"); ok {
		if own, isBool := v.(bool); !isBool {
			t.c.fail(r, "wrong_type", "Wrong type", "is_appgovd is true or false.")
		} else if own {
			t.test0.Own = append(t.test0.Own, ref.AppID)
		}
	}
	o := event.Object{Kind: event.ObjectServicePrincipal, ID: ref.ID, App: t.facts(b, ref)}
	if o.Removed = t.oneOf(b, "removed", "changed", "deleted"); o.Removed != "" {
		o.App = nil
		return []event.Object{withContent(o)}
	}
	if n > 1 {
		o.Content = event.NewID(strconv.Itoa(n))
	}
	return append([]event.Object{withContent(o)}, t.grants(b, x, ref)...)
}

// ref is the app's identity; ids follow from its name unless written.
func (t *testReader) ref(b block, label string) event.App {
	a := event.App{ID: "sp " + label, AppID: "app " + label, Name: label}
	if s, _ := b.text("id"); s != "" {
		a.ID = s
	}
	if s, _ := b.text("app_id"); s != "" {
		a.AppID = s
	}
	origin := t.oneOf(b, "origin", "own", "external", "first_party")
	a.OwnerTenant = ownerOf(origin)
	t.apps[label] = a
	return a
}

func (t *testReader) facts(b block, ref event.App) *event.AppObject {
	a := &event.AppObject{
		Has:   event.HasAppID | event.HasName | event.HasOwnerTenant | event.HasKind | event.HasEnabled,
		AppID: ref.AppID, Name: ref.Name, OwnerTenant: ref.OwnerTenant, Kind: "Application", Enabled: true,
	}
	texts := []struct {
		name string
		has  event.AppField
		to   *string
	}{
		{"kind", event.HasKind, &a.Kind},
		{"publisher", event.HasPublisherName, &a.PublisherName},
		{"publisher_domain", event.HasPublisherDomain, &a.PublisherDomain},
		{"verified_publisher", event.HasVerifiedPublisher, &a.VerifiedPublisher},
		{"disabled_by", event.HasDisabledByMicrosoft, &a.DisabledByMicrosoft},
	}
	for _, x := range texts {
		if _, ok := b.attr(x.name); ok {
			*x.to, _ = b.text(x.name)
			a.Has |= x.has
		}
	}
	if v, r, ok := b.value("enabled"); ok {
		if a.Enabled, ok = v.(bool); !ok {
			t.c.fail(r, "wrong_type", "Wrong type", "enabled is true or false.")
		}
	}
	if s, r := b.text("created"); s != "" {
		a.Created = t.moment(s, r)
		a.Has |= event.HasCreated
	}
	a.ReplyURLs, a.Owners = b.texts("reply_urls"), b.texts("owners")
	if _, ok := b.attr("reply_urls"); ok { // [] takes them away
		a.Has |= event.HasReplyURLs
	}
	if _, ok := b.attr("owners"); ok {
		a.Has |= event.HasOwners
	}
	t.credentials(b, a)
	return a
}

func (t *testReader) credentials(b block, a *event.AppObject) {
	a.Has |= event.HasPasswords | event.HasKeys
	for _, x := range b.body.Blocks {
		if x.Type != "credential" {
			continue
		}
		c := t.c.block(x)
		c.allow("kind start end name", "")
		cr := event.Credential{KeyID: strings.Join(x.Labels, " "), Kind: "password"}
		if s, _ := c.text("kind"); s != "" {
			cr.Kind = s
		}
		cr.Name, _ = c.text("name")
		cr.Start, cr.End = t.when(c, "start"), t.when(c, "end")
		a.Credentials = append(a.Credentials, cr)
	}
}

func (t *testReader) when(b block, name string) time.Time {
	s, r := b.text(name)
	if s == "" {
		return time.Time{}
	}
	return t.moment(s, r)
}

// grants are the app's permissions: application ones by `permissions`, delegated
// ones by grant blocks. What the block before it listed, and a later one does not list, is
// taken away; one without permissions leaves them as they are.
func (t *testReader) grants(b block, x *hclsyntax.Block, ref event.App) []event.Object {
	var out []event.Object
	names := b.texts("permissions")
	if _, listed := b.attr("permissions"); listed {
		for _, name := range t.held[ref.ID] {
			if !has(names, name) {
				out = append(out, withContent(event.Object{Kind: event.ObjectAppRoleAssignment, ID: "assignment " + ref.ID + " " + name, Removed: "deleted"}))
			}
		}
		t.held[ref.ID] = names
	}
	for _, name := range names {
		t.roles[name] = true
		out = append(out, withContent(event.Object{
			Kind: event.ObjectAppRoleAssignment, ID: "assignment " + ref.ID + " " + name,
			Grant: &event.GrantObject{Client: ref.ID, ClientName: ref.Name, Resource: testAPI, RoleID: "role-" + name, Created: t.test0.Since},
		}))
	}
	for _, g := range x.Body.Blocks {
		if g.Type == "grant" {
			out = append(out, t.grant(t.c.block(g), ref))
		}
	}
	return out
}

func (t *testReader) grant(b block, ref event.App) event.Object {
	b.allow("scopes user", "")
	b.need("scopes", "the delegated permissions, such as [\"Mail.Read\"]")
	g := &event.GrantObject{Client: ref.ID, ClientName: ref.Name, Resource: testAPI, ConsentType: "all_principals", Scopes: b.texts("scopes")}
	if user, _ := b.text("user"); user != "" {
		g.ConsentType, g.Principal = "principal", user
	}
	slices.Sort(g.Scopes)
	return withContent(event.Object{Kind: event.ObjectDelegatedGrant, ID: "grant " + ref.ID + " " + g.Principal, Grant: g})
}

// withContent gives an object a content hash, which tells versions apart.
func withContent(o event.Object) event.Object {
	o.Content = event.NewID("test object", o.Kind, o.ID, o.Content.String())
	return o
}
